"""Prompts answered and read several at once, against one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.experiments.llm import checkpoint as checkpoints
from fpo_jax.experiments.llm.asked import AT_ONCE, Asked
from fpo_jax.experiments.llm.generation import Sampling, read_prompt, sample
from fpo_jax.experiments.llm.oracle import likelihood_utility
from fpo_jax.experiments.llm.prompts import Tokenizer, pad_to_bucket
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import mesh_over, step_key


@pytest.fixture(scope="module")
def net(checkpoint):
    return checkpoints.load(checkpoint, "float32", mesh_over(jax.devices()[:1]), True, "model")


def test_prompts_in_batches_are_answered_as_one_by_one(net, checkpoint):
    """One prompt more than stands in a batch: the last batch is filled up, and what fills it is dropped."""
    tokenizer = Tokenizer(checkpoint, read_config(checkpoint, "model"), chat=True)
    texts = [f"What is {'so ' * (i % 4)}number {i}?" for i in range(AT_ONCE + 1)]
    prompts = [tokenizer.encode(text, 128) for text in texts]
    greedy, free = Sampling(6, tokenizer.ends, 0.0), Sampling(6, tokenizer.ends)
    asked = Asked.of(prompts, jax.random.key(3))
    said = asked.answer(net, ((greedy, 1), (free, 2)), lambda: None)
    read = asked.under(net, said, tokenizer.ends, lambda: None)
    assert said[0].tokens.shape == (len(texts), 1, 6)
    assert said[1].tokens.shape == (len(texts), 2, 6)
    assert len({tuple(row) for row in said[1].tokens.reshape(-1, 6)}) == 2 * len(texts)  # keys differ
    alike = jax.jit(likelihood_utility, static_argnames="ends")
    for place in (0, 5, AT_ONCE):
        row, length = pad_to_bucket(prompts[place].tokens, 128), jnp.int32(len(prompts[place].tokens))
        alone, key = read_prompt(net, row, length, 6), step_key(jax.random.key(3), place)
        for rows, how, ours in ((1, greedy, said[0]), (2, free, said[1])):
            np.testing.assert_array_equal(ours.tokens[place], sample(net, alone, key, rows, how).tokens)
        (told,) = alike(net, row, length, (jnp.asarray(said[1].tokens[place]),), ends=tokenizer.ends)
        np.testing.assert_allclose(read[1].utility[place], told.utility, atol=1e-4)
    # the model that drew them finds them as likely as it found them while it drew
    np.testing.assert_allclose(read[1].log_likelihood, said[1].log_probability, atol=1e-4)


def test_few_prompts_make_a_narrow_batch(net, checkpoint):
    """A batch as wide as ever would answer one prompt eight times."""
    tokenizer = Tokenizer(checkpoint, read_config(checkpoint, "model"), chat=True)
    asked = Asked.of([tokenizer.encode("Why?", 128)] * 3, jax.random.key(0))
    assert (asked.width, asked.batches) == (3, 1)
    batches = []
    (said,) = asked.answer(net, ((Sampling(4, ()), 1),), lambda: batches.append(1))
    assert said.tokens.shape == (3, 1, 4)
    assert len(batches) == 1
