"""Tests run in float64, with every implicit promotion of dtypes and ranks an error."""

import gc
import os
import sys

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "1")  # whatever the machine; a test of devices asks for its own
# Python looks for text files that do not name their encoding only if it is told before it starts: in the
# processes that share the tests, as in `pytest -n 2`, and in those that tests start.
os.environ["PYTHONWARNDEFAULTENCODING"] = "1"
os.environ["PYTHONWARNINGS"] = "ignore::EncodingWarning:lazy_loader"  # which reads ASCII
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # what is tested is traced and compiled anew

os.environ.pop("COLUMNS", None)  # pytest-xdist tells its workers of 80, at which tables are turned

import jax
import pytest

from fpo_jax.experiments.core import devices

# Tracing makes many objects that live on; looking through them all again takes a tenth of the time.
gc.freeze()
gc.set_threshold(100_000, 20, 100)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """Let quick tests compile in less time: it is most of what they take."""
    if config.option.markexpr == "not slow" and "XLA_FLAGS" not in os.environ:
        devices.suit_short_runs()
        devices.tell_xla({"xla_backend_optimization_level": "0"})


@pytest.fixture
def key():
    return jax.random.key(7)


@pytest.fixture
def forgetful(monkeypatch):
    """Forget, after a test, the environments that it loaded from files, and the folders of these."""
    from fpo_jax.envs import ENVIRONMENTS
    from fpo_jax.experiments.core import env_files

    monkeypatch.setattr(sys, "path", [*sys.path])
    known, given = dict(ENVIRONMENTS), dict(env_files._given)
    yield
    for now, before in ((ENVIRONMENTS, known), (env_files._given, given)):
        now.clear()
        now.update(before)


@pytest.fixture(scope="session")
def contextual_state():
    """A small game of pairs, θ away from its start, and a reward model that is no best response."""
    from fpo_jax import Gradient
    from tests.helpers import CONTEXTUAL, away_from_the_start

    key = jax.random.key(3)
    game = jax.jit(CONTEXTUAL.draw)(key)
    return game, *away_from_the_start(game, Gradient(), key)
