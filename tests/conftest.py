"""Tests run in float64, with every implicit promotion of dtypes and ranks an error."""

import os

# Compilation is most of a test's cost, and the optimiser most of compilation. The programs are the same, run
# slower; `make test-slow` and `make reproduce` run them optimised.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(7)
