"""Foresight with part of an oracle: from practical to relaxed, and residuals that the follower has seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from fpo_jax import (
    BestResponse,
    Gradient,
    Informed,
    Leader,
    Practical,
    Preferences,
    Relaxed,
    run_seed,
)
from fpo_jax.envs.linear import Linear
from fpo_jax.feedback import recorded
from fpo_jax.objectives.paid_labels import Paid
from tests.helpers import pairs_by_hand, require_named


def test_what_an_oracle_knows_leads_from_practical_to_relaxed(contextual_state, key):
    game, theta, model = contextual_state
    for feedback in (Preferences(), Gradient().feedback):
        follower = Gradient(feedback=feedback)

        def value(objective, follower=follower):
            return objective.value(game, follower, theta, model, key)

        np.testing.assert_allclose(value(Informed(weight=0.7)), value(Relaxed(weight=0.7)), rtol=1e-13)
        np.testing.assert_allclose(
            value(Informed(weight=0.7, oracle_share=0.0)), value(Practical(weight=0.7)), rtol=1e-13
        )
        half = value(Informed(weight=0.7, oracle_share=0.5))
        assert half != value(Relaxed(weight=0.7))
        assert half != value(Practical(weight=0.7))
    # the residual is linear in U for labels: noise s adds weight · s · E[error · ‖ψ‖²]
    every = game.respond(theta, key)
    squares = np.sum(np.asarray(every.y.features) ** 2, axis=1)
    noise = float(every.w @ (every.y.error * squares))
    noisy = value(Informed(weight=0.7, oracle_noise=0.3)) - value(Relaxed(weight=0.7))
    np.testing.assert_allclose(noisy, 0.7 * 0.3 * noise, rtol=1e-10)


def test_residuals_from_labels_that_were_paid_for(contextual_state, key):
    # They are of (a, b) preferred with 1 and (b, c) with 0: a has the residual of the first, b minus the
    # first's and plus the second's, halved, c minus the second's; all else is unknown and counts 1.
    game, theta, model = contextual_state
    follower = BestResponse(feedback=Preferences())
    rows = jax.tree.map(lambda leaf: leaf[0], game.candidates)  # prompt 0: responses a, b, c
    a, b, c = (jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(3))
    first, second = (jax.tree.map(lambda *x: jnp.stack(x), *sides) for sides in ((a, b), (b, c)))
    items = recorded(first, second, [0.9, 0.2])
    paid = Paid(jax.tree.map(lambda leaf: leaf[None], items), None)
    r = np.asarray(rows.features @ model.phi)
    one, two = expit(r[0] - r[1]) - 0.9, expit(r[1] - r[2]) - 0.2
    known = np.array([one, (two - one) / 2, -two, 1.0, 1.0, 1.0])  # three responses to each of two prompts
    w, psi, other, _ = pairs_by_hand(game, theta, "policy")
    penalty = w @ (np.repeat(known, 3) * np.sum(psi * (psi - other), axis=1))
    values = [
        o.value(game, follower, theta, model, key)
        for o in (Informed(weight=0.0), Informed(weight=1.0, source="labels", paid=paid))
    ]
    np.testing.assert_allclose(values[0] - values[1], penalty, rtol=1e-10)


BAD = {
    "oracle = Linear: must be an environment that draws": lambda key: run_seed(
        Linear(), Leader(Informed()), Gradient(), key, steps=1
    ),
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_input(complaint, key):
    require_named(complaint, lambda: BAD[complaint](key))
