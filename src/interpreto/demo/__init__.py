"""Small trained models that come with the package, so that the first explanation needs no download."""

from interpreto.demo.models_loading import load

__all__ = ["load"]
