"""What all attribution methods share: options, inputs, targets, and the way from scores to results.

A new method is one short class: a `PerturbationExplainer` writes `masks` and `aggregate`, a `GradientExplainer` writes
`points` and `token_scores`. Neither ever sees a model or a token id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from enum import Enum
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn
from transformers import PreTrainedTokenizerBase

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, check_count, warn
from interpreto.model_wrapping import Explained, ExplainedText, Moments, Scorer, Traits
from interpreto.model_wrapping.generation import check_settings
from interpreto.types import Granularity, InferenceMode, Removal, Task


@dataclass(frozen=True, eq=False)
class AttributionExplainer(ABC):
    """Explains the decisions of one model. Calling it leaves model and tokenizer as they were, to the bit.

    Args:
        model: A transformers model that classifies texts or tokens, generates, fills masks or answers questions.
        tokenizer: Its fast tokenizer.
        granularity: What one element of the explanation is.
        output_granularity: Generation: what one target is; `TEXT` for the whole answer.
        inference_mode: The space of the target scores.
        batch_size: Rows a forward pass; changes nothing but speed and memory. By default the engine chooses.
        seed: Seed of everything sampled, the generated text included.
        truncation: Whether texts longer than the model reads are cut, with a warning, in place of refused.
        generation: Settings for `model.generate`, for when no target is given: `{"max_new_tokens": 20}`.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    _: KW_ONLY
    granularity: Granularity | str = Granularity.WORD
    output_granularity: Granularity | str = Granularity.TOKEN
    inference_mode: InferenceMode | str = InferenceMode.LOGITS
    batch_size: int | None = None
    seed: int = 0
    truncation: bool = False
    generation: Mapping[str, Any] = field(default_factory=dict)

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
        """
        explained = Explained(
            traits=self.traits,
            granularity=Granularity(self.granularity),
            output_granularity=Granularity(self.output_granularity),
            truncation=self.truncation,
            generation=self.generation,
            seed=self.seed,
        )
        sources = explained.sources_for(inputs, targets)
        task = self.traits.recognise(sources[0].ids)
        self._warn_of_options(task)
        scorer = self._scorer(task)
        texts = explained.texts(scorer, sources, targets)
        return self._attribute(scorer, texts)

    def explain(self, inputs: Any, targets: Any = None) -> list[Attribution]:
        """The same as calling the explainer."""
        return self(inputs, targets)

    @cached_property
    def traits(self) -> Traits:
        """What the engine knows of the model."""
        return Traits(self.model, self.tokenizer)

    def _warn_of_options(self, task: Task) -> None:
        """Options of generation change nothing elsewhere."""
        if task.generates:
            return
        given = {"output_granularity": self.output_granularity is not Granularity.TOKEN, "generation": self.generation}
        names = [name for name, value in given.items() if value]
        if names:
            warn(f"{', '.join(names)}: for models that write; a {task.value} model is explained without")

    @abstractmethod
    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Attribution]: ...

    def _scorer(self, task: Task, removal: Removal | str | None = None) -> Scorer:
        mode = InferenceMode(self.inference_mode)
        return Scorer(self.traits, task, mode, self.traits.filling(removal), self.batch_size)

    def _generator(self) -> Generator:
        """The same for every text, so that neighbours and order change nothing."""
        return Generator().manual_seed(self.seed)

    def _settings(self) -> dict[str, Any]:
        names = [f.name for f in fields(self) if f.name not in ("model", "tokenizer")]
        return {name: _plain(getattr(self, name)) for name in names}

    def _result(
        self,
        scorer: Scorer,
        text: ExplainedText,
        scores: Float[Tensor, "t g"],
        target_scores: Float[Tensor, " t"],
        baseline_scores: Float[Tensor, " t"] | None,
        notes: Mapping[str, Any] | None = None,
    ) -> Attribution:
        return Attribution(
            scores=scores.float().masked_fill(~text.visible, float("nan")),
            elements=text.elements,
            readout=text.readout,
            sample=text.sample,
            method=type(self).__name__,
            task=scorer.task,
            inference_mode=scorer.mode,
            settings={**self._settings(), **(notes or {})},
            target_scores=target_scores,
            baseline_scores=baseline_scores,
        )


@dataclass(frozen=True, eq=False)
class PerturbationExplainer(AttributionExplainer):
    """Keeps and removes elements and looks at what happens to the target scores.

    Args:
        removal: How a removed element looks: `"mask"` (the tokenizer's mask token), `"attention"` (hidden from
            attention, positions kept), `"delete"` (gone, the text is shorter), or the text of a token that takes its
            place. Default: mask where the tokenizer has a mask token, else attention.
    """

    _: KW_ONLY
    removal: Removal | str | None = None

    is_additive: ClassVar[bool] = False
    """Whether the scores add up to `f(all) - f(none)`, so that the gap is reported."""
    is_solved: ClassVar[bool] = False
    """Whether the scores solve equations, one a perturbation, so that there is a warning where those are too few."""

    @abstractmethod
    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Which elements each perturbation keeps."""

    @abstractmethod
    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Scores of the elements from the target scores of the perturbations.

        Generation: an output token sees only what is before it. `keep` then holds the columns of what the targets
        see, which are the first ones; columns of the answer beyond those of `keep` are ignored.
        """

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Attribution]:
        designs = [self.masks(len(text.elements), self._generator()) for text in texts]
        if self.is_solved:
            self._warn_of_few(texts, designs)
        ends = [torch.stack([torch.ones(len(t.elements)).bool(), torch.zeros(len(t.elements)).bool()]) for t in texts]
        keeps = [torch.cat([end[: 1 + self.is_additive], keep]) for end, keep in zip(ends, designs, strict=True)]
        results = []
        for text, keep, all_scores in zip(texts, designs, scorer.scores(texts, keeps), strict=True):
            scores = all_scores[1 + self.is_additive :]
            found = torch.full(text.visible.shape, float("nan"))
            seen = text.visible.sum(dim=1)
            for count in sorted(set(seen.tolist())):
                rows = (seen == count).nonzero()[:, 0]
                if count:
                    found[rows, :count] = self.aggregate(keep[:, :count], scores[:, rows])[:, :count].float()
            baseline = all_scores[1] if self.is_additive else None
            results.append(self._result(scorer, text, found, all_scores[0], baseline))
        return results

    def _warn_of_few(self, texts: Sequence[ExplainedText], designs: Sequence[Bool[Tensor, "_ _"]]) -> None:
        """One warning for all texts whose elements the perturbations do not tell apart."""
        short = [k for k, keep in enumerate(designs) if not _tells_apart(keep)]
        if short:
            k = max(short, key=lambda k: len(texts[k].elements))
            g = len(texts[k].elements)
            others = f", and those of {len(short) - 1} more texts," if len(short) > 1 else ""
            warn(
                f"{type(self).__name__}: {len(designs[k])} perturbations do not tell the {g} elements of "
                f"{texts[k].where}{others} apart, which share what is left open; pass n_perturbations={max(16, 4 * g)} "
                "or more, or a coarser granularity"
            )

    def _scorer(self, task: Task, removal: Removal | str | None = None) -> Scorer:
        return super()._scorer(task, self.removal)


@dataclass(frozen=True, eq=False)
class GradientExplainer(AttributionExplainer):
    """Averages gradients of the target scores with respect to the embeddings over points near the text.

    Args:
        reduction: How the scores of an element's tokens become one: their sum (keeps completeness), mean or max.
    """

    _: KW_ONLY
    reduction: Literal["sum", "mean", "max"] = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction not in ("sum", "mean", "max"):
            raise InputError(f"reduction: expected 'sum', 'mean' or 'max', got {self.reduction!r}")

    @abstractmethod
    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """Where gradients are taken, each with what it is multiplied by (a number, or a tensor of the same shape).

        `spread` is the range of the values of the text's embeddings, the unit of noise; where there is an output, that
        of the prompt's alone, so that what is written later changes nothing.
        """

    @abstractmethod
    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """Scores of tokens from the moments of gradient times weight over the points."""

    def baselines(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "l d"]] | None:
        """Embeddings of "nothing", one a text, for methods that compare with it."""
        return None

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Attribution]:
        embeddings = [scorer.embed(text) for text in texts]
        found = self.baselines(scorer, texts)
        starts = embeddings if found is None else found
        rows = scorer.scores(texts, [torch.ones(1, len(text.elements), dtype=torch.bool) for text in texts])
        lows, highs = None, [row[0] for row in rows]
        if found is not None:

            def start(_embedding: Tensor, baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
                yield baseline, 0.0

            at_start = dict(scorer.moments(texts, embeddings, starts, [start] * len(texts), gradients=False))
            lows = [at_start[k].score for k in range(len(texts))]
        results = []
        for k, (tokens, notes) in enumerate(self._token_scores(scorer, texts, embeddings, starts, lows, highs)):
            text = texts[k]
            free = tokens.masked_fill(~text.free_tokens, 0.0)
            scores = torch.stack([self._reduced(free[:, list(element.tokens)]) for element in text.elements], dim=1)
            results.append(self._result(scorer, text, scores, highs[k], None if lows is None else lows[k], notes))
        return results

    def _token_scores(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        lows: Sequence[Float[Tensor, " _"]] | None,
        highs: Sequence[Float[Tensor, " _"]],
    ) -> list[tuple[Float[Tensor, "_ _"], dict[str, Any]]]:
        """Of each text the scores of its tokens `(t, l)`, and what is noted about them in the result's settings.

        Args:
            scorer: The engine.
            texts: What is explained.
            embeddings: Their embeddings `(l, d)`.
            baselines: Those of "nothing"; the embeddings themselves for methods that compare with nothing.
            lows: Target scores `(t,)` at the baselines, if there are any.
            highs: Target scores of the texts.
        """

        def path(source_length: int, embedding: Tensor, baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            source = embedding[:source_length]
            return self.points(embedding, baseline, float(source.max() - source.min()), self._generator())

        found: dict[int, Tensor] = {}
        paths = [partial(path, text.sample.source_length) for text in texts]
        for k, moments in scorer.moments(texts, embeddings, baselines, paths):
            found[k] = self.token_scores(moments, embeddings[k].cpu())
        return [(found[k], {}) for k in range(len(texts))]

    def _reduced(self, scores: Float[Tensor, "t k"]) -> Float[Tensor, " t"]:
        if self.reduction == "max":
            return scores.gather(1, scores.abs().argmax(dim=1, keepdim=True))[:, 0]
        return scores.sum(dim=1) if self.reduction == "sum" else scores.mean(dim=1)


@dataclass(frozen=True, eq=False)
class PathExplainer(GradientExplainer):
    """Compares the text with a baseline, along paths between the two.

    Args:
        baseline: What "nothing" looks like, for every token that is not fixed context: `"mask"`, `"pad"`, `"zero"`,
            `"mean"` (the mean embedding of the vocabulary), the text of a token, or your own embedding `(d,)`.
            Default: mask where the tokenizer has a mask token, else mean. Zero suits few models: where the first layer
            normalises embeddings by their size, all of the change happens next to it, and no sum over a path sees it.
    """

    _: KW_ONLY
    baseline: str | Tensor | None = None

    def baselines(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "l d"]]:
        """The baseline of each text; fixed context stays as it is."""
        found = []
        for text in texts:
            embedding = scorer.embed(text)
            nothing = scorer.embed_baseline(text, self.baseline)
            fixed = (text.element_of < 0).to(embedding.device)[:, None]
            found.append(torch.where(fixed, embedding, nothing))
        return found


def _tells_apart(keep: Bool[Tensor, "p g"]) -> bool:
    """Whether a linear function of the elements, with its constant, is known from its values at these perturbations."""
    rows = torch.cat([keep, torch.ones(len(keep), 1, dtype=torch.bool)], dim=1)
    return bool(torch.linalg.matrix_rank(rows.double()) == rows.shape[1])


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
