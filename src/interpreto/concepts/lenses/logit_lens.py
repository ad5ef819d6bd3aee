"""Hidden states read by the model's own end."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, final

from interpreto.concepts.lenses.reading import names_of, read
from interpreto.concepts.lenses.result import LensResult
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ModelWithSplitPoints


@final
@dataclass(frozen=True, eq=False)
class LogitLens:
    """What the model would say if it ended after each split point: `softmax(W_U LN_f(h))` for each position.

    What stands between the last block and the logits is run by the model itself, so after the last block the lens says
    exactly what the model says. Early layers of some models write in another basis than the last one: there the lens
    sees nothing, although a `TunedLens` may. Models that fill masks are read at every position, too.

    Cost: one forward pass a text, and the output head once a layer and position.

    Args:
        model_with_split_points: A model with a vocabulary, split at blocks: `split_points=range(12)`.
        k: How many of the most probable tokens are kept.

    Raises:
        InputError: An option out of range.

    Reference: nostalgebraist (2020), Interpreting GPT: the logit lens.

    >>> from interpreto.demo import load
    >>> model, tokenizer = load("stories")
    >>> split = ModelWithSplitPoints(model, split_points=[0, -1], tokenizer=tokenizer)
    >>> (result,) = LogitLens(split, k=3)("Once upon a time")
    >>> result
    LensResult(LogitLens, input 0: 2 layers, 5 tokens, top 3)
    >>> float(result.divergences[-1].max()) < 1e-5  # after the last block it is the model itself
    True
    """

    model_with_split_points: ModelWithSplitPoints
    _: KW_ONLY
    k: int = 5

    def __post_init__(self) -> None:
        check_split(self.model_with_split_points)
        check_count("k", self.k, 1)

    def __call__(self, inputs: Any, targets: Any = None) -> list[LensResult]:
        """What the lens sees in texts.

        Args:
            inputs: Texts, as `get_activations` takes them.
            targets: What a model that writes has written; needed for encoder-decoders.

        Returns:
            One result a text, in their order.

        Raises:
            InputError: Inputs that cannot be read, or split points that are not of the residual stream.
            ModelError: A model without vocabulary, or one that answers with NaN.
        """
        split = self.model_with_split_points
        settings = {"k": self.k, "split_points": list(names_of(split.split_points))}
        return read(
            split,
            inputs,
            targets,
            k=self.k,
            translate=lambda _name, rows: rows,
            method=type(self).__name__,
            settings=settings,
        )


def check_split(split: Any) -> None:
    """Refuse what is no split model.

    Raises:
        InputError: The message names what came.
    """
    if not isinstance(split, ModelWithSplitPoints):
        got = type(split).__name__
        raise InputError(f"model_with_split_points: expected ModelWithSplitPoints(model, split_points), got {got}")
