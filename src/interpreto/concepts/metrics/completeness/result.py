"""The figure, its error, and what it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, ClassVar, final

from jaxtyping import Bool, Float, Int
from torch import Tensor

from interpreto.concepts.supervised.scores import share_with_error
from interpreto.errors import InputError
from interpreto.saving import SavedAsJson

FORMAT = 1


def completeness(
    right: Bool[Tensor, " n"],
    model_right: Bool[Tensor, " n"],
    guess_right: Bool[Tensor, " n"],
    groups: Int[Tensor, " n"] | None = None,
) -> tuple[float, float]:
    """`eta = (acc - a_rand) / (acc_f - a_rand)`, and its standard error over the texts.

    The error is that of a ratio of two means (delta method): of each text `(a - r) - eta (f - r)`, their standard
    deviation over the root of their number, over `acc_f - a_rand`.

    Args:
        right: Which texts are answered rightly from the concepts.
        model_right: Which the model answers rightly.
        guess_right: Which a guess answers rightly.
        groups: Texts that count as one, equal ones; by default all are different.

    Raises:
        InputError: Fewer than two texts, or a model that is no better than the guess.

    >>> import torch
    >>> right = torch.tensor([True, True, False, True])
    >>> model, guess = torch.ones(4, dtype=torch.bool), torch.tensor([True, False, False, True])
    >>> eta, error = completeness(right, model, guess)
    >>> print(f"{eta:.2f} +- {error:.2f}")
    0.50 +- 0.41
    """
    a, f, r = right.double(), model_right.double(), guess_right.double()
    gain = float((f - r).mean()) if len(a) else 0.0
    if len(a) < 2 or gain <= 0:
        raise InputError(
            "inputs: expected at least two held-out texts on which the model is better than a guess of the most "
            f"frequent class, got {len(a)}{_compared(f, r) if len(a) else ''}; pass more texts, of several classes"
        )
    eta = float((a - r).mean()) / gain
    rest = (a - r) - eta * (f - r)
    return eta, share_with_error(rest, groups)[1] / gain


def _compared(f: Float[Tensor, " n"], r: Float[Tensor, " n"]) -> str:
    return f" with accuracies of {float(f.mean()):.3f} and {float(r.mean()):.3f}"


def share(right: Bool[Tensor, " n"]) -> float:
    """How many, as a share of all."""
    return float(right.double().mean())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessResult(SavedAsJson):
    """How complete concepts are. Accuracies are shares of the held-out texts, and so is what the error is over.

    Args:
        accuracy: From the concepts, by the map that was chosen.
        accuracy_decode: From the concepts, decoded: without any learning.
        accuracy_model: Of the model itself; 1 where agreement with it is measured.
        accuracy_guess: Of the class that is most frequent in the texts that were learned from.
        accuracy_around: With every row replaced by the mean row: what comes around the concepts.
        std_error: Of `eta`, over the held-out texts; learning the map again with another seed adds to it. 0 where no
            two texts differ, which few texts can do by luck.
        chosen_step: At which step of its training the map was best on texts for validation; 0: decoding was.
        n_training: How many texts the map was learned from.
        n_validation: How many it was chosen on.
        n_held_out: How many the accuracies are of.
        seed: Of everything random.
    """

    saved_as: ClassVar[str] = "a completeness"

    accuracy: float
    accuracy_decode: float
    accuracy_model: float
    accuracy_guess: float
    accuracy_around: float
    std_error: float
    chosen_step: int
    n_training: int
    n_validation: int
    n_held_out: int
    seed: int

    @property
    def eta(self) -> float:
        """Completeness: 1 where the concepts are enough for all that the model knows, 0 where they tell nothing."""
        return self._share(self.accuracy)

    @property
    def eta_decode(self) -> float:
        """The same of decoding."""
        return self._share(self.accuracy_decode)

    @property
    def eta_around(self) -> float:
        """The same without any concept: where it is far above 0, `eta` says little about the concepts."""
        return self._share(self.accuracy_around)

    def _share(self, accuracy: float) -> float:
        return (accuracy - self.accuracy_guess) / (self.accuracy_model - self.accuracy_guess)

    def __str__(self) -> str:
        return (
            f"completeness {self.eta:.3f} +- {self.std_error:.3f} (decoded {self.eta_decode:.3f}, without concepts "
            f"{self.eta_around:.3f}; {self.n_held_out} texts)"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {"kind_of_file": "completeness", "format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CompletenessResult:
        """The inverse of `to_dict`.

        Raises:
            InputError: Not a saved result, or one of another format.
        """
        if (data["kind_of_file"], data["format"]) != ("completeness", FORMAT):
            raise InputError(
                f"file: expected the JSON of a completeness of format {FORMAT}, got {data['kind_of_file']!r:.40} of "
                f"format {data['format']!r:.40}"
            )
        whole = {f.name for f in fields(cls) if f.type == "int"}
        found = cls(**{f.name: _number(data[f.name], whole=f.name in whole) for f in fields(cls)})
        if not found.accuracy_model > found.accuracy_guess:
            raise InputError("file: expected the JSON of a completeness, got a model that is no better than a guess")
        return found


def _number(value: Any, *, whole: bool) -> Any:
    """A whole number, or a share or error.

    Raises:
        ValueError: Neither.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r:.40} for a {'whole ' if whole else ''}number that is not below 0")
    return value if whole else float(value)
