"""How much of a classifier's accuracy can be had from the concepts alone: figure, spliced texts, learned map."""

from interpreto.concepts.metrics.completeness.metric import Completeness
from interpreto.concepts.metrics.completeness.result import CompletenessResult, completeness

__all__ = ["Completeness", "CompletenessResult", "completeness"]
