"""What a model would say if it ended after each of its blocks: the distribution of tokens, layer by layer."""

from interpreto.concepts.lenses.logit_lens import LogitLens
from interpreto.concepts.lenses.result import LensResult
from interpreto.concepts.lenses.tuned_lens import TunedLens, TunedLensReport

__all__ = ["LensResult", "LogitLens", "TunedLens", "TunedLensReport"]
