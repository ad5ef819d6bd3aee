"""Try the library with other releases of Python and transformers, each in an environment of its own.

python scripts/compat.py [--only NAME ...] [--failed] [-- PYTEST ARGUMENTS]

For each row of `RELEASES` an environment is made below `.work/compat/`, the package is installed there from this folder
with the newest releases that fit, and the quick tests run. What was found goes to `benchmarks/results/compat.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".work" / "compat"
TORCH = "torch==2.13.0"
EXTRAS = "bench,data,llm,nnsight,viz"
TOOLS = (
    "accelerate",
    "beartype",
    "html5lib",
    "optimum-quanto",
    "peft",
    "protobuf",
    "pytest",
    "pytest-xdist",
    "sentencepiece",
)
TELL = (
    "import json, platform, interpreto, numpy, torch, transformers;"
    "print(json.dumps([platform.python_version(), transformers.__version__, torch.__version__, numpy.__version__]))"
)


@dataclass(frozen=True)
class Release:
    """An environment.

    Args:
        name: What to call it.
        python: Which Python.
        packages: What it needs beside the newest that fits.
    """

    name: str
    python: str
    packages: tuple[str, ...] = ()


RELEASES = (
    Release("oldest", "3.10", ("transformers==5.6.0",)),
    Release("python-3.10", "3.10"),
    Release("python-3.11", "3.11"),
    Release("python-3.12", "3.12"),
    Release("python-3.13", "3.13"),
)


def find_python(version: str) -> str | None:
    """An interpreter of this version: where pyenv keeps them, whose names on the path need not run, or on the path."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(
        kept.glob(f"{version}.*/bin/python"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.parts[-3])]
    )
    return str(found[-1]) if found else shutil.which(f"python{version}")


def try_release(release: Release, again: list[str], arguments: list[str]) -> dict[str, object]:
    """Make the environment, run the tests, or again what failed in it, and tell."""
    interpreter = find_python(release.python)
    if interpreter is None:
        return {"release": asdict(release), "missing": f"no Python {release.python} here"}
    place = WORK / release.name
    python = str(place / "bin" / "python")
    wanted = json.dumps([asdict(release), TORCH, EXTRAS, TOOLS])
    done = place / "made_of.json"
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([interpreter, "-m", "venv", str(place)], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, TORCH], check=True)
        subprocess.run([*install, "-e", f"{ROOT}[{EXTRAS}]", *TOOLS, *release.packages], check=True)
        done.write_text(wanted)
    versions = json.loads(subprocess.run([python, "-c", TELL], check=True, capture_output=True, text=True).stdout)
    found = tested(python, place / "tests.log", again or ["tests"], arguments)
    print(f"{release.name}: {words(found)} (see {place / 'tests.log'})", flush=True)
    return {"release": asdict(release), "versions": versions, **found}


def tested(python: str, log: Path, tests: list[str], arguments: list[str]) -> dict[str, object]:
    """Run tests; which of them failed, and how many did not."""
    with log.open("w") as out:
        command = [python, "-m", "pytest", "-q", "-m", "not slow", *tests, *arguments]
        ran = subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False)
    return found_in(log.read_text(), ran.returncode)


def found_in(text: str, code: int) -> dict[str, object]:
    """What pytest said; a run that failed without a test that did, or did not say how many passed, counts as one."""
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|skipped)", text.rstrip().splitlines()[-1])}
    failed = set(re.findall(r"^(?:FAILED|ERROR) (\S+\.py(?:::\w+(?:\[.*?\](?= - |$))?)?)", text, re.MULTILINE))
    if not failed and (code or "passed" not in counts):
        failed = {"tests"}
    return {"passed": counts.get("passed", 0), "skipped": counts.get("skipped", 0), "failed": sorted(failed)}


def words(row: dict[str, object]) -> str:
    """What was found, in a line."""
    failed = row["failed"]
    return f"{row['passed']} passed, {row['skipped']} skipped, {len(failed) if isinstance(failed, list) else 0} failed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="names of environments")
    parser.add_argument("--failed", action="store_true", help="only what failed the last time")
    parser.add_argument("arguments", nargs="*", help="for pytest, after --")
    options = parser.parse_args()
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    chosen = [release for release in RELEASES if not options.only or release.name in options.only]
    file = ROOT / "benchmarks" / "results" / "compat.json"
    known = {row["release"]["name"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    for release in chosen:
        before = known.get(release.name, {}).get("failed", []) if options.failed else []
        if options.failed and not before:
            continue
        row = try_release(release, sorted({name.split("[")[0] for name in before}), options.arguments)
        if before:  # the others were run before
            mended = len(before) - len(row["failed"])
            row = {**known[release.name], "passed": known[release.name]["passed"] + mended, "failed": row["failed"]}
        known[release.name] = row
        file.write_text(json.dumps(list(known.values()), indent=1) + "\n")
    sys.exit(any(known[release.name].get("failed") != [] for release in chosen))


if __name__ == "__main__":
    main()
