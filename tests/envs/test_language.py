"""Language: one text and all, steering, sampled against exact, collapse and cure."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from fpo_jax import (
    BestResponse,
    Exact,
    InputError,
    Leader,
    Myopic,
    Preferences,
    outcome,
    run_seed,
    run_seeds,
    seed_keys,
)
from fpo_jax.engine.initial import instance
from fpo_jax.envs.language import Language
from fpo_jax.envs.parts import words
from fpo_jax.experiments.ladder.sampled import estimates
from fpo_jax.hyperparameters import validate
from fpo_jax.steering import foresighted_value
from fpo_jax.testing.checks import central_difference

FOLLOWER = BestResponse(ridge=0.01, alpha=0.1)
log_policy = jax.jit(lambda game, theta: game.log_policy(theta))


def test_one_text_is_read_as_all_of_them_are(small):
    game, theta, _ = small
    every = game.every

    @jax.jit
    def one_by_one(game, theta):
        log_next, _ = jax.vmap(lambda x, y: game.log_next(theta, x, y))(every.prompt, every.tokens)
        return jnp.take_along_axis(log_next, every.tokens[..., None], axis=-1).sum(axis=(1, 2)), game.answers(
            every.prompt, every.tokens
        )

    log_probability, answers = one_by_one(game, theta)
    np.testing.assert_allclose(log_probability, log_policy(game, theta)[0], rtol=1e-12)
    for mine, theirs in zip(answers, every, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


def test_renaming_words_renames_texts(small):
    # Word i is called order[i]: its embedding, its score, its pairs move, and so does every text.
    game, theta, _ = small
    order = np.array([3, 0, 5, 1, 4, 2])
    symbols = np.append(order, 6)  # the prompt keeps its place, as does having no word before
    renamed = dict(
        theta, words=theta["words"][symbols], scores={"kernel": theta["scores"]["kernel"][:, order]}
    )
    other = game.replace(log_reference=game.log_reference[:, symbols][:, :, order])
    mine, theirs = (
        np.asarray(log_policy(g, t)).reshape(6, 6, 6) for g, t in ((game, theta), (other, renamed))
    )
    np.testing.assert_allclose(theirs, mine[np.ix_(order, order, order)], rtol=1e-12)


def test_the_policy_begins_at_the_reference(small):
    game, theta, _ = small
    start = dict(theta, scores=jax.tree.map(jnp.zeros_like, theta["scores"]))
    reference = jax.jit(lambda game: game.log_reference_policy())(game)
    np.testing.assert_allclose(log_policy(game, start), reference, rtol=1e-12)
    assert np.all(np.asarray(game.init(jax.random.key(0))[0]["scores"]["kernel"]) == 0.0)


@jax.jit
def exactly(game, theta, model, key):
    """What is estimated, the exact dF/dθ and the central difference of F."""
    parts = estimates(game, FOLLOWER, theta, model, key)
    difference = central_difference(lambda t: foresighted_value(game, FOLLOWER, t, model, key), theta)
    return parts, ravel_pytree(difference)[0]


@pytest.fixture(scope="module")
def exact(small):
    return exactly(*small, jax.random.key(0))


def test_steering_through_the_transformer_is_the_central_difference(exact):
    parts, difference = exact
    scale = np.max(np.abs(difference))
    total = parts["standard part"] + parts["steering part"]
    assert np.max(np.abs(total - difference)) <= 1e-6 * scale
    assert np.max(np.abs(parts["steering part"])) > 1e-3 * scale  # or there would be nothing to show


@pytest.mark.slow
def test_sampled_estimates_are_within_4_standard_errors_of_the_exact_ones(small, exact):
    # φ⁺ of sampled data makes the two parts biased by O(1/n), which n = 512 makes small beside 1/√n.
    game, theta, model = small
    repeats, rng = 24, np.random.default_rng(0)
    sampled = game.replace(every=None, responses=512)
    draw = jax.jit(lambda game, keys: jax.lax.map(lambda k: estimates(game, FOLLOWER, theta, model, k), keys))
    for name, values in draw(sampled, jax.random.split(jax.random.key(1), repeats)).items():
        values, expected = np.asarray(values).reshape(repeats, -1), np.ravel(exact[0][name])
        if expected.size > 1:  # along three directions
            directions = rng.normal(size=(expected.size, 3))
            values, expected = values @ directions, expected @ directions
        error = np.std(values, axis=0, ddof=1) / np.sqrt(repeats)
        assert np.all(np.abs(np.mean(values, axis=0) - expected) <= 4 * error), name


def test_offline_flattery_is_mild_and_goes_with_quality(key):
    game = jax.jit(Language(corpus=2000, vocabulary=10, prompts=3).draw)(key)
    corpus = game.corpus
    np.testing.assert_array_equal(corpus.prompt, np.repeat([0, 1, 2], 2000))
    for first, table in zip(np.split(corpus.tokens[:, 0], 3), np.exp(game.log_reference[:, 10]), strict=True):
        # its words are those that the pairs were counted of: how often one comes first, with ½ added to each
        np.testing.assert_allclose(table, (np.bincount(first, minlength=10) + 0.5) / (2000 + 5), rtol=1e-12)
    flattery = np.asarray(words.is_flattery(corpus.tokens).sum(axis=1))
    assert set(flattery) == {0, 1}
    assert np.all(corpus.padding == 0)
    # courtesy · P(skill > ½) = 0.45 of the answers; standard error √(0.45 · 0.55 / 6000)
    assert abs(flattery.mean() - 0.45) < 4 * np.sqrt(0.45 * 0.55 / 6000)
    quality = np.asarray(corpus.quality)
    assert quality[flattery == 1].mean() - quality[flattery == 0].mean() > 0.2
    # E[c] = ½ E[skill] + ½ E[skill²] = 5/12, less what idle words cost
    assert 0.3 < quality.mean() < 5 / 12


@pytest.mark.slow
def test_longer_texts_are_sampled(key):
    environment = Language(length=12, responses=4, corpus=8, width=4, features=4)

    @jax.jit
    def look(key):
        game = instance(environment, key)
        theta, _ = game.init(key)
        away = jax.tree.map(lambda leaf: leaf + 0.5, theta)
        best = jnp.asarray([*words.needed(1), *[words.END] * 10])
        both = jax.tree.map(lambda a, b: jnp.stack([a, b]), theta, away)
        kl = jax.vmap(game.diagnostics)(both)["kl"]
        return game.respond(away, key), kl, game.corpus, (game.optimum(), words.utility(1, best))

    (answers, w), kl, corpus, best = look(key)
    assert answers.tokens.shape == (2 * 4, 12)
    np.testing.assert_allclose(w, 1 / 8, rtol=1e-12)
    assert list(answers.prompt) == [0] * 4 + [1] * 4
    assert np.all(np.asarray(corpus.tokens)[:, 3:] == words.END)
    np.testing.assert_allclose(kl[0], 0.0, atol=1e-12)
    assert kl[1] > 0
    assert best == (1.0, 1.0)


@pytest.mark.slow
def test_a_run_on_longer_texts(key):
    leader = Leader(Exact(), policy_lr=0.1)
    _, trace = run_seed(Language(length=16, responses=8), leader, FOLLOWER, key, steps=4, record=outcome)
    chex.assert_tree_all_finite(trace.metrics)
    assert abs(trace.metrics["kl"][0]) < 1e-12 < trace.metrics["kl"][-1]


BAD = {
    "length": (
        dict(length=8),
        "vocabulary, length = 8^8 texts: must be at most 65536 texts to enumerate, or responses > 0",
    ),
    "words": (dict(vocabulary=99), "vocabulary = 99: must be at most 16"),
    "prompts": (dict(prompts=3), "prompts = 3: must be <= (vocabulary - 4) / 2"),
    "heads": (dict(width=5), "width = 5: must be a multiple of heads = 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case):
    given, said = BAD[case]
    with pytest.raises(InputError) as caught:
        validate(Language(**given))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_too_many_pairs_are_refused(key):
    def pairs():
        game = Language().draw(key)
        theta, _ = game.init(key)
        return Preferences().gather(game, theta, game.respond(theta, key), key)

    with pytest.raises(InputError, match=r"feedback = preferences: must be labels, or use sampled answers"):
        jax.eval_shape(pairs)


@pytest.mark.slow
def test_collapse_and_cure_at_the_size_of_the_recipe():
    # The bounds are those of the claim: RLHF falls from its own peak, with more padding than any offline
    # answer shows; exact foresight keeps most of the utility.
    finals, peaks = {}, {}
    for objective in (Myopic(), Exact()):
        recipe = Language.recipe
        leader = Leader(objective, **recipe.leader)
        follower = BestResponse(**recipe.settings)
        _, trace = run_seeds(Language(), leader, follower, seed_keys(8), steps=recipe.steps, record=outcome)
        means = {name: np.mean(values, axis=0) for name, values in trace.metrics.items()}
        finals[type(objective).__name__] = {name: curve[-1] for name, curve in means.items()}
        peaks[type(objective).__name__] = np.max(means["true_utility"])
    assert finals["Myopic"]["true_utility"] < peaks["Myopic"] - 0.05
    assert finals["Exact"]["true_utility"] > max(0.7, peaks["Exact"] - 0.05)
    assert finals["Myopic"]["blind_spot_mass"] > finals["Exact"]["blind_spot_mass"] + 0.1
    assert finals["Exact"]["true_utility"] > finals["Myopic"]["true_utility"] + 0.3
