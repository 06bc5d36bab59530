"""Claim: in how many of a thousand seeds a method without an oracle collapses where rewards are an MLP."""

from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.oracle_free_seeds import METHODS, at_places

LOWER = {
    "drift": (1.0, 1.78, 3.16, 5.62),
    "ensemble": (0.1, 0.316),
}
WEIGHTS = (0.001, 0.00178, 0.00316, 0.00562, 0.01, 0.0178)
"""An MLP's gradients are larger: weights begin lower than elsewhere."""
NEURAL = Place("neural", {"environment": "neural", "precision": "float64"}, tuning=8, seeds=1000)
"""Labels of an update: 5 by its recipe. In double precision, for the reason that `oracle_free` gives."""


def lower(method: Method) -> Method:
    """Return the method with lower values before those that it tries elsewhere, if it tries any."""
    before = LOWER.get(str(method.settings["objective"]), WEIGHTS)
    return method._replace(values=before + method.values) if method.tuned else method


EXPERIMENT = at_places(
    "oracle-free-neural",
    "As oracle-free-seeds, in the neural environment: in how many of a thousand seeds each method without an "
    "oracle collapses.",
    (NEURAL,),
    tuple(lower(method) for method in METHODS),
)
