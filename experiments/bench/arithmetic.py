"""The arithmetic of one iteration, counted from the formulas: the limit of a benchmark.

An iteration takes (θ, φ) to (θ⁺, φ⁺) and records the outcome. Each quantity is counted once where the
formulas need it: the policy at θ for the step, and at θ⁺ for the reward model's update and the record. An
addition, a multiplication, a division and a comparison count one each; exp, log and √ are counted separately.
Random numbers and moving data count nothing. Shapes are those of the recipes; sums of few numbers are not
counted.

XLA counts the operations of its compiled program, which are more. When differentiated, the normal equations
are formed one column at a time and anew for each purpose, and a backward pass visits rows that do not depend
on θ. XLA counts a loop's body once, and factorisations not at all.
`tests/experiments/bench/test_arithmetic.py` compares the two counts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np

from fpo_jax.experiments.core.settings import Settings

XLA_OVER_COUNT, XLA_OVER_COUNT_OF_PREFERENCES = (0.9, 2.5), (2.5, 13.0)
"""Between these lies XLA's count over ours, flops and transcendentals; for preferences the second.

There ours is a single step of Newton's method, one slope and one Hessian, since how many are needed depends
on the data. XLA counts a slope before the loop and one within, and a Hessian within and one after it: each is
f columns, of 1.25 slopes each, so that with f = 4 a fit is 2 + 2 · 5 = 12 slopes. XLA's slope is 1.9 of ours,
since it goes forward and back through both rewards of a pair. A slope is 0.43 of our fit, and
12 · 1.9 · 0.43 = 9.8. Under exact steering JAX 0.12 forms the Hessian of the theorem anew, and takes an exp
for each column of it.
"""


@dataclass(frozen=True)
class Work:
    """Operations.

    Attributes:
        flops: additions, multiplications, divisions, comparisons.
        transcendentals: exp, log, √.
        lapack: flops within factorisations and triangular solves, which XLA calls and does not count.
    """

    flops: float = 0.0
    transcendentals: float = 0.0
    lapack: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.flops + other.flops,
            self.transcendentals + other.transcendentals,
            self.lapack + other.lapack,
        )

    def __rmul__(self, times: float) -> "Work":
        return Work(times * self.flops, times * self.transcendentals, times * self.lapack)


def iteration(settings: Settings) -> Work | None:
    """Return the work of one iteration, or None where it is not counted.

    It counts the environments of this package with their recipes, for myopic, relaxed, practical and exact
    (horizon 1).
    """
    count = _COUNTED.get(settings.names.environment)
    known = settings.names.objective in ("myopic", "relaxed", "practical", "exact")
    return count(settings) if count is not None and known else None


def _bandit(settings: Settings) -> Work:
    arms = settings.values["ordinary"] + settings.values["planted"]
    # dΣ w v/dθ_j = π_j (v_j − π·v)
    return _labelled(settings, arms, policy=_softmax(1, arms), chain=Work(4 * arms))


def _tabular(settings: Settings, states: int, actions: int) -> Work:
    pairs = states * actions
    policy = (
        _softmax(states, actions)
        + Work(2 * pairs * states + 2 * states**2)  # I − γ P_π, P_π = Σ_a π P
        + Work(2 * states**2, lapack=2 / 3 * states**3)  # d by elimination, forward and back
        + Work(2 * states + pairs)  # d / Σ d,  w = d π
    )
    chain = (
        Work(2 * pairs)  # v_π = Σ_a π v
        + Work(2 * states**2)  # V = (I − γ P_π)⁻¹ v_π, by the same elimination
        + Work(2 * pairs * states + 2 * pairs)  # Q = v + γ P V
        + Work(2 * pairs)  # w (Q − V)
    )
    return _labelled(settings, pairs, policy, chain)


def _labelled(
    settings: Settings, n: int, policy: Work, chain: Work, f: int = 2, offline: int | None = None
) -> Work:
    """Count a best response to labels, for n responses with f features and as many offline data, or others.

    `policy` makes w and log π of θ, `chain` a gradient in θ of one in w.
    """
    rows = n + (n if offline is None else offline)
    fit = (
        # A = Σ μ ψψᵀ, b = Σ μ U ψ over offline and on-policy rows; μ, μψ, the triangle of A, b
        rows * Work(1 + f + f * (f + 1) + 2 * f) + Work(lapack=f**3 / 3 + 2 * f**2)  # φ = A⁻¹ b by Cholesky
    )
    value = n * Work(2 * f + 2)  # v = φ·ψ − τ log(π / π₀)
    match settings.names.objective:
        case "practical":  # v − weight ‖ψ‖²
            value += n * Work(2 * f + 2)
        case "relaxed":  # v − weight (r − U) ‖ψ‖²
            value += n * Work(2 * f + 4)
        case "exact":  # φ at θ; v − α (r − U) ⟨A⁻¹ ḡ, ψ⟩, ḡ = Σ w ψ
            value += fit + Work(lapack=2 * f**2) + n * Work(2 * f + 2 * f + 4)
    step = policy + value + chain + Work(2 * n)  # θ + lr · gradient
    record = n * Work(2 + 2 * f + 2 + 2 + 2)  # Σ w U, r, Σ w r, Σ w planted, Σ w log π
    return step + policy + fit + record


def _contextual(settings: Settings) -> Work:
    """Count one Newton step for each fit of the reward model to preferences: a lower bound."""
    v = settings.values
    prompts, responses = v["prompts"], v["ordinary"] + v["traps"] + v["gems"]
    n, pairs, f = prompts * responses, prompts * responses**2, 2 + v["topics"]
    policy = _softmax(prompts, responses) + Work(2 * n)  # log π_ref + θ, ρ(x) π
    annotator = pairs * Work(6 + 2, 1)  # p* = σ((U − U') / temperature), w w' / ρ(x)
    margin = pairs * Work(f + 2 * f + 3, 1)  # ψ − ψ', m = φ·(ψ − ψ'), σ(m)
    newton = (
        2 * margin  # offline and on-policy
        + 2 * pairs * Work(3 + 2 * f)  # Σ μ (σ − p*) (ψ − ψ')
        + 2 * pairs * Work(3 + f + f * (f + 1))  # Σ μ σ (1 − σ) (ψ − ψ')(ψ − ψ')ᵀ
        + Work(lapack=2 / 3 * f**3 + 2 * f**2)
    )
    fit = 2 * annotator + newton
    value = n * Work(2 * f + 2)  # v = φ·ψ − β log(π / π_ref)
    match settings.names.objective:
        case "practical":  # v_i − weight Σ_j w_j (‖ψ_i‖² − ψ_i·ψ_j), and the same by j
            value += pairs * Work(2 * f + 1 + 2 * 2) + n * Work(2 * f)
        case "relaxed":  # the same times σ(m) − p*
            value += annotator + margin + pairs * Work(2 * f + 1 + 2 + 2 * 2) + n * Work(2 * f)
        case "exact":  # φ at θ; v_i − Σ_j w_j (σ − p*) ⟨A⁻¹ ḡ, ψ_i − ψ_j⟩, and the same by j; ḡ = Σ w ψ
            value += fit + Work(lapack=2 * f**2) + n * Work(2 * f) + pairs * Work(2 * f + 2 + 2 * 2)
    step = policy + value + Work(4 * n + 2 * n)
    record = n * Work(2 + 2 * f + 2 + 2 + 3)
    return step + policy + fit + record


def _language(settings: Settings) -> Work | None:
    """Count a transformer that reads every beginning of a text once, with every text as a response."""
    v = settings.values
    words, length, w = v["vocabulary"], v["length"], v["width"]
    if v["responses"]:
        return None
    levels = words ** np.arange(length)
    nodes, texts = int(v["prompts"] * levels.sum()), v["prompts"] * words**length
    pairs = int(v["prompts"] * levels @ np.arange(1, length + 1))  # a word and one that it looks back to
    matrices = Work(2 * w * (3 * w + w + 2 * w + 2 * w))  # query, key, value; gather; widen; narrow
    layer = nodes * (matrices + Work(2 * 4 * w + 2 * w, 2) + 2 * w * Work(8, 1))  # two norms, two sums; GELU
    layer += pairs * Work(4 * w + 4 * v["heads"], v["heads"])  # q·k, softmax, its mean of values
    head = nodes * Work(4 * w + 2 * w * words, 1) + _softmax(nodes, words)
    forward = v["layers"] * layer + head
    log_text = v["prompts"] * int((levels * words).sum())  # Σ_t log p(y_t | y_<t)
    policy = forward + Work(log_text) + texts * Work(3, 1)
    chain = Work(2 * forward.flops + log_text)  # each product has two derivatives
    offline = v["prompts"] * v["corpus"]
    return _labelled(settings, texts, policy, chain, v["features"], offline)


def _linear(settings: Settings) -> Work:
    d = settings.values["dimension"]
    utility = Work(3 * d, 1)  # U = scale exp(−rate ‖y − c‖²)
    trained = utility + d * Work(2 + 3)  # w·y,  w⁺ = (1 − decay) w + 2 lr (U − w·y) y
    ascent = d * Work(2)  # w − 2 cost y
    match settings.names.objective:
        case "practical":  # − weight 2 y
            ascent += d * Work(2)
        case "relaxed":  # − weight [(w − ∇U) ‖y‖² + 2 (w·y − U) y], ∇U = −2 rate U (y − c)
            ascent += utility + d * Work(2 + 1 + 1 + 2 + 2 + 2 + 2)
        case "exact":  # w⁺ + 2 lr [(U − w·y) y + (∇U − w) ‖y‖²]
            ascent += trained + d * Work(1 + 1 + 2 + 2 + 2)
    record = d * Work(2 + 2 + 2, 0) + Work(0, 2)  # w·y, y² masked and summed in either subspace, two √
    return ascent + Work(2 * d) + trained + record


def _neural(settings: Settings) -> Work:
    v = settings.values
    d, rows, fresh = v["dimension"], v["buffer_size"], v["draws"]
    sizes = [d, *map(int, v["rm_hidden"].split(",")), 1]
    network = Network(sizes, settings.precision)
    utility = Work(3 * d, 1)
    adam = network.parameters * Work(15, 1)  # L2, two moments and their corrections, √, the step
    draw = network.fit + utility
    fit = rows * draw + adam
    step = network.forward + network.back  # r, ∂r/∂y
    match settings.names.objective:
        case "practical":
            step = network.penalised
        case "relaxed":
            step = network.penalised + utility
        case "exact":  # φ⁺; ∂J/∂φ; ∂⟨v, ∇_φ ℓ⟩/∂y for the draws that depend on θ, v = ∂J/∂φ through Adam
            # ∇_φ ℓ of earlier draws at φ is the same in all policy steps and in the update: `fit` has it
            step += fresh * draw + adam + network.weight_gradient + network.parameters * Work(10)
            step += fresh * (network.tangent + 2 * network.back)
    step += d * Work(2 + 2 + 2 + 2)  # θ + σε, cost, clamp, θ + lr · gradient
    record = network.forward + utility + d * Work(4) + Work(0, 2)
    return v["policy_steps"] * step + fit + record


class Network:
    """Work of an MLP with softplus on one response; multiply-adds count two."""

    def __init__(self, sizes: list[int], precision: str):
        first, second, last = (2.0 * a * b for a, b in pairwise(sizes))
        hidden = sum(sizes[1:-1])
        terms = math.ceil(-math.log(jnp.finfo(precision).eps) / math.log(9.0))
        # `fpo_jax.numerics.mlp.softplus`: one exponential, a series, and the slope of it; a bias
        activation = hidden * Work(8 + 2 * terms + 3 + 1, 1)
        scaled = Work(hidden)  # δ ← δ σ(z)
        self.parameters = sum(a * b + b for a, b in pairwise(sizes))
        self.forward = Work(first + second + last) + activation
        self.back = Work(first + second + last) + scaled
        self.weight_gradient = Work(first + second + last)
        # forward, the gradient of (r − U)² by all weights, and back to the first layer
        self.fit = self.forward + self.weight_gradient + Work(second + last) + scaled
        # forward, δ for ‖∇_φ r‖² = Σ (1 + ‖a‖²) ‖δ‖², and back through both (`neural_parts`)
        self.penalised = Work(2 * first + 4 * second + last) + activation + 12 * scaled
        self.tangent = Work(first + 2 * second + 2 * last) + 4 * scaled  # along a change of the weights


def _softmax(rows: int, columns: int) -> Work:
    """Count π and log π: a maximum, a difference, exp, a sum, a quotient; a difference, and a log a row."""
    return Work(5 * rows * columns, rows * columns + rows)


_COUNTED: dict[str, Callable[[Any], Work | None]] = {
    "bandit": _bandit,
    "contextual": _contextual,
    "corridor": lambda s: _tabular(s, s.values["short"] + s.values["long"] + 1, 2),
    "garnet": lambda s: _tabular(s, s.values["states"], s.values["actions"]),
    "gridworld": lambda s: _tabular(s, s.values["rows"] * s.values["columns"], 4),
    "language": _language,
    "linear": _linear,
    "neural": _neural,
}
