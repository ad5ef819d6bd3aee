"""The named options of the library. Shape letters, everywhere the same:

`n` samples, `b` rows of a batch, `p` perturbations, `l` tokens, `g` elements, `t` targets, `r` reads of the model's
output, `d` width of the embeddings, `c` concepts.
"""

from enum import Enum


class Granularity(str, Enum):
    """What one element of an explanation is.

    Word and sentence borders are the text's (Unicode rules), never the tokenizer's. Tokens that are pieces of one
    character (bytes of an emoji, say) always go together. A token that holds letters of two words joins them to one
    element, because the two cannot be removed one by one.

    >>> Granularity("word") is Granularity.WORD
    True
    """

    ALL_TOKENS = "all_tokens"
    """Every token, special tokens included."""
    TOKEN = "token"
    """Every token of the text; special and chat-template tokens are fixed context."""
    WORD = "word"
    """Words; punctuation marks are elements of their own."""
    SENTENCE = "sentence"
    """Sentences; every line break ends one."""
    TEXT = "text"
    """Each text as a whole: premise and hypothesis, prompt and answer."""


class InferenceMode(str, Enum):
    """The space in which a model's output is explained.

    A target of several tokens (a word, a sentence, the whole answer) is scored by the sum of its logits, by the
    product of its probabilities (the probability of the word), or by the sum of its log-probabilities. Multi-label
    classifiers use the sigmoid in place of the softmax.
    """

    LOGITS = "logits"
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"


class Removal(str, Enum):
    """How a removed element looks to the model.

    `MASK`: its tokens become the tokenizer's mask token. `ATTENTION`: its tokens are hidden from attention and keep
    their positions; at the hidden place stands a neutral token, which matters only where the model's output is read
    at that very place. `DELETE`: its tokens are gone and the text is shorter.
    """

    MASK = "mask"
    ATTENTION = "attention"
    DELETE = "delete"


class Task(str, Enum):
    """What a model is for; read off the model's outputs, not off the name of its class."""

    CLASSIFICATION = "classification"
    CAUSAL_LM = "causal-lm"
    SEQ2SEQ_LM = "seq2seq-lm"
    MASKED_LM = "masked-lm"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    CONCEPTS = "concepts"
    """No task of a model's: what is explained are the codes of concepts, inside of any model."""

    @property
    def generates(self) -> bool:
        """Whether the targets are tokens that the model writes."""
        return self in (Task.CAUSAL_LM, Task.SEQ2SEQ_LM)
