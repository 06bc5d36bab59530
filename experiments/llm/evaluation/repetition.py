"""How much a text repeats itself, and whether the oracle rewards repetition."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from fpo_jax.statistics import mean_interval

NGRAM = 2
"""Length of the counted n-grams: answers of 32 tokens seldom repeat longer ones."""


def repetition(tokens: Sequence[Hashable], n: int = NGRAM) -> float:
    """Return 1 − (number of different n-grams) / (number of n-grams), in [0, 1): 0 if none occurs twice.

    It is seq-rep-n of Welleck et al. (2020, arXiv 1908.04319), 1 − distinct-n; 0 for a text of fewer tokens.
    Words will do in place of tokens.
    """
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def within_prompts(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Return the mean over prompts of Spearman's ρ between two numbers of the candidates for each.

    So differences between prompts have no effect. Prompts at which one of the two is the same for all
    candidates have no ρ, and are excluded.

    Args:
        a, b: [prompt, candidate].

    Returns:
        `mean`, the ends `low` and `high` of its 95 % bootstrap interval over prompts, and `n`, the number of
        prompts with a ρ; None for undefined values.
    """
    from scipy.stats import rankdata  # slow to import

    ranks = [rankdata(each, axis=1) for each in (a, b)]
    x, y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    scale = np.sqrt(np.sum(x**2, axis=1) * np.sum(y**2, axis=1))
    rho = np.sum(x * y, axis=1)[scale > 0] / scale[scale > 0]
    if not len(rho):
        return {"mean": None, "low": None, "high": None, "n": 0}
    found = mean_interval(rho)
    ends = (found.low, found.high) if len(rho) > 1 else (None, None)
    return {"mean": found.mean, "low": ends[0], "high": ends[1], "n": len(rho)}


def apart(values: np.ndarray) -> np.ndarray:
    """Return values [prompt, candidate] minus their mean at each prompt, [prompt · candidate]."""
    return np.ravel(values - values.mean(axis=1, keepdims=True))
