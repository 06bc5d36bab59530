"""Benchmark: the cost of one iteration of a gridworld as the number of states grows, for both solvers.

An iteration is one policy step and one reward-model update on one instance. LU costs S³ operations and forms
an S × S matrix; the iterative solve costs as much as there are transitions, times its iterations.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.experiments.core.timing import median_seconds
from fpo_jax.followers import BestResponse
from fpo_jax.leader import Leader
from fpo_jax.objectives import OBJECTIVES
from fpo_jax.run import initial_state, iterate

LARGEST_DIRECT = 40
"""Side of the largest grid to solve by LU; with 100, its table alone would take 3.2 GB."""


def bench_tabular(sides: Sequence[int], repeats: int) -> None:
    """Print seconds of one iteration for every solve, objective and number of states, and scratch memory.

    `growth` is the exponent between a row and the one above it: the cost grows like S to that power.
    """
    print(f"gridworld, 4 actions, discount 0.9, best response, float64, {jax.default_backend()}")
    print(f"median of {repeats}, compilation excluded; one instance")
    print("{:>10s}{:>8s}{:>14s}{:>8s}{:>12s}{:>8s}{:>14s}".format(
        "solve", "states", "myopic (s)", "growth", "exact (s)", "growth", "exact, MB"
    ))  # fmt: skip
    for solver in ("direct", "iterative"):
        solved = [side for side in sides if solver == "iterative" or side <= LARGEST_DIRECT]
        before: dict[str, float] = {}
        for i, side in enumerate(solved):
            cells = []
            for name in ("myopic", "exact"):
                seconds, scratch = _iteration(solver, side, name, repeats)
                larger = (side / solved[i - 1]) ** 2
                growth = f"{math.log(seconds / before[name]) / math.log(larger):.2f}" if i else ""
                cells.append((seconds, growth))
                before[name] = seconds
            (myopic, myopic_growth), (exact, exact_growth) = cells
            print(
                f"{solver:>10s}{side**2:8d}{myopic:14.2e}{myopic_growth:>8s}{exact:12.2e}{exact_growth:>8s}"
                f"{scratch / 1e6:14.2f}"
            )


def _iteration(solver: str, side: int, objective: str, repeats: int) -> tuple[float, int]:
    """Return the seconds of one iteration, and the bytes of scratch memory that its program needs."""
    with jax.enable_x64(True):
        environment = Gridworld(rows=side, columns=side, occupancy_solver=solver)
        follower = BestResponse(ridge=0.1, alpha=0.3)
        # a short step, so that both objectives solve for nearly the same policies, which determine the
        # iterations
        leader = Leader(OBJECTIVES[objective](), policy_lr=0.01)
        key = jax.random.key(0)

        @jax.jit
        def begin(key: jax.Array) -> tuple:
            game = environment.draw(key)
            theta, _ = game.init(key)
            theta = theta + jax.random.normal(key, theta.shape)
            return game, initial_state(game, follower, key, (theta, jnp.zeros(2)))

        game, state = begin(key)
        program = (
            jax.jit(lambda game, state, key: iterate(game, leader, follower, state, key, 0.0))
            .lower(game, state, key)
            .compile()
        )
        seconds = median_seconds(lambda: program(game, state, key), repeats)
        memory = program.memory_analysis()
        return seconds, 0 if memory is None else memory.temp_size_in_bytes
