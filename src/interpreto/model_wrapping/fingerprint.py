"""Which model it is, whatever it is called."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import torch

from interpreto.model_wrapping.traits import Traits

_OF_NO_MATTER = ("_name_or_path", "transformers_version", "_commit_hash", "use_cache", "return_dict")
_OF_THE_MOMENT = ("padding", "truncation")  # what a call of the tokenizer leaves in it
_WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def fingerprint(traits: Traits) -> str:
    """Tells models and tokenizers apart, by all weights, the configuration and the vocabulary.

    Cost: the weights are read once.
    """
    found = hashlib.sha256()
    for name, value in traits.base.state_dict().items():
        shape, kind = getattr(value, "shape", ()), getattr(value, "dtype", type(value))
        found.update(f"{name} {tuple(shape)} {kind}".encode() + _of_weights(value))
    config: Any = traits.base.config
    if hasattr(config, "to_dict"):
        known = {name: value for name, value in config.to_dict().items() if name not in _OF_NO_MATTER}
        found.update(json.dumps(known, sort_keys=True, default=str).encode())
    found.update(_of_tokenizer(traits.tokenizer))
    return found.hexdigest()[:32]


def _of_weights(value: Any) -> bytes:
    """The sum of a tensor's bits, and some of them; of packed and quantised weights what they show of themselves."""
    try:
        bits = value.detach().contiguous().view(_WHOLE[value.element_size()]).flatten()
        some = bits[:: max(1, len(bits) // 16)][:17].cpu().tolist()
        return f"{int(bits.sum(dtype=torch.int64))} {some}".encode()
    except (AttributeError, TypeError, RuntimeError, KeyError, NotImplementedError):
        return re.sub("0x[0-9a-f]+", "", repr(value)).encode()


def _of_tokenizer(tokenizer: Any) -> bytes:
    if not tokenizer.is_fast:
        return json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({name: value for name, value in described.items() if name not in _OF_THE_MOMENT}).encode()
