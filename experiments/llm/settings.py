"""What a run of the pipeline is: plain settings, checked before anything is loaded. Needs no extra."""

import dataclasses

from fpo_jax.engine.initial import SEED_LIMIT
from fpo_jax.experiments.core.declared import Declared, option
from fpo_jax.hyperparameters import REQUIRED, choice, count, flag, real, several, text

MODES = ("rlhf", "practical", "relaxed", "proximal")
LORA_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Projections of a layer that can be adapted."""
LLAMA = "folder of a Llama checkpoint in the Hugging Face layout"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation(Declared):
    """Settings of whatever answers prompts, in training or after it."""

    model: str = text(REQUIRED, LLAMA, naming="a folder")
    prompts: str = text(REQUIRED, 'JSONL file of prompts, {"prompt": "…"} a line', naming="a file")
    tokens: int = count(32, "most new tokens of a response", low=2)
    prompt_limit: int = count(512, "most tokens of a prompt, chat template included; longer ones are cut")
    temperature: float = real(1.0, "of sampling; 0 takes the likeliest token", low=0.0)
    top_p: float = real(1.0, "share of probability that is sampled from", low=1e-6, high=1.0)
    chat: bool = flag(True, "put prompts into the model's chat template, where it has one")
    seed: int = count(
        0, "seed of sampling, and of the adapter and the head of a run", low=0, high=SEED_LIMIT - 1
    )
    precision: str = choice(
        "bfloat16", "of frozen weights; heads and adapters are in float32", ("bfloat16", "float32")
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Generation):
    """Resolved settings of a run: one step is one prompt."""

    model: str = text(
        REQUIRED,
        f"{LLAMA}, which is policy, reference and features; with --dry-run and --random also llama-3.2-1b, "
        "llama-3.2-3b or llama-3.1-8b",
        naming="a folder",
    )
    mode: str = choice("rlhf", "by which effective reward the winner is chosen", MODES)
    weight: float = real(10.0, "γ, the weight of the penalty, or κ of the proximal form", low=0.0)
    reward_model: str | None = text(
        None,
        "folder of another checkpoint for the reward model's features, and for its head where it has "
        "score.weight; the model's own features and a head drawn from the seed when not given",
        naming="a folder",
    )
    oracle: str | None = text(
        None,
        "folder of another reward model as preference oracle; a frozen copy of the first one when not given",
        naming="a folder",
    )
    steps: int = count(500, "prompts, one a step; read again where the file has fewer")
    candidates: int = count(8, "candidates for each prompt")
    policy_lr: float = real(2e-5, "learning rate of the policy's adapter", low=0.0)
    head_lr: float = real(5e-5, "learning rate of the reward head", low=0.0)
    accumulation: int = count(4, "steps whose gradients are averaged for one update")
    labels: str = choice("soft", "what the oracle says: its probability, or a draw by it", ("soft", "hard"))
    new_head: bool = flag(
        False, "begin with a reward head drawn from the seed, while the oracle keeps the initial one"
    )
    lora_rank: int = count(16, "rank of the adapter")
    lora_alpha: float = real(32.0, "the adapter's scale is alpha / rank", low=0.0)
    lora_modules: tuple[str, ...] = several(
        ("q_proj", "v_proj"), "projections that are adapted", LORA_MODULES
    )
    random: bool = flag(
        False,
        "draw the weights in place of loading a checkpoint's, and read text byte by byte: to time a model of "
        "these sizes without its weights",
    )
    placement: str = choice(
        "replicated", "weights on every device, or divided among them", ("replicated", "divided")
    )
    devices: int | None = count(None, "devices to use; all that JAX sees when not given")
    every: int = count(50, "steps between two checkpoints")

    def command(self) -> str:
        """Return the command that repeats this run."""
        values = {name: (getattr(self, name), field.default) for name, field in self.known().items()}
        changed = {name: value for name, (value, default) in values.items() if value != default}
        return " ".join(["fpo-jax llm", *(option(*each, word=True) for each in changed.items())])


HOW = ("devices", "placement", "every")
"""Settings that say how to compute a run, not what it is: they may change when it is resumed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerSettings(Generation):
    """Resolved settings of answering prompts."""

    adapter: str | None = text(
        None,
        "folder with an adapter, such as OUT/adapter of a run; the checkpoint as it is when not given",
        naming="a folder",
    )
    temperature: float = real(0.0, "of sampling; 0 takes the likeliest token", low=0.0)
