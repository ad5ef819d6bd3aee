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


class Design:
    """The perturbations of one text, and what the model said to them; each distinct one is asked for once.

    Args:
        text: The text.
        ends: Keep-vectors that are looked at besides: all, and none.
        keep: Which elements each perturbation keeps.
        rng: Random numbers of this text's own, for what is drawn later.
    """

    def __init__(
        self, text: ExplainedText, ends: Bool[Tensor, "e g"], keep: Bool[Tensor, "p g"], rng: Generator
    ) -> None:
        self.text, self.rng = text, rng
        self.notes: dict[str, Any] = {}
        self.missing = 0.0
        self._n_ends = len(ends)
        self._rows = torch.cat([ends, keep])
        self._known: dict[bytes, int] = {}
        self._place: list[int] = []
        self._answers = torch.empty(0, len(text.readout.targets))

    @property
    def keep(self) -> Bool[Tensor, "p g"]:
        """The perturbations."""
        return self._rows[self._n_ends :]

    @property
    def scores(self) -> Float[Tensor, "p t"]:
        """The target scores of the perturbations."""
        return self._answers[self._place[self._n_ends :]]

    @property
    def ends(self) -> Float[Tensor, "e t"]:
        """The target scores of the ends."""
        return self._answers[self._place[: self._n_ends]]

    def grow(self, keep: Bool[Tensor, "q g"]) -> None:
        """Take further perturbations in."""
        self._rows = torch.cat([self._rows, keep])

    def unknown(self) -> Bool[Tensor, "u g"]:
        """The distinct rows that were not asked for so far, and now are."""
        new = []
        for k, row in enumerate(self._rows[len(self._place) :].numpy(), start=len(self._place)):
            key = row.tobytes()
            if key not in self._known:
                self._known[key] = len(self._known)
                new.append(k)
            self._place.append(self._known[key])
        return self._rows[new]

    def add(self, scores: Float[Tensor, "u t"]) -> None:
        """The target scores of the rows that were asked for last."""
        self._answers = torch.cat([self._answers, scores])


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
    is_ordered: ClassVar[bool] = False
    """Whether the scores are made by the order of the perturbations, which then keep the columns of all elements."""

    @abstractmethod
    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Which elements each perturbation keeps."""

    @abstractmethod
    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Scores of the elements from the target scores of the perturbations.

        Generation: an output token sees only what is before it. `keep` then holds the columns of what the targets
        see, which are the first ones; columns of the answer beyond those of `keep` are ignored.
        """

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"] | None:
        """How far the scores that `aggregate` makes of the same may be off by chance; `None` where nothing is drawn."""
        return None

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Attribution]:
        designs = [self._design(text) for text in texts]
        if self.is_solved:
            self._warn_of_few(texts, [design.keep for design in designs])
        going = designs
        while going:
            asked = [(design, design.unknown()) for design in going]
            asked = [(design, rows) for design, rows in asked if len(rows)]
            found = scorer.scores([design.text for design, _ in asked], [rows for _, rows in asked])
            for (design, _), scores in zip(asked, found, strict=True):
                design.add(scores)
            going = [design for design in going if self._goes_on(design)]
        self._finish(designs)
        return [self._explained(scorer, design) for design in designs]

    def _design(self, text: ExplainedText) -> Design:
        g, rng = len(text.elements), self._generator()
        ends = torch.tensor([[True], [False]]).expand(-1, g)[: 1 + self.is_additive]
        return Design(text, ends, self.masks(g, rng), rng)

    def _goes_on(self, design: Design) -> bool:
        """Whether a design was made larger, so that its new perturbations are to be run."""
        return False

    def _finish(self, designs: Sequence[Design]) -> None:
        """Say what there is to say about all texts."""

    def _explained(self, scorer: Scorer, design: Design) -> Attribution:
        """The result of one text, from its scores."""
        scores, errors = self._estimate(design)
        baseline = design.ends[1] if self.is_additive else None
        return self._result(scorer, design.text, scores, design.ends[0], baseline, errors, design.notes)

    def _estimate(self, design: Design) -> tuple[Float[Tensor, "t g"], Float[Tensor, "t g"] | None]:
        """Scores, and standard errors where there are any; NaN where an element is not seen."""
        visible, answers = design.text.visible, design.scores
        scores = torch.full(visible.shape, float("nan"))
        errors: Tensor | None = None
        seen = visible.sum(dim=1)
        for count in sorted(set(seen.tolist()) - {0}):
            rows = (seen == count).nonzero()[:, 0]
            keep = design.keep if self.is_ordered else design.keep[:, :count]
            scores[rows, :count] = self.aggregate(keep, answers[:, rows])[:, :count].float()
            own = self.std_errors(keep, answers[:, rows])
            if own is not None:
                errors = torch.full(visible.shape, float("nan")) if errors is None else errors
                errors[rows, :count] = own[:, :count].float()
        return scores, errors

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
class TokenScores:
    """What a gradient method finds for one text.

    Args:
        scores: Scores of its tokens.
        target_scores: Mean target scores at the points.
        std_errors: Standard errors of the scores of its elements, where points are drawn.
        notes: What is noted about them in the result's settings.
    """

    scores: Float[Tensor, "t l"]
    target_scores: Float[Tensor, " t"] | None = None
    std_errors: Float[Tensor, "t g"] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GradientExplainer(AttributionExplainer):
    """Averages gradients of the target scores with respect to the embeddings over points near the text.

    Args:
        reduction: How the scores of an element's tokens become one: their sum (keeps completeness), mean or max.
    """

    _: KW_ONLY
    reduction: Literal["sum", "mean", "max"] = "sum"

    is_local: ClassVar[bool] = False
    """Whether the text itself is the only point, so that its target scores come along with the gradient."""

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
        baselines = self.baselines(scorer, texts)
        starts = embeddings if baselines is None else baselines
        lows, highs = self._ends(scorer, texts, embeddings, baselines)
        found = self._token_scores(scorer, texts, embeddings, starts, lows, highs)
        return [
            self._explained(
                scorer, texts[k], own, None if lows is None else lows[k], None if highs is None else highs[k]
            )
            for k, own in enumerate(found)
        ]

    def _explained(
        self,
        scorer: Scorer,
        text: ExplainedText,
        found: TokenScores,
        low: Float[Tensor, " t"] | None,
        high: Float[Tensor, " t"] | None,
    ) -> Attribution:
        """The result of one text, from the scores of its tokens."""
        scores = self._by_element(text, found.scores, found.scores)
        target_scores = found.target_scores if high is None else high
        return self._result(scorer, text, scores, target_scores, low, found.std_errors, found.notes)

    def _ends(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]] | None,
    ) -> tuple[list[Float[Tensor, " _"]] | None, list[Float[Tensor, " _"]] | None]:
        """Target scores at the baselines, and of the texts: none of them run twice, and those not known run together.

        Those of the texts are `None` where the gradients bring them along.
        """
        if self.is_local:
            return None, None
        known = [k for k, text in enumerate(texts) if baselines is None or text.untouched_read is not None]
        everything = [torch.ones(1, len(texts[k].elements), dtype=torch.bool) for k in known]
        rows = scorer.scores([texts[k] for k in known], everything) if known else []
        high = {k: row[0] for k, row in zip(known, rows, strict=True)}
        if baselines is None:
            return None, [high[k] for k in range(len(texts))]

        def start(_embedding: Tensor, baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            yield baseline, 0.0

        def end(embedding: Tensor, _baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            yield embedding, 0.0

        asked = [(k, start) for k in range(len(texts))] + [(k, end) for k in range(len(texts)) if k not in high]
        at_ends = dict(
            scorer.moments(
                [texts[k] for k, _ in asked],
                [embeddings[k] for k, _ in asked],
                [baselines[k] for k, _ in asked],
                [path for _, path in asked],
                gradients=False,
            )
        )
        scores = [at_ends[i].score for i in range(len(asked))]
        high |= {k: scores[i] for i, (k, path) in enumerate(asked) if path is end}
        return scores[: len(texts)], [high[k] for k in range(len(texts))]

    def _token_scores(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        lows: Sequence[Float[Tensor, " _"]] | None,
        highs: Sequence[Float[Tensor, " _"]] | None,
    ) -> list[TokenScores]:
        """Of each text the scores of its tokens.

        Args:
            scorer: The engine.
            texts: What is explained.
            embeddings: Their embeddings `(l, d)`.
            baselines: Those of "nothing"; the embeddings themselves for methods that compare with nothing.
            lows: Target scores `(t,)` at the baselines, if there are any.
            highs: Target scores of the texts, where they are not among the points.
        """

        def path(text: ExplainedText, embedding: Tensor, baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            return self.points(embedding, baseline, spread_of(text, embedding), self._generator())

        found: dict[int, TokenScores] = {}
        paths = [partial(path, text) for text in texts]
        for k, moments in scorer.moments(texts, embeddings, baselines, paths):
            found[k] = TokenScores(self.token_scores(moments, embeddings[k].cpu()), moments.score)
        return [found[k] for k in range(len(texts))]

    def _by_element(
        self, text: ExplainedText, scores: Float[Tensor, "t l"], by: Float[Tensor, "t l"]
    ) -> Float[Tensor, "t g"]:
        """Scores of elements from those of tokens; the largest one is chosen by the size of other numbers."""
        free = scores.masked_fill(~text.free_tokens, 0.0)
        by = by.masked_fill(~text.free_tokens, 0.0)
        tokens = [list(element.tokens) for element in text.elements]
        return torch.stack([self._reduced(free[:, own], by[:, own]) for own in tokens], dim=1)

    def _reduced(self, scores: Float[Tensor, "t k"], by: Float[Tensor, "t k"]) -> Float[Tensor, " t"]:
        if self.reduction == "max":
            return scores.gather(1, by.abs().argmax(dim=1, keepdim=True))[:, 0]
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


def spread_of(text: ExplainedText, embedding: Float[Tensor, "l d"]) -> float:
    """The range of the values of a text's embeddings, in generation of the prompt's alone."""
    source = embedding[: text.sample.source_length]
    return float(source.max() - source.min())


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
