"""Errors of estimates from sampled answers, against the number of answers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.envs.language import LanguageGame
from fpo_jax.expect import expect
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.runs.history import shown_iterations
from fpo_jax.experiments.runs.result import Result
from fpo_jax.objectives.best_of_n import reward_scores
from fpo_jax.plotting import Axis, Chart, Line, Mark, Style
from fpo_jax.responses import best_of
from fpo_jax.steering import steering
from fpo_jax.types import Follower, Key, RewardModel, Theta

SAMPLED = (16, 64, 256, 1024, 4096)
"""Numbers of answers sampled to each prompt."""
CANDIDATES = 8
REPEATS = 64
ITERATION = 20
"""At this iteration the policy has left the reference and is not yet concentrated on few answers."""


class Errors(NamedTuple):
    """Root-mean-square errors of sampled estimates, relative to the size of the exact ones.

    Attributes:
        sampled: [n] answers sampled to each prompt.
        by_quantity: [n] each, by the name of the estimated quantity.
    """

    sampled: np.ndarray
    by_quantity: dict[str, np.ndarray]

    def slopes(self) -> dict[str, float]:
        """Return the least-squares slope of log error in log n for each quantity; −1/2 is the √n rate."""
        return {
            name: float(np.polyfit(np.log(self.sampled), np.log(values), 1)[0])
            for name, values in self.by_quantity.items()
        }


def estimates(
    game: LanguageGame, follower: Follower, theta: Theta, model: RewardModel, key: Key
) -> dict[str, Array]:
    """Return the compared quantities by name: exact if the game enumerates answers, else from samples.

    They are the two parts of dF/dθ, the policy's utility, and the utility of the answer with the highest
    reward of `CANDIDATES`. Sampled answers are divided into groups of `CANDIDATES`, and the best of each
    group counts.
    """
    parts = steering(game, follower, theta, model, key)
    responses = game.respond(theta, key)
    scores = reward_scores(game, theta, model.phi, key)
    if game.every is not None:
        winners = responses._replace(w=best_of(responses.w, scores, CANDIDATES, game.prompts))
        best = expect(game.utility, winners)
    else:
        lots = scores.reshape(-1, CANDIDATES)
        quality = jax.vmap(game.utility)(responses.y).reshape(lots.shape)
        best = jnp.mean(jnp.take_along_axis(quality, jnp.argmax(lots, axis=1)[:, None], axis=1))
    return {
        "standard part": ravel_pytree(parts.standard)[0],
        "steering part": ravel_pytree(parts.steering)[0],
        "utility of the policy": expect(game.utility, responses),
        f"utility of the best of {CANDIDATES}": best,
    }


def errors(
    game: LanguageGame,
    follower: Follower,
    theta: Theta,
    model: RewardModel,
    sampled: tuple[int, ...] = SAMPLED,
    repeats: int = REPEATS,
) -> Errors:
    """Measure the errors of sampled estimates against the enumerated ones at one state.

    Args:
        game: one that enumerates all answers.
        follower: the follower to foresee.
        theta: the policy.
        model: the reward model.
        sampled: numbers of answers to each prompt.
        repeats: estimates for each number, with independent keys.
    """
    theta, model = jax.tree.map(jnp.asarray, (theta, model))
    exact = jax.jit(estimates)(game, follower, theta, model, jax.random.key(0))
    found: dict[str, list[float]] = {name: [] for name in exact}
    for n in sampled:
        drawn = game.replace(every=None, responses=n)  # type: ignore[attr-defined]
        keys = jax.random.split(jax.random.key(n), repeats)
        program = jax.jit(
            lambda drawn, keys: jax.lax.map(lambda k: estimates(drawn, follower, theta, model, k), keys)
        )
        for name, values in program(drawn, keys).items():
            off = np.asarray(values) - np.asarray(exact[name])
            squared = np.mean(np.sum(np.reshape(off, (repeats, -1)) ** 2, axis=1))
            found[name].append(float(np.sqrt(squared) / np.linalg.norm(exact[name])))
    return Errors(np.asarray(sampled), {name: np.asarray(values) for name, values in found.items()})


def draw_figure(result: Result) -> Figure:
    """Draw the errors at the first seed's state after `ITERATION` iterations, with lines of slope −1/2."""
    frame = int(np.argmin(np.abs(shown_iterations(result.settings.steps) - ITERATION)))
    game = jax.tree.map(lambda leaf: leaf[0], result.games)
    state = jax.tree.map(lambda leaf: leaf[frame], result.states)
    _, _, follower = result.settings.build()
    with in_precision(result.settings.precision):
        found = errors(game, follower, state.theta, state.reward_model)
    slopes, styles = found.slopes(), plotting.ladder_styles(list(found.by_quantity))
    marks: list[Mark] = []
    for name, values in found.by_quantity.items():
        label = f"{name}: slope {slopes[name]:.2f}".replace("-", "−")
        guide = values[0] * np.sqrt(found.sampled[0] / found.sampled)
        marks.append(Line(found.sampled, values, styles[name], label, markers=True))
        marks.append(Line(found.sampled, guide, Style(plotting.IDEAL.color, plotting.DOTS), width=0.8))
    x = Axis("answers sampled to each prompt, n", log=True, ticks={float(n): f"{n}" for n in found.sampled})
    chart = Chart("", marks, x, Axis("relative error, root mean square", log=True))
    iteration = shown_iterations(result.settings.steps)[frame]
    heading = f"sampled against exact, RLHF seed {result.seeds[0]}, iteration {iteration}; dotted: 1/√n"
    return plotting.figure([[chart]], heading, size=(5.6, 3.4))
