"""The insides of JAX and XLA that the package leans on do what it expects of them.

Where a new release of JAX breaks something, the test that fails here names the part.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.engine import internals
from fpo_jax.engine.compilation import OLDER, Compiled


def test_a_traced_value_is_told_from_a_number():
    seen = []
    jax.jit(lambda x: seen.append(internals.is_tracer(x)))(1.0)
    assert seen == [True]
    assert not any(map(internals.is_tracer, (1.0, np.ones(2), jnp.ones(2))))


def test_settings_are_read_by_name():
    assert internals.setting("jax_enable_x64") is True
    assert internals.settings()["jax_enable_x64"] is True
    assert internals.setting("jax_disable_jit") is False
    for name in (
        "jax_enable_compilation_cache",
        "jax_compilation_cache_dir",
    ):  # the command line asks for them
        internals.setting(name)


def test_programs_are_counted():
    doubled = jax.jit(lambda x: 2 * x)
    assert internals.programs_of(doubled) == 0
    for argument in (1.0, 2.0, jnp.ones(3), 1.0):  # two shapes
        doubled(argument)
    assert internals.programs_of(doubled) == 2


def test_jax_says_how_long_it_compiles():
    heard = set()

    def listen(event, seconds, **_):
        heard.add(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    jax.jit(lambda x: 3 * x)(1.0)
    jax.monitoring.unregister_event_duration_listener(listen)
    assert set(internals.STAGES) <= heard


def test_an_option_that_xla_does_not_know_is_not_asked_for():
    assert internals.known_options({"xla_backend_optimization_level": 0, "xla_no_such_option": 1}) == {
        "xla_backend_optimization_level": 0
    }
    assert Compiled(lambda x: 2 * x, {"xla_no_such_option": 1})(3.0) == 6.0
    assert Compiled(lambda x: 2 * x, OLDER)(3.0) == 6.0  # known or not


def test_what_xla_has_against_flags_is_said():
    assert internals.refused_flags("--xla_backend_optimization_level=2") is None
    assert internals.refused_flags("--xla_no_such_flag=1 --xla_backend_optimization_level=2") == (
        "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1"
    )
    assert "abc" in internals.refused_flags("--xla_backend_optimization_level=abc")
    assert internals.knows_flag("xla_disable_hlo_passes")
    assert internals.knows_flag("xla_backend_optimization_level")
    assert not internals.knows_flag("xla_no_such_flag")
