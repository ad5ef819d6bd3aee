"""What attribution methods explain in the place of a model's own answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from interpreto.errors import ModelError
from interpreto.model_wrapping.explained import Explained
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.model_with_split_points import ModelWithSplitPoints
from interpreto.model_wrapping.pipelines import TextPipeline, model_and_tokenizer
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.traits import Traits
from interpreto.types import InferenceMode, Removal, Task


@runtime_checkable
class Coder(Protocol):
    """Hidden states to codes and back: a fitted concept model."""

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The concepts in each row."""
        ...

    @property
    def encodes_differentiably(self) -> bool:
        """Whether gradients flow through `encode`."""
        ...

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """What one unit of each concept's code adds to a hidden state."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """How a function is run.

    Args:
        mode: The space of the target scores.
        removal: How a removed element looks; `None` for the function's own way.
        batch_size: Rows a forward pass.
        progress: Whether to show a progress bar.
    """

    mode: InferenceMode
    removal: Removal | str | None = None
    batch_size: int | None = None
    progress: bool = False

    def scorer(self, traits: Traits, task: Task) -> Scorer:
        """For a model's own answers.

        Raises:
            InputError: A mode or a removal that makes no sense for the task.
        """
        return Scorer(traits, task, self.mode, traits.filling(self.removal), self.batch_size, self.progress)


class ExplainedFunction(ABC):
    """A function of elements that is not a model's own answer, but is computed inside of it.

    Every attribution method and faithfulness metric takes one in the place of a model.
    """

    has_probabilities: ClassVar[bool] = True
    """Whether its target scores can be probabilities."""

    @property
    @abstractmethod
    def split(self) -> ModelWithSplitPoints:
        """The model inside of which it is computed."""

    @abstractmethod
    def scorer(self, engine: Engine) -> Scorer:
        """The engine for its scores.

        Raises:
            InputError: An option that makes no sense for it.
        """

    @abstractmethod
    def texts(self, explained: Explained, scorer: Scorer, inputs: Any, targets: Any) -> list[ExplainedText]:
        """Inputs and targets as explained texts.

        Args:
            explained: What users choose about elements and targets.
            scorer: What `scorer` made.
            inputs: As users give them.
            targets: As users give them.

        Raises:
            InputError: Inputs or targets that do not fit.
        """

    @abstractmethod
    def again(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[ExplainedText]:
        """Explained texts from those of saved results.

        Raises:
            InputError: Results of something else.
        """

    @property
    def n_versions(self) -> int | None:
        """How many texts in a row are draws of one input, whose results are averaged; `None` where nothing is drawn."""
        return None

    def identity(self) -> dict[str, Any]:
        """Those of its settings without which it is another function."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results, as plain values."""
        return {}


@runtime_checkable
class _Explainable(Protocol):
    def explained_function(self) -> ExplainedFunction: ...


Explainable = nn.Module | TextPipeline | ExplainedFunction | _Explainable
"""What attribution methods and metrics take as their model."""


def traits_of(model: Any, tokenizer: Any) -> Traits:
    """What the engine must know of what is explained.

    Raises:
        ModelError: A model without tokenizer, or one that does not fit it.
    """
    if isinstance(model, ExplainedFunction):
        return model.split.traits
    if isinstance(model, str):
        raise ModelError(
            f"model: expected a loaded model, got the text {model!r:.80}; load it first, as "
            "AutoModelForSequenceClassification.from_pretrained(...), and pass it with its tokenizer"
        )
    if tokenizer is None:
        raise ModelError(
            "tokenizer: expected the model's own tokenizer, got None; only concepts, pipelines and custom models know "
            "theirs already"
        )
    return Traits(model, tokenizer)


def as_explained(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    """What is explained where an explainer is given these as model and tokenizer: the one border of all of them.

    Fitted concepts stand for their codes, pipelines for their model and tokenizer.

    Raises:
        ModelError: A pipeline without tokenizer.
    """
    if isinstance(model, _Explainable):
        return model.explained_function(), tokenizer
    return model_and_tokenizer(model, tokenizer)
