"""The rungs of the ladder: all routes to the true gradient that are compared with the exact one."""

from fpo_jax.hyperparameters import declared
from fpo_jax.objectives import OBJECTIVES, Exact
from fpo_jax.objectives.implicit import Implicit
from fpo_jax.types import Objective, Recipe

LEFT_OUT = (
    "myopic",  # has no correction
    "limit",  # has another horizon
    *("fpo", "informed"),  # equal other objectives
    "best-of",  # its step is no gradient of F
    # make J safer by themselves, and approximate no steering term
    *("pessimistic", "kl", "chi-squared", "gradient-norm", "shaped"),
    "ensemble",  # has another J
)
"""Objectives that are no route to dF/dθ. Leverage is a route: the self-influence of (13), with H⁻¹ kept."""


def ladder_of(recipe: Recipe, horizon: int, scale: float | None) -> dict[str, Objective]:
    """Return the routes to compare, by label: every objective that is a route of its own, and variants.

    Args:
        recipe: sets their hyperparameters and weights.
        horizon: follower updates that they foresee.
        scale: weight that matches the follower's own steps, for a variant of relaxed FPO; None if there is
            no such weight.
    """

    def make(name: str) -> Objective:
        spoken = {**recipe.objective, "horizon": horizon}
        if name in recipe.weights:
            spoken["weight"] = recipe.weights[name]
        own = {field.name for field in declared(OBJECTIVES[name])}
        return OBJECTIVES[name](**{key: value for key, value in spoken.items() if key in own})

    ladder = {name: make(name) for name in OBJECTIVES if name not in LEFT_OUT}
    ladder["leverage, U known"] = ladder["leverage"].replace(oracle=1.0)  # type: ignore[attr-defined]
    exact = Exact(horizon=horizon)  # the reference is dF/dθ itself, even if the leader knows U only as labels
    if ladder["exact"] != exact:
        ladder |= {"exact": exact, f"exact, U {ladder['exact'].utility}": ladder["exact"]}
    ladder |= {
        "implicit, CG": Implicit(solver="cg"),
        "implicit, Neumann 10": Implicit(solver="neumann", terms=10),
    }
    return ladder if scale is None else ladder | {"relaxed, 2·lr·α·k": make("relaxed").replace(weight=scale)}  # type: ignore[attr-defined]
