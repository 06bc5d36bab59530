"""One step of the pipeline, one prompt, as three programs: generation, features, update.

z_ref ~ π_ref,  z_1 … z_n ~ π_θ; log π_ref of all                        generation
h(z): final hidden state of a frozen backbone at the last token; U(z)    features
winner = argmax of the mode's effective reward; p* = σ(U(winner) − U(z_ref))
φ: a step on the Bradley–Terry loss of (winner, z_ref) with label p*
θ: a step on the mean of −log π_θ over prompt and winner, by the adapter alone, dropout on      update

The first two handle several prompts at once: those of steps with the same policy. Dropout is on only in the
policy's update, not when responses are drawn, read, ranked or scored.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from fpo_jax.experiments.llm.accuracy import accuracy
from fpo_jax.experiments.llm.generation import (
    Sampling,
    last_hidden,
    last_hidden_alone,
    log_likelihood,
    prompt_log_likelihood,
    read_prompt,
    sample,
    within_response,
)
from fpo_jax.experiments.llm.learning import Training, TrainState, policy_loss
from fpo_jax.experiments.llm.model import Net
from fpo_jax.experiments.llm.oracle import utility
from fpo_jax.experiments.llm.scoring import Candidates, Features, compared, head_loss, scores
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key, Scalar


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Static settings, in addition to shapes, of the programs that draw and read responses."""

    candidates: int
    sampling: Sampling
    mesh: Mesh
    oracle: str = "likelihood"  # or copy, with the features of the reward model; or folder
    reads: str = "answer"  # what the reward model reads: the answer alone, or both
    begins: tuple[int, ...] = ()  # tokens that begin every text

    def spread(self, tree: PyTree) -> PyTree:
        """Divide arrays with a leading axis of candidates among the devices, if they divide evenly."""
        if self.mesh.size == 1 or self.candidates % self.mesh.size:
            return tree

        def one(leaf: Array) -> Array:
            if leaf.shape[0] != self.candidates:
                return leaf
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(self.mesh, PartitionSpec("fsdp")))

        return jax.tree.map(one, tree)


class Likelihoods(NamedTuple):
    """Σ log π_ref, in nats, at temperature 1, without top_p and without a minimum length.

    Attributes:
        prompt: of the prompt's tokens except the first.
        candidates: [n] of each candidate's.
        reference: [1] of the reference response's.
    """

    prompt: Scalar
    candidates: Float[Array, " n"]
    reference: Float[Array, " 1"]


class Generated(NamedTuple):
    """Responses to one prompt, or to several with a leading axis.

    Attributes:
        reference: [1, t] by the reference model.
        candidates: [n, t] by the policy.
        log_probability: [n] Σ log π_θ of each candidate, defined as in `Likelihoods`.
        under_reference: likelihoods of prompt, candidates and reference response under the reference model.
    """

    reference: Int[Array, "1 t"]
    candidates: Int[Array, "n t"]
    log_probability: Float[Array, " n"]
    under_reference: Likelihoods

    @property
    def kl(self) -> Scalar:
        """The mean over candidates of log π_θ − log π_ref.

        It is an unbiased estimate of KL(π_θ ‖ π_ref) if sampling has temperature 1, top_p 1 and no minimum
        length.
        """
        return jnp.mean(self.log_probability - self.under_reference.candidates, axis=-1)


@partial(jax.jit, static_argnames="drawing")
def generate(
    drawing: Drawing, policy: Net, base: Net, prompts: Int[Array, "g p"], lengths: Int[Array, " g"], keys: Key
) -> Generated:
    """Draw reference responses from the frozen model and candidates from the policy, to g prompts at once.

    A token for one prompt takes nearly as long as one for each of several, since weights are read once for
    all.
    """
    how = drawing.sampling
    policy = dataclasses.replace(base, adapter=policy.adapter, lora=policy.lora)  # the same weights, once

    def to_one(prompt: Int[Array, " p"], length: Scalar, key: Key) -> Generated:
        read = read_prompt(base, prompt, length, how.tokens)
        reference = sample(base, read, named_key(key, "reference"), 1, how)
        mine = read_prompt(policy, prompt, length, how.tokens)
        drawn = sample(policy, mine, named_key(key, "candidates"), drawing.candidates, how, drawing.spread)
        asked, _ = prompt_log_likelihood(base, read, prompt)
        answered, _ = log_likelihood(base, read, drawn.tokens, how.ends, drawing.spread)
        under_reference = Likelihoods(asked, answered, reference.log_probability)
        return Generated(reference.tokens, drawn.tokens, drawn.log_probability, under_reference)

    return jax.vmap(to_one)(prompts, lengths, keys)


@partial(jax.jit, static_argnames="drawing")
def features(
    drawing: Drawing,
    reward_model: Net,
    oracle: Net,
    prompts: Int[Array, "g p"],
    lengths: Int[Array, " g"],
    generated: Generated,
    head: Float[Array, " d"],
    oracle_head: Float[Array, " e"],
) -> tuple[Features, Features]:
    """Return features of the candidates and of the reference response to g prompts.

    Only the lengths of the heads matter: a head longer than the features by 1 has a bias, and a 1 follows the
    features. The oracle's features come from its own backbone. If the oracle is the likelihood, they are U
    itself, to be multiplied by 1.
    """
    how = drawing.sampling

    def of(net: Net, width: int, reads: str, prompt: Array, length: Scalar, said: Generated) -> Any:
        both = (said.candidates, said.reference)
        if reads == "answer":
            read_alone = partial(last_hidden_alone, net, drawing.begins, ends=how.ends, spread=drawing.spread)
            drawn, other = map(read_alone, both)
        else:
            read = read_prompt(net, prompt, length, how.tokens)
            drawn, other = (last_hidden(net, read, tokens, how.ends, drawing.spread) for tokens in both)
        ones = width - drawn.shape[1]  # 1 if the head has a bias
        return jnp.pad(drawn, ((0, 0), (0, ones)), constant_values=1.0), jnp.pad(
            other[0], (0, ones), constant_values=1.0
        )

    def to_one(prompt: Int[Array, " p"], length: Scalar, said: Generated) -> tuple[Features, Features]:
        drawn, other = of(reward_model, head.shape[0], drawing.reads, prompt, length, said)
        oracle_drawn, oracle_other = drawn, other
        if drawing.oracle == "likelihood":
            likely, asked = said.under_reference, length - 1
            tokens = (said.candidates, said.reference)
            numbers = [jnp.sum(within_response(each, how.ends), axis=1) for each in tokens]
            oracle_drawn = utility(likely.prompt, asked, likely.candidates, numbers[0])[:, None]
            oracle_other = utility(likely.prompt, asked, likely.reference, numbers[1])
        elif drawing.oracle != "copy":
            oracle_drawn, oracle_other = of(oracle, oracle_head.shape[0], "both", prompt, length, said)
        return Features(drawn, oracle_drawn), Features(other, oracle_other)

    return jax.vmap(to_one)(prompts, lengths, generated)


@partial(jax.jit, static_argnames="training")
def update(
    training: Training,
    policy: Net,
    state: TrainState,
    oracle_head: Float[Array, " e"],
    prompt: Int[Array, " p"],
    length: Scalar,
    generated: Generated,
    both_features: tuple[Features, Features],
    weight: Scalar,
    key: Key,
) -> tuple[TrainState, dict[str, Scalar]]:
    """Choose the winner, and let head and adapter each take a step; return the new state and the record."""
    game = Candidates(*both_features, oracle_head)
    before = state.curvature
    factor = None if before is None else before.factored(training.damping)
    rewards = scores(game, state.head, "rlhf", 0.0)
    ranked = scores(game, state.head, training.mode, weight, factor)
    winner = jnp.argmax(ranked)
    best = jax.tree.map(lambda leaf: leaf[winner], game.drawn)
    item = compared(game, best, training.labels, named_key(key, "annotator"))
    loss, head_gradient = head_loss(game, state.head, item)
    head_step, head_optimiser = training.optimiser(training.head_lr).update(
        head_gradient, state.head_optimiser, state.head
    )
    chosen = generated.candidates[winner][None]
    surprise, gradient = jax.value_and_grad(
        lambda adapter: policy_loss(
            training, policy, adapter, prompt, length, chosen, named_key(key, "dropout")
        )
    )(state.adapter)
    step, adapter_optimiser = training.optimiser(training.policy_lr).update(
        gradient, state.adapter_optimiser, state.adapter
    )
    after = TrainState(
        optax.apply_updates(state.adapter, step),
        adapter_optimiser,
        optax.apply_updates(state.head, head_step),
        head_optimiser,
        None if before is None else before.after(game, state.head, item),
    )
    reward, true_utility = game.reward(state.head, item.y), game.utility(item.y)
    penalty = rewards - ranked
    utilities = jax.vmap(game.utility)(game.drawn)
    on_policy_accuracy, on_policy_pairs = accuracy(rewards, utilities, generated.candidates)
    return after, {
        "true_utility": true_utility,
        "proxy_reward": reward,
        "gap": reward - true_utility,
        "preference": item.preferred,
        "penalty": penalty[winner],
        "mean_reward": jnp.mean(rewards),
        "mean_utility": jnp.mean(utilities),
        "reference_reward": game.reward(state.head, game.reference_drawn),
        "reference_utility": game.utility(game.reference_drawn),
        "reward_spread": jnp.std(rewards),
        "penalty_spread": jnp.std(penalty),
        "utility_spread": jnp.std(utilities),
        "overruled": (winner != jnp.argmax(rewards)).astype(jnp.float32),
        "on_policy_accuracy": on_policy_accuracy,
        "on_policy_pairs": on_policy_pairs,
        "head_loss": loss,
        "head_gradient": jnp.linalg.norm(head_gradient),
        "policy_loss": surprise,
        "log_likelihood": generated.log_probability[winner]
        / jnp.sum(within_response(chosen, training.sampling.ends)),
        "kl": generated.kl,
        "winner": winner.astype(jnp.int32),
    }


def step_key(key: Key, step: int | Int[Array, ""]) -> Key:
    """Return the key of a step, independent of earlier steps, so that a resumed run draws the same."""
    return jax.random.fold_in(named_key(key, "steps"), step)


def mesh_over(devices: Any) -> Mesh:
    """Return devices as a mesh: candidates, or weights, are divided along its axis fsdp."""
    return Mesh(np.array(devices), ("fsdp",))
