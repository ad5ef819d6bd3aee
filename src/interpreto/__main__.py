"""`python -m interpreto`."""

from interpreto.cli import app

app()
