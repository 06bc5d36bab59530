"""What the programs of a step compute, counted from shapes alone.

Operations are those that XLA counts in each part as it is lowered, a multiplication and an addition as two;
beside them stands 2 · parameters · tokens, the rule of thumb, without attention and what is done between
tokens. All layers are alike: what grows with their number is counted with one and with two of them. Nothing
is compiled.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fpo_jax.experiments.llm.generation import (
    extend,
    last_hidden,
    last_hidden_alone,
    log_likelihood,
    prompt_log_likelihood,
    read_prompt,
)
from fpo_jax.experiments.llm.located import sizes
from fpo_jax.experiments.llm.model import Net, parameters
from fpo_jax.experiments.llm.scoring import Candidates, Features, scores
from fpo_jax.experiments.llm.settings import MODES, TrainSettings
from fpo_jax.experiments.llm.shapes import Abstract, others, surprise_of


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


def operations(function: Callable, *arguments: Any) -> float:
    """Return what XLA counts in a function; the body of a loop, such as that of a root, once."""
    counted: Any = jax.jit(function).lower(*arguments).cost_analysis()
    return float(counted["flops"])


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
            return net.logits(hidden[:, 0])

        read = jax.eval_shape(lambda net, x, m: read_prompt(net, x, m, t), net, prompt, length)
        cache = jax.eval_shape(lambda read: read.copies(rows), read)
        return operations(one, net, read, cache, jax.ShapeDtypeStruct((rows, 1), jnp.int32))

    def following(net: Net, rows: int, of: Callable) -> float:
        def all_of(net: Net, x: Any, m: Any, tokens: Any) -> Any:
            return of(net, read_prompt(net, x, m, t), tokens, how.ends)

        return operations(all_of, net, prompt, length, abstract.tokens(rows)) - reads

    def alone(rows: int) -> float:
        def all_of(net: Net, tokens: Any) -> Any:
            return last_hidden_alone(net, (0,), tokens, how.ends)

        return operations(all_of, base, abstract.tokens(rows))

    def asking(net: Net, x: Any, m: Any) -> Any:
        return prompt_log_likelihood(net, read_prompt(net, x, m, t), x)

    def learning(net: Net, x: Any, m: Any, tokens: Any) -> Any:
        return jax.value_and_grad(surprise_of(settings, net, how, x, m, tokens))(net.adapter)

    reads = reading(base)
    mine, theirs = token(policy, n), token(base, 1)
    if settings.reward_reads == "both":
        features = [
            StepPart("features", "prompt", reads, rule(base, p, 0)),
            StepPart(
                "features",
                "candidates and reference response",
                following(base, n, last_hidden) + following(base, 1, last_hidden),
                rule(base, (n + 1) * t, 0),
            ),
        ]
    else:
        both = alone(n) + alone(1)
        read_alone = rule(base, (n + 1) * (t + 1), 0)
        features = [StepPart("features", "candidates and reference response, alone", both, read_alone)]
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
            "prompt and candidates under the reference",
            operations(asking, base, prompt, length) - reads + following(base, n, log_likelihood),
            rule(base, n * t, p + n * t),
        ),
        *features,
        StepPart(
            "update",
            "winner, forwards and backwards",
            operations(learning, policy, prompt, length, abstract.tokens(1)),
            2.0 * rule(policy, p + t, p + t if settings.loss_over == "both" else t),
        ),
    ]


def scoring(settings: TrainSettings, width: int) -> dict[str, float]:
    """Return what XLA counts in the scores of each mode, d being the width.

    It counts no operations of LAPACK's. For `leverage` they are added: d³/3 for the factor of H + δ, and d²
    for each of a candidate's two triangular solves.
    """
    own = 1 if settings.oracle == "likelihood" else width

    def of(*sizes: int) -> Any:
        return jax.ShapeDtypeStruct(sizes, jnp.float32)

    n, row = settings.candidates, of(width)
    game = Candidates(Features(of(n, width), of(n, own)), Features(row, of(own)), of(own))
    weight = jax.ShapeDtypeStruct((), jnp.float32)
    counted = {
        mode: operations(
            lambda game, head, weight, factor, mode=mode: scores(game, head, mode, weight, factor),
            game,
            row,
            weight,
            of(width, width),
        )
        for mode in MODES
    }
    return counted | {"leverage": counted["leverage"] + width**3 / 3 + 2 * n * width**2}
