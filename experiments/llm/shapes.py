"""A run of the pipeline by shapes alone: what its programs hold and compute, before anything is downloaded.

Operations are those that XLA counts in each part as it is lowered, a multiplication and an addition as two;
beside them stands 2 · parameters · tokens, the rule of thumb, without attention and what is done between
tokens. All layers are alike: what grows with their number is counted with one and with two of them. Nothing
is compiled.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from fpo_jax.experiments.llm.generation import Sampling, extend, last_hidden, log_likelihood, read_prompt
from fpo_jax.experiments.llm.model import Config, Lora, Net, adapter_graph, parameters, plain_graph
from fpo_jax.experiments.llm.scoring import Candidates, Features, scores
from fpo_jax.experiments.llm.settings import MODES, TrainSettings
from fpo_jax.experiments.llm.sizes import sizes
from fpo_jax.experiments.llm.step import (
    Drawing,
    features,
    generate,
    initial_state,
    mesh_over,
    training_of,
    update,
)


class StepPart(NamedTuple):
    """What one part of a step computes.

    Attributes:
        phase, part: what it is.
        operations: floating-point operations, as XLA counts them.
        rule: 2 · parameters · tokens, forwards; twice that again backwards.
    """

    phase: str
    part: str
    operations: float
    rule: float


def shapes_of(tree: PyTree, dtype: Any = None) -> PyTree:
    """Return the shapes of a tree, in another dtype if one is given."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype or leaf.dtype), tree)


def size(tree: PyTree) -> int:
    """Return how many bytes a tree of arrays or shapes takes."""
    return sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def operations(function: Callable, *arguments: Any) -> float:
    """Return what XLA counts in a function; the body of a loop, such as that of a root, once."""
    counted: Any = jax.jit(function).lower(*arguments).cost_analysis()
    return float(counted["flops"])


class Abstract(NamedTuple):
    """The pipeline by shapes: the models, and one prompt of the most tokens."""

    base: Net
    policy: Net
    prompt: Any
    length: Any
    how: Sampling

    @classmethod
    def of(cls, settings: TrainSettings, layers: int | None = None) -> "Abstract":
        """Return what a run of these settings would hold, with so many layers if a number is given."""
        config, dtype = sizes(settings.model), jnp.dtype(settings.precision)
        config = config if layers is None else Config(**{**vars(config), "num_layers": layers})
        graph, weights = plain_graph(config)
        lora = Lora(settings.lora_rank, settings.lora_alpha, settings.lora_modules)
        base = Net(graph, config, shapes_of(weights, dtype))
        policy = base.adapted(shapes_of(adapter_graph(config, lora)[1], jnp.float32), lora)
        how = Sampling(settings.tokens, (0,), settings.temperature, settings.top_p)
        prompt = jax.ShapeDtypeStruct((settings.prompt_limit,), jnp.int32)
        return cls(base, policy, prompt, jax.ShapeDtypeStruct((), jnp.int32), how)

    def tokens(self, rows: int) -> Any:
        """Return the shape of so many responses."""
        return jax.ShapeDtypeStruct((rows, self.how.tokens), jnp.int32)


def others(settings: TrainSettings) -> dict[str, TrainSettings]:
    """Return the settings under which each other model that rewards would be the model, by its option."""
    given = {what: getattr(settings, what) for what in ("reward_model", "oracle")}
    return {what: replace(settings, model=folder) for what, folder in given.items() if folder is not None}


def trunk(settings: TrainSettings, what: str) -> Net:
    """Return a model that only reads, as it is loaded: without lm_head."""
    config = Config(**{**vars(sizes(settings.model, what)), "weight_tying": True})
    graph, weights = plain_graph(config)
    return Net(graph, config, shapes_of(weights, jnp.dtype(settings.precision)))


def by_layers(count: Callable[[Abstract], float], settings: TrainSettings) -> float:
    """Return a count that grows by the same with every layer, from counts with one layer and with two."""
    one, two = (count(Abstract.of(settings, layers)) for layers in (1, 2))
    return one + (sizes(settings.model).num_layers - 1) * (two - one)


def work(settings: TrainSettings) -> list[StepPart]:
    """Return what every part of a step computes, all prompts being of the most tokens."""
    own, other = _work_of(settings), others(settings)
    if not other:
        return own
    read = [part for part in own if part.phase == "features"] if "reward_model" not in other else []
    for what, theirs in other.items():
        name = what.replace("_", " ")
        for part in _work_of(theirs):
            if part.phase == "features":
                read.append(part._replace(part=f"{part.part}, {name}"))
    return [
        *(part for part in own if part.phase == "generation"),
        *read,
        *(part for part in own if part.phase == "update"),
    ]


def _work_of(settings: TrainSettings) -> list[StepPart]:
    """Return what every part of a step computes where one model does all."""
    one, two = (_work(settings, Abstract.of(settings, layers)) for layers in (1, 2))
    more = sizes(settings.model).num_layers - 1
    return [
        a._replace(
            operations=a.operations + more * (b.operations - a.operations),
            rule=a.rule + more * (b.rule - a.rule),
        )
        for a, b in zip(one, two, strict=True)
    ]


def _work(settings: TrainSettings, abstract: Abstract) -> list[StepPart]:
    base, policy, prompt, length, how = abstract
    config, n, t, p = base.config, settings.candidates, how.tokens, settings.prompt_limit
    embeddings = config.vocab_size * config.embed_dim
    layers = parameters(base.frozen) - embeddings * (1 if config.weight_tying else 2)
    adapter = parameters(policy.adapter)

    def rule(net: Net, tokens: int, logits: int) -> float:
        through = layers + (0 if net.adapter is None else adapter)
        return 2.0 * (through * tokens + embeddings * logits)

    def reading(net: Net) -> float:
        return operations(lambda net, x, m: read_prompt(net, x, m, t).hidden, net, prompt, length)

    def token(net: Net, rows: int) -> float:
        def one(net: Net, read: Any, cache: Any, tokens: Any) -> Any:
            hidden, _ = extend(net, read, cache, tokens, 0, p + t)
            return net.module().logits(hidden[:, 0])

        read = jax.eval_shape(lambda net, x, m: read_prompt(net, x, m, t), net, prompt, length)
        cache = jax.eval_shape(lambda read: read.copies(rows), read)
        return operations(one, net, read, cache, jax.ShapeDtypeStruct((rows, 1), jnp.int32))

    def following(net: Net, rows: int, of: Callable) -> float:
        def all_of(net: Net, x: Any, m: Any, tokens: Any) -> Any:
            return of(net, read_prompt(net, x, m, t), tokens, how.ends)

        return operations(all_of, net, prompt, length, abstract.tokens(rows)) - reads

    def learning(net: Net, x: Any, m: Any, tokens: Any) -> Any:
        def surprise(adapter: Any) -> Any:
            ours = Net(net.graph, net.config, net.frozen, adapter)
            return -log_likelihood(ours, read_prompt(ours, x, m, t), tokens, how.ends)[0][0]

        return jax.value_and_grad(surprise)(net.adapter)

    reads = reading(base)
    mine, theirs = token(policy, n), token(base, 1)
    return [
        StepPart(
            "generation",
            "prompts, read by both models",
            reading(policy) + reads,
            rule(policy, p, 0) + rule(base, p, 0),
        ),
        StepPart("generation", "candidates", (t - 1) * mine, rule(policy, (t - 1) * n, (t - 1) * n)),
        StepPart("generation", "reference response", (t - 1) * theirs, rule(base, t - 1, t - 1)),
        StepPart(
            "generation",
            "a candidate under the reference",
            following(base, 1, log_likelihood),
            rule(base, t, t),
        ),
        StepPart("features", "prompt", reads, rule(base, p, 0)),
        StepPart(
            "features",
            "candidates and reference response",
            following(base, n, last_hidden) + following(base, 1, last_hidden),
            rule(base, (n + 1) * t, 0),
        ),
        StepPart(
            "update",
            "winner, forwards and backwards",
            operations(learning, policy, prompt, length, abstract.tokens(1)),
            2.0 * rule(policy, p + t, t),
        ),
    ]


def scoring(settings: TrainSettings, width: int) -> dict[str, float]:
    """Return what XLA counts in the scores of each mode."""
    row: Any = jax.ShapeDtypeStruct((width,), jnp.float32)
    rows: Any = jax.ShapeDtypeStruct((settings.candidates, width), jnp.float32)
    game = Candidates(Features(rows, rows), Features(row, row), row)
    weight = jax.ShapeDtypeStruct((), jnp.float32)
    return {
        mode: operations(
            lambda game, head, weight, mode=mode: scores(game, head, mode, weight), game, row, weight
        )
        for mode in MODES
    }


def _activations(abstract: Abstract) -> float:
    """Return bytes that the winner's likelihood keeps for its gradient, besides weights."""
    _, policy, prompt, length, how = abstract

    def kept(net: Net, x: Any, m: Any, tokens: Any) -> Any:
        def surprise(adapter: Any) -> Any:
            ours = Net(net.graph, net.config, net.frozen, adapter)
            return log_likelihood(ours, read_prompt(ours, x, m, how.tokens), tokens, how.ends)[0][0]

        return jax.vjp(surprise, net.adapter)[1]

    left = {(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves((policy.frozen, policy.adapter))}
    residuals = jax.tree.leaves(jax.eval_shape(kept, policy, prompt, length, abstract.tokens(1)))
    return size([leaf for leaf in residuals if (leaf.shape, leaf.dtype) not in left])


def memory(settings: TrainSettings, abstract: Abstract, devices: int) -> dict[str, float]:
    """Return bytes on each device, by what they are for."""
    base, policy, prompt, length, how = abstract
    divided = devices if settings.placement == "divided" else 1
    rows = settings.candidates / (devices if settings.candidates % devices == 0 else 1)
    read = jax.eval_shape(lambda net, x, m: read_prompt(net, x, m, how.tokens).cache, base, prompt, length)
    readers = {what: trunk(theirs, what) for what, theirs in others(settings).items()}
    head = jax.ShapeDtypeStruct((readers.get("reward_model", base).config.embed_dim,), jnp.float32)
    state = jax.eval_shape(partial(initial_state, training_of(settings, how)), policy.adapter, head)
    weights = {
        f"frozen weights, {what.replace('_', ' ')}": size(net.frozen) / divided
        for what, net in readers.items()
    }

    return {
        "frozen weights": size(base.frozen) / divided,
        **weights,
        "adapter and its optimiser": size((state.adapter, state.adapter_optimiser)),
        "head and its optimiser": size((state.head, state.head_optimiser)),
        "keys and values while generating": size(read) * (rows + 2),
        "logits while generating, float32": rows * base.config.vocab_size * 4.0,
        "activations kept for the backward pass": by_layers(_activations, settings),
    }


def build(settings: TrainSettings, abstract: Abstract) -> None:
    """Lower the three programs of a step as they would run, from shapes."""
    base, policy, prompt, length, how = abstract
    readers = {what: trunk(theirs, what) for what, theirs in others(settings).items()}
    reward_model = readers.get("reward_model", base)
    oracle = readers.get("oracle", reward_model)
    same = "oracle" not in readers
    drawing = Drawing(settings.candidates, how, mesh_over(jax.devices()[:1]), same_backbone=same)
    key = jax.eval_shape(lambda: jax.random.key(0))
    generated = generate.eval_shape(drawing, policy, base, prompt, length, key)
    head, oracle_head = (
        jax.ShapeDtypeStruct((net.config.embed_dim,), jnp.float32) for net in (reward_model, oracle)
    )
    both_features = features.eval_shape(
        drawing, reward_model, oracle, prompt, length, generated, head, oracle_head
    )
    training = training_of(settings, how)
    state = jax.eval_shape(partial(initial_state, training), policy.adapter, head)
    weight = jax.ShapeDtypeStruct((), jnp.float32)
    update.eval_shape(
        training, policy, state, oracle_head, prompt, length, generated, both_features, weight, key
    )
