"""The multilayer perceptron by its closed forms: norms and products of gradients, and softplus."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from fpo_jax import Game
from fpo_jax.envs.neural import Neural
from fpo_jax.numerics.mlp import ACTIVATIONS, tangent_kernel


def test_the_tangent_kernel_of_a_game_is_the_inner_product_of_gradients(key):
    game = Neural(dimension=3, rm_hidden="4,3")
    _, phi = game.init(key)
    y, other = jax.random.normal(key, (2, 3))
    ours, default = jax.jit(
        lambda: (game.tangent_kernel(phi, y, other), Game.tangent_kernel(game, phi, y, other))
    )()
    np.testing.assert_allclose(ours, default, rtol=1e-12)


@pytest.mark.parametrize(
    ("hidden", "activation"),
    [*(((3, 5, 2), activation) for activation in ACTIVATIONS), ((1,), "softplus"), ((6, 3), "softplus")],
)
def test_shortcuts_equal_automatic_differentiation(hidden, activation, key):
    game = Neural(dimension=5, rm_hidden=",".join(map(str, hidden)), rm_activation=activation, init_noise=0.7)

    @jax.jit
    def pairs():
        _, phi = game.init(key)
        y, other = jax.random.normal(key, (2, 5))
        gradient = jax.grad(game.reward)

        def squared(x):
            return jnp.sum(ravel_pytree(gradient(phi, x))[0] ** 2)

        def by_last_layer(x):
            of_all, last = gradient(phi, x)["params"], len(hidden)
            return jnp.concatenate([of_all[f"kernel_{last}"][:, 0], of_all[f"bias_{last}"]])

        reward, norm = game.reward_and_norm(phi, y)
        inner = jnp.vdot(ravel_pytree(gradient(phi, y))[0], ravel_pytree(gradient(phi, other))[0])
        return [
            (reward, game.reward(phi, y)),
            (norm, squared(y)),
            # as the penalties use it, differentiated in y
            (jax.grad(lambda x: game.reward_and_norm(phi, x)[1])(y), jax.grad(squared)(y)),
            (tangent_kernel(game.model, phi, y, other), inner),
            (game.gradient_features(phi, y), by_last_layer(y)),
            (
                jax.jacobian(lambda x: game.gradient_features(phi, x))(y),
                jax.jacobian(by_last_layer)(y),
            ),
        ]

    for ours, theirs in pairs():
        assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_softplus_and_its_derivatives_are_good_to_rounding_everywhere(precision):
    # The reference is NumPy's logaddexp and quotients of exponentials in extended precision. Three operations
    # follow the exponential, each good to half a unit in the last place, and XLA's exponential to about one.
    with jax.enable_x64(precision == "float64"):
        z = np.concatenate([np.linspace(-80.0, 80.0, 4001), np.linspace(-1e-3, 1e-3, 101)]).astype(precision)
        small = np.exp(-np.abs(z.astype(np.longdouble)))
        slope = np.where(z >= 0, 1.0, small) / (1.0 + small)
        expected = np.logaddexp(0.0, z.astype(np.longdouble)), slope, small / (1.0 + small) ** 2
        f, unit = ACTIVATIONS["softplus"], np.finfo(precision).eps
        for function, value in zip((f, jax.grad(f), jax.grad(jax.grad(f))), expected, strict=True):
            found = np.asarray(jax.jit(jax.vmap(function))(z))
            np.testing.assert_allclose(found.astype(np.longdouble), value, rtol=4 * unit, atol=0)
