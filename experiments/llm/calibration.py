"""The weight at which a mode's penalty spreads as far among answers of the base model as the reward does.

mean over prompts of std(γ · penalty)  =  mean over prompts of std(r),    of the candidates for a prompt

The published weight multiplies inner products of hidden states, whose size depends on the model. At this
weight, penalty and reward have an equal say before the loop begins, in every mode (ours).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import brentq

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.llm.fitting import Answers
from fpo_jax.experiments.llm.scoring import Candidates, Curvature, Features, scores
from fpo_jax.types import Scalar

LOWEST, HIGHEST = 1e-6, 1e6
"""Weights between which it is looked for."""


def spreads(
    answers: Answers, head: Float[Array, " d"], factor: Float[Array, "d d"] | None, mode: str, weight: Scalar
) -> tuple[Scalar, Scalar]:
    """Return the means over prompts of the standard deviations among candidates: of the penalty, and of r.

    Args:
        answers: to several prompts; the last one to each is the reference response.
        head: φ, by which they are ranked.
        factor: of H + δ, for mode leverage.
        mode: of the penalty.
        weight: γ.
    """

    def of_one(one: Answers) -> tuple[Scalar, Scalar]:
        seen = Features(one.features, one.utilities[:, None])
        drawn = jax.tree.map(lambda leaf: leaf[:-1], seen)
        other = jax.tree.map(lambda leaf: leaf[-1], seen)
        game = Candidates(drawn, other, jnp.ones(1, one.utilities.dtype))
        rewards = scores(game, head, "rlhf", 0.0)
        return jnp.std(rewards - scores(game, head, mode, weight, factor)), jnp.std(rewards)

    penalty, reward = jax.vmap(of_one)(answers)
    return jnp.mean(penalty), jnp.mean(reward)


def calibrated_weight(
    answers: Answers, head: Float[Array, " d"], curvature: Curvature, mode: str, damping: float
) -> float:
    """Return the weight at which penalty and reward have the same spread, in float64.

    It is looked for on a logarithmic scale, on which the spread of a penalty in proportion to its weight is a
    straight line. That of the proximal one bends, since it is bounded.

    Raises:
        InputError: no weight gives the penalty as much spread as the reward.
    """
    with in_precision("float64"):
        answers, head, curvature = jax.tree.map(_wide, (answers, head, curvature))
        factor = curvature.factored(damping) if mode == "leverage" else None
        both = jax.jit(lambda weight: spreads(answers, head, factor, mode, weight))

        def excess(power: float) -> float:
            penalty, reward = (np.float64(one) for one in both(jnp.asarray(10.0**power)))
            return float(np.log(penalty / reward))

        ends = (float(np.log10(LOWEST)), float(np.log10(HIGHEST)))
        with np.errstate(divide="ignore", invalid="ignore"):
            if not excess(ends[0]) < 0 < excess(ends[1]):
                allowed = (
                    f"False: no weight from {LOWEST:g} to {HIGHEST:g} gives the {mode} penalty as much "
                    "spread as the reward has among the base model's answers"
                )
                raise InputError("calibrated", True, allowed)
        return float(10.0 ** brentq(excess, *ends, xtol=1e-8))


def _wide(leaf: Array) -> Array:
    """Return numbers in float64, and tokens as they are."""
    return jnp.asarray(np.asarray(leaf), float if jnp.issubdtype(leaf.dtype, jnp.floating) else None)
