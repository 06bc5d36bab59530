"""Claim: as policies move away from their reference, RLHF over-optimises, and foresighted ones do not."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.preferences import COMMON, PRACTICAL, RELAXED, RLHF
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.objectives.best_of_n import reward_scores
from fpo_jax.plotting import Axis, Chart, Level, Line, Mark
from fpo_jax.responses import best_of
from fpo_jax.run import initial_state
from fpo_jax.types import Game

KL_WEIGHTS = (0.02, 0.1, 0.2, 0.5, 1.0)
CANDIDATES = (1, 2, 4, 8, 16, 64, 256)
METHODS: dict[str, dict[str, Any]] = {
    "RLHF": RLHF,
    "exact": {**COMMON, "objective": "exact"},
    "relaxed 1": RELAXED,
    "practical 1": PRACTICAL,
}


def _label(method: str, kl_weight: float) -> str:
    return f"{method}, β {kl_weight:g}"


def best_of_start(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return KL to the reference and utility of best-of-n from the reference itself, [candidates, seed] each.

    The reward model that ranks the candidates is trained on the reference policy, and never retrained.
    """
    _, _, follower = result.settings.build()

    @jax.jit
    @jax.vmap
    def points(game: Game) -> list[tuple[jax.Array, jax.Array]]:
        key = jax.random.key(0)
        theta, reward_model, _ = initial_state(game, follower, key)
        responses = game.respond(theta, key)
        scores = reward_scores(game, theta, reward_model.phi, key)
        utility = jax.vmap(game.utility)(responses.y)

        def point(n: int) -> tuple[jax.Array, jax.Array]:
            q = best_of(responses.w, scores, n, game.prompts)
            return jax.scipy.special.rel_entr(q, responses.w).sum(), (q * utility).sum()

        return [point(n) for n in CANDIDATES]

    with in_precision(result.settings.precision):
        kl, utility = np.transpose(np.array(points(result.games)), (1, 0, 2))
    return kl, utility


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return a figure of true utility against KL: at the end for each β, and along training at one β."""
    objectives = ("myopic", "exact", "relaxed", "practical")
    styles = plotting.styles(dict(zip(METHODS, objectives, strict=True)))
    first = next(iter(results.values()))
    ends: list[Mark] = []
    paths: list[Mark] = []
    for method, style in styles.items():
        cells = [results[_label(method, b)].metrics for b in KL_WEIGHTS]
        places = [c["kl"][:, -1].mean() for c in cells]
        finals = plotting.middle(np.array([c["true_utility"][:, -1] for c in cells]))
        ends.append(plotting.against(places, finals, method, style))
        along = results[_label(method, KL_WEIGHTS[0])].metrics
        kl, utility = along["kl"].mean(axis=0), along["true_utility"].mean(axis=0)
        paths.append(Line(kl, utility, style, method, dot=True))
    kl, utility = best_of_start(first)
    label = f"best of 1 … {CANDIDATES[-1]} from the reference"
    paths.append(Line(kl.mean(axis=1), utility.mean(axis=1), plotting.NEUTRAL, label, dot=True))
    best = Level(float(first.optimum.mean()), "best responses")
    axes = Axis("KL to the reference (nats)"), Axis("true utility  E[U]")
    charts = [
        Chart("where training ends, β from 1 to 0.02", [*ends, best], *axes),
        Chart(f"along training, β = {KL_WEIGHTS[0]:g}", [*paths, best], *axes),
    ]
    heading = f"contextual bandit, preferences; mean of {len(first.seeds)} seeds; band: middle 80 %"
    return {"over_optimisation": plotting.figure([charts], heading, share="y")}


EXPERIMENT = Experiment(
    name="over-optimisation",
    claim=(
        "As KL to the reference grows along RLHF, true utility rises and then falls. The same happens with "
        "the best of ever more candidates. With a weak pull to the reference RLHF ends low. With the exact "
        "steering term, relaxed or practical FPO true utility keeps rising."
    ),
    methods={
        _label(method, b): {**wishes, "kl_weight": b}
        for method, wishes in METHODS.items()
        for b in KL_WEIGHTS
    },
    figures=draw_figures,
    long=True,
)
