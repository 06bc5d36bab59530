"""`fpo-jax completion`: shell completion of commands, environments, options and choices."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

import tyro

from fpo_jax.experiments.cli.bench import PANELS as PANELS_OF_BENCH
from fpo_jax.experiments.cli.catalogue import catalogue_at_once
from fpo_jax.experiments.cli.decompose import MORE
from fpo_jax.experiments.cli.equilibria import MORE as MORE_OF_EQUILIBRIA
from fpo_jax.experiments.cli.evaluate import evaluate_options
from fpo_jax.experiments.cli.fetch import FetchOptions
from fpo_jax.experiments.cli.judge import judge_options
from fpo_jax.experiments.cli.listing import ListOptions
from fpo_jax.experiments.cli.llm import answer_options, llm_options
from fpo_jax.experiments.cli.new_env import NewEnvOptions
from fpo_jax.experiments.cli.options import OUTPUT, PROGRAM, Option, class_of, options, parse, setting_options
from fpo_jax.experiments.cli.parity import ParityOptions
from fpo_jax.experiments.cli.reproduce import ReproduceOptions
from fpo_jax.experiments.cli.run import OWN as OWN_OF_RUN
from fpo_jax.experiments.cli.sweep import PANELS as PANELS_OF_SWEEP
from fpo_jax.experiments.cli.without_jax import without_jax

Shell = Literal["bash", "zsh"]


@options
class CompletionOptions:
    """Options of this command."""

    shell: Annotated[Shell, tyro.conf.Positional]
    """the shell to print the completion for"""


def completion_command(arguments: Sequence[str]) -> int:
    """Print a completion script for your shell; use it with `source <(fpo-jax completion bash)`."""
    given = parse(CompletionOptions, arguments, "completion", description=completion_command.__doc__)
    known = catalogue_at_once()
    kinds = {
        "list": ListOptions,
        "run": _of_environments(known, OWN_OF_RUN),
        "sweep": class_of(PANELS_OF_SWEEP),
        "decompose": _of_environments(known, [*MORE, *OUTPUT]),
        "equilibria": _of_environments(known, [*MORE_OF_EQUILIBRIA, *OUTPUT]),
        "parity": ParityOptions,
        "reproduce": ReproduceOptions,
        "judge": class_of(judge_options()),
        "bench": class_of(PANELS_OF_BENCH),
        "llm": class_of(llm_options()),
        "answer": class_of(answer_options()),
        "evaluate": class_of(evaluate_options()),
        "fetch": FetchOptions,
        "new-env": NewEnvOptions,
        "completion": _chosen(dict.fromkeys(get_args(Shell), dataclasses.make_dataclass("None", []))),
    }
    printing = ["--tyro-print-completion", given.shell]
    tyro.cli(_one_of(kinds), prog=PROGRAM, args=printing, config=(tyro.conf.OmitArgPrefixes,))
    raise AssertionError("tyro leaves when it has printed a completion")


def _one_of(kinds: Mapping[str, Any]) -> Any:
    """Return the type of a choice between subcommands, as tyro reads it."""
    choices = (Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)] for name, kind in kinds.items())
    return Union[tuple(choices)]  # noqa: UP007


def _chosen(kinds: Mapping[str, Any]) -> type:
    """Return the type of a command whose first word is such a choice."""
    return dataclasses.make_dataclass("Chosen", [("word", _one_of(kinds))])


def _of_environments(known: Mapping[str, Any], extra: Sequence[Option]) -> type:
    """Return a choice of environment, each with its options and those of all parts that it can use."""

    with without_jax():
        from fpo_jax.experiments.core.settings import General

        general = setting_options(General)

    def options(environment: str) -> Iterator[tuple[str, Any, Any]]:
        for group, singular in _CHOSEN.items():
            yield singular, Literal[tuple(known[group])], next(iter(known[group]))
        yield "member", Literal[tuple(known["followers"])], next(iter(known["followers"]))
        yield "env", Path | None, None
        yield "config", Path | None, None
        for option in [*general, *extra]:
            yield option.name, option.kind | None, None
        parts = [known["environments"][environment], *(e for g in _CHOSEN for e in known[g].values())]
        for part in parts:
            yield from ((name, str | None, None) for name in part["hyperparameters"])

    kinds = {
        name: dataclasses.make_dataclass(name, {o[0]: o for o in options(name)}.values())
        for name in known["environments"]
    }
    return _chosen(kinds)


_CHOSEN = {
    "objectives": "objective",
    "followers": "follower",
    "feedback": "feedback",
    "differentiators": "differentiator",
}
