"""Claim: retraining heals if the reward model can learn from its new data, else over-optimisation goes on."""

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import with_interval
from fpo_jax.experiments.study.experiment import Found, Numbers, Row, Study
from fpo_jax.experiments.study.healing import (
    ALPHAS,
    KEEPS,
    MODELS,
    RESTARTS,
    REWARDS,
    RIDGES,
    Pipeline,
    boundary,
    part,
)
from fpo_jax.plotting import Axis, Chart, HeatMap, Line, Mark
from fpo_jax.statistics import Interval, mean_interval
from fpo_jax.statistics.bootstrap import bootstrap, ratio

LABELS = 32
"""Number of labels that an update pays for."""
ITERATIONS, POLICY_STEPS = 12, 100
SEEDS = 16
BANDIT = {"environment": "bandit", "label_budget": LABELS, "policy_lr": 1.0}
CONTEXTUAL = {
    "environment": "contextual",
    "feedback": "labels",
    "label_budget": LABELS,
    "policy_lr": 3.0,
}
ENVIRONMENTS = {"bandit": BANDIT, "contextual": CONTEXTUAL}
CHOICES = (("last", "last"), ("sampled", "last"), ("all", "last"), ("all", "mean"), ("all", "worst"))
"""Pairs of the labels that are kept and the reward that the policy gets."""
PIPELINES = (
    *tuple(
        Pipeline(name, settings, ITERATIONS, POLICY_STEPS, keep, reward)
        for name, settings in ENVIRONMENTS.items()
        for keep, reward in CHOICES
    ),
    Pipeline("bandit", BANDIT, ITERATIONS * POLICY_STEPS, 1, "last", "last", ("kept",)),
)
"""A pipeline for each choice, and the loop that retrains after every policy step."""


def rows(found: Found) -> list[Row]:
    """Return a row for each choice, over all shares of on-policy data and all ridges."""
    table: list[Row] = []
    for pipeline in PIPELINES:
        if pipeline.label in found:
            for number, restart in enumerate(pipeline.restarts):
                table.append(_row(found[pipeline.label], pipeline, number, restart))
    return table


def _row(numbers: Numbers, pipeline: Pipeline, number: int, restart: str) -> Row:
    gained = numbers["gained"][number].astype(float)
    over = numbers["overestimate"][number].astype(float)
    fell = numbers["collapsed"][number]
    early = gained[..., 1] < 0.5
    row: Row = {
        "environment": pipeline.environment,
        "policy_steps": pipeline.policy_steps,
        "keep": pipeline.keep,
        "reward": pipeline.reward,
        "restart": restart,
        "bad_first": float(early.mean()),
    }
    for name, interval in {
        "healed": _share(~fell, early),
        "spoilt": _share(fell, ~early),
        "end": _mean(gained[..., -1]),
        "over_first": _mean(over[..., 1]),
        "over_last": _mean(over[..., -1]),
    }.items():
        row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


def _share(holds: np.ndarray, among: np.ndarray) -> Interval:
    """Return the share of runs for which `holds` is true, of those for which `among` is, with its interval.

    Both are [α, ridge, seed]. The interval is over seeds.
    """
    return bootstrap(ratio, *(flags.sum(axis=(0, 1)) for flags in (holds & among, among)))


def _mean(values: np.ndarray) -> Interval:
    """Return the mean over runs, [α, ridge, seed], with its interval over seeds.

    A seed is the same instance in all cells, so it counts once.
    """
    return mean_interval(values.mean(axis=(0, 1)))


def draw_figures(found: Found, table: list[Row]) -> dict[str, plotting.Picture]:
    """Return two figures for each environment: its diagram, and iterations on both sides of the boundary."""
    drawn: dict[str, plotting.Picture] = {}
    for name in ENVIRONMENTS:
        if f"{name}, {KEEPS[0]}, last, {POLICY_STEPS}" in found:
            drawn[f"diagram_{name}"] = _diagram(found, name)
            drawn[f"iterations_{name}"] = _iterations(found, name)
    return drawn


def _of(found: Found, name: str, keep: str, reward: str = "last") -> Numbers:
    return found[f"{name}, {keep}, {reward}, {POLICY_STEPS}"]


def _healthy(numbers: Numbers, restart: int) -> np.ndarray:
    """Return the share of seeds that have not collapsed at the end, [α, ridge], for one kind of restart."""
    return 1.0 - numbers["collapsed"][restart].mean(axis=-1)


def _diagram(found: Found, name: str) -> plotting.Picture:
    x = Axis("share of on-policy data α", ticks={float(i): f"{a:g}" for i, a in enumerate(ALPHAS)})
    y = Axis(
        "ridge λ", ticks={float(i): f"{r:g}" for i, r in enumerate(RIDGES)}, limits=(-0.5, len(RIDGES) - 0.5)
    )
    styles = dict(zip(REWARDS, plotting.variants(plotting.RLHF, len(REWARDS)), strict=True))
    along, grid = np.arange(len(ALPHAS)), []
    step = found.get(f"{name}, last, last, 1")
    for keep in KEEPS:
        charts = []
        for number, restart in enumerate(RESTARTS):
            shares = _healthy(_of(found, name, keep), number).T
            marks: list[Mark] = [
                HeatMap(along, np.arange(len(RIDGES)), shares, (0.0, 1.0), "Blues", written=True)
            ]
            for reward in (reward for kept, reward in CHOICES if kept == keep):
                edge = boundary(_healthy(_of(found, name, keep, reward), number))
                marks.append(Line(along, edge, styles[reward], f"half heal, reward: {reward}", width=2.0))
            if step is not None and (keep, restart) == ("last", "kept"):
                edge = boundary(_healthy(step, 0))
                marks.append(
                    Line(along, edge, plotting.NEUTRAL, "half stay well, retrained at every step", width=2.0)
                )
            charts.append(Chart(f"data kept: {keep}; policy: {restart}", marks, x, y))
        grid.append(charts)
    heading = f"{name}: share of seeds that end healthy, paid by the last reward model"
    return plotting.figure(grid, heading, size=(11.0, 9.5), share="xy")


def _iterations(found: Found, name: str) -> plotting.Picture:
    """Draw share gained and overestimate over the iterations, with a small and with a large ridge."""
    styles = plotting.ladder_styles([*RESTARTS])
    places = {"ridge 0.01": RIDGES.index(0.01), "ridge 0.1": RIDGES.index(0.1)}
    alpha = ALPHAS.index(0.3)
    grid: list[list[Chart]] = []
    for field, title in (("gained", "share gained"), ("overestimate", "overestimate E[r] − E[U]")):
        charts: list[Chart] = []
        for said, ridge in places.items():
            for keep in KEEPS[::2]:
                lines: list[Mark] = []
                for number, restart in enumerate(RESTARTS):
                    values = _of(found, name, keep)[field][number, alpha, ridge].astype(float)
                    lines.append(
                        Line(
                            np.arange(values.shape[1]),
                            values.mean(axis=0),
                            styles[restart],
                            restart,
                            dot=True,
                        )
                    )
                head = f"{said}, data kept: {keep}" if not grid else ""
                every = {float(i): f"{i}" for i in range(0, values.shape[1], 4)}
                charts.append(
                    Chart(head, lines, Axis("iteration", ticks=every), Axis(title if not charts else ""))
                )
        grid.append(charts)
    heading = f"{name}, α = {ALPHAS[alpha]:g}: means of seeds at the end of each iteration"
    return plotting.figure(grid, heading, size=(12.0, 5.6))


def findings(found: Found, table: list[Row]) -> str:
    """Return the table of choices, with an explanation of its columns."""
    head = [
        "environment", "policy steps an update", "data kept", "reward", "policy starts",
        "bad after the first", "of these healed", "of the others spoilt", "gained at the end",
        "overestimate, first", "last",
    ]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table:
        cells = [row[key] for key in ("environment", "policy_steps", "keep", "reward", "restart")]
        cells.append(f"{row['bad_first']:.0%}".replace("%", " %"))
        for key in ("healed", "spoilt", "end", "over_first", "over_last"):
            cells.append(with_interval(row[key], row[f"{key}_low"], row[f"{key}_high"], 2))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    seeds = next(iter(found.values()))["collapsed"].shape[-1]
    said = (
        f"Each row covers {len(ALPHAS)} shares of on-policy data × {len(RIDGES)} ridges × {seeds} seeds. "
        f"Intervals are 95 %, over the {seeds} seeds, and have no width if these are alike. Bad after the "
        "first: share of runs with less than half of the possible gain after the first iteration. If each "
        f"update follows one policy step, the first {POLICY_STEPS} iterations count as the first. Healed: "
        "share of these runs that have not collapsed at the end. Spoilt: share of the other runs that have "
        f"collapsed at the end. Mean and worst are over the last {MODELS} reward models. Overestimate: "
        "E[r] − E[U] of the policy at the end of an iteration, as a share of the possible gain. Here r is "
        "the reward that the policy got in the iteration."
    )
    return "\n\n".join(["\n".join(lines), said])


EXPERIMENT = Study(
    name="healing",
    claim=(
        "Over the iterations of RLHF, over-optimisation either falls or feeds itself. The study varies which "
        "data are kept, which reward models pay, where the policy starts again, the share of on-policy data, "
        "and the ridge, which limits what the reward model can learn."
    ),
    pieces=tuple(part(pipeline, SEEDS) for pipeline in PIPELINES),
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=tuple(
        part(p._replace(iterations=2), 1)
        for p in PIPELINES
        if p.environment == "bandit" and p.policy_steps > 1
    ),
)
