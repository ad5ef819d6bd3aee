"""Interventions: boost, clamp or ablate concepts of a running model, add directions, and measure what that does."""

from interpreto.concepts.steering.distributions import kl_divergence
from interpreto.concepts.steering.edits import Operation
from interpreto.concepts.steering.intervention import Intervention
from interpreto.concepts.steering.passes import Positions
from interpreto.concepts.steering.response import DoseResponse, Effect
from interpreto.concepts.steering.steering import Steering

__all__ = ["DoseResponse", "Effect", "Intervention", "Operation", "Positions", "Steering", "kl_divergence"]
