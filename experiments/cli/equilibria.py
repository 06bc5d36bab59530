"""`fpo-jax equilibria`: where each objective comes to rest, its true utility there, and whether runs stay."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fpo_jax.experiments.cli.options import OUTPUT, OUTPUT_TITLE, PROGRAM, Option

MORE = [
    Option(
        "starts",
        tuple[str, ...],
        "where searches begin: first (the first policy), best (the best one), run (the last one of a run of "
        "--steps iterations), drawn:N; first when empty, and run for an action",
        (),
    ),
    Option(
        "repelling",
        bool,
        "take long steps from the beginning, to find nearby equilibria that repel runs, too",
        False,
    ),
    Option(
        "vary",
        str | None,
        "NAME=LOW:HIGH:POINTS: follow the equilibria along a hyperparameter; along none when not given",
        None,
    ),
]
"""Options in addition to those of a run, in a panel of their own."""
RULE = {"rule": "mirror, or gradient for a policy without logits of its own,"}
"""The help text for the rule, which this command chooses instead of the recipe."""


def equilibria_command(arguments: Sequence[str]) -> int:
    """Find where each objective comes to rest, its true utility there, and whether runs stay there."""
    from fpo_jax.experiments.cli.run_options import parse_methods
    from fpo_jax.experiments.equilibria.solve import usual_rule

    more = {"search": MORE, OUTPUT_TITLE: OUTPUT}
    methods, own = parse_methods(arguments, "equilibria", equilibria_command.__doc__, more, RULE, usual_rule)
    from fpo_jax.experiments.core.progress import Progress
    from fpo_jax.experiments.core.result_folder import require_writable
    from fpo_jax.experiments.core.wording import counted
    from fpo_jax.experiments.equilibria.branches import follow, vary_of
    from fpo_jax.experiments.equilibria.solve import solve
    from fpo_jax.experiments.equilibria.table import unreached

    if own["out"] is not None:
        require_writable(own["out"])
    vary = vary_of(own["vary"], methods) if own["vary"] else None
    command = _command(methods, own)
    first = methods[0]
    sys.stderr.write(f"{command}\n{counted(first.seeds, 'instance')}; {first.precision} …\n")
    with Progress() as progress:
        found = solve(methods, own["starts"], own["repelling"], tell=progress.tell)
        branches = None if vary is None else follow(vary, methods, found, tell=progress.tell)
    for warning in unreached(found) + (branches.reasons if branches else []):
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    _finish(found, branches, own, command)
    return 0


def _command(methods: Sequence[Any], own: Mapping[str, Any]) -> str:
    """Return the command that repeats this one."""
    from fpo_jax.experiments.core.env_files import env_options

    environment = methods[0].names.environment
    objectives = ",".join(one.names.objective for one in methods)
    words = [f"{PROGRAM} equilibria", environment, *env_options(environment), f"--objective {objectives}"]
    words += dict.fromkeys(option for one in methods for option in one.options())
    words += [f"--starts {shlex.join(own['starts'])}"] if own["starts"] else []
    words += ["--repelling"] if own["repelling"] else []
    words += [f"--vary {shlex.quote(own['vary'])}"] if own["vary"] else []
    return " ".join(words)


def _finish(found: Any, branches: Any, own: Mapping[str, Any], command: str) -> None:
    """Write the folder, and print the tables or the summary."""
    from fpo_jax.experiments.core.files import provenance
    from fpo_jax.experiments.equilibria.branch_table import branch_rows, show_branches
    from fpo_jax.experiments.equilibria.table import ideals, rows, show

    table = rows(found)
    report = {"environment": found.settings.names.environment, **table[0], **ideals(found), "rows": table}
    report |= {} if branches is None else {"branches": branch_rows(branches)}
    origin = provenance(command, found.settings.precision)
    if own["out"] is not None:
        from fpo_jax.experiments.equilibria.files import write

        options = {name: own[name] for name, *_ in MORE}
        write(own["out"], found, branches, report | origin, options)
        sys.stderr.write(f"written to {own['out']}\n")
    if own["json"]:
        print(json.dumps(report | origin, allow_nan=False))
        return
    print(show(found))
    if branches is not None:
        print(f"\n{show_branches(branches)}")
