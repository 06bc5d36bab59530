"""The pipeline: its constant parts, loaded and checked."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from fpo_jax.errors import InputError, shortened
from fpo_jax.experiments.llm import checkpoint
from fpo_jax.experiments.llm.fitting import Fit, held_out_accuracy
from fpo_jax.experiments.llm.folders import require_same_size, require_same_tokens
from fpo_jax.experiments.llm.generation import Sampling
from fpo_jax.experiments.llm.learning import (
    Training,
    TrainState,
    initial_state,
    lora_of,
    training_of,
)
from fpo_jax.experiments.llm.located import located, sizes
from fpo_jax.experiments.llm.model import Net, fresh_adapter
from fpo_jax.experiments.llm.prompts import (
    Bytes,
    Prompt,
    Tokenizer,
    pad_to_bucket,
    prompt_file,
    read_prompts,
    say_cut,
)
from fpo_jax.experiments.llm.scoring import Features
from fpo_jax.experiments.llm.settings import ORACLES, TrainSettings
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import (
    Drawing,
    Generated,
    features,
    generate,
    mesh_over,
    step_key,
    update,
)
from fpo_jax.numerics.keys import named_key


class Answered(NamedTuple):
    """Responses to several prompts, with their features; each with a leading axis of prompts.

    Attributes:
        rows: [g, p] the prompts' tokens, padded.
        lengths: [g] their numbers.
        generated: the responses.
        features: of the candidates, and of the reference responses.
    """

    rows: Int[Array, "g p"]
    lengths: Int[Array, " g"]
    generated: Generated
    features: tuple[Features, Features]

    def to(self, index: int) -> "Answered":
        """Return the responses to one of them."""
        return jax.tree.map(lambda leaf: leaf[index], self)


class Pipeline(NamedTuple):
    """The constant parts of a run.

    Attributes:
        settings: of the run.
        drawing, training: static settings of programs.
        base: the reference model, whose weights the policy shares.
        reward_model, oracle: frozen backbones; often the base itself.
        oracle_head: φ*; 1 if the oracle is the likelihood.
        tokenizer: that of the model.
        prompts: in the order of the file.
        start: the state before the first step.
        weight: of the mode's penalty.
        fit: of the initial head, if it was fitted.
        offline: the answers of the fit, as they are saved.
    """

    settings: TrainSettings
    drawing: Drawing
    training: Training
    base: Net
    reward_model: Net
    oracle: Net
    oracle_head: jax.Array
    tokenizer: Tokenizer | Bytes
    prompts: Sequence[Prompt]
    start: TrainState
    weight: float
    fit: Fit | None = None
    offline: Mapping[str, np.ndarray] | None = None

    def answered(self, state: TrainState, prompts: Sequence[Prompt], keys: jax.Array) -> Answered:
        """Return the responses of the reference model and the policy to prompts, with their features."""
        longest, limit = max(len(prompt.tokens) for prompt in prompts), self.settings.prompt_limit
        rows = jnp.asarray(np.stack([pad_to_bucket(prompt.tokens, limit, longest) for prompt in prompts]))
        lengths = jnp.array([len(prompt.tokens) for prompt in prompts], jnp.int32)
        generated = generate(self.drawing, self.policy(state), self.base, rows, lengths, keys)
        heads = (state.head, self.oracle_head)
        seen = features(self.drawing, self.reward_model, self.oracle, rows, lengths, generated, *heads)
        return Answered(rows, lengths, generated, seen)

    def policy(self, state: TrainState) -> Net:
        """Return the model with the present adapter."""
        return self.base.adapted(state.adapter, self.training.lora)

    def drawn(self, state: TrainState, number: int) -> Answered:
        """Return the responses at a step and at the others of its group, which have the same policy."""
        first = number - number % self.settings.together
        steps = range(first, first + self.settings.together)
        keys = jax.vmap(self.key)(jnp.array(steps))
        return self.answered(state, [self.prompts[step % len(self.prompts)] for step in steps], keys)

    def key(self, number: int | Int[Array, ""]) -> jax.Array:
        """Return the key of a step."""
        return step_key(jax.random.key(self.settings.seed), number)

    def step(
        self, state: TrainState, number: int, drawn: Answered | None = None
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        """Take one step; return the state after it, and its record.

        Args:
            state: before the step.
            number: of the step.
            drawn: the result of `drawn` for it, or for another step of its group.
        """
        group = self.drawn(state, number) if drawn is None else drawn
        said = group.to(number % self.settings.together)
        weight = jnp.float32(self.weight)
        after, metrics = update(
            *(self.training, self.policy(state), state, self.oracle_head),
            *(said.rows, said.lengths, said.generated, said.features, weight, self.key(number)),
        )
        self.require_utilities(said, f"at step {number}")
        if self.fit is not None:
            metrics["held_out_accuracy"] = held_out_accuracy(after.head, self.fit.held_out)
        written = {name: np.asarray(value) for name, value in metrics.items()}
        tokens = np.asarray(said.generated.candidates)[int(written["winner"])]
        return after, written | {
            "winner_tokens": tokens,
            "reference_tokens": np.asarray(said.generated.reference)[0],
        }

    def require_utilities(self, answered: Answered, when: str) -> None:
        """Raise an InputError, with response and step, if the oracle gives a response no finite number."""
        drawn, other = (np.asarray(of.oracle @ self.oracle_head) for of in answered.features)
        utilities = np.append(drawn, other)
        strange = np.flatnonzero(~np.isfinite(utilities))
        if len(strange):
            index = int(strange[0])
            said = "the reference response"
            if index < len(drawn):
                text = self.tokenizer.response(np.asarray(answered.generated.candidates)[index])
                said = f"the answer {shortened(repr(text), 60)}" if text.strip() else "an empty answer"
            allowed = f"one that gives every answer a number, but {said} gets {utilities[index]} {when}"
            raise InputError("oracle", self.settings.oracle, allowed)


def prepare(settings: TrainSettings) -> Pipeline:
    """Load and check everything that a run needs.

    Raises:
        InputError: says which file or setting cannot be used, and what to do.
    """
    texts = read_prompts(prompt_file(settings.prompts))
    folder = Path(settings.model) if settings.random else located(settings.model)
    config = sizes(settings.model) if settings.random else read_config(folder, "model")
    tokenizer = Bytes() if settings.random else Tokenizer(folder, config, chat=settings.chat)
    prompts = [tokenizer.encode(text, settings.prompt_limit) for text in texts]
    mesh, key = _mesh(settings), jax.random.key(settings.seed)
    if settings.random and settings.placement == "divided":
        raise InputError("placement", "divided", "replicated when weights are drawn")
    if settings.random:
        base = checkpoint.random_weights(config, settings.precision, mesh, named_key(key, "weights"))
    else:
        base = _load(folder, settings, mesh, "model")
    rewarding = _rewarding(settings, folder, base, mesh, key)
    say_cut(prompts, settings.prompt_limit)
    if len(prompts) < settings.steps:
        sys.stderr.write(f"{len(prompts)} prompts for {settings.steps} steps: they are read again\n")
    how = Sampling.of(settings, tokenizer.ends)
    lora = lora_of(settings)
    who = settings.oracle if settings.oracle in ORACLES else "folder"
    drawing = Drawing(settings.candidates, how, mesh, who, settings.reward_reads, tokenizer.begins)
    training = training_of(settings, how)
    start = initial_state(training, fresh_adapter(config, lora, named_key(key, "adapter")), rewarding.head)
    placed = jax.device_put((start, rewarding.oracle_head), NamedSharding(mesh, PartitionSpec()))
    models = (base, rewarding.reward_model, rewarding.oracle)
    return Pipeline(
        *(settings, drawing, training, *models, placed[1]),
        *(tokenizer, prompts, placed[0], settings.weight),
    )


class _Rewarding(NamedTuple):
    """Who rewards, and by which heads."""

    reward_model: Net
    head: jax.Array
    oracle: Net
    oracle_head: jax.Array


def _rewarding(settings: TrainSettings, folder: Path, base: Net, mesh: Mesh, key: jax.Array) -> _Rewarding:
    """Load and check the reward model and the oracle; draw the head if none is stored, with a note."""
    reward_model, stored = base, None
    for what, other in settings.readers.items():
        if not settings.random:
            require_same_tokens(Path(other), folder, what)
    if settings.reward_model is not None:
        reward_model = _load(Path(settings.reward_model), settings, mesh, "reward_model", base)
        stored = checkpoint.head(Path(settings.reward_model), reward_model.config, "reward_model")
    width = reward_model.config.embed_dim
    if stored is not None:
        head = _joined(stored)
    else:
        head = _drawn_head(named_key(key, "head"), width, settings.head_bias)
    if settings.oracle == "likelihood":
        oracle, oracle_head = base, jnp.ones(1)
    elif settings.oracle == "copy":
        oracle, oracle_head = reward_model, head
    else:
        oracle = _load(Path(settings.oracle), settings, mesh, "oracle", base)
        oracle_head = _head(Path(settings.oracle), oracle, "oracle")
    if stored is None:
        sys.stderr.write(f"the reward model has no {checkpoint.SCORE}: its head is drawn from the seed\n")
    if settings.new_head:
        head = _drawn_head(named_key(key, "new head"), width, len(head) > width)
    return _Rewarding(reward_model, head, oracle, oracle_head)


def _mesh(settings: TrainSettings) -> Mesh:
    found = jax.devices()
    number = settings.devices or len(found)
    if number > len(found):
        raise InputError("devices", number, f"at most {len(found)}, the number that JAX finds")
    return mesh_over(found[:number])


def _load(folder: Path, settings: TrainSettings, mesh: Mesh, what: str, beside: Net | None = None) -> Net:
    """Load a checkpoint; a reward model is loaded `beside` the policy whose tokens it reads."""
    config = read_config(folder, what)
    if beside is not None:
        require_same_size(what, folder, config, beside.config)
    divided = settings.placement == "divided"
    if divided and config.embed_dim % mesh.size:
        raise InputError("placement", "divided", f"replicated: {mesh.size} devices do not divide the width")
    return checkpoint.load(folder, settings.precision, mesh, not divided, what, trunk_only=beside is not None)


def _drawn_head(key: jax.Array, width: int, bias: bool) -> jax.Array:
    """Draw a head for d features, φ ~ N(0, 1/d), followed by a bias of 0 if it has one."""
    drawn = jax.random.normal(key, (width,), jnp.float32) / jnp.sqrt(jnp.float32(width))
    return jnp.pad(drawn, (0, int(bias)))


def _head(folder: Path, net: Net, what: str) -> jax.Array:
    stored = checkpoint.head(folder, net.config, what)
    if stored is None:
        raise InputError(what, folder, f"a reward model: a checkpoint with {checkpoint.SCORE}")
    return _joined(stored)


def _joined(stored: checkpoint.Head) -> jax.Array:
    bias = [] if stored.bias is None else [stored.bias]
    return jnp.asarray(np.append(stored.weight, bias), jnp.float32)
