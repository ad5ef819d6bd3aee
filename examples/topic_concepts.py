"""Why does a classifier say "Album"? Concepts of each class, with labels and what they weigh, in one page.

For each class that the model predicts:
1. Read the activations of the token that its head reads, of the texts of that class.
2. Learn the concepts in them.
3. Weigh them: what does each add to the score of the class?
4. Label the strongest ones.

With a key in OPENAI_API_KEY a language model writes the labels (its package: pip install 'interpreto[llm]'); without
one, the most common words are the label.

Run it: python examples/topic_concepts.py [texts.txt]
"""

import os
import sys
from itertools import product
from pathlib import Path

from common_words import CommonWords

from interpreto import ModelWithSplitPoints, plot_concepts
from interpreto.concepts import LLMLabels, SemiNMFConcepts
from interpreto.demo import load
from interpreto.model_wrapping.llm_interface import OpenAILLM

NAMES = ["Aurora", "Blackwood", "Corsica", "Delgado", "Elmstone", "Farrow"]
FORMS = [
    "{name} is the {nth} studio album by the {kind} band {other}, released in {year}.",
    "{name} is a live album of {kind} music, recorded by the singer {other} in {year}.",
    "{name} is a {year} drama film directed by {other}, about a {kind} singer.",
    "{name} is the {nth} comedy film of the director {other}; it was shot in {year}.",
    "{name} is a village in the district of {other}. At the {year} census its population was 81, in 20 families.",
    "{name} is the {nth} largest village of the {other} valley in the north of the country, founded in {year}.",
    "{name} is a species of beetle in the family {other}. It was described in {year}.",
    "{name} is a genus of snails, the {nth} of the family {other}, found in the sea since {year}.",
]
KINDS, NTHS, YEARS = ["rock", "jazz"], ["second", "third"], ["1974", "1999"]


def some_texts() -> list[str]:
    pairs = [(name, other) for name, other in product(NAMES, NAMES) if name < other]
    return [
        form.format(name=name, other=other, kind=KINDS[k % 2], nth=NTHS[k // 2 % 2], year=YEARS[k // 4 % 2])
        for form in FORMS
        for k, (name, other) in enumerate(pairs)
    ]


def main() -> None:
    model, tokenizer = load("topic")
    texts = Path(sys.argv[1]).read_text().splitlines() if len(sys.argv) > 1 else some_texts()
    split = ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer)
    granularity = split.activation_granularities.CLS_TOKEN
    key = os.getenv("OPENAI_API_KEY")
    namer = OpenAILLM(key) if key else CommonWords()
    activations = split.get_activations(texts, granularity, include_predicted_classes=True)

    all_readings, all_importances = {}, {}
    for target, class_name in model.config.id2label.items():
        # 1. The texts of this class
        indices = (activations["predictions"] == target).nonzero(as_tuple=True)[0]
        if len(indices) < 20:
            continue
        own_texts = [texts[i] for i in indices]
        own_activations = {name: rows[indices] for name, rows in activations.items()}

        # 2. Their concepts
        concepts = SemiNMFConcepts(split, nb_concepts=5)
        concepts.fit(own_activations)

        # 3. What they weigh for the class
        importance = concepts.importance(own_texts, [target], granularity)

        # 4. Their labels, the strongest first
        labels = LLMLabels(concepts, activation_granularity=granularity, llm_interface=namer, k_examples=8)
        readings = labels.interpret(importance.top(k=5), own_texts, own_activations)
        all_readings[class_name], all_importances[class_name] = readings, importance

        print(f"Class: {class_name}")
        shares = importance.overall(normalized=True)
        for concept, reading in readings.items():
            print(f"  importance: {shares[concept]:.3f}  {reading.name}")

    plot_concepts(all_readings, all_importances).save("topic_concepts.html")
    print("Written: topic_concepts.html")


if __name__ == "__main__":
    main()
