"""Labels of rows, as users write them, as numbers; and which rows are held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor

from interpreto.errors import InputError

Label = str | int | bool


def plain_labels(labels: Any, n_rows: int, name: str = "labels") -> list[Label]:
    """One label a row, as plain values.

    Args:
        labels: A list, array or tensor of texts, whole numbers or truth values.
        n_rows: How many there must be.
        name: What to call them in errors.

    Raises:
        InputError: Another number of labels, or something that is no label.

    >>> plain_labels(torch.tensor([0, 2]), 2), plain_labels(["a", "b"], 2)
    ([0, 2], ['a', 'b'])
    """
    values = labels.tolist() if hasattr(labels, "tolist") else labels
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise InputError(f"{name}: expected {n_rows}, one a row, got {type(labels).__name__}: {labels!r:.60}")
    if len(values) != n_rows:
        raise InputError(f"{name}: expected {n_rows} (one a row), got {len(values)}")
    values = [value.item() if hasattr(value, "item") else value for value in values]  # columns hold numbers of arrays
    for position, value in enumerate(values):
        if not isinstance(value, (str, int)):
            raise InputError(
                f"{name}[{position}]: expected a text, a whole number or a truth value, got "
                f"{type(value).__name__}: {value!r:.60}"
            )
    return list(values)


def numbered(
    labels: Any, n_rows: int, name: str = "labels", classes: Sequence[Label] | None = None
) -> tuple[tuple[Label, ...], Int[Tensor, " n"]]:
    """The different labels in their order, and of each row the number of its own.

    Args:
        labels: As `plain_labels` takes them.
        n_rows: How many there must be.
        name: What to call them in errors.
        classes: The labels there may be; by default those there are.

    Raises:
        InputError: Labels of several types, fewer than two different ones, or one that is not among the classes.

    >>> numbered(["joy", "fear", "joy"], 3)
    (('fear', 'joy'), tensor([1, 0, 1]))
    """
    values = plain_labels(labels, n_rows, name)
    kinds = {type(value) for value in values}
    if len(kinds) > 1:
        raise InputError(f"{name}: expected labels of one type, got {sorted(kind.__name__ for kind in kinds)}")
    known = tuple(sorted(set(values))) if classes is None else tuple(classes)
    if len(known) < 2:
        raise InputError(f"{name}: expected at least two different ones, got {list(known)!r:.60} for every row")
    place = {value: number for number, value in enumerate(known)}
    missing = [value for value in values if value not in place]
    if missing:
        raise InputError(f"{name}: expected some of {list(known)!r:.120}, got {missing[0]!r:.60}")
    return known, torch.tensor([place[value] for value in values])


def distinct(values: Sequence[Any]) -> Int[Tensor, " n"]:
    """Of each value the number of the first that is equal to it.

    >>> distinct(["the", "cat", "the"])
    tensor([0, 1, 0])
    """
    first: dict[Any, int] = {}
    return torch.tensor([first.setdefault(value, len(first)) for value in values], dtype=torch.long)


def held_out_rows(
    classes: Int[Tensor, " n"],
    share: float,
    seed: int,
    *,
    groups: Int[Tensor, " n"] | None = None,
    name: str = "labels",
) -> Bool[Tensor, " n"]:
    """Which rows are kept for measuring: about the same share of each class, and of each group all rows or none.

    Args:
        classes: The number of each row's class.
        share: The share of groups to hold out, above 0 and below 1.
        seed: Of the draw.
        groups: Rows that must stay together: those of one text, or of equal texts. By default each row is by itself.
        name: What to call the labels in errors.

    Raises:
        InputError: A class that has too few rows (or groups) to have some on both sides.
    """
    groups = torch.arange(len(classes)) if groups is None else groups
    rng = Generator().manual_seed(seed)
    kinds, group_of = torch.unique(groups, return_inverse=True)
    # A group is counted with the class of its first row; only groups of tokens have rows of several classes.
    first = torch.full((len(kinds),), len(classes)).scatter_reduce(0, group_of, torch.arange(len(classes)), "amin")
    out = torch.zeros(len(kinds), dtype=torch.bool)
    for number in torch.unique(classes[first]):
        own = (classes[first] == number).nonzero()[:, 0]
        count = min(max(round(share * len(own)), 1), len(own) - 1)
        out[own[torch.randperm(len(own), generator=rng)[:count]]] = True
    held = out[group_of]
    for number in torch.unique(classes).tolist():
        own_rows = classes == number
        if not (held[own_rows].any() and (~held[own_rows]).any()):
            raise InputError(
                f"{name}: expected of each class some rows to learn from and some to hold out, class number {number} "
                f"has {int(own_rows.sum())} row(s) in {len(torch.unique(group_of[own_rows]))} text(s); add some, or "
                "leave the class out"
            )
    return held


def check_share(name: str, value: Any) -> None:
    """Refuse what is not a share above 0 and below 1.

    Raises:
        InputError: The message names the option.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name}: expected a share above 0 and below 1, got {value!r}")


def check_strength(name: str, value: Any) -> None:
    """Refuse what is no number above 0.

    Raises:
        InputError: The message names the option.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise InputError(f"{name}: expected a number above 0, got {value!r}")


def check_groups(groups: Any, n_rows: int, name: str = "groups") -> Int[Tensor, " n"] | None:
    """Groups of rows by number, from whatever tells them apart.

    Raises:
        InputError: Another number of them than of rows.
    """
    if groups is None:
        return None
    return distinct(plain_labels(groups, n_rows, name))
