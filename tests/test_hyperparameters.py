"""Declared hyperparameters: ranges, kinds, complaints; and that docstring examples do what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from flax import struct

import fpo_jax
from fpo_jax import (
    BestResponse,
    Exact,
    ForwardDifference,
    Gradient,
    InputError,
    Leader,
    Myopic,
    Relaxed,
    Responses,
    RewardModel,
    run_seed,
    run_seeds,
    seed_keys,
)
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import require_known
from fpo_jax.expect import expect
from fpo_jax.feedback import FEEDBACKS
from fpo_jax.followers import FOLLOWERS
from fpo_jax.hyperparameters import kebab, validate
from fpo_jax.numerics.differentiators import DIFFERENTIATORS
from fpo_jax.objectives import OBJECTIVES
from fpo_jax.steering import steering

BAD = [
    (Gradient(rm_lr=-0.1), "rm_lr = -0.1: must be a finite number >= 0"),
    (Gradient(weight_decay=1.5), "weight_decay = 1.5: must be a finite number >= 0 and <= 1"),
    (Gradient(rm_steps=0), "rm_steps = 0: must be an integer >= 1"),
    (Gradient(rm_steps=2.0), "rm_steps = 2.0: must be an integer >= 1"),
    (BestResponse(alpha=1.5), "alpha = 1.5: must be a finite number >= 0 and <= 1"),
    (BestResponse(alpha=np.array([0.5, 1.5])), "alpha = [0.5 1.5]: must be a finite number >= 0 and <= 1"),
    (BestResponse(ridge=-1.0), "ridge = -1.0: must be a finite number >= 0"),
    (BestResponse(ridge=float("nan")), "ridge = nan: must be a finite number >= 0"),
    (BestResponse(ridge="strong"), "ridge = strong: must be a finite number >= 0"),
    (BestResponse(anchored=1), "anchored = 1: must be true or false"),
    (Relaxed(weight=-1.0), "weight = -1.0: must be a finite number >= 0"),
    (Relaxed(utility="guessed"), "utility = guessed: must be one of differentiated, detached, value"),
    (Exact(horizon=0), "horizon = 0: must be an integer >= 1"),
    (Exact(utility="value"), "utility = value: must be one of differentiated, detached"),
    (Leader(Myopic(), policy_lr=float("inf")), "policy_lr = inf: must be a finite number >= 0"),
    (ForwardDifference(difference_step=0.0), "difference_step = 0.0: must be a finite number > 0"),
    (Bandit(ordinary=0), "ordinary = 0: must be an integer >= 1"),
    (Bandit(planted_style_low=4.0), "planted_style_low = 4.0: must be <= planted_style_high = 3.0"),
    (Linear(signal_dimension=60), "signal_dimension = 60: must be <= dimension = 50"),
]


@pytest.mark.parametrize(("owner", "complaint"), BAD, ids=[complaint for _, complaint in BAD])
def test_a_value_out_of_range_is_named(owner, complaint):
    with pytest.raises(InputError) as caught:
        validate(owner)
    assert str(caught.value) == complaint


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
    with pytest.raises(InputError, match=r"alpha = 0.3: must be 1, since this environment has no offline"):
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


CATALOGUES = (ENVIRONMENTS, FOLLOWERS, FEEDBACKS, OBJECTIVES, DIFFERENTIATORS)


@pytest.mark.parametrize("cls", [cls for classes in CATALOGUES for cls in classes.values()])
def test_hyperparameters_are_given_by_name(cls):
    # BestResponse(0.3) would set whichever field happens to stand first
    with pytest.raises(TypeError, match=r"takes 1 positional argument|takes no arguments"):
        cls(0.3)


def test_only_a_leaders_objective_has_a_place():
    assert Leader(Exact(horizon=2), policy_lr=0.1).objective == Exact(horizon=2)
    with pytest.raises(TypeError, match="takes 2 positional arguments"):
        Leader(Exact(), 0.1)


def test_expect_refuses_disagreeing_shapes():
    with pytest.raises(InputError, match=r"responses.y\['a'\] = array of shape \(2,\)"):
        expect(lambda y: y["a"], Responses({"a": np.zeros(2)}, np.full(3, 1 / 3)))


def test_the_nearest_name_is_suggested():
    with pytest.raises(InputError, match=r"follower = best-respond: .* \(nearest: best-response\)"):
        require_known("follower", "best-respond", FOLLOWERS)
    assert kebab("BestResponse") == "best-response"


def test_docstring_examples():
    attempted = 0
    for info in pkgutil.walk_packages(fpo_jax.__path__, "fpo_jax."):
        if ".llm." not in info.name and not info.name.endswith("__main__"):  # which needs its extra
            result = doctest.testmod(importlib.import_module(info.name))
            assert result.failed == 0
            attempted += result.attempted
    assert attempted > 0


def test_an_error_about_an_array_is_one_short_line():
    error = InputError("alpha", np.full(500, 2.0), "in [0, 1]")
    assert "\n" not in str(error)
    assert len(str(error)) < 120


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
