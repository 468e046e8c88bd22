# What a checkout can do; `make` alone lists it. Needs Python 3.11 or newer; name yours: make test PYTHON=python3.12
# Anything pip should know besides goes in PIP_FLAGS.

PYTHON ?= python3
PIP_FLAGS ?=
EXPERIMENT ?= tables
DATA ?= .
N ?= 200
SEED ?= 0
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-cpu.txt $(PIP_FLAGS)
PINS := pyproject.toml constraints-cpu.txt
COMPAT := .venv-compat
COMPAT_PINS := pyproject.toml constraints-compat.txt
export NO_MKDOCS_2_WARNING := 1

.PHONY: help demo test test-compat check format docs results bench fuzz chromium

help:
	@echo "make demo      install what is needed and compress two small networks (secateur-demo/)"
	@echo "make test      install what tests need and run all checks"
	@echo "make test-compat  the architectures of torchvision, timm and transformers, in an environment of their own (over an hour)"
	@echo "make check     all checks, in the environment that make test made"
	@echo "make format    put the code in order"
	@echo "make docs      the documentation as pages in site/"
	@echo "make fuzz      random networks and random cuts: make fuzz N=2000 SEED=0 JOBS=2"
	@echo "make results   docs/results.md from the committed results of benchmarks/"
	@echo "make bench     run an experiment of benchmarks/: make bench EXPERIMENT=tables DATA=folder/with/its/files"

demo: $(VENV)/installed-demo
	@$(BIN)/secateur demo

test: $(VENV)/installed-dev chromium
	@$(MAKE) --no-print-directory check

test-compat: $(COMPAT)/installed
	$(COMPAT)/bin/pytest tests/compat --quiet

check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest --numprocesses auto --quiet
	$(BIN)/mkdocs build --strict

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/installed-dev
	$(BIN)/mkdocs build --strict

results: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.page

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.run $(EXPERIMENT) --data $(DATA)

fuzz: $(VENV)/installed-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz --count $(N) --seed $(SEED) --jobs $(JOBS)

# The report's tests open it in a browser.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing chromium, to look at the report." && \
	  apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1; } || \
	echo "There is no chromium and it cannot be installed here: tests that open the report in a browser are skipped."

$(VENV)/installed-demo: $(PINS) | $(BIN)/python
	@echo "Installing secateur for the demonstration (a few minutes the first time)."
	@$(INSTALL) --editable ".[onnx]"
	@touch $@

$(VENV)/installed-dev: $(PINS) | $(BIN)/python
	@echo "Installing secateur and what its tests need (a few minutes the first time)."
	@$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/installed-demo

$(COMPAT)/installed: $(COMPAT_PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "secateur needs Python 3.11 or newer, this is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing secateur beside the full build of torch and the hubs of models (6 GB)."
	@$(PYTHON) -m venv $(COMPAT)
	@$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-compat.txt $(PIP_FLAGS) --editable ".[compat]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "secateur needs Python 3.11 or newer, this is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)
