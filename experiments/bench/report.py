"""What the benchmark of all environments shows: a table to read, rows to compute with, a figure, a folder."""

import csv
import dataclasses
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import psutil
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.bench.cold_start import ColdStart
from fpo_jax.experiments.bench.eager_oracle import WITHOUT
from fpo_jax.experiments.bench.peak_rates import Peak
from fpo_jax.experiments.bench.rows import Row
from fpo_jax.experiments.core.files import provenance, replacing, write_json
from fpo_jax.experiments.core.timing import Times

LIMIT, ORACLE = "--", ":"
"""How they are drawn."""


class Benchmark(NamedTuple):
    """All that was measured in one run on one machine.

    Attributes:
        command, precision, repeats: as asked for.
        peak: rates of the machine.
        rows: one for each environment and objective.
        cold: cold starts, by environment and objective.
    """

    command: str
    precision: str
    repeats: int
    peak: Peak
    rows: Sequence[Row]
    cold: Mapping[tuple[str, str], Mapping[str, ColdStart]]


def as_json(bench: Benchmark) -> dict[str, Any]:
    """Return everything as one JSON object, with what is needed to compare machines."""
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    return {
        **provenance(bench.command, bench.precision),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "devices": jax.local_device_count(),
            "memory_GiB": memory,
        },
        "repeats": bench.repeats,
        "peak_per_second": {
            name: getattr(bench.peak, name)._asdict() for name in ("flops", "transcendentals")
        },
        "rows": [_flat(row) for row in bench.rows],
        "cold_starts": [
            {"environment": environment, "objective": objective}
            | {kind: {**start.whole._asdict(), **start.stages} for kind, start in starts.items()}
            for (environment, objective), starts in bench.cold.items()
        ],
        "without_oracle": [
            {"environment": environment, "objective": objective, "reason": reason}
            for (environment, objective), reason in WITHOUT.items()
        ],
    }


def _flat(row: Row) -> dict[str, Any]:
    """Return a row with seconds by width, and the ratios."""

    def seconds(times: Times | None) -> dict[str, float] | None:
        return None if times is None else times._asdict()

    return {
        "environment": row.environment,
        "objective": row.objective,
        "iterations": row.iterations,
        "timed": row.timed,
        "seconds_per_seed": {str(width): seconds(times) for width, times in row.seconds.items()},
        "over_myopic": {str(width): ratio for width, ratio in row.over_myopic.items()},
        "trace_seconds": seconds(row.trace),
        "lower_seconds": seconds(row.lower),
        "compile_seconds": seconds(row.compile),
        "bytes": row.bytes,
        "oracle_seconds": seconds(row.oracle),
        "over_oracle": row.over_oracle,
        "work": None if row.work is None else dataclasses.asdict(row.work),
        "limit_seconds": seconds(row.limit),
        "times_limit": row.times_limit,
    }


def lines(bench: Benchmark) -> Iterator[str]:
    """Yield the table that people read."""
    machine, cpu = as_json(bench)["machine"], jax.default_backend() == "cpu"
    yield f"every environment by its recipe, {bench.precision}, {jax.default_backend()}"
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['devices']} devices"
    for name, what in (("flops", "GFLOP/s of matrix products"), ("transcendentals", "G/s of exp or log")):
        rate = getattr(bench.peak, name)
        yield f"peak: {rate.wall / 1e9:.3g} {what}" + f", {rate.cpu / 1e9:.3g} in a CPU second" * cpu
    yield f"median of {bench.repeats}, compilation excluded; seconds of a run of one seed, scaled from"
    yield ", ".join(
        {r.environment: f"{r.environment} {r.timed} of {r.iterations}" for r in bench.rows}.values()
    )
    widths = sorted({width for row in bench.rows for width in row.seconds})
    yield f"{', '.join(map(str, widths))} seeds at once: wall seconds a seed; {widths[-1]}: CPU seconds,"
    yield "ratio to myopic, MB, wall seconds to trace, to lower, in XLA, CPU seconds of all three; oracle:"
    yield "wall seconds, and how many times less it is here at the best width; limit: operations at peak,"
    yield f"{'CPU ' if cpu else ''}seconds, and how many times that it is here at the best width"
    titles = [*map(str, widths), "CPU s", "/myopic", "MB", "trace", "lower", "XLA", "CPU s"]
    titles += ["oracle", "less", "limit", "times"]
    yield ""
    yield f"{'environment':12s}{'objective':10s}" + "".join(f"{title:>9s}" for title in titles)
    for row in bench.rows:
        *_, widest = row.seconds.values()
        *_, ratio = [None, *row.over_myopic.values()]
        stages = row.trace, row.lower, row.compile
        cells = [
            *(_cell(row.seconds[w].wall if w in row.seconds else None, "9.1e") for w in widths),
            _cell(widest.cpu, "9.1e"),
            _cell(ratio, "9.2f"),
            _cell(row.bytes / 1e6, "9.1f"),
            *(_cell(stage.wall, "9.1f") for stage in stages),
            _cell(sum(stage.cpu for stage in stages), "9.1f"),
            _cell(row.oracle and row.oracle.wall, "9.1e"),
            _cell(row.over_oracle, "9.0f"),
            _cell(row.limit and (row.limit.cpu if cpu else row.limit.wall), "9.1e"),
            _cell(row.times_limit, "9.1f"),
        ]
        yield f"{row.environment:12s}{row.objective:10s}" + "".join(cells)
    for (environment, objective), reason in WITHOUT.items():
        if any(row.environment == environment and objective in (None, row.objective) for row in bench.rows):
            yield f"no oracle, {environment}{f' {objective}' if objective else ''}: {reason}"
    if bench.cold:
        yield from _cold_lines(bench.cold)


def _cold_lines(cold: Mapping[tuple[str, str], Mapping[str, ColdStart]]) -> Iterator[str]:
    yield ""
    yield "first result of a fresh process: fpo-jax run ENVIRONMENT --objective OBJECTIVE --seeds 1 --steps 1"
    yield "wall and CPU seconds of the process; within it wall seconds of tracing + lowering + XLA, which may"
    yield "read from the cache; nothing kept: without one; first: fills it; again: from it; share of CPU s:"
    yield "again / nothing kept"
    yield (
        f"{'environment':12s}{'objective':10s}"
        + "".join(f"{name:>34s}" for name in next(iter(cold.values())))
        + f"{'share':>7s}"
    )
    for (environment, objective), starts in cold.items():
        cells = (
            f"{s.whole.wall:8.1f}{s.whole.cpu:7.1f}  "
            + " + ".join(f"{seconds:4.1f}" for seconds in s.stages.values()).rjust(17)
            for s in starts.values()
        )
        share = starts["again"].whole.cpu / starts["nothing kept"].whole.cpu
        yield f"{environment:12s}{objective:10s}" + "".join(cells) + f"{share:7.2f}"


def draw(rows: Sequence[Row]) -> Figure:
    """Draw seconds per seed against width, a panel an environment; limits dashed, oracles dotted.

    Both in the colour of their objective.
    """
    names = list(dict.fromkeys(row.environment for row in rows))
    columns = min(len(names), 4)
    figure, axes = plotting.panels(-(-len(names) // columns), columns)
    styles = plotting.styles({row.objective: row.objective for row in rows})
    widths = sorted({width for row in rows for width in row.seconds})
    handles: dict[str, Any] = {}
    for ax, name in zip(axes.flat, names, strict=False):
        mine = [row for row in rows if row.environment == name]
        for row in mine:
            style, seconds = styles[row.objective], [times.wall for times in row.seconds.values()]
            line = {"color": style.color, "linestyle": style.linestyle, "marker": "o", "markersize": 3}
            ax.plot(list(row.seconds), seconds, label=row.objective, **line)
            for times, dashes in ((row.limit, LIMIT), (row.oracle, ORACLE)):
                if times is not None:
                    ax.axhline(times.wall, color=style.color, linestyle=dashes, linewidth=0.8)
        for label, dashes in (("arithmetic limit", LIMIT), ("eager NumPy oracle", ORACLE)):
            ax.plot([], [], color=plotting.IDEAL.color, linestyle=dashes, linewidth=0.8, label=label)
        ax.set_title(f"{name}, {mine[0].iterations} iterations", fontsize=plotting.TITLE_SIZE)
        ax.set_xlabel("seeds at once")
        ax.set_xscale("log", base=2)
        ax.set_xticks(widths, [str(width) for width in widths])
        ax.set_xlim(widths[0] / 1.5, widths[-1] * 1.5)
        ax.set_yscale("log")
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    for ax in axes[:, 0]:
        ax.set_ylabel("wall seconds a seed")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=max(1, 3 * columns // 2), frameon=False
    )
    return figure


def write(out: Path, bench: Benchmark) -> None:
    """Write a folder: `bench.json`, `table.csv`, the figure.

    Raises:
        InputError: when it cannot be written.
    """
    content = as_json(bench)
    rows = [_spread(row) for row in content["rows"]]
    with replacing(out) as folder:
        write_json(folder / "bench.json", content)
        with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
        plotting.save(draw(bench.rows), folder, "seconds_per_seed")


def _spread(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested row as one of single numbers, names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _spread(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _cell(value: float | None, form: str) -> str:
    return f"{'–':>{form.split('.')[0]}s}" if value is None else f"{value:{form}}"


def _processor() -> str:
    """Return the processor's name, where the system tells it."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = [line.split(":")[1].strip() for line in told.splitlines() if line.startswith("model name")]
    return found[0] if found else platform.processor()
