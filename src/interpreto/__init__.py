"""Explain HuggingFace text models."""

__version__ = "0.1.0"
