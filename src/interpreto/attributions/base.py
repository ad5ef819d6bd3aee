"""What all attribution methods share: options, inputs, targets, and the way from scores to results.

A new method is one short class: a `PerturbationExplainer` writes `masks` and `aggregate`, a `GradientExplainer` writes
`points` and `token_scores`. Neither ever sees a model or a token id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from enum import Enum
from functools import cached_property
from typing import Any

from jaxtyping import Float
from torch import Generator, Tensor
from transformers import PreTrainedTokenizerBase

from interpreto.attributions.draws import mean_of_draws
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, check_count, keep_results, warn
from interpreto.model_wrapping import (
    Engine,
    Explainable,
    Explained,
    ExplainedFunction,
    ExplainedText,
    Scorer,
    Traits,
    as_explained,
    traits_of,
)
from interpreto.model_wrapping.generation import check_settings
from interpreto.types import Granularity, InferenceMode, Removal, Task


@dataclass(frozen=True, eq=False)
class AttributionExplainer(ABC):
    """Explains the decisions of one model. Calling it leaves model and tokenizer as they were, to the bit.

    Args:
        model: A transformers model that classifies texts or tokens, generates, fills masks or answers questions, or a
            transformers pipeline of one; a `CustomModel`; or fitted concepts, to explain which words make them, or a
            function such as `ConceptsToOutput`.
        tokenizer: Its fast tokenizer; pipelines, custom models and concepts know it already.
        granularity: What one element of the explanation is.
        output_granularity: Generation: what one target is; `TEXT` for the whole answer.
        inference_mode: The space of the target scores.
        batch_size: Rows a forward pass; changes nothing but speed and memory. By default the engine chooses.
        seed: Seed of everything sampled, the generated text included.
        truncation: Whether texts longer than the model reads are cut, with a warning, in place of refused.
        generation: Settings for `model.generate`, for when no target is given: `{"max_new_tokens": 20}`.
        progress: Whether to show a bar, on standard error, where explaining takes more than two seconds.
    """

    model: Explainable
    tokenizer: PreTrainedTokenizerBase | None = None
    _: KW_ONLY
    granularity: Granularity | str = Granularity.WORD
    output_granularity: Granularity | str = Granularity.TOKEN
    inference_mode: InferenceMode | str = InferenceMode.LOGITS
    batch_size: int | None = None
    seed: int = 0
    truncation: bool = False
    generation: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = True

    def __post_init__(self) -> None:
        for name, kind in (
            ("granularity", Granularity),
            ("output_granularity", Granularity),
            ("inference_mode", InferenceMode),
        ):
            value = getattr(self, name)
            if value not in list(kind):
                raise InputError(f"{name}: expected one of {[member.value for member in kind]}, got {value!r}")
            object.__setattr__(self, name, kind(value))
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, 1)
        check_count("seed", self.seed, 0)
        check_settings(self.generation)
        for name, value in zip(("model", "tokenizer"), as_explained(self.model, self.tokenizer), strict=True):
            object.__setattr__(self, name, value)
        _ = self.traits  # a model and tokenizer that do not fit are refused here, not at the first call

    def __call__(self, inputs: Any, targets: Any = None) -> list[Attribution]:
        """Explain texts.

        Args:
            inputs: A text, a pair of texts, a chat (list of messages), `Segments`, a `BatchEncoding` of any number of
                rows, or a list of these.
            targets: What to explain, per input. Nothing: the model's own answer (the predicted class, the text that it
                generates, the filled masks, every word's label, the answer). Classification: class index or label, a
                `Contrast`, several of these, or a tensor `(n, t)`; `torch.arange(n_classes).view(1, -1)` explains all
                classes of one text. Generation: the output as text or ids, or a `Contrast` of two. Masked language
                models: a token, or one a mask. Token classification: numbers of words, or `(word, label)` pairs.
                Question answering: the answer as text, or its `(start, end)` characters.

        Returns:
            One result a text, in the order of the inputs.

        Raises:
            InputError: An input, target or option that cannot be explained, with what to do about it.
            ModelError: A model or tokenizer that cannot be explained.

        Where it fails in the middle, or is interrupted, the exception's `results` holds what was finished, by number.
        """
        explained = Explained(
            traits=self.traits,
            granularity=Granularity(self.granularity),
            output_granularity=Granularity(self.output_granularity),
            truncation=self.truncation,
            generation=self.generation,
            seed=self.seed,
        )
        scorer, texts = self._asked(explained, inputs, targets)
        results: dict[int, Attribution] = {}
        n_versions = self.model.n_versions if isinstance(self.model, ExplainedFunction) else None
        n_inputs = len(texts) // (n_versions or 1)
        try:
            for k, result in self._attribute(scorer, texts):
                results[k] = result
        except BaseException as error:
            keep_results(error, _by_input(results, n_inputs, n_versions), n_inputs)
            raise
        whole = _by_input(results, n_inputs, n_versions)
        return [whole[k] for k in range(n_inputs)]

    def _asked(self, explained: Explained, inputs: Any, targets: Any) -> tuple[Scorer, list[ExplainedText]]:
        """The engine, and what it is asked."""
        if isinstance(self.model, ExplainedFunction):
            scorer = self.model.scorer(self._engine())
            self._warn_of_options(scorer.task)
            return scorer, self.model.texts(explained, scorer, inputs, targets)
        sources = explained.sources_for(inputs, targets)
        task = self.traits.recognise(sources[0].ids)
        self._warn_of_options(task)
        scorer = self._engine().scorer(self.traits, task)
        return scorer, explained.texts(scorer, sources, targets)

    def explain(self, inputs: Any, targets: Any = None) -> list[Attribution]:
        """The same as calling the explainer."""
        return self(inputs, targets)

    @property
    def traits(self) -> Traits:
        """What the engine knows of the model, as it is now."""
        if not self._known or not self._known[0].fits():
            self._known[:] = [traits_of(self.model, self.tokenizer)]
        return self._known[0]

    @cached_property
    def _known(self) -> list[Traits]:
        return []

    def _warn_of_options(self, task: Task) -> None:
        """Options of generation change nothing elsewhere."""
        if task.generates:
            return
        given = {"output_granularity": self.output_granularity is not Granularity.TOKEN, "generation": self.generation}
        names = [name for name, value in given.items() if value]
        if names:
            warn(f"{', '.join(names)}: for models that write; a {task.value} model is explained without")

    @abstractmethod
    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> Iterator[tuple[int, Attribution]]:
        """Results by the number of the text, as they are whole; also those that are when something fails."""

    def _engine(self, removal: Removal | str | None = None) -> Engine:
        return Engine(InferenceMode(self.inference_mode), removal, self.batch_size, self.progress)

    def _generator(self) -> Generator:
        """The same for every text, so that neighbours and order change nothing."""
        return Generator().manual_seed(self.seed)

    def _settings(self) -> dict[str, Any]:
        names = [f.name for f in fields(self) if f.name not in ("model", "tokenizer", "progress")]
        function = self.model.settings() if isinstance(self.model, ExplainedFunction) else {}
        return {**{name: _plain(getattr(self, name)) for name in names}, **function}

    def _result(
        self,
        scorer: Scorer,
        text: ExplainedText,
        scores: Float[Tensor, "t g"],
        target_scores: Float[Tensor, " t"] | None,
        baseline_scores: Float[Tensor, " t"] | None,
        std_errors: Float[Tensor, "t g"] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Attribution:
        unseen = ~text.visible
        return Attribution(
            scores=scores.float().masked_fill(unseen, float("nan")),
            elements=text.elements,
            readout=text.readout,
            sample=text.sample,
            method=type(self).__name__,
            task=scorer.task,
            inference_mode=scorer.mode,
            settings={**self._settings(), **(notes or {})},
            target_scores=target_scores,
            baseline_scores=baseline_scores,
            std_errors=None if std_errors is None else std_errors.float().masked_fill(unseen, float("nan")),
        )


def _by_input(results: Mapping[int, Attribution], n_inputs: int, n_versions: int | None) -> dict[int, Attribution]:
    """Results by the number of the input: means of its versions, once there are all of them."""
    if n_versions is None:
        return dict(results)
    groups = {k: [results.get(i) for i in range(k * n_versions, (k + 1) * n_versions)] for k in range(n_inputs)}
    whole = {k: [one for one in group if one is not None] for k, group in groups.items()}
    return {k: mean_of_draws(group) for k, group in whole.items() if len(group) == n_versions}


def _plain(value: Any) -> Any:
    """An option as a plain value for JSON."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
