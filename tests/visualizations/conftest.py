from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interpreto.attributions.result import Attribution
from tests.visualizations.handmade import make_classification, make_generation


@pytest.fixture
def classification() -> Attribution:
    return make_classification()


@pytest.fixture
def generation() -> Attribution:
    return make_generation()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a page offline; at the end, nothing may have been asked for, logged, or failed."""
    context = browser.new_context(offline=True, viewport={"width": 900, "height": 700})
    complaints: list[str] = []
    asked: list[str] = []

    def opened(text: str, **options: Any) -> Any:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.html"
        path.write_bytes(text.encode())
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: (complaints.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        if options:
            page.emulate_media(**options)
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert complaints == []
    assert [url for url in asked if not re.match(r"file:.*/\d+\.html$|about:srcdoc$", url)] == []
