# `make demo` and `make test` do all their own set-up: they need Python 3.11 and nothing else.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# A team of spinning OpenMP threads beside another busy process runs ten times slower without this.
export GOMP_SPINCOUNT := 2000
# Real data files that lie beside the checkout are used instead of being fetched.
export STEINMIX_DATA ?= $(wildcard $(CURDIR)/../shared/data)

.PHONY: demo test lint types bench docs clean
.DEFAULT_GOAL := demo

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/steinmix demo --output demo

lint: $(VENV)/installed
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/lint-imports

types: $(VENV)/installed
	$(BIN)/pyright

test: $(VENV)/installed lint types
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

clean:
	rm -rf $(VENV) demo docs/_build
