"""Small systems at once: what LAPACK gives, to the rounding of their condition, and each on its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.numerics import small_systems
from fpo_jax.numerics.small_systems import BLOCK, FEWEST, MOST, solve_dominant

EPS = np.finfo(np.float64).eps
SIZES = [(1, FEWEST), (7, FEWEST - 1), (25, BLOCK + 1), (MOST, FEWEST), (MOST + 1, 2)]


def systems(n, discount, lanes, transpose=False, seed=0):
    """I − γ P of processes of n states, dominant by rows or columns; its condition is below 2 / (1 − γ)."""
    rng = np.random.default_rng(seed)
    chains = rng.dirichlet(0.3 * np.ones(n), (lanes, n)) if n > 1 else np.ones((lanes, 1, 1))
    matrices = np.eye(n) - discount * chains
    return np.swapaxes(matrices, 1, 2) if transpose else matrices, rng.normal(size=(lanes, n))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("discount", [0.0, 0.9, 0.999])
@pytest.mark.parametrize(
    ("n", "lanes"), [(1, FEWEST), (7, FEWEST - 1), (25, BLOCK + 1), (MOST, FEWEST), (MOST + 1, 2)]
)
def test_solutions_are_those_of_lapack(n, lanes, discount, transpose):
    matrices, right = systems(n, discount, lanes, transpose)
    found = np.asarray(jax.vmap(solve_dominant)(matrices, right))
    expected = np.linalg.solve(matrices, right[..., None])[..., 0]
    # either is off by so many roundings of the condition, which is at most 2 / (1 − γ)
    scale = np.abs(expected).max(axis=1, keepdims=True)
    assert np.abs(found - expected).max() <= (10.0 * n * EPS * 2.0 / (1.0 - discount) * scale).max()


def test_any_layout_gives_the_same():
    matrices, right = systems(7, 0.9, 12)
    each = jnp.stack([solve_dominant(m, b) for m, b in zip(matrices, right, strict=True)])
    close = {"rtol": 1e-13, "atol": 1e-14}
    last = jax.vmap(solve_dominant, in_axes=(2, 1), out_axes=1)(np.moveaxis(matrices, 0, 2), right.T)
    np.testing.assert_allclose(last.T, each, **close)
    nested = jax.vmap(jax.vmap(solve_dominant))(matrices.reshape(3, 4, 7, 7), right.reshape(3, 4, 7))
    np.testing.assert_allclose(nested.reshape(12, 7), each, **close)
    one = jax.vmap(solve_dominant, in_axes=(None, 0))(matrices[0], right)
    np.testing.assert_allclose(one, np.linalg.solve(matrices[0], right.T).T, **close)
    every = jax.jit(jax.vmap(solve_dominant, in_axes=(0, None)))(matrices, right[0])
    np.testing.assert_allclose(every[0], each[0], **close)


@pytest.mark.parametrize("lanes", [FEWEST - 1, FEWEST])
def test_derivatives_are_those_of_the_theorem(lanes):
    """x = A⁻¹ b: dx = A⁻¹ (db − dA x), and backwards b̄ = A⁻ᵀ x̄, Ā = −b̄ xᵀ."""
    matrices, right = systems(5, 0.9, lanes)
    rng = np.random.default_rng(1)
    d_matrices, d_right, x_bar = (
        rng.normal(size=shape) for shape in (matrices.shape, right.shape, right.shape)
    )
    x, dx = jax.jvp(jax.vmap(solve_dominant), (matrices, right), (d_matrices, d_right))
    inverse = np.linalg.inv(matrices)
    expected = np.einsum("lij,lj->li", inverse, d_right - np.einsum("lij,lj->li", d_matrices, x))
    np.testing.assert_allclose(dx, expected, rtol=1e-11, atol=1e-12)
    _, back = jax.vjp(jax.vmap(solve_dominant), matrices, right)
    b_bar = np.einsum("lji,lj->li", inverse, x_bar)
    for found, wanted in zip(back(x_bar), (-b_bar[:, :, None] * x[:, None, :], b_bar), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("bad", [np.zeros((7, 7)), np.full((7, 7), np.nan)])
def test_a_singular_system_spoils_no_other(bad):
    matrices, right = systems(7, 0.9, 40)
    solve = jax.jit(jax.vmap(solve_dominant))
    without, matrices[13] = solve(matrices, right), bad
    found = np.asarray(solve(matrices, right))
    assert not np.isfinite(found[13]).any()
    others = np.arange(40) != 13
    np.testing.assert_array_equal(found[others], np.asarray(without)[others])


def test_single_precision():
    matrices, right = (a.astype(np.float32) for a in systems(25, 0.9, 40))
    with jax.enable_x64(False):
        found = jax.vmap(solve_dominant)(matrices, right)
    assert found.dtype == np.float32
    expected = np.linalg.solve(matrices.astype(float), right.astype(float)[..., None])[..., 0]
    np.testing.assert_allclose(
        found, expected, atol=25 * 20 * np.finfo(np.float32).eps * np.abs(expected).max()
    )


def test_many_are_eliminated_in_lanes_and_few_are_lapacks():
    matrices, right = systems(7, 0.9, FEWEST)
    lowered = [jax.jit(jax.vmap(solve_dominant)).lower(matrices[:n], right[:n]) for n in (FEWEST, FEWEST - 1)]
    assert ["lapack_" in one.compile().as_text() for one in lowered] == [False, True]
    assert small_systems.BLOCK % FEWEST == 0
