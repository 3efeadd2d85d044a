# `make demo` and `make test` set everything up themselves; nothing else has to be typed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test test-matrix mutants doctest lint reference clean

demo: $(VENV)/.installed
	$(BIN)/pvbias demo --out $(DEMO)
	@echo "Open $(DEMO)/comparison/report.html"

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

# Smoke tests on each Python, with the newest and the oldest dependencies; MATRIX chooses: tests/matrix.py says how.
test-matrix:
	$(PYTHON) tests/matrix.py $(MATRIX)

# Which of the deliberate faults in tests/planted_faults the suite notices; MUTANTS chooses: tests/mutants.py says how.
mutants: $(VENV)/.installed
	nice -n 19 $(BIN)/python tests/mutants.py $(MUTANTS)

# Every command that the README and the guide show; PAGES chooses.
doctest: $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.documented $(PAGES)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pvbias plugins tools

# The reference from the docstrings and READMEs: open build/reference/README.html. A warning is an error.
reference: $(VENV)/.docs
	mkdir -p build/pages
	$(BIN)/python -m sphinx -q -j auto -W --keep-going -c tools/reference build/pages build/reference
	@echo "Open build/reference/README.html"

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/.installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -qq --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .matrix .mutants $(DEMO) build dist ./*.egg-info
