# Everything a contributor types. `make` alone prints this list.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .venv-demo
SPARK := .venv-spark
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check
SOURCES := core operator extractor_image tests docs
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	--no-emit-package dpp-core
PYTEST_ARGS ?=
WORKERS ?= 2

.PHONY: help setup bench-run bench-memory bench-log check format format-check lint types contracts unit generated test model faults faults-late test-spark \
	servers cluster-parts cluster-up cluster-shell cluster-down images e2e e2e-long charts crds docs-reference demo dev-up dev-down lock clean

help: ## Print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.dev ## Make .venv with everything a developer needs (hash-pinned)

$(VENV)/.dev: requirements/dev.txt core/pyproject.toml operator/pyproject.toml extractor_image/pyproject.toml
	@echo "setting up $(VENV) with about 130 hash-pinned packages (~1.6 GB on disk, one to two minutes) ..."
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e core -e operator -e extractor_image
	@touch $@

check: setup format-check lint types contracts unit generated ## Format, lint, types, contracts, unit tests, generated files (about two minutes)

format: setup ## Rewrite the sources in the one format
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix --quiet $(SOURCES) || true

format-check: setup
	@$(BIN)/ruff format --check --quiet $(SOURCES) || (echo "run 'make format'"; exit 1)

lint: setup ## Run the linter
	@$(BIN)/ruff check --quiet $(SOURCES)

types: setup ## Check types (strict)
	@$(BIN)/mypy core/dpp_core operator/dpp_operator extractor_image/dpp_extractor tests/support

contracts: setup ## Check which module may import which
	@$(BIN)/lint-imports

unit: setup ## Run the unit tests and the laws of the repository
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal tests/unit tests/docs -q -m "not slow" $(PYTEST_ARGS)

test: setup servers cluster-parts ## Set up everything that is missing and run every test, those on a real cluster last
	@ended=0; $(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not spark and not cluster" $(PYTEST_ARGS) || ended=$$?; \
		$(PY) -m pytest tests/cluster -m "not kind" $(PYTEST_ARGS) || ended=$$?; exit $$ended

model: setup ## Go through every bounded world of the commit protocol, its mutants and 10,000 stories (half an hour); SEED=n tells one
ifdef SEED
	@PYTHONPATH=tests/support $(PY) -m simulation.story $(SEED)
else
	@PYTHONPATH=tests/support $(PY) -m commit_model.report --full
	@PYTHONPATH=tests/support $(PY) -m simulation.many
endif

faults: setup servers ## Kill runs, lose answers, pause attempts, let others write; print one table (an hour); STEP=, SEED= try one case
	@$(PY) tests/support/faults.py $(if $(STEP),--step "$(STEP)") $(if $(SEED),--seed "$(SEED)")

faults-late: setup servers ## Commit late in every way while windows of a million rows are read; print one table (a quarter of an hour)
	@PYTHONPATH=tests/support $(PY) tests/support/late_commits.py $(if $(ROWS),--rows $(ROWS))

test-spark: setup $(SPARK)/.ready ## Let Spark read the tables, and write to them between runs (needs Java 17; brings 500 MB)
	@$(PY) -m pytest tests/spark -m spark -s --timeout 900 $(PYTEST_ARGS)

$(SPARK)/.ready: requirements/spark.txt
	@echo "setting up $(SPARK) with Spark and Delta (once, about a minute) ..."
	@test -x $(SPARK)/bin/python || $(PYTHON) -m venv $(SPARK)
	@$(SPARK)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements/spark.txt
	@touch $@

bench-run: setup servers ## Read a million rows from PostgreSQL; print speed and memory as one table
	@$(PY) tests/support/bench.py $(ROWS)

bench-memory: setup servers ## Read ten million rows from PostgreSQL, three million from MariaDB; print peak memory (SHARE=10 for a tenth)
	@$(PY) tests/support/bench_memory.py $(SHARE)

bench-log: setup servers ## Count and time what a commit costs at 10 and at 10,000 commits; print one table
	@$(PY) tests/support/log_bench.py

servers: setup ## Install and build the real servers that the tests talk to
	@$(PY) tests/support/build.py

dev-up: setup servers ## Start PostgreSQL, S3, FerretDB and a Vault API server on fixed ports
	@$(PY) tests/support/dev.py up

dev-down: ## Stop what dev-up started
	@$(PY) tests/support/dev.py down

cluster-parts: setup ## Install and build what the real cluster consists of (cold about 15 minutes; needs root for the node)
	@$(PY) tests/support/cluster/setup.py

cluster-up: setup cluster-parts ## Start a real Kubernetes with one node in the background (needs root)
	@$(PY) tests/support/cluster/dev.py up

cluster-shell: ## Open a shell with kubectl and helm leading to it
	@$(PY) tests/support/cluster/dev.py shell

cluster-down: ## Stop what cluster-up started
	@$(PY) tests/support/cluster/dev.py down

images: setup ## Build the two images with buildah (needs root); elsewhere use docker build
	@$(PY) tests/support/cluster/images.py

e2e: setup servers cluster-parts ## Run the tests on a real cluster alone
	@$(PY) -m pytest tests/cluster -m "not kind" $(PYTEST_ARGS)

e2e-long: setup servers cluster-parts ## Tell its failures with the deadlines, back-off and tries of a real installation (an hour)
	@DPP_E2E_LONG=1 $(PY) -m pytest tests/cluster/test_failures_node.py tests/cluster/test_failures_life_cycle.py \
		-m "not kind" $(PYTEST_ARGS)

charts: setup ## Generate the schemas of the charts' values
	@$(PY) tests/support/chart_schema.py

crds: setup ## Generate the CRDs from the models
	@$(PY) -m dpp_core.crd crds

docs-reference: setup ## Generate the reference pages from the code
	@$(PY) docs/reference/generate.py
	@$(PY) docs/reference/failures.py
	@$(PY) docs/reference/values.py

generated: setup ## Check that generated files are current
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; $(PY) -m dpp_core.crd "$$fresh"; \
		diff -r "$$fresh" crds || { echo "stale: run 'make crds' and commit"; exit 1; }

demo: $(DEMO)/.ready ## Show it: a sample ERP becomes Delta tables in ./out, twice (needs Python only)
	@$(DEMO)/bin/python docs/examples/wholesaler/demo.py

$(DEMO)/.ready: requirements/extractor.txt requirements/build.txt core/pyproject.toml extractor_image/pyproject.toml
	@echo "setting up $(DEMO) with the extractor's hash-pinned packages (once, about a minute) ..."
	@test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	@$(DEMO)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes \
		-r requirements/extractor.txt -r requirements/build.txt
	@$(DEMO)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation \
		-e core -e extractor_image
	@touch $@

lock: setup ## Write the hash-pinned lock files anew
	@$(BIN)/$(LOCK) -o requirements/dev.txt core/pyproject.toml operator/pyproject.toml \
		extractor_image/pyproject.toml --extra maintain requirements/dev.in requirements/build.in
	@$(BIN)/$(LOCK) -c requirements/dev.txt -o requirements/operator.txt core/pyproject.toml operator/pyproject.toml
	@$(BIN)/$(LOCK) -c requirements/dev.txt -o requirements/extractor.txt core/pyproject.toml \
		extractor_image/pyproject.toml --extra maintain
	@$(BIN)/$(LOCK) -c requirements/dev.txt -o requirements/build.txt requirements/build.in
	@$(BIN)/$(LOCK) -o requirements/go.txt requirements/go.in
	@$(BIN)/$(LOCK) -o requirements/spark.txt requirements/spark.in

clean: ## Remove what was made here, but not the servers' cache
	@rm -rf $(VENV) $(DEMO) $(SPARK) out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .dev
	@find core operator extractor_image tests -name __pycache__ -prune -exec rm -rf {} +
