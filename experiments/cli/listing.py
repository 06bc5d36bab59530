"""`fpo-jax list`: the parts of a run."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from fpo_jax.experiments.cli.catalogue import catalogue, catalogue_at_once
from fpo_jax.experiments.cli.options import PROGRAM, complain, options, parse

KNOWS = (
    "[…]: what the policy's side must know, with default settings. nothing: only the reward model. the "
    "follower's inputs: also the responses that train the reward model. the follower's labels: also their "
    "labels. U at will: the true utility of any response. the follower's rule and U: also how the reward "
    "model is retrained. as its score: the same as the objective that ranks its candidates."
)


@options
class ListOptions:
    """Options of this command."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """a name such as bandit or relaxed, to show its hyperparameters; all names when not given"""
    env: str | None = None
    """FILE.py or FILE.py:CLASS with your own environment, to include it; none when not given"""
    json: bool = False
    """print one JSON object instead of a table"""


def list_command(arguments: Sequence[str]) -> int:
    """List environments, objectives, followers, feedback and differentiators, or describe one of them."""
    given = parse(ListOptions, arguments, "list", description=list_command.__doc__)
    if (given.name or "").startswith("-"):  # which tyro takes for a name
        raise SystemExit(complain(f"Unrecognized options: {given.name}; as in `{PROGRAM} list --help`"))
    if given.env is not None:
        from fpo_jax.experiments.core.env_files import load_environment

        load_environment(given.env)
    groups = catalogue() if given.env else catalogue_at_once()
    if given.name is not None:
        groups = _of_name(groups, given.name)
    if given.json:
        print(json.dumps(groups))
    else:
        print("\n\n".join(_told(*group, whole=given.name is not None) for group in groups.items()))
    return 0


Group = dict[str, dict[str, Any]]
"""Entries by name."""


def _of_name(groups: dict[str, Group], name: str) -> dict[str, Group]:
    """Return the entries of this name; an ensemble is both an objective and a follower."""
    from fpo_jax.errors import require_known

    require_known("name", name, [one for entries in groups.values() for one in entries])
    return {group: {name: entries[name]} for group, entries in groups.items() if name in entries}


def _told(group: str, entries: Group, whole: bool) -> str:
    """Return a group as text: a line for each entry, and its hyperparameters if `whole`."""
    from fpo_jax.experiments.core.wording import folded

    lines = [group]
    if group == "objectives":
        lines.append(folded(f"  {KNOWS}", 2))
    for name, entry in entries.items():
        knows = f" [{entry['knows']}]" if "knows" in entry else ""
        lines.append(folded(f"  {name:17s} {entry['about']}{knows}", 20))
        for parameter, described in entry["hyperparameters"].items() if whole else ():
            meaning = f"{described['help']}; {described['allowed']}"
            lines.append(folded(f"      {parameter} = {described['default']}: {meaning}", 10))
    return "\n".join(lines)
