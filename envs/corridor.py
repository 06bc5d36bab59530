"""A corridor in which everything has a closed form: the short way ends in a decoy, the long way in the goal.

    decoy ← ○ ← … ← start → ○ → ○ → … → goal
       `short` moves            `long` moves

At the start, action 0 takes the short way and action 1 the long one. There is no turning back: off the start
both actions move on, and the ends are absorbing. U = 1 at the goal, else 0. The reward model is linear in
ψ = (visibility·U, glitter), with glitter 1 at the goal, g at the decoy, else 0. The offline data cover all
cells but the decoy, uniformly.

Closed forms, for an episode without end. Write m, n for the lengths, v for visibility, γ for the discount,
p = π(0 | start), α and λ for the share of on-policy data and the ridge of a best response.

Occupancy. The state at time t is certain but for the first move, so that cell j of the short way, 0 < j < m,
is occupied with weight (1 − γ)γʲ p; the decoy, entered at time m and never left, with

    D = (1 − γ) Σ_{t≥m} γᵗ p = γᵐ p,       and likewise the goal with   G = γⁿ (1 − p);

the start with 1 − γ, cell j of the long way with (1 − γ)γʲ(1 − p). In all 1. Within a cell weights are
π(a | s).

Leader. J(θ, φ) = D g φ₂ + G (v φ₁ + φ₂) − τ Σ_s d(s) K_s,  K_s = KL(π(· | s) ‖ uniform).

Follower. Only the decoy and the goal have features. The offline data give the goal 1/(m + n), hence with
a = αD and b = (1 − α)/(m + n) + αG

    L(θ, φ) = a (g φ₂)² + b (v φ₁ + φ₂ − 1)² + λ ‖φ‖²
    ½ ∂L/∂φ₁ = b v (v φ₁ + φ₂ − 1) + λ φ₁ = 0,   ½ ∂L/∂φ₂ = a g² φ₂ + b (v φ₁ + φ₂ − 1) + λ φ₂ = 0

whose solution, with Δ = (b v² + λ)(a g² + b + λ) − b² v² the determinant, is

    φ₁ = b v (a g² + λ) / Δ,       φ₂ = b λ / Δ.

Gradient. θ acts on J through p alone, but for the K_s. With p′ = ∂p/∂θ[start, 0] = p (1 − p), D′ = γᵐ p′,
G′ = −γⁿ p′, a′ = αD′, b′ = αG′, and the opposite signs for θ[start, 1]:

    standard[start] = D′ g φ₂ + G′ (v φ₁ + φ₂) − τ ∂(Σ_s d(s) K_s)
    steering[start] = φ₁′ G v + φ₂′ (D g + G)

where φ′ follows by the quotient rule from Δ′ = b′ v² (a g² + b + λ) + (b v² + λ)(a′ g² + b′) − 2 b b′ v²:

    φ₁′ = (b′ v (a g² + λ) + b v a′ g² − φ₁ Δ′) / Δ,       φ₂′ = (b′ λ − φ₂ Δ′) / Δ.

Off the start steering is 0 and standard is −τ d(s) ∂K_s. With ∂K_s/∂θ[s, a] = π(a | s) (log π(a | s) +
log 2 − K_s), and d moving with p, the last term at the start is (1 − γ) ∂K_start + Σ_{s ≠ start} d′(s) K_s.

The optimum is p = 0: E[U] = G = γⁿ.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import struct

from fpo_jax.envs.parts.tabular import COLLAPSING, Pair, Process, TabularGame
from fpo_jax.envs.parts.transitions import Branches
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, real
from fpo_jax.types import Key, Recipe


@struct.dataclass
class Corridor(Process):
    """A chain whose short way ends in a decoy and whose long way ends in the goal; always the same (ours).

    States from left to right: the decoy, the short way, the start (state `short`), the long way, the goal.
    """

    name: ClassVar[str] = "corridor"
    recipe: ClassVar[Recipe] = COLLAPSING._replace(
        weights={
            **COLLAPSING.weights,
            # chosen by the rule of `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 3.16,
            "pessimistic": 10.0,
            "kl": 10.0,
            "chi-squared": 3.16,
            "gradient-norm": 0.001,
            "shaped": 1000.0,
            "ensemble": 316.0,
        },
    )

    glitter: float = real(2.0, "glitter g of the decoy; the goal's is 1")
    visibility: float = real(0.3, "scale v at which the reward model sees U")
    short: int = count(2, "moves from the start to the decoy", high=10**6)
    long: int = count(4, "moves from the start to the goal, at least as many as to the decoy", high=10**6)

    def check(self) -> None:
        """Raise an InputError when the way to the goal is shorter than the way to the decoy."""
        super().check()
        if self.long < self.short:
            raise InputError("long", self.long, f"an integer >= short = {self.short}")

    def draw(self, key: Key) -> TabularGame:
        """Return the corridor, whatever the key."""
        states = self.short + self.long + 1
        state = jnp.arange(states)
        dtype = jnp.result_type(float)
        goal, decoy, start = ((state == s).astype(dtype) for s in (states - 1, 0, self.short))
        features = jnp.stack([self.visibility * goal, goal + self.glitter * decoy], axis=1)
        left, right = jnp.maximum(state - 1, 0), jnp.minimum(state + 1, states - 1)
        successors = jnp.stack(
            [jnp.where(state <= self.short, left, right), jnp.where(state < self.short, left, right)], axis=1
        )
        branches = Branches(successors[:, :, None], jnp.ones((states, 2, 1), dtype))
        return self.planted_game(Pair(features, goal, decoy), branches, start, is_covered=1.0 - decoy)
