"""Equilibria of each objective, on every instance and from every start."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from fpo_jax.engine.initial import Beginning, begin_run, seed_keys
from fpo_jax.equilibria import SAME, checked_players, equilibrium, largest_stable_step
from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.experiments.core.progress import Tell, silent
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.equilibria.ideals import best_policy, distance, optimal_policy
from fpo_jax.experiments.equilibria.result import Equilibria, Ideals, Point, Reached
from fpo_jax.experiments.equilibria.starts import drawn, ends_of_runs, start_names
from fpo_jax.stationary import NoEquilibrium
from fpo_jax.tangents import kind
from fpo_jax.types import Follower, Game, Key, Scalar, Theta

MOST_PARAMETERS = 1000
"""Policies with more parameters get no largest stable step, because each trial takes a derivative."""


class Instance(NamedTuple):
    """One instance, with the policies to compare its equilibria with.

    Attributes:
        key: the key of its runs.
        game: the game as leader and follower meet it.
        theta: the first policy.
        best: the policy with the highest E[U] − cost, or None if the search failed.
        optimal: the performatively optimal equilibrium, or None if the search failed.
        utilities: true utilities of the first policy, the optimum, `best` and `optimal`.
    """

    key: Key
    game: Game
    theta: Theta
    best: Theta | None
    optimal: Theta | None
    utilities: tuple[float, float, float, float]


def usual_rule(settings: Settings) -> dict[str, str]:
    """Return the setting `rule = mirror` if the policy has a logit for each response, else no setting.

    Mirror steps approach an equilibrium geometrically.
    """
    with in_precision("float64"):
        environment, _, follower = settings.build()
        forms = []

        def traced(key: Key) -> Scalar:
            begun = begin_run(environment, follower, key)
            forms.append(kind(begun.game, begun.state.theta, key))
            return begun.optimum

        jax.eval_shape(traced, seed_keys(1, settings.seed)[0])  # shapes are enough to tell
    return {"rule": "mirror"} if forms == ["logits"] else {}


def solve(
    methods: Sequence[Settings],
    starts: Sequence[str] = (),
    repelling: bool = False,
    tell: Tell = silent,
) -> Equilibria:
    """Find the equilibria of these objectives, on the same instances for all of them.

    Args:
        methods: settings of each objective. They differ only in the objective and its hyperparameters.
        starts: words that say where searches begin (`fpo_jax.experiments.equilibria.starts`).
        repelling: take long steps from the beginning, to reach equilibria that repel as well.
        tell: receives progress.

    Raises:
        InputError: when the precision is not float64, an equilibrium is not defined, or no search reaches
            one.
    """
    first = methods[0]
    if first.precision != "float64":
        raise InputError("precision", first.precision, "float64, because an equilibrium is found to 1e-9")
    with in_precision("float64"):
        keys = seed_keys(first.seeds, first.seed)
        form = _checked(methods, keys[0])
        names = start_names(starts, form)
        instances = []
        for seed in range(first.seeds):
            tell("the best policy and the optimal equilibrium of each instance", seed / first.seeds)
            instances.append(_instance(first, keys[seed]))
        reached: dict[str, Reached] = {}
        first_thetas: dict[str, list[Theta | None]] = {}
        for method in methods:
            label = method.names.objective
            if "run" in names:
                tell(f"{label}: its runs")
            ends = ends_of_runs(method, keys) if "run" in names else None
            points = []
            for seed, one in enumerate(instances):
                tell(f"{label}: equilibria", seed / first.seeds)
                thetas = [_start(one, name, form, ends and ends(seed)) for name in names]
                first_thetas.setdefault(label, thetas)
                points.append(_points(method, one, seed, thetas, repelling))
            reached[label] = Reached(method, points)
    found = Equilibria(reached, names, _ideals(instances), first_thetas, form == "action")
    _require_any(found)
    return found


def _checked(methods: Sequence[Settings], key: Key) -> str:
    """Check on one instance that equilibria of all methods are defined, and return the kind of θ."""
    for method in methods:
        environment, leader, follower = method.build()
        begun = _begin(environment, follower, key)
        checked_players(begun.game, leader, follower, begun.state.theta, key)
    return kind(begun.game, begun.state.theta, key)


@jax.jit
def _begin(environment: Any, follower: Follower, key: Key) -> Beginning:
    return begin_run(environment, follower, key)


def _instance(settings: Settings, key: Key) -> Instance:
    environment, _, follower = settings.build()
    begun = _begin(environment, follower, key)
    game, theta = begun.game, begun.state.theta
    best = best_policy(game, theta, key)
    optimal = optimal_policy(game, follower, [theta] if best is None else [best, theta], key)
    first, most, right = (
        np.nan if one is None else float(_utility(game, one, key)) for one in (theta, best, optimal)
    )
    return Instance(key, game, theta, best, optimal, (first, float(begun.optimum), most, right))


@jax.jit
def _utility(game: Game, theta: Theta, key: Key) -> Scalar:
    return expect(game.utility, game.deployed(theta, key))


def _ideals(instances: Sequence[Instance]) -> Ideals:
    return Ideals(*np.array([one.utilities for one in instances]).T)


def _start(one: Instance, name: str, form: str, end: Theta | None) -> Theta | None:
    """Return the policy of a start by its name, or None if it is missing because no best policy was found."""
    if name in ("first", "best", "run"):
        return {"first": one.theta, "best": one.best, "run": end}[name]
    return drawn(one.theta, form, name, one.key)


def _points(
    method: Settings, one: Instance, seed: int, thetas: Sequence[Theta | None], repelling: bool
) -> list[Point]:
    """Return the point that the flow from each start leads to on one instance."""
    _, leader, follower = method.build()
    points: list[Point] = []
    distinct: list[Point] = []
    for start, theta in enumerate(thetas):
        if theta is None:
            points.append(Point(seed, start, None, reason="there is no such start: no best policy was found"))
            continue
        try:
            found = equilibrium(one.game, leader, follower, theta, one.key, repelling=repelling)
        except NoEquilibrium as error:
            points.append(Point(seed, start, None, residual=error.residual, reason=str(error)))
            continue
        same = [
            p for p in distinct if p.found and distance(one.game, p.found.theta, found.theta, one.key) < SAME
        ]
        if same:
            points.append(same[0]._replace(start=start))
            continue
        few = sum(leaf.size for leaf in jax.tree.leaves(found.theta)) <= MOST_PARAMETERS
        step = largest_stable_step(one.game, leader, follower, found, one.key) if few else np.nan
        to = [distance(one.game, found.theta, other, one.key) for other in (one.optimal, one.best)]
        points.append(Point(seed, start, found, len(distinct), found.residual, "", step, *to))
        distinct.append(points[-1])
    return points


def _require_any(found: Equilibria) -> None:
    """Raise an InputError if no search of any objective reached an equilibrium."""
    failures = [point for one in found.reached.values() for point in one.failures]
    if len(failures) == sum(len(row) for one in found.reached.values() for row in one.points):
        worst = failures[0]
        raise InputError(
            f"equilibria from {found.starts[worst.start]}", "none", f"reached by a search: {worst.reason}"
        )
