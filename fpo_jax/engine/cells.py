"""The cells of a sweep. Cells of one structure share a compiled program; their differences are data."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.engine.initial import as_reals
from fpo_jax.leader import Leader
from fpo_jax.types import UTILITY_USES, Environment, Follower, Game, Objective


class Cell(NamedTuple):
    """The parts of a run, except its seed."""

    environment: Environment | Game
    leader: Leader
    follower: Follower


class Structure(NamedTuple):
    """Cells that share a program: their common values, and their data.

    Attributes:
        cells: [m] numbers of the cells in the sweep.
        treedef: how to assemble a cell from its numbers.
        shared: arrays that are the same in every cell; None in place of data.
        varying: the data, [m, ...] each: arrays that differ, and all single numbers, so that a program does
            not depend on which of them a grid varies; None in place of shared arrays.
    """

    cells: np.ndarray
    treedef: Any
    shared: tuple[Any, ...]
    varying: tuple[Any, ...]


def in_one_form(cells: Sequence[Cell]) -> list[Cell]:
    """Write objectives of different classes in one form where they have one (`Objective.as_fpo`).

    The form has the use of U that most of them share. An objective that is not FPO with that use stays as it
    is, and so does a class that inherits `as_fpo`, since it may have changed its objective.
    """

    def as_fpo(objective: Objective, use: str) -> Objective | None:
        return objective.as_fpo(use) if "as_fpo" in vars(type(objective)) else None

    objectives = [cell.leader.objective for cell in cells]
    forms = {use: [as_fpo(objective, use) for objective in objectives] for use in UTILITY_USES}
    use = max(forms, key=lambda use: sum(form is not None for form in forms[use]))
    alike = {type(o) for o, form in zip(objectives, forms[use], strict=True) if form is not None}
    if len(alike) < 2:
        return list(cells)
    return [
        cell._replace(leader=dataclasses.replace(cell.leader, objective=form or cell.leader.objective))
        for cell, form in zip(cells, forms[use], strict=True)
    ]


def structures(cells: Sequence[Cell]) -> list[Structure]:
    """Group the cells by structure, and find what varies within each group."""
    groups: dict[Any, list[int]] = {}
    flat = [jax.tree.flatten(as_reals(cell)) for cell in cells]
    for index, (numbers, treedef) in enumerate(flat):
        groups.setdefault((treedef, tuple(map(jnp.shape, numbers))), []).append(index)
    found = []
    for (treedef, _), members in groups.items():
        columns = list(zip(*(flat[index][0] for index in members), strict=True))
        constant = [
            jnp.ndim(column[0]) > 0 and all(np.array_equal(column[0], array) for array in column)
            for column in columns
        ]
        pairs = list(zip(columns, constant, strict=True))
        shared = tuple(column[0] if same else None for column, same in pairs)
        varying = tuple(None if same else np.stack(list(map(np.asarray, column))) for column, same in pairs)
        found.append(Structure(np.array(members), treedef, shared, varying))
    return found


def cell_of(treedef: Any, shared: Any, varying: Any) -> Cell:
    """Assemble a cell from the shared arrays of its structure and its own data."""
    numbers = [mine if common is None else common for common, mine in zip(shared, varying, strict=True)]
    return jax.tree.unflatten(treedef, numbers)
