# Everything a person or a CI job calls. Each target is at most a few lines; the work is done by the tools they name.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test acceptance lab lab-down lab-faults test-lab lint check docs lock clean

VENV := .venv
BIN := $(VENV)/bin
INVENTORY := inventory/local
STYLE := test
MEASURED := inventory/local/host_vars/localhost/measured_targets.yml
PLAY := $(BIN)/ansible-playbook run-inference.yml -i $(INVENTORY)

# Ansible refuses to start in a locale without UTF-8, which is what a minimal machine has.
export LC_ALL := C.UTF-8
# A caller's own configuration must not replace the one of the checkout.
unexport ANSIBLE_CONFIG
UV := uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" pyproject.toml requirements/build.in --extra harness

help: ## Show this help
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Run MLPerf Inference on this machine, to a checked submission tree; STYLE=test (default), fast or valid
	@case "$(STYLE)" in test|fast|valid) ;; *) echo "STYLE=$(STYLE): expected test, fast or valid" >&2; exit 2;; esac
	@tools/bootstrap run
	@if [ "$(STYLE)" = valid ] && [ ! -e $(MEASURED) ]; then \
	  echo "mlperf-ops: no measured targets of this machine yet, so a short run comes first" >&2; \
	  $(PLAY) -e mlperf_run_style=test --tags validate,provision,run,collect && $(BIN)/mlperf-ops targets -i $(INVENTORY) --write; fi
	@$(PLAY) -e mlperf_run_style=$(STYLE)

# Files in the order of testpaths, and not by their number of tests: those with few tests are the long ones.
test: ## Run all tests that need no hosts of their own
	@tools/bootstrap dev
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

acceptance: ## Run a full closed v6.1 submission of a stand-in to the checked tree (about 12 minutes)
	@tools/bootstrap dev
	@MLPERF_OPS_ACCEPTANCE=$${MLPERF_OPS_ACCEPTANCE:-1} $(BIN)/pytest -q -s tests/acceptance

lab: ## Bring up the four hosts of inventory/lab on this machine (Linux, root)
	@tools/bootstrap dev
	@$(BIN)/python -m tests.lab up --install --uplink --names sut1,sut2,sut3,services1 \
	  --hardware sut1=acpi-cpufreq --hardware sut2=acpi-cpufreq --hardware sut3=intel-pstate

lab-down: ## Take them down again
	@$(BIN)/python -m tests.lab down --id lab

lab-faults: ## Run all tests of faults that campaigns and power measurements survive (Linux, root; 20 minutes)
	@tools/bootstrap dev
	@$(BIN)/python -m tests.lab install
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/hosts/test_measured_cells.py tests/faults

test-lab: ## Run the tests that need hosts of their own (Linux, root)
	@tools/bootstrap dev
	@$(BIN)/python -m tests.lab install
	@$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not slow" tests/faults tests/hosts

lint: ## Run all linters and type checkers
	@tools/bootstrap dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=collections $(BIN)/mypy --explicit-package-bases --namespace-packages plugins
	$(BIN)/yamllint --strict .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/ansible-lint
	$(BIN)/codespell
	for script in tools/bootstrap tests/lab/*.sh; do sh -n $$script || exit 1; done; bash -n .ci/run

check: lint test ## Run linters, and tests that need no hosts

docs: ## Regenerate what is generated: role tables, command line, rules, schemas
	@tools/bootstrap dev
	@$(BIN)/python tools/role_docs.py
	@$(BIN)/python tools/cli_docs.py
	@$(BIN)/python -m mlperf_ops.checker.reference docs/reference
	@$(BIN)/python -m mlperf_ops.schemas docs/reference/schemas

lock: ## Renew the locked requirements (needs uv)
	$(LOCK) -o requirements/run.txt
	$(LOCK) --extra metrics --group dev -c requirements/run.txt -o requirements/dev.txt

setup: ## Install the tools of test and lint into .venv
	@tools/bootstrap dev

clean: ## Remove environments, caches and prepared components; results and raw runs stay
	rm -rf $(VENV) build dist *.egg-info .ansible .pytest_cache .mypy_cache .ruff_cache
	rm -rf .mlperf/store .mlperf/python .mlperf/harness .mlperf/state
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
