# The two main commands, and the steps they consist of. Running a target twice is harmless: finished
# work is recognized and skipped.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check format docs

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 16

setup:  ## virtual environment in .venv, Python packages from PyPI, Verilator, Yosys, g++, make, tcl, iverilog, Arm compilers
	@scripts/setup

demo: setup  ## train the quickstart network and export it for the PYNQ-Z2, every step verified
	@scripts/demo

test: setup  ## lint, types, import rules, then the fast tests, then the slow ones
	@scripts/test

check: setup  ## the part of `make test` that takes seconds: lint, types, import rules
	@scripts/check

docs: setup  ## the documentation as a site in build/site, without network to read it
	@scripts/docs

format: setup  ## rewrite the Python sources in the project's format
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .
