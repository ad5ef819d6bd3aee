"""To captum and back; captum's own attribution of a language model, and its own picture."""

import sys
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import pytest
import torch
from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput

from interpreto import KernelShap, Occlusion
from interpreto.attributions.exchange import from_captum, to_captum
from interpreto.attributions.metrics import Insertion
from interpreto.errors import InputError, MissingExtraError
from interpreto.types import InferenceMode
from tests.tiny import byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece


def explained(method=Occlusion, **options):
    return method(language_model(), byte_bpe(), inference_mode="log_softmax", **options)(
        "The quick fox", " jumps over"
    )[0]


def test_fields():
    result = explained()
    given = to_captum(result)
    assert given.input_tokens == ["The", " quick", " fox"]
    assert given.output_tokens == list(result.target_names)
    assert torch.equal(given.token_attr, result.scores[:, :3])
    torch.testing.assert_close(given.seq_attr, result.scores[:, :3].sum(dim=0))


def test_sum_explains_the_whole_output():
    """Shapley values are linear in the target: those of the answer are the sums of those of its tokens."""
    options = {"granularity": "word", "inference_mode": "log_softmax"}
    model, tokenizer = language_model(), byte_bpe()
    (whole,) = KernelShap(model, tokenizer, output_granularity="text", **options)("The quick fox", " jumps")
    (tokens,) = KernelShap(model, tokenizer, output_granularity="text", **options)("The quick fox", " jumps")
    torch.testing.assert_close(to_captum(tokens).seq_attr, whole.scores[0, :3], atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_picture_of_captum():
    figure, axes = to_captum(explained()).plot_token_attr(show=False)
    shown = {label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    matplotlib.pyplot.close(figure)
    assert any("quick" in label for label in shown)


def test_there_and_back():
    result = explained()
    back = from_captum(to_captum(result), method="Occlusion")
    assert back.sample.parts == result.sample.parts
    assert back.target_names == result.target_names
    assert torch.equal(back.scores, result.scores[:, :3])
    assert [(t.start, t.end) for t in back.targets] == [(t.start, t.end) for t in result.targets]
    assert "quick" in back._repr_html_()
    with pytest.raises(InputError, match="expected an explanation whose token ids are known, got one of Occlusion"):
        Insertion(language_model(), byte_bpe())(back)


def test_source_of_an_encoder_decoder():
    (result,) = Occlusion(sequence_to_sequence(), metaspace())("The quick fox", " jumps")
    assert "".join(to_captum(result).input_tokens) == "The quick fox"


@pytest.mark.filterwarnings("ignore")
def test_a_result_that_captum_made():
    model, tokenizer = language_model(), byte_bpe()
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>")
    given = LLMAttribution(FeatureAblation(model), tokenizer).attribute(
        TextTemplateInput("{} {} fox", ["The", "quick"]), target=" jumps"
    )
    result = from_captum(given)
    assert result.sample.parts[0] == "Thequick"
    assert result.inference_mode is InferenceMode.LOG_SOFTMAX
    assert torch.equal(result.scores, given.token_attr.float())
    assert result.target_names == tuple(given.output_tokens)


def test_without_scores_of_tokens():
    given = SimpleNamespace(seq_attr=torch.tensor([1.0, -2.0]), input_tokens=["a", " b"], output_tokens=[" c", " d"])
    result = from_captum(given, inference_mode="logits")
    assert result.target_names == (" c d",)
    assert result.scores.tolist() == [[1.0, -2.0]]


def test_refused(monkeypatch):
    with pytest.raises(InputError, match=r"^result: expected one of a model that writes, got one of classification"):
        to_captum(Occlusion(classifier(), wordpiece())("a sad day")[0])
    with pytest.raises(InputError, match=r"^given: expected captum's .*, got int without \['seq_attr', 'input_tokens'"):
        from_captum(3)
    wrong = SimpleNamespace(seq_attr=[1.0], token_attr=[[1.0, 2.0]], input_tokens=["a"], output_tokens=["b"])
    with pytest.raises(InputError, match=r"^scores: expected one for each of 1 targets and 1 pieces .*\(1, 2\)"):
        from_captum(wrong)
    result = explained()
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtraError, match="needs the package 'captum'"):
        to_captum(result)
