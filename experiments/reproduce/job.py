"""The main job: run every experiment, write figures, tables, numbers, and one page to read."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fpo_jax.errors import require_known
from fpo_jax.experiments.core.devices import suit_short_runs
from fpo_jax.experiments.core.files import provenance, write_json
from fpo_jax.experiments.core.parts import continued, folder_of
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.core.settings import General
from fpo_jax.experiments.report.parts import Section
from fpo_jax.experiments.runs.execution import few_seeds
from fpo_jax.hyperparameters import require

QUICK_SEEDS = 8
INTRODUCTION = (
    "Iterative RLHF retrains its reward model on what the policy produces. A policy that ignores this can "
    "drift to responses that the reward model overrates: alignment collapse. Each section compares that "
    "policy, RLHF, with policies that foresee the retraining, exactly or approximately, on the same seeds."
)
CELLS = (
    "Cells of tables are means over n seeds with 95 % bootstrap intervals; all methods of a table "
    "ran on the same seeds. Seeds that diverged are excluded, or count as collapsed where methods were tuned."
)


class AnyExperiment(Protocol):
    """The interface of an experiment of any kind (`runs.experiment`, `sweeps.experiment`)."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def jobs(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def seeds(self) -> int: ...  # noqa: D102
    @property
    def long(self) -> bool: ...  # noqa: D102

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Run it, write its folder, and return its table and a section of the page."""


@runtime_checkable
class Resumed(Protocol):
    """The additional interface of an experiment that can resume."""

    def kept_in(self, parts: Path) -> AnyExperiment:
        """Return the experiment with its parts below this folder."""
        ...


def reproduce(
    known: Mapping[str, AnyExperiment],
    out: Path,
    only: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
    parts: Path | None = None,
) -> None:
    """Run experiments and write their folder; progress is shown on standard error.

    Args:
        known: all experiments, by name.
        out: folder to write; it replaces an earlier result there at the end, not before.
        only: names of the experiments to run; by default all that are not long.
        seeds: number of seeds of each method; the experiment's own by default.
        quick: run only a few seeds, or the small form of an experiment, to see that everything works.
        parts: folder for the parts of experiments that can resume, one folder for each; OUT.parts by default.

    Raises:
        InputError: unknown experiment, no seeds, unwritable folder.
    """
    from fpo_jax.experiments.report import page  # not needed until all is computed

    usual = [name for name, experiment in known.items() if not experiment.long]
    chosen = [known[require_known("only", name, known)] for name in (only or usual)]
    kept = None if quick else folder_of(out, parts)
    if quick:
        chosen = [getattr(experiment, "quick", None) or experiment for experiment in chosen]
    if kept is not None:
        if parts is not None and not parts.is_dir():
            sys.stderr.write(f"{parts} is no folder yet: parts are computed, and kept there\n")
        chosen = [e.kept_in(kept) if isinstance(e, Resumed) else e for e in chosen]
    if seeds is not None:
        require("seeds", seeds, General.known()["seeds"])
    if quick or not any(experiment.long for experiment in chosen):
        suit_short_runs()
    total = sum(len(experiment.jobs) for experiment in chosen)
    with continued(kept), replacing(out) as folder, Progress(total) as progress:
        tables: dict[str, Any] = {}
        sections: list[Section] = []
        counts: list[int] = []
        for experiment in chosen:
            count = seeds if seeds is not None else QUICK_SEEDS if quick else experiment.seeds
            counts.append(count)
            (folder / experiment.name).mkdir()
            table, section = experiment.write(folder / experiment.name, count, progress)
            tables[experiment.name] = table
            sections.append(section)
        few = few_seeds(min(counts)) if counts else []
        for warning in few:
            progress.write(f"warning: {warning}")
        cells = " ".join([CELLS, *(f"{warning}." for warning in few)])
        command = " ".join(
            ["fpo-jax reproduce"]
            + [f"--only {' '.join(only)}"] * bool(only)
            + [f"--seeds {seeds}"] * (seeds is not None)
            + ["--quick"] * quick
            + [f"--parts {parts}"] * (parts is not None)
        )
        origin = provenance(command, General.precision)
        write_json(folder / "summary.json", {"tables": tables} | origin)
        written = [
            f"# Results\n\nMade by `{command}`. {cells}",
            *(section.markdown() for section in sections),
        ]
        (folder / "README.md").write_text("\n\n".join(written) + "\n", encoding="utf-8")
        intro = f"{INTRODUCTION}\n\n{cells}"
        page.write(
            folder / page.FILE, "Results, experiment by experiment", intro, sections, origin, "reproduce"
        )
    sys.stderr.write(f"results and figures, to look at: {out / page.FILE}; to read: {out / 'README.md'}\n")
