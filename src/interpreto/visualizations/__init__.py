"""Pictures of results: pages for browsers and notebooks, coloured text for terminals. No model is needed."""

from interpreto.attributions.result import draw_with
from interpreto.visualizations.attributions import plot_attributions
from interpreto.visualizations.concepts import plot_concepts
from interpreto.visualizations.html import Figure, Plot

__all__ = ["Figure", "Plot", "plot_attributions", "plot_concepts"]

draw_with(plot_attributions)
