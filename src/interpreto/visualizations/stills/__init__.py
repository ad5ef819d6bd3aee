"""Still pictures for papers: blocks drawn on one white sheet by matplotlib, and that as PNG or SVG.

The sheet is as wide as the text of a page in print, and as long as it must be. Letters are drawn as outlines, so that
an SVG looks the same without the fonts. Files are the same for the same picture, byte by byte.
"""

from interpreto.visualizations.stills.drawing import draw
from interpreto.visualizations.stills.sheet import colour

__all__ = ["colour", "draw"]
