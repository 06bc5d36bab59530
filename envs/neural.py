"""The paper's neural environment: a Gaussian policy, a peaked utility, an MLP as the reward model.

The policy explores with annealed noise and takes several steps between two updates of the reward model. Adam
trains the reward model on a replay buffer. The curves depend on rounding: two runs that differ in their last
bits end apart. Only statistics over many seeds mean anything here.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.envs.parts.peak import Peak, Vector
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import LARGEST, choice, count, real, text
from fpo_jax.numerics.keys import normal
from fpo_jax.numerics.mlp import ACTIVATIONS, MLP, last_layer_gradient, reward_and_norm, tangent_kernel
from fpo_jax.numerics.schedule import annealed
from fpo_jax.types import Key, Phi, Recipe, Responses, Scalar

MOST_LAYERS = 100
"""Most hidden layers of the reward model: the program contains each of them separately."""


@struct.dataclass
class Neural(Peak):
    """r_φ an MLP, y = θ + σ(p)·ε with ε ~ N(0, I), at a peaked utility (paper, second experiment).

    θ: [dimension], the mean action, from 0. φ: weights from N(0, init_noise²), biases 0. At progress p,
    σ(p) = sigma_final + (sigma − sigma_final)·(1 − pᵖᵒʷᵉʳ), power = sigma_power. Deployed, the policy plays
    its mean action. The defaults are the published settings.
    """

    name: ClassVar[str] = "neural"
    recipe: ClassVar[Recipe] = Recipe(
        steps=4000,
        leader={"policy_lr": 0.05, "policy_steps": 15, "policy_lr_decay": 0.98, "gradient_clip": 1.0},
        follower="optax",
        settings={
            "optimizer": "adam",
            "rm_lr": 1e-3,
            "weight_decay": 1e-3,
            "replay": "fifo",
            "draws": 5,
            "buffer_size": 50,
        },
        weights={
            "relaxed": 0.005,
            "practical": 0.005,
            "fpo": 0.005,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 1.0,
            "pessimistic": 1.0,
            "gradient-norm": 0.0316,
            "shaped": 1.0,
            "ensemble": 0.316,
        },
        objective={
            "utility": "detached",
            "damping": 0.1,
            "metric": "plain",
        },  # in float32 the weight decay alone is too little
    )

    utility_rate: float = real(0.2, "how fast utility falls with squared distance", low=0.0)
    ideal_signal: float = real(2.5, "value of each signal coordinate of the peak")
    action_cost: float = real(0.01, "price of ‖y‖²", low=0.0)
    dimension: int = count(10, "dimension of the action")
    signal_dimension: int = count(2, "number of signal coordinates, at most the dimension")
    sigma: float = real(0.1, "standard deviation of exploration at the start", low=0.0)
    sigma_final: float = real(0.001, "standard deviation of exploration at the end", low=0.0)
    sigma_power: float = real(
        4.0, "exponent of exploration's decay; a larger one decays later", low=0.0, open=True
    )
    responses: int = count(1, "responses that the policy samples at a time")
    rm_hidden: str = text("32,32", "widths of the reward model's hidden layers, separated by commas")
    rm_activation: str = choice("softplus", "the reward model's activation", tuple(ACTIVATIONS))

    def check(self) -> None:
        """Raise an InputError when the sizes do not fit together."""
        super().check()
        widths = self.rm_hidden.split(",")
        read = [int(width) if _is_count(width.strip()) else 0 for width in widths]
        if len(widths) > MOST_LAYERS or not all(0 < width <= LARGEST for width in read):
            allowed = f"integers >= 1, separated by commas; at most {MOST_LAYERS}, each <= {LARGEST}"
            raise InputError("rm_hidden", self.rm_hidden, allowed)

    @property
    def model(self) -> MLP:
        """Return the reward model's architecture."""
        return MLP(tuple(map(int, self.rm_hidden.split(","))), self.rm_activation, self.init_noise)

    def init(self, key: Key) -> tuple[Vector, Phi]:
        """Return the mean action 0 and random reward-model weights."""
        theta = jnp.zeros(self.dimension)
        return theta, self.model.init(key, theta)

    def at(self, progress: Scalar | float) -> "Neural":
        """Return the environment with the exploration that it has at this progress."""
        now = annealed(self.sigma, self.sigma_final, self.sigma_power, progress)
        return self.replace(sigma=now)  # type: ignore[attr-defined]

    def respond(self, theta: Vector, key: Key) -> Responses:
        """Return θ + σε, each of weight 1 / responses, with ε ~ N(0, I)."""
        return self.explore(theta, normal(key, (self.responses, self.dimension)))

    def explore(self, theta: Vector, noise: Float[Array, "responses dimension"]) -> Responses:
        """Return θ + σε for this noise ε."""
        weights = jnp.full_like(theta, 1.0 / self.responses, shape=self.responses)
        return Responses(theta[None] + self.sigma * noise, weights)

    def deployed(self, theta: Vector, key: Key) -> Responses:
        """Return the mean action."""
        return Responses(theta[None], jnp.ones_like(theta, shape=(1,)))

    def reward(self, phi: Phi, y: Vector) -> Scalar:
        """Return the MLP's output."""
        return reward_and_norm(self.model, phi, y)[0]

    def reward_and_norm(self, phi: Phi, y: Vector) -> tuple[Scalar, Scalar]:
        """Return r_φ(y), and ‖∇_φ r_φ(y)‖² in closed form."""
        return reward_and_norm(self.model, phi, y)

    def gradient_features(self, phi: Phi, y: Vector) -> Float[Array, " d"]:
        """Return the gradient by the last layer's parameters: the last hidden activations, and 1."""
        return last_layer_gradient(self.model, phi, y)

    def tangent_kernel(self, phi: Phi, y: Vector, other: Vector) -> Scalar:
        """Return ⟨∇_φ r_φ(y), ∇_φ r_φ(y')⟩ in closed form."""
        return tangent_kernel(self.model, phi, y, other)


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 20
