"""The folder of a comparison of answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpo_jax import plotting
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.judging.figures import draw
from fpo_jax.experiments.judging.page import section_of
from fpo_jax.experiments.judging.verdicts import FILE, Verdict
from fpo_jax.experiments.report import page


def write(
    out: Path, config: Mapping[str, Any], report: Mapping[str, Any], verdicts: Sequence[Verdict] = ()
) -> None:
    """Write `config.json`, `summary.json`, `verdicts.jsonl`, the figure and `report.html`."""
    with replacing(out) as folder:
        write_json(folder / "config.json", config)
        if verdicts:
            (folder / FILE).write_text("".join(verdict.line() for verdict in verdicts), encoding="utf-8")
        write_json(folder / "summary.json", report)
        pictures = plotting.save_all(draw(report["comparisons"]), folder)
        title, section = section_of(report, pictures)
        page.write(folder / page.FILE, title, "", [section], report, "judge")
