"""From what the user gives to token ids, and from token ids to the elements that an explanation speaks of."""

from interpreto.text.elements import Element, find_elements
from interpreto.text.encoding import encode_output, encode_source, text_ids
from interpreto.text.inputs import Input, Segments, split_inputs
from interpreto.text.sample import Sample, Token

__all__ = [
    "Element",
    "Input",
    "Sample",
    "Segments",
    "Token",
    "encode_output",
    "encode_source",
    "find_elements",
    "split_inputs",
    "text_ids",
]
