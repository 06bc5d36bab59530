"""The transformer, against one in NumPy."""

import itertools

import jax
import numpy as np

log_policy = jax.jit(lambda game, theta: game.log_policy(theta))


def norm(x):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def next_word(theta, read, heads):
    """Scores of the word after those that were read: all positions at once, under a causal mask."""
    kernels = {name: np.asarray(layer["kernel"]) for name, layer in theta.items() if isinstance(layer, dict)}
    x = np.asarray(theta["words"])[read] + np.asarray(theta["positions"])[: len(read)]
    width, layers = x.shape[1], sum(name.startswith("attend") for name in kernels)
    for layer in range(layers):
        q, k, v = np.split(norm(x) @ kernels[f"attend_{layer}"], 3, axis=1)
        heard = []
        for part in np.split(np.arange(width), heads):
            scores = q[:, part] @ k[:, part].T / np.sqrt(len(part))
            scores[np.triu_indices(len(read), 1)] = -np.inf
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            heard.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, part])
        x = x + np.concatenate(heard, axis=1) @ kernels[f"gather_{layer}"]
        z = norm(x) @ kernels[f"widen_{layer}"]
        gelu = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
        x = x + gelu @ kernels[f"narrow_{layer}"]
    return (norm(x) @ kernels["scores"])[-1]


def probability(game, theta, prompt, tokens):
    """∏ p(word | words before) of one text, each conditional by itself."""
    reference, total, before = np.asarray(game.log_reference[prompt]), 1.0, game.words
    for t, word in enumerate(tokens):
        logits = reference[before] + next_word(theta, [game.words + prompt, *tokens[:t]], game.heads)
        total *= np.exp(logits[word]) / np.exp(logits).sum()
        before = word
    return total


def test_probabilities_are_those_of_a_numpy_transformer(small):
    game, theta, _ = small
    policy = np.exp(log_policy(game, theta))
    assert policy.shape == (1, 6**3)
    np.testing.assert_allclose(policy.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    texts = list(itertools.product(range(6), repeat=3))  # in the order in which they are enumerated
    np.testing.assert_array_equal(game.every.tokens, texts)
    expected = [probability(game, theta, 0, tokens) for tokens in texts]
    np.testing.assert_allclose(policy[0], expected, rtol=0, atol=1e-12)
