"""Can a classifier's hidden states tell he from she, and does its decision need that?

1. Read the gender of a person from every block of the model, with simple probes.
2. Erase it from one block, by the smallest change after which no linear classifier can tell.
3. Look again: what a probe reads on texts that nothing was learned from, and what the model decides.

Run it: python examples/erase_gender.py
"""

from itertools import product

import torch

from interpreto import ModelWithSplitPoints
from interpreto.concepts.supervised import LeaceEraser, Probe, sweep
from interpreto.demo import load
from interpreto.visualizations.sweeps import plot_sweep

BLOCK = 1
PLACES = ["Oslo", "Lima", "Quebec", "Perth", "Kyoto", "Dublin", "Naples", "Tampa"]
LIVES = [
    "is a painter from {place} whose work {pronoun} showed in 1999. {Own} album of drawings was sold.",
    "is a singer and songwriter from {place}. {Pronoun} released {own} first record in 2004.",
    "is a former football player from {place}. {Pronoun} played for the national team, and {own} club won the cup.",
    "is a swimmer who was born in {place}. {Pronoun} competed at the 1996 Olympics in {own} best event.",
    "is a politician from {place}. {Pronoun} was elected to the senate in 2002 and kept {own} seat.",
    "is a lawyer who served as mayor of {place}. {Pronoun} left {own} party in 1987.",
]
WORDS = {"he": ("he", "his"), "she": ("she", "her")}


def some_texts() -> tuple[list[str], list[str]]:
    """Texts and their pronouns; every text is there twice, once for each."""
    texts, genders = [], []
    for place, life, (gender, (pronoun, own)) in product(PLACES, LIVES, WORDS.items()):
        words = {"pronoun": pronoun, "own": own, "Pronoun": pronoun.capitalize(), "Own": own.capitalize()}
        texts.append("Sam Morgan " + life.format(place=place, **words))
        genders.append(gender)
    return texts, genders


def main() -> None:
    model, tokenizer = load("topic")
    texts, genders = some_texts()
    split = ModelWithSplitPoints(model, split_points=BLOCK, tokenizer=tokenizer)

    # 1. Where it can be read
    found = sweep(split, "all", texts, genders, kind=["logistic", "centroid"], activation_granularity="sample")
    print(found)
    plot_sweep(found).save("erase_gender.html")

    # 2. Erase it; the last quarter of the texts is only for looking again
    rows = split.get_activations(texts, "sample")[str(BLOCK)]
    border = 3 * len(texts) // 4
    eraser = LeaceEraser.fit(rows[:border], genders[:border])
    erased = eraser.erase(rows)

    # 3. What is left
    for name, x in (("before", rows), ("after", erased)):
        probe = Probe(n_controls=0).fit(x[:border], genders[:border]).model
        right = [a == b for a, b in zip(probe.predict(x[border:]), genders[border:], strict=True)]
        print(f"Accuracy of a probe for the pronoun {name} erasure, on new texts: {sum(right) / len(right):.2f}")
    every_class = list(range(model.config.num_labels))
    plain = split.get_activations(texts[border:], "cls_token", include_predicted_classes=True)["predictions"]
    scores = eraser.erased_scores(split, texts[border:], every_class, activation_granularity="sample")
    same = (torch.stack(scores).argmax(dim=1) == plain).double().mean()
    print(f"Decisions that stay the same without it: {float(same):.0%}")
    print("Written: erase_gender.html")


if __name__ == "__main__":
    main()
