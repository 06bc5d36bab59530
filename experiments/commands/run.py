"""`fpo-jax run`: one environment under one objective, over seeds."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.commands.options import OUTPUT, PROGRAM, parse_settings


def run_command(arguments: Sequence[str]) -> int:
    """Run one environment under one objective over several seeds, by its recipe or as told."""
    settings, own = parse_settings(arguments, "run", run_command.__doc__, OUTPUT)
    out: Path | None = own["out"]
    from experiments.results import provenance, require_writable, write_run
    from experiments.running import execute, few_seeds, summary
    from experiments.wording import counted, fixed, folded, how_computed

    if out is not None:
        require_writable(out)
    size = f"{counted(settings.steps, 'iteration')}, {counted(settings.seeds, 'seed')}"
    how = how_computed(settings.precision, settings.record)
    sys.stderr.write(f"{settings.command()}\n{size}; {how} …\n")
    result = execute(settings, keep_states=out is not None)
    for warning in [*result.warnings(), *few_seeds(len(result.seeds))]:
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    report = summary(result)
    origin = provenance(settings.command(), settings.precision)
    if out is not None:
        write_run(out, result, report | origin)
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
