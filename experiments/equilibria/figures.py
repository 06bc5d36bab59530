"""Charts and figures of equilibria: eigenvalues beside the unit circle, utility, branches."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.continuation import Branch
from fpo_jax.experiments.equilibria.branches import Branches
from fpo_jax.experiments.equilibria.result import Equilibria, Reached
from fpo_jax.plotting import Axis, Chart, Level, Line, Mark, Points, Style

AGAINST = {"spectral_radius": "spectral radius", "steering_norm": "steering gradient"}
"""Horizontal axes on which the true utility of equilibria is drawn, with their titles."""


def draw(found: Equilibria, branches: Branches | None = None) -> Mapping[str, Figure]:
    """Return the figures by file name: `eigenvalues`, `utility`, and `branches` if there are any."""
    settings = found.settings
    heading = f"{settings.names.environment}: equilibria of {settings.seeds} instances"
    drawn = {
        "eigenvalues": plotting.figure([[eigenvalues(found)]], heading, size=(4.0, 4.6)),
        "utility": plotting.figure([utility(found)], heading, size=(7.2, 3.1), share="y"),
    }
    if branches is not None:
        title = f"{settings.names.environment}, seed {branches.seed}: branches along {branches.name}"
        drawn["branches"] = plotting.figure([along(branches, found)], title, size=(8.2, 3.1))
    return drawn


def method_styles(found: Equilibria) -> dict[str, Style]:
    """Return a style for each objective, by its name."""
    return plotting.styles({name: name for name in found.reached})


def eigenvalues(found: Equilibria) -> Chart:
    """Return a chart of the eigenvalues of one iteration, of all equilibria, with the unit circle."""
    angle = np.linspace(0.0, 2.0 * np.pi, 201)
    marks: list[Mark] = [Line(np.cos(angle), np.sin(angle), plotting.IDEAL, width=0.8)]
    farthest = 1.0
    for name, style in method_styles(found).items():
        values = _eigenvalues(found.reached[name])
        farthest = max(farthest, np.max(np.abs(values), initial=0.0))
        marks.append(Points(values.real, values.imag, Style(style.color), name, size=3.5))
    ends = (-1.1 * farthest, 1.1 * farthest)
    axes = Axis("real part", limits=ends), Axis("imaginary part", limits=ends)
    return Chart("eigenvalues of one iteration, and the unit circle", marks, *axes)


def _eigenvalues(one: Reached) -> np.ndarray:
    """Return the eigenvalues of all distinct equilibria, one after the other."""
    by_number = ({p.number: p.found for p in row if p.found is not None} for row in one.points)
    distinct = [equilibrium.eigenvalues for row in by_number for equilibrium in row.values()]
    return np.concatenate([np.zeros(0, complex), *distinct])


def utility(found: Equilibria) -> list[Chart]:
    """Return charts of every equilibrium's true utility against spectral radius and steering gradient."""
    charts = []
    for name, title in AGAINST.items():
        marks: list[Mark] = []
        for label, style in method_styles(found).items():
            one = found.reached[label]
            x, y = one.values(name).ravel(), one.values("true_utility").ravel()
            reached = np.isfinite(x)
            marks.append(Points(x[reached], y[reached], Style(style.color), label, size=4.0))
        if name == "spectral_radius":
            marks.append(Level(1.0, "the unit circle", vertical=True))
        charts.append(Chart(f"true utility against {title}", marks, Axis(title), Axis("true utility")))
    return charts


def along(branches: Branches, found: Equilibria) -> list[Chart]:
    """Return charts of utility, blind-spot mass and spectral radius along a hyperparameter.

    Lines are solid where equilibria attract, else dashed.
    """
    styles = method_styles(found)
    titles = {"true_utility": "true utility", "blind_spot_mass": "mass in the blind spot"}
    titles["spectral_radius"] = "spectral radius"
    return [_along(branches, name, title, styles) for name, title in titles.items()]


def _along(branches: Branches, name: str, title: str, styles: Mapping[str, Style]) -> Chart:
    marks: list[Mark] = []
    for label, followed in branches.followed.items():
        for branch in followed:
            marks += _branch(branch, name, label, styles[label].color)
    if name == "spectral_radius":
        marks.append(Level(1.0))
    return Chart(title, marks, Axis(branches.name), Axis())


def _branch(branch: Branch, name: str, label: str, color: str) -> list[Mark]:
    """Return the stretches of a branch, solid where it attracts, and its folds and crossings as points."""
    values = branch.metric(name).astype(float)
    marks: list[Mark] = [
        Line(
            branch.values[part],
            values[part],
            Style(color, () if stable else plotting.DASHES),
            label if stable else f"{label}, not attracting",
            method=label,
        )
        for part, stable in branch.stretches()
    ]
    turns = [event.place for event in branch.events if event.kind in ("fold", "crossing")]
    if turns:
        marks.append(Points(branch.values[turns], values[turns], Style(color), size=4.0))
    return marks
