"""Options of commands: parsed by tyro, with error messages of one line.

Modules of this folder import JAX, and whatever imports it, only inside functions, so that help comes at once.
"""

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, dataclass_transform

import tyro

PROGRAM = "fpo-jax"

Device = Literal["cpu", "gpu", "tpu"]


class Option(NamedTuple):
    """An option of a command whose options are assembled at run time; others have a class of options."""

    name: str
    kind: Any
    help: str
    default: Any

    def field(self) -> tuple[str, Any, Any]:
        """Return it as a field of a dataclass: name, type, default."""
        kind: Any = self.kind
        kind = Annotated[kind, tyro.conf.arg(help=self.help), DEFAULT_SHOWN]
        return self.name, kind, dataclasses.field(default=self.default)


OUT = Option(
    "out",
    Path | None,
    "folder for settings, numbers, summary and figures; nothing is written when not given",
    None,
)
CONFIG = Option(
    "config",
    Path | None,
    "config.json of an earlier run to start from; other options take precedence",
    None,
)
JSON = Option("json", bool, "print one JSON object on standard output at the end", False)
DEVICE = Option("device", Device | None, "device to compute on; JAX's default when not given", None)
OUTPUT = [OUT, JSON, DEVICE]
"""Options of a command that are not settings of a run."""
OUTPUT_TITLE = "output and devices"
"""The title of the last panel of a help."""


def _default(label: str) -> str:
    """Return the default of an option for its help, unless the help text itself explains it."""
    label = label.lower() if label in ("True", "False") else label
    return "" if label in ("None", "", "''") else f"(default: {label})"


DEFAULT_SHOWN = tyro.conf.arg(help_behavior_hint=_default)


@dataclass_transform()
def options(cls: type) -> type:
    """Make a dataclass of a command's options."""
    cls.__annotations__ = {name: Annotated[kind, DEFAULT_SHOWN] for name, kind in cls.__annotations__.items()}
    return dataclasses.dataclass(cls)


Panels = Mapping[str, Sequence[Option] | type]
"""Options by the title of their panel in the help: a list of them, or a class made by `options`."""


def in_panels(options: Sequence[Option], names: Mapping[str, Sequence[str]]) -> Panels:
    """Return options in panels: `names` by title, in the order of the help; all others come last."""
    known = {option.name: option for option in options}
    panels = {title: [known.pop(name) for name in its] for title, its in names.items()}
    return panels | {OUTPUT_TITLE: [*known.values()]}


def class_of(options: Sequence[Option] | Panels) -> type:
    """Return a class with these options as its fields, or with a field for each panel of them."""
    if isinstance(options, Mapping):
        fields = [_panel(title, its, f"panel_{i}") for i, (title, its) in enumerate(options.items())]
    else:
        fields = [option.field() for option in options]
    return dataclasses.make_dataclass("Options", fields)


def _panel(title: str, its: Sequence[Option] | type, name: str) -> tuple[str, Any, Any]:
    """Return options as one field of a dataclass, which help shows as a panel."""
    kind = its if isinstance(its, type) else class_of(its)
    shown = tyro.conf.arg(name=title, help="")  # without a help tyro searches the sources for one
    return name, Annotated[kind, shown], dataclasses.field(default_factory=kind)


def setting_options(settings: Any, kinds: Mapping[str, Any] = MappingProxyType({})) -> list[Option]:
    """Return an option for each setting that a class declares; its default is None, or empty for a list.

    Args:
        settings: the class.
        kinds: types of options that differ from the declared types of their settings.
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
            helps[-1] += f" (default: {_shown(usual)})"
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
    """Return the settings of a class that the user gave."""
    values = {name: (getattr(given, name), field.default) for name, field in settings.known().items()}
    return {n: value for n, (value, usual) in values.items() if value is not None and (value or usual != ())}


def parse(kind: Any, arguments: Sequence[str], command: str, **options: Any) -> Any:
    """Parse arguments with tyro, and turn its boxed error messages into one line.

    `kind` is a class of options, a list of them, or panels of them.
    """
    given = _parsed(kind if isinstance(kind, type) else class_of(kind), arguments, command, **options)
    if isinstance(kind, Mapping):
        return SimpleNamespace(
            **{name: one for its in vars(given).values() for name, one in vars(its).items()}
        )
    return given


def _parsed(kind: type, arguments: Sequence[str], command: str, **options: Any) -> Any:
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
        said = " ".join(" ".join(message).split())
        raise SystemExit(complain(f"{_readable(said)}; as in `{PROGRAM} {command} --help`")) from None


KINDS = {"INT": "an integer", "FLOAT": "a number", "PATH": "a path"}
"""Words for the kinds of values in help."""


def _readable(complaint: str) -> str:
    """Return what tyro says of a value that it cannot use, in our own form; all else as it is."""
    unread = (
        r"Error parsing --([\w-]+): .*?'([^']*)'.*"
        r"Argument helptext: --[\w-]+(?:, --[\w-]+)* (\[.*?\]+|\S+) (.*)"
    )
    unlisted = r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)\.?"
    if found := re.fullmatch(unread, complaint):
        name, value, kind, text = found.groups()
        kinds = [word for key, word in KINDS.items() if key in kind]
        return f"{_field(name)} = {value}: must be {kinds[0] if kinds else kind}: {text}"
    if found := re.fullmatch(unlisted, complaint):
        value, name, choices = found.groups()
        known = [word for word in re.findall(r"'([^']*)'", choices) if word != "None"]
        return f"{_field(name)} = {value}: must be one of {', '.join(known)}"
    if found := re.match(r"Missing value for argument '(?:\(')?(--[\w-]+)'", complaint):
        return f"{_field(found[1])}: must be followed by its value"
    return complaint


def _field(option: str) -> str:
    """Return the name of a setting from that of its option, which may be that of its panel with it."""
    return option.rpartition(".")[2].lstrip("-").replace("-", "_")


def complain(message: str) -> int:
    """Write one line to standard error, and return the exit status for invalid input."""
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return 2
