"""The published utility against a direct computation with transformers."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from transformers import LlamaForCausalLM

from fpo_jax.experiments.llm import checkpoint as checkpoints
from fpo_jax.experiments.llm.oracle import likelihood_utility
from fpo_jax.experiments.llm.prompts import pad_to_bucket
from fpo_jax.experiments.llm.step import mesh_over

END, PROMPT = 2, [0, 41, 17, 300, 8, 77, 9]


def test_the_published_utility_is_that_of_transformers(checkpoint):
    """U = clip(5 − loss, −15, 5), with transformers' mean loss over all tokens but the first.

    Logits 40 times as large make the model so sure, and so wrong, that the lower bound is met.
    """
    net = checkpoints.load(checkpoint, "float32", mesh_over(jax.devices()[:1]), True, "model")
    theirs = LlamaForCausalLM.from_pretrained(checkpoint).eval()
    draw = np.random.default_rng(0).integers
    rows = draw(10, 500, size=(4, 6)).astype(np.int32)
    rows[1, 3], rows[2, 0] = END, END  # one that ends early, and an empty one
    row, length = pad_to_bucket(PROMPT, 128), jnp.int32(len(PROMPT))
    utility = jax.jit(likelihood_utility, static_argnames="ends")
    for scale, bounded in ((1.0, False), (40.0, True)):
        theirs.model.norm.weight.data.fill_(scale)
        net.frozen["norm"] = jnp.full_like(net.frozen["norm"], scale)
        told = utility(net, row, length, (jnp.asarray(rows), jnp.asarray(rows[:1])), ends=(END,))
        ours, reference = (one.utility for one in told)
        wanted = []
        for tokens in rows:
            stop = int(np.argmax(tokens == END)) + 1 if END in tokens else len(tokens)
            ids = torch.tensor([[*PROMPT, *map(int, tokens[:stop])]])
            with torch.no_grad():
                wanted.append(float(torch.clip(5 - theirs(ids, labels=ids).loss, -15, 5)))
        np.testing.assert_allclose(ours, wanted, atol=1e-4)
        assert float(reference[0]) == float(ours[0])
        assert (set(wanted) == {-15.0}) == bounded
        assert bounded or len({round(value, 3) for value in wanted}) == 4
