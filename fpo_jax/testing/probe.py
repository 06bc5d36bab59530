"""All outputs of a game at one θ, φ and key, computed as one program."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import evaluate, expect
from fpo_jax.numerics.differentiators import CentralDifference
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Game, Key, Phi, Response, Responses, Scalar, Theta

SAMPLES = 3
"""Number of samples to request from `Game.sample`."""
DIFFERENCE_STEP = 1e-5
"""Half-width of central differences."""
MOST_PAIRS = 2**14
"""Most pairs of responses to check."""


class Probe(NamedTuple):
    """The outputs of a game at one θ, φ and key.

    Attributes:
        samples: weighted samples by their method, the policy's first.
        again: the policy and its samples once more, from the same key.
        other: the policy from another key.
        reward, utility, blind_spot: of each response of the policy, and of the offline data if there are any.
        optimum: as the game has it.
        gradients: by automatic differentiation and by central differences, and the value, by name.
        shortcuts: the result of an override and its definition, by name.
        luck: errors and ranks; None if the game draws none.
        preferred: of recorded comparisons.
        diagnostics: by name.
    """

    samples: dict[str, Responses]
    again: tuple[Responses, Responses]
    other: Responses
    reward: list[Array]
    utility: list[Array]
    blind_spot: list[Array]
    optimum: Array
    gradients: dict[str, tuple[Array, Array, Array]]
    shortcuts: dict[str, tuple[PyTree, PyTree]]
    luck: tuple[Array, Array] | None
    preferred: Array | None
    diagnostics: dict[str, Array]


def probe_game(game: Game, theta: Theta, phi: Phi, key: Key) -> Probe:
    """Compute everything that is checked; to be jitted."""
    policy, offline, reference = game.respond(theta, key), game.offline(), game.reference()
    other_key = named_key(key, "another")
    drawn = partial(game.sample, theta, number=SAMPLES)
    samples = {"respond": policy, "deployed": game.deployed(theta, key)}
    samples |= {f"sample, {i}": jax.tree.map(lambda leaf, i=i: leaf[i], drawn(key)) for i in range(SAMPLES)}
    samples |= {} if offline is None else {"offline": offline}
    samples |= {} if reference is None else {"reference": reference}

    def of_each(f: Callable[[Response], Any]) -> list[Any]:
        return [jax.vmap(f)(sample.y) for sample in (policy, offline) if sample is not None]

    def value(t: Theta, p: Phi) -> Scalar:
        return evaluate(game, t, p, key)

    def compare(f: Callable[[PyTree], Scalar], x: PyTree) -> tuple[Array, Array, Array]:
        difference = CentralDifference(difference_step=DIFFERENCE_STEP).gradient(f, x)
        return ravel_pytree(jax.grad(f)(x))[0], ravel_pytree(difference)[0], f(x)

    shortcuts = _shortcuts(game, theta, phi, policy)
    recorded = game.comparisons()
    pairs = _pairs(game, theta, policy, key, reference is not None)
    for opponent, made in pairs.items():
        name = f"compare(…, {opponent!r})"
        samples[name] = made
        first = jax.vmap(lambda y: game.reward(phi, y))
        shortcuts[f"E[r] over the first side of {name}"] = (
            made.w @ first(made.y[0]),
            policy.w @ first(policy.y),
        )
    if recorded is not None:
        samples["comparisons"] = recorded
    return Probe(
        samples,
        (game.respond(theta, key), drawn(key)),
        game.respond(theta, other_key),
        of_each(lambda y: game.reward(phi, y)),
        of_each(game.utility),
        of_each(game.blind_spot),
        jnp.asarray(game.optimum()),
        {
            "J in theta": compare(lambda t: value(t, phi), theta),
            "J in phi": compare(lambda p: value(theta, p), phi),
            "E[U] in theta": compare(lambda t: expect(game.utility, game.respond(t, key)), theta),
        },
        shortcuts,
        jax.vmap(game.luck)(policy.y) if _draws_luck(game, policy) else None,
        None if recorded is None else recorded.y.preferred,
        game.diagnostics(theta),
    )


def _shortcuts(game: Game, theta: Theta, phi: Phi, policy: Responses) -> dict[str, tuple[PyTree, PyTree]]:
    """Return the results of overrides and their definitions, with derivatives in θ and φ."""

    def norm(rewards: Callable[..., tuple[Scalar, Scalar]]) -> PyTree:
        def mean(t: Theta, p: Phi) -> Scalar:
            key = jax.random.key(0)
            return expect(lambda y: rewards(p, y)[1], game.respond(t, key))

        return jax.vmap(lambda y: rewards(phi, y))(policy.y), jax.grad(mean, (0, 1))(theta, phi)

    def other_than(leaf: Array) -> Array:
        if leaf.shape[0] > 1:
            return jnp.roll(leaf, 1, axis=0)
        return 0.9 * leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf  # of one response, near by

    others = jax.tree.map(other_than, policy.y)

    def kernel(of: Callable[..., Scalar]) -> PyTree:
        def mean(p: Phi) -> Scalar:
            return jnp.sum(policy.w * jax.vmap(lambda y, other: of(p, y, other))(policy.y, others))

        both = (jax.vmap(lambda y, other: of(phi, y, other))(policy.y, side) for side in (others, policy.y))
        return *both, jax.grad(mean)(phi)

    default = partial(Game.reward_and_norm, game), partial(Game.tangent_kernel, game)
    return {
        "reward_and_norm(phi, y)": (norm(game.reward_and_norm), norm(default[0])),
        "tangent_kernel(phi, y, other)": (kernel(game.tangent_kernel), kernel(default[1])),
    }


def _pairs(
    game: Game, theta: Theta, policy: Responses, key: Key, has_reference: bool
) -> dict[str, Responses]:
    """Return the pairs from `compare` for each opponent, if they are few enough to check."""
    if policy.w.size**2 > MOST_PAIRS * game.prompts:
        return {}
    opponents = ["policy", *(["reference"] if has_reference else [])]
    return {o: game.compare(theta, policy, o, named_key(key, "opponent")) for o in opponents}


def _draws_luck(game: Game, policy: Responses) -> bool:
    try:
        jax.eval_shape(jax.vmap(game.luck), policy.y)
    except InputError:
        return False
    return True
