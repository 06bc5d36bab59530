"""Replay recordings of the published experiments, and measure how far we are from them.

A recording is an npz file that names every setting of its run (`hyperparameters`, a JSON object), the
initial reward-model parameters, and what came out. The replay takes every setting from the file.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.settings import Settings, in_precision, resolve
from fpo_jax.hyperparameters import InputError, require_known
from fpo_jax.record import outcome
from fpo_jax.simulate import run, seed_keys

DEPARTURE = 1e-2
"""A series has left its recording at the first entry that is this far off."""


@dataclasses.dataclass(frozen=True)
class Deviation:
    """How far a replay is from its recording.

    Attributes:
        path: the recording.
        series: largest absolute deviation over all entries, by name of the series.
        departure: first entry at which any series is `DEPARTURE` off, or None.
    """

    path: Path
    series: dict[str, float]
    departure: int | None

    @property
    def largest(self) -> float:
        """Return the largest absolute deviation of all series."""
        return max(self.series.values())

    def line(self, tolerance: float) -> str:
        """Return the one line that is printed for a file."""
        verdict = "ok" if self.largest <= tolerance else "FAILED"
        series = "  ".join(f"{name} {value:.1e}" for name, value in self.series.items())
        departure = "" if self.departure is None else f"  first {DEPARTURE:g} off at entry {self.departure}"
        return (
            f"{self.path.name}  {verdict}  largest {self.largest:.1e} (tolerance {tolerance:.0e})  "
            f"{series}{departure}"
        )


class Recording:
    """A recording whose settings and arrays are taken one by one, so that nothing is left unread."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                self.arrays = {name: file[name] for name in file.files}
        except Exception as error:  # zipfile, zlib and numpy each complain in a way of their own
            reason = str(error).splitlines()[0]
            raise InputError("recording", path, f"a readable npz file ({reason})") from error
        described = str(self.array("hyperparameters", ()))
        try:
            self.settings = json.loads(described)
        except ValueError as error:
            raise InputError(f"{path.name}: hyperparameters", "unreadable", "a JSON object") from error
        if not isinstance(self.settings, dict):
            raise InputError(f"{path.name}: hyperparameters", self.settings, "a JSON object")

    def take(self, name: str, kind: type, options: Mapping[Any, Any] | None = None) -> Any:
        """Remove one setting and return it, translated by `options` if given.

        Raises:
            InputError: when it is missing, of another type, or not among the options.
        """
        field = f"{self.path.name}: {name}"
        if name not in self.settings:
            raise InputError(field, "missing", f"a setting of type {kind.__name__}")
        value = self.settings.pop(name)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(field, value, f"of type {kind.__name__}")
        if options is None:
            return value
        if value not in options:
            raise InputError(field, value, f"one of {', '.join(map(str, options))}")
        return options[value]

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return one array after checking its shape, and that it holds finite numbers.

        Raises:
            InputError: when it is missing, misshapen or not finite.
        """
        field = f"{self.path.name}: {name}"
        if name not in self.arrays:
            raise InputError(field, "missing", f"an array of shape {list(shape)}")
        value = self.arrays[name]
        if value.shape != shape:
            raise InputError(field, f"array of shape {list(value.shape)}", f"of shape {list(shape)}")
        if name == "hyperparameters":
            return value
        if value.dtype.kind not in "fiu":
            raise InputError(field, f"array of {value.dtype}", "made of real numbers")
        if not np.all(np.isfinite(value)):
            raise InputError(field, "array with NaN or infinity", "finite")
        return value

    def require_all_read(self) -> None:
        """Raise an InputError if a setting was left unread: a replay must not ignore any."""
        for name, value in self.settings.items():
            raise InputError(f"{self.path.name}: {name}", value, "a setting that this replay knows")


def replay_linear(recording: Recording, precision: str | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Replay a recording of the linear environment; return (replayed, recorded) by series."""
    take = recording.take
    arms = {"rlhf": "myopic", "relaxed": "relaxed", "practical": "practical"}
    objective = take("arm", str, arms)
    schemes = {"forward difference": "forward-difference", "exact": "autodiff"}
    differentiator = take("gradient", str, schemes)
    wishes: dict[str, Any] = {
        "environment": "linear",
        "objective": objective,
        "differentiator": differentiator,
        "follower": "gradient",
    }
    for name in ("dimension", "signal_dimension", "steps", "seed"):
        wishes[name] = take(name, int)
    for name in (
        *("action_cost", "utility_scale", "utility_rate", "ideal_signal", "true_weight_signal"),
        *("rm_lr", "policy_lr"),
    ):
        wishes[name] = take(name, float)
    wishes["weight_decay"] = take("rm_weight_decay", float)
    difference_step, weight = take("difference_step", float), take("weight", float)
    utility_detached, error_detached = take("utility_detached", bool), take("error_detached", bool)
    recorded_precision = take("precision", str, {"f64": "float64", "f32": "float32"})
    wishes["precision"] = precision or recorded_precision
    recording.require_all_read()
    if differentiator == "forward-difference":
        wishes["difference_step"] = difference_step
    if objective == "myopic":
        if weight != 0.0:
            raise InputError(f"{recording.path.name}: weight", weight, "0 for the arm rlhf")
    else:
        wishes["weight"] = weight
    if objective == "relaxed":
        wishes["utility"] = (
            "value" if error_detached else "detached" if utility_detached else "differentiated"
        )
    try:
        settings = resolve(wishes)
    except InputError as error:
        raise InputError(f"{recording.path.name}: {error.field}", error.value, error.allowed) from error
    shape, entries = (settings.values["dimension"],), (settings.steps + 1,)
    initial_weights = recording.array("init_weights", shape)
    recorded = {
        "true_utility": recording.array("expected_utility", entries),
        "signal_norm": recording.array("expected_signal", entries),
        "noise_norm": recording.array("expected_noise", entries),
    }
    metrics = _replay(settings, (np.zeros(shape), initial_weights))
    return {name: (metrics[name], expected) for name, expected in recorded.items()}


def _replay(settings: Settings, initial: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    environment, leader, follower = settings.build()
    with in_precision(settings.precision):
        theta, phi = (jnp.asarray(x, dtype=jnp.result_type(float)) for x in initial)
        key = seed_keys(1, settings.seed)[0]
        _, trace = run(
            environment,
            leader,
            follower,
            key,
            steps=settings.steps,
            record=outcome,
            initial=(theta, phi),
        )
    return {name: np.asarray(values) for name, values in trace.metrics.items()}


REPLAYS: dict[str, Callable[[Recording, str | None], dict[str, tuple[np.ndarray, np.ndarray]]]] = {
    "linear": replay_linear,
}
"""How to replay a recording, by its environment."""


def check(path: Path, precision: str | None = None) -> Deviation:
    """Replay one recording, in the precision it names or in another, and measure every series' deviation.

    Raises:
        InputError: when the file cannot be read, or a setting or an array is missing or misshapen.
    """
    recording = Recording(path)
    replay = REPLAYS[require_known("environment", recording.take("environment", str), REPLAYS)]
    pairs = replay(recording, precision)
    # a replay that is not finite deviates without bound: NaN must not pass for a small number
    errors = {
        name: np.nan_to_num(np.abs(ours - recorded), nan=np.inf) for name, (ours, recorded) in pairs.items()
    }
    off = np.max([error for error in errors.values()], axis=0) >= DEPARTURE
    return Deviation(
        path,
        {name: float(error.max()) for name, error in errors.items()},
        int(np.argmax(off)) if off.any() else None,
    )
