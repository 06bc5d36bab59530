"""Routes to the exact gradient dF/dθ that are not automatic differentiation of F.

Each is an objective as well, so that it can drive a policy: its `value` is F, whose gradient with respect to
θ is declared to be the estimate.
"""

import copy
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import expect, item_loss, leader_value
from fpo_jax.hyperparameters import choice, count, kebab, real
from fpo_jax.numerics.differentiators import CentralDifference
from fpo_jax.numerics.linear_solve import SOLVERS, Limits, solve
from fpo_jax.responses import drawn
from fpo_jax.steering import Decomposition, foresight_keys, foresighted_value
from fpo_jax.types import (
    Cost,
    Estimate,
    Feedback,
    Follower,
    Game,
    Influence,
    Key,
    Objective,
    Phi,
    Response,
    Responses,
    RewardModel,
    Scalar,
    Theta,
)
from fpo_jax.wrappers import Wrapped


class Directed(Objective):
    """An objective that is known by its gradient: a subclass gives `estimate`."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F(θ), with the estimate as its gradient with respect to θ."""
        here = jax.lax.stop_gradient(theta)
        gradient = self.estimate(game, follower, here, reward_model, key).gradient
        chex.assert_trees_all_equal_shapes(gradient, theta)
        at_zero = jax.tree.map(lambda g, t, h: jnp.sum(g * (t - h)), gradient, theta, here)
        return foresighted_value(game, follower, here, reward_model, key) + sum(jax.tree.leaves(at_zero))


class Linearised(NamedTuple):
    """What the implicit function theorem needs at φ⁺, all of it a constant for θ.

    Attributes:
        phi: φ⁺, flattened.
        unravel: gives a flattened φ its shape.
        sensitivity: v = H⁻¹ ∂J/∂φ, flattened, with H = ∂²L/∂φ².
        cost: what the solve cost.
    """

    phi: Float[Array, " n"]
    unravel: Callable[[Float[Array, " n"]], Phi]
    sensitivity: Float[Array, " n"]
    cost: Cost


@struct.dataclass
class Implicit(Directed):
    """dF/dθ at a best response by the implicit function theorem (paper, Thm.).

    steering = −(∂J/∂φ)ᵀ [∂²L/∂φ²]⁻¹ ∂²L/∂φ∂θ, with Hessian-vector products only unless the solver is dense.
    Damping replaces H by H + damping · I: it makes an indefinite Hessian usable, and the answer approximate.
    So it is where φ⁺ is no stationary point, as after a few steps of an optimiser: the influence function
    that practice uses. `Cost.slope` says how far from one φ⁺ is.
    """

    solver: str = choice("dense", "how H v = ∂J/∂φ is solved", tuple(SOLVERS))
    damping: float = real(0.0, "added to the Hessian's diagonal", low=0.0)
    tolerance: float = real(1e-12, "relative residual at which CG stops", low=0.0, high=1.0)
    terms: int = count(1000, "terms of the Neumann series, most iterations of CG")
    neumann_step: float = real(
        0.0, "step η of the Neumann series; 0: one over the largest curvature", low=0.0
    )

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return standard + steering and the cost of the solve; NaN where the solve fails.

        Raises:
            InputError: when the follower's update minimises nothing, so that the theorem does not apply.
        """
        parts, cost = self.decompose(game, follower, theta, reward_model, key)
        return Estimate(parts.gradient, cost)

    def decompose(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> tuple[Decomposition, Cost]:
        """Return the two parts of dF/dθ, and the cost of the solve."""
        at = self.linearise(game, follower, theta, reward_model, key)
        keys = foresight_keys(key)

        def value(t: Theta) -> Scalar:
            return leader_value(game, t, at.unravel(at.phi), game.respond(t, keys.evaluation))

        def slope(t: Theta) -> Scalar:
            loss = _loss(follower, game, t, reward_model, keys.data)
            return -jax.jvp(loss, (at.phi,), (at.sensitivity,))[1]

        return Decomposition(jax.grad(value)(theta), jax.grad(slope)(theta)), at.cost

    def linearise(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Linearised:
        """Solve for the sensitivity v = H⁻¹ ∂J/∂φ at the best response to π_θ."""
        keys = foresight_keys(key)
        loss = _loss(follower, game, theta, reward_model, keys.data)
        phi, unravel = ravel_pytree(follower.update(game, theta, reward_model, keys.data).phi)
        responses = game.respond(theta, keys.evaluation)
        right = jax.grad(lambda p: leader_value(game, theta, unravel(p), responses))(phi)

        def product(v: Float[Array, " n"]) -> Float[Array, " n"]:
            return jax.jvp(jax.grad(loss), (phi,), (v,))[1] + self.damping * v

        limits = Limits(self.tolerance, self.terms, self.neumann_step)
        sensitivity, cost = solve(self.solver, product, right, limits)
        slope = jnp.linalg.norm(jax.grad(loss)(phi))
        return Linearised(phi, unravel, sensitivity, cost._replace(slope=slope))


@struct.dataclass
class EffectiveReward(Implicit):
    """dF/dθ as a policy gradient on the effective reward r̃(y) = r_φ⁺(y) + share · ⟨ḡ, I(y)⟩ (paper).

    I(y) = −H⁻¹ ∇_φ ℓ(y) is the influence of a response, ḡ = E_π[∇_φ r]; the share is that of the present
    policy in the follower's data (`policy_share`): α, or less where a buffer holds earlier draws. r̃ is held
    fixed as a function of y, which is differentiated, as is its weight. On preferences ℓ and r̃ belong to a
    comparison (y, y'), and both sides carry gradient.
    """

    def reward(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> tuple[Callable[[PyTree], Scalar], Cost]:
        """Return r̃ as a function of one item of the follower's feedback, and the cost of the solve."""
        at = self.linearise(game, follower, theta, reward_model, key)
        feedback = follower.feedback
        share = policy_share(follower, game, theta, reward_model, foresight_keys(key).data)

        def effective(item: PyTree) -> Scalar:
            def reward_and_loss(p: Float[Array, " n"]) -> tuple[Scalar, Scalar]:
                phi = at.unravel(p)
                return game.reward(phi, feedback.sides(item)[0]), item_loss(game, phi, item, feedback)

            (reward, _), (_, slope) = jax.jvp(reward_and_loss, (at.phi,), (at.sensitivity,))
            return reward - share * slope

        return effective, at.cost

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return ∇_θ (E_{π_θ}[r̃] − cost) and the cost of the solve.

        NaN where the solve fails, or where the follower weights the policy's items otherwise than the policy.

        Raises:
            InputError: when the follower's update minimises nothing.
        """
        effective, cost = self.reward(game, follower, theta, reward_model, key)
        keys = foresight_keys(key)

        def value(t: Theta) -> Scalar:
            responses = game.respond(t, keys.evaluation)
            items = follower.feedback.gather(game, t, responses, keys.data)
            return expect(effective, items) - game.cost(t, responses)

        return Estimate(jax.grad(value)(theta), cost)


@struct.dataclass
class _Counting(Feedback):
    """A feedback by which a loss counts its items, those of the policy with other weights."""

    scale: ClassVar[float] = 1.0
    quadratic: ClassVar[bool] = True

    feedback: Feedback
    factor: float  # of the weights of the policy's items
    each: float  # that an item costs
    own: float  # share of its own loss that it costs besides

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        items = self.feedback.gather(game, theta, responses, key)
        return items._replace(w=self.factor * items.w)

    def offline(self, game: Game, key: Key) -> Responses | None:
        return self.feedback.offline(game, key)

    def sides(self, item: PyTree) -> tuple[Response, ...]:
        return self.feedback.sides(item)

    def margin(self, game: Game, phi: Phi, item: PyTree) -> Scalar:
        return self.feedback.margin(game, phi, item)

    def target(self, game: Game, item: PyTree) -> Scalar:
        return self.feedback.target(game, item)

    def loss(self, margin: Scalar, target: Scalar) -> Scalar:
        return self.each + self.own * self.feedback.loss(margin, target)

    def residual(self, margin: Scalar, target: Scalar) -> Scalar:
        return self.own * self.feedback.residual(margin, target)

    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        return self.own * self.feedback.residual_after(margin, target, self.own * step)

    def influence(self, game: Game, phi: Phi, item: PyTree) -> Influence:
        return self.feedback.influence(game, phi, item)


def policy_share(follower: Follower, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
    """Return the weight of the present policy's items in the follower's loss, counted in that loss itself.

    If each item costs 1 rather than ℓ, then L = Ω + Σ_j μ_j, and the share is what is lost of it when the
    policy's items weigh nothing. An effective reward takes it for one number that multiplies every item's own
    weight. So it is NaN where twice the weights do not add as much again, to the count and to L, as when
    weights are normalised; where another policy has another share, as when items are weighted by what they
    are; and where nothing is counted, since the items are not those of the follower's feedback (ours).
    """
    phi, _ = ravel_pytree(reward_model.phi)

    def loss(t: Theta, factor: float, each: float = 0.0, own: float = 0.0) -> Scalar:
        counting = copy.copy(follower)  # whose feedback need not be a field
        object.__setattr__(counting, "feedback", _Counting(follower.feedback, factor, each, own))
        return _loss(counting, game, t, reward_model, key)(phi)

    def count(t: Theta, factor: float) -> Scalar:
        return loss(t, factor, each=1.0) - loss(t, factor)

    flat, unravel = ravel_pytree(theta)
    other = unravel(flat + 0.3 * jnp.cos(jnp.arange(flat.size, dtype=flat.dtype)))
    none, once, twice = (count(theta, factor) for factor in (0.0, 1.0, 2.0))
    share = once - none
    losses = [loss(theta, factor, own=1.0) for factor in (0.0, 1.0, 2.0)]
    alike = jnp.stack(
        [
            jnp.stack([twice - once, share]),
            jnp.stack([count(other, 1.0) - count(other, 0.0), share]),
            jnp.stack([losses[2] - losses[1], losses[1] - losses[0]]),
        ]
    )
    scale = jnp.stack([once, once, jnp.max(jnp.abs(jnp.stack(losses)))])
    rounding = jnp.sqrt(jnp.finfo(share.dtype).eps) * jnp.abs(scale)
    counted = (once > 0) & jnp.all(jnp.abs(alike[:, 0] - alike[:, 1]) <= rounding)
    return jnp.where(counted, share, jnp.nan)


@struct.dataclass
class ZeroOrder(Directed):
    """dF/dθ by central differences of F, one pair of updates of the follower for each coordinate of θ."""

    zero_order_step: float = real(1e-5, "half-width of the central difference", low=0.0, open=True)
    horizon: int = count(1, "updates of the follower that the leader foresees")

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return the central difference of F, with an error of order zero_order_step²."""

        def value(t: Theta) -> Scalar:
            return foresighted_value(game, follower, t, reward_model, key, self.horizon)

        return Estimate(
            CentralDifference(difference_step=self.zero_order_step).gradient(value, theta), Cost()
        )


@struct.dataclass
class _Sampled(Wrapped):
    samples: int = struct.field(pytree_node=False)

    noise = Game.noise  # it draws from its key what the game does not
    sample = Game.sample  # of the sampled policy

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return responses drawn by their weights, which keep the weights' score as their gradient."""
        sample_key, own_key = jax.random.split(key)
        return drawn(self.game.respond(theta, own_key), self.samples, sample_key)

    def compare(self, theta: Theta, responses: Responses, opponent: str, key: Key) -> Responses:
        """Return pairs drawn by their weights, since two samples need not meet at one prompt."""
        sample_key, first_key, own_key = jax.random.split(key, 3)
        every = self.game.compare(theta, self.game.respond(theta, first_key), opponent, own_key)
        return drawn(every, self.samples, sample_key)


@struct.dataclass
class ScoreFunction(Directed):
    """dF/dθ from responses sampled by their weights, by their score functions ∇_θ log w.

    The leader's evaluation and the follower's data are separate samples. Biased by what φ⁺ is not linear
    in, of order 1/samples.
    """

    samples: int = count(1000, "responses drawn for the evaluation, and again for the follower's data")
    horizon: int = count(1, "updates of the follower that the leader foresees")

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return the gradient of F on the samples.

        Raises:
            InputError: when the policy is one response, whose weight is 1 and has no score.
        """
        if jax.eval_shape(game.respond, theta, foresight_keys(key).evaluation).w.size == 1:
            raise InputError(
                "objective", kebab(type(self).__name__), "another one: this policy is one response"
            )
        sampled: PyTree = _Sampled(game, self.samples)

        def value(t: Theta) -> Scalar:
            return foresighted_value(sampled, follower, t, reward_model, key, self.horizon)

        return Estimate(jax.grad(value)(theta), Cost())


def _loss(
    follower: Follower, game: Game, theta: Theta, reward_model: RewardModel, key: Key
) -> Callable[[Array], Scalar]:
    """Return the loss that the follower minimises, or raise an InputError where it minimises none."""
    loss = follower.loss(game, theta, reward_model, key)
    if loss is None:
        name = kebab(type(follower).__name__)
        raise InputError("follower", name, "one whose update is a best response, for an implicit gradient")
    return loss
