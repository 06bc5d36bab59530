"""Sampling from tabular processes: the step function, and gradients estimated from trajectories."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse
from fpo_jax.envs.garnet import Garnet
from fpo_jax.envs.parts.episodes import EpisodeState, Trajectories, reset, step
from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.hyperparameters import validate
from fpo_jax.steering import steering

SMALL = Garnet(states=4, actions=2, branching=2, episode_length=20, temperature=0.1)
FOLLOWER = BestResponse(alpha=0.3, ridge=0.1)


@pytest.mark.parametrize("solver", ["direct", "iterative"])
def test_reset_and_step_sample_from_the_tables(solver, key):
    draws = 20_000
    game = SMALL.replace(occupancy_solver=solver, episode_length=2).draw(key)
    table = SMALL.draw(key).transitions.probabilities
    keys = jax.random.split(key, draws)
    observed, begun = jax.vmap(reset, (0, None))(keys, game)
    np.testing.assert_array_equal(observed, begun.position)
    assert np.all(begun.time == 0)

    def check_frequencies(drawn, probabilities):
        frequencies = np.bincount(drawn, minlength=4) / draws
        error = np.sqrt(probabilities * (1 - probabilities) / draws)
        assert np.all(np.abs(frequencies - probabilities) <= 5 * error + 1e-12)

    check_frequencies(observed, np.asarray(game.start))
    take = jax.jit(jax.vmap(step, (0, None, None, None)))
    here = EpisodeState(jnp.asarray(1), jnp.asarray(0))
    observed, after, reward, done, info = take(keys, here, jnp.asarray(1), game)
    check_frequencies(observed, np.asarray(table[1, 1]))
    assert np.all(reward == game.pairs.utility[1, 1])
    np.testing.assert_array_equal(info["features"][0], game.pairs.features[1, 1])
    assert np.all(after.time == 1)
    assert not np.any(done)
    assert np.all(info["discount"] == 0.9)
    # the second of two steps ends the episode, and the next one begins
    observed, after, _, done, info = take(keys, here._replace(time=jnp.asarray(1)), jnp.asarray(1), game)
    assert np.all(done)
    assert np.all(info["discount"] == 0.0)
    assert np.all(after.time == 0)
    check_frequencies(observed, np.asarray(game.start))


def test_an_episode_without_end_is_never_done(key):
    game = SMALL.replace(episode_length=0).draw(key)

    def move(state, key):
        _, state, _, done, _ = step(key, state, jnp.asarray(0), game)
        return state, done

    _, done = jax.lax.scan(move, reset(key, game)[1], jax.random.split(key, 500))
    assert not np.any(done)


def standard_errors_off(batches, trajectories, key):
    """How many standard errors the sampled estimates lie from the exact values, by name and coordinate."""
    game = SMALL.draw(key)
    theta = jax.random.normal(key, (4, 2))
    phi = jnp.array([0.4, -0.2])
    model = FOLLOWER.init(game, theta, phi, key)
    sampled = Trajectories(game, trajectories=trajectories, steps=20)
    validate(sampled)

    def quantities(process, key):
        def value(t):
            responses = process.respond(t, key)
            return expect(lambda y: process.reward(phi, y), responses) - process.cost(t, responses)

        return {
            "J": value(theta),
            "blind-spot mass": expect(process.blind_spot, process.respond(theta, key)),
            "gradient of J": jax.grad(value)(theta),
            **steering(process, FOLLOWER, theta, model, key)._asdict(),
        }

    exact = jax.jit(lambda: quantities(game, key))()
    keys = jax.random.split(key, batches)
    estimates = jax.jit(lambda: jax.lax.map(lambda k: quantities(sampled, k), keys))()

    def off(estimate, value):
        error = np.std(estimate, axis=0, ddof=1) / np.sqrt(batches)
        return np.abs(np.mean(estimate, axis=0) - value) / error

    assert np.max(np.abs(exact["steering"])) > 0.01
    return jax.tree.map(off, estimates, exact)


@pytest.mark.slow
def test_sampled_gradients_are_within_4_standard_errors_of_the_exact_ones(key):
    for name, off in standard_errors_off(batches=64, trajectories=200, key=key).items():
        assert np.all(off < 4), name


@pytest.mark.slow
def test_sampled_gradients_over_100_000_trajectories(key):
    for name, off in standard_errors_off(batches=100, trajectories=1000, key=key).items():
        print(f"{name}: at most {np.max(off):.2f} standard errors off")
        assert np.all(off < 4), name


def test_trajectories_have_the_length_of_the_episodes(key):
    game = SMALL.draw(key)
    with pytest.raises(InputError, match="steps = 7: must be 20, the episode_length"):
        validate(Trajectories(game, steps=7))
    validate(Trajectories(game.replace(episode_length=0), steps=7))
