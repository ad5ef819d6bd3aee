"""The codes of concepts as what a model answers: from elements of a text to what is inside of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from itertools import groupby

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from interpreto.errors import InputError
from interpreto.model_wrapping.activations import Aggregation
from interpreto.model_wrapping.explained_function import Coder
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, blamed_on_model, refuse_nan, untouched_rows
from interpreto.model_wrapping.gradients import Moments, Path
from interpreto.model_wrapping.heads import at
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.prefixes import Past
from interpreto.model_wrapping.readers import checked, places_of, shaped
from interpreto.model_wrapping.rows import Rows
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.types import InferenceMode, Removal, Task


@dataclass(frozen=True, eq=False)
class CodeForward(Forward):
    """Forward passes that end at a split point and answer with the codes of its rows.

    Args:
        point: Where hidden states are read.
        coder: Makes codes of them.
        aggregation: How a row of several tokens is made from theirs.
        of: What the model itself is for.
    """

    _: KW_ONLY
    point: SplitPoint
    coder: Coder
    aggregation: Aggregation
    of: Task

    def read(self, rows: Rows, texts: Sequence[ExplainedText], past: Past | None = None) -> Float[Tensor, "b r"]:
        """One forward pass: the codes that each row's readout asks for; rows with fewer of them are filled up."""
        most = max(len(text.readout.reads) for text in texts)
        found = []
        for text, codes in self.codes(rows, texts):
            row, concept = text.reads
            found.append(pad(codes[:, row, concept], (0, most - len(row))))
        return torch.cat(found)

    def codes(self, rows: Rows, texts: Sequence[ExplainedText]) -> Iterator[tuple[ExplainedText, Tensor]]:
        """One forward pass: the codes `(p, rows, c)` of neighbours that are versions of one text, in float32."""
        caught: dict[str, Tensor] = {}
        places = places_of(self.traits, [self.point])
        with blamed_on_model(rows), visited(places, caught.__setitem__, stop=True):
            self.traits.runner(**self.model_inputs(rows))
        states = shaped(checked(caught, [self.point])[self.point.name], rows, self.point)
        start = 0
        for _, group in groupby(texts, key=id):
            own = list(group)
            part, text = slice(start, start + len(own)), own[0]
            hidden = at(states[part], rows.positions[part, : len(text.readout.slots)])
            wide = torch.stack([self._row(hidden[:, list(row)]) for row in text.readout.rows], dim=1)
            like = self.coder.dictionary
            flat = self.coder.encode(wide.flatten(0, 1).to(like)).float()
            yield text, flat.view(*wide.shape[:2], -1).to(states.device)
            start += len(own)

    def _row(self, hidden: Float[Tensor, "p k d"]) -> Float[Tensor, "p d"]:
        """One row of hidden states from those of its tokens; first and last were chosen before."""
        if hidden.shape[1] == 1:
            return hidden[:, 0]
        return hidden.amax(dim=1) if self.aggregation is Aggregation.MAX else hidden.float().mean(dim=1).to(hidden)

    def find_out(self) -> None:
        """Find out by a short pass what may be spared."""
        _ = self.looks_back_only

    @cached_property
    def looks_back_only(self) -> bool:
        """Whether nothing that comes later changes what is read."""
        if self.of is not Task.CAUSAL_LM:
            return False
        return Forward(self.traits, Task.CAUSAL_LM, self.mode, self.filling, self.batch_size).looks_back_only


@dataclass(frozen=True, eq=False)
class CodeReadingScorer(Scorer):
    """Codes of concepts under perturbations of the text, and their gradients with respect to its embeddings.

    Args:
        point: Where hidden states are read.
        coder: Makes codes of them.
        aggregation: How a row of several tokens is made from theirs.
        of: What the model itself is for.

    Raises:
        InputError: Probabilities of codes.
    """

    _: KW_ONLY
    point: SplitPoint
    coder: Coder
    aggregation: Aggregation
    of: Task

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode is not InferenceMode.LOGITS:
            raise InputError(
                f"inference_mode: codes of concepts are explained as they are, use 'logits', not {self.mode.value!r}"
            )

    @cached_property
    def _forward(self) -> CodeForward:
        return CodeForward(
            self.traits,
            self.task,
            self.mode,
            self.filling,
            self.batch_size,
            point=self.point,
            coder=self.coder,
            aggregation=self.aggregation,
            of=self.of,
        )

    @property
    def looks_back_only(self) -> bool:
        """Whether nothing that comes later changes what is read."""
        return self._forward.looks_back_only

    def scores(
        self,
        texts: Sequence[ExplainedText],
        keeps: Sequence[Bool[Tensor, "_ _"]],
        finished: dict[int, Tensor] | None = None,
    ) -> list[Float[Tensor, "_ _"]]:
        """Codes `(p, t)` of each text under each of its keep-masks `(p, g)`; equal inputs are run once.

        Raises:
            InputError: Removal by deletion of what is read.
        """
        if self.filling.removal is Removal.DELETE:
            for text in texts:
                _refuse_deletion(text)
        return super().scores(texts, keeps, finished)

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
        """Averages of each text's gradients over the points of its path.

        Raises:
            InputError: Codes without gradients.
        """
        if gradients and not self.coder.encodes_differentiably:
            raise InputError(
                f"model: codes of a {type(self.coder).__name__} have no gradients; use a perturbation method, such as "
                "Occlusion or KernelShap"
            )
        yield from super().moments(texts, embeddings, baselines, paths, gradients=gradients, parts=parts)

    def codes(self, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "rows c"]]:
        """Codes of all rows of the untouched texts.

        Raises:
            ModelError: The model answers with NaN.
        """
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        everything = untouched_rows(texts)

        def look(batch: Sequence[tuple[int, int]]) -> None:
            rows = self._forward.rows(texts, everything, batch)
            numbers = iter(batch)
            for text, codes in self._forward.codes(rows, [texts[k] for k, _ in batch]):
                for of_text in codes.cpu():
                    refuse_nan(of_text, text)
                    found[next(numbers)[0]] = of_text

        with untouched(self.traits.model), torch.no_grad():
            for batch in self._forward.batches(texts, everything):
                self._forward.budget.in_halves(batch, look)
        return found


def _refuse_deletion(text: ExplainedText) -> None:
    """Refuse to delete tokens whose hidden states are read.

    Raises:
        InputError: Some may be.
    """
    read = {text.readout.slots[slot] for row, _ in text.readout.reads for slot in text.readout.rows[row]}
    if any(int(text.element_of[place]) >= 0 for place in read):
        raise InputError(
            f"removal: 'delete' takes away tokens of {text.where} whose own hidden states are read; use 'mask' or "
            "'attention', or read a token that always stays, as granularity='cls_token' does where there is one"
        )
