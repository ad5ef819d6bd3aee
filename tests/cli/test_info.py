"""`interpreto info` tells what is installed."""

import json
import platform

import torch

import interpreto
from tests.cli.running import run


def test_facts():
    code, out, err = run("info", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["interpreto"] == interpreto.__version__
    assert facts["python"] == platform.python_version()
    assert torch.__version__.startswith(facts["torch"].split("+")[0])
    assert set(facts["extras"]) >= {"data", "llm", "nnsight"}
    assert "openai" in facts["extras"]["llm"]


def test_text():
    code, out, _ = run("info")
    assert code == 0
    assert f"python        {platform.python_version()}" in out
    assert "[llm]" in out
