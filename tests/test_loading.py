"""A model that is named is loaded as it is, or the error says what is wrong with it; code of its own is never run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import errors as hub
from safetensors.torch import load_file, save_file

from interpreto.demo import load
from interpreto.errors import InputError, InterpretoWarning, ModelError
from interpreto.loading import first_architecture, load_config, load_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for part in load("emotion"):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def said(kind: Any, name: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        load_model(str(name), **options)
    return str(caught.value)


def test_the_configuration_says_which_class_it_is(folder):
    model, tokenizer = load_model(str(folder))
    wanted, _ = load("emotion")
    assert type(model) is type(wanted)
    assert not model.training
    assert torch.equal(model.classifier.weight, wanted.classifier.weight)
    assert tokenizer("I am here").input_ids == load("emotion")[1]("I am here").input_ids
    other, _ = load_model(str(folder), device="cpu", loader="AutoModel", options={"dtype": torch.float64})
    assert isinstance(other, transformers.BertModel)
    assert other.dtype is torch.float64


def test_only_repositories_have_revisions(folder):
    for name, kind in (("demo:emotion", "a model of the package"), (str(folder), "a folder")):
        wanted = f"revision: expected none, for {name!r} is {kind} and has no others; leave it out"
        assert said(InputError, name, revision="main") == wanted
    with pytest.raises(InputError, match=r"^revision: expected none"):
        load_config(str(folder), "main")


@pytest.mark.parametrize(
    ("named", "first"),
    [(["A", "B"], "A"), ("A", "A"), ([1], None), (["", "A"], ""), ([], None), (None, None), ({"A": 1}, None)],
)
def test_the_first_architecture(named, first):
    assert first_architecture(transformers.PretrainedConfig(architectures=named)) == first


def test_shipped_ones_are_known():
    model, _ = load_model("demo:stories")
    assert isinstance(model, transformers.LlamaForCausalLM)
    assert said(InputError, "demo:none").startswith("model: expected one of demo:emotion, demo:topic, demo:stories")


@pytest.mark.parametrize("named", [["Trainer"], ["load_tool"], ["Foo"], [], None, [5], ["AutoModel"], "Trainer"])
def test_what_names_no_model_is_told(folder, named):
    configure(folder, architectures=named)
    problem = said((ModelError, InputError), folder)  # older releases look at what a configuration holds themselves
    assert problem.startswith("model: ")
    assert "architectures" in problem
    assert str(folder) in problem


def remove(*beginnings: str) -> Any:
    def change(folder: Path) -> None:
        for path in folder.iterdir():
            if path.name.startswith(beginnings):
                path.unlink()

    return change


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (remove("config"), "expected a config.json in the folder '{folder}', which holds model.safetensors, "),
        (remove(""), "expected a config.json in the folder '{folder}', which holds nothing"),
        (remove("model"), "its weights could not be loaded from the folder '{folder}' (OSError: Error no file named"),
        (remove("tokenizer", "vocab"), "tokenizer"),
        (lambda folder: (folder / "config.json").write_text("no"), "its config.json could not be loaded from the fol"),
        (lambda folder: (folder / "config.json").write_text("[]"), " config.json "),
        (lambda folder: (folder / "config.json").write_text("{}"), "its config.json could not be loaded from the fol"),
        (lambda folder: configure(folder, model_type="none"), "its config.json could not be loaded from the folder"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "its weights could not be loaded from"),
        (lambda folder: configure(folder, hidden_size=100, num_attention_heads=4), "its weights could not be loaded"),
    ],
)
def test_what_is_broken_in_a_folder_is_told(folder, change, part):
    change(folder)
    problem = said((InputError, ModelError), folder)
    assert problem.startswith("model: ")
    assert part.replace("{folder}", str(folder)) in problem
    assert "no folder" not in problem


def test_weights_that_are_in_no_file_are_told(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    for name in ("classifier.weight", "classifier.bias"):
        del weights[name]
    save_file(weights, path, {"format": "pt"})
    with pytest.warns(
        InterpretoWarning, match=r"2 weights of .* drawn at random \(classifier.bias, classifier.weight\)"
    ):
        load_model(str(folder))


def test_names_of_nothing(tmp_path, folder):
    assert "expected the folder of a model, got the file" in said(InputError, folder / "config.json")
    for name in (tmp_path / "none", "./none", "a b/c"):
        assert "is no folder here, and can be no name of a repository either" in said(InputError, name)


@pytest.mark.parametrize(
    ("cause", "part"),
    [
        (
            hub.LocalEntryNotFoundError("not there"),
            "nothing of that name is in the cache of the hub, while the network",
        ),
        (hub.OfflineModeIsEnabled("offline"), "nothing of that name is in the cache of the hub, while the network"),
        (hub.RepositoryNotFoundError, "the hub shows no repository of that name"),
        (hub.GatedRepoError, "is given only to who was let in"),
        (hub.RevisionNotFoundError, "revision: expected a branch, tag or commit of 'who/what', got 'mine'"),
        (RuntimeError("a broken line"), "could not be loaded from the repository 'who/what' (OSError: "),
    ],
)
def test_what_the_hub_says_is_told(monkeypatch, cause, part):
    error = cause if isinstance(cause, Exception) else cause.__new__(cause)  # without the answer of a server

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("could not") from error

    monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", refuse)
    assert part in said(InputError, "who/what", revision="mine")


def test_weights_that_are_not_in_the_cache_are_told(monkeypatch, folder):
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("could not") from hub.LocalEntryNotFoundError("not there")

    config = load_config(str(folder))
    monkeypatch.setattr("interpreto.loading.load_config", lambda *_: config)
    monkeypatch.setattr(transformers.BertForSequenceClassification, "from_pretrained", refuse)
    assert "of its weights not all is in the cache of the hub" in said(InputError, "who/what")


def test_a_model_runs_no_code_of_its_own(folder, monkeypatch):
    marker = folder / "ran"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own: pass\n")
    own = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoModelForSequenceClassification": "own.Own"}
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers would ask
    configure(folder, auto_map=own)
    load_model(str(folder))  # transformers knows the class itself
    load_model(str(folder), loader="AutoModelForSequenceClassification", options={"trust_remote_code": True})
    configure(folder, model_type="own", auto_map=own)
    assert "needs code of its own, which is never run here" in said(ModelError, folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    "asked", [{"attn_implementation": "a/kernel"}, {"text_config": {"_attn_implementation": {"": "a/kernel"}}}]
)
def test_a_configuration_fetches_no_kernels(folder, asked):
    configure(folder, **asked)
    assert "asks for code from elsewhere" in said(ModelError, folder)
    with pytest.raises(ModelError, match="asks for code from elsewhere"):
        load_config(str(folder))


def test_a_device_that_is_not_there_is_told():
    assert said(InputError, "demo:emotion", device="nowhere").startswith(
        "device: expected one that is there and has room, such as cpu, got 'nowhere'"
    )


def test_no_bar_for_weights_that_are_on_the_disk(folder, capfd):
    shown: Any = transformers.utils.logging
    shown.enable_progress_bar()
    load_model(str(folder))
    assert capfd.readouterr().err == ""
    assert shown.is_progress_bar_enabled()
