"""Can a story be steered while it is written? Push a small language model towards a concept, and see what it costs.

1. A direction: what the model thinks in sad sentences, less what it thinks in happy ones. Add it while it writes.
2. A dose response: how much sadder do stories get, and how much worse are they written?
3. A concept that was learned without being told of it: find the one for dogs, and push just as far as shifts what the
   model says next by half a nat.

Run it: python examples/steer_a_story.py
"""

import torch

from interpreto import ModelWithSplitPoints
from interpreto.concepts import PCAConcepts
from interpreto.concepts.steering import Steering
from interpreto.demo import load

OPENING = "Once upon a time, there was a"
PROMPTS = [OPENING, "One day, Lily saw a", "Tim went to the park and", "The children were very"]
SAD = [
    "Tom was very sad. He cried and cried.",
    "She lost her toy and began to cry.",
    "The girl was sad and lonely and had no friends.",
    "He felt bad and tears ran down his face.",
    "The boy was hurt and scared. He cried.",
    "They were sad because the cat was sick.",
]
HAPPY = [
    "Tom was very happy. He laughed and laughed.",
    "She found her toy and began to smile.",
    "The girl was happy and kind and had many friends.",
    "He felt good and a smile was on his face.",
    "The boy was glad and proud. He laughed.",
    "They were happy because the cat was well.",
]
DOGS = [
    "The dog barked and ran to the park.",
    "Spot is a happy dog. He wags his tail.",
    "The puppy and the dog played with a bone.",
    "A big dog named Max loved to bark.",
    "My dog likes to chase the ball and bark.",
    "The little puppy slept next to the dog.",
]
NO_DOGS = [
    "The girl sang and ran to the school.",
    "Anna is a happy girl. She waves her hand.",
    "The boy and the girl played with a doll.",
    "A big tree named Oak loved to grow.",
    "My mom likes to cook the soup and sing.",
    "The little baby slept next to the bed.",
]


def main() -> None:
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, split_points=3, tokenizer=tokenizer)
    granularity = split.activation_granularities.WORD

    def story() -> str:
        written = model.generate(**tokenizer(OPENING, return_tensors="pt"), max_new_tokens=30, do_sample=False)
        (text,) = tokenizer.batch_decode(written, skip_special_tokens=True)
        return " ".join(text.split())

    # 1. Add a direction while the model writes
    steering = Steering(split)
    sad, happy = (split.get_activations(texts, "sample")["3"].mean(dim=0) for texts in (SAD, HAPPY))
    direction = sad - happy
    unit = steering.typical_norm(SAD + HAPPY)
    for strength in (0.0, 0.6):
        with steering.steer(direction, strength * unit):
            print(f"sadness {strength:+.1f}: {story()}")

    # 2. What each strength does
    strengths = [share * unit for share in (-0.4, -0.2, 0.2, 0.4, 0.8)]
    target = ["sad", "cry", "cried", "scared"]
    print(steering.dose_response(direction, strengths, PROMPTS, target=target, operation="steer", other_texts=NO_DOGS))

    # 3. Find the concept of dogs, and steer by it
    activations = split.get_activations(DOGS + NO_DOGS, granularity)
    concepts = PCAConcepts(split, nb_concepts=10)
    concepts.fit(activations)
    codes, about_dogs = concepts.encode(activations), activations.sources["3"].inputs < len(DOGS)
    differences = (codes[about_dogs].mean(dim=0) - codes[~about_dogs].mean(dim=0)) / codes.std(dim=0)
    dogs = int(differences.abs().argmax())
    sign = int(torch.sign(differences[dogs]))
    with Steering(concepts).steer(dogs, kl=0.5, prompts=PROMPTS, sign=sign) as intervention:
        print(f"{intervention}: {story()}")


if __name__ == "__main__":
    main()
