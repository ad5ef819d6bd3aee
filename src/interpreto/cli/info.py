"""`interpreto info`: what is installed, for reports of errors."""

from __future__ import annotations

import json
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Any

import typer

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "safetensors", "typer")


def info(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Versions, the device, and which extras are there."""
    from interpreto import __version__

    facts: dict[str, Any] = {
        "interpreto": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in _LIBRARIES},
        "device": _device(),
        "extras": {extra: {name: _version(name) for name in names} for extra, names in extras().items()},
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if name != "extras":
            typer.echo(f"{name:<14}{value or 'not installed'}")
    for extra, packages in facts["extras"].items():
        shown = ", ".join(f"{name} {found or 'not installed'}" for name, found in packages.items())
        typer.echo(f"{f'[{extra}]':<14}{shown}")


def extras() -> dict[str, list[str]]:
    """The packages that each extra of this library brings, as its metadata say."""
    found: dict[str, list[str]] = {}
    for line in requires("interpreto") or ():
        match = re.fullmatch(r"([\w.-]+).*;\s*extra == ['\"]([\w.-]+)['\"]", line)
        if match and match[2] not in ("dev", "docs") and match[1] != "interpreto":
            found.setdefault(match[2], []).append(match[1])
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.device_count()} x {torch.cuda.get_device_name(0)})"
    return "mps" if torch.backends.mps.is_available() else f"cpu ({torch.get_num_threads()} threads)"
