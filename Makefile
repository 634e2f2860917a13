# The two commands of the README, and what they need. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-full check clean

quickstart: $(VENV)/.quickstart
	$(BIN)/python -m scripts.quickstart

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "not heavy" tests

test-full: $(VENV)/.dev
	$(BIN)/python -m pytest -q tests

check: $(VENV)/.dev
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/pyright
	$(BIN)/python -m pytest -q -m "not heavy" tests

$(VENV)/.quickstart: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -c constraints.txt -e ".[zh]" "scikit-learn>=1.4"
	touch $@

$(VENV)/.dev: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
