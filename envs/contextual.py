"""A contextual bandit with blind spots at some prompts: RLHF on prompts and preferences, in small.

X prompts × K responses with features ψ(x, a) = (style, visibility · quality, topic …). As on the bandit,
style predicts quality among ordinary responses. Some prompts also have planted responses of far higher style:
traps with hardly any quality and, on request, gems of the highest. The offline preferences show neither. The
reward model is linear in ψ, so what it learns at one prompt changes it at every other. So does a policy on ψ.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from fpo_jax.envs.parts.contextual_game import POLICIES, Candidate, ContextualGame
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import choice, count, real
from fpo_jax.types import Key, Recipe


@struct.dataclass
class Contextual:
    """Contextual bandits with traps at some prompts: sizes and strengths, to draw games from (ours)."""

    name: ClassVar[str] = "contextual"
    recipe: ClassVar[Recipe] = Recipe(
        steps=300,
        leader={"policy_lr": 1.0},
        follower="best-response",
        settings={"alpha": 0.1, "ridge": 0.01},
        weights={
            "relaxed": 1.0,
            "practical": 1.0,
            "tracin": 1.0,
            "fpo": 1.0,
            "informed": 1.0,
            "best-of": 1.0,
            "proximal": 3.0,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 0.0316,
            "pessimistic": 0.316,
            "kl": 1000.0,
            "chi-squared": 316.0,
            "gradient-norm": 31.6,
            "shaped": 3.16,
            "ensemble": 100.0,
        },
        feedback="preferences",
    )

    kl_weight: float = real(0.05, "coefficient β of KL(π ‖ π_ref)", low=0.0)
    policy: str = choice("tabular", "how the policy is parametrised", POLICIES)
    prompts: int = count(6, "number of prompts")
    trapped: int = count(4, "number of prompts that have planted responses", low=0)
    ordinary: int = count(6, "ordinary responses to each prompt")
    traps: int = count(2, "planted responses of low quality (traps) at each trapped prompt", low=0)
    gems: int = count(0, "planted responses of the highest quality (gems) at each trapped prompt", low=0)
    topics: int = count(2, "extra features, drawn from N(0, topic_scale²)", low=0)
    topic_scale: float = real(0.3, "standard deviation of the extra features", low=0.0)
    correlation: float = real(0.8, "slope of style on quality, among ordinary responses")
    style_noise: float = real(0.2, "spread of style that quality does not explain", low=0.0)
    trap_style: float = real(2.5, "mean style of a planted response; each varies by up to ±0.5")
    trap_quality: float = real(0.2, "highest quality of a trap", low=0.0)
    gem_quality: float = real(1.5, "quality of a gem")
    visibility: float = real(0.3, "scale at which the reward model sees quality")
    reference_leak: float = real(
        0.05, "probability that the reference policy gives to planted responses", low=0.0, high=1.0, open=True
    )

    def check(self) -> None:
        """Raise an InputError for more trapped prompts than prompts, or responses without reference."""
        if self.trapped > self.prompts:
            raise InputError("trapped", self.trapped, f"<= prompts = {self.prompts}")
        if not np.all(np.asarray(self.reference_leak) < 1):
            allowed = "< 1, because the reference policy must cover every response"
            raise InputError("reference_leak", self.reference_leak, allowed)

    def draw(self, key: Key) -> ContextualGame:
        """Draw one game: trapped prompts last; at each, ordinary responses first, then traps, then gems.

        A prompt without planted responses has more ordinary ones instead.
        """
        keys = jax.random.split(key, 6)
        planted = self.traps + self.gems
        shape = (self.prompts, self.ordinary + planted)
        place = jnp.arange(shape[1])
        is_trapped = (jnp.arange(shape[0]) >= self.prompts - self.trapped)[:, None]
        is_planted = is_trapped & (place >= self.ordinary)[None]
        is_gem = is_trapped & (place >= self.ordinary + self.traps)[None]
        luck = jax.random.uniform(keys[0], shape)
        quality = jnp.where(is_planted, jnp.where(is_gem, self.gem_quality, self.trap_quality * luck), luck)
        jitter = jax.random.uniform(keys[1], shape)
        ordinary_style = self.correlation * quality + self.style_noise * jitter
        style = jnp.where(is_planted, self.trap_style - 0.5 + jitter, ordinary_style)
        topics = self.topic_scale * jax.random.normal(keys[2], (*shape, self.topics))
        features = jnp.concatenate([jnp.stack([style, self.visibility * quality], axis=-1), topics], axis=-1)
        spot = is_planted.astype(quality.dtype)
        number = jnp.sum(spot, axis=1, keepdims=True)
        leak = jnp.where(number > 0, self.reference_leak, 0.0)
        reference = spot * leak / jnp.where(number > 0, number, 1.0)
        reference = reference + (1.0 - spot) * (1.0 - leak) / (shape[1] - number)
        return ContextualGame(
            candidates=Candidate(
                features,
                quality,
                (is_planted & ~is_gem).astype(quality.dtype),
                jax.random.normal(keys[3], shape),
                jax.random.uniform(keys[4], shape),
            ),
            prompt=jnp.full(shape[0], 1.0 / shape[0]),
            log_reference=jnp.log(reference),
            covered=(1.0 - spot) / (shape[1] - number) / shape[0],
            kl_weight=self.kl_weight,
            policy=self.policy,
        )
