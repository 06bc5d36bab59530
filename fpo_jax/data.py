"""The data that the players exchange, and their types."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from fpo_jax.responses import Responses

Scalar = Float[Array, ""]
Key = PRNGKeyArray | jax.Array
Theta: TypeAlias = Any  # a pytree: policy parameters θ
Phi: TypeAlias = Any  # a pytree: reward-model parameters φ
Response: TypeAlias = Any  # a pytree: one response y, no leading axis


class RewardModel(NamedTuple):
    """The reward model between two updates: its parameters φ and its follower's memory.

    Attributes:
        phi: parameters φ of r_φ.
        memory: whatever the follower carries from one update to the next; () when it carries nothing.
    """

    phi: Phi
    memory: PyTree = ()


class Training(NamedTuple):
    """The training data of a reward model: L(θ, φ) = E_items[ℓ] + ½ ridge · ‖φ − anchor‖².

    Attributes:
        items: of the follower's feedback, weighted; their weights sum to 1.
        ridge: curvature of the regulariser.
    """

    items: Responses
    ridge: Scalar | float


class State(NamedTuple):
    """The whole state of iterative RLHF at one iteration: policy parameters θ and the reward model.

    Attributes:
        theta: of the policy.
        reward_model: φ and its follower's memory.
        earlier: what the leader keeps of earlier iterations, such as policies or labels; else ().
    """

    theta: Theta
    reward_model: RewardModel
    earlier: PyTree = ()


class Trace(NamedTuple):
    """The record of a run: T + 1 entries, the first before any update; with seeds, [seed, T + 1].

    Attributes:
        metrics: scalars by name.
        state: the whole state at each entry if it was requested, else None.
        finite: whether θ, φ were finite and no metric infinite.
    """

    metrics: dict[str, Array]
    state: State | None
    finite: Array


class Cost(NamedTuple):
    """The cost of an estimate of dF/dθ beyond gradients, and how accurate its linear solve was.

    Attributes:
        products: Hessian-vector products.
        iterations: iterations of the linear solver.
        residual: ‖H v − b‖ / ‖b‖ of the solve; 0 where there is none.
        slope: ‖∂L/∂φ‖ at φ⁺; the implicit function theorem assumes 0.
    """

    products: Array | int = 0
    iterations: Array | int = 0
    residual: Array | float = 0.0
    slope: Array | float = 0.0


class Estimate(NamedTuple):
    """An estimate of dF/dθ, the leader's true gradient.

    Attributes:
        gradient: pytree shaped like θ.
        cost: what it cost.
    """

    gradient: PyTree
    cost: Cost


class Recipe(NamedTuple):
    """The default settings of an environment, as plain data.

    Attributes:
        steps: iterations of (policy step, reward-model update).
        leader: hyperparameters of the leader that differ from its defaults.
        follower: name of the follower, as in `fpo_jax.followers.FOLLOWERS`.
        settings: hyperparameters of the follower that differ from its defaults.
        weights: penalty weight by name of the objective.
        objective: further hyperparameters, for every objective that has them.
        feedback: name of the follower's feedback, as in `fpo_jax.feedback.FEEDBACKS`.
        annotator: hyperparameters of the feedback that differ from its defaults.
    """

    steps: int
    leader: Mapping[str, Any]
    follower: str
    settings: Mapping[str, Any]
    weights: Mapping[str, float]
    objective: Mapping[str, Any] = MappingProxyType({})
    feedback: str = "labels"
    annotator: Mapping[str, Any] = MappingProxyType({})


class Influence(NamedTuple):
    """The first-order effect of a follower's step on one item on the reward of its response.

    Attributes:
        reward: r_φ(y) of the judged response.
        margin: m_φ, through which the loss depends on φ.
        on_reward: ⟨∇_φ r(y), ∇_φ m⟩, how far the step moves that reward.
        on_margin: ‖∇_φ m‖², how far it moves the margin.
    """

    reward: Scalar
    margin: Scalar
    on_reward: Scalar
    on_margin: Scalar
