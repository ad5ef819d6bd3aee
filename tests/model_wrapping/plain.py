"""The engine's work a second time, the slow obvious way: one text at a time, no padding, lists of ids by hand."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerFast

from interpreto.model_wrapping import Explained, ExplainedText, Scorer, Traits
from interpreto.types import Granularity, InferenceMode, Removal, Task
from tests.architectures import ANSWERS, ARCHITECTURES, CAUSAL, CLASSES, LABELS, MASKED, SEQ2SEQ, shared_model

TEXT = "The quick brown fox"
ANSWER = " jumps over the"
WINDOWS = {"deberta-v2": 1, "gemma3": 4, "gpt_neo": 4, "mistral": 4, "modernbert": 2}
QUESTION = ("Who loves?", "Spot loved the lazy dog.")


def engine(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    inputs: object,
    targets: object = None,
    *,
    removal: Removal | str | None = None,
    mode: InferenceMode = InferenceMode.LOGITS,
    batch_size: int | None = None,
    granularity: Granularity = Granularity.TOKEN,
) -> tuple[Scorer, list[ExplainedText]]:
    """What an explainer makes of its arguments before its method comes in."""
    traits = Traits(model, tokenizer)
    explained = Explained(traits, granularity, Granularity.TOKEN, generation={"max_new_tokens": 3})
    sources = explained.sources(inputs)
    scorer = Scorer(traits, traits.recognise(sources[0].ids), mode, traits.filling(removal), batch_size)
    return scorer, explained.texts(scorer, sources, targets)


@dataclass(frozen=True)
class Plain:
    """One text and its targets, for a model of some task.

    Args:
        name: The architecture's name in the table.
        task: The model's task.
        text: What the model reads, as the tokenizer is called.
        model: The model.
        tokenizer: Its tokenizer.
    """

    name: str
    task: Task
    text: str | tuple[str, str]
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast

    @classmethod
    def of(cls, name: str, task: Task, *, more: str = "", model: PreTrainedModel | None = None) -> Plain:
        """A text of some length for a model of the table."""
        tokenizer = ARCHITECTURES[name].tokenizer()
        text: str | tuple[str, str] = TEXT + more
        if task is ANSWERS:
            text = (QUESTION[0], QUESTION[1] + more)
        if task is MASKED:
            text = f"The {tokenizer.mask_token} brown fox" + more
        return cls(name, task, text, model or shared_model(name, task), tokenizer)

    # What the engine is asked

    @property
    def inputs(self) -> list[object]:
        return [self.text]

    @property
    def targets(self) -> list[object]:
        choices: dict[Task, object] = {
            CLASSES: [0, 2],
            LABELS: [(0, "LABEL_1"), (3, "LABEL_2")],
            ANSWERS: "the lazy",
            MASKED: [7, 9],
            CAUSAL: self.output,
            SEQ2SEQ: self.output,
        }
        return [choices[self.task]]

    # What it should see

    @property
    def source(self) -> list[int]:
        return self._call()["input_ids"]

    def _call(self) -> BatchEncoding:
        texts = self.text if isinstance(self.text, tuple) else (self.text,)
        return self.tokenizer(*texts, return_offsets_mapping=True)

    @property
    def output(self) -> list[int]:
        ids = self.tokenizer(ANSWER, add_special_tokens=False).input_ids
        return [i for i in ids if self.tokenizer.convert_ids_to_tokens(i) != "▁"]  # it shares its place with the next

    @property
    def row(self) -> list[int]:
        """Everything that the model reads, and the last token that it writes."""
        if self.task is CAUSAL:
            return self.source + self.output
        if self.task is SEQ2SEQ:
            return self.source + self.prefix + self.output
        return self.source

    @property
    def prefix(self) -> list[int]:
        return [self.model.config.decoder_start_token_id]

    @property
    def own(self) -> list[int]:
        """Places of the tokens that can be removed."""
        special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        places = [i for i, token in enumerate(self.source) if token not in special]
        if self.task.generates:
            places += range(len(self.row) - len(self.output), len(self.row) - 1)
        return places

    # Reading

    def scores(self, removed: set[int], removal: Removal) -> list[float]:
        """The targets' logits without the tokens at some places."""
        if self.task is SEQ2SEQ:
            return self._written(removed, removal)
        ids, mask, moved = self._perturbed(self.row, removed, removal, len(self.source) - 1)
        window = WINDOWS.get(self.name)
        if window is not None and removal is Removal.ATTENTION:
            blind = [k for k in self._read_places() if not any(mask[max(k - window + 1, 0) : k + 1])]
            mask = [int(visible or k in blind) for k, visible in enumerate(mask)]
        kinds = self._call().get("token_type_ids")
        if kinds is not None:
            kinds = [*kinds, *([0] * (len(ids) - len(kinds)))]
        answer = self.run(ids, mask, None if removal is Removal.DELETE else kinds)
        if self.task is CLASSES:
            return answer.logits[0, [0, 2]].tolist()
        if self.task is CAUSAL:
            start = len(self.source)
            places = range(start, start + len(self.output))
            return [float(answer.logits[0, moved[place - 1], self.row[place]]) for place in places]
        if self.task is MASKED:
            return answer.logits[0, moved[self._read_places()[0]], [7, 9]].tolist()
        if self.task is LABELS:
            places = self._read_places()
            return [float(answer.logits[0, places[0], 1]), float(answer.logits[0, places[3], 2])]
        first, last = self._answer_places()
        return [float(answer.start_logits[0, first]), float(answer.end_logits[0, last])]

    def _read_places(self) -> list[int]:
        """Where the model's answer to an untouched text may be read, whatever the targets."""
        if self.task is LABELS:
            offsets, starts = self._call()["offset_mapping"], [TEXT.index(word) for word in TEXT.split()]
            return [next(i for i, (a, b) in enumerate(offsets) if a <= start < b) for start in starts]
        if self.task is MASKED:
            return [self.row.index(self.tokenizer.mask_token_id)]
        if self.task is ANSWERS:
            return list(range(len(self.row)))
        return list(range(len(self.source) - 1, max(len(self.row) - 1, len(self.source))))

    def _answer_places(self) -> tuple[int, int]:
        call, context = self._call(), self.text[1]
        start, end = context.index("the lazy"), context.index("the lazy") + len("the lazy")
        inside = [
            i
            for i, ((a, b), part) in enumerate(zip(call["offset_mapping"], call.sequence_ids(), strict=True))
            if part == 1 and b > start and a < end
        ]
        return inside[0], inside[-1]

    @property
    def neutral(self) -> int:
        names = ("mask_token_id", "unk_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
        return next(i for i in (getattr(self.tokenizer, name) for name in names) if i is not None)

    def _perturbed(
        self, ids: list[int], removed: set[int], removal: Removal, first_read: int
    ) -> tuple[list[int], list[int], dict[int, int]]:
        """Ids, attention mask, and where each place went (or the last that is left before it)."""
        here = range(len(ids))
        if removal is not Removal.DELETE:
            hidden = removed - {0} if removal is Removal.ATTENTION else set()
            row = [self.neutral if i in removed else ids[i] for i in here]
            return row, [int(i not in hidden) for i in here], {i: i for i in here}
        left = [i for i in here if i not in removed]
        if not any(i <= first_read for i in left):
            left = [0, *left]
        row = [self.neutral if i in removed else ids[i] for i in left]
        moved = {i: max((k for k, place in enumerate(left) if place <= i), default=0) for i in here}
        return row, [1] * len(left), moved

    def _written(self, removed: set[int], removal: Removal) -> list[float]:
        border = len(self.source)
        source, mask, _ = self._perturbed(
            self.source, {i for i in removed if i < border}, removal, first_read=border - 1
        )
        output, output_mask, moved = self._perturbed(
            self.prefix + self.output, {i - border for i in removed if i >= border}, removal, first_read=0
        )
        with torch.no_grad():
            answer = self.model(
                input_ids=torch.tensor([source]),
                attention_mask=torch.tensor([mask]),
                decoder_input_ids=torch.tensor([output[:-1]]),
                decoder_attention_mask=torch.tensor([output_mask[:-1]]),
            )
        return [float(answer.logits[0, moved[k], token]) for k, token in enumerate(self.output)]

    def run(self, ids: Sequence[int], mask: Sequence[int], kinds: Sequence[int] | None = None) -> object:
        """One text, the model as its authors wrote it."""
        inputs = {"input_ids": torch.tensor([list(ids)])}
        takes = inspect.signature(self.model.forward).parameters
        if "attention_mask" in takes:
            inputs["attention_mask"] = torch.tensor([list(mask)])
        if "token_type_ids" in takes and kinds is not None:
            inputs["token_type_ids"] = torch.tensor([list(kinds)])
        if self.model.config.model_type == "opt":  # it counts its positions from the mask
            inputs["position_ids"] = torch.arange(len(ids))[None]
        if self.model.config.is_encoder_decoder and self.task in (CLASSES, ANSWERS):
            # Its decoder reads the same text, one place later.
            inputs["decoder_attention_mask"] = torch.tensor([[1, *mask[:-1]]])
        with torch.no_grad():
            return self.model(**inputs)


def keeps(count: int, seed: int = 0) -> Tensor:
    """Everything, nothing, only the first, all but the first, and four at random."""
    random = torch.rand(4, count, generator=torch.Generator().manual_seed(seed)) < 0.5
    first = torch.arange(count) == 0
    return torch.stack([torch.ones(count).bool(), torch.zeros(count).bool(), first, ~first, *random])
