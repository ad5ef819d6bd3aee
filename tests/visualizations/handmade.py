"""Attributions made by hand, so that pictures are tested without a model."""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from collections.abc import Sequence

import torch

from interpreto.attributions.result import Attribution
from interpreto.model_wrapping import Readout, Target
from interpreto.text import Element, Sample, Token
from interpreto.types import InferenceMode, Task

NAN = float("nan")
EMOTIONS = ["sadness", "joy", "love", "anger", "fear", "surprise", "neutral"]


def unpacked(row: str, count: int) -> list[float]:
    """A row of a page's numbers, as its script reads it: three bytes a number, none where they end."""
    data = b64decode(row)
    known = [struct.unpack(">f", data[k : k + 3] + b"\0")[0] for k in range(0, len(data), 3)]
    return known + [NAN] * (count - len(known))


def words(text: str, part: int = 0, first: int = 0) -> tuple[Element, ...]:
    """Words with the white space before them, one token each."""
    found = list(re.finditer(r"\s*(\w+|[^\w\s]+)", text))
    ends = [match.end() for match in found[:-1]] + [len(text)] * bool(found)
    return tuple(
        Element(text[match.start() : end], part, match.start(), end, (first + k,))
        for k, (match, end) in enumerate(zip(found, ends, strict=True))
    )


def tokens_of(elements: Sequence[Element]) -> tuple[Token, ...]:
    return tuple(Token(100 + k, e.part, e.start, e.end) for k, e in enumerate(elements))


def make_classification(
    text: str = "We are thrilled to present you Interpreto!", names: Sequence[str] = EMOTIONS, seed: int = 0
) -> Attribution:
    elements = words(text)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(len(names), len(elements), generator=generator) * 0.4
    if len(names) > 1 and len(elements) > 2:
        scores[1, 2] = 3.2
    baseline = torch.linspace(-0.5, 0.5, len(names))
    tokens = tokens_of(elements)
    return Attribution(
        scores=scores,
        elements=elements,
        readout=Readout(
            (-1,), tuple((0, c) for c in range(len(names))), tuple(Target(n, (c,)) for c, n in enumerate(names))
        ),
        sample=Sample((text,), tokens, len(tokens), len(tokens)),
        method="Lime",
        task=Task.CLASSIFICATION,
        inference_mode=InferenceMode.LOGITS,
        settings={"granularity": "word", "n_perturbations": 1000, "seed": 0},
        target_scores=baseline + scores.sum(dim=1) + 0.01,
        baseline_scores=baseline,
        std_errors=torch.full_like(scores, 0.02),
    )


def make_generation(
    prompt: str = "An interpretability open-source library is great,",
    output: str = " but, for HF language models, it is even better.",
) -> Attribution:
    """Each output word is a target, and an element for those after it; the last one is no element."""
    source = words(prompt)
    written = words(output, 1, len(source))
    elements = (*source, *written[:-1])
    targets = tuple(Target(e.text, (k,), (), 1, e.start, e.end, e.tokens[0]) for k, e in enumerate(written))
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(len(targets), len(elements), generator=generator) * 0.2
    for t, target in enumerate(targets):
        for g, element in enumerate(elements):
            if not target.sees(element):
                scores[t, g] = NAN
            elif target.name == " models" and element.text == " language":
                scores[t, g] = 2.5
    tokens = tokens_of((*source, *written))
    return Attribution(
        scores=scores,
        elements=elements,
        readout=Readout(
            tuple(t.first - 1 for t in targets), tuple((k, tokens[t.first].id) for k, t in enumerate(targets)), targets
        ),
        sample=Sample((prompt, output), tokens, len(source), len(source)),
        method="Occlusion",
        task=Task.CAUSAL_LM,
        inference_mode=InferenceMode.LOG_SOFTMAX,
        settings={"granularity": "word"},
        target_scores=torch.linspace(-4, -0.1, len(targets)),
    )
