"""The folder of a search for equilibria: settings, numbers, summary, figures and page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.core.settings import Settings
from fpo_jax.experiments.equilibria.branches import Branches
from fpo_jax.experiments.equilibria.figures import draw
from fpo_jax.experiments.equilibria.page import section_of
from fpo_jax.experiments.equilibria.result import MEASURES, Equilibria, Reached
from fpo_jax.experiments.report import page
from fpo_jax.plotting import save_all


def write(
    out: Path,
    found: Equilibria,
    branches: Branches | None,
    report: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Write `config.json`, `equilibria.npz`, `summary.json`, the figures and `report.html`.

    Args:
        out: the folder. It is replaced as a whole, or not at all.
        found: the equilibria.
        branches: the branches along a hyperparameter, or None.
        report: content of `summary.json`.
        options: the options that are not settings of a run.
    """
    with replacing(out) as folder:
        methods = [one.settings for one in found.reached.values()]
        write_json(folder / "config.json", config(methods) | {"equilibria": options})
        with (folder / "equilibria.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays(found), **branch_arrays(branches))
        write_json(folder / "summary.json", report)
        pictures = save_all(draw(found, branches), folder)
        title, section = section_of(found, branches, pictures)
        page.write(folder / page.FILE, title, "", [section], report, "equilibria")


def config(methods: Sequence[Settings]) -> dict[str, Any]:
    """Return the settings that all methods share, and the list of objectives.

    A setting whose value differs between methods is omitted, because it follows from the recipe.
    """
    merged: dict[str, Any] = {}
    differ = set()
    for method in methods:
        for name, value in method.as_dict().items():
            differ |= {name} if merged.setdefault(name, value) != value else set()
    agreed = {name: value for name, value in merged.items() if name not in differ and name != "record"}
    return agreed | {"objective": [one.names.objective for one in methods]}


def arrays(found: Equilibria) -> dict[str, np.ndarray]:
    """Return the numbers of each objective as `objective/name`, of shape [seed, start, ...].

    `eigenvalues`, `theta` and `phi` are NaN where the search reached no equilibrium. Shorter ones are padded
    with NaN.
    """
    settings = found.settings
    named: dict[str, np.ndarray] = {
        "seed": settings.seed + np.arange(settings.seeds),
        "start": np.array(found.starts),
        **{f"true_utility_{name}": values for name, values in found.ideals._asdict().items()},
    }
    for label, one in found.reached.items():
        own = {name: one.values(name) for name in (*MEASURES, "to_optimal", "to_best")}
        own |= {"largest_stable_step": one.values("step"), "share_gained": found.gained(label)}
        own |= {"multiplicity": one.multiplicity}
        own["second_order"] = np.array(
            [[p.found.second_order if p.found else "" for p in row] for row in one.points]
        )
        own["number"] = np.array([[p.number for p in row] for row in one.points])
        own |= _padded(one)
        named |= {f"{label}/{name}": values for name, values in own.items()}
    return named


def _padded(one: Reached) -> dict[str, np.ndarray]:
    """Return eigenvalues, θ and φ of every point, [seed, start, …], padded with NaN."""
    of = {
        "eigenvalues": lambda e: np.asarray(e.eigenvalues, complex),
        "theta": lambda e: _flat(e.theta),
        "phi": lambda e: _flat(e.reward_model.phi),
    }
    filled = {}
    for name, read in of.items():
        entries = [[read(p.found) if p.found else np.zeros(0) for p in row] for row in one.points]
        most = max(len(entry) for row in entries for entry in row)
        kind = complex if name == "eigenvalues" else float
        array = np.full((len(entries), len(entries[0]), most), np.nan, kind)
        for seed, row in enumerate(entries):
            for start, entry in enumerate(row):
                array[seed, start, : len(entry)] = entry
        filled[name] = array
    return filled


def _flat(tree: Any) -> np.ndarray:
    """Return all numbers of a pytree as one array, by NumPy, because JAX has left double precision here."""
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)])


def branch_arrays(branches: Branches | None) -> dict[str, np.ndarray]:
    """Return the numbers of each branch as `objective/branch N/name`, [point]."""
    if branches is None:
        return {}
    named: dict[str, np.ndarray] = {}
    for label, followed in branches.followed.items():
        for number, branch in enumerate(followed):
            own = {branches.name: branch.values, **{name: branch.metric(name) for name in MEASURES}}
            own["theta"] = np.array([_flat(one.theta) for one in branch.equilibria])
            named |= {f"{label}/branch {number + 1}/{name}": values for name, values in own.items()}
    return named
