# Every chore has one command. PYTHON is the interpreter that makes the environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev

.DEFAULT_GOAL := help
.PHONY: help install demo dev test test-long test-fast check docs format clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## make .venv with what trains and serves

dev: $(DEV)  ## add every extra and the tools of developers

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[face]'
	touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(READY) $@

demo: $(READY)  ## train, explain and register a model on drawn faces
	PATH="$(CURDIR)/$(BIN):$$PATH" MLFLOW_EXPERIMENT_NAME=fer_mlops $(BIN)/mlflow run . -e transfer --env-manager local

test: $(DEV)  ## run the tests, in about 10 minutes
	$(BIN)/python -m pytest

test-long: $(DEV)  ## run the tests of kills, clusters and database servers
	$(BIN)/python -m pytest -m long

test-fast: $(DEV)  ## run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow and not long"

check: $(DEV)  ## format, lint, types, spelling and links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python docs/check_links.py

docs: $(DEV)  ## build the documentation site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(DEV)  ## mend what a machine can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches, not the runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
