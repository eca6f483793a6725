# Everything runs in .venv; `make demo` and `make test` set it up when it is not there.
# The first of these that is there and is Python 3.11 to 3.13; or name one: make PYTHON=...
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
  $$p -c '$(FITS)' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: install demo test test-slow test-long lint format bench chaos clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { \
	  echo "distrain needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12"; exit 2; }
	@test -x $(BIN)/python || { echo "creating .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "installing distrain and its locked dependencies into .venv (minutes, once)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python tests/resolved_versions.py
	@touch $@

demo: install
	@$(BIN)/distrain train examples/digits/digits.yaml

test: install
	@$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --one-ray \
	  -m "not slow and not gpu and not chaos and not realdata"

test-slow: install
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile \
	  -m "(slow or realdata) and not chaos and not gpu and not long"
	@$(BIN)/python -m pytest -q -m "chaos and not gpu and not long"

test-long: install
	@$(BIN)/python -m pytest -q -m "long and not gpu"

lint: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy distrain
	@$(BIN)/lint-imports --no-cache

format: install
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install
	@mkdir -p bench-results
	@$(BIN)/python -m tests.bench.steady --out bench-results/steady.json
	@$(BIN)/python -m tests.bench.own_dataset --out bench-results/own_dataset.json
	@$(BIN)/python -m tests.bench.prepare --json bench-results/prepare.json
	@$(BIN)/python -m tests.bench.checkpoints --out bench-results/checkpoints.json
	@$(BIN)/python -m tests.bench.record --out bench-results/record.json
	@$(BIN)/python -m tests.bench.writers --out bench-results/writers.json
	@$(BIN)/python -m tests.bench.children --out bench-results/children.json
	@$(BIN)/python -m tests.bench.report --out bench-results/report.json
	@$(BIN)/python -m tests.bench.ui_pages --out bench-results/ui_pages.json
	@$(BIN)/python -m tests.bench.search --out bench-results/search.json
	@$(BIN)/python -m tests.bench.search_at_store --out bench-results/search_at_store.json
	@$(BIN)/python -m tests.bench.early_termination --out bench-results/early_termination.json
	@$(BIN)/python -m tests.bench.submit --out bench-results/submit.json
	@$(BIN)/python -m tests.bench.memory

chaos: install
	@mkdir -p bench-results
	@$(BIN)/python -m tests.chaos.long_run --out bench-results/chaos.json
	@$(BIN)/python -m tests.chaos.search_kills --out bench-results/search_kills.json
	@DISTRAIN_TEST_OUTAGES=10 $(BIN)/python -m pytest -q tests/integration/test_outages.py

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
