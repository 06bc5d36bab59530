"""Iterated RLHF with the choices of Wolf, Kirk and Musolesi (2505.18126), over a grid of α and ridge."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fpo_jax.engine.sweep import Cell, Sweep
from fpo_jax.expect import expect
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.study.experiment import Numbers, Part
from fpo_jax.followers import Monitored
from fpo_jax.record import outcome
from fpo_jax.statistics import collapsed, share_gained
from fpo_jax.types import Follower, Game, Key, Scalar, State

ALPHAS = (0.05, 0.1, 0.3, 0.6, 1.0)
"""Shares of on-policy data."""
RIDGES = (0.001, 0.01, 0.03, 0.1, 0.3)
KEEPS = ("last", "sampled", "all")
REWARDS = ("last", "mean", "worst")
MODELS = 4
"""Number of reward models for the rewards "mean" and "worst"."""
RESTARTS: Mapping[str, float] = {"reset": 0.0, "interpolated": 0.5, "kept": 1.0}
"""Where the policy begins an iteration: 0 at the first policy, 1 at the last one."""


class Pipeline(NamedTuple):
    """One way to iterate RLHF.

    Attributes:
        environment: its name in the label.
        settings: of the environment, the leader and the labels.
        iterations: updates of the reward model after the first one.
        policy_steps: policy steps between two updates.
        keep: the labels that are kept, one of `KEEPS`.
        reward: the reward that the policy gets from the latest reward models, one of `REWARDS`.
        restarts: where the policy begins an iteration, some of `RESTARTS`.
    """

    environment: str
    settings: Mapping[str, Any]
    iterations: int
    policy_steps: int
    keep: str = "last"
    reward: str = "last"
    restarts: tuple[str, ...] = tuple(RESTARTS)

    @property
    def label(self) -> str:
        """Return the name of its part."""
        return f"{self.environment}, {self.keep}, {self.reward}, {self.policy_steps}"

    def wishes(self, alpha: float, ridge: float, restart: str) -> dict[str, Any]:
        """Return the settings of one cell."""
        follower = {"follower": "replayed"}
        if self.reward != "last":
            follower = {"follower": "past-models", "member": "replayed"}
            follower |= {"members": MODELS, "combine": self.reward}  # type: ignore[dict-item]
        wanted = {**self.settings, **follower, "alpha": alpha, "ridge": ridge, "keep": self.keep}
        if self.restarts != ("kept",):
            wanted |= {"restart": "interpolated", "interpolation": RESTARTS[restart]}
        counts = {"steps": self.iterations, "policy_steps": self.policy_steps}
        return wanted | counts | {"updates": self.iterations + 1 if self.keep == "all" else 1}


def part(pipeline: Pipeline, instances: int) -> Part:
    """Return the part of a study that runs a pipeline in all cells, on this many seeds."""
    asked = {**pipeline._asdict(), "alphas": list(ALPHAS), "ridges": list(RIDGES)}
    asked["settings"] = resolve(pipeline.wishes(ALPHAS[0], RIDGES[0], pipeline.restarts[0])).as_dict()
    return Part(pipeline.label, asked, lambda count, tell: ran(pipeline, count, tell), instances)


def _cell(wishes: Mapping[str, Any]) -> Cell:
    environment, leader, follower = resolve(wishes).build()
    return Cell(environment, leader, Monitored(follower=follower))


def paid(game: Game, follower: Follower, state: State, key: Key) -> dict[str, Scalar]:
    """Record the outcome, and E[r] − E[U] by the reward that the policy got before the update."""
    found, responses = outcome(game, follower, state, key), game.deployed(state.theta, key)
    proxy = expect(lambda y: game.reward(state.reward_model.memory.before, y), responses)
    return {**found, "overestimate": proxy - found["true_utility"]}


def ran(pipeline: Pipeline, instances: int, tell: Tell) -> Numbers:
    """Run seeds 0 to `instances` − 1 in all cells, and return their numbers.

    - gained: [restart, α, ridge, seed, entry] share of the possible gain, (U − U₀) / (U* − U₀)
    - overestimate: [restart, α, ridge, seed, entry] (E[r] − E[U]) / (U* − U₀), where r is the reward that the
      policy got in the iteration, before retraining
    - collapsed: [restart, α, ridge, seed]

    A run that diverged gained nothing and collapsed. Long runs have about 13 entries.
    """
    order = [(restart, a, r) for restart in pipeline.restarts for a in ALPHAS for r in RIDGES]
    cells = [_cell(pipeline.wishes(a, r, restart)) for restart, a, r in order]
    every = max(pipeline.iterations // 12, 1)
    sweep = Sweep(cells, range(instances), steps=pipeline.iterations, every=every, record=paid, tell=tell)
    tell(f"{len(order)} cells")
    lanes = sweep.run()
    stays, utility = np.asarray(lanes.finite.all(axis=-1)), lanes.metrics["true_utility"]
    utility = np.where(stays[..., None], utility, utility[..., :1])  # a run that diverged gained nothing
    room = lanes.optimum - utility[..., 0]
    numbers = {
        "gained": share_gained(utility, lanes.optimum).astype(np.float16),
        "overestimate": (lanes.metrics["overestimate"] / room[..., None]).astype(np.float16),
        "collapsed": collapsed(utility, lanes.optimum) | ~stays,
    }
    shape = len(pipeline.restarts), len(ALPHAS), len(RIDGES)
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in numbers.items()}


def boundary(healthy: np.ndarray) -> np.ndarray:
    """Return, for each α, the place among the ridges, [α], at which half of the seeds end healthy.

    Places are indices of ridges, with linear interpolation between them. The result is −½ if no ridge
    reaches one half, and half a place beyond the last ridge if the last one does.

    Args:
        healthy: [α, ridge] shares of seeds. They fall as the ridge grows, except for noise, so the last
            crossing of one half counts.
    """
    places = np.full(healthy.shape[0], np.nan)
    for row, shares in enumerate(healthy):
        above = np.flatnonzero(shares >= 0.5)
        if not above.size:
            places[row] = -0.5
        elif above[-1] == shares.size - 1:
            places[row] = shares.size - 0.5
        else:
            last = above[-1]
            places[row] = last + (shares[last] - 0.5) / (shares[last] - shares[last + 1])
    return places
