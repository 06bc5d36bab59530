"""Steps beside their prediction: held to closed forms."""

import jax
import numpy as np
import pytest

from fpo_jax import Exact, Leader, Myopic
from fpo_jax.experiments.study.players import Met
from fpo_jax.experiments.study.steps import ENDS, FACTORS, Problem, _rate, swept
from fpo_jax.testing.performative import BiasedCoin, RidgeRegression, World


def alone(game, objective):
    return Problem("", lambda: Met(game, Leader(objective), World(), jax.random.key(0)))


def test_a_rate_is_fitted_above_rounding_and_before_it_is_large():
    every = 3
    falling = 1e-7 * 0.9 ** (every * np.arange(200)) + 1e-15  # at rounding from 37 entries on
    assert _rate(falling, every) == pytest.approx(0.9, abs=1e-3)
    growing = np.minimum(1e-7 * 1.1 ** (every * np.arange(200)), 5.0)
    growing[150:] = np.nan
    assert _rate(growing, every) == pytest.approx(1.1, rel=1e-6)
    assert _rate(np.full(200, 1e-16), every) == 0.0


@pytest.mark.parametrize(
    ("problem", "edge", "factor"),
    [
        # θ + s F'(θ) with F'' = −2(1 − 2ε) = −0.8: the error shrinks by 1 − 0.8 s
        (alone(BiasedCoin(), Exact()), 2.5, lambda s: abs(1 - 0.8 * s)),
        # θ + s ∂J/∂θ at the answer: by 1 − 2(c + ρ)(1 − slope) s = 1 − s · 2(c(1 − a₁) + ρ) = 1 − 1.6296 s
        pytest.param(
            alone(RidgeRegression(), Myopic()),
            27 / 22,
            lambda s: abs(1 - s * 44 / 27),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_runs_converge_up_to_the_largest_step_and_not_beyond(problem, edge, factor):
    found = swept(problem, lambda *_: None)
    np.testing.assert_allclose(found["largest"], edge, rtol=1e-9)
    expected = [factor(step) for step in found["step"]]
    np.testing.assert_allclose(found["predicted"], expected, atol=1e-7)
    np.testing.assert_allclose(found["observed"], expected, atol=2e-3)
    ends = [ENDS[int(end)] for end in found["end"]]
    assert ends == ["converges" if one < 1 else "diverges" for one in FACTORS]
