"""Run a command and time its compilation stage by stage.

`python -m fpo_jax.experiments.cli.stages run ENV …` runs a command of `fpo-jax`, and then prints the seconds
of each stage that JAX reports, as JSON on a separate line. Benchmarks start it in separate processes.
"""

import json
import sys
import time
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run a command, collect JAX's reports, and print the seconds of every stage."""
    import jax.monitoring

    from fpo_jax.internals import STAGES

    spans: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES.values()}

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event in STAGES:
            now = time.time()
            spans[STAGES[event]].append((now - duration_secs, now))

    jax.monitoring.register_event_duration_secs_listener(listen)
    from fpo_jax.experiments.cli.main import main as command

    status = command(arguments)
    print(json.dumps({stage: covered(listed) for stage, listed in spans.items()}))
    return status


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans, since traces of functions are nested."""
    total, end = 0.0, 0.0
    for start, stop in sorted(spans):
        total += max(stop - max(start, end), 0.0)
        end = max(end, stop)
    return total


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
