"""A leader with its own combination of several reward models, independent of the follower's."""

from typing import ClassVar

from flax import struct

from fpo_jax.errors import InputError
from fpo_jax.expect import evaluate
from fpo_jax.hyperparameters import choice, count, kebab, real
from fpo_jax.steering import foresee, foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta
from fpo_jax.wrappers import ensembled, with_ensembled


@struct.dataclass
class Ensemble(Objective):
    """E[r] − cost, with r combined from the members of the follower's ensemble (Coste et al., 2310.02743).

        pays mean          mean r_i
             worst         min r_i
             uncertainty   mean r_i − weight · Var_i r_i

    With `horizon` k it foresees k updates of all members; with 0, the default, none. Exact FPO foresees them
    through the follower's own combination.
    """

    knows: ClassVar[str] = "nothing"

    pays: str = choice(
        "uncertainty",
        "how the members' rewards are combined to pay the leader",
        ("mean", "worst", "uncertainty"),
    )
    weight: float = real(1.0, "λ, price of the variance of the members' rewards", low=0.0)
    horizon: int = count(0, "updates of the follower that the leader foresees", low=0)

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J of the combined reward.

        Raises:
            InputError: when the follower is not an ensemble.
        """
        if ensembled(game) is None:
            name = kebab(type(follower).__name__)
            raise InputError("follower", name, "ensemble, for an objective that combines its members")
        paid = with_ensembled(game, lambda ours: ours.combined(self.pays, self.weight))
        keys, phi = foresight_keys(key), reward_model.phi
        if self.horizon:
            phi = foresee(game, follower, theta, reward_model, keys.data, self.horizon).phi
        return evaluate(paid, theta, phi, keys.evaluation)
