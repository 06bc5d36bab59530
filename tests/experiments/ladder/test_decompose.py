"""The comparison of routes along a run: what it measures, calibrates, prints and writes."""

import json

import numpy as np
import pytest

from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.ladder.decompose import decompose
from fpo_jax.experiments.ladder.files import arrays
from fpo_jax.experiments.ladder.rungs import ladder_of
from fpo_jax.experiments.ladder.table import rows

LINEAR = {"environment": "linear", "dimension": 5, "steps": 6, "seeds": 2, "weight_decay": 0.0}


def test_relaxed_at_the_weight_of_the_followers_step_is_exact_and_is_found():
    # One step on one response without decay: exact ≡ relaxed at 2·lr = 0.01, ten times which is published.
    only = ("relaxed", "relaxed, 2·lr·α·k", "first-order", "practical")
    decomposed = decompose(resolve(LINEAR), every=3, only=only)
    assert decomposed.scale == 0.01
    np.testing.assert_array_equal(decomposed.iterations, [0, 3, 6])
    own, published = decomposed.routes["relaxed, 2·lr·α·k"], decomposed.routes["relaxed"]
    assert np.nanmax(own.measures["relative_error"]) < 1e-10
    # At y = 0 nothing is there to steer: undefined, not zero and not an error.
    assert np.all(np.isnan(own.measures["cosine"][:, 0]))
    np.testing.assert_allclose(published.measures["norm_ratio"][:, 1:], 10.0, rtol=1e-9)
    np.testing.assert_allclose(published.best_weight, 0.01, rtol=1e-4)
    assert decomposed.norms["steering"].shape == (2, 3)
    table = {row["route"]: row for row in rows(decomposed)}
    np.testing.assert_allclose(table["relaxed"]["norm_ratio"], 10.0, rtol=1e-9)
    assert arrays(decomposed)["relaxed/cosine"].shape == (2, 3)


def test_the_command_writes_a_table_numbers_and_figures(tmp_path, capsys):
    out = tmp_path / "out"
    size = "--ordinary 4 --planted 2 --steps 4 --seeds 2 --every 2"
    words = f"decompose bandit {size} --json --out {out} --only relaxed".split()
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    table = {row["route"]: row for row in report["routes"]}
    assert 0 < table["relaxed"]["best_weight"] < 10
    with np.load(out / "decomposition.npz") as numbers:
        np.testing.assert_array_equal(numbers["iteration"], [0, 2, 4])
    names = {path.name for path in out.iterdir()}
    for figure in ("agreement", "accuracy_against_cost", "norms", "effective_reward"):
        assert {f"{figure}.pdf", f"{figure}.png"} <= names
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(f"<td>{route}</td>" in page for route in table)


def test_a_config_repeats_all_options_and_a_run_reads_it_too(tmp_path, monkeypatch):
    asked = {"every": 2, "foresee": 3, "draws": 5, "only": ["relaxed"]}
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps({"environment": "bandit", "steps": 4, "seeds": 2, "decompose": asked}), encoding="utf-8"
    )
    calls = []

    class Stopped(Exception):
        pass

    def stopped(settings, *options, **_):
        calls.append((settings.steps, *options))
        raise Stopped

    monkeypatch.setattr("fpo_jax.experiments.ladder.decompose.decompose", stopped)
    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", stopped)
    for command in (["decompose"], ["decompose", "--foresee", "1"], ["run"]):
        with pytest.raises(Stopped):
            main([*command, "--config", str(config)])
    assert calls == [(4, 2, 3, ("relaxed",), 5), (4, 2, 1, ("relaxed",), 5), (4,)]


def test_routes_that_do_not_apply_are_named():
    decomposed = decompose(resolve(LINEAR), every=6, only=("implicit", "score-function", "practical"))
    assert set(decomposed.routes) == {"practical"}
    assert decomposed.skipped["implicit"].startswith("follower = gradient")
    assert decomposed.skipped["score-function"].startswith("objective = score-function")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every = 0: must be an integer >= 1 and <= steps = 6"),
        ({"every": 7}, "every = 7"),
        ({"every": 1, "horizon": 0}, "foresee = 0: must be an integer >= 1"),
        ({"every": 1, "only": ("relaxd",)}, "nearest: relaxed"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError) as caught:
        decompose(resolve(LINEAR), **options)
    assert message in str(caught.value)


@pytest.mark.slow
def test_what_is_wrong_with_a_linear_solve_is_said(capsys):
    size = "--ordinary 4 --planted 2 --seeds 2"
    # One iteration of CG in two dimensions leaves a residual; a run says so, and how large it was and when.
    assert main(f"run bandit {size} --steps 3 --objective implicit --solver cg --terms 1".split()) == 1
    err = capsys.readouterr().err
    assert "the relative residual of the linear solve before seed 0 diverged, at iteration 0, was" in err


@pytest.mark.slow
def test_recipes_that_detach_u_are_compared_with_the_gradient_itself():
    wishes = {"environment": "neural", "steps": 2, "seeds": 1, "rm_hidden": "3", "dimension": 3, "sigma": 0.5}
    decomposed = decompose(resolve(wishes), every=2, only=("exact", "exact, U detached", "zero-order"))
    errors = {label: route.measures["relative_error"] for label, route in decomposed.routes.items()}
    assert np.all(errors["exact"] == 0.0)
    assert np.all(errors["zero-order"] < 1e-6)
    assert np.all(errors["exact, U detached"][:, -1] > 1e-3)


def test_leverage_is_a_rung_with_and_without_what_is_known_of_utility():
    ladder = ladder_of(Linear.recipe, 1, None)
    assert {"leverage", "leverage, U known"} <= set(ladder)
    assert not {"pessimistic", "kl", "chi-squared", "gradient-norm", "shaped"} & set(ladder)
    assert ladder["leverage"].oracle == 0.0
    assert ladder["leverage, U known"].oracle == 1.0


def test_a_run_that_is_held_to_its_start_is_taken_apart():
    held = {"environment": "bandit", "objective": "kl", "ordinary": 4, "planted": 2, "steps": 4, "seeds": 2}
    decomposed = decompose(resolve(held), every=2, only=("leverage, U known",))
    route = decomposed.routes["leverage, U known"]
    assert not np.any(route.failed)
    assert route.best_weight > 0


@pytest.mark.slow
def test_bias_and_spread_are_those_of_repeated_draws():
    # Practical FPO draws nothing: no spread. What is carried depends on which three arms were labelled.
    asked = {"environment": "bandit", "ordinary": 4, "planted": 2, "steps": 2, "seeds": 2, "label_budget": 3}
    only = ("practical", "carried")
    found = decompose(resolve(asked), every=2, only=only, draws=3)
    practical, carried = (found.routes[label].drawn for label in only)
    np.testing.assert_allclose(practical["spread"], 0.0, atol=1e-12)
    assert np.all(carried["spread"] > 1e-3)
    assert np.all(np.isfinite(practical["bias"]))
    assert {"bias", "spread"} <= set(rows(found)[0])
    assert decompose(resolve(asked), every=2, only=("practical",)).routes["practical"].drawn == {}
