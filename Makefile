# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs in .venv.

PYTHON ?= python3
BIN := .venv/bin
# An index that cannot be reached should cost seconds, not minutes.
export PIP_RETRIES ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test clean

demo: .venv/demo.installed
	$(BIN)/leangen build spec/examples/demo.yaml
	$(BIN)/leangen run spec/examples/demo.yaml
	$(BIN)/python docs/ask.py generated/demo

test: .venv/test.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/pytest -q

clean:
	rm -rf .venv generated/*/artifacts

.venv/demo.installed: .venv/leangen.installed generated/demo/leangen.lock
	$(BIN)/pip install -q $(patsubst %,-r %,$(wildcard generated/demo/requirements-*.txt)) openai
	touch $@

.venv/test.installed: .venv/leangen.installed generated/demo/leangen.lock
	$(BIN)/pip install -q -r generated/demo/requirements-train.txt
	$(BIN)/pip install -q -e '.[test]'
	touch $@

.venv/leangen.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leangen needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e .
	touch $@
