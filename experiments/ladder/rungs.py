"""The rungs of the ladder: every route to the true gradient that is compared with the exact one."""

from fpo_jax.hyperparameters import declared
from fpo_jax.objectives import OBJECTIVES, Exact
from fpo_jax.objectives.implicit import Implicit
from fpo_jax.types import Objective, Recipe


def ladder_of(recipe: Recipe, horizon: int, scale: float | None) -> dict[str, Objective]:
    """Return the routes to compare, by label: every objective with an answer of its own, and variants.

    Settings are the recipe's; relaxed FPO also has the weight of the follower's own steps, if there is one.
    """

    def make(name: str) -> Objective:
        spoken = {**recipe.objective, "horizon": horizon}
        if name in recipe.weights:
            spoken["weight"] = recipe.weights[name]
        own = {field.name for field in declared(OBJECTIVES[name])}
        return OBJECTIVES[name](**{key: value for key, value in spoken.items() if key in own})

    # nothing to add; another horizon; names for two others; a step that is no gradient of F; another J
    left_out = ("myopic", "limit", "fpo", "informed", "best-of", "ensemble")
    ladder = {name: make(name) for name in OBJECTIVES if name not in left_out}
    exact = Exact(horizon=horizon)  # the reference is dF/dθ itself, whatever the leader may know of it
    if ladder["exact"] != exact:
        ladder |= {"exact": exact, f"exact, U {ladder['exact'].utility}": ladder["exact"]}
    ladder |= {
        "implicit, CG": Implicit(solver="cg"),
        "implicit, Neumann 10": Implicit(solver="neumann", terms=10),
    }
    return ladder if scale is None else ladder | {"relaxed, 2·lr·α·k": make("relaxed").replace(weight=scale)}  # type: ignore[attr-defined]
