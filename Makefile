# Both main targets do all set-up themselves, in a virtual environment of their own; a second call of
# either installs nothing. PYTHON names the interpreter to build it from (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin

# Compilation is most of the cost of short runs: they use the code generator that compiles faster and runs slower,
# one device, since a program for several takes longer to compile; and the quick tests do without LLVM's optimiser besides.
QUICK_COMPILE := --xla_cpu_use_fusion_emitters=false

.PHONY: reproduce test test-slow test-llm bench notebooks clean

reproduce: .venv/runtime
	JAX_NUM_CPU_DEVICES=1 XLA_FLAGS="$(QUICK_COMPILE)" $(BIN)/fpo-jax reproduce --out results

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	XLA_FLAGS="$(QUICK_COMPILE) --xla_backend_optimization_level=0" $(BIN)/pytest -q -n 2

test-slow: .venv/dev
	$(BIN)/pytest -q -m slow

# Tests of the extra for language models, which installs some gigabytes.
test-llm: .venv/llm
	XLA_FLAGS="$(QUICK_COMPILE) --xla_backend_optimization_level=0" $(BIN)/pytest -q -n 2 --dist loadscope tests/llm

bench: .venv/runtime
	$(BIN)/fpo-jax bench

# Runs the notebooks from first cell to last, and stores them with what they show.
notebooks: .venv/notebooks
	$(BIN)/python notebooks/store.py

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/runtime: .venv/created pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv/llm: .venv/dev
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,llm-test]'
	@touch $@

.venv/notebooks: .venv/runtime
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache results

# Tests on an NVIDIA GPU, in an environment of their own. DEVICE=cpu rehearses them where there is none.
# GPU_PYTHON names a Python that has a CUDA build of JAX and all else already: then nothing is installed.
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

on-device: $(if $(GPU_PYTHON),,$(VENV)/$(if $(REHEARSED),dev,gpu))
	@$(ON_DEVICE) -c 'import jax; found = jax.default_backend(); found == "$(DEVICE)" or \
	  exit(f"make gpu: JAX {jax.__version__} finds no GPU here, only a {found}: DEVICE=cpu rehearses the tests")'
	$(ON_DEVICE) -m pytest -q -n 4 $(patsubst %,tests/test_%.py,gpu steering oracle limit effective_reward sweep)

$(VENV)/gpu: $(VENV)/dev
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(PINS) 'jax[$(CUDA)]'
	@touch $@
