"""The compared methods, each with one number to tune, and the places where they are tested."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fpo_jax.followers import FOLLOWERS
from fpo_jax.objectives import OBJECTIVES

KNOWN: Mapping[str, Any] = {**OBJECTIVES, **FOLLOWERS}


class Method(NamedTuple):
    """A method, and the one number of it that is tuned.

    Attributes:
        label: its name.
        settings: the settings that define it, flat names to values.
        tuned: name of the tuned number; "" if there is none.
        values: values to try, in rising order; empty if nothing is tuned.
    """

    label: str
    settings: Mapping[str, Any]
    tuned: str = ""
    values: tuple[float, ...] = ()

    @property
    def knows(self) -> str:
        """Return what a user of the method must know."""
        settings = self.settings
        if settings.get("oracle", 0.0) > 0:
            return "U at will"
        if settings.get("source") == "labels":
            return "the follower's labels"
        return str(KNOWN[settings.get("follower", settings.get("objective", "myopic"))].knows)


class Place(NamedTuple):
    """A place where methods are compared: an environment with some settings.

    Attributes:
        label: its name.
        settings: of the environment and the players, flat names to values.
        differ: in what the members of an ensemble differ.
        tuning: number of seeds that choose the tuned number.
        seeds: number of other seeds that judge the methods.
        width: runs at once; None takes a quarter of the judging seeds.
    """

    label: str
    settings: Mapping[str, Any]
    differ: str = "data"
    tuning: int = 64
    seeds: int = 256
    width: int | None = None


def logarithmic(low: int, high: int) -> tuple[float, ...]:
    """Return 10^low, 10^(low + ½), …, 10^high, to three digits."""
    return tuple(float(f"{10 ** (k / 2):.3g}") for k in range(2 * low, 2 * high + 1))


WEIGHTS = logarithmic(-3, 3)
SHARES = tuple(float(f"{10 ** (k / 4):.3g}") for k in range(-12, 1))
"""The same number of values, in (0, 1]."""


def _objective(label: str, name: str, **more: Any) -> Method:
    return Method(label, {"objective": name, **more}, "weight", WEIGHTS)


RLHF = Method("RLHF", {"objective": "myopic"})
METHODS: tuple[Method, ...] = (
    RLHF,
    Method("exact", {"objective": "exact"}),
    _objective("relaxed FPO", "relaxed"),
    _objective("TracIn", "tracin"),
    _objective("proximal FPO", "proximal"),
    _objective("bounded leverage, oracle", "leverage", form="bounded", oracle=1.0),
    _objective("practical FPO", "practical"),
    _objective("leverage", "leverage"),
    _objective("leverage, root", "leverage", form="root"),
    _objective("pessimism", "pessimistic"),
    _objective("KL to the start", "kl"),
    _objective("KL to 10 iterations ago", "kl", to="earlier"),
    _objective("χ² to the start", "chi-squared"),
    _objective("gradient norm", "gradient-norm"),
    _objective("shaped, sigmoid", "shaped"),
    _objective("shaped, clipped", "shaped", form="clip"),
    Method("ensemble of 4, mean", {"follower": "ensemble"}),
    Method("ensemble of 4, worst", {"follower": "ensemble", "combine": "worst"}),
    _objective("ensemble of 4, uncertainty", "ensemble", follower="ensemble"),
    Method("pessimistic fit", {"follower": "pessimistic-fit"}, "pessimism", WEIGHTS),
    Method("centred fit", {"follower": "centred"}, "centring", WEIGHTS),
    Method("data smoothing", {"follower": "data-smoothing"}, "replaced", SHARES),
    Method("importance weights", {"follower": "importance-weighted"}, "clip", WEIGHTS),
    Method("mirror step", {"objective": "myopic", "rule": "mirror"}, "policy_lr", WEIGHTS),
    Method("standardised", {"objective": "myopic", "rule": "standardised"}, "policy_lr", WEIGHTS),
)
"""In the order of the tables, by what they know: the follower's rule and U, U of any response, then less."""

PLACES: tuple[Place, ...] = (
    Place("bandit", {"environment": "bandit"}),
    Place("bandit, α = 0.1", {"environment": "bandit", "alpha": 0.1}),
    Place("gridworld", {"environment": "gridworld"}),
    Place("garnet", {"environment": "garnet"}),
    Place("contextual", {"environment": "contextual"}),
    Place("contextual, gems", {"environment": "contextual", "gems": 1}),
    Place("linear", {"environment": "linear"}, differ="start"),
    Place("neural", {"environment": "neural"}, differ="start"),
    Place("language", {"environment": "language"}, tuning=16, seeds=64),
)
"""Every environment in which RLHF with the recipe's settings collapses, and two variants."""
