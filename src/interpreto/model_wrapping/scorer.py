"""Scores of perturbed texts: what attribution methods ask, and all that they see.

Methods see elements that can be kept or removed and target scores, nothing else; equal inputs are run once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from interpreto.errors import InputError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, refuse_nan, untouched_rows
from interpreto.model_wrapping.gradients import Gradients, Moments, Path
from interpreto.model_wrapping.hidden_edits import Edit, edited_scores, hidden_states
from interpreto.model_wrapping.hidden_gradients import HiddenGradients, hidden_gradients
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.reading import Reading
from interpreto.model_wrapping.rows import Filling
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.traits import Traits
from interpreto.types import InferenceMode, Removal, Task

_SHOWN_AFTER = 2.0  # seconds
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores and gradients of explained texts.

    Args:
        traits: The model and its tokenizer.
        task: What the model is for.
        mode: The space of the scores.
        filling: How removed tokens look.
        batch_size: Rows a forward pass; by default as many as make a good number of tokens.
        progress: Whether to show a bar on standard error, for what takes more than two seconds.

    Raises:
        InputError: A mode or a removal that makes no sense for the task.
    """

    traits: Traits
    task: Task
    mode: InferenceMode
    filling: Filling
    batch_size: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        config = self.traits.config
        regression = config.num_labels == 1 or config.problem_type == "regression"
        if self.task is Task.CLASSIFICATION and regression and self.mode is not InferenceMode.LOGITS:
            raise InputError(
                f"inference_mode: a regression model has no probabilities, use 'logits', not {self.mode.value!r}"
            )
        places_matter = self.task in (Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
        if places_matter and self.filling.removal is Removal.DELETE:
            raise InputError(
                f"removal: 'delete' moves the tokens that a {self.task.value} model is asked about; use 'mask'"
            )

    @cached_property
    def _forward(self) -> Forward:
        return Forward(self.traits, self.task, self.mode, self.filling, self.batch_size)

    @cached_property
    def _gradients(self) -> Gradients:
        return Gradients(self._forward)

    @property
    def resolution(self) -> float:
        """The relative spacing of the numbers that the model computes with."""
        return torch.finfo(self.traits.base.dtype).eps

    def scores(
        self,
        texts: Sequence[ExplainedText],
        keeps: Sequence[Bool[Tensor, "_ _"]],
        finished: dict[int, Tensor] | None = None,
    ) -> list[Float[Tensor, "_ _"]]:
        """Target scores `(p, t)` of each text under each of its keep-masks `(p, g)`; equal inputs are run once.

        Args:
            texts: What is explained.
            keeps: Which elements each perturbation keeps, a text at a time.
            finished: Filled with the scores of the texts that are whole, by number, also where an error ends it.

        Raises:
            ModelError: The model fails, or answers with NaN.
        """
        unique, wanted = [], []
        for text, keep in zip(texts, keeps, strict=True):
            tokens, own = text.kept_tokens(keep), text.element_of >= 0
            groups = text.target_groups
            versions = torch.cat([tokens | (own & ~text.free_tokens[group[0]]) for group in groups])
            versions[:, self._forward.ends(text)] = True
            if self._forward.looks_back_only:
                versions[:, max(text.readout.slots) + 1 :] = True
            rows, inverse = unique_rows(versions)
            group_of = torch.tensor(
                [k for t in range(len(text.readout.targets)) for k, g in enumerate(groups) if t in g]
            )
            unique.append(rows)
            wanted.append(inverse.view(len(groups), len(keep))[group_of].T)  # (p, t): which row holds that score

        def scores_of(k: int, read: Tensor) -> Tensor:
            return texts[k].readout.scores(read, self.mode).gather(0, wanted[k])

        total = sum(len(rows) for rows in unique)
        _LOG.debug("%d texts, %d perturbations of them, %d different rows", len(texts), sum(map(len, keeps)), total)
        with self._bar(total, "row") as bar:
            reading = Reading(self._forward, texts, unique, bar.update)
            try:
                reading.run()
            finally:
                found = {} if finished is None else finished
                found.update({k: scores_of(k, reading.found[k]) for k in reading.whole()})
        return [found[k] for k in range(len(texts))]

    def _bar(self, total: int, unit: str) -> tqdm:
        """A progress bar that shows up only where it takes long, and goes away again."""
        return tqdm(
            total=total, desc="explaining", unit=unit, delay=_SHOWN_AFTER, leave=False, disable=not self.progress
        )

    def look(self, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "_ _"]]:
        """Raw logits `(m, columns)` of each untouched text at each of its slots, as float32."""
        if not texts:
            return []
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        everything = untouched_rows(texts)

        def look(batch: Sequence[tuple[int, int]]) -> None:
            logits = self._forward.logits(self._forward.rows(texts, everything, batch)).float().cpu()
            for (k, _), row in zip(batch, logits, strict=True):
                found[k] = row[: len(texts[k].readout.slots)]

        with untouched(self.traits.model), torch.no_grad():
            for batch in self._forward.batches(texts, everything):
                self._forward.budget.in_halves(batch, look)
        for text, logits in zip(texts, found, strict=True):
            refuse_nan(logits, text)
        return found

    def to_read(self, logits: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Logits to what is read: the logits, or log-probabilities for the two other modes."""
        return self._forward.to_read(logits)

    def embed(self, text: ExplainedText, token: int | None = None) -> Float[Tensor, "l d"]:
        """The embeddings `(l, d)` that the model looks up for a text, or for one token everywhere, in float32."""
        return self._gradients.embed(text, token)

    def embed_baseline(self, text: ExplainedText, baseline: str | Tensor | None) -> Float[Tensor, "l d"]:
        """Embeddings `(l, d)` of "nothing": a named baseline, a token, or the user's own.

        Raises:
            InputError: The tokenizer has no such token, or the tensor is not of the embeddings' width.
        """
        return self._gradients.embed_baseline(text, baseline)

    def moments(
        self,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        paths: Sequence[Path],
        *,
        gradients: bool = True,
        parts: Sequence[int] = (),
    ) -> Iterator[tuple[int, Moments]]:
        """Averages of each text's gradients over the points of its path, text by text as they are whole.

        Memory grows neither with the number of points nor with that of texts. Parameters are constants: no gradient,
        no graph for them.

        Args:
            texts: What is explained.
            embeddings: Their embeddings `(l, d)`, as `embed` gives them.
            baselines: Of the same shapes.
            paths: One a text. Points move only the tokens that are free for a target.
            gradients: Whether gradients are wanted; otherwise only the scores at the points are.
            parts: Of each point of a path the part, from 0 on, whose averages are wanted too.

        Yields:
            Which of the texts, and its moments; short texts first.
        """
        with self._bar(len(texts), "text") as bar:
            for found in self._gradients.moments(texts, embeddings, baselines, paths, gradients=gradients, parts=parts):
                bar.update()
                yield found

    def hidden_states(self, texts: Sequence[ExplainedText], point: SplitPoint) -> list[Float[Tensor, "_ d"]]:
        """The hidden states `(l, d)` of each untouched text at a split point, in the model's number type."""
        return hidden_states(self._forward, texts, point)

    def hidden_gradients(self, texts: Sequence[ExplainedText], point: SplitPoint) -> Iterator[HiddenGradients]:
        """Gradients of target scores with respect to hidden states at a split point, text by text, short ones first."""
        return hidden_gradients(self._forward, texts, point)

    def edited_scores(self, texts: Sequence[ExplainedText], point: SplitPoint, edit: Edit) -> list[Float[Tensor, " _"]]:
        """Target scores `(t,)` of each text, with its hidden states at the point replaced on the way."""
        return edited_scores(self._forward, texts, point, edit)


def unique_rows(rows: Bool[Tensor, "p l"]) -> tuple[Bool[Tensor, "u l"], Tensor]:
    """The distinct rows, and which of them each row is."""
    packed = np.packbits(rows.numpy(), axis=1)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows[torch.from_numpy(first)], torch.from_numpy(inverse)
