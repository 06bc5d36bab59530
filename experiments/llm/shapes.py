"""A run of the pipeline by shapes alone: the memory of its programs, before anything is downloaded.

Nothing is compiled. `operations` counts what the programs compute.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fpo_jax.engine.memory import tree_bytes
from fpo_jax.experiments.llm.generation import (
    Sampling,
    read_prompt,
)
from fpo_jax.experiments.llm.learning import (
    initial_state,
    lora_of,
    policy_loss,
    training_of,
)
from fpo_jax.experiments.llm.located import sizes
from fpo_jax.experiments.llm.model import Net, adapter_shapes, weight_shapes
from fpo_jax.experiments.llm.settings import ORACLES, TrainSettings
from fpo_jax.experiments.llm.step import (
    Drawing,
    features,
    generate,
    mesh_over,
    update,
)


class Abstract(NamedTuple):
    """The pipeline by shapes: the models, and one prompt of maximum length."""

    base: Net
    policy: Net
    prompt: Any
    length: Any
    how: Sampling

    @classmethod
    def of(cls, settings: TrainSettings, layers: int | None = None) -> "Abstract":
        """Return the shapes of a run with these settings, with this many layers if a number is given."""
        config, dtype = sizes(settings.model), jnp.dtype(settings.precision)
        config = config if layers is None else replace(config, num_layers=layers)
        lora = lora_of(settings)
        base = Net(config, weight_shapes(config, dtype), unroll=layers is not None)
        policy = base.adapted(adapter_shapes(config, lora), lora)
        how = Sampling.of(settings, (0,))
        prompt = jax.ShapeDtypeStruct((settings.prompt_limit,), jnp.int32)
        return cls(base, policy, prompt, jax.ShapeDtypeStruct((), jnp.int32), how)

    def tokens(self, rows: int) -> Any:
        """Return the shape of this many responses."""
        return jax.ShapeDtypeStruct((rows, self.how.tokens), jnp.int32)


def others(settings: TrainSettings) -> dict[str, TrainSettings]:
    """Return settings with each other reward-giving model as the model, by its option."""
    reads = {"reward_model": settings.reward_reads, "oracle": "both"}
    return {
        what: replace(settings, model=folder, reward_reads=reads[what])
        for what, folder in settings.readers.items()
    }


def trunk(settings: TrainSettings, what: str) -> Net:
    """Return a model that only reads, without lm_head."""
    config = replace(sizes(settings.model, what), weight_tying=True)
    return Net(config, weight_shapes(config, jnp.dtype(settings.precision)))


def by_layers(count: Callable[[Abstract], float], settings: TrainSettings) -> float:
    """Return a count that is linear in the number of layers, from counts with one layer and with two."""
    one, two = (count(Abstract.of(settings, layers)) for layers in (1, 2))
    return one + (sizes(settings.model).num_layers - 1) * (two - one)


def surprise_of(settings: TrainSettings, net: Net, how: Sampling, x: Any, m: Any, tokens: Any) -> Callable:
    """Return the policy's loss as a function of the adapter; the draws of dropout are not counted."""
    training = training_of(replace(settings, lora_dropout=0.0), how)
    return lambda adapter: policy_loss(training, net, adapter, x, m, tokens, jax.random.key(0))


def _activations(settings: TrainSettings, abstract: Abstract) -> float:
    """Return the bytes that the winner's likelihood keeps for its gradient, in addition to weights."""
    _, policy, prompt, length, how = abstract

    def kept(net: Net, x: Any, m: Any, tokens: Any) -> Any:
        return jax.vjp(surprise_of(settings, net, how, x, m, tokens), net.adapter)[1]

    left = {(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves((policy.frozen, policy.adapter))}
    residuals = jax.tree.leaves(jax.eval_shape(kept, policy, prompt, length, abstract.tokens(1)))
    return tree_bytes([leaf for leaf in residuals if (leaf.shape, leaf.dtype) not in left])


def memory(settings: TrainSettings, abstract: Abstract, devices: int) -> dict[str, float]:
    """Return bytes on each device, by purpose."""
    base, policy, prompt, length, how = abstract
    divided = devices if settings.placement == "divided" else 1
    rows = settings.candidates / (devices if settings.candidates % devices == 0 else 1)
    read = jax.eval_shape(lambda net, x, m: read_prompt(net, x, m, how.tokens).cache, base, prompt, length)
    readers = {what: trunk(theirs, what) for what, theirs in others(settings).items()}
    head = _head(settings, readers.get("reward_model", base))
    state = jax.eval_shape(partial(initial_state, training_of(settings, how)), policy.adapter, head)
    weights = {
        f"frozen weights, {what.replace('_', ' ')}": tree_bytes(net.frozen) / divided
        for what, net in readers.items()
    }

    at_once = settings.together * rows  # responses
    # copies that `Net.unrolled` makes: a tied embedding needs none
    apart = tree_bytes((base.frozen["layers"], base.frozen.get("lm_head")))
    logits = at_once * base.config.vocab_size * 4.0
    return {
        "frozen weights": tree_bytes(base.frozen) / divided,
        **weights,
        "adapter and its optimiser": tree_bytes((state.adapter, state.adapter_optimiser)),
        "head and its optimiser": tree_bytes((state.head, state.head_optimiser)),
        "copies of weights while generating": apart / divided,
        "keys and values while generating": tree_bytes(read) * (at_once + 2 * settings.together),
        "logits while generating, float32": logits,
        "logits under the reference, float32": logits * how.tokens,
        "activations kept for the backward pass": by_layers(partial(_activations, settings), settings),
    }


def head_width(settings: TrainSettings, width: int) -> int:
    """Return the size of a head for features of this width; a bias in a folder is not counted."""
    return width + int(settings.head_bias and settings.reward_model is None)


def _head(settings: TrainSettings, net: Net) -> Any:
    return jax.ShapeDtypeStruct((head_width(settings, net.config.embed_dim),), jnp.float32)


def build(settings: TrainSettings, abstract: Abstract) -> None:
    """Trace the three programs of a step from shapes, as they would run."""
    base, policy, prompt, length, how = abstract
    readers = {what: trunk(theirs, what) for what, theirs in others(settings).items()}
    reward_model = readers.get("reward_model", base)
    who = settings.oracle if settings.oracle in ORACLES else "folder"
    oracle = {"likelihood": base, "copy": reward_model}.get(who) or readers["oracle"]
    mesh = mesh_over(jax.devices()[:1])
    drawing = Drawing(settings.candidates, how, mesh, who, settings.reward_reads, (0,))
    group = settings.together
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), group))
    prompts = jax.ShapeDtypeStruct((group, settings.prompt_limit), jnp.int32)
    lengths = jax.ShapeDtypeStruct((group,), jnp.int32)
    generated = generate.eval_shape(drawing, policy, base, prompts, lengths, keys)
    head = _head(settings, reward_model)
    of_folder: Any = jax.ShapeDtypeStruct((oracle.config.embed_dim,), jnp.float32)
    one: Any = jax.ShapeDtypeStruct((1,), jnp.float32)
    oracle_head = {"likelihood": one, "copy": head, "folder": of_folder}[who]
    both_features = features.eval_shape(
        drawing, reward_model, oracle, prompts, lengths, generated, head, oracle_head
    )
    training, key = training_of(settings, how), jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(partial(initial_state, training), policy.adapter, head)
    weight = jax.ShapeDtypeStruct((), jnp.float32)
    said, seen = jax.eval_shape(
        lambda *group: jax.tree.map(lambda leaf: leaf[0], group), generated, both_features
    )
    update.eval_shape(training, policy, state, oracle_head, prompt, length, said, seen, weight, key)
