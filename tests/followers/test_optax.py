"""The follower by an optax optimiser: what its buffer holds, and that all of it is differentiable."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from fpo_jax import Gradient, Leader, Myopic, Preferences, RewardModel, run_seed
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.errors import InputError
from fpo_jax.followers import Optax
from fpo_jax.hyperparameters import validate
from fpo_jax.numerics.keys import named_key
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference

SMALL = Neural(dimension=3, signal_dimension=1, rm_hidden="4")
CASES = {
    "Adam, last draws": (
        Linear(dimension=4),
        Optax(rm_lr=0.02, weight_decay=0.01, rm_steps=2, buffer_size=3, replay="fifo"),
        3,
    ),
    "descent, reservoir, offline data": (
        Bandit(ordinary=5, planted=2),
        Optax(optimizer="sgd", rm_lr=0.1, alpha=0.3, buffer_size=8, replay="accumulate"),
        2,
    ),
    "anchor, cold start": (
        SMALL,
        Optax(
            optimizer="rmsprop",
            rm_lr=0.01,
            alpha=0.5,
            draws=2,
            buffer_size=4,
            replay="mixed",
            warm_start=False,
        ),
        2,
    ),
}


def after_some_updates(game, follower, key):
    """A reward model whose buffer and moments hold something of several policies, and another policy."""
    keys = jax.random.split(key, 6)
    theta, phi = game.init(keys[0])
    model = follower.init(game, theta, phi, keys[1])
    for update_key in keys[2:5]:
        theta = theta + 0.5 * jax.random.normal(update_key, theta.shape)
        model = follower.update(game, theta, model, update_key)
    return theta + 0.3 * jax.random.normal(keys[5], theta.shape), model


@pytest.mark.parametrize("case", CASES)
def test_standard_plus_steering_is_the_gradient_of_F(case, key):
    environment, follower, horizon = CASES[case]

    @jax.jit
    def both():
        game = environment.draw(key)
        theta, model = after_some_updates(game, follower, key)
        parts = steering(game, follower, theta, model, key, horizon)
        value = partial(foresighted_value, game, follower)
        difference = central_difference(lambda t: value(t, model, key, horizon), theta)
        return parts.gradient, parts.steering, difference

    total, steered, difference = both()
    assert norm(steered) > 1e-6
    assert norm(total - difference) < 1e-6 * norm(difference)


def test_plain_descent_on_fresh_draws_is_the_gradient_follower(key):
    game = Linear(dimension=4)
    theta, phi = jnp.array([1.0, 2.0, 0.5, -1.0]), jnp.array([1.0, 0.1, -0.3, 0.2])
    optimiser = Optax(optimizer="sgd", rm_lr=0.02, rm_steps=3)
    ours = optimiser.update(game, theta, optimiser.init(game, theta, phi, key), key).phi
    theirs = Gradient(rm_lr=0.02, rm_steps=3).update(game, theta, RewardModel(phi), key).phi
    np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    assert optimiser.calibrated_weight(2) == 2 * 0.02 * 3 * 2
    assert Optax(optimizer="adam").calibrated_weight(1) is None


def buffer_after(follower, updates, key):
    """What the buffer holds when policy number t = 1, 2, … plays the action (t, 0)."""
    game = Linear(dimension=2, signal_dimension=1)
    model = follower.init(game, jnp.zeros(2), jnp.ones(2), key)

    def update(model, t):
        policy, own_key = jnp.array([1.0, 0.0]) * t.astype(float), jax.random.fold_in(key, t)
        return follower.update(game, policy, model, own_key), None

    memory = jax.lax.scan(update, model, jnp.arange(1, updates + 1))[0].memory
    return memory.buffer.y[:, 0, 0], memory.buffer.w[:, 0]


def test_buffers_hold_what_they_say(key):
    held, weights = buffer_after(Optax(buffer_size=4, replay="fifo"), 3, key)
    np.testing.assert_array_equal((held, weights), ([0, 1, 2, 3], [0, 1, 1, 1]))  # one place still empty
    held, _ = buffer_after(Optax(buffer_size=4, replay="fifo"), 9, key)
    np.testing.assert_array_equal(held, [6, 7, 8, 9])
    held, _ = buffer_after(Optax(buffer_size=4, replay="fresh"), 9, key)
    np.testing.assert_array_equal(held, [9])
    held, _ = buffer_after(Optax(buffer_size=12, replay="accumulate"), 9, key)
    np.testing.assert_array_equal(held[:9], np.arange(1, 10))


def test_a_full_reservoir_is_a_uniform_sample_of_everything(key):
    # Each of 12 draws is one of the 4 kept with probability 1/3: over 3000 reservoirs a count of 1000 with a
    # standard deviation of √(3000 · 1/3 · 2/3) = 25.8, of which 4.5 are 116.
    follower = Optax(buffer_size=4, replay="accumulate")
    held, _ = jax.jit(jax.vmap(lambda k: buffer_after(follower, 12, k)))(jax.random.split(key, 3000))
    assert all(len(set(row)) == 4 for row in np.asarray(held)[:50].tolist())
    counts = np.bincount(np.asarray(held, int).ravel(), minlength=13)[1:]
    assert np.all(np.abs(counts - 1000) < 116)


def test_a_cold_start_forgets_and_a_warm_one_does_not(key):
    game, theta, phi = Linear(dimension=2, signal_dimension=1), jnp.array([1.0, 0.5]), jnp.ones(2)

    def twice(follower):
        first = follower.update(game, theta, follower.init(game, theta, phi, key), key)
        return first.phi, follower.update(game, theta, first, key).phi

    np.testing.assert_array_equal(*twice(Optax(rm_lr=0.1, warm_start=False)))
    first, second = twice(Optax(rm_lr=0.1))
    assert np.all(np.abs(first - second) > 0.01)


def test_the_derivative_through_adam_is_a_number_where_a_gradient_is_zero(key):
    # At y = (y₁, 0) the second weight has gradient 0 at every step, so that Adam's √v is at its kink.
    game, follower = Linear(dimension=2, signal_dimension=1), Optax(optimizer="adam", rm_lr=0.1)
    theta = jnp.array([1.0, 0.0])
    model = follower.init(game, theta, jnp.ones(2), key)
    assert np.all(np.isfinite(steering(game, follower, theta, model, key, 2).steering))


@struct.dataclass
class Momentum(Optax):
    """A chain of optax of one's own."""

    def transformation(self):
        return optax.chain(optax.clip(0.1), optax.sgd(self.rm_lr, momentum=0.9))


@struct.dataclass
class Stateless(Optax):
    """What is no optimiser: a function that makes one."""

    def transformation(self):
        return optax.sgd


def test_a_subclass_brings_its_own_optimiser(key):
    leader = Leader(Myopic(), policy_lr=0.02)
    _, trace = run_seed(Linear(dimension=3), leader, Momentum(rm_lr=0.01), key, steps=3)
    assert np.all(trace.finite)


BAD = {
    "buffer smaller than a batch": (Optax(draws=5, buffer_size=4, replay="fifo"), "buffer_size = 4: must be"),
    "no inner steps": (Optax(rm_steps=0), "rm_steps = 0: must be an integer >= 1"),
    "unknown optimiser": (Optax(optimizer="adma"), "optimizer = adma: must be an optimiser of optax"),
    "no optimiser": (
        Optax(optimizer="global_norm"),
        "optimizer = global_norm: must be an optimiser of optax",
    ),
    "asks for values": (
        Optax(optimizer="lbfgs"),
        "optimizer = lbfgs: must be one that needs only gradients",
    ),
    "no state": (Stateless(), "must be an optax.GradientTransformation"),
    "unknown buffer": (Optax(replay="all"), "replay = all: must be one of fresh, fifo, accumulate, mixed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings(case):
    follower, complaint = BAD[case]
    with pytest.raises(InputError, match=complaint.split("(")[0]):
        validate(follower)


def test_a_reward_model_without_an_optimisers_state_is_refused(key):
    with pytest.raises(InputError, match=r"reward_model.memory = \(\): must be what Optax.init returns"):
        Optax().update(Linear(), jnp.zeros(50), RewardModel(jnp.zeros(50)), key)


def test_mixing_needs_something_to_mix_in(key):
    leader = Leader(Myopic(), policy_lr=0.02)
    with pytest.raises(InputError, match=r"alpha = 0.5: must be 1"):
        run_seed(Linear(dimension=3), leader, Optax(alpha=0.5), key, steps=1)
    mixed = Optax(alpha=0.5, replay="mixed", buffer_size=2)
    state, _ = run_seed(Linear(dimension=3), leader, mixed, key, steps=2)
    np.testing.assert_array_equal(state.reward_model.memory.anchor.y, np.zeros((2, 1, 3)))  # the first policy
    with pytest.raises(InputError, match="follower = optax: must be gradient or a best response"):
        mixed.limit(Linear(dimension=3), state.theta, state.reward_model, key)


def test_the_loss_is_that_of_the_mix_and_half_the_decay(key):
    # E_μ[(φ·g − U)²] + ½ d ‖φ‖², μ = (1 − α)·offline + α·(what the buffer holds, each draw 1/3): after two
    # updates of one draw each, the third draw that this loss adds makes three policies in the buffer of four.
    follower = Optax(optimizer="sgd", rm_lr=0.1, weight_decay=0.7, alpha=0.3, buffer_size=4, replay="fifo")
    game = Bandit(ordinary=3, planted=1).draw(key)
    thetas = jax.random.normal(key, (3, 4))
    model = follower.init(game, thetas[0], jnp.array([0.4, -0.2]), key)
    for theta in thetas[:2]:
        model = follower.update(game, theta, model, key)
    phi = np.array([0.8, -0.5])
    g, u = np.asarray(game.arms.features), np.asarray(game.arms.quality)
    policy = np.asarray(jax.nn.softmax(thetas, axis=1)).mean(axis=0)
    mu = 0.7 * np.asarray(game.offline().w) + 0.3 * policy
    expected = mu @ (g @ phi - u) ** 2 + 0.5 * 0.7 * phi @ phi
    np.testing.assert_allclose(follower.loss(game, thetas[2], model, key)(phi), expected, rtol=1e-12)
    # and what an update descends: φ − lr (∇E_μ + d φ), at the φ that two updates left
    at = np.asarray(model.phi)
    slope = 2 * (mu * (g @ at - u)) @ g + 0.7 * at
    np.testing.assert_allclose(follower.update(game, thetas[2], model, key).phi, at - 0.1 * slope, rtol=1e-12)


def test_adam_on_a_buffer_is_the_plain_algorithm(key):
    # m ← 0.9 m + 0.1 g, v ← 0.999 v + 0.001 g², φ ← φ − lr m̂ / (√v̂ + 1e-8), hats dividing by 1 − β^t; g the
    # gradient of E[(φ·y − U)²] over the last three actions, twice on the same data; t counts on over updates.
    game, lr = Linear(dimension=2, signal_dimension=1), 0.05
    follower = Optax(optimizer="adam", rm_lr=lr, rm_steps=2, buffer_size=3, replay="fifo")
    actions = np.array([[1.0, 0.5], [2.0, -0.3], [0.4, 0.2], [1.5, 0.1]])
    phi = np.array([1.0, 0.3])
    model = follower.init(game, jnp.array(actions[0]), jnp.array(phi), key)
    first, second, t, held = np.zeros(2), np.zeros(2), 0, []
    for action in actions:
        model = follower.update(game, jnp.array(action), model, key)
        held = [*held, action][-3:]
        for _ in range(2):
            utility = [10 * np.exp(-0.3 * np.sum((y - [2.0, 0.0]) ** 2)) for y in held]
            gradient = np.mean([2 * (phi @ y - u) * y for y, u in zip(held, utility, strict=True)], axis=0)
            t += 1
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            phi = phi - lr * first / (1 - 0.9**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(model.phi, phi, rtol=1e-9)


def test_every_draw_of_an_update_has_labels_of_its_own(key):
    # Eight draws of one policy that is enumerated: the same pairs eight times, each labelled anew. Two draws
    # agree in all of n pairs of gap 0 < |p* − ½| with probability Π (p*² + (1 − p*)²), next to nothing here.
    follower = Optax(draws=8, feedback=Preferences(labels="hard", annotator_temperature=5.0))
    game = Contextual(prompts=2, trapped=1, ordinary=3, traps=1).draw(key)
    theta, phi = game.init(key)
    model = follower.update(game, theta, follower.init(game, theta, phi, key), key)
    preferred = np.asarray(model.memory.buffer.y.preferred)
    assert preferred.shape == (8, 2 * 4 * 4)
    assert len({tuple(row) for row in preferred.tolist()}) == 8
    # and they are those of as many calls of the feedback, each with its key
    keys = jax.random.split(named_key(key, "items"), 8)
    for row, own in zip(preferred, keys, strict=True):
        items = follower.feedback.gather(game, theta, game.respond(theta, own), own)
        np.testing.assert_array_equal(items.y.preferred, row)
