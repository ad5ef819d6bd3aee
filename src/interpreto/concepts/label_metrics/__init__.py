"""How well labels of concepts fit, by a language model that judges them against what the concepts do.

`Detection` and `Fuzzing` ask it where a concept is active; FADE's `Clarity`, `Responsiveness`, `Purity` and
`Faithfulness` ask whether the label says what makes the concept active, on what alone, and what the concept makes the
model write.
"""

from interpreto.concepts.label_metrics.base import LabelMetric, PlannedPrompts
from interpreto.concepts.label_metrics.detection import Detection, Fuzzing, WrongMarks
from interpreto.concepts.label_metrics.fade import Clarity, Faithfulness, Purity, Responsiveness, Strength
from interpreto.concepts.label_metrics.result import ConceptScore, Judged, LabelScores
from interpreto.concepts.label_metrics.statistics import Estimate
from interpreto.concepts.label_metrics.windows import Sign

__all__ = [
    "Clarity",
    "ConceptScore",
    "Detection",
    "Estimate",
    "Faithfulness",
    "Fuzzing",
    "Judged",
    "LabelMetric",
    "LabelScores",
    "PlannedPrompts",
    "Purity",
    "Responsiveness",
    "Sign",
    "Strength",
    "WrongMarks",
]
