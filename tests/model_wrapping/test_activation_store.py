"""Activations on disk: the same numbers, and nothing lost or doubled whatever happens on the way."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from interpreto.errors import InputError, StoreError
from interpreto.model_wrapping import ActivationStore, ModelWithSplitPoints, activation_store
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

TEXTS = [f"{line} {k}" for k in range(20) for line in LINES]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(activation_store, "_SHARD_BYTES", 1 << 17)


@pytest.fixture(scope="module")
def split():
    return ModelWithSplitPoints(classifier(), [0, 1], tokenizer=wordpiece())


def test_a_store_holds_what_memory_holds(split, tmp_path):
    options = {"granularity": "word", "include_predicted_classes": True}
    stored = split.get_activations(TEXTS, store=tmp_path / "s", **options)
    memory = split.get_activations(TEXTS, **options)
    assert len(stored.shards) > 3
    assert list(stored) == list(memory)
    for name in ("0", "1"):
        torch.testing.assert_close(stored[name].all(), memory[name], atol=1e-5, rtol=1e-5)
        assert torch.equal(stored.sources[name].table, memory.sources[name].table)
        assert (stored[name].n_rows, stored[name].width) == tuple(memory[name].shape)
    assert torch.equal(stored["predictions"], memory["predictions"])
    again = ActivationStore(tmp_path / "s")
    assert torch.equal(again["1"].all(), stored["1"].all())
    assert again.granularity == "word"


def test_rows_come_shuffled_and_each_once(split, tmp_path):
    rows = split.get_activations(TEXTS, store=tmp_path / "s")["0"]
    whole = rows.all()
    first, second = (torch.cat(list(rows.batches(64, rng=torch.Generator().manual_seed(seed)))) for seed in (0, 1))
    again = torch.cat(list(rows.batches(64, rng=torch.Generator().manual_seed(0))))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, whole)
    assert torch.equal(first.sort(dim=0).values, whole.sort(dim=0).values)
    assert torch.equal(torch.cat(list(rows.batches(64))), whole)
    picked = torch.tensor([5, 900, 5, 0])
    assert torch.equal(rows.take(picked), whole[picked])
    with pytest.raises(InputError, match="expected numbers from 0 to"):
        rows.take(torch.tensor([len(whole)]))


def test_rows_are_mapped_not_read(split, tmp_path):
    stored = split.get_activations(TEXTS, store=tmp_path / "s")
    piece = stored["0"].pieces[0]
    assert str(stored.shards[0].path) in Path("/proc/self/maps").read_text()
    assert len(piece)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_number_type_is_the_users(split, tmp_path, dtype):
    stored = split.get_activations(TEXTS[:9], store=tmp_path / "s", dtype=dtype)
    assert load_file(stored.shards[0].path)["rows.0"].dtype == dtype
    wide = split.get_activations(TEXTS[:9])["0"]
    assert torch.equal(stored["0"].all(), wide.to(dtype).float())


def test_numbers_too_large_for_the_type_are_refused(tmp_path):
    model = classifier()
    with torch.no_grad():
        model.bert.encoder.layer[0].output.LayerNorm.weight.fill_(1e6)
    split = ModelWithSplitPoints(model, 0, tokenizer=wordpiece())
    with pytest.raises(InputError, match="some are infinite"):
        split.get_activations(TEXTS[:3], store=tmp_path / "s", dtype=torch.float16)


def test_a_stopped_run_goes_on(split, tmp_path, monkeypatch):
    whole = split.get_activations(TEXTS, store=tmp_path / "whole")
    write, written = activation_store.save_file, []

    def save_twice(tensors, path, metadata):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(tensors, path, metadata)

    monkeypatch.setattr(activation_store, "save_file", save_twice)
    with pytest.raises(StoreError, match=r"No space left.*the activations of the first \d+ texts"):
        split.get_activations(TEXTS, store=tmp_path / "s")
    monkeypatch.setattr(activation_store, "save_file", write)
    with pytest.raises(InputError, match="call get_activations with the same texts"):
        ActivationStore(tmp_path / "s")
    assert not list((tmp_path / "s").glob("*.part"))
    first = sorted((tmp_path / "s").glob("shard-*"))[0].stat().st_mtime_ns
    done = split.get_activations(TEXTS, store=tmp_path / "s")
    assert sorted((tmp_path / "s").glob("shard-*"))[0].stat().st_mtime_ns == first
    assert torch.equal(done["1"].all(), whole["1"].all())
    assert torch.equal(done.sources["1"].table, whole.sources["1"].table)


def test_a_complete_store_is_only_read_and_can_grow(split, tmp_path, monkeypatch):
    split.get_activations(TEXTS[:30], store=tmp_path / "s")
    monkeypatch.setattr(activation_store, "save_file", None)
    split.get_activations(TEXTS[:30], store=tmp_path / "s")
    monkeypatch.undo()
    grown = split.get_activations(TEXTS, store=tmp_path / "s")
    torch.testing.assert_close(grown["0"].all(), split.get_activations(TEXTS)["0"], atol=1e-5, rtol=1e-5)


def test_other_texts_models_and_options_are_refused(split, tmp_path):
    folder = tmp_path / "s"
    split.get_activations(TEXTS, store=folder)
    with pytest.raises(InputError, match=r"others among inputs\[0\]"):
        split.get_activations(["dog", *TEXTS[1:]], store=folder)
    with pytest.raises(InputError, match="others among"):
        split.get_activations(TEXTS[:3], store=folder)
    with pytest.raises(InputError, match="with granularity 'word'"):
        split.get_activations(TEXTS, "word", store=folder)
    with pytest.raises(InputError, match="with dtype 'float16'"):
        split.get_activations(TEXTS, store=folder, dtype=torch.float16)
    with pytest.raises(InputError, match="with points"):
        ModelWithSplitPoints(split.model, 0, tokenizer=wordpiece()).get_activations(TEXTS, store=folder)
    other = ModelWithSplitPoints(classifier(seed=1), [0, 1], tokenizer=wordpiece())
    with pytest.raises(InputError, match="with model"):
        other.get_activations(TEXTS, store=folder)


@pytest.mark.parametrize("damage", ["cut", "garbled", "gone", "about", "thin", "no-about"])
def test_damaged_files_are_named(split, tmp_path, damage):
    folder = tmp_path / "s"
    stored = split.get_activations(TEXTS, store=folder)
    path = stored.shards[1].path
    del stored
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "garbled":
        path.write_bytes(b"\xff" * 64)
    elif damage == "gone":
        path.unlink()
    elif damage == "thin":
        (folder / "store.json").write_text('{"format": 1}')
    elif damage == "about":
        (folder / "store.json").write_text("{")
    else:
        (folder / "store.json").unlink()
    message = {
        "gone": "expected a shard that begins with",
        "about": "store.json",
        "thin": "store.json",
        "no-about": "store.json",
    }
    with pytest.raises(InputError, match=message.get(damage, path.name)):
        ActivationStore(folder)
    with pytest.raises(InputError, match=message.get(damage, path.name)):
        split.get_activations(TEXTS, store=folder)


def test_a_damaged_last_shard_can_be_deleted_and_made_anew(split, tmp_path):
    stored = split.get_activations(TEXTS, store=tmp_path / "s")
    whole, path = stored["0"].all(), stored.shards[-1].path
    path.unlink()
    assert torch.equal(split.get_activations(TEXTS, store=tmp_path / "s")["0"].all(), whole)


def test_a_folder_that_cannot_be_made_is_told(split, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        split.get_activations(TEXTS, store=tmp_path / "file" / "s")


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_other_number_types_are_refused(split, tmp_path, dtype):
    with pytest.raises(InputError, match="dtype: expected one of"):
        split.get_activations(TEXTS, store=tmp_path / "s", dtype=dtype)
    with pytest.raises(InputError, match="without store"):
        split.get_activations(TEXTS, dtype=torch.float16)


def test_arrays_and_lists_of_texts_are_the_same_texts(split, tmp_path):
    split.get_activations(np.array(TEXTS[:9]), store=tmp_path / "s")
    split.get_activations(TEXTS[:9], store=tmp_path / "s")


def test_a_bad_text_added_to_a_store_leaves_it_readable(split, tmp_path):
    split.get_activations(TEXTS[:9], store=tmp_path / "s")
    with pytest.raises(InputError, match=r"inputs\[9\]"):
        split.get_activations([*TEXTS[:9], ""], store=tmp_path / "s")
    assert len(ActivationStore(tmp_path / "s").sources["0"]) > 9


def test_two_writers_do_not_meet(split, tmp_path):
    with activation_store._alone(tmp_path / "s"), pytest.raises(StoreError, match="another process is writing"):
        split.get_activations(TEXTS[:9], store=tmp_path / "s")
    assert split.get_activations(TEXTS[:9], store=tmp_path / "s")["0"].n_rows > 9


def test_bad_texts_keep_their_number(split, tmp_path):
    with pytest.raises(InputError, match=r"inputs\[90\]: expected a text, got an empty one"):
        split.get_activations([*TEXTS[:90], "", *TEXTS[90:]], store=tmp_path / "s")


def test_outputs_are_stored_too(tmp_path):
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    texts, targets = ["Once upon", "She said"], [" a time", ": what"]
    stored = split.get_activations(texts, store=tmp_path / "s", targets=targets)
    assert torch.equal(stored["0"].all(), split.get_activations(texts, targets=targets)["0"])
    with pytest.raises(InputError, match="others among"):
        split.get_activations(texts, store=tmp_path / "s", targets=targets[::-1])


SCRIPT = """
import sys
from interpreto.model_wrapping import ModelWithSplitPoints, activation_store
from tests.tiny import LINES, classifier, wordpiece
activation_store._SHARD_BYTES = 1 << 15
texts = [f"{line} {k}" for k in range(200) for line in LINES]
split = ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())
split.get_activations(texts, store=sys.argv[1])
"""


@pytest.mark.slow
def test_killed_three_times_equals_one_piece(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=environment)

    killed = 0
    while killed < 3:
        count = len(list((tmp_path / "killed").glob("shard-*.safetensors")))
        run = start(tmp_path / "killed")
        while len(list((tmp_path / "killed").glob("shard-*.safetensors"))) < count + 2 and run.poll() is None:
            time.sleep(0.002)
        assert run.poll() is None, "it ended before it could be killed"
        run.send_signal(signal.SIGKILL)
        run.wait()
        killed += 1
    assert start(tmp_path / "killed").wait() == 0
    assert start(tmp_path / "whole").wait() == 0
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("killed", "whole")]
    assert names[0] == names[1]
    assert len(names[0]) > 10
    assert not [name for name in names[0] if name.endswith(".part")]
    shards = [name for name in names[0] if name.startswith("shard-")]
    for name in shards:
        one, other = load_file(tmp_path / "killed" / name), load_file(tmp_path / "whole" / name)
        assert list(one) == list(other) == ["rows.1", "sources.source"]
        assert all(torch.equal(one[key], other[key]) for key in one), name
    about = json.loads((tmp_path / "whole" / "store.json").read_text())
    assert about["n_inputs"] == 1000
