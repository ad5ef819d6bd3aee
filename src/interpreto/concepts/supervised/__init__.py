"""Supervised concepts: vectors, tests, probes and erasers learned from labelled examples."""

from interpreto.concepts.supervised.cav import CAVConcepts, CAVReport
from interpreto.concepts.supervised.directions import CAVKind
from interpreto.concepts.supervised.erasure import LeaceEraser
from interpreto.concepts.supervised.probe import FittedProbe, Probe, ProbeKind, ProbeReport, control_labels
from interpreto.concepts.supervised.probe_model import ProbeModel
from interpreto.concepts.supervised.reliability import Calibration, calibration
from interpreto.concepts.supervised.sweeps import ProbeSweep, SweepRow, sweep
from interpreto.concepts.supervised.tcav import TCAV, TCAVResult, TCAVScore

__all__ = [
    "TCAV",
    "CAVConcepts",
    "CAVKind",
    "CAVReport",
    "Calibration",
    "FittedProbe",
    "LeaceEraser",
    "Probe",
    "ProbeKind",
    "ProbeModel",
    "ProbeReport",
    "ProbeSweep",
    "SweepRow",
    "TCAVResult",
    "TCAVScore",
    "calibration",
    "control_labels",
    "sweep",
]
