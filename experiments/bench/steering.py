"""Benchmark: the cost of exact steering as the reward model grows, and the memory that checkpointing
saves.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from fpo_jax.envs.bandit import Arm, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.expect import evaluate
from fpo_jax.experiments.core.timing import median_seconds
from fpo_jax.followers import BestResponse, Gradient
from fpo_jax.objectives import Exact, Myopic
from fpo_jax.objectives.implicit import Implicit
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Objective, RewardModel

LINEAR = (10, 100, 1000)
WIDTHS = (8, 32, 100, 300)
ARMS, FEATURES, HORIZON = 64, 10, 1000


@struct.dataclass
class _Fixed(BestResponse):
    """A best response that is already known, so that the gradient is timed and not the training."""

    def update(self, game: Game, theta: Any, reward_model: RewardModel, key: Any) -> RewardModel:
        return reward_model


@struct.dataclass
class _Featured(BanditGame):
    """A bandit whose reward model is linear in n features, or an MLP with two hidden layers of a width."""

    def reward(self, phi: Any, y: Any) -> jax.Array:
        hidden = y.features
        for weights in phi[:-1]:
            hidden = jax.nn.softplus(hidden @ weights)
        return jnp.dot(hidden, phi[-1])


def bench_steering(repeats: int) -> None:
    """Print the cost of the implicit gradient relative to the standard one, and the memory of unrolling."""
    print(f"implicit gradient, bandit with {ARMS} arms, float64, {jax.default_backend()}")
    print(f"median of {repeats}, compilation excluded; standard: ∂J/∂θ at the present φ")
    print("{:>22s}{:>10s}{:>8s}{:>14s}{:>14s}{:>8s}{:>10s}".format(
        "reward model", "φ", "solver", "standard (s)", "implicit (s)", "ratio", "products"
    ))  # fmt: skip
    with jax.enable_x64(True):
        for features in LINEAR:
            for solver in ("dense", "cg"):
                _row(f"linear, {features} features", features, (), solver, repeats)
        for width in WIDTHS:
            _row(f"MLP, {FEATURES}-{width}-{width}-1", FEATURES, (width, width), "cg", repeats)
        kept, plain = (_scratch(checkpoint) for checkpoint in (True, False))
    print(f"unrolled, horizon {HORIZON}, linear environment: scratch memory {kept / 1e6:.2f} MB with")
    print(f"checkpointing, {plain / 1e6:.2f} MB without: {kept / plain:.3f} of it")


def _row(label: str, features: int, layers: tuple[int, ...], solver: str, repeats: int) -> None:
    key = jax.random.key(0)
    quality = jax.random.uniform(key, (ARMS,))
    arms = Arm(jax.random.normal(key, (ARMS, features)), quality, jnp.zeros(ARMS))
    game = _Featured(arms, 0.02)
    sizes = (features, *layers)
    keys = jax.random.split(key, len(sizes))
    phi = [
        jax.random.normal(k, (n, m)) / jnp.sqrt(n)
        for k, n, m in zip(keys, sizes[:-1], sizes[1:], strict=False)
    ]
    phi.append(jax.random.normal(keys[-1], (sizes[-1],)) / sizes[-1])
    # damping replaces the curvature that a random MLP, which is not at a minimum, lacks
    route = Implicit(solver=solver, damping=1.0, tolerance=1e-8)
    follower = _Fixed(ridge=0.1, alpha=0.3)
    model = RewardModel(phi, memory=jax.tree.map(jnp.zeros_like, phi))
    theta = jax.random.normal(key, (ARMS,))
    times, costs = [], []
    for objective in (Myopic(), route):
        seconds, cost = _time(objective, game, follower, theta, model, repeats)
        times.append(seconds)
        costs.append(cost)
    count = sum(leaf.size for leaf in jax.tree.leaves(phi))
    print(
        f"{label:>22s}{count:10d}{solver:>8s}{times[0]:14.2e}{times[1]:14.2e}{times[1] / times[0]:8.1f}"
        f"{int(costs[1].products):10d}"
    )


def _time(
    objective: Objective, game: Game, follower: Follower, theta: Any, model: RewardModel, repeats: int
) -> tuple[float, Any]:
    key = jax.random.key(1)
    program = jax.jit(lambda theta, model: objective.estimate(game, follower, theta, model, key))
    return median_seconds(lambda: program(theta, model), repeats), program(theta, model).cost


def _scratch(checkpoint: bool) -> int:
    """Return the bytes of scratch memory that the gradient of F over `HORIZON` updates needs."""
    game, follower, key = Linear(), Gradient(), jax.random.key(0)
    theta, phi = game.init(key)
    keys = foresight_keys(key)

    def plain(t: jax.Array) -> jax.Array:
        def update(model: RewardModel, update_key: jax.Array) -> tuple[RewardModel, None]:
            return follower.update(game, t, model, update_key), None

        model, _ = jax.lax.scan(update, RewardModel(phi), jax.random.split(keys.data, HORIZON))
        return evaluate(game, t, model.phi, keys.evaluation)

    def kept(t: jax.Array) -> jax.Array:
        return Exact(horizon=HORIZON).value(game, follower, t, RewardModel(phi), key)

    memory = jax.jit(jax.grad(kept if checkpoint else plain)).lower(theta).compile().memory_analysis()
    return 0 if memory is None else memory.temp_size_in_bytes
