"""`fpo-jax list`: what there is to put together."""

import json
from collections.abc import Sequence

from fpo_jax.experiments.cli.catalogue import catalogue, catalogue_at_once
from fpo_jax.experiments.cli.options import options, parse

KNOWS = (
    "knows: what the policy's side must know for it, at its defaults. nothing: no more than the reward "
    "model. the follower's inputs: the responses that the reward model is trained on. the follower's labels: "
    "what was said of them, too. U at will: the true utility of any response. the follower's rule and U: how "
    "the reward model is retrained, besides. as its score: as the objective by which it ranks."
)


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
        if group == "objectives":
            print(folded(f"  {KNOWS}", 2))
        for name, entry in entries.items():
            print(folded(f"  {name:20s} {entry['about']}", 4))
            if "knows" in entry:
                print(f"      knows {entry['knows']}")
            for parameter, described in entry["hyperparameters"].items():
                meaning = f"{described['help']}; {described['allowed']}"
                print(folded(f"      {parameter} = {described['default']}: {meaning}", 10))
        print()
    return 0
