"""Do the methods point at the words that a person chose as the reason?

    python benchmarks/plausibility.py [--data DIR] [--texts 300]

Trains a small sentiment classifier on tweets (a few CPU minutes), explains its correct decisions on test tweets that
are positive or negative, token by token, and compares the scores with the span that a person marked: area under the
precision-recall curve (average precision), mean over tweets; for random scores it is about the marked share. Writes
`benchmarks/results/plausibility.json`.

Plausible is not faithful: a model may be right for reasons that no person would give.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from data import DEFAULT, read, sample
from methods import all_methods
from sklearn.metrics import average_precision_score
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import WordPiece
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from interpreto import Attribution

LABELS = ["negative", "neutral", "positive"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=6000, special_tokens=SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names)


def train(rows: list[dict], tokenizer: PreTrainedTokenizerFast, epochs: int) -> BertForSequenceClassification:
    """A two-layer classifier, with words masked at random so that it knows what a removed word looks like."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=128,
        num_labels=3,
        id2label=dict(enumerate(LABELS)),
        pad_token_id=0,
    )
    model = BertForSequenceClassification(config)
    ids = [tokenizer(row["text"], truncation=True)["input_ids"] for row in rows]
    labels = torch.tensor([row["label"] for row in rows])
    steps = epochs * (len(rows) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps + epochs)
    model.train()
    for _ in range(epochs):
        order = sorted(torch.randperm(len(rows)).tolist(), key=lambda i: len(ids[i]) + 4 * torch.rand(()).item())
        batches = [order[k : k + 64] for k in range(0, len(order), 64)]
        for k in torch.randperm(len(batches)).tolist():
            batch = tokenizer.pad({"input_ids": [ids[i] for i in batches[k]]}, return_tensors="pt")
            there = batch["input_ids"]
            rate = torch.rand(len(there), 1) * 0.5
            drop = (torch.rand(there.shape) < rate) & (there > 4)
            loss = model(
                input_ids=there.masked_fill(drop, 4), attention_mask=batch["attention_mask"], labels=labels[batches[k]]
            ).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def precision(result: Attribution, scores: np.ndarray, rationale: list[int]) -> float:
    """Average precision of scores of elements for "more than half of its letters are marked"."""
    marked = []
    for element in result.elements:
        letters = [i for i in range(element.start, element.end) if not result.sample.parts[0][i].isspace()]
        marked.append(sum(rationale[0] <= i < rationale[1] for i in letters) * 2 > len(letters))
    return float(average_precision_score(marked, scores)) if any(marked) and not all(marked) else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "plausibility.json")
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = read(options.data, "rationales/tweet_sentiment_train")
    tokenizer = make_tokenizer([row["text"] for row in rows])
    start = time.process_time()
    model = train(rows, tokenizer, options.epochs)
    tests = read(options.data, "rationales/tweet_sentiment_test")
    with torch.no_grad():
        found = [int(model(**tokenizer(row["text"], return_tensors="pt")).logits.argmax()) for row in tests]
    accuracy = float(np.mean([guess == row["label"] for guess, row in zip(found, tests, strict=True)]))
    print(f"trained in {time.process_time() - start:.0f} CPU s, test accuracy {accuracy:.3f}", flush=True)
    right = [
        row for guess, row in zip(found, tests, strict=True) if guess == row["label"] and row["label_name"] != "neutral"
    ]
    chosen = sample(right, options.texts)
    report = {}
    for name, explainer in all_methods(model, tokenizer, granularity="token").items():
        results = explainer([row["text"] for row in chosen], targets=[row["label"] for row in chosen])
        values = [precision(r, r.scores[0].numpy(), row["rationale"]) for r, row in zip(results, chosen, strict=True)]
        kept = [value for value in values if value == value]
        report[name] = {"auprc": float(np.mean(kept)), "std_error": float(np.std(kept) / len(kept) ** 0.5)}
        print(f"{name:20} {report[name]['auprc']:.3f} +- {report[name]['std_error']:.3f}", flush=True)
    rng = np.random.default_rng(0)
    drawn = [
        precision(r, rng.random(len(r.elements)), row["rationale"])
        for r, row in zip(results, chosen, strict=True)
        for _ in range(20)
    ]
    report["random order"] = {"auprc": float(np.nanmean(drawn)), "std_error": 0.0}
    print(f"{'random order':20} {report['random order']['auprc']:.3f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"accuracy": accuracy, "texts": len(kept), "methods": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
