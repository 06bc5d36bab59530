"""Tables of branches by value and of their events, as numbers and as text."""

from typing import Any

import numpy as np

from fpo_jax.experiments.core.wording import NONE, folded, table
from fpo_jax.experiments.equilibria.branches import Branches, at_value
from fpo_jax.experiments.equilibria.result import MEASURES

MOST_VALUES = 11
"""Most values that a table shows. The files have all points."""


def branch_rows(branches: Branches) -> list[dict[str, Any]]:
    """Return one row for each branch: its values, the metrics there, its events, and why it ends.

    The row has lists over the points of the branch, [point], under the name of the hyperparameter and of each
    of `MEASURES`. An eigenvalue is [real part, imaginary part], or None if the event has none.
    """
    told = []
    for label, followed in branches.followed.items():
        for number, branch in enumerate(followed):
            numbers = {name: branch.metric(name).tolist() for name in MEASURES}
            events = [
                {
                    "kind": e.kind,
                    branches.name: e.value,
                    "response": e.which,
                    "eigenvalue": _spoken(e.eigenvalue),
                }
                for e in branch.events
            ]
            own = {"objective": label, "branch": number + 1, branches.name: branch.values.tolist()}
            told.append(own | numbers | {"events": events, "ends": list(branch.ends)})
    return told


def _spoken(eigenvalue: complex | None) -> list[float] | None:
    return None if eigenvalue is None else [float(np.real(eigenvalue)), float(np.imag(eigenvalue))]


def point_cells(branches: Branches) -> list[dict[str, str]]:
    """Return the table by value: rows of text, each by column title.

    Between two points of a branch the numbers are interpolated.
    """
    vary = branches.vary
    shown = []
    for label, followed in branches.followed.items():
        for value in np.linspace(vary.low, vary.high, min(vary.points, MOST_VALUES)):
            for number, branch in enumerate(followed):
                shown += [
                    {
                        "objective": label,
                        "branch": str(number + 1),
                        vary.name: f"{value:.4g}",
                        "utility": f"{at['true_utility']:z.3f}",
                        "proxy": f"{at['proxy_reward']:z.3f}",
                        "blind spot": f"{at['blind_spot_mass']:z.3f}",
                        "radius": f"{at['spectral_radius']:.4f}",
                        "stable": "yes" if at["stable"] else "no",
                        "steering": f"{at['steering_norm']:.4f}",
                    }
                    for at in at_value(branch, float(value))
                ]
    return shown


def event_cells(branches: Branches) -> list[dict[str, str]]:
    """Return the table of events on the branches: rows of text, each by column title."""
    return [
        {
            "objective": label,
            "branch": str(number + 1),
            branches.name: f"{event.value:.6g}",
            "event": event.kind,
            "response": NONE if event.which is None else str(event.which),
            "eigenvalue": NONE if event.eigenvalue is None else f"{event.eigenvalue:.3g}",
        }
        for label, followed in branches.followed.items()
        for number, branch in enumerate(followed)
        for event in branch.events
    ]


def show_branches(branches: Branches) -> str:
    """Return both tables as text, then one line for each branch that says why it ends."""
    parts = [f"along {branches.name}, on the instance of seed {branches.seed}"]
    for cells in (point_cells(branches), event_cells(branches)):
        if cells:
            parts.append(table([*cells[0]], [[*row.values()] for row in cells]))
    for label, followed in branches.followed.items():
        for number, branch in enumerate(followed):
            ends = f"{label}, branch {number + 1}: ends at {branch.ends[0]}, and at {branch.ends[1]}"
            parts.append(folded(ends, 4))
    return "\n".join(parts)
