"""The claim about SmolLM2, on numbers made by hand: no model is run."""

import numpy as np
import pytest

from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.experiments.smollm2 import (
    CONTROL,
    EXPERIMENT,
    GROUPS,
    PUBLISHED,
    PUBLISHED_CALIBRATED,
    UNMOVED,
    WINDOW,
    Group,
    draw_figures,
    findings,
    gained,
    rows,
)

STEPS = WINDOW + 2


def run(gain, reward=0.0, said="a b a b", weight=np.nan):
    """A run whose policy has U(z_ref) + gain everywhere."""
    base = np.linspace(1.0, 3.0, STEPS)
    each = {
        "mean_reward": reward,
        "reference_reward": 0.0,
        "kl": 2.0,
        "overruled": 0.25,
        "on_policy_accuracy": 0.75,
    }
    numbers = {name: np.full((1, STEPS), value) for name, value in each.items()}
    numbers |= {"reference_utility": base[None]}
    numbers |= {"mean_utility": base[None] + gain, "weight": np.array([weight])}
    numbers |= {"true_utility": base[None] + 2 * gain}  # the winner's
    numbers |= {"seconds_per_step_median": np.array([6.0]), "seconds": np.array([1200.0])}
    numbers |= {"utility_spread": np.full((1, STEPS), 0.125)}
    numbers |= {"held_out_accuracy_drawn": np.array([0.5]), "held_out_accuracy_fitted": np.array([0.6])}
    return numbers | {name: np.array([[said] * STEPS]) for name in ("prompt", "winner", "reference")}


@pytest.fixture
def found():
    labels = GROUPS[0].runs
    return {labels["rlhf"]: run(-0.5), labels["relaxed"]: run(0.25, weight=0.001, said="a b c d")}


def test_what_is_gained_is_measured_from_the_base_model():
    np.testing.assert_allclose(gained(run(-0.5)), -0.5)


def test_rows(found):
    first, second = rows(found)
    assert (first["mode"], second["mode"]) == ("rlhf", "relaxed")
    assert second["U gained"] == pytest.approx(0.25)
    assert second["U less RLHF's"] == pytest.approx(0.75)
    assert second["winner's U less RLHF's"] == pytest.approx(1.5)
    assert not {"U less RLHF's", "U less the unmoved policy's"} & {*first}
    assert first["repeated"] == pytest.approx(1 / 3)  # ab, ba, ab: one of three came before
    assert second["repeated"] == 0.0
    assert second["weight"] == 0.001


def test_a_policy_that_hardly_moved_stands_for_the_base_model(found):
    """What z_ref, one answer a prompt, has by chance is in both, and cancels."""
    found |= {UNMOVED: run(0.125)}
    first, second = rows(found)
    assert first["U less the unmoved policy's"] == pytest.approx(-0.625)
    assert second["U less the unmoved policy's"] == pytest.approx(0.125)
    told = findings(found, rows(found))
    assert "| U less the unmoved policy's |" in told
    assert "U less the unmoved policy's" not in findings({k: found[k] for k in [*found][:2]}, rows(found)[:0])


def test_the_page_shows_what_won_in_each_mode(found):
    told = findings(found, rows(found))
    assert told.count("a b a b") > told.count("a b c d") > 0
    assert set(draw_figures(found, rows(found))) == {GROUPS[0].file}


def test_the_control_has_no_reward_to_speak_of(found):
    found |= {GROUPS[0].runs[CONTROL]: run(0.25, reward=99.0) | {"utility_spread": np.zeros((1, STEPS))}}
    *_, control = rows(found)
    assert control["mode"] == CONTROL
    assert control["U less RLHF's"] == pytest.approx(0.75)
    assert not {"r gained", "accuracy", "overruled"} & {*control}
    told = findings(found, rows(found))
    assert "99" not in told
    assert "is 0.12." in told  # the spread of U among the candidates of the other two, 1/8
    (figure,) = draw_figures(found, rows(found)).values()
    lines = [len([line for line in axes.lines if len(line.get_xdata()) > 2]) for axes in figure.axes]
    assert lines == [3, 2, 3, 2, 2]


def test_a_missing_run_leaves_no_group(found):
    assert findings({}, []) == ""
    few = {label: found[label] for label in [*found][:1]}
    assert draw_figures(few, rows(few)) == {}


def test_each_run_is_computed_once_and_those_that_fit_the_head_begin_with_the_answers_of_the_first():
    labels = [piece.label for piece in EXPERIMENT.pieces]
    assert len(labels) == len(set(labels))
    assert {label for group in GROUPS for label in group.runs.values()} == {*labels}
    fitted = [piece for piece in EXPERIMENT.pieces if TrainSettings.of(piece.settings).fit_prompts]
    assert [piece.answers_of for piece in fitted] == ["", *labels[:1] * (len(fitted) - 1)]
    (control,) = (piece for piece in EXPERIMENT.pieces if piece not in fitted)
    assert (control.label, control.answers_of) == (f"ten times, {CONTROL}", "")
    assert (control.settings["candidates"], control.settings["policy_lr"]) == (1, 2e-4)


def test_groups_at_the_same_rates_share_their_rlhf_and_have_tables_and_figures_of_their_own(found):
    weighted, calibrated = PUBLISHED.runs, PUBLISHED_CALIBRATED.runs
    assert weighted["rlhf"] == calibrated["rlhf"]
    found = {weighted["rlhf"]: run(0.0), weighted["relaxed"]: run(0.5), calibrated["relaxed"]: run(0.25)}
    table = rows(found)
    assert [row["U less RLHF's"] for row in table if row["mode"] == "relaxed"] == [0.5, 0.25]
    assert set(draw_figures(found, table)) == {PUBLISHED.file, PUBLISHED_CALIBRATED.file}
    told = findings(found, table)
    assert f"{PUBLISHED.title}, means" in told
    assert f"{PUBLISHED_CALIBRATED.title}, means" in told


def test_settings_of_the_runs():
    settings = {piece.label: TrainSettings.of(piece.settings) for piece in EXPERIMENT.pieces}
    moved = settings["ten times, relaxed, calibrated"]
    assert (moved.policy_lr, moved.head_lr, moved.calibrated) == (2e-4, 5e-4, True)
    assert {each.steps for each in settings.values()} == {200}
    published = TrainSettings.of(Group("published", "weight 10", ("relaxed",)).settings("relaxed"))
    assert (published.policy_lr, published.head_lr, published.weight) == (2e-5, 5e-5, 10.0)
    assert not published.calibrated
