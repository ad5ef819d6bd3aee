"""Metrics of attributions: how far an explanation agrees with the model that it explains."""

from interpreto.attributions.metrics.comprehensiveness import Comprehensiveness
from interpreto.attributions.metrics.deletion import Deletion
from interpreto.attributions.metrics.faithfulness import Evaluation, FaithfulnessMetric
from interpreto.attributions.metrics.infidelity import Infidelity
from interpreto.attributions.metrics.insertion import Insertion
from interpreto.attributions.metrics.measurement import Measurement
from interpreto.attributions.metrics.sensitivity import SensitivityMax
from interpreto.attributions.metrics.sufficiency import Sufficiency

__all__ = [
    "Comprehensiveness",
    "Deletion",
    "Evaluation",
    "FaithfulnessMetric",
    "Infidelity",
    "Insertion",
    "Measurement",
    "SensitivityMax",
    "Sufficiency",
]
