"""Weighted responses: pairs, best of n and rejection sampling, against drawing and against hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax.responses import MANY, Responses, accepted, best_of, categorical, drawn, paired

WEIGHTS = np.array([0.1, 0.2, 0.15, 0.05, 0.1, 0.15, 0.05, 0.2])  # two prompts, of probability ½ each
SCORES = np.array([1.0, 3.0, 1.0, -2.0, 0.5, 0.5, 0.5, 0.2])  # with ties
best_of_jitted = jax.jit(best_of, static_argnums=(2, 3))


def counted(answers, size):
    """Frequencies of the answers at both prompts, each of probability ½, and their standard errors."""
    share = np.bincount(answers, minlength=size) / len(answers)
    return 0.5 * share, 0.5 * np.sqrt(np.maximum(share * (1 - share), 1e-12) / len(answers))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_best_of_n_is_what_drawing_and_ranking_gives(n):
    draws, rng = 200_000, np.random.default_rng(n)
    exact = best_of(WEIGHTS, SCORES, n, prompts=2)
    np.testing.assert_allclose(np.sum(exact), 1.0, rtol=1e-14)
    for x in range(2):
        block = slice(4 * x, 4 * x + 4)
        candidates = rng.choice(4, size=(draws, n), p=WEIGHTS[block] / 0.5)
        ranks = SCORES[block][candidates]  # of equal ones the first drawn: a draw by the weights
        best = candidates[np.arange(draws), np.argmax(ranks, axis=1)]
        share, error = counted(best, 4)
        assert np.all(np.abs(share - exact[block]) <= 4 * error)
    if n == 1:
        np.testing.assert_allclose(exact, WEIGHTS, rtol=1e-15)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_rejection_sampling_is_what_drawing_and_rejecting_gives(n):
    draws, rng, sharpness = 200_000, np.random.default_rng(n), 0.7
    exact = accepted(WEIGHTS, SCORES, n, sharpness, prompts=2)
    np.testing.assert_allclose(np.sum(exact), 1.0, rtol=1e-14)
    for x in range(2):
        block = slice(4 * x, 4 * x + 4)
        scores = SCORES[block]
        candidates = rng.choice(4, size=(draws, n), p=WEIGHTS[block] / 0.5)
        accepts = rng.random((draws, n)) < np.exp(sharpness * (scores - scores.max()))[candidates]
        accepts[:, -1] = True
        share, error = counted(candidates[np.arange(draws), np.argmax(accepts, axis=1)], 4)
        assert np.all(np.abs(share - exact[block]) <= 4 * error)
    # with ever more candidates it is the policy tilted by exp(sharpness · score), given the prompt
    tilted = (WEIGHTS * np.exp(sharpness * SCORES)).reshape(2, 4)
    limit = 0.5 * tilted / tilted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(accepted(WEIGHTS, SCORES, 2000, sharpness, 2), limit.ravel(), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.integers(-3, 3)), min_size=4, max_size=4),
    st.sampled_from([1, 2, 7]),
)
def test_more_candidates_never_lower_the_expected_score(rows, n):
    weights, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    weights /= weights.sum()
    fewer, more = (float(jnp.sum(best_of_jitted(weights, scores, k) * scores)) for k in (n, n + 1))
    assert more >= fewer - 1e-12


def test_a_score_that_is_no_number_has_no_rank():
    # it would stand highest in any order; at the other prompt, and where it cannot be drawn, all is as it was
    scores = np.where(np.arange(8) == 2, np.nan, SCORES)
    for winners in (best_of(WEIGHTS, scores, 3, 2), accepted(WEIGHTS, scores, 3, 1.0, 2)):
        np.testing.assert_array_equal(np.isnan(winners), [True] * 4 + [False] * 4)
    never = np.where(np.arange(8) == 2, 0.0, WEIGHTS)
    np.testing.assert_allclose(best_of(never, scores, 3, 2), best_of(never, SCORES, 3, 2), rtol=1e-15)
    for sharpness in (0.0, 2.0):
        ours, right = (accepted(never, s, 3, sharpness, 2) for s in (scores, SCORES))
        np.testing.assert_allclose(ours, right, rtol=1e-14)  # the highest score is another's
    silent = np.where(np.arange(8) < 4, 0.0, 2 * WEIGHTS)  # nothing is ranked at a prompt that is never asked
    unknown = np.where(np.arange(8) < 4, np.nan, SCORES)
    for select in (partial(best_of, candidates=3), partial(accepted, candidates=3, sharpness=1.0)):
        np.testing.assert_array_equal(select(silent, unknown, prompts=2)[:4], 0.0)
    unweighted = Responses(np.arange(3.0), jnp.array([np.nan, 0.5, 0.5]))
    assert np.isnan(drawn(unweighted, 5, jax.random.key(0)).w).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batched", [False, True])
def test_draws_are_those_of_jax(dtype, batched):
    """Results that are stored rest on these draws. With one weight of 0 there is an −∞ among the logits."""
    rng = np.random.default_rng(0)
    weights = jnp.array(rng.dirichlet(np.ones(30), 8) * (np.arange(30) != 3), dtype)
    keys = jax.random.split(jax.random.key(1), 8)

    def ours(w, key):
        return drawn(Responses(jnp.arange(30), w), 500, key).y

    def theirs(w, key):
        return jax.random.categorical(key, jnp.log(w), shape=(500,))

    both = (jax.vmap(ours), jax.vmap(theirs)) if batched else (ours, theirs)
    arguments = (weights, keys) if batched else (weights[0], keys[0])
    found, right = (jax.jit(each)(*arguments) for each in both)
    np.testing.assert_array_equal(found, right)
    assert not np.isin(3, found)
    assert categorical(keys[0], weights[0], 1)[0] == jax.random.categorical(keys[0], weights[0])


def test_draws_among_many_follow_the_weights():
    """Two responses in three have no weight. Shares of others, in four blocks, are the blocks' weights."""
    size = MANY + 1
    rng = np.random.default_rng(0)
    w = rng.dirichlet(np.ones(size)) * (np.arange(size) % 3 == 1)
    w *= np.where(np.arange(size) < size // 2, 3.0, 1.0)
    w /= w.sum()
    number = 10_000
    found = drawn(Responses(jnp.arange(size), jnp.array(w)), number, jax.random.key(2))
    assert np.all(w[found.y] > 0)
    blocks = np.arange(size) * 4 // size
    shares, right = np.bincount(blocks[found.y], minlength=4) / number, np.bincount(blocks, w)
    # a standard deviation of a share is at most 0.5 / √number = 0.005
    np.testing.assert_allclose(shares, right, atol=0.02)
    np.testing.assert_allclose(found.w, 1 / number, rtol=1e-12)

    # ∇ Σ w_y / number = Σ e_y / (w_y · number): how often a response was drawn, over what was expected
    gradient = jax.grad(lambda w: drawn(Responses(jnp.arange(size), w), number, jax.random.key(2)).w.sum())
    counts = np.bincount(found.y, minlength=size)
    expected = np.divide(counts, number * w, out=np.zeros(size), where=w > 0)
    np.testing.assert_allclose(gradient(jnp.array(w)), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [30, MANY + 1])
@pytest.mark.parametrize("where", [0, 20, -1])
def test_a_weight_that_is_nan_is_seen_in_the_draws(size, where):
    w = jnp.full(size, 1 / size).at[where].set(jnp.nan)
    assert np.isnan(drawn(Responses(jnp.arange(size), w), 5, jax.random.key(0)).w).all()


def test_draws_without_an_ordinary_logit_are_those_of_jax():
    key, never = jax.random.key(0), jnp.full(4, -jnp.inf)
    for logits in (never, never.at[2].set(jnp.nan), jnp.array([0.0, jnp.nan, 1.0, jnp.nan])):
        right = jax.random.categorical(key, logits, shape=(3,))
        np.testing.assert_array_equal(categorical(key, logits, 3), right)


def test_a_draw_from_logits_that_are_computed_on_the_way_has_an_index():
    """The maximum and its index must see the same sums, however XLA rounds a division and an addition."""
    logits = 3 * jax.random.normal(jax.random.key(0), (32, 5000), jnp.float32)

    @jax.jit
    @jax.vmap
    def token(key, row):
        return categorical(key, row / 0.8, 1)[0], jax.random.categorical(key, row / 0.8)

    ours, right = token(jax.random.split(jax.random.key(1), 32), logits)
    np.testing.assert_array_equal(ours, right)


def test_a_prompt_without_weight_gives_pairs_and_winners_without_weight():
    # prompt 0 is never asked: nothing of 0/0 is seen, in values or derivatives
    weights = jnp.array([0.0, 0.0, 0.25, 0.75])
    scores = jnp.array([1.0, 2.0, 3.0, 4.0])
    y = jnp.arange(4.0)

    def second_moment(w):
        pairs = paired(Responses(y, w), Responses(y, w), prompts=2)
        return jnp.sum(pairs.w * pairs.y[0] * pairs.y[1]), pairs.w

    (value, pairs), slope = jax.value_and_grad(second_moment, has_aux=True)(weights)
    np.testing.assert_allclose(pairs, [0, 0, 0, 0, 0.0625, 0.1875, 0.1875, 0.5625])
    np.testing.assert_allclose(value, (0.25 * 2 + 0.75 * 3) ** 2)
    assert np.all(np.isfinite(slope))
    for select in (partial(best_of, candidates=3), partial(accepted, candidates=3, sharpness=1.0)):
        winners, jacobian = (f(lambda w, s=select: s(w, scores, prompts=2)) for f in (jax.jit, jax.jacrev))
        np.testing.assert_allclose(jnp.sum(winners(weights)), 1.0)
        assert np.all(np.isfinite(jacobian(weights)))
    # but a policy that answers where nothing stands opposite is no comparison
    alone = paired(Responses(y, jnp.full(4, 0.25)), Responses(y, weights), prompts=2)
    np.testing.assert_array_equal(np.isnan(alone.w), [True] * 4 + [False] * 4)
