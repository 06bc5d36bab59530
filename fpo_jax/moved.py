"""New places of the modules of version 0.1, for the error that their old names raise."""

import sys
from collections.abc import Sequence
from types import ModuleType

MOVED = {
    "envs": "fpo_jax.envs",
    "experiments": "fpo_jax.experiments",
    "fpo_jax.bootstrap": "fpo_jax.statistics.bootstrap",
    "fpo_jax.compiling": "fpo_jax.engine.compilation",
    "fpo_jax.contract": "fpo_jax.testing.contract",
    "fpo_jax.differentiate": "fpo_jax.numerics.differentiators",
    "fpo_jax.estimators": "fpo_jax.objectives",
    "fpo_jax.foresight": "fpo_jax.objectives",
    "fpo_jax.informed": "fpo_jax.objectives",
    "fpo_jax.keys": "fpo_jax.numerics.keys",
    "fpo_jax.loops": "fpo_jax.numerics.scan",
    "fpo_jax.mlp": "fpo_jax.numerics.mlp",
    "fpo_jax.optimiser": "fpo_jax.followers",
    "fpo_jax.penalties": "fpo_jax.objectives.penalties",
    "fpo_jax.plotting.curves": "fpo_jax.plotting.seeds",
    "fpo_jax.plotting.maps": "fpo_jax.plotting.grids",
    "fpo_jax.plotting.planes": "fpo_jax.plotting.landscapes",
    "fpo_jax.plotting.style": "fpo_jax.plotting.palette",
    "fpo_jax.roots": "fpo_jax.numerics.roots",
    "fpo_jax.schedule": "fpo_jax.numerics.schedule",
    "fpo_jax.segments": "fpo_jax.engine.segments",
    "fpo_jax.selection": "fpo_jax.objectives.best_of_n",
    "fpo_jax.sharing": "fpo_jax.numerics.common_subexpressions",
    "fpo_jax.simulate": "fpo_jax.run and fpo_jax.engine",
    "fpo_jax.solve": "fpo_jax.numerics.linear_solve",
    "fpo_jax.start": "fpo_jax.engine",
    "fpo_jax.sweep": "fpo_jax.engine.sweep",
    "fpo_jax.wrapped": "fpo_jax.wrappers",
}


class OldNames:
    """The last module finder: it finds nothing, and tells where an old module has moved."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Raise a ModuleNotFoundError for an old name."""
        if name in MOVED:
            raise ModuleNotFoundError(f"{name} is now {MOVED[name]}", name=name)


def watch() -> None:
    """Explain old names from now on."""
    if OldNames not in sys.meta_path:
        sys.meta_path.append(OldNames)
