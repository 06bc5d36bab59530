"""Settings of a run of the pipeline, checked before anything is loaded. Needs no extra."""

import dataclasses

from fpo_jax.engine.initial import SEED_LIMIT
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.declared import Declared
from fpo_jax.hyperparameters import REQUIRED, choice, count, flag, real, several, text

MODES = ("rlhf", "practical", "relaxed", "proximal", "leverage")
LORA_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Projections of a layer that can have an adapter."""
ORACLES = ("likelihood", "copy")
"""Oracles that need no folder of their own."""
MOST_TOGETHER = 8
"""Most prompts to answer at once: more would take more memory and save little time."""
PARTS = ("answer", "both")
"""The text to read or to learn from: the answer alone, or prompt and answer."""
INCLUDED = "included"
"""Used instead of a file's name, for the instructions that come with this package."""
LLAMA = (
    "folder of a Llama checkpoint in the Hugging Face layout, GGUF file of a Llama, or smollm2-135m after "
    "`fpo-jax fetch smollm2-135m`"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation(Declared):
    """Settings of answering prompts, in training or after it."""

    model: str = text(REQUIRED, LLAMA, naming="a folder, a GGUF file or a name")
    prompts: str = text(
        INCLUDED,
        'JSONL file of prompts, one {"prompt": "…"} a line, or included: 200 instructions of this package',
        naming="a file, or included",
    )
    tokens: int = count(32, "maximum new tokens in a response", low=2)
    least_tokens: int = count(5, "minimum new tokens before a response may end", low=0)
    prompt_limit: int = count(
        128, "maximum tokens of a prompt with its chat template; longer prompts are cut"
    )
    temperature: float = real(0.8, "temperature of sampling; 0 takes the likeliest token", low=0.0)
    top_p: float = real(0.9, "total probability of the likeliest tokens to sample from", low=1e-6, high=1.0)
    chat: bool = flag(True, "put prompts into the model's chat template, which must exist")
    seed: int = count(
        0, "seed for sampling, and for drawing a run's adapter and head", low=0, high=SEED_LIMIT - 1
    )
    precision: str = choice(
        "bfloat16", "precision of frozen weights; heads and adapters are in float32", ("bfloat16", "float32")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_tokens > self.tokens:
            raise InputError("least_tokens", self.least_tokens, f"at most the {self.tokens} of --tokens")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(Generation):
    """Resolved settings of a run: one step is one prompt."""

    model: str = text(
        REQUIRED,
        f"model of the policy, the reference and the features: {LLAMA}; with --dry-run and --random also "
        "llama-3.2-1b, llama-3.2-3b or llama-3.1-8b",
        naming="a folder, a GGUF file or a name",
    )
    mode: str = choice("rlhf", "effective reward that chooses the winner among the candidates", MODES)
    weight: float = real(10.0, "γ, the weight of the penalty, or κ of the proximal form", low=0.0)
    calibrated: bool = flag(
        False,
        "instead of --weight, use the weight at which penalty and reward have the same spread over the "
        "answers to --fit-prompts",
    )
    damping: float = real(1.0, "δ, added to the head's curvature in mode leverage", low=0.0, open=True)
    reward_model: str | None = text(
        None,
        "folder of another checkpoint for the reward model's features, and for its head if it has "
        "score.weight; when not given, the model's own features and a head drawn with the seed",
        naming="a folder",
    )
    reward_reads: str = choice(
        "answer", "what the reward model reads: the answer without its prompt, or both", PARTS
    )
    oracle: str = text(
        "likelihood",
        "who gives preferences: likelihood, the likelihood of prompt and answer under the frozen model; "
        "copy, a copy of the initial reward model; or the folder of another reward model, which reads both",
        naming="likelihood, copy or a folder",
    )
    steps: int = count(500, "training steps, one prompt each; a shorter file of prompts is read again")
    candidates: int = count(8, "candidates to draw for each prompt")
    policy_lr: float = real(2e-5, "learning rate of the policy's adapter", low=0.0)
    head_lr: float = real(5e-5, "learning rate of the reward head", low=0.0)
    weight_decay: float = real(
        0.01, "weight decay of AdamW, for adapter and head (PyTorch's default)", low=0.0
    )
    accumulation: int = count(4, "steps over which gradients are averaged for one update")
    labels: str = choice("soft", "soft: the oracle's probability; hard: a draw from it", ("soft", "hard"))
    new_head: bool = flag(
        False, "begin with a reward head drawn with the seed; the oracle keeps the initial one"
    )
    head_bias: bool = flag(True, "give a drawn head a bias, so that the features are h and a 1")
    fit_prompts: int = count(
        0,
        "number of prompts, chosen with the seed: before the first step the reward head is fitted to the "
        "base model's answers to them; 0 fits nothing",
        low=0,
    )
    fit_held_out: float = real(
        0.2, "share of these prompts held out, to test the fitted head", low=0.0, high=1.0
    )
    fit_ridge: float | None = real(
        None,
        "ridge λ of the fit, in units of the features' mean squared difference; chosen by cross-validation "
        "when not given",
        low=0.0,
        open=True,
    )
    fit_answers: str | None = text(
        None,
        "offline.npz of an earlier run with the same answers, to avoid drawing them again",
        naming="a file",
    )
    loss_over: str = choice(
        "both", "text whose mean log-likelihood the policy raises: prompt and answer, or the answer", PARTS
    )
    lora_rank: int = count(16, "rank of the adapter")
    lora_alpha: float = real(32.0, "the adapter's scale is alpha / rank", low=0.0)
    lora_modules: tuple[str, ...] = several(
        ("q_proj", "k_proj", "v_proj", "o_proj"), "projections with an adapter", LORA_MODULES
    )
    lora_dropout: float = real(
        0.05, "dropout on the adapter's inputs, only in the policy's update", low=0.0, high=0.99
    )
    random: bool = flag(
        False,
        "draw random weights instead of loading a checkpoint, and read text byte by byte: to time a model "
        "of this size without its weights",
    )
    placement: str = choice(
        "replicated",
        "whole weights on every device, or weights divided among the devices",
        ("replicated", "divided"),
    )
    devices: int | None = count(None, "number of devices to use; all when not given")
    every: int = count(50, "steps between two checkpoints")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit_prompts and self.fit_prompts - self.held_out_prompts < 2:
            allowed = "0, or large enough to leave two prompts that are not held out"
            raise InputError("fit_prompts", self.fit_prompts, allowed)
        if self.fit_answers is not None and not self.fit_prompts:
            raise InputError("fit_answers", self.fit_answers, "given together with --fit-prompts")
        if self.calibrated and not self.fit_prompts:
            raise InputError("calibrated", True, "given together with --fit-prompts")

    @property
    def together(self) -> int:
        """Steps answered at once: the largest divisor of `accumulation` up to `MOST_TOGETHER`."""
        return max(size for size in range(1, MOST_TOGETHER + 1) if self.accumulation % size == 0)

    @property
    def held_out_prompts(self) -> int:
        """The number of prompts whose answers are held out from the fit: one or more."""
        return max(1, round(self.fit_held_out * self.fit_prompts))

    def command(self) -> str:
        """Return the command that repeats this run."""
        return self.repeated("fpo-jax llm")

    @property
    def readers(self) -> dict[str, str]:
        """The folders of other models that reward, by their setting."""
        given = {"reward_model": self.reward_model, "oracle": self.oracle}
        return {what: name for what, name in given.items() if name is not None and name not in ORACLES}


HOW = ("devices", "placement", "every")
"""Settings that affect only how a run is computed; they may change when it is resumed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerSettings(Generation):
    """Resolved settings of answering prompts."""

    adapter: str | None = text(
        None,
        "folder of an adapter, such as OUT/adapter of a run; no adapter when not given",
        naming="a folder",
    )
    least_tokens: int = count(0, "minimum new tokens before an answer may end", low=0)
    prompt_limit: int = count(
        512, "maximum tokens of a prompt with its chat template; longer prompts are cut"
    )
    temperature: float = real(0.0, "temperature of sampling; 0 takes the likeliest token", low=0.0)
    top_p: float = real(1.0, "total probability of the likeliest tokens to sample from", low=1e-6, high=1.0)
