# `make run` and `make test` set up all that they need; `make` alone lists the targets.

# Any Python from 3.11 on: make test PYTHON=/opt/python3.13/bin/python3
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# One environment, two depths: the light install runs searches and plots, the full one adds the
# learning libraries and the tools of the checks. A full install serves the light targets too.
LIGHT := $(VENV)/.installed-light
FULL := $(VENV)/.installed-full
INSTALL_INPUTS := pyproject.toml constraints.txt

# A tool that the tests run for real, in an environment of its own.
SCALESIM := $(VENV)/scalesim
TOOLS := $(SCALESIM)/.installed
WITH_TOOLS := ARCHGYM_SCALESIM_PYTHON=$(abspath $(SCALESIM)/bin/python)

DEMO := runs/demo
DEMO_RUN := $(BIN)/archgym run --env ArchGym/DRAMController-v0 --set workload=cloud \
	--budget 500 --seed 1 --out $(DEMO) --resume

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test lint check lottery bench coverage constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(FULL) ## install the package, every checking tool and the learning libraries into .venv

run: $(LIGHT) ## search the DRAM controller with two agents, show the best designs, plot the progress
	@# Each run prints its own table; the one of both follows.
	$(DEMO_RUN) --agent random_search > /dev/null
	$(DEMO_RUN) --agent genetic > /dev/null
	$(BIN)/archgym best $(DEMO)
	$(BIN)/archgym plot $(DEMO) --out $(DEMO)/best_so_far.png

test: $(FULL) $(TOOLS) ## run the tests and the examples in docstrings
	$(WITH_TOOLS) $(BIN)/python -m pytest -q -n auto --dist worksteal

lint: $(FULL) ## formatting, lint, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## everything that continuous integration runs

lottery: $(FULL) ## the hyperparameter lottery on two workloads, with a report (some minutes)
	$(BIN)/archgym experiment lottery

bench: $(FULL) ## measure the speed of simulators, environments, sweeps and proxies
	$(BIN)/python -m archgym_py.experiments.bench
	$(BIN)/python -m archgym_py.experiments.bench_sweep
	$(BIN)/python -m archgym_py.experiments.bench_proxy

coverage: $(FULL) $(TOOLS) ## run the tests and list the lines that they miss
	$(WITH_TOOLS) $(BIN)/python -m pytest -q -n auto --cov

constraints: ## pin anew, in constraints.txt, the newest releases that pyproject.toml admits
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/python -m pip install --quiet '.[all,dev]' "$$(grep '^torch==' constraints.txt)"
	{ grep '^#' constraints.txt; \
	  build/constraints/bin/python -m pip freeze --all --exclude pip --exclude archgym_py \
	    | sed 's/+cpu$$//' | tr 'A-Z_' 'a-z-' | LC_ALL=C sort; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove caches and builds, keep the environment and the logs
	rm -rf build dist *.egg-info .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'archgym_py needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(LIGHT): $(INSTALL_INPUTS) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e '.[report]'
	@touch $@

$(FULL): $(INSTALL_INPUTS) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $(LIGHT) $@

$(TOOLS): constraints-scalesim.txt | $(BIN)/python
	$(BIN)/python -m venv $(SCALESIM)
	$(SCALESIM)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r $<
	@touch $@
