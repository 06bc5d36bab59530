"""The dry run: the cost and memory of a step, and what to download."""

from collections.abc import Callable
from typing import Any

import jax

from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.llm.config import KNOWN
from fpo_jax.experiments.llm.fetching import WHEELS
from fpo_jax.experiments.llm.folders import require_same_size
from fpo_jax.experiments.llm.located import sizes
from fpo_jax.experiments.llm.model import parameters
from fpo_jax.experiments.llm.operations import StepPart, scoring, work
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.experiments.llm.shapes import Abstract, build, head_width, memory, others


def plan(settings: TrainSettings, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Print the cost and memory of a step with these settings, and return them.

    Raises:
        InputError: when a model is neither a folder nor a known size, or has different tokens.
    """
    config = sizes(settings.model)
    rewards = config if settings.reward_model is None else sizes(settings.reward_model, "reward_model")
    for what, theirs in others(settings).items():
        require_same_size(what, theirs.model, sizes(theirs.model, what), config)
    with in_precision("float32"):
        abstract = Abstract.of(settings)
        build(settings, abstract)
        devices = settings.devices or len(jax.devices())
        width = head_width(settings, rewards.embed_dim)
        parts, scored = work(settings), scoring(settings, width)
        bytes_for = memory(settings, abstract, devices)
    total = sum(part.operations for part in parts)
    report = {
        "model": settings.model,
        "parameters": parameters(abstract.base.frozen),
        "adapter_parameters": parameters(abstract.policy.adapter),
        "head_parameters": width,
        "devices": devices,
        "bytes_per_device": bytes_for,
        "operations": [part._asdict() for part in parts],
        "operations_per_step": total,
        "operations_before_first_step": settings.fit_prompts
        * sum(part.operations for part in parts if part.phase != "update"),
        "operations_of_scores": scored,
        "overhead_of_modes": {mode: (count - scored["rlhf"]) / total for mode, count in scored.items()},
    }
    for line in _lines(settings, report, parts):
        say(line)
    return report


def _lines(settings: TrainSettings, report: dict[str, Any], parts: list[StepPart]) -> list[str]:
    shape = (
        f"prompts of {settings.prompt_limit} tokens, {settings.candidates} candidates of {settings.tokens}"
    )
    lines = [
        f"{settings.model}, by shapes alone: {shape}, weights in {settings.precision}",
        "",
        f"parameters  base {report['parameters']:,}, adapter {report['adapter_parameters']:,} "
        f"({' '.join(settings.lora_modules)}), head {report['head_parameters']:,}",
        "",
        f"memory of a device, of {report['devices']}, weights {settings.placement}",
    ]
    lines += [f"  {name:42s} {count / 1e9:8.3f} GB" for name, count in report["bytes_per_device"].items()]
    lines += [f"  {'together':42s} {sum(report['bytes_per_device'].values()) / 1e9:8.3f} GB", ""]
    lines += [f"operations of one step {'':31s} {'counted':>10s} {'2·N·tokens':>11s}"]
    for phase in dict.fromkeys(part.phase for part in parts):
        ours = [part for part in parts if part.phase == phase]
        lines += [_line(phase, ours)]
        lines += [_line(f"  {part.part}", [part]) for part in ours]
    lines += [_line("together", parts)]
    if settings.fit_prompts:
        before = report["operations_before_first_step"] / 1e9
        what = f"answers to {settings.fit_prompts} prompts, to fit the head on"
        lines += ["", f"before the first step: {what}: {before:.1f} G operations"]
    if settings.placement == "divided":
        lines += ["", "not counted: what devices send each other where weights are divided"]
    lines += ["", "what a mode adds to choosing by the reward alone"]
    for mode, share in report["overhead_of_modes"].items():
        count = report["operations_of_scores"][mode] - report["operations_of_scores"]["rlhf"]
        lines += [f"  {mode:10s} {count:12,.0f} operations, {share:.1e} of a step"]
    return [*lines, *_how_to_run(settings.model)]


def _how_to_run(model: str) -> list[str]:
    """Say how to get a model that is known by its name."""
    if model in WHEELS:
        run = f"    fpo-jax llm --model {model} --prompts prompts.jsonl --out my_run"
        return ["", "To run it:", f"    fpo-jax fetch {model}", run]
    if model not in KNOWN:
        return []
    place = KNOWN[model][0]
    return [
        "",
        f"To run it, download {place} from Hugging Face, once its licence is accepted there:",
        f"    hf auth login; hf download {place} --exclude 'original/*' --local-dir ./{model}",
        f"    fpo-jax llm --model ./{model} --prompts prompts.jsonl --out my_run",
    ]


def _line(name: str, parts: list[StepPart]) -> str:
    counted, rule = sum(part.operations for part in parts), sum(part.rule for part in parts)
    return f"  {name:52s} {counted / 1e9:7.1f} G {rule / 1e9:9.1f} G"
