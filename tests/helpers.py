"""What several test files share: commands in this process, what XLA compiles, and small games."""

import json
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax.flatten_util import ravel_pytree
from scipy.special import expit

from fpo_jax import BestResponse, Gradient, Responses, RewardModel
from fpo_jax.engine.initial import as_reals, instance
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.followers import Converged
from fpo_jax.internals import STAGES
from fpo_jax.numerics.keys import named_key
from fpo_jax.record import outcome
from fpo_jax.run import initial_state, iterate
from fpo_jax.steering import foresighted_value, steering
from fpo_jax.testing.checks import central_difference

ROOT = Path(__file__).resolve().parent.parent
FAST = ["--steps", "5", "--seeds", "3", "--dimension", "6"]
"""Options of a linear run that takes no time."""
LONG_RUN = ["run", "linear", "--dimension", "4", "--steps", "200", "--seeds", "3", "--record", "outcome"]
"""A run of some segments."""
GRID = ["--objective", "myopic,relaxed,exact", "--grid", "weight=0,0.1", "--grid", "dimension=4"]
SWEEP = ["sweep", "linear", *GRID, "--steps", "6", "--seeds", "5", "--width", "4", "--precision", "float64"]
"""A cell of RLHF, two of relaxed FPO, one of exact: 15 runs of one program in 4 chunks, 5 of another in 2."""
SCORED = ["judge", "a.jsonl", "b.jsonl", "--scorer"]
"""Answers compared by a scorer."""


def call(capsys, *arguments):
    """Run a command; return its exit status, standard output and standard error."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def complaint(capsys, *arguments):
    """The one line of a command that ends with status 2."""
    status, out, err = call(capsys, *arguments)
    lines = [line for line in err.splitlines() if "error:" in line]
    assert (status, out, len(lines)) == (2, "", 1), err
    assert "Traceback" not in err
    return lines[0]


def arrays(folder, file="metrics.npz"):
    """The arrays of a file of a result, by name."""
    with np.load(folder / file) as stored:
        return {name: stored[name] for name in stored.files}


def write_answers(path, responses, prompts=None):
    lines = [
        json.dumps(
            {"prompt": f"prompt {i}" if prompts is None else prompts[i], "response": said, "score": 0.5}
        )
        for i, said in enumerate(responses)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def compilations():
    """Yield a list, to which the name of every program is added that is compiled within the context."""
    names = []

    def listen(event, seconds, fun_name="a program", **_):
        if STAGES.get(event) == "xla":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


SMALL = {"bandit": Bandit(ordinary=5, planted=2), "linear": Linear(dimension=6)}
FOLLOWER = {"bandit": BestResponse(ridge=0.1, alpha=0.3), "linear": Gradient()}
"""A follower for each."""
CONTEXTUAL = Contextual(prompts=2, trapped=1, ordinary=2, traps=1, topics=1)
HIDDEN = 3


@struct.dataclass
class NeuralBandit(BanditGame):
    """The bandit with a reward model that is not linear in φ: one softplus layer on the same features."""

    def init(self, key):
        shapes = {"in": (2, HIDDEN), "bias": (HIDDEN,), "out": (HIDDEN,)}
        keys = dict(zip(shapes, jax.random.split(key, 3), strict=True))
        phi = {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}
        return jnp.zeros_like(self.arms.quality), phi

    def reward(self, phi, y):
        return jnp.dot(jax.nn.softplus(y.features @ phi["in"] + phi["bias"]), phi["out"])


def neural_bandit(key):
    game = Bandit(ordinary=5, planted=2).draw(key)
    return NeuralBandit(game.arms, game.temperature)


CASES = {
    "bandit": (lambda key: Bandit(ordinary=5, planted=2).draw(key), BestResponse(ridge=0.1, alpha=0.3)),
    "linear": (lambda key: Linear(dimension=6), BestResponse(ridge=0.05)),
    "neural bandit": (neural_bandit, Converged(ridge=0.05, alpha=0.3, anchored=True)),
}
"""Games and best responses to them."""


def at(case, key):
    """One of these games, its follower, and a state that is no best response."""
    make, follower = CASES[case]
    game = make(key)
    theta, phi = game.init(key)
    theta = theta + 0.5 * jax.random.normal(key, theta.shape)
    phi = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(key, p.shape), phi)
    return game, follower, theta, RewardModel(phi, memory=jax.tree.map(jnp.zeros_like, phi))


@struct.dataclass
class AgainstReference(Linear):
    """The linear environment with a fixed response to compare with."""

    def reference(self):
        return Responses(0.5 * jnp.ones((1, self.dimension)), jnp.ones(1))


ONE_PAIR = AgainstReference(dimension=4)
draw = jax.jit(lambda environment, key: environment.draw(named_key(key, "instance")))


def away_from_the_start(game, follower, key):
    """θ and a reward model at no special point."""
    theta, phi = game.init(named_key(key, "initial parameters"))
    flat, unravel = ravel_pytree(theta)
    theta = unravel(flat + 0.5 * jax.random.normal(named_key(key, "theta"), flat.shape))
    flat, unravel = ravel_pytree(phi)
    phi = unravel(flat + 0.3 * jax.random.normal(named_key(key, "phi"), flat.shape))
    return theta, follower.init(game, theta, phi, key)


def at_random(environment, follower, key):
    """A game, and a state away from any special point."""
    game = draw(environment, key)
    return game, *jax.jit(away_from_the_start)(game, follower, key)


@partial(jax.jit, static_argnames="horizon")
def parts_and_difference(game, follower, theta, model, key, horizon=1):
    """Both parts of dF/dθ, and the central difference of F."""
    parts = steering(game, follower, theta, model, key, horizon)
    value = lambda t: foresighted_value(game, follower, t, model, key, horizon)  # noqa: E731
    return parts, central_difference(value, theta)


def pairs_by_hand(game, theta, opponent):
    """Weights of all pairs, their features and p* at the default temperature, from the formulas alone."""
    psi, u = np.asarray(game.candidates.features), np.asarray(game.candidates.quality)
    reference = np.exp(game.log_reference)
    policy = reference * np.exp(theta)
    policy = policy / policy.sum(axis=1, keepdims=True)
    other = {"policy": policy, "reference": reference}[opponent]
    rows = [
        (policy[x, a] * other[x, b] / len(u), psi[x, a], psi[x, b], expit((u[x, a] - u[x, b]) / 0.25))
        for x, a, b in np.ndindex(*u.shape, u.shape[1])
    ]
    return tuple(map(np.array, zip(*rows, strict=True)))


def relative_error(a, b):
    a, b = ravel_pytree(a)[0], ravel_pytree(b)[0]
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


def slope(steps, errors):
    """The power of the step as which errors grow."""
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


# final utilities of 14 seeds under two methods: they hold or collapse, with ties
METHOD_A = np.array([8.9, 9.5, 2.0, 8.9, 9.4, 9.3, 9.0, 9.3, 2.0, 9.5, 8.5, 8.2, 9.1, 9.4])
METHOD_B = np.array([2.0, 2.0, 9.0, 9.0, 9.7, 9.4, 9.1, 2.0, 8.9, 8.5, 2.0, 9.3, 8.9, 2.0])
COUNTABLE = {
    "language": {"length": 3},
    "linear": {"dimension": 12},
    "neural": {"policy_steps": 1},  # XLA counts a loop's body once
}
"""Sizes at which an iteration can be counted by hand."""


@cache
def compiled_iteration(environment, objective):
    """Return an iteration of a small game with its record, compiled, and what it is called with."""
    wishes = {"environment": environment, "objective": objective, **COUNTABLE.get(environment, {})}
    settings = resolve({**wishes, "precision": "float64"})
    environment, leader, follower = as_reals(settings.build())
    key = jax.random.key(5)

    @jax.jit
    def begin(key):
        game = instance(environment, key)
        return game, initial_state(game, follower, key)

    def iteration(game, leader, state):
        after = iterate(game, leader, follower, state, key, 0.0)
        return after, outcome(game, follower, after, key)

    game, state = begin(key)
    return settings, jax.jit(iteration).lower(game, leader, state).compile(), (game, leader, state)


def require_named(complaint, refused):
    """Require that this is refused with this complaint, in one line."""
    with pytest.raises(InputError) as caught:
        refused()
    assert str(caught.value).startswith(complaint), str(caught.value)
    assert "\n" not in str(caught.value)
