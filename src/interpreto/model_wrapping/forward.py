"""Running the model on rows of tokens, and reading its answers; the one place that knows what a forward pass is given.

Batching, padding, devices and the differences between architectures are dealt with here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interpreto.errors import InterpretoError, ModelError
from interpreto.model_wrapping.batching import Budget, is_out_of_memory
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.heads import AfterHead, after_head, at, head_answering, head_at, is_plain
from interpreto.model_wrapping.hooks import captured_output, untouched
from interpreto.model_wrapping.prefixes import Past
from interpreto.model_wrapping.readout import POOLED
from interpreto.model_wrapping.rows import Filling, Rows, pad_rows, perturb
from interpreto.model_wrapping.traits import Traits
from interpreto.types import InferenceMode, Removal, Task


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

    @cached_property
    def budget(self) -> Budget:
        """How much is run together."""
        return Budget.of(self.traits, self.batch_size)

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
            items += [((self.kind(text, int(lengths[p])), int(lengths[p])), k, p) for p in chosen]
        items.sort()
        for batch in self.budget.in_batches(items, lambda item: item[0]):
            yield [(k, p) for _, k, p in batch]

    def kind(self, text: ExplainedText, length: int) -> int:
        """Rows of different kinds are not run together.

        Encoder-decoder classifiers want as many ends in every row, and who takes no mask would read padding as text.
        """
        return len(self.ends(text)) if self.traits.takes_mask else length

    def ends(self, text: ExplainedText) -> list[int]:
        """The places of tokens that are never removed: the ends that encoder-decoder classifiers look for."""
        return self.traits.pooled_at(text.sample.ids) if self.task is Task.CLASSIFICATION else []

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
            groups.append(perturb(text.sample, kept, slots, self.filling, split=self.task is Task.SEQ2SEQ_LM))
            start = stop
        return pad_rows(groups, self.filling)

    def rows_to_read(
        self, texts: Sequence[ExplainedText], rows: Sequence[Bool[Tensor, "_ _"]], batch: Sequence[tuple[int, int]]
    ) -> Rows:
        """The same rows without what comes after the last place that is read, where that changes nothing before it."""
        found = self.rows(texts, rows, batch)
        return found.read_part() if self.looks_back_only else found

    def model_inputs(self, rows: Rows, past: Past | None = None) -> dict[str, Any]:
        """What the model is called with; the tokens that are in the past are left out."""
        traits, device = self.traits, self.traits.device
        source, output = rows.streams[0], rows.streams[-1]
        start = 0 if past is None else past.length
        inputs: dict[str, Any] = {"input_ids": source.ids[:, start:].to(device)}
        visible = source.visible.to(device)
        if traits.takes_mask:
            inputs["attention_mask"] = visible.long()
        if "token_type_ids" in traits.arguments and bool(source.type_ids.any()):
            inputs["token_type_ids"] = source.type_ids[:, start:].to(device)
        if traits.takes_positions:
            positions = torch.arange(start, source.ids.shape[1], device=device)
            inputs["position_ids"] = positions.expand(len(source.ids), -1)
        if past is not None:
            inputs |= {"use_cache": True, "past_key_values": past.cache}
        elif "use_cache" in traits.arguments:
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
        with blamed_on_model(rows):
            return self._logits(rows, self.model_inputs(rows), rows.positions)

    def read(self, rows: Rows, texts: Sequence[ExplainedText], past: Past | None = None) -> Float[Tensor, "b r"]:
        """One forward pass: the numbers that each row's readout asks for; rows with fewer of them are filled up.

        Args:
            rows: The rows of a batch.
            texts: The text of each.
            past: What the rows have in common at their beginning and is not run again. Places in it are not read:
                there the numbers mean nothing.
        """
        inputs = self.model_inputs(rows, past)
        positions = (rows.positions - (0 if past is None else past.length)).clamp(min=0)
        slots, columns = _reads(texts)
        with blamed_on_model(rows):
            if not self._answers_by_columns:
                logits = self._logits(rows, inputs, positions).float()
                return _picked(self.to_read(logits), slots, columns)
            wanted, place = columns.unique(return_inverse=True)
            normalised = self.mode is not InferenceMode.LOGITS
            with head_answering(self.traits.head, positions, wanted, normalised=normalised):  # type: ignore[arg-type]
                values = self.traits.runner(**inputs).logits
            if values.shape != (*positions.shape, len(wanted)):
                raise RuntimeError(f"logits {tuple(values.shape)} where its head answered {len(wanted)} columns")
            return _picked(values.float(), slots, place)

    def find_out(self) -> None:
        """Find out by short passes what may be spared, before anything else is done to the model."""
        _ = self._answers_by_columns, self.looks_back_only

    @cached_property
    def looks_back_only(self) -> bool:
        """Whether nothing that comes later changes what is read: true of decoders, not of all that pose as such."""
        if self.task is not Task.CAUSAL_LM:
            return self.task is Task.SEQ2SEQ_LM
        if "looks_back_only" not in self.traits.found_out:
            known = min(len(self.traits.tokenizer), 64)
            ids = torch.randint(known, (8, 4), generator=torch.Generator().manual_seed(0))
            ids[:, :-1] = ids[0, :-1]
            with untouched(self.traits.model), torch.no_grad():
                logits = self.traits.runner(input_ids=ids.to(self.traits.device)).logits[:, :-1]
            slack = 16 * torch.finfo(logits.dtype).eps * float(logits.abs().max())
            self.traits.found_out["looks_back_only"] = float((logits - logits[:1]).abs().max()) <= slack
        return bool(self.traits.found_out["looks_back_only"])

    @cached_property
    def _answers_by_columns(self) -> bool:
        """Whether the head may answer with the columns that are read, and no others."""
        if self.task not in (Task.CAUSAL_LM, Task.SEQ2SEQ_LM, Task.MASKED_LM):
            return False
        if getattr(self.traits.config, "problem_type", None) == "multi_label_classification":
            return False
        if not is_plain(self.traits.head):
            return False
        if "after_head" not in self.traits.found_out:
            token = torch.full((1, 2), self.filling.token, device=self.traits.device)
            inputs: dict[str, Any] = {"input_ids": token}
            if self.task is Task.SEQ2SEQ_LM:
                inputs["decoder_input_ids"] = torch.full_like(token, self.traits.decoder_prefix[0])
            with untouched(self.traits.model), torch.no_grad():
                found = after_head(self.traits.head, lambda: self.traits.runner(**inputs).logits)
            self.traits.found_out["after_head"] = found
        allowed = (AfterHead.NOTHING,) if self.mode is not InferenceMode.LOGITS else (AfterHead.NOTHING, AfterHead.EACH)
        return self.traits.found_out["after_head"] in allowed

    def _logits(self, rows: Rows, inputs: dict[str, Any], positions: Tensor) -> Float[Tensor, "b m c"]:
        traits = self.traits
        positions = positions.to(traits.device)
        if self.task is Task.CLASSIFICATION and traits.token_head is not None:
            with captured_output(traits.token_head) as caught:
                traits.runner(**inputs)
            return at(caught[0], positions) if caught[0].dim() == 3 else caught[0][:, None]
        if self.task is Task.CLASSIFICATION:
            return traits.runner(**inputs).logits[:, None]  # type: ignore[no-any-return]
        if self.task is Task.QUESTION_ANSWERING:
            answer = traits.runner(**inputs)
            ends = torch.stack([answer.start_logits, answer.end_logits], dim=1)
            lengths = rows.streams[0].lengths.to(ends.device)
            there = torch.arange(ends.shape[2], device=ends.device) < lengths[:, None]
            return ends.masked_fill(~there[:, None], torch.finfo(ends.dtype).min)
        if self.task is Task.TOKEN_CLASSIFICATION:
            return at(traits.runner(**inputs).logits, positions)
        with head_at(traits.head, positions) as narrowed:
            logits: Tensor = traits.runner(**inputs).logits
        return logits if narrowed else at(logits, positions)

    def to_read(self, logits: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Logits to what is read: the logits, or log-probabilities for the two other modes."""
        if self.mode is InferenceMode.LOGITS:
            return logits
        if getattr(self.traits.config, "problem_type", None) == "multi_label_classification":
            return torch.nn.functional.logsigmoid(logits)
        return logits.log_softmax(dim=-1)


@contextmanager
def blamed_on_model(rows: Rows) -> Iterator[None]:
    """Say on what the model failed, where it fails by itself."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        if isinstance(error, InterpretoError) or is_out_of_memory(error):
            raise
        size = tuple(rows.streams[0].ids.shape)
        raise ModelError(
            f"model: expected an answer to ids {size}, its forward pass failed with {type(error).__name__}: "
            f"{error!s:.300}; where it takes single texts but no batches, pass batch_size=1"
        ) from error


def _reads(texts: Sequence[ExplainedText]) -> Int[Tensor, "2 b r"]:
    """Slot and column of each read of each row; rows with fewer reads repeat a first one."""
    most = max(len(text.readout.reads) for text in texts)
    index = torch.zeros(2, len(texts), most, dtype=torch.long)
    for i, text in enumerate(texts):
        reads = text.reads
        index[:, i] = reads[:, :1]
        index[:, i, : reads.shape[1]] = reads
    return index


def _picked(values: Float[Tensor, "b m c"], slots: Int[Tensor, "b r"], columns: Int[Tensor, "b r"]) -> Tensor:
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, slots.to(values.device), columns.to(values.device)]


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
