"""`fpo-jax decompose`: compare every route to the true gradient with the exact one."""

import json
import shlex
import sys
from collections.abc import Sequence

from fpo_jax.experiments.cli.options import OUTPUT, OUTPUT_TITLE, PROGRAM, Option

MORE = [
    Option(
        "every",
        int | None,
        "iterations between two comparisons; an integer >= 1; a twentieth of all when not given",
        None,
    ),
    Option("foresee", int, "updates of the follower that the exact term foresees; an integer >= 1", 1),
    Option(
        "draws",
        int,
        "draws of every route at every state, for bias and spread; an integer >= 1; 1 measures neither",
        1,
    ),
    Option("only", tuple[str, ...], "routes to compare, by their names in the table; all when empty", ()),
]
"""Options in addition to those of a run, in a panel of their own."""


def decompose_command(arguments: Sequence[str]) -> int:
    """Compare every route to the true gradient with the exact one along a run, with the cost of each."""
    from fpo_jax.experiments.cli.run_options import parse_settings

    panels = {"comparison": MORE, OUTPUT_TITLE: OUTPUT}
    settings, own = parse_settings(arguments, "decompose", decompose_command.__doc__, panels)
    from fpo_jax.experiments.core.files import provenance
    from fpo_jax.experiments.core.progress import Progress
    from fpo_jax.experiments.core.result_folder import require_writable
    from fpo_jax.experiments.core.wording import counted
    from fpo_jax.experiments.ladder.decompose import decompose
    from fpo_jax.experiments.ladder.files import write
    from fpo_jax.experiments.ladder.table import rows, show

    out = own["out"]
    if out is not None:
        require_writable(out)
    every_so_many = own["every"] if own["every"] is not None else max(settings.steps // 20, 1)
    command = settings.command().replace("fpo-jax run", "fpo-jax decompose") + f" --every {every_so_many}"
    command += f" --foresee {own['foresee']}" if own["foresee"] != 1 else ""
    command += f" --draws {own['draws']}" if own["draws"] != 1 else ""
    command += f" --only {shlex.join(own['only'])}" if own["only"] else ""
    size = f"{counted(settings.steps, 'iteration')}, {counted(settings.seeds, 'seed')}"
    sys.stderr.write(f"{command}\n{size}; {settings.precision} …\n")
    with Progress() as progress:
        decomposed = decompose(
            settings, every_so_many, own["foresee"], own["only"], own["draws"], tell=progress.tell
        )
    report = {
        "environment": settings.names.environment,
        "scale": decomposed.scale,
        "routes": rows(decomposed),
    }
    origin = provenance(command, settings.precision)
    for reason in dict.fromkeys(decomposed.skipped.values()):
        labels = ", ".join(label for label, why in decomposed.skipped.items() if why == reason)
        sys.stderr.write(f"{PROGRAM}: not compared: {labels}: {reason}\n")
    for label, route in decomposed.routes.items():
        if route.warning():
            sys.stderr.write(f"{PROGRAM}: warning: {label}: {route.warning()}\n")
    if out is not None:
        write(out, decomposed, report | origin, {name: own[name] for name, *_ in MORE})
        sys.stderr.write(f"written to {out}\n")
    print(json.dumps(report | origin, allow_nan=False) if own["json"] else show(decomposed))
    return 0
