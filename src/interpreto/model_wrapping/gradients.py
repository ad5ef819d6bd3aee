"""Gradients of target scores with respect to embeddings, averaged over points, batched over points and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, refuse_nan, untouched_rows
from interpreto.model_wrapping.hooks import replaced_embeddings, untouched
from interpreto.model_wrapping.rows import Rows
from interpreto.types import Task

Path = Callable[[Tensor, Tensor], Iterator[tuple[Tensor, "Tensor | float"]]]
"""From a text's embeddings and their baseline, both `(l, d)`: points and what their gradients are multiplied by."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Averages over the points of a path.

    Args:
        mean: Mean of gradient times weight, `(t, l, d)`.
        mean_square: Mean square of gradient times weight, `(t, l, d)`.
        score: Mean of the target scores at the points, `(t,)`.
    """

    mean: Float[Tensor, "t l d"]
    mean_square: Float[Tensor, "t l d"]
    score: Float[Tensor, " t"]


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

        Yields:
            Which of the texts, and its moments; short texts first.
        """
        jobs = [
            _Job(number, text, x, b, path, group)
            for number, (text, x, b, path) in enumerate(zip(texts, embeddings, baselines, paths, strict=True))
            for group in text.target_groups
        ]
        job_texts = [job.text for job in jobs]
        everything = untouched_rows(job_texts)
        totals: dict[int, _Total] = {}
        for batch in self._point_batches(jobs):
            for point in batch:
                if point.job not in totals:
                    totals[point.job] = _Total(jobs[point.job])
            rows = self.forward.rows(job_texts, everything, [(point.job, 0) for point in batch])
            with untouched(self.forward.traits.model, constant_parameters=True), torch.set_grad_enabled(gradients):
                self._add_points(jobs, batch, rows, totals, gradients)
            # A text's points follow each other, so that all texts but the last one are whole.
            yield from _whole(jobs, totals, going_on=jobs[batch[-1].job].number)
        yield from _whole(jobs, totals)

    def _add_points(
        self, jobs: Sequence[_Job], batch: list[_Point], rows: Rows, totals: dict[int, _Total], gradients: bool
    ) -> None:
        streams = self._point_streams(jobs, batch, rows)
        for stream in streams:
            stream.requires_grad_(gradients)
        with replaced_embeddings(self.forward.traits.embeddings, streams) as calls:
            logits = self.forward.logits(rows)
        if not calls:
            raise ModelError("model: expected one that looks its inputs up in get_input_embeddings(), it did not")
        read = self.forward.gather(logits, [jobs[point.job].text for point in batch])
        scores = []
        for point, values in zip(batch, read, strict=True):
            job, readout = jobs[point.job], jobs[point.job].text.readout
            score = readout.scores(values[None, : len(readout.reads)], self.forward.mode)[0, job.targets]
            refuse_nan(score.detach(), job.text)
            totals[point.job].add_score(score.detach())
            scores.append(score)
        if not gradients:
            return
        most = max(len(score) for score in scores)
        for k in range(most):
            total = torch.stack([score[k] for score in scores if k < len(score)]).sum()
            found = torch.autograd.grad(total, streams, retain_graph=k + 1 < most, allow_unused=True)
            filled = [torch.zeros_like(s) if g is None else g for g, s in zip(found, streams, strict=True)]
            for i, (point, score) in enumerate(zip(batch, scores, strict=True)):
                if k < len(score):
                    gradient = self._flat(jobs[point.job], [g[i] for g in filled])
                    totals[point.job].add_gradient(k, gradient * point.weight)

    def _point_streams(self, jobs: Sequence[_Job], batch: Sequence[_Point], rows: Rows) -> list[Tensor]:
        """The points as the model's input embeddings, one tensor `(b, l, d)` a stream."""
        streams = [
            torch.zeros(*stream.ids.shape, batch[0].value.shape[1], device=self.forward.traits.device)
            for stream in rows.streams
        ]
        for i, point in enumerate(batch):
            border = jobs[point.job].text.sample.source_length if len(streams) == 2 else len(point.value)
            streams[0][i, :border] = point.value[:border]
            if len(streams) == 2:
                streams[1][i, : len(point.value) - border] = point.value[border:]
        return streams

    def _flat(self, job: _Job, gradients: Sequence[Tensor]) -> Float[Tensor, "l d"]:
        """One text's gradients, source and output in one row again, without padding."""
        sample = job.text.sample
        if len(gradients) == 1:
            return gradients[0][: len(sample.tokens)].float()
        border = sample.source_length
        return torch.cat([gradients[0][:border], gradients[1][: len(sample.tokens) - border]]).float()

    def _point_batches(self, jobs: Sequence[_Job]) -> Iterator[list[_Point]]:
        """Points of all jobs, short texts first, in batches; never more than a batch of them exists."""
        sizes = [(self.forward.kind(job.text), len(job.text.sample.tokens)) for job in jobs]
        order = sorted(range(len(jobs)), key=sizes.__getitem__)
        points = (_Point(k, value, weight) for k in order for value, weight in jobs[k].points())
        return self.forward.in_batches(points, lambda point: sizes[point.job])


@dataclass(frozen=True, slots=True)
class _Point:
    """One point of a path: which job's, where, and what its gradient is multiplied by."""

    job: int
    value: Float[Tensor, "l d"]
    weight: Tensor | float


@dataclass(frozen=True, slots=True)
class _Job:
    """A path for those targets of a text, the number-th one, for which the same tokens are free."""

    number: int
    text: ExplainedText
    embedding: Float[Tensor, "l d"]
    baseline: Float[Tensor, "l d"]
    path: Path
    targets: list[int]

    def points(self) -> Iterator[tuple[Tensor, Tensor | float]]:
        free = self.text.free_tokens[self.targets[0]].to(self.embedding.device)[:, None]
        for value, weight in self.path(self.embedding, self.baseline):
            yield torch.where(free, value, self.embedding), weight


class _Total:
    """Running sums of one job."""

    def __init__(self, job: _Job) -> None:
        shape = (len(job.targets), *job.embedding.shape)
        self.mean = torch.zeros(shape, device=job.embedding.device)
        self.square = torch.zeros(shape, device=job.embedding.device)
        self.score = torch.zeros(len(job.targets), device=job.embedding.device)
        self.count = 0

    def add_score(self, score: Float[Tensor, " t"]) -> None:
        self.score += score
        self.count += 1

    def add_gradient(self, target: int, gradient: Float[Tensor, "l d"]) -> None:
        self.mean[target] += gradient
        self.square[target] += gradient.square()


def _whole(
    jobs: Sequence[_Job], totals: dict[int, _Total], going_on: int | None = None
) -> Iterator[tuple[int, Moments]]:
    """The moments of all texts but the one that is going on, whose sums are then let go."""
    whole: dict[int, list[int]] = {}
    for k in totals:
        if jobs[k].number != going_on:
            whole.setdefault(jobs[k].number, []).append(k)
    for number, own in whole.items():
        yield number, _joined([totals.pop(k) for k in own], [jobs[k] for k in own])


def _joined(totals: Sequence[_Total], jobs: Sequence[_Job]) -> Moments:
    """The moments of all targets of a text, in their order."""
    order = [k for job in jobs for k in job.targets]
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__))
    mean = torch.cat([total.mean / total.count for total in totals]).cpu()[back]
    square = torch.cat([total.square / total.count for total in totals]).cpu()[back]
    score = torch.cat([total.score / total.count for total in totals]).cpu()[back]
    return Moments(mean, square, score)
