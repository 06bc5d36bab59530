"""`fpo-jax llm`: the pipeline at real size, and `fpo-jax answer`: answers of its policies."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from fpo_jax.experiments.cli.options import (
    CONFIG,
    DEVICE,
    JSON,
    PROGRAM,
    Option,
    Panels,
    asked_settings,
    complain,
    in_panels,
    parse,
    setting_options,
)
from fpo_jax.experiments.cli.without_jax import without_jax

YesOrNo = tyro.conf.FlagConversionOff[bool | None]
TYPED: dict[str, Any] = dict.fromkeys(("chat", "calibrated", "new_head", "head_bias", "random"), YesOrNo)
"""Settings that the user types as True or False."""
PANELS = {
    "model and prompts": ("model", "prompts", "steps", "chat", "prompt_limit"),
    "sampling": ("seed", "candidates", "tokens", "least_tokens", "temperature", "top_p"),
    "mode and penalty": ("mode", "weight", "calibrated", "damping"),
    "reward model and oracle": (
        "reward_model",
        "reward_reads",
        "oracle",
        "labels",
        "new_head",
        "head_bias",
    ),
    "optimiser": ("policy_lr", "head_lr", "weight_decay", "accumulation", "loss_over"),
    "LoRA": ("lora_rank", "lora_alpha", "lora_modules", "lora_dropout"),
    "offline fit": ("fit_prompts", "fit_held_out", "fit_ridge", "fit_answers"),
}
"""Settings of `fpo-jax llm` in the order of its help; output, devices and all others come last."""
PANELS_OF_ANSWER = {
    "model and prompts": ("model", "adapter", "prompts", "chat", "prompt_limit"),
    "sampling": ("seed", "tokens", "least_tokens", "temperature", "top_p"),
}
"""Settings of `fpo-jax answer` in the order of its help."""
OF_LLM = [
    Option(
        "out", Path | None, "folder to write; until the run is finished, its work is in OUT.partial", None
    ),
    Option("resume", bool, "resume the run that was interrupted in OUT.partial", False),
    Option(
        "dry_run",
        bool,
        "run nothing; print parameters, memory and operations of a run, and what to download",
        False,
    ),
    CONFIG,
    JSON,
    DEVICE,
]
"""Options that say how to run the pipeline; they are not settings of the run."""
OF_ANSWER = [
    Option(
        "out",
        Annotated[Path | None, tyro.conf.arg(metavar="FILE")],
        'JSONL file to write, one {"prompt": "…", "response": "…"} a line',
        None,
    ),
    DEVICE,
]
"""Options that say where to answer, and where to put the answers."""


def llm_options() -> Panels:
    """Return the options of `fpo-jax llm` in panels; a setting that is not given is None."""
    with without_jax():
        from fpo_jax.experiments.llm.settings import TrainSettings

        options = [*OF_LLM, *setting_options(TrainSettings, TYPED)]
        return in_panels(options, PANELS)


def answer_options() -> Panels:
    """Return the options of `fpo-jax answer` in panels; a setting that is not given is None."""
    with without_jax():
        from fpo_jax.experiments.llm.settings import AnswerSettings

        return in_panels([*OF_ANSWER, *setting_options(AnswerSettings, TYPED)], PANELS_OF_ANSWER)


def llm_command(arguments: Sequence[str]) -> int:
    """Train a language model by RLHF or FPO, with a reward head retrained alongside; needs the extra llm."""
    given = parse(llm_options(), arguments, "llm", description=llm_command.__doc__)
    from fpo_jax.errors import InputError
    from fpo_jax.experiments import llm
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.core.settings import load

    use_device(given.device)
    earlier = load(given.config, "llm") if given.config else {}
    wishes = earlier | asked_settings(given, llm.TrainSettings)
    settings = llm.TrainSettings.of(wishes)
    try:
        if given.dry_run:
            stream = sys.stderr if given.json else sys.stdout
            report = llm.plan(settings, lambda line: print(line, file=stream))
        else:
            if given.resume and given.out is None:
                raise InputError("out", "nothing", "the folder of the run to resume")
            report = llm.train(settings, given.out, given.resume)
    except llm.MissingExtra as error:
        return complain(f"llm {error}")
    except llm.Interrupted as error:
        again = f"{error} --device {given.device}" if given.device else error
        sys.stderr.write(f"\n{PROGRAM}: interrupted; finished steps are saved; resume with `{again}`\n")
        return 130
    if given.out is not None and not given.dry_run:
        sys.stderr.write(f"written to {given.out}\n")
    if given.json:
        print(json.dumps(report, allow_nan=False))
    elif not given.dry_run:
        _show(report)
    return 0


def answer_command(arguments: Sequence[str]) -> int:
    """Let a language model answer prompts, with or without an adapter, for a judge; needs the extra llm."""
    given = parse(answer_options(), arguments, "answer", description=answer_command.__doc__)
    from fpo_jax.errors import InputError
    from fpo_jax.experiments import llm
    from fpo_jax.experiments.core.devices import use_device

    use_device(given.device)
    settings = llm.AnswerSettings.of(asked_settings(given, llm.AnswerSettings))
    if given.out is None:
        raise InputError("out", "nothing", "a file to write")
    try:
        number = llm.answer(settings, given.out)
    except llm.MissingExtra as error:
        return complain(f"answer {error}")
    sys.stderr.write(f"{number} answers written to {given.out}\n")
    return 0


def _show(report: Mapping[str, Any]) -> None:
    for name, value in report.items():
        if value is not None and not isinstance(value, dict):
            print(f"{name:24s} {value:.4f}" if isinstance(value, float) else f"{name:24s} {value}")
