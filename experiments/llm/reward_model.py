"""A reward model in a folder as a judge: the reward φ·h(z) of a response, as the pipeline computes it."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from safetensors import safe_open

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.llm import checkpoint
from fpo_jax.experiments.llm.generation import following, read_prompt
from fpo_jax.experiments.llm.model import Net
from fpo_jax.experiments.llm.prompts import Tokenizer, pad_to_bucket
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import mesh_over
from fpo_jax.types import Scalar

UNLIMITED = 2**62
"""Texts are not cut, so that all of a response is judged."""


@jax.jit
def _reward(
    net: Net,
    head: Float[Array, " d"],
    prompt: Int[Array, " p"],
    length: Scalar,
    response: Int[Array, " t"],
    number: Scalar,
) -> Scalar:
    """Return φ·h at the last token of a padded response; programs do not depend on its length."""
    hidden = following(net, read_prompt(net, prompt, length, response.shape[0]), response[None])
    return jnp.dot(head, hidden[0, number].astype(jnp.float32), precision="highest")


def load_reward(folder: Path) -> Callable[[str, str], float]:
    """Return the reward of a response to a prompt, r_φ(z) = φ·h(z), and the bias if the head has one.

    The prompt is a user's turn in the chat template of the folder's tokenizer, if it has one, and the
    response follows with the token that ends it. h is the final hidden state at that token, computed in
    bfloat16 if the weights are stored in it, and in float32 otherwise.

    Args:
        folder: a checkpoint of transformers' `LlamaForSequenceClassification` with one label.

    Raises:
        InputError: when it is not complete, has no tokenizer, or is not a reward model.
    """
    config = read_config(folder, "scorer")
    head = checkpoint.head(folder, config, "scorer")
    if head is None:
        raise InputError("scorer", folder, f"a reward model: a checkpoint with {checkpoint.SCORE}")
    tokenizer = Tokenizer(folder, config, what="scorer")
    end = _end(tokenizer)
    with in_precision("float32"):
        mesh = mesh_over(jax.devices()[:1])
        net = checkpoint.load(folder, _precision(folder), mesh, True, "scorer", trunk_only=True)
        weight, bias = jnp.asarray(head.weight), head.bias or 0.0

    def score(prompt: str, response: str) -> float:
        asked = tokenizer.render(prompt)
        answer = [*tokenizer.inner(response, add_special_tokens=False)["input_ids"], *end]
        rows = pad_to_bucket(asked, UNLIMITED), pad_to_bucket(answer, UNLIMITED)
        with in_precision("float32"):
            reward = _reward(net, weight, rows[0], jnp.int32(len(asked)), rows[1], jnp.int32(len(answer)))
            return float(reward) + bias

    return score


def _end(tokenizer: Tokenizer) -> list[int]:
    """Return the token that ends a response: the tokenizer's own if the model may end with it."""
    own = tokenizer.inner.eos_token_id
    return [own] if own in tokenizer.ends else [*tokenizer.ends[:1]]


def _precision(folder: Path) -> str:
    """Return the precision to compute in."""
    name = "model.embed_tokens.weight"
    found = checkpoint.tensors(folder, "scorer")
    if name not in found:
        return "float32"  # the loader reports what is missing
    with safe_open(found[name][0], framework="numpy") as file:
        return "bfloat16" if file.get_slice(name).get_dtype() == "BF16" else "float32"
