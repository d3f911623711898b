# Everything a newcomer runs. `make demo` is the shortest way to see AutoReg at work.
PYTHON ?= python3
DEMO ?= runs/demo
CHAOS ?= runs/chaos
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-data chaos lint docs audit format clean

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(INSTALLED)  ## AutoReg and its tools in .venv, with the tested versions

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

demo: $(INSTALLED)  ## Search, train, compare on generated volumes, into runs/demo (DEMO=folder)
	$(BIN)/autoreg demo --output $(DEMO)

test: $(INSTALLED)  ## The quick tests
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)  ## The tests that take minutes
	$(BIN)/python -m pytest -m "slow and not gpu and not data"

test-data: $(INSTALLED)  ## The tests on real volumes: DATA=folder of data sets
	@test -n "$(DATA)" || { echo "make test-data: expected DATA=folder" >&2; exit 2; }
	$(BIN)/python -m pytest tests -m "data and not gpu" --data-root="$(DATA)"

chaos: $(INSTALLED)  ## A hundred faults in searches and tuning on a local cluster, into runs/chaos (CHAOS=folder)
	$(BIN)/python benchmarks/chaos.py --faults 100 --output $(CHAOS)

lint: $(INSTALLED)  ## Format, lint, types and the import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

docs: $(INSTALLED)  ## The site of docs/, into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

audit: $(INSTALLED)  ## Known weaknesses of the pinned packages; needs the network, and says so without
	$(BIN)/python .ci/audit

format: $(INSTALLED)  ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and caches, never runs/
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist
	find autoreg tests -name __pycache__ -type d -prune -exec rm -rf {} +
