"""Strongest texts a second time, in the slow and obvious way: all codes at once, every row's text, sorted."""

from tests.tiny import LINES

WHOLE = ("cls_token", "sample")
TEXTS = [
    *LINES,
    "Spot! Unbelievable cats.",
    "dog",
    "the dog and The dog",
    "Spot loved the park. Spot loved the park.",
    "</script> <<the dog>> \"quoted\" \\ 'x'",
    "emoji 😀 and é 日本語",
    "a\n\n  b\tc",
]


def row_texts(split, texts, granularity):
    """The text of every row."""
    sources = split.get_activations(texts, granularity).sources[split.split_points[0].name]
    found = []
    for row in range(len(sources)):
        number, _, start, end = sources.span(row)
        raw = texts[number] if granularity in WHOLE else texts[number][start:end]
        found.append(raw.strip() or raw)
    return found


def strongest(codes, texts, k):
    """The `k` texts with the largest codes above 0, each once: `[(text, code), ...]`."""
    best = {}
    for text, code in zip(texts, codes.tolist(), strict=True):
        if code > 0 and code > best.get(text, 0):
            best[text] = code
    return sorted(best.items(), key=lambda pair: -pair[1])[:k]
