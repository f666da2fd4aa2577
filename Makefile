# `make demo` and `make test` are all there is to set up: each installs what it needs into .venv, with uv where there is
# one, else with venv and pip, and installs again only when pyproject.toml or constraints.txt changed.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
RECIPE := pyproject.toml constraints.txt
PYTHON ?= $(firstword $(foreach p,python3 python python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
WORKERS ?= 2
ARGS ?=

.PHONY: help demo test test-full lint format types bench clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## one million contacts, a dozen segments, an hour later (ARGS="--contacts 20000" for fewer)
	$(BIN)/python -m segmentry.demo $(ARGS)

test: $(VENV)/.installed-dev  ## the tests, in about five minutes (ARGS="tests/rules -k text")
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-full: $(VENV)/.installed-full  ## all tests: the long ones and Spark's too
	$(BIN)/python -m pytest -n $(WORKERS) -m "" $(ARGS)

lint: $(VENV)/.installed-dev  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.installed-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.installed-dev  ## strict type checking of the package
	$(BIN)/mypy --strict segmentry

bench: $(VENV)/.installed-dev  ## the `small` workload beside its peers (ARGS="--json OUT")
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove what was installed, built and made
	rm -rf $(VENV) build dist .make .pytest_cache .mypy_cache .ruff_cache .hypothesis demo

# ------------------------------------------------------------------ installing

define install
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.$(1)'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.$(1)'; \
	fi
	@touch $@
endef

$(BIN)/python:
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python '>=3.11' $(VENV); \
	elif [ -n '$(PYTHON)' ]; then \
		$(PYTHON) -m venv $(VENV); \
	else \
		echo 'Python 3.11 or newer is needed (or uv); say which with PYTHON=...' >&2; exit 1; \
	fi

$(VENV)/.installed: $(RECIPE) | $(BIN)/python
	$(call install)

$(VENV)/.installed-dev: $(RECIPE) | $(BIN)/python
	$(call install,[dev])
	@touch $(VENV)/.installed

$(VENV)/.installed-full: $(RECIPE) | $(BIN)/python
	$(call install,[dev$(comma)spark])
	@touch $(VENV)/.installed $(VENV)/.installed-dev

comma := ,
