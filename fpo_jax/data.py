"""The data that players exchange, and the names of their types."""

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
    """The reward model between two updates: its parameters φ and what its follower remembers.

    Attributes:
        phi: parameters φ of r_φ.
        memory: whatever the follower carries from one update to the next; () when it carries nothing.
    """

    phi: Phi
    memory: PyTree = ()


class Training(NamedTuple):
    """What a reward model is trained on: L(θ, φ) = E_items[ℓ] + ½ ridge · ‖φ − anchor‖².

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
        reward_model: φ and what its follower remembers.
        earlier: what the leader keeps of earlier iterations, such as policies or labels; else ().
    """

    theta: Theta
    reward_model: RewardModel
    earlier: PyTree = ()


class Trace(NamedTuple):
    """What a run recorded: T + 1 entries, the first before any update; with seeds, [seed, T + 1].

    Attributes:
        metrics: scalars by name.
        state: the whole state at each entry, where it was asked for, else None.
        finite: whether θ, φ were finite and no metric infinite.
    """

    metrics: dict[str, Array]
    state: State | None
    finite: Array


class Cost(NamedTuple):
    """What an estimate of dF/dθ cost beyond gradients, and how well its linear solve went.

    Attributes:
        products: Hessian-vector products.
        iterations: iterations of the linear solver.
        residual: ‖H v − b‖ / ‖b‖ of the solve; 0 where there is none.
        slope: ‖∂L/∂φ‖ at φ⁺, which the implicit function theorem takes for 0.
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
    """The settings under which an environment is run when nothing else is asked for: plain data.

    Attributes:
        steps: iterations of (policy step, reward-model update).
        leader: hyperparameters of the leader that differ from its defaults.
        follower: name of the follower, as in `fpo_jax.followers.FOLLOWERS`.
        settings: hyperparameters of the follower that differ from its defaults.
        weights: penalty weight by name of the objective.
        objective: further hyperparameters, for every objective that has them.
        feedback: name of what the follower is trained on, as in `fpo_jax.feedback.FEEDBACKS`.
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
    """What a follower's step on one item does to the reward of its response, to first order.

    Attributes:
        reward: r_φ(y) of the response that is judged.
        margin: m_φ, through which the loss depends on φ.
        on_reward: ⟨∇_φ r(y), ∇_φ m⟩, by which the step moves that reward.
        on_margin: ‖∇_φ m‖², by which it moves the margin itself.
    """

    reward: Scalar
    margin: Scalar
    on_reward: Scalar
    on_margin: Scalar
