"""Scores of candidates against formulas written down by hand, and against gradients of the reward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax.experiments.llm.scoring import Candidates, Curvature, Features, compared, head_loss, scores
from fpo_jax.experiments.llm.settings import MODES

N, D, E, WEIGHT = 6, 5, 3, 0.7


@pytest.fixture(scope="module")
def numbers():
    draw = np.random.default_rng(0).normal
    return {"h": draw(size=(N, D)), "h_ref": draw(size=D), "phi": draw(size=D)} | {
        "seen": draw(size=(N, E)),
        "seen_ref": draw(size=E),
        "phi_star": draw(size=E),
    }


@pytest.fixture(scope="module")
def game(numbers):
    at = {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()}
    return Candidates(Features(at["h"], at["seen"]), Features(at["h_ref"], at["seen_ref"]), at["phi_star"])


def by_hand(mode, h, h_ref, phi, seen, seen_ref, phi_star, weight=WEIGHT):
    """r, and by the mode less γ⟨h, h − h_ref⟩ times 1, p_φ − p*, or that after the implicit step.

    The step takes m = r − r_ref to the root of x + γ‖h − h_ref‖² (σ(x) − p*) = m.
    """
    reward, margin = h @ phi, h @ phi - h_ref @ phi
    if mode == "rlhf":
        return reward
    preferred = expit(seen @ phi_star - seen_ref @ phi_star)
    influence = np.sum(h * (h - h_ref), axis=1)
    if mode == "practical":
        residual = np.ones(len(h))
    elif mode == "relaxed":
        residual = expit(margin) - preferred
    else:
        step = weight * np.sum((h - h_ref) ** 2, axis=1)
        roots = [
            brentq(lambda x, s=s, p=p, m=m: x + s * (expit(x) - p) - m, -999, 999, xtol=1e-12)
            for s, p, m in zip(step, preferred, margin, strict=True)
        ]
        residual = expit(np.array(roots)) - preferred
    return reward - weight * residual * influence


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "leverage"])
def test_scores_are_those_of_the_formulas(mode, game, numbers):
    phi = jnp.asarray(numbers["phi"], jnp.float32)
    np.testing.assert_allclose(scores(game, phi, mode, WEIGHT), by_hand(mode, **numbers), atol=2e-5)


def test_inner_products_of_features_are_those_of_gradients(game, numbers):
    phi = jnp.asarray(numbers["phi"], jnp.float32)
    g = jax.vmap(lambda y: jax.grad(game.reward)(phi, y))(game.drawn)
    g_ref = jax.grad(game.reward)(phi, game.reference_drawn)
    wanted = jax.vmap(lambda y: game.reward(phi, y))(game.drawn) - WEIGHT * jnp.sum(
        g * (g - g_ref[None]), axis=1
    )
    np.testing.assert_allclose(scores(game, phi, "practical", WEIGHT), wanted, atol=1e-5)


def test_leverage_is_large_where_the_head_was_trained_on_nothing(game, numbers):
    """r − γ hᵀ (H + δ)⁻¹ (h − h_ref), H the mean of p (1 − p) (h − h_ref)(h − h_ref)ᵀ over pairs seen.

    With none seen it is practical FPO with γ/δ. A direction that is trained on again and again is not seen.
    """
    n, phi = numbers, jnp.asarray(numbers["phi"], jnp.float32)
    seen, damping = Curvature.none(D), 0.5
    first = scores(game, phi, "leverage", WEIGHT, seen.factored(damping))
    np.testing.assert_allclose(first, scores(game, phi, "practical", WEIGHT / damping), rtol=1e-4, atol=1e-4)
    total = np.zeros((D, D))
    for i in (0, 0, 3):
        y = jax.tree.map(lambda leaf, i=i: leaf[i], game.drawn)
        seen = seen.after(game, phi, compared(game, y, "soft", jax.random.key(0)))
        gap = n["h"][i] - n["h_ref"]
        total += expit(gap @ n["phi"]) * expit(-gap @ n["phi"]) * np.outer(gap, gap)
    gaps = np.linalg.solve(total / 3 + damping * np.eye(D), (n["h"] - n["h_ref"]).T)
    wanted = n["h"] @ n["phi"] - WEIGHT * np.sum(n["h"].T * gaps, axis=0)
    np.testing.assert_allclose(
        scores(game, phi, "leverage", WEIGHT, seen.factored(damping)), wanted, rtol=1e-4, atol=1e-4
    )


def test_the_head_learns_from_the_oracles_preference(game, numbers):
    """ℓ = −p* log σ(m) − (1 − p*) log σ(−m); ∇ℓ = (σ(m) − p*) (h − h_ref)."""
    n, phi, key = numbers, jnp.asarray(numbers["phi"], jnp.float32), jax.random.key(0)
    for i in range(N):
        y = jax.tree.map(lambda leaf, i=i: leaf[i], game.drawn)
        item = compared(game, y, "soft", key)
        margin = (n["h"][i] - n["h_ref"]) @ n["phi"]
        preferred = expit((n["seen"][i] - n["seen_ref"]) @ n["phi_star"])
        loss = -preferred * np.log(expit(margin)) - (1 - preferred) * np.log(expit(-margin))
        value, gradient = head_loss(game, phi, item)
        assert item.preferred == pytest.approx(preferred, abs=1e-6)
        assert value == pytest.approx(loss, abs=1e-5)
        np.testing.assert_allclose(
            gradient, (expit(margin) - preferred) * (n["h"][i] - n["h_ref"]), atol=1e-5
        )


def test_hard_labels_are_draws_by_the_oracles_preference(game):
    """Their mean over 4000 draws is p*, within five standard deviations."""
    y = jax.tree.map(lambda leaf: leaf[0], game.drawn)
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: compared(game, y, "hard", key).preferred)(keys)
    wanted = float(compared(game, y, "soft", keys[0]).preferred)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert float(drawn.mean()) == pytest.approx(wanted, abs=5 * (wanted * (1 - wanted) / 4000) ** 0.5)


def test_a_copy_of_the_reward_model_as_oracle_leaves_nothing_to_relaxed_fpo(numbers):
    """p_φ = p* at the start, so that the penalty is 0; the practical one is not."""
    h, h_ref, phi = (jnp.asarray(numbers[name], jnp.float32) for name in ("h", "h_ref", "phi"))
    game = Candidates(Features(h, h), Features(h_ref, h_ref), phi)
    np.testing.assert_allclose(scores(game, phi, "relaxed", 10.0), h @ phi, atol=1e-5)
    for i in range(N):  # and nothing to learn
        y = jax.tree.map(lambda leaf, i=i: leaf[i], game.drawn)
        _, gradient = head_loss(game, phi, compared(game, y, "soft", jax.random.key(0)))
        np.testing.assert_array_equal(gradient, 0)
    assert np.abs(scores(game, phi, "practical", 10.0) - h @ phi).min() > 0.1


def test_at_the_width_of_a_real_model_only_bounded_penalties_are_of_the_order_of_the_reward():
    """Features of variance 1, width 2048, of which half is common to all responses; published weight 10.

    ⟨h, h − h_ref⟩ is then about 2048 / 2, so that the practical penalty is about 10⁴. In float32 the proximal
    form, whose residual is a small difference of numbers of order 1, keeps three digits.
    """
    draw, d, n = np.random.default_rng(1).normal, 2048, 8
    common, own = draw(size=d), draw(size=(n + 1, d))
    features = (common + own) / np.sqrt(2.0)
    phi = draw(size=d) / np.sqrt(d)
    star = phi + 0.3 * draw(size=d) / np.sqrt(d)
    h, h_ref = features[1:], features[0]
    at = [jnp.asarray(value, jnp.float32) for value in (h, h_ref, phi, star)]
    game = Candidates(Features(at[0], at[0]), Features(at[1], at[1]), at[3])
    given = {"h": h, "h_ref": h_ref, "phi": phi, "seen": h, "seen_ref": h_ref, "phi_star": star}
    wanted = by_hand("proximal", **given, weight=10.0)
    np.testing.assert_allclose(scores(game, at[2], "proximal", 10.0), wanted, atol=5e-3)
    assert np.abs(wanted - h @ phi).max() < 3
    practical = scores(game, at[2], "practical", 10.0)
    np.testing.assert_allclose(practical, by_hand("practical", **given, weight=10.0), rtol=1e-4)
    assert np.abs(practical).min() > 5e3
