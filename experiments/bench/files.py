"""The folder of a benchmark: all numbers, a table of them, and the figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpo_jax import plotting
from fpo_jax.experiments.bench.figures import draw
from fpo_jax.experiments.bench.result import Benchmark, as_json
from fpo_jax.experiments.core.files import write_json, write_table
from fpo_jax.experiments.core.result_folder import replacing


def write(out: Path, bench: Benchmark) -> None:
    """Write a folder: `bench.json`, `table.csv`, the figure.

    Raises:
        InputError: when it cannot be written.
    """
    content = as_json(bench)
    rows = [_spread(row) for row in content["rows"]]
    with replacing(out) as folder:
        write_json(folder / "bench.json", content)
        write_table(folder / "table.csv", rows)
        plotting.save(draw(bench.rows), folder, "seconds_per_seed")


def _spread(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested row as a flat row of numbers, with names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _spread(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
