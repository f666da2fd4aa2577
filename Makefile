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
RUNS ?= 1000
SEED ?=

# Compiled modules are kept, also where the environment says otherwise: the tests start hundreds of processes, and each would
# compile the whole package, which takes longer than what most of them do.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-full soak test-compiled test-examples test-wheel lint format types docs session peers bench clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## one million contacts, a dozen segments, an hour later (ARGS="--contacts 20000" for fewer)
	$(BIN)/python -m segmentry.demo $(ARGS)

test: $(VENV)/.installed-dev  ## the tests, in about eighteen minutes (ARGS="tests/rules -k text")
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-full: $(VENV)/.installed-full  ## all tests: the long ones and Spark's too
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "" $(ARGS)

soak: $(VENV)/.installed-dev  ## 1,000 hourly runs of one workspace, each held to a full one; half an hour (RUNS=200 SEED=7)
	$(BIN)/python -m tests.state.soak --runs $(RUNS) $(if $(SEED),--seed $(SEED))

test-compiled: .make/compiled/.installed-dev  ## the tests of the rules under sqlglot's compiled build, in an environment of its own
	.make/compiled/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(or $(ARGS),tests/rules)

test-examples: $(VENV)/.installed-dev $(foreach e,airflow dagster dbt,.make/$(e)/.installed)  ## the examples that have environments of their own: Airflow, Dagster, dbt
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "" $(or $(ARGS),$(foreach e,airflow dagster dbt,tests/examples/test_$(e).py))

test-wheel: $(VENV)/.installed-dev  ## build the wheel, install it with its run-time dependencies only, run the demo
	$(BIN)/python -m pytest -m "" tests/project/test_wheel.py $(ARGS)

lint: $(VENV)/.installed-dev  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.installed-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.installed-dev  ## strict type checking of the package
	$(BIN)/mypy --strict segmentry

docs: $(VENV)/.installed-dev  ## write the generated parts of the documentation anew
	PYTHONPATH=. $(BIN)/python docs/generate.py

session: $(VENV)/.installed-dev  ## play the README's session and write down what it prints
	$(BIN)/python docs/session.py

peers: $(VENV)/.installed-peers  ## what benchmarks compare with, beyond our own dependencies

bench: $(VENV)/.installed-peers  ## the `small` workload beside its peers (ARGS="--publish")
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove what was installed, built and made
	rm -rf $(VENV) build dist .make .pytest_cache .mypy_cache .ruff_cache .hypothesis demo

# ------------------------------------------------------------------ installing

comma := ,

# $(call install,ENVIRONMENT,WHAT,CONSTRAINTS): into an environment, made first if there is none; constraints.txt where none are said.
define install
	@if [ -x $(1)/bin/python ]; then :; \
	elif command -v uv >/dev/null 2>&1; then uv venv --quiet --python '>=3.11' $(1); \
	elif [ -n '$(PYTHON)' ]; then $(PYTHON) -m venv $(1); \
	else echo 'Python 3.11 or newer is needed, or uv; PYTHON=... says which' >&2; exit 1; fi
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(1)/bin/python $(addprefix --constraint ,$(or $(3),constraints.txt)) $(2); \
	else \
		$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(or $(3),constraints.txt)) $(2); \
	fi
endef

$(VENV)/.installed: $(RECIPE)
	$(call install,$(VENV),--editable .)
	@touch $@

$(VENV)/.installed-dev: $(RECIPE)
	$(call install,$(VENV),--editable '.[dev]')
	@touch $(VENV)/.installed $@

$(VENV)/.installed-full: $(RECIPE)
	$(call install,$(VENV),--editable '.[dev$(comma)spark]')
	@touch $(VENV)/.installed $(VENV)/.installed-dev $@

$(VENV)/.installed-peers: $(RECIPE)
	$(call install,$(VENV),--editable '.[dev$(comma)peers]')
	@touch $(VENV)/.installed $(VENV)/.installed-dev $@

.make/compiled/.installed-dev: $(RECIPE)
	@mkdir -p .make
	$(call install,.make/compiled,--editable '.[dev]' 'sqlglot[c]')
	@touch $@

# Airflow and dbt call the command by its path, so Segmentry is not in their environments.
.make/airflow/.installed: examples/airflow/constraints.txt
	@mkdir -p .make
	$(call install,.make/airflow,apache-airflow-core,$<)
	@touch $@

.make/dagster/.installed: $(RECIPE) examples/dagster/constraints.txt
	@mkdir -p .make
	$(call install,.make/dagster,--editable . dagster,constraints.txt examples/dagster/constraints.txt)
	@touch $@

.make/dbt/.installed: examples/dbt/constraints.txt
	@mkdir -p .make
	$(call install,.make/dbt,dbt-core dbt-duckdb,$<)
	@touch $@
