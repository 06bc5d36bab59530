"""The game of a contextual bandit: responses to prompts, a policy given the prompt, KL to a reference policy.

`fpo_jax.envs.contextual` draws such games; `from_tables` makes one from tables given by hand.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, ArrayLike, Float

from fpo_jax.errors import InputError
from fpo_jax.feedback import recorded
from fpo_jax.numerics.mlp import MLP
from fpo_jax.types import Game, Key, Responses, Scalar, Theta

POLICIES = ("tabular", "linear", "mlp")
HIDDEN = (8,)
"""Widths of the MLP policy's hidden layers."""


class Candidate(NamedTuple):
    """One response to one prompt; a whole game's have leading axes [prompts, responses].

    Attributes:
        features: [d] what the reward model sees, and a policy that is not tabular.
        quality: true utility.
        planted: 1 for a trap, 0 for all others.
        error, rank: N(0, 1) and U[0, 1], the luck of an imperfect oracle.
    """

    features: Float[Array, "... d"]
    quality: Float[Array, "..."]
    planted: Float[Array, "..."]
    error: Float[Array, "..."]
    rank: Float[Array, "..."]


@struct.dataclass
class ContextualGame(Game):
    """All responses to all prompts, weighted ρ(x) π_θ(a | x); r = φ·ψ; cost = β E_x[KL(π_θ ‖ π_ref)].

    π_θ(a | x) ∝ π_ref(a | x) exp f_θ(x, a), from f = 0: θ itself (tabular), θ·ψ (linear), or an MLP of ψ.
    φ: [d], from 0.

    Attributes:
        candidates: leading axes [prompts, responses].
        prompt: [prompts] distribution ρ of prompts.
        log_reference: [prompts, responses] log π_ref(a | x).
        covered: [prompts, responses] weights of the offline data, summing to 1.
        kl_weight: β.
        policy: kind of policy, in `POLICIES`.
        preferences: recorded comparisons, or None.
    """

    candidates: Candidate
    prompt: Float[Array, " prompts"]
    log_reference: Float[Array, "prompts responses"]
    covered: Float[Array, "prompts responses"]
    kl_weight: float | Scalar
    policy: str = struct.field(pytree_node=False, default="tabular")
    preferences: Responses | None = None

    @property
    def prompts(self) -> int:
        """Return the number of prompts."""
        return self.log_reference.shape[0]

    @property
    def places(self) -> dict[str, int]:
        """Return prompts × responses."""
        return dict(zip(("prompt", "response"), self.log_reference.shape, strict=True))

    def init(self, key: Key) -> tuple[Theta, Float[Array, " d"]]:
        """Return the reference policy and a reward model that knows nothing, φ₀ = 0."""
        features = self.candidates.features
        phi = jnp.zeros_like(features[0, 0])
        if self.policy == "mlp":
            weights: Any = MLP(HIDDEN, "tanh", init_noise=0.5).init(key, phi)["params"]
            last = f"kernel_{len(HIDDEN)}"
            return {"params": weights | {last: jnp.zeros_like(weights[last])}}, phi
        return (jnp.zeros_like(self.log_reference) if self.policy == "tabular" else phi), phi

    def log_policy(self, theta: Theta) -> Float[Array, "prompts responses"]:
        """Return log π_θ(a | x)."""
        features = self.candidates.features
        if self.policy == "mlp":
            model: Any = MLP(HIDDEN, "tanh")
            scores = jax.vmap(jax.vmap(lambda psi: model.apply(theta, psi)))(features)
        else:
            scores = theta if self.policy == "tabular" else features @ theta
        return jax.nn.log_softmax(self.log_reference + scores, axis=1)

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return all responses to all prompts: an exact expectation, no key needed."""
        return self._responses(self.prompt[:, None] * jnp.exp(self.log_policy(theta)))

    def reward(self, phi: Float[Array, " d"], y: Candidate) -> Scalar:
        """Return φ·ψ(y)."""
        return jnp.vdot(phi, y.features)

    def utility(self, y: Candidate) -> Scalar:
        """Return the quality."""
        return y.quality

    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return β · KL(π_θ ‖ π_ref), averaged over prompts."""
        return self.kl_weight * self._kl(theta)

    def blind_spot(self, y: Candidate) -> Scalar:
        """Return 1 for a trap, 0 for all others."""
        return y.planted

    def optimum(self) -> Scalar:
        """Return the mean over prompts of the best response's quality."""
        return jnp.sum(self.prompt * jnp.max(self.candidates.quality, axis=1))

    def offline(self) -> Responses:
        """Return the responses that the offline data show, weighted by how often they occur."""
        return self._responses(self.covered)

    def reference(self) -> Responses:
        """Return the reference policy."""
        return self._responses(self.prompt[:, None] * jnp.exp(self.log_reference))

    def comparisons(self) -> Responses | None:
        """Return the recorded comparisons, if there are any."""
        return self.preferences

    def luck(self, y: Candidate) -> tuple[Scalar, Scalar]:
        """Return the oracle's error and rank."""
        return y.error, y.rank

    def diagnostics(self, theta: Theta) -> dict[str, Scalar]:
        """Return `kl`, KL(π_θ ‖ π_ref) in nats, averaged over prompts."""
        return {"kl": self._kl(theta)}

    def check(self) -> None:
        """Raise an InputError that names the table at fault."""
        shape = np.shape(self.log_reference)
        for name, given in (("covered", self.covered), ("utility", self.candidates.quality)):
            if np.shape(given) != shape:
                raise InputError(name, f"array of shape {np.shape(given)}", f"of shape {list(shape)}")
        reference, covered = np.exp(self.log_reference), np.asarray(self.covered)
        for x, a in np.argwhere(~(reference > 0))[:1]:
            allowed = "> 0, because the policy can give every response"
            raise InputError(f"reference, prompt {x}, response {a}", reference[x, a], allowed)
        for x in np.flatnonzero(np.abs(reference.sum(axis=1) - 1.0) > 1e-5)[:1]:
            raise InputError(f"reference, prompt {x}", f"summing to {reference[x].sum():g}", "summing to 1")
        if not np.all(covered >= 0) or not abs(covered.sum() - 1.0) <= 1e-5:
            raise InputError(
                "offline data", f"weights summing to {covered.sum():g}", "weights >= 0 summing to 1"
            )
        for x in np.flatnonzero(~(covered.sum(axis=1) > 0))[:1]:
            raise InputError(f"offline data, prompt {x}", "empty", "at least one response at each prompt")

    def _responses(self, weights: Float[Array, "prompts responses"]) -> Responses:
        rows = jax.tree.map(lambda x: x.reshape(weights.size, *x.shape[2:]), self.candidates)
        return Responses(rows, weights.reshape(-1))

    def _kl(self, theta: Theta) -> Scalar:
        log_policy = self.log_policy(theta)
        by_prompt = jnp.sum(jnp.exp(log_policy) * (log_policy - self.log_reference), axis=1)
        return jnp.sum(self.prompt * by_prompt)


def from_tables(
    features: ArrayLike,
    utility: ArrayLike,
    *,
    reference: ArrayLike | None = None,
    planted: ArrayLike | None = None,
    covered: ArrayLike | None = None,
    prompt: ArrayLike | None = None,
    comparisons: Sequence[tuple[int, int, int, float]] | None = None,
    kl_weight: float = 0.05,
    policy: str = "tabular",
) -> ContextualGame:
    """Return the game that these tables describe.

    Args:
        features: [prompts, responses, d] ψ.
        utility: [prompts, responses] true utility.
        reference: [prompts, responses] π_ref, positive, rows summing to 1; uniform by default.
        planted: [prompts, responses] 1 in the blind spot, else 0; 0 by default.
        covered: [prompts, responses] weights of the offline data, summing to 1; by default uniform on
            responses with planted = 0.
        prompt: [prompts] ρ; uniform by default.
        comparisons: rows (prompt, response, other response, probability in (0, 1) that the first is
            preferred), recorded preferences in place of a simulated annotator's on the offline data.
        kl_weight, policy: as in `Contextual`.

    Raises:
        InputError: names the table, prompt or comparison at fault.
    """
    quality, psi = jnp.asarray(utility, float), jnp.asarray(features, float)
    if quality.ndim != 2 or psi.shape[:2] != quality.shape or psi.ndim != 3:
        raise InputError(
            "features", f"array of shape {psi.shape}", "of shape [prompts, responses, d], as U is"
        )
    if policy not in POLICIES:
        raise InputError("policy", policy, f"one of {', '.join(POLICIES)}")
    shape = quality.shape
    spot = jnp.zeros(shape) if planted is None else jnp.asarray(planted, float)
    if covered is None and not np.all(np.any(np.asarray(spot) == 0, axis=1)):
        raise InputError(
            "offline data", "empty at a prompt", "at least one response at each prompt that is not planted"
        )
    ordinary = jnp.where(spot == 0, 1.0, 0.0)
    even = ordinary / jnp.sum(ordinary, axis=1, keepdims=True) / shape[0]
    uniform = jnp.full(shape, 1.0 / shape[1])
    with np.errstate(divide="ignore"):
        log_reference = np.log(np.asarray(uniform if reference is None else reference, dtype=float))
    game = ContextualGame(
        candidates=Candidate(psi, quality, spot, jnp.zeros(shape), jnp.zeros(shape)),
        prompt=jnp.full(shape[0], 1.0 / shape[0]) if prompt is None else jnp.asarray(prompt, float),
        log_reference=jnp.asarray(log_reference),
        covered=even if covered is None else jnp.asarray(covered, float),
        kl_weight=kl_weight,
        policy=policy,
    )
    game.check()
    if comparisons is None:
        return game
    rows = np.asarray(comparisons, dtype=float).reshape(-1, 4)
    x, a, b = rows[:, :3].astype(int).T
    fits = (rows[:, :3] >= 0) & (rows[:, :3] < [shape[0], shape[1], shape[1]])
    for i in np.flatnonzero(~fits.all(axis=1))[:1]:
        raise InputError(
            f"comparison {i}", tuple(map(int, (x[i], a[i], b[i]))), f"a prompt and two responses of {shape}"
        )

    def at(response: np.ndarray) -> Candidate:
        return jax.tree.map(lambda leaf: leaf[x, response], game.candidates)

    return game.replace(preferences=recorded(at(a), at(b), rows[:, 3]))  # type: ignore[attr-defined]
