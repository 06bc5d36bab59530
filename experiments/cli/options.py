"""Options of commands: parsed by tyro, with complaints of one line.

Modules of this folder import JAX, and whatever imports it, only within functions: help must come at once.
"""

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
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

    def field(self) -> tuple[str, Any, Any]:
        """Return it as a field of a dataclass: name, type, default."""
        kind: Any = self.kind
        kind = Annotated[kind, tyro.conf.arg(help=self.help), DEFAULT_SHOWN]
        return self.name, kind, dataclasses.field(default=self.default)


JSON = Option("json", bool, "end with one JSON object on standard output", False)
DEVICE = Option("device", Device | None, "where to compute; where JAX likes best when not given", None)
OUTPUT = [
    Option("out", Path | None, "folder for settings, numbers, summary and figures", None),
    JSON,
    DEVICE,
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


def class_of(options: Sequence[Option]) -> type:
    """Return a class with these options as its fields."""
    return dataclasses.make_dataclass("Options", [option.field() for option in options])


def setting_options(settings: Any, kinds: Mapping[str, Any] = MappingProxyType({})) -> list[Option]:
    """Return an option for each setting that a class declares, None or empty where nothing is said.

    Args:
        settings: the class.
        kinds: types of options that are typed in another way than their settings are declared.
    """
    from fpo_jax.hyperparameters import REQUIRED, allowed_values, declared

    found = []
    for field in declared(settings):
        kind, words, usual = field.metadata["kind"], tuple(field.metadata["options"]), field.default
        typed: Any = tuple[str, ...] if kind is tuple else kind
        if words and kind is not tuple:
            typed = Literal[words] if kind is str else kind | Literal[words]
        helps = [field.metadata["help"]]
        if kind in (int, float) or (kind is tuple and words):
            helps.append(allowed_values(field))
        if usual is not None and usual is not REQUIRED and usual != ():
            helps.append(f"{_shown(usual)} when not given")
        nothing = () if usual == () else None
        typed = kinds.get(field.name, typed if usual == () else typed | None)
        found.append(Option(field.name, typed, "; ".join(helps), nothing))
    return found


def _shown(usual: Any) -> str:
    if isinstance(usual, bool):
        return str(usual).lower()
    if isinstance(usual, tuple):
        return " ".join(usual)
    return f"{usual:g}" if isinstance(usual, float) else str(usual)


def asked_settings(given: Any, settings: Any) -> dict[str, Any]:
    """Return those settings of a class of which something is said."""
    values = {name: (getattr(given, name), field.default) for name, field in settings.known().items()}
    return {n: value for n, (value, usual) in values.items() if value is not None and (value or usual != ())}


def parse(kind: Any, arguments: Sequence[str], command: str, **options: Any) -> Any:
    """Parse arguments with tyro, and turn its boxed complaints into the one line that we promise.

    `kind` is a class of options, or a list of them.
    """
    if isinstance(kind, list):
        kind = class_of(kind)
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
        message = takewhile(lambda line: not line.startswith("For full helptext"), filter(None, boxed[1:]))
        allowed = f"as in `{PROGRAM} {command} --help`"
        raise SystemExit(complain(f"{' '.join(' '.join(message).split())}; {allowed}")) from None


def complain(message: str) -> int:
    """Write one line to standard error, and return the exit status of input that cannot be used."""
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return 2
