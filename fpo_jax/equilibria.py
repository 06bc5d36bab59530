"""Equilibria of the game: where iterative RLHF comes to rest, and whether it stays there.

A run iterates (θ, φ) ↦ (θ⁺, φ⁺): policy steps at the present reward model, then retraining. At a fixed point
the leader's direction vanishes against the follower's limit, `fpo_jax.stationary`. A fixed point attracts if
all eigenvalues of the derivative of a whole iteration are smaller than 1 in size, along all directions in
which the policy or the reward model can move, `fpo_jax.stability`.

In performative prediction a fixed point of the myopic leader is a performatively stable point. The best fixed
point of the exact leader is the performatively optimal one (Perdomo et al. 2020).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree
from scipy.optimize import brentq

from fpo_jax.errors import InputError
from fpo_jax.field import Players, answer, field_of, gradient_at
from fpo_jax.hyperparameters import kebab
from fpo_jax.leader import Leader
from fpo_jax.numerics.undetached import undetached
from fpo_jax.record import outcome
from fpo_jax.run import initial_state
from fpo_jax.stability import eigenvalues
from fpo_jax.stationary import Point, Search, find, in_blocks
from fpo_jax.steering import steering
from fpo_jax.tangents import MOST_PARAMETERS, kind
from fpo_jax.types import Follower, Game, Key, Responses, RewardModel, State, Theta

LEVEL = 1e-9
"""A smaller curvature, relative to the largest, counts as zero."""
SAME = 1e-6
"""Policies or actions closer than this are the same equilibrium."""


class Equilibrium(NamedTuple):
    """A fixed point of iterative RLHF.

    Attributes:
        theta: the policy; other θ may give the same policy.
        reward_model: the follower's limit there.
        residual: √(gᵀF⁺g), the leader's gradient in the Fisher metric of the policy.
        eigenvalues: of the derivative of one iteration, largest first; only the leading ones if there are
            many.
        spectral_radius: the largest size of an eigenvalue, the factor by which errors shrink each iteration.
        stable: whether it is below 1.
        steering: dF/dθ − ∂J/∂θ there, the residual steering gradient, shaped like θ.
        steering_norm: its length in the Fisher metric.
        metrics: E[U], E[r], their gap, blind-spot mass and the other outcomes that a run records.
        second_order: `maximum`, `minimum` or `saddle` of the leader's objective at this reward model, along
            the free directions; `flat` if one of them has no curvature.
        support: which coordinates of θ are free; for logits, the responses with positive probability.
        steps: implicit steps from the start.
        starts: numbers of the starts that lead here.
        others: the other equilibria that the remaining starts lead to.
    """

    theta: Theta
    reward_model: RewardModel
    residual: float
    eigenvalues: np.ndarray
    spectral_radius: float
    stable: bool
    steering: PyTree
    steering_norm: float
    metrics: dict[str, float]
    second_order: str
    support: np.ndarray
    steps: int
    starts: tuple[int, ...] = (0,)
    others: tuple["Equilibrium", ...] = ()

    @property
    def multiplicity(self) -> int:
        """Return the number of equilibria found from all starts."""
        return 1 + len(self.others)


def equilibrium(
    game: Game,
    leader: Leader,
    follower: Follower,
    theta: Theta,
    key: Key,
    *,
    starts: Sequence[Theta] = (),
    bounds: tuple[Theta, Theta] | None = None,
    repelling: bool = False,
    finest: float = 1e-2,
    tolerance: float = 1e-9,
) -> Equilibrium:
    """Return the equilibrium that the flow of the leader's direction leads to from θ, with its properties.

    G(θ) = ∇_θ objective(θ, φ) at φ = φ*(θ), the follower's limit. At the equilibrium √(GᵀF⁺G) is at most the
    tolerance, and no response off the support would pay. Only the eigenvalues depend on the leader's step.

    Args:
        game, leader, follower: one instance and its players, in float64; an iteration must draw nothing.
        theta: where the flow begins, such as the game's first policy or the last of a run.
        key: as of a run.
        starts: more starting points.
        bounds: least and greatest θ of an action, shaped like it; a step beyond them ends there.
        repelling: take long steps from the beginning, which also find nearby equilibria that repel the flow.
        finest: for a policy whose parameters are not logits, the weakest direction in which it has to rest:
            how much a unit of it changes log-probabilities, relative to the strongest direction.
        tolerance: largest residual.

    Raises:
        InputError: for a game or follower that draws, a follower without a limit, an objective that remembers
            earlier policies, too many parameters, or a search that reaches no equilibrium.
    """
    players = checked_players(game, leader, follower, theta, key)
    found: list[Equilibrium] = []
    for number, start in enumerate((theta, *starts)):
        search = Search(players, start, bounds, repelling, finest)
        _add(found, number, search, *find(search, tolerance))
    return found[0]._replace(others=tuple(found[1:]))


def _add(found: list[Equilibrium], number: int, search: Search, point: Point, steps: int) -> None:
    """Add a new equilibrium, or add its start to the equilibrium that it equals."""
    for place, one in enumerate(found):
        if _same(search, one, point):
            found[place] = one._replace(starts=(*one.starts, number))
            return
    found.append(described(search, point, steps)._replace(starts=(number,)))


def largest_stable_step(
    game: Game, leader: Leader, follower: Follower, at: Equilibrium, key: Key, most: float = 1e6
) -> float:
    """Return the largest policy_lr at which the equilibrium attracts: 0 if none does, `most` if all do.

    There the spectral radius of one iteration first reaches 1; Brent's method finds it on its logarithm.
    """
    players = checked_players(game, leader, follower, at.theta, key)._replace(model=at.reward_model)
    search = Search(players, at.theta)
    point = search.at(search.start)

    def excess(log_step: float) -> float:
        # an array, as in the search, so that nothing compiles anew
        step = jnp.exp(jnp.asarray(log_step, float))
        paced = leader.replace(policy_lr=step)  # type: ignore[attr-defined]
        search.players = players._replace(leader=paced)
        values = eigenvalues(search, point, at.reward_model)
        return float(np.max(np.abs(values), initial=0.0)) - 1.0

    low, high = np.log(1e-6), np.log(most)
    if excess(low) >= 0.0:
        return 0.0
    while low < high:
        after = min(low + np.log(4.0), high)
        if excess(after) > 0.0:
            return float(np.exp(brentq(excess, low, after, xtol=1e-13)))
        low = after
    return most


def players_of(game: Game, leader: Leader, follower: Follower, theta: Theta, key: Key) -> Players:
    """Return the players with real-valued fields; a leader that is held to its first policy is held to θ."""
    game, leader, follower, theta = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, float) if isinstance(leaf, float) else jnp.asarray(leaf),
        (game, leader, follower, theta),
    )
    state = initial_state(game, follower, key, (theta, game.init(key)[1]), leader)
    if leader.keeps:
        leader = leader.for_iteration(game, follower, state, key)
    return Players(game, leader, follower, state.reward_model, key, state.earlier)


def checked_players(game: Game, leader: Leader, follower: Follower, theta: Theta, key: Key) -> Players:
    """Return `players_of` these players, after checks.

    Raises:
        InputError: when no equilibrium is defined for them.
    """
    if not jax.config.read("jax_enable_x64"):
        raise InputError("precision", "float32", 'float64: jax.config.update("jax_enable_x64", True)')
    if leader.restart != "kept":
        raise InputError("restart", leader.restart, "kept: a policy that restarts has no equilibrium")
    players = players_of(game, leader, follower, theta, key)
    _require_lasting(players, theta)
    game, theta = players.game, jax.tree.map(jnp.asarray, theta)
    _require_same(game, lambda one: responses_of(game, theta, one), key)
    form, size = kind(game, theta, key), ravel_pytree(theta)[0].size
    if form != "parameters" and size > MOST_PARAMETERS:
        raise InputError("parameters of the policy", size, f"<= {MOST_PARAMETERS}")
    logits = form == "logits"
    _require_same(game, lambda one: field_of(players._replace(key=one), theta, logits)[0], key)
    return players


def _require_lasting(players: Players, theta: Theta) -> None:
    """Raise an InputError where the objective keeps what changes along a run."""
    objective, state = players.leader.objective, State(theta, players.model, players.earlier)
    if not objective.keeps:
        return
    kept = objective.remember(players.game, players.follower, state, state, players.key)
    if kept is not players.earlier:
        allowed = "one that keeps nothing of earlier iterations but the start: a run ends without the rest"
        raise InputError("objective", kebab(type(objective).__name__), allowed)


def _require_same(game: Game, seen: Callable[[Key], PyTree], key: Key) -> None:
    """Raise an InputError if another key gives another outcome."""
    pairs = zip(*(jax.tree.leaves(seen(one)) for one in (key, jax.random.fold_in(key, 1))), strict=True)
    if not all(np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True) for a, b in pairs):
        allowed = "one without random draws: all responses enumerated, and every label used"
        raise InputError("game", type(game).__name__, allowed)


@jax.jit
def responses_of(game: Game, theta: Theta, key: Key) -> Responses:
    """Return the policy's responses."""
    return game.respond(theta, key)


def _same(search: Search, one: Equilibrium, point: Point) -> bool:
    if search.kind == "action":
        return bool(np.allclose(ravel_pytree(one.theta)[0], point.theta, rtol=SAME, atol=SAME))
    weights = responses_of(search.players.game, one.theta, search.players.key).w
    return float(np.sum(np.abs(np.asarray(weights) - point.weights))) < SAME


def described(search: Search, point: Point, steps: int) -> Equilibrium:
    """Return the properties of an equilibrium."""
    theta = search.as_theta(point.theta)
    model, metrics, steer = _outcome(search.players, theta)
    values = eigenvalues(search, point, model)
    radius = float(np.max(np.abs(values), initial=0.0))
    return Equilibrium(
        theta,
        model,
        point.residual,
        values,
        radius,
        radius < 1.0,
        steer,
        float(np.linalg.norm(point.tangents.vectors.T @ np.asarray(ravel_pytree(steer)[0]))),
        {name: float(value) for name, value in metrics.items()},
        _second_order(search, point, model),
        point.free,
        steps,
    )


@jax.jit
def _outcome(players: Players, theta: Theta) -> tuple[RewardModel, dict[str, Array], PyTree]:
    game, _, follower, _, key, _ = players
    model = answer(players, theta)
    parts = steering(game, follower, theta, model, key)
    return model, outcome(game, follower, State(theta, model), key), parts.steering


def _second_order(search: Search, point: Point, model: RewardModel) -> str:
    """Return the kind of stationary point of the leader's objective, with φ held fixed."""
    vectors = point.tangents.vectors
    if vectors.shape[1] == 0:
        return "maximum"  # any move of a held coordinate is a loss
    theta = search.as_theta(point.theta)
    bend = in_blocks(lambda along: _curvature(search.players, theta, model, along), vectors.T) @ vectors
    values = np.linalg.eigvalsh(0.5 * (bend + bend.T))
    largest = np.max(np.abs(values))
    if np.min(np.abs(values)) <= LEVEL * largest:
        return "flat"
    return "maximum" if np.all(values < 0) else "minimum" if np.all(values > 0) else "saddle"


@jax.jit
def _curvature(players: Players, theta: Theta, model: RewardModel, along: Array) -> Array:
    flat, unravel = ravel_pytree(theta)
    slope = undetached(lambda x: ravel_pytree(gradient_at(players, unravel(x), model))[0])
    return jax.vmap(lambda v: jax.jvp(slope, (flat,), (v,))[1])(along)
