"""Cells of a sweep: which of them share a program, and what is data in it."""

import jax
import numpy as np
from flax import struct

from fpo_jax import Exact, Gradient, Leader, Myopic, Proximal, Relaxed
from fpo_jax.engine.cells import Cell, cell_of, in_one_form, structures
from fpo_jax.envs.linear import Linear
from fpo_jax.objectives import Fpo

GAME, FOLLOWER = Linear(dimension=4), Gradient(rm_lr=0.01)


def cell(objective, rm_lr=0.01):
    return Cell(GAME, Leader(objective, policy_lr=0.05), FOLLOWER.replace(rm_lr=rm_lr))


def test_one_form_leaves_others_alone():
    alone = [cell(Myopic()), cell(Proximal(weight=0.1)), cell(Exact())]
    assert in_one_form(alone) == alone
    forms = [c.leader.objective for c in in_one_form([*alone, cell(Relaxed(weight=0.2, utility="detached"))])]
    assert forms[0] == Fpo(weight=0.0, oracle=0.0, utility="detached")
    assert forms[1:3] == [Proximal(weight=0.1), Exact()]
    assert forms[3] == Fpo(weight=0.2, oracle=1.0, utility="detached")


@struct.dataclass
class Squared(Relaxed):
    """A penalty of a user's own, which inherits how relaxed FPO is written as `Fpo`."""

    def penalty(self, residual, influence):
        """Return another penalty."""
        return (residual * influence.on_reward) ** 2


def test_a_subclass_with_a_penalty_of_its_own_is_not_taken_for_its_base():
    cells = [cell(Squared(weight=0.2)), cell(Myopic()), cell(Relaxed(weight=0.2))]
    forms = [type(c.leader.objective) for c in in_one_form(cells)]
    assert forms == [Squared, Fpo, Fpo]


def test_cells_of_one_structure_differ_in_data_and_are_put_together_again():
    cells = [cell(Relaxed(weight=0.1)), cell(Exact()), cell(Relaxed(weight=0.3), rm_lr=0.02)]
    found = structures(cells)
    assert [structure.cells.tolist() for structure in found] == [[0, 2], [1]]
    relaxed = found[0]
    for row, index in enumerate(relaxed.cells):
        varying = jax.tree.map(lambda leaf, row=row: leaf[row], relaxed.varying)
        again = cell_of(relaxed.treedef, relaxed.shared, varying)
        jax.tree.map(np.testing.assert_array_equal, again, cells[index])
