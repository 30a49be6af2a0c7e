# Three commands for a newcomer: `make demo`, `make llama` and `make test`. Each sets up what it needs in .venv.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
INSTALL := install -q --no-compile # of all that is installed, few modules are ever imported
PIP := $(BIN)/pip $(INSTALL)
LOCKED := $(PIP) --require-hashes --only-binary :all:
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo llama test types test-lowest test-newest lock audit clean

demo: .venv/installed
	$(BIN)/leangen build spec/examples/demo.yaml
	$(BIN)/leangen run spec/examples/demo.yaml
	$(BIN)/python docs/ask.py generated/demo

# A Llama that somebody else trained; a line is a message to it, and Ctrl-D ends the chat.
llama: .venv/installed
	$(BIN)/python docs/smollm2.py build/smollm2
	$(BIN)/leangen build spec/examples/smollm2.yaml
	$(BIN)/leangen run spec/examples/smollm2.yaml
	$(BIN)/python generated/smollm2/chat.py

test: .venv/installed
	$(MAKE) -j2 types test-lowest # which mostly wait for one core each
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile

types: .venv/installed
	mkdir -p .mypy_cache/source && ln -sfn ../.. .mypy_cache/source/leangen
	$(BIN)/mypy

# torch's index is asked for torch alone, and an index that cannot be reached costs seconds.
.venv/installed: requirements.lock templates/requirements.lock templates/torch-cpu.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leangen needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(LOCKED) --no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX) -r templates/torch-cpu.lock \
	  || { echo "no torch without CUDA to be had: installing PyPI's, which is large"; $(LOCKED) -r templates/requirements.lock; }
	$(LOCKED) -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

# Both ends of what leangen itself may be installed with, where the packages of the scripts are not.
LEAN_TESTS := tests/spec tests/generator/test_build.py tests/test_cli.py tests/test_plan_command.py

test-lowest: .venv/lowest/installed
	.venv/lowest/bin/pytest -q -n 2 $(LEAN_TESTS)

.venv/lowest/installed: lowest.lock pyproject.toml
	$(PYTHON) -m venv .venv/lowest
	.venv/lowest/bin/pip $(INSTALL) --require-hashes --only-binary :all: -r lowest.lock
	.venv/lowest/bin/pip $(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

test-newest:
	rm -rf .venv/newest && $(PYTHON) -m venv .venv/newest
	.venv/newest/bin/pip install -q -e . hypothesis pytest pytest-xdist ruff
	.venv/newest/bin/pytest -q -n 2 $(LEAN_TESTS)

# The newest versions that pyproject.toml and templates/requirements.txt allow, for every platform and Python, with
# their hashes. torch's CPU wheels are looked up where its pin has moved.
COMPILE = .venv/lock/bin/uv pip compile -q --universal --python-version 3.11 --upgrade --generate-hashes --only-binary :all: \
  --custom-compile-command "make lock"
TORCH = $(shell grep ^torch== templates/requirements.txt)

lock:
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install -q 'uv>=0.13,<0.14'
	$(COMPILE) templates/requirements.txt -o templates/requirements.lock
	$(COMPILE) pyproject.toml --extra test templates/requirements.txt -c templates/requirements.lock \
	  $$(grep -oE '^(torch|cuda|nvidia|triton)[a-z0-9-]*' templates/requirements.lock | sed 's/^/--no-emit-package /') \
	  -o requirements.lock
	grep -oE '^(hypothesis|pytest|pytest-xdist|ruff|setuptools)==[^ ]+' requirements.lock \
	  | $(COMPILE) --resolution lowest-direct pyproject.toml - -o lowest.lock
	grep -q '^$(TORCH)+cpu ' templates/torch-cpu.lock || echo '$(TORCH)' \
	  | $(COMPILE) --no-deps --index-url $(TORCH_INDEX) - -o templates/torch-cpu.lock

# --strict: a package that the service does not answer for is no package without vulnerabilities.
audit:
	$(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install -q 'pip-audit>=2.10,<3'
	.venv/audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements.lock -r templates/requirements.lock

clean:
	rm -rf .venv build/smollm2 generated/*/artifacts
