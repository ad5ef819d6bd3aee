"""The methods that are compared, with the options that are not their defaults."""

from __future__ import annotations

from typing import Any

import interpreto.attributions.methods as methods
from interpreto.attributions import AttributionExplainer


def all_methods(model: Any, tokenizer: Any, **options: Any) -> dict[str, AttributionExplainer]:
    """Every public method by name."""
    return {name: getattr(methods, name)(model, tokenizer, **options) for name in methods.__all__}
