"""inseq's files: what is written is read again, and what inseq itself wrote is read."""

import base64
import json
import struct
import sys

import pytest
import torch

from interpreto import InputxGradient, Occlusion
from interpreto.attributions.exchange import from_inseq, to_inseq
from interpreto.attributions.metrics import Insertion
from interpreto.errors import InputError, StoreError
from tests.tiny import byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece


def causal(**options):
    explainer = Occlusion(language_model(), byte_bpe(), granularity="token", **options)
    return explainer(["The quick fox", "Once"], [" jumps over", " upon a time"])


def seq2seq():
    return Occlusion(sequence_to_sequence(), metaspace(), granularity="token")(
        ["The quick fox", "the dog"], [" jumps", "is"]
    )


@pytest.mark.parametrize("make", [causal, seq2seq])
def test_there_and_back(make, tmp_path):
    results = make()
    back = from_inseq(to_inseq(results, tmp_path / "found.json"))
    for one, other in zip(back, results, strict=True):
        assert one.task is other.task
        assert one.method == "Occlusion"
        assert one.target_names == other.target_names
        assert one.sample.ids == other.sample.ids
        assert one.readout.slots == other.readout.slots
        assert one.readout.reads == other.readout.reads
        places = [element.tokens for element in one.elements]
        for k, element in enumerate(other.elements):
            assert torch.equal(
                one.scores[:, places.index(element.tokens)].nan_to_num(9), other.scores[:, k].nan_to_num(9)
            )
        extra = [k for k, own in enumerate(places) if own not in [element.tokens for element in other.elements]]
        assert (one.scores[:, extra] == 0).all()  # </s> is no element of ours


def test_metrics_can_ask_again(tmp_path):
    results = causal()
    back = from_inseq(to_inseq(results, tmp_path / "found.json"))
    metric = Insertion(language_model(), byte_bpe(), removal="attention")
    assert metric(back).score == pytest.approx(metric(results).score, abs=1e-6)


def test_the_format(tmp_path):
    """Read here by hand, byte by byte: what inseq 0.7 expects."""
    (result,) = causal()[:1]
    data = json.loads(to_inseq(result, tmp_path / "found.json").read_text())
    assert data["__instance_type__"] == ["inseq.data.attribution", "FeatureAttributionOutput"]
    (sequence,) = data["attributes"]["sequence_attributions"]
    assert sequence["__instance_type__"] == ["inseq.data.attribution", "FeatureAttributionSequenceOutput"]
    fields = sequence["attributes"]
    tokens = [token["attributes"] for token in fields["target"]]
    assert {tuple(token["__instance_type__"]) for token in fields["target"]} == {("inseq.utils.typing", "TokenWithId")}
    assert [token["id"] for token in tokens] == result.sample.ids
    assert "".join(token["token"] for token in tokens) == "The quick fox jumps over"
    assert (fields["attr_pos_start"], fields["attr_pos_end"]) == (result.sample.output_start, len(tokens))
    content = base64.b64decode(fields["target_attributions"])
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])["attribution"]
    n_targets = len(result.targets)
    assert header["dtype"] == "F32"
    assert header["shape"] == [len(tokens), n_targets]
    numbers = torch.frombuffer(bytearray(content[8 + length :]), dtype=torch.float32).view(len(tokens), n_targets)
    for k, element in enumerate(result.elements):
        assert torch.equal(numbers[element.tokens[0]].nan_to_num(9), result.scores[:, k].nan_to_num(9))
    assert numbers[-1].isnan().all()  # nothing is written from the last token


# Written by inseq 0.7.1: FeatureAttributionOutput(...).save(path), with NaN after each target.
WRITTEN_BY_INSEQ = {
    "__instance_type__": ["inseq.data.attribution", "FeatureAttributionOutput"],
    "attributes": {
        "info": {"attribution_method": "saliency", "generated_texts": ["a b c"], "input_texts": ["a b"]},
        "sequence_attributions": [
            {
                "__instance_type__": ["inseq.data.attribution", "FeatureAttributionSequenceOutput"],
                "attributes": {
                    "attr_pos_end": 3,
                    "attr_pos_start": 2,
                    "sequence_scores": None,
                    "source": [],
                    "source_attributions": None,
                    "step_scores": {
                        "probability": "QAAAAAAAAAB7ImF0dHJpYnV0aW9uIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsxXSwiZGF0YV9v"
                        "ZmZzZXRzIjpbMCw0XX19AAAAPw=="
                    },
                    "target": [
                        {
                            "__instance_type__": ["inseq.utils.typing", "TokenWithId"],
                            "attributes": {"id": k, "token": text},
                        }
                        for k, text in ((1, "a"), (2, "Ġb"), (3, "▁c"))
                    ],
                    "target_attributions": "SAAAAAAAAAB7ImF0dHJpYnV0aW9uIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlszLDFdLCJk"
                    "YXRhX29mZnNldHMiOlswLDEyXX19ICAgICAAAIA/AAAAQAAAwH8=",
                },
            }
        ],
        "step_attributions": None,
    },
}


def test_a_file_that_inseq_wrote(tmp_path):
    path = tmp_path / "inseq.json"
    path.write_text(json.dumps(WRITTEN_BY_INSEQ))
    (result,) = from_inseq(path)
    assert result.method == "saliency"
    assert result.sample.parts == ("a b", " c")
    assert result.sample.ids == [1, 2, 3]
    assert result.scores.tolist() == [[1.0, 2.0]]
    assert result.target_names == (" c",)


def test_words_have_no_id(tmp_path):
    results = Occlusion(language_model(), byte_bpe(), output_granularity="word")(["The quick fox"], [" jumps over"])
    (back,) = from_inseq(to_inseq(results, tmp_path / "words.json"))
    assert torch.equal(back.scores.nan_to_num(9), results[0].scores.nan_to_num(9))
    assert [element.text for element in back.elements] == [element.text for element in results[0].elements]
    assert min(back.sample.ids) == -1


def test_one_target_alone(tmp_path):
    results = InputxGradient(language_model(), byte_bpe(), output_granularity="text")("The quick fox", " jumps")
    (back,) = from_inseq(to_inseq(results, tmp_path / "one.json"))
    assert torch.equal(back.scores[0, :3], results[0].scores[0, :3])


def test_refused(tmp_path):
    mixed = Occlusion(language_model(), byte_bpe())("The quick fox", " jumps over")
    with pytest.raises(
        InputError, match=r"^results\[0\]: expected output elements that are its targets, got 2 elements"
    ):
        to_inseq(mixed, tmp_path / "x.json")
    with pytest.raises(InputError, match=r"^results: .* got \['classification'\]"):
        to_inseq(Occlusion(classifier(), wordpiece())("a sad day"), tmp_path / "x.json")
    with pytest.raises(StoreError, match="could not be written"):
        to_inseq(causal(), tmp_path / "no" / "folder.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"__instance_type__": ["a", "B"], "attributes": {}}', "\xff"])
def test_other_files(text, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(
        InputError, match=r"^path: expected a file that inseq's FeatureAttributionOutput.save wrote, got"
    ):
        from_inseq(path)
    with pytest.raises(InputError, match=r"^path: expected a file"):
        from_inseq(tmp_path / "nothing.json")


def test_inseq_is_not_needed(tmp_path):
    to_inseq(causal(), tmp_path / "found.json")
    assert "inseq" not in sys.modules
