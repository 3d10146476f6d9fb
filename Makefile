# Everything a person does here, and what CI runs. `make` alone lists it.

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# A stamp for each lock: the environment is made anew only when what it is made from has changed.
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# The usual run leaves out what shows a promise once more, in another form or for longer (tests/kit/thorough.py); it says
# at its end how many tests these are. ALL=1 leaves nothing out.
ALL :=
USUAL = $(if $(ALL),,-m 'not thorough')
# Nothing is all tests. The longest files go first, in the order of tests/conftest.py, so that no core is idle at the end.
# A worker that a test brought down is not started anew: it would run the same test again, and again. One worker more than
# there are cores, for many tests wait: for a process, a browser, a time-out.
TESTS :=
WORKERS := 3
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# To rewrite the assertions of all tests takes each worker ten seconds: what was rewritten is kept.
export PYTHONDONTWRITEBYTECODE :=
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
	--custom-compile-command "make lock" pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help install demo check format lint fix types test test-all test-python test-again coverage torture bench docs helm release screenshots lock clean

help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(RUNTIME) ## Install the forwarder into .venv, exactly as locked

demo: $(RUNTIME) ## See it work: the real daemon against stand-ins of all four services, for 20 seconds
	$(BIN)/forwarder demo --for 20s

check: format lint types test ## All that CI checks

format: $(DEV) ## Check the format (make fix corrects it)
	$(BIN)/ruff format --check .

lint: $(DEV) ## Look for mistakes in the code
	$(BIN)/ruff check .
	$(BIN)/codespell

fix: $(DEV) ## Format the code and fix what can be fixed automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(DEV) ## Check the types, strictly, code and tests
	$(BIN)/mypy
	$(BIN)/mypy docs/hooks/*.py

test: $(DEV) format lint types ## Check format, mistakes and types, then run the usual tests
	$(PYTEST) $(USUAL)

test-all: ALL := 1
test-all: test ## The same with all tests: before a release, and after a change of the outbox, the store or the poller

coverage: $(DEV) ## Run all tests and count the lines and branches that they reach; below 90 % it fails
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=90

test-python: $(DEV) ## Run the tests alone: with PYTHON=python3.13 VENV=.venv-3.13 on another Python, with TESTS=… some, with ALL=1 all
	$(PYTEST) $(USUAL) $(TESTS)

test-again: $(DEV) ## Run again what failed in the last run, alone
	$(BIN)/pytest --last-failed --last-failed-no-failures none

torture: $(DEV) ## The long proof: crashes and faults, counted
	$(BIN)/python -m tests.torture

bench: $(DEV) ## Speed, memory and growth, as JSON and a table
	$(BIN)/python -m tests.bench

docs: $(DEV) ## Build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

helm: $(BIN)/helm ## Put Helm and kubectl into .venv, for the tests of the chart (Linux on x86-64)

release: $(DEV) ## Make the files of a release in dist/, twice, and try the wheel on every Python here
	$(BIN)/python -m release

screenshots: $(DEV) ## Take the screenshots of docs/images anew (needs Chromium)
	$(BIN)/python docs/screenshots.py

lock: $(DEV) ## Resolve the dependencies anew, to their newest releases
	$(LOCK) --upgrade --group build --output-file requirements.lock
	$(LOCK) --constraint requirements.lock --group build --extra postgres --output-file requirements-postgres.lock
	$(LOCK) --constraint requirements.lock --group build --extra apprise --output-file requirements-apprise.lock
	$(LOCK) --upgrade --group dev --output-file requirements-dev.lock

clean: ## Remove what was installed and built
	rm -rf $(VENV) .venv-3.* site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/helm: tests/kubernetes-tools.lock tests/kit/kubernetes_tools.py | $(DEV)
	rm -rf $(VENV)/tools
	$(BIN)/python -m pip download --quiet --require-hashes --no-deps --dest $(VENV)/tools -r $<
	$(BIN)/python -m tests.kit.kubernetes_tools $(VENV)/tools/*.whl $(BIN)
	rm -rf $(VENV)/tools
	@touch $@

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	@test -f $(DEV) || $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(RUNTIME)
