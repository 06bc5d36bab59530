"""A run of the pipeline as a part of a study: it trains what is missing, and keeps numbers and words.

The run's own folder, with its adapter, is beside the part until somebody removes it. The extra is imported
only to train.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core import parts
from fpo_jax.experiments.core.devices import untold
from fpo_jax.experiments.core.json_files import document, json_lines
from fpo_jax.experiments.core.npz_files import read_npz
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.core.settings import load
from fpo_jax.experiments.core.unfinished import Unfinished
from fpo_jax.experiments.llm.settings import HOW, TrainSettings
from fpo_jax.experiments.study.experiment import Numbers

INTERRUPTED = 130
"""Exit status of a command that the user interrupted."""
AXES = ("seed", "step")
"""Arrays of `metrics.npz` that are no metrics."""
WORDS = ("prompt", "winner", "reference")
"""What is kept of `responses.jsonl`."""
TOLD = ("weight", "held_out_accuracy_drawn", "held_out_accuracy_fitted", "seconds", "seconds_per_step_median")
"""What is kept of `summary.json`; NaN where there is none."""
ELSEWHERE = (*HOW, "fit_answers")
"""Settings that have no part in a run's results."""


class ModelRun(NamedTuple):
    """One run.

    Attributes:
        label: its name.
        settings: of `fpo-jax llm`, what differs from its defaults.
        answers_of: label of a run that began with the same answers to fit on, if one comes before.
    """

    label: str
    settings: Mapping[str, Any]
    answers_of: str = ""

    @property
    def instances(self) -> int:
        """Return 1: a run has one seed."""
        return 1

    @property
    def precision(self) -> str:
        """Return the precision of the frozen weights."""
        return TrainSettings.of(self.settings).precision

    @property
    def timed(self) -> bool:
        """Return False: an interrupted run is resumed, and tells its own time."""
        return False

    @property
    def asked(self) -> Mapping[str, Any]:
        """Return all settings on which the results rest."""
        return _results_rest_on(TrainSettings.of(self.settings).as_dict())

    def numbers(self, instances: int, tell: Tell, kept: Path) -> Numbers:
        """Return metrics and words, [1, step], and what was told, [1], from the run in a folder of `kept`.

        A missing run is trained. An interrupted one is resumed.

        Raises:
            InputError: the folder holds another run.
            SystemExit: a run that is to be trained fails.
        """
        folder = _folder(kept, self.label)
        if not (folder / "summary.json").exists():
            tell("trains")
            self._train(kept, folder)
        return self._read(folder)

    def _train(self, kept: Path, folder: Path) -> None:
        """Run `fpo-jax llm` in its own process, without the flags for XLA that suit small arrays.

        Raises:
            SystemExit: with its status, when it fails; it has said why.
            KeyboardInterrupt: when it is interrupted; finished steps are kept.
        """
        settings = TrainSettings.of({**self.settings, **self._answers(kept)})
        options = [*shlex.split(settings.command())[1:], "--out", str(folder)]
        if Unfinished(folder, "run").exists:
            options.append("--resume")
        command = [sys.executable, "-m", "fpo_jax", *options]
        status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=untold()).returncode
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        if status:
            raise SystemExit(status)

    def _answers(self, kept: Path) -> dict[str, str]:
        """Return the file of answers that an earlier run drew, if it is there."""
        file = _folder(kept, self.answers_of) / "offline.npz"
        return {"fit_answers": str(file)} if self.answers_of and file.exists() else {}

    def _read(self, folder: Path) -> Numbers:
        theirs, ours = _results_rest_on(load(folder / "config.json", "llm")), dict(self.asked)
        if theirs != ours:
            name = next(name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name))
            allowed = f"a run with {name} = {ours.get(name)}, not {theirs.get(name)}; move the folder away"
            raise InputError("parts", folder, allowed)
        metrics = read_npz(folder / "metrics.npz")
        found = {name: values for name, values in metrics.items() if name not in AXES}
        report = document(folder / "summary.json")
        found |= {name: np.array([np.nan if (v := report.get(name)) is None else v]) for name in TOLD}
        said = [line.fields for line in json_lines(folder / "responses.jsonl", "responses")]
        return found | {name: np.array([[line[name] for line in said]]) for name in WORDS}


def _folder(kept: Path, label: str) -> Path:
    """Return the folder of a run, beside the file of its part."""
    return parts.file_of(kept, label).with_suffix("")


def _results_rest_on(settings: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(json.dumps({k: v for k, v in settings.items() if k not in ELSEWHERE}))
    return known
