"""Claim: what closes the distance between practical FPO and an oracle, with the labels that were paid for."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments import mitigations
from fpo_jax.experiments.comparison.experiment import Comparison
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import Trial, Trials
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.core.wording import NONE, with_interval
from fpo_jax.experiments.oracle_free_seeds import CARRIED, EVERYWHERE, WARY
from fpo_jax.experiments.report.parts import Section
from fpo_jax.plotting import Axis, Chart, Points
from fpo_jax.statistics import Interval, mean_interval
from fpo_jax.statistics.bootstrap import bootstrap
from fpo_jax.types import Scalar

WEIGHTS = (0.01, 0.0316, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0)
BOUNDED = {"objective": "leverage", "form": "bounded"}
METHODS = (
    Method("carried labels", CARRIED, "weight", WEIGHTS),
    Method("carried labels, unknown 3", WARY, "weight", WEIGHTS),
    EVERYWHERE,
    Method("carried labels, optimistic", {**CARRIED, "unknown": -1.0}, "weight", WEIGHTS),
    Method("bounded leverage", BOUNDED, "weight", WEIGHTS),
    Method("bounded leverage, which knows U", {**BOUNDED, "oracle": 1.0}, "weight", WEIGHTS),
)
"""Of responses without a label near by, the wary ones expect a residual of 3, the optimist one of −1: it
seeks them. The last two are the first without any label, and with every label.
"""
PLACES = (
    Place("neural", {"environment": "neural", "precision": "float64"}, tuning=8, seeds=64),
    Place(
        "contextual, gems",
        {"environment": "contextual", "gems": 1, "label_budget": 16},
        tuning=16,
        seeds=64,
    ),
    Place("language", {"environment": "language", "label_budget": 32}, tuning=4, seeds=64),
)
"""Labels of an update: 5 in the neural environment by its recipe, 16 pairs, 32 texts.

The neural one is in double precision: in single precision its curvature is too nearly singular to be factored
at larger weights, and such a run counts as one that collapsed.
"""
PRACTICAL = "practical FPO"
ORACLES = ("relaxed FPO", "proximal FPO")


def closed(practical: np.ndarray, oracle: np.ndarray, ours: np.ndarray) -> Interval:
    """Return Σ (ours − practical) / Σ (oracle − practical), the share of the distance that is closed.

    Of what each gained, [seed], paired, with its bootstrap interval (percentiles).
    """
    return bootstrap(_share, practical, oracle, ours)


def _share(practical: jax.Array, oracle: jax.Array, ours: jax.Array) -> Any:
    def share(weights: jax.Array) -> Scalar:
        return jnp.vdot(weights, ours - practical) / jnp.vdot(weights, oracle - practical)

    return share


@dataclasses.dataclass(frozen=True)
class OracleFree(Comparison):
    """A comparison beside the trials of another one, at places of the same labels and instances.

    Attributes:
        beside: the other one, whose reward models have no label budget. Its trials lie beside ours.
    """

    beside: Comparison = mitigations.EXPERIMENT

    def kept_in(self, parts: Path) -> "OracleFree":
        """Return the comparison that keeps its trials in this folder, and reads those of the other there."""
        return dataclasses.replace(self, parts=parts / self.name, beside=self.beside.kept_in(parts))

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Write table and figures, and what is closed of the distance to an oracle."""
        found: dict[str, dict[str, Trial]] = {}
        for place in self.beside.places:
            if place.label in [own.label for own in self.places]:
                if seeds < self.seeds:  # else theirs stand there whole, which may be more
                    place = place._replace(seeds=min(place.seeds, seeds), tuning=min(place.tuning, seeds))
                parts = folder if self.beside.parts is None else self.beside.parts
                for method in self.beside.methods:
                    if method.label in (PRACTICAL, *ORACLES):
                        trial, _ = self.beside._trial(parts, place, method, progress)
                        found.setdefault(place.label, {})[method.label] = trial
        with_beside = dataclasses.replace(
            self,
            figures=lambda trials: draw_figures(trials, found),
            findings=lambda trials: findings(trials, found),
        )
        return super(OracleFree, with_beside).write(folder, seeds, progress)


def rivals(beside: Mapping[str, Trial], seeds: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Return what practical FPO and the better oracle gained on the first seeds, and which that is."""
    gained = {label: np.squeeze(trial.judged.gained)[:seeds] for label, trial in beside.items()}
    best = max(ORACLES, key=lambda label: float(gained[label].mean()))
    return gained[PRACTICAL], gained[best], best


def findings(trials: Trials, beside: Trials) -> str:
    """Return a table: at each place, what each method closes of the distance to the better oracle."""
    head = ["place", PRACTICAL, "better oracle", *(method.label for method in METHODS)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for place, by_method in trials.items():
        cells = []
        for method in METHODS:
            trial = by_method[method.label]
            if not trial.defined:
                cells.append(NONE)
                continue
            ours = np.squeeze(trial.judged.gained)
            practical, oracle, name = rivals(beside[place], ours.size)
            share, gained = closed(practical, oracle, ours), mean_interval(ours)
            at = f" at {trial.values[trial.chosen]:g}" if method.tuned else ""
            told = with_interval(share.mean, share.low, share.high, 2)
            cells.append(f"{told}; gains {gained.mean:.3f}{at}")
        lines.append(
            f"| {' | '.join([place, f'{practical.mean():.3f}', f'{name}, {oracle.mean():.3f}', *cells])} |"
        )
    said = (
        "Share of the distance between practical FPO and the better of relaxed and proximal FPO, in share "
        "gained, that each method closes, with 95 % intervals, paired. The two at its ends are those of "
        "`mitigations`, on the same instances, in float32 and with the labels of their recipes."
    )
    return "\n".join([*lines, "", said])


def draw_figures(trials: Trials, beside: Trials) -> Mapping[str, plotting.Picture]:
    """Return what every method gains at each place, between practical FPO and the oracles."""
    charts = []
    objectives = {method.label: str(method.settings["objective"]) for method in METHODS}
    for place, by_method in trials.items():
        shown = {**{label: beside[place][label] for label in (PRACTICAL, *ORACLES)}, **by_method}
        kinds = {label: objectives.get(label, label.split()[0]) for label in shown}
        styles = plotting.styles({kind: kind for kind in kinds.values()})  # a colour for each objective
        # the others were judged on more seeds
        seeds = min((own.judged.gained.size for own in by_method.values() if own.defined), default=None)
        marks = []
        for number, (label, trial) in enumerate(shown.items()):
            if trial.defined:
                gained = mean_interval(np.squeeze(trial.judged.gained)[:seeds])
                ends = np.array([gained.low]), np.array([gained.high])
                at = np.array([gained.mean]), np.array([float(number)])
                marks.append(Points(*at, styles[kinds[label]].solid, "", *ends, True))
        ticks = Axis(
            ticks={float(i): label for i, label in enumerate(shown)}, limits=(len(shown) - 0.5, -0.5)
        )
        charts.append(Chart(place, marks, Axis("share gained"), ticks))
    heading = "each method at the value that other seeds chose; 95 % intervals"
    return {"oracle_free": plotting.figure([charts], heading, size=(8.4, 3.0), share="y")}


SHORT = {"steps": 3}
EXPERIMENT = OracleFree(
    name="oracle-free",
    claim=(
        "With the labels that the reward model is trained on, and no oracle: what a leader gains between "
        "practical FPO, which knows nothing, and relaxed and proximal FPO, which know U of any response."
    ),
    places=PLACES,
    methods=METHODS,
    figures=lambda trials: draw_figures(trials, trials),
    findings=lambda trials: findings(trials, trials),
).with_small_form(
    claim="A few iterations at one place, to see that all works.",
    places=PLACES[1:2],
    methods=tuple(method._replace(values=method.values[2:4]) for method in METHODS),
    settings=SHORT,
    beside=dataclasses.replace(mitigations.EXPERIMENT, settings=SHORT),
)
