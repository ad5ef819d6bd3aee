"""A picture of every kind, made by hand: as usual, or with one text in every place where a text can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from interpreto.concepts.cards.result import Band, ClassWeight, ConceptCard, ConceptCards, Histogram, Neighbour
from interpreto.concepts.interpretations.output_result import TokenList, TokenWeight
from interpreto.concepts.interpretations.result import Example, Mark
from interpreto.concepts.label_metrics.statistics import Estimate
from interpreto.concepts.supervised import ProbeSweep
from interpreto.flows import ConceptFlow
from interpreto.visualizations import (
    Plot,
    plot_attributions,
    plot_cards,
    plot_comparison,
    plot_concepts,
    plot_curves,
    plot_flows,
    plot_lens,
    plot_sweep,
)
from tests.concepts.supervised.test_sweep_plot import some_sweep
from tests.visualizations.handmade import EMOTIONS, make_classification, make_generation
from tests.visualizations.test_lenses import NAMES, make_lens
from tests.visualizations.test_plot_concepts import (
    CLASSES,
    LABELS,
    make_importance,
    make_interpretations,
    make_local,
)
from tests.visualizations.test_plot_curves import make_deletion
from tests.visualizations.test_plot_flows import NAMES as CONCEPTS
from tests.visualizations.test_plot_flows import make_flow

Build = Callable[[str | None], Any]
SENTENCE = "We are thrilled to present you Interpreto!"


def classification(text: str | None = None) -> Plot:
    if text is None:
        return plot_attributions(make_classification())
    result = make_classification(f"before {text} after", names=[text, "b", text + "c"])
    return plot_attributions(replace(result, method=text, settings={text: text}))


def generation(text: str | None = None) -> Plot:
    if text is None:
        return plot_attributions(make_generation())
    return plot_attributions(replace(make_generation(text, f" so {text}"), method=text, settings={text: text}))


def comparison(text: str | None = None) -> Plot:
    names = EMOTIONS if text is None else [text, "b"]
    first = make_classification(SENTENCE if text is None else text, names=names)
    second = make_classification(first.sample.parts[0], names=names, seed=3)
    if text is not None:
        first = replace(first, settings={text: text})
    return plot_comparison({"Lime" if text is None else text: first, "Saliency": second})


def curves(text: str | None = None) -> Plot:
    names = ["Lime", "Saliency", "Occlusion"] if text is None else [text, "Saliency", "Occlusion"]
    return plot_curves({name: make_deletion(3.0 - k) for k, name in enumerate(names)})


def concepts(text: str | None = None) -> Plot:
    """Ranked for each class, over all."""
    if text is None:
        return plot_concepts(make_interpretations(), make_importance())
    readings = replace(make_interpretations([text, None, text, None], word=text[:100]), settings={text: text})
    return plot_concepts(readings, make_importance([text, "b"]))


def concepts_by_class(text: str | None = None) -> Plot:
    """Each class with concepts of its own."""
    names = CLASSES if text is None else (text, "b")
    readings = make_interpretations(LABELS if text is None else [text, None, text, None])
    return plot_concepts(dict.fromkeys(names, readings), {name: make_importance((name,)) for name in names})


def concepts_listed(text: str | None = None) -> Plot:
    return plot_concepts(make_interpretations(LABELS if text is None else [None, text, None, text], word=text or "won"))


def concepts_local(text: str | None = None) -> Plot:
    if text is None:
        return plot_concepts(make_interpretations(), None, make_local())
    local = replace(make_local(f"before {text} after"), target_names=(text, "b"))
    return plot_concepts(make_interpretations([text, None, text, None]), None, local)


def cards(text: str | None = None) -> Plot:
    word = "cat" if text is None else text
    example = Example(
        word, 2.5, "The ", " sat", input=0, start=4, end=4 + len(word), marks=(Mark(4, 4 + len(word), 2.5),)
    )
    made = [
        ConceptCard(
            number,
            label if text is None else text,
            active=20,
            density=0.02,
            largest=4.5,
            mean=1.5,
            histogram=Histogram(0.0, 2.0, (18, 1, 1)),
            strongest=(example, Example("a dog", 1.5)),
            bands=(Band(0.0, 0.5, 2.5, 1.0, (example,)), Band(0.5, 1.0, 1.0, 0.1, (Example(word, 0.2),))),
            tokens=(
                TokenList("raised", (TokenWeight(word, 1, 0.5), TokenWeight(" dog", 2, 0.2))),
                TokenList("lowered" if text is None else text, (TokenWeight(word, 3, -0.4),)),
            ),
            similar=(Neighbour(8 - number, 0.7), Neighbour(11, 0.1)),
            together=(Neighbour(8 - number, 0.4),),
            overall=0.3,
            importance=(ClassWeight("Pets" if text is None else text, 0.4, 0.8, -0.2),),
            scores={"Detection" if text is None else text: Estimate(0.8, 0.05)},
        )
        for number, label in ((3, "names of pets"), (5, None))
    ]
    return plot_cards(ConceptCards(tuple(made), 1000, 16, {word: word, "activation_granularity": "token"}))


def flows(text: str | None = None) -> Plot:
    if text is None:
        return plot_flows(make_flow())
    flow = make_flow(f"we {text} were", names=[text, *CONCEPTS[1:]])
    targets = tuple(replace(target, name=text) for target in flow.weights.targets)
    readout = replace(flow.weights.readout, targets=targets)
    return plot_flows(
        ConceptFlow(replace(flow.words, method=text), replace(flow.weights, method=text, readout=readout))
    )


def lens(text: str | None = None) -> Plot:
    if text is None:
        return plot_lens(make_lens())
    result = make_lens([text, *NAMES[1:-1], text], layers=(text, "1"))
    return plot_lens(replace(result, method=text, settings={text: text}))


@cache
def probes() -> ProbeSweep:
    return some_sweep()


def sweep(text: str | None = None) -> Any:
    if text is None:
        return plot_sweep(probes())
    names = {"0": text, "1": "b", "2": text + "c"}
    rows = tuple(
        replace(row, split_point=names[row.split_point], report=replace(row.report, classes=(text, "c")))
        for row in probes().rows
    )
    return plot_sweep(replace(probes(), rows=rows))


EVERY_VIEW: dict[str, Build] = {
    "classification": classification,
    "generation": generation,
    "comparison": comparison,
    "curves": curves,
    "concepts": concepts,
    "concepts-by-class": concepts_by_class,
    "concepts-listed": concepts_listed,
    "concepts-local": concepts_local,
    "cards": cards,
    "flows": flows,
    "lens": lens,
    "sweep": sweep,
}
