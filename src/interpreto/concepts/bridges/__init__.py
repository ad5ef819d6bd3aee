"""Words, concepts and decisions: functions of concepts that every attribution method explains.

>>> from interpreto import Occlusion, ModelWithSplitPoints
>>> from interpreto.concepts import ConceptsToOutput, SemiNMFConcepts
>>> from interpreto.demo import load
>>> model, tokenizer = load("emotion")
>>> split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points=1)
>>> concepts = SemiNMFConcepts(split, nb_concepts=4)
>>> report = concepts.fit(split.get_activations(["I am so happy", "I was scared of the dark"]))
>>> (words,) = Occlusion(concepts)("I was scared", [1])  # which words make concept 1?
>>> [element.text for element in words.elements]
['I', ' was', ' scared']
>>> (weights,) = Occlusion(ConceptsToOutput(concepts))("I was scared", ["fear"])  # which concepts make the decision?
>>> [element.text for element in weights.elements]
['concept 0', 'concept 1', 'concept 2', 'concept 3']
"""

from interpreto.concepts.bridges.concepts_to_output import ConceptsToOutput
from interpreto.concepts.bridges.input_to_concepts import InputToConcepts

__all__ = ["ConceptsToOutput", "InputToConcepts"]
