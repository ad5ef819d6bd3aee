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
    """A text whose elements are concepts that are in it; a concept's number stands where a token's place does.

    Args:
        codes: How much of each element is in each row of the text.
        nothing: The codes of removed elements.
        directions: What one unit of each element's code adds to a row.
        carriers: The places among the hidden states that move with each row.
    """

    _: KW_ONLY
    codes: Float[Tensor, "rows g"]
    nothing: Float[Tensor, "rows g"]
    directions: Float[Tensor, "g d"]
    carriers: tuple[tuple[int, ...], ...]

    elements_are_text = False

    @property
    def places(self) -> range:
        """The elements."""
        return range(len(self.elements))

    @property
    def source_places(self) -> range:
        """All of them."""
        return self.places

    @property
    def places_of_elements(self) -> list[list[int]]:
        """Each is its own place."""
        return [[k] for k in self.places]

    @cached_property
    def visible(self) -> Bool[Tensor, "t g"]:
        """Every target sees every concept."""
        return torch.ones(len(self.readout.targets), len(self.elements), dtype=torch.bool)

    @cached_property
    def free_tokens(self) -> Bool[Tensor, "t g"]:
        """Every concept is free for every target."""
        return self.visible

    def moved(self, codes: Float[Tensor, "rows g"], length: int) -> Float[Tensor, "l d"]:
        """What is added to the hidden states where the elements have other codes, for so many of them."""
        rows = (codes - self.codes.to(codes)) @ self.directions.to(codes)
        pairs = [(row, place) for row, own in enumerate(self.carriers) for place in own if place < length]
        row, place = torch.tensor(pairs, dtype=torch.long, device=codes.device).view(-1, 2).T
        return rows.new_zeros(length, rows.shape[1]).index_add(0, place, rows[row])


@dataclass(frozen=True, eq=False)
class CodeGradients(Gradients):
    """Codes of texts as points `(g, rows)`, and gradients with respect to them.

    The model runs with `h + (z' - z) D` in the place of a row `h` with codes `z` of its elements, whose directions are
    `D`: what the concepts do not explain stays as it is.

    Args:
        point: Where the rows are.
    """

    point: SplitPoint

    def embed(self, text: ExplainedText, token: int | None = None) -> Float[Tensor, "g rows"]:
        """The codes of a text."""
        return coded(text).codes.T.contiguous().to(self.forward.traits.device)

    def embed_baseline(self, text: ExplainedText, baseline: str | Tensor | None) -> Float[Tensor, "g rows"]:
        """Codes of "nothing": what stands in the place of removed concepts, or zero.

        Raises:
            InputError: A baseline for embeddings.
        """
        nothing = coded(text).nothing.T.contiguous().to(self.forward.traits.device)
        if baseline is None:
            return nothing
        if isinstance(baseline, str) and baseline == "zero":
            return torch.zeros_like(nothing)
        raise InputError(
            f"baseline: expected None (codes of removed concepts) or 'zero' where concepts explain, got {baseline!r}"
        )

    @property
    def _start(self) -> SplitPoint:
        return self.point

    def _contexts(self, texts: Sequence[ExplainedText]) -> list[int]:
        return [0] * len(texts)

    def _point_streams(self, jobs: Sequence[Job], batch: Sequence[Point], rows: Rows) -> list[Tensor]:
        shape = [max(point.value.shape[k] for point in batch) for k in (0, 1)]
        stream = batch[0].value.new_zeros(len(batch), *shape)
        for i, point in enumerate(batch):
            stream[i, : point.value.shape[0], : point.value.shape[1]] = point.value
        return [stream]

    @contextmanager
    def _entering(
        self, texts: Sequence[ExplainedText], rows: Rows, streams: Sequence[Float[Tensor, "b _ _"]]
    ) -> Iterator[None]:
        def visit(_name: str, hidden: Tensor) -> Tensor:
            states = shaped(hidden, rows, self.point)
            added = []
            for z, text in zip(streams[0], texts, strict=True):
                n_rows, g = coded(text).codes.shape
                added.append(coded(text).moved(z[:g, :n_rows].T, states.shape[1]))
            return (states + torch.stack(added).to(states)).reshape(hidden.shape)

        with visited(places_of(self.forward.traits, [self.point]), visit):
            yield

    def _flat(self, job: Job, gradients: Sequence[Float[Tensor, "t _ _"]]) -> Float[Tensor, "t g rows"]:
        n_rows, g = coded(job.text).codes.shape
        return gradients[0][:, :g, :n_rows].float()


@dataclass(frozen=True, eq=False)
class CodeEditingScorer(Scorer):
    """Target scores of a model some of whose concepts are removed, and gradients with respect to codes.

    Args:
        point: Where the rows are.
    """

    _: KW_ONLY
    point: SplitPoint

    @cached_property
    def _gradients(self) -> CodeGradients:
        return CodeGradients(self._forward, self.point)

    def scores(
        self,
        texts: Sequence[ExplainedText],
        keeps: Sequence[Bool[Tensor, "_ _"]],
        finished: dict[int, Tensor] | None = None,
    ) -> list[Float[Tensor, "_ _"]]:
        """Target scores `(p, t)` of each text with each set of its concepts kept; equal sets are run once."""
        found = {} if finished is None else finished
        distinct = [unique_rows(keep) for keep in keeps]
        runs = [len(rows) for rows, _ in distinct]
        waiting = list(range(len(texts)))
        with self._bar(sum(runs), "row") as bar:
            while waiting:
                now = [waiting.pop(0)]
                while waiting and sum(runs[k] for k in [*now, waiting[0]]) <= _ROWS_AT_ONCE:
                    now.append(waiting.pop(0))
                scores = self._run([(coded(texts[k]), distinct[k][0]) for k in now])
                for k, own in zip(now, scores, strict=True):
                    found[k] = own[distinct[k][1]]
                    bar.update(runs[k])
        return [found[k] for k in range(len(texts))]

    def _run(self, asked: Sequence[tuple[CodedText, Bool[Tensor, "_ _"]]]) -> list[Float[Tensor, "_ _"]]:
        """Scores of each text with each of its sets of concepts kept."""
        jobs = [(text, row) for text, keep in asked for row in keep]

        def edit(k: int, hidden: Tensor) -> Tensor:
            text, row = jobs[k]
            if bool(row.all()):
                return hidden
            codes = torch.where(row, text.codes, text.nothing).to(hidden.device)
            return hidden + text.moved(codes, len(hidden)).to(hidden)

        scores = edited_scores(self._forward, [text for text, _ in jobs], self.point, edit)
        return [torch.stack(own) for own in _split(scores, [len(keep) for _, keep in asked])]


def coded(text: ExplainedText) -> CodedText:
    """A text that has codes.

    Raises:
        TypeError: It has none.
    """
    if not isinstance(text, CodedText):
        raise TypeError(f"expected a text with codes, got {type(text).__name__}")
    return text


def _split(values: Sequence[Tensor], sizes: Sequence[int]) -> Iterator[list[Tensor]]:
    left = iter(values)
    for size in sizes:
        yield [next(left) for _ in range(size)]
