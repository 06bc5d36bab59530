"""Tests run in float64, with every implicit promotion of dtypes and ranks an error."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "1")  # whatever the machine; a test of devices asks for its own
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # what is tested is traced and compiled anew

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(7)
