# Every command a human types; `make` alone lists them.
# Nothing here changes anything outside the checkout, scratch folders, and cgroups made for one run.

PYTHON := .venv/bin/python
PROTOS := $(wildcard proto/nodeapi/v*/*.proto)
LOCKS := runtime regenerate dev bench nodejs
ARGS ?=

export PYTHONDONTWRITEBYTECODE := 1
export PYTHONPATH := $(CURDIR)/daemon:$(CURDIR)/proto:$(CURDIR)/nodes
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup check test demo sim soak bench-recovery bench-overhead bench-rollout bench-mesh proto format lock deb test-systemd tox clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 16

setup: ## make .venv and .tools; the other targets do it themselves
	@python="$$(sh packaging/setup/find-python)" && exec "$$python" packaging/setup

check: setup ## formatting, lint, types, import contracts, stubs, rules of the house
	$(PYTHON) -m ruff format --check --quiet .
	$(PYTHON) -m ruff check --quiet .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-cache
	$(PYTHON) -m pytest -q tests/test_stubs.py tests/test_house.py

test: export NODED_TEST_STARTED := $(shell date +%s)
test: setup ## everything: check, then unit, policy, simulation and end-to-end tests (ARGS="-k word")
	@$(MAKE) --no-print-directory check
	$(PYTHON) -m tests.halves $(ARGS)

demo: setup ## the whole story on this machine in three to four minutes; writes demo-report.json
	$(PYTHON) -m tests.e2e.demo $(ARGS)

sim: setup ## only the seeded simulation (ARGS passes options to pytest)
	$(PYTHON) -m pytest tests/sim $(ARGS)

soak: setup ## the long rounds that "make test" leaves out
	$(PYTHON) -m pytest -o faulthandler_timeout=2400 -m soak $(ARGS)

bench-recovery: setup ## kill to serving beside supervisord and runit, hang to serving (ARGS=--quick; 15 min)
	$(PYTHON) -m tests.bench.recovery $(ARGS)

bench-overhead: setup ## what noded costs with 50 and 500 idle nodes, and adoption of 200 (10 min, 12 GB)
	$(PYTHON) -m tests.bench.overhead $(ARGS)

bench-rollout: setup ## rollouts killed, broken and good, the proxy alone, thousands simulated (ARGS=--quick; 15 min)
	$(PYTHON) -m tests.bench.rollout $(ARGS)

bench-mesh: setup ## events beside JetStream and Redis Streams: rate, cost, delay, memory (ARGS=--quick; 12 min)
	$(PYTHON) -m tests.bench.mesh $(ARGS)

proto: setup ## make the Python stubs anew from the .proto files
	$(PYTHON) -m grpc_tools.protoc -I proto --python_out=proto --pyi_out=proto --grpc_python_out=proto $(PROTOS)

format: setup ## format the code and repair what Ruff can
	$(PYTHON) -m ruff check --quiet --fix-only .
	$(PYTHON) -m ruff format --quiet .

lock: setup ## resolve requirements/*.in to hashed lock files (ARGS="-U" for newer versions)
	for name in $(LOCKS); do \
	    $(PYTHON) -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-emit-options \
	        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(ARGS) \
	        --output-file requirements/$$name.txt requirements/$$name.in || exit 1; \
	done

deb: setup ## build the packages for Debian 12 into dist/ (ARGS="--version 0.1.1~rc1" for another version)
	@$(PYTHON) packaging/deb/build.py $(ARGS)

test-systemd: setup ## boot hosts with systemd and test units and packages there; root, 8 to 15 minutes
	$(PYTHON) -m pytest -o faulthandler_timeout=1800 -m systemd tests/systemd $(ARGS)

tox: setup ## unit tests under every Python there is
	$(PYTHON) -m tox $(ARGS)

clean: ## remove what the targets made
	rm -rf .venv .tools .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .setup.lock build dist
	find daemon proto nodes tests packaging -name __pycache__ -prune -exec rm -rf {} +
