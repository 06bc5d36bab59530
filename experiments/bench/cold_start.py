"""What a first result costs in a fresh process: the whole command, and what of it is compilation.

`python -m fpo_jax.experiments.bench.cold_start run ENV …` runs a command of `fpo-jax`, and ends with what JAX
says of its stages, as JSON on a line of its own.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from fpo_jax.experiments.core.timing import Times


class ColdStart(NamedTuple):
    """Seconds of a whole process, and those of its stages on the wall (`fpo_jax.engine.internals.STAGES`)."""

    whole: Times
    stages: dict[str, float]

    @property
    def compiling(self) -> float:
        """Return the seconds of all stages."""
        return sum(self.stages.values())


def cold_starts(environment: str, objective: str) -> dict[str, ColdStart]:
    """Measure the first result of one seed and one iteration in three processes one after the other.

    The cache is the user's, in a folder of its own, as Linux names it.

    Returns:
        `nothing kept`, with JAX's cache off; `first`, which fills an empty cache; `again`, from that cache.
    """
    command = ["run", environment, "--objective", objective, "--seeds", "1", "--steps", "1", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        kept = {"JAX_ENABLE_COMPILATION_CACHE": "true", "XDG_CACHE_HOME": folder}
        return {
            "nothing kept": _started(command, {"JAX_ENABLE_COMPILATION_CACHE": "false"}),
            "first": _started(command, kept),
            "again": _started(command, kept),
        }


def _started(command: Sequence[str], variables: dict[str, str]) -> ColdStart:
    def used() -> Times:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Times(time.perf_counter(), usage.ru_utime + usage.ru_stime)

    before = used()
    called = [sys.executable, "-m", "fpo_jax.experiments.bench.cold_start", *command]
    done = subprocess.run(called, env=os.environ | variables, check=True, capture_output=True)
    after = used()
    return ColdStart(
        Times(after.wall - before.wall, after.cpu - before.cpu), json.loads(done.stdout.splitlines()[-1])
    )


def main(arguments: Sequence[str]) -> int:
    """Run a command while JAX's own reports are collected, and print the seconds of every stage."""
    import jax.monitoring

    from fpo_jax.engine.internals import STAGES

    spans: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES.values()}

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event in STAGES:
            now = time.time()
            spans[STAGES[event]].append((now - duration_secs, now))

    jax.monitoring.register_event_duration_secs_listener(listen)
    from fpo_jax.experiments.cli.main import main as command

    status = command(arguments)
    print(json.dumps({stage: _covered(listed) for stage, listed in spans.items()}))
    return status


def _covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans, since one function is traced while another is."""
    total, reached = 0.0, 0.0
    for start, stop in sorted(spans):
        total += max(stop - max(start, reached), 0.0)
        reached = max(reached, stop)
    return total


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
