# make demo   a talking video from nothing, in .venv
# make check  ruff, mypy --strict, import-linter
# make test   the tests that need nothing of the extra `gpu` (1 GB in .venv), and how much they run:
#             fails below 85 %
# make test-all  all tests: 7 GB in .venv, and a Chromium, a tmux and an nginx, or theirs are skipped
# make coverage  the same, and how much of each folder they run: fails below 85 %
.PHONY: demo check test test-all coverage clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPREAD := -n 2 --dist loadfile  # half of the time is waiting; a file's tests share what they made
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

demo: $(VENV)/.base
	@$(BIN)/vidgen demo

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SPREAD) -m "not gpu" --cov

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest $(SPREAD)

coverage: $(VENV)/.dev
	$(BIN)/python -m pytest $(SPREAD) --cov --cov-report=json:.coverage.json
	@$(BIN)/python -m benchmarks.folders .coverage.json

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.base

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[gpu,dev]'
	@touch $@ $(VENV)/.base $(VENV)/.test
