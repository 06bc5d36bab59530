"""Models, and what is made of them, against `transformers` on the same checkpoint."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

from fpo_jax.experiments.llm import adapter
from fpo_jax.experiments.llm import checkpoint as files
from fpo_jax.experiments.llm.config import KNOWN, Rope
from fpo_jax.experiments.llm.generation import (
    Sampling,
    below,
    last_hidden,
    log_likelihood,
    read_prompt,
    sample,
    within_response,
)
from fpo_jax.experiments.llm.model import Lora, Net, empty_cache, fresh_adapter, take
from fpo_jax.experiments.llm.prompts import pad_to_bucket
from fpo_jax.experiments.llm.step import mesh_over
from tests.experiments.llm.conftest import model_config

LENGTH = 100  # beyond the 64 positions at which this checkpoint's rotary embedding is scaled


def load(folder, **options):
    return files.load(folder, "float32", mesh_over(jax.devices()[:1]), True, "model", **options)


def all_logits(net, tokens):
    number = tokens.shape[1]
    mask = jnp.tril(jnp.ones((number, number), bool))[None]
    return net.logits(net(jnp.asarray(tokens), jnp.arange(number)[None], mask)[0])


def theirs(folder):
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def their_logits(model, tokens):
    with torch.no_grad():
        return model(torch.as_tensor(tokens)).logits.numpy()


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, 500, (1, LENGTH))


@pytest.fixture(scope="module")
def net(checkpoint):
    return load(checkpoint)


def test_logits_are_those_of_transformers(checkpoint, net, tokens):
    wanted = their_logits(theirs(checkpoint), tokens)
    assert np.abs(wanted).max() > 1  # logits that could differ
    np.testing.assert_allclose(all_logits(net, tokens), wanted, atol=1e-4)


def test_logits_of_a_checkpoint_in_shards_with_a_head_of_its_own(tmp_path, tokenizer, tokens):
    """Untied embeddings, several files and an index, plain rotary embedding, weights in bfloat16."""
    plain = {"rope_type": "default", "rope_theta": 10_000.0}
    sizes = model_config(tokenizer, tie_word_embeddings=False, rope_parameters=plain)
    torch.manual_seed(2)
    LlamaForCausalLM(sizes).bfloat16().save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    wanted = their_logits(theirs(tmp_path), tokens)
    np.testing.assert_allclose(all_logits(load(tmp_path), tokens), wanted, atol=1e-4)


@pytest.mark.parametrize("rope", [KNOWN["llama-3.2-1b"][1].rope, Rope(10_000.0, "linear", 4.0), Rope()])
def test_rotary_frequencies_are_those_of_transformers(rope, tokenizer):
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    said = {"rope_type": rope.kind, "rope_theta": rope.base, "factor": rope.factor}
    said |= {"low_freq_factor": rope.low, "high_freq_factor": rope.high}
    said |= {"original_max_position_embeddings": rope.original_length}
    known = said if rope.kind == "llama3" else dict(list(said.items())[: 2 + (rope.kind == "linear")])
    config = model_config(tokenizer, head_dim=64, rope_parameters=known)
    wanted = LlamaRotaryEmbedding(config).inv_freq.numpy()
    np.testing.assert_allclose(rope.frequencies(64), wanted, rtol=1e-6)


def test_published_sizes():
    """Llama-3.2-1B has 1.24 billion by its model card, 1,235,814,400; the others 3.21 and 8.03 billion."""
    counts = {
        name: sum(math.prod(shape) for shape in files.expected(config).values())
        for name, (_, config) in KNOWN.items()
    }
    assert counts["llama-3.2-1b"] == 1_235_814_400
    assert [round(counts[f"llama-{name}"] / 1e9, 2) for name in ("3.2-3b", "3.1-8b")] == [3.21, 8.03]


def test_layers_apart_are_those_of_the_scan(net, tokens):
    """Token by token with `Unrolled` and its caches, as responses are drawn, and all at once with `Net`."""
    lora = Lora(4)
    drawn = fresh_adapter(net.config, lora, jax.random.key(3))
    moved = net.adapted(jax.tree.map(lambda leaf: leaf + 0.02, drawn), lora)
    apart, number = moved.unrolled(), 12
    empty = empty_cache(net.config, 1, number, jnp.float32)
    cache, hidden = [take(empty, i) for i in range(net.config.num_layers)], []
    for place in range(number):
        mask = (jnp.arange(number) <= place)[None, None]
        one = jnp.asarray(tokens[:, place : place + 1])
        state, cache = apart(one, jnp.full((1, 1), place), mask, cache, place)
        hidden.append(apart.logits(state))
    wanted = all_logits(moved, tokens[:, :number])
    assert np.abs(wanted - all_logits(net, tokens[:, :number])).max() > 0.1
    np.testing.assert_allclose(jnp.concatenate(hidden, axis=1), wanted, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_of_layers_apart_have_the_order_of_the_words(net, precision):
    """The product is taken the other way round, by a tied head or by one of its own, stored as [d, v]."""
    own = jax.random.normal(jax.random.key(0), (net.config.embed_dim, net.config.vocab_size))
    untied = dataclasses.replace(net.config, weight_tying=False)
    for config, more in ((net.config, {}), (untied, {"lm_head": own})):
        frozen = jax.tree.map(lambda leaf: leaf.astype(precision), net.frozen | more)
        one = Net(config, frozen)
        hidden = jax.random.normal(jax.random.key(1), (2, 3, config.embed_dim)).astype(precision)
        found = one.unrolled().logits(hidden)
        assert found.dtype == jnp.float32
        tolerance = 1e-5 if precision == "float32" else 0.05  # sums of bfloat16, rounded in another order
        np.testing.assert_allclose(found, one.logits(hidden), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_the_likeliest_tokens_are_found_without_sorting(top_p):
    """Those before which less than top_p is held, as a sorted list says; among them are equal logits."""
    rows = 3.0 * np.random.default_rng(1).normal(size=(20, 1000)).astype(np.float32)
    rows[:, 500:] = rows[:, :500]
    rows[0, :3] = -np.inf
    for row in rows:
        order = np.argsort(-row, kind="stable")
        p = np.exp(row[order].astype(float) - row.max()) / np.sum(np.exp(row.astype(float) - row.max()))
        least = row[order][np.cumsum(p) - p < top_p].min()
        np.testing.assert_array_equal(row > np.asarray(below(jnp.asarray(row), top_p)), row >= least)


@pytest.fixture(scope="module")
def spoken(tokens):
    """A prompt of 41 tokens in its bucket of 64, and two responses, one of which ends at its third token."""
    rows = np.array(tokens[0, 41:61]).reshape(2, 10)
    rows[rows == 2] = 5
    rows[0, 2] = 2
    return pad_to_bucket(tokens[0, :41], 512), jnp.int32(41), jnp.asarray(rows, jnp.int32)


def test_likelihood_of_responses_behind_padding(checkpoint, net, spoken):
    prompt, length, rows = spoken
    assert prompt.shape == (64,)
    totals, numbers = jax.jit(log_likelihood, static_argnames="ends")(
        net, read_prompt(net, prompt, length, 10), rows, ends=(2,)
    )
    assert list(numbers) == [3, 10]
    for row, total, number in zip(np.asarray(rows), totals, numbers, strict=True):
        whole = np.concatenate([prompt[:41], row])[None]
        log_p = torch.log_softmax(torch.as_tensor(their_logits(theirs(checkpoint), whole)[0]), -1).numpy()
        wanted = sum(log_p[40 + i, row[i]] for i in range(number))
        assert total == pytest.approx(wanted, abs=1e-3)


def test_scores_are_those_of_a_sequence_classifier(reward_model, spoken):
    """transformers scores the last token that is not padding; ours is the last of the response."""
    prompt, length, rows = spoken
    net = load(reward_model, trunk_only=True)
    head = files.head(reward_model, net.config, "reward_model")
    hidden = last_hidden(net, read_prompt(net, prompt, length, 10), rows, (2,))
    classifier = LlamaForSequenceClassification.from_pretrained(reward_model).eval()
    for row, h, number in zip(np.asarray(rows), np.asarray(hidden), (3, 10), strict=True):
        whole = np.concatenate([prompt[:41], row[:number]])[None]
        with torch.no_grad():
            states = classifier.model(torch.as_tensor(whole)).last_hidden_state[0, -1].numpy()
            wanted = float(classifier.score(torch.as_tensor(states)))
        assert h @ head.weight == pytest.approx(wanted, abs=1e-4)


def test_the_likeliest_response_is_that_of_transformers(checkpoint, net, tokens):
    prompt, how = pad_to_bucket(tokens[0, :20], 512), Sampling(12, (), 0.0)
    ours = jax.jit(
        lambda net: sample(net, read_prompt(net, prompt, jnp.int32(20), 12), jax.random.key(0), 2, how)
    )
    given = torch.as_tensor(tokens[:, :20])
    wanted = theirs(checkpoint).generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=12, do_sample=False, eos_token_id=None
    )
    drawn = ours(net)
    np.testing.assert_array_equal(drawn.tokens, np.repeat(wanted[:, 20:].numpy(), 2, axis=0))


def test_draws_follow_the_softmax(net, tokens):
    """First tokens of 1000 responses against their probabilities; top_p leaves out the tail."""
    prompt, length, n = pad_to_bucket(tokens[0, :20], 512), jnp.int32(20), 1000
    read = read_prompt(net, prompt, length, 2)
    probability = np.asarray(jax.nn.softmax(net.logits(read.hidden)[0] / 0.5))
    for top_p in (1.0, 0.3):
        how = Sampling(2, (), 0.5, top_p)
        first = np.asarray(
            jax.jit(lambda net, how=how: sample(net, read, jax.random.key(1), n, how))(net).tokens
        )[:, 0]
        order = np.argsort(-probability)
        inside = order[: int(np.searchsorted(np.cumsum(probability[order]), top_p)) + 1]
        wanted = np.zeros_like(probability)
        wanted[inside] = probability[inside] / probability[inside].sum()
        assert set(first) <= set(np.flatnonzero(wanted))
        share = np.bincount(first, minlength=len(wanted)) / n
        # Five standard deviations of a share, √(p (1 − p) / n), at the likeliest of 512 tokens.
        assert np.abs(share - wanted).max() < 5 * np.sqrt(wanted.max() / n)


def test_a_response_ends_where_it_says():
    rows = jnp.array([[5, 2, 2, 7], [5, 6, 7, 8], [2, 0, 0, 0]])
    np.testing.assert_array_equal(within_response(rows, (2,)).sum(axis=1), [2, 4, 1])


@pytest.mark.parametrize(
    "modules", [("q_proj", "v_proj"), ("o_proj", "down_proj", "up_proj", "k_proj", "gate_proj")]
)
def test_adapters_are_stored_as_peft_reads_them(modules, checkpoint, net, tokens, tmp_path):
    """W + α/r · B A, by their names in the file, in transformers' own weights gives our logits."""
    lora = Lora(4, 12.0, modules)
    drawn = fresh_adapter(net.config, lora, jax.random.key(3))
    np.testing.assert_array_equal(all_logits(net.adapted(drawn, lora), tokens), all_logits(net, tokens))
    moved = jax.tree.map(lambda leaf: leaf + 0.02 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), drawn)
    adapter.save(tmp_path, moved, net.config, lora, "base")
    loaded, again = adapter.load(tmp_path, net.config)
    assert set(again.modules) == set(modules)
    jax.tree.map(np.testing.assert_array_equal, loaded, moved)

    model, stored = theirs(checkpoint), load_file(tmp_path / adapter.WEIGHTS)
    assert len(stored) == 2 * 2 * len(modules)
    for name, a in stored.items():
        if name.endswith("lora_A.weight"):
            b = stored[name.replace("lora_A", "lora_B")]
            module = model.get_submodule(
                name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            )
            module.weight.data += torch.as_tensor(12.0 / 4 * b @ a)
    ours = all_logits(net.adapted(loaded, again), tokens)
    assert np.abs(ours - all_logits(net, tokens)).max() > 0.1
    np.testing.assert_allclose(ours, their_logits(model, tokens), atol=2e-4)


def test_an_adapter_is_kept_in_float32_beside_weights_in_bfloat16(net):
    """A step of 2e-5 is lost on a weight of 0.1 in bfloat16, whose numbers there are 5e-4 apart."""
    half = Net(net.config, jax.tree.map(lambda w: w.astype(jnp.bfloat16), net.frozen))
    lora = Lora(4)
    drawn = fresh_adapter(net.config, lora, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype("float32")}
    adapted = half.adapted(drawn, lora)
    assert {leaf.dtype for leaf in jax.tree.leaves(adapted.adapter)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(adapted.layers())} == {jnp.dtype("bfloat16")}
    assert all_logits(adapted, np.zeros((1, 3), int)).dtype == jnp.float32
