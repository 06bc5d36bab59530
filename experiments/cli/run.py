"""`fpo-jax run`: one environment under one objective, over seeds."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fpo_jax.experiments.cli.options import DEVICE, JSON, OUT, OUTPUT_TITLE, PROGRAM, Option

OWN = [
    OUT,
    JSON,
    Option(
        "resume",
        bool,
        "resume the run that was interrupted in OUT.partial, or begin it if there is none",
        False,
    ),
    Option(
        "save_states",
        bool,
        "write θ and φ at every entry to OUT/states.npz, not only the final ones",
        False,
    ),
    DEVICE,
]
"""Options that are not settings."""


def run_command(arguments: Sequence[str]) -> int:
    """Run one environment with one objective over several seeds, with its recipe or your settings."""
    from fpo_jax.experiments.cli.run_options import parse_settings

    settings, own = parse_settings(arguments, "run", run_command.__doc__, {OUTPUT_TITLE: OWN})
    out: Path | None = own["out"]
    from fpo_jax.errors import InputError
    from fpo_jax.experiments.core.result_folder import finished, require_writable
    from fpo_jax.experiments.core.unfinished import Unfinished
    from fpo_jax.experiments.runs.unfinished import UnfinishedRun, require_room

    for name in ("resume", "save_states"):
        if own[name] and out is None:
            raise InputError("out", "nothing", f"a folder, for --{name.replace('_', '-')}")
    command = settings.command() + " --save-states" * own["save_states"]
    if out is None:
        return _run(settings, own, command, None)
    require_writable(out)
    if own["resume"] and not Unfinished(out, "run").exists:
        done = finished(out, settings.as_dict(), command)
        if done is not None:
            sys.stderr.write(f"{out} holds this run already: nothing is left to do\n")
            if own["json"]:
                print(json.dumps(done))
            return 0
    if own["save_states"]:
        require_room(settings, out)
    try:
        with UnfinishedRun(out, settings, own["save_states"]).at_work(own["resume"]) as unfinished:
            return _run(settings, own, command, unfinished)
    except KeyboardInterrupt:
        if not Unfinished(out, "run").exists:
            raise
        device = f" --device {own['device']}" if own["device"] else ""
        again = f"{command} --resume --out {shlex.quote(str(out))}{device}"
        sys.stderr.write(f"\n{PROGRAM}: interrupted; what is done is saved; resume with `{again}`\n")
        return 130


def _run(settings: Any, own: dict[str, Any], command: str, unfinished: Any) -> int:
    from fpo_jax.experiments.core.files import provenance
    from fpo_jax.experiments.core.progress import Progress
    from fpo_jax.experiments.core.wording import counted, fixed, folded, how_computed
    from fpo_jax.experiments.runs.execution import execute, few_seeds, summary

    out: Path | None = own["out"]
    size = f"{counted(settings.steps, 'iteration')}, {counted(settings.seeds, 'seed')}"
    how = how_computed(settings.precision, settings.record)
    sys.stderr.write(f"{command}\n{folded(f'{size}; {how} …', 4)}\n")
    with Progress() as progress:
        kept = {} if unfinished is None else {"watch": unfinished.watch, "partway": unfinished.partway()}
        own_states = {"keep_states": out is not None, "save_states": own["save_states"]}
        result = execute(settings, **own_states, tell=progress.tell, **kept)
    for warning in [*result.warnings(), *few_seeds(len(result.seeds))]:
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    report = summary(result)
    origin = provenance(command, settings.precision)
    if out is not None:
        from fpo_jax.experiments.runs.files import write_run  # matplotlib is slow to import

        write_run(out, result, report | origin, _figures_of_claim(result))
        sys.stderr.write(f"written to {out}\n")
    if own["json"]:
        print(json.dumps(report | origin, allow_nan=False))
        return 0
    for name, value in report.items():
        if not name.endswith("_ci95") and value is not None and value != []:
            low, high = report.get(f"{name}_ci95", (None, None))
            interval = "" if low is None else f"  [{fixed(low, 4)}, {fixed(high, 4)}]"
            shown = f"{fixed(value, 4)}{interval}" if isinstance(value, float) else value
            print(folded(f"{name:24s} {shown}", 4))
    return 0


def _figures_of_claim(result: Any) -> Any:
    """Return the figures that the claim of the same name draws for any run in an environment."""
    from fpo_jax.experiments.cli.claims import discover
    from fpo_jax.experiments.runs.experiment import Experiment

    names = result.settings.names
    claim = discover().get(names.environment)
    return claim.of_run({names.objective: result}) if isinstance(claim, Experiment) else {}
