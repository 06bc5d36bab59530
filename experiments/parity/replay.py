"""Replay recordings of the published experiments, and measure the deviation from them.

A replay takes every setting from the file. It runs with the recorded initial weights and the recorded noise.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.engine.initial import instance, seed_keys
from fpo_jax.engine.runs import run_seed
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.settings import Settings, in_precision, resolve
from fpo_jax.experiments.parity.recorded_game import Noise, replay
from fpo_jax.experiments.parity.recording import Recording
from fpo_jax.record import outcome
from fpo_jax.run import initial_state

DEPARTURE = 1e-2
"""A series departs from its recording at the first entry with a deviation of at least this."""


class Series(NamedTuple):
    """One quantity over the iterations of a replay, beside its recording.

    Attributes:
        ours: [entry, ...] computed by the replay.
        recorded: [entry, ...] read from the recording.
        every: iterations between two entries.
    """

    ours: np.ndarray
    recorded: np.ndarray
    every: int = 1

    def errors(self) -> np.ndarray:
        """Return the largest absolute deviation of each entry, [entry]; infinite where ours is not finite."""
        deviation = np.abs(self.ours - self.recorded)
        # NaN compares as false with everything, so it would pass for a small deviation
        return np.nan_to_num(deviation.reshape(len(deviation), -1).max(axis=1), nan=np.inf)


@dataclasses.dataclass(frozen=True)
class Deviation:
    """The deviation of a replay from its recording.

    Attributes:
        path: the file of the recording.
        series: largest absolute deviation over all entries, by name of the series.
        departure: iteration of the first entry at which any series deviates by `DEPARTURE` or more; or None.
        tolerance: largest deviation that passes.
    """

    path: Path
    series: dict[str, float]
    departure: int | None
    tolerance: float

    @property
    def largest(self) -> float:
        """Return the largest absolute deviation of all series."""
        return max(self.series.values())

    @property
    def passed(self) -> bool:
        """Whether the deviations of all series are within the tolerance."""
        return self.largest <= self.tolerance

    def report(self) -> dict[str, Any]:
        """Return the content of `line` for scripts; None where the replay is not finite."""

        def defined(value: float) -> float | None:
            return value if np.isfinite(value) else None

        return {
            "recording": str(self.path),
            "passed": self.passed,
            "largest": defined(self.largest),
            "tolerance": self.tolerance,
            "series": {name: defined(value) for name, value in self.series.items()},
            "departure": self.departure,
        }

    def line(self) -> str:
        """Return the line to print for this file."""
        series = "  ".join(f"{name} {value:.1e}" for name, value in self.series.items())
        departure = "" if self.departure is None else f"  first {DEPARTURE:g} off at entry {self.departure}"
        return (
            f"{self.path.name}  {'ok' if self.passed else 'FAILED'}  largest {self.largest:.1e} "
            f"(tolerance {self.tolerance:.0e})  {series}{departure}"
        )


def replay_linear(recording: Recording, precision: str | None) -> dict[str, Series]:
    """Replay a recording of the linear environment. Its series begin before any update.

    Args:
        recording: the recording, whose settings are all taken.
        precision: `float32` or `float64`; None for the precision of the recording.

    Raises:
        InputError: when a setting or an array is missing or invalid, or a setting is unknown.
    """
    take = recording.take
    schemes = {"forward difference": "forward-difference", "exact": "autodiff"}
    wishes = _common(recording, precision) | {
        "follower": "gradient",
        "differentiator": take("gradient", str, schemes),
        "steps": take("steps", int),
    }
    for name in ("ideal_signal", "true_weight_signal", "policy_lr"):
        wishes[name] = take(name, float)
    difference_step = take("difference_step", float)
    if wishes["differentiator"] == "forward-difference":
        wishes["difference_step"] = difference_step
    settings = _resolve(recording, wishes)
    shape, entries = (settings.values["dimension"],), (settings.steps + 1,)
    recorded = {
        "true_utility": recording.array("expected_utility", entries),
        "signal_norm": recording.array("expected_signal", entries),
        "noise_norm": recording.array("expected_noise", entries),
    }
    with in_precision(settings.precision):
        initial = _as_arrays((np.zeros(shape), recording.array("init_weights", shape)))
        players, key = settings.build(), seed_keys(1, settings.seed)[0]
        _, trace = run_seed(*players, key, steps=settings.steps, record=outcome, initial=initial)
    return {name: Series(np.asarray(trace.metrics[name]), values) for name, values in recorded.items()}


def replay_neural(recording: Recording, precision: str | None) -> dict[str, Series]:
    """Replay a recording of the neural environment. Entries are after the policy steps and before retraining.

    Args and errors are as for `replay_linear`.
    """
    take = recording.take
    wishes = _common(recording, precision) | {
        "follower": "optax",
        "replay": "fifo",
        "optimizer": take("rm_optimizer", str, {"adam with L2 weight decay added to the gradient": "adam"}),
        "rm_activation": take("rm_activation", str, {"softplus": "softplus"}),
        "sigma": take("sigma_initial", float),
        "policy_lr": take("policy_lr_initial", float),
    }
    integers = {"steps": "outer_steps", "policy_steps": "inner_steps", "draws": "responses_per_step"}
    for name, theirs in {**integers, "buffer_size": "buffer_size"}.items():
        wishes[name] = take(theirs, int)
    for name in ("sigma_final", "gradient_clip"):
        wishes[name] = take(name, float)
    if not wishes["policy_lr"] > 0:
        raise InputError(f"{recording.path.name}: policy_lr_initial", wishes["policy_lr"], "a number > 0")
    wishes["policy_lr_decay"] = 1.0 - take("policy_lr_final", float) / wishes["policy_lr"]
    wishes["sigma_power"] = wishes["policy_lr_power"] = take("decay_power", float)
    hidden, ideal = take("rm_hidden", list), take("ideal", list)
    wishes["rm_hidden"] = ",".join(map(str, hidden))
    signal, dimension = wishes["signal_dimension"], wishes["dimension"]
    if len(ideal) != dimension or ideal != [ideal[0]] * signal + [0.0] * (dimension - signal):
        allowed = f"{signal} equal numbers, then zeros, {dimension} in total"
        raise InputError(f"{recording.path.name}: ideal", ideal, allowed)
    wishes["ideal_signal"] = ideal[0]
    settings = _resolve(recording, wishes)

    steps, every = settings.steps, 10
    widths = [dimension, *hidden, 1]
    layers = {}
    for i, (into, out) in enumerate(itertools.pairwise(widths)):
        layers[f"kernel_{i}"] = recording.array(f"init_layer{i}_weight", (out, into)).T
        layers[f"bias_{i}"] = recording.array(f"init_layer{i}_bias", (out,))
    noise = (  # one response at a time
        recording.array("policy_noise", (steps, wishes["policy_steps"], dimension))[:, :, None],
        recording.array("data_noise", (steps, wishes["draws"], dimension))[:, :, None],
    )
    recorded = {
        "true_utility": recording.array("expected_utility", (steps,)),
        "proxy_reward": recording.array("expected_proxy", (steps,)),
        "noise_norm": recording.array("expected_noise", (steps,)),
        "theta": recording.array("expected_theta", (-(-steps // every), dimension)),
    }
    environment, leader, follower = settings.build()
    with in_precision(settings.precision):
        initial, noise = _as_arrays(((np.zeros(dimension), {"params": layers}), noise))
        key = seed_keys(1, settings.seed)[0]
        game = instance(environment, key)
        state = initial_state(game, follower, key, initial)
        metrics, theta = jax.jit(replay)(game, leader, follower, state, Noise(*noise))
    series = {n: Series(np.asarray(metrics[n]), values) for n, values in recorded.items() if n != "theta"}
    return series | {"theta": Series(np.asarray(theta[::every]), recorded["theta"], every)}


def _common(recording: Recording, precision: str | None) -> dict[str, Any]:
    """Take the settings that recordings of both environments have."""
    take = recording.take
    arms = {"rlhf": "myopic", "relaxed": "relaxed", "practical": "practical"}
    wishes: dict[str, Any] = {
        "environment": recording.environment,
        "objective": take("arm", str, arms),
        "rm_lr": take("rm_lr", float),
        "weight_decay": take("rm_weight_decay", float),
    }
    for name in ("dimension", "signal_dimension", "seed"):
        wishes[name] = take(name, int)
    for name in ("action_cost", "utility_scale", "utility_rate"):
        wishes[name] = take(name, float)
    weight = take("weight", float)
    utility_detached, error_detached = take("utility_detached", bool), take("error_detached", bool)
    recorded_precision = take("precision", str, {"f64": "float64", "f32": "float32"})
    wishes["precision"] = precision or recorded_precision
    if wishes["objective"] != "myopic":
        wishes["weight"] = weight
    elif weight != 0.0:
        raise InputError(f"{recording.path.name}: weight", weight, "0 for the arm rlhf")
    if wishes["objective"] == "relaxed":
        wishes["utility"] = (
            "value" if error_detached else "detached" if utility_detached else "differentiated"
        )
    return wishes


def _resolve(recording: Recording, wishes: Mapping[str, Any]) -> Settings:
    """Check that every setting of the recording was taken, and return the settings of the replay."""
    recording.require_all_read()
    try:
        return resolve(wishes)
    except InputError as error:
        raise InputError(f"{recording.path.name}: {error.field}", error.value, error.allowed) from error


def _as_arrays(recorded: Any) -> Any:
    """Return recorded numbers in JAX's present precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype=jnp.result_type(float)), recorded)


class Replay(NamedTuple):
    """How to replay recordings of one environment.

    Attributes:
        series: replays a recording in a precision.
        tolerance: largest deviation that counts as rounding there.
    """

    series: Callable[[Recording, str | None], dict[str, Series]]
    tolerance: float


REPLAYS: dict[str, Replay] = {"linear": Replay(replay_linear, 1e-8), "neural": Replay(replay_neural, 1e-6)}
"""Replays by environment. The neural environment amplifies rounding a million times over 4000 iterations."""


def check(path: Path, precision: str | None = None, tolerance: float | None = None) -> Deviation:
    """Replay one recording, and measure the deviation of every series.

    Args:
        path: the file of the recording.
        precision: `float32` or `float64`; None for the precision of the recording.
        tolerance: largest deviation that passes; None for that of the environment.

    Raises:
        InputError: when the file is unreadable, the environment is unknown, or a setting or an array is
            missing, invalid or unknown.
    """
    recording = Recording(path)
    require_known("environment", recording.environment, REPLAYS)
    kind = REPLAYS[recording.environment]
    errors = {name: (s.errors(), s.every) for name, s in kind.series(recording, precision).items()}
    departures = [
        int(np.argmax(e >= DEPARTURE)) * every for e, every in errors.values() if (e >= DEPARTURE).any()
    ]
    return Deviation(
        path,
        {name: float(error.max()) for name, (error, _) in errors.items()},
        min(departures, default=None),
        kind.tolerance if tolerance is None else tolerance,
    )
