"""Hidden states read by the model's own end after an affine map that was learned for their layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from interpreto.concepts.lenses.logit_lens import check_split
from interpreto.concepts.lenses.reading import States, answers, divergence, names_of, positions_at_once, read, states_of
from interpreto.concepts.lenses.result import LensResult
from interpreto.concepts.tensor_folder import TensorFolder
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.unembedding import Unembedding

FORMAT = 1


@dataclass(frozen=True, slots=True)
class TunedLensReport:
    """What learning a lens did. Divergences are means over the tokens of texts that were held out, in nats.

    Args:
        layers: The split points.
        before: Divergence of each layer without a translator: that of the logit lens.
        after: Divergence with it; never larger.
        n_tokens: How many tokens were learned from.
        n_held_out: How many tokens were held out.
        steps: How many steps were made.
        seed: Of the choice of texts and tokens.
    """

    layers: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    n_tokens: int
    n_held_out: int
    steps: int
    seed: int


@final
@dataclass(frozen=True, eq=False, repr=False)
class TunedLens:
    """What the model would say if it ended after each split point, in the words of its last block.

    Before the model's own end reads a hidden state `h` of layer `s`, it becomes `h + A_s h + b_s`; `A_s` and `b_s` were
    learned to bring the lens's distribution near to the model's own. The last block has no translator. Learn one with
    `TunedLens.fit`, keep it with `save`.

    Args:
        model_with_split_points: The model, split where there are translators.
        layers: The split points that have a translator.
        weights: `A` of each `(s, d, d)`.
        biases: `b` of each `(s, d)`.
        k: How many of the most probable tokens are kept.
        report: What learning them did.

    Raises:
        InputError: Translators of other split points, or of another width.

    Reference: Belrose et al. (2023), Eliciting latent predictions from transformers with the tuned lens,
        arXiv:2303.08112.
    """

    model_with_split_points: ModelWithSplitPoints
    layers: tuple[str, ...]
    weights: Float[Tensor, "s d d"]
    biases: Float[Tensor, "s d"]
    _: KW_ONLY
    k: int = 5
    report: TunedLensReport | None = None

    def __post_init__(self) -> None:
        check_split(self.model_with_split_points)
        check_count("k", self.k, 1)
        unembedding = Unembedding(self.model_with_split_points.traits)
        missing = set(names_of(self.model_with_split_points.split_points)) - {*self.layers, unembedding.point.name}
        if missing:
            raise InputError(
                f"model_with_split_points: expected a model split at some of {list(self.layers)}, for which there are "
                f"translators, got {sorted(missing)}"
            )
        shape = (len(self.layers), unembedding.width, unembedding.width)
        if tuple(self.weights.shape) != shape or tuple(self.biases.shape) != shape[:2]:
            raise InputError(
                f"weights, biases: expected the shapes {shape} and {shape[:2]} of this model, got "
                f"{tuple(self.weights.shape)} and {tuple(self.biases.shape)}"
            )

    def __repr__(self) -> str:
        return f"TunedLens(layers={list(self.layers)}, k={self.k})"

    def __call__(self, inputs: Any, targets: Any = None) -> list[LensResult]:
        """What the lens sees in texts; one result a text, in their order.

        Args:
            inputs: Texts, as `get_activations` takes them.
            targets: What a model that writes has written; needed for encoder-decoders.

        Raises:
            InputError: Inputs that cannot be read.
            ModelError: The model answers with NaN.
        """
        split = self.model_with_split_points
        settings = {
            "k": self.k,
            "split_points": list(names_of(split.split_points)),
            "report": None if self.report is None else _report_to_dict(self.report),
        }
        return read(
            split,
            inputs,
            targets,
            k=self.k,
            translate=self.translated,
            method=type(self).__name__,
            settings=settings,
        )

    def translated(self, layer: str, states: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """What the model's end is given for hidden states of a layer: `h + A h + b`; for the last block the states.

        Args:
            layer: The split point.
            states: Its hidden states.
        """
        if layer not in self.layers:
            return states
        at = self.layers.index(layer)
        h = states.to(self.weights)
        return h + h @ self.weights[at].T + self.biases[at]

    @classmethod
    def fit(
        cls,
        model_with_split_points: ModelWithSplitPoints,
        inputs: Any,
        targets: Any = None,
        *,
        steps: int = 250,
        tokens_per_step: int = 256,
        learning_rate: float = 1e-3,
        held_out: float = 0.1,
        seed: int = 0,
        k: int = 5,
        progress: bool = False,
    ) -> TunedLens:
        """Learn a translator for each split point, by the divergence of its distribution from the model's own.

        Translators start as the identity and are learned by Adam, with a learning rate that falls to 0; ten times on
        the way each is tried on texts that were held out, and the best is kept, so on these none is worse than the
        logit lens. Of the model only the end after the last block is differentiated, and none of its weights.

        Cost: one forward pass a text, and a step runs the end of the model forward and back for each layer. The hidden
        states of all layers are kept, `4 s d` bytes a token; logits of a part of the step's tokens.

        Args:
            model_with_split_points: A model with a vocabulary, split at blocks.
            inputs: Texts like those that the lens is to read; some thousands of tokens at least.
            targets: What a model that writes has written; needed for encoder-decoders.
            steps: How many steps.
            tokens_per_step: How many tokens each step looks at.
            learning_rate: Of the first step; a change of `A`, and of `b` in units of the layer's typical size.
            held_out: Share of the texts that is not learned from, between 0 and 1; one at least.
            seed: Of the choice of texts and tokens.
            k: How many of the most probable tokens the lens keeps.
            progress: Whether to show a progress bar.

        Raises:
            InputError: Fewer than two texts, or an option out of range.
            ModelError: A model without vocabulary, or one that answers with NaN.
        """
        check_split(model_with_split_points)
        for name, value, least in (("steps", steps, 1), ("tokens_per_step", tokens_per_step, 1), ("seed", seed, 0)):
            check_count(name, value, least)
        if not learning_rate > 0 or not 0 < held_out < 1:
            raise InputError(
                "learning_rate, held_out: expected a number above 0 and a share between 0 and 1, got "
                f"{learning_rate!r} and {held_out!r}"
            )
        unembedding = Unembedding(model_with_split_points.traits)
        texts = list(states_of(model_with_split_points, unembedding, inputs, targets))
        if len(texts) < 2:
            raise InputError(
                f"inputs: expected at least two texts, to learn from one and try on the other, got {len(texts)}"
            )
        rng = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(texts), generator=rng).tolist()
        n_held = min(max(1, ceil(held_out * len(texts))), len(texts) - 1)
        layers = tuple(name for name in texts[0].layers if name != unembedding.point.name)
        trial, learned = (Rows.of([texts[at] for at in some], layers) for some in (order[:n_held], order[n_held:]))
        del texts
        if not layers:
            raise InputError(
                "model_with_split_points: expected a split point before the last block, got that one alone"
            )
        lessons = [_Lesson.begin(unembedding, states, steps, learning_rate) for states in learned.layers]
        before: list[float] = []
        every = max(1, steps // 10)
        with untouched(model_with_split_points.model, constant_parameters=True):
            for step in tqdm(range(steps + 1), desc="tuned lens", unit="step", disable=not progress):
                if step % every == 0 or step == steps:
                    tried = _tried(unembedding, lessons, trial)
                    before = before or tried
                    for lesson, loss in zip(lessons, tried, strict=True):
                        lesson.keep_if_best(loss)
                if step < steps:
                    chosen = torch.randint(len(learned.last), (tokens_per_step,), generator=rng)
                    _learn(unembedding, lessons, learned, chosen)
        report = TunedLensReport(
            layers,
            tuple(before),
            tuple(lesson.best for lesson in lessons),
            len(learned.last),
            len(trial.last),
            steps,
            seed,
        )
        return cls(
            model_with_split_points,
            layers,
            torch.stack([lesson.kept[0] for lesson in lessons]),
            torch.stack([lesson.kept[1] for lesson in lessons]),
            k=k,
            report=report,
        )

    def with_k(self, k: int) -> TunedLens:
        """The same lens, keeping another number of tokens."""
        return replace(self, k=k)

    def save(self, folder: str | Path) -> Path:
        """Write the translators to a folder: tensors as safetensors, everything else as JSON.

        Raises:
            StoreError: The folder cannot be written; a lens that was saved there before is still whole.
        """
        folder = Path(folder)
        about = {
            "format": FORMAT,
            "kind": "tuned lens",
            "layers": list(self.layers),
            "k": self.k,
            "report": None if self.report is None else _report_to_dict(self.report),
        }
        _FILES.write(folder, {"weights": self.weights, "biases": self.biases}, about)
        return folder

    @classmethod
    def load(cls, folder: str | Path, model_with_split_points: ModelWithSplitPoints) -> TunedLens:
        """Read a saved lens.

        Args:
            folder: Where it was saved.
            model_with_split_points: The model that it was learned for, split at some of its layers.

        Raises:
            InputError: Nothing there, a damaged file, or a lens of other split points.
        """
        folder = Path(folder)
        tensors, about = _FILES.read(folder)
        try:
            if about["kind"] != "tuned lens" or about["format"] != FORMAT:
                raise InputError(f"{folder}: expected a tuned lens of format {FORMAT}, got {about['kind']!r:.60}")
            layers, report = tuple(str(layer) for layer in about["layers"]), about["report"]
            found = None if report is None else _report_from_dict(report)
            weights, biases, k = tensors["weights"], tensors["biases"], about["k"]
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _FILES.damaged(folder, repr(error)) from error
        device = model_with_split_points.traits.device
        return cls(model_with_split_points, layers, weights.to(device), biases.to(device), k=k, report=found)


_FILES = TensorFolder("translators.safetensors", "lens.json", "a saved lens")


@dataclass(frozen=True, eq=False)
class Rows:
    """Hidden states of the tokens of some texts.

    Args:
        layers: Of each layer `(n, d)`.
        last: After the last block `(n, d)`.
    """

    layers: tuple[Float[Tensor, "n d"], ...]
    last: Float[Tensor, "n d"]

    @classmethod
    def of(cls, texts: Sequence[States], layers: Sequence[str]) -> Rows:
        """All tokens of texts, one after another."""
        return cls(
            tuple(torch.cat([text.layers[name] for text in texts]) for name in layers),
            torch.cat([text.last for text in texts]),
        )


@dataclass(eq=False)
class _Lesson:
    """One translator while it is learned: `A`, and `b` in units of the layer's typical size."""

    weight: Tensor
    bias: Tensor
    unit: float
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    best: float = float("inf")
    kept: tuple[Tensor, Tensor] = ()  # type: ignore[assignment]  # filled before the first step

    @classmethod
    def begin(cls, unembedding: Unembedding, states: Float[Tensor, "n d"], steps: int, learning_rate: float) -> _Lesson:
        width, device = unembedding.width, unembedding.traits.device
        weight = torch.zeros(width, width, device=device, requires_grad=True)
        bias = torch.zeros(width, device=device, requires_grad=True)
        unit = float(states.float().square().mean().sqrt())
        optimizer = torch.optim.Adam([weight, bias], lr=learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
        return cls(weight, bias, unit, optimizer, schedule)

    def translated(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        h = states.to(self.weight)
        return h + h @ self.weight.T + self.unit * self.bias

    def keep_if_best(self, loss: float) -> None:
        if loss < self.best:
            self.best = loss
            self.kept = (self.weight.detach().clone(), self.unit * self.bias.detach().clone())


def _learn(unembedding: Unembedding, lessons: Sequence[_Lesson], rows: Rows, chosen: Int[Tensor, " n"]) -> None:
    """One step of each translator, on the mean divergence over some tokens."""
    for some in torch.split(chosen, positions_at_once(unembedding, len(lessons))):
        with torch.enable_grad():
            torch.autograd.backward([_divergences(unembedding, lessons, rows, some).sum() / len(chosen)])
    for lesson in lessons:
        lesson.optimizer.step()
        lesson.schedule.step()
        lesson.optimizer.zero_grad()


def _tried(unembedding: Unembedding, lessons: Sequence[_Lesson], rows: Rows) -> list[float]:
    """The mean divergence of each layer over all tokens."""
    total = torch.zeros(len(lessons), dtype=torch.float64)
    with torch.no_grad():
        for some in torch.split(torch.arange(len(rows.last)), positions_at_once(unembedding, len(lessons))):
            total += _divergences(unembedding, lessons, rows, some).sum(dim=1, dtype=torch.float64).cpu()
    return (total / len(rows.last)).tolist()


def _divergences(
    unembedding: Unembedding, lessons: Sequence[_Lesson], rows: Rows, some: Int[Tensor, " n"]
) -> Float[Tensor, "s n"]:
    """Of each translator at some tokens; the translators have nothing in common, so neither have their gradients."""
    pairs = zip(lessons, rows.layers, strict=True)
    of_layers = [lesson.translated(states[some]) for lesson, states in pairs]
    found = answers(unembedding, of_layers, rows.last[some]).log_softmax(dim=-1)
    return divergence(found[:-1], found[-1].detach())


def _report_to_dict(report: TunedLensReport) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(report).items()}


def _report_from_dict(data: dict[str, Any]) -> TunedLensReport:
    return TunedLensReport(
        tuple(str(layer) for layer in data["layers"]),
        tuple(float(value) for value in data["before"]),
        tuple(float(value) for value in data["after"]),
        *(int(data[name]) for name in ("n_tokens", "n_held_out", "steps", "seed")),
    )
