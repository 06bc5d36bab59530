"""The time to a first result in a fresh process: the whole command, and its compilation."""

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
    """Wall seconds of a whole process and of its stages (`fpo_jax.internals.STAGES`)."""

    whole: Times
    stages: dict[str, float]

    @property
    def compiling(self) -> float:
        """Return the seconds of all stages."""
        return sum(self.stages.values())


def cold_starts(environment: str, objective: str) -> dict[str, ColdStart]:
    """Measure the first result of one seed and one iteration in three processes one after the other.

    They use the user's cache in a separate folder, by Linux's name for it.

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
    called = [sys.executable, "-m", "fpo_jax.experiments.cli.stages", *command]
    done = subprocess.run(called, env=os.environ | variables, check=True, capture_output=True)
    after = used()
    return ColdStart(
        Times(after.wall - before.wall, after.cpu - before.cpu), json.loads(done.stdout.splitlines()[-1])
    )
