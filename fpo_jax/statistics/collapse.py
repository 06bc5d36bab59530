"""When a policy has collapsed, and what it gained of all that it could gain."""

import numpy as np

LOW, FALL = 0.5, 0.7
"""A policy has collapsed when it ends below these shares of all it could gain, and of the most it gained."""

ROUNDINGS = 1e3
"""Differences of utility below so many units in the last place of the largest are taken for rounding."""


def collapsed(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Say for each seed whether its policy collapsed: it gained too little, or lost too much of it.

    With U₀ the utility that the run starts from, U_T that of its end and U* the optimum:

        U_T − U₀ < LOW · (U* − U₀)   or   U_T − U₀ < FALL · max_t (U_t − U₀)

    Nothing changes when a constant is added to U, or U is scaled by a number > 0 (ours). Differences within
    rounding count as none, so that a policy that starts and ends at the optimum has not collapsed.

    Args:
        true_utility: [..., seed, step], the first entry before any update; of a seed that diverged the answer
            is "no", so leave it out.
        optimum: utility that no policy exceeds, of each seed or of all; of either sign.
    """
    utility, best = np.asarray(true_utility), np.asarray(optimum)
    start, final, peak = utility[..., 0], utility[..., -1], utility.max(axis=-1)
    gained = final - start + rounding(utility, start, peak, best)
    return (gained < LOW * (best - start)) | (gained < FALL * (peak - start))


def share_gained(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Return the share of what was to be gained, (U_t − U₀) / (U* − U₀); NaN where nothing was.

    Args are those of `collapsed`; the result is [..., seed, step].
    """
    utility = np.asarray(true_utility)
    start = utility[..., :1]
    room = np.broadcast_to(np.asarray(optimum), utility.shape[:-1])[..., None] - start
    there = room > rounding(utility, start, room + start)
    return np.divide(utility - start, room, out=np.full(utility.shape, np.nan), where=there)


def beyond_optimum(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Return by how much each seed's highest utility passes its optimum, 0 where it does not or by rounding.

    More than 0 says that `Game.optimum` is wrong, or that E[U] is an estimate from samples.

    Args are those of `collapsed`.
    """
    utility = np.asarray(true_utility)
    peak, best = np.broadcast_arrays(np.max(utility, axis=-1), np.asarray(optimum))
    return np.where(peak - best > rounding(utility, peak, best), peak - best, 0.0)


def passing(true_utility: np.ndarray, optimum: np.ndarray | float) -> str | None:
    """Say in how many seeds the true utility passes its optimum, or None where it does in none.

    Args are those of `collapsed`.
    """
    excess = beyond_optimum(true_utility, optimum)
    if not np.any(excess > 0):
        return None
    return (
        f"true utility passes the optimum in {np.sum(excess > 0)} of {excess.size} runs, by up to "
        f"{excess.max():.2g}: `optimum` is too low, or E[U] is estimated from samples"
    )


def rounding(utility: np.ndarray, *values: np.ndarray) -> np.ndarray:
    """Return up to which size a difference of these values is taken for rounding, in the precision of U."""
    digits = np.finfo(utility.dtype if utility.dtype.kind == "f" else float).eps
    return ROUNDINGS * digits * np.max(np.abs(np.broadcast_arrays(*values)), axis=0)
