# make demo   an environment of its own, the demo's grid on this machine, three tables
# make test   the same environment with the tests' needs, and the tests
# make check  lint, types, import levels
# make docs   the reference in docs/reference, from the program's own definitions
#
# Needs git, make and Python 3.10 or newer with its venv module; everything else comes from the
# package index that pip is set up for. PYTHON=… chooses the Python, VENV=… the environment's folder.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := $(if $(CONSTRAIN),--constraint $(CONSTRAIN))

.PHONY: demo test check docs compile-test slurm-test clean

demo: $(VENV)/.installed
	$(BIN)/raybench demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "not compiler" tests/unit tests/docs tests/current tests/ray

compile-test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m compiler tests/current

slurm-test: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q tests/slurm

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed
	$(BIN)/raybench schema --pages docs/reference

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "raybench needs Python 3.10 or newer: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "this Python lacks venv: install python3-venv, or make PYTHON=… with another one"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# uv installs in a third of the time; where it cannot be had, pip does the same.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (torch and Ray are large: half a minute to some minutes)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv || true
	@if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install -q --python $(BIN)/python -e . $(CONSTRAINTS); \
	 else $(BIN)/python -m pip install -q --disable-pip-version-check -e . $(CONSTRAINTS); fi
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	@if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install -q --python $(BIN)/python -e '.[dev,jobs]' $(CONSTRAINTS); \
	 else $(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,jobs]' $(CONSTRAINTS); fi
	@touch $@

clean:
	rm -rf $(VENV)
