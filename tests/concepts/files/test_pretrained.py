"""Fitted concepts as a folder or a repository: the same when they come back, and no key left behind."""

import json
import re
from typing import ClassVar

import huggingface_hub
import pytest
import torch
import transformers.utils.hub  # it looks at the hub's functions when it is imported
from safetensors.torch import load_file, save_file

from interpreto import concepts as all_concepts
from interpreto.concepts import NeuronsAsConcepts, PCAConcepts, TopKSAEConcepts
from interpreto.concepts.files import from_pretrained, push_to_hub, save_pretrained
from interpreto.concepts.files.pretrained import model_card
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.tiny import LINES, bert, classifier, wordpiece

KEY = "hf_secret"


@pytest.fixture(autouse=True)
def hub(monkeypatch):
    def unasked(*args, **options):
        raise AssertionError("fetched unasked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unasked)


@pytest.fixture(scope="module")
def split():
    return ModelWithSplitPoints(classifier(), [0, 1], tokenizer=wordpiece())


@pytest.fixture(scope="module")
def concepts(split):
    found = TopKSAEConcepts(split, split_point=1, nb_concepts=40, k=3, n_steps=20, batch_size=32)
    found.fit(split.get_activations(LINES))
    return found


def test_saved_and_read(concepts, split, tmp_path):
    folder = save_pretrained(concepts, tmp_path / "a" / "b", license="mit")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "concept_model.safetensors", "concepts.json"
    ]  # fmt: skip
    rows = split.get_activations(LINES)
    for again in (from_pretrained(folder, split), from_pretrained(str(folder))):
        assert type(again) is TopKSAEConcepts
        assert torch.equal(again.encode(rows["1"]), concepts.encode(rows["1"]))
        assert again.report == concepts.report
    assert from_pretrained(folder, split).split_point_name() == "1"
    assert from_pretrained(tmp_path, split, subfolder="a/b").k == 3


def test_concepts_of_every_method_are_known_by_their_name(tmp_path):
    rows = torch.randn(40, 6).abs()
    for name in ("PCAConcepts", "SVDConcepts", "KMeansConcepts", "NMFConcepts", "SemiNMFConcepts"):
        found = getattr(all_concepts, name)(None, nb_concepts=3)
        found.fit(rows)
        again = from_pretrained(save_pretrained(found, tmp_path / name))
        assert type(again) is type(found)
        assert torch.equal(again.encode(rows), found.encode(rows))


def test_the_card(concepts, split, tmp_path, monkeypatch):
    text = model_card(concepts)
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert head is not None
    entries = dict(line.split(": ", 1) for line in head[1].splitlines())
    assert set(entries) == {"library_name", "tags"}  # no licence that nobody chose
    assert json.loads(entries["tags"])[0] == "interpreto"
    assert '"license"' not in text
    hostile = 'mit"\n---\n<script>alert(1)</script>\n# {{ x }}'
    text = model_card(concepts, license=hostile, base_model=hostile)
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert json.loads(dict(line.split(": ", 1) for line in head[1].splitlines())["license"]) == hostile
    body = text[head.end() :]
    assert all(line.startswith("    ") for line in body.splitlines() if "<script>" in line or "alert" in line)
    monkeypatch.setattr(split.model.config, "_name_or_path", str(tmp_path), raising=False)
    assert str(tmp_path) not in model_card(concepts)
    monkeypatch.setattr(split.model.config, "_name_or_path", "owner/model", raising=False)
    assert '\nbase_model: "owner/model"\n' in model_card(concepts)


def test_a_card_that_is_there_is_kept(concepts, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    save_pretrained(concepts, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_what_cannot_be_read(concepts, split, tmp_path):
    with pytest.raises(InputError, match="expected a folder that is there"):
        from_pretrained(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"concepts\.json: expected a file with settings"):
        from_pretrained(tmp_path)
    folder = save_pretrained(concepts, tmp_path / "a")
    narrow = bert(transformers.BertForSequenceClassification, 2, 0).config
    narrow.hidden_size, narrow.num_attention_heads = 16, 2
    other = transformers.BertForSequenceClassification(narrow).eval()
    with pytest.raises(InputError, match="width 32 that the concepts have, got 16"):
        from_pretrained(folder, ModelWithSplitPoints(other, [0, 1], tokenizer=wordpiece()))
    with pytest.raises(InputError, match=r"split_point: expected one of \['0'\]"):
        from_pretrained(folder, ModelWithSplitPoints(split.model, 0, tokenizer=wordpiece()))
    path = folder / "concept_model.safetensors"
    whole, tensors = path.read_bytes(), load_file(path)
    tensors["bias"][0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(InputError, match="in 'bias', got NaN"):
        from_pretrained(folder)
    path.write_bytes(whole[:-4])
    with pytest.raises(InputError, match="damaged"):
        from_pretrained(folder)
    path.write_bytes(whole)
    about = json.loads((folder / "concepts.json").read_text())
    for name in ("os.system", "LearnedConcepts", "NeuronsAsConcepts", None, 3):
        (folder / "concepts.json").write_text(json.dumps({**about, "explainer": name}))
        with pytest.raises(InputError, match=r"expected concepts of one of|to be a text"):
            from_pretrained(folder)
    (folder / "concepts.json").write_text(json.dumps({**about, "options": {**about["options"], "k": 99}}))
    with pytest.raises(InputError, match="k: expected at most"):
        from_pretrained(folder)


def test_what_cannot_be_saved(split, tmp_path):
    with pytest.raises(NotFittedError):
        save_pretrained(PCAConcepts(None, nb_concepts=2), tmp_path / "a")
    assert not (tmp_path / "a").exists()


class Hub:
    """Stands for `HfApi`, and keeps what it was given."""

    calls: ClassVar[list] = []
    card = False

    def __init__(self, token=None):
        self.calls.append(("key", token))

    def create_repo(self, name, **options):
        self.calls.append(("create", name, options))

    def file_exists(self, name, file, **options):
        return self.card

    def upload_folder(self, *, repo_id, folder_path, ignore_patterns, **options):
        files = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        self.calls.append(("upload", repo_id, files, ignore_patterns, options))
        return f"https://hub/{repo_id}/commit/1"


@pytest.mark.parametrize("card", [True, False])
def test_uploaded_and_fetched(card, concepts, split, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(Hub, "calls", [])
    monkeypatch.setattr(Hub, "card", card)
    address = push_to_hub(concepts, "owner/name", private=True, token=KEY, commit_message="first", license="mit")
    assert address == "https://hub/owner/name/commit/1"
    key, create, (_, name, files, ignored, options) = Hub.calls
    assert key == ("key", KEY)
    assert create == ("create", "owner/name", {"private": True, "exist_ok": True})
    assert (name, options["commit_message"], ignored) == ("owner/name", "first", ["README.md"] if card else None)
    assert set(files) == {"README.md", "concept_model.safetensors", "concepts.json"}
    assert not any(KEY.encode() in content for content in files.values())
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    asked = []

    def fetch(name, **options):
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    again = from_pretrained("owner/name", split, revision="main", token=KEY)
    rows = split.get_activations(LINES)
    assert torch.equal(again.encode(rows), concepts.encode(rows))
    assert asked[0][1] == {
        "allow_patterns": ["concepts.json", "concept_model.safetensors"], "revision": "main", "token": KEY
    }  # fmt: skip
    assert KEY not in repr(vars(again))


def test_names_that_are_no_repository(concepts, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    for name in ("../x", "a/b/c", "", "http://x/y"):
        with pytest.raises(InputError, match="repo_id: expected the name of a repository"):
            push_to_hub(concepts, name)


def test_neurons_are_not_learned(split, tmp_path):
    neurons = NeuronsAsConcepts(split, split_point=0)
    with pytest.raises(Exception, match="concept_explainer"):  # beartype's in tests, ours otherwise
        save_pretrained(neurons, tmp_path)
