"""Names for users: environments, objectives, followers, feedback, differentiators."""

from typing import Any

from fpo_jax.experiments.cli.without_jax import without_jax


def catalogue_at_once() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the catalogue without JAX, or with JAX if a module computes something on import."""
    try:
        with without_jax():
            return catalogue()
    except Exception:  # anything that a stand-in cannot do
        return catalogue()


def catalogue() -> dict[str, dict[str, dict[str, Any]]]:
    """Return descriptions and hyperparameters of all parts, by group and name."""
    from fpo_jax.envs import ENVIRONMENTS
    from fpo_jax.feedback import FEEDBACKS
    from fpo_jax.followers import FOLLOWERS
    from fpo_jax.hyperparameters import allowed_values, declared
    from fpo_jax.numerics.differentiators import DIFFERENTIATORS
    from fpo_jax.objectives import OBJECTIVES

    groups: dict[str, dict[str, Any]] = {
        "environments": ENVIRONMENTS,
        "objectives": OBJECTIVES,
        "followers": FOLLOWERS,
        "feedback": FEEDBACKS,
        "differentiators": DIFFERENTIATORS,
    }

    def entry(cls: Any, group: dict[str, Any]) -> dict[str, Any]:
        fields = {
            f.name: {"default": f.default, "help": f.metadata["help"], "allowed": allowed_values(f)}
            for f in declared(cls)
        }
        about = {"about": (cls.__doc__ or "").strip().splitlines()[0], "hyperparameters": fields}
        return about | ({"knows": cls.knows} if group is OBJECTIVES else {})

    return {
        group: {name: entry(cls, classes) for name, cls in classes.items()}
        for group, classes in groups.items()
    }
