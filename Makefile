# Every target does its own set-up: a fresh machine needs Python 3.11 or newer, and make.
PYTHON ?= python3
PORT ?= 4600
CONSOLE_PORT ?=
STAGE ?= dev
SETTINGS ?=

export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
TOOLS := .venv/.ready node_modules/.ready
UV_VERSION = $(shell sed -n '/^name = "uv"$$/{n;s/version = "\(.*\)"/\1/p;}' uv.lock)

# Kinds of tests that take long have a target each.
SLOW_TESTS := attacks chaos e2e fidelity fuzz integration/local model operations permissions

BENCHMARKS := bench-bill bench-wake bench-init bench-handlers bench-fan-out bench-growth bench-storm bench-paper

.DEFAULT_GOAL := help
.PHONY: help setup docs screenshots demo bench $(BENCHMARKS) test test-client test-browser test-local test-e2e test-attacks test-permissions test-fidelity test-operations model chaos chaos-chats chaos-safeguards fuzz check-supply-chain check format synth deploy up down example-progress clean

help: ## Say what there is
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  %-16s %s\n' "$$name" "$$what"; done

setup: $(TOOLS) ## Install everything into .venv and node_modules

.venv/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit("Ringback needs Python 3.11 or newer; name one with make PYTHON=...") if sys.version_info < (3, 11) else None'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@test -x .venv/bin/uv || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "Installing the Python side"
	@.venv/bin/uv sync --quiet --frozen --compile-bytecode
	@touch $@

node_modules/.ready: package.json package-lock.json .venv/.ready
	@echo "Installing the CDK command and a parser"
	@npm ci --ignore-scripts --loglevel=error --no-audit --no-fund
	@touch $@

demo: $(TOOLS) ## Play the delivery scenes on the local stack, with real WebSocket clients
	@python -m local demo

test: $(TOOLS) ## Run all quick tests: unit, contract, statemachine, integration, infrastructure, the client in Node and Chromium
	@$(MAKE) --no-print-directory test-client
	@pytest -n 2 --dist loadgroup tests $(SLOW_TESTS:%=--ignore tests/%) --ignore-glob 'tests/browser/test_*'

test-client: $(TOOLS) ## Run the tests in Node: the browser client, what the console's page computes
	@node --test --test-reporter=dot 'clients/js/tests/*.test.js' 'tests/page/*.test.js'

test-browser: $(TOOLS) ## Run the tests in real Chromium: the client and the console on the deployed stack
	@pytest tests/browser --ignore tests/browser/quick

test-local: $(TOOLS) ## Run the tests of the local cloud: where MiniStack differs from AWS, and its corrections
	@pytest -n 2 --dist loadgroup tests/integration/local

test-e2e: $(TOOLS) ## Run the slow tests: the deployed stack on the local cloud, real sockets
	@pytest tests/e2e

test-attacks: $(TOOLS) ## Attack the authorizer and the routes of the deployed stack
	@pytest tests/attacks

test-permissions: $(TOOLS) ## Play the demo under IAM, then without each permission; look for secrets in all that was written
	@pytest tests/permissions

test-fidelity: $(TOOLS) ## Hold both interpreters and the local cloud to what AWS does
	@pytest tests/fidelity

test-operations: $(TOOLS) ## Try the runbook: each alarm's condition, an upgrade under load, a table's restoration
	@pytest tests/operations

model: $(TOOLS) ## Check the protocol's model with Spin: every interleaving, and bugs that it must find; LARGE=1: the large scenes
	@pytest tests/model -m '$(if $(LARGE),large,not large)'

chaos: $(TOOLS) ## Play MESSAGES messages (10,000) under every fault, chosen by SEED, perhaps WITHOUT a safeguard; close the ledger
	@python -m tests.chaos --seed $(or $(SEED),1) --messages $(or $(MESSAGES),10000) $(if $(WITHOUT),--without "$(WITHOUT)")

chaos-chats: $(TOOLS) ## Play CHATS chats (60) under every fault, chosen by SEED, perhaps WITHOUT a safeguard; close their ledger
	@python -m tests.chaos.chats --seed $(or $(SEED),1) --chats $(or $(CHATS),60) $(if $(WITHOUT),--without "$(WITHOUT)")

chaos-safeguards: $(TOOLS) ## Take each safeguard away and see the ledger not balance
	@python -m tests.chaos.safeguards

fuzz: $(TOOLS) ## Fuzz handlers, HTTP APIs and parsers for SECONDS (20) each
	@python -m tests.fuzz --seconds $(or $(SECONDS),20)

check-supply-chain: $(TOOLS) ## Check lock files, licences, secrets and known vulnerabilities; write build/sbom.json
	@python -m tests.supply_chain $(if $(AUDIT),--audit $(AUDIT))

check: $(TOOLS) ## Format, lint, types, import rules, state machine lint
	@ruff format --check
	@ruff check
	@mypy
	@lint-imports
	@tsc -p clients/js --noEmit && tsc -p clients/js/tests && tsc -p local/console/page && tsc -p examples/progress/page
	@pytest -q tests/contract/test_asl_contract.py

format: $(TOOLS) ## Mend format and imports
	@ruff format
	@ruff check --fix

docs: $(TOOLS) ## Write the generated documents anew: JSON Schemas, AsyncAPI, OpenAPI, the types of the client
	@python -m docs.generate
	@tsc -p clients/js --outDir build/client && cp build/client/ringback.d.ts clients/js

screenshots: $(TOOLS) ## Take the README's pictures of the console anew
	@python -m docs.screenshots

bench: $(TOOLS) ## Run all benchmarks (some minutes); write build/bench.json, and, unless CI is set, docs/performance.md
	@python -m benchmarks $(if $(CI),,--write-docs)

bench-bill: ## Count and price a million messages: Ringback, SNS with Lambda, a state machine that polls
bench-wake: ## Measure how long after the handshake the frame is there, against the same two
bench-init: ## Measure every function's cold start, against boto3 and one client
bench-handlers: ## Measure the hot functions' own time, beyond the calls that they make
bench-fan-out: ## Measure posts per second and core: boto3 in threads, and the fan-out's poster
bench-growth: ## Count DynamoDB units and requests as the tables grow
bench-storm: ## Let 2,000 users come back within a minute, under AWS's quotas
bench-paper: ## Reckon quotas, partitions and the bill of ten million connected users
$(BENCHMARKS): $(TOOLS)
	@python -m benchmarks $(@:bench-%=%)

synth: $(TOOLS) ## Synthesize the stacks of STAGE (with SETTINGS) under cdk-nag
	@cdk synth --quiet --no-notices -c stage=$(STAGE) $(if $(SETTINGS),-c settings='$(SETTINGS)')

deploy: $(TOOLS) ## Deploy STAGE (with SETTINGS) into the AWS account that the environment names
	@cdk deploy --all --no-notices -c stage=$(STAGE) $(if $(SETTINGS),-c settings='$(SETTINGS)')

up: $(TOOLS) ## Start the local stack on PORT and its console on CONSOLE_PORT, say how to use them, stay until Ctrl-C
	@python -m local up --port $(PORT) $(if $(CONSOLE_PORT),--console-port $(CONSOLE_PORT))

down: $(TOOLS) ## Stop a local stack that is left over
	@python -m local down

example-progress: PORT := $(if $(filter file,$(origin PORT)),,$(PORT))
example-progress: $(TOOLS) ## Serve the example of a progress bar beside `make up`, on PORT (4610), stay until Ctrl-C
	@python -m examples.progress.server $(if $(PORT),--port $(PORT))

clean: ## Remove what was built and installed
	@rm -rf build cdk.out .venv node_modules .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
