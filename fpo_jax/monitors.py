"""Monitors: what a practitioner can compute of a run, without U at will, to tell that it collapses (ours).

Each is one number without unit, the larger the more alarming: rewards are measured in the standard deviation
of the present reward over the first policy's responses, other things in their own value there. Nothing
changes when U, the reward and what the policy pays are multiplied by the same number. What would be divided
by 0 is 0.

Labels, where a monitor asks for any, are those of items drawn anew from the policy. Each draw has as many as
the follower's label budget. The reward model has not been trained on them: it is the one before the last
update.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import annotated, evaluate, expect
from fpo_jax.followers.monitored import Kept, Monitored
from fpo_jax.numerics.keys import named_key
from fpo_jax.numerics.linear_solve import cholesky
from fpo_jax.numerics.square_root import square_root
from fpo_jax.objectives.leverage import Leverage, curvature
from fpo_jax.objectives.penalties import Penalised, Practical
from fpo_jax.record import outcome
from fpo_jax.steering import cosine, foresight_keys, norm
from fpo_jax.types import Follower, Game, Key, Phi, Response, Responses, RewardModel, Scalar, State, Theta

DAMPING = 1e-2
"""Added to the diagonal of the curvature, in its mean eigenvalue, so that leverage is finite."""

ROUNDINGS = 100
"""Relative deviations below so many units in the last place are taken for rounding."""
DRAWS = 32
"""Draws of a policy that responds once at a time, by which rewards are averaged."""


class Seen(NamedTuple):
    """What monitors look at.

    Attributes:
        game, follower: the latter is `Monitored`.
        theta, responses: the present policy.
        first, first_responses: the policy that the run began with.
        model: the reward model; `model.memory` is what was kept.
        key: of all that is drawn.
    """

    game: Game
    follower: Monitored
    theta: Theta
    responses: Responses
    first: Theta
    first_responses: Responses
    model: RewardModel
    key: Key

    def reward(self, y: Response) -> Scalar:
        """Return r_φ(y) by the present φ."""
        return self.game.reward(self.model.phi, y)

    def gain(self, f: Callable[[Response], Scalar]) -> Scalar:
        """Return E_π[f] − E_π₀[f]."""
        return expect(f, self.responses) - expect(f, self.first_responses)

    @property
    def unit(self) -> Scalar:
        """Return the standard deviation of r_φ over π₀."""
        return deviation(self.reward, self.first_responses)

    def items(self, theta: Theta, responses: Responses, name: str) -> Responses:
        """Return items of a policy with their labels, as many as the follower pays for."""
        feedback, key = self.follower.feedback, named_key(self.key, name)
        return annotated(feedback.gather(self.game, theta, responses, key), feedback, key)

    def residual(self, phi: Phi, item: PyTree) -> Scalar:
        """Return the residual of an item."""
        return self.follower.feedback.item_residual(self.game, phi, item)


def ratio(a: Scalar, b: Scalar) -> Scalar:
    """Return a / b, 0 where b is 0."""
    return jnp.where(b != 0, a / jnp.where(b != 0, b, 1.0), 0.0)


def deviation(f: Callable[[Response], Scalar], responses: Responses) -> Scalar:
    """Return the standard deviation of f, 0 where that is rounding."""
    mean, square = expect(lambda y: (f(y), f(y) ** 2), responses)
    variance = expect(lambda y: (f(y) - mean) ** 2, responses)
    least = (ROUNDINGS * jnp.finfo(square.dtype).eps) ** 2 * square
    return square_root(jnp.where(variance > least, variance, 0.0))


def proxy_growth(seen: Seen) -> Scalar:
    """Return (E_π[r] − E_π₀[r]) / σ₀(r)."""
    return ratio(seen.gain(seen.reward), seen.unit)


def fresh_residual(seen: Seen) -> Scalar:
    """Return √(E_fresh[ρ'²] / E_train[ρ²]).

    ρ' is the residual before the last update, on fresh items of π; ρ is the present one, on items drawn as
    the next update would draw them.
    """
    return ratio(square_root(expect(lambda i: _before(seen, i) ** 2, _fresh(seen))), _trained(seen))


def overestimate(seen: Seen) -> Scalar:
    """Return E_fresh[ρ'] / √E_train[ρ²]: by how much fresh items were believed better than their labels say.

    ρ' and ρ are those of `fresh_residual`.

    With preferences between two responses of the policy it is 0 but for what is drawn.
    """
    return ratio(expect(lambda i: _before(seen, i), _fresh(seen)), _trained(seen))


def worse_labels(seen: Seen) -> Scalar:
    """Return (E₀[label] − E_fresh[label]) / σ₀(label), from as many labels of π₀ as of π."""
    first = seen.items(seen.first, seen.first_responses, "labels of the first policy")
    label = lambda item: seen.follower.feedback.target(seen.game, item)  # noqa: E731
    return ratio(expect(label, first) - expect(label, _fresh(seen)), deviation(label, first))


def leverage(seen: Seen) -> Scalar:
    """Return E_π[ℓ] / E_π₀[ℓ], ℓ(y) = ⟨∇r(y), (H + δ)⁻¹ ∇m⟩ by all that is trained on (`leverage`)."""
    game, follower, model = seen.game, seen.follower, seen.model
    matrix = curvature(game, follower, seen.theta, model, named_key(seen.key, "curvature"))
    curves = jnp.trace(matrix) > 0
    damping = jnp.where(curves, DAMPING * jnp.trace(matrix) / matrix.shape[0], 1.0)
    factor = cholesky(matrix + damping * jnp.eye(matrix.shape[0], dtype=matrix.dtype))
    objective = Leverage(weight=1.0, factor=factor)
    return ratio(_penalty(seen, objective, seen.theta), _penalty(seen, objective, seen.first))


def disagreement(seen: Seen) -> Scalar:
    """Return σ_i(E_π[r_i] − E_π₀[r_i]) / σ₀(r) over the members i of the ensemble beside the run.

    Raises:
        InputError: when there is none.
    """
    beside, members = seen.follower.beside, seen.model.memory.members
    if beside is None:
        raise InputError("beside", "nothing", "an ensemble, of whose members the disagreement is asked")
    gains = jax.vmap(lambda phi: seen.gain(lambda y: seen.game.reward(phi, y)))(members.phi)
    return ratio(jnp.std(gains), seen.unit)


def drift(seen: Seen) -> Scalar:
    """Return √E_π[(Δ − E_π₀[Δ])²] / σ₀(r), Δ = r_φ − r_φ' of φ' before the last update."""
    centre = expect(lambda y: _change(seen, y), seen.first_responses)
    return ratio(square_root(expect(lambda y: (_change(seen, y) - centre) ** 2, seen.responses)), seen.unit)


def taken_back(seen: Seen) -> Scalar:
    """Return −(E_π[Δ] − E_π₀[Δ]) / σ₀(r): what the last update took of what the policy is paid."""
    return -ratio(seen.gain(lambda y: _change(seen, y)), seen.unit)


def steering_norm(seen: Seen) -> Scalar:
    """Return (‖∇_θ P(θ)‖ / P(θ₀)) / (‖∇_θ J(θ, φ)‖ / σ₀(r)), P the penalty of practical FPO."""
    pays, earns = _gradients(seen)
    scale = ratio(seen.unit, _penalty(seen, Practical(weight=1.0), seen.first))
    return ratio(norm(pays), norm(earns)) * scale


def steering_cosine(seen: Seen) -> Scalar:
    """Return cos(∇_θ P, ∇_θ J): near 1 the policy goes where the estimated steering would turn it back."""
    found = cosine(*_gradients(seen))
    return jnp.where(jnp.isnan(found), 0.0, found)


MONITORS: Mapping[str, Callable[[Seen], Scalar]] = {
    "proxy_growth": proxy_growth,
    "fresh_residual": fresh_residual,
    "overestimate": overestimate,
    "worse_labels": worse_labels,
    "leverage": leverage,
    "disagreement": disagreement,
    "drift": drift,
    "taken_back": taken_back,
    "estimated_steering_norm": steering_norm,
    "estimated_steering_cosine": steering_cosine,
}
"""By the name under which they are recorded. Where a game has a `kl` in its diagnostics, that is one more."""


def monitored(game: Game, follower: Follower, state: State, key: Key) -> dict[str, Scalar]:
    """Record the outcome and all monitors; the disagreement where there is an ensemble beside the run.

    Raises:
        InputError: when the follower is not `Monitored`.
    """
    found = outcome(game, follower, state, named_key(key, "outcome"))
    seen = look(game, follower, state, named_key(key, "monitors"))
    asked = [name for name in MONITORS if name != "disagreement" or seen.follower.beside is not None]
    return found | {name: MONITORS[name](seen) for name in asked}


def look(game: Game, follower: Follower, state: State, key: Key) -> Seen:
    """Return what monitors look at in this state.

    Raises:
        InputError: when the follower is not `Monitored`.
    """
    kept = state.reward_model.memory
    if not isinstance(follower, Monitored) or not isinstance(kept, Kept):
        raise InputError("follower", type(follower).__name__, "Monitored, which keeps what monitors look at")
    now, first = (_responses(game, t, named_key(key, "responses")) for t in (state.theta, kept.first))
    return Seen(game, follower, state.theta, now, kept.first, first, state.reward_model, key)


def _responses(game: Game, theta: Theta, key: Key) -> Responses:
    """Return the policy as a weighted sample; of one that is a single response, so many draws."""
    responses = game.respond(theta, key)
    if responses.w.size > 1:
        return responses
    draws = game.sample(theta, key, DRAWS)
    return Responses(jax.tree.map(lambda leaf: leaf[:, 0], draws.y), draws.w[:, 0] / DRAWS)


def _fresh(seen: Seen) -> Responses:
    return seen.items(seen.theta, seen.responses, "fresh labels")


def _before(seen: Seen, item: PyTree) -> Scalar:
    return seen.residual(seen.model.memory.before, item)


def _trained(seen: Seen) -> Scalar:
    """Return √E_train[ρ²] of the present reward model, on what it would be trained on next."""
    training = seen.follower.training(seen.game, seen.theta, seen.model, named_key(seen.key, "training"))
    if training is None:
        raise InputError("follower", "one that cannot tell", "one that tells what it trains on")
    return square_root(expect(lambda item: seen.residual(seen.model.phi, item) ** 2, training.items))


def _change(seen: Seen, y: Response) -> Scalar:
    return seen.reward(y) - seen.game.reward(seen.model.memory.before, y)


def _penalty(seen: Seen, objective: Penalised, theta: Theta) -> Scalar:
    """Return E[penalty] at a policy: what an objective of weight 1 pays less than J."""
    value = objective.value(seen.game, seen.follower, theta, seen.model, seen.key)
    return _paid(seen, theta) - value


def _paid(seen: Seen, theta: Theta) -> Scalar:
    key = foresight_keys(seen.key).evaluation  # that of `Objective.value`
    return evaluate(seen.game, theta, seen.model.phi, key)


def _gradients(seen: Seen) -> tuple[Theta, Theta]:
    """Return ∇_θ P and ∇_θ J."""
    penalty = jax.grad(lambda t: _penalty(seen, Practical(weight=1.0), t))(seen.theta)
    return penalty, jax.grad(lambda t: _paid(seen, t))(seen.theta)
