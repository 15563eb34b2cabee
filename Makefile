# Every target sets up what it needs on a fresh machine. A second call finds it done.
# Settings come from the environment: AGENTSITE_PORT=9001 AGENTSITE_DATA_DIR=/tmp/x make run
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test quick long nightly faults bench-containers bench-gateway bench-page bench-age check structure images lock clean

# If it is set, every process compiles all modules that it imports: a third of the time that collecting the tests takes.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
SOURCE := pyproject.toml scripts/venv requirements-installer.txt
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

run: $(RUNTIME) ## Run the whole site here: web, worker, beat, and a Redis if REDIS_URL is not set (Ctrl-C stops it)
	@scripts/venv redis
	@exec $(VENV)/bin/agentsite up

test: $(DEV) ## Run the tests, on their own Redis and PostgreSQL (AGENTSITE_TEST_ARGS="-k cursor" goes to pytest)
	@scripts/test

quick: $(DEV) ## Run the tests without those that take more than ten seconds each
	@AGENTSITE_TEST_QUICK=1 scripts/test

long: $(DEV) ## Run the tests marked `long`, which `make test` leaves out
	@AGENTSITE_TEST_LONG=only scripts/test

nightly: $(DEV) ## Run all tests with all repetitions and random examples (see tests/nightly.py), then the faults
	@AGENTSITE_TEST_NIGHTLY=1 AGENTSITE_TEST_LONG=too scripts/test
	@scripts/faults

faults: $(DEV) ## Break real servers and processes under load, and print what was lost (ARGS="--row redis-kill --repeat 5")
	@scripts/faults $(ARGS)

bench-containers: $(DEV) ## Measure what a run costs on top of its container, and a hundred at once (ARGS="--part crowd")
	@scripts/venv redis
	@scripts/venv postgres
	@$(VENV)/bin/python -m containers.images build
	@exec $(VENV)/bin/python -m benchmarks.containers $(ARGS)

bench-gateway: $(DEV) ## Measure what the gateway adds to a model call, with one stream and with fifty (ARGS="--rounds 5")
	@scripts/venv redis
	@scripts/venv postgres
	@$(VENV)/bin/python -m containers.images build
	@exec $(VENV)/bin/python -m benchmarks.gateway $(ARGS)

bench-page: $(DEV) ## Measure how soon the agent page shows an event, after 10 events and after 5,000 (ARGS="--rounds 3")
	@exec $(VENV)/bin/python -m benchmarks.page $(ARGS)

bench-age: $(DEV) ## Measure what an agent with a million events costs: state, join, memory, disk, page (ARGS="--part join")
	@scripts/venv redis
	@scripts/venv postgres
	@exec $(VENV)/bin/python -m benchmarks.age $(ARGS)

check: $(DEV) ## Check format, lint, types, import rules, missing migrations, deployment settings
	@scripts/check

structure: $(DEV) ## Show modules and lines per package, import cycles, and violations of the layers
	@$(VENV)/bin/python scripts/structure

images: $(RUNTIME) ## Build the images of the bundled agents
	@exec $(VENV)/bin/python -m containers.images build

lock: $(DEV) ## Make the lock files anew from pyproject.toml (ARGS=--upgrade takes newer versions)
	@scripts/lock $(ARGS)

clean: ## Remove everything that was built; keeps the data directory
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache \
		build dist staticfiles test-artifacts *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.txt $(SOURCE)
	@scripts/venv runtime

$(DEV): requirements-dev.txt $(SOURCE)
	@scripts/venv dev
