"""`fpo-jax evaluate`: measure policies by likelihood, without a judge."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fpo_jax.experiments.cli.llm import YesOrNo
from fpo_jax.experiments.cli.options import (
    DEVICE,
    JSON,
    OUT,
    Option,
    Panels,
    asked_settings,
    complain,
    in_panels,
    parse,
    setting_options,
)
from fpo_jax.experiments.cli.without_jax import without_jax

TYPED: dict[str, Any] = {"chat": YesOrNo}
PANELS = {
    "model and prompts": ("model", "runs", "prompts", "unseen", "chat", "prompt_limit"),
    "measurements": ("truthfulqa", "questions", "candidates", "drawn"),
    "sampling": ("seed", "tokens", "least_tokens", "temperature", "top_p"),
}
"""Settings in the order of the help; output, devices and all others come last."""
MORE = [
    OUT._replace(
        help="folder for settings, numbers, answers, summary and figures; nothing is written when not given"
    ),
    Option(
        "parts",
        Path | None,
        "folder that keeps the measurements of each model for later evaluations; when not given, OUT.parts "
        "keeps them until this one is finished",
        None,
    ),
    Option(
        "config",
        Path | None,
        "config.json of an earlier evaluation to start from; other options take precedence",
        None,
    ),
    JSON,
    DEVICE,
]
"""Options that are not settings."""


def evaluate_options() -> Panels:
    """Return the options of this command in panels; a setting that is not given is None."""
    with without_jax():
        from fpo_jax.experiments.llm.evaluation.settings import EvaluateSettings

        return in_panels([*MORE, *setting_options(EvaluateSettings, TYPED)], PANELS)


def evaluate_command(arguments: Sequence[str]) -> int:
    """Measure language models without a judge: TruthfulQA, U, KL, repetition; needs the extra llm."""
    given = parse(evaluate_options(), arguments, "evaluate", description=evaluate_command.__doc__)
    from fpo_jax.experiments import llm
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.core.settings import load
    from fpo_jax.experiments.llm.evaluation.settings import EvaluateSettings

    use_device(given.device)
    earlier = load(given.config, "evaluate") if given.config else {}
    settings = EvaluateSettings.of(earlier | asked_settings(given, EvaluateSettings))
    try:
        report, shown = llm.evaluate(settings, given.out, given.parts)
    except llm.MissingExtra as error:
        return complain(f"evaluate {error}")
    if given.out is not None:
        sys.stderr.write(f"written to {given.out}\n")
    print(json.dumps(report, allow_nan=False) if given.json else shown)
    return 0
