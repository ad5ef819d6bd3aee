"""From inputs and targets to explained texts, task by task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.readout import POOLED, Readout, Target
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.targets import Contrast, class_targets, output_readout, split_targets, token_id
from interpreto.model_wrapping.traits import Traits
from interpreto.text import Element, Sample, Token, encode_output, encode_source, find_elements, split_inputs
from interpreto.types import Granularity, Task


@dataclass(frozen=True, eq=False)
class Explained:
    """What users choose about elements and targets.

    Args:
        traits: The model and its tokenizer.
        granularity: What an element is.
        output_granularity: What a target of a generated text is.
        truncation: Whether longer texts are cut in place of refused.
        generation: Settings for `model.generate`, where no target is given.
        seed: Seed of a sampled generation.
    """

    traits: Traits
    granularity: Granularity
    output_granularity: Granularity
    truncation: bool = False
    generation: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def sources(self, inputs: Any) -> list[Sample]:
        """The user's inputs as rows of tokens, without outputs.

        Raises:
            InputError: Anything that cannot be explained; see `encode_source`.
        """
        return [
            encode_source(
                self.traits.tokenizer, item, where=f"inputs[{k}]", limit=self.traits.limit, truncation=self.truncation
            )
            for k, item in enumerate(split_inputs(inputs))
        ]

    def texts(self, scorer: Scorer, sources: Sequence[Sample], targets: Any) -> list[ExplainedText]:
        """Explained texts for the scorer's task.

        Args:
            scorer: The engine; it is asked for the model's own answers where no targets are given.
            sources: What `sources` made of the inputs.
            targets: As users give them.

        Raises:
            InputError: Targets that do not fit the inputs, the model or the task.
        """
        entries = split_targets(targets, len(sources))
        prepare: dict[Task, Callable[[Scorer, Sequence[Sample], Sequence[Any]], list[ExplainedText]]] = {
            Task.CLASSIFICATION: self._classification,
            Task.CAUSAL_LM: self._generation,
            Task.SEQ2SEQ_LM: self._generation,
            Task.MASKED_LM: self._masked,
            Task.TOKEN_CLASSIFICATION: self._labels,
            Task.QUESTION_ANSWERING: self._answers,
        }
        return prepare[scorer.task](scorer, sources, entries)

    def _elements(self, sample: Sample) -> tuple[Element, ...]:
        tokenizer = self.traits.tokenizer
        names = {i: str(tokenizer.convert_ids_to_tokens(i)) for i in tokenizer.all_special_ids}
        return find_elements(sample, self.granularity, names)

    def _looked_at(
        self, scorer: Scorer, sources: Sequence[Sample], slots: Sequence[Sequence[int]]
    ) -> tuple[list[ExplainedText], list[Float[Tensor, "_ _"]]]:
        """Texts without targets, and the model's untouched logits at their slots."""
        texts = [
            ExplainedText(f"inputs[{k}]", sample, self._elements(sample), Readout(tuple(places), (), ()))
            for k, (sample, places) in enumerate(zip(sources, slots, strict=True))
        ]
        return texts, scorer.look(texts)

    # One method a task

    def _classification(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        slots = [[self._pooled_slot(sample)] for sample in sources]
        texts, logits = self._looked_at(scorer, sources, slots)
        found = []
        for text, answer, entry in zip(texts, logits, entries, strict=True):
            n_classes = answer.shape[1]
            chosen = int(answer[0].argmax()) if entry is None else entry
            where = text.where.replace("inputs", "targets")
            targets = class_targets(self.traits, chosen, n_classes, where)
            reads = tuple((0, column) for column in range(n_classes))
            readout = Readout(text.readout.slots, reads, tuple(targets))
            found.append(replace(text, readout=readout, untouched_read=scorer.to_read(answer)[0]))
        return found

    def _pooled_slot(self, sample: Sample) -> int:
        """Where a decoder's classification head reads: the last token that is not padding, by the model's own rule."""
        if self.traits.token_head is None:
            return POOLED
        pad = getattr(self.traits.config, "pad_token_id", None)
        places = [i for i, token in enumerate(sample.tokens) if token.id != pad]
        return places[-1] if places and pad is not None else len(sample.tokens) - 1

    def _generation(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        texts = []
        for k, (source, entry) in enumerate(zip(sources, entries, strict=True)):
            sample, foils = self._with_output(scorer.task, source, entry, f"targets[{k}]")
            # The last output token is predicted but predicts nothing: the model never reads it.
            everything = self._elements(sample)
            readout = output_readout(sample, self._output_groups(sample), shift=1, foils=foils)
            last = max(target.first or 0 for target in readout.targets)
            elements = tuple(element for element in everything if element.tokens[0] < last)
            texts.append(ExplainedText(f"inputs[{k}]", sample, elements, readout))
        return texts

    def _output_groups(self, sample: Sample) -> list[Element]:
        if self.output_granularity is Granularity.TEXT:
            return [_whole_output(sample)]
        found = find_elements(sample, self.output_granularity)
        return _covering(sample, [group for group in found if group.tokens[0] >= sample.output_start])

    def _with_output(self, task: Task, source: Sample, entry: Any, where: str) -> tuple[Sample, list[int] | None]:
        """Source and output in one row, and the ids that a contrast takes away."""
        foils: list[int] | None = None
        if isinstance(entry, (list, tuple)) and len(entry) == 1 and isinstance(entry[0], (str, Contrast)):
            entry = entry[0]
        output = entry.target if isinstance(entry, Contrast) else entry
        joined = task is Task.CAUSAL_LM
        prefix = [] if joined else list(self.traits.decoder_prefix)
        if output is None:
            output = self._generate(source, joined)
        if not isinstance(output, str):
            output = _trimmed(output, source.ids if joined else prefix[:1], self.traits.tokenizer.pad_token_id, where)
            prefix = prefix[:1]
        text, tokens = encode_output(self.traits.tokenizer, source, output, where=where, joined=joined)
        if isinstance(entry, Contrast):
            _, other = encode_output(self.traits.tokenizer, source, entry.rather_than, where=where, joined=joined)
            if len(other) != len(tokens):
                raise InputError(
                    f"{where}: expected a contrast of as many tokens as the target ({len(tokens)}), got {len(other)}"
                )
            foils = [token.id for token in other]
        sample = source.with_output(text, tokens, [Token(i, 0, 0, 0, fixed=True) for i in prefix])
        length = len(sample.tokens) - (0 if joined else source.source_length)
        if self.traits.limit is not None and length - 1 > self.traits.limit:
            raise InputError(
                f"{where}: {'prompt and output have' if joined else 'the output has'} {length} tokens, the model reads "
                f"at most {self.traits.limit}; shorten them"
            )
        return sample, foils

    def _generate(self, source: Sample, joined: bool) -> list[int]:
        """What the model itself writes, with the user's settings; the caller's random state stays as it was."""
        model: Any = self.traits.runner
        ids = torch.tensor([source.ids], device=self.traits.device)
        settings = {
            "attention_mask": torch.ones_like(ids),
            "pad_token_id": self._pad_for_generation(),
            **self.generation,
        }
        devices = [self.traits.device] if self.traits.device.type == "cuda" else []
        with untouched(model), torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            written: list[int] = model.generate(input_ids=ids, **settings)[0].tolist()
        return written[len(source.ids) :] if joined else written

    def _pad_for_generation(self) -> int | None:
        settings = getattr(self.traits.base, "generation_config", None)
        eos = getattr(settings, "eos_token_id", None)
        first_eos = eos[0] if isinstance(eos, (list, tuple)) else eos
        pads = [getattr(settings, "pad_token_id", None), self.traits.tokenizer.pad_token_id, first_eos]
        return next((pad for pad in pads if pad is not None), None)

    def _masked(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        mask = self.traits.tokenizer.mask_token_id
        slots = [[i for i, token in enumerate(sample.tokens) if token.id == mask] for sample in sources]
        for k, places in enumerate(slots):
            if not places:
                name = self.traits.tokenizer.mask_token
                raise InputError(f"inputs[{k}]: a masked language model is explained at {name}, the text has none")
        sources = [_fixed_at(sample, places) for sample, places in zip(sources, slots, strict=True)]
        texts, logits = self._looked_at(scorer, sources, slots)
        found = []
        for text, answer, entry in zip(texts, logits, entries, strict=True):
            where = text.where.replace("inputs", "targets")
            wanted = self._mask_fillings(entry, answer, where)
            reads = [(slot, column) for slot, plus, minus in wanted for column in (plus, minus) if column is not None]
            targets, position = [], 0
            for slot, plus, minus in wanted:
                place = text.sample.tokens[text.readout.slots[slot]]
                name, minuses = self._token_name(plus), tuple[int, ...]()
                if minus is not None:
                    name, minuses = f"{name} rather than {self._token_name(minus)}", (position + 1,)
                targets.append(Target(name, (position,), minuses, place.part, place.start, place.end))
                position += 1 + len(minuses)
            found.append(replace(text, readout=Readout(text.readout.slots, tuple(reads), tuple(targets))))
        return found

    def _mask_fillings(self, entry: Any, logits: Tensor, where: str) -> list[tuple[int, int, int | None]]:
        """`(which mask, token, token of a contrast)`: several tokens are one a mask, or several for the only mask."""
        if entry is None:
            return [(slot, int(row.argmax()), None) for slot, row in enumerate(logits)]
        tokens = list(entry) if isinstance(entry, (list, tuple)) else [entry]
        if len(logits) != 1 and len(tokens) != len(logits):
            raise InputError(f"{where}: expected {len(logits)} tokens (one per mask), got {len(tokens)}")
        found: list[tuple[int, int, int | None]] = []
        for k, token in enumerate(tokens):
            slot = k if len(logits) > 1 else 0
            if isinstance(token, Contrast):
                pair = (token.target, token.rather_than)
                plus, minus = (token_id(self.traits.tokenizer, side, where) for side in pair)
                found.append((slot, plus, minus))
            else:
                found.append((slot, token_id(self.traits.tokenizer, token, where), None))
        return found

    def _token_name(self, token: int) -> str:
        tokenizer = self.traits.tokenizer
        return str(tokenizer.decode([token])).strip() or str(tokenizer.convert_ids_to_tokens(token))

    def _labels(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        """Labels of words, each read at the word's first token; by default every word's own label."""
        words = [find_elements(sample, Granularity.WORD) for sample in sources]
        slots = [[word.tokens[0] for word in found] for found in words]
        texts, logits = self._looked_at(scorer, sources, slots)
        explained = []
        for text, answer, entry, found in zip(texts, logits, entries, words, strict=True):
            where = text.where.replace("inputs", "targets")
            chosen = self._chosen_labels(entry, answer, where)
            targets = [
                Target(
                    f"{found[k].text.strip()}: {self.traits.names_of(label)}",
                    (i,),
                    (),
                    found[k].part,
                    found[k].start,
                    found[k].end,
                )
                for i, (k, label) in enumerate(chosen)
            ]
            slots_read = tuple(text.readout.slots[k] for k, _ in chosen)
            reads = tuple((i, label) for i, (_, label) in enumerate(chosen))
            explained.append(replace(text, readout=Readout(slots_read, reads, tuple(targets))))
        return explained

    def _chosen_labels(self, entry: Any, logits: Tensor, where: str) -> list[tuple[int, int]]:
        """`(word, label)` pairs."""
        best = logits.argmax(dim=1).tolist()
        if entry is None:
            return list(enumerate(best))
        pairs = entry if isinstance(entry, (list, tuple)) and not _is_pair_of_label(entry) else [entry]
        chosen = []
        for pair in pairs:
            word, label = pair if _is_pair_of_label(pair) else (pair, None)
            if isinstance(word, bool) or not isinstance(word, int) or not 0 <= word < len(best):
                raise InputError(
                    f"{where}: expected a word from 0 to {len(best) - 1}, or (word, label) pairs, got {pair!r:.60}"
                )
            index = (
                best[word] if label is None else class_targets(self.traits, label, logits.shape[1], where)[0].plus[0]
            )
            chosen.append((word, index))
        return chosen

    def _answers(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        """Start and end of the answer to a question, both places in the row of tokens."""
        texts, logits = self._looked_at(scorer, sources, [[0, 0] for _ in sources])
        explained = []
        for text, ends, entry in zip(texts, logits, entries, strict=True):
            where = text.where.replace("inputs", "targets")
            sample = text.sample
            part = len(sample.parts) - 1
            places = [i for i, token in enumerate(sample.tokens) if token.part == part and not token.fixed]
            start, end = _best_span(ends, places) if entry is None else _span_of(sample, part, places, entry, where)
            targets = []
            for k, (name, place) in enumerate((("start", start), ("end", end))):
                token = sample.tokens[place]
                shown = sample.parts[part][token.start : token.end].strip()
                targets.append(Target(f"{name}: {shown}", (k,), (), part, token.start, token.end))
            readout = Readout(text.readout.slots, ((0, start), (1, end)), tuple(targets))
            explained.append(replace(text, readout=readout))
        return explained


def _is_pair_of_label(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], (str, type(None)))


def _fixed_at(sample: Sample, places: Sequence[int]) -> Sample:
    """The same sample with these tokens never removed."""
    wanted = set(places)
    return replace(sample, tokens=tuple(replace(t, fixed=t.fixed or i in wanted) for i, t in enumerate(sample.tokens)))


def _whole_output(sample: Sample) -> Element:
    places = tuple(range(sample.output_start, len(sample.tokens)))
    return Element(sample.parts[-1], len(sample.parts) - 1, 0, len(sample.parts[-1]), places)


def _covering(sample: Sample, groups: Sequence[Element]) -> list[Element]:
    """The groups, and special tokens of the output (its end, say) as groups of their own."""
    covered = {place for group in groups for place in group.tokens}
    part = len(sample.parts) - 1
    missing = [place for place in range(sample.output_start, len(sample.tokens)) if place not in covered]
    alone = []
    for place in missing:
        token = sample.tokens[place]
        alone.append(Element(sample.parts[part][token.start : token.end], part, token.start, token.end, (place,)))
    return sorted([*groups, *alone], key=lambda group: group.tokens[0])


def _trimmed(output: Any, beginning: Sequence[int], pad: int | None, where: str) -> list[int]:
    """Ids without the prompt or start token that `generate` puts before them, and without padding after them."""
    try:
        values = output.tolist() if hasattr(output, "tolist") else list(output)
        values = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        ids = [int(i) for i in values]
    except (TypeError, ValueError):
        raise InputError(f"{where}: expected a text or token ids, got {output!r:.60}") from None
    if len(ids) > len(beginning) and ids[: len(beginning)] == list(beginning):
        ids = ids[len(beginning) :]
    while len(ids) > 1 and ids[-1] == pad and ids[-2] == pad:
        ids.pop()
    return ids


def _best_span(ends: Float[Tensor, "2 l"], places: Sequence[int]) -> tuple[int, int]:
    """The start and end of the highest sum, the end not before the start, both in the context."""
    index = torch.tensor(places)
    sums = (
        (ends[0, index, None] + ends[1, None, index])
        .triu()
        .masked_fill(torch.ones(len(places), len(places)).tril(-1).bool(), float("-inf"))
    )
    best = int(sums.argmax())
    return places[best // len(places)], places[best % len(places)]


def _span_of(sample: Sample, part: int, places: Sequence[int], entry: Any, where: str) -> tuple[int, int]:
    """The tokens that an answer, given as text or characters, begins and ends in."""
    context = sample.parts[part]
    if isinstance(entry, (list, tuple)) and len(entry) == 1 and isinstance(entry[0], (str, tuple)):
        entry = entry[0]
    if isinstance(entry, str):
        start = context.find(entry)
        if start < 0:
            raise InputError(f"{where}: expected an answer that stands in the context, got {entry!r:.60}")
        entry = (start, start + len(entry))
    if not (isinstance(entry, (list, tuple)) and len(entry) == 2 and all(isinstance(i, int) for i in entry)):
        raise InputError(f"{where}: expected an answer as text or as (start, end) characters, got {entry!r:.60}")
    inside = [i for i in places if sample.tokens[i].end > entry[0] and sample.tokens[i].start < entry[1]]
    if not inside:
        raise InputError(f"{where}: expected characters within the {len(context)} of the context, got {tuple(entry)}")
    return inside[0], inside[-1]
