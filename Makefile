# Every target sets up what it needs by itself, in environments inside this folder. Nothing else is touched.
# All paths are relative, so the folder may have any name, spaces included. Targets may be combined and run with -j.

PYTHON ?= python3
JOBS   ?= 3
DEV    := .venv/bin/python
DEMO   := .venv-demo/bin/python
PIP     = -m pip install --quiet --disable-pip-version-check
BENCHMARKS ?= overhead startup commands warm pool history writers kill million quality latency fidelity forecast pbt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check lint test test-fast test-extras bench docs stub clean

help: ## Show this list
	@printf 'Trialist: what make can do here\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@printf '\n  PYTHON=python3.12 picks the interpreter, JOBS=4 the number of test processes,\n  BENCHMARKS="pool kill" the benchmarks.\n'

demo: .venv-demo/.installed ## Tune a classifier of handwritten digits and look at the result (about a minute)
	@$(DEMO) examples/digits/demo.py

check: lint test-fast ## What to run before each commit

lint: .venv/.installed ## Style, types and layers
	@$(DEV) -m ruff check .
	@$(DEV) -m ruff format --check --quiet . || { $(DEV) -m ruff format --check .; exit 1; }
	@$(DEV) -m mypy
	@$(DEV) -c 'import sys; from importlinter.cli import lint_imports_command as run; sys.argv[0] = "lint-imports"; run()'

test: .venv/.installed ## All tests that need no optional library (at most ten minutes on two cores)
	@$(DEV) -m pytest -n $(JOBS) --dist worksteal -m 'not extras'

test-fast: .venv/.installed ## The tests that take less than a few seconds each
	@$(DEV) -m pytest -n $(JOBS) -m 'not extras and not slow'

test-extras: .venv/.installed-extras ## The tests that need optional libraries
	@if $(DEV) -m pytest -m extras --collect-only >/dev/null 2>&1; then $(DEV) -m pytest -n $(JOBS) --dist worksteal -m extras; \
	else echo 'test-extras: no test needs an optional library yet'; fi

# One that fails does not keep the others from running; the page is written from what there is.
bench: .venv/.installed-extras ## Benchmarks against peers, side by side (about an hour and a half; goes on where it was stopped); writes docs/benchmarks.md
	@failed=; for name in $(BENCHMARKS); do echo "== $$name"; $(DEV) benchmarks/$$name.py || failed="$$failed $$name"; done; \
	$(DEV) benchmarks/page.py; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

docs: .venv/.installed ## Check the prose: links, code blocks, command help, error tree
	@$(DEV) -m pytest tests/surface

stub: .venv/.installed ## Write the files made from others: __init__.pyi and docs/cli.md
	@$(DEV) tests/surface/test_exports.py
	@$(DEV) tests/surface/test_cli_help.py

clean: ## Remove environments and caches; results (runs/, stores) stay
	rm -rf .venv .venv-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- environments ----------------------------------------------------------------------------------------------------

# A link to the interpreter keeps the interpreter's own age, so the environment is rebuilt only where it is missing.
.venv/bin/python .venv-demo/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Trialist needs Python 3.11 or newer: make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo 'This Python cannot make environments; on Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@echo '-- making an environment in $(@D:/bin=)'
	@$(PYTHON) -m venv $(@D:/bin=)

.venv/.installed: pyproject.toml | .venv/bin/python
	@echo '-- installing Trialist and the development tools into .venv'
	@$(DEV) $(PIP) --editable '.[dev]'
	@touch $@

# Torch first and pinned: what is installed after it finds it there, and pulls in no CUDA build of it.
.venv/.installed-extras: pyproject.toml | .venv/.installed
	@echo '-- installing the optional libraries that have tests (torch, Ray, PostgreSQL, Optuna)'
	@$(DEV) $(PIP) torch==2.13.0
	@$(DEV) $(PIP) --editable '.[dev-extras]'
	@touch $@

.venv-demo/.installed: pyproject.toml | .venv-demo/bin/python
	@echo '-- installing Trialist and scikit-learn into .venv-demo'
	@$(DEMO) $(PIP) --editable '.[sklearn]'
	@touch $@
