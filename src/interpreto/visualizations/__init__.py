"""Pictures of results: pages for browsers and notebooks, coloured text for terminals. No model is needed."""

from typing import TYPE_CHECKING, Any

from interpreto.attributions.result import draw_with
from interpreto.visualizations.attributions import plot_attributions
from interpreto.visualizations.html import Figure, Plot

if TYPE_CHECKING:
    from interpreto.visualizations.concepts import plot_concepts
    from interpreto.visualizations.flows import plot_flows

__all__ = ["Figure", "Plot", "plot_attributions", "plot_concepts", "plot_flows"]

draw_with(plot_attributions)


def __getattr__(name: str) -> Any:
    if name == "plot_concepts":  # it loads all of the concepts, which attributions do not need
        from interpreto.visualizations.concepts import plot_concepts

        return plot_concepts
    if name == "plot_flows":
        from interpreto.visualizations.flows import plot_flows

        return plot_flows
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
