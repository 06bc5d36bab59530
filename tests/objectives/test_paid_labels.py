"""The labels that a leader without an oracle keeps: the very ones that were paid for, and no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Labels, Leader, Preferences, Relaxed
from fpo_jax.followers import Ensemble, Optax
from fpo_jax.leader import of_objective
from fpo_jax.objectives import Carried, Informed
from fpo_jax.objectives.paid_labels import Paid
from fpo_jax.run import initial_state, iterate
from fpo_jax.types import Follower, Responses
from tests.helpers import CONTEXTUAL, SMALL, at_random, require_named


@pytest.mark.slow
def test_the_labels_kept_are_those_that_entered_the_followers_buffer(key):
    # three updates of six hard labels each, a buffer and a leader that keep two: the same draws and answers
    follower = Optax(
        replay="fifo", buffer_size=2, alpha=0.5, feedback=Preferences(labels="hard", label_budget=6)
    )
    leader = Leader(Informed(source="labels", kept=2), policy_lr=100.0)  # far, so that draws differ
    game = CONTEXTUAL.draw(key)
    state = initial_state(game, follower, key, leader=leader)
    np.testing.assert_array_equal(state.earlier.fresh.w, np.zeros((2, 6)))
    step = jax.jit(iterate)
    for number in range(3):
        state = step(game, leader, follower, state, jax.random.fold_in(key, number), 0.0)
    kept, buffer = state.earlier.fresh, state.reward_model.memory.buffer
    jax.tree.map(np.testing.assert_array_equal, kept, buffer)
    assert np.ptp(kept.y.preferred) == 1.0  # hard answers, of both kinds
    # offline pairs, as the last update had them annotated
    items, counts = state.earlier.counted()
    np.testing.assert_allclose(np.asarray(counts)[-12:], 1.0, rtol=1e-12)
    np.testing.assert_array_equal(items.preferred[:-12], state.earlier.offline.y.preferred)


@pytest.mark.parametrize("restart", ["kept", "reset"])
def test_an_item_by_its_weight_stands_for_as_many_labels(restart, key):
    # without a budget an update labels all 7 arms by their weights: 7 · w labels each
    game, follower = SMALL["bandit"].draw(key), BestResponse(ridge=0.1, alpha=0.3)
    leader = Leader(Informed(source="labels", kept=1), policy_lr=1.0, restart=restart)
    state = initial_state(game, follower, key, leader=leader)
    after = jax.jit(iterate)(game, leader, follower, state, key, 0.0)
    _, counts = of_objective(after).earlier.counted()
    weights = np.concatenate([game.offline().w, game.respond(after.theta, key).w])
    np.testing.assert_allclose(counts, 7.0 * weights, rtol=1e-12)


@pytest.mark.slow
def test_members_of_an_ensemble_pay_for_the_same_labels(key):
    game = SMALL["bandit"].draw(key)
    follower = Ensemble(members=3, member=BestResponse(ridge=0.1, alpha=0.3, feedback=Labels(label_budget=4)))
    faced, theta = follower.faced(game), jnp.zeros(7)
    model = follower.init(faced, theta, faced.init(key)[1], key)
    one = follower.member.labelled(game, theta, model, key)
    np.testing.assert_array_equal(follower.labelled(faced, theta, model, key).y.quality, one.y.quality)


class Silent(BestResponse):
    """A follower that does not say what is labelled."""

    labelled = Follower.labelled


def test_a_follower_that_cannot_tell_is_refused(key):
    game = SMALL["bandit"].draw(key)
    theta, phi = game.init(key)
    model = BestResponse(ridge=0.1).init(game, theta, phi, key)
    require_named(
        "follower = silent: must be one that tells what is labelled",
        lambda: Informed(source="labels").value(game, Silent(ridge=0.1), theta, model, key),
    )


@pytest.mark.parametrize("objective", [Informed(), Informed(source="labels", kept=3)])
def test_nothing_is_kept_with_an_oracle(objective, key):
    game, follower = CONTEXTUAL.draw(key), BestResponse(ridge=0.1, feedback=Preferences())
    earlier = initial_state(game, follower, key, leader=Leader(objective)).earlier
    assert (earlier == ()) == (objective.source == "oracle")


@pytest.mark.parametrize(
    ("objective", "asks"),
    [(Carried(weight=0.7), False), (Informed(source="labels"), False), (Relaxed(), True)],
)
def test_u_of_what_was_not_labelled_is_not_asked_for(objective, asks, key):
    # U is NaN for every arm of the game; what was paid for is 0.9 and -0.4 of arms 5 and 2
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(SMALL["bandit"], follower, key)
    pair = jax.tree.map(lambda leaf: leaf[jnp.array([5, 2])], game.arms)
    items = Responses(pair._replace(quality=jnp.array([0.9, -0.4])), jnp.full(2, 0.5))
    unknown = game.replace(arms=game.arms._replace(quality=jnp.full(7, jnp.nan)))
    if not asks:
        objective = objective.replace(paid=Paid(jax.tree.map(lambda leaf: leaf[None], items), None))
    gradient = objective.estimate(unknown, follower, theta, model, key).gradient
    assert np.all(np.isnan(gradient) if asks else np.isfinite(gradient))
