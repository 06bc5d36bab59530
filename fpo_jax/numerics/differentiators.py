"""How the leader differentiates its objective: exactly, or by finite differences as in published work.

All take a scalar function of a pytree and return a pytree of the same shape. The difference schemes batch
their evaluations with vmap; they ignore `jax.lax.stop_gradient`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from fpo_jax.hyperparameters import catalogue, real
from fpo_jax.types import Scalar


class Differentiator(ABC):
    """A map from a scalar function f and a point x to an estimate of ∇f(x), shaped like x.

    `detaches` says whether it respects `jax.lax.stop_gradient`.
    """

    detaches: ClassVar[bool] = False

    @abstractmethod
    def gradient(self, f: Callable[[PyTree], Scalar], x: PyTree) -> PyTree:
        """Return ∇f(x), or an approximation of it."""
        ...


@struct.dataclass
class Autodiff(Differentiator):
    """∇f by reverse-mode automatic differentiation: exact to rounding."""

    detaches: ClassVar[bool] = True

    def gradient(self, f: Callable[[PyTree], Scalar], x: PyTree) -> PyTree:
        """Return ∇f(x)."""
        return jax.grad(f)(x)


@struct.dataclass
class ForwardDifference(Differentiator):
    """(f(x + h e_i) − f(x)) / h for each coordinate i: the published linear experiment's gradient."""

    difference_step: float = real(0.05, "step h of the forward difference", low=0.0, open=True)

    def gradient(self, f: Callable[[PyTree], Scalar], x: PyTree) -> PyTree:
        """Return the forward difference, with error O(h)."""
        flat, unravel = ravel_pytree(x)
        shifts = self.difference_step * jnp.eye(flat.size, dtype=flat.dtype)
        ahead = jax.vmap(lambda shift: f(unravel(flat + shift)))(shifts)
        return unravel((ahead - f(x)) / self.difference_step)


@struct.dataclass
class CentralDifference(Differentiator):
    """(f(x + h e_i) − f(x − h e_i)) / 2h for each coordinate i: the test of exact gradients."""

    difference_step: float = real(1e-5, "half-width h of the central difference", low=0.0, open=True)

    def gradient(self, f: Callable[[PyTree], Scalar], x: PyTree) -> PyTree:
        """Return the central difference, with error O(h²)."""
        flat, unravel = ravel_pytree(x)
        shifts = self.difference_step * jnp.eye(flat.size, dtype=flat.dtype)
        ahead = jax.vmap(lambda shift: f(unravel(flat + shift)))(shifts)
        behind = jax.vmap(lambda shift: f(unravel(flat - shift)))(shifts)
        return unravel((ahead - behind) / (2.0 * self.difference_step))


DIFFERENTIATORS = catalogue(Autodiff, ForwardDifference, CentralDifference)
