"""Codes of concepts as what is kept or removed: from concepts inside of a model to what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.errors import InputError
from interpreto.model_wrapping.explained_function import Coder
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.gradients import Gradients, Job, Point
from interpreto.model_wrapping.hidden_edits import edited_scores
from interpreto.model_wrapping.hooks import visited
from interpreto.model_wrapping.readers import places_of, shaped
from interpreto.model_wrapping.rows import Rows
from interpreto.model_wrapping.scorer import Scorer, unique_rows
from interpreto.model_wrapping.split_points import SplitPoint

_ROWS_AT_ONCE = 512  # after which finished texts are handed on


@dataclass(frozen=True, eq=False)
class CodedText(ExplainedText):
    """A text whose elements are the concepts in it; the number of a concept stands where a token's place does.

    Args:
        codes: How much of each concept is in each row of the text.
        nothing: Codes in the place of those that are removed, one or several draws; scores are means over draws.
        carriers: The places among the hidden states that move with each row.
    """

    _: KW_ONLY
    codes: Float[Tensor, "rows c"]
    nothing: Float[Tensor, "draws rows c"]
    carriers: tuple[tuple[int, ...], ...]

    @property
    def places(self) -> range:
        """The concepts."""
        return range(self.codes.shape[1])

    @property
    def source_places(self) -> range:
        """All of them."""
        return self.places

    @cached_property
    def visible(self) -> Bool[Tensor, "t g"]:
        """Every target sees every concept."""
        return torch.ones(len(self.readout.targets), len(self.elements), dtype=torch.bool)

    @cached_property
    def free_tokens(self) -> Bool[Tensor, "t c"]:
        """Every concept that is an element is free for every target."""
        return (self.element_of >= 0).expand(len(self.readout.targets), -1)

    def spread(self, moved: Float[Tensor, "rows d"], length: int) -> Float[Tensor, "l d"]:
        """What is added to each hidden state, from what is added to each row; those beyond a length are left out."""
        pairs = [(row, place) for row, own in enumerate(self.carriers) for place in own if place < length]
        row, place = torch.tensor(pairs, dtype=torch.long, device=moved.device).view(-1, 2).T
        return moved.new_zeros(length, moved.shape[1]).index_add(0, place, moved[row])


@dataclass(frozen=True, eq=False)
class CodeGradients(Gradients):
    """Codes of texts as points `(c, rows)`, and gradients with respect to them.

    The model runs with `h + decode(z) - decode(z0)` in the place of a row `h` whose codes are `z0`: what the concepts
    do not explain stays as it is.

    Args:
        point: Where the rows are.
        coder: Codes to rows.
    """

    point: SplitPoint
    coder: Coder

    def embed(self, text: ExplainedText, token: int | None = None) -> Float[Tensor, "c rows"]:
        """The codes of a text."""
        return _coded(text).codes.T.contiguous().to(self.forward.traits.device)

    def embed_baseline(self, text: ExplainedText, baseline: str | Tensor | None) -> Float[Tensor, "c rows"]:
        """Codes of "nothing": what stands in the place of removed concepts, or zero.

        Raises:
            InputError: A baseline for embeddings.
        """
        nothing = _coded(text).nothing.mean(dim=0).T.contiguous().to(self.forward.traits.device)
        if baseline is None:
            return nothing
        if isinstance(baseline, str) and baseline == "zero":
            return torch.zeros_like(nothing)
        raise InputError(
            f"baseline: expected None (codes of removed concepts) or 'zero' where concepts are explained, got {baseline!r}"
        )

    def _contexts(self, texts: Sequence[ExplainedText]) -> list[int]:
        return [0] * len(texts)

    def _point_streams(self, jobs: Sequence[Job], batch: Sequence[Point], rows: Rows) -> list[Tensor]:
        most = max(point.value.shape[1] for point in batch)
        stream = batch[0].value.new_zeros(len(batch), len(batch[0].value), most)
        for i, point in enumerate(batch):
            stream[i, :, : point.value.shape[1]] = point.value
        return [stream]

    @contextmanager
    def _entering(
        self, texts: Sequence[ExplainedText], rows: Rows, streams: Sequence[Float[Tensor, "b c _"]]
    ) -> Iterator[None]:
        def visit(_name: str, hidden: Tensor) -> Tensor:
            states = shaped(hidden, rows, self.point)
            own = [_coded(text) for text in texts]
            like = self.coder.dictionary
            points = torch.cat([z[:, : len(text.codes)].T for z, text in zip(streams[0], own, strict=True)])
            with torch.no_grad():
                start = self.coder.decode(torch.cat([text.codes for text in own]).to(like))
            moved = (self.coder.decode(points.to(like)) - start).to(states.device)
            added = torch.stack(
                [
                    t.spread(m, states.shape[1])
                    for t, m in zip(own, torch.split(moved, [len(t.codes) for t in own]), strict=True)
                ]
            )
            return (states + added.to(states.dtype)).reshape(hidden.shape)

        with visited(places_of(self.forward.traits, [self.point]), visit):
            yield

    def _flat(self, job: Job, gradients: Sequence[Float[Tensor, "t c _"]]) -> Float[Tensor, "t c rows"]:
        return gradients[0][:, :, : len(_coded(job.text).codes)].float()


@dataclass(frozen=True, eq=False)
class CodeEditingScorer(Scorer):
    """Target scores of a model some of whose concepts are removed, and gradients with respect to codes.

    Args:
        point: Where the rows are.
        coder: Codes to rows.
    """

    _: KW_ONLY
    point: SplitPoint
    coder: Coder

    @cached_property
    def _gradients(self) -> CodeGradients:
        return CodeGradients(self._forward, self.point, self.coder)

    def scores(
        self,
        texts: Sequence[ExplainedText],
        keeps: Sequence[Bool[Tensor, "_ _"]],
        finished: dict[int, Tensor] | None = None,
    ) -> list[Float[Tensor, "_ _"]]:
        """Target scores `(p, t)` of each text with each set of its concepts kept; equal sets are run once."""
        found = {} if finished is None else finished
        distinct: list[tuple[Tensor, Tensor]] = [unique_rows(keep) for keep in keeps]
        runs = [len(kept) * len(_coded(text).nothing) for text, (kept, _) in zip(texts, distinct, strict=True)]
        waiting = list(range(len(texts)))
        with self._bar(sum(runs), "row") as bar:
            while waiting:
                now = [waiting.pop(0)]
                while waiting and sum(runs[k] for k in [*now, waiting[0]]) <= _ROWS_AT_ONCE:
                    now.append(waiting.pop(0))
                scores = self._run([(_coded(texts[k]), distinct[k][0]) for k in now])
                for k, own in zip(now, scores, strict=True):
                    found[k] = own[distinct[k][1]]
                    bar.update(runs[k])
        return [found[k] for k in range(len(texts))]

    def _run(self, asked: Sequence[tuple[CodedText, Bool[Tensor, "_ _"]]]) -> list[Float[Tensor, "_ _"]]:
        """Scores of each text with each of its sets of concepts kept, means over draws of nothing."""
        jobs = [
            (text, row, draw)
            for text, keep in asked
            for row in keep
            for draw in range(1 if row.all() else len(text.nothing))
        ]
        like = self.coder.dictionary

        def edit(k: int, hidden: Tensor) -> Tensor:
            text, row, draw = jobs[k]
            if bool(row.all()):
                return hidden
            z = text.codes
            z = torch.where(text.kept_tokens(row[None])[0], z, text.nothing[draw])
            moved = self.coder.decode(z.to(like)) - self.coder.decode(text.codes.to(like))
            return hidden + text.spread(moved.to(hidden.device), len(hidden)).to(hidden.dtype)

        scores = iter(edited_scores(self._forward, [text for text, _, _ in jobs], self.point, edit))
        return [
            torch.stack(
                [
                    torch.stack([next(scores) for _ in range(1 if row.all() else len(text.nothing))]).mean(dim=0)
                    for row in keep
                ]
            )
            for text, keep in asked
        ]


def _coded(text: ExplainedText) -> CodedText:
    if not isinstance(text, CodedText):
        raise TypeError(f"expected a text with codes, got {type(text).__name__}")
    return text
