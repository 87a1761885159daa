# Everything here needs only Python 3.11 or newer and make; each target does its own set-up.
# make PYTHON=/path/to/python3.12 ... chooses the interpreter, VENV=... where things are installed.
VENV ?= .venv
PYTHON ?=
OUT ?= spectral_metrics
ARGS ?=
LOCK_ARGS ?=

export PYTHON
setup = tools/venv.sh $(VENV)
lock = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-build \
	--generate-hashes --custom-compile-command "make lock" $(LOCK_ARGS)

.PHONY: help demo test lint types format lock clean

help:
	@echo "make demo    the main job on the embedded default; results in $(OUT)/"
	@echo "make test    the tests (ARGS='-k name' to choose)"
	@echo "make lint    ruff: rules and formatting; make format mends what it can"
	@echo "make types   mypy --strict"
	@echo "make lock    resolve requirements/*.txt anew (LOCK_ARGS=--upgrade for newer versions)"
	@echo "make clean   remove the environment, caches and build outputs"

demo:
	@$(setup) requirements/run.txt
	@$(VENV)/bin/spectra run --out $(OUT)

test:
	@$(setup) requirements/dev.txt
	$(VENV)/bin/python -m pytest $(ARGS)

lint:
	@$(setup) requirements/dev.txt
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format:
	@$(setup) requirements/dev.txt
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

types:
	@$(setup) requirements/dev.txt
	$(VENV)/bin/mypy

# The runtime lock is constrained by the development lock: one environment can hold both.
lock:
	@$(setup) requirements/dev.txt
	$(lock) pyproject.toml --extra dev --extra extract --extra gguf requirements/build.in -o requirements/dev.txt
	$(lock) pyproject.toml --extra extract --extra gguf requirements/build.in -c requirements/dev.txt -o requirements/run.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find spectra extract bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
