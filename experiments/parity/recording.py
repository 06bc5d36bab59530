"""Recordings of the published experiments: npz files that name every setting of their run.

A recording holds `hyperparameters` (a JSON object), the initial reward-model parameters, the noise if the run
drew any, and the results.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import NotJson, parsed
from fpo_jax.experiments.core.npz_files import Damaged, read_npz


class Recording:
    """A recording whose settings are taken one by one, so that none can be overlooked.

    Raises:
        InputError: when the file is unreadable, or its `hyperparameters` are not a JSON object.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.arrays = read_npz(path)
        except Damaged as error:
            raise InputError("recording", path, f"a readable npz file ({error})") from error
        described = str(self.array("hyperparameters", ()))
        try:
            self.settings = parsed(described)
        except NotJson as error:
            raise InputError(f"{path.name}: hyperparameters", "unreadable", "a JSON object") from error
        if not isinstance(self.settings, dict):
            raise InputError(f"{path.name}: hyperparameters", self.settings, "a JSON object")
        self.environment = self.take("environment", str)

    def take(self, name: str, kind: type, options: Mapping[Any, Any] | None = None) -> Any:
        """Remove a setting and return its value.

        Args:
            name: of the setting.
            kind: its type; an integer counts as a float.
            options: the allowed values, each with the value to return in its place.

        Raises:
            InputError: when the setting is missing, has another type, or is not among the options.
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
        """Return an array after checking that it has this shape and holds finite real numbers.

        Raises:
            InputError: when it is missing, or has another shape, another type or a number that is not finite.
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
        """Raise an InputError if a setting was not taken, because a replay must not ignore any."""
        for name, value in self.settings.items():
            raise InputError(f"{self.path.name}: {name}", value, "a setting that this replay knows")
