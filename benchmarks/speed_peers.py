"""The same explanations by captum, shap and lime, in their documented usage.

Each gets the same explained function, baseline, targets and number of perturbations or steps. Where a library takes
several inputs a call it is given batches of `TOKENS` tokens, although its default is often one; the model's head and
the number of passes are as the library leaves them. Perturbation methods explain the words of the text or prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from speed_models import HIDDEN, Subject
from torch import Tensor, nn

TOKENS = 2048
NO_RISE = "has no RISE"
NO_SOBOL = "has no Sobol indices"
NO_GRADIENTS = "takes no gradients"
NO_OCCLUSION = "has no occlusion"

Run = Callable[[], object]


@dataclass(frozen=True, eq=False)
class Case:
    """One text and what is explained of it.

    Args:
        subject: The model.
        text: The text, or the prompt.
        output: Language models: what was written, as words.
        targets: Classes; of a language model, every token of the output is a target.
        log: Whether scores are log-probabilities.
        summed: Whether the sum over all output tokens is the one target.
        fixed: So many words at the front are never removed.
    """

    subject: Subject
    text: str
    output: str = ""
    targets: tuple[int, ...] = (1,)
    log: bool = False
    summed: bool = False
    fixed: int = 0

    @cached_property
    def ids(self) -> Tensor:
        """The whole row `(l,)`, the output included."""
        return self.subject.ids(f"{self.text} {self.output}".strip())

    @cached_property
    def source(self) -> int:
        """Number of tokens of the text or prompt."""
        return len(self.subject.ids(self.text))

    @cached_property
    def explained(self) -> list[int]:
        """Places of the words that peers remove: all, of an output those before its last one."""
        if not self.subject.writes:
            return list(range(1, self.source - 1))
        return list(range(self.fixed, self.source if self.summed else len(self.ids) - 1))

    @cached_property
    def columns(self) -> Tensor:
        """Columns that are read: classes, or the tokens of the output."""
        return self.ids[self.source :] if self.subject.writes else torch.tensor(self.targets, device=self.ids.device)

    @cached_property
    def positions(self) -> Tensor | None:
        """Where a language model is read: before each token of the output."""
        if not self.subject.writes:
            return None
        return torch.arange(self.source - 1, len(self.ids) - 1, device=self.ids.device)

    @property
    def read_ids(self) -> Tensor:
        """The row as far as the model needs it: nothing is read after the last token of an output."""
        return self.ids[:-1] if self.subject.writes else self.ids

    @property
    def batch(self) -> int:
        return max(1, TOKENS // len(self.ids))

    def read(self, logits: Tensor) -> Tensor:
        """From the model's logits to target scores `(b, t)`, or `(b,)` where they are summed."""
        if not self.subject.writes:
            values = logits.log_softmax(dim=-1) if self.log else logits
            return values[:, self.columns]
        found = logits[:, self.positions]
        found = found.log_softmax(dim=-1) if self.log else found
        scores = found.gather(-1, self.columns.expand(len(found), -1)[:, :, None])[:, :, 0]
        return scores.sum(dim=1) if self.summed else scores

    def of_ids(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        options = {} if mask is None else {"attention_mask": mask}
        return self.read(self.subject.model(input_ids=ids, **options).logits)

    def of_embeddings(self, embeddings: Tensor) -> Tensor:
        return self.read(self.subject.model(inputs_embeds=embeddings).logits)

    def of_keeps(self, keeps: np.ndarray) -> np.ndarray:
        """Scores under keep-vectors `(p, g)` of the explained words, in batches."""
        hidden = torch.full_like(self.ids, self.subject.removed_id())
        found = []
        for start in range(0, len(keeps), self.batch):
            keep = torch.from_numpy(keeps[start : start + self.batch]).to(self.ids.device) > 0.5
            whole = torch.ones(len(keep), len(self.ids), dtype=torch.bool, device=self.ids.device)
            whole[:, self.explained] = keep
            with torch.no_grad():
                found.append(self.of_ids(torch.where(whole, self.ids, hidden)).cpu())
        return torch.cat(found).double().numpy()

    def of_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Scores of texts of the explained words, in batches."""
        rest = self.output.split()[-1:]  # its last word is no element
        found = []
        for start in range(0, len(texts), self.batch):
            rows = [" ".join([text, *rest]) for text in texts[start : start + self.batch]]
            encoded = self.subject.tokenizer(rows, padding=True, return_tensors="pt").to(self.ids.device)
            mask = None if bool(encoded["attention_mask"].all()) else encoded["attention_mask"]
            with torch.no_grad():
                found.append(self.of_ids(encoded["input_ids"], mask).cpu())
        return torch.cat(found).double().numpy().reshape(len(texts), -1)

    @cached_property
    def embeddings(self) -> Tensor:
        return self.subject.embed(self.ids)[None]

    @cached_property
    def baseline_ids(self) -> Tensor:
        ids = self.ids.clone()
        ids[self.explained] = self.subject.removed_id()
        return ids

    @cached_property
    def feature_mask(self) -> Tensor:
        """One feature a word; tokens that stay go with the first one, whose baseline they equal."""
        mask = torch.zeros_like(self.ids)
        mask[self.explained] = torch.arange(len(self.explained), device=mask.device)
        return mask[None]


def each_target(case: Case, one: Callable[[int | None], object]) -> Run:
    """Captum explains one target a call."""
    targets: Sequence[int | None] = [None] if case.summed else range(len(case.columns))
    return lambda: [one(target) for target in targets]


def captum_perturbation(case: Case, method: str, count: int | None = None) -> Run:
    """`KernelShap`, `Lime` or, as occlusion, `FeatureAblation`, which explains all targets in one call."""
    from captum import attr

    options = {"feature_mask": case.feature_mask, "perturbations_per_eval": case.batch}
    inputs, baselines = case.ids[None], case.baseline_ids[None]
    explainer = getattr(attr, method)(case.of_ids)
    if method == "FeatureAblation":

        def ablate() -> object:
            with torch.no_grad():
                return explainer.attribute(inputs, baselines=baselines, **options)

        return ablate
    return each_target(
        case,
        lambda target: explainer.attribute(inputs, baselines=baselines, target=target, n_samples=count, **options),
    )


def captum_gradient(case: Case, method: str, count: int = 1) -> Run:
    """Saliency and the others on the embeddings, a target a call."""
    from captum import attr

    x, function = case.embeddings, case.of_embeddings
    baselines = case.subject.embed(case.baseline_ids)[None]
    if method == "Saliency":
        saliency = attr.Saliency(function)
        return each_target(case, lambda target: saliency.attribute(x.clone(), target=target, abs=False))
    if method == "InputxGradient":
        product = attr.InputXGradient(function)
        return each_target(case, lambda target: product.attribute(x.clone(), target=target))
    if method == "IntegratedGradients":
        integrated = attr.IntegratedGradients(function)
        return each_target(
            case,
            lambda target: integrated.attribute(
                x, baselines=baselines, target=target, n_steps=count, internal_batch_size=case.batch
            ),
        )
    if method == "GradientShap":
        shap = attr.GradientShap(function)
        return each_target(
            case, lambda target: shap.attribute(x, baselines=baselines, target=target, n_samples=count, stdevs=0.01)
        )
    kind = {"SmoothGrad": "smoothgrad", "SquareGrad": "smoothgrad_sq", "VarGrad": "vargrad"}[method]
    tunnel = attr.NoiseTunnel(attr.Saliency(function))
    return each_target(
        case,
        lambda target: tunnel.attribute(
            x,
            nt_type=kind,
            nt_samples=count,
            nt_samples_batch_size=min(count, case.batch),
            stdevs=0.01,
            target=target,
            abs=False,
        ),
    )


def shap_kernel(case: Case, count: int) -> Run:
    """`KernelExplainer` on keep-vectors; of `count` model calls two are its ends."""
    import shap

    g = len(case.explained)

    def run() -> object:
        explainer = shap.KernelExplainer(case.of_keeps, np.zeros((1, g)))
        return explainer.shap_values(np.ones((1, g)), nsamples=count - 2, l1_reg=False, silent=True)

    return run


class _OfEmbeddings(nn.Module):
    """The explained function as shap takes it."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.model, self.case = case.subject.model, case

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.case.of_embeddings(embeddings)


def shap_gradient(case: Case, count: int) -> Run:
    """`GradientExplainer` on the embeddings, with the baseline as background."""
    import shap

    background = case.subject.embed(case.baseline_ids)[None]
    explainer = shap.GradientExplainer(_OfEmbeddings(case), background, batch_size=min(count, case.batch))
    return lambda: explainer.shap_values(case.embeddings, nsamples=count)


def lime_text(case: Case, count: int) -> Run:
    """`LimeTextExplainer` on the text; of `count` model calls one is the untouched text."""
    from lime.lime_text import LimeTextExplainer

    explainer = LimeTextExplainer(
        bow=False, mask_string=HIDDEN if case.subject.writes else "[MASK]", split_expression=r"\s+", random_state=0
    )
    if case.summed or case.fixed:
        raise ValueError("not written: lime on a part of the words")
    words = [*case.text.split(), *case.output.split()[:-1]]
    labels = range(len(case.columns))
    return lambda: explainer.explain_instance(
        " ".join(words), case.of_texts, labels=labels, num_features=len(words), num_samples=count
    )
