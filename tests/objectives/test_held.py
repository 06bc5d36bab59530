"""Divergences from another policy: against NumPy, at zeros, and the policies that they are held to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Gradient, Leader, Myopic, run_seed
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.followers import Optax
from fpo_jax.objectives import ChiSquared, Kl
from fpo_jax.run import initial_state, iterate
from tests.helpers import CONTEXTUAL, SMALL, at_random, compilations, require_named

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)
GRID = Gridworld(map="S.D / ..G")


@pytest.mark.parametrize("environment", [SMALL["bandit"], GRID, CONTEXTUAL])
def test_divergences_by_hand(environment, key):
    # of the weights: probabilities of arms, occupancies of pairs, ρ(x) π(a | x)
    game, theta, model = at_random(environment, FOLLOWER, key)
    start = 0.3 * jax.random.normal(key, theta.shape)
    here, there = (np.asarray(game.respond(t, key).w) for t in (theta, start))
    divergences = {
        Kl(weight=0.7): np.sum(here * np.log(here / there)),
        ChiSquared(weight=0.7): np.sqrt(np.sum(here**2 / there) - 1.0),
    }

    @jax.jit
    def all_of_them():
        def both(objective):
            return jax.value_and_grad(lambda t: objective.value(game, FOLLOWER, t, model, key))(theta)

        held = [o.held_to(start[None]).value(game, FOLLOWER, theta, model, key) for o in divergences]
        # held to itself, or to nothing yet
        same = [both(s) for o in divergences for s in (o, o.held_to(theta[None]))]
        return held, same, both(Myopic())

    held, same, (myopic, free) = all_of_them()
    np.testing.assert_allclose(held, [myopic - 0.7 * d for d in divergences.values()], rtol=1e-11)
    for value, gradient in same:
        np.testing.assert_allclose(value, myopic, rtol=1e-13)
        np.testing.assert_allclose(gradient, free, atol=1e-14)


def test_a_reference_is_that_of_the_game(key):
    # contextual: π_ref itself, θ = 0; its cost is β KL to it as well
    game, theta, model = at_random(CONTEXTUAL, FOLLOWER, key)
    held = Kl(weight=0.7, to="reference").value(game, FOLLOWER, theta, model, key)
    myopic = Myopic().value(game, FOLLOWER, theta, model, key)
    np.testing.assert_allclose(held, myopic - 0.7 * game.diagnostics(theta)["kl"], rtol=1e-12)


@pytest.mark.parametrize("objective", [Kl(weight=0.0), ChiSquared(weight=0.0)])
def test_weight_0_is_myopic(objective, key):
    game, theta, model = at_random(SMALL["bandit"], FOLLOWER, key)
    held = objective.held_to(jnp.zeros((1, *theta.shape)))
    gradients = [o.estimate(game, FOLLOWER, theta, model, key).gradient for o in (held, Myopic())]
    np.testing.assert_array_equal(*gradients)
    assert held.value(game, FOLLOWER, theta, model, key) == Myopic().value(game, FOLLOWER, theta, model, key)


@pytest.mark.parametrize("cls", [Kl, ChiSquared])
def test_a_response_that_neither_policy_gives_counts_for_nothing(cls, key):
    # softmax of −1000 is 0: arms 0 and 1 alone are left, of weights (½, ½) and (¼, ¾)
    game, _, model = at_random(SMALL["bandit"], FOLLOWER, key)
    nothing = jnp.full(5, -1000.0)
    theta = jnp.concatenate([jnp.zeros(2), nothing])
    other = jnp.concatenate([jnp.log(jnp.array([0.25, 0.75])), nothing])
    game = game.replace(temperature=0.0)  # whose cost is 0 · log 0
    held = cls(weight=0.7).held_to(other[None])
    value, gradient = jax.value_and_grad(lambda t: held.value(game, FOLLOWER, t, model, key))(theta)
    myopic = jnp.mean(jax.vmap(lambda y: game.reward(model.phi, y))(game.arms)[:2])
    expected = {Kl: 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75), ChiSquared: np.sqrt(1 + 1 / 3 - 1)}
    np.testing.assert_allclose(value, myopic - 0.7 * expected[cls], rtol=1e-12)
    assert np.all(np.isfinite(gradient))
    # one that this policy alone gives makes the value −∞, and adds nothing to the gradient
    held = cls(weight=0.7).held_to(theta[None])
    wider = theta.at[2].set(0.0)
    value, gradient = jax.value_and_grad(lambda t: held.value(game, FOLLOWER, t, model, key))(wider)
    assert value == -np.inf
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("to", ["start", "earlier"])
def test_the_policy_is_that_of_the_start_or_of_some_iterations_ago(to, key):
    environment = SMALL["bandit"]
    objective = Kl(weight=0.3, to=to, lag=3)
    leader = Leader(objective, policy_lr=1.0)
    _, trace = run_seed(environment, leader, FOLLOWER, key, steps=7, keep_states=True)
    thetas = np.asarray(trace.state.theta)
    for t in range(8):
        kept = trace.state.earlier[t]
        if to == "start":
            np.testing.assert_array_equal(kept, thetas[:1])
        else:  # before iteration t: θ of t − 3, t − 2, t − 1, and the start where there is none
            np.testing.assert_array_equal(kept, thetas[np.maximum(np.arange(t - 3, t), 0)])
        np.testing.assert_array_equal(leader.objective.held_to(kept).policy, kept[0])
    # the step that was taken is the one of the objective held to it
    state = jax.tree.map(lambda leaf: leaf[5], trace.state)
    game = environment.draw(jax.random.fold_in(key, 0))
    held = leader.for_iteration(game, FOLLOWER, state, key).step(
        game, FOLLOWER, state.theta, state.reward_model, key
    )
    after = jax.jit(iterate)(game, leader, FOLLOWER, state, key, 0.0)
    np.testing.assert_allclose(after.theta, held, rtol=1e-12)
    free = leader.step(game, FOLLOWER, state.theta, state.reward_model, key)
    assert np.linalg.norm(held - free) > 1e-4


def test_nothing_is_kept_for_a_reference_and_for_other_objectives(key):
    game, theta, _ = at_random(CONTEXTUAL, FOLLOWER, key)
    for objective, keeps in ((Kl(to="reference"), 0), (Kl(), 1), (Kl(to="earlier", lag=4), 4), (Myopic(), 0)):
        assert objective.keeps == keeps
    assert initial_state(game, FOLLOWER, key).earlier == ()
    leader = Leader(Kl(to="earlier", lag=4))
    assert initial_state(game, FOLLOWER, key, leader=leader).earlier.shape == (4, *theta.shape)


def test_other_weights_compile_nothing(key):
    for cls in (Kl, ChiSquared):
        leader = Leader(cls(weight=0.1))
        run_seed(SMALL["bandit"], leader, FOLLOWER, key, steps=2)
        with compilations() as names:
            run_seed(SMALL["bandit"], Leader(cls(weight=0.2)), FOLLOWER, key, steps=2)
        assert names == []


@pytest.mark.parametrize(
    ("environment", "objective", "follower", "said"),
    [
        (SMALL["bandit"], Kl(to="reference"), FOLLOWER, "objective = kl: must be held to another policy"),
        (
            SMALL["bandit"],
            ChiSquared(to="reference", weight=0.0),
            FOLLOWER,
            "objective = chi-squared: must be held to another policy, such as start: the reference policy",
        ),
        (
            Linear(dimension=3),
            Kl(),
            Gradient(),
            "objective = kl: must be another one: this policy is not a table",
        ),
        (
            Neural(dimension=2, rm_hidden="2"),
            ChiSquared(),
            Optax(),
            "objective = chi-squared: must be another",
        ),
        (
            Linear(dimension=3),
            Kl(to="begin"),
            Gradient(),
            "to = begin: must be one of start, reference, earlier",
        ),
        (SMALL["bandit"], Kl(to="earlier", lag=0), FOLLOWER, "lag = 0: must be an integer >= 1"),
    ],
)
def test_what_cannot_be_held_is_refused(environment, objective, follower, said, key):
    require_named(said, lambda: run_seed(environment, Leader(objective), follower, key, steps=1))
