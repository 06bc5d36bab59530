"""A multilayer perceptron as a reward model, and the inner product of its parameter gradients in closed form.

Layers z_l = W_lᵀ a_{l−1} + b_l, a_l = act(z_l), a_0 = y, r = z_L. With δ_l = ∂r/∂z_l the gradient by W_l is
the outer product a_{l−1} δ_lᵀ, and by b_l it is δ_l. So

    ⟨∇_φ r(y), ∇_φ r(y')⟩ = Σ_l (1 + ⟨a_{l−1}, a'_{l−1}⟩) ⟨δ_l, δ'_l⟩,

the neural tangent kernel, at the cost of one forward and one backward pass for each response (ours).
"""

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fpo_jax.numerics.keys import normal
from fpo_jax.types import Key, Phi, Scalar

Vector = Float[Array, " d"]
Activation = Callable[[Array], Array]
Factors = list[tuple[Vector, Vector]]


def _log1p(u: Array) -> Array:
    """Return log(1 + u) for u in [0, 1], as 2 artanh(s) = 2 Σ_k s^(2k+1) / (2k+1) with s = u / (2 + u).

    It is exact to rounding for every such u: s <= 1/3, so each term is at most a ninth of the one before. It
    takes one division and a few multiplications; the general function takes a logarithm and a rational
    function, and selects one.
    """
    s = u / (2.0 + u)
    square = s * s
    terms = math.ceil(-math.log(jnp.finfo(u.dtype).eps) / math.log(9.0))
    series = jnp.zeros_like(u)
    for k in reversed(range(terms)):
        series = series * square + 1.0 / (2 * k + 1)
    return 2.0 * s * series


@jax.custom_jvp
def softplus(z: Array) -> Array:
    """Return log(1 + eᶻ), exact to rounding for every z; its derivatives share its exponential."""
    return jnp.maximum(z, 0.0) + _log1p(jnp.exp(-jnp.abs(z)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return softplus(*primals), _logistic(*primals) * tangents[0]


@jax.custom_jvp
def _logistic(z: Array) -> Array:
    """Return 1 / (1 + e⁻ᶻ)."""
    small = jnp.exp(-jnp.abs(z))
    return jnp.where(z >= 0.0, 1.0, small) / (1.0 + small)


@_logistic.defjvp
def _logistic_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    small = jnp.exp(-jnp.abs(primals[0]))
    return _logistic(*primals), small / (1.0 + small) ** 2 * tangents[0]


ACTIVATIONS: Mapping[str, Activation] = {"softplus": softplus, "tanh": jnp.tanh, "relu": jax.nn.relu}


class MLP(nn.Module):
    """Layers of the given widths, and a last layer of width 1 for the reward.

    Initial weights from N(0, init_noise²), biases 0; in φ layer l has `kernel_l` and `bias_l`.
    """

    hidden: tuple[int, ...]
    activation: str = "softplus"
    init_noise: float | Scalar = 0.1

    @nn.compact
    def __call__(self, y: Vector) -> Scalar:
        """Return r(y)."""

        def weights(key: Key, into: int, out: int) -> Array:
            return self.init_noise * normal(key, (into, out))

        widths = (y.size, *self.hidden, 1)
        for i, (into, out) in enumerate(itertools.pairwise(widths)):
            self.param(f"kernel_{i}", weights, into, out)
            self.param(f"bias_{i}", lambda key, out: jnp.zeros(out), out)
        return _pass(self.variables["params"], y, self.activation)[0]


def reward_and_norm(model: MLP, phi: Phi, y: Vector) -> tuple[Scalar, Scalar]:
    """Return r(y) and ‖∇_φ r(y)‖² = Σ_l (1 + ‖a_{l−1}‖²) ‖δ_l‖², from one forward and one backward pass.

    Args:
        model: the network with parameters φ.
        phi: parameters in the form that `model.init` returns.
        y: [d] one response. Differentiable in φ and y.
    """
    reward, factors = _pass(phi["params"], y, model.activation)
    return reward, _inner(factors, factors)


def last_layer_gradient(model: MLP, phi: Phi, y: Vector) -> Vector:
    """Return the gradient of r(y) by the last layer's parameters: the last hidden activations, and 1."""
    (*_, (activations, _)) = _pass(phi["params"], y, model.activation)[1]
    return jnp.append(activations, jnp.ones_like(activations, shape=1))


def tangent_kernel(model: MLP, phi: Phi, y: Vector, other: Vector) -> Scalar:
    """Return ⟨∇_φ r(y), ∇_φ r(y')⟩: how far a step on one response moves the reward of another."""
    mine, theirs = (_pass(phi["params"], at, model.activation)[1] for at in (y, other))
    return _inner(mine, theirs)


def _inner(mine: Factors, theirs: Factors) -> Scalar:
    terms = ((1.0 + jnp.sum(a * b)) * jnp.sum(d * e) for (a, d), (b, e) in zip(mine, theirs, strict=True))
    return sum(terms, jnp.zeros(()))


@partial(jax.jit, static_argnames="activation")  # traced once for all uses, which can then share it
def _pass(parameters: Mapping[str, Array], y: Vector, activation: str) -> tuple[Scalar, Factors]:
    """Return r(y), and (a_{l−1}, δ_l) of every layer."""
    act, numbers = ACTIVATIONS[activation], range(len(parameters) // 2)
    kernels, biases = ([parameters[f"{name}_{i}"] for i in numbers] for name in ("kernel", "bias"))
    inputs, slopes = [y], []
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        z = inputs[-1] @ kernel + bias
        value, slope = jax.jvp(act, (z,), (jnp.ones_like(z),))
        inputs.append(value)
        slopes.append(slope)
    reward = (inputs[-1] @ kernels[-1] + biases[-1])[0]
    deltas = [jnp.ones_like(y, shape=(1,))]
    for kernel, slope in zip(kernels[:0:-1], slopes[::-1], strict=True):
        deltas.append((kernel @ deltas[-1]) * slope)
    return reward, list(zip(inputs, deltas[::-1], strict=True))
