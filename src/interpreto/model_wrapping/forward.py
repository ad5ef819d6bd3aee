"""Running the model on rows of tokens, and reading its answers; the one place that knows what a forward pass is given.

Batching, padding, devices and the differences between architectures are dealt with here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.errors import ModelError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.hooks import captured_output, head_at
from interpreto.model_wrapping.readout import POOLED
from interpreto.model_wrapping.rows import Filling, Rows, pad_rows, perturb
from interpreto.model_wrapping.traits import Traits
from interpreto.types import InferenceMode, Removal, Task

_TOKENS_PER_BATCH = 4096

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Forward:
    """Forward passes of one model for one task.

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

    def rows_at_once(self, length: int) -> int:
        """How many rows of so many tokens are run together."""
        return self.batch_size or max(1, _TOKENS_PER_BATCH // max(length, 1))

    def batches(
        self,
        texts: Sequence[ExplainedText],
        rows: Sequence[Bool[Tensor, "_ _"]],
        to_run: Sequence[Bool[Tensor, " _"]] | None = None,
    ) -> Iterator[list[tuple[int, int]]]:
        """All `(text, row)` pairs that are to be run, short ones first, in batches."""
        items: list[tuple[tuple[int, int], int, int]] = []
        for k, (text, kept) in enumerate(zip(texts, rows, strict=True)):
            whole = len(text.sample.tokens)
            lengths = kept.sum(dim=1).tolist() if self.filling.removal is Removal.DELETE else [whole] * len(kept)
            chosen = range(len(kept)) if to_run is None else to_run[k].nonzero()[:, 0].tolist()
            items += [((self.kind(text), int(lengths[p])), k, p) for p in chosen]
        items.sort()
        for batch in self.in_batches(items, lambda item: item[0]):
            yield [(k, p) for _, k, p in batch]

    def kind(self, text: ExplainedText) -> int:
        """Texts of different kinds are not run together: encoder-decoder classifiers want as many ends in every row."""
        return len(self._ends(text))

    def _ends(self, text: ExplainedText) -> list[int]:
        return self.traits.pooled_at(text.sample.ids) if self.task is Task.CLASSIFICATION else []

    def in_batches(self, items: Iterable[T], size: Callable[[T], tuple[int, int]]) -> Iterator[list[T]]:
        """Items, sorted by their kind and length, in batches; never more than a batch of them exists."""
        batch: list[T] = []
        last = 0
        for item in items:
            kind, length = size(item)
            if batch and (kind != last or len(batch) >= self.rows_at_once(length)):
                yield batch
                batch = []
            batch.append(item)
            last = kind
        if batch:
            yield batch

    def rows(
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
            if self.task is Task.QUESTION_ANSWERING:  # one number a place, and all of them make the probabilities
                slots = list(range(len(text.sample.tokens)))
            kept = rows[k][[p for _, p in batch[start:stop]]]
            kept[:, self._ends(text)] = True
            groups.append(perturb(text.sample, kept, slots, self.filling, split=self.task is Task.SEQ2SEQ_LM))
            start = stop
        return pad_rows(groups, self.filling)

    def model_inputs(self, rows: Rows) -> dict[str, Any]:
        """What the model is called with."""
        traits, device = self.traits, self.traits.device
        source, output = rows.streams[0], rows.streams[-1]
        inputs: dict[str, Any] = {"input_ids": source.ids.to(device)}
        visible = source.visible.to(device)
        if "attention_mask" in traits.arguments:
            inputs["attention_mask"] = visible.long()
        if "token_type_ids" in traits.arguments and bool(source.type_ids.any()):
            inputs["token_type_ids"] = source.type_ids.to(device)
        if traits.takes_positions:
            inputs["position_ids"] = torch.arange(source.ids.shape[1], device=device).expand(len(source.ids), -1)
        if "use_cache" in traits.arguments:
            inputs["use_cache"] = False
        if self.task is Task.SEQ2SEQ_LM:
            inputs["decoder_input_ids"] = output.ids.to(device)
            inputs["decoder_attention_mask"] = output.visible.to(device).long()
        elif traits.is_encoder_decoder:  # classifiers feed their input, shifted by one, to their decoder
            first = torch.ones_like(visible[:, :1])
            inputs["decoder_attention_mask"] = torch.cat([first, visible[:, :-1]], dim=1).long()
        return inputs

    def logits(self, rows: Rows) -> Float[Tensor, "b m c"]:
        """One forward pass: the logits at the places that are read."""
        traits, inputs = self.traits, self.model_inputs(rows)
        positions = rows.positions.to(traits.device)
        if self.task is Task.CLASSIFICATION and traits.token_head is not None:
            with captured_output(traits.token_head) as caught:
                traits.runner(**inputs)
            return _at(caught[0], positions) if caught[0].dim() == 3 else caught[0][:, None]
        if self.task is Task.CLASSIFICATION:
            return traits.runner(**inputs).logits[:, None]  # type: ignore[no-any-return]
        if self.task is Task.QUESTION_ANSWERING:
            answer = traits.runner(**inputs)
            ends = torch.stack([answer.start_logits, answer.end_logits], dim=1)
            lengths = rows.streams[0].lengths.to(ends.device)
            there = torch.arange(ends.shape[2], device=ends.device) < lengths[:, None]
            return ends.masked_fill(~there[:, None], torch.finfo(ends.dtype).min)
        if self.task is Task.TOKEN_CLASSIFICATION:
            return _at(traits.runner(**inputs).logits, positions)
        with head_at(traits.head, positions) as narrowed:
            logits: Tensor = traits.runner(**inputs).logits
        return logits if narrowed else _at(logits, positions)

    def gather(self, logits: Float[Tensor, "b m c"], texts: Sequence[ExplainedText]) -> Float[Tensor, "b r"]:
        """The numbers that each row's readout asks for; rows with fewer of them are filled up."""
        most = max(len(text.readout.reads) for text in texts)
        index = torch.zeros(2, len(texts), most, dtype=torch.long)
        for i, text in enumerate(texts):
            index[:, i, : len(text.readout.reads)] = torch.tensor(text.readout.reads).T
        slots, columns = index.to(logits.device)
        batch = torch.arange(len(texts), device=logits.device)[:, None]
        return self.to_read(logits.float())[batch, slots, columns]

    def to_read(self, logits: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Logits to what is read: the logits, or log-probabilities for the two other modes."""
        if self.mode is InferenceMode.LOGITS:
            return logits
        if getattr(self.traits.config, "problem_type", None) == "multi_label_classification":
            return torch.nn.functional.logsigmoid(logits)
        return logits.log_softmax(dim=-1)


def _at(logits: Float[Tensor, "b l c"], positions: Tensor) -> Float[Tensor, "b m c"]:
    """The logits at the places that are read."""
    return logits.gather(1, positions.to(logits.device)[:, :, None].expand(-1, -1, logits.shape[-1]))


def untouched_rows(texts: Sequence[ExplainedText]) -> list[Bool[Tensor, "1 l"]]:
    """For each text one row in which every token is kept."""
    return [torch.ones(1, len(text.sample.tokens), dtype=torch.bool) for text in texts]


def refuse_nan(values: Tensor, text: ExplainedText) -> None:
    """Stop at answers that are no numbers.

    Raises:
        ModelError: The model answered with NaN.
    """
    if bool(values.isnan().any()):
        raise ModelError(
            f"{text.where}: expected numbers from the model, got NaN for {text.sample.parts[0]!r:.60}; "
            "try float32, another attention implementation, or another removal"
        )
