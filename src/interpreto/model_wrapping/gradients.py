"""Gradients of target scores with respect to embeddings, averaged over points, batched over points and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.beginnings import Beginning, Beginnings
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, blamed_on_model, refuse_nan, untouched_rows
from interpreto.model_wrapping.hooks import replaced_embeddings, untouched
from interpreto.model_wrapping.jacobian import gradients_of
from interpreto.model_wrapping.lost_gradients import refuse_lost_gradients
from interpreto.model_wrapping.prefixes import row_size
from interpreto.model_wrapping.rows import Rows
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.text import Sample
from interpreto.types import Task

_LONG_CONTEXT = 64  # tokens; shorter ones are run along with every point

Path = Callable[[Tensor, Tensor], Iterator[tuple[Tensor, "Tensor | float"]]]
"""From a text's embeddings and their baseline, both `(l, d)`: points and what their gradients are multiplied by."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Averages over the points of a path.

    Args:
        mean: Mean of gradient times weight, `(t, l, d)`.
        mean_square: Mean square of gradient times weight, `(t, l, d)`.
        score: Mean of the target scores at the points, `(t,)`.
        parts: The same averages over parts of the points, where they were asked for.
    """

    mean: Float[Tensor, "t l d"]
    mean_square: Float[Tensor, "t l d"]
    score: Float[Tensor, " t"]
    parts: tuple[Moments, ...] = ()


@dataclass(frozen=True, eq=False)
class Gradients:
    """Embeddings of texts, and gradients with respect to them.

    Args:
        forward: How the model is run.
    """

    forward: Forward

    def embed(self, text: ExplainedText, token: int | None = None) -> Float[Tensor, "l d"]:
        """The embeddings `(l, d)` that the model looks up for a text, or for one token everywhere, in float32."""
        sample, traits = text.sample, self.forward.traits
        modules = traits.embeddings
        ids = torch.tensor([sample.ids if token is None else [token] * len(sample.tokens)], device=traits.device)
        border = sample.source_length if self.forward.task is Task.SEQ2SEQ_LM else ids.shape[1]
        with untouched(traits.model), torch.no_grad():
            parts = [modules[0](ids[:, :border])[0]]
            if border < ids.shape[1]:
                parts.append(modules[-1](ids[:, border:])[0])
            return torch.cat(parts).float()

    def embed_baseline(self, text: ExplainedText, baseline: str | Tensor | None) -> Float[Tensor, "l d"]:
        """Embeddings `(l, d)` of "nothing": a named baseline, a token, or the user's own.

        Raises:
            InputError: The tokenizer has no such token, or the tensor is not of the embeddings' width.
        """
        tokenizer = self.forward.traits.tokenizer
        if baseline is None:
            # Not "zero": RMSNorm has a singularity there, and integrals along the path come out wrong.
            baseline = "mean" if tokenizer.mask_token_id is None else "mask"
        like = self.embed(text)
        if isinstance(baseline, Tensor):
            if tuple(baseline.shape) not in (like.shape[1:], like.shape, (1, like.shape[1])):
                raise InputError(
                    f"baseline: expected a tensor ({like.shape[1]},), or {tuple(like.shape)} for the tokens of "
                    f"{text.where}, got {tuple(baseline.shape)}"
                )
            return baseline.detach().to(like).expand_as(like)
        if baseline == "zero":
            return torch.zeros_like(like)
        if baseline == "mean":
            return self._mean_embedding.to(like).expand_as(like)
        named = {"mask": tokenizer.mask_token_id, "pad": tokenizer.pad_token_id}
        token = named[baseline] if baseline in named else tokenizer.get_vocab().get(baseline)
        if token is None:
            raise InputError(
                f"baseline: expected 'mask', 'pad', 'zero', 'mean', a token of the tokenizer or a tensor, got "
                f"{baseline!r}, which this tokenizer does not have"
            )
        return self.embed(text, token)

    @cached_property
    def _mean_embedding(self) -> Float[Tensor, " d"]:
        traits = self.forward.traits
        module: Any = traits.embeddings[0]
        with torch.no_grad():
            ids = torch.arange(module.num_embeddings, device=traits.device)
            sums = [module(ids[k : k + 8192]).float().sum(dim=0) for k in range(0, len(ids), 8192)]
        return torch.stack(sums).sum(dim=0) / len(ids)

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
        jobs = [
            Job(number, text, x, b, path, group)
            for number, (text, x, b, path) in enumerate(zip(texts, embeddings, baselines, paths, strict=True))
            for group in text.target_groups
        ]
        totals: dict[int, _Total] = {}
        self.forward.find_out()
        if gradients and texts:
            refuse_lost_gradients(self.forward, texts[0], self._start)
        contexts = self._contexts(texts)
        for batch in self._point_batches(jobs, contexts):
            for point in batch:
                if point.job not in totals:
                    totals[point.job] = _Total(jobs[point.job], parts)
            self.forward.budget.in_halves(batch, partial(self._add_points, jobs, contexts, totals, gradients))
            # A text's points follow each other, so that all texts but the last one are whole.
            yield from _whole(jobs, totals, going_on=jobs[batch[-1].job].number)
        yield from _whole(jobs, totals)

    def _contexts(self, texts: Sequence[ExplainedText]) -> list[int]:
        """Of each text how many fixed tokens at its beginning are run once, and not with every point."""
        found = []
        for text in texts:
            moving = (text.element_of >= 0).nonzero()
            length = int(moving[0]) if len(moving) else 0
            long = length >= max(_LONG_CONTEXT, len(text.sample.tokens) // 2)
            serves = long and self._beginnings.may_serve(text)
            if serves and not self._beginnings.known:
                serves = self._remembered(text) is not None
            found.append(length if serves else 0)
        return found

    def _remembered(self, text: ExplainedText) -> Beginning | None:
        """What the model remembers of a text; the last one is kept, for paths that are refined again and again."""
        if not self._last or self._last[0][0] is not text.sample:
            with untouched(self.forward.traits.model):
                self._last[:] = [(text.sample, self._beginnings.of(text))]
        return self._last[0][1]

    @cached_property
    def _beginnings(self) -> Beginnings:
        return Beginnings(self.forward)

    @cached_property
    def _last(self) -> list[tuple[Sample, Beginning | None]]:
        return []

    def _add_points(
        self,
        jobs: Sequence[Job],
        contexts: Sequence[int],
        totals: dict[int, _Total],
        gradients: bool,
        batch: Sequence[Point],
    ) -> None:
        """Run a batch of points, and add it to the totals once all of it is done."""
        first = jobs[batch[0].job]
        length = contexts[first.number]
        remembered = self._remembered(first.text) if length else None
        past = remembered.past(length, len(batch)) if remembered else None
        texts = [jobs[point.job].text for point in batch]
        rows = self.forward.rows_to_read(texts, untouched_rows(texts), [(i, 0) for i in range(len(batch))])
        with untouched(self.forward.traits.model, constant_parameters=True), torch.set_grad_enabled(gradients):
            streams = [stream[:, length:] for stream in self._point_streams(jobs, batch, rows)]
            for stream in streams:
                stream.requires_grad_(gradients)
            with self._entering(texts, rows, streams):
                read = self.forward.read(rows, texts, past)
            if gradients:
                _refuse_cut(read)
            scores = []
            for point, values in zip(batch, read, strict=True):
                job, readout = jobs[point.job], jobs[point.job].text.readout
                scores.append(readout.scores(values[None, : len(readout.reads)], self.forward.mode)[0, job.targets])
                refuse_nan(scores[-1].detach(), job.text)
            found = [list[Tensor]() for _ in batch]
            for chunk in self._gradients_of(rows, scores, streams) if gradients else ():
                size = next((len(of_stream) for of_stream in chunk if of_stream is not None), max(map(len, scores)))
                filled = [x.new_zeros(size, *x.shape) if g is None else g for g, x in zip(chunk, streams, strict=True)]
                filled = [pad(gradient, (0, 0, length, 0)) for gradient in filled]
                for i, point in enumerate(batch):
                    found[i].append(self._flat(jobs[point.job], [of_stream[:, i] for of_stream in filled]))
        for point, score, own in zip(batch, scores, found, strict=True):
            totals[point.job].add(point, score.detach(), torch.cat(own)[: len(score)] if gradients else None)

    @property
    def _start(self) -> SplitPoint | None:
        """Where gradients are taken, if not at the embeddings."""
        return None

    @contextmanager
    def _entering(
        self, texts: Sequence[ExplainedText], rows: Rows, streams: Sequence[Float[Tensor, "b _ d"]]
    ) -> Iterator[None]:
        """Let the model run at these points.

        Raises:
            ModelError: It did not come by where they enter.
        """
        with replaced_embeddings(self.forward.traits.embeddings, streams) as calls:
            yield
        if not calls:
            raise ModelError("model: expected one that looks its inputs up in get_input_embeddings(), it did not")

    def _gradients_of(
        self, rows: Rows, scores: Sequence[Tensor], streams: Sequence[Tensor]
    ) -> Iterator[list[Tensor | None]]:
        with blamed_on_model(rows):
            yield from gradients_of(scores, streams, self.forward.budget)

    def _point_streams(self, jobs: Sequence[Job], batch: Sequence[Point], rows: Rows) -> list[Tensor]:
        """The points as the model's input embeddings, one tensor `(b, l, d)` a stream."""
        streams = [
            torch.zeros(*stream.ids.shape, batch[0].value.shape[1], device=self.forward.traits.device)
            for stream in rows.streams
        ]
        for i, point in enumerate(batch):
            border = jobs[point.job].text.sample.source_length if len(streams) == 2 else len(point.value)
            for stream, value in zip(streams, (point.value[:border], point.value[border:]), strict=False):
                width = min(stream.shape[1], len(value))
                stream[i, :width] = value[:width]
        return streams

    def _flat(self, job: Job, gradients: Sequence[Float[Tensor, "t _ d"]]) -> Float[Tensor, "t l d"]:
        """One text's gradients, source and output in one row again: without padding, 0 for what was not run."""
        sample = job.text.sample
        if len(gradients) == 1:
            parts = [gradients[0][:, : len(sample.tokens)]]
        else:
            border = sample.source_length
            parts = [gradients[0][:, :border], gradients[1][:, : len(sample.tokens) - border]]
        row = torch.cat(parts, dim=1).float()
        return pad(row, (0, 0, 0, len(sample.tokens) - row.shape[1]))

    def _point_batches(self, jobs: Sequence[Job], contexts: Sequence[int]) -> Iterator[list[Point]]:
        """Points of all jobs, short texts first, in batches; never more than a batch of them exists."""
        sizes = []
        for job in jobs:
            context = contexts[job.number]
            # A kind of its own: nothing else goes on from the same context.
            kind = -1 - job.number if context else self.forward.kind(job.text, len(job.text.sample.tokens))
            sizes.append((kind, row_size(len(job.text.sample.tokens), context)))
        order = sorted(range(len(jobs)), key=sizes.__getitem__)
        points = (
            Point(k, number, value, weight) for k in order for number, (value, weight) in enumerate(jobs[k].points())
        )
        return self.forward.budget.in_batches(points, lambda point: sizes[point.job])


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a path: which job's, which one, where, and what its gradient is multiplied by."""

    job: int
    number: int
    value: Float[Tensor, "l d"]
    weight: Tensor | float


@dataclass(frozen=True, slots=True)
class Job:
    """A path for those targets of a text, the number-th one, for which the same tokens are free."""

    number: int
    text: ExplainedText
    embedding: Float[Tensor, "l d"]
    baseline: Float[Tensor, "l d"]
    path: Path
    targets: list[int]

    def points(self) -> Iterator[tuple[Tensor, Tensor | float]]:
        """The points, with what is not free for the targets as the text has it."""
        free = self.text.free_tokens[self.targets[0]].to(self.embedding.device)[:, None]
        for value, weight in self.path(self.embedding, self.baseline):
            yield torch.where(free, value, self.embedding), weight


class _Total:
    """Running sums of one job, part by part."""

    def __init__(self, job: Job, parts: Sequence[int]) -> None:
        self.part_of = parts
        n_parts = 1 + max(parts, default=0)
        shape = (n_parts, len(job.targets), *job.embedding.shape)
        self.mean = torch.zeros(shape, device=job.embedding.device)
        self.square = torch.zeros(shape, device=job.embedding.device)
        self.score = torch.zeros(shape[:2], device=job.embedding.device)
        self.count = torch.zeros(n_parts, device=job.embedding.device)

    def add(self, point: Point, score: Float[Tensor, " t"], gradients: Float[Tensor, "t l d"] | None) -> None:
        part = self.part_of[point.number] if self.part_of else 0
        self.count[part] += 1
        self.score[part] += score
        if gradients is not None:
            weighted = gradients * point.weight
            self.mean[part] += weighted
            self.square[part] += weighted.square()

    def averages(self, part: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, mean square and score, of one part or of all points."""
        sums = (self.mean, self.square, self.score)
        if part is not None:
            mean, square, score = (values[part] / self.count[part] for values in sums)
        else:
            mean, square, score = (values.sum(dim=0) / self.count.sum() for values in sums)
        return mean.cpu(), square.cpu(), score.cpu()


def _refuse_cut(read: Tensor) -> None:
    """Stop at a model in which gradients get lost: they would be 0.

    Raises:
        ModelError: Its answer does not depend on where points enter.
    """
    if not read.requires_grad:
        raise ModelError(
            "model: expected one through which gradients flow, got no path for gradients to its embeddings; take a "
            "method without gradients, such as KernelShap"
        )


def _whole(
    jobs: Sequence[Job], totals: dict[int, _Total], going_on: int | None = None
) -> Iterator[tuple[int, Moments]]:
    """The moments of all texts but the one that is going on, whose sums are then let go."""
    whole: dict[int, list[int]] = {}
    for k in totals:
        if jobs[k].number != going_on:
            whole.setdefault(jobs[k].number, []).append(k)
    for number, own in whole.items():
        yield number, _joined([totals.pop(k) for k in own], [jobs[k] for k in own])


def _joined(totals: Sequence[_Total], jobs: Sequence[Job]) -> Moments:
    """The moments of all targets of a text, in their order."""
    order = [k for job in jobs for k in job.targets]
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__))

    def together(part: int | None = None, parts: tuple[Moments, ...] = ()) -> Moments:
        own = [total.averages(part) for total in totals]
        mean, square, score = (torch.cat(values)[back] for values in zip(*own, strict=True))
        return Moments(mean, square, score, parts)

    wanted = range(len(totals[0].count)) if totals[0].part_of else ()
    return together(parts=tuple(together(part) for part in wanted))
