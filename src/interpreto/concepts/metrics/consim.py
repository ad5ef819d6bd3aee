"""How useful explanations are to somebody who wants to predict the model: a language model takes the user's place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.importance import ConceptImportance, LocalImportance
from interpreto.concepts.metrics.passes import check_explainer
from interpreto.errors import InputError, check_count, warn
from interpreto.model_wrapping.activations import ActivationGranularity, Aggregation, choice
from interpreto.model_wrapping.llm_interface import Chat, Failure, LLMInterface
from interpreto.text import split_inputs


class ConSimPrompt(str, Enum):
    """What the simulator is told. `L` prompts are the controls: they have no explanation."""

    L1 = "L1"
    """The task alone."""
    L2 = "L2"
    """Texts with the model's predictions."""
    E1 = "E1"
    """The concepts that matter to each class."""
    E2 = "E2"
    """Both."""
    E3 = "E3"
    """Both, and what the concepts weigh in each of those texts."""
    U1 = "U1"
    """The same, and what they weigh in the texts that are asked about: an upper bound, for it leaks."""

    @property
    def control(self) -> ConSimPrompt:
        """The prompt without the explanation."""
        return ConSimPrompt.L1 if self in (ConSimPrompt.L1, ConSimPrompt.E1) else ConSimPrompt.L2


@dataclass(frozen=True, slots=True)
class ConSimResult:
    """Shares of predictions that the simulator got right.

    Args:
        scores: By prompt, one score a seed; `None` where there was no usable answer.
        chance: What guessing gets: one divided by the number of classes that are asked about.
    """

    scores: Mapping[str, tuple[float | None, ...]]
    chance: float

    def score(self, prompt: ConSimPrompt | str) -> float:
        """Mean over the seeds that have an answer; NaN where none has."""
        known = [score for score in self._of(prompt) if score is not None]
        return sum(known) / len(known) if known else float("nan")

    def gains(self, prompt: ConSimPrompt | str) -> tuple[float, ...]:
        """What the explanation adds to its control, seed by seed."""
        control = choice("prompt", prompt, ConSimPrompt).control
        pairs = zip(self._of(prompt), self._of(control), strict=True)
        return tuple(own - control for own, control in pairs if own is not None and control is not None)

    def _of(self, prompt: ConSimPrompt | str) -> tuple[float | None, ...]:
        name = choice("prompt", prompt, ConSimPrompt).value
        if name not in self.scores:
            raise InputError(f"prompt: expected one of those that were asked, {list(self.scores)}, got {name!r}")
        return self.scores[name]

    def gain(self, prompt: ConSimPrompt | str) -> tuple[float, float]:
        """Mean gain over its control, and half the width of its 95 % interval (Student's t over seeds)."""
        from scipy.stats import t

        gains = torch.tensor(self.gains(prompt), dtype=torch.float64)
        if len(gains) < 2:
            return (float(gains.mean()) if len(gains) else float("nan")), float("nan")
        return float(gains.mean()), float(t.ppf(0.975, len(gains) - 1) * gains.std() / len(gains) ** 0.5)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ConSim:
    """Automated simulatability: the share of a classifier's predictions that a language model foresees.

    The simulator is told the classes and, by prompt, some texts with the classifier's predictions, the concepts that
    matter to each class, and what they weigh in those texts. It is then asked about other texts. It is scored against
    the classifier's predictions, not against the truth, and the gain over the prompt without explanation is what the
    explanation is worth. Texts are drawn evenly over predicted classes, and over right and wrong predictions where the
    true labels are given; no text is both learned from and asked about.

    Cost: one call to the language model a prompt and seed.

    Args:
        concept_explainer: Fitted concepts of a split classifier.
        llm_interface: The simulator; set its temperature to 0.
        activation_granularity: What one row belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one.
        n_learning: Texts that are shown with their predictions.
        n_evaluation: Texts that are asked about.
        n_seeds: How many draws of texts.
        threshold: Concepts below this share of a class's (or text's) total weight are not told.
        anonymous: Whether classes are called `Class_0`, `Class_1`, ..., so that knowledge of the world is no help.
        seed: Seed of the first draw.

    Reference: Poche et al. (2025), ConSim: measuring concept-based explanations' effectiveness with automated
    simulatability, arXiv:2501.05855.
    """

    concept_explainer: ConceptExplainer
    llm_interface: LLMInterface
    activation_granularity: ActivationGranularity | str = ActivationGranularity.CLS_TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    n_learning: int = 20
    n_evaluation: int = 20
    n_seeds: int = 5
    threshold: float = 0.05
    anonymous: bool = False
    seed: int = 0

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("n_learning", "n_evaluation", "n_seeds"):
            check_count(name, getattr(self, name), 1)
        check_count("seed", self.seed, 0)
        check_explainer("concept_explainer", self.concept_explainer)
        llm: Any = self.llm_interface
        if not isinstance(llm, LLMInterface):
            got = type(llm).__name__
            raise InputError(f"llm_interface: expected one such as OpenAILLM(key), got {got}")
        choice("activation_granularity", self.activation_granularity, ActivationGranularity)
        choice("aggregation", self.aggregation, Aggregation)
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold: expected a share above 0 and below 1, got {self.threshold!r}")

    def __call__(
        self,
        inputs: Any,
        interpretations: Mapping[int, Any],
        *,
        labels: Sequence[int | str] | Tensor | None = None,
        prompts: Sequence[ConSimPrompt | str] = (ConSimPrompt.E2,),
    ) -> ConSimResult:
        """Scores of the prompts and of their controls.

        Args:
            inputs: Texts that the classifier reads; each seed draws from them.
            interpretations: What the concepts are called: by number a text, or a reading with a `label`. Concepts
                without a label are not told.
            labels: The true class of each text, by index or name.
            prompts: What the simulator is told; see `ConSimPrompt`.

        Raises:
            InputError: Too few texts, labels of another number, or a model that is no classifier.
            ModelCallError: The language model cannot be asked at all.
        """
        chats, truths, names = self._material(inputs, interpretations, labels, prompts)
        asked = [chat for per_seed in chats.values() for chat in per_seed]
        answers = self.llm_interface.generate(asked)
        scores: dict[str, tuple[float | None, ...]] = {}
        for k, name in enumerate(chats):
            own = answers[k * self.n_seeds : (k + 1) * self.n_seeds]
            scores[name] = tuple(
                self._scored(answer, truth, names, f"{name}, seed {self.seed + s}")
                for s, (answer, truth) in enumerate(zip(own, truths, strict=True))
            )
        return ConSimResult(scores, 1 / len(names))

    def prompts(
        self,
        inputs: Any,
        interpretations: Mapping[int, Any],
        *,
        labels: Sequence[int | str] | Tensor | None = None,
        prompts: Sequence[ConSimPrompt | str] = (ConSimPrompt.E2,),
    ) -> dict[str, list[Chat]]:
        """What would be asked, by prompt and seed, without asking it."""
        return self._material(inputs, interpretations, labels, prompts)[0]

    def _material(
        self,
        inputs: Any,
        interpretations: Any,
        labels: Any,
        prompts: Sequence[ConSimPrompt | str],
    ) -> tuple[dict[str, list[Chat]], list[list[str]], list[str]]:
        explainer = self.concept_explainer
        if not isinstance(interpretations, Mapping):
            got = type(interpretations).__name__
            raise InputError(f"interpretations: expected a mapping from concepts to what they are called, got {got}")
        everything = split_inputs(inputs)
        if labels is not None and len(labels) != len(everything):
            raise InputError(f"labels: expected {len(everything)} (one per input), got {len(labels)}")
        first = list({repr(text): k for k, text in reversed(list(enumerate(everything)))}.values())[::-1]
        texts = [everything[k] for k in first]  # the same text only once
        wanted = [choice("prompts", prompt, ConSimPrompt) for prompt in prompts]
        wanted = list(dict.fromkeys([*(p.control for p in wanted), *wanted]))
        needed = self.n_learning + self.n_evaluation
        if len(texts) < needed:
            raise InputError(
                f"inputs: expected at least {needed} different texts, to learn from and to ask about, got {len(texts)}"
            )
        split = explainer.split
        predicted = split.get_activations(texts, ActivationGranularity.CLS_TOKEN, include_predicted_classes=True)[
            "predictions"
        ]
        present = sorted(set(predicted.tolist()))
        names = {
            c: f"Class_{k}" if self.anonymous else _one_line(split.traits.names_of(c)) for k, c in enumerate(present)
        }
        told = _labels_of(interpretations)
        importance = None
        if any(prompt.value[0] != "L" for prompt in wanted):
            importance = explainer.importance(texts, None, self.activation_granularity, aggregation=self.aggregation)
        right = None if labels is None else self._true_classes([labels[k] for k in first]).eq(predicted)
        chats: dict[str, list[Chat]] = {prompt.value: [] for prompt in wanted}
        truths = []
        for s in range(self.n_seeds):
            rng = torch.Generator().manual_seed(self.seed + s)
            asked = _even_draw(predicted, right, self.n_evaluation, rng, taken=set())
            shown = _even_draw(predicted, right, self.n_learning, rng, taken=set(asked))
            truths.append([names[int(predicted[k])] for k in asked])
            local = {}
            if {ConSimPrompt.E3, ConSimPrompt.U1} & set(wanted):
                numbers = [*shown, *asked]
                own = [[int(predicted[k])] for k in numbers]
                found = explainer.local_importance(
                    [texts[k] for k in numbers], own, self.activation_granularity, aggregation=self.aggregation
                )
                local = dict(zip(numbers, found, strict=True))
            for prompt in wanted:
                chats[prompt.value].append(
                    self._chat(prompt, texts, names, predicted, told, importance, local, shown, asked)
                )
        return chats, truths, list(names.values())

    def _true_classes(self, labels: Sequence[Any]) -> Int[Tensor, " n"]:
        """Classes by index or name as indices."""
        traits = self.concept_explainer.split.traits
        known = [traits.index_of(label, "labels") if isinstance(label, str) else int(label) for label in labels]
        if not all(0 <= label < traits.config.num_labels for label in known):
            raise InputError(f"labels: expected classes from 0 to {traits.config.num_labels - 1}, got {known[:9]}...")
        return torch.tensor(known)

    def _chat(
        self,
        prompt: ConSimPrompt,
        texts: Sequence[Any],
        names: Mapping[int, str],
        predicted: Int[Tensor, " n"],
        told: Mapping[int, str],
        importance: ConceptImportance | None,
        local: Mapping[int, LocalImportance],
        shown: Sequence[int],
        asked: Sequence[int],
    ) -> Chat:
        system = [
            "You simulate a text classifier: you say which class it predicts for a text. Its predictions may be wrong; "
            "you are right when you say what it says, not when you say the truth.",
            f"The classes are: {', '.join(names.values())}.",
        ]
        if prompt.value[0] != "L" and importance is not None:
            system.append("What speaks for (++, +) and against (-, --) each class, in the classifier's eyes:")
            of_class = {name: k for k, name in enumerate(importance.target_names)}
            for number, name in names.items():
                weights = importance.signed[of_class[self.concept_explainer.split.traits.names_of(number)]]
                system.append(f"{name}: {self._weights(weights, told)}")
        user = []
        if prompt not in (ConSimPrompt.L1, ConSimPrompt.E1):
            user.append("Texts with the classifier's predictions:")
            for k, number in enumerate(shown):
                user.append(f"Sample_{k}: {_one_line(texts[number])}")
                if prompt in (ConSimPrompt.E3, ConSimPrompt.U1):
                    user.append(f"Concepts of Sample_{k}: {self._weights(local[number].weights[0].sum(dim=0), told)}")
                user.append(f"Class of Sample_{k}: {names[int(predicted[number])]}")
        user.append("Which class does the classifier predict for each of these texts?")
        for k, number in enumerate(asked, start=len(shown)):
            user.append(f"Sample_{k}: {_one_line(texts[number])}")
            if prompt is ConSimPrompt.U1:
                user.append(f"Concepts of Sample_{k}: {self._weights(local[number].weights[0].sum(dim=0), told)}")
        user.append(
            f"Answer with {len(asked)} lines, one for each of these texts and nothing else, as `Sample_i: class`."
        )
        return ({"role": "system", "content": "\n".join(system)}, {"role": "user", "content": "\n".join(user)})

    def _weights(self, weights: Float[Tensor, " c"], told: Mapping[int, str]) -> str:
        """Concepts by their share of the total weight, in four steps."""
        shares = weights / weights.abs().sum().clamp(min=1e-30)
        order = shares.abs().argsort(descending=True, stable=True).tolist()
        found = []
        for concept in order:
            share = float(shares[concept])
            if abs(share) < self.threshold or concept not in told:
                continue
            sign = "+" if share > 0 else "-"
            found.append(f"{told[concept]} ({sign * (2 if abs(share) >= 6 * self.threshold else 1)})")
        return ", ".join(found) or "nothing in particular"

    def _scored(self, answer: Any, truth: Sequence[str], names: Sequence[str], where: str) -> float | None:
        """Share of the asked texts that were foreseen; `None`, with a warning, for an answer that says nothing."""
        reason = answer.reason if isinstance(answer, Failure) else "it names no sample"
        given = {} if isinstance(answer, Failure) else parsed_answer(answer.text, names)
        first = self.n_learning
        numbers = [first + k for k in range(len(truth))]
        if not any(number in given for number in numbers):
            shift = list(range(len(truth)))  # an answer counted from 0
            if not any(number in given for number in shift):
                warn(f"{where}: no usable answer ({reason}); it is left out of the mean")
                return None
            numbers = shift
        right = [given.get(number) == wanted for number, wanted in zip(numbers, truth, strict=True)]
        return sum(right) / len(right)


def parsed_answer(text: str, names: Sequence[str]) -> dict[int, str | None]:
    """`Sample_i: class` lines as numbers and names; `None` for something that is no name, other lines are passed over.

    >>> names = ["Film", "Mean Of Transportation", "U.S."]
    >>> parsed_answer("Sure!\\n**Sample_3**: mean of transportation\\n- sample 4 - Film.\\nSample_5: U.S.", names)
    {3: 'Mean Of Transportation', 4: 'Film', 5: 'U.S.'}
    """
    found: dict[int, str | None] = {}
    for number, rest in re.findall(_LINE, text, re.IGNORECASE | re.MULTILINE):
        if rest.strip():
            found[int(number)] = _named(rest, names)
    return found


_LINE = r"^[^\w\n]*(?:class of )?(?:sample[_ ]*)?(\d+)\b[ *`]*[:=\-–|.)]+(.*)$"


def _named(answer: str, names: Sequence[str]) -> str | None:
    """The one name that an answer gives: letters and digits alike, or written in it as it is."""
    alike = [name for name in names if _letters(name) == _letters(answer) and _letters(name)]
    if len(alike) == 1:
        return alike[0]
    written = sorted((name for name in names if name in answer), key=len)
    return written[-1] if written else None


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def _one_line(text: Any) -> str:
    parts = [text] if isinstance(text, str) else getattr(text, "text", None) or text
    return " ".join(str(parts if isinstance(parts, str) else " / ".join(map(str, parts))).split())


def _labels_of(interpretations: Mapping[int, Any]) -> dict[int, str]:
    """Concepts that have a name."""
    labels = {int(k): v if isinstance(v, str) else getattr(v, "label", None) for k, v in interpretations.items()}
    return {concept: label for concept, label in labels.items() if label}


def _even_draw(
    predicted: Int[Tensor, " n"], right: Tensor | None, count: int, rng: Generator, *, taken: set[int]
) -> list[int]:
    """Texts from each predicted class in turn, right and wrong predictions in turn as far as there are, shuffled."""
    cells: dict[int, tuple[list[int], list[int]]] = {}
    for k in torch.randperm(len(predicted), generator=rng).tolist():
        if k not in taken:
            cells.setdefault(int(predicted[k]), ([], []))[right is None or bool(right[k])].append(k)
    drawn: list[int] = []
    while len(drawn) < count:
        classes = [c for c in sorted(cells) if any(cells[c])]
        for i in torch.randperm(len(classes), generator=rng).tolist()[: count - len(drawn)]:
            wrong, correct = cells[classes[i]]
            drawn.append((wrong if (len(drawn) % 2 and wrong) or not correct else correct).pop())
    return [drawn[i] for i in torch.randperm(len(drawn), generator=rng).tolist()]
