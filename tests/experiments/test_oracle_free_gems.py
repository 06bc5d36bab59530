"""Gems under a budget of labels: what a table says of trials whose numbers are known."""

import numpy as np

from fpo_jax.experiments import oracle_free_gems as gems
from tests.experiments.test_oracle_free import trial


def known(gained, regret):
    found = trial(gained)
    return found._replace(judged=found.judged._replace(regret=np.asarray(regret, float)[None]))


def test_closed_distance_and_regret_are_those_of_the_same_budget():
    # practical FPO gains 0.2 and the oracle 0.6 on every seed: 0.5 is three quarters of the way. With more
    # labels both gain 0.1 more, so that 0.5 is half of it.
    few = {method.label: known([0.5] * 4, [0.3, 0.5, 0.3, 0.5]) for method in gems.METHODS}
    few |= {gems.PRACTICAL.label: known([0.2] * 4, [0.9] * 4), gems.ORACLE.label: known([0.6] * 4, [0.1] * 4)}
    many = few | {gems.PRACTICAL.label: known([0.3] * 4, [0.8] * 4)}
    many |= {gems.ORACLE.label: known([0.7] * 4, [0.1] * 4)}
    said = gems.findings({"few": few, "many": many}).replace("\\", "")
    lines = {line.split(" | ")[0].strip("| "): line for line in said.splitlines()}
    assert "| closes, few | regret, few | closes, many | regret, many |" in said
    assert "| 0.75 [0.75, 0.75] | 0.40 [" in lines["leverage"]
    assert "| 0.50 [0.50, 0.50] | 0.40 [" in lines["leverage"]
    assert "| – | 0.90 [0.90, 0.90] | – | 0.80 [0.80, 0.80] |" in lines["practical FPO"]
    assert "| – | 0.10 [0.10, 0.10] | – | 0.10 [0.10, 0.10] |" in lines["relaxed FPO"]
    assert set(gems.draw_figures({"few": few, "many": many})) == {"oracle_free_gems"}


def test_each_variant_differs_from_another_by_one_setting():
    settings = {method.label: method.settings for method in gems.METHODS}
    scheduled = "carried labels, from optimism to pessimism"
    longer = "from optimism to pessimism, 20 updates"
    for variant, of, more in (
        (scheduled, "carried labels, optimistic", {"unknown_final": 1.0}),
        ("carried labels, 20 updates", "carried labels", {"kept": 20}),
        (longer, scheduled, {"kept": 20}),
        (f"{longer}, verdicts", longer, {"labels": "hard"}),
    ):
        assert settings[variant] == {**settings[of], **more}
        assert settings[variant] != settings[of]
