"""Where each objective comes to rest from a game's first policy, and how fast runs approach that place."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from fpo_jax.equilibria import Equilibrium
from fpo_jax.expect import expect
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.study import players
from fpo_jax.experiments.study.experiment import Numbers, Part
from fpo_jax.experiments.study.players import Met
from fpo_jax.types import State

KINDS = ("maximum", "saddle", "minimum", "flat", "not found")
ENTRIES = 40
"""Entries of a run of mirror steps, at equal distances in time."""
PER_DECADE = 8
"""Entries of a run of gradient steps in each decade of the time, up to ten times the recipe's length."""
FIRST_ENTRY = 10
ROUNDING, NEAR = 1e-10, 1e-2
"""A geometric rate is fitted to distances between these two."""


class Place(NamedTuple):
    """An environment in which objectives are compared.

    Attributes:
        environment: its name. All settings are those of its recipe.
        settling: iterations after which a run is at rest; of mirror steps if there are any.
        logits: whether the policy has a logit for each response. Then it can take mirror steps.
    """

    environment: str
    settling: int
    logits: bool = True


def part(place: Place, objective: str, instances: int) -> Part:
    """Return the part of a study for one objective at a place, on this many instances."""
    settings = resolve({"environment": place.environment, "objective": objective}).as_dict()
    asked = {**place._asdict(), "objective": objective, "settings": settings}
    label = f"{objective}, {place.environment}"
    return Part(label, asked, lambda count, tell: ended(place, objective, count, tell), instances)


def ended(place: Place, objective: str, instances: int, tell: Tell) -> Numbers:
    """Return the equilibria of an objective on seeds 0 to `instances` − 1, and how runs approach them.

    All arrays are [instance, ...] unless stated. Of the equilibrium:

    - found: 1, or 0 if the search found none and the end of a run takes its place
    - utility, blind_spot_mass, radius, stable, steering_norm, residual
    - kind: index in `KINDS`
    - weights: [instance, n] the policy, or the action
    - first, optimum: E[U] of the first policy, and the optimum

    Of runs of gradient and of mirror steps, as `gradient_…` and `mirror_…`:

    - time: [entry] iterations
    - distance: [instance, entry] from the equilibrium, ½ Σ |w − w*|, or |θ − θ*| for actions
    - utility: [instance, entry] |U − U*|
    """
    wishes = {"environment": place.environment, "objective": objective}
    steps = resolve(wishes).steps
    plain = [players.meet(wishes, seed) for seed in range(instances)]
    mirror = [players.meet(wishes | {"rule": "mirror"}, seed) for seed in range(instances)]
    settled = mirror if place.logits else plain
    lanes = players.in_lanes(settled)
    begun = players.beginning(lanes, players.firsts(lanes))
    tell("settling", 0.1)
    at_rest = players.advanced(lanes, begun, place.settling)
    found = []
    for number, one in enumerate(settled):
        tell("equilibria", 0.2 + 0.4 * number / instances)
        start = one.game.init(one.key)[0] if place.logits else at_rest.theta[number]
        found.append(players.resting(one, start))
    thetas = jnp.stack([at_rest.theta[i] if e is None else e.theta for i, e in enumerate(found)])
    homes = players.measured(
        lanes, players.beginning(lanes, thetas)._replace(reward_model=at_rest.reward_model)
    )
    home = _policies(lanes, thetas, place.logits)
    numbers: dict[str, Any] = dict(players.stacked([_described(one) for one in found]))
    first, optimum = players.first_utility(lanes)
    numbers |= {"utility": homes.utility, "residual": homes.residual, "weights": home, "first": first}
    numbers |= {"optimum": optimum, "blind_spot_mass": _blind(lanes, thetas)}
    tell("gradient steps", 0.6)
    decades = np.log10(10 * steps / FIRST_ENTRY)
    times = np.unique(
        np.geomspace(FIRST_ENTRY, 10 * steps, int(PER_DECADE * decades) + 1).round().astype(int)
    )
    numbers |= _approach("gradient", players.in_lanes(plain), times, place, home, homes.utility)
    if place.logits:
        tell("mirror steps", 0.8)
        times = np.arange(1, ENTRIES + 1) * (place.settling // ENTRIES)
        numbers |= _approach("mirror", lanes, times, place, home, homes.utility)
    return {name: np.asarray(values).astype(np.float32) for name, values in numbers.items()}


def _described(end: Equilibrium | None) -> Mapping[str, Any]:
    if end is None:
        undefined = dict.fromkeys(("radius", "stable", "steering_norm"), np.nan)
        return {**undefined, "found": 0.0, "kind": float(KINDS.index("not found"))}
    return {
        "radius": end.spectral_radius,
        "stable": float(end.stable),
        "steering_norm": end.steering_norm,
        "found": 1.0,
        "kind": float(KINDS.index(end.second_order)),
    }


def _approach(
    name: str, met: Met, times: np.ndarray, place: Place, home: Array, utility: Array
) -> dict[str, np.ndarray]:
    """Return the iterations of a run's entries, and the distance of each run from its equilibrium then."""
    thetas, utilities = _entries(
        met, players.beginning(met, players.firsts(met)), jnp.asarray(np.diff(times, prepend=0))
    )
    away = jax.vmap(lambda theta: _policies(met, theta, place.logits))(thetas) - home[None]
    size = 0.5 * jnp.sum(jnp.abs(away), -1) if place.logits else jnp.linalg.norm(away, axis=-1)
    return {
        f"{name}_time": times,
        f"{name}_distance": np.asarray(size).T,
        f"{name}_utility": np.abs(np.asarray(utilities - utility[None])).T,
    }


@jax.jit
def _entries(met: Met, states: State, lengths: Array) -> tuple[PyTree, Array]:
    """Return θ and E[U] at the entries, [entry, lane, ...]; `lengths` are the iterations between them."""

    def one(met: Met, state: State) -> tuple[PyTree, Array]:
        def entry(state: State, length: Array) -> tuple[State, tuple[PyTree, Array]]:
            after = players.iterated(met, state, length)
            return after, (after.theta, expect(met.game.utility, met.game.respond(after.theta, met.key)))

        return jax.lax.scan(entry, state, lengths)[1]

    return jax.vmap(one, out_axes=1)(met, states)


def _policies(met: Met, thetas: PyTree, logits: bool) -> Array:
    """Return the weights of the responses, or for actions θ itself, [lane, n]."""
    return _weights(met, thetas) if logits else thetas


@jax.jit
def _weights(met: Met, thetas: PyTree) -> Array:
    return jax.vmap(lambda one, theta: one.game.respond(theta, one.key).w)(met, thetas)


@jax.jit
def _blind(met: Met, thetas: PyTree) -> Array:
    return jax.vmap(lambda one, t: expect(one.game.blind_spot, one.game.respond(t, one.key)))(met, thetas)


def power(times: np.ndarray, distances: np.ndarray) -> float:
    """Return k of the law t⁻ᵏ, fitted to distances over the last factor of ten of the time.

    Args:
        times: [entry] iterations.
        distances: [entry], >= 0.

    Returns:
        k, or NaN if fewer than four distances are above rounding.
    """
    late = (times > times[-1] / 10.5) & (distances > ROUNDING)
    return (
        float(-np.polyfit(np.log(times[late]), np.log(distances[late]), 1)[0]) if late.sum() > 3 else np.nan
    )


def rate(times: np.ndarray, distances: np.ndarray) -> float:
    """Return the factor by which distances shrink in one iteration, fitted while they are small.

    Args:
        times: [entry] iterations.
        distances: [entry], >= 0.

    Returns:
        the factor, or NaN if fewer than three distances lie between `ROUNDING` and `NEAR`.
    """
    kept = (distances < NEAR) & (distances > ROUNDING)
    if kept.sum() < 3:
        return float("nan")
    return float(np.exp(np.polyfit(times[kept], np.log(distances[kept]), 1)[0]))
