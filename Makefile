# Every command a human types. `make` alone lists them.
# Nothing here changes anything outside the checkout, scratch folders and cgroups made for a test.

PYTHON := .venv/bin/python
ENVIRONMENT := PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$(CURDIR)/daemon:$(CURDIR)/proto:$(CURDIR)/nodes" PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH"
RUN := $(ENVIRONMENT) $(PYTHON)

.DEFAULT_GOAL := help
.PHONY: help setup check test demo sim soak proto lock format clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

setup: ## make .venv and .tools (all other targets do it themselves)
	@python="$$(sh packaging/setup/find-python)" && exec "$$python" -B packaging/setup
