"""The folder of a comparison of routes: settings, numbers, summary, figures and page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.ladder.figures import draw
from fpo_jax.experiments.ladder.page import section_of
from fpo_jax.experiments.ladder.result import Decomposed
from fpo_jax.experiments.report import page
from fpo_jax.plotting import save_all


def write(out: Path, decomposed: Decomposed, report: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Write `config.json`, `decomposition.npz`, `summary.json`, the figures and `report.html`.

    Args:
        out: the folder. It is replaced as a whole, or not at all.
        decomposed: the comparison.
        report: content of `summary.json`.
        options: the options that are not settings of a run.
    """
    with replacing(out) as folder:
        write_json(folder / "config.json", decomposed.settings.as_dict() | {"decompose": options})
        with (folder / "decomposition.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays(decomposed))
        write_json(folder / "summary.json", report)
        pictures = save_all(draw(decomposed), folder)
        title, section = section_of(decomposed, report["routes"], pictures)
        page.write(folder / page.FILE, title, "", [section], report, "decompose")


def arrays(decomposed: Decomposed) -> dict[str, np.ndarray]:
    """Return measures as `route/measure` and norms of the parts, [seed, entry], and `iteration` [entry]."""
    named = {
        f"{label}/{name}": values
        for label, route in decomposed.routes.items()
        for name, values in {
            **route.measures,
            **route.cost._asdict(),
        }.items()
    }
    return (
        named
        | {f"{name}_norm": v for name, v in decomposed.norms.items()}
        | {"iteration": decomposed.iterations}
    )
