"""Means, differences and seeds, from numbers whose summary is known."""

from pathlib import Path

import numpy as np
import pytest

from fpo_jax.experiments.llm.evaluation.policies import Policy
from fpo_jax.experiments.llm.evaluation.summary import Measured, report, show


def policy(name, **settings):
    return Policy(name, Path(name), settings, frozenset())


@pytest.fixture
def measured():
    """Two runs that differ by their seed, and an adapter that tells nothing, at four prompts."""
    base = np.array([0.0, 1.0, 2.0, 3.0])
    utility = np.stack([base, base + 1.0, base + 3.0, base - 1.0])
    identical = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], float)
    kl = np.array([[0.0] * 4, [1, 2, 3, 4], [2, 2, 2, 2], [0, 0, 0, 8]], float)
    policies = [policy("a", mode="rlhf", seed=0), policy("b", mode="rlhf", seed=1, devices=2), policy("c")]
    values = {"identical": identical, "utility": utility, "kl": kl}
    candidates = {"utility": np.arange(8.0).reshape(2, 4), "repetition": -np.arange(8.0).reshape(2, 4)}
    candidates["length"] = np.ones((2, 4))
    lengths = np.array([5.0, 5.0, 4.0, 2.0])
    return Measured(policies, values, lengths, candidates, ["p"] * 4, [["said"] * 4] * 4)


def rows(found, part, **wanted):
    return [row for row in found[part] if wanted.items() <= row.items()]


def test_means_and_differences(measured):
    found = report(measured)
    (kl,) = rows(found, "means", model="a", measure="kl")
    assert (kl["mean"], kl["n"]) == (2.5, 4)
    (share,) = rows(found, "means", model="a", measure="identical")
    # Wilson: with z = 1.96 and 3 of 4, from .3006 to .9544
    assert (share["mean"], share["low"], share["high"]) == pytest.approx((0.75, 0.3006, 0.9544), abs=1e-4)
    assert not rows(found, "means", model="base", measure="kl")
    assert not rows(found, "means", model="base", measure="identical")
    (each,) = rows(found, "means", model="b", measure="kl_per_token")
    assert each["mean"] == pytest.approx(2 / 4)
    # on the same prompts the difference is 1 everywhere: its interval has no width, however prompts differ
    (less,) = rows(found, "differences", model="a", against="base", measure="utility")
    assert (less["mean"], less["low"], less["high"]) == pytest.approx((1.0, 1.0, 1.0))
    (less,) = rows(found, "differences", model="c", against="a", measure="utility")
    assert less["mean"] == pytest.approx(-2.0)
    assert not rows(found, "differences", against="base", measure="kl")


def test_runs_that_differ_by_their_seed_alone_are_one_observation_each(measured):
    found = report(measured)["over_seeds"]
    (utility,) = [row for row in found if row["measure"] == "utility"]
    assert (utility["mode"], utility["runs"], utility["n"]) == ("rlhf", ["a", "b"], 2)
    assert utility["mean"] == pytest.approx((1.0 + 3.0) / 2)  # less the base model's
    (kl,) = [row for row in found if row["measure"] == "kl"]
    assert kl["mean"] == pytest.approx((2.5 + 2.0) / 2)


def test_what_is_shown(measured):
    text = show(report(measured), "LEGEND")
    assert "less base, on the same prompts:" in text
    assert "less a, on the same prompts:" in text
    assert "rlhf, 2 seeds" in text
    assert "-1.000 [-1.000, -1.000] with repetition (2 prompts); – with length (0 prompts)" in text
    assert text.endswith("LEGEND")
