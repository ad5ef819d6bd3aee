from __future__ import annotations

import pytest

from interpreto.attributions.result import Attribution
from tests.visualizations.handmade import make_classification, make_generation


@pytest.fixture
def classification() -> Attribution:
    return make_classification()


@pytest.fixture
def generation() -> Attribution:
    return make_generation()
