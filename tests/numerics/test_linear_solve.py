"""A linear system is solved to its digits, or not at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, RewardModel
from fpo_jax.engine.initial import at_precision
from fpo_jax.envs.bandit import Arm, BanditGame
from fpo_jax.numerics.linear_solve import Limits, cholesky, solve, solve_positive, whitened
from fpo_jax.objectives import Implicit
from fpo_jax.steering import steering


def near_duplicates(apart):
    """A bandit whose two features differ by `apart`, so that its normal equations are nearly singular."""
    rng = np.random.default_rng(0)
    common, own, quality = rng.uniform(size=(3, 24))
    features = np.stack([common, common + apart * (own - 0.5)], axis=1)
    arms = Arm(jnp.asarray(features), jnp.asarray(quality), jnp.asarray((np.arange(24) > 17).astype(float)))
    return BanditGame(arms, 0.02), jnp.asarray(rng.normal(size=24))


APART = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4)


@pytest.mark.parametrize("route", ["steering", "implicit, dense", "implicit, CG", "best response"])
def test_a_system_that_rounding_decides_is_refused_and_what_is_given_is_right(route, key):
    # float32 against float64. The condition of two features ε apart grows as 1/ε², so that at 3e-3 rounding
    # alone makes several per cent of an answer whose slope is 1e-7: it is NaN. What is not is right to 5 %.
    def answers(precision):
        tolerance = 1e-12 if precision == "float64" else 1e-6
        implicit = Implicit(solver="cg" if route == "implicit, CG" else "dense", tolerance=tolerance)
        follower = BestResponse(ridge=0.0, alpha=0.3)

        @jax.jit
        def answer(game, theta):
            model = RewardModel(jnp.zeros(2), memory=jnp.zeros(2))
            arguments = game, follower, theta, model, key
            if route == "best response":
                return follower.update(game, theta, model, key).phi
            return (
                steering(*arguments) if route == "steering" else implicit.decompose(*arguments)[0]
            ).steering

        with jax.enable_x64(precision == "float64"):
            games = [at_precision(near_duplicates(apart), precision) for apart in APART]
            return [np.asarray(answer(*game), float) for game in games]

    for apart, exact, ours in zip(APART, answers("float64"), answers("float32"), strict=True):
        assert np.all(np.isnan(ours)) or np.linalg.norm(ours - exact) < 0.05 * np.linalg.norm(exact), apart
        assert np.all(np.isfinite(exact))
        estimated = route == "implicit, CG" and apart == 0.01  # from below, so that it may pass just beyond
        assert np.isfinite(ours).all() == (apart > 0.02) or estimated, apart


@pytest.mark.parametrize("size", [2, 4, 5, 12])
def test_the_condition_decides_what_is_solved(size):
    # H = Q diag(1 … 1/κ) Qᵀ without a diagonal scale to be mended: refused once κ · eps passes 1e-2 by what
    # the norms are worth, a factor of at most n, and not before.
    rng = np.random.default_rng(size)
    turn, _ = np.linalg.qr(rng.normal(size=(size, size)))
    b = rng.normal(size=size)

    def found(condition):
        matrix = turn @ np.diag(np.geomspace(1.0, 1.0 / condition, size)) @ turn.T
        return solve_positive(jnp.asarray(matrix), jnp.asarray(b)), np.linalg.solve(matrix, b)

    limit = 1e-2 / np.finfo(float).eps
    ours, exact = found(limit / 100)
    np.testing.assert_allclose(ours, exact, rtol=1e-3)
    assert np.isnan(found(100 * limit)[0]).all()
    units = np.diag(np.geomspace(1.0, 1e9, size))  # unknowns in other units are another matter
    scaled = solve_positive(jnp.asarray(units @ (np.eye(size) + 0.3) @ units), jnp.asarray(units @ b))
    np.testing.assert_allclose(scaled * np.diag(units), np.linalg.solve(np.eye(size) + 0.3, b), rtol=1e-9)


def test_neumann_error_falls_by_the_spectral_radius():
    # v − v_K = (I − η H)^K v; along the eigenvector of the least curvature the factor is the spectral radius.
    curvatures = jnp.array([0.5, 1.0, 3.0])
    turn = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (3, 3)))[0]
    hessian = turn @ jnp.diag(curvatures) @ turn.T
    b = jax.random.normal(jax.random.key(1), (3,))
    exact = jnp.linalg.solve(hessian, b)
    step = 0.3
    radius = np.max(np.abs(1 - step * np.asarray(curvatures)))
    errors = []
    for terms in (40, 50, 60):
        v, cost = solve("neumann", lambda x: hessian @ x, b, Limits(1e-12, terms, step))
        errors.append(float(jnp.linalg.norm(v - exact)))
        assert cost.iterations == terms
    ratios = np.array(errors[1:]) / errors[:-1]
    np.testing.assert_allclose(ratios, radius**10, rtol=1e-3)
    # left to itself it takes one over the largest curvature, 1/3: radius 5/6
    v, _ = solve("neumann", lambda x: hessian @ x, b, Limits(1e-12, 200, 0.0))
    assert jnp.linalg.norm(v - exact) < 1e-12


@pytest.mark.parametrize(
    ("solver", "hessian", "limits"),
    [
        ("dense", [[1.0, 0.0], [0.0, -1.0]], Limits(1e-12, 100, 0.0)),  # indefinite
        ("dense", [[1.0, 1.0], [1.0, 1.0]], Limits(1e-12, 100, 0.0)),  # singular
        ("cg", [[1.0, 0.0], [0.0, 100.0]], Limits(1e-12, 1, 0.0)),  # too few iterations
        ("neumann", [[1.0, 0.0], [0.0, 3.0]], Limits(1e-12, 100, 1.0)),  # radius |1 − 3| = 2: diverges
    ],
)
def test_a_solve_that_fails_is_not_a_number_and_says_how_far_it_came(solver, hessian, limits):
    v, cost = solve(solver, lambda x: jnp.array(hessian) @ x, jnp.array([1.0, -0.5]), limits)
    assert np.all(np.isnan(v))
    assert not cost.residual < 1e-6


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_a_positive_definite_system_is_solved_with_and_without_lapack(size):
    rng = np.random.default_rng(size)
    half, b = rng.normal(size=(size, size + 2)), rng.normal(size=size)
    matrix = half @ half.T
    np.testing.assert_allclose(solve_positive(matrix, b), np.linalg.solve(matrix, b), rtol=1e-9)
    least = np.linalg.eigvalsh(matrix)[0]
    assert np.isnan(solve_positive(matrix - 1.1 * least * np.eye(size), b)).any()  # one curvature is negative


@pytest.mark.parametrize("solver", ["dense", "cg"])
def test_a_solve_knows_no_scale(solver):
    # H = [[2, 1], [1, 3]], b = (1, 2): v = (0.2, 0.6), times the scale of b over that of H.
    # Where H is below 1e-13 of its vectors, CG of lineax stops at once, and what comes out is NaN.
    hessian, b = jnp.array([[2.0, 1.0], [1.0, 3.0]]), jnp.array([1.0, 2.0])
    limits = Limits(tolerance=1e-12, terms=10, neumann_step=0.0)
    go = jax.jit(lambda h, b: solve(solver, lambda v: h * (hessian @ v), b, limits)[0])
    for h, size in ((1.0, 1.0), (1e-8, 1.0), (1e8, 1.0), (1.0, 1e-3), (1.0, 1e9)):
        np.testing.assert_allclose(go(h, size * b), np.array([0.2, 0.6]) * size / h, rtol=1e-9)
    np.testing.assert_array_equal(go(1.0, 0.0 * b), jnp.zeros(2))


def test_conjugate_gradients_refuse_a_nearly_singular_system_whatever_its_scale():
    # κ = 5e13, so that κ · eps = 0.011 passes 1e-2; without the scale h of H, κ would be taken for 5e13 / h.
    limits = Limits(tolerance=1e-6, terms=10, neumann_step=0.0)
    for h in (1e4, 1e8, 1e18):
        hessian = h * jnp.diag(jnp.array([1.0, 2e-14]))
        v, cost = solve("cg", lambda v, H=hessian: H @ v, jnp.array([1.0, 1.0]), limits)
        assert cost.residual < 1e-6  # CG itself sees nothing amiss
        assert np.all(np.isnan(v))


@pytest.mark.parametrize("n", [3, 6])  # written out, and by LAPACK
def test_whitened_products_are_those_with_the_inverse(n):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    matrix, a, b = root @ root.T + np.eye(n), rng.normal(size=n), rng.normal(size=n)
    lower = cholesky(jnp.asarray(matrix))
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), rtol=1e-11, atol=1e-14)
    product = whitened(lower, jnp.asarray(a)) @ whitened(lower, jnp.asarray(b))
    np.testing.assert_allclose(product, a @ np.linalg.solve(matrix, b), rtol=1e-11)
    for weakest in (0.0, 1e-15):  # singular, or nearly: along the last direction of an orthonormal basis
        basis = np.linalg.qr(root)[0]
        spoilt = (basis * np.append(np.ones(n - 1), weakest)) @ basis.T
        assert np.all(np.isnan(np.diagonal(cholesky(jnp.asarray(spoilt)))))
