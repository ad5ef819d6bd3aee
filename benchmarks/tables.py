"""Write the tables of the docs from the results of the benchmarks.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
METRICS = ["Deletion", "Insertion", "Comprehensiveness", "Sufficiency"]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def faithfulness(report: dict[str, Any]) -> str:
    text = [
        "# Faithfulness of the methods",
        "",
        "Made by `python benchmarks/faithfulness.py` and `python benchmarks/tables.py`; do not edit by hand.",
        "",
        f"The predicted class of {report['texts']} test texts (of at most {report['words']} words) for each of the "
        "shipped classifiers, explained word by word "
        "with every method's default options. Figures are of the class's probability, means over texts; in brackets "
        "the gain over random order and its standard error, above 0 is better than random whatever the metric.",
        "Deletion and Sufficiency: lower is better; Insertion and Comprehensiveness: higher is better.",
    ]
    for model in dict.fromkeys(row["model"] for row in report["rows"]):
        own = [row for row in report["rows"] if row["model"] == model]
        random = {row["metric"]: row["random_score"] for row in own}
        lines = [["*random order*", *(f"{random[metric]:.3f}" for metric in METRICS), ""]]
        for method in dict.fromkeys(row["method"] for row in own):
            found = {row["metric"]: row for row in own if row["method"] == method}
            cells = [
                f"{found[m]['score']:.3f} ({found[m]['gain']:+.3f} ± {found[m]['gain_std_error']:.3f})" for m in METRICS
            ]
            lines.append([method, *cells, f"{next(iter(found.values()))['cpu_seconds']:.0f}"])
        text += ["", f"## `{model}`", "", table(["method", *METRICS, "CPU s"], lines)]
    return "\n".join(text) + "\n"


def plausibility(report: dict[str, Any]) -> str:
    rows = [[name, f"{row['auprc']:.3f} ± {row['std_error']:.3f}"] for name, row in report["methods"].items()]
    return "\n".join([
        "# Plausibility: do the methods point at the words that a person chose?",
        "",
        "Made by `python benchmarks/plausibility.py` and `python benchmarks/tables.py`; do not edit by hand.",
        "",
        f"A small sentiment classifier of tweets (test accuracy {report['accuracy']:.3f}), its correct decisions on "
        f"{report['texts']} positive and negative test tweets, explained token by token; area under the "
        "precision-recall curve against the span that a person marked as the reason, mean over tweets and its standard "
        "error. Plausible is not faithful: a model may be right for reasons that no person would give.",
        "",
        table(["method", "AUPRC"], rows),
    ]) + "\n"  # fmt: skip


def concepts(report: dict[str, Any]) -> str:
    text = [
        "# What the concept methods keep",
        "",
        "Made by `python benchmarks/concepts.py` and `python benchmarks/tables.py`; do not edit by hand.",
        "",
        "Concepts of the shipped models at the output of block 2, learned from texts of their training sets with the "
        "methods' default options, measured on held-out texts. `topic`: the token that the head reads; `stories`: "
        "every token. Sparse autoencoders are trained for 2,000 steps, a third of their default. Loss recovered: 1 is "
        "the model itself, 0 is the model with zeros in the place of its hidden states.",
    ]
    for model in dict.fromkeys(row["model"] for row in report["rows"]):
        own = [row for row in report["rows"] if row["model"] == model]
        lines = [
            [
                row["method"].removesuffix("Concepts"),
                str(row["concepts"]),
                f"{row['explained_variance']:.3f}",
                f"{row['l0']:.1f}",
                f"{row['dead_fraction']:.0%}",
                f"{row['loss_recovered']:.3f}",
                f"{row['cpu_seconds']:.0f}",
            ]
            for row in own
        ]
        header = ["method", "concepts", "explained variance", "concepts a row (L0)", "dead", "loss recovered", "CPU s"]
        text += ["", f"## `{model}` ({own[0]['rows']:,} rows to learn from)", "", table(header, lines)]
    words = report.get("words")
    if words:
        text += [
            "",
            "## The first concepts of one fit",
            "",
            f"{words['method']} with {words['options']} on the words of `{words['model']}`: the words in which each of "
            "the first concepts is strongest, all of them, none left out.",
            "",
            table(["concept", "strongest words"], [[str(k), " · ".join(w)] for k, w in words["concepts"]]),
        ]
    return "\n".join(text) + "\n"


def planted(report: dict[str, Any]) -> str:
    import planted_dictionaries  # these import from here
    import planted_factorisations

    factorisations = json.loads((HERE / "results" / "planted_factorisations.json").read_text())
    return "\n".join([
        "# Do the concept methods find what activations were made of?",
        "",
        "Made by `python benchmarks/planted_dictionaries.py`, `python benchmarks/planted_factorisations.py` and "
        "`python benchmarks/tables.py`; do not edit by hand.",
        "",
        "## Sparse autoencoders",
        "",
        f"{report['rows']:,} rows, each a sum of {report['active']} of {report['directions']} random unit directions "
        "in "
        f"{report['width']} dimensions; default options, {report['directions']} concepts, "
        f"{report['active']} a row. "
        f"Recovered: share of the directions that some concept comes within cosine {report['cosine']} of; means over "
        "seeds, in brackets the worst one.",
        "",
        planted_dictionaries.summary(report["fits"]),
        "",
        "## Classical methods",
        "",
        f"{factorisations['rows']:,} rows of {factorisations['width']} numbers with the structure that the method is "
        "made for: what the cosine of a planted direction with its concept misses of 1, for the worst direction.",
        "",
        planted_factorisations.summary(factorisations["results"]),
    ]) + "\n"  # fmt: skip


def speed(report: dict[str, Any]) -> str:
    import speed_tables  # imports from here

    file = HERE / "results" / "accuracy.json"
    return speed_tables.page(report, json.loads(file.read_text()) if file.exists() else None)


def choose(faithful: dict[str, Any], plausible: dict[str, Any]) -> str:
    """What each method costs, what it gives, and how it did; read off the methods and the results."""
    import interpreto.attributions.methods as methods
    from interpreto.cli.names import kebab
    from interpreto.demo import load

    model, tokenizer = load("emotion")
    deletion = {(row["model"], row["method"]): row for row in faithful["rows"] if row["metric"] == "Deletion"}
    lines = []
    for name in methods.__all__:
        method = getattr(methods, name)
        (result,) = method(model, tokenizer, progress=False)("I was scared of the dark.")
        cost = re.search(r"Cost: (.*?)[.;]\s", " ".join((method.__doc__ or "").split()))
        cells = [f"[{name}](methods/{kebab(name)}.md)", cost[1] if cost else ""]
        cells += ["yes" if given is not None else "" for given in (result.gaps, result.std_errors)]
        for subject in ("topic", "emotion"):
            row = deletion.get((subject, name))
            cells.append("" if row is None else f"{row['gain']:+.3f} ± {row['gain_std_error']:.3f}")
        row = deletion.get(("topic", name))
        cells.append("" if row is None else f"{1000 * row['cpu_seconds'] / faithful['texts']:.0f}")
        found = plausible["methods"].get(name)
        cells.append("" if found is None else f"{found['auprc']:.3f}")
        lines.append(cells)
    header = [
        "method",
        "cost a text",
        "adds up",
        "errors",
        "Deletion, `topic`",
        "Deletion, `emotion`",
        "ms a text",
        "AUPRC",
    ]
    return (
        table(header, lines)
        + "\n\nDeletion: gain over random order, more is more faithful ([all metrics](faithfulness.md)). Milliseconds "
        "of one processor, on `topic`. AUPRC: agreement with people's reasons ([plausibility](plausibility.md)), which "
        "is not faithfulness. Made by `python benchmarks/tables.py`.\n"
    )


def compat(report: list[dict]) -> str:
    """With which releases the tests were run."""
    rows = [row for row in report if "versions" in row]
    lines = [[*row["versions"], *(str(n) for n in (row["passed"], row["skipped"], len(row["failed"])))] for row in rows]
    return table(["Python", "transformers", "torch", "numpy", "tests passed", "skipped", "failed"], lines) + "\n"


def main() -> None:
    makers = {"faithfulness": faithfulness, "plausibility": plausibility, "concepts": concepts}
    for name, make in {**makers, "planted_dictionaries": planted, "speed": speed}.items():
        file = HERE / "results" / f"{name}.json"
        if not file.exists():
            print(f"no {file.name} yet, docs/{name}.md stays as it is")
            continue
        (DOCS / f"{name}.md").write_text(make(json.loads(file.read_text())), encoding="utf-8")
        print(f"wrote docs/{name}.md")
    reports = [json.loads((HERE / "results" / f"{name}.json").read_text()) for name in ("faithfulness", "plausibility")]
    fill(DOCS / "choose.md", choose(*reports))
    fill(DOCS.parent / "README.md", compat(json.loads((HERE / "results" / "compat.json").read_text())))


def fill(page: Path, text: str) -> None:
    """Put a table where its marks are on a page."""
    begin, end = "<!-- table: python benchmarks/tables.py -->", "<!-- end of table -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")
    print(f"wrote the table of {page.name}")


if __name__ == "__main__":
    main()
