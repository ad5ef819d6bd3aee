# `make demo` and `make test` need nothing but Python 3.10 to 3.13, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Idle threads that spin make timings on shared processors worthless.
BENCH := OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 TOKENIZERS_PARALLELISM=false $(BIN)/python

.PHONY: demo test lint types wheel docs pictures tutorials compat models bench gallery clean

# torch goes first and pinned: the newest build of the index brings gigabytes of CUDA.
$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) -e .
	touch $@

$(VENV)/dev: $(VENV)/base
	$(INSTALL) -e '.[dev]'
	touch $@

demo: $(VENV)/base ## explain a classification and a generation, write demo.html
	$(BIN)/interpreto demo

test: $(VENV)/dev ## every test and doctest
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist worksteal

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev ## the package's types, and the examples' as a user's checker sees them
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

wheel: $(VENV)/dev ## build the wheel and the sdist, install each alone in an empty environment, and draw a page from it
	rm -rf dist $(VENV)-wheel
	$(BIN)/python -m build --quiet
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd dist && ../$(VENV)-wheel/bin/interpreto demo --out wheel.html && grep -q "</html>" wheel.html
	$(VENV)-wheel/bin/python -m pip uninstall --quiet --yes interpreto
	$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.tar.gz
	cd dist && ../$(VENV)-wheel/bin/interpreto demo --out sdist.html && cmp wheel.html sdist.html
	rm -rf $(VENV)-wheel

docs: $(VENV)/dev ## build the documentation in build/site/, strictly
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet

pictures: $(VENV)/dev ## draw docs/pictures/ from the shipped models
	$(BIN)/python scripts/make_pictures.py

tutorials: $(VENV)/dev ## run docs/tutorials/ and keep what they show
	$(BIN)/python scripts/run_tutorials.py

compat: $(VENV)/dev ## the quick tests with other releases of Python and transformers, in environments of their own
	$(BIN)/python scripts/compat.py

models: $(VENV)/dev ## train the shipped models anew from DATA
	$(BIN)/python scripts/train_demo_models.py --data $(or $(DATA),../shared/data)

bench: $(VENV)/dev ## measure speed and accuracy against the bare model, captum, shap and lime; write docs/speed.md
	$(BENCH) benchmarks/speed.py
	$(BENCH) benchmarks/accuracy.py
	$(BENCH) benchmarks/tables.py

gallery: $(VENV)/base ## build the project's own gallery in build/gallery/
	$(BIN)/interpreto gallery build gallery/gallery.yaml build/gallery

clean:
	rm -rf $(VENV) $(VENV)-wheel build dist
