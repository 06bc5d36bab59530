"""`fpo-jax llm`: the pipeline at real size, and `fpo-jax answer`, what its policies say."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from fpo_jax.experiments.cli.options import PROGRAM, Device, complain, options, parse

YesOrNo = tyro.conf.FlagConversionOff[bool | None]


@options
class LlmOptions:
    """What a user asks of the pipeline; None where nothing was said."""

    model: str | None = None
    """Folder of a Llama checkpoint in the Hugging Face layout, which is policy, reference and features; with
    --dry-run and --random also llama-3.2-1b, llama-3.2-3b or llama-3.1-8b."""
    prompts: str | None = None
    """JSONL file of prompts, {"prompt": "…"} a line."""
    mode: Literal["rlhf", "practical", "relaxed", "proximal"] | None = None
    """By which effective reward the winner is chosen; rlhf when not given."""
    weight: float | None = None
    """γ, the weight of the penalty, or κ of the proximal form; 10 when not given."""
    reward_model: str | None = None
    """Folder of another checkpoint for the reward model's features, and for its head where it has
    score.weight; the model's own features and a head drawn from the seed when not given."""
    oracle: str | None = None
    """Folder of another reward model as preference oracle; a frozen copy of the first one when not given."""
    steps: int | None = None
    """Prompts, one a step, >= 1; read again where the file has fewer; 500 when not given."""
    candidates: int | None = None
    """Candidates for each prompt, an integer >= 1; 8 when not given."""
    tokens: int | None = None
    """Most new tokens of a response, an integer >= 2; 32 when not given."""
    prompt_limit: int | None = None
    """Most tokens of a prompt, chat template included; longer ones are cut; 512 when not given."""
    temperature: float | None = None
    """Of sampling, a number >= 0; 0 takes the likeliest token; 1 when not given."""
    top_p: float | None = None
    """Share of probability that is sampled from, in (0, 1]; 1 when not given."""
    chat: YesOrNo = None
    """Put prompts into the model's chat template, where it has one; true when not given."""
    policy_lr: float | None = None
    """Learning rate of the policy's adapter; 2e-5 when not given."""
    head_lr: float | None = None
    """Learning rate of the reward head; 5e-5 when not given."""
    accumulation: int | None = None
    """Steps whose gradients are averaged for one update, an integer >= 1; 4 when not given."""
    labels: Literal["soft", "hard"] | None = None
    """What the oracle says: its probability, or a draw by it; soft when not given."""
    new_head: YesOrNo = None
    """Begin with a reward head drawn from the seed, while the oracle keeps the initial one; false when not
    given."""
    lora_rank: int | None = None
    """Rank of the adapter, an integer >= 1; 16 when not given."""
    lora_alpha: float | None = None
    """The adapter's scale is alpha / rank; 32 when not given."""
    lora_modules: tuple[str, ...] | None = None
    """Projections that are adapted, of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj; the
    first and the third when not given."""
    seed: int | None = None
    """Seed of the adapter, of a new head and of sampling, an integer >= 0; 0 when not given."""
    random: YesOrNo = None
    """Draw the weights in place of loading a checkpoint's, and read text byte by byte: to time a model of
    these sizes without its weights; false when not given."""
    precision: Literal["bfloat16", "float32"] | None = None
    """Of frozen weights; heads and adapters are in float32; bfloat16 when not given."""
    placement: Literal["replicated", "divided"] | None = None
    """Weights on every device, or divided among them; replicated when not given."""
    devices: int | None = None
    """Devices to use, an integer >= 1; all that JAX sees when not given."""
    every: int | None = None
    """Steps between two checkpoints, an integer >= 1; 50 when not given."""
    out: Path | None = None
    """Folder to write; until all is done, its work stands in OUT.partial."""
    resume: bool = False
    """Go on with the run that was interrupted in OUT.partial."""
    dry_run: bool = False
    """Build the programs by shapes alone; print parameters, memory and operations, and what to download."""
    config: Path | None = None
    """config.json of an earlier run; options given besides take precedence."""
    json: bool = False
    """End with one JSON object on standard output."""
    device: Device | None = None
    """Where to compute; where JAX likes best when not given."""


HOW = ("out", "resume", "dry_run", "config", "json", "device")
"""Options that say how to run the pipeline, not what it is."""


@options
class AnswerOptions:
    """What a user asks of answers; None where nothing was said."""

    model: str | None = None
    """Folder of a Llama checkpoint in the Hugging Face layout."""
    prompts: str | None = None
    """JSONL file of prompts, {"prompt": "…"} a line."""
    adapter: str | None = None
    """Folder with an adapter, such as OUT/adapter of a run; the checkpoint as it is when not given."""
    tokens: int | None = None
    """Most new tokens of an answer, an integer >= 2; 32 when not given."""
    prompt_limit: int | None = None
    """Most tokens of a prompt, chat template included; longer ones are cut; 512 when not given."""
    temperature: float | None = None
    """Of sampling, a number >= 0; 0, the likeliest token, when not given."""
    top_p: float | None = None
    """Share of probability that is sampled from, in (0, 1]; 1 when not given."""
    chat: YesOrNo = None
    """Put prompts into the model's chat template, where it has one; true when not given."""
    seed: int | None = None
    """Seed of sampling, an integer >= 0; 0 when not given."""
    precision: Literal["bfloat16", "float32"] | None = None
    """Of the weights; bfloat16 when not given."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write, {"prompt": "…", "response": "…"} a line."""
    device: Device | None = None
    """Where to compute; where JAX likes best when not given."""


def llm_command(arguments: Sequence[str]) -> int:
    """Train a language model by RLHF or FPO: candidates, winner, reward head, adapter; needs an extra."""
    given: LlmOptions = parse(LlmOptions, arguments, "llm", description=llm_command.__doc__)
    from fpo_jax.errors import InputError
    from fpo_jax.experiments import llm
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.core.settings import load

    use_device(given.device)
    earlier = load(given.config, "llm") if given.config else {}
    wishes = earlier | _said(given, HOW)
    if given.dry_run:
        wishes.setdefault("prompts", "nothing.jsonl")  # none is read
    settings = llm.TrainSettings.of(wishes)
    try:
        if given.dry_run:
            stream = sys.stderr if given.json else sys.stdout
            report = llm.plan(settings, lambda line: print(line, file=stream))
        else:
            if given.resume and given.out is None:
                raise InputError("out", "nothing", "a folder, that of the run to resume")
            report = llm.train(settings, given.out, given.resume)
    except llm.MissingExtra as error:
        return complain(f"llm {error}")
    except llm.Interrupted as error:
        again = f"{error} --device {given.device}" if given.device else error
        sys.stderr.write(f"\n{PROGRAM}: interrupted; finished steps are kept; go on with `{again}`\n")
        return 130
    if given.out is not None and not given.dry_run:
        sys.stderr.write(f"written to {given.out}\n")
    if given.json:
        print(json.dumps(report, allow_nan=False))
    elif not given.dry_run:
        _show(report)
    return 0


def answer_command(arguments: Sequence[str]) -> int:
    """Answer prompts by a language model, with or without an adapter, for a judge; needs an extra."""
    given: AnswerOptions = parse(AnswerOptions, arguments, "answer", description=answer_command.__doc__)
    from fpo_jax.errors import InputError
    from fpo_jax.experiments import llm
    from fpo_jax.experiments.core.devices import use_device

    use_device(given.device)
    settings = llm.AnswerSettings.of(_said(given, ("out", "device")))
    if given.out is None:
        raise InputError("out", "nothing", "a file to write")
    try:
        number = llm.answer(settings, given.out)
    except llm.MissingExtra as error:
        return complain(f"answer {error}")
    sys.stderr.write(f"{number} answers written to {given.out}\n")
    return 0


def _said(given: Any, but: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in vars(given).items() if name not in but and value is not None}


def _show(report: Mapping[str, Any]) -> None:
    for name, value in report.items():
        if value is not None and not isinstance(value, dict):
            print(f"{name:24s} {value:.4f}" if isinstance(value, float) else f"{name:24s} {value}")
