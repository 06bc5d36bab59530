"""A follower that trains its reward model with any optax optimiser on a replay buffer, as practitioners do.

Differentiable end to end: gradients flow through the optimiser's moments and the buffer's contents.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import annotated, follower_loss, squared_norm
from fpo_jax.feedback import Labels
from fpo_jax.followers.buffer import reservoir
from fpo_jax.followers.gradient import weight_of_steps
from fpo_jax.hyperparameters import choice, count, flag, part, real, text
from fpo_jax.numerics.keys import named_key
from fpo_jax.numerics.rows import pushed
from fpo_jax.numerics.scan import scan
from fpo_jax.types import Feedback, Follower, Game, Key, Phi, Responses, RewardModel, Scalar, Theta, Training

ROUNDLESS = 1e-30
"""Added under the root of Adam and its kin: the derivative of √v at v = 0 is then 0 · 1/ROUNDLESS^½, not NaN.
"""


class Memory(NamedTuple):
    """What the follower carries between updates.

    Attributes:
        optimizer_state: of the optax optimiser.
        buffer: draws of past policies, [buffer_size, n] weights; an empty place has weights 0.
        total: draws taken so far.
        anchor: fixed draws of the initial policy, as the buffer; None unless `replay` is mixed.
        start: φ₀ for a cold start, else None.
    """

    optimizer_state: PyTree
    buffer: Responses
    total: Int[Array, ""]
    anchor: Responses | None
    start: Phi | None


@struct.dataclass
class Optax(Follower):
    """Steps of any optax optimiser on (1 − α)·anchor + α·buffer, from the present φ (paper, neural).

    Each update puts `draws` independent samples of π_θ into the buffer, and takes `rm_steps` steps down
    E[ℓ(r_φ(y), U(y))] + ½ weight_decay · ‖φ‖², with equal weights for the samples in the buffer. `replay`
    says what the buffer keeps: `fresh`, only the present draws; `fifo`, the last buffer_size; `accumulate`, a
    uniform sample of buffer_size from all draws so far, all of them while they fit; `mixed`, as fifo, with
    buffer_size draws of the initial policy as the anchor. Otherwise the anchor is the game's offline data, if
    any. With `warm_start` off, every update begins anew at φ₀ with a fresh optimiser.

    Nothing is detached: dφ⁺/dθ goes through the fresh draws, the optimiser's moments, and over a horizon
    through the buffer. A subclass that overrides `transformation` uses any chain of optax.
    """

    optimizer: str = text("adam", "name of an optax optimiser that takes a learning rate")
    rm_lr: float = real(1e-3, "learning rate of the reward model", low=0.0)
    weight_decay: float = real(0.0, "L2 penalty, weight_decay · φ added to the gradient", low=0.0)
    alpha: float = real(1.0, "share of on-policy data in the training mix", low=0.0, high=1.0)
    rm_steps: int = count(1, "optimiser steps in one update of the reward model")
    draws: int = count(1, "independent samples of the policy taken at each update")
    buffer_size: int = count(1, "samples that the buffer holds, at least `draws`")
    replay: str = choice("fresh", "what the buffer keeps", ("fresh", "fifo", "accumulate", "mixed"))
    warm_start: bool = flag(True, "continue from the present φ rather than from φ₀")
    feedback: Feedback = part(Labels())

    def check(self) -> None:
        """Raise an InputError when the draws do not fit the buffer, or optax has no such optimiser."""
        if self.replay != "fresh" and self.buffer_size < self.draws:
            raise InputError("buffer_size", self.buffer_size, f"an integer >= draws = {self.draws}")
        optimiser: Any = self.transformation()
        if not isinstance(optimiser, optax.GradientTransformation):
            raise InputError("optimizer", optimiser, "an optax.GradientTransformation: a pair (init, update)")
        try:
            with jax.numpy_dtype_promotion("standard"):
                jax.eval_shape(lambda phi: optimiser.update(phi, optimiser.init(phi), phi), jnp.zeros(1))
        except TypeError as error:
            raise InputError("optimizer", self.optimizer, "one that needs only gradients") from error

    @property
    def brings_anchor(self) -> bool:
        """Say whether α < 1 makes sense in an environment without offline data."""
        return self.replay == "mixed"

    def transformation(self) -> optax.GradientTransformation:
        """Return the optimiser, preceded by the gradient of the L2 penalty.

        Raises:
            InputError: when optax has no optimiser of this name that takes a learning rate.
        """
        allowed = "an optimiser of optax that takes a learning rate, such as adam, sgd or rmsprop"
        make: Any = getattr(optax, self.optimizer, None)
        accepted = inspect.signature(make).parameters if callable(make) else {}
        if "learning_rate" not in accepted:
            raise InputError("optimizer", self.optimizer, allowed)
        smooth = {"eps_root": ROUNDLESS} if "eps_root" in accepted else {}
        try:
            optimiser = make(learning_rate=self.rm_lr, **smooth)
        except TypeError as error:
            raise InputError("optimizer", self.optimizer, allowed) from error
        return optax.chain(optax.add_decayed_weights(self.weight_decay), optimiser)

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return φ₀, a fresh optimiser, an empty buffer, and the anchor where there is one."""
        capacity = self.draws if self.replay == "fresh" else self.buffer_size
        shapes = jax.eval_shape(lambda: self._items(game, theta, key, capacity))
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        anchor = self._items(game, theta, named_key(key, "anchor"), capacity) if self.brings_anchor else None
        start = None if self.warm_start else phi
        memory = Memory(self.transformation().init(phi), empty, jnp.asarray(0), anchor, start)
        return RewardModel(phi, memory)

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model after one update on what π_θ produces.

        Raises:
            InputError: when the reward model carries no memory; `init` gives one.
        """
        memory = reward_model.memory
        if not isinstance(memory, Memory):
            raise InputError(
                "reward_model.memory", memory, "what Optax.init returns: an optimiser needs its state"
            )
        buffer, data = self._training_data(game, theta, reward_model, key)
        phi, state = self._descended(lambda phi: self._fit(game, phi, data), reward_model)
        total = memory.total + self.draws
        return RewardModel(phi, memory._replace(optimizer_state=state, buffer=buffer, total=total))

    def _descended(
        self, loss: Callable[[Phi], Scalar], reward_model: RewardModel
    ) -> tuple[Phi, optax.OptState]:
        """Return φ and the optimiser's state after `rm_steps` steps, from the present φ or a cold start."""
        memory, optimiser = reward_model.memory, self.transformation()
        start = reward_model.phi, memory.optimizer_state
        if memory.start is not None:
            start = memory.start, optimiser.init(memory.start)

        def step(carry: tuple[Phi, PyTree], _: None) -> tuple[tuple[Phi, PyTree], None]:
            phi, state = carry
            with jax.numpy_dtype_promotion("standard"):  # which optax counts on
                change, state = optimiser.update(jax.grad(loss)(phi), state, phi)
            return (optax.apply_updates(phi, change), state), None

        return scan(step, start, length=self.rm_steps)[0]

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar]:
        """Return the loss that an update descends but does not minimise, as a function of flattened φ."""
        _, data = self._training_data(game, theta, reward_model, key)
        _, unravel = ravel_pytree(reward_model.phi)

        def loss(phi: Array) -> Scalar:
            return self._fit(game, unravel(phi), data) + 0.5 * self.weight_decay * squared_norm(phi)

        return loss

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training:
        """Return the buffer once fresh draws have entered it, what it is mixed with, and the L2 penalty."""
        _, data = self._training_data(game, theta, reward_model, key)
        items = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *data)
        return Training(items, self.weight_decay)

    def calibrated_weight(self, horizon: int) -> float | None:
        """Return scale·lr·α·k for k plain descent steps on fresh draws, else None."""
        if self.optimizer != "sgd" or self.replay != "fresh":
            return None
        return weight_of_steps(self, horizon)

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses:
        """Return the draws that are about to enter the buffer, as one sample."""
        return _as_sample(self._items(game, theta, key, self.draws), self.draws)

    def _items(self, game: Game, theta: Theta, key: Key, number: int) -> Responses:
        """Return the items of independent draws of π_θ, stacked: leading axes [number, n]."""
        responses = game.sample(theta, key, number)
        keys = jax.random.split(named_key(key, "items"), number)

        def annotated_items(one: Responses, item_key: Key) -> Responses:
            items = self.feedback.gather(game, theta, one, item_key)
            return annotated(items, self.feedback, item_key)

        return jax.vmap(annotated_items)(responses, keys)

    def _push(self, memory: Memory, fresh: Responses, key: Key) -> Responses:
        """Return the buffer after the fresh draws have entered it."""
        if self.replay != "accumulate":
            return pushed(memory.buffer, fresh)
        return reservoir(memory.buffer, fresh, memory.total, key)

    def _fit(self, game: Game, phi: Phi, data: Sequence[Responses]) -> Scalar:
        """Return E[ℓ] over the parts of the data, whose weights sum to 1 together."""
        return jnp.sum(jnp.stack([follower_loss(game, phi, part, self.feedback) for part in data]))

    def _earlier(self, memory: Memory) -> Responses:
        """Return the draws that stay in the buffer when fresh ones drive out the oldest."""
        return jax.tree.map(lambda leaf: leaf[self.draws :], memory.buffer)

    def _filled(self, memory: Memory) -> Array:
        """Return the number of draws in the buffer after the next update."""
        return jnp.minimum(memory.total + self.draws, memory.buffer.w.shape[0])

    def _others(self, game: Game, memory: Memory, key: Key) -> Responses | None:
        """Return what the buffer is mixed with, if anything."""
        if memory.anchor is None:
            return self.feedback.offline(game, key)
        return _as_sample(memory.anchor, memory.anchor.w.shape[0])

    def _training_data(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> tuple[Responses, list[Responses]]:
        """Return the buffer after fresh draws of π_θ have entered it, and the parts of the mix to train on.

        Earlier draws are a separate part, because their share of the loss does not depend on the policy.
        """
        memory, alpha = reward_model.memory, self.alpha
        fresh = self._items(game, theta, key, self.draws)
        buffer = self._push(memory, fresh, named_key(key, "places"))
        draws = [buffer] if self.replay == "accumulate" else [self._earlier(memory), fresh]
        parts = [_as_sample(part, self._filled(memory)) for part in draws if part.w.size]
        others = self._others(game, memory, key)
        if others is None:
            return buffer, parts
        mixed = [others._replace(w=(1.0 - alpha) * others.w)]
        return buffer, mixed + [part._replace(w=alpha * part.w) for part in parts]


def _as_sample(draws: Responses, number: int | Array) -> Responses:
    """Return stacked draws as one sample, each of weight 1 / number."""
    flat: Callable[[Array], Array] = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
    return Responses(jax.tree.map(flat, draws.y), flat(draws.w) / jnp.asarray(number, draws.w.dtype))
