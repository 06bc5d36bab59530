"""The command line: `fpo-jax COMMAND …`, also `python -m experiments COMMAND …`.

Results go to standard output, everything else to standard error. Exit status: 0 when all is well, 1 when a
check failed or nothing could be reported, 2 for input that cannot be used, 130 when interrupted.
"""

import contextlib
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from experiments.new_env import new_env_command
from experiments.options import PROGRAM, complain, parse
from experiments.sweep_command import sweep_command
from fpo_jax.hyperparameters import InputError, allowed_values, require_known

Benchmark = Literal["linear", "tabular", "steering", "neural", "sweep"]


def list_command(arguments: Sequence[str]) -> int:
    """List environments, objectives, followers, feedback and differentiators, with their hyperparameters."""
    parse(dataclasses.make_dataclass("List", []), arguments, "list", description=list_command.__doc__)
    from envs import ENVIRONMENTS
    from fpo_jax.differentiate import DIFFERENTIATORS
    from fpo_jax.feedback import FEEDBACKS
    from fpo_jax.followers import FOLLOWERS
    from fpo_jax.hyperparameters import declared
    from fpo_jax.objectives import OBJECTIVES

    groups = {
        "environments": ENVIRONMENTS,
        "objectives": OBJECTIVES,
        "followers": FOLLOWERS,
        "feedback": FEEDBACKS,
        "differentiators": DIFFERENTIATORS,
    }
    for group, classes in groups.items():
        print(group)
        for name, cls in classes.items():
            print(f"  {name:20s} {(cls.__doc__ or '').strip().splitlines()[0]}")
            for field in declared(cls):
                meta = field.metadata
                print(f"      {field.name} = {field.default}: {meta['help']}; {allowed_values(field)}")
        print()
    return 0


def parse_settings(
    arguments: Sequence[str],
    command: str,
    description: str | None,
    extra: Sequence[tuple[str, Any, str, Any]],
) -> tuple[Any, dict[str, Any]]:
    """Parse the settings of a run, and the options of one command besides: name, type, help, default."""
    from envs import ENVIRONMENTS
    from experiments.settings import PRECISIONS, RECORDS, hyperparameters, load, resolve
    from fpo_jax.differentiate import DIFFERENTIATORS
    from fpo_jax.feedback import FEEDBACKS
    from fpo_jax.followers import FOLLOWERS
    from fpo_jax.objectives import OBJECTIVES

    def one_of(names: Iterable[str]) -> str:
        return "one of " + ", ".join(names)

    @dataclasses.dataclass
    class Which:
        objective: str | None = None
        follower: str | None = None
        differentiator: str | None = None
        feedback: str | None = None
        config: Path | None = None

    # First the parts, since they decide which other options there are; then everything, with those options.
    known_so_far = [a for a in arguments if a not in ("-h", "--help")]
    which, _ = parse(Which, known_so_far, command, return_unknown_args=True)
    earlier = load(which.config) if which.config else {}
    asked = {k: v for k, v in vars(which).items() if k != "config" and v is not None}
    named = [a for a in arguments if a in ENVIRONMENTS]
    if named or (arguments and not arguments[0].startswith("-")):
        asked["environment"] = [*named, arguments[0]][0]
    elif len(known_so_far) < len(arguments):  # help for no environment in particular
        asked.setdefault("environment", next(iter(ENVIRONMENTS)))
    chosen = resolve(_applicable(earlier, asked) | asked)  # the defaults of all other options

    def option(name: str, kind: Any, help: str, default: Any) -> tuple[str, Any, Any]:
        return (name, Annotated[kind, tyro.conf.arg(help=help)], dataclasses.field(default=default))

    def described(name: str, help: str) -> tuple[str, Any, Any]:
        default = chosen.as_dict()[name]
        return option(name, type(default), help, default)

    fields = [
        (
            "environment",
            Annotated[str, tyro.conf.Positional, tyro.conf.arg(help=one_of(ENVIRONMENTS))],
            dataclasses.field(default=chosen.names.environment),
        ),
        described("objective", f"what the leader ascends: {one_of(OBJECTIVES)}"),
        described("follower", f"how the reward model is retrained: {one_of(FOLLOWERS)}"),
        described("feedback", f"what it is trained on: {one_of(FEEDBACKS)}"),
        described("differentiator", f"how the leader differentiates: {one_of(DIFFERENTIATORS)}"),
        described("steps", "iterations; an integer >= 1"),
        described("seeds", "number of seeds, run at once; an integer >= 1"),
        described("seed", "first seed; an integer >= 0"),
        described("precision", one_of(PRECISIONS)),
        described("record", f"full has the exact steering term, at its cost: {one_of(RECORDS)}"),
        *(
            described(name, f"{field.metadata['help']}; {allowed_values(field)}")
            for name, (field, _) in hyperparameters(chosen.names).items()
        ),
        option("config", Path | None, "config.json of an earlier run, to start from", None),
        *(option(*more) for more in extra),
    ]
    options = dataclasses.make_dataclass("Options", fields)
    given = vars(parse(options, arguments, command, description=description))
    del given["config"]
    own = {name: given.pop(name) for name, *_ in extra}
    return resolve(given), own


OUTPUT: list[tuple[str, Any, str, Any]] = [
    ("out", Path | None, "folder for settings, numbers, summary and figures", None),
    ("json", bool, "end with one JSON object on standard output", False),
]


def run_command(arguments: Sequence[str]) -> int:
    """Run one environment under one objective over several seeds, by its recipe or as told."""
    settings, own = parse_settings(arguments, "run", run_command.__doc__, OUTPUT)
    return _run(settings, own["out"], own["json"])


def decompose_command(arguments: Sequence[str]) -> int:
    """Compare every route to the true gradient with the exact one along a run, and say what each costs."""
    every = ("every", int | None, "compare at every so many iterations; a twentieth of them by default", None)
    foresee = ("foresee", int, "updates of the follower that the exact term foresees; an integer >= 1", 1)
    only = ("only", tuple[str, ...], "routes to compare, by the names in the table; all when empty", ())
    extra = [every, foresee, only, *OUTPUT]
    settings, own = parse_settings(arguments, "decompose", decompose_command.__doc__, extra)
    from experiments.decompose import decompose
    from experiments.ladder_report import rows, show, write
    from experiments.results import provenance, require_writable

    out = own["out"]
    if out is not None:
        require_writable(out)
    every_so_many = own["every"] if own["every"] is not None else max(settings.steps // 20, 1)
    command = settings.command().replace("fpo-jax run", "fpo-jax decompose") + f" --every {every_so_many}"
    command += f" --foresee {own['foresee']}" if own["foresee"] != 1 else ""
    command += f" --only {shlex.join(own['only'])}" if own["only"] else ""
    sys.stderr.write(f"{command}\n")
    decomposed = decompose(settings, every_so_many, own["foresee"], own["only"])
    report = {
        "environment": settings.names.environment,
        "scale": decomposed.scale,
        "routes": rows(decomposed),
    }
    origin = provenance(command, settings.precision)
    for reason in dict.fromkeys(decomposed.skipped.values()):
        labels = ", ".join(label for label, why in decomposed.skipped.items() if why == reason)
        sys.stderr.write(f"{PROGRAM}: left out: {labels}: {reason}\n")
    for label, route in decomposed.routes.items():
        if route.warning():
            sys.stderr.write(f"{PROGRAM}: warning: {label}: {route.warning()}\n")
    if out is not None:
        write(out, decomposed, report | origin)
        sys.stderr.write(f"written to {out}\n")
    print(json.dumps(report | origin, allow_nan=False) if own["json"] else show(decomposed))
    return 0


def _applicable(earlier: dict[str, Any], wishes: dict[str, Any]) -> dict[str, Any]:
    """Drop from earlier settings what a new choice of parts has no use for."""
    from experiments.settings import GENERAL, Names, hyperparameters, parts

    if not earlier or all(earlier.get(k) == wishes.get(k, earlier.get(k)) for k in Names._fields):
        return earlier
    both = earlier | wishes
    names = Names(**{k: both[k] for k in Names._fields if both.get(k) is not None})
    parts(names)
    known = {*Names._fields, *GENERAL, *hyperparameters(names)}
    return {key: value for key, value in earlier.items() if key in known}


def _run(settings: Any, out: Path | None, as_json: bool) -> int:
    from experiments.results import provenance, require_writable, write_run
    from experiments.running import execute, summary

    if out is not None:
        require_writable(out)
    sys.stderr.write(f"{settings.command()}\n{settings.steps} iterations, {settings.seeds} seeds …\n")
    result = execute(settings)
    for warning in result.warnings():
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    report = summary(result)
    origin = provenance(settings.command(), settings.precision)
    if out is not None:
        write_run(out, result, report | origin)
        sys.stderr.write(f"written to {out}\n")
    if as_json:
        print(json.dumps(report | origin, allow_nan=False))
        return 0
    for name, value in report.items():
        if not name.endswith("_ci95") and value is not None and value != []:
            low, high = report.get(f"{name}_ci95", (None, None))
            interval = "" if low is None else f"  [{low:.4f}, {high:.4f}]"
            print(f"{name:24s} {value:.4f}{interval}" if isinstance(value, float) else f"{name:24s} {value}")
    return 0


def parity_command(arguments: Sequence[str]) -> int:
    """Replay recordings of the published experiments; exit 1 when any is beyond the tolerance."""

    @dataclasses.dataclass
    class Parity:
        files: Annotated[tuple[Path, ...], tyro.conf.Positional]
        """Recordings, npz files."""
        tolerance: float | None = None
        """Largest absolute deviation that passes; 1e-8 for linear, 1e-6 for neural when not given."""
        precision: Literal["float32", "float64"] | None = None
        """Precision of the replay; the recording's own when not given."""

    given = parse(Parity, arguments, "parity", description=parity_command.__doc__)
    if not given.files:
        raise InputError("files", "nothing", "one or more recordings")
    if given.tolerance is not None and not given.tolerance >= 0:
        raise InputError("tolerance", given.tolerance, "a number >= 0")
    from experiments.parity import check

    passed = True
    for path in given.files:
        deviation = check(path, given.precision, given.tolerance)
        print(deviation.line(), flush=True)
        passed &= deviation.passed
    return 0 if passed else 1


def reproduce_command(arguments: Sequence[str]) -> int:
    """Run the experiments and write figures, tables, numbers and one page to read."""

    @dataclasses.dataclass
    class Reproduce:
        only: tuple[str, ...] = ()
        """Experiments to run; all but the long ones when empty."""
        out: Path = Path("results")
        """Folder to write; an earlier result there is replaced."""
        seeds: int | None = None
        """Seeds of each method, >= 1; the experiment's own number when not given."""
        quick: bool = False
        """A few seeds only, to see that all works."""

    given = parse(Reproduce, arguments, "reproduce", description=reproduce_command.__doc__)
    from experiments.reproduce import reproduce

    reproduce(given.out, given.only, given.seeds, given.quick)
    return 0


def bench_command(arguments: Sequence[str]) -> int:
    """Measure speed: seconds per seed against batch width, and cost against the number of states."""

    @dataclasses.dataclass
    class Bench:
        which: Annotated[tuple[Benchmark, ...], tyro.conf.Positional] = get_args(Benchmark)
        """linear: beside the eager NumPy oracle; tabular: a gridworld by either solve; steering: the implicit
        gradient as the reward model grows, and the memory of unrolling; neural: the published protocol, wide
        sweeps beside the oracle, and where the time goes; sweep: throughput and memory by batch width."""
        widths: tuple[int, ...] = (1, 64, 4096)
        """Numbers of seeds of the linear environment that run at once."""
        neural_widths: tuple[int, ...] = (5, 64, 256)
        """Numbers of seeds of the neural environment that run at once."""
        sweep_widths: tuple[int, ...] = tuple(4**i for i in range(8))
        """Widths of a sweep's chunk."""
        sides: tuple[int, ...] = (5, 10, 20, 40, 100)
        """Sides of the square gridworlds, rising; LU up to 40."""
        repeats: int = 9
        """Timed repetitions, of which the median is printed."""

    given = parse(Bench, arguments, "bench", description=bench_command.__doc__)
    for name in ("widths", "neural_widths", "sweep_widths"):
        if not getattr(given, name) or min(getattr(given, name)) < 1:
            raise InputError(name, getattr(given, name), "one or more integers >= 1")
    if not given.sides or min(given.sides) < 3 or list(given.sides) != sorted(set(given.sides)):
        raise InputError("sides", given.sides, "one or more rising integers >= 3")
    if given.repeats < 1:
        raise InputError("repeats", given.repeats, "an integer >= 1")
    if "linear" in given.which:
        from experiments.bench_linear import bench_linear

        bench_linear(given.widths, given.repeats)
    if "tabular" in given.which:
        from experiments.bench_tabular import bench_tabular

        bench_tabular(given.sides, given.repeats)
    if "steering" in given.which:
        from experiments.bench_steering import bench_steering

        bench_steering(given.repeats)
    if "neural" in given.which:
        from experiments.bench_neural import bench_neural

        bench_neural(given.neural_widths, given.repeats)
    if "sweep" in given.which:
        from experiments.bench_sweep import bench_sweep

        bench_sweep(given.sweep_widths, given.repeats)
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": list_command,
    "run": run_command,
    "sweep": sweep_command,
    "decompose": decompose_command,
    "parity": parity_command,
    "reproduce": reproduce_command,
    "bench": bench_command,
    "new-env": new_env_command,
}


def usage() -> str:
    """Return what `fpo-jax --help` prints."""
    lines = [f"usage: {PROGRAM} COMMAND [options]", ""]
    lines += [f"  {name:12s} {(f.__doc__ or '').splitlines()[0]}" for name, f in COMMANDS.items()]
    return "\n".join([*lines, "", f"`{PROGRAM} COMMAND --help` shows the options of a command."])


def use_every_core() -> None:
    """Ask JAX for a host device per core, over which seeds are spread, unless the user has said how many."""
    import jax

    asked = "JAX_NUM_CPU_DEVICES" in os.environ
    if not asked and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # too late: this process computes already
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    try:
        command = COMMANDS[require_known("command", arguments[0], COMMANDS)]
        use_every_core()
        return command(arguments[1:])
    except InputError as error:
        return complain(str(error))
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROGRAM}: interrupted; nothing was written\n")
        return 130
    except RuntimeError as error:
        from experiments.running import Diverged

        if not isinstance(error, Diverged):
            raise
        sys.stderr.write(f"{PROGRAM}: error: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
