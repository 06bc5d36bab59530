"""Options of commands about one run: its parts, and all of their settings.

Arguments are read twice: first only for the parts, then for all options, which depend on the parts.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import tyro

from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError, suggestion
from fpo_jax.experiments.cli.catalogue import catalogue
from fpo_jax.experiments.cli.options import CONFIG, OUTPUT_TITLE, PROGRAM, Option, parse
from fpo_jax.experiments.core import env_files
from fpo_jax.experiments.core.declared import standing_in
from fpo_jax.experiments.core.devices import use_device
from fpo_jax.experiments.core.settings import (
    General,
    Names,
    Settings,
    hyperparameters,
    load,
    parts,
    resolve,
)
from fpo_jax.hyperparameters import allowed_values, declared

HELP = ("-h", "--help")
Lists = Mapping[str, Sequence[Option]]
"""Options by the title of their panel in the help."""


def parse_settings(
    arguments: Sequence[str], command: str, description: str | None, extra: Lists
) -> tuple[Settings, dict[str, Any]]:
    """Return the settings of a run, and the values of a command's additional options, in panels.

    Raises:
        InputError: names what is unknown, out of range, or an option of other parts.
    """
    wanted = _read_parts(arguments, command, extra)
    with standing_in(wanted.config):
        chosen = resolve(_applicable(wanted.earlier, wanted.parts) | wanted.parts)
    panels = _panels([chosen], _own(extra, wanted), with_record=command == "run")
    values, besides = _read_all(arguments, command, description, panels, [chosen], extra)
    return resolve(values), besides


def parse_methods(
    arguments: Sequence[str],
    command: str,
    description: str | None,
    extra: Lists,
    left_open: Mapping[str, str],
    usual: Callable[[Settings], Mapping[str, Any]],
) -> tuple[list[Settings], dict[str, Any]]:
    """Return the settings of each objective of a list, `myopic,exact`, and the rest as `parse_settings`.

    An objective lacks the settings that only another one has. If the recipe has a value for each objective,
    it applies unless the user gives another. `left_open` are settings that this command chooses instead of
    the recipe, with their help texts; `usual` returns their values, given the first method.

    Raises:
        InputError: as `parse_settings`, and when an objective is named twice.
    """
    wanted = _read_parts(arguments, command, extra)
    objectives = _objectives(wanted.parts.get("objective", wanted.earlier.get("objective", "myopic")))
    with standing_in(wanted.config):
        each = [wanted.parts | {"objective": one} for one in objectives]
        chosen = [resolve(_applicable(wanted.earlier, parts) | parts) for parts in each]
    left_open = {name: said for name, said in left_open.items() if name not in wanted.earlier}
    panels = _panels(chosen, _own(extra, wanted), with_record=False, left_open=left_open)
    values, besides = _read_all(arguments, command, description, panels, chosen, extra)
    said = {name: value for name, value in values.items() if value is not None}
    asked = [
        {name: value for name, value in said.items() if name in one.as_dict()}
        | {"objective": one.names.objective}
        for one in chosen
    ]
    others = {name: value for name, value in usual(resolve(asked[0])).items() if name in left_open}
    return [resolve(others | one) for one in asked], besides


def _objectives(named: Any) -> list[str]:
    words = named.split(",") if isinstance(named, str) else named
    if isinstance(words, list | tuple):
        objectives = [str(word).strip() for word in words]
        if objectives and all(objectives) and len({*objectives}) == len(objectives):
            return objectives
    raise InputError("objective", named, "distinct names, separated by commas")


def _names(panels: Lists) -> list[str]:
    return [option.name for its in panels.values() for option in its]


def _own(extra: Lists, wanted: "_Wanted") -> dict[str, list[Option]]:
    """Return a command's additional options, with defaults from the file of settings."""
    found = wanted.besides
    return {t: [o._replace(default=found.get(o.name, o.default)) for o in its] for t, its in extra.items()}


def _read_all(
    arguments: Sequence[str],
    command: str,
    description: str | None,
    panels: Lists,
    chosen: Sequence[Settings],
    extra: Lists,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the settings, and of the command's additional options."""
    names = _names(panels)
    for one in chosen:
        _require_single(names, one)
    methods = ", ".join(one.names.objective for one in chosen)
    _require_options(arguments, names, f"{chosen[0].names.environment} and {methods}")
    values = vars(parse(panels, arguments, command, description=description))
    del values["config"], values["env"]
    besides = {name: values.pop(name) for name in _names(extra)}
    use_device(besides["device"])
    return values, besides


@dataclasses.dataclass
class _Parts:
    """Options that decide which other options exist."""

    objective: str | None = None
    follower: str | None = None
    differentiator: str | None = None
    feedback: str | None = None
    member: str | None = None
    env: str | None = None
    config: Path | None = None


class _Wanted(NamedTuple):
    """The result of the first reading.

    Attributes:
        parts: names of the parts that the user gives.
        config: the file to start from, if any.
        earlier: the settings in this file.
        besides: a command's additional options in this file.
    """

    parts: dict[str, str]
    config: Path | None
    earlier: dict[str, Any]
    besides: dict[str, Any]


def _read_parts(arguments: Sequence[str], command: str, extra: Lists) -> _Wanted:
    """Read the parts, run the user's environment file, and read a file of settings."""
    without_help = [argument for argument in arguments if argument not in HELP]
    which, _ = parse(_Parts, without_help, command, return_unknown_args=True)
    own_name = env_files.load_environment(which.env) if which.env else None
    earlier = load(which.config, command, "run", "decompose") if which.config else {}
    earlier = env_files.without_origin(earlier)
    of_commands = {name: earlier.pop(name, {}) for name in ("decompose", "equilibria")}
    for name, besides in of_commands.items():
        if not isinstance(besides, dict):
            raise InputError(name, besides, f"an object of options, in {which.config}")
    besides = of_commands.get(command, {})
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


def _environment(arguments: Sequence[str], extra: Lists) -> str | None:
    """Return the environment: a known name that is not the value of an option, or the first word."""
    valued = {option.name for its in extra.values() for option in its if option.kind is not bool}
    valued = {f"--{name}" for name in ("config", "env", *valued)}
    words = [a for before, a in zip(["", *arguments], arguments, strict=False) if before not in valued]
    known = [word for word in words if word in ENVIRONMENTS]
    first = [argument for argument in arguments[:1] if not argument.startswith("-")]
    return next(iter([*known, *first]), None)


def _agreed(chosen: Sequence[Settings], left_open: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of all methods; None for a setting in which they differ, or that is left open."""
    agreed: dict[str, Any] = {}
    for one in chosen:
        for name, value in one.as_dict().items():
            is_same = agreed.setdefault(name, value) == value and name not in left_open
            agreed[name] = value if is_same else None
    return agreed | {"objective": ",".join(one.names.objective for one in chosen)}


def _panels(
    chosen: Sequence[Settings],
    own: Lists,
    with_record: bool,
    left_open: Mapping[str, str] = MappingProxyType({}),
) -> Lists:
    """Return the options of a command in the panels of its help, common ones first.

    Every setting of a run is an option, except that a comparison decides itself what to record. A setting in
    which methods differ, or that is left open, is None if it is not given.
    """
    defaults, names = _agreed(chosen, left_open), Names.known()
    of = parts(chosen[0].names)[1]
    objectives = [parts(one.names)[1].objective for one in chosen]
    fields = names | General.known()
    for one in chosen:
        fields |= {name: field for name, (field, _) in hyperparameters(one.names).items()}

    def helped(name: str) -> str:
        help = f"{fields[name].metadata['help']}; {allowed_values(fields[name])}"
        is_silent = defaults[name] is None and any(one.as_dict().get(name) is not None for one in chosen)
        if is_silent:
            usual = left_open.get(name, "the recipe's value for each objective")
            help += f"; {usual} when not given"
        return help

    def settings(wanted: Iterable[str]) -> list[Option]:
        helps = {name: helped(name) for name in wanted if name in defaults}
        return [
            Option(name, _kind(fields[name], defaults[name]), help, defaults[name])
            for name, help in helps.items()
        ]

    def of_parts(*owners: Any) -> list[Option]:
        return settings(field.name for owner in filter(None, owners) for field in declared(owner))

    recorded = ["record"] if with_record else []
    files = [CONFIG, Option("env", str | None, env_files.HELP, None)]
    environment = Option(
        "environment",
        Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[ENV]")],
        allowed_values(names["environment"]),
        chosen[0].names.environment,
    )
    usual = [name for name in names if name != "environment"]
    return {
        "run": [environment, *settings([*usual, "steps", "seeds", "seed"])],
        **{title: its for title, its in own.items() if title != OUTPUT_TITLE},
        # two words, since an environment of the user's own may be called as another panel
        f"{environment.default} environment": of_parts(of.environment),
        "leader": of_parts(*objectives, of.leader, of.differentiator),
        "reward model": of_parts(of.follower, of.member, of.feedback),
        OUTPUT_TITLE: [*own[OUTPUT_TITLE], *settings(["precision", *recorded]), *files],
    }


def _kind(field: dataclasses.Field, default: Any) -> Any:
    """Return the type of an option: that of its default, or of its setting if it has no default."""
    return type(default) if default is not None else field.metadata["kind"] | None


def _applicable(earlier: dict[str, Any], wishes: dict[str, Any]) -> dict[str, Any]:
    """Drop earlier settings that do not apply to a new choice of parts."""
    if not earlier or all(earlier.get(k) == wishes.get(k, earlier.get(k)) for k in Names.known()):
        return earlier
    if wishes.get("follower", earlier.get("follower")) != earlier.get("follower"):
        earlier = {
            key: value for key, value in earlier.items() if key != "member"
        }  # it belongs to an ensemble
    both = earlier | wishes
    names = Names.of({name: both.get(name) for name in Names.known()})
    known = {*Names.known(), *General.known(), *hyperparameters(names)}
    return {key: value for key, value in earlier.items() if key in known}


def _require_single(names: Sequence[str], chosen: Settings) -> None:
    """Check that no hyperparameter has the name of another option."""
    for name in hyperparameters(chosen.names):
        if names.count(name) > 1:
            raise InputError("hyperparameter", name, f"another name: every run already has --{name}")


def _require_options(arguments: Sequence[str], known: Sequence[str], run: str) -> None:
    """Check that every option belongs to this run; if not, the error names the parts that have it."""
    spelled = {name.replace("_", "-") for name in known}
    for option in (argument[2:].split("=")[0] for argument in arguments if argument.startswith("--")):
        if option in {*spelled, *(f"no-{name}" for name in spelled), "help"}:
            continue
        owners = [
            f"{group} {', '.join(names)}"
            for group, entries in catalogue().items()
            if (names := [n for n, e in entries.items() if option.replace("-", "_") in e["hyperparameters"]])
        ]
        belongs = f"omitted: it is an option of {'; '.join(owners)}, but this run has {run}"
        unknown = f"an option of this run, as in `{PROGRAM} run --help`{suggestion(option, sorted(spelled))}"
        raise InputError("option", f"--{option}", belongs if owners else unknown)
