"""Files that others write and read: sparse autoencoders, concepts on the hub, exports to other tools."""

from interpreto.concepts.files.delphi import write_delphi
from interpreto.concepts.files.loading import SAEFormat, load_sae
from interpreto.concepts.files.neuronpedia import write_neuronpedia
from interpreto.concepts.files.pretrained import from_pretrained, push_to_hub, save_pretrained
from interpreto.concepts.files.saelens_writing import save_saelens

__all__ = [
    "SAEFormat",
    "from_pretrained",
    "load_sae",
    "push_to_hub",
    "save_pretrained",
    "save_saelens",
    "write_delphi",
    "write_neuronpedia",
]
