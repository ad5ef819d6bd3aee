"""The output head sees the places that are read and no others."""

import pytest
import torch

from interpreto.model_wrapping.heads import head_at
from tests.architectures import CAUSAL, MASKED, PAIRS, SEQ2SEQ, model_and_tokenizer
from tests.model_wrapping.plain import Plain, engine, keeps


@pytest.mark.parametrize(("name", "task"), [(n, t) for n, t in PAIRS if t in (CAUSAL, SEQ2SEQ, MASKED)])
def test_head_runs_where_it_is_read(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    plain = Plain.of(name, task)
    scorer, (text,) = engine(model, tokenizer, plain.inputs, plain.targets, batch_size=3)
    keep = keeps(len(text.elements)).unique(dim=0)
    scorer.scores([text], [keep[:1]])  # what follows the head is found out first
    rows = []
    head = model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _module, args, _output: rows.append(args[0].shape[:-1].numel()))
    try:
        scorer.scores([text], [keep])
    finally:
        handle.remove()
    known = text.untouched_read is not None  # a masked language model was asked for its own answers
    assert sum(rows) == (len(keep) - known * int(keep.all(dim=1).sum())) * len(text.readout.slots)


@pytest.mark.parametrize(("name", "task"), [(n, t) for n, t in PAIRS if t in (CAUSAL, SEQ2SEQ, MASKED)])
def test_narrowed_logits_are_the_logits(name, task):
    """Soft-capping, scaling and the biases after the head (Gemma's, BART's, GPT-J's) included."""
    plain = Plain.of(name, task)
    inputs = {"input_ids": torch.tensor([plain.source])}
    if task is SEQ2SEQ:
        inputs["decoder_input_ids"] = torch.tensor([plain.prefix + plain.output])
    length = next(reversed(inputs.values())).shape[1]
    places = torch.tensor([[length - 1, 1, 1]])
    with torch.no_grad():
        everything = plain.model(**inputs).logits
        with head_at(plain.model.get_output_embeddings(), places) as narrowed:
            some = plain.model(**inputs).logits
    assert narrowed == [length]
    torch.testing.assert_close(some, everything[:, places[0]], atol=1e-5, rtol=1e-5)
