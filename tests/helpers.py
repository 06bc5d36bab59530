"""What several test files share: the command line in process, what XLA compiles, where the repository is."""

from contextlib import contextmanager
from pathlib import Path

import jax.monitoring

from fpo_jax.engine.internals import STAGES
from fpo_jax.experiments.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
FAST = ["--steps", "5", "--seeds", "3", "--dimension", "6"]
"""Options of a linear run that takes no time."""


def call(capsys, *arguments):
    """Run a command; return its exit status, standard output and standard error."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@contextmanager
def compilations():
    """Yield a list, to which the name of every program is added that is compiled within the context."""
    names = []

    def listen(event, seconds, fun_name="a program", **_):
        if STAGES.get(event) == "xla":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
