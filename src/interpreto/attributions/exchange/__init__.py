"""Results for other tools, and theirs as results: tables, captum, inseq, shap."""

from interpreto.attributions.exchange.captum import from_captum, to_captum
from interpreto.attributions.exchange.inseq import from_inseq, to_inseq
from interpreto.attributions.exchange.shap import from_shap, to_shap
from interpreto.attributions.exchange.tables import to_dataset, to_pandas

__all__ = [
    "from_captum",
    "from_inseq",
    "from_shap",
    "to_captum",
    "to_dataset",
    "to_inseq",
    "to_pandas",
    "to_shap",
]
