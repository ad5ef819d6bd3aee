"""Any function from token ids to scores, in the shape of a transformers model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutput

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.hooks import untouched
from interpreto.types import Task

_TASKS = (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.MASKED_LM, Task.CAUSAL_LM)
_LABELLED = (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION)
_MASK = "attention_mask"


class CustomModel(nn.Module):
    """A function `ids (b, l) -> scores`, or a torch module that is one, which is explained as transformers models are.

    Explainers, metrics and `ModelWithSplitPoints` take it without a tokenizer, for it knows its own. Every method that
    hides elements works; those that ask for gradients need `embeddings`. Methods that read the inside of a transformer
    (`AttnLRP`, `AttentionRollout`, `DeepLift`) refuse it.

    A function without an argument `attention_mask` is given rows of one length at a time, never padding; removal
    `"attention"` is refused, and the default is the tokenizer's mask token, or else `"delete"`. One with such an
    argument is given `(b, l)` ones and zeros, 0 for padding at the right and for what is hidden. Modules are run in
    evaluation mode; what a plain function does inside is its own affair.

    Args:
        function: Takes ids as a tensor `(b, l)` of whole numbers, one row a text, and answers with logits, or any other
            scores, as a tensor, an array or a list (or an object that has these as `logits`): `(b, c)` for
            classification, `(b, l, c)` for the tasks that are read at tokens, where a causal language model's scores at
            a token are for the next one. A row's scores must not depend on the other rows.
        tokenizer: The fast tokenizer whose ids it takes.
        task: `"classification"`, `"token-classification"`, `"masked-lm"` or `"causal-lm"`.
        labels: Names of the classes; by default `LABEL_0`, `LABEL_1`, ... A single score is a number, not a class.
        embeddings: For gradient methods: the layer that looks ids up, as a path in the module (`"encoder.embedding"`)
            or as the layer itself. The scores must then be torch's, differentiable in what the layer answers.

    Raises:
        InputError: A task that cannot be asked of a function, names that are not as many as the scores, or no such
            layer.
        ModelError: It fails on a short text, or answers with something else.

    >>> from interpreto import Occlusion
    >>> from interpreto.demo import load
    >>> tokenizer = load("emotion")[1]
    >>> shouts = CustomModel(lambda ids: (ids == tokenizer.vocab["!"]).sum(1, keepdim=True), tokenizer, labels=["loud"])
    >>> result = Occlusion(shouts)("Stop it!")[0]
    >>> [(element.text, score) for element, score in zip(result.elements, result.scores[0].tolist())]
    [('Stop', 0.0), (' it', 0.0), ('!', 1.0)]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        tokenizer: PreTrainedTokenizerBase,
        *,
        task: Task | str = Task.CLASSIFICATION,
        labels: Sequence[str] | None = None,
        embeddings: str | nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not callable(function):
            raise ModelError(f"function: expected one from ids to scores, got {type(function).__name__}")
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise ModelError(f"tokenizer: expected a transformers tokenizer, got {type(tokenizer).__name__}")
        if task not in _TASKS:
            raise InputError(f"task: expected one of {[known.value for known in _TASKS]}, got {task!r:.60}")
        self.task: Task = Task(task)
        self.tokenizer = tokenizer
        # Compiled code passes over hooks.
        self.function: Callable[..., Any] = getattr(function, "_orig_mod", function)
        owner = getattr(function, "__self__", None)  # of a method, so that its module is in evaluation mode, too
        self.owner: nn.Module | None = owner if isinstance(owner, nn.Module) else None
        self.embeddings: nn.Module = _NoEmbeddings() if embeddings is None else _layer(self.function, embeddings)
        known = ("input_ids", _MASK) if _takes_mask(self.function) else ("input_ids",)
        self.arguments: frozenset[str] = frozenset(known)
        self.config: PretrainedConfig = PretrainedConfig()
        self.config.num_hidden_layers = 0  # that are known
        self.generation_config: GenerationConfig = GenerationConfig()  # type: ignore[no-untyped-call]
        self._n_scores: int | None = None
        self._n_scores = self._look()
        self._name_scores(self._n_scores, labels)

    def forward(
        self, input_ids: Int[Tensor, "b l"], attention_mask: Int[Tensor, "b l"] | None = None
    ) -> SequenceClassifierOutput:
        """The function's scores as `logits`.

        Raises:
            ModelError: They are not numbers of the shape that the task asks for.
        """
        if _MASK not in self.arguments:
            answer = self.function(input_ids)
        else:
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            answer = self.function(input_ids, attention_mask=mask)
        return SequenceClassifierOutput(logits=self._scores(answer, input_ids))

    def get_input_embeddings(self) -> nn.Module:
        """The layer that looks ids up."""
        return self.embeddings

    def get_output_embeddings(self) -> None:
        """No head is known."""

    def can_generate(self) -> bool:
        """Whether its scores are for next tokens."""
        return self.task.generates

    def generate(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse to write.

        Raises:
            InputError: Always.
        """
        raise InputError("targets: expected the output of each input, for a custom model writes nothing by itself")

    @property
    def dtype(self) -> torch.dtype:
        """The number type of its weights; float32 where it has none."""
        return next((weight.dtype for weight in self.parameters() if weight.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where its weights are; the processor where it has none."""
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    def _look(self) -> int:
        """How many scores it gives."""
        ids = list(self.tokenizer("a b c", verbose=False)["input_ids"])
        try:
            with untouched(self), torch.no_grad():
                logits = self(torch.tensor([ids, ids], device=self.device)).logits
        except ModelError:
            raise
        except Exception as error:  # the user's code may fail in any way
            raise ModelError(
                f"function: expected scores for ids (2, {len(ids)}), it failed with {type(error).__name__}: "
                f"{error!s:.300}"
            ) from error
        return int(logits.shape[-1])

    def _name_scores(self, n_scores: int, labels: Sequence[str] | None) -> None:
        if self.task not in _LABELLED:
            if labels is not None:
                raise InputError(f"labels: expected none for {self.task.value}, whose scores are of tokens")
            if n_scores < len(self.tokenizer):
                raise ModelError(
                    f"function: expected a score for each of the tokenizer's {len(self.tokenizer)} tokens, got "
                    f"{n_scores}"
                )
            return
        names = [f"LABEL_{k}" for k in range(n_scores)] if labels is None else [str(label) for label in labels]
        if len(names) != n_scores or isinstance(labels, str):
            raise InputError(f"labels: expected {n_scores} names, one a score, got {labels!r:.80}")
        if len(set(names)) < len(names):
            raise InputError(f"labels: expected names that differ, got {labels!r:.80}")
        self.config.id2label = dict(enumerate(names))
        self.config.label2id = {name: k for k, name in enumerate(names)}

    def _scores(self, answer: Any, ids: Tensor) -> Tensor:
        """What the function answered as a tensor, beside the ids."""
        found = getattr(answer, "logits", answer)
        found = found["logits"] if isinstance(found, dict) and "logits" in found else found
        at_tokens = self.task is not Task.CLASSIFICATION
        wanted = (*ids.shape, "c") if at_tokens else (len(ids), "c")
        try:
            scores = torch.as_tensor(found)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(self._unexpected(wanted, f"{type(answer).__name__}: {answer!r:.60}")) from error
        if not at_tokens and scores.shape == (len(ids),):
            scores = scores[:, None]
        width = self._n_scores if self._n_scores is not None else scores.shape[-1] if scores.dim() else 0
        if tuple(scores.shape) != (*wanted[:-1], width) or not width or scores.is_complex():
            raise ModelError(self._unexpected((*wanted[:-1], self._n_scores or "c"), f"shape {tuple(scores.shape)}"))
        return scores.to(ids.device) if scores.is_floating_point() else scores.to(ids.device, torch.float32)

    def _unexpected(self, wanted: Sequence[Any], got: str) -> str:
        shape = ", ".join(str(size) for size in wanted)
        return f"function: expected scores ({shape}) for ids ({wanted[0]}, l) of {self.task.value}, got {got}"


class _NoEmbeddings(nn.Module):
    """Stands where a layer would be that nobody named."""

    def forward(self, _ids: Tensor) -> NoReturn:
        raise ModelError(
            "embeddings: expected the layer that looks ids up, which this method asks for; pass "
            "CustomModel(..., embeddings='embedding'), or take a method without gradients, such as KernelShap"
        )


def _takes_mask(function: Any) -> bool:
    try:
        return _MASK in inspect.signature(getattr(function, "forward", function)).parameters
    except (TypeError, ValueError):  # built-in functions have no signature
        return False


def _layer(function: Any, embeddings: str | nn.Module) -> nn.Module:
    """The layer of this name.

    Raises:
        InputError: No such layer.
    """
    if isinstance(embeddings, nn.Module):
        return embeddings
    modules: dict[str, nn.Module] = dict(function.named_modules()) if isinstance(function, nn.Module) else {}
    if not embeddings or embeddings not in modules:
        known = [path for path, module in modules.items() if isinstance(module, nn.Embedding)]
        hint = f"it has {known}" if modules else "a function has no named layers, so pass the layer itself"
        raise InputError(f"embeddings: expected a layer of the module, got {embeddings!r}; {hint}")
    return modules[embeddings]
