"""`fpo-jax reproduce`: run the experiments, with figures, tables and a page to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from fpo_jax.experiments.cli import claims
from fpo_jax.experiments.cli.options import Device, options, parse

NAMES = [file.replace("_", "-") for file in claims.FILES]
"""Names of all experiments, which are those of their files; importing them would take long."""


@options
class ReproduceOptions:
    """Options of this command."""

    only: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            help=f"experiments to run, among {', '.join(NAMES)}; when not given, all but those "
            "that take minutes"
        ),
    ] = ()
    out: Path = Path("results")
    """folder to write; it replaces an earlier result there"""
    seeds: int | None = None
    """number of seeds of each method; an integer >= 1; each experiment's own number when not given"""
    quick: bool = False
    """run only a few seeds, to see that everything works"""
    parts: Path | None = None
    """folder that keeps finished parts of long experiments for later runs; OUT.parts when not given"""
    device: Device | None = None
    """device to compute on; JAX's default when not given"""


def reproduce_command(arguments: Sequence[str]) -> int:
    """Run the experiments; write figures, tables, numbers and one page to read."""
    given = parse(ReproduceOptions, arguments, "reproduce", description=reproduce_command.__doc__)
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.reproduce.job import reproduce

    use_device(given.device)
    reproduce(claims.discover(), given.out, given.only, given.seeds, given.quick, given.parts)
    return 0
