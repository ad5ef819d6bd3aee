"""`interpreto attribute` says what the library says."""

import csv
import io
import re

import pytest
import torch

from interpreto import Attribution, Contrast, KernelShap, Occlusion, Saliency
from interpreto.cli.explaining import Explaining
from interpreto.cli.texts import Damaged, Line, OnError
from interpreto.demo import load
from interpreto.errors import InputError, ModelError
from tests.cli.running import ANGRY, LOVING, MODEL, SCARED, error_of, json_lines, run
from tests.visualizations.handmade import make_classification

QUICK = ("--method", "occlusion")


def same(found, wanted):
    assert found.target_names == wanted.target_names
    torch.testing.assert_close(found.scores, wanted.scores, rtol=1e-4, atol=1e-5, equal_nan=True)


def attributions(*words, stdin=None):
    code, out, err = run("attribute", *MODEL, *words, "--json", stdin=stdin)
    assert (code, err) == (0, "")
    return [Attribution.from_json(line) for line in out.splitlines()]


def test_text_for_people():
    code, out, err = run("attribute", *MODEL, *QUICK, "--text", SCARED)
    assert (code, err) == (0, "")
    assert "fear" in out
    assert "scared" in out
    assert "\x1b" not in out  # nobody looks at it
    _, out, _ = run("attribute", *MODEL, *QUICK, "--text", "I was \x1b[31mscared \u202e.")
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_json_from_options_and_standard_input():
    model, tokenizer = load("emotion")
    for words, stdin in (
        (("--text", SCARED, "--text", LOVING), None),
        ((), f"{SCARED}\n{LOVING}\n"),
        (("--file", "-"), SCARED),
    ):
        code, out, _ = run("attribute", *MODEL, *QUICK, *words, "--json", stdin=stdin)
        assert code == 0
        lines = json_lines(out)
        assert [line["line"] for line in lines] == list(range(1, len(lines) + 1))
        for line, text in zip(out.splitlines(), (SCARED, LOVING), strict=False):
            same(Attribution.from_json(line), Occlusion(model, tokenizer)(text)[0])


def test_options_reach_the_method():
    model, tokenizer = load("emotion")
    words = ["--method", "KernelShap", "--granularity", "token", "--inference-mode", "softmax"]
    words += ["--removal", "delete", "--seed", "3"]
    (found,) = attributions(*words, "--n-perturbations", 40, "--option", "max_perturbations=50", "--text", SCARED)
    options = {"granularity": "token", "inference_mode": "softmax", "removal": "delete", "seed": 3}
    same(found, KernelShap(model, tokenizer, n_perturbations=40, max_perturbations=50, **options)(SCARED)[0])
    assert found.settings["seed"] == 3


def test_targets(tmp_path):
    model, tokenizer = load("emotion")
    occlusion = Occlusion(model, tokenizer)
    (found,) = attributions(*QUICK, "--text", SCARED, "--target", "joy", "--target", 2)
    same(found, occlusion(SCARED, [["joy", 2]])[0])
    (found,) = attributions(*QUICK, "--text", SCARED, "--all-classes")
    same(found, occlusion(SCARED, torch.arange(model.config.num_labels).view(1, -1))[0])
    (found,) = attributions(*QUICK, "--text", SCARED, "--target", "fear", "--rather-than", "joy")
    same(found, occlusion(SCARED, [Contrast("fear", "joy")])[0])
    table = tmp_path / "t.csv"
    table.write_text(f"what,class\n{SCARED},joy\n{LOVING},2\n")
    both = attributions(*QUICK, "--file", table, "--column", "what", "--target-column", "class")
    for one, wanted in zip(both, occlusion([SCARED, LOVING], ["joy", 2]), strict=True):
        same(one, wanted)


def test_generation():
    model, tokenizer = load("stories")
    words = ("--model", "demo:stories", "--device", "cpu", *QUICK, "--json", "--text", "Once upon a")
    code, out, _ = run("attribute", *words, "--output-text", " time")
    assert code == 0
    same(Attribution.from_json(out), Occlusion(model, tokenizer)("Once upon a", " time")[0])
    code, out, _ = run("attribute", *words, "--max-new-tokens", 2, "--option", "output_granularity=text")
    assert code == 0
    found = Attribution.from_json(out)
    assert found.scores.shape[0] == 1
    assert found.settings["generation"] == {"max_new_tokens": 2}


def test_files(tmp_path):
    model, tokenizer = load("emotion")
    words = ("attribute", *MODEL, *QUICK, "--text", SCARED, "--text", LOVING)
    wanted = Occlusion(model, tokenizer)([SCARED, LOVING])
    code, out, err = run(*words, "--out", tmp_path / "page.html")
    assert (code, out) == (0, "")
    assert err.endswith("page.html: 2 explained, 0 skipped\n")
    assert "</html>" in (tmp_path / "page.html").read_text()
    code, out, err = run(*words, "--out", tmp_path / "table.csv", "--quiet")
    assert (code, out, err) == (0, "", "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert len(rows) == sum(len(one.elements) for one in wanted)
    assert {row["line"] for row in rows} == {"1", "2"}
    assert float(rows[0]["score"]) == pytest.approx(float(wanted[0].scores[0, 0]), abs=1e-5)
    assert rows[2]["element"].strip() == "scared"


@pytest.mark.filterwarnings("default:inputs.*cut from")
def test_damaged_lines(tmp_path):
    too_long = "word " * 2000
    path = tmp_path / "t.txt"
    path.write_bytes(f"{SCARED}\n\xff\n{too_long}\n{ANGRY}\n".encode("latin-1"))
    words = ("attribute", *MODEL, *QUICK, "--file", path, "--json")
    code, out, err = run(*words, "--on-error", "skip", "--batch", 3)
    assert code == 1
    assert [line["line"] for line in json_lines(out)] == [1, 4]
    first, second = err.splitlines()
    assert first == "line 2: skipped: expected UTF-8, got other bytes"
    assert second.startswith("line 3: skipped: ")
    assert "inputs[" not in second
    code, out, err = run(*words)
    assert code == 2
    assert [line["line"] for line in json_lines(out)] == [1]  # what comes before the damage is done
    assert err.startswith("error: line 2: expected UTF-8")
    code, out, _ = run(*words, "--on-error", "skip", "--truncation")
    assert [line["line"] for line in json_lines(out)] == [1, 3, 4]


def test_all_that_is_asked_wrongly_is_one_line(tmp_path):
    ask = ("attribute", *MODEL)
    for words, part in (
        (("--text", "a", "--method", "shapley"), "method: expected one of"),
        (("--text", "a", "--method", "saliency", "--removal", "mask"), "removal: Saliency has no such option"),
        (("--text", "a", "--target", "joy", "--all-classes"), "target: expected one of"),
        (("--text", "a", "--rather-than", "joy"), "rather_than: expected one --target"),
        (("--text", "a", "--out", "x.docx"), "out: expected a name that ends in .jsonl"),
        (("--text", "a", "--out", tmp_path / "no" / "x.html"), "in a folder that is there"),
        (("--text", "a", "--file", "b.txt"), "either texts or a file"),
        (("--file", tmp_path / "none.txt"), "file: expected one that can be read"),
        ((), "the input is empty"),
        (("--text", SCARED, "--target", "happiness", *QUICK), "target: expected one of the labels"),
    ):
        assert part in error_of(*ask, *words), words
    assert "expected one of demo:emotion" in error_of("attribute", "--model", "demo:nothing", "--text", "a")
    assert "no folder here" in error_of("attribute", "--model", tmp_path / "no", "--text", "a")


def test_what_is_wrong_with_the_command_is_no_lines_fault(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(f"{SCARED}\n\n{LOVING}\n")
    for words, said in (
        (("--target", "happiness", *QUICK), "target: expected one of the labels"),
        (("--target", 77, *QUICK), "target: expected a class from 0 to 6, got 77"),
        (("--target", "joy", "--rather-than", "woe", *QUICK), "target: expected one of the labels"),
        (("--removal", "no such token", *QUICK), "removal: expected one of"),
    ):
        for on_error in ("stop", "skip"):
            error = error_of("attribute", *MODEL, "--file", path, *words, "--on-error", on_error, "--batch", 1)
            assert error.startswith(said)
            assert "line" not in error
    table = tmp_path / "t.csv"
    table.write_text(f"text,class\n{SCARED},joy\n{LOVING},woe\n{ANGRY},77\n")
    words = ("attribute", *MODEL, *QUICK, "--file", table, "--target-column", "class", "--on-error", "skip", "--json")
    code, out, err = run(*words)
    assert (code, [line["line"] for line in json_lines(out)]) == (1, [2])
    assert [line.split(" expected")[0] for line in err.splitlines()] == [
        "line 3: skipped: target:", "line 4: skipped: target:",
    ]  # fmt: skip


class Choosy:
    """An explainer of texts that say themselves which error they lead to."""

    def __call__(self, texts, targets):
        for text in texts:
            if text != "good":
                raise ModelError(text)
        return [make_classification(text) for text in texts]


def test_errors_are_told_apart_by_what_they_are_about():
    def explained(texts, target=None, own=None, on_error=OnError.SKIP):
        damaged = Damaged(on_error)
        explaining = Explaining(Choosy(), lambda line: target if line.target is None else line.target, damaged)
        lines = [Line(number, text, own) for number, text in enumerate(texts, start=1)]
        return [line.number for line, _ in explaining(lines)], damaged.numbers

    for of_a_text in ("inputs[0]: no text", "memory: expected room", "targets[0]: what the model wrote"):
        assert explained(["good", of_a_text, "good"]) == ([1, 3], {2})
    assert explained(["targets[0]: not this", "good"], own="a") == ([2], {1})
    assert explained(["targets: not this", "good"], own="a") == ([2], {1})
    with pytest.raises(InputError, match=r"^target: not this$"):
        explained(["targets[0]: not this", "good"], target="a")
    assert explained(["good", "targets[0]: too long for this", "good"], target="a") == ([1, 3], {2})
    for of_the_command in ("model: no gradients", "DeepLift: inputs[0] is strange", "removal: no such"):
        with pytest.raises(ModelError, match=f"^{re.escape(of_the_command)}$"):
            explained(["good", of_the_command])
    with pytest.raises(InputError, match=r"^line 2: no text; --on-error skip"):
        explained(["good", "inputs[0]: no text"], on_error=OnError.STOP)


@pytest.mark.parametrize("name", ["r.csv", "r.html", "r.png"])
def test_what_was_done_before_a_stop_is_kept(tmp_path, monkeypatch, name):
    path, out, wanted = tmp_path / "t.txt", tmp_path / name, tmp_path / f"wanted.{name}"
    words = ("attribute", *MODEL, *QUICK, "--file", path, "--batch", 1)
    path.write_text(f"{SCARED}\n{LOVING}\n")
    assert run(*words, "--out", wanted)[0] == 0
    path.write_bytes(f"{SCARED}\n{LOVING}\n\xff\n{ANGRY}\n".encode("latin-1"))
    code, shown, err = run(*words, "--out", out)
    assert (code, shown) == (2, "")
    first, second = err.splitlines()
    assert first == f"{out}: 2 explained, only up to line 2"
    assert second.startswith("error: line 3: expected UTF-8")
    assert out.read_bytes() == wanted.read_bytes() or name == "r.png"
    out.unlink()
    path.write_bytes(f"\xff\n{SCARED}\n".encode("latin-1"))
    assert error_of(*words, "--out", out).startswith("line 1: ")
    assert not out.exists()

    path.write_text(f"{SCARED}\n{LOVING}\n{ANGRY}\n")
    explain = Occlusion.__call__

    def interrupted(self, texts, targets=None):
        if texts == [ANGRY]:
            raise KeyboardInterrupt
        return explain(self, texts, targets)

    monkeypatch.setattr(Occlusion, "__call__", interrupted)
    code, shown, err = run(*words, "--out", out)
    assert (code, shown) == (130, "")
    assert err.splitlines() == [f"{out}: 2 explained, only up to line 2", "error: interrupted"]
    assert out.read_bytes() == wanted.read_bytes() or name == "r.png"


def test_a_stop_says_what_a_file_of_lines_holds(tmp_path):
    path, out = tmp_path / "t.txt", tmp_path / "r.jsonl"
    path.write_bytes(f"{SCARED}\n{LOVING}\n\xff\n".encode("latin-1"))
    words = ("attribute", *MODEL, *QUICK, "--file", path, "--batch", 1, "--out", out)
    code, _, err = run(*words)
    said, problem = err.splitlines()
    assert (code, said) == (2, f"{out}: 2 explained; the same command, on the same texts, goes on there")
    assert problem.startswith("error: line 3: ")
    assert error_of(*words).startswith("line 3: ")
    code, _, err = run(*words, "--on-error", "skip")
    assert code == 1
    assert err.splitlines()[-1] == f"{out}: 2 explained, 2 of them by an earlier run, 1 skipped"


def test_what_was_done_before_a_stop_cannot_always_be_kept(tmp_path, monkeypatch):
    path, out = tmp_path / "t.txt", tmp_path / f"{'r' * 251}.csv"
    path.write_bytes(f"{SCARED}\n\xff\n".encode("latin-1"))
    out.mkdir()  # and a longer name has no place
    code, shown, err = run("attribute", *MODEL, *QUICK, "--file", path, "--out", out)
    assert (code, shown) == (2, "")
    first, second = err.splitlines()
    assert "name too long" in first
    assert second.startswith("error: line 2: expected UTF-8")


@pytest.mark.parametrize("name", ["r.csv", "r.html"])
def test_a_part_replaces_nothing(tmp_path, name):
    path, out = tmp_path / "t.txt", tmp_path / name
    path.write_bytes(f"{SCARED}\n\xff\n".encode("latin-1"))
    out.write_text("whole")
    for part in (f"r.partial{out.suffix}", f"r.partial-2{out.suffix}"):
        code, _, err = run("attribute", *MODEL, *QUICK, "--file", path, "--out", out)
        assert code == 2
        assert err.splitlines()[0] == f"{tmp_path / part}: 1 explained, only up to line 1"
        assert "scared" in (tmp_path / part).read_text()
    assert out.read_text() == "whole"


@pytest.mark.parametrize("name", ["r.csv", "r.html"])
def test_nothing_explained_is_told(tmp_path, name):
    path, out = tmp_path / "t.txt", tmp_path / name
    path.write_bytes(b"\xff\n")
    out.write_text("of other texts")
    code, _, err = run("attribute", *MODEL, *QUICK, "--file", path, "--out", out, "--on-error", "skip")
    assert code == 1
    if name == "r.csv":
        assert out.read_text().split() == ["line,target,position,element,score,std_error"]
    else:
        assert out.read_text() == "of other texts"
        assert f"{out}: not written, for nothing was explained; what is there is of an earlier run\n" in err


def test_an_empty_cell_asks_for_the_models_own_answer(tmp_path):
    model, tokenizer = load("emotion")
    table = tmp_path / "t.csv"
    table.write_text(f"text,class\n{SCARED},joy\n{LOVING},\n")
    first, second = attributions(*QUICK, "--file", table, "--target-column", "class")
    same(first, Occlusion(model, tokenizer)(SCARED, ["joy"])[0])
    same(second, Occlusion(model, tokenizer)(LOVING)[0])


def test_another_model_in_the_same_folder_is_noticed(tmp_path):
    model, tokenizer = load("emotion")
    path, out, folder = tmp_path / "t.txt", tmp_path / "r.jsonl", tmp_path / "m"
    path.write_text(f"{SCARED}\n{'word ' * 2000}\n{LOVING}\n")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    words = ("attribute", "--model", folder, *QUICK, "--file", path, "--out", out, "--on-error", "skip", "--batch", 1)
    assert run(*words)[0] == 1
    whole = out.read_bytes()
    out.write_bytes(whole.splitlines(keepends=True)[0])
    assert run(*words)[0] == 1  # the same model goes on
    assert out.read_bytes() == whole
    with torch.no_grad():
        other = type(model)(model.config)
    other.save_pretrained(folder)
    out.write_bytes(whole.splitlines(keepends=True)[0])
    assert "another model of this name (other: weights)" in error_of(*words)
    assert out.read_bytes() == whole.splitlines(keepends=True)[0]
    assert run(*words, "--overwrite")[0] == 1
    assert Attribution.from_json(out.read_text().splitlines()[0]).scores.shape
    assert run(*words)[0] == 1


def test_old_results_stay_until_there_are_new_ones(tmp_path):
    path, out = tmp_path / "t.txt", tmp_path / "r.jsonl"
    path.write_text(f"{SCARED}\n{LOVING}\n")
    words = ("--file", path, "--out", out)
    assert run("attribute", *MODEL, *QUICK, *words)[0] == 0
    before = {name: (tmp_path / name).read_bytes() for name in ("r.jsonl", "r.jsonl.run")}
    for wrong in (
        ("--model", tmp_path / "none"),
        (*MODEL, "--target", "happiness"),
        (*MODEL, "--removal", "no such token"),
    ):
        error_of("attribute", *wrong, *QUICK, *words, "--overwrite")
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
    path.write_text("")
    assert "the input is empty" in error_of("attribute", *MODEL, *QUICK, *words, "--overwrite")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    path.write_bytes(b"\xff\n")
    assert run("attribute", *MODEL, *QUICK, *words, "--overwrite", "--on-error", "skip")[0] == 1
    assert out.read_bytes() == b""
    assert (tmp_path / "r.jsonl.run").read_bytes() != before["r.jsonl.run"]


def test_a_folder_is_a_model(tmp_path):
    model, tokenizer = load("emotion")
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    code, out, _ = run("attribute", "--model", tmp_path / "m", "--method", "saliency", "--text", SCARED, "--json")
    assert code == 0
    same(Attribution.from_json(out), Saliency(model, tokenizer)(SCARED)[0])


def test_an_earlier_run_is_not_done_again(tmp_path):
    path, out = tmp_path / "t.txt", tmp_path / "r.jsonl"
    path.write_bytes(f"{SCARED}\n\xff\n{LOVING}\n{'word ' * 2000}\n{ANGRY}\n".encode("latin-1"))
    words = ("attribute", *MODEL, *QUICK, "--file", path, "--out", out, "--on-error", "skip", "--batch", 2)
    code, shown, _ = run(*words)
    assert (code, shown) == (1, "")
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert [Attribution.from_json(line.decode()).sample.parts[0] for line in lines] == [SCARED, LOVING, ANGRY]
    for kept in (b"", lines[0], lines[0] + lines[1][:50], lines[0] + lines[1], whole[:-1], whole):
        out.write_bytes(kept)
        code, _, err = run(*words)
        assert code == 1  # the same lines are skipped as ever
        n_before = kept.count(b"\n")
        assert f"3 explained{f', {n_before} of them by an earlier run' if n_before else ''}, 2 skipped" in err
        assert out.read_bytes().startswith(b"".join(lines[:n_before]))
        for line, wanted in zip(out.read_text().splitlines(), lines, strict=True):
            same(Attribution.from_json(line), Attribution.from_json(wanted.decode()))
    out.write_bytes(whole)
    again = [word if word != "occlusion" else "saliency" for word in words]
    assert "(other: method)" in error_of(*again)
    path.write_text(f"{SCARED}\n")
    assert "(other: input)" in error_of(*words)
    assert out.read_bytes() == whole
    code, _, _ = run(*words, "--overwrite")
    assert code == 0
    assert out.read_bytes().count(b"\n") == 1


def test_the_texts_are_never_written_over(tmp_path):
    for name, content in (("in.csv", "text\nI am sad\n"), ("in.jsonl", '{"text": "I am sad"}\n')):
        file = tmp_path / name
        file.write_text(content)
        code, _, err = run("attribute", *MODEL, *QUICK, "--file", str(file), "--out", str(file), "--overwrite")
        assert code == 2
        assert "out: expected another file than that of the texts" in err
        assert file.read_text() == content


def test_all_classes_of_a_model_that_writes_are_refused():
    code, _, err = run("attribute", "--model", "demo:stories", *QUICK, "--all-classes", "--text", "Once upon a time")
    assert code == 2
    assert "has no classes" in err
