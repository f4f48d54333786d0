# make demo   a talking video from nothing, in .venv
# make check  ruff, mypy --strict, import-linter
# make test   the tests that need nothing of the extra `gpu` (1 GB in .venv), and how much they run:
#             fails below 85 %
# make test-all  all tests: 7 GB in .venv, and a Chromium, a tmux and an nginx, or theirs are skipped
# make coverage  the same, and how much of each folder they run: fails below 85 %
.PHONY: demo check test test-all coverage clean

PYTHON ?= python3
unexport PYTHONDONTWRITEBYTECODE  # each of the tests' many processes would compile us anew
VENV := .venv
BIN := $(VENV)/bin
# Two fifths of the time is waiting: three on two cores; a file's tests share what they made. In the
# order of the files, else those of few and long tests come last and leave the others idle.
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder
# OpenBLAS's threads wait for each other by turning round, which the other processes pay.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

demo: $(VENV)/.base
	@$(BIN)/vidgen demo

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(VENV)/.test
	$(PYTEST) -m "not gpu" --cov

test-all: $(VENV)/.dev
	$(PYTEST)

coverage: $(VENV)/.dev
	$(PYTEST) --cov --cov-report=json:.coverage.json
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
	$(PIP) --no-compile --editable '.[gpu,dev]'
	@$(BIN)/python -m compileall -qq -j 2 $(VENV)/lib || true  # pip does it on one core
	@touch $@ $(VENV)/.base $(VENV)/.test
