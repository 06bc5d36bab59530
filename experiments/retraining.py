"""Claim: an eigenvalue says whether retraining converges, and it may converge to a bad point."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.study.experiment import Found, Numbers, Part, Row, Study
from fpo_jax.experiments.study.players import Met, meet
from fpo_jax.experiments.study.steps import ASIDE, ENDS, FACTORS, Problem, followed, swept
from fpo_jax.leader import Leader
from fpo_jax.objectives import Exact, Myopic
from fpo_jax.plotting import Axis, Chart, Level, Line, Mark, Points
from fpo_jax.run import initial_state, iterate
from fpo_jax.testing.performative import BiasedCoin, RidgeRegression, World, retraining
from fpo_jax.types import Theta

GAME = RidgeRegression()
RIDGE = "ridge regression"
FIRST, RETRAININGS = -3.0, 60
"""First θ of the ridge regression, and the number of retrainings."""
SETTLING = 300
"""After `SETTLING` × `steps.ENTRIES` iterations the linear environment is near its equilibrium."""


def _alone(leader: Leader, game: RidgeRegression | BiasedCoin) -> Met:
    return Met(game, leader, World(), jax.random.key(0))


def _settled(met: Met) -> Theta:
    """Return the last policy of a run, near an equilibrium.

    The search cannot begin at the first action, because that is an equilibrium itself.
    """
    first = met.game.init(met.key)
    state = initial_state(met.game, met.follower, met.key, first)
    return followed(met, state, first[0], SETTLING)[0].theta


PROBLEMS = (
    Problem("ridge regression, retrained", lambda: _alone(Leader(Myopic()), RidgeRegression())),
    Problem("biased coin, exact", lambda: _alone(Leader(Exact()), BiasedCoin())),
    Problem("bandit, RLHF, mirror steps", lambda: meet({"environment": "bandit", "rule": "mirror"}, 0)),
    Problem(
        "bandit, relaxed FPO, mirror steps",
        lambda: meet({"environment": "bandit", "rule": "mirror", "objective": "relaxed"}, 0),
    ),
    Problem(
        "linear, relaxed FPO", lambda: meet({"environment": "linear", "objective": "relaxed"}, 0), _settled
    ),
)


def _retrained(instances: int, tell: Tell) -> Numbers:
    """Retrain the ridge regression, and return its iterates θ and their risk, [iterate] each."""
    leader, key = retraining(GAME), jax.random.key(0)
    once = jax.jit(lambda state: iterate(GAME, leader, World(), state, key, 0.0))
    state = initial_state(GAME, World(), key, (jnp.asarray(FIRST), GAME.init(key)[1]))
    thetas = [float(state.theta)]
    for _ in range(RETRAININGS):
        state = once(state)
        thetas.append(float(state.theta))
    return {"theta": np.array(thetas), "risk": np.array([_risk(theta) for theta in thetas])}


def _risk(theta: float) -> float:
    return -float(GAME.utility(jnp.asarray(theta)))


def _part(problem: Problem) -> Part:
    asked = {"factors": list(FACTORS), "aside": ASIDE, "problem": problem.label}
    return Part(problem.label, asked, lambda count, tell: swept(problem, tell))


def rows(found: Found) -> list[Row]:
    """Return a row with prediction and observation for every step of every problem."""
    table: list[Row] = []
    for label, numbers in found.items():
        if label == RIDGE:
            continue
        for i, factor in enumerate(numbers["factor"]):
            row: Row = {"problem": label, "factor": float(factor)}
            for name in ("step", "predicted", "real", "imaginary", "observed", "largest"):
                row[name] = float(numbers[name][i])
            row["end"], row["period"] = ENDS[int(numbers["end"][i])], int(numbers["period"][i])
            table.append(row)
    return table


def draw_figures(found: Found, table: list[Row]) -> dict[str, plotting.Picture]:
    """Return figures of the retrained ridge regression, and of observed rates beside predicted ones."""
    theta, risk = found[RIDGE]["theta"], found[RIDGE]["risk"]
    stable, optimal, slope = float(GAME.stable()), float(GAME.optimal()), float(GAME.slope())
    low, high = -4.0, 10.0
    ends = np.array([low, high])
    blue, best = plotting.EXACT, plotting.Style(plotting.MARKED)
    path = np.repeat(theta, 2)[1:-1], np.repeat(theta[1:], 2)[:-1]
    cobweb = Chart(
        f"retraining: slope {slope:.3f}, stable",
        [
            Line(ends, ends, plotting.NEUTRAL, "θ⁺ = θ"),
            Line(ends, stable + slope * (ends - stable), blue, "θ⁺, retrained at the world's answer to θ"),
            Line(path[0][: len(path[1])], path[1], plotting.RLHF, "retraining", width=1.0),
            Points(np.array([stable]), np.array([stable]), plotting.RLHF, "stable point", size=6.0),
        ],
        Axis("θ"),
        Axis("θ⁺"),
    )
    grid = np.linspace(low, high, 200)
    curve = Chart(
        "risk once the world has answered",
        [
            Line(grid, np.array([_risk(x) for x in grid]), blue, "risk"),
            Points(theta, risk, plotting.RLHF, "", size=3.5),
            Points(np.array([optimal]), np.array([_risk(optimal)]), best, "optimal point", size=6.0),
        ],
        Axis("θ"),
        Axis("risk"),
    )
    heading = f"ridge regression: retraining ends at {stable:.2f}, risk {_risk(stable):.0f}; "
    heading += f"the optimum is {optimal:.2f}, risk {_risk(optimal):.1f}"
    return {
        "ridge_regression": plotting.figure([[cobweb, curve]], heading, size=(9.0, 3.8)),
        "steps": _rates(found),
    }


def _rates(found: Found) -> plotting.Picture:
    """Draw observed rates and the predicted spectral radius, against the step over the largest stable one."""
    labels = [problem.label for problem in PROBLEMS if problem.label in found]
    styles, charts = plotting.ladder_styles(labels), []
    for label in labels:
        numbers, style = found[label], styles[label]
        marks: list[Mark] = [
            Line(numbers["factor"], numbers["predicted"], style),
            Points(numbers["factor"], numbers["observed"], style, size=4.0),
            Level(1.0),
            Level(1.0, vertical=True),
        ]
        charts.append(
            Chart(
                label,
                marks,
                Axis("step / largest stable step"),
                Axis("factor of the error", limits=(-0.05, 2.1)),
            )
        )
    heading = "line: predicted spectral radius; points: observed in runs"
    return plotting.figure([charts], heading, size=(2.6 * len(charts), 2.9), share="xy")


def findings(found: Found, table: list[Row]) -> str:
    """Return the table of steps with predictions and observations, and the end of the ridge regression."""
    head = ["problem", "step / largest", "step", "leading eigenvalue", "radius", "observed", "the run"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    right = 0
    for row in table:
        end = row["end"] + (", between two points" if row["period"] == 2 else "")
        turn = f" ± {abs(row['imaginary']):.4f}i" if row["imaginary"] else ""
        cells = [row["problem"], f"{row['factor']:g}", f"{row['step']:.4g}", f"{row['real']:.4f}{turn}"]
        cells += [f"{row['predicted']:.4f}", f"{row['observed']:.4f}", end]
        lines.append(f"| {' | '.join(cells)} |")
        right += (row["predicted"] < 1.0) == (row["end"] == ENDS[0])
    said = (
        f"In {right} of {len(table)} rows the prediction is right: the run converges if and only if the "
        "radius is below 1. Observed is the factor by which the distance to the equilibrium changes in an "
        "iteration. It is fitted while the distance is below 10⁻⁴ and above rounding. Runs begin 10⁻⁷ beside "
        "the equilibrium."
    )
    if RIDGE in found:
        end = found[RIDGE]
        said += (
            f" After {RETRAININGS} retrainings from {FIRST:g} the ridge regression is at "
            f"{end['theta'][-1]:.3f}, with risk {end['risk'][-1]:.1f}. The optimum is "
            f"{float(GAME.optimal()):.3f}, with risk {_risk(float(GAME.optimal())):.2f}."
        )
    return "\n\n".join(["\n".join(lines), said])


PARTS = (
    Part(RIDGE, {"first": FIRST, "retrainings": RETRAININGS}, _retrained),
    *(_part(problem) for problem in PROBLEMS),
)
EXPERIMENT = Study(
    name="retraining",
    claim=(
        "Repeated retraining of a ridge regression is stable, and ends at a coefficient of the wrong sign. "
        "The spectral radius of one iteration predicts whether runs converge: they do below 1, and "
        "oscillate, diverge or leave above 1."
    ),
    pieces=PARTS,
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=PARTS[:3],
)
