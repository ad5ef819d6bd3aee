"""From concepts to decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.concepts.bridges.concept_function import ConceptFunction
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import Engine, Explained, ExplainedText, Scorer
from interpreto.model_wrapping.code_edits import CodedText, CodeEditingScorer
from interpreto.text import Element
from interpreto.types import Task


@dataclass(frozen=True, eq=False)
class ConceptsToOutput(ConceptFunction):
    """From concepts to decisions: which concepts of a text carry the model's answer, by any attribution method.

    The model runs with `h + decode(z') - decode(z)` in the place of a row `h` with codes `z`, where `z'` are the codes
    of the concepts that are kept, and what `removal` says for the others: what the concepts do not explain stays as it
    is, and keeping all of them changes nothing. Elements of the results are the concepts that are active in the text.
    Targets are those of the model. `InputxGradient` is gradient x concept; `Sobol` is the importance of CRAFT and
    COCKATIEL; `Insertion` and `Deletion` of such results are C-insertion and C-deletion. Gradients sum over rows;
    `Saliency` and its family take norms over them.

    Args:
        concept_explainer: Fitted concepts of a split model.
        granularity: What one row of hidden states belongs to; the same as in the fit. A row that is made from several
            tokens moves all of them alike.
        aggregation: How rows of several tokens become one; the same as in the fit.
        names: What to call concepts.
        removal: What the code of a removed concept becomes: `"zero"`, `"mean"` of the reference, or `"resample"`, codes
            of rows of the reference that are drawn at random.
        reference: Activations for `"mean"` and `"resample"`.
        n_draws: How many draws results are means of, for `"resample"`; each costs as much as one explanation, and
            their differences make standard errors. Metrics use the first draw.
        seed: Seed of the draws.
        max_concepts: At most so many concepts of a text are its elements, those with the largest codes; the others
            stay as they are.
        source_only: Models that write: only concepts in the rows of the prompt are elements, not those in what was
            written already.

    Models that write take rows of one token each: a row of several would know what is written later.

    References: Fel et al. (2023), arXiv:2306.07304, sections 3.2 and 4; Fel et al. (2023), CRAFT, arXiv:2211.10154;
    Jourdan et al. (2023), COCKATIEL, arXiv:2305.06754.
    """

    _: KW_ONLY
    removal: str = "zero"
    reference: Any = None
    n_draws: int = 8
    seed: int = 0
    max_concepts: int | None = None
    source_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.removal not in ("zero", "mean", "resample"):
            raise InputError(f"removal: expected 'zero', 'mean' or 'resample', got {self.removal!r}")
        if (self.reference is None) is not (self.removal == "zero"):
            raise InputError(
                "reference: expected activations for 'mean' and 'resample', and None for 'zero', got removal="
                f"{self.removal!r} and {'None' if self.reference is None else type(self.reference).__name__}"
            )
        check_count("n_draws", self.n_draws, 1)
        check_count("seed", self.seed, 0)
        if self.max_concepts is not None:
            check_count("max_concepts", self.max_concepts, 1)
        if self.reference is not None and self.concept_explainer.rows(self.reference).n_rows == 0:
            raise InputError("reference: expected at least one row of activations, got none")
        _ = self._mean_codes

    @cached_property
    def _mean_codes(self) -> Float[Tensor, " c"]:
        """Of the reference; zeros without one."""
        explainer = self.concept_explainer
        total = torch.zeros(explainer.concept_model.nb_concepts, dtype=torch.float64)
        if self.removal != "mean":
            return total.float()
        rows = explainer.rows(self.reference)
        for batch in rows.batches(4096):
            total += explainer.encode(batch).detach().double().sum(dim=0).cpu()
        mean: Tensor = total / rows.n_rows
        return mean.float()

    @property
    def n_versions(self) -> int | None:
        """How many draws results are means of."""
        return self.n_draws if self.removal == "resample" else None

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results."""
        own: dict[str, Any] = {"concept_removal": self.removal, "max_concepts": self.max_concepts}
        if self.removal == "resample":
            own |= {"n_draws": self.n_draws, "draws_seed": self.seed}
        return {**super().settings(), **own}

    def scorer(self, engine: Engine) -> CodeEditingScorer:
        """The engine for the model's answers.

        Raises:
            InputError: A removal of tokens.
        """
        if engine.removal is not None:
            raise InputError(
                f"removal: expected none where concepts are removed, as ConceptsToOutput(removal={self.removal!r}) "
                f"says, got {engine.removal!r}"
            )
        split = self.split
        return CodeEditingScorer(
            split.traits,
            split.task,
            engine.mode,
            split.traits.filling(None),
            engine.batch_size or split.batch_size,
            engine.progress,
            point=self.concept_explainer.point,
        )

    def texts(self, explained: Explained, scorer: Scorer, inputs: Any, targets: Any) -> list[ExplainedText]:
        """Texts whose elements are their concepts, each as often as codes are drawn for removed ones."""
        found = explained.texts(scorer, explained.sources_for(inputs, targets), targets)
        return [text for draws in self._coded(scorer, found, None) for text in draws]

    def again(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[ExplainedText]:
        """Explained texts from those of saved results."""
        known = self.concept_explainer.concept_model.nb_concepts
        wanted = []
        for text in texts:
            numbers = [element.tokens[0] if len(element.tokens) == 1 else -1 for element in text.elements]
            if not numbers or any(not 0 <= i < known for i in numbers) or any(e.end for e in text.elements):
                raise InputError(
                    f"{text.where}: expected an explanation by {known} concepts, got one by something else"
                )
            wanted.append(numbers)
        return [draws[0] for draws in self._coded(scorer, texts, wanted)]

    def _coded(
        self, scorer: Scorer, texts: Sequence[ExplainedText], wanted: Sequence[Sequence[int]] | None
    ) -> list[list[CodedText]]:
        """The texts with the concepts in them, or with those that are wanted; of each one a draw."""
        extraction, point, model = self.extraction, self.concept_explainer.point, self.concept_explainer.concept_model
        found = []
        for k, (text, hidden) in enumerate(zip(texts, scorer.hidden_states(texts, point), strict=True)):
            self._check_width(hidden.shape[1])
            rows = self._seen_rows(scorer, text, extraction.elements(text.sample, point.in_decoder))
            with torch.no_grad():
                all_codes = self.concept_explainer.encode(extraction.rows(hidden, text.sample, rows, point)).float()
            own = self._active(all_codes, text.where) if wanted is None else list(wanted[k])
            elements = tuple(Element(self.name(i), 0, 0, 0, (i,)) for i in own) if wanted is None else text.elements
            made = CodedText(
                text.where,
                text.sample,
                elements,
                text.readout,
                codes=all_codes[:, own].cpu(),
                nothing=self._mean_codes[own].expand(len(rows), -1),
                directions=model.dictionary[own].float().cpu(),
                carriers=tuple(tuple(places) for places in extraction.carriers(text.sample, rows, point)),
            )
            found.append([replace(made, nothing=nothing) for nothing in self._nothings(made, own)])
        return found

    def _seen_rows(self, scorer: Scorer, text: ExplainedText, rows: Sequence[Element]) -> list[Element]:
        """The rows that targets see, of those of a text.

        Raises:
            InputError: Rows that know what is written later.
        """
        writes = scorer.task is Task.CAUSAL_LM or (scorer.task.generates and self.concept_explainer.point.in_decoder)
        if writes and any(len(row.tokens) > 1 for row in rows):
            raise InputError(
                f"granularity: expected 'token' or 'all_tokens' for a model that writes, got {self.granularity!r}: a "
                "row of several tokens knows what is written later"
            )
        last = max(text.readout.slots) if writes else len(text.sample.tokens)
        if self.source_only and writes:
            last = min(last, text.sample.output_start - 1)
        return [row for row in rows if row.tokens[0] <= last]

    def _active(self, codes: Float[Tensor, "rows c"], where: str) -> list[int]:
        size = codes.abs().amax(dim=0) if len(codes) else codes.new_zeros(codes.shape[1])
        active = size.nonzero()[:, 0]
        if not len(active):
            raise InputError(f"{where}: expected a text with concepts, none of the {codes.shape[1]} is active in it")
        if self.max_concepts is not None and len(active) > self.max_concepts:
            active = active[size[active].argsort(descending=True, stable=True)[: self.max_concepts]].sort().values
        return [int(i) for i in active]

    def _nothings(self, text: CodedText, own: Sequence[int]) -> list[Float[Tensor, "rows g"]]:
        """Codes of removed concepts, one a draw."""
        if self.removal != "resample":
            return [text.nothing]
        rows, rng = self.concept_explainer.rows(self.reference), Generator().manual_seed(self.seed)
        chosen = torch.randint(rows.n_rows, (self.n_draws, len(text.codes)), generator=rng)
        return [self.concept_explainer.encode(rows.take(draw)).detach().float().cpu()[:, own] for draw in chosen]
