"""The engine: scores of perturbed texts and moments of gradients, batched over perturbations and texts.

Attribution methods see elements that can be kept or removed and target scores, nothing else. Padding, batching,
devices, number types, equal inputs and autograd are dealt with here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.hooks import captured_output, head_at, replaced_embeddings, untouched
from interpreto.model_wrapping.readout import POOLED, Readout
from interpreto.model_wrapping.rows import Filling, Rows, pad_rows, perturb
from interpreto.model_wrapping.traits import Traits
from interpreto.text import Element, Sample
from interpreto.types import InferenceMode, Removal, Task

Path = Callable[[Tensor, Tensor], Iterator[tuple[Tensor, "Tensor | float"]]]
"""From a text's embeddings and their baseline, both `(l, d)`: points and what their gradients are multiplied by."""

_TOKENS_PER_BATCH = 4096


@dataclass(frozen=True, eq=False)
class ExplainedText:
    """The explained function of one text: its elements, its targets, and what the model is given.

    Args:
        where: What to call it in an error, as `inputs[3]`.
        sample: The row of tokens.
        elements: What can be kept or removed.
        readout: What is read from the model's output, and the targets.
        untouched_read: What is read for the untouched text `(r,)`, where that is known already.
    """

    where: str
    sample: Sample
    elements: tuple[Element, ...]
    readout: Readout
    untouched_read: Float[Tensor, " r"] | None = None

    @cached_property
    def visible(self) -> Bool[Tensor, "t g"]:
        """Which elements each target sees; the others are written later."""
        return torch.tensor([[target.sees(element) for element in self.elements] for target in self.readout.targets])

    @cached_property
    def element_of(self) -> Tensor:
        """For each token the element that it belongs to, `-1` for fixed context: `(l,)`."""
        owner = torch.full((len(self.sample.tokens),), -1)
        for k, element in enumerate(self.elements):
            owner[list(element.tokens)] = k
        return owner

    def kept_tokens(self, keep: Bool[Tensor, "p g"]) -> Bool[Tensor, "p l"]:
        """Which tokens are kept when these elements are."""
        fixed = torch.ones(len(keep), 1, dtype=torch.bool)
        return torch.cat([keep, fixed], dim=1)[:, self.element_of]

    @cached_property
    def free_tokens(self) -> Bool[Tensor, "t l"]:
        """Which tokens may change for each target: its own tokens, and those after it, stand while it is scored."""
        free = (self.element_of >= 0).expand(len(self.readout.targets), -1).clone()
        for k, target in enumerate(self.readout.targets):
            if len(target.plus) > 1 and target.first is not None:
                free[k, target.first :] = False
        return free


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
class Scorer:
    """Scores and gradients of explained texts.

    Args:
        traits: The model and its tokenizer.
        task: What the model is for.
        mode: The space of the scores.
        filling: How removed tokens look.
        batch_size: Rows a forward pass; by default as many as make a good number of tokens.
    """

    traits: Traits
    task: Task
    mode: InferenceMode
    filling: Filling
    batch_size: int | None = None

    # Scores of perturbed texts

    def scores(
        self, texts: Sequence[ExplainedText], keeps: Sequence[Bool[Tensor, "_ _"]]
    ) -> list[Float[Tensor, "_ _"]]:
        """Target scores `(p, t)` of each text under each of its keep-masks `(p, g)`; equal inputs are run once."""
        unique, wanted = [], []
        for text, keep in zip(texts, keeps, strict=True):
            tokens, own = text.kept_tokens(keep), text.element_of >= 0
            groups = _target_groups(text)
            versions = torch.cat([tokens | (own & ~text.free_tokens[group[0]]) for group in groups])
            rows, inverse = _unique_rows(versions)
            group_of = torch.tensor(
                [k for t in range(len(text.readout.targets)) for k, g in enumerate(groups) if t in g]
            )
            unique.append(rows)
            wanted.append(inverse.view(len(groups), len(keep))[group_of].T)  # (p, t): which row holds that score
        reads = self._read(texts, unique)
        scores = [text.readout.scores(read, self.mode) for text, read in zip(texts, reads, strict=True)]
        return [score.gather(0, rows) for score, rows in zip(scores, wanted, strict=True)]

    def look(self, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "_ _"]]:
        """Raw logits `(m, columns)` of each untouched text at each of its slots, as float32."""
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        everything = _untouched_rows(texts)
        with untouched(self.traits.model), torch.no_grad():
            for batch in self._batches(texts, everything):
                logits = self._logits(self._rows(texts, everything, batch)).float().cpu()
                for (k, _), row in zip(batch, logits, strict=True):
                    found[k] = row[: len(texts[k].readout.slots)]
        for text, logits in zip(texts, found, strict=True):
            _refuse_nan(logits, text)
        return found

    def to_read(self, logits: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Logits to what is read: the logits, or log-probabilities for the two other modes."""
        if self.mode is InferenceMode.LOGITS:
            return logits
        if getattr(self.traits.config, "problem_type", None) == "multi_label_classification":
            return torch.nn.functional.logsigmoid(logits)
        return logits.log_softmax(dim=-1)

    def _read(self, texts: Sequence[ExplainedText], rows: Sequence[Bool[Tensor, "_ _"]]) -> list[Tensor]:
        """What is read `(p, r)` of each text under each of its rows of kept tokens `(p, l)`."""
        found = [torch.empty(len(row), len(text.readout.reads)) for text, row in zip(texts, rows, strict=True)]
        to_run = []
        for text, kept, read in zip(texts, rows, found, strict=True):
            known = kept.all(dim=1) & (text.untouched_read is not None)
            if text.untouched_read is not None:
                read[known] = text.untouched_read
            to_run.append(~known)
        with untouched(self.traits.model), torch.no_grad():
            for batch in self._batches(texts, rows, to_run):
                batch_rows = self._rows(texts, rows, batch)
                read = self._gather(self._logits(batch_rows), [texts[k] for k, _ in batch]).cpu()
                for (k, p), values in zip(batch, read, strict=True):
                    found[k][p] = values[: found[k].shape[1]]
        for text, read in zip(texts, found, strict=True):
            _refuse_nan(read, text)
        return found

    # Gradients

    def embed(self, text: ExplainedText, token: int | None = None) -> Float[Tensor, "l d"]:
        """The embeddings `(l, d)` that the model looks up for a text, or for one token everywhere, in float32."""
        sample, modules = text.sample, self.traits.embeddings
        ids = torch.tensor([sample.ids if token is None else [token] * len(sample.tokens)], device=self.traits.device)
        border = sample.source_length if self.task is Task.SEQ2SEQ_LM else ids.shape[1]
        with untouched(self.traits.model), torch.no_grad():
            parts = [modules[0](ids[:, :border])[0]]
            if border < ids.shape[1]:
                parts.append(modules[-1](ids[:, border:])[0])
            return torch.cat(parts).float()

    def embed_baseline(self, text: ExplainedText, baseline: str | Tensor | None) -> Float[Tensor, "l d"]:
        """Embeddings `(l, d)` of "nothing": a named baseline, a token, or the user's own.

        Raises:
            InputError: The tokenizer has no such token, or the tensor is not of the embeddings' width.
        """
        tokenizer = self.traits.tokenizer
        if baseline is None:
            baseline = "zero" if tokenizer.mask_token_id is None else "mask"
        like = self.embed(text)
        if isinstance(baseline, Tensor):
            if baseline.shape[-1:] != like.shape[-1:] or baseline.dim() > 2:
                raise InputError(f"baseline: expected a tensor ({like.shape[1]},), got {tuple(baseline.shape)}")
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
        module: Any = self.traits.embeddings[0]
        with torch.no_grad():
            ids = torch.arange(module.num_embeddings, device=self.traits.device)
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
    ) -> list[Moments]:
        """Averages of each text's gradients over the points of its path.

        Memory does not grow with the number of points. Parameters are constants: no gradient, no graph for them.

        Args:
            texts: What is explained.
            embeddings: Their embeddings `(l, d)`, as `embed` gives them.
            baselines: Of the same shapes.
            paths: One a text. Points move only the tokens that are free for a target.
            gradients: Whether gradients are wanted; otherwise only the scores at the points are.
        """
        jobs = [
            _Job(text, x, b, path, group)
            for text, x, b, path in zip(texts, embeddings, baselines, paths, strict=True)
            for group in _target_groups(text)
        ]
        totals = [_Total(job) for job in jobs]
        job_texts = [job.text for job in jobs]
        with untouched(self.traits.model, constant_parameters=True), torch.set_grad_enabled(gradients):
            for batch in self._point_batches(jobs):
                rows = self._rows(job_texts, _untouched_rows(job_texts), [(point.job, 0) for point in batch])
                self._add_points(jobs, batch, rows, totals, gradients)
        moments, position = [], 0
        for text in texts:
            count = len(_target_groups(text))
            moments.append(_joined(text, totals[position : position + count], jobs[position : position + count]))
            position += count
        return moments

    def _add_points(
        self, jobs: Sequence[_Job], batch: list[_Point], rows: Rows, totals: list[_Total], gradients: bool
    ) -> None:
        streams = self._point_streams(jobs, batch, rows)
        for stream in streams:
            stream.requires_grad_(gradients)
        with replaced_embeddings(self.traits.embeddings, streams) as calls:
            logits = self._logits(rows)
        if not calls:
            raise ModelError("model: expected one that looks its inputs up in get_input_embeddings(), it did not")
        read = self._gather(logits, [jobs[point.job].text for point in batch])
        scores = []
        for point, values in zip(batch, read, strict=True):
            job = jobs[point.job]
            score = job.text.readout.scores(values[None, : len(job.text.readout.reads)], self.mode)[0, job.targets]
            _refuse_nan(score.detach(), job.text)
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
                    totals[point.job].add_gradient(
                        k, self._flat(jobs[point.job], [g[i] for g in filled]) * point.weight
                    )

    def _point_streams(self, jobs: Sequence[_Job], batch: Sequence[_Point], rows: Rows) -> list[Tensor]:
        """The points as the model's input embeddings, one tensor `(b, l, d)` a stream."""
        streams = [
            torch.zeros(*stream.ids.shape, batch[0].value.shape[1], device=self.traits.device)
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
        batch: list[_Point] = []
        order = sorted(range(len(jobs)), key=lambda k: len(jobs[k].text.sample.tokens))
        for k in order:
            length = len(jobs[k].text.sample.tokens)
            for value, weight in jobs[k].points():
                if batch and len(batch) >= self._rows_at_once(length):
                    yield batch
                    batch = []
                batch.append(_Point(k, value, weight))
        if batch:
            yield batch

    # Running the model

    def _rows_at_once(self, length: int) -> int:
        return self.batch_size or max(1, _TOKENS_PER_BATCH // max(length, 1))

    def _batches(
        self,
        texts: Sequence[ExplainedText],
        rows: Sequence[Bool[Tensor, "_ _"]],
        to_run: Sequence[Bool[Tensor, " _"]] | None = None,
    ) -> Iterator[list[tuple[int, int]]]:
        """All `(text, row)` pairs that are to be run, short ones first, in batches."""
        items: list[tuple[int, int, int]] = []
        for k, (text, kept) in enumerate(zip(texts, rows, strict=True)):
            whole = len(text.sample.tokens)
            lengths = kept.sum(dim=1).tolist() if self.filling.removal is Removal.DELETE else [whole] * len(kept)
            chosen = range(len(kept)) if to_run is None else to_run[k].nonzero()[:, 0].tolist()
            items += [(int(lengths[p]), k, p) for p in chosen]
        items.sort()
        batch: list[tuple[int, int]] = []
        for length, k, p in items:
            if batch and len(batch) >= self._rows_at_once(length):
                yield batch
                batch = []
            batch.append((k, p))
        if batch:
            yield batch

    def _rows(
        self, texts: Sequence[ExplainedText], rows: Sequence[Bool[Tensor, "_ _"]], batch: Sequence[tuple[int, int]]
    ) -> Rows:
        """The rows of a batch, in the batch's order."""
        groups, start = [], 0
        while start < len(batch):
            k, stop = batch[start][0], start
            while stop < len(batch) and batch[stop][0] == k:
                stop += 1
            text = texts[k]
            slots = [slot for slot in text.readout.slots if slot != POOLED]
            kept = rows[k][[p for _, p in batch[start:stop]]]
            groups.append(perturb(text.sample, kept, slots, self.filling, split=self.task is Task.SEQ2SEQ_LM))
            start = stop
        return pad_rows(groups, self.filling)

    def _logits(self, rows: Rows) -> Float[Tensor, "b m c"]:
        """One forward pass: the logits at the places that are read."""
        traits, device = self.traits, self.traits.device
        source, output = rows.streams[0], rows.streams[-1]
        inputs = {"input_ids": source.ids.to(device)}
        visible = source.visible.to(device)
        if "attention_mask" in traits.arguments:
            inputs["attention_mask"] = visible.long()
        if "token_type_ids" in traits.arguments and bool(source.type_ids.any()):
            inputs["token_type_ids"] = source.type_ids.to(device)
        if traits.takes_positions:
            inputs["position_ids"] = torch.arange(source.ids.shape[1], device=device).expand(len(source.ids), -1)
        if "use_cache" in traits.arguments:
            inputs["use_cache"] = False  # type: ignore[assignment]
        if self.task is Task.SEQ2SEQ_LM:
            inputs["decoder_input_ids"] = output.ids.to(device)
            inputs["decoder_attention_mask"] = output.visible.to(device).long()
        elif traits.is_encoder_decoder:  # classifiers feed their input, shifted by one, to their decoder
            first = torch.ones_like(visible[:, :1])
            inputs["decoder_attention_mask"] = torch.cat([first, visible[:, :-1]], dim=1).long()
        positions = rows.positions.to(device)
        if self.task is Task.CLASSIFICATION and traits.token_head is not None:
            with captured_output(traits.token_head) as caught:
                traits.runner(**inputs)
            return _at(caught[0], positions) if caught[0].dim() == 3 else caught[0][:, None]
        if self.task is Task.CLASSIFICATION:
            return traits.runner(**inputs).logits[:, None]  # type: ignore[no-any-return]
        if self.task is Task.QUESTION_ANSWERING:
            answer = traits.runner(**inputs)
            ends = torch.stack([answer.start_logits, answer.end_logits], dim=1)
            there = torch.arange(ends.shape[2], device=ends.device) < source.lengths.to(ends.device)[:, None]
            return ends.masked_fill(~there[:, None], torch.finfo(ends.dtype).min)
        if self.task is Task.TOKEN_CLASSIFICATION:
            return _at(traits.runner(**inputs).logits, positions)
        with head_at(traits.head, positions) as narrowed:
            logits: Tensor = traits.runner(**inputs).logits
        return logits if narrowed else _at(logits, positions)

    def _gather(self, logits: Float[Tensor, "b m c"], texts: Sequence[ExplainedText]) -> Float[Tensor, "b r"]:
        """The numbers that each row's readout asks for; rows with fewer of them are filled up."""
        most = max(len(text.readout.reads) for text in texts)
        index = torch.zeros(2, len(texts), most, dtype=torch.long)
        for i, text in enumerate(texts):
            index[:, i, : len(text.readout.reads)] = torch.tensor(text.readout.reads).T
        slots, columns = index.to(logits.device)
        batch = torch.arange(len(texts), device=logits.device)[:, None]
        return self.to_read(logits.float())[batch, slots, columns]


def _at(logits: Float[Tensor, "b l c"], positions: Tensor) -> Float[Tensor, "b m c"]:
    return logits.gather(1, positions.to(logits.device)[:, :, None].expand(-1, -1, logits.shape[-1]))


def _untouched_rows(texts: Sequence[ExplainedText]) -> list[Bool[Tensor, "1 l"]]:
    return [torch.ones(1, len(text.sample.tokens), dtype=torch.bool) for text in texts]


def _unique_rows(rows: Bool[Tensor, "p l"]) -> tuple[Bool[Tensor, "u l"], Tensor]:
    """The distinct rows, and which of them each row is."""
    packed = np.packbits(rows.numpy(), axis=1)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows[torch.from_numpy(first)], torch.from_numpy(inverse)


def _refuse_nan(values: Tensor, text: ExplainedText) -> None:
    if bool(values.isnan().any()):
        raise ModelError(
            f"{text.where}: expected numbers from the model, got NaN for {text.sample.parts[0]!r:.60}; "
            "try float32, another attention implementation, or another removal"
        )


@dataclass(frozen=True, slots=True)
class _Point:
    """One point of a path: which job's, where, and what its gradient is multiplied by."""

    job: int
    value: Float[Tensor, "l d"]
    weight: Tensor | float


@dataclass(frozen=True, slots=True)
class _Job:
    """A path for those targets of a text for which the same tokens are free."""

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


def _target_groups(text: ExplainedText) -> list[list[int]]:
    """Targets for which the same tokens are free, together."""
    groups: dict[bytes, list[int]] = {}
    for k, free in enumerate(text.free_tokens):
        groups.setdefault(free.numpy().tobytes(), []).append(k)
    return list(groups.values())


def _joined(text: ExplainedText, totals: Sequence[_Total], jobs: Sequence[_Job]) -> Moments:
    """The moments of all targets of a text, in their order."""
    order = [k for job in jobs for k in job.targets]
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__))
    mean = torch.cat([total.mean / total.count for total in totals]).cpu()[back]
    square = torch.cat([total.square / total.count for total in totals]).cpu()[back]
    score = torch.cat([total.score / total.count for total in totals]).cpu()[back]
    return Moments(mean, square, score)


def with_untouched_read(text: ExplainedText, read: Float[Tensor, " r"]) -> ExplainedText:
    """The same text, with what is read for it untouched."""
    return replace(text, untouched_read=read)
