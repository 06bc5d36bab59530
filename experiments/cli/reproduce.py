"""`fpo-jax reproduce`: the experiments, with figures, tables and a page to read."""

from collections.abc import Sequence
from pathlib import Path

from fpo_jax.experiments.cli.options import Device, options, parse


@options
class ReproduceOptions:
    """Options of this command."""

    only: tuple[str, ...] = ()
    """Experiments to run; all but the long ones when empty."""
    out: Path = Path("results")
    """Folder to write; an earlier result there is replaced."""
    seeds: int | None = None
    """Seeds of each method, >= 1; the experiment's own number when not given."""
    quick: bool = False
    """A few seeds only, to see that all works."""
    parts: Path | None = None
    """Folder of the parts of a long experiment, which is not computed again; OUT.parts when not given."""
    device: Device | None = None
    """Where to compute; where JAX likes best when not given."""


def reproduce_command(arguments: Sequence[str]) -> int:
    """Run the experiments and write figures, tables, numbers and one page to read."""
    given = parse(ReproduceOptions, arguments, "reproduce", description=reproduce_command.__doc__)
    from fpo_jax.experiments.cli.claims import discover
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.reproduce.job import reproduce

    use_device(given.device)
    reproduce(discover(), given.out, given.only, given.seeds, given.quick, given.parts)
    return 0
