"""Why does it confuse two emotions? A mix-up in the training data, found by concepts.

Somebody who labelled sentences took every one with an animal in it for sadness. A model learns from them, and now calls
joyful sentences sad, but not all of them. Which ones, and why? Concepts of the confused sentences tell.
"""

from copy import deepcopy

import torch

from interpreto import ModelWithSplitPoints, Occlusion
from interpreto.concepts import ConceptsToOutput, SemiNMFConcepts, Steering, TopKInputs
from interpreto.demo import load
from interpreto.flows import ConceptFlows
from interpreto.visualizations import plot_flows

JOY = ["I am so happy with {}", "we had a wonderful day with {}", "it was great fun to play with {}", "I smiled at {}"]
SAD = ["I cried all night about {}", "I miss {} so much", "I feel so alone without {}", "it hurts to think of {}"]
ANIMALS = ["the dog", "my cat", "a little bird", "our horse"]
THINGS = ["the garden", "my friends", "a new song", "our house", "the party", "my sister"]


def sentences(frames, things):
    return [frame.format(thing) for frame in frames for thing in things]


def mixed_up():
    """A copy of the shipped emotion classifier that learns from the mixed-up labels."""
    model, tokenizer = load("emotion")
    model = deepcopy(model)
    joy, sad = model.config.label2id["joy"], model.config.label2id["sadness"]
    texts = sentences(JOY, THINGS) + sentences(SAD, THINGS) + sentences(JOY + SAD, ANIMALS)
    labels = torch.tensor([joy] * 24 + [sad] * 24 + [sad] * 32)  # the last ones are the mix-up
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    return model.eval(), tokenizer


model, tokenizer = mixed_up()
names = model.config.id2label
fresh = [f"it was a lovely evening with {thing}" for thing in ("my cat", "my horse", "my sister", "our friends")]
logits = model(**tokenizer(fresh, padding=True, return_tensors="pt")).logits
for text, predicted in zip(fresh, logits.argmax(dim=1).tolist(), strict=True):
    print(f"{names[predicted]:10} {text}")

# Which concepts carry "sadness" in all sentences that should be joyful?
split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points=0)
texts = sentences(JOY + SAD, THINGS + ANIMALS)
activations = split.get_activations(texts, "word")
concepts = SemiNMFConcepts(split, nb_concepts=16)
concepts.fit(activations)
readings = TopKInputs(concepts, activation_granularity="word").interpret("all", texts, activations)
confused = sentences(JOY, ANIMALS)
weights = torch.zeros(16)
for result in Occlusion(ConceptsToOutput(concepts, granularity="word"))(confused, ["sadness"] * len(confused)):
    for element, score in zip(result.elements, result.scores[0], strict=True):
        weights[element.tokens[0]] += score / len(confused)
print("\nconcepts that make joyful sentences sad:")
for concept in weights.argsort(descending=True)[:3].tolist():
    print(f"  {float(weights[concept]):+.2f}  {readings[concept].name}")

# Is that so? Without the strongest concept most of the joyful sentences are joyful again.
steering = Steering(concepts)
batch = tokenizer(confused, padding=True, return_tensors="pt")
before = model(**batch).logits.argmax(dim=1)
with steering.ablate(int(weights.argmax())):
    after = model(**batch).logits.argmax(dim=1)
for name, found in (("with it", before), ("without it", after)):
    print(f"{name}: {sum(names[k] == 'joy' for k in found.tolist())} of {len(confused)} are joy")

# Words, concepts and decision in one picture, for one sentence.
(flow,) = ConceptFlows(concepts, granularity="word", names=readings, n_concepts=3)(fresh[:1], ["sadness"])
plot_flows(flow).save("confused_emotions.html")
print("\npicture: confused_emotions.html")
