"""The decomposition of the gradient along a run: every rung of the ladder, its error and its cost.

At each compared iteration every route gives an estimate of dF/dθ. Routes are compared by their *correction*,
which is all that foresight adds:

    correction = estimate − ∂J/∂θ at the present φ

At a best response, where φ⁺ = φ, the exact correction is the steering term.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.engine.checks import call_program
from fpo_jax.engine.initial import begin_runs, keys_of, seed_keys
from fpo_jax.engine.runs import iterations as program_of
from fpo_jax.engine.runs import require_memory, run_by
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.progress import Tell, silent, telling
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.ladder.estimates import RouteEstimates
from fpo_jax.experiments.ladder.result import Decomposed
from fpo_jax.experiments.ladder.rungs import ladder_of
from fpo_jax.hyperparameters import count, require
from fpo_jax.record import outcome
from fpo_jax.types import Follower

MOST_COORDINATES = 1000
"""With more coordinates of θ, zero-order estimates, which move each in turn, are made only on request."""


def decompose(
    settings: Settings,
    every: int,
    horizon: int = 1,
    only: Sequence[str] = (),
    draws: int = 1,
    tell: Tell = silent,
) -> Decomposed:
    """Run the settings, and compare every route with the exact one at every `every`-th iteration.

    Args:
        settings: the runs along which to compare. Their objective drives the policy.
        every: iterations between two comparisons, in [1, steps].
        horizon: follower updates, at least 1, that the exact term foresees. The driving objective may foresee
            others.
        only: labels of the routes to compare; all by default.
        draws: random draws, at least 1, of each route at every state. With more than one, the result has
            bias and spread of each route, and the exact term uses all labels, whatever the budget.
        tell: receives progress.

    Raises:
        InputError: when `every`, `horizon` or `draws` is out of range, or a route is unknown.
    """
    if not 1 <= every <= settings.steps:
        raise InputError("every", every, f"an integer >= 1 and <= steps = {settings.steps}")
    require("foresee", horizon, count(1, "updates that the exact term foresees"))
    require("draws", draws, count(1, "draws of every route"))
    environment, leader, follower = settings.build()
    scale = follower.calibrated_weight(horizon)
    ladder = ladder_of(environment.recipe, horizon, scale)
    for label in only:
        require_known("only", label, ladder)
    shown = np.arange(0, settings.steps + 1, every)
    with in_precision(settings.precision):
        devices = jax.local_devices()
        how = {"devices": devices, "steps": settings.steps, "record": outcome, "keep_states": True}
        require_memory(environment, leader, follower, keys_of(settings.seeds), **how)
        keys = seed_keys(settings.seeds, settings.seed)
        running = f"running {settings.names.objective}"
        iterations = f"the iterations of {settings.names.objective}"
        words = {begin_runs: "how runs begin", program_of(len(keys), devices): iterations}
        beginning, _, trace = run_by(
            telling(call_program, tell, words, then=running),
            *(environment, leader, follower, keys),
            **how,
            watch=lambda partway: tell(running, partway.done / partway.entries),
        )
        states = jax.tree.map(lambda leaf: jnp.asarray(leaf[:, shown]), trace.state)
        games = jax.tree.map(lambda leaf: leaf[: settings.seeds], beginning.game)
        where = keys, states, jnp.asarray(shown / settings.steps)
        estimates = RouteEstimates(games, follower, *where, leader.objective)
        tell("the exact gradient: compiling it, and computing it at every state")
        fully = estimates if draws == 1 else RouteEstimates(games, _all_labels(follower), *where)
        exact, _ = fully.correction(ladder["exact"])
        norms = estimates.norms()
        routes, skipped = {}, {}
        coordinates = sum(leaf[0, 0].size for leaf in jax.tree.leaves(states.theta))
        if not only and coordinates > MOST_COORDINATES:
            skipped["zero-order"] = f"{coordinates} coordinates of θ, two updates each: name it with --only"
        chosen = only or [label for label in ladder if label not in skipped]
        for number, label in enumerate(chosen):
            tell(
                f"{label}, route {number + 1} of {len(chosen)}: compiling and computing it",
                number / len(chosen),
            )
            try:
                routes[label] = estimates.compare(ladder[label], exact, draws)
            except InputError as error:
                skipped[label] = str(error)
        tell("effective rewards: compiling and computing them")
        effective = estimates.effective_rewards(routes)
    return Decomposed(settings, shown, routes, norms, scale, skipped, effective)


def _all_labels(follower: Follower) -> Follower:
    """Return the follower without a label budget. In a finite environment its update then draws nothing."""
    whole = dataclasses.replace(follower.feedback, label_budget=None)  # type: ignore[type-var]
    return dataclasses.replace(follower, feedback=whole)  # type: ignore[type-var]
