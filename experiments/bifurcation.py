"""Claim: RLHF collapses where its equilibrium does, and where equilibria fold, the start decides as well."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array

from fpo_jax import plotting
from fpo_jax.continuation import Branch, branches, passed
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.experiments.core.files import write_table
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.report.parts import Section
from fpo_jax.followers import BestResponse
from fpo_jax.leader import Leader
from fpo_jax.objectives import Exact, Myopic, Proximal, Relaxed
from fpo_jax.plotting import DASHES, IDEAL, Axis, Chart, Line, Points, Style
from fpo_jax.run import initial_state, iterate
from fpo_jax.types import Follower, Objective, Scalar

METHODS: dict[str, tuple[type[Objective], str]] = {
    "RLHF": (Myopic, plotting.RLHF.color),
    "relaxed FPO": (Relaxed, "#2171B5"),
    "proximal FPO": (Proximal, "#1B7F5C"),
    "exact FPO": (Exact, "#08306B"),
}
"""The leader's objective and its colour. Dashes mark unstable equilibria."""
STARTS = ("uniform", "best arm", "strongest decoy")
"""Starts of the runs. Dots of runs from the decoy are hollow."""


class Panel(NamedTuple):
    """One chart: one hyperparameter on one instance.

    Attributes:
        title: of the chart.
        instance: seed of the key that draws the bandit.
        vary: the hyperparameter, `alpha`, `ridge` or `weight`.
        low, high: range of `alpha`, or of log₁₀ of the other two.
        methods: some of `METHODS`.
        alpha, ridge, weight: values of the hyperparameters that are not varied.
    """

    title: str
    instance: int
    vary: str
    low: float
    high: float
    methods: tuple[str, ...] = tuple(METHODS)
    alpha: float = 0.3
    ridge: float = 0.1
    weight: float = 0.3

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        return self.vary != "alpha"

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Return the values of the hyperparameter, without the logarithm."""
        return 10.0**values if self.log else values


PANELS = {
    "alpha": Panel("bandit of key 0, ridge 0.1", 0, "alpha", 0.02, 1.0),
    "alpha_folds": Panel("bandit of key 2, ridge 0.1", 2, "alpha", 0.02, 1.0),
    "ridge_folds": Panel("bandit of key 2, α = 1", 2, "ridge", -2.0, 0.0, alpha=1.0),
    "weight": Panel(
        "bandit of key 0, α = 0.3, ridge 0.1", 0, "weight", -3.0, 0.5, ("relaxed FPO", "proximal FPO")
    ),
}
AXES = {"alpha": "share of on-policy data α", "ridge": "ridge λ", "weight": "weight of FPO"}


class Traced(NamedTuple):
    """The branches of one method along one hyperparameter, and the ends of runs.

    Attributes:
        branches: the branches, without duplicates.
        values: [n] values of the hyperparameter with runs.
        utilities: [n, starts] final true utility of the runs.
        apart: [n, starts] distance of each final policy from the nearest equilibrium, ½ Σ |π − π'|.
        off: [n, starts] absolute difference of its true utility from that of this equilibrium.
        where: [n, starts] whether this equilibrium is stable.
    """

    branches: tuple[Branch, ...]
    values: np.ndarray
    utilities: np.ndarray
    apart: np.ndarray
    off: np.ndarray
    where: np.ndarray


def players(
    kind: type[Objective], game: BanditGame, base: Array, along: Array, value: Scalar
) -> tuple[BanditGame, Leader, Follower]:
    """Return the players at (α, log₁₀ ridge, log₁₀ weight) = base + value · along.

    Args:
        kind: class of the leader's objective. Only those with a weight use it.
        game: the bandit.
        base: [3].
        along: [3], 1 for the hyperparameter that is varied, else 0.
        value: of that hyperparameter.
    """
    alpha, ridge, weight = base + value * along
    settings = {} if kind in (Myopic, Exact) else {"weight": 10.0**weight}
    training: dict[str, Any] = {"alpha": alpha, "ridge": 10.0**ridge}  # traced numbers
    leader = Leader(kind(**settings), policy_lr=1.0, rule="mirror")
    return game, leader, BestResponse(**training)


def family(panel: Panel, method: str, game: BanditGame) -> Partial:
    """Return the players as a function of a panel's hyperparameter. All panels share compiled programs."""
    names = ("alpha", "ridge", "weight")
    along = np.array([float(name == panel.vary) for name in names])
    base = np.array([panel.alpha, np.log10(panel.ridge), np.log10(panel.weight)]) * (1.0 - along)
    return Partial(PLAYERS[method], game, jnp.asarray(base), jnp.asarray(along))


PLAYERS = {method: partial(players, kind) for method, (kind, _) in METHODS.items()}


@partial(jax.jit, static_argnames="steps")
def finals_of(at: Partial, values: Array, thetas: Array, key: Array, steps: int) -> Array:
    """Return the final policies of runs after this many mirror steps, [values, starts, arms]."""

    def run(value: Array, theta: Array) -> Array:
        game, leader, follower = at(value)
        state = initial_state(game, follower, key, (theta, game.init(key)[1]))
        state = jax.lax.fori_loop(0, steps, lambda _, s: iterate(game, leader, follower, s, key, 0.0), state)
        return jax.nn.softmax(state.theta)

    return jax.vmap(lambda value: jax.vmap(partial(run, value))(thetas))(values)


def traced(panel: Panel, method: str, points: int, runs: int, steps: int) -> Traced:
    """Follow the branches from both ends and all starts, and run from all starts at several values.

    Args:
        panel: the hyperparameter and the instance.
        method: one of `METHODS`.
        points: points of each branch, at least.
        runs: number of values with runs.
        steps: mirror steps of a run.
    """
    key = jax.random.key(panel.instance)
    game = Bandit().draw(key)
    arms = game.arms
    sharp = [jnp.argmax(arms.quality), jnp.argmax(arms.planted * arms.features[:, 0])]
    thetas = jnp.stack(
        [jnp.zeros_like(arms.quality), *(8.0 * jax.nn.one_hot(i, arms.quality.size) for i in sharp)]
    )
    at = family(panel, method, game)
    found_branches = branches(at, panel.low, panel.high, list(thetas), key, points=points)
    values = np.linspace(panel.low, panel.high, runs)
    finals = np.asarray(finals_of(at, jnp.asarray(values), thetas, key, steps))
    utilities = finals @ np.asarray(arms.quality)
    found = [[one for branch in found_branches for one in passed(branch, at, float(v), key)] for v in values]
    apart, off, where = (np.zeros(finals.shape[:2]) for _ in range(3))
    for i, ends in enumerate(found):
        policies = np.array([jax.nn.softmax(end.theta) for end in ends])
        far = 0.5 * np.sum(np.abs(finals[i][:, None] - policies[None]), axis=2)
        for j, nearest in enumerate(np.argmin(far, axis=1)):
            apart[i, j], where[i, j] = far[j, nearest], ends[nearest].stable
            off[i, j] = abs(utilities[i, j] - ends[nearest].metrics["true_utility"])
    return Traced(found_branches, values, utilities, apart, off, where)


def chart(panel: Panel, found: Mapping[str, Traced]) -> Chart:
    """Return one bifurcation diagram: lines are equilibria, dashed if unstable, and dots are ends of runs."""
    marks: list[Any] = []
    turns: list[tuple[float, float]] = []
    for method, one in found.items():
        color = METHODS[method][1]
        named = False
        for branch in one.branches:
            x, y = panel.shown(branch.values), branch.metric("true_utility")
            for part, stable in branch.stretches():
                label = "" if named or not stable else method
                named |= stable
                marks.append(
                    Line(x[part], y[part], Style(color, () if stable else DASHES), label, method=method)
                )
            turns += [(x[e.place], y[e.place]) for e in branch.events if e.kind in ("fold", "crossing")]
        at = panel.shown(one.values)
        for j, start in enumerate(STARTS):
            style = Style(color, DASHES if start == "strongest decoy" else ())
            marks.append(Points(at, one.utilities[:, j], style, size=4.0))
    if turns:
        x, y = np.array(turns).T
        marks.append(Points(x, y, IDEAL._replace(dashes=()), "fold or crossing", size=7.0))
    return Chart(
        panel.title, marks, Axis(AXES[panel.vary], log=panel.log), Axis("true utility", limits=(0.0, None))
    )


def rows(found: Mapping[str, Mapping[str, Traced]]) -> list[dict[str, Any]]:
    """Return a row for each method of each panel."""
    table = []
    for name, by_method in found.items():
        panel = PANELS[name]
        for method, one in by_method.items():
            places = {
                kind: sorted(
                    float(panel.shown(np.array(event.value)))
                    for branch in one.branches
                    for event in branch.events
                    if event.kind == kind
                )
                for kind in ("fold", "crossing")
            }
            row: dict[str, Any] = {"panel": f"{panel.title}, along {panel.vary}", "method": method}
            row |= {
                "branches": len(one.branches),
                "runs": one.apart.size,
                "at_stable": int(np.sum(one.where)),
            }
            row |= {f"{kind}s": ", ".join(f"{at:.6f}" for at in ats) for kind, ats in places.items()}
            row |= {"apart_median": float(np.median(one.apart)), "apart_most": float(np.max(one.apart))}
            table.append(row | {"utility_off_most": float(np.max(one.off))})
    return table


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Return the table in Markdown."""
    head = "panel | method | branches | folds | crossings | runs | at a stable one | distance, median | most"
    lines = [f"| {head} | in U |", "|---" * 10 + "|"]
    for row in table:
        far = " | ".join(f"{row[name]:.1e}" for name in ("apart_median", "apart_most", "utility_off_most"))
        cells = [
            row[n] or "–" for n in ("panel", "method", "branches", "folds", "crossings", "runs", "at_stable")
        ]
        lines.append(f"| {' | '.join(map(str, cells))} | {far} |")
    return "\n".join(lines)


class Bifurcation(NamedTuple):
    """The claim, and the resolution of its test.

    Attributes:
        name, claim, long: as for any experiment.
        seeds: number of values along each axis with runs, one from each start.
        points: points of each branch, at least.
        steps: mirror steps of a run.
        panels: some of `PANELS`.
    """

    name: str = "bifurcation"
    claim: str = (
        "The charts show true utility of equilibria along one hyperparameter. Lines are solid where they "
        "attract, else dashed. RLHF collapses because its equilibrium does. Where its branch folds, two "
        "equilibria attract, and the start decides. Foresight has a single branch. The dots are ends of "
        "runs, and lie on the solid lines."
    )
    seeds: int = 16
    points: int = 60
    steps: int = 5000
    panels: tuple[str, ...] = tuple(PANELS)
    long: bool = True

    @property
    def quick(self) -> "Bifurcation":
        """Return a small form of it, to check that everything works."""
        return self._replace(points=10, steps=1000, panels=("weight",))

    @property
    def jobs(self) -> list[str]:
        """Return the names of its steps, in order."""
        return [f"{name}: {method}" for name in self.panels for method in PANELS[name].methods] + ["figures"]

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Follow all branches and run beside them, write table and figure, and return table and section.

        Args:
            folder: of the results.
            seeds: number of values along each axis with runs.
            progress: receives progress.
        """
        found: dict[str, dict[str, Traced]] = {}
        with jax.enable_x64(True):
            for name in self.panels:
                for method in PANELS[name].methods:
                    progress.begin(f"{self.name}: {name}, {method}")
                    one = traced(PANELS[name], method, self.points, seeds, self.steps)
                    found.setdefault(name, {})[method] = one
                    progress.end()
        progress.begin(f"{self.name}: figures")
        table = rows(found)
        write_table(folder / "table.csv", table)
        charts = [chart(PANELS[name], one) for name, one in found.items()]
        side = [charts[i : i + 2] for i in range(0, len(charts), 2)]
        heading = (
            "equilibria: solid attracts, dashed does not; dots: final points of runs, hollow from the decoy"
        )
        drawn = plotting.save_all({"bifurcation": plotting.figure(side, heading)}, folder)
        progress.end()
        said = (
            "Distances are ½ Σ |π − π'| between a run's last policy and the nearest equilibrium of a branch."
        )
        return table, Section(self.name, self.claim, [markdown(table), said], drawn)


EXPERIMENT = Bifurcation()
