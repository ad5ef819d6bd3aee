"""Train the three small models that the package ships, from the data sets that their cards name.

    python scripts/train_demo_models.py --data DIR [--only emotion] [--seed 0] [--epochs 1] [--out DIR]

Each folder gets the weights in float16, the configuration, the tokenizer, `scores.json` and a model card. All scores
are those of the rounded weights. A seed gives the same files again on the same machine with the same number of
threads (the shipped ones: one).

Explanations hide words, so words are hidden in training too: a random share of each text, now and then all of it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.metrics import accuracy_score, recall_score
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

ROOT = Path(__file__).parents[1]
CARDS = Path(__file__).parent / "demo_model_cards"
PAD, UNKNOWN, CLS, SEP, MASK = WORDPIECE_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
END, NEUTRAL = BPE_SPECIALS = ["<|endoftext|>", "<|unk|>"]
WORDPIECE_TOKENS = {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": True,
    "unk_token": UNKNOWN,
    "cls_token": CLS,
    "sep_token": SEP,
    "pad_token": PAD,
    "mask_token": MASK,
}
BYTE_PAIR_TOKENS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": END,
    "eos_token": END,
    "pad_token": END,
    "unk_token": NEUTRAL,
    "padding_side": "left",
    "model_input_names": ["input_ids", "attention_mask"],
}
PROMPT = "Once upon a time, there was a little dog named Spot. Spot loved to"
ATTENTION = "eager"  # the fastest to train with on a processor
IGNORED = -100  # label of a position that the loss leaves out

log = logging.getLogger(__name__)
Model = TypeVar("Model", bound=PreTrainedModel)


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a model learns."""

    epochs: int
    learning_rate: float
    batch_tokens: int
    weight_decay: float
    average: float  # decay of the running average of the weights, per step


@dataclass(frozen=True)
class Labelled:
    """Texts as token ids, with their classes."""

    ids: list[list[int]]
    labels: Tensor


def read_rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_stories(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [story.strip() for story in file.read().split(END) if story.strip()]


def train_wordpiece(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=WORDPIECE_SPECIALS, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    specials = [(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=specials
    )
    return tokenizer


def train_byte_pairs(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=BPE_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    start = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), start])
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], longest: int) -> list[list[int]]:
    return [encoding.ids[:longest] for encoding in tokenizer.encode_batch(list(texts))]


def padded(rows: Sequence[list[int]], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def length_batches(rows: Sequence[list[int]], batch_tokens: int, rng: random.Random) -> list[list[int]]:
    """Indices in batches of about `batch_tokens` tokens and similar length, in random order."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]) * rng.uniform(0.9, 1.1))
    batches: list[list[int]] = [[]]
    for i in order:
        if (len(batches[-1]) + 1) * len(rows[i]) > batch_tokens and batches[-1]:
            batches.append([])
        batches[-1].append(i)
    rng.shuffle(batches)
    return batches


def hide(ids: Tensor, hideable: Tensor, substitute: int) -> Tensor:
    """Ids with a random share of each row hidden: a quarter on average, sometimes nearly all."""
    share = torch.rand(len(ids), 1) ** 3
    return ids.where((torch.rand(ids.shape) >= share) | ~hideable, substitute)


def optimise(
    model: Model, rows: Sequence[list[int]], loss_of: Callable[[Model, list[int]], Tensor], recipe: Recipe, seed: int
) -> Model:
    """The running average of the weights while AdamW lowers `loss_of` batches of row numbers, at a falling rate."""
    rng = random.Random(seed)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))
    torch.set_float32_matmul_precision("medium")  # bfloat16 products where the processor has them
    started = time.monotonic()
    for epoch in range(recipe.epochs):
        model.train()
        losses = []
        batches = length_batches(rows, recipe.batch_tokens, rng)
        for step, batch in enumerate(batches):
            progress = (epoch + step / len(batches)) / recipe.epochs
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * min(progress / 0.05, (1 - progress) / 0.95)
            loss = loss_of(model, batch)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            averaged.update_parameters(model)
            losses.append(loss.detach())
        seconds = time.monotonic() - started
        log.info("epoch %d of %d: loss %.3f, %.0f s", epoch + 1, recipe.epochs, torch.stack(losses).mean(), seconds)
    torch.set_float32_matmul_precision("highest")
    return averaged.module.eval()


def round_weights(model: PreTrainedModel) -> None:
    """Give every weight the value that float16 keeps of it."""
    with torch.no_grad():
        for weight in model.state_dict().values():
            if weight.is_floating_point():
                weight.copy_(weight.half())


# Classifiers


def classifier_loss(tokenizer: Tokenizer, data: Labelled) -> Callable[..., Tensor]:
    def loss_of(model: PreTrainedModel, batch: list[int]) -> Tensor:
        _, hidden, attended = hidden_batch(tokenizer, data, batch)
        logits = model(input_ids=hidden, attention_mask=attended).logits
        return F.cross_entropy(logits, data.labels[batch], label_smoothing=0.1)

    return loss_of


def emotion_loss(tokenizer: Tokenizer, data: Labelled) -> Callable[..., Tensor]:
    """Loss of the classes, the rare ones weighing more, plus that of guessing the hidden tokens from their context."""
    weight = (torch.bincount(data.labels) / len(data.labels)) ** -0.5

    def loss_of(model: BertForSequenceClassification, batch: list[int]) -> Tensor:
        ids, hidden, attended = hidden_batch(tokenizer, data, batch)
        states = model.bert(input_ids=hidden, attention_mask=attended)
        logits = model.classifier(model.dropout(states.pooler_output))
        covered = hidden != ids
        guesses = states.last_hidden_state[covered] @ model.bert.embeddings.word_embeddings.weight.T
        class_loss = F.cross_entropy(logits, data.labels[batch], weight=weight, label_smoothing=0.1)
        return class_loss + 0.5 * F.cross_entropy(guesses, ids[covered])

    return loss_of


def hidden_batch(tokenizer: Tokenizer, data: Labelled, batch: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, the same with some hidden, and the attention mask."""
    pad = tokenizer.token_to_id(PAD)
    ids = padded([data.ids[i] for i in batch], pad)
    return ids, hide(ids, ids >= len(WORDPIECE_SPECIALS), tokenizer.token_to_id(MASK)), (ids != pad).long()


@torch.inference_mode()
def class_logits(model: PreTrainedModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    logits = torch.empty(len(rows), model.config.num_labels)
    for batch in length_batches(rows, 8192, random.Random(0)):
        ids = padded([rows[i] for i in batch], pad)
        logits[batch] = model(input_ids=ids, attention_mask=(ids != pad).long()).logits
    return logits


def classification_scores(logits: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, Any]:
    predicted = logits.argmax(-1)
    recalls = recall_score(labels, predicted, average=None, labels=range(len(names)), zero_division=0)
    return {
        "accuracy": round(float(accuracy_score(labels, predicted)), 4),
        "macro_recall": round(float(recalls.mean()), 4),
        "recall": {name: round(float(recall), 4) for name, recall in zip(names, recalls, strict=True)},
    }


def hidden_scores(model: PreTrainedModel, tokenizer: Tokenizer, data: Labelled) -> dict[str, float]:
    """Accuracy when a share of the tokens, chosen at random, is masked."""
    generator = torch.Generator().manual_seed(0)
    scores = {}
    for share in (0.25, 0.5, 0.75, 1.0):
        drawn = (torch.rand(len(row), generator=generator).tolist() for row in data.ids)
        rows = [
            [
                tokenizer.token_to_id(MASK) if u < share and i >= len(WORDPIECE_SPECIALS) else i
                for i, u in zip(*pair, strict=True)
            ]
            for pair in zip(data.ids, drawn, strict=True)
        ]
        predicted = class_logits(model, rows, tokenizer.token_to_id(PAD)).argmax(-1)
        scores[f"{share:.0%}"] = round(float(accuracy_score(data.labels, predicted)), 4)
    return scores


def fit_prior(model: BertForSequenceClassification, logits: Tensor, labels: Tensor, names: Sequence[str]) -> float:
    """Shift the output bias towards the class frequencies of `labels`: the best accuracy for 0.02 of mean recall."""
    prior = (torch.bincount(labels, minlength=len(names)) / len(labels)).log()
    shares = [step / 20 for step in range(21)]
    scores = {share: classification_scores(logits + share * prior, labels, names) for share in shares}
    least = max(score["macro_recall"] for score in scores.values()) - 0.02
    best = max((s for s in shares if scores[s]["macro_recall"] >= least), key=lambda s: float(scores[s]["accuracy"]))
    with torch.no_grad():
        model.classifier.bias += best * prior
    return best


def class_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [name for _, name in sorted({(row["label"], row["label_name"]) for row in rows})]


def labelled(tokenizer: Tokenizer, rows: Sequence[dict[str, Any]], longest: int) -> Labelled:
    ids = encode(tokenizer, [row["text"] for row in rows], longest)
    return Labelled(ids, torch.tensor([row["label"] for row in rows]))


def classifier_settings(names: Sequence[str], tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": tokenizer.token_to_id(PAD),
        "attn_implementation": ATTENTION,
    }


def classifier_scores(
    model: PreTrainedModel, tokenizer: Tokenizer, data: Labelled, names: Sequence[str]
) -> dict[str, Any]:
    logits = class_logits(model, data.ids, tokenizer.token_to_id(PAD))
    scores = classification_scores(logits, data.labels, names)
    return {**scores, "accuracy_when_hidden": hidden_scores(model, tokenizer, data)}


def train_emotion(data: Path, folder: Path, seed: int, recipe: Recipe) -> None:
    rows = {part: read_rows(data / "emotion" / f"{part}.jsonl.gz") for part in ("train", "valid", "test")}
    names, longest = class_names(rows["train"]), 128
    tokenizer = train_wordpiece([row["text"] for row in rows["train"]], vocab_size=5000)
    train, valid, test = (labelled(tokenizer, part, longest) for part in rows.values())
    config = BertConfig(
        **classifier_settings(names, tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=longest,
        hidden_dropout_prob=0.2,
    )
    model = optimise(BertForSequenceClassification(config), train.ids, emotion_loss(tokenizer, train), recipe, seed)
    share = fit_prior(model, class_logits(model, valid.ids, tokenizer.token_to_id(PAD)), valid.labels, names)
    round_weights(model)
    scores = {
        part: classifier_scores(model, tokenizer, data, names) for part, data in (("valid", valid), ("test", test))
    }
    save(folder, model, tokenizer, {"seed": seed, "recipe": asdict(recipe), "prior_share": share, **scores})


def train_topic(data: Path, folder: Path, seed: int, recipe: Recipe) -> None:
    rows = read_rows(data / "topic" / "dbpedia14_train.jsonl.gz")
    names, longest = class_names(rows), 256
    tokenizer = train_wordpiece([row["text"] for row in rows], vocab_size=6000)
    valid = labelled(tokenizer, rows[::20], longest)
    train = labelled(tokenizer, [row for i, row in enumerate(rows) if i % 20], longest)
    test = labelled(tokenizer, read_rows(data / "topic" / "dbpedia14_test.jsonl.gz"), longest)
    config = DistilBertConfig(
        **classifier_settings(names, tokenizer),
        dim=96,
        n_layers=4,
        n_heads=4,
        hidden_dim=384,
        max_position_embeddings=longest,
        dropout=0.0,  # hiding tokens is enough
        attention_dropout=0.0,
    )
    loss_of = classifier_loss(tokenizer, train)
    model = optimise(DistilBertForSequenceClassification(config), train.ids, loss_of, recipe, seed)
    round_weights(model)
    scores = {
        part: classifier_scores(model, tokenizer, data, names) for part, data in (("valid", valid), ("test", test))
    }
    save(folder, model, tokenizer, {"seed": seed, "recipe": asdict(recipe), **scores})


# Language model


def language_loss(tokenizer: Tokenizer, rows: Sequence[list[int]]) -> Callable[..., Tensor]:
    end, neutral = tokenizer.token_to_id(END), tokenizer.token_to_id(NEUTRAL)

    def loss_of(model: PreTrainedModel, batch: list[int]) -> Tensor:
        """In every fifth batch tokens are hidden: replaced by the neutral token, or not attended to."""
        ids = padded([rows[i] for i in batch], IGNORED)
        labels = ids[:, 1:]
        ids = ids[:, :-1].clamp(min=end)
        attention = None
        if torch.rand(()) < 0.2:
            hidden = hide(ids, ids >= len(BPE_SPECIALS), neutral)
            if torch.rand(()) < 0.5:
                attention = (hidden != neutral).long()
            else:
                ids = hidden
        logits = model(input_ids=ids, attention_mask=attention).logits
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    return loss_of


@torch.inference_mode()
def language_scores(
    model: PreTrainedModel, rows: Sequence[list[int]], words: int, hidden_share: float = 0.0
) -> dict[str, Any]:
    """Perplexities, with a random share of the tokens not attended to."""
    generator = torch.Generator().manual_seed(0)
    total, tokens = 0.0, 0
    for batch in length_batches(rows, 8192, random.Random(0)):
        ids = padded([rows[i] for i in batch], IGNORED)
        labels, inputs = ids[:, 1:], ids[:, :-1].clamp(min=0)
        attended = torch.rand(inputs.shape, generator=generator) >= hidden_share
        attended[:, 0] = True
        logits = model(input_ids=inputs, attention_mask=attended.long()).logits
        total += float(F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"))
        tokens += int((labels != IGNORED).sum())
    perplexities = {"token_perplexity": math.exp(total / tokens), "word_perplexity": math.exp(total / words)}
    return {**{name: round(value, 3) for name, value in perplexities.items()}, "tokens": tokens, "words": words}


def continuation(model: PreTrainedModel, tokenizer: Tokenizer, prompt: str) -> str:
    ids = tokenizer.encode(prompt).ids
    output = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    return tokenizer.decode(output[0, len(ids) :].tolist())


def train_stories(data: Path, folder: Path, seed: int, recipe: Recipe) -> None:
    stories = {part: read_stories(data / "stories" / f"tinystories_{part}.txt.gz") for part in ("train", "valid")}
    tokenizer, longest = train_byte_pairs(stories["train"], vocab_size=4096), 512
    end = tokenizer.token_to_id(END)
    train, valid = (
        [[*row, end][: longest + 1] for row in encode(tokenizer, part, longest)] for part in stories.values()
    )
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=longest,
        tie_word_embeddings=True,
        attn_implementation=ATTENTION,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    model = optimise(LlamaForCausalLM(config), train, language_loss(tokenizer, train), recipe, seed)
    model.generation_config = GenerationConfig(
        bos_token_id=end, eos_token_id=end, pad_token_id=end, do_sample=False, max_new_tokens=40
    )
    round_weights(model)
    words = sum(len(story.split()) for story in stories["valid"])
    scores = {
        "valid": language_scores(model, valid, words),
        "valid_unattended": language_scores(model, valid, words, hidden_share=0.15),
        "sample": continuation(model, tokenizer, PROMPT),
    }
    save(folder, model, tokenizer, {"seed": seed, "recipe": asdict(recipe), **scores})


# Files


def save(folder: Path, model: PreTrainedModel, tokenizer: Tokenizer, scores: dict[str, Any]) -> None:
    """Write weights, configuration, tokenizer, scores and the card, whose blanks the scores fill."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    model.config.dtype = torch.float32  # float16 is for the disk only
    model.config.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    specials = WORDPIECE_TOKENS if tokenizer.token_to_id(MASK) is not None else BYTE_PAIR_TOKENS
    settings = {**specials, "model_max_length": model.config.max_position_embeddings}
    write_json(folder / "tokenizer_config.json", settings)
    scores = {"parameters": model.num_parameters(), **scores}
    write_json(folder / "scores.json", scores)
    card = Template((CARDS / f"{folder.name}.md").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(card.substitute(dict(flat(scores))), encoding="utf-8")
    log.info("%s: %s", folder.name, json.dumps(scores))


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def flat(scores: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"test": {"accuracy": 0.6}}` as `("test_accuracy", 0.6)`; a share `"25%"` loses its sign."""
    for name, value in scores.items():
        key = prefix + name.removesuffix("%")
        if isinstance(value, dict):
            yield from flat(value, f"{key}_")
        else:
            yield key, value


TRAINERS = {
    "emotion": (train_emotion, Recipe(10, 1e-3, batch_tokens=1200, weight_decay=0.05, average=0.998)),
    "topic": (train_topic, Recipe(11, 1e-3, batch_tokens=2000, weight_decay=0.05, average=0.998)),
    "stories": (train_stories, Recipe(4, 2e-3, batch_tokens=1024, weight_decay=0.1, average=0.998)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with emotion/, topic/ and stories/")
    parser.add_argument("--out", type=Path, default=ROOT / "src/interpreto/demo/models", help="where the folders go")
    parser.add_argument("--only", choices=TRAINERS, help="train one model; all three without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="passes over the data, in place of the recipe's; 1 for a trial")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in [options.only] if options.only else TRAINERS:
        torch.manual_seed(options.seed)
        trainer, recipe = TRAINERS[name]
        recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
        trainer(options.data, options.out / name, options.seed, recipe)


if __name__ == "__main__":
    main()
