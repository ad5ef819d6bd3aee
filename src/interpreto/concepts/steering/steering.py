"""Steering: boost, clamp or ablate concepts of a model while it runs, or add a direction to what it thinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from operator import index
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.models.affine_model import AffineModel
from interpreto.concepts.steering.distributions import Predictions, kl_divergence
from interpreto.concepts.steering.edits import Addition, CodeChange, CodeEdit, Edit, Operation, together
from interpreto.concepts.steering.intervention import Intervention
from interpreto.concepts.steering.measures import Measurement
from interpreto.concepts.steering.passes import Positions, Where, checked_positions
from interpreto.concepts.steering.response import DoseResponse
from interpreto.concepts.steering.strength import strength_for
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.activations import ActivationGranularity, Aggregation, choice
from interpreto.model_wrapping.extraction import Extraction
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.readers import HookReader, checked, places_of
from interpreto.model_wrapping.split_points import SplitPoint


@final
@dataclass(frozen=True, eq=False)
class Steering:
    """Changes concepts in the hidden states of a running model, token by token, inside a `with` block.

    With codes `z = encode(h)` of a token's hidden state `h`, every operation on concepts adds what their change means:
    `h' = h + decode(z') - decode(z)`. What the concepts do not explain stays as it is, and a change that changes
    nothing (factor 1, strength 0) leaves the model as it is to the bit. Each token is encoded by itself, whatever the
    concepts were learned from.

    A direction, a tensor `(d,)`, can stand wherever a concept can, with or without concepts: its code is the
    projection `z = h u` on the unit vector `u` of that direction, and it decodes to `z u`.

    Inside the block the model may be called, asked to `generate` (with or without cache, sampling, beams, padding on
    either side) or explained; blocks inside blocks act in the order in which they are entered. Weights, settings and
    the tokenizer stay as they are, and hooks are gone when the block ends, however it ends.

    Args:
        source: Fitted concepts of a split model; or a split model, to steer by directions alone.
        split_point: For a split model of several split points: which one. Concepts have their own.

    Raises:
        InputError: Neither of these, concepts without a split model, no choice of several split points, or concepts of
            another width than the model has at the split point.
        NotFittedError: Concepts that were not learned yet.

    >>> from interpreto.demo import load
    >>> from interpreto.model_wrapping import ModelWithSplitPoints
    >>> model, tokenizer = load("stories")
    >>> steering = Steering(ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer))
    >>> direction = torch.ones(192)
    >>> inputs = tokenizer("One day", return_tensors="pt")
    >>> with steering.steer(direction, 4.0) as intervention:
    ...     steered = model(**inputs).logits
    >>> intervention
    <steer(direction, 4) at split point '2'>
    >>> bool((steered == model(**inputs).logits).all())
    False
    """

    source: ConceptExplainer | ModelWithSplitPoints
    _: KW_ONLY
    split_point: int | str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.source, (ConceptExplainer, ModelWithSplitPoints)):
            raise InputError(
                "source: expected fitted concepts such as PCAConcepts(...), or a ModelWithSplitPoints, got "
                f"{type(self.source).__name__}"
            )
        concepts, point = self._concepts, self.point
        if concepts is not None and concepts.width != self.width:
            raise InputError(
                f"split point {point.name!r}: expected the width {concepts.width} that the concepts have, got "
                f"{self.width}; fit them on this model's activations"
            )

    @property
    def split(self) -> ModelWithSplitPoints:
        """The split model."""
        return self.source.split if isinstance(self.source, ConceptExplainer) else self.source

    @cached_property
    def point(self) -> SplitPoint:
        """Where the model is steered."""
        if isinstance(self.source, ConceptExplainer):
            if self.split_point is not None:
                raise InputError("split_point: expected none, for concepts have their own; leave it out")
            return self.source.point
        points = {point.name: point for point in self.split.split_points}
        if self.split_point is None and len(points) == 1:
            return next(iter(points.values()))
        name = None if self.split_point is None else self.split.point_name(self.split_point)
        if name not in points:
            raise InputError(f"split_point: expected one of {list(points)}, got {self.split_point!r}")
        return points[name]

    @cached_property
    def width(self) -> int:
        """How many numbers a hidden state has at the split point; found by a short pass."""
        traits = self.split.traits
        ids = list(traits.tokenizer("a b c", verbose=False)["input_ids"])
        inputs = {"input_ids": torch.tensor([ids], device=traits.device)}
        if traits.is_encoder_decoder and traits.base.can_generate():
            inputs["decoder_input_ids"] = torch.tensor([traits.decoder_prefix], device=traits.device)
        found: dict[str, Tensor] = {}
        places = places_of(traits, [self.point])
        with untouched(traits.model), torch.no_grad(), visited(places, found.__setitem__, stop=True):
            traits.runner(**inputs)
        return checked(found, [self.point])[self.point.name].shape[-1]

    @property
    def _concepts(self) -> ConceptModel | None:
        return self.source.concept_model if isinstance(self.source, ConceptExplainer) else None

    # What can be done

    def boost(
        self,
        what: int | Tensor,
        factor: float | None = None,
        *,
        kl: float | None = None,
        prompts: Any = None,
        sign: int = 1,
        positions: Positions | slice | str = Positions.ALL,
    ) -> Intervention:
        """Multiply a concept where it is: `z' = f z`. Where its code is 0 it stays 0, for `clamp` to change.

        Args:
            what: The concept's number, or a direction `(d,)`.
            factor: `f`; 1 changes nothing, 0 ablates, below 0 turns the concept around.
            kl: In its place: how much the predictions are to shift, in nats. The factor `1 + sign s` is then chosen so
                that `KL(clean || steered)` of the next token after each prompt (a classifier's classes of each text),
                averaged over the prompts, is `kl` within 1 %. Makes the same intervention comparable between models,
                layers and concepts.
            prompts: Texts on which `kl` is measured; a few passes over them, by doubling and bisection.
            sign: With `kl`, 1 for more of the concept, -1 for less.
            positions: Which tokens: `"all"`, `"prompt"` or `"generated"` of what `model.generate` is given and writes,
                or a `slice` of each text's own tokens (`slice(1, None)` spares the first one).

        Raises:
            InputError: No such concept, a direction of another width, no number, both `factor` and `kl` or neither, or
                a `kl` that no factor reaches; the message says what was reached.

        Reference: for strengths by their shift Gur-Arieh et al. (2025), Enhancing automated interpretability with
        output-centric feature descriptions, section 3, arXiv:2501.08319.
        """

        def boosted(amount: float) -> Intervention:
            return self._coded(Operation.BOOST, what, amount, positions)

        return self._sized(boosted, "factor", factor, kl, prompts, sign, neutral=1.0, start=1.0)

    def clamp(
        self, what: int | Tensor, value: float, *, positions: Positions | slice | str = Positions.ALL
    ) -> Intervention:
        """Set a concept everywhere: `z' = v`.

        Args:
            what: The concept's number, or a direction `(d,)`, whose code is the projection on its unit vector.
            value: `v`, in units of the codes.
            positions: As in `boost`.

        Raises:
            InputError: No such concept, a direction of another width, or no number.
        """
        return self._coded(Operation.CLAMP, what, value, positions)

    def ablate(
        self, what: int | Tensor, *, mean_of: Any = None, positions: Positions | slice | str = Positions.ALL
    ) -> Intervention:
        """Take a concept away: `z' = 0`, or its mean. A direction is projected out: `h' = h - (h u) u`.

        Args:
            what: The concept's number, or a direction `(d,)`.
            mean_of: Texts over whose tokens the mean is taken that the concept is set to. Away from the mean, 0 may be
                as unusual to the model as a large value.
            positions: As in `boost`.

        Raises:
            InputError: No such concept, or a direction of another width.

        Reference: for directions Arditi et al. (2024), Refusal in language models is mediated by a single direction,
        section 2.4, arXiv:2406.11717.
        """
        value = 0.0 if mean_of is None else self.mean_code(what, mean_of)
        found = self._coded(Operation.CLAMP, what, value, positions)
        return replace(
            found, name=f"ablate({self._label(what)}{'' if mean_of is None else f', to its mean {value:.4g}'})"
        )

    def steer(
        self,
        what: int | Tensor,
        strength: float | None = None,
        *,
        kl: float | None = None,
        prompts: Any = None,
        sign: int = 1,
        positions: Positions | slice | str = Positions.ALL,
    ) -> Intervention:
        """Add a direction everywhere: `h' = h + s u`, with `u` the unit vector of the concept's direction.

        Args:
            what: The concept's number, or a direction `(d,)`; its length does not matter.
            strength: `s`, in units of the hidden states; `0.3 * steering.typical_norm(texts)` is a strength in units of
                what is usual there. 0 changes nothing, below 0 goes the other way.
            kl: In its place, as in `boost`: the strength `sign s` is chosen by the shift of the predictions.
            prompts: Texts on which `kl` is measured.
            sign: With `kl`, 1 for the direction, -1 for its opposite.
            positions: As in `boost`.

        Raises:
            InputError: As in `boost`.

        Reference: Turner et al. (2023), Steering language models with activation engineering, arXiv:2308.10248.
        """
        model, concept = self._code(what)
        direction = model.dictionary[concept]
        length = direction.norm()
        if not bool(length > 0):
            raise InputError(f"concept {concept}: expected a direction, got zeros; the concept is dead")

        def steered(amount: float) -> Intervention:
            return self._made(Operation.STEER, what, amount, positions, Addition(direction / length, amount))

        return self._sized(steered, "strength", strength, kl, prompts, sign, neutral=0.0, start=1.0)

    def together(self, *interventions: Intervention) -> Intervention:
        """Several interventions at once: all of them see the hidden states as they come.

        Changes of concepts change the same codes `z`, one after the other, and are decoded once; the others are added.
        Interventions entered one inside the other differ: there the inner one encodes what the outer one has changed.

        Args:
            interventions: Of this steering, at the same positions.

        Raises:
            InputError: None, or some at other split points or positions.
        """
        for k, one in enumerate(interventions):
            if not isinstance(one, Intervention):
                raise InputError(f"interventions[{k}]: expected what boost(...) gives, got {type(one).__name__}")
            if one.traits is not self.split.traits or one.point != self.point:
                raise InputError(
                    f"interventions[{k}]: expected one at split point {self.point.name!r} of this model, got one at "
                    f"{one.point.name!r}; enter it in a with block of its own"
                )
            if one.positions != interventions[0].positions:
                raise InputError(
                    f"interventions[{k}]: expected the positions of the first one, got others; enter it in a with "
                    "block of its own"
                )
        if not interventions:
            raise InputError("interventions: expected at least one, got none")
        name = " and ".join(one.name for one in interventions)
        edits = together([edit for one in interventions for edit in one.edits])
        return replace(interventions[0], name=name, edits=edits, strength=None, kl=None)

    # What is usual, in the units of the operations

    def typical_norm(self, texts: Any, targets: Any = None) -> float:
        """Median length of the hidden states of these texts' tokens: the unit for a strength that fits the model.

        Args:
            texts: As attribution methods take them; special tokens do not count.
            targets: For a split point in a decoder of an encoder-decoder: what it writes, one output a text.
        """
        return float(self._rows(texts, targets).norm(dim=1).median())

    def mean_code(self, what: int | Tensor, texts: Any, targets: Any = None) -> float:
        """Mean code of a concept over these texts' tokens; arguments as in `typical_norm`."""
        model, concept = self._code(what)
        return float(model.encode(self._rows(texts, targets).to(model.dictionary))[:, concept].double().mean())

    def _rows(self, texts: Any, targets: Any) -> Float[Tensor, "n d"]:
        traits = self.split.traits
        extraction = Extraction(
            traits,
            HookReader(traits),
            (self.point,),
            ActivationGranularity.TOKEN,
            Aggregation.MEAN,
            batch_size=self.split.batch_size,
        )
        samples = self.split.samples(texts, targets)
        if not samples:
            raise InputError("texts: expected at least one, got none")
        return extraction.read(samples)[self.point.name].float()

    # What it does

    def dose_response(
        self,
        what: int | Tensor,
        strengths: Sequence[float],
        texts: Any,
        *,
        target: int | str | Sequence[str],
        operation: Operation | str = Operation.BOOST,
        other_texts: Any = None,
        positions: Positions | slice | str = Positions.ALL,
        generation: dict[str, Any] | None = None,
        n_samples: int = 1,
        seed: int = 0,
    ) -> DoseResponse:
        """What each strength does to a target, to the fluency of the model, and to everything else.

        Classifiers: `target_probability`, of the class, over `texts`. On `other_texts`: `agreement`, the share whose
        predicted class is that of the clean model, and `kl`, `KL(clean || steered)` of the classes, in nats.

        Causal language models: `target_log_probability`, of each target word right after each text, averaged over the
        words, in nats; what is written after each text gives `target_rate`, the share of target words among its words,
        and `generated_perplexity`, under the clean model. On `other_texts`: `held_out_perplexity`, under the steered
        model, and `kl` of the next token, averaged over the tokens, in nats.

        All figures are means over texts, with standard errors over texts. A perplexity is `exp` of the mean loss a
        token, its error `perplexity x error of the loss`. A boost that raises the target, with a perplexity and a `kl`
        that stay low, is what to look for.

        Cost, a strength: a pass over all texts; for language models also `n_samples` generations a text.

        Args:
            what: The concept's number, or a direction `(d,)`.
            strengths: Factors, values or strengths, as the operation takes them.
            texts: Texts to classify, or prompts.
            target: A class by number or label; or words, as they stand in a text, without spaces.
            operation: `"boost"`, `"clamp"` or `"steer"`.
            other_texts: Texts that have nothing to do with the target; without them the last figures are left out.
            positions: As in `boost`.
            generation: Settings for `model.generate`; by default it samples 20 tokens.
            n_samples: How many continuations of each prompt are drawn; the same random numbers for every strength.
            seed: Seed of what is drawn.

        Raises:
            InputError: Texts, a target or settings that cannot be used, or a model of another task.
        """
        how = choice("operation", operation, Operation)
        operations: dict[Operation, Callable[..., Intervention]] = {
            Operation.BOOST: self.boost,
            Operation.CLAMP: self.clamp,
            Operation.STEER: self.steer,
        }
        if isinstance(strengths, (str, bytes)) or not isinstance(strengths, Sequence) or not len(strengths):
            raise InputError(f"strengths: expected a list of numbers, got {strengths!r:.60}")
        numbers = [_number("strengths", strength) for strength in strengths]
        doses = [operations[how](what, number, positions=positions) for number in numbers]
        measurement = Measurement(
            Predictions(self.split), texts, other_texts, target, generation, n_samples=n_samples, seed=seed
        )
        clean, *effects = measurement.effects(doses)
        return DoseResponse(
            what=self._label(what),
            operation=how,
            target=measurement.target_names,
            strengths=tuple(numbers),
            clean=clean,
            effects=tuple(effects),
            settings={"split_point": self.point.name, "positions": _shown(doses[0].positions), **measurement.settings},
        )

    # How interventions are made

    def _label(self, what: int | Tensor) -> str:
        return "direction" if isinstance(what, Tensor) and what.dim() else f"concept {int(what)}"

    def _code(self, what: Any) -> tuple[ConceptModel, int]:
        """The concepts, and the number of the one that is meant; a direction is the only concept of its own.

        Raises:
            InputError: No such concept, or no direction of the model's width.
        """
        if isinstance(what, Tensor) and what.dim():
            return _only(what, self.width, self.split.traits.device), 0
        concepts = self._concepts
        try:
            number = None if isinstance(what, bool) else index(what)
        except TypeError:
            number = None
        if concepts is None or number is None:
            numbers = "" if concepts is None else f"a concept from 0 to {concepts.nb_concepts - 1}, or "
            raise InputError(f"what: expected {numbers}a direction as a tensor ({self.width},), got {what!r:.60}")
        if not 0 <= number < concepts.nb_concepts:
            raise InputError(f"what: expected a concept from 0 to {concepts.nb_concepts - 1}, got {number}")
        return concepts, number

    def _coded(self, operation: Operation, what: Any, amount: Any, positions: Any) -> Intervention:
        model, concept = self._code(what)
        name = "factor" if operation is Operation.BOOST else "value"
        change = CodeChange(concept, operation, _number(name, amount))
        return self._made(operation, what, change.amount, positions, CodeEdit(model, (change,)))

    def _made(self, operation: Operation, what: Any, amount: float, positions: Any, edit: Edit) -> Intervention:
        traits, point = self.split.traits, self.point
        where: Where = checked_positions(positions, traits, point)
        name = f"{operation.value}({self._label(what)}, {amount:.4g})"
        return Intervention(name, traits, point, (edit,), where, self.width, amount)

    def _sized(
        self,
        made: Callable[[float], Intervention],
        name: str,
        amount: Any,
        kl: Any,
        prompts: Any,
        sign: Any,
        *,
        neutral: float,
        start: float,
    ) -> Intervention:
        """The intervention of a given amount, or of the amount that shifts the predictions by `kl`."""
        if (amount is None) == (kl is None):
            raise InputError(f"{name}: expected either {name} or kl, got {'neither' if kl is None else 'both'}")
        if kl is None:
            if prompts is not None:
                raise InputError(f"prompts: expected none where {name} is given; pass kl in its place")
            return made(_number(name, amount))
        wanted = _number("kl", kl)
        if wanted <= 0:
            raise InputError(f"kl: expected a shift in nats, above 0, got {kl!r}")
        if prompts is None:
            raise InputError("prompts: expected texts on which kl is measured, got None")
        if isinstance(sign, bool) or sign not in (1, -1):
            raise InputError(f"sign: expected 1 or -1, got {sign!r:.60}")
        predictions = Predictions(self.split)
        samples = predictions.samples(prompts)
        clean = predictions.last(samples)

        def shift(strength: float) -> float:
            try:
                with made(neutral + sign * strength):
                    return float(kl_divergence(clean, predictions.last(samples)).mean())
            except ModelError:  # too strong for the model's number type
                return math.nan

        found = strength_for(wanted, shift, start=start)
        return replace(made(neutral + sign * found.value), kl=found.kl)


def _only(direction: Tensor, width: int, device: torch.device) -> ConceptModel:
    """A direction as the only concept: `z = h u`, which decodes to `z u`."""
    if direction.shape != (width,) or not direction.is_floating_point():
        raise InputError(
            f"direction: expected floats ({width},), the width of the hidden states, got {direction.dtype} "
            f"{tuple(direction.shape)}"
        )
    values = direction.detach().to(device, torch.promote_types(direction.dtype, torch.float32))
    length = values.norm()
    if not bool(torch.isfinite(length)) or not bool(length > 0):
        raise InputError("direction: expected numbers that are not all 0, got NaN, infinity or zeros")
    unit = (values / length)[None]
    return AffineModel(torch.zeros_like(values), unit, unit)


def _number(name: str, value: Any) -> float:
    """A finite number.

    Raises:
        InputError: The message names the option.
    """
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name}: expected a number, got {value!r:.60}")
    return number


def _shown(positions: Where) -> Any:
    return [positions.start, positions.stop] if isinstance(positions, slice) else positions.value
