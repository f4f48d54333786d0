# make demo   a talking video from nothing, in .venv
# make check  ruff, mypy --strict, import-linter
# make test   the tests that need nothing of the extra `gpu` (1 GB in .venv)
# make test-all  all tests: 7 GB in .venv, and a Chromium, a tmux and an nginx, or theirs are skipped;
#                at least 85 % of the package's lines are run
.PHONY: demo check test test-all clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
COVERED := pytest --cov --cov-report=json:.coverage.json

demo: $(VENV)/.base
	@$(BIN)/vidgen demo

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(VENV)/.test
	$(BIN)/python -m $(COVERED) --cov-fail-under=0 -m "not gpu"
	@$(BIN)/python -m benchmarks.folders .coverage.json

test-all: $(VENV)/.dev
	$(BIN)/python -m $(COVERED)
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
