# make demo: install and run the main job on drawn documents.   make test: install and run the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: demo test check proof clean

demo: $(VENV)/.installed
	@bash examples/demo.sh $(CURDIR)/$(BIN)/python demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto

proof: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m proof

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first, at the tested version: an open range would fetch gigabytes of CUDA packages
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo
