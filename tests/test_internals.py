"""The insides of JAX and XLA that the package leans on do what it expects of them.

Where a new release of JAX breaks something, the test that fails here names the part.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fpo_jax import internals
from fpo_jax.engine.compilation import OLDER, Compiled


@jax.jit
def inner(x):
    return jnp.sin(x)


def outer(x):
    return inner(x) + jax.lax.cond(x > 0, jnp.cos, jnp.tanh, x)


TRACED = jax.make_jaxpr(outer)(0.3)
BY_NAME = {equation.primitive.name: equation for equation in internals.equations(TRACED)}


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


def test_a_function_is_taken_apart_into_operations():
    assert {"jit", "cond", "add", "gt"} <= set(BY_NAME)
    assert internals.called(BY_NAME["add"]) is None
    function = internals.called(BY_NAME["jit"])
    assert [equation.primitive.name for equation in internals.equations(function)] == ["sin"]
    branches = [internals.equations(branch)[0].primitive.name for branch in internals.within(BY_NAME["cond"])]
    assert sorted(branches) == ["cos", "tanh"]


def test_a_function_that_says_where_its_arguments_lie_is_not_taken_apart():
    place = NamedSharding(Mesh(jax.devices()[:1], "devices"), PartitionSpec())
    placed = jax.make_jaxpr(jax.jit(jnp.sin, in_shardings=place))(0.3)
    assert [internals.called(equation) for equation in internals.equations(placed)] == [None]


def test_operations_are_applied_to_other_values():
    values = internals.variables(TRACED, [0.5])
    for equation in internals.equations(TRACED):
        operands = [internals.value(atom, values) for atom in equation.invars]
        with internals.located(equation):
            values.update(zip(equation.outvars, internals.applied(equation, operands), strict=True))
    assert internals.results(TRACED, values) == [pytest.approx(np.sin(0.5) + np.cos(0.5), abs=1e-15)]


def test_operations_and_operands_that_are_the_same_have_the_same_name():
    again = {e.primitive.name: e for e in internals.equations(jax.make_jaxpr(outer)(0.3))}
    assert internals.operation(again["add"]) == internals.operation(BY_NAME["add"])
    assert internals.operation(BY_NAME["add"]) != internals.operation(BY_NAME["gt"])
    printing = jax.make_jaxpr(lambda x: jax.debug.print("{}", x))(0.3)
    assert [internals.operation(equation) for equation in internals.equations(printing)] == [None]
    assert internals.operand(0.0) != internals.operand(-0.0)
    assert internals.operand(np.arange(3)) == internals.operand(np.arange(3))
    one, other = jnp.ones(3), jnp.ones(3)
    assert internals.operand(one) != internals.operand(other)


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


@pytest.mark.parametrize(
    ("release", "told"),
    [("0.9.2", False), ("0.11.0", True), ("0.12.0.1", True), ("0.13.0", False), ("1.0", False)],
)
def test_xla_is_told_of_sums_where_it_has_the_library_and_was_tried(monkeypatch, release, told):
    # tried: 0.9.2, whose XLA makes its own sums, and 0.12; pyproject.toml allows nothing from 0.13 on
    monkeypatch.setattr(internals.jaxlib, "__version__", release)
    assert internals.gives_sums_away() == told


def test_xla_takes_the_words_on_sums():
    assert internals.refused_flags("--xla_cpu_experimental_ynn_fusion_type=-reduce") is None
