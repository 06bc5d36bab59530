"""Fit a reward head once to the oracle's preferences among answers of the base model: offline data.

φ = argmin  mean over pairs of −p* log σ(m) − (1 − p*) log σ(−m)  +  ½ λ s² ‖φ‖²,    m = r_φ(z) − r_φ(z')

over all pairs of differing answers to one prompt, p* = σ(U(z) − U(z')) as in the loop. s² is the mean of
‖h(z) − h(z')‖² over the pairs, so λ has no unit: it is the ridge for features in which two answers differ by
1. The problem is convex and has one solution (ours).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import minimize

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.llm.accuracy import accuracy, differing
from fpo_jax.experiments.llm.scoring import FEEDBACK, Curvature
from fpo_jax.types import Key, Scalar

RIDGES = tuple(10.0**power for power in range(1, -6, -1))
"""Values of λ to try if none is given."""
FOLDS = 5
"""Number of folds of the fitted prompts, to choose λ."""
SLOPE = 1e-6
"""Largest slope in any coordinate of s φ at which L-BFGS counts as converged; the loss is of order 1."""


class Answers(NamedTuple):
    """Answers to several prompts.

    Attributes:
        features: [p, n, d] of the reward model, followed by a 1 if the head has a bias.
        utilities: [p, n] U of each.
        tokens: [p, n, t], 0 behind the end.
    """

    features: Float[Array, "p n d"]
    utilities: Float[Array, "p n"]
    tokens: Int[Array, "p n t"]

    def of(self, prompts: Any) -> "Answers":
        """Return the answers to some of the prompts."""
        return Answers(*(leaf[prompts] for leaf in self))


class Fit(NamedTuple):
    """A fitted head, its data, and its quality.

    Attributes:
        head: [d] φ, followed by its bias if it has one.
        curvature: k H of the k fitted pairs, in float32, with which the loop continues.
        held_out: answers to the held-out prompts.
        told: reported numbers, by name.
    """

    head: Float[Array, " d"]
    curvature: Curvature
    held_out: Answers
    told: dict[str, float]


class Pairs(NamedTuple):
    """Pairs i < j of answers to one prompt, k a prompt.

    Attributes:
        features: [p, n, d] of the answers minus their mean, in units of s.
        preferred: [p, k] p*, or a draw by it.
        counted: [p, k] whether the two differ.
    """

    features: Float[Array, "p n d"]
    preferred: Float[Array, "p k"]
    counted: Bool[Array, "p k"]


@jax.jit
def held_out_accuracy(head: Float[Array, " d"], answers: Answers) -> Scalar:
    """Return the share of pairs among these answers on which the head agrees with the oracle."""
    rewards = jnp.einsum("pnd,d->pn", answers.features, head, precision="highest")
    return accuracy(rewards, answers.utilities, answers.tokens)[0]


def fit(
    answers: Answers,
    held_out: Answers,
    drawn: Float[Array, " d"],
    ridge: float | None,
    labels: str,
    key: Key,
) -> Fit:
    """Fit a head in float64, by L-BFGS (scipy) and one Newton step; choose a ridge if none is given.

    The choice is among `RIDGES`, by the loss of five-fold cross-validation over whole prompts of the fitted
    answers; held-out answers take no part.

    Args:
        answers: to fit, for two prompts or more.
        held_out: not fitted.
        drawn: the head that the loop would otherwise begin with, for comparison.
        ridge: λ > 0, or None.
        labels: soft for p*, hard for a draw by it.
        key: of that draw.

    Raises:
        InputError: when no two answers to a prompt differ.
    """
    with in_precision("float64"):
        scale = _mean_square(answers) ** 0.5
        pairs, test = (
            _pairs(of, scale, labels, one)
            for of, one in zip((answers, held_out), jax.random.split(key), strict=True)
        )
        if ridge is None:
            losses = [_validated(pairs, one) for one in RIDGES]
            ridge = RIDGES[int(np.argmin(losses))]
        rough = _minimised(pairs, ridge)
        bend = np.asarray(_HESSIAN(rough, pairs))
        found = rough - _newton_step(rough, pairs, ridge, bend)
        total = np.asarray(bend * scale**2, np.float32)
        heads = {"zero": 0 * found, "drawn": np.asarray(drawn, np.float64) * scale, "fitted": found}
        floor = float(_mean(test, FEEDBACK.loss(_logit(test.preferred), test.preferred)))
        told = {"fit_pairs": float(pairs.counted.sum()), "held_out_pairs": float(test.counted.sum())}
        told |= {"fit_ridge": ridge, "fit_ridge_on_features": float(ridge * scale**2)}
        for name, phi in heads.items():
            told[f"held_out_excess_loss_{name}"] = float(_loss(jnp.asarray(phi), test, 0.0)) - floor
        for name in ("drawn", "fitted"):
            rewards = test.features @ heads[name]
            right, _ = accuracy(jnp.asarray(rewards), jnp.asarray(held_out.utilities, float), held_out.tokens)
            told[f"held_out_accuracy_{name}"] = float(right)
            told[f"held_out_reward_spread_{name}"] = float(np.mean(np.std(rewards, axis=1)))
        told["held_out_utility_spread"] = float(np.mean(np.std(held_out.utilities, axis=1)))
        on_fitted, _ = accuracy(
            jnp.asarray(pairs.features @ found), jnp.asarray(answers.utilities, float), answers.tokens
        )
        told["fit_accuracy"] = float(on_fitted)
    head = jnp.asarray(found / scale, jnp.float32)
    curvature = Curvature(jnp.asarray(total), jnp.asarray(told["fit_pairs"], jnp.float32))
    return Fit(head, curvature, held_out, told)


def _logit(p: Array) -> Array:
    """Return the margin with p_φ = p, at which the loss is smallest."""
    tiny = jnp.finfo(p.dtype).tiny
    return jnp.log(jnp.maximum(p, tiny)) - jnp.log(jnp.maximum(1.0 - p, tiny))


def _sides(number: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(number, 1)


def _mean_square(rows: Answers) -> float:
    """Return s²."""
    one, other = _sides(rows.utilities.shape[1])
    gap = np.asarray(rows.features, np.float64)
    square = np.sum((gap[:, one] - gap[:, other]) ** 2, axis=-1)
    counted = np.asarray(differing(rows.tokens))[:, one, other]
    if not counted.any():
        allowed = "larger, or --temperature higher: all answers to a prompt are the same"
        raise InputError("fit_prompts", len(counted), allowed)
    return float(square[counted].mean())


def _pairs(rows: Answers, scale: float, labels: str, key: Key) -> Pairs:
    one, other = _sides(rows.utilities.shape[1])
    utilities = jnp.asarray(rows.utilities, float)
    preferred = FEEDBACK.probability(utilities[:, one] - utilities[:, other])
    if labels == "hard":
        preferred = jax.random.bernoulli(key, preferred).astype(preferred.dtype)
    features = np.asarray(rows.features, np.float64)
    # The mean cancels; without it the bias is 0 to the bit.
    features = features - features.mean(axis=1, keepdims=True)
    return Pairs(jnp.asarray(features / scale), preferred, differing(rows.tokens)[:, one, other])


def _mean(pairs: Pairs, each: Float[Array, "p k"]) -> Scalar:
    """Return a mean over the pairs that count."""
    return jnp.sum(jnp.where(pairs.counted, each, 0.0)) / jnp.maximum(jnp.sum(pairs.counted), 1)


def _each(phi: Float[Array, " d"], pairs: Pairs) -> Float[Array, "p k"]:
    """Return the loss of every pair."""
    one, other = _sides(pairs.features.shape[1])
    rewards = pairs.features @ phi
    return FEEDBACK.loss(rewards[:, one] - rewards[:, other], pairs.preferred)


def _loss(phi: Float[Array, " d"], pairs: Pairs, ridge: Scalar | float) -> Scalar:
    return _mean(pairs, _each(phi, pairs)) + 0.5 * ridge * jnp.dot(phi, phi)


def _total(phi: Float[Array, " d"], pairs: Pairs) -> Scalar:
    """Return the sum over pairs, whose Hessian is k H."""
    return jnp.sum(jnp.where(pairs.counted, _each(phi, pairs), 0.0))


_VALUE_AND_SLOPE = jax.jit(jax.value_and_grad(_loss))
_HESSIAN = jax.jit(jax.hessian(_total))


def _minimised(pairs: Pairs, ridge: float) -> np.ndarray:
    """Return s φ at the minimum.

    Raises:
        InputError: when L-BFGS does not reach it.
    """

    def both(phi: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _VALUE_AND_SLOPE(jnp.asarray(phi), pairs, jnp.asarray(ridge, float))
        return float(value), np.asarray(slope)

    start = np.zeros(pairs.features.shape[-1])
    how = {"gtol": 1e-3 * SLOPE, "ftol": 0.0, "maxiter": 20_000, "maxfun": 40_000, "maxcor": 30}
    found = minimize(both, start, jac=True, method="L-BFGS-B", options=how).x
    if not np.abs(both(found)[1]).max() <= SLOPE:
        raise InputError("fit_ridge", ridge, "larger, because the fit of the reward head did not converge")
    return found


def _newton_step(phi: np.ndarray, pairs: Pairs, ridge: float, bend: np.ndarray) -> np.ndarray:
    """Return the step to the minimum: close to it, one step of Newton's method reaches rounding."""
    _, slope = _VALUE_AND_SLOPE(jnp.asarray(phi), pairs, jnp.asarray(ridge, float))
    hessian = bend / float(pairs.counted.sum()) + ridge * np.eye(len(phi))
    return np.linalg.solve(hessian, np.asarray(slope))


def _validated(pairs: Pairs, ridge: float) -> float:
    """Return the mean loss on pairs of held-out prompts, fold by fold."""
    prompts = np.arange(len(pairs.counted))
    total = 0.0
    for fold in range(min(FOLDS, len(prompts))):
        out = jnp.asarray(prompts % FOLDS == fold)[:, None]
        phi = _minimised(pairs._replace(counted=pairs.counted & ~out), ridge)
        total += float(_total(jnp.asarray(phi), pairs._replace(counted=pairs.counted & out)))
    return total / float(pairs.counted.sum())
