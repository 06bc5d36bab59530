"""Measurements at the myopic equilibria of drawn instances: residual steering and lost utility."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from fpo_jax.expect import expect
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.study import players
from fpo_jax.experiments.study.experiment import Numbers, Part
from fpo_jax.experiments.study.players import Met
from fpo_jax.field import Players, answer
from fpo_jax.leader import advantages
from fpo_jax.run import initial_state
from fpo_jax.steering import steering
from fpo_jax.types import Theta

REST = 1e-3
"""A run with a residual up to this counts as at rest."""


class Drawn(NamedTuple):
    """An environment with settings to draw.

    Attributes:
        environment: its name.
        label: name of the part.
        fixed: settings that all instances share.
        ranges: lowest and highest value of each setting that is drawn uniformly.
        logarithmic: the same for settings whose logarithm is drawn uniformly.
        policy_lr: step of the mirror steps that bring the foresighted leader to rest.
        steps: number of these steps.
    """

    environment: str
    label: str
    fixed: Mapping[str, Any]
    ranges: Mapping[str, tuple[float, float]]
    logarithmic: Mapping[str, tuple[float, float]]
    policy_lr: float
    steps: int

    def settings(self, seed: int) -> dict[str, float]:
        """Return the settings drawn for a seed."""
        return players.drawn_settings(self.label, seed, self.ranges, self.logarithmic)


def part(place: Drawn, instances: int) -> Part:
    """Return the part of a study that measures this many instances of a place."""
    asked = {name: value for name, value in place._asdict().items() if name != "label"}
    asked |= {"settings": resolve({"environment": place.environment, **place.fixed}).as_dict()}
    return Part(place.label, asked, lambda count, tell: measured(place, count, tell), instances)


def measured(place: Drawn, instances: int, tell: Tell) -> Numbers:
    """Measure the instances of seeds 0 to `instances` − 1, and return arrays [instance].

    s is the steering part of dF/dθ at the myopic equilibrium π, and S(y) = s(y) / π(y) its advantage. π_* is
    the policy at which the foresighted leader comes to rest. It starts at the first policy and at the myopic
    equilibrium, and the end with the higher F counts.

    - steering_norm: √E_π[S²]
    - in_logits: ‖s‖
    - largest: max_y S(y)
    - towards: E_*[S], under π_*
    - spread: √E_*[S²], under π_*
    - blind_spot_mass: of π
    - utility, value, residual: E[U], F and √E[A²] at π; with `_foresight` at π_*
    - first, optimum: E[U] of the first policy, and the optimum
    - found: whether the search found the myopic equilibrium; if not, the end of a run takes its place
    - the drawn settings by name
    """
    common = {"environment": place.environment, "rule": "mirror", **place.fixed}
    wishes = [common | place.settings(seed) for seed in range(instances)]
    met = [players.meet(one | {"objective": "myopic"}, seed) for seed, one in enumerate(wishes)]
    together, ahead = (
        players.in_lanes([players.meet(one | more, seed) for seed, one in enumerate(wishes)])
        for more in (
            {"objective": "myopic", "policy_lr": place.policy_lr},
            {"objective": "exact", "policy_lr": place.policy_lr},
        )
    )
    firsts = players.firsts(together)
    ends = players.advanced(together, players.beginning(together, firsts), place.steps).theta
    thetas, found = [], []
    for number, one in enumerate(met):
        tell("myopic equilibria", number / instances)
        end = players.resting(one, firsts[number])
        found.append(end is not None)
        thetas.append(ends[number] if end is None else end.theta)
    myopic = players.measured(together, players.beginning(together, jnp.stack(thetas)))
    foresight = _better(ahead, [firsts, myopic.theta], place.steps, tell)
    first, optimum = players.first_utility(together)
    numbers: Numbers = {
        **{name: np.asarray(values) for name, values in _gains(together, myopic, foresight).items()},
        **{name: np.asarray(getattr(myopic, name)) for name in ("utility", "value", "residual")},
        **{f"{name}_foresight": np.asarray(getattr(foresight, name)) for name in ("utility", "value")},
        "residual_foresight": np.asarray(foresight.residual),
        "first": np.asarray(first),
        "optimum": np.asarray(optimum),
        "found": np.array(found),
        **players.stacked([place.settings(seed) for seed in range(instances)]),
    }
    return {name: values.astype(np.float32) for name, values in numbers.items()}


def _better(met: Met, starts: list[PyTree], steps: int, tell: Tell) -> players.Runs:
    """Run from each of these starts, and return in each lane the end with the highest F."""
    best = None
    for start in starts:
        tell("foresight", 0.5)
        new = players.measured(met, players.advanced(met, players.beginning(met, start), steps))
        best = new if best is None else _chosen(new.value > best.value, new, best)
    assert best is not None
    return best


@jax.jit
def _chosen(wins: Array, new: players.Runs, old: players.Runs) -> players.Runs:
    return jax.tree.map(lambda a, b: jax.vmap(jnp.where)(wins, a, b), new, old)


@jax.jit
def _gains(met: Met, myopic: players.Runs, foresight: players.Runs) -> dict[str, Array]:
    def one(met: Met, theta: Theta, best: Theta) -> dict[str, Array]:
        game, leader, follower, key = met
        begun = initial_state(game, follower, key, (theta, game.init(key)[1]))
        model = answer(Players(game, leader, follower, begun.reward_model, key), theta)
        gradient = ravel_pytree(steering(game, follower, theta, model, key).steering)[0]
        here, there = game.respond(theta, key), game.respond(best, key).w
        gain = advantages(gradient, here.w)
        return {
            "steering_norm": jnp.sqrt(jnp.sum(here.w * gain**2)),
            "in_logits": jnp.linalg.norm(gradient),
            "largest": jnp.max(gain),
            "towards": jnp.sum(there * gain),
            "spread": jnp.sqrt(jnp.sum(there * gain**2)),
            "blind_spot_mass": expect(game.blind_spot, here),
        }

    return jax.vmap(one)(met, myopic.theta, foresight.theta)
