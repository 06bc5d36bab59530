"""Options of commands: parsed by tyro, with complaints of one line.

Modules of this folder import JAX, and whatever imports it, only within functions: help must come at once.
"""

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, dataclass_transform

import tyro

PROGRAM = "fpo-jax"

Device = Literal["cpu", "gpu", "tpu"]


class Option(NamedTuple):
    """An option whose command is put together as it runs; else options are fields of a class."""

    name: str
    kind: Any
    help: str
    default: Any


OUTPUT = [
    Option("out", Path | None, "folder for settings, numbers, summary and figures", None),
    Option("json", bool, "end with one JSON object on standard output", False),
    Option("device", Device | None, "where to compute; where JAX likes best when not given", None),
]
"""Options of a command besides the settings of a run."""


def _default(label: str) -> str:
    """Say what stands for an option that is not given, unless its help says in words what happens then."""
    return "" if label in ("None", "") else f"(default: {label})"


DEFAULT_SHOWN = tyro.conf.arg(help_behavior_hint=_default)


@dataclass_transform()
def options(cls: type) -> type:
    """Make a dataclass of a command's options."""
    cls.__annotations__ = {name: Annotated[kind, DEFAULT_SHOWN] for name, kind in cls.__annotations__.items()}
    return dataclasses.dataclass(cls)


def parse(kind: Any, arguments: Sequence[str], command: str, **options: Any) -> Any:
    """Parse arguments with tyro, and turn its boxed complaints into the one line that we promise."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=f"{PROGRAM} {command}",
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
                **options,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        boxed = [re.sub(r"[│╭╮╰╯─]|-{9,}", "", line).strip() for line in complaint.getvalue().splitlines()]
        said = takewhile(lambda line: not line.startswith("For full helptext"), filter(None, boxed[1:]))
        allowed = f"as in `{PROGRAM} {command} --help`"
        raise SystemExit(complain(f"{' '.join(' '.join(said).split())}; {allowed}")) from None


def complain(message: str) -> int:
    """Write one line to standard error, and return the exit status of input that cannot be used."""
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return 2
