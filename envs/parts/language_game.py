"""The game of short texts: an autoregressive policy, and a reward linear in features of a frozen encoder.

`fpo_jax.envs.language` draws such games.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, UInt32

from fpo_jax.envs.parts.answers import Answer, described, encoder_of, total
from fpo_jax.envs.parts.transformer import Transformer, every_word, tree
from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.responses import scored
from fpo_jax.types import Game, Key, Responses, Scalar, Theta

MOST_PAIRED = 2**9
"""Most answers to one prompt for which all pairs are formed."""


@struct.dataclass
class LanguageGame(Game):
    """Answers to prompts, w = ρ(x) π_θ(y | x); r = φ·ψ(x, y); cost = β E_x[KL(π_θ ‖ π_ref)].

    π_θ(word | x, words before) ∝ π_ref(word | x, last word) · exp f_θ(x, words before), f a transformer that
    begins at 0: θ₀ is the reference policy. θ: its parameters. φ: [d], from 0.

    Attributes:
        encoder: parameters of the frozen encoder, a transformer as well.
        log_reference: [prompts, V + 1, V] log π_ref of a word after each other one, and after none.
        corpus: the offline data, in equal consecutive blocks.
        every: all answers, in equal consecutive blocks by prompt; None where answers are sampled.
        kl_weight: β.
        fixed: data of the key of those answers that are the same at every call, where they are sampled.
        responses: answers sampled to each prompt; 0 where all are enumerated.
        width, layers, heads: sizes of the policy's transformer.
    """

    encoder: Any
    log_reference: Float[Array, "prompts before words"]
    corpus: Answer
    every: Answer | None
    kl_weight: float | Scalar
    fixed: UInt32[Array, " two"]
    responses: int = struct.field(pytree_node=False, default=0)
    width: int = struct.field(pytree_node=False, default=16)
    layers: int = struct.field(pytree_node=False, default=1)
    heads: int = struct.field(pytree_node=False, default=2)

    @property
    def prompts(self) -> int:
        """Return the number of prompts."""
        return self.log_reference.shape[0]

    @property
    def words(self) -> int:
        """Return the number of words V."""
        return self.log_reference.shape[2]

    @property
    def length(self) -> int:
        """Return the number of words of an answer, L."""
        return self.corpus.tokens.shape[-1]

    @property
    def places(self) -> dict[str, int] | None:
        """Return prompts × first words where answers are enumerated; sampled ones have no places."""
        return None if self.responses else {"prompt": self.prompts, "first word": self.words}

    @property
    def policy(self) -> Transformer:
        """Return the policy's transformer."""
        sizes = self.width, self.layers, self.heads
        return Transformer(self.words + self.prompts, self.length, self.words, *sizes)

    def init(self, key: Key) -> tuple[Theta, Float[Array, " d"]]:
        """Return the reference policy, and a reward model that knows nothing, φ₀ = 0."""
        return self.policy.start(key), jnp.zeros_like(self.corpus.features[0])

    def log_policy(self, theta: Theta) -> Float[Array, "prompts texts"]:
        """Return log π_θ(y | x) of every text, in lexicographic order: Σ_t log p(y_t | y_<t).

        The transformer reads each of the (V^L − 1) / (V − 1) texts of fewer than L words once.
        """

        def given(prompt: Array, table: Array) -> Array:
            nodes = every_word(self.words + prompt, self.words, self.length)
            scores, _ = self.policy.read(theta, nodes, tree(self.words, self.length))
            log_next = jax.nn.log_softmax(table[jnp.minimum(nodes, self.words)] + scores, axis=1)
            return total(log_next, self.words, self.length)

        return jax.vmap(given)(jnp.arange(self.prompts), self.log_reference)

    def log_reference_policy(self) -> Float[Array, "prompts texts"]:
        """Return log π_ref(y | x) of every text, as `log_policy`."""

        nodes = jnp.minimum(every_word(jnp.asarray(self.words), self.words, self.length), self.words)
        return jax.vmap(lambda table: total(table[nodes], self.words, self.length))(self.log_reference)

    def log_next(self, theta: Theta, prompt: Array, tokens: Array) -> tuple[Array, Array]:
        """Return log π_θ and log π_ref of every next word along one text, [length, V] each."""
        scores, _ = self.policy.read(theta, self._before(prompt, tokens), tree(1, self.length))
        table = self.log_reference[prompt, jnp.append(self.words, tokens[:-1])]
        return jax.nn.log_softmax(table + scores, axis=1), table

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return every answer by its probability; or sampled ones, which keep their score as gradient."""
        if self.every is not None:
            return Responses(self.every, (jnp.exp(self.log_policy(theta)) / self.prompts).reshape(-1))
        prompt = jnp.repeat(jnp.arange(self.prompts), self.responses)
        tokens = jax.vmap(lambda x, k: self._write(theta, x, k))(prompt, jax.random.split(key, prompt.size))
        log_next, _ = jax.vmap(lambda x, y: self.log_next(theta, x, y))(prompt, tokens)
        log_probability = jnp.sum(jnp.take_along_axis(log_next, tokens[..., None], axis=-1), axis=(1, 2))
        return Responses(self.answers(prompt, tokens), scored(log_probability) / prompt.size)

    def reward(self, phi: Float[Array, " d"], y: Answer) -> Scalar:
        """Return φ·ψ(x, y)."""
        return jnp.vdot(phi, y.features)

    def reward_and_norm(self, phi: Float[Array, " d"], y: Answer) -> tuple[Scalar, Scalar]:
        """Return φ·ψ and ‖ψ‖²."""
        return self.reward(phi, y), jnp.vdot(y.features, y.features)

    def tangent_kernel(self, phi: Float[Array, " d"], y: Answer, other: Answer) -> Scalar:
        """Return ⟨ψ(y), ψ(y')⟩."""
        return jnp.vdot(y.features, other.features)

    def utility(self, y: Answer) -> Scalar:
        """Return what the answer is worth, `fpo_jax.envs.parts.words.utility`."""
        return y.quality

    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return β · KL(π_θ ‖ π_ref), averaged over prompts."""
        return self.kl_weight * self._kl(theta, responses)

    def blind_spot(self, y: Answer) -> Scalar:
        """Return the share of padding beyond one word, `fpo_jax.envs.parts.words.blind_spot`."""
        return y.padding

    def optimum(self) -> Scalar:
        """Return 1, the utility of the needed words in order and nothing else."""
        return jnp.ones(())

    def offline(self) -> Responses:
        """Return the corpus, all texts alike."""
        return Responses(self.corpus, jnp.full_like(self.corpus.quality, 1.0 / self.corpus.quality.size))

    def reference(self) -> Responses:
        """Return the reference policy: every answer, or the same sampled ones at every call."""
        if self.every is not None:
            weights = jnp.exp(self.log_reference_policy()) / self.prompts
            return Responses(self.every, weights.reshape(-1))
        key = jax.random.wrap_key_data(self.fixed)
        responses = self.respond(self.policy.start(key), key)
        return responses._replace(w=jax.lax.stop_gradient(responses.w))

    def compare(self, theta: Theta, responses: Responses, opponent: str, key: Key) -> Responses:
        """Return pairs of answers, as `Game.compare`.

        Raises:
            InputError: when there are more than fit in memory.
        """
        texts = responses.w.size // self.prompts
        if texts > MOST_PAIRED:
            allowed = (
                f"labels, or use sampled answers (responses > 0): {texts} texts a prompt make too many pairs"
            )
            raise InputError("feedback", "preferences", allowed)
        return super().compare(theta, responses, opponent, key)

    def diagnostics(self, theta: Theta) -> dict[str, Scalar]:
        """Return `kl`, KL(π_θ ‖ π_ref) in nats, averaged over prompts; of a fixed sample where sampled."""
        key = jax.random.wrap_key_data(self.fixed)
        return {"kl": self._kl(theta, None if self.every is not None else self.respond(theta, key))}

    def answers(self, prompt: Int[Array, " n"], tokens: Int[Array, "n length"]) -> Answer:
        """Return texts as answers."""
        symbols, width = self.words + self.prompts, self.corpus.features.shape[-1]
        encoder = encoder_of(symbols, self.length, width, self.layers, self.heads)
        return described(encoder, self.encoder, self.words, prompt, tokens)

    def _write(self, theta: Theta, prompt: Array, key: Key) -> Int[Array, " length"]:
        """Return one text of the policy."""
        noise = jax.random.gumbel(key, (self.length, self.words))
        fixed = jax.lax.stop_gradient(theta)

        def write(
            t: Array, tokens: Array
        ) -> Array:  # reads all words again; those from the t-th on have no effect
            log_next, _ = self.log_next(fixed, prompt, tokens)
            return tokens.at[t].set(jnp.argmax(log_next[t] + noise[t]))

        return jax.lax.fori_loop(0, self.length, write, jnp.zeros(self.length, int))

    def _before(self, prompt: Array, tokens: Array) -> Int[Array, " length"]:
        return jnp.append(self.words + prompt, tokens[:-1])

    def _kl(self, theta: Theta, responses: Responses | None) -> Scalar:
        if self.every is not None:
            log_policy = self.log_policy(theta)
            gap = log_policy - self.log_reference_policy()
            return jnp.sum(jnp.exp(log_policy) * gap) / self.prompts
        assert responses is not None  # where answers are sampled

        # E_y Σ_t KL(π_θ(· | y_<t) ‖ π_ref(· | y_<t)): of less variance than log π_θ(y) − log π_ref(y)
        def along(y: Answer) -> Scalar:
            log_policy, log_reference = self.log_next(theta, y.prompt, y.tokens)
            return jnp.sum(jnp.exp(log_policy) * (log_policy - log_reference))

        return expect(along, responses)
