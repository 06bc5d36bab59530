"""The paper's neural environment: against the oracle, injected with noise, and as published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from fpo_jax import Leader, Myopic, Practical, Proximal, Relaxed, RewardModel, outcome, run_seed
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.errors import InputError
from fpo_jax.experiments.bench.numpy_oracle import NeuralOracle, random_network
from fpo_jax.experiments.parity.recorded_game import Noise, replay
from fpo_jax.followers import Optax
from fpo_jax.hyperparameters import validate
from fpo_jax.objectives import Fpo
from fpo_jax.run import initial_state

STEPS, INNER, DRAWS, WIDTHS, DIMENSION = 12, 3, 2, (4, 5, 3, 1), 4
ARMS = {  # the others are replayed by the tests of parity
    "relaxed": Fpo(weight=0.3, utility="detached"),
    "practical": Fpo(weight=0.3, oracle=0.0, utility="detached"),
    "proximal": Proximal(weight=0.3, utility="detached"),
}


def drawn():
    """Weights [out, in] and biases of an MLP, and noise, from NumPy."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(STEPS, INNER, DIMENSION)), rng.normal(size=(STEPS, DRAWS, DIMENSION))
    return *random_network(rng, WIDTHS, 1.0), noise


def as_phi(weights, biases):
    kernels = {f"kernel_{i}": w.T for i, w in enumerate(weights)}
    return {"params": kernels | {f"bias_{i}": b for i, b in enumerate(biases)}}


@pytest.mark.parametrize("objective", ARMS)
def test_runs_equal_the_oracle(objective, key):
    # Settings unlike the published ones, so that none is right by being the default; a clamp that bites.
    weights, biases, noise = drawn()
    oracle = NeuralOracle(
        objective,
        weight=0.3,
        steps=STEPS,
        sigma=(0.3, 0.05),
        policy_lr=(0.1, 0.02),
        power=2.0,
        clip=0.4,
        action_cost=0.05,
        utility_scale=4.0,
        utility_rate=0.3,
        ideal=(1.5, 0.0, 0.0, 0.0),
        rm_lr=0.02,
        weight_decay=0.1,
        buffer_size=5,
    )
    game = Neural(
        utility_scale=4.0,
        utility_rate=0.3,
        ideal_signal=1.5,
        action_cost=0.05,
        dimension=DIMENSION,
        signal_dimension=1,
        sigma=0.3,
        sigma_final=0.05,
        sigma_power=2.0,
        rm_hidden="5,3",
    )
    leader = Leader(
        ARMS[objective],
        policy_lr=0.1,
        policy_steps=INNER,
        policy_lr_decay=0.8,
        policy_lr_power=2.0,
        gradient_clip=0.4,
    )
    follower = Optax(
        optimizer="adam", rm_lr=0.02, weight_decay=0.1, draws=DRAWS, buffer_size=5, replay="fifo"
    )
    expected = oracle.run(weights, biases, *noise)
    start = initial_state(game, follower, key, (jnp.zeros(DIMENSION), as_phi(weights, biases)))
    recorded = Noise(*(jnp.asarray(leaf[:, :, None]) for leaf in noise))  # one response at a time
    metrics, theta = jax.jit(replay)(game, leader, follower, start, recorded)
    for name in ("true_utility", "noise_norm"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(theta, expected["theta"], rtol=1e-10)


def test_fpo_is_all_three_arms_of_the_paper(key):
    game = Neural(dimension=3, signal_dimension=1, rm_hidden="4")
    theta, phi = game.init(key)
    theta = theta + jnp.array([1.0, 0.5, -0.3])

    @jax.jit
    def gradient(objective):
        return objective.estimate(game, Optax(), theta, RewardModel(phi), key).gradient

    for oracle, arm in ((1.0, Relaxed), (0.0, Practical)):
        np.testing.assert_allclose(
            gradient(Fpo(weight=0.2, oracle=oracle)), gradient(arm(weight=0.2)), rtol=1e-12
        )
    np.testing.assert_array_equal(gradient(Fpo(weight=0.0)), gradient(Myopic()))


def test_exploration_and_learning_rate_fade_as_published():
    # σ = 0.001 + 0.099 (1 − p⁴), lr = 0.001 + 0.049 (1 − p⁴): at p = 1/2 the last factor is 15/16.
    leader = Leader(Myopic(), policy_lr=0.05, policy_lr_decay=0.98)
    for progress, left in ((0.0, 1.0), (0.5, 15 / 16), (1.0, 0.0)):
        np.testing.assert_allclose(Neural().at(progress).sigma, 0.001 + 0.099 * left, rtol=1e-14)
        np.testing.assert_allclose(leader.at(progress).policy_lr, 0.001 + 0.049 * left, rtol=1e-13)


def test_a_run_is_judged_by_its_mean_action(key):
    game = Neural(rm_hidden="4")
    state, trace = run_seed(game, Leader(Myopic(), policy_steps=2), Optax(), key, steps=2, record=outcome)
    np.testing.assert_allclose(trace.metrics["true_utility"][-1], game.utility(state.theta), rtol=1e-14)


@struct.dataclass
class Wide(Linear):
    """A reward model with two outputs."""

    def reward(self, phi, y):
        return phi[:2] * y[:2]


def test_bad_input(key):
    with pytest.raises(InputError, match=r"sigma_final = -0.1: must be a finite number >= 0"):
        validate(Neural(sigma_final=-0.1))
    with pytest.raises(InputError, match=r"rm_hidden = 32,x: must be integers >= 1, separated by commas"):
        validate(Neural(rm_hidden="32,x"))
    leader = Leader(Myopic())
    with pytest.raises(InputError, match=r"reward = of shape \(2,\): must be a scalar"):
        run_seed(Wide(dimension=3), leader, Optax(), key, steps=1)
    other = (jnp.zeros(10), as_phi(*drawn()[:2]))
    with pytest.raises(InputError, match="initial phi"):
        run_seed(Neural(), leader, Optax(), key, steps=1, initial=other)
