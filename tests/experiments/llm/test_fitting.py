"""The fitted head against gradients, curvature and cross-validation written down in NumPy."""

import jax
import numpy as np
import pytest
from scipy.special import expit

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm import fitting
from fpo_jax.experiments.llm.fitting import Answers, fit

P, N, D = 6, 4, 3


def answers(prompts=P, noise=0.0, seed=0):
    """U is a function of the features, and of noise. The second answer to the first prompt is its first."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(prompts, N, D)) * [3.0, 1.0, 0.3]
    utilities = features @ [0.2, -0.5, 1.0] + noise * draw.normal(size=(prompts, N))
    features, tokens = np.append(features, np.ones((prompts, N, 1)), axis=2), draw.integers(1, 9, (P, N, 7))
    tokens[0, 1] = tokens[0, 0]
    return Answers(features.astype(np.float32), utilities.astype(np.float32), tokens[:prompts])


def pairs(rows, prompts=None):
    """Differences of features, and p*, of every pair of answers that differ, one by one."""
    gaps, preferred = [], []
    for p in range(len(rows.utilities)) if prompts is None else prompts:
        for i in range(N):
            for j in range(i):
                if (rows.tokens[p, i] != rows.tokens[p, j]).any():
                    h, u = rows.features[p].astype(float), rows.utilities[p].astype(float)
                    gaps.append(h[i] - h[j])
                    preferred.append(1 / (1 + np.exp(u[j] - u[i])))
    return np.array(gaps), np.array(preferred)


def slope(head, gaps, preferred, ridge):
    square = np.mean(np.sum(gaps**2, axis=1))
    return gaps.T @ (expit(gaps @ head) - preferred) / len(gaps) + ridge * square * head


def fitted(rows, ridge, held_out=None, labels="soft"):
    drawn = np.array([1.0, 0.0, 0.0, 0.0])
    return fit(rows, held_out or answers(seed=1), drawn, ridge, labels, jax.random.key(0))


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_the_slope_of_the_regularised_loss_is_zero(ridge):
    """To the rounding of the head to float32: 6e-8 |φ| ‖H‖, |φ| < 2 and ‖H‖ < ¼ · 19 + ridge · 19."""
    rows = answers()
    gaps, preferred = pairs(rows)
    head = np.asarray(fitted(rows, ridge).head, float)
    assert np.abs(slope(head, gaps, preferred, ridge)).max() < 3e-6
    assert head[-1] == 0  # the bias, which cancels
    # each answer is as good as it is in any order, and the pair that says the same is not counted
    wrong = slope(head, gaps, (preferred > 0.5).astype(float), ridge)
    assert np.abs(wrong).max() > 1e-2


def test_it_reports_what_it_has_seen():
    """Counts of pairs; a head that U is a function of orders all but few; the curvature of the loop."""
    rows, held_out = answers(), answers(seed=1)
    result = fitted(rows, 1e-4)
    gaps, _ = pairs(rows)
    assert result.told["fit_pairs"] == len(gaps) == P * 6 - 1 == float(result.curvature.pairs)
    head = np.asarray(result.head, float)
    chance = expit(gaps @ head)
    np.testing.assert_allclose(
        result.curvature.total, (gaps.T * (chance * (1 - chance))) @ gaps, rtol=1e-5, atol=1e-5
    )
    gaps, preferred = pairs(held_out)
    for name, phi in {"drawn": np.eye(D + 1)[0], "fitted": head}.items():
        right = np.mean((gaps @ phi > 0) == (preferred > 0.5))
        assert result.told[f"held_out_accuracy_{name}"] == pytest.approx(right)
        reward = held_out.features @ phi
        assert result.told[f"held_out_reward_spread_{name}"] == pytest.approx(
            reward.std(axis=1).mean(), rel=1e-5
        )
        margin = gaps @ phi  # KL(p* ‖ p_φ), the loss above what is least possible
        excess = preferred * np.log(preferred / expit(margin))
        excess += (1 - preferred) * np.log((1 - preferred) / expit(-margin))
        assert result.told[f"held_out_excess_loss_{name}"] == pytest.approx(excess.mean(), abs=1e-6)
    assert result.told["held_out_accuracy_fitted"] > 0.95 > result.told["held_out_accuracy_drawn"]


def test_the_ridge_is_chosen_by_prompts_that_are_left_out(monkeypatch):
    """Each fold's loss under the head of the others; s² is that of all pairs, so that λ means the same."""
    ridges, rows = (10.0, 0.1, 1e-5), answers(5, noise=1.5)
    monkeypatch.setattr(fitting, "RIDGES", ridges)
    whole, losses = np.mean(np.sum(pairs(rows)[0] ** 2, axis=1)), []
    for ridge in ridges:
        total = 0.0
        for fold in range(5):
            rest = [p for p in range(5) if p != fold]
            square = np.mean(np.sum(pairs(rows, rest)[0] ** 2, axis=1))
            head = np.asarray(fitted(rows.of(rest), ridge * whole / square).head, float)
            gaps, preferred = pairs(rows, [fold])
            margin = gaps @ head
            total += np.sum(np.logaddexp(0, margin) - preferred * margin)
        losses.append(total)
    assert fitted(rows, None).told["fit_ridge"] == ridges[int(np.argmin(losses))] == 0.1
    other = fitted(rows, None, held_out=answers(seed=2)).told
    assert other["fit_ridge"] == 0.1  # those held out take no part


def test_hard_labels_are_draws():
    """Of a preference that is certain, the draw is the preference; of others it is not."""
    rows = answers()
    soft, hard = (np.asarray(fitted(rows, 0.1, labels=labels).head) for labels in ("soft", "hard"))
    assert np.abs(soft - hard).max() > 0.02
    sure = rows._replace(utilities=1000 * rows.utilities)
    soft, hard = (np.asarray(fitted(sure, 0.1, labels=labels).head) for labels in ("soft", "hard"))
    np.testing.assert_array_equal(soft, hard)


def test_answers_that_are_all_the_same_teach_nothing():
    rows = answers()
    with pytest.raises(InputError, match=r"fit_prompts = 6: must be larger, or --temperature higher"):
        fitted(rows._replace(tokens=0 * rows.tokens), 0.1)
