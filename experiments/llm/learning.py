"""Learning from a winner: static settings, state, and the policy's loss."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from fpo_jax.experiments.llm.generation import Sampling, log_likelihood, prompt_log_likelihood, read_prompt
from fpo_jax.experiments.llm.model import Lora, Net
from fpo_jax.experiments.llm.scoring import Curvature
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.types import Key, Scalar


@dataclasses.dataclass(frozen=True)
class Training:
    """Static settings, in addition to shapes, of the program that chooses the winner and learns from it."""

    mode: str
    sampling: Sampling
    policy_lr: float
    head_lr: float
    accumulation: int
    lora: Lora
    labels: str = "soft"
    loss_over: str = "both"
    weight_decay: float = 0.01
    damping: float = 1.0

    def optimiser(self, lr: float) -> optax.GradientTransformation:
        """Return AdamW on gradients averaged over `accumulation` steps."""
        adamw = optax.adamw(lr, weight_decay=self.weight_decay)
        return optax.MultiSteps(adamw, self.accumulation).gradient_transformation()


def lora_of(settings: TrainSettings) -> Lora:
    """Return the adapter's shape, scale and dropout."""
    return Lora(settings.lora_rank, settings.lora_alpha, settings.lora_modules, settings.lora_dropout)


def training_of(settings: TrainSettings, how: Sampling) -> Training:
    """Return the static settings of choosing and learning."""
    return Training(
        settings.mode,
        how,
        settings.policy_lr,
        settings.head_lr,
        settings.accumulation,
        lora_of(settings),
        settings.labels,
        settings.loss_over,
        settings.weight_decay,
        settings.damping,
    )


class TrainState(NamedTuple):
    """The state that changes from step to step.

    Attributes:
        adapter: of the policy, θ.
        adapter_optimiser: moments and accumulated gradients.
        head: [d] of the reward model, φ, followed by its bias if it has one.
        head_optimiser: the same for φ.
        curvature: of the head's training data, if the mode needs it.
    """

    adapter: PyTree
    adapter_optimiser: PyTree
    head: Float[Array, " d"]
    head_optimiser: PyTree
    curvature: Curvature | None = None


def initial_state(training: Training, adapter: PyTree, head: Float[Array, " d"]) -> TrainState:
    """Return the state before the first step."""
    return TrainState(
        adapter,
        training.optimiser(training.policy_lr).init(adapter),
        head,
        training.optimiser(training.head_lr).init(head),
        Curvature.none(len(head)) if training.mode == "leverage" else None,
    )


def policy_loss(
    training: Training,
    policy: Net,
    adapter: PyTree,
    prompt: Int[Array, " p"],
    length: Scalar,
    chosen: Int[Array, "1 t"],
    key: Key,
) -> Scalar:
    """Return the mean of −log π_θ over prompt and winner, or over the winner alone, with dropout."""
    net, lora = dataclasses.replace(policy, adapter=adapter), training.lora
    asked, answered = net, net
    if lora.dropout > 0:
        asked, answered = (net.dropping(one) for one in jax.random.split(key))
    read = read_prompt(asked, prompt, length, training.sampling.tokens)
    totals, numbers = log_likelihood(answered, read, chosen, training.sampling.ends)
    total, number = totals[0], numbers[0]
    if training.loss_over == "both":
        before, number_before = prompt_log_likelihood(asked, read, prompt)
        total, number = total + before, number + number_before
    return -total / number.astype(jnp.float32)
