"""`fpo-jax sweep`: methods × hyperparameters × seeds, resumable, on every device of every process."""

import contextlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from fpo_jax.experiments.cli.options import OUTPUT_TITLE, PROGRAM, Device, options, parse


@options
class OfRuns:
    """What is run."""

    environment: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ENV]")] = None
    """name of an environment, as in `fpo-jax list`"""
    objective: str | None = None
    """objectives to compare, separated by commas, such as myopic,relaxed,exact; myopic when not given"""
    grid: Annotated[
        tuple[str, ...],
        tyro.conf.UseAppendAction,
        tyro.conf.arg(
            help="NAME=VALUES, once for each hyperparameter to vary or to set: weight=0,0.05,0.1 or "
            "alpha=0.1:1.0:10 (low, high, count; both ends included) or ridge=0.001:1:10:log; as in the "
            "recipe when not given"
        ),
    ] = ()
    follower: str | None = None
    """how the reward model is retrained, a name in `fpo-jax list`; as in the recipe when not given"""
    differentiator: str | None = None
    """how the leader differentiates, a name in `fpo-jax list`; autodiff when not given"""
    feedback: str | None = None
    """what the reward model is trained on, labels or preferences; as in the recipe when not given"""
    member: str | None = None
    """how each model of an ensemble is retrained, as --follower; as in the recipe when not given"""
    steps: int | None = None
    """iterations; an integer >= 1; as in the recipe when not given"""
    seeds: int | None = None
    """number of seeds, the same seeds in every cell; an integer >= 1; 64 when not given"""
    seed: int | None = None
    """first seed; an integer >= 0; 0 when not given"""


@options
class OfOutput:
    """What is recorded and written, and on which device."""

    out: Path | None = None
    """folder to write; until the sweep is finished, its work is in OUT.partial; no folder when not given"""
    json: bool = False
    """print one JSON object on standard output at the end"""
    resume: bool = False
    """resume the sweep that was interrupted in OUT.partial, or begin it if there is none"""
    device: Device | None = None
    """device to compute on; JAX's default when not given"""
    width: int | None = None
    """number of runs at once; an integer >= 1; up to 1024 a device, as memory allows, when not given"""
    precision: Literal["float32", "float64"] | None = None
    """floating-point precision; float32 when not given"""
    record: Literal["outcome", "full"] | None = None
    """what to record; full adds the exact steering term and takes longer; outcome when not given"""
    every: int | None = None
    """iterations between entries; a divisor of all iterations; at least 50 entries when not given"""
    config: Path | None = None
    """config.json of an earlier sweep, or a file like it, to start from; other options take precedence"""
    env: str | None = None
    """FILE.py or FILE.py:CLASS with your own environment, as written by `fpo-jax new-env`"""


@options
class OfProcesses:
    """How several processes share the work; give all three or none."""

    coordinator: str | None = None
    """HOST:PORT of the first of several processes that share the work; the same for all of them"""
    processes: int | None = None
    """number of processes; an integer >= 1; needs --coordinator"""
    process: int | None = None
    """number of this process; an integer >= 0 and < PROCESSES; needs --coordinator"""


class SweepOptions(OfRuns, OfOutput, OfProcesses):
    """Options of a sweep; None if not given."""


PANELS = {"run": OfRuns, OUTPUT_TITLE: OfOutput, "several processes": OfProcesses}
"""All of them in the order of the help."""
HOW = ("env", "width", "out", "resume", "config", "json", "device", "coordinator", "processes", "process")
"""Options that say how to run a sweep; they are not settings of it."""


def sweep_command(arguments: Sequence[str]) -> int:
    """Run methods × hyperparameters × seeds as one program, in chunks; you can interrupt and resume it."""
    given: SweepOptions = parse(PANELS, arguments, "sweep", description=sweep_command.__doc__)
    _join(given)
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.core.env_files import env_options, load_environment
    from fpo_jax.experiments.sweeps.grid import make_grid
    from fpo_jax.experiments.sweeps.unfinished import UnfinishedSweep

    use_device(given.device)
    own_name = load_environment(given.env) if given.env else None
    wishes = _wishes(given, own_name)
    grid = None if given.resume and not wishes else make_grid(wishes)
    if _is_done(given, grid):
        return 0
    try:
        computed = _compute(given, grid)
    except KeyboardInterrupt:
        if given.out is None or not UnfinishedSweep(given.out).exists:
            raise
        own = env_options(own_name) if own_name else []
        again = " ".join([f"{PROGRAM} sweep --resume --out {shlex.quote(str(given.out))}", *own])
        sys.stderr.write(f"\n{PROGRAM}: interrupted; finished chunks are saved; resume with `{again}`\n")
        return 130
    if computed is not None:
        _show(*computed, as_json=given.json)
    return 0


def _wishes(given: SweepOptions, own_name: str | None) -> dict[str, Any]:
    """Return the user's options, on top of those of an earlier sweep or the one to resume."""
    import jax

    from fpo_jax.errors import InputError
    from fpo_jax.experiments.core.env_files import require_same
    from fpo_jax.experiments.core.settings import load
    from fpo_jax.experiments.sweeps.unfinished import UnfinishedSweep

    asked = {name: v for name, v in vars(given).items() if name not in (*HOW, "grid") and v is not None}
    asked |= {"grid": _axes(given.grid)} if given.grid else {}
    resuming = given.out is not None and given.resume and UnfinishedSweep(given.out).exists
    earlier = load(given.config, "sweep") if given.config else {}
    if resuming and given.out is not None and not earlier:
        earlier = UnfinishedSweep(given.out).wishes()
    if own_name:
        require_same(asked.setdefault("environment", earlier.get("environment", own_name)), own_name)
    if given.out is None and (given.resume or jax.process_count() > 1):
        allowed = "the folder of the sweep to resume" if given.resume else "a folder"
        raise InputError("out", "nothing", allowed)
    wishes = earlier | asked
    if given.out is not None and given.resume and not resuming and not wishes:
        with contextlib.suppress(InputError):
            wishes = load(given.out / "config.json", "sweep")
    return wishes


def _is_done(given: SweepOptions, grid: Any) -> bool:
    """Say whether the sweep to resume is already finished, and if so show its summary."""
    from fpo_jax.experiments.core.result_folder import finished
    from fpo_jax.experiments.sweeps.unfinished import UnfinishedSweep

    if not given.resume or given.out is None or grid is None or UnfinishedSweep(given.out).exists:
        return False
    report = finished(given.out, grid.as_dict())
    if report is None:
        return False
    sys.stderr.write(f"{given.out} holds this sweep already: nothing is left to do\n")
    if given.json:
        print(json.dumps(report))
    return True


def _compute(given: SweepOptions, grid: Any) -> tuple[Any, Any] | None:
    """Return the grid and its results; None in all processes but the first."""
    import jax

    from fpo_jax.experiments.core.progress import Progress
    from fpo_jax.experiments.core.wording import folded
    from fpo_jax.experiments.sweeps.execution import run_grid, sweep_into

    if given.out is None:
        sys.stderr.write(f"{grid.command()}\n{folded(_how(grid), 4)}\n")
        with Progress() as progress:
            return grid, run_grid(grid, given.width, tell=progress.tell)
    if grid is not None and jax.process_index() == 0:
        sys.stderr.write(f"{folded(_how(grid), 4)}\n")
    with Progress(disable=jax.process_index() > 0) as progress:
        grid, result = sweep_into(given.out, grid, given.resume, given.width, tell=progress.tell)
    if result is None:
        return None
    sys.stderr.write(f"written to {given.out}\n")
    return grid, result


def _show(grid: Any, result: Any, as_json: bool) -> None:
    """Print the table of cells, or the summary as JSON, with notes for readers."""
    from fpo_jax.experiments.core.wording import counted
    from fpo_jax.experiments.sweeps.dataset import show, summary, table, warnings

    cells = table(result)
    report = summary(grid, result, cells)
    programs = counted(report["programs_compiled"], "program")
    sys.stderr.write(f"{counted(report['runs'], 'run')}, {programs} compiled\n")
    for warning in warnings(result):
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    print(json.dumps(report, allow_nan=False) if as_json else show(cells, list(grid.axes)))


def _how(grid: Any) -> str:
    """Say which precision and record a sweep uses, and why they differ from those of a run."""
    from fpo_jax.experiments.core.settings import General
    from fpo_jax.experiments.core.wording import how_computed
    from fpo_jax.experiments.sweeps.grid import DEFAULTS

    chosen = how_computed(grid.precision, grid.record)
    differ = [name for name in ("precision", "record") if getattr(grid, name) == DEFAULTS[name]]
    others = " ".join(f"--{name} {getattr(General, name)}" for name in differ)
    return f"{chosen}, for speed; `{PROGRAM} run` has {others}" if differ else chosen


def _axes(written: Sequence[str]) -> dict[str, str]:
    from fpo_jax.errors import InputError

    axes: dict[str, str] = {}
    for axis in written:
        written_name, equals, values = axis.partition("=")
        name = written_name.strip().replace("-", "_")
        if not equals or not name:
            raise InputError("grid", axis, "NAME=VALUES, such as weight=0,0.05,0.1")
        if name in axes:
            raise InputError("grid", f"{name} twice", "each hyperparameter once")
        axes[name] = values.strip()
    return axes


def _join(given: SweepOptions) -> None:
    """Join the other processes, before JAX looks for devices."""
    told = (given.coordinator, given.processes, given.process)
    if all(value is None for value in told):
        return
    from fpo_jax.errors import InputError

    if any(value is None for value in told):
        raise InputError("coordinator, processes, process", told, "given together")
    coordinator, processes, process = told
    if not re.fullmatch(r"\S+:\d+", str(coordinator)):
        raise InputError("coordinator", coordinator, "HOST:PORT")
    if processes is None or processes < 1:
        raise InputError("processes", processes, "an integer >= 1")
    if process is None or not 0 <= process < processes:
        raise InputError("process", process, f"an integer >= 0 and < {processes}")
    import jax

    # JAX would listen on all addresses of the machine
    bind = _bindable(str(coordinator)) if process == 0 else None
    jax.distributed.initialize(coordinator, processes, process, coordinator_bind_address=bind)


def _bindable(address: str) -> str:
    """Return the address on which the first process listens: only the one that the user gave.

    Raises:
        InputError: when it is not an address of this machine, or something else listens there.
    """
    import socket

    from fpo_jax.errors import InputError

    host, _, port = address.rpartition(":")
    allowed = "HOST:PORT, a free address of the machine of process 0"
    try:
        if not 0 < int(port) < 2**16:
            raise InputError("coordinator", address, f"{allowed}, with a port in 1 … 65535")
        family, kind, protocol, _, place = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError("coordinator", address, f"{allowed} ({reason})") from error
    shown = f"[{place[0]}]" if family == socket.AF_INET6 else place[0]
    return f"{shown}:{port}"
