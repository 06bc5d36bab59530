"""Runs of one objective in one environment, some of which collapse, with all monitors recorded."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fpo_jax.engine.initial import begin_run
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.study import players
from fpo_jax.experiments.study.experiment import Numbers, Part
from fpo_jax.followers import Ensemble, Monitored
from fpo_jax.leader import Leader
from fpo_jax.monitors import MONITORS, monitored
from fpo_jax.run import play
from fpo_jax.statistics import highest, share_gained
from fpo_jax.types import Follower

ENTRIES = 48
"""Entries kept of a run, at equal ratios of iterations."""
LANES = 128
"""Runs that are computed at once."""
CHOOSING = 10_000
"""First of the seeds that choose thresholds; the judging seeds begin at 0."""


class Place(NamedTuple):
    """An environment with settings at which about half of the runs collapse.

    Attributes:
        label: name of the part.
        settings: of the environment and the players, flat names to values.
        ranges: lowest and highest value of each setting that is drawn uniformly for each seed.
        logarithmic: the same for settings whose logarithm is drawn uniformly.
        every: iterations between two entries.
        differ: in what the members of the ensemble beside a run differ.
        choosing: number of seeds that choose thresholds.
    """

    label: str
    settings: Mapping[str, Any]
    ranges: Mapping[str, tuple[float, float]]
    logarithmic: Mapping[str, tuple[float, float]]
    every: int
    differ: str = "data"
    choosing: int = 128

    def wishes(self, seed: int) -> dict[str, Any]:
        """Return the settings of the run of a seed."""
        drawn = players.drawn_settings(self.label, seed, self.ranges, self.logarithmic)
        return {**self.settings, **drawn}


def part(place: Place, instances: int) -> Part:
    """Return the part of a study that runs this many judging seeds at a place, and those that choose."""
    asked = {**place._asdict(), "settings": resolve(place.settings).as_dict()}
    return Part(place.label, asked, lambda count, tell: ran(place, count, tell), instances)


def ran(place: Place, instances: int, tell: Tell) -> Numbers:
    """Run all seeds at a place, and return their numbers: first the choosing seeds, then the judging ones.

    - choosing: number of choosing seeds
    - time: [entry] iterations of the kept entries
    - gained: [run, entry] share of the possible gain, (U − U₀) / (U* − U₀)
    - kl: [run, entry] KL to the first policy in nats, if the environment has one
    - each monitor: [run, entry] its highest value so far, including entries that are not kept
    - finite: [run] whether the run stayed finite
    """
    choosing = min(place.choosing, instances)
    seeds = [*range(CHOOSING, CHOOSING + choosing), *range(instances)]
    steps = resolve(place.settings).steps
    entries = steps // place.every
    kept = np.unique(np.concatenate([[0], np.geomspace(1, entries, ENTRIES).round().astype(int)]))
    found: list[Numbers] = []
    for start in range(0, len(seeds), LANES):
        tell(f"{len(seeds)} runs", start / len(seeds))
        own = seeds[start : start + LANES]
        lanes = own + own[:1] * (LANES - len(own) if len(seeds) > LANES else 0)
        built = [resolve(place.wishes(seed)).build() for seed in lanes]
        keys = jax.vmap(jax.random.key)(jnp.asarray(lanes))
        metrics = _run(players.in_lanes(built), keys, steps, place.every, place.differ)
        found.append({name: np.asarray(values)[: len(own)] for name, values in metrics.items()})
    whole = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    numbers = {"gained": share_gained(whole["true_utility"], whole["optimum"])[:, kept]}
    numbers |= {name: whole[name][:, kept] for name in ("kl",) if name in whole}
    numbers |= {name: highest(whole[name])[:, kept] for name in MONITORS if name in whole}
    numbers = {name: _short(values) for name, values in numbers.items()}
    return numbers | {
        "time": kept * place.every,
        "choosing": np.array(choosing),
        "finite": np.asarray(whole["finite"].all(axis=1)),
    }


def _short(values: np.ndarray) -> np.ndarray:
    """Return numbers in half precision, which has 3 digits, clipped to its range."""
    return np.clip(values, -6e4, 6e4).astype(np.float16)


@partial(jax.jit, static_argnames=("steps", "every", "differ"))
def _run(
    together: tuple[Any, Leader, Follower], keys: Array, steps: int, every: int, differ: str
) -> dict[str, Array]:
    def one(parts: tuple[Any, Leader, Follower], key: Array) -> dict[str, Array]:
        environment, leader, own = parts
        follower = Monitored(follower=own, beside=Ensemble(members=4, differ=differ, member=own))
        begun = begin_run(environment, follower, key, leader=leader)
        _, trace = play(
            begun.game, leader, follower, begun.state, key, steps=steps, record=monitored, every=every
        )
        return {**trace.metrics, "finite": trace.finite, "optimum": begun.optimum}

    return jax.vmap(one)(together, keys)
