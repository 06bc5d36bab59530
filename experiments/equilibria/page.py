"""The page of a search for equilibria."""

from collections.abc import Sequence
from pathlib import Path

from fpo_jax.experiments.core.wording import counted
from fpo_jax.experiments.equilibria.branch_table import event_cells, point_cells
from fpo_jax.experiments.equilibria.branches import Branches
from fpo_jax.experiments.equilibria.figures import along, eigenvalues, method_styles, utility
from fpo_jax.experiments.equilibria.result import Equilibria
from fpo_jax.experiments.equilibria.table import cells, legend, once, rows, unreached
from fpo_jax.experiments.report.parts import Section, View, markdown_table, plain


def section_of(found: Equilibria, branches: Branches | None, pictures: Sequence[Path]) -> tuple[str, Section]:
    """Return the title of the page and its section."""
    settings = found.settings
    environment = settings.names.environment
    story = (
        "This page shows where the leader of each objective comes to rest on "
        f"{counted(settings.seeds, 'instance')}, how good these equilibria are, and whether they attract. An "
        "equilibrium attracts if the spectral radius of one iteration is below 1 there."
    )
    shown = [cells(row) for row in once(rows(found))]
    tables = [markdown_table([*shown[0]], [[*row.values()] for row in shown]), plain(legend(found) + ".")]
    charts = [eigenvalues(found), *utility(found)]
    if branches is not None:
        charts += along(branches, found)
        points, events = point_cells(branches), event_cells(branches)
        tables.append(f"Along {plain(branches.name)}, on the instance of seed {branches.seed}:")
        tables += [
            markdown_table([*part[0]], [[*row.values()] for row in part]) for part in (points, events) if part
        ]
    caption = (
        "Each point is one equilibrium on one instance, or one of its eigenvalues. Along a hyperparameter a "
        "line is solid where the equilibrium attracts, else dashed. Points on lines are folds and crossings."
    )
    playing = "Nothing is played here: an equilibrium does not move. The report of a run plays its policy."
    view = View(method_styles(found), charts, caption, None, playing)
    warnings = unreached(found) + ([] if branches is None else branches.reasons)
    every = [one.settings for one in found.reached.values()]
    section = Section(environment, story, tables, pictures, view, (), warnings, every)
    return f"{environment.capitalize()}: where it comes to rest", section
