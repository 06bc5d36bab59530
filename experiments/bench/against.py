"""Benchmark: compare this Python with another one, for instance with another JAX, pair by pair."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fpo_jax.errors import InputError, shortened

TURNS = 2
"""How often each of the two measures an environment; they take turns, so that a disturbance affects both."""
Report = Mapping[str, Any]
"""What `fpo-jax bench --json` prints."""


class Compared(NamedTuple):
    """The cost of one environment with one objective in both Pythons, in CPU seconds for a run of one seed.

    Attributes:
        environment, objective, width: what was measured; width is the number of seeds at once.
        here, there: medians over the turns.
        ratio: there over here, of the medians.
        low, high: the lowest and the highest ratio of a turn.
    """

    environment: str
    objective: str
    width: int
    here: float
    there: float
    ratio: float
    low: float
    high: float


class AgainstArguments(Protocol):
    """The options of `fpo-jax bench` for this benchmark."""

    objectives: tuple[str, ...]
    batches: tuple[int, ...]
    iterations: int | None
    precision: Any
    repeats: int
    json: bool


def bench_against(python: str, environments: Sequence[str], asked: AgainstArguments) -> None:
    """Measure every environment by this Python and by another, in turns, and print the table.

    Raises:
        InputError: when the other Python cannot run the same benchmark.
    """
    _run(python, ["--version"])
    found: list[Compared] = []
    versions: dict[str, str] = {}
    for name in environments:
        turns: list[tuple[Report, Report]] = []
        for turn in range(TURNS):
            sys.stderr.write(f"{name}, turn {turn + 1} of {TURNS} …\n")
            here, there = (_report(one, name, asked) for one in (sys.executable, python))
            turns.append((here, there))
            versions = {"here": _versions(here), "there": _versions(there)}
        found += compared(turns)
    if asked.json:
        print(json.dumps({**versions, "rows": [row._asdict() for row in found]}, allow_nan=False))
    else:
        print("\n".join(lines(found, versions)))


def compared(turns: Sequence[tuple[Report, Report]]) -> list[Compared]:
    """Return the rows of one environment from the reports of each turn, here and there."""
    rows = []
    first, _ = turns[0]
    for number, row in enumerate(first["rows"]):
        for width in row["seconds_per_seed"]:
            pairs = [[_cpu_seconds(report, number, width) for report in turn] for turn in turns]
            here, there = map(statistics.median, zip(*pairs, strict=True))
            ratios = [b / a for a, b in pairs]
            of = row["environment"], row["objective"], int(width)
            rows.append(Compared(*of, here, there, there / here, min(ratios), max(ratios)))
    return rows


def lines(rows: Sequence[Compared], versions: Mapping[str, str]) -> Iterator[str]:
    """Yield the table that people read."""
    yield from (f"{place + ':':7s}{said}" for place, said in versions.items())
    yield f"CPU seconds of a run of one seed, compilation excluded, medians of {TURNS} turns;"
    yield "ratio: there over here, and its range over the turns"
    yield ""
    titles = [*(f"{title:>9s}" for title in ("seeds", "here", "there", "ratio")), f"{'range':>14s}"]
    yield f"{'environment':12s}{'objective':10s}" + "".join(titles)
    for row in rows:
        numbers = f"{row.width:9d}{row.here:9.1e}{row.there:9.1e}{row.ratio:9.2f}"
        yield f"{row.environment:12s}{row.objective:10s}{numbers}{row.low:8.2f} –{row.high:5.2f}"


def _cpu_seconds(report: Report, number: int, width: str) -> float:
    return report["rows"][number]["seconds_per_seed"][width]["cpu"]


def _report(python: str, environment: str, asked: AgainstArguments) -> Report:
    words = ["--only", environment, "--objectives", *asked.objectives, "--batches", *map(str, asked.batches)]
    words += ["--repeats", str(asked.repeats), "--precision", asked.precision, "--cold", "none", "--json"]
    words += [] if asked.iterations is None else ["--iterations", str(asked.iterations)]
    return json.loads(_run(python, ["bench", *words]))


def _run(python: str, words: Sequence[str]) -> str:
    """Return the output of one of our commands in a given Python."""
    try:
        done = subprocess.run(
            [python, "-m", "fpo_jax", *words], capture_output=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise InputError("against", python, f"a Python that can be run ({error.strerror})") from error
    if done.returncode:
        *_, last = ["it says nothing", *filter(None, done.stderr.splitlines())]
        raise InputError("against", python, f"a Python in which fpo-jax runs ({shortened(last)})")
    return done.stdout


def _versions(report: Report) -> str:
    versions = report["versions"]
    return f"Python {versions['python']}, JAX {versions['jax']}, jaxlib {versions['jaxlib']}"
