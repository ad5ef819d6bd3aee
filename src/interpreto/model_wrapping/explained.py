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
from interpreto.model_wrapping.generation import ends, generate, pads, room_to_leave
from interpreto.model_wrapping.readout import Readout, Target
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.targets import (
    Contrast,
    class_targets,
    output_ids,
    output_readout,
    plain,
    split_targets,
    token_id,
    whole,
)
from interpreto.model_wrapping.traits import Traits
from interpreto.text import (
    Element,
    Input,
    Sample,
    Token,
    encode_output,
    encode_source,
    find_elements,
    split_inputs,
    text_ids,
)
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

    def sources(self, inputs: Any, first: int = 0) -> list[Sample]:
        """The user's inputs as rows of tokens, without outputs.

        Args:
            inputs: As users give them.
            first: The number of the first of them, for errors.

        Raises:
            InputError: Anything that cannot be explained; see `encode_source`.
        """
        return [self._source(item, f"inputs[{k}]") for k, item in enumerate(split_inputs(inputs), start=first)]

    def sources_for(self, inputs: Any, targets: Any) -> list[Sample]:
        """The same; texts that are cut leave room for what a causal model writes after them.

        Args:
            inputs: As users give them.
            targets: As users give them: outputs, or none where the model is to write.

        Raises:
            InputError: Anything that cannot be explained.
        """
        items = split_inputs(inputs)
        if not self.truncation or not self.traits.base.can_generate() or self.traits.is_encoder_decoder:
            return self.sources(items)
        entries = split_targets(targets, len(items))
        return [
            self._source(item, f"inputs[{k}]", self._room_for(item, entry, k))
            for k, (item, entry) in enumerate(zip(items, entries, strict=True))
        ]

    def _source(self, item: Input, where: str, room: int = 0) -> Sample:
        sample = encode_source(
            self.traits.tokenizer,
            item,
            where=where,
            limit=self.traits.limit,
            truncation=self.truncation,
            room=room,
            replies=bool(self.traits.base.can_generate()),
        )
        self._check_ids(sample.ids, where)
        return sample

    def _room_for(self, item: Input, entry: Any, k: int) -> int:
        """How many tokens the output of a causal model takes, at most."""
        tokenizer, where = self.traits.tokenizer, f"targets[{k}]"
        output = _one_output(entry)
        output = output.target if isinstance(output, Contrast) else output
        if output is None:
            return room_to_leave(self.generation)
        if isinstance(output, str):  # after a prompt, or at the beginning of a line
            return max(len(text_ids(tokenizer, before + output, where=where)) for before in ("", "\n"))
        whole = encode_source(tokenizer, item, where=f"inputs[{k}]")
        return len(self._output(whole, output, True, where)[1])

    def _check_ids(self, ids: Sequence[int], where: str) -> None:
        known = getattr(self.traits.embeddings[0], "num_embeddings", None)
        if known is not None and max(ids) >= known:
            raise InputError(
                f"{where}: expected ids from 0 to {known - 1}, the model's vocabulary, got {max(ids)}; "
                "pass ids of the tokenizer that the model was trained with"
            )

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

    def elements(self, sample: Sample) -> tuple[Element, ...]:
        """What can be kept or removed of a text."""
        tokenizer = self.traits.tokenizer
        names = {i: str(tokenizer.convert_ids_to_tokens(i)) for i in tokenizer.all_special_ids}
        return find_elements(sample, self.granularity, names)

    def _looked_at(
        self, scorer: Scorer, sources: Sequence[Sample], slots: Sequence[Sequence[int]]
    ) -> tuple[list[ExplainedText], list[Float[Tensor, "_ _"]]]:
        """Texts without targets, and the model's untouched logits at their slots."""
        texts = self._without_targets(sources, slots)
        return texts, scorer.look(texts)

    def _without_targets(self, sources: Sequence[Sample], slots: Sequence[Sequence[int]]) -> list[ExplainedText]:
        return [
            ExplainedText(f"inputs[{k}]", sample, self.elements(sample), Readout(tuple(places), (), ()))
            for k, (sample, places) in enumerate(zip(sources, slots, strict=True))
        ]

    # One method a task

    def _classification(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        """Class scores. The model is asked for its own class only where none is given."""
        slots = [[self.traits.pooled_slot(sample)] for sample in sources]
        texts = self._without_targets(sources, slots)
        asked = [k for k, entry in enumerate(entries) if entry is None]
        answers = dict(zip(asked, scorer.look([texts[k] for k in asked]), strict=True))
        n_classes = self.traits.config.num_labels
        found = []
        for k, (text, entry) in enumerate(zip(texts, entries, strict=True)):
            chosen = int(answers[k][0].argmax()) if entry is None else entry
            targets = class_targets(self.traits, chosen, n_classes, text.where.replace("inputs", "targets"))
            reads = tuple((0, column) for column in range(n_classes))
            explained = replace(text, readout=Readout(text.readout.slots, reads, tuple(targets)))
            found.append(_knowing(explained, scorer, answers[k]) if k in answers else explained)
        return found

    def _generation(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        texts = []
        for k, (source, entry) in enumerate(zip(sources, entries, strict=True)):
            sample, foil = self._with_output(scorer.task, source, entry, f"targets[{k}]")
            # What no target sees, the last output token first of all, is no element.
            everything = self.elements(sample)
            readout = output_readout(sample, self._output_groups(sample), foil)
            last = max(target.first or 0 for target in readout.targets)
            elements = tuple(element for element in everything if element.tokens[0] < last)
            texts.append(ExplainedText(f"inputs[{k}]", sample, elements, readout))
        return texts

    def _output_groups(self, sample: Sample) -> list[Element]:
        if self.output_granularity is Granularity.TEXT:
            return [_whole_output(sample)]
        found = find_elements(sample, self.output_granularity)
        return _covering(sample, [group for group in found if group.tokens[0] >= sample.output_start])

    def _with_output(
        self, task: Task, source: Sample, entry: Any, where: str
    ) -> tuple[Sample, tuple[str, tuple[Token, ...]] | None]:
        """Source and output in one row, and text and tokens of what a contrast takes away."""
        entry = _one_output(entry)
        joined = task is Task.CAUSAL_LM
        output = entry.target if isinstance(entry, Contrast) else entry
        if output is None:
            output = generate(
                self.traits,
                source.ids,
                joined=joined,
                options=self.generation,
                seed=self.seed,
                where=where.replace("targets", "inputs"),
            )
        text, tokens = self._output(source, output, joined, where)
        foil = None
        if isinstance(entry, Contrast):
            foil = self._output(source, entry.rather_than, joined, where)
            if len(foil[1]) != len(tokens):
                names = self.traits.tokenizer.convert_ids_to_tokens
                this, that = (names([token.id for token in found]) for found in (tokens, foil[1]))
                raise InputError(
                    f"{where}: expected a contrast of as many tokens as the target, got {len(this)} ({this!r:.200}) "
                    f"rather than {len(that)} ({that!r:.200}); word both alike, or pass rows of ids of one length, cut "
                    "where they begin to differ"
                )
        prefix = [] if joined else self.traits.decoder_prefix[: None if isinstance(output, str) else 1]
        sample = source.with_output(text, tokens, [Token(i, 0, 0, 0, fixed=True) for i in prefix])
        length = len(sample.tokens) - (0 if joined else source.source_length)
        if self.traits.limit is not None and length > self.traits.limit:
            raise InputError(
                f"{where}: expected at most the {self.traits.limit} tokens that the model reads, got "
                f"{'prompt and output' if joined else 'an output'} of {length}; shorten them"
            )
        return sample, foil

    def _output(self, source: Sample, output: Any, joined: bool, where: str) -> tuple[str, tuple[Token, ...]]:
        tokenizer = self.traits.tokenizer
        if not isinstance(output, str):
            output = output_ids(
                output,
                beginning=source.ids if joined else self.traits.decoder_prefix[:1],
                pads=pads(self.traits),
                ends=[i for i in (tokenizer.eos_token_id, *ends(self.traits)) if i is not None],
                where=where,
            )
            self._check_ids(output, where)
        return encode_output(tokenizer, source, output, where=where, joined=joined)

    def _masked(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        mask = self.traits.tokenizer.mask_token_id
        slots = [[i for i, token in enumerate(sample.tokens) if token.id == mask] for sample in sources]
        for k, places in enumerate(slots):
            if mask is None:
                raise InputError("tokenizer: a masked language model is explained at mask tokens, this one has none")
            if not places:
                raise InputError(
                    f"inputs[{k}]: expected a text with at least one {self.traits.tokenizer.mask_token}, where masked "
                    f"language models are explained, got {sources[k].parts[0]!r:.60}"
                )
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
            readout = Readout(text.readout.slots, tuple(reads), tuple(targets))
            found.append(_knowing(replace(text, readout=readout), scorer, answer))
        return found

    def _mask_fillings(self, entry: Any, logits: Tensor, where: str) -> list[tuple[int, int, int | None]]:
        """`(which mask, token, token of a contrast)`: several tokens are one a mask, or several for the only mask."""
        if entry is None:
            return [(slot, int(row.argmax()), None) for slot, row in enumerate(logits)]
        tokens = list(entry) if isinstance(entry, (list, tuple)) else [entry]
        if len(logits) != 1 and len(tokens) != len(logits):
            raise InputError(f"{where}: expected {len(logits)} tokens (one per mask), got {len(tokens)}: {entry!r:.60}")
        if not tokens:
            raise InputError(f"{where}: expected at least one token, got none; pass None for the model's own")
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
            targets, reads = [], list[tuple[int, int]]()
            for place, label in chosen:
                word, first = found[place], len(reads)
                reads += [(place, column) for column in (*label.plus, *label.minus)]
                name = f"{word.text.strip()}: {label.name}"
                minus = tuple(first + 1 + k for k in range(len(label.minus)))
                targets.append(Target(name, (first,), minus, word.part, word.start, word.end))
            readout = Readout(text.readout.slots, tuple(reads), tuple(targets))
            explained.append(_knowing(replace(text, readout=readout), scorer, answer))
        return explained

    def _chosen_labels(self, entry: Any, logits: Tensor, where: str) -> list[tuple[int, Target]]:
        """`(word, target)` pairs; a target points at labels."""
        best = [int(label) for label in logits.argmax(dim=1)]
        if entry is None:
            entry = list(range(len(best)))
        chosen = []
        for pair in entry if isinstance(entry, list) else [entry]:
            pair = plain(pair)
            word, label = pair if isinstance(pair, (tuple, list)) and len(pair) == 2 else (pair, None)
            place = whole(word)
            if place is None or not 0 <= place < len(best):
                raise InputError(
                    f"{where}: expected words from 0 to {len(best) - 1}, or (word, label) pairs, got {pair!r:.60}"
                )
            if isinstance(label, (list, tuple)):
                raise InputError(f"{where}: expected one label a pair, got {label!r:.60}")
            wanted = best[place] if label is None else label
            chosen += [(place, target) for target in class_targets(self.traits, wanted, logits.shape[1], where)]
        return chosen

    def _answers(self, scorer: Scorer, sources: Sequence[Sample], entries: Sequence[Any]) -> list[ExplainedText]:
        """Start and end of the answer to a question, both places in the row of tokens."""
        texts, logits = self._looked_at(scorer, sources, [[0, 0] for _ in sources])
        explained = []
        for text, answer, entry in zip(texts, logits, entries, strict=True):
            where = text.where.replace("inputs", "targets")
            sample = text.sample
            part = len(sample.parts) - 1
            places = [i for i, token in enumerate(sample.tokens) if token.part == part and not token.fixed]
            start, end = _best_span(answer, places) if entry is None else _span_of(sample, part, places, entry, where)
            targets = []
            for k, (name, place) in enumerate((("start", start), ("end", end))):
                token = sample.tokens[place]
                shown = sample.parts[part][token.start : token.end].strip()
                targets.append(Target(f"{name}: {shown}", (k,), (), part, token.start, token.end))
            readout = Readout(text.readout.slots, ((0, start), (1, end)), tuple(targets))
            explained.append(_knowing(replace(text, readout=readout), scorer, answer))
        return explained


def _knowing(text: ExplainedText, scorer: Scorer, logits: Float[Tensor, "m c"]) -> ExplainedText:
    """The same text, with what is read of it untouched, from the logits at its slots."""
    slots, columns = text.reads
    return replace(text, untouched_read=scorer.to_read(logits)[slots, columns])


def _one_output(entry: Any) -> Any:
    """An output that is the only one of a list."""
    alone = isinstance(entry, (list, tuple)) and len(entry) == 1 and isinstance(entry[0], (str, Contrast))
    return entry[0] if alone else entry


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
    entry = plain(entry)
    if isinstance(entry, (list, tuple)) and len(entry) == 1 and isinstance(entry[0], (str, tuple, list)):
        entry = entry[0]
    if isinstance(entry, str):
        at = context.find(entry)
        if at < 0 or not entry:
            raise InputError(
                f"{where}: expected an answer that stands in the context, letter by letter, got {entry!r:.60}"
            )
        entry = (at, at + len(entry))
    start, end = [whole(i) for i in entry] if isinstance(entry, (list, tuple)) and len(entry) == 2 else (None, None)
    if start is None or end is None:
        raise InputError(f"{where}: expected an answer as text or as (start, end) characters, got {entry!r:.60}")
    inside = [i for i in places if sample.tokens[i].end > start and sample.tokens[i].start < end]
    if not inside or not 0 <= start < end <= len(context):
        raise InputError(
            f"{where}: expected (start, end) characters within the {len(context)} of the context, got ({start}, {end})"
        )
    return inside[0], inside[-1]
