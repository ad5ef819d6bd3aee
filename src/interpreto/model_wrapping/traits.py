"""What a model is, read off its configuration, its modules and its answers, never off the name of its class."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interpreto.errors import InputError, ModelError, warn
from interpreto.model_wrapping.custom_model import CustomModel
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.readout import POOLED
from interpreto.model_wrapping.rows import Filling
from interpreto.text import Sample
from interpreto.types import Removal, Task

_LOG = logging.getLogger(__name__)
_SPARE = 1024  # embeddings beyond the tokenizer's: Phi-2 has 905, to make a round number
_SPARE_SHARE = 0.04  # DeepSeek-V2 has 2.3 %; BERT's cased tokenizer would leave 5 % of its uncased model's
_PROBE = 16  # tokens
_UNLIMITED = 10**6  # tokenizers without a limit report about 1e30


@dataclass(frozen=True, eq=False)
class Traits:
    """A model and its tokenizer, and what the engine must know of them.

    Raises:
        ModelError: The two do not belong together, or the model has no weights.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise ModelError(
                f"model: expected a loaded transformers model, got {type(self.model).__name__}; "
                "load it with AutoModelFor....from_pretrained(...)"
            )
        if not isinstance(self.tokenizer, PreTrainedTokenizerBase):
            raise ModelError(f"tokenizer: expected a transformers tokenizer, got {type(self.tokenizer).__name__}")
        prompts = getattr(getattr(self.model, "active_peft_config", None), "is_prompt_learning", False)
        if prompts:
            raise ModelError(
                "model: expected one whose input is the text alone, got one with a learned prompt before it, which "
                "moves every place that is read; adapters (LoRA and others) are fine"
            )
        _ = self._ends
        embeddings = self.embeddings[0]
        if any(parameter.is_meta for parameter in embeddings.parameters()) and _offloaded_to(embeddings) is None:
            raise ModelError("model: expected a model with weights, got one on the meta device; load its weights first")
        known = getattr(embeddings, "num_embeddings", None)
        if known is not None and len(self.tokenizer) > known:
            raise ModelError(
                f"tokenizer: expected a vocabulary that fits the model's {known} embeddings, got {len(self.tokenizer)} "
                "tokens; pass the tokenizer that the model was trained with"
            )
        if known is not None and known - len(self.tokenizer) > max(_SPARE, _SPARE_SHARE * known):
            warn(
                f"tokenizer: {len(self.tokenizer)} tokens for the model's {known} embeddings; models have some to "
                "spare, but so many look like another model's tokenizer, whose ids would mean other words"
            )

    @cached_property
    def base(self) -> PreTrainedModel | CustomModel:
        """The transformers model inside compiled and PEFT-wrapped ones; never used to run it."""
        return _unwrapped(self.model)

    def fits(self) -> bool:
        """Whether the model still has the embeddings and heads that were looked at; users may put others in."""
        return all(one is other for one, other in zip(self._ends, _ends(_unwrapped(self.model)), strict=True))

    @cached_property
    def _ends(self) -> list[Any]:
        return _ends(self.base)

    @property
    def runner(self) -> Any:
        """The model that is run: the user's, without `torch.compile`, which would pass over hooks."""
        return getattr(self.model, "_orig_mod", self.model)

    @property
    def config(self) -> Any:
        """The configuration of the text model."""
        config = self.base.config
        return config.get_text_config() if hasattr(config, "get_text_config") else config

    @cached_property
    def arguments(self) -> frozenset[str]:
        """Names of the inputs that the model takes."""
        if isinstance(self.base, CustomModel):
            return self.base.arguments
        return frozenset(inspect.signature(self.base.forward).parameters)

    @property
    def takes_mask(self) -> bool:
        """Whether the model can be told what it must not look at, padding above all."""
        return "attention_mask" in self.arguments

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the model reads one text and writes another."""
        return bool(getattr(self.base.config, "is_encoder_decoder", False)) and "decoder_input_ids" in self.arguments

    @cached_property
    def embeddings(self) -> Sequence[nn.Module]:
        """The layers that look up token embeddings: one, or the encoder's and the decoder's.

        Some models hand out one layer and look up in another that shares its weight: those follow the first.
        """
        found: list[nn.Module] = []
        if getattr(self.base.config, "is_encoder_decoder", False):
            for name in ("encoder", "decoder"):
                for module_name, module in self.base.named_modules():
                    if module_name.split(".")[-1] == name and hasattr(module, "get_input_embeddings"):
                        found.append(module.get_input_embeddings())
                        break
        if found:
            return found
        main = self.base.get_input_embeddings()
        weight, parts = getattr(main, "weight", None), set(main.modules())
        layers = [module for module in self.base.modules() if isinstance(module, nn.Embedding) and module not in parts]
        return [main, *(layer for layer in layers if layer.weight is weight)]

    @cached_property
    def head(self) -> nn.Module | None:
        """The layer from hidden states to vocabulary logits, if there is one."""
        base: Any = self.base
        head = base.get_output_embeddings()
        return head if isinstance(head, nn.Module) else None

    @cached_property
    def token_head(self) -> nn.Module | None:
        """The classification layer of decoders, which runs on every token before the last one is picked."""
        score = getattr(self.base, "score", None)
        return score if isinstance(score, nn.Module) and not self.is_encoder_decoder else None

    @cached_property
    def _padding_aware_positions(self) -> bool:
        """Whether positions are counted from the padding id on, as RoBERTa does."""
        return any(
            name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
            for name, module in self.base.named_modules()
        )

    @property
    def takes_positions(self) -> bool:
        """Whether positions are passed to the model, because it would count them from the attention mask."""
        wanted = {"position_ids", "past_key_values"} <= self.arguments
        return wanted and not self.is_encoder_decoder and not self._padding_aware_positions

    @cached_property
    def body_size(self) -> int:
        """The number of weights that every token meets: all but those that are looked up, and the output head's."""
        apart = [m for m in self.base.modules() if isinstance(m, nn.Embedding)] + [self.head or nn.Identity()]
        others = {id(weight) for module in apart for weight in module.parameters()}
        return max(1, sum(int(weight.numel()) for weight in self.base.parameters() if id(weight) not in others))

    @property
    def takes_past(self) -> bool:
        """Whether the model can go on from keys and values of the beginning of its rows."""
        return "past_key_values" in self.arguments and not self.is_encoder_decoder

    @cached_property
    def found_out(self) -> dict[str, Any]:
        """What short passes through the model have told, by name."""
        return {}

    @cached_property
    def limit(self) -> int | None:
        """The most tokens that the model reads, or `None` where it has no such number."""
        positions = getattr(self.config, "max_position_embeddings", None)
        limits = [self.tokenizer.model_max_length]
        if isinstance(positions, int) and positions > 0:
            shift = 0
            if self._padding_aware_positions:
                shift = (getattr(self.config, "pad_token_id", None) or 0) + 1
            limits.append(positions - shift)
        limit = min(limits)
        return int(limit) if limit < _UNLIMITED else None

    @property
    def window(self) -> int | None:
        """How many tokens a token sees in the narrowest layer, itself included; `None` where it sees all.

        1 for disentangled attention (DeBERTa), where a hidden token sees nothing.
        """
        if hasattr(self.config, "pos_att_type"):
            return 1
        names = ("sliding_window", "window_size", "attention_window")
        found = [getattr(self.config, name, None) for name in names]
        sizes = [size for value in found for size in (value if isinstance(value, (list, tuple)) else [value])]
        return min((size for size in sizes if isinstance(size, int) and size > 0), default=None)

    def pooled_at(self, ids: Sequence[int]) -> list[int]:
        """The places of the end tokens, which encoder-decoder classifiers look for; other models look for none."""
        if not self.is_encoder_decoder:
            return []
        ends = getattr(self.base.config, "eos_token_id", None)
        return [i for i, token in enumerate(ids) if token in (ends if isinstance(ends, (list, tuple)) else [ends])]

    def pooled_slot(self, sample: Sample) -> int:
        """Where a decoder's classification head reads: the last token that is not padding, by the model's own rule."""
        if self.token_head is None:
            return POOLED
        pad = getattr(self.config, "pad_token_id", None)
        places = [i for i, token in enumerate(sample.tokens) if token.id != pad]
        return places[-1] if places and pad is not None else len(sample.tokens) - 1

    def cls_place(self, sample: Sample) -> int:
        """The token whose hidden state stands for the text: the one that a classification head reads.

        A decoder's is the last one that is not padding, an encoder-decoder's the last end token, an encoder's the
        class token, which is the first one of nearly all of them. Models that write have none; of their source it is
        the last token, from which they go on.
        """
        if self.token_head is not None:
            return self.pooled_slot(sample)
        ids = sample.ids[: sample.source_length]
        if self.is_encoder_decoder:
            return (self.pooled_at(ids) or [len(ids) - 1])[-1]
        if self.tokenizer.cls_token_id in ids:
            return ids.index(self.tokenizer.cls_token_id)
        return len(ids) - 1 if self.base.can_generate() else 0

    @property
    def device(self) -> torch.device:
        """Where the model wants its ids."""
        weights = next(self.embeddings[0].parameters(), None)
        if weights is not None and weights.is_meta:
            return torch.device(_offloaded_to(self.embeddings[0]))
        return self.base.device if weights is None else weights.device

    def names_of(self, index: int) -> str:
        """The name of a class or label."""
        labels = getattr(self.config, "id2label", None) or {}
        return str(labels.get(index, labels.get(str(index), f"LABEL_{index}")))

    def index_of(self, label: str, where: str) -> int:
        """The class or label of a name.

        Raises:
            InputError: No such label; the message lists those there are.
        """
        labels = {str(name): int(i) for i, name in (getattr(self.config, "id2label", None) or {}).items()}
        if label not in labels:
            raise InputError(f"{where}: expected one of the labels {list(labels)}, got {label!r}")
        return labels[label]

    def filling(self, removal: Removal | str | None) -> Filling:
        """How removed tokens look: a named way, a token of the tokenizer, or the default for this tokenizer.

        Raises:
            InputError: The tokenizer has no mask token, or does not know the given one.
        """
        tokenizer = self.tokenizer
        neutral = [
            tokenizer.mask_token_id,
            tokenizer.unk_token_id,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
        ]
        token = next((i for i in neutral if i is not None), 0)
        pad = next(
            (i for i in (tokenizer.pad_token_id, getattr(self.config, "pad_token_id", None)) if i is not None), 0
        )
        if removal is None:
            masked = tokenizer.mask_token_id is not None
            removal = Removal.MASK if masked else Removal.ATTENTION if self.takes_mask else Removal.DELETE
        if removal in list(Removal):
            removal = Removal(removal)
            if removal is Removal.MASK and tokenizer.mask_token_id is None:
                raise InputError(
                    "removal: 'mask' needs a tokenizer with a mask token, this one has none; "
                    "use 'attention', 'delete', or the text of a token"
                )
            if removal is Removal.ATTENTION and not self.takes_mask:
                raise InputError("removal: 'attention' needs a model that takes an attention mask; use 'delete'")
            return Filling(removal, token, pad, self.window)
        token = tokenizer.get_vocab().get(str(removal), -1)
        if token < 0:
            names = [member.value for member in Removal]
            raise InputError(f"removal: expected one of {names} or a token of the tokenizer, got {removal!r}")
        return Filling(Removal.MASK, token, pad)

    @cached_property
    def decoder_prefix(self) -> list[int]:
        """The ids with which an encoder-decoder's output begins before its first own token."""
        generation = getattr(self.base, "generation_config", None)
        for source in (generation, self.base.config):
            start = getattr(source, "decoder_start_token_id", None)
            if start is not None:
                forced = getattr(generation, "forced_bos_token_id", None)
                return [int(start)] if forced is None else [int(start), int(forced)]
        raise ModelError(
            "model: expected a decoder_start_token_id in the configuration of an encoder-decoder, got none"
        )

    def recognise(self, ids: Sequence[int]) -> Task:
        """The task, from the answer to the first text that is asked for.

        Raises:
            ModelError: The model has no head, or one of another kind.
        """
        if not self._tasks:
            self._tasks.append(self._probed(ids))
            _LOG.debug("%s is explained as %s", type(self.base).__name__, self._tasks[0].value)
        return self._tasks[0]

    @cached_property
    def _tasks(self) -> list[Task]:
        """The task, once it is known."""
        return []

    def _probed(self, ids: Sequence[int]) -> Task:
        if isinstance(self.base, CustomModel):
            return self.base.task
        generates = bool(self.base.can_generate())
        if generates:
            return Task.SEQ2SEQ_LM if self.is_encoder_decoder else Task.CAUSAL_LM
        # The beginning is enough, with the end that some classifiers look for.
        probe = list(ids) if len(ids) <= _PROBE else [*ids[: _PROBE - 1], ids[-1]]
        if len(probe) == self.config.num_labels:  # one number a token is no class
            probe.append(probe[-1])
        try:
            with untouched(self.model), torch.no_grad():
                outputs = self.runner(input_ids=torch.tensor([probe], device=self.device))
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ModelError(self._unknown(f"whose forward pass on ids (1, {len(probe)}) failed: {error}")) from error
        if "start_logits" in outputs:
            return Task.QUESTION_ANSWERING
        logits = outputs.get("logits") if hasattr(outputs, "get") else None
        if isinstance(logits, torch.Tensor) and logits.dim() == 2 and logits.shape[1] == self.config.num_labels:
            return Task.CLASSIFICATION
        if isinstance(logits, torch.Tensor) and logits.dim() == 3 and logits.shape[1] == len(probe):
            return Task.TOKEN_CLASSIFICATION if self.head is None else Task.MASKED_LM
        shape = f"logits {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else "no logits"
        raise ModelError(self._unknown(f"which answers ids (1, {len(probe)}) with {shape}"))

    def _unknown(self, found: str) -> str:
        return (
            "model: expected one that classifies texts or tokens, fills masks, answers questions or generates, got "
            f"{type(self.base).__name__}, {found}; load it with an AutoModelFor... class that has a head"
        )


def _unwrapped(model: Any) -> PreTrainedModel | CustomModel:
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        else:
            return model  # type: ignore[no-any-return]


def _offloaded_to(module: Any) -> Any:
    """Where a module runs whose weights wait elsewhere until then, as `device_map` arranges it; `None` for others."""
    return getattr(getattr(module, "_hf_hook", None), "execution_device", None)


def _ends(base: Any) -> list[Any]:
    """The modules that a model begins and ends with, and their weights."""
    ends = [base.get_input_embeddings(), base.get_output_embeddings(), getattr(base, "score", None)]
    return [*ends, *(getattr(end, "weight", None) for end in ends)]
