"""Every token of a vocabulary, read by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations.rows import Block, blocks, extraction_at
from interpreto.concepts.interpretations.texts import Texts, token_name
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints, TensorRows
from interpreto.text import Sample, Token, encode_source

_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens of a vocabulary, each alone in its row, between the special tokens that the tokenizer puts around it.

    Special tokens themselves are left out: they stand for no text.

    Args:
        explainer: The concepts.
        split: The split model.
        granularity: `CLS_TOKEN` reads the token that stands for the text, everything else the token itself.
        batch_size: Rows a forward pass.
    """

    explainer: ConceptExplainer
    split: ModelWithSplitPoints
    granularity: ActivationGranularity
    batch_size: int | None

    @cached_property
    def ids(self) -> list[int]:
        """The tokens, by id."""
        tokenizer, traits = self.split.tokenizer, self.split.traits
        added = (i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
        special = {*tokenizer.all_special_ids, *added}
        known = int(getattr(traits.embeddings[0], "num_embeddings", len(tokenizer)))
        return sorted(i for i in tokenizer.get_vocab().values() if i not in special and i < known)

    @property
    def texts(self) -> Texts:
        """What they look like in the middle of a text: `"the"`, whatever the vocabulary calls it."""
        own = [token.id for token in self._probe.tokens if not token.fixed][:1]
        tokenizer, ids = self.split.tokenizer, self.ids
        return Texts(lambda number: (token_name(tokenizer, ids[number], own),), tokenizer, whole=True, numbered=False)

    def read(self, size: int) -> Iterator[Block]:
        """Run the model on every token, and give the rows in blocks of about `size`."""
        of_class = self.granularity is ActivationGranularity.CLS_TOKEN
        granularity = ActivationGranularity.CLS_TOKEN if of_class else ActivationGranularity.TOKEN
        extraction = extraction_at(self.explainer, self.split, granularity, Aggregation.MEAN, self.batch_size)
        if self.explainer.point.in_decoder:
            raise InputError(
                "use_vocab: expected a split point that reads the vocabulary's tokens, got one of the rows that an "
                "encoder-decoder writes; take one in the encoder, or inputs and targets"
            )
        for first in range(0, len(self.ids), _AT_ONCE):
            samples = [self._row(token) for token in self.ids[first : first + _AT_ONCE]]
            found = extraction.read(samples, first)
            point = self.explainer.split_point_name()
            yield from blocks(TensorRows(found[point]), found.sources[point].table.numpy(), size)

    @cached_property
    def _probe(self) -> Sample:
        return encode_source(self.split.tokenizer, "a", where="vocabulary")

    def _row(self, token: int) -> Sample:
        probe = self._probe.tokens
        own = [i for i, found in enumerate(probe) if not found.fixed]
        alone = Token(token, 0, 0, 1, type_id=probe[own[0]].type_id)
        row = (*probe[: own[0]], alone, *probe[own[-1] + 1 :])
        sample = Sample(("a",), row, len(row), len(row), uses_type_ids=self._probe.uses_type_ids)
        traits = self.split.traits
        if traits.is_encoder_decoder and traits.base.can_generate():
            return sample.with_output("", (), [Token(i, 0, 0, 0, fixed=True) for i in traits.decoder_prefix])
        return sample
