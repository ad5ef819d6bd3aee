"""The trained models of the package do what their cards say."""

import gzip
import json
import math
import re
from functools import cache
from importlib.resources import files
from inspect import unwrap
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import BertForSequenceClassification, DistilBertForSequenceClassification, LlamaForCausalLM

from interpreto.demo import load
from interpreto.errors import InputError

MODELS = Path(str(files("interpreto.demo") / "models"))
CLASSES = {
    "emotion": BertForSequenceClassification,
    "topic": DistilBertForSequenceClassification,
    "stories": LlamaForCausalLM,
}
DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not part of the package")

EMOTIONS = [
    ("I am so happy to see you", "joy"),
    ("Thank you so much, this is wonderful!", "joy"),
    ("I love this song", "joy"),
    ("I am so angry at you", "anger"),
    ("I hate it when people lie", "anger"),
    ("I'm so sorry for your loss", "sadness"),
    ("I feel sad and lonely today", "sadness"),
    ("I was so scared, it was terrifying", "fear"),
    ("That is disgusting", "disgust"),
    ("Wow, I did not expect that!", "surprise"),
    ("I wonder why they did that?", "surprise"),
    ("They moved to another city last year", "neutral"),
]
TOPICS = [
    ("It is a 2010 American comedy film directed by John Smith and starring Mary Jones.", "Film"),
    ("This album is the third studio album by the band, released in 2004 by Columbia Records.", "Album"),
    ("He is a professional footballer who plays as a striker for the national team.", "Athlete"),
    ("She is an American singer and songwriter best known for her folk songs.", "Artist"),
    ("He is a Republican member of the state senate, first elected in 2008.", "OfficeHolder"),
    ("The company makes software and was founded in 1998 in California.", "Company"),
    ("The house was built in 1890 and added to the National Register of Historic Places.", "Building"),
    ("It is a village in the administrative district of the county, with a population of 215.", "Village"),
    ("It is a species of flowering plant in the orchid family, with white flowers.", "Plant"),
    ("It is a species of moth in the family Noctuidae, found in Africa.", "Animal"),
    ("It is a public high school for students in grades 9 to 12.", "EducationalInstitution"),
    ("It is a novel by an English writer, first published in 1925.", "WrittenWork"),
    ("The river is a tributary of the Danube and flows through Romania.", "NaturalPlace"),
    ("The ship was a destroyer of the Royal Navy, launched in 1942.", "MeanOfTransportation"),
]
PROMPT = "Once upon a time, there was a little dog named Spot. Spot loved to"
CHILDS_WORDS = set(
    re.findall(
        r"\w+",
        """
    a about after again all and are as asked at away back ball be bed best big bird blue boy but by came can cat
    come could day did do dog door down eat every favorite felt find flowers food for found friend friends from fun
    game garden get girl go good got grass had happy hard have he heard help her him his home house i in inside into
    is it jump kind laughed like liked little lived look looked lots loud loved made make many mom mommy more much
    named new nice not of on one out outside over owner park play played playing put ran red run said sally sat saw
    see she sky small smiled so some something special spot stick story sun sunny swim that the their them then
    there they thing things time to together too took toy toys tree trees tried up very walk walked want wanted was
    water went were what when where while who with would yard you
        """,
    )
)


loaded = cache(load)


@pytest.mark.parametrize("name", CLASSES)
def test_load_gives_a_model_ready_to_explain(name):
    model, tokenizer = loaded(name)
    assert isinstance(model, CLASSES[name])
    assert not model.training
    assert tokenizer.is_fast
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    assert len(tokenizer) == model.config.vocab_size
    for tensor in model.state_dict().values():
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()


@pytest.mark.parametrize("name", CLASSES)
def test_weights_are_float16_on_disk(name):
    with safe_open(MODELS / name / "model.safetensors", framework="pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118


def test_the_models_stay_small():
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 12 * 2**20


def test_unknown_name_is_an_input_error():
    with pytest.raises(InputError, match=r"expected one of emotion, topic, stories, got 'mood'"):
        unwrap(load)("mood")  # past the type checker of the tests
    with pytest.raises(InputError, match=r"got 'storys'; did you mean 'stories'\?$"):
        unwrap(load)("storys")


@pytest.mark.parametrize("name", ["emotion", "topic"])
def test_special_tokens_of_classifiers(name):
    _, tokenizer = loaded(name)
    ids = tokenizer("Hello [MASK]").input_ids
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-2:] == [tokenizer.mask_token_id, tokenizer.sep_token_id]
    assert None not in (tokenizer.pad_token_id, tokenizer.unk_token_id)


def predicted(model, tokenizer, texts):
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**encoded).logits


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [("emotion", *pair) for pair in EMOTIONS] + [("topic", *pair) for pair in TOPICS],
)
def test_clear_cases(name, text, label):
    model, tokenizer = loaded(name)
    assert model.config.id2label[int(predicted(model, tokenizer, [text]).argmax())] == label


@pytest.mark.parametrize("name", ["emotion", "topic"])
def test_a_hidden_text_leaves_the_model_undecided(name):
    model, tokenizer = loaded(name)
    hidden = predicted(model, tokenizer, ["[MASK] " * 12]).softmax(-1)
    assert hidden.max() < 0.6


def test_stories_go_on_in_simple_words():
    model, tokenizer = loaded("stories")
    encoded = tokenizer(PROMPT, return_tensors="pt")
    assert encoded.input_ids[0, 0] == tokenizer.bos_token_id == tokenizer.eos_token_id
    first, second = (model.generate(**encoded)[0, encoded.input_ids.shape[1] :] for _ in range(2))
    assert torch.equal(first, second)
    words = re.findall(r"[a-z]+", tokenizer.decode(first, skip_special_tokens=True).lower())
    assert len(words) > 20
    assert sum(word in CHILDS_WORDS for word in words) >= 0.8 * len(words)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), [("emotion", "emotion/test"), ("topic", "topic/dbpedia14_test")])
def test_classifier_scores_are_those_of_the_card(name, file):
    model, tokenizer = loaded(name)
    with gzip.open(DATA / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = sorted(map(json.loads, lines), key=lambda row: len(row["text"]))
    batches = [[row["text"] for row in rows[i : i + 64]] for i in range(0, len(rows), 64)]
    guess = torch.cat([predicted(model, tokenizer, batch).argmax(-1) for batch in batches])
    right = guess == torch.tensor([row["label"] for row in rows])
    recalls = [right[[row["label_name"] == label for row in rows]].float().mean() for label in model.config.label2id]
    scores = json.loads((MODELS / name / "scores.json").read_text())["test"]
    assert float(right.float().mean()) == pytest.approx(scores["accuracy"], abs=1e-3)
    assert float(torch.stack(recalls).mean()) == pytest.approx(scores["macro_recall"], abs=3e-3)


@needs_data
@pytest.mark.slow
def test_perplexity_is_that_of_the_card():
    model, tokenizer = loaded("stories")
    with gzip.open(DATA / "stories" / "tinystories_valid.txt.gz", "rt", encoding="utf-8") as file:
        stories = [story.strip() for story in file.read().split("<|endoftext|>") if story.strip()]
    total, tokens = 0.0, 0
    for story in stories:
        cut = tokenizer(story, truncation=True).input_ids
        ids = torch.tensor([[*cut, tokenizer.eos_token_id]])
        with torch.inference_mode():
            log_probs = model(ids[:, :-1]).logits.log_softmax(-1)
        total -= float(log_probs.gather(-1, ids[:, 1:, None]).sum())
        tokens += ids.shape[1] - 1
    scores = json.loads((MODELS / "stories" / "scores.json").read_text())["valid"]
    assert tokens == scores["tokens"]
    assert math.exp(total / tokens) == pytest.approx(scores["token_perplexity"], rel=1e-3)
