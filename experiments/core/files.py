"""Common files of results: strict JSON, tables, and the origin of the numbers."""

import csv
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

import fpo_jax


def write_json(path: Path, content: Any) -> None:
    """Write one JSON document; undefined numbers are an error, not written as NaN."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; the columns are all names in the rows, in order of first appearance."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def provenance(command: str, precision: str, more: Sequence[str] = ()) -> dict[str, Any]:
    """Return the information to judge a number: command, versions, device, precision."""
    packages = ("jax", "jaxlib", "lineax", "optax", "flax", "numpy", "scipy", *more)
    return {
        "command": command,
        "versions": {
            "fpo-jax": fpo_jax.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
            "python": platform.python_version(),
        },
        "device": str(jax.devices()[0].device_kind),
        "platform": jax.default_backend(),
        "precision": precision,
    }
