"""Pictures of results: pages for browsers and notebooks, coloured text for terminals. No model is needed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interpreto.attributions.result import draw_with
from interpreto.visualizations.attributions import plot_attributions
from interpreto.visualizations.html import Figure, Plot

if TYPE_CHECKING:
    from interpreto.visualizations.cards import plot_cards
    from interpreto.visualizations.comparison import plot_comparison
    from interpreto.visualizations.concepts import plot_concepts
    from interpreto.visualizations.curves import plot_curves
    from interpreto.visualizations.flows import plot_flows
    from interpreto.visualizations.lenses import plot_lens
    from interpreto.visualizations.sweeps import plot_sweep

__all__ = [
    "Figure",
    "Plot",
    "plot_attributions",
    "plot_cards",
    "plot_comparison",
    "plot_concepts",
    "plot_curves",
    "plot_flows",
    "plot_lens",
    "plot_sweep",
]

draw_with(plot_attributions)

# They load more than attributions need.
_LATER = {
    "plot_cards": "cards",
    "plot_comparison": "comparison",
    "plot_curves": "curves",
    "plot_concepts": "concepts",
    "plot_flows": "flows",
    "plot_lens": "lenses",
    "plot_sweep": "sweeps",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"interpreto.visualizations.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
