"""Cards of concepts: how often and how strongly each is active, where, what it does, and which others are near it."""

from interpreto.concepts.cards.making import concept_cards
from interpreto.concepts.cards.result import Band, ClassWeight, ConceptCard, ConceptCards, Histogram, Neighbour

__all__ = ["Band", "ClassWeight", "ConceptCard", "ConceptCards", "Histogram", "Neighbour", "concept_cards"]
