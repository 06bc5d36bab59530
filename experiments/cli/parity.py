"""`fpo-jax parity`: recordings of the published experiments, replayed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fpo_jax.experiments.cli.options import Device, options, parse


@options
class ParityOptions:
    """Options of this command."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...")]
    """recordings: npz files"""
    tolerance: float | None = None
    """largest absolute deviation to pass; a number >= 0; 1e-8 (linear) or 1e-6 (neural) when not given"""
    precision: Literal["float32", "float64"] | None = None
    """floating-point precision of the replay; that of the recording when not given"""
    json: bool = False
    """print one JSON object for each recording instead of a line"""
    device: Device | None = None
    """device to compute on; JAX's default when not given"""


def parity_command(arguments: Sequence[str]) -> int:
    """Replay recordings of the published experiments; the exit status is 1 if any exceeds the tolerance."""
    given = parse(ParityOptions, arguments, "parity", description=parity_command.__doc__)
    from fpo_jax.errors import InputError
    from fpo_jax.experiments.core.devices import use_device

    use_device(given.device)
    if not given.files:
        raise InputError("files", "nothing", "one or more recordings")
    if given.tolerance is not None and not given.tolerance >= 0:
        raise InputError("tolerance", given.tolerance, "a number >= 0")
    from fpo_jax.experiments.core.wording import folded
    from fpo_jax.experiments.parity.replay import check

    passed = True
    for path in given.files:
        deviation = check(path, given.precision, given.tolerance)
        print(json.dumps(deviation.report()) if given.json else folded(deviation.line(), 4), flush=True)
        passed &= deviation.passed
    return 0 if passed else 1
