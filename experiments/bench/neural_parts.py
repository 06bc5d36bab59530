"""Where an iteration of the neural environment goes: each part measured alone, beside what it computes."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fpo_jax.engine.initial import seed_keys
from fpo_jax.engine.lanes import in_lanes
from fpo_jax.experiments.bench.compiled_run import CompiledRun
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.core.timing import median_times
from fpo_jax.numerics.mlp import softplus
from fpo_jax.record import is_finite, outcome
from fpo_jax.run import initial_state, policy_step, retrain
from fpo_jax.types import RewardModel

DIMENSION, HIDDEN, BUFFER = 10, 32, 50
FIRST, SECOND, LAST = DIMENSION * HIDDEN, HIDDEN * HIDDEN, HIDDEN
UPDATE = BUFFER * (2 * FIRST + 3 * SECOND + 2 * LAST)
"""Multiply-adds of one reward-model update: forward, weight gradients, and back through the second layer."""
STEP = 2 * FIRST + 4 * SECOND + LAST
"""Of one policy step: forward, back for ‖∇_φ r‖², and the gradient of both by the response."""


PEAK = "50 × 32 by 32 × 32"


class Part(NamedTuple):
    """CPU seconds a seed over a whole run, and multiply-adds and softplus evaluations an iteration."""

    seconds: float
    multiply_adds: int = 0
    softplus: int = 0

    def rate(self, steps: int) -> float:
        """Return GFLOP/s."""
        return 2e-9 * self.multiply_adds * steps / self.seconds


def measure(settings: Settings, width: int, repeats: int, steps: int) -> dict[str, Part]:
    """Measure a run and its parts on so many seeds, in turns, scaled to so many steps.

    A part's program is that of a run, spread over the devices as a run is; the products alone are those of
    the network without activations.
    """
    timed = settings.steps
    environment, leader, follower = settings.build()
    game: Any = environment
    devices = jax.local_devices()
    width += -width % len(devices)
    works: dict[str, Callable[[], Any]] = {}
    with in_precision(settings.precision):
        keys = seed_keys(width)

        def part(label: str, body: Callable[..., Any], *carried: Any) -> None:
            """Have a body timed that maps what is carried, repeated, for every seed."""

            def repeated(_: None, carried: Any) -> Any:
                return jax.lax.fori_loop(0, timed, lambda i, c: body(i, *c), carried)

            works[label] = partial(jax.jit(in_lanes(repeated, devices)), None, carried)

        def used(leaf: Any, numbers: Any) -> Any:
            """Return an array moved imperceptibly, so that the numbers must be computed."""
            return leaf + sum(jnp.asarray(1e-30 * jnp.sum(x), leaf.dtype) for x in jax.tree.leaves(numbers))

        states = jax.jit(jax.vmap(lambda key: initial_state(game, follower, key)))(keys)
        draws = leader.policy_steps + follower.draws  # type: ignore[attr-defined]

        def draw(i: Any, theta: Any, key: Any) -> Any:
            return used(theta, game.sample(theta, jax.random.fold_in(key, i), draws)), key

        def policy(i: Any, state: Any, key: Any) -> Any:
            step_keys = jax.random.split(jax.random.fold_in(key, i), leader.policy_steps)
            one = lambda state, key: (policy_step(game, leader, follower, state, key), None)  # noqa: E731
            return jax.lax.scan(one, state, step_keys)[0], key

        def reward_model(i: Any, state: Any, key: Any) -> Any:
            return retrain(game, follower, state, jax.random.fold_in(key, i)), key

        def optimiser(i: Any, state: Any, gradient: Any) -> Any:
            phi, memory = state.reward_model.phi, state.reward_model.memory
            with jax.numpy_dtype_promotion("standard"):
                change, moments = follower.transformation().update(gradient, memory.optimiser, phi)  # type: ignore[attr-defined]
            updated = RewardModel(optax.apply_updates(phi, change), memory._replace(optimiser=moments))
            return state._replace(reward_model=updated), gradient

        def moved(i: Any, state: Any, key: Any) -> Any:
            return jax.tree.map(lambda leaf: used(leaf, i), state), key

        def recorded(i: Any, state: Any, key: Any) -> Any:
            metrics = outcome(game, follower, state, key)
            state = state._replace(theta=used(state.theta, (metrics, is_finite((state, metrics)))))
            return moved(i, state, key)

        def update_products(i: Any, y: Any, first: Any, second: Any, last: Any) -> Any:
            hidden = y @ first
            deep = hidden @ second
            residual = deep @ last
            back = deep @ second.T
            slopes = y.T @ back, hidden.T @ deep, deep.T @ residual
            moved = (w + 1e-30 * s for w, s in zip((first, second, last), slopes, strict=True))
            return y, *moved

        def step_products(i: Any, y: Any, first: Any, second: Any, last: Any) -> Any:
            hidden = y @ first
            deep = hidden @ second
            there = (deep @ second.T) @ second
            back = (there + deep @ last * deep) @ second.T
            return y + 1e-30 * back @ first.T, first, second, last

        def square(i: Any, a: Any, b: Any) -> Any:
            return 1e-3 * a @ b, b

        def activations(i: Any, z: Any) -> Any:
            value, slope = jax.jvp(softplus, (z,), (jnp.ones_like(z),))
            return (value - slope,)

        def filled(*shape: int) -> Any:
            return jnp.full((width, *shape), 0.1)

        phi = states.reward_model.phi
        weights = filled(DIMENSION, HIDDEN), filled(HIDDEN, HIDDEN), filled(HIDDEN)
        inner = leader.policy_steps
        evaluations = 2 * HIDDEN * BUFFER, 2 * HIDDEN * inner
        both = sum(evaluations)
        works["run"] = CompiledRun(settings, width, timed)
        part("update", reward_model, states, keys)
        part("update products", update_products, filled(BUFFER, DIMENSION), *weights)
        part("optimiser", optimiser, states, phi)
        part("policy", policy, states, keys)
        part("step products", step_products, filled(DIMENSION), *weights)
        part("draw", draw, states.theta, keys)
        part("recorded", recorded, states, keys)
        part("moved", moved, states, keys)
        part("activations", activations, filled(both))
        part("square", square, filled(BUFFER, HIDDEN), weights[1])
        seconds = {
            label: times.cpu / width * steps / timed for label, times in median_times(works, repeats).items()
        }
    return {
        "one run": Part(seconds["run"], UPDATE + inner * STEP, both),
        "reward-model updates": Part(seconds["update"], UPDATE, evaluations[0]),
        "  products of the updates": Part(seconds["update products"], UPDATE),
        "  the optimiser": Part(seconds["optimiser"]),
        "policy steps": Part(seconds["policy"], inner * STEP, evaluations[1]),
        "  products of the steps": Part(inner * seconds["step products"], inner * STEP),
        "random numbers": Part(seconds["draw"]),
        "record": Part(seconds["recorded"] - seconds["moved"]),
        "softplus, slope": Part(seconds["activations"], 0, both),
        PEAK: Part(seconds["square"], BUFFER * SECOND),
    }
