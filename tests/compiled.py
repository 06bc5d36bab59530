"""What XLA compiles while a test runs, as JAX itself reports it."""

from contextlib import contextmanager

import jax.monitoring

from fpo_jax.engine.internals import STAGES


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
