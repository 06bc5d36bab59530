"""Options of commands about one run: its parts, and every setting that these have.

Arguments are read twice: first for the parts alone, then for everything, with the options that these have.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import tyro

from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError, suggestion
from fpo_jax.experiments.cli.catalogue import catalogue
from fpo_jax.experiments.cli.options import PROGRAM, Option, parse
from fpo_jax.experiments.core import env_files
from fpo_jax.experiments.core.declared import standing_in
from fpo_jax.experiments.core.devices import use_device
from fpo_jax.experiments.core.settings import General, Names, Settings, hyperparameters, load, resolve
from fpo_jax.hyperparameters import allowed_values

HELP = ("-h", "--help")
Field = tuple[str, Any, Any]
"""A field of a dataclass of options: name, type, default."""


def parse_settings(
    arguments: Sequence[str], command: str, description: str | None, extra: Sequence[Option]
) -> tuple[Settings, dict[str, Any]]:
    """Return the settings of a run, and the values of the options that one command has besides.

    Raises:
        InputError: names what is unknown, out of range, or belongs to something else.
    """
    wanted = _read_parts(arguments, command, extra)
    with standing_in(wanted.config):
        chosen = resolve(_applicable(wanted.earlier, wanted.parts) | wanted.parts)
    own = [option._replace(default=wanted.besides.get(option.name, option.default)) for option in extra]
    fields = _setting_fields([chosen], with_record=command == "run")
    values, besides = _read_all(arguments, command, description, own, fields, [chosen])
    return resolve(values), besides


def parse_methods(
    arguments: Sequence[str],
    command: str,
    description: str | None,
    extra: Sequence[Option],
    left_open: Mapping[str, str],
    usual: Callable[[Settings], Mapping[str, Any]],
) -> tuple[list[Settings], dict[str, Any]]:
    """Return the settings of each objective of a list, `myopic,exact`, and the rest as `parse_settings`.

    An objective is without the settings that only another one has. Where the recipe has a value for each, it
    stands unless another one is said. `left_open` are settings that this command chooses otherwise than the
    recipe, with what their help says of it; `usual` returns them, by the first of the methods.

    Raises:
        InputError: as `parse_settings`, and for an objective that is named twice.
    """
    wanted = _read_parts(arguments, command, extra)
    objectives = _objectives(wanted.parts.get("objective", wanted.earlier.get("objective", "myopic")))
    with standing_in(wanted.config):
        each = [wanted.parts | {"objective": one} for one in objectives]
        chosen = [resolve(_applicable(wanted.earlier, parts) | parts) for parts in each]
    own = [option._replace(default=wanted.besides.get(option.name, option.default)) for option in extra]
    left_open = {name: said for name, said in left_open.items() if name not in wanted.earlier}
    fields = _setting_fields(chosen, with_record=False, left_open=left_open)
    values, besides = _read_all(arguments, command, description, own, fields, chosen)
    said = {name: value for name, value in values.items() if value is not None}
    asked = [
        {name: value for name, value in said.items() if name in one.as_dict()}
        | {"objective": one.names.objective}
        for one in chosen
    ]
    others = {n: v for n, v in usual(resolve(asked[0])).items() if n in left_open}
    return [resolve(others | one) for one in asked], besides


def _objectives(named: Any) -> list[str]:
    words = named.split(",") if isinstance(named, str) else named
    if isinstance(words, list | tuple):
        objectives = [str(word).strip() for word in words]
        if objectives and all(objectives) and len({*objectives}) == len(objectives):
            return objectives
    raise InputError("objective", named, "names, separated by commas, each once")


def _read_all(
    arguments: Sequence[str],
    command: str,
    description: str | None,
    own: Sequence[Option],
    settings: Sequence[Field],
    chosen: Sequence[Settings],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the options for settings, and of those that the command has besides."""
    fields = [*settings, *(option.field() for option in own)]
    names = [name for name, *_ in fields]
    for one in chosen:
        _require_single(names, one)
    methods = ", ".join(one.names.objective for one in chosen)
    _require_options(arguments, names, f"{chosen[0].names.environment} and {methods}")
    kind = dataclasses.make_dataclass("Options", fields)
    values = vars(parse(kind, arguments, command, description=description))
    del values["config"], values["env"]
    besides = {option.name: values.pop(option.name) for option in own}
    use_device(besides["device"])
    return values, besides


@dataclasses.dataclass
class _Parts:
    """Options that decide which others there are."""

    objective: str | None = None
    follower: str | None = None
    differentiator: str | None = None
    feedback: str | None = None
    member: str | None = None
    env: str | None = None
    config: Path | None = None


class _Wanted(NamedTuple):
    """What the first reading finds.

    Attributes:
        parts: names of the parts, where the user says them.
        config: the file to start from, if any.
        earlier: the settings in it.
        besides: the options in it that one command has besides.
    """

    parts: dict[str, str]
    config: Path | None
    earlier: dict[str, Any]
    besides: dict[str, Any]


def _read_parts(arguments: Sequence[str], command: str, extra: Sequence[Option]) -> _Wanted:
    """Read the parts, run a user's file, and read a file of settings."""
    without_help = [argument for argument in arguments if argument not in HELP]
    which, _ = parse(_Parts, without_help, command, return_unknown_args=True)
    own_name = env_files.load_environment(which.env) if which.env else None
    earlier = load(which.config, command, "run", "decompose") if which.config else {}
    earlier = env_files.without_origin(earlier)
    options = {name: earlier.pop(name, {}) for name in ("decompose", "equilibria")}
    for name, besides in options.items():
        if not isinstance(besides, dict):
            raise InputError(name, besides, f"an object of options; it stands in {which.config}")
    besides = options.get(command, {})
    besides = {name: tuple(value) if isinstance(value, list) else value for name, value in besides.items()}
    named = {k: v for k, v in vars(which).items() if k not in ("config", "env") and v is not None}
    environment = _environment(arguments, extra)
    if environment is not None:
        env_files.require_same(environment, own_name)
    elif own_name:
        environment = own_name
    elif len(without_help) < len(arguments):  # help for no environment in particular
        environment = next(iter(ENVIRONMENTS))
    named |= {} if environment is None else {"environment": environment}
    return _Wanted(named, which.config, earlier, besides)


def _environment(arguments: Sequence[str], extra: Sequence[Option]) -> str | None:
    """Return the environment among arguments: a known name that is no option's value, or the first word."""
    valued = ("--config", "--env", *(f"--{option.name}" for option in extra if option.kind is not bool))
    words = [a for before, a in zip(["", *arguments], arguments, strict=False) if before not in valued]
    known = [word for word in words if word in ENVIRONMENTS]
    first = [argument for argument in arguments[:1] if not argument.startswith("-")]
    return next(iter([*known, *first]), None)


def _setting_fields(
    chosen: Sequence[Settings], with_record: bool, left_open: Mapping[str, str] = MappingProxyType({})
) -> list[Field]:
    """Return an option for each setting of these methods; a comparison records what it compares.

    One that differs between them, or is left open, is None where nothing is said.
    """
    fields = Names.known() | General.known()
    environment = fields.pop("environment")
    defaults: dict[str, Any] = {}
    for one in chosen:
        fields |= {name: field for name, (field, _) in hyperparameters(one.names).items()}
        for name, value in one.as_dict().items():
            agreed = defaults.setdefault(name, value) == value and name not in left_open
            defaults[name] = value if agreed else None
    defaults["objective"] = ",".join(one.names.objective for one in chosen)
    fields = {name: field for name, field in fields.items() if name in defaults}
    helps = {name: f"{field.metadata['help']}; {allowed_values(field)}" for name, field in fields.items()}
    for name in (name for name in helps if defaults[name] is None and len(chosen) + len(left_open) > 1):
        helps[name] += f"; {left_open.get(name, 'as the recipe has it for each objective')} when not given"
    kinds = {name: _kind(fields[name], default) for name, default in defaults.items() if name in fields}
    if not with_record:
        del helps["record"]
    kind = Annotated[str, tyro.conf.Positional, tyro.conf.arg(help=allowed_values(environment))]
    return [
        ("environment", kind, dataclasses.field(default=chosen[0].names.environment)),
        Option("env", str | None, env_files.HELP, None).field(),
        *(Option(name, kinds[name], help, defaults[name]).field() for name, help in helps.items()),
        Option("config", Path | None, "config.json of an earlier run, to start from", None).field(),
    ]


def _kind(field: dataclasses.Field, default: Any) -> Any:
    """Return the type of an option: that of its default, or of its setting where that is left out."""
    return type(default) if default is not None else field.metadata["kind"] | None


def _applicable(earlier: dict[str, Any], wishes: dict[str, Any]) -> dict[str, Any]:
    """Drop from earlier settings what a new choice of parts has no use for."""
    if not earlier or all(earlier.get(k) == wishes.get(k, earlier.get(k)) for k in Names.known()):
        return earlier
    if wishes.get("follower", earlier.get("follower")) != earlier.get("follower"):
        earlier = {key: value for key, value in earlier.items() if key != "member"}  # that of an ensemble
    both = earlier | wishes
    names = Names.of({name: both.get(name) for name in Names.known()})
    known = {*Names.known(), *General.known(), *hyperparameters(names)}
    return {key: value for key, value in earlier.items() if key in known}


def _require_single(names: Sequence[str], chosen: Settings) -> None:
    """Check that no hyperparameter has the name of another option."""
    for name in hyperparameters(chosen.names):
        if names.count(name) > 1:
            raise InputError("hyperparameter", name, f"another name: --{name} is an option of every run")


def _require_options(arguments: Sequence[str], known: Sequence[str], run: str) -> None:
    """Check that every option is one of this run's, and say what an option of another run belongs to."""
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
