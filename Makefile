# Works on a machine with nothing but Python 3.11 or later and make: everything goes into .venv, in this folder.
#     make PYTHON=/path/to/python3.12 demo      takes another Python

PYTHON ?= python3
BIN := .venv/bin

CUDA ?= cuda12

.PHONY: help demo test test-oracle test-gpu notebooks docs docs-test docs-linkcheck docs-lite lint clean bench bench-growth bench-check

help:
	@echo "make demo         train a language model on Pride and Prejudice and let it write (under 5 minutes)"
	@echo "make test         run the tests"
	@echo "make test-oracle  compare with PyTorch (installs it: a large download)"
	@echo "make notebooks    execute the notebooks in full, after a change of notebooks/source"
	@echo "make docs         build the site: docs/_build/html/index.html"
	@echo "make docs-test    build it, and open its pages in Chromium"
	@echo "make docs-lite    add JupyterLite to it: the notebooks in the browser"
	@echo "make test-gpu     run on a GPU what can (installs CuPy: a large download; make CUDA=cuda13 for CUDA 13)"
	@echo "make bench        measure everything beside PyTorch, JAX and others (installs them: a large download; 40 minutes)"
	@echo "make bench-growth measure how time and memory grow with each size (5 minutes)"
	@echo "make bench-check  before a release: is anything slower, beside PyTorch, than it was? (a minute)"
	@echo "make lint         check the style with ruff"
	@echo "make clean        remove .venv and everything built; trained models in runs/ stay"

demo: .venv/.installed
	$(BIN)/nnscratch train

test: .venv/.installed
	$(BIN)/python -m pytest

test-oracle: .venv/.installed-oracle
	NNSCRATCH_REQUIRE_ORACLE=1 $(BIN)/python -m pytest tests/oracle

notebooks: .venv/.installed-notebooks
	$(BIN)/python notebooks/build.py

docs: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -j auto -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

docs-test: docs
	NNSCRATCH_SITE=1 $(BIN)/python -m pytest tests/site

docs-lite: .venv/.installed-lite
	$(BIN)/python docs/lite/build.py

docs-linkcheck: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b linkcheck docs docs/_build/linkcheck

# -m gpu alone: the same tests on the stand-in for CuPy are part of make test.
test-gpu: .venv/.installed-$(CUDA) .venv/.installed-oracle
	NNSCRATCH_REQUIRE_GPU=1 $(BIN)/python -m pytest tests/gpu -m gpu -rs

bench: .venv/.installed-bench
	$(BIN)/python -m benchmarks --blas-kernel both

bench-growth: .venv/.installed-bench
	$(BIN)/python -m benchmarks.growth

bench-check: .venv/.installed-bench
	$(BIN)/python -m benchmarks.check

lint: .venv/.installed-lint
	$(BIN)/ruff check .

clean:
	rm -rf .venv build dist docs/_build docs/notebooks docs/reference/generated nnscratch.egg-info .pytest_cache .ruff_cache .hypothesis
	find nnscratch tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each of these files says that its extra is installed; a change of setup.cfg installs again.

.venv/.installed: setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
	    { echo "make: there is no '$(PYTHON)' here. Install Python 3.11 or later, or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "make: nnscratch needs Python 3.11 or later, and '$(PYTHON)' is" \
	      "$$($(PYTHON) --version 2>&1). Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "make: '$(PYTHON)' has no venv and ensurepip, which make .venv. On Debian and Ubuntu:" \
	      "apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -e '.[test]'
	@touch $@

.venv/.installed-%: .venv/.installed
	$(BIN)/python -m pip install -e '.[$*]'
	@touch $@
