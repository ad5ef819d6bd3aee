"""Concepts by the texts in which they are strongest."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, final

from interpreto.concepts.interpretations.base import ConceptInterpreter
from interpreto.concepts.interpretations.result import ConceptReading, Interpretations
from interpreto.concepts.interpretations.vocabulary import Vocabulary
from interpreto.errors import InputError


@final
@dataclass(frozen=True, eq=False)
class TopKInputs(ConceptInterpreter):
    """The `k` distinct tokens, words, sentences or texts with the largest code of a concept (MaxAct).

    A text that comes several times counts once, with its largest code; only codes above 0 count. One pass over the
    texts, in memory that grows with concepts and examples but not with texts. A bare token is a poor explanation in
    deep layers: set `k_context`, or take words or sentences.

    Args:
        use_vocab: Whether to read every token of the vocabulary alone, between the special tokens that the tokenizer
            puts around a text (`[CLS]`, `[SEP]`, `<s>`, `</s>`), in place of a data set. Special tokens themselves are
            left out; pieces of words are shown without their marks. The token's own place is read, or the class
            token's for `CLS_TOKEN`. Cheap and complete, but beyond the first layers no model was trained on this.

    Reference: Bills et al. (2023), Language models can explain neurons in language models; for the vocabulary Gur-Arieh
        et al. (2025), arXiv:2501.08319.
    """

    _: KW_ONLY
    use_vocab: bool = False

    def interpret(
        self, concepts_indices: Any = "all", inputs: Any = None, activations: Any = None, *, targets: Any = None
    ) -> Interpretations:
        """The strongest texts of concepts; of the vocabulary, no inputs are taken."""
        concepts = self.concepts(concepts_indices)
        size = self.block_size
        if self.use_vocab:
            for name, value in {"inputs": inputs, "activations": activations, "targets": targets}.items():
                if value is not None:
                    raise InputError(
                        f"{name}: expected none with use_vocab=True, which reads the vocabulary; leave out"
                    )
            vocabulary = Vocabulary(self.concept_explainer, self.split, self._granularity, self.batch_size)
            blocks, texts = vocabulary.read(size), vocabulary.texts
        else:
            blocks, texts = self.of_inputs(inputs, activations, targets, size)
        chosen = self.chosen(concepts, blocks, texts, k=self.k_examples)
        examples = self.examples(len(concepts), chosen, texts)
        readings = tuple(ConceptReading(c, None, own) for c, own in zip(concepts, examples, strict=True))
        return Interpretations(readings, type(self).__name__, {**self.settings(), "use_vocab": self.use_vocab})
