"""Concepts by the tokens whose logits move when the concept is put into, or taken out of, the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from math import isfinite
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations.output_result import OutputReading, OutputReadings
from interpreto.concepts.interpretations.token_names import TokenNames
from interpreto.concepts.interpretations.top_k_inputs import TopKInputs
from interpreto.concepts.interpretations.vocab_proj import named
from interpreto.errors import InputError, ModelError, check_count
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.forward import Forward, blamed_on_model
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.readers import places_of, shaped
from interpreto.model_wrapping.rows import perturb
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.targets import split_targets
from interpreto.model_wrapping.unembedding import Unembedding
from interpreto.text import Sample, split_inputs
from interpreto.types import InferenceMode, Task


@final
@dataclass(frozen=True, eq=False)
class TokenChange:
    """The tokens whose logits move most when a concept is set to `+s` and to `-s` at every position of some texts.

    A row `h` with the code `z_i` becomes `h + (±s_i - z_i) D_i`, so what the concepts do not explain stays as it is;
    `s_i = strength x (median norm of the texts' hidden states there) / norm of D_i`, so that 1 makes every concept as
    long as a typical hidden state. The weight of a token is the mean, over texts and over the positions of each, of its
    logit less that of the untouched model, with its standard error over the texts. Unlike `VocabProj` it sees what the
    blocks above do with the concept.

    Cost: two passes a concept and text. Where the head is linear, means are taken of what enters it, and no logits of
    the whole vocabulary are ever made.

    Args:
        concept_explainer: Fitted concepts of a model with a vocabulary.
        k: How many tokens a list has.
        nb_prompts: How many of the texts are used, chosen at random; all where there are fewer.
        strength: How long the concept is made, in median norms of hidden states; 0 takes it out.
        seed: Seed of the choice of texts.
        batch_size: Rows a forward pass; by default the split model's. Changes nothing but speed and memory.
        progress: Whether to show a progress bar.

    Raises:
        InputError: An option out of range.

    Reference: Gur-Arieh et al. (2025), Enhancing automated interpretability with output-centric feature descriptions,
        section 3.2, arXiv:2501.08319.

    >>> from interpreto.concepts import NeuronsAsConcepts
    >>> from interpreto.demo import load
    >>> model, tokenizer = load("stories")
    >>> concepts = NeuronsAsConcepts(ModelWithSplitPoints(model, split_points=-1, tokenizer=tokenizer))
    >>> found = TokenChange(concepts, k=3).interpret(0, ["Once upon a time, there was a dog.", "The cat ran home."])
    >>> [token.text for token in found[0]["raised when amplified"]]
    ['new', 'real', 'each']
    """

    concept_explainer: ConceptExplainer
    _: KW_ONLY
    k: int = 10
    nb_prompts: int = 32
    strength: float = 1.0
    seed: int = 0
    batch_size: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        TopKInputs(self.concept_explainer, batch_size=self.batch_size)  # refuses what has no concepts
        check_count("k", self.k, 1)
        check_count("nb_prompts", self.nb_prompts, 1)
        check_count("seed", self.seed, 0)
        known = isinstance(self.strength, (int, float)) and not isinstance(self.strength, bool)
        if not known or not isfinite(self.strength) or self.strength < 0:
            raise InputError(f"strength: expected a number, at least 0, got {self.strength!r}")

    def interpret(self, concepts_indices: Any = "all", inputs: Any = None, *, targets: Any = None) -> OutputReadings:
        """The tokens of concepts: lists `"raised when amplified"`, `"lowered when amplified"`, and `... suppressed"`.

        Args:
            concepts_indices: `"all"`, the number of a concept, or several.
            inputs: Texts, as `get_activations` takes them.
            targets: What a model that writes has written; needed for concepts in a decoder.

        Raises:
            InputError: No such concept, or no texts.
            ModelError: A model without vocabulary, or one that answers with NaN.
            NotFittedError: Nothing was learned yet.
        """
        texts = TopKInputs(self.concept_explainer)
        concepts, split = texts.concepts(concepts_indices), texts.split
        if inputs is None:
            raise InputError("inputs: expected the texts in which concepts are changed, got None")
        samples = self._chosen(split, inputs, targets)
        changes = Changes(
            self.concept_explainer, Unembedding(split.traits), tuple(samples), self.batch_size or split.batch_size
        )
        names = TokenNames(split.tokenizer)
        readings: list[OutputReading] = []
        with tqdm(total=len(concepts), desc="token change", unit="concept", disable=not self.progress) as bar:
            for some in changes.groups(concepts):
                readings += self._read(changes, some, names)
                bar.update(len(some))
        return OutputReadings(tuple(readings), type(self).__name__, {**self.settings(), "prompts_used": len(samples)})

    def _read(self, changes: Changes, concepts: Sequence[int], names: TokenNames) -> list[OutputReading]:
        moved = changes.of(concepts, self.strength)
        tables = changes.extremes(moved, min(self.k, changes.unembedding.nb_tokens))
        kinds = [f"{way} when {state}" for state in ("amplified", "suppressed") for way in ("raised", "lowered")]
        return [
            OutputReading(
                concept,
                tuple(
                    named(names, kind, *(column[row].tolist() for column in tables[way]))
                    for kind, (row, way) in zip(
                        kinds, ((2 * at + sign, way) for sign in (0, 1) for way in (0, 1)), strict=True
                    )
                ),
            )
            for at, concept in enumerate(concepts)
        ]

    def _chosen(self, split: ModelWithSplitPoints, inputs: Any, targets: Any) -> list[Sample]:
        items = split_inputs(inputs)
        written = None if targets is None else split_targets(targets, len(items))
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(self.seed))
        samples = []
        for at in sorted(order[: self.nb_prompts].tolist()):
            samples += split.samples([items[at]], None if written is None else [written[at]], at)
        return samples

    def settings(self) -> dict[str, Any]:
        """The options, as plain values."""
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.split_point_name(),
            "k": self.k,
            "nb_prompts": self.nb_prompts,
            "strength": float(self.strength),
            "seed": self.seed,
        }


Table = tuple[Float[Tensor, "r k"], Int[Tensor, "r k"], Float[Tensor, "r k"]]
"""Weights, ids and standard errors."""

_KEPT = 1 << 24  # numbers of a group of concepts


@dataclass(frozen=True, eq=False)
class Changes:
    """What concepts do to the mean over positions of what enters the head, or of the logits.

    Args:
        explainer: The concepts.
        unembedding: The end of their model.
        samples: The texts.
        batch_size: Rows a forward pass.
    """

    explainer: ConceptExplainer
    unembedding: Unembedding
    samples: tuple[Sample, ...]
    batch_size: int | None

    def groups(self, concepts: Sequence[int]) -> Iterator[Sequence[int]]:
        """Concepts, as many together as memory allows."""
        size = max(1, _KEPT // (2 * len(self.samples) * self._columns))
        for first in range(0, len(concepts), size):
            yield concepts[first : first + size]

    def of(self, concepts: Sequence[int], strength: float) -> Float[Tensor, "r p e"]:
        """For each concept two rows, set to `+s` and to `-s`: what that changes in each of `p` texts.

        Raises:
            ModelError: The model answers with NaN.
        """
        directions = self.explainer.dictionary.detach()[list(concepts)].float()
        norms = directions.norm(dim=1)  # 0 for dead concepts, which change nothing
        values = strength * self._typical_norm / torch.where(norms > 0, norms, torch.inf)
        both = torch.stack([values, -values], dim=1).flatten()  # (r,)
        found = []
        for sample, states, clean in zip(self.samples, self._states, self._clean, strict=True):
            with torch.no_grad():
                codes = self.explainer.encode(states)[:, list(concepts)].float()
            steps = both[:, None] - codes.T.repeat_interleave(2, dim=0).to(both)  # (r, l)
            moved = torch.zeros(len(both), self._columns)
            rows = (steps != 0).any(dim=1).nonzero()[:, 0].tolist()  # the others stay as they are: exactly no change

            def run(
                batch: Sequence[int],
                sample: Sample = sample,
                steps: Tensor = steps,
                clean: Tensor = clean,
                moved: Tensor = moved,
            ) -> None:
                some = list(batch)
                own = directions[[row // 2 for row in some]]
                moved[some] = self._mean(sample, len(some), steps[some][:, :, None] * own[:, None]) - clean

            at_once = self._rows_at_once(len(sample.tokens))
            with untouched(self.explainer.split.model), torch.no_grad():
                for first in range(0, len(rows), at_once):
                    self._forward.budget.in_halves(rows[first : first + at_once], run)
            found.append(moved)
        changes = torch.stack(found, dim=1)
        if not bool(torch.isfinite(changes).all()):
            raise ModelError(
                "model: expected numbers with the concepts changed, got NaN or infinity; lower strength, or use float32"
            )
        return changes

    def extremes(self, changes: Float[Tensor, "r p e"], k: int) -> tuple[Table, Table]:
        """The tokens that are raised most, and those that are lowered most, by the mean over texts."""
        mean = changes.mean(dim=1)
        if not self.unembedding.is_linear:
            own = changes[..., : self.unembedding.nb_tokens]
            raised, lowered = (mean[:, : own.shape[2]].topk(k, dim=1, largest=most) for most in (True, False))
            return tuple(  # type: ignore[return-value]  # of two
                (found.values, found.indices, _errors(own.gather(2, _beside(found.indices, own.shape[1]))))
                for found in (raised, lowered)
            )
        with untouched(self.explainer.split.model), torch.no_grad():
            values, ids, low, low_ids = self.unembedding.extremes(mean, k)
        return (values, ids, self._errors_of(changes, ids)), (low, low_ids, self._errors_of(changes, low_ids))

    def _errors_of(self, changes: Float[Tensor, "r p e"], ids: Int[Tensor, "r k"]) -> Float[Tensor, "r k"]:
        weight = self.unembedding.head.weight.detach()
        found = [
            _errors(own @ weight[tokens.to(weight.device)].float().cpu().T)
            for own, tokens in zip(changes, ids, strict=True)
        ]
        return torch.stack(found)

    @cached_property
    def _point(self) -> SplitPoint:
        return self.explainer.point

    @cached_property
    def _forward(self) -> Forward:
        traits = self.unembedding.traits
        return Forward(
            traits, self.explainer.split.task, InferenceMode.LOGITS, traits.filling(None), batch_size=self.batch_size
        )

    @cached_property
    def _columns(self) -> int:
        end = self.unembedding
        return end.head.in_features if end.is_linear else end.nb_logits

    def _rows_at_once(self, length: int) -> int:
        rows = self._forward.budget.rows_at_once(length)
        most = rows if self.unembedding.is_linear else self.unembedding.rows_at_once(length * self._columns)
        return min(rows, most)

    @cached_property
    def _untouched(self) -> list[tuple[Tensor, Tensor]]:
        """Of each text its hidden states `(l, d)`, and the mean of the untouched model."""
        found = []
        with untouched(self.explainer.split.model), torch.no_grad():
            for sample in self.samples:
                kept: list[Tensor] = []
                mean = self._mean(sample, 1, kept)
                found.append((kept[0][0], mean))
        width = self.explainer.concept_model.width
        if found[0][0].shape[1] != width:
            raise InputError(
                f"split point {self._point.name!r}: expected the width {width} that the concepts have, got "
                f"{found[0][0].shape[1]}; fit them on this model's activations"
            )
        return found

    @property
    def _states(self) -> list[Float[Tensor, "l d"]]:
        return [states for states, _ in self._untouched]

    @property
    def _clean(self) -> list[Float[Tensor, "1 e"]]:
        return [mean for _, mean in self._untouched]

    @cached_property
    def _typical_norm(self) -> float:
        return float(torch.cat([states.float().norm(dim=1) for states in self._states]).median())

    def _mean(self, sample: Sample, n_rows: int, change: Tensor | list[Tensor]) -> Float[Tensor, "b e"]:
        """A pass over copies of a text: the mean over positions of what enters the head, or of the logits.

        Args:
            sample: The text.
            n_rows: How many copies.
            change: What is added to the hidden states `(b, l, d)`; or a list, which is given the untouched ones.
        """
        forward, point = self._forward, self._point
        keep = torch.ones(n_rows, len(sample.tokens), dtype=torch.bool)
        rows = perturb(sample, keep, (), forward.filling, split=forward.task is Task.SEQ2SEQ_LM)
        entering: list[Tensor] = []
        is_linear = self.unembedding.is_linear

        def visit(name: str, hidden: Tensor) -> Tensor | None:
            if name not in places:
                entering.append(hidden)
                return None
            states = shaped(hidden, rows, point)
            if isinstance(change, list):
                change.append(states.detach())
                return None
            return (states.float() + change.to(states.device)).to(hidden).reshape(hidden.shape)

        places = places_of(forward.traits, [point])
        everywhere = {**places, **(self.unembedding.entry if is_linear else {})}
        inputs = forward.model_inputs(rows)
        with blamed_on_model(rows), visited(everywhere, visit, stop=is_linear):
            answer = forward.traits.runner(**inputs)
        found = entering[-1] if is_linear else answer.logits
        return found.reshape(n_rows, -1, found.shape[-1]).float().mean(dim=1).cpu()


def _beside(ids: Int[Tensor, "r k"], n_texts: int) -> Int[Tensor, "r p k"]:
    return ids[:, None].expand(-1, n_texts, -1)


def _errors(values: Float[Tensor, "*r p k"]) -> Float[Tensor, "*r k"]:
    """Standard errors of means over texts; NaN for a single one."""
    n_texts = values.shape[-2]
    return values.std(dim=-2) / n_texts**0.5 if n_texts > 1 else torch.full_like(values[..., 0, :], torch.nan)
