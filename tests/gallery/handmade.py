"""A gallery made by hand: several shelves, some texts without some methods, a tour, pictures of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from interpreto.gallery.catalogue import Catalogue, Explanation, Instance, Shelf, Step, Walk
from interpreto.gallery.site import Site
from interpreto.visualizations import plot_attributions
from tests.visualizations.every_view import EVERY_VIEW
from tests.visualizations.handmade import make_classification, make_generation

LABELS = ["sadness", "joy", "love", "anger", "fear", "surprise"]
SENTENCES = [
    "I was thrilled to see the dog again after all these years",
    "I feel so abandoned and lonely today",
    "The spider on the wall made me scream",
    "Héllo Ünïcode café",
    "She whispered that she adored him",
    "what a waste of my precious time",
]
TEXTS = tuple(
    Instance(f"{SENTENCES[k % 6]}, {k + 1}", LABELS[k % 6], LABELS[(k * k) % 6]) for k in range(24)
)  # right where k is 0, 1, 3 or 4 modulo 6
PROMPTS = (Instance("Once upon a time there was a dog"), Instance("The little girl went"))
CLASSES = Shelf("classification", "emotion", "diaries", "attributions", "all classes")
PREDICTED = replace(CLASSES, form="predicted class")
OTHER = replace(CLASSES, data="letters")
GENERAL = replace(CLASSES, family="concepts", form="general")
TOKENS = Shelf("generation", "stories", "prompts", "attributions", "token by token")
LOCAL = replace(TOKENS, family="concepts", form="local")
METHODS = ("KernelShap", "Lime", "Occlusion")
TOUR = Walk(
    "Why are joyful sentences called sad?",
    (
        Step("The words look plausible.\nStill the model is often wrong."),
        Step("Here the data says joy.", CLASSES, ("KernelShap", "Lime"), 1),
        Step("And these are its concepts.", GENERAL, ("concepts",)),
    ),
)
CATALOGUE = Catalogue(
    "Why did it say that?",
    "Pick a model, a data set and a method, and look. Every picture comes with the program that makes it.",
    {
        ("emotion", "diaries"): TEXTS,
        ("emotion", "letters"): (Instance("Dear John", "love", "sadness"),),
        ("stories", "prompts"): PROMPTS,
    },
    (TOUR,),
)


def snippet(method: str, text: int | None) -> str:
    return f"""from interpreto import {method}
from interpreto.demo import load

model, tokenizer = load("emotion")  # text {text}
explainer = {method}(model, tokenizer, seed=0)
"""


def classification(shelf: Shelf, method: str, text: int, sentence: str) -> Explanation:
    names = LABELS if shelf.form == "all classes" else LABELS[text % 6 : text % 6 + 1]
    result = make_classification(sentence, names=names, seed=100 * len(method) + text)
    return Explanation(shelf, method, plot_attributions(replace(result, method=method)), snippet(method, text), text)


def write(out: Path, catalogue: Catalogue = CATALOGUE) -> Path:
    """The whole gallery: its page."""
    with Site(out, catalogue) as site:
        for shelf in (CLASSES, PREDICTED):
            for method in METHODS:
                for k, text in enumerate(TEXTS):
                    if method != "Occlusion" or k % 2 == 0:  # too dear for every text
                        site.add(classification(shelf, method, k, text.text))
        site.add(classification(OTHER, "Lime", 0, "Dear John"))
        for method in ("Occlusion", "Saliency"):
            for k, prompt in enumerate(PROMPTS):
                result = replace(make_generation(prompt.text, " and it was happy."), method=method)
                site.add(Explanation(TOKENS, method, plot_attributions(result), snippet(method, k), k))
        for name, make in EVERY_VIEW.items():
            if name in ("classification", "generation", "sweep"):  # the last is no plot of figures
                continue
            local = name == "concepts-local"
            shelf = LOCAL if local else GENERAL
            site.add(Explanation(shelf, name, make(None), snippet("plot", None), 0 if local else None))
    return out / "index.html"
