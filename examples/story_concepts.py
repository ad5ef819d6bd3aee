"""Which concepts does a language model of children's stories think in? Learn them, and name them.

1. Split the model at a block, and read its activations on stories: its own, or a file with one text a line.
2. Learn concepts: directions in these activations that are rarely used together.
3. Label each concept by the words in which it is strongest.

With a key in OPENAI_API_KEY a language model writes the labels (its package: pip install 'interpreto[llm]'); without
one, the most common words are the label.

Run it: python examples/story_concepts.py [texts.txt]
"""

import os
import sys
from pathlib import Path

import torch
from common_words import CommonWords

from interpreto import ModelWithSplitPoints
from interpreto.concepts import LLMLabels, SemiNMFConcepts
from interpreto.demo import load
from interpreto.model_wrapping.llm_interface import OpenAILLM

OPENINGS = ["Once upon a time", "One day, a", "Tim and his dog", "Lily wanted to", "The big bear", "It was raining and"]


def written_by(model, tokenizer, stories_an_opening: int = 10) -> list[str]:
    """Stories that the model makes up."""
    stories = []
    torch.manual_seed(0)
    for opening in OPENINGS:
        ids = tokenizer(opening, return_tensors="pt")["input_ids"]
        options = {"do_sample": True, "max_new_tokens": 60, "num_return_sequences": stories_an_opening}
        written = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **options)
        stories += tokenizer.batch_decode(written, skip_special_tokens=True)
    return stories


def main() -> None:
    model, tokenizer = load("stories")
    texts = Path(sys.argv[1]).read_text().splitlines() if len(sys.argv) > 1 else written_by(model, tokenizer)

    # 1. Split the model, and read its activations
    split = ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer)
    granularity = split.activation_granularities.WORD
    activations = split.get_activations(texts, granularity)

    # 2. Learn concepts
    concepts = SemiNMFConcepts(split, nb_concepts=20)
    print(concepts.fit(activations))

    # 3. Label them
    key = os.getenv("OPENAI_API_KEY")
    labels = LLMLabels(
        concepts,
        activation_granularity=granularity,
        llm_interface=OpenAILLM(key) if key else CommonWords(),
    )
    readings = labels.interpret("all", texts, activations)
    for reading in readings.values():
        shown = " | ".join(example.text for example in reading.examples[:6])
        print(f"{reading.concept:3}  {reading.name:40}  {shown}")


if __name__ == "__main__":
    main()
