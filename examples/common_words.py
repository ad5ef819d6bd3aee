"""Write your own language model interface: here one without a language model, which labels concepts by common words.

`LLMLabels` asks any `LLMInterface`: `OpenAILLM` for an API or a local server that speaks like it, `HuggingFaceLLM` for
a model on this machine, or one of your own with `identity` and `ask`. This one needs no key and no network: its labels
are the words that are strongly marked in a concept's examples and weakly in those of the other concepts.

Run it: python examples/common_words.py
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from interpreto.model_wrapping.llm_interface import Answer, Chat, Failure, LLMInterface


@dataclass(eq=False)
class CommonWords(LLMInterface):
    """Labels by counting."""

    n_words: int = 3

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": "common words", "n_words": self.n_words}

    def ask(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Answer | Failure]]:
        weights = [weights_of_words(chat) for chat in chats]
        everywhere = sum(weights, Counter())
        for number, own in enumerate(weights):
            best = sorted(own, key=lambda word: (-(own[word] ** 2) / everywhere[word], word))
            yield number, Answer(", ".join(best[: self.n_words]) or "no words")


def weights_of_words(chat: Chat) -> Counter[str]:
    """How strongly each word is marked in the examples; where nothing is marked, in how many examples it stands."""
    weights: Counter[str] = Counter()
    for line in chat[-1]["content"].splitlines():
        shown = json.loads(line)
        for text, strength in shown.get("parts", []):
            if strength >= 7:
                weights[text.lower().strip()] += strength
        if "parts" not in shown:
            weights.update({word for word in re.findall(r"[^\W\d_]+", shown["text"].lower()) if len(word) > 3})
    return weights


def marks(text: str) -> list[list[object]]:
    return [[part, 10] for part in re.findall("<<(.*?)>>", text)]


def main() -> None:
    examples = ["the <<dog>> ran", "a big <<dog>> and a <<cat>>", "my <<cat>> sat"]
    asked = "\n".join(json.dumps({"activation": 10, "text": text, "parts": marks(text)}) for text in examples)
    (answer,) = CommonWords().generate([asked])
    print("Shown:", *examples, sep="\n  ")
    print("Label:", answer.text if isinstance(answer, Answer) else answer.reason)


if __name__ == "__main__":
    main()
