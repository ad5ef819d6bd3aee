"""What saved concepts were learned from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpreto.cli.loading import SHIPPED, load_model
from interpreto.cli.written import write_text
from interpreto.errors import InputError

if TYPE_CHECKING:
    from interpreto.concepts import LearnedConcepts
    from interpreto.model_wrapping import ModelWithSplitPoints

_FILE = "learned_from.json"

Folder = Annotated[Path, typer.Argument(help="Where `concepts fit` saved them.", show_default=False)]
Again = Annotated[
    str | None, typer.Option("--model", help="Where the model is now. Default: where it was when they were learned.")
]


@dataclass(frozen=True, slots=True)
class Origin:
    """What concepts were learned from, saved beside them so that later steps need not be told.

    Args:
        model: The model's name or folder.
        revision: Its version on the hub.
        split_point: Where in it.
        granularity: What one row was.
        aggregation: How rows of several tokens became one.
    """

    model: str
    revision: str | None
    split_point: int | str
    granularity: str
    aggregation: str

    def split(self, device: str | None) -> ModelWithSplitPoints:
        """The model, split there."""
        from interpreto import ModelWithSplitPoints

        model, tokenizer = load_model(self.model, self.revision, device)
        return ModelWithSplitPoints(model, self.split_point, tokenizer=tokenizer)

    def save(self, folder: Path) -> None:
        """Write it to the folder of the concepts; a shipped model, or one of the hub, keeps its name."""
        known = self.model.startswith(SHIPPED) or not Path(self.model).exists()
        model = self.model if known else str(Path(self.model).resolve())
        write_text(folder / _FILE, json.dumps({**asdict(self), "model": model}, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path, model: str | None) -> Origin:
        """Read it.

        Raises:
            InputError: No concepts that `concepts fit` saved.
        """
        try:
            known = cls(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"folder: expected one that `interpreto concepts fit` saved, got {folder} ({error!s:.120})"
            ) from error
        return known if model is None else replace(known, model=model, revision=None)

    def concepts(self, folder: Path, device: str | None) -> LearnedConcepts:
        """The concepts, with their model."""
        from interpreto.concepts.files import from_pretrained

        return from_pretrained(folder, self.split(device))
