# Every target does all set-up itself, in a virtual environment; a second call installs nothing. PYTHON names the interpreter to build it from (3.11 or newer).
# VENV is where it is built. What goes into it stands in locks/: the newest of JAX need Python 3.12.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKS := locks/$(shell $(or $(wildcard $(BIN)/python),$(PYTHON)) -c \
  'import sys; print("oldest" if sys.version_info < (3, 12) else "newest")' 2>/dev/null)
# Installs what a lock lists and nothing else: no file whose hash the lock lacks, and none that would have to be built.
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps
LOCKED = $(PIP) --require-hashes --only-binary :all: -r

.PHONY: install reproduce language test test-slow test-llm mutants bench notebooks docs prose lock clean

# What `fpo-jax` needs, and nothing else.
install: $(VENV)/runtime

reproduce: $(VENV)/runtime
	$(BIN)/fpo-jax reproduce --out results

# Fetches a small language model that speaks, and trains it for some minutes: results_language/ has prompts, winners, curves.
language: $(VENV)/language
	$(BIN)/fpo-jax fetch smollm2-135m
	$(BIN)/fpo-jax reproduce --only smollm2 --quick --out results_language

test: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2

test-slow: $(VENV)/dev
	$(BIN)/pytest -q -m slow

# Tests of the extra for language models, which installs some gigabytes.
test-llm: $(VENV)/llm
	$(BIN)/pytest -q -n 2 --dist loadscope tests/experiments/llm tests/experiments/judging/llm
	$(BIN)/pytest -q -m slow tests/experiments/judging/llm

# Plants faults, one at a time, and shows which of them no test sees.
MUTANTS ?= 20
SEED ?= 0
mutants: $(VENV)/dev
	$(BIN)/python -m tests.mutants --number $(MUTANTS) --seed $(SEED)

bench: $(VENV)/runtime
	$(BIN)/fpo-jax bench

# Runs the notebooks from first cell to last, and stores them with what they show.
notebooks: $(VENV)/notebooks
	$(BIN)/python notebooks/store.py

# Builds the documentation as a site, into site/; a link that leads nowhere, or a page outside the navigation, is an error.
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

# Counts the words of the sentences in all pages.
prose:
	@$(PYTHON) -m tests.prose

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/runtime: $(VENV)/created pyproject.toml $(LOCKS)/runtime.txt
	$(LOCKED) $(LOCKS)/runtime.txt
	$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/dev $(VENV)/notebooks $(VENV)/docs $(VENV)/cuda12 $(VENV)/cuda13: $(VENV)/%: $(LOCKS)/%.txt $(VENV)/runtime
	$(LOCKED) $<
	@touch $@

# The extra for language models, without what its tests need besides.
$(VENV)/language: $(LOCKS)/llm.txt $(VENV)/runtime
	$(LOCKED) $<
	@touch $@

# PyTorch for the CPU; only where pip finds none, what the index has, which on Linux brings CUDA along. `pip` says
# `ResolutionImpossible` of what it does not find where it is told of constraints. All else, such as a wrong hash, is the end.
$(VENV)/llm: $(LOCKS)/llm.txt $(LOCKS)/torch.txt $(LOCKS)/torch-cpu.txt $(VENV)/dev
	$(LOCKED) $<
	$(LOCKED) $(LOCKS)/torch-cpu.txt 2>$@.said || \
	  if grep -qE 'No matching distribution|ResolutionImpossible' $@.said; then $(LOCKED) $(LOCKS)/torch.txt; \
	  else cat $@.said >&2; exit 1; fi
	@touch $@

# Writes the locks anew. Versions stay where they can; UPGRADE="--upgrade-package jinja2" moves one, UPGRADE=--upgrade all.
lock: $(VENV)/uv
	locks/write $(BIN)/uv $(UPGRADE)

$(VENV)/uv: locks/uv.txt $(VENV)/created
	$(LOCKED) $<
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache results results_language site

# Tests on an NVIDIA GPU, in an environment of their own. DEVICE=cpu rehearses them where there is none.
# GPU_PYTHON names a Python that has a CUDA build of JAX and all else already: then nothing is installed.
# `XLA_FLAGS` is set, if to nothing, so that tests leave the compiler as it is for users.
.PHONY: gpu on-device

DEVICE ?= gpu
CUDA ?= cuda12
REHEARSED := $(filter cpu,$(DEVICE))
ON_DEVICE = TEST_DEVICE=$(DEVICE) JAX_PLATFORMS=$(REHEARSED) XLA_FLAGS="$$XLA_FLAGS" \
  XLA_PYTHON_CLIENT_PREALLOCATE=false CUDA_VISIBLE_DEVICES=$${CUDA_VISIBLE_DEVICES-0} $(or $(GPU_PYTHON),$(BIN)/python)

gpu:
	@[ "$(DEVICE)$(GPU_PYTHON)" != gpu ] || [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || { \
	  echo "make gpu: there is no NVIDIA GPU here: DEVICE=cpu rehearses the tests" >&2; exit 2; }
	@$(MAKE) --no-print-directory $(if $(REHEARSED),,VENV=.venv/cuda) on-device

on-device: $(if $(GPU_PYTHON),,$(VENV)/dev $(if $(REHEARSED),,$(VENV)/$(CUDA)))
	@$(ON_DEVICE) -c 'import jax; found = jax.default_backend(); found == "$(DEVICE)" or \
	  exit(f"make gpu: JAX {jax.__version__} finds no GPU here, only a {found}: DEVICE=cpu rehearses the tests")'
	$(ON_DEVICE) -m pytest -q -n 4 -p no:benchmark $(patsubst %,tests/%.py,test_gpu test_steering test_oracle \
  objectives/test_exact objectives/test_penalties objectives/test_effective_reward \
  followers/test_gradient followers/test_best_response engine/test_sweep)
