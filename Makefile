# `make` lists what there is. Every target works on a fresh clone with Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## the whole desk in one terminal: articles, tickets, SLA notices, under five minutes
	$(BIN)/atum demo

test: $(READY) ## the test suite, on a real Postgres, real workers and the real model
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not soak'

check: $(READY) ## formatting, lint, types and the arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## ratios inside one run: the broker against its ceiling and its floor
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench

soak: $(READY) ## the long tests
	$(BIN)/python -m pytest -m soak --timeout 7200

clean: ## remove the virtual environment and the caches (never .atum/, which holds data)
	rm -rf $(VENV) .venv-dramatiq-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
