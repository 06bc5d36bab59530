"""`fpo-jax judge`: which of two files of answers is better."""

import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from fpo_jax.experiments.cli.options import (
    DEVICE,
    JSON,
    PROGRAM,
    Option,
    Panels,
    asked_settings,
    in_panels,
    parse,
    setting_options,
)
from fpo_jax.experiments.cli.without_jax import without_jax

PANELS = {
    "local scorer": ("answers", "scorer", "tie_margin"),
    "judging model": (
        "endpoint",
        "judge_model",
        "both_orders",
        "template",
        "temperature",
        "max_tokens",
        "seed",
    ),
    "request": ("key_variable", "parallel", "retries", "timeout", "give_up"),
    "verdicts made elsewhere": ("counts", "verdicts", "compare", "by", "answers_in"),
}
"""Settings in the order of the help; output and all others come last."""
MORE = [
    Option(
        "out",
        Path | None,
        "folder for verdicts, numbers, summary and figure; until all is done, verdicts are in OUT.partial; "
        "--endpoint needs one; nothing is written when not given",
        None,
    ),
    Option(
        "resume",
        bool,
        "resume what was interrupted in OUT.partial, or retry what failed in OUT",
        False,
    ),
    Option(
        "config",
        Path | None,
        "config.json of an earlier comparison to start from; other options take precedence",
        None,
    ),
    JSON,
    DEVICE._replace(help="device for a local scorer; JAX's default when not given"),
]
"""Options that are not settings."""


def judge_options() -> Panels:
    """Return the options of this command in panels; a setting that is not given is None, or empty."""
    kinds = {
        "answers": Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[A B]")],
        "template": Path | None,
        "verdicts": Path | None,
    }
    with without_jax():
        from fpo_jax.experiments.judging.settings import JudgeSettings, Requests

        return in_panels([*setting_options(JudgeSettings, kinds), *setting_options(Requests), *MORE], PANELS)


def judge_command(arguments: Sequence[str]) -> int:
    """Compare two files of answers with a judging model or a local scorer, by exact tests."""
    given = parse(judge_options(), arguments, "judge", description=judge_command.__doc__)
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.judging.counts import remarks, show
    from fpo_jax.experiments.judging.job import of_elsewhere, of_files
    from fpo_jax.experiments.judging.settings import MADE_ELSEWHERE, JudgeSettings, Requests, settings_of

    settings = settings_of(asked_settings(given, JudgeSettings), given)
    requests = Requests.of(asked_settings(given, Requests))
    use_device(given.device or (None if settings.scorer else "cpu"))  # a GPU is left to the endpoint's server
    command = [PROGRAM, "judge", *(word for word in arguments if word != "--resume")]
    try:
        tested = any(getattr(settings, name) for name in MADE_ELSEWHERE)
        make = of_elsewhere if tested else partial(of_files, requests=requests)
        report: dict[str, Any] = make(settings, given, shlex.join(command))
    except KeyboardInterrupt:
        from fpo_jax.experiments.core.unfinished import Unfinished

        if given.out is None or not Unfinished(given.out, "judging", "judge").exists:
            raise
        again = shlex.join([*command, "--resume"])
        sys.stderr.write(f"\n{PROGRAM}: interrupted; verdicts are saved; resume with `{again}`\n")
        return 130
    if given.out is not None:
        sys.stderr.write(f"written to {given.out}\n")
    for remark in remarks(report):
        sys.stderr.write(f"{PROGRAM}: {remark}\n")
    print(json.dumps(report, allow_nan=False) if given.json else show(report["comparisons"]))
    return 0
