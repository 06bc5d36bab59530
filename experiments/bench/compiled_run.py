"""A run that is compiled once and timed: its compilation, stage by stage, and each later call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax

from fpo_jax.engine.initial import seed_keys
from fpo_jax.engine.memory import Prepared, program_bytes
from fpo_jax.engine.runs import run_by
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.core.timing import Times, timed
from fpo_jax.internals import forget_compiled, setting
from fpo_jax.record import outcome


class _Timed(NamedTuple):
    """A lowered program whose compilation is timed."""

    compile: Callable[[], Any]


class CompiledRun:
    """A compiled run of this many seeds, timed stage by stage; calling it runs its iterations.

    The constructor does what a run does once, such as drawing its instance.
    """

    def __init__(self, settings: Settings, width: int, steps: int):
        self._precision = settings.precision
        self.stages = dict.fromkeys(("trace", "lower", "compile"), Times(0.0, 0.0))
        with in_precision(settings.precision):
            players, keys = settings.build(), seed_keys(width)
            how = {"devices": jax.local_devices(), "steps": steps, "record": outcome}
            run_by(self._called, *players, keys, **how, prepare=self._prepared)
        self.bytes = program_bytes(self._iterations) * min(width, jax.local_device_count())

    def _prepared(self, program: Any, *arguments: Any, **static: Any) -> Prepared:
        """Trace and lower a program, and compile it when its memory is requested."""
        traced = self._timed("trace", partial(program.jitted.trace, *arguments, **static))
        lowered = self._timed("lower", traced.lower)
        return Prepared(lowered.out_info, _Timed(partial(self._timed, "compile", lowered.compile)))

    def _called(self, program: Any, *arguments: Any, **static: Any) -> Any:
        """Compile a program and run it; the last one is that of the iterations.

        A prepared program is not traced, lowered or compiled again.
        """
        self._iterations = self._prepared(program, *arguments, **static).lowered.compile()
        self._arguments = arguments
        return self._iterations(*arguments)

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        result, times = timed(work)
        self.stages[stage] = Times(*(a + b for a, b in zip(self.stages[stage], times, strict=True)))
        return result

    def __call__(self) -> Any:
        """Run the iterations."""
        with in_precision(self._precision):
            return self._iterations(*self._arguments)


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Keep JAX from reading or writing its cache of compiled programs within this context."""
    before = setting("jax_enable_compilation_cache")
    jax.config.update("jax_enable_compilation_cache", False)
    forget_compiled()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        forget_compiled()
