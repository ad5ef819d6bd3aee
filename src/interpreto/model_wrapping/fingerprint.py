"""Which model it is, whatever it is called."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from interpreto.model_wrapping.traits import Traits


def fingerprint(traits: Traits) -> str:
    """Tells models and tokenizers apart, by shapes and some weights of all parameters, and by the vocabulary."""
    found = hashlib.sha256()
    for name, value in traits.base.state_dict().items():
        shape, kind = getattr(value, "shape", ()), getattr(value, "dtype", type(value))
        found.update(f"{name} {tuple(shape)} {kind}".encode() + _some_of(value))
    backend: Any = traits.tokenizer.backend_tokenizer
    found.update(backend.to_str().encode())
    return found.hexdigest()[:32]


def _some_of(value: Any) -> bytes:
    """Some numbers of a tensor; of packed and quantised weights, which may not be cut, what they show of themselves."""
    try:
        some = value.flatten()[:: max(1, value.numel() // 16)][:17].float().cpu().numpy().tobytes()
    except (AttributeError, TypeError, RuntimeError):
        return re.sub("0x[0-9a-f]+", "", repr(value)).encode()
    return bytes(some)
