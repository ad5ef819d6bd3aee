"""Where models are cut, and that what is read there is what the model computes."""

import pytest
import torch

from interpreto import InputxGradient
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.types import Task
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, PAIRS, SEQ2SEQ, build, shared_model
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

TEXTS = ["The quick brown fox jumps over the lazy dog.", "It is great!"]
SPLIT = [(name, task) for name, task in PAIRS if task in (CLASSES, CAUSAL, SEQ2SEQ)]


def split_model(name, task, points):
    return ModelWithSplitPoints(shared_model(name, task), points, tokenizer=ARCHITECTURES[name].tokenizer())


def plain_pass(split, text, target=None):
    """The model's own hidden states and logits for one text alone."""
    traits = split.traits
    encoding = split.tokenizer(text, return_tensors="pt")
    inputs = {name: values for name, values in encoding.items() if name in traits.arguments}
    if traits.is_encoder_decoder and traits.base.can_generate():
        ids = [] if target is None else split.tokenizer(target, add_special_tokens=False)["input_ids"]
        inputs["decoder_input_ids"] = torch.tensor([traits.decoder_prefix + ids])
    with torch.no_grad():
        return split.model(**inputs, output_hidden_states=True)


def block_outputs(name, hidden_states):
    """After the embeddings, one entry a block; the last one has gone through the last norm in many models."""
    return hidden_states if name == "mamba" else hidden_states[1:]


@pytest.mark.parametrize(("name", "task"), SPLIT)
def test_a_block_is_the_models_own_hidden_state(name, task):
    two = name == "t5" or (name in ("bart", "mbart") and task is not CAUSAL)
    split = split_model(name, task, "encoder.0" if two else 0)
    found = split.get_activations(TEXTS, "all_tokens", include_predicted_classes=task is Task.CLASSIFICATION)
    point = split.split_points[0].name
    for k, text in enumerate(TEXTS):
        output = plain_pass(split, text)
        states = output.encoder_hidden_states if two else output.hidden_states
        rows = found.sources[point].inputs == k
        torch.testing.assert_close(found[point][rows], block_outputs(name, states)[0][0], atol=1e-5, rtol=1e-5)
        if task is Task.CLASSIFICATION:
            assert set(found["predictions"][rows].tolist()) == {int(output.logits.argmax())}


@pytest.mark.parametrize("name", ["bart", "mbart", "t5"])
def test_a_decoders_rows_are_those_of_the_output(name):
    split = split_model(name, SEQ2SEQ, ["decoder.0", "encoder.-1"])
    targets = ["lazy dog", "great"]
    found = split.get_activations(TEXTS, "all_tokens", targets=targets)
    for k, (text, target) in enumerate(zip(TEXTS, targets, strict=True)):
        rows = found.sources["decoder.0"].inputs == k
        states = plain_pass(split, text, target).decoder_hidden_states
        torch.testing.assert_close(found["decoder.0"][rows], states[1][0], atol=1e-5, rtol=1e-5)
    shown = split.get_activations(TEXTS, "token", targets=targets).sources
    assert shown["decoder.0"].table[:, 1].unique().tolist() == [1]
    assert shown["encoder.1"].table[:, 1].unique().tolist() == [0]
    with pytest.raises(InputError, match="pass targets"):
        split.get_activations(TEXTS)


def test_any_module_is_read_as_a_plain_hook_reads_it():
    model = classifier()
    path = "bert.encoder.layer.1.attention.self"
    points = [path, "bert.embeddings", "bert.encoder.layer.*.output.dense:input", "bert.encoder"]
    split = ModelWithSplitPoints(model, points, tokenizer=wordpiece())
    found = split.get_activations(LINES[:1], "all_tokens")
    caught = {}
    dense = "bert.encoder.layer.0.output.dense"
    modules = dict(model.named_modules())
    handles = [
        modules[path].register_forward_hook(lambda m, a, out: caught.__setitem__("attention", out[0])),
        modules["bert.embeddings"].register_forward_hook(lambda m, a, out: caught.__setitem__("embeddings", out)),
        modules[dense].register_forward_pre_hook(lambda m, a: caught.__setitem__("neurons", a[0])),
    ]
    with torch.no_grad():
        states = model(**wordpiece()(LINES[0], return_tensors="pt"), output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(found[path], caught["attention"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["bert.embeddings"], caught["embeddings"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[f"{dense}:input"], caught["neurons"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["bert.encoder"], states[-1][0], atol=1e-5, rtol=1e-5)
    assert f"{dense.replace('0', '1')}:input" in found


def test_the_side_of_an_encoder_decoder_is_what_the_model_does_there():
    cross = "decoder.block.1.layer.1.EncDecAttention"
    split = split_model("t5", SEQ2SEQ, [f"{cross}.k", f"{cross}.q", "lm_head:input"])
    assert [point.in_decoder for point in split.split_points] == [False, True, True]
    found = split.get_activations(TEXTS[:1], "all_tokens", targets=["dog"])
    assert len(found[f"{cross}.k"]) == len(split.tokenizer(TEXTS[0])["input_ids"])
    assert len(found[f"{cross}.q"]) < len(found[f"{cross}.k"])
    split = split_model("bart", SEQ2SEQ, "model.decoder.layers.1.encoder_attn.k_proj")
    assert not split.split_points[0].in_decoder


def test_a_star_is_one_name_of_a_path_and_two_are_any():
    model, tokenizer = classifier(), wordpiece()
    names = [
        p.name for p in ModelWithSplitPoints(model, "bert.encoder.layer.*.output", tokenizer=tokenizer).split_points
    ]
    assert names == ["bert.encoder.layer.0.output", "bert.encoder.layer.1.output"]
    names = [p.name for p in ModelWithSplitPoints(model, "**.attention.output", tokenizer=tokenizer).split_points]
    assert names == ["bert.encoder.layer.0.attention.output", "bert.encoder.layer.1.attention.output"]


def test_shared_layers_are_told_apart_by_their_depth():
    split = split_model("albert", CLASSES, [0, 1, -1])
    assert [point.name for point in split.split_points] == ["0", "1"]
    found = split.get_activations(TEXTS[:1], "all_tokens")
    states = plain_pass(split, TEXTS[0]).hidden_states
    for depth in (0, 1):
        torch.testing.assert_close(found[str(depth)], states[depth + 1][0], atol=1e-5, rtol=1e-5)


def test_the_pass_stops_after_the_last_point():
    model = language_model()
    split = ModelWithSplitPoints(model, 0, tokenizer=byte_bpe())
    run = []
    handles = [
        module.register_forward_hook(lambda m, a, o, name=name: run.append(name))
        for name, module in model.named_modules()
    ]
    split.get_activations(TEXTS)
    for handle in handles:
        handle.remove()
    assert "transformer.h.0.mlp" in run
    assert not [name for name in run if name.startswith(("transformer.h.1", "lm_head"))]


def test_a_model_without_head_can_be_split():
    from transformers import AutoModel

    base = AutoModel.from_config(ARCHITECTURES["bert"].config(CLASSES))
    found = ModelWithSplitPoints(base.eval(), 1, tokenizer=wordpiece()).get_activations(TEXTS, "cls_token")
    assert found["1"].shape == (2, 32)


def test_models_are_loaded_by_name(tmp_path):
    from transformers import AutoModelForSequenceClassification

    model = build("bert", CLASSES)
    model.save_pretrained(tmp_path)
    wordpiece().save_pretrained(tmp_path)
    known = ModelWithSplitPoints(model, 1, tokenizer=wordpiece()).get_activations(TEXTS)["1"]
    for automodel in (None, AutoModelForSequenceClassification):
        split = ModelWithSplitPoints(str(tmp_path), split_points=[1], automodel=automodel)
        torch.testing.assert_close(split.get_activations(TEXTS)["1"], known)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (7, "from -2 to 1, got 7"),
        ("7", "from -2 to 1"),
        ("bert.encoder.layr.1", "near names: .*bert.encoder.layer.1"),
        ([], "at least one"),
        ("encoder.0", "near names"),
        (True, "block number"),
    ],
)
def test_unknown_points_are_refused_with_near_names(points, message):
    with pytest.raises(InputError, match=message):
        ModelWithSplitPoints(classifier(), points, tokenizer=wordpiece())


def test_a_base_model_at_a_module_without_hidden_states():
    from transformers import AutoModel

    base = AutoModel.from_config(ARCHITECTURES["bert"].config(CLASSES)).eval()
    with pytest.raises(ModelError, match="did not run it"):
        ModelWithSplitPoints(base, "encoder.layer", tokenizer=wordpiece()).get_activations(TEXTS)


def test_numbers_are_not_clear_for_encoder_decoders():
    with pytest.raises(InputError, match=r"write 'encoder.1' or 'decoder.1'"):
        split_model("t5", SEQ2SEQ, 1)


def test_a_model_needs_its_tokenizer():
    with pytest.raises(InputError, match="pass tokenizer="):
        ModelWithSplitPoints(classifier(), 1)


def test_modules_without_hidden_states_are_refused():
    split = ModelWithSplitPoints(classifier(), "classifier", tokenizer=wordpiece())
    with pytest.raises(ModelError, match="hidden states of the tokens"):
        split.get_activations(TEXTS)
    split = ModelWithSplitPoints(language_model(), "transformer.h", tokenizer=byte_bpe())
    with pytest.raises(ModelError, match="did not run it"):
        split.get_activations(TEXTS)


def test_layers_list_what_can_be_split():
    split = split_model("t5", SEQ2SEQ, "encoder.0")
    assert split.layers[:4] == ["encoder.0", "encoder.1", "decoder.0", "decoder.1"]
    assert "encoder.block.0.layer.1" in split.layers
    assert ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece()).layers[:3] == ["0", "1", "bert"]


def test_attributions_and_activations_share_their_inputs():
    model, tokenizer = classifier(), wordpiece()
    sample = InputxGradient(model, tokenizer)(TEXTS[0])[0].sample
    assert ModelWithSplitPoints(model, 0, tokenizer=tokenizer).samples(TEXTS)[0] == sample
