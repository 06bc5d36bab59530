"""What the reward model is trained on: labels of single responses, or preferences between two.

Either loss depends on φ through one number, the *margin* m_φ: r(y) for a label, r(y) − r(y') for a
preference. So ∇_φ ℓ = scale · residual · ∇_φ m, and the self-influence of a response is defined once (paper):

    ⟨∇_φ r(y), ∇_φ ℓ(y)⟩ / scale = residual · ⟨∇_φ r(y), ∇_φ m⟩
        squared error    (r − U) ‖∇_φ r(y)‖²                                    scale 2
        Bradley–Terry    (σ(m) − p*) ⟨∇_φ r(y), ∇_φ r(y) − ∇_φ r(y')⟩           scale 1

A drawn label depends on θ through the probability of the draw. The *score* of an item carries this: its value
is 1 and its gradient ∇ log P(label). It multiplies ℓ and the residual, which depend on the label, and nothing
else.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, ArrayLike, PyTree

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import catalogue, choice, count, real
from fpo_jax.numerics.keys import named_key
from fpo_jax.responses import Responses, paired, scored
from fpo_jax.types import Feedback, Game, Influence, Key, Phi, Response, Scalar, Theta


def _label_budget() -> Any:
    return count(None, "items to draw from each sample of the policy and to label; without it, all by weight")


@struct.dataclass
class Labels(Feedback):
    """The true utility of each response as its label, and squared error: ℓ = (r − U)² (paper).

    An item is a response.
    """

    scale: ClassVar[float] = 2.0
    quadratic: ClassVar[bool] = True

    label_budget: int | None = _label_budget()

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return the responses themselves."""
        return responses

    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the game's offline data."""
        return game.offline()

    def sides(self, item: Response) -> tuple[Response]:
        """Return the response itself."""
        return (item,)

    def margin(self, game: Game, phi: Phi, item: Response) -> Scalar:
        """Return r_φ(y)."""
        return game.reward(phi, item)

    def target(self, game: Game, item: Response) -> Scalar:
        """Return U(y)."""
        return game.utility(item)

    def loss(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return (r − U)²."""
        return (margin - target) ** 2

    def residual(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return r − U."""
        return margin - target

    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        """Return (r − U) / (1 + step)."""
        return (margin - target) / (1.0 + step)

    def influence(self, game: Game, phi: Phi, item: Response) -> Influence:
        """Return r, m = r, and ‖∇_φ r‖² for both inner products."""
        reward, norm = game.reward_and_norm(phi, item)
        return Influence(reward, reward, norm, norm)


class Comparison(NamedTuple):
    """Two responses to one prompt, and which of them was preferred.

    Attributes:
        y: the response that is judged.
        other: the one that it is compared with.
        preferred: probability in [0, 1] that y is preferred; 1, 0 or ½ (a tie) for a recorded verdict.
        score: 1; its gradient is that of log P(preferred) for a drawn preference, else 0.
    """

    y: Response
    other: Response
    preferred: Scalar
    score: Scalar


@struct.dataclass
class Preferences(Feedback):
    """Preferences of a simulated annotator, and the Bradley–Terry loss.

    ℓ = −p* log σ(m) − (1 − p*) log σ(−m), m = r(y) − r(y'). The annotator sees the utility
    Ũ = U + blind_spot_bias · blind spot and prefers y with probability

        p* = ε + (1 − 2ε) σ((Ũ(y) − Ũ(y')) / annotator_temperature),   ε = label_noise,

    or calls it a tie, p* = ½, where |Ũ(y) − Ũ(y')| < tie_margin. Soft labels are p*. Hard labels are drawn
    with probability p*, anew for every pair at each update, and keep their score as gradient. y' comes from
    the reference policy (paper), or from the policy itself, which then carries gradient on both sides (ours).
    Under a label budget, a pair that is drawn twice in one update has one label.
    """

    scale: ClassVar[float] = 1.0
    quadratic: ClassVar[bool] = False

    labels: str = choice("soft", "soft: the annotator's probability; hard: a draw from it", ("soft", "hard"))
    opponent: str = choice("policy", "who gives the other response of each pair", ("policy", "reference"))
    annotator_temperature: float = real(0.25, "utility difference that multiplies the odds by e", low=0.0)
    label_noise: float = real(0.0, "share of preferences that are flipped", low=0.0, high=0.5)
    blind_spot_bias: float = real(0.0, "utility that the annotator adds in the blind spot")
    tie_margin: float = real(0.0, "a smaller difference of utility is a tie", low=0.0)
    label_budget: int | None = _label_budget()

    def check(self) -> None:
        """Raise an InputError when an annotator who is always certain is to give soft labels."""
        if self.labels == "soft" and not np.all(np.asarray(self.annotator_temperature) > 0):
            raise InputError("annotator_temperature", self.annotator_temperature, "> 0 for soft labels")

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return comparisons of the policy's responses with the opponent's, by the weights of both.

        Raises:
            InputError: when the opponent is a reference policy and the game has none.
        """
        pairs = game.compare(theta, responses, self.opponent, named_key(key, "opponent"))
        return self.annotate(game, pairs, named_key(key, "annotator"))

    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the game's recorded comparisons, or else the annotator's on pairs of its offline data."""
        recorded, data = game.comparisons(), game.offline()
        if recorded is not None or data is None:
            return recorded
        return self.annotate(game, paired(data, data, game.prompts), named_key(key, "offline annotator"))

    def annotate(self, game: Game, pairs: Responses, key: Key) -> Responses:
        """Return pairs y = (y, y') as comparisons with the annotator's preferences."""
        first, second = pairs.y
        seen, other = (jax.vmap(lambda y: self.perceived(game, y))(side) for side in (first, second))
        probability, is_tie = self.probability(seen - other), jnp.abs(seen - other) < self.tie_margin
        preferred, score = probability, jnp.ones_like(probability)
        if self.labels == "hard":
            prefers_first = jax.random.bernoulli(key, probability)
            chance = jnp.where(is_tie, 1.0, jnp.where(prefers_first, probability, 1.0 - probability))
            preferred, score = prefers_first.astype(probability.dtype), scored(jnp.log(chance))
        return Responses(Comparison(first, second, jnp.where(is_tie, 0.5, preferred), score), pairs.w)

    def perceived(self, game: Game, y: Response) -> Scalar:
        """Return Ũ(y), the utility that the annotator perceives."""
        return game.utility(y) + self.blind_spot_bias * game.blind_spot(y)

    def probability(self, gap: Array) -> Array:
        """Return p* for a difference Ũ(y) − Ũ(y') that is not a tie: a step at temperature 0, ½ at 0."""
        temperature = jnp.asarray(self.annotator_temperature, gap.dtype)
        soft = jax.nn.sigmoid(gap / jnp.where(temperature > 0, temperature, 1.0))
        certain = jnp.where(temperature > 0, soft, jnp.heaviside(gap, 0.5))
        return self.label_noise + (1.0 - 2.0 * self.label_noise) * certain

    def sides(self, item: Comparison) -> tuple[Response, Response]:
        """Return both responses."""
        return item.y, item.other

    def margin(self, game: Game, phi: Phi, item: Comparison) -> Scalar:
        """Return r_φ(y) − r_φ(y')."""
        return game.reward(phi, item.y) - game.reward(phi, item.other)

    def target(self, game: Game, item: Comparison) -> Scalar:
        """Return the recorded or drawn preference."""
        return item.preferred

    def score(self, item: Comparison) -> Scalar:
        """Return the score of the preference."""
        return item.score

    def loss(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return −p* log σ(m) − (1 − p*) log σ(−m)."""
        return jax.nn.softplus(margin) - target * margin

    def residual(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return p_φ − p*, with p_φ = σ(m)."""
        return jax.nn.sigmoid(margin) - target

    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        """Return σ(x) − p* at the root of x + step · (σ(x) − p*) = m, which lies within `step` of m."""
        reach = jnp.asarray(step + 1.0)  # with room, so that the ends differ in sign also at step 0
        ends = {
            "lower": jax.lax.stop_gradient(margin - reach),
            "upper": jax.lax.stop_gradient(margin + reach),
        }
        from fpo_jax.numerics import roots  # slow to import, and only the proximal penalty needs it

        root = roots.bracketed(
            lambda x, at: x + at[2] * self.residual(x, at[1]) - at[0], margin, (margin, target, step), ends
        )
        return self.residual(root, target)

    def influence(self, game: Game, phi: Phi, item: Comparison) -> Influence:
        """Return r(y), m, ⟨∇r(y), ∇r(y) − ∇r(y')⟩ and ‖∇r(y) − ∇r(y')‖²."""
        reward, norm = game.reward_and_norm(phi, item.y)
        other_reward, other_norm = game.reward_and_norm(phi, item.other)
        inner = game.tangent_kernel(phi, item.y, item.other)
        return Influence(reward, reward - other_reward, norm - inner, norm - 2.0 * inner + other_norm)


@struct.dataclass
class OtherFeedback(Feedback):
    """A feedback that wraps another one; a subclass changes a part of it."""

    feedback: Feedback

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Return that of the feedback."""
        return self.feedback.scale

    @property
    def quadratic(self) -> bool:  # type: ignore[override]
        """Return that of the feedback."""
        return self.feedback.quadratic

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return the items that the feedback makes of responses."""
        return self.feedback.gather(game, theta, responses, key)

    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the items of the offline data."""
        return self.feedback.offline(game, key)

    def sides(self, item: PyTree) -> tuple[Response, ...]:
        """Return the responses of an item."""
        return self.feedback.sides(item)

    def margin(self, game: Game, phi: Phi, item: PyTree) -> Scalar:
        """Return m_φ of an item."""
        return self.feedback.margin(game, phi, item)

    def target(self, game: Game, item: PyTree) -> Scalar:
        """Return the target of an item."""
        return self.feedback.target(game, item)

    def score(self, item: PyTree) -> Scalar | float:
        """Return the score of an item."""
        return self.feedback.score(item)

    def loss(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return ℓ."""
        return self.feedback.loss(margin, target)

    def residual(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return (∂ℓ/∂m) / scale."""
        return self.feedback.residual(margin, target)

    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        """Return the residual after an implicit step."""
        return self.feedback.residual_after(margin, target, step)

    def influence(self, game: Game, phi: Phi, item: PyTree) -> Influence:
        """Return the influence of a step on an item."""
        return self.feedback.influence(game, phi, item)


def recorded(first: PyTree, second: PyTree, preferred: ArrayLike) -> Responses:
    """Return comparisons given by hand as data for a game's `comparisons`, all with the same weight.

    Args:
        first, second: responses with a leading axis [n].
        preferred: [n] probability that the first is preferred, in (0, 1).

    Raises:
        InputError: when there are none, a response is compared with itself, or a probability is out of range.
    """
    probability = np.asarray(preferred, dtype=float)
    if probability.ndim != 1 or probability.size == 0:
        raise InputError("comparisons", f"of shape {probability.shape}", "one or more, of shape [n]")
    sides = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    same = np.ones(probability.size, bool)
    for mine, theirs in sides:
        differs = np.asarray(mine) != np.asarray(theirs)
        same &= ~differs.reshape(probability.size, -1).any(axis=1)
    for i in np.flatnonzero(same)[:1]:
        raise InputError(f"comparison {i}", "of a response with itself", "of two different responses")
    for i in np.flatnonzero(~((probability > 0) & (probability < 1)))[:1]:
        raise InputError(f"comparison {i}, preferred", probability[i], "a probability in (0, 1)")
    weights = jnp.full(probability.size, 1.0 / probability.size)
    return Responses(Comparison(first, second, jnp.asarray(probability), jnp.ones(probability.size)), weights)


FEEDBACKS = catalogue(Labels, Preferences)
