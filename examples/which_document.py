"""Which document made it answer so? Several documents, and what the answer rests on.

A language model reads some documents and goes on writing. For what it wrote, ContextCite removes documents at random,
64 times, and finds the few that matter; Owen values share the answer out over sentences and their words.

Run it: python examples/which_document.py
"""

from interpreto import ContextCite, Owen, Segments, plot_attributions
from interpreto.attributions.metrics import Deletion
from interpreto.demo import load

DOCUMENTS = [
    "Tim has a red ball. He likes to kick it. ",
    "Sue has a small dog named Spot. Spot likes to run. ",
    "Ben has a blue boat. It is in the water. ",
    "Mia has a big cake. She will share it with her mom. ",
]
OPENING = "One day, Sue went to the park. She played with her"

model, tokenizer = load("stories")
prompt = Segments.join(DOCUMENTS, after=OPENING)
ids = tokenizer("".join(DOCUMENTS) + OPENING, return_tensors="pt")
written = model.generate(**ids, max_new_tokens=4, do_sample=False)[:, ids["input_ids"].shape[1] :]
(answer,) = tokenizer.batch_decode(written)
print(f"{OPENING} ... {answer.strip()}\n")

(cited,) = ContextCite(model, tokenizer)(prompt, answer)
for document, score in zip(cited.elements, cited.scores[0].tolist(), strict=True):
    print(f"{score:+6.2f}  {document.text.strip()}")
print(f"how far this can be trusted: {cited.settings['linear_datamodeling_scores'][0]:.2f} of 1\n")

# Not chance? Removing documents in this order costs the answer more than removing them in random order.
print(Deletion(model, tokenizer, inference_mode="log_softmax")(cited))

# The sentences and words of the strongest document
strongest = cited.elements[int(cited.scores[0].argmax())].text
(shares,) = Owen(model, tokenizer, output_granularity="text")(strongest + OPENING, answer)
print(shares.text(color=False))
plot_attributions([cited, shares]).save("which_document.html")
