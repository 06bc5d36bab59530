"""The readable table of a benchmark of all environments."""

from collections.abc import Iterator, Mapping

import jax

from fpo_jax.experiments.bench.cold_start import ColdStart
from fpo_jax.experiments.bench.eager_oracle import WITHOUT
from fpo_jax.experiments.bench.result import Benchmark, as_json


def lines(bench: Benchmark) -> Iterator[str]:
    """Yield the lines of the readable table."""
    told, cpu = as_json(bench), jax.default_backend() == "cpu"
    machine, versions = told["machine"], told["versions"]
    yield f"every environment by its recipe, {bench.precision}, {jax.default_backend()}"
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['devices']} devices"
    yield f"Python {versions['python']}, JAX {versions['jax']}, jaxlib {versions['jaxlib']}"
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


def _cell(value: float | None, form: str) -> str:
    return f"{'–':>{form.split('.')[0]}s}" if value is None else f"{value:{form}}"
