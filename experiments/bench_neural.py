"""Benchmark: the neural environment, the paper's whole protocol and wide sweeps, beside the NumPy oracle."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.neural import METHODS
from experiments.oracle import load_oracle
from experiments.running import execute
from experiments.settings import Settings, in_precision, resolve
from experiments.timing import median_seconds
from fpo_jax.record import outcome
from fpo_jax.simulate import initial_state, run_seeds, seed_keys

PUBLISHED_SEEDS = 5
TIMED = 200
"""Iterations that are timed, and scaled to the published number."""
PAIR = ("RLHF", "relaxed 0.005")
MULTIPLICATIONS = 10 * 32 + 32 * 32 + 32
"""Of one forward pass of the reward model; a backward pass costs as many again."""


def bench_neural(widths: Sequence[int], repeats: int) -> None:
    """Print the time of the published protocol, of a pair of runs by batch width, and where it goes."""
    repeats = min(repeats, 5)  # each takes seconds
    steps = resolve(METHODS["RLHF"]).steps
    print(f"neural environment, {steps} iterations, float32, {jax.local_device_count()} devices")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", PROTOCOL], check=True)
    seconds = time.perf_counter() - started
    print(
        f"published protocol, {PUBLISHED_SEEDS} seeds × {', '.join(METHODS)}, cold process: {seconds:.1f} s"
    )

    oracle = {label: _oracle_seconds(label) * steps for label in PAIR}
    print(f"eager NumPy oracle, float64, one seed: {', '.join(f'{k} {v:.1f} s' for k, v in oracle.items())}")
    print(f"\n{TIMED} iterations, scaled to {steps}; median of {repeats}, compilation excluded")
    print(f"{'seeds':>6s}{'s/seed, RLHF + relaxed':>25s}{'oracle':>9s}{'ratio':>7s}")
    for width in widths:
        pair = sum(median_seconds(_program(label, width), repeats) for label in PAIR) * steps / TIMED / width
        print(f"{width:6d}{pair:25.3f}{sum(oracle.values()):9.1f}{sum(oracle.values()) / pair:7.0f}")
    _print_parts(widths[-1], repeats, steps)


PROTOCOL = f"""
from experiments.__main__ import use_every_core
use_every_core()
from experiments.bench_neural import protocol
protocol({PUBLISHED_SEEDS})
"""


def protocol(seeds: int) -> None:
    """Run every published arm over so many seeds."""
    for wishes in METHODS.values():
        execute(resolve({**wishes, "seeds": seeds, "record": "outcome"}))


def _settings(label: str) -> Settings:
    return resolve({**METHODS[label], "steps": TIMED})


def _program(label: str, width: int) -> Callable[[], Any]:
    settings = _settings(label)
    environment, leader, follower = settings.build()
    with in_precision(settings.precision):
        keys = seed_keys(width)

    def work() -> Any:
        with in_precision(settings.precision):
            return run_seeds(environment, leader, follower, keys, steps=TIMED, record=outcome)

    return work


def _oracle_seconds(label: str, iterations: int = 100) -> float:
    """Return the oracle's seconds an iteration."""
    rng = np.random.default_rng(0)
    widths = ((32, 10), (32, 32), (1, 32))
    weights, biases = [0.1 * rng.normal(size=w) for w in widths], [np.zeros(w[0]) for w in widths]
    noise = rng.normal(size=(iterations, 15, 10)), rng.normal(size=(iterations, 5, 10))
    reference = load_oracle().NeuralOracle("relaxed" if label != "RLHF" else "myopic")
    return median_seconds(partial(reference.run, weights, biases, *noise), 1) / iterations


def _print_parts(width: int, repeats: int, steps: int) -> None:
    """Print what random numbers, policy steps and reward-model updates cost alone, and what they compute."""
    settings = _settings(PAIR[1])
    game, leader, follower = settings.build()
    draws = follower.draws  # type: ignore[attr-defined]
    with in_precision(settings.precision):
        keys = seed_keys(width)
        states = jax.jit(jax.vmap(lambda key: initial_state(game, follower, key)))(keys)  # type: ignore[arg-type]

        def repeated(part: Callable[[Any, Any], Any]) -> Callable[[], Any]:
            def one(key: Any, state: Any) -> Any:
                each = jax.random.split(key, TIMED)
                return jax.lax.scan(lambda s, k: (part(s, k), None), state, each)[0]

            program = jax.jit(jax.vmap(one))
            return lambda: program(keys, states)

        numbers = leader.policy_steps + draws

        def noise(state: Any, key: Any) -> Any:
            return state._replace(theta=state.theta + 1e-9 * game.noise(key, numbers).sum(axis=(0, 1)))  # type: ignore[attr-defined]

        def policy(state: Any, key: Any) -> Any:
            given = jax.numpy.ones((leader.policy_steps, 1, state.theta.size))
            theta = leader.update(game, follower, state.theta, state.reward_model, key, given)  # type: ignore[arg-type]
            return state._replace(theta=theta)

        def reward_model(state: Any, key: Any) -> Any:
            model = follower.update(game, state.theta, state.reward_model, key)  # type: ignore[arg-type]
            return state._replace(reward_model=model)

        # a penalty needs two forward and two backward passes, each about as many multiplications
        operations = {
            "random numbers": (noise, 0, 0),
            "policy steps": (policy, leader.policy_steps * 4 * MULTIPLICATIONS, leader.policy_steps * 64),
            "reward-model updates": (reward_model, 3 * 50 * MULTIPLICATIONS, 50 * 64),
        }
        print(
            f"\nwhere it goes, {width} seeds on one device, each part alone ({numbers} × 10 normal numbers)"
        )
        print(f"{'part':22s}{'s/seed':>8s}{'multiply-adds':>16s}{'softplus':>10s}{'GFLOP/s':>9s}")
        for label, (part, multiplications, softplus) in operations.items():
            seconds = median_seconds(repeated(part), repeats) / width * steps / TIMED
            rate = 2 * multiplications * steps / seconds / 1e9
            print(f"{label:22s}{seconds:8.3f}{multiplications:16d}{softplus:10d}{rate:9.1f}")
        side = jax.numpy.ones((width, 50, 32)), jax.numpy.ones((width, 32, 32))
        product = jax.jit(lambda a, b: jax.lax.fori_loop(0, TIMED, lambda _, x: 1e-3 * x @ b, a))
        seconds = median_seconds(lambda: product(*side), repeats) / TIMED
        rate = 2 * width * 50 * 32 * 32 / seconds / 1e9
        print(f"products of 50 × 32 and 32 × 32 matrices alone: {rate:.1f} GFLOP/s")
