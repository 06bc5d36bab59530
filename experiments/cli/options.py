"""Options of commands: parsed by tyro, with complaints of one line.

Modules of this folder import JAX, and whatever imports it, only within functions: help must come at once.
"""

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, dataclass_transform

import tyro

PROGRAM = "fpo-jax"

Device = Literal["cpu", "gpu", "tpu"]
OUTPUT: list[tuple[str, Any, str, Any]] = [
    ("out", Path | None, "folder for settings, numbers, summary and figures", None),
    ("json", bool, "end with one JSON object on standard output", False),
    ("device", Device | None, "where to compute; where JAX likes best when not given", None),
]
"""Options of a command besides the settings of a run: name, type, help, default."""


def _default(label: str) -> str:
    """Say what stands for an option that is not given, unless its help says in words what happens then."""
    return "" if label in ("None", "") else f"(default: {label})"


SAID = tyro.conf.arg(help_behavior_hint=_default)


@dataclass_transform()
def options(cls: type) -> type:
    """Make a dataclass of a command's options."""
    cls.__annotations__ = {name: Annotated[kind, SAID] for name, kind in cls.__annotations__.items()}
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


def parse_settings(
    arguments: Sequence[str],
    command: str,
    description: str | None,
    extra: Sequence[tuple[str, Any, str, Any]],
) -> tuple[Any, dict[str, Any]]:
    """Parse the settings of a run, and the options of one command besides: name, type, help, default."""
    from fpo_jax.envs import ENVIRONMENTS
    from fpo_jax.errors import InputError
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.core.env_files import HELP as ENV_HELP
    from fpo_jax.experiments.core.env_files import load_environment, require_same, without_origin
    from fpo_jax.experiments.core.settings import PRECISIONS, RECORDS, hyperparameters, load, resolve
    from fpo_jax.feedback import FEEDBACKS
    from fpo_jax.followers import FOLLOWERS
    from fpo_jax.hyperparameters import allowed_values
    from fpo_jax.numerics.differentiators import DIFFERENTIATORS
    from fpo_jax.objectives import OBJECTIVES

    def one_of(names: Iterable[str]) -> str:
        return "one of " + ", ".join(names)

    @dataclasses.dataclass
    class Which:
        objective: str | None = None
        follower: str | None = None
        differentiator: str | None = None
        feedback: str | None = None
        env: str | None = None
        config: Path | None = None

    # First the parts, since they decide which other options there are; then everything, with those options.
    known_so_far = [a for a in arguments if a not in ("-h", "--help")]
    which, _ = parse(Which, known_so_far, command, return_unknown_args=True)
    own_name = load_environment(which.env) if which.env else None
    earlier = without_origin(load(which.config, command, "run", "decompose")) if which.config else {}
    besides = earlier.pop("decompose", {})
    if not isinstance(besides, dict):
        raise InputError("decompose", besides, f"an object of options; it stands in {which.config}")
    besides = {name: tuple(value) if isinstance(value, list) else value for name, value in besides.items()}
    asked = {k: v for k, v in vars(which).items() if k not in ("config", "env") and v is not None}
    valued = ("--config", "--env", *(f"--{name}" for name, kind, *_ in extra if kind is not bool))
    words = [a for before, a in zip(["", *arguments], arguments, strict=False) if before not in valued]
    named = [word for word in words if word in ENVIRONMENTS]
    if named or (arguments and not arguments[0].startswith("-")):
        asked["environment"] = [*named, arguments[0]][0]
        require_same(asked["environment"], own_name)
    elif own_name:
        asked["environment"] = own_name
    elif len(known_so_far) < len(arguments):  # help for no environment in particular
        asked.setdefault("environment", next(iter(ENVIRONMENTS)))
    with _naming(which.config):
        chosen = resolve(_applicable(earlier, asked) | asked)  # the defaults of all other options

    def option(name: str, kind: Any, help: str, default: Any) -> tuple[str, Any, Any]:
        return (name, Annotated[kind, tyro.conf.arg(help=help), SAID], dataclasses.field(default=default))

    def described(name: str, help: str) -> tuple[str, Any, Any]:
        default = chosen.as_dict()[name]
        return option(name, type(default), help, default)

    fields = [
        (
            "environment",
            Annotated[str, tyro.conf.Positional, tyro.conf.arg(help=one_of(ENVIRONMENTS))],
            dataclasses.field(default=chosen.names.environment),
        ),
        option("env", str | None, ENV_HELP, None),
        described("objective", f"what the leader ascends: {one_of(OBJECTIVES)}"),
        described("follower", f"how the reward model is retrained: {one_of(FOLLOWERS)}"),
        described("feedback", f"what it is trained on: {one_of(FEEDBACKS)}"),
        described("differentiator", f"how the leader differentiates: {one_of(DIFFERENTIATORS)}"),
        described("steps", "iterations; an integer >= 1"),
        described("seeds", "number of seeds, run at once; an integer >= 1"),
        described("seed", "first seed; an integer >= 0"),
        described("precision", one_of(PRECISIONS)),
        *(
            [described("record", f"full has the exact steering term, at its cost: {one_of(RECORDS)}")]
            if command == "run"  # a comparison records what it compares
            else []
        ),
        *(
            described(name, f"{field.metadata['help']}; {allowed_values(field)}")
            for name, (field, _) in hyperparameters(chosen.names).items()
        ),
        option("config", Path | None, "config.json of an earlier run, to start from", None),
        *(option(name, kind, help, besides.get(name, default)) for name, kind, help, default in extra),
    ]
    names = [name for name, *_ in fields]
    for name in hyperparameters(chosen.names):
        if names.count(name) > 1:
            raise InputError("hyperparameter", name, f"another name: --{name} is an option of every run")
    _require_options(arguments, names, " and ".join(chosen.names[:2]))
    kind = dataclasses.make_dataclass("Options", fields)
    given = vars(parse(kind, arguments, command, description=description))
    del given["config"], given["env"]
    own = {name: given.pop(name) for name, *_ in extra}
    use_device(own["device"])
    return resolve(given), own


def _applicable(earlier: dict[str, Any], wishes: dict[str, Any]) -> dict[str, Any]:
    """Drop from earlier settings what a new choice of parts has no use for."""
    from fpo_jax.experiments.core.settings import GENERAL, Names, hyperparameters, parts

    if not earlier or all(earlier.get(k) == wishes.get(k, earlier.get(k)) for k in Names._fields):
        return earlier
    both = earlier | wishes
    names = Names(**{k: both[k] for k in Names._fields if both.get(k) is not None})
    parts(names)
    known = {*Names._fields, *GENERAL, *hyperparameters(names)}
    return {key: value for key, value in earlier.items() if key in known}


@contextlib.contextmanager
def _naming(config: Path | None) -> Iterator[None]:
    """Say of settings that cannot be used in which file they stand, and what can be done about it."""
    from fpo_jax.errors import InputError

    try:
        yield
    except InputError as error:
        if config is None:
            raise
        allowed = f"{error.allowed}; it stands in {config}: correct or delete it there"
        raise InputError(error.field, error.value, allowed) from error


def _require_options(arguments: Sequence[str], known: Sequence[str], run: str) -> None:
    """Check that every option is one of this run's, and say what an option of another run belongs to."""
    from fpo_jax.errors import InputError, suggestion
    from fpo_jax.experiments.cli.listing import catalogue

    spelled = {name.replace("_", "-") for name in known}
    for option in (argument[2:].split("=")[0] for argument in arguments if argument.startswith("--")):
        if option in {*spelled, *(f"no-{name}" for name in spelled), "help"}:
            continue
        owners = [
            f"{group} {', '.join(names)}"
            for group, entries in catalogue().items()
            if (names := [n for n, e in entries.items() if option.replace("-", "_") in e["hyperparameters"]])
        ]
        belongs = f"left out: it is an option of {'; '.join(owners)}, and this run is of {run}"
        unknown = f"an option of this run, as in `{PROGRAM} run --help`{suggestion(option, sorted(spelled))}"
        raise InputError("option", f"--{option}", belongs if owners else unknown)
