"""From inputs and targets to scores, task by task, against numbers made by hand from the plain model."""

import logging
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from interpreto import Contrast, InputxGradient, Occlusion, Segments
from interpreto.errors import InputError
from interpreto.types import Task
from tests.architectures import build, model_and_tokenizer
from tests.text.kinds import CHATML, chatty
from tests.tiny import byte_bpe, classifier, language_model, metaspace, roberta_bpe, wordpiece

PROMPT = "The quick brown fox"
MODES = {
    "logits": lambda logits: logits,
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
}


def close(found, wanted):
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=found.dtype), rtol=1e-4, atol=1e-5)


def logits_of(model, ids, **inputs):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), **inputs).logits[0]


# Classification


@pytest.mark.parametrize("mode", MODES)
def test_classes_and_contrasts(mode):
    model, tokenizer = classifier(), wordpiece()
    wanted = MODES[mode](logits_of(model, tokenizer(PROMPT).input_ids))
    (result,) = Occlusion(model, tokenizer, inference_mode=mode)(PROMPT, [0, "LABEL_1", Contrast(2, 0)])
    close(result.target_scores, [wanted[0], wanted[1], wanted[2] - wanted[0]])
    (own,) = Occlusion(model, tokenizer, inference_mode=mode)(PROMPT)
    close(own.target_scores, [wanted.max()])


def test_targets_of_each_input():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)([PROMPT, "a dog"], [np.int64(1), ["LABEL_0", Contrast(1, 2)]])
    assert [result.target_names for result in results] == [
        ("LABEL_1",),
        ("LABEL_0", "LABEL_1 rather than LABEL_2"),
    ]
    (every,) = Occlusion(model, tokenizer)(PROMPT, torch.arange(3).view(1, -1))
    assert every.target_names == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_multi_label_is_the_sigmoid():
    model, tokenizer = build("bert", Task.CLASSIFICATION, problem_type="multi_label_classification"), wordpiece()
    logits = logits_of(model, tokenizer(PROMPT).input_ids)
    (result,) = Occlusion(model, tokenizer, inference_mode="softmax")(PROMPT, [0, 1, 2])
    close(result.target_scores, logits.sigmoid())


def test_regression_has_no_probabilities():
    model, tokenizer = build("bert", Task.CLASSIFICATION, num_labels=1), wordpiece()
    (result,) = Occlusion(model, tokenizer)(PROMPT)
    close(result.target_scores, logits_of(model, tokenizer(PROMPT).input_ids))
    for mode in ("softmax", "log_softmax"):
        with pytest.raises(InputError, match=r"inference_mode: .*regression.*no probabilities"):
            Occlusion(model, tokenizer, inference_mode=mode)(PROMPT)
    with pytest.raises(InputError, match=r"targets\[0\]: expected a class from 0 to 0, got 1"):
        Occlusion(model, tokenizer)(PROMPT, 1)


def test_the_model_sees_the_tokenizers_ids():
    model, tokenizer = build("bert", Task.CLASSIFICATION), wordpiece()
    seen = []
    handle = model.get_input_embeddings().register_forward_pre_hook(lambda _module, args: seen.append(args[0].tolist()))
    texts = ["The quick fox!", ("a dog", "the cat"), Segments("The fox runs", ((0, 4),))]
    encoding = tokenizer(["a lazy dog", "the"], padding=True, return_tensors="pt")
    for given, wanted in [
        (texts[0], tokenizer(texts[0])),
        (texts[1], tokenizer(*texts[1])),
        (texts[2], tokenizer(texts[2].text)),
        (encoding, tokenizer("a lazy dog")),
    ]:
        seen.clear()
        Occlusion(model, tokenizer)(given, 0)
        ids = wanted.input_ids
        assert seen[0][0] == ids
    handle.remove()
    first, second = Occlusion(model, tokenizer)(encoding, 0)
    for result, text in ((first, "a lazy dog"), (second, "the")):
        assert result.sample.ids == tokenizer(text).input_ids
        close(result.target_scores, logits_of(model, tokenizer(text).input_ids)[:1])


# Generation


def output_logits(model, prompt, output):
    """Logits that each output token was chosen from."""
    return logits_of(model, prompt + output)[len(prompt) - 1 : -1]


@pytest.mark.parametrize("mode", MODES)
def test_scores_of_output_tokens_words_and_texts(mode):
    model, tokenizer = language_model(), byte_bpe()
    text = " jumps over it. He"
    prompt, output = tokenizer(PROMPT).input_ids, tokenizer(text).input_ids
    each = MODES[mode](output_logits(model, prompt, output))[range(len(output)), output]
    spans = [tokenizer.decode([i]) for i in output]
    words = {"token": spans, "word": [" jumps", " over", " it", ".", " He"], "sentence": [" jumps over it.", " He"]}
    words["text"] = [text]
    for granularity, names in words.items():
        explainer = Occlusion(model, tokenizer, inference_mode=mode, output_granularity=granularity)
        (result,) = explainer(PROMPT, text)
        assert list(result.target_names) == names
        wanted, position = [], 0
        for name in names:
            count = next(k for k in range(1, 99) if "".join(spans[position : position + k]) == name)
            part = each[position : position + count]
            wanted.append(part.prod() if mode == "softmax" else part.sum())
            position += count
        close(result.target_scores, torch.stack(wanted))


def test_earlier_output_is_explained_and_later_output_is_nan():
    model, tokenizer = language_model(), byte_bpe()
    (result,) = Occlusion(model, tokenizer)(PROMPT, " jumps over it")
    assert [element.text for element in result.elements][:4] == ["The", " quick", " brown", " fox"]
    assert {element.part for element in result.elements} == {0, 1}
    for target, scores in zip(result.targets, result.scores, strict=True):
        for element, score in zip(result.elements, scores.tolist(), strict=True):
            assert (score == score) == (element.tokens[0] < target.first)
    (whole,) = Occlusion(model, tokenizer, output_granularity="text")(PROMPT, " jumps over it")
    assert {element.part for element in whole.elements} == {0}


def test_a_targets_own_tokens_stand_while_it_is_scored():
    """Occlusion of an earlier word changes what a later word is scored by, but never the later word's own tokens."""
    model, tokenizer = language_model(), byte_bpe()
    prompt, output = tokenizer("The dog").input_ids, tokenizer(" xylo yy").input_ids
    explainer = Occlusion(model, tokenizer, output_granularity="word", removal="<|endoftext|>")
    (result,) = explainer("The dog", " xylo yy")
    assert [element.text for element in result.elements] == ["The", " dog", " xylo"]
    row = prompt + output
    full = logits_of(model, row)
    first = [place for place in range(len(prompt), len(row)) if place in result.elements[2].tokens]
    target = range(first[-1] + 1, len(row))
    for element, score in zip(result.elements, result.scores[1].tolist(), strict=True):
        changed = [tokenizer.eos_token_id if i in element.tokens else token for i, token in enumerate(row)]
        other = logits_of(model, changed)
        lost = sum(float(full[i - 1, row[i]] - other[i - 1, row[i]]) for i in target)
        assert score == pytest.approx(lost, abs=1e-3)
    # " xylo" itself: its own pieces after the first see each other untouched
    changed = [tokenizer.eos_token_id if i in result.elements[1].tokens else token for i, token in enumerate(row)]
    lost = sum(float(full[i - 1, row[i]] - logits_of(model, changed)[i - 1, row[i]]) for i in first)
    assert result.scores[0, 1].item() == pytest.approx(lost, abs=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
def test_outputs_in_every_form_are_the_same_output(name):
    task = Task.CAUSAL_LM if name == "gpt2" else Task.SEQ2SEQ_LM
    model, tokenizer = model_and_tokenizer(name, task)
    prompt = tokenizer(PROMPT).input_ids
    start = prompt if name == "gpt2" else [model.config.decoder_start_token_id]
    ids = tokenizer(" jumps over", add_special_tokens=False).input_ids
    text = "jumps over" if name == "t5" else " jumps over"
    given = [
        text,
        [text],
        ids,
        [ids],
        torch.tensor(ids),
        torch.tensor([ids]),
        torch.tensor([start + ids]),
        np.array(start + ids),
    ]
    if tokenizer.pad_token_id is not None:
        pad = tokenizer.pad_token_id
        given += [torch.tensor([start + ids + [pad, pad]])]
    explainer = Occlusion(model, tokenizer)
    scores = []
    for output in given:
        (result,) = explainer(PROMPT, output)
        sample = result.sample
        assert sample.ids[sample.output_start :] == ids
        scores.append(result.target_scores)
    for other in scores:
        close(other, scores[0])


def test_rows_of_several_prompts_as_generate_returns_them():
    model, tokenizer = language_model(), deepcopy(byte_bpe())
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    prompts = [PROMPT, "A dog"]
    batch = tokenizer(prompts, padding=True, return_tensors="pt")
    rows = model.generate(**batch, max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    results = Occlusion(model, byte_bpe())(prompts, rows)
    for prompt, row, result in zip(prompts, rows.tolist(), results, strict=True):
        written = row[batch.input_ids.shape[1] :]
        assert result.sample.ids[result.sample.output_start :] == written
        assert result.sample.ids[: result.sample.output_start] == tokenizer(prompt).input_ids


def test_an_end_token_is_a_target_of_its_own():
    model, tokenizer = language_model(), byte_bpe()
    output = [*tokenizer(" jumps").input_ids, tokenizer.eos_token_id]
    for granularity in ("token", "word", "sentence"):
        (result,) = Occlusion(model, tokenizer, output_granularity=granularity)(PROMPT, [output])
        assert result.target_names[-1] == "<|endoftext|>"
    (whole,) = Occlusion(model, tokenizer, output_granularity="text")(PROMPT, [output])
    assert len(whole.targets[0].plus) == len(output)


def test_contrast_of_outputs():
    model, tokenizer = language_model(), byte_bpe()
    prompt, plus, minus = (tokenizer(text).input_ids for text in (PROMPT, " dog", " fox"))
    assert len(plus) == len(minus)
    (result,) = Occlusion(model, tokenizer)(PROMPT, Contrast(" dog", " fox"))
    logits = output_logits(model, prompt, plus)
    close(
        result.target_scores,
        [float(logits[k, a] - logits[k, b]) for k, (a, b) in enumerate(zip(plus, minus, strict=True))],
    )
    (by_ids,) = Occlusion(model, tokenizer)(PROMPT, Contrast(plus, torch.tensor([prompt + minus])))
    close(by_ids.target_scores, result.target_scores)
    with pytest.raises(
        InputError,
        match=r"targets\[0\]: expected a contrast of as many tokens as the target, got \d+ \(\[.*\]\) rather",
    ):
        Occlusion(model, tokenizer)(PROMPT, Contrast(" dog", " a very long tale"))


def test_a_chats_answer_is_explained_by_its_contents():
    tokenizer = chatty(CHATML)
    model = build("gpt2", Task.CAUSAL_LM, vocab_size=len(tokenizer), n_positions=128)
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who is it?"}]
    (result,) = Occlusion(model, tokenizer, granularity="sentence", output_granularity="text")([chat], "A dog.")
    assert [element.text for element in result.elements] == ["Be kind.", "Who is it?"]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert result.sample.ids == tokenizer(rendered + "A dog.").input_ids


def test_a_classifier_reads_a_chat_without_the_place_of_an_answer():
    tokenizer = chatty(CHATML)
    model = build("gpt2", Task.CLASSIFICATION, vocab_size=len(tokenizer), n_positions=128)
    chat = [{"role": "user", "content": "Who is it?"}, {"role": "assistant", "content": "A dog."}]
    (result,) = Occlusion(model, tokenizer, granularity="sentence")(chat)
    assert result.sample.parts[0] == tokenizer.apply_chat_template(chat, tokenize=False)


# What the model writes by itself


@pytest.fixture
def quiet(caplog):
    """Nothing is logged by transformers, nothing warned of (warnings are errors everywhere)."""
    logger = logging.getLogger("transformers")
    propagates, logger.propagate = logger.propagate, True
    yield
    logger.propagate = propagates
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


OPTIONS = [
    {},
    {"max_new_tokens": 4},
    {"max_length": 12},
    {"do_sample": True, "max_new_tokens": 6},
    {"do_sample": True, "temperature": 1.5, "top_k": 5, "max_new_tokens": 6},
    {"num_beams": 2, "max_new_tokens": 4},
    {"do_sample": False, "max_new_tokens": 4},
    {"return_dict_in_generate": True, "max_new_tokens": 4},
    {"generation_config": GenerationConfig(max_new_tokens=3)},
    {"generation_config": GenerationConfig(max_new_tokens=3), "min_new_tokens": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=[", ".join(options) for options in OPTIONS])
@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
@pytest.mark.usefixtures("quiet")
def test_own_generation_leaves_no_trace(name, options):
    task = Task.CAUSAL_LM if name == "gpt2" else Task.SEQ2SEQ_LM
    model, tokenizer = build(name, task), model_and_tokenizer(name, task)[1]
    model.generation_config.temperature = 0.7
    model.generation_config.do_sample = bool(options.get("do_sample", True))
    model.train()
    settings, weights = model.generation_config.to_dict(), deepcopy(model.state_dict())
    kept = deepcopy(options)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    (result,) = Occlusion(model, tokenizer, generation=options, seed=3)(PROMPT)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.generation_config.to_dict() == settings
    assert {key: repr(value) for key, value in options.items()} == {key: repr(value) for key, value in kept.items()}
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert model.training
    (again,) = Occlusion(model, tokenizer, generation=options, seed=3)(PROMPT)
    assert again.sample == result.sample


@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
def test_greedy_generation_is_generates(name):
    task = Task.CAUSAL_LM if name == "gpt2" else Task.SEQ2SEQ_LM
    model, tokenizer = model_and_tokenizer(name, task)
    encoding = tokenizer(PROMPT, return_tensors="pt")
    encoding.pop("token_type_ids", None)
    pad = tokenizer.pad_token_id or tokenizer.eos_token_id if name == "gpt2" else tokenizer.pad_token_id
    row = model.generate(**encoding, max_new_tokens=5, do_sample=False, pad_token_id=pad)[0].tolist()
    (result,) = Occlusion(model, tokenizer, generation={"max_new_tokens": 5, "do_sample": False})(PROMPT)
    sample = result.sample
    if name == "gpt2":
        assert sample.ids == row
    else:
        assert sample.ids[sample.source_length :] == row


def test_sampled_generations_differ_by_seed():
    model, tokenizer = language_model(), byte_bpe()
    options = {"do_sample": True, "max_new_tokens": 8}
    texts = {Occlusion(model, tokenizer, generation=options, seed=k)(PROMPT)[0].sample.parts[1] for k in range(3)}
    assert len(texts) > 1


@pytest.mark.usefixtures("quiet")
def test_generation_stops_where_positions_end():
    model, tokenizer = build("gpt2", Task.CAUSAL_LM, eos_token_id=None), byte_bpe()
    prompt = " the fox" * 30
    left = model.config.n_positions - len(tokenizer(prompt).input_ids)
    assert 0 < left < 19
    (result,) = Occlusion(model, tokenizer, granularity="text", output_granularity="text")(prompt)
    assert len(result.sample.ids) == model.config.n_positions
    with pytest.raises(InputError, match=rf"inputs\[0\]: expected room for 30 new tokens, got {left}"):
        Occlusion(model, tokenizer, generation={"max_new_tokens": 30})(prompt)
    model.generation_config.max_new_tokens = 500
    assert Occlusion(model, tokenizer, granularity="text", output_granularity="text")(prompt)[0].sample == result.sample


def test_a_prompt_without_room_and_a_models_own_length_below_it():
    model, tokenizer = build("gpt2", Task.CAUSAL_LM, eos_token_id=None), byte_bpe()
    prompt = tokenizer.decode(tokenizer(" the fox" * 50).input_ids[: model.config.n_positions])
    with pytest.raises(InputError, match=r"inputs\[0\]: expected room for 20 new tokens, got 0: .*truncation=True"):
        Occlusion(model, tokenizer)(prompt)
    model.generation_config.max_length = 2
    assert len(Occlusion(model, tokenizer, output_granularity="text")(PROMPT)[0].target_names) == 1


SETTINGS = [
    ([("max_new_tokens", 20)], "expected settings for model.generate by name"),
    ({"max_new_token": 3}, "expected settings that model.generate takes, got max_new_token=3, .*max_new_token"),
    ({"max_new_tokens": 0}, "max_new_tokens: expected a whole number, at least 1, got 0"),
    ({"max_new_tokens": "5"}, "max_new_tokens: expected a whole number, at least 1, got '5'"),
    ({"max_new_tokens": True}, "max_new_tokens: expected a whole number, at least 1, got True"),
    (
        {"max_length": 2},
        r"max_length: expected more than the \d+ tokens of inputs\[0\], .*, got 2; pass max_new_tokens",
    ),
    ({"num_beams": 0}, "num_beams: expected a whole number, at least 1, got 0"),
    ({"num_return_sequences": 2}, "num_return_sequences: expected 1, .*, got 2; generate the others yourself"),
    ({"temperature": 0.0, "do_sample": True}, "expected settings .*, got temperature=0.0, do_sample=True, .*positive"),
    ({"eos_token_id": "a"}, "expected settings that model.generate takes, got eos_token_id='a', "),
    ({"input_ids": [[1]]}, "input_ids: that is the explained text; leave it out"),
    ({"generation_config": {"max_new_tokens": 2}}, "generation_config: expected a GenerationConfig, got"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS, ids=[str(settings)[:30] for settings, _ in SETTINGS])
def test_refused_generation_settings(settings, message):
    with pytest.raises(InputError, match=f"(?s)^generation: {message}"):
        Occlusion(language_model(), byte_bpe(), generation=settings)(PROMPT)


@pytest.mark.usefixtures("quiet")
def test_a_prompt_that_is_cut_leaves_room_for_the_output():
    model, tokenizer = build("gpt2", Task.CAUSAL_LM, eos_token_id=None), byte_bpe()
    limit, text, output = model.config.n_positions, " the fox" * 50, " jumps over the lazy dog"
    length, own = len(tokenizer(text).input_ids), tokenizer(output).input_ids
    explainer = Occlusion(model, tokenizer, truncation=True, granularity="text", output_granularity="text")
    for target in (output, [own], torch.tensor([own]), Contrast(output, own[::-1])):
        with pytest.warns(UserWarning, match=rf"inputs\[0\]: cut from {length} to the {limit} tokens .*, less \d+ for"):
            (result,) = explainer(text, target)
        assert result.sample.ids[result.sample.output_start :] == own
        assert limit - 1 <= len(result.sample.ids) <= limit
        assert (
            result.sample.ids[: result.sample.output_start] == tokenizer(text).input_ids[: result.sample.output_start]
        )
    for settings, room in (
        ({}, 20),
        ({"max_new_tokens": 7}, 7),
        ({"generation_config": GenerationConfig(max_new_tokens=9)}, 9),
    ):
        with pytest.warns(UserWarning, match=rf"less {room} for the output"):
            (result,) = Occlusion(
                model, tokenizer, truncation=True, granularity="text", output_granularity="text", generation=settings
            )(text)
        assert (result.sample.output_start, len(result.sample.ids)) == (limit - room, limit)
    short = "The fox"
    with pytest.warns(UserWarning, match=r"inputs\[1\]: cut") as caught:
        results = explainer([short, text], [output, " ran"])
    assert len(caught) == 1
    assert results[0].sample == explainer_without_cutting(explainer)(short, output)[0].sample
    with pytest.raises(
        InputError, match=r"targets\[0\]: expected at most the \d+ tokens that the model reads, got prompt"
    ):
        explainer("The fox", output * 50)


def explainer_without_cutting(explainer):
    return replace(explainer, truncation=False)


def test_ids_beyond_the_tokenizer_can_be_generated():
    """Many models have more embeddings than their tokenizer has tokens."""
    tokenizer = byte_bpe()
    model = build("gpt2", Task.CAUSAL_LM, vocab_size=len(tokenizer) + 50)
    (result,) = Occlusion(model, tokenizer)(PROMPT, [[len(tokenizer) + 7, 70]])
    assert result.sample.ids[-2:] == [len(tokenizer) + 7, 70]
    with pytest.raises(InputError, match=rf"targets\[0\]: expected ids from 0 to {len(tokenizer) + 49}, the model's"):
        Occlusion(model, tokenizer)(PROMPT, [[len(tokenizer) + 50]])
    with pytest.raises(InputError, match=r"inputs\[0\]: expected ids from 0 to"):
        Occlusion(model, tokenizer)({"input_ids": [[5, 999]]})


def test_prompt_and_output_together_must_fit():
    model, tokenizer = model_and_tokenizer("gpt2", Task.CAUSAL_LM)
    with pytest.raises(
        InputError, match=r"targets\[0\]: expected at most the 64 tokens .*, got prompt and output of \d+"
    ):
        Occlusion(model, tokenizer)(PROMPT, " the fox" * 40)
    model, tokenizer = model_and_tokenizer("bart", Task.SEQ2SEQ_LM)
    with pytest.raises(InputError, match=r"targets\[0\]: expected at most the 64 tokens .*, got an output of \d+"):
        Occlusion(model, tokenizer)(PROMPT, " the fox" * 40)


# Masked language models


def test_one_mask_and_several_candidates():
    model, tokenizer = model_and_tokenizer("bert", Task.MASKED_LM)
    text = "The [MASK] brown fox"
    ids = tokenizer(text).input_ids
    place = ids.index(tokenizer.mask_token_id)
    logits = logits_of(model, ids)[place]
    dog, fox = tokenizer.convert_tokens_to_ids(["dog", "the"])
    explainer = Occlusion(model, tokenizer)
    (result,) = explainer(text, ["dog", fox, Contrast("dog", fox)])
    close(result.target_scores, [logits[dog], logits[fox], logits[dog] - logits[fox]])
    assert result.target_names == ("dog", "the", "dog rather than the")
    assert "[MASK]" not in [element.text.strip() for element in result.elements]
    (own,) = explainer(text)
    close(own.target_scores, [logits.max()])


def test_several_masks():
    model, tokenizer = model_and_tokenizer("bert", Task.MASKED_LM)
    text = "The [MASK] brown [MASK]"
    ids = tokenizer(text).input_ids
    places = [k for k, i in enumerate(ids) if i == tokenizer.mask_token_id]
    logits = logits_of(model, ids)[places].log_softmax(-1)
    explainer = Occlusion(model, tokenizer, inference_mode="log_softmax")
    (own,) = explainer(text)
    close(own.target_scores, logits.max(-1).values)
    (result,) = explainer([text], [["the", Contrast("dog", "the")]])
    the, dog = tokenizer.convert_tokens_to_ids(["the", "dog"])
    close(result.target_scores, [logits[0, the], logits[1, dog] - logits[1, the]])
    assert [(t.start, t.end) for t in result.targets] == [(4, 10), (17, 23)]
    with pytest.raises(InputError, match=r"targets\[0\]: expected 2 tokens \(one per mask\), got 1: 'dog'"):
        explainer(text, "dog")


def test_masks_are_needed():
    model, tokenizer = model_and_tokenizer("bert", Task.MASKED_LM)
    with pytest.raises(InputError, match=r"inputs\[1\]: expected a text with at least one \[MASK\].*got 'no'"):
        Occlusion(model, tokenizer)(["a [MASK]", "no"])


# Token classification


def test_labels_of_words():
    model, tokenizer = model_and_tokenizer("bert", Task.TOKEN_CLASSIFICATION)
    ids = tokenizer(PROMPT).input_ids
    logits = logits_of(model, ids)
    explainer = Occlusion(model, tokenizer)
    (own,) = explainer(PROMPT)
    assert [name.split(":")[0] for name in own.target_names] == PROMPT.split()
    first = [
        next(k for k, i in enumerate(own.sample.tokens) if i.start == PROMPT.index(w) and not i.fixed)
        for w in PROMPT.split()
    ]
    close(own.target_scores, logits[first].max(-1).values)
    wanted = [logits[first[3], 2], logits[first[0], 1] - logits[first[0], 0], logits[first[1]].max()]
    (result,) = explainer(PROMPT, [(3, "LABEL_2"), (0, Contrast(1, "LABEL_0")), 1])
    close(result.target_scores, wanted)
    assert result.target_names[:2] == ("fox: LABEL_2", "The: LABEL_1 rather than LABEL_0")
    for one in ((3, "LABEL_2"), (3, 2), [(3, np.int64(2))]):
        close(explainer(PROMPT, one)[0].target_scores, wanted[:1])
    both = explainer([PROMPT, "a dog"], [[(3, 2)], (1, "LABEL_0")])
    assert [result.target_names for result in both] == [("fox: LABEL_2",), ("dog: LABEL_0",)]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (4, r"expected words from 0 to 3, or \(word, label\) pairs, got 4"),
        (True, r"expected words from 0 to 3"),
        ("LABEL_1", r"expected words from 0 to 3, or \(word, label\) pairs, got 'LABEL_1'"),
        ((0, "LABEL_9"), r"expected one of the labels \['LABEL_0', 'LABEL_1', 'LABEL_2'\], got 'LABEL_9'"),
        ((0, 3), "expected a class from 0 to 2, got 3"),
        ((0, [1, 2]), "expected one label a pair"),
    ],
)
def test_words_and_labels_that_are_none(target, message):
    model, tokenizer = model_and_tokenizer("bert", Task.TOKEN_CLASSIFICATION)
    with pytest.raises(InputError, match=rf"^targets\[0\]: {message}"):
        Occlusion(model, tokenizer)(PROMPT, target)


# Question answering

QUESTION, CONTEXT = "Who is it?", "The quick brown fox, it is."


def ends_of(model, tokenizer):
    encoding = tokenizer(QUESTION, CONTEXT, return_tensors="pt")
    with torch.no_grad():
        answer = model(**encoding)
    return answer.start_logits[0], answer.end_logits[0]


def test_the_models_own_answer():
    model, tokenizer = model_and_tokenizer("bert", Task.QUESTION_ANSWERING)
    start, end = ends_of(model, tokenizer)
    (result,) = Occlusion(model, tokenizer)((QUESTION, CONTEXT))
    places = [k for k, token in enumerate(result.sample.tokens) if token.part == 1 and not token.fixed]
    best = max(float(start[a] + end[b]) for a in places for b in places if a <= b)
    assert float(result.target_scores.sum()) == pytest.approx(best, abs=1e-4)
    assert [name.split(":")[0] for name in result.target_names] == ["start", "end"]
    assert {element.part for element in result.elements} == {0, 1}


def test_an_answer_as_text_and_as_characters():
    model, tokenizer = model_and_tokenizer("bert", Task.QUESTION_ANSWERING)
    start, end = ends_of(model, tokenizer)
    at = CONTEXT.index("brown fox")
    explainer = Occlusion(model, tokenizer)
    given = ["brown fox", ["brown fox"], (at, at + 9), [(at, at + 9)], torch.tensor([[at, at + 9]]), [[at, at + 9]]]
    for answer in given:
        (result,) = explainer((QUESTION, CONTEXT), answer)
        tokens = result.sample.tokens
        first = next(k for k, t in enumerate(tokens) if t.part == 1 and t.start == at and not t.fixed)
        last = next(k for k, t in enumerate(tokens) if t.part == 1 and t.end == at + 9 and not t.fixed)
        close(result.target_scores, [start[first], end[last]])
    probabilities = Occlusion(model, tokenizer, inference_mode="softmax")((QUESTION, CONTEXT), "brown fox")[0]
    close(probabilities.target_scores, [start.softmax(0)[first], end.softmax(0)[last]])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("a cat", "expected an answer that stands in the context, letter by letter, got 'a cat'"),
        ("", "expected an answer that stands in the context"),
        ((500, 600), r"expected \(start, end\) characters within the 27 of the context, got \(500, 600\)"),
        ((9, 4), r"expected \(start, end\) characters within the 27"),
        ((-5, 4), r"expected \(start, end\) characters within the 27"),
        ((1.0, 4), r"expected an answer as text or as \(start, end\) characters, got \(1.0, 4\)"),
        (3, r"expected an answer as text or as \(start, end\) characters, got 3"),
    ],
)
def test_answers_that_are_none(answer, message):
    model, tokenizer = model_and_tokenizer("bert", Task.QUESTION_ANSWERING)
    with pytest.raises(InputError, match=rf"^targets\[0\]: {message}"):
        Occlusion(model, tokenizer)((QUESTION, CONTEXT), answer)


# Gradients know the same targets


def test_gradients_of_words_leave_the_words_own_tokens_alone():
    model, tokenizer = language_model(), byte_bpe()
    (result,) = InputxGradient(model, tokenizer, output_granularity="word")("The dog", " xylo yy")
    assert result.scores[0].isfinite().tolist() == [True, True, False]
    assert result.scores[1].isfinite().tolist() == [True, True, True]


@pytest.mark.parametrize("tokenizer", [wordpiece, byte_bpe, metaspace, roberta_bpe])
def test_elements_of_every_granularity_are_explained(tokenizer):
    model = build("bert", Task.CLASSIFICATION, vocab_size=len(tokenizer()))
    for granularity in ("all_tokens", "token", "word", "sentence", "text"):
        (result,) = Occlusion(model, tokenizer(), granularity=granularity, removal="attention")("The fox. A dog!")
        assert bool(result.scores.isfinite().all())
