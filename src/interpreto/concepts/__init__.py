"""Concepts: the directions that a model thinks in, learned, read, weighed and measured."""
