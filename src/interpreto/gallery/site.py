"""The gallery as files: a page, and beside it one small script an explanation, loaded when it is looked at.

Every picture and every list of texts is a script that calls one function with its data as JSON, because a page that was
opened from a disk may load scripts but not read files. The page's policy lets its own script run, and those beside it,
and nothing else. Files are named by what they hold, so a copy in a browser's cache is never the wrong one, and
two builds of one catalogue are equal byte by byte.
"""

from __future__ import annotations

import re
import shutil
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

from interpreto.errors import InputError, StoreError
from interpreto.gallery.catalogue import Catalogue, Explanation, Shelf, Step
from interpreto.gallery.mark import MAKER, PAGE, is_gallery
from interpreto.visualizations.html import assets, document, embed

_DATA = "data"
_OWN = re.compile("[0-9a-f]{16}\\.js")
_SCRIPTS = ("address", "pieces", "files", "front", "chooser", "texts", "snippet", "panels", "tours", "gallery")
_BODY = """<a class="g-skip" href="#explanations">Skip to the explanations</a>
<div id="gallery"><noscript>This gallery is drawn by a script; allow scripts to see it.</noscript></div>"""


class Site:
    """Writes a gallery, one explanation after the other, to be used in a `with` statement.

    What is written lies in a hidden folder beside the place of the gallery until the block ends without an error; then
    it takes that place at once. A gallery that was there before is replaced.

    Args:
        out: The folder of the gallery: one that does not exist, an empty one, or an earlier gallery.
        catalogue: What the gallery says beside its explanations.
        force: Replace the folder whatever it holds.

    Raises:
        InputError: `out` is something that nobody asked to be replaced.
        StoreError: A file cannot be written.
    """

    def __init__(self, out: str | Path, catalogue: Catalogue, force: bool = False) -> None:
        self._out = Path(out).resolve()
        self._catalogue = catalogue
        self._force = force
        self._building = self._out.parent / f".{self._out.name}-{token_hex(4)}"
        self._shelves: dict[Shelf, dict[str, dict[int | None, str]]] = {}
        self._views: set[str] = set()

    def __enter__(self) -> Site:
        self._check_place()
        try:
            (self._building / _DATA).mkdir(parents=True)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._building, ignore_errors=True)

    def add(self, explanation: Explanation) -> None:
        """Write one explanation; its plot need not be kept after that.

        Args:
            explanation: What to add. Its text must be one of the catalogue's, and no method may explain it twice.

        Raises:
            InputError: A text that is not in the catalogue, or an explanation that is there already.
            StoreError: The file cannot be written.
        """
        shelf, method, instance = explanation.shelf, explanation.method, explanation.instance
        known = len(self._catalogue.data.get((shelf.model, shelf.data), ()))
        if instance is not None and not 0 <= instance < known:
            raise InputError(
                f"instance: expected the number of one of the {known} texts of {shelf.data!r:.60}, got {instance}"
            )
        explained = self._shelves.setdefault(shelf, {}).setdefault(method, {})
        if instance in explained:
            text = "the whole model" if instance is None else f"text {instance}"
            raise InputError(f"explanation: {method!r:.60} explains {text} of {shelf.data!r:.60} twice; leave one out")
        figures = explanation.plot.figures
        self._views |= {figure.view for figure in figures}
        drawn = [{"view": figure.view, **figure.payload()} for figure in figures]
        explained[instance] = self._write({"figures": drawn, "snippet": explanation.snippet})

    def _write(self, data: Any) -> str:
        """Data as a script that hands it over under its name.

        It travels as text, to be read by `JSON.parse`: no key of it can mean something in the language of scripts.
        """
        text = embed(data).replace("\\", "\\\\").replace("'", "\\'")
        name = sha256(text.encode()).hexdigest()[:16]
        try:
            (self._building / _DATA / f"{name}.js").write_bytes(f"arrived('{name}','{text}');\n".encode())
        except OSError as error:
            raise self._failed(error) from error
        return name

    def _finish(self) -> None:
        """The page, and the move of all to its place."""
        if not self._shelves:
            raise InputError("gallery: expected at least one explanation, got none")
        data = self._manifest()
        views = sorted(self._views)
        style = assets("css", ("page", *views)) + _asset("gallery.css")
        script = assets("js", ("page", *views)) + "\n{\n" + "".join(_asset(f"{name}.js") for name in _SCRIPTS) + "}\n"
        page = document(self._catalogue.title, style, script, data, _BODY, beside=True, maker=MAKER)
        self._check_place()
        before = self._building.with_name(self._building.name + "-before")
        try:
            (self._building / PAGE).write_bytes(page.encode())
            if self._out.exists():
                self._out.rename(before)
            try:
                self._building.rename(self._out)
            except OSError:
                if before.exists():
                    before.rename(self._out)
                raise
        except OSError as error:
            raise self._failed(error) from error
        shutil.rmtree(before, ignore_errors=True) if before.is_dir() else before.unlink(missing_ok=True)

    def _manifest(self) -> dict[str, Any]:
        """All that the page knows before it has loaded anything."""
        catalogue = self._catalogue
        shelves = list(self._shelves)
        sets = [key for key in catalogue.data if any((shelf.model, shelf.data) == key for shelf in shelves)]
        texts = [[[one.text, one.truth, one.predicted] for one in catalogue.data[key]] for key in sets]
        return {
            "title": catalogue.title,
            "about": catalogue.about,
            "sets": [self._write(rows) for rows in texts],
            "shelves": [
                {
                    "task": shelf.task,
                    "model": shelf.model,
                    "data": shelf.data,
                    "family": shelf.family,
                    "form": shelf.form,
                    "set": sets.index((shelf.model, shelf.data)) if (shelf.model, shelf.data) in sets else None,
                    "methods": [
                        [method, [[-1 if text is None else text, file] for text, file in explained.items()]]
                        for method, explained in self._shelves[shelf].items()
                    ],
                }
                for shelf in shelves
            ],
            "walks": [
                {
                    "title": walk.title,
                    "steps": [self._stop(step, f"walks[{w}].steps[{s}]", shelves) for s, step in enumerate(walk.steps)],
                }
                for w, walk in enumerate(catalogue.walks)
            ],
        }

    def _stop(self, step: Step, where: str, shelves: list[Shelf]) -> dict[str, Any]:
        """A step of a walk, whose explanations must be there."""
        if step.shelf is not None:
            if step.shelf not in self._shelves:
                raise InputError(f"{where}.shelf: expected one that has explanations, got {step.shelf}")
            methods = self._shelves[step.shelf]
            explained = {text for texts in methods.values() for text in texts}
            if step.instance is not None and step.instance not in explained:
                raise InputError(f"{where}.instance: no method of its shelf explains text {step.instance}")
            for method in step.methods:
                if method not in methods:
                    raise InputError(f"{where}.methods: expected some of {list(methods)}, got {method!r:.60}")
                if step.instance is not None and not {step.instance, None} & set(methods[method]):
                    raise InputError(f"{where}.methods: {method!r:.60} does not explain text {step.instance}")
        return {
            "text": step.text,
            "shelf": None if step.shelf is None else shelves.index(step.shelf),
            "methods": list(step.methods),
            "instance": step.instance,
        }

    def _check_place(self) -> None:
        """Nothing may be replaced but an earlier gallery, with nothing else in its folder."""
        if self._force or not self._out.exists():
            return
        if not self._out.is_dir():
            raise InputError(f"out: expected a folder for the gallery, got the file {self._out}")
        data, index = self._out / _DATA, self._out / PAGE
        found = sorted(path for folder in (self._out, data) if folder.is_dir() for path in folder.iterdir())
        for path in found:
            if path not in (data, index) and not self._own(path):
                raise InputError(f"out: {self._out} holds {path.name!r}, no file of a gallery; name another folder")
        if found and not is_gallery(self._out):
            raise InputError(f"out: {self._out} holds something that is no gallery of ours; name another folder")

    def _own(self, path: Path) -> bool:
        return path.parent == self._out / _DATA and path.is_file() and bool(_OWN.fullmatch(path.name))

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(f"out: {self._out} could not be written ({error}); take another place")


def _asset(name: str) -> str:
    return files("interpreto.gallery").joinpath("assets", name).read_text(encoding="utf-8")
