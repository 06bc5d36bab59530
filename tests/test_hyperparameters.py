"""Declared hyperparameters: ranges, kinds, complaints; and that docstring examples do what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import fpo_jax
from fpo_jax import BestResponse, Exact, ForwardDifference, Gradient, InputError, Leader, Myopic, Relaxed
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.feedback import FEEDBACKS
from fpo_jax.followers import FOLLOWERS
from fpo_jax.hyperparameters import validate
from fpo_jax.numerics.differentiators import DIFFERENTIATORS
from fpo_jax.objectives import OBJECTIVES

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
    (
        Relaxed(utility="valeu"),
        "utility = valeu: must be one of differentiated, detached, value (nearest: value)",
    ),
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


def test_docstring_examples():
    attempted = 0
    for info in pkgutil.walk_packages(fpo_jax.__path__, "fpo_jax."):
        if ".llm." not in info.name and not info.name.endswith("__main__"):  # which needs its extra
            result = doctest.testmod(importlib.import_module(info.name))
            assert result.failed == 0
            attempted += result.attempted
    assert attempted > 0
