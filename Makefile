# Everything happens in .venv, from the pins of constraints.txt. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
TESTS ?= tests
# A file stays on one worker: its Prefect server is started once.
# CI's machines are shared: a test that fails there is run once more, and both are in the report.
# Tests wait more than they work: more workers than two cores.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest --durations=25 -n $(WORKERS) --dist loadfile $(if $(CI),--reruns 1 -r R)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install run demo test test-slow axe soak lint format bench docs

help:
	@echo "make demo        set up, start everything on loopback and run three jobs   (KEEP=1: leave it running)"
	@echo "make run         set up and start the daemon with your configuration, or with the embedded default"
	@echo "make test        set up and run the tests       make test-slow   the ones that need real machines or a browser"
	@echo "make bench       speed beside what people would use instead; writes docs/performance.md  (NAMES='latency …': some)"
	@echo "make docs        these pages as a site, in build/docs"
	@echo "make lint        ruff and mypy                  make install     only set up"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "The module venv is missing: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	@if pkg-config --exists libvirt 2>/dev/null && command -v cc >/dev/null \
	  && $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[libvirt]'; \
	then echo "Installed, with the extra libvirt."; \
	else echo "Installed. Left out: the extra libvirt (wants a C compiler, pkg-config, libvirt-dev and python3-dev); all else works without."; fi
	@touch $@

run: install
	@$(BIN)/batchd

demo: install
	@$(BIN)/python -m demo.run $(if $(KEEP),--keep)

test: install
	$(PYTEST) -m "not slow" $(TESTS)

# The rules of accessibility that the pages are judged by; for the tests alone.
axe: .npm/node_modules/axe-core/axe.min.js

.npm/node_modules/axe-core/axe.min.js:
	@if command -v npm >/dev/null; then npm install --silent --no-save --prefix .npm axe-core@4.11.0; \
	else echo "npm is missing: the tests of accessibility are left out."; fi

test-slow: install axe
	$(PYTEST) -m slow --timeout 900 $(TESTS)

# Ten minutes, or SECONDS=120; SEED=… repeats a run; SSH=1: half of the jobs on a host behind SSH.
soak: install
	@$(BIN)/python -m tests.reliability.soak $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(SSH),--ssh)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m bench.run $(if $(QUICK),--quick) $(NAMES)

# -W: a link that leads nowhere is an error.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "The site begins at build/docs/index.html"
