"""`fpo-jax list`: what there is to put together."""

import json
from collections.abc import Sequence

from fpo_jax.experiments.cli.catalogue import catalogue, catalogue_at_once
from fpo_jax.experiments.cli.options import options, parse


@options
class ListOptions:
    """Options of this command."""

    env: str | None = None
    """FILE.py or FILE.py:CLASS with an environment of your own, to be listed besides."""
    json: bool = False
    """One JSON object instead of a table."""


def list_command(arguments: Sequence[str]) -> int:
    """List environments, objectives, followers, feedback and differentiators, with their hyperparameters."""
    given = parse(ListOptions, arguments, "list", description=list_command.__doc__)
    if given.env is not None:
        from fpo_jax.experiments.core.env_files import load_environment

        load_environment(given.env)
    groups = catalogue() if given.env else catalogue_at_once()
    if given.json:
        print(json.dumps(groups))
        return 0
    from fpo_jax.experiments.core.wording import folded

    for group, entries in groups.items():
        print(group)
        for name, entry in entries.items():
            print(folded(f"  {name:20s} {entry['about']}", 4))
            for parameter, described in entry["hyperparameters"].items():
                meaning = f"{described['help']}; {described['allowed']}"
                print(folded(f"      {parameter} = {described['default']}: {meaning}", 10))
        print()
    return 0
