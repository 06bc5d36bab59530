"""Where the time of an iteration of the neural environment goes: each part measured alone, with its
arithmetic.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fpo_jax.engine.initial import seed_keys
from fpo_jax.engine.lanes import in_lanes
from fpo_jax.experiments.bench.compiled_run import CompiledRun
from fpo_jax.experiments.bench.neural_products import BUFFER, HIDDEN, SECOND, STEP, UPDATE, Body, products
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.core.timing import median_times
from fpo_jax.record import is_finite, outcome
from fpo_jax.run import initial_state, policy_step, retrain
from fpo_jax.types import RewardModel

PEAK = "50 × 32 by 32 × 32"


class Part(NamedTuple):
    """CPU seconds a seed over a whole run, and multiply-adds and softplus evaluations an iteration."""

    seconds: float
    multiply_adds: int = 0
    softplus: int = 0

    def rate(self, steps: int) -> float:
        """Return GFLOP/s."""
        return 2e-9 * self.multiply_adds * steps / self.seconds


class _Players(NamedTuple):
    """The parts of an iteration as functions of its number and a carried value, which they return."""

    game: Any
    leader: Any
    follower: Any

    def draw(self, i: Any, theta: Any, key: Any) -> tuple[Any, ...]:
        draws = self.leader.policy_steps + self.follower.draws
        return _used(theta, self.game.sample(theta, jax.random.fold_in(key, i), draws)), key

    def policy(self, i: Any, state: Any, key: Any) -> tuple[Any, ...]:
        def one(state: Any, key: Any) -> tuple[Any, None]:
            return policy_step(*self, state, key), None

        step_keys = jax.random.split(jax.random.fold_in(key, i), self.leader.policy_steps)
        return jax.lax.scan(one, state, step_keys)[0], key

    def update(self, i: Any, state: Any, key: Any) -> tuple[Any, ...]:
        return retrain(self.game, self.follower, state, jax.random.fold_in(key, i)), key

    def optimiser(self, i: Any, state: Any, gradient: Any) -> tuple[Any, ...]:
        phi, memory = state.reward_model
        with jax.numpy_dtype_promotion("standard"):
            change, moments = self.follower.transformation().update(gradient, memory.optimizer_state, phi)
        updated = RewardModel(optax.apply_updates(phi, change), memory._replace(optimizer_state=moments))
        return state._replace(reward_model=updated), gradient

    def moved(self, i: Any, state: Any, key: Any) -> tuple[Any, ...]:
        return jax.tree.map(lambda leaf: _used(leaf, i), state), key

    def recorded(self, i: Any, state: Any, key: Any) -> tuple[Any, ...]:
        metrics = outcome(self.game, self.follower, state, key)
        state = state._replace(theta=_used(state.theta, (metrics, is_finite((state, metrics)))))
        return self.moved(i, state, key)

    def parts(self, keys: Any) -> dict[str, tuple[Body, tuple[Any, ...]]]:
        """Return each part with its initial carried value."""
        states = jax.jit(jax.vmap(lambda key: initial_state(self.game, self.follower, key)))(keys)
        bodies = self.policy, self.update, self.moved, self.recorded
        whole: dict[str, Any] = {body.__name__: (body, (states, keys)) for body in bodies}
        return whole | {
            "draw": (self.draw, (states.theta, keys)),
            "optimiser": (self.optimiser, (states, states.reward_model.phi)),
        }


def _used(leaf: Any, numbers: Any) -> Any:
    """Return an array changed imperceptibly, so that the numbers must be computed."""
    return leaf + sum(jnp.asarray(1e-30 * jnp.sum(x), leaf.dtype) for x in jax.tree.leaves(numbers))


def _repeated(body: Body, carried: tuple[Any, ...], times: int) -> Callable[[], Any]:
    """Return a program that iterates a body for every seed, spread over the devices as a run is."""

    def repeat(_: None, carried: Any) -> Any:
        return jax.lax.fori_loop(0, times, lambda i, c: body(i, *c), carried)

    return partial(jax.jit(in_lanes(repeat, jax.local_devices())), None, carried)


def measure(settings: Settings, width: int, repeats: int, steps: int) -> dict[str, Part]:
    """Measure a run and its parts on this many seeds, in turns, scaled to this many steps."""
    players = _Players(*settings.build())
    width += -width % jax.local_device_count()
    inner = players.leader.policy_steps
    evaluations = 2 * HIDDEN * BUFFER, 2 * HIDDEN * inner
    both = sum(evaluations)
    with in_precision(settings.precision):
        parts = players.parts(seed_keys(width)) | products(width, both)
        works = {name: _repeated(*part, settings.steps) for name, part in parts.items()}
        works["run"] = CompiledRun(settings, width, settings.steps)
        scale = steps / settings.steps / width
        seconds = {name: times.cpu * scale for name, times in median_times(works, repeats).items()}
    return {
        "one run": Part(seconds["run"], UPDATE + inner * STEP, both),
        "reward-model updates": Part(seconds["update"], UPDATE, evaluations[0]),
        "  products of the updates": Part(seconds["update products"], UPDATE),
        "  the optimiser": Part(seconds["optimiser"]),
        "policy steps": Part(seconds["policy"], inner * STEP, evaluations[1]),
        "  products of the steps": Part(inner * seconds["step products"], inner * STEP),
        "  random numbers, in both": Part(seconds["draw"]),
        "record": Part(seconds["recorded"] - seconds["moved"]),
        "softplus, slope": Part(seconds["activations"], 0, both),
        PEAK: Part(seconds["square"], BUFFER * SECOND),
    }
