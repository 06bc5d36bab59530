"""How a run begins: its instance in double precision, and players that cannot run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from fpo_jax import (
    BestResponse,
    Gradient,
    Leader,
    Myopic,
    Relaxed,
    RewardModel,
    run_seed,
    run_seeds,
    seed_keys,
)
from fpo_jax.engine.initial import begin_runs, in_double, instance
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.followers import Converged
from fpo_jax.steering import steering


@struct.dataclass
class Looping(Gradient):
    """A follower that stops when it likes, which has no reverse derivative."""

    def update(self, game, theta, reward_model, key):
        def going(phi):
            return jnp.sum(phi**2) > 2.0 * jnp.sum(theta**2)

        return RewardModel(jax.lax.while_loop(going, lambda phi: 0.5 * phi + 0.1 * theta, reward_model.phi))


def test_a_follower_without_a_derivative_is_named(key):
    with pytest.raises(InputError, match="follower = Looping: must be differentiable"):
        run_seed(Linear(dimension=3), Leader(Myopic(), policy_lr=0.02), Looping(), key, steps=2)


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_a_seed_means_the_same_instance_and_start_in_either_precision(name):
    # Drawn in double precision and cast: the same numbers to 24 bits, where single ones are other numbers.
    small = {
        "language": {"vocabulary": 6, "prompts": 1, "length": 2, "corpus": 8},
        "gridworld": {"walls": 0.3},
    }
    environment = ENVIRONMENTS[name](**small.get(name, {}))
    follower = BestResponse(ridge=0.1) if name != "neural" else Gradient()
    keys = seed_keys(3)

    def drawn(precision):
        with jax.enable_x64(precision == "float64"), in_double((environment, keys)) as told:
            assert told == precision
            return begin_runs(environment, follower, keys, None, devices=(jax.devices()[0],), precision=told)

    double, single = map(drawn, ("float64", "float32"))
    for wide, narrow in zip(jax.tree.leaves(double), jax.tree.leaves(single), strict=True):
        if jnp.issubdtype(wide.dtype, jnp.floating):
            assert (wide.dtype, narrow.dtype) == (jnp.float64, jnp.float32)
            np.testing.assert_array_equal(np.asarray(wide, np.float32), narrow)
        else:
            np.testing.assert_array_equal(wide, narrow)


def test_an_instance_drawn_by_hand_is_that_of_a_run(key):
    with jax.enable_x64(False):
        game = instance(Bandit(), key)
        _, trace = run_seed(Bandit(), Leader(Myopic()), BestResponse(ridge=0.1, alpha=0.3), key, steps=1)
        assert game.arms.quality.dtype == jnp.float32
        np.testing.assert_allclose(trace.metrics["true_utility"][0], game.arms.quality.mean(), rtol=1e-6)
    wide = instance(Bandit(), key)
    np.testing.assert_array_equal(np.asarray(wide.arms.quality, np.float32), game.arms.quality)


def test_an_arm_without_utility_is_named_and_not_the_follower(key):
    game = Bandit(ordinary=4, planted=2).draw(key)
    for bad in (np.nan, np.inf):
        broken = game.replace(arms=game.arms._replace(quality=game.arms.quality.at[3].set(bad)))
        with pytest.raises(InputError, match=rf"utility\(y\), response 3 = {bad}: must be finite"):
            run_seed(broken, Leader(Myopic()), BestResponse(ridge=0.1, alpha=0.3), key, steps=1)


def test_a_float32_optimum_near_discount_1_is_that_of_double_precision():
    # Policy iteration in float32 stops at a poor policy there, which runs pass by a fifth.
    keys = seed_keys(4)
    environment, follower = Gridworld(discount=0.9999), BestResponse(ridge=0.1)
    optima = []
    for wide in (True, False):
        with jax.enable_x64(wide), in_double(()) as precision:
            devices = (jax.devices()[0],)
            beginning = begin_runs(environment, follower, keys, None, devices=devices, precision=precision)
            optima.append(np.asarray(beginning.optimum))
    np.testing.assert_allclose(*optima, rtol=1e-7)


def test_an_instance_that_cannot_be_drawn_in_double_precision_is_told():
    # within what is traced in float32 it is another one than outside
    with jax.enable_x64(False):
        leader, follower = Leader(Myopic()), BestResponse(ridge=0.1, alpha=0.3)
        with pytest.warns(UserWarning, match="an instance is drawn in float32: another one than outside"):
            jax.jit(lambda key: run_seed(Bandit(), leader, follower, key, steps=1)[1])(jax.random.key(0))
        game = instance(Bandit(), jax.random.key(0))
        assert game.arms.quality.dtype == jnp.float32


def test_a_follower_that_keeps_its_promise_in_double_precision_only_is_refused_in_single(key):
    # ‖∂L/∂φ‖ <= 1e-11 is out of reach of float32, whose rounding here is some 1e-9
    follower = Converged(alpha=0.3, ridge=0.1, gradient_norm=1e-11)
    with (
        jax.enable_x64(False),
        pytest.raises(InputError, match="follower = Converged: must be one that reaches its best response"),
    ):
        run_seed(Bandit(ordinary=4, planted=2), Leader(Myopic()), follower, key, steps=2)


def test_run_checks_every_player(key):
    good, follower = Leader(Myopic()), Gradient()
    with pytest.raises(InputError, match="policy_lr"):
        run_seed(Linear(), good.replace(policy_lr=-1.0), follower, key, steps=1)
    with pytest.raises(InputError, match="weight"):
        run_seed(Linear(), Leader(Relaxed(weight=-1.0)), follower, key, steps=1)
    with pytest.raises(InputError, match="steps = 0: must be an integer >= 1"):
        run_seed(Linear(), good, follower, key, steps=0)
    with pytest.raises(InputError, match="seeds = 0: must be an integer >= 1"):
        run_seeds(Linear(), good, follower, seed_keys(0), steps=1)
    with pytest.raises(InputError, match=r"alpha = 0.3: must be 1, because this environment has no offline"):
        run_seed(Linear(), good, Gradient(alpha=0.3), key, steps=1)


def test_a_best_response_that_cannot_be_solved_is_refused(key):
    peak = np.where(np.arange(50) < 3, 2.0, 0.0)  # one response, of utility 10
    start = (peak, np.zeros(50))  # which cannot determine 50 parameters without a ridge
    with pytest.raises(InputError, match="ridge > 0"):
        run_seed(Linear(), Leader(Myopic()), BestResponse(ridge=0.0), key, steps=1, initial=start)

    @struct.dataclass
    class Curved(Linear):
        def reward(self, phi, y):
            return Linear.reward(self, phi + phi**3, y)

    with pytest.raises(InputError, match="a reward affine in φ"):
        run_seed(Curved(), Leader(Myopic()), BestResponse(ridge=0.1), key, steps=1, initial=start)


def test_players_of_another_kind_are_named(key):
    leader = Leader(Myopic())
    with pytest.raises(InputError, match="leader = Myopic: must be a Leader"):
        run_seed(Linear(), Myopic(), Gradient(), key, steps=1)
    with pytest.raises(InputError, match=r"class = Relaxed: must be an instance, such as Relaxed\(\)"):
        run_seed(Linear(), Leader(Relaxed), Gradient(), key, steps=1)
    with pytest.raises(InputError, match="steps = True"):
        run_seed(Linear(), leader, Gradient(), key, steps=True)
    with pytest.raises(InputError, match=r"initial phi = of shape \(1,\): must be of shape \(50,\)"):
        run_seed(Linear(), leader, Gradient(), key, steps=1, initial=(np.zeros(50), np.zeros(1)))
    with pytest.raises(InputError, match="one key for each of >= 1 seeds"):
        run_seeds(Linear(), leader, Gradient(), key, steps=1)
    with pytest.raises(InputError, match="horizon = 0"):
        steering(Linear(), Gradient(), np.zeros(50), RewardModel(np.zeros(50)), key, horizon=0)
