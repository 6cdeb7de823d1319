# Every chore has one command. PYTHON is the interpreter that makes the environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-fast check format clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## make .venv with everything

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(READY)  ## train, explain and register a model on drawn faces
	PATH="$(CURDIR)/$(BIN):$$PATH" MLFLOW_EXPERIMENT_NAME=fer_mlops $(BIN)/mlflow run . -e transfer --env-manager local

test: $(READY)  ## run the tests, in about 10 minutes
	$(BIN)/python -m pytest

test-long: $(READY)  ## run the tests of kills, clusters and database servers
	$(BIN)/python -m pytest -m long

test-fast: $(READY)  ## run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow and not long"

check: $(READY)  ## format, lint, types, spelling and links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python docs/check_links.py

format: $(READY)  ## mend what a machine can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches, not the runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
