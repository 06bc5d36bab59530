"""What is refused before a run, with what is to be done about it."""

import pytest
from flax import struct

from fpo_jax import Gradient, InputError, Labels, Leader, Myopic, run_seed
from fpo_jax.envs.linear import Linear


@struct.dataclass
class OfYesterday(Gradient):
    def noise(self, game, key):
        return None


@struct.dataclass
class DrawsAGameOfYesterday:
    def draw(self, key):
        return GameOfYesterday(dimension=3)


@struct.dataclass
class GameOfYesterday(Linear):
    def noise(self, key, number):
        return None


@struct.dataclass
class ObjectiveOfYesterday(Myopic):
    def seen(self, game):
        return game


@pytest.mark.parametrize(
    ("environment", "objective", "follower", "said"),
    [
        (Linear(dimension=3), Myopic(), OfYesterday(), "OfYesterday.noise = a method: must be left out"),
        (
            GameOfYesterday(dimension=3),
            Myopic(),
            Gradient(),
            "GameOfYesterday.noise = a method: must be left",
        ),
        (DrawsAGameOfYesterday(), Myopic(), Gradient(), "GameOfYesterday.noise = a method: must be left out"),
        (Linear(dimension=3), ObjectiveOfYesterday(), Gradient(), "seen = a method: must be called `known`"),
    ],
)
def test_what_was_written_against_older_contracts_is_told_what_has_changed(
    environment, objective, follower, said, key
):
    with pytest.raises(InputError, match=said):
        run_seed(environment, Leader(objective), follower, key, steps=1)


@struct.dataclass
class DuckTyped:
    """A player with methods of the right names, which inherits from nothing."""

    alpha: float = 1.0
    feedback: Labels = Labels()

    def value(self, game, follower, theta, reward_model, key):
        return 0.0


@pytest.mark.parametrize(
    ("objective", "follower", "said"),
    [
        (
            DuckTyped(),
            Gradient(),
            "objective = DuckTyped: must be one that inherits from fpo_jax.types.Objective",
        ),
        (
            Myopic(),
            DuckTyped(),
            "follower = DuckTyped: must be one that inherits from fpo_jax.types.Follower",
        ),
        (Myopic(), Gradient(feedback=DuckTyped()), "feedback = DuckTyped: must be one that inherits"),
    ],
)
def test_players_inherit_from_their_contracts(objective, follower, said, key):
    with pytest.raises(InputError, match=said):
        run_seed(Linear(dimension=3), Leader(objective), follower, key, steps=1)
