"""Whether a policy has collapsed, and the share of the possible gain that it reached."""

import numpy as np

LOW, FALL = 0.5, 0.7
"""A policy has collapsed if it ends below one of these shares: of its possible gain, or of its largest
gain.
"""

ROUNDINGS = 1e3
"""Differences of utility below this many units in the last place of the largest count as rounding."""


def collapsed(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Say for each seed whether its policy collapsed: it gained too little, or lost too much of its gain.

    With U₀ the utility at the start of the run, U_T at its end and U* the optimum:

        U_T − U₀ < LOW · (U* − U₀)   or   U_T − U₀ < FALL · max_t (U_t − U₀)

    The answer does not change when a constant is added to U or U is scaled by a number > 0 (ours).
    Differences within rounding count as 0, so a policy that starts and ends at the optimum has not collapsed.

    Args:
        true_utility: [..., seed, step], the first entry before any update. For a seed that diverged the
            answer is "no", so exclude it.
        optimum: utility that no policy exceeds, for each seed or for all; of either sign.
    """
    utility, best = np.asarray(true_utility), np.asarray(optimum)
    start, final, peak = utility[..., 0], utility[..., -1], utility.max(axis=-1)
    gained = final - start + rounding(utility, start, peak, best)
    return (gained < LOW * (best - start)) | (gained < FALL * (peak - start))


def share_gained(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Return the share of the possible gain, (U_t − U₀) / (U* − U₀); NaN if none was possible.

    Arguments as for `collapsed`; the result is [..., seed, step].
    """
    utility = np.asarray(true_utility)
    start = utility[..., :1]
    room = np.broadcast_to(np.asarray(optimum), utility.shape[:-1])[..., None] - start
    there = room > rounding(utility, start, room + start)
    return np.divide(utility - start, room, out=np.full(utility.shape, np.nan), where=there)


def beyond_optimum(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Return how far each seed's highest utility exceeds its optimum; 0 if it does not, up to rounding.

    More than 0 means that `Game.optimum` is wrong, or that E[U] is an estimate from samples.

    Args are those of `collapsed`.
    """
    utility = np.asarray(true_utility)
    peak, best = np.broadcast_arrays(np.max(utility, axis=-1), np.asarray(optimum))
    return np.where(peak - best > rounding(utility, peak, best), peak - best, 0.0)


def passing(true_utility: np.ndarray, optimum: np.ndarray | float) -> str | None:
    """Return a message with the number of seeds whose utility exceeds the optimum, or None if there are none.

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
    """Return the largest difference of these values that counts as rounding, in the precision of U."""
    digits = np.finfo(utility.dtype if utility.dtype.kind == "f" else float).eps
    return ROUNDINGS * digits * np.max(np.abs(np.broadcast_arrays(*values)), axis=0)
