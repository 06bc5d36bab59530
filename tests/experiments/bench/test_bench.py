"""The benchmark of everything: operations counted as XLA counts them, the tabular oracle, what is written."""

import csv
import json
from functools import cache

import jax
import numpy as np
import pytest

from fpo_jax.engine.initial import as_reals, initial_state, instance
from fpo_jax.engine.simulate import drawn, step
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.parts.tabular import Pair
from fpo_jax.envs.parts.transitions import Table
from fpo_jax.experiments.bench import peak_rates
from fpo_jax.experiments.bench.arithmetic import (
    XLA_OVER_COUNT,
    XLA_OVER_COUNT_OF_PREFERENCES,
    Work,
    iteration,
)
from fpo_jax.experiments.bench.cold_start import _covered, cold_starts
from fpo_jax.experiments.bench.measurement import MEASURED
from fpo_jax.experiments.bench.numpy_oracle_tabular import TabularOracle
from fpo_jax.experiments.bench.report import draw
from fpo_jax.experiments.core.settings import in_precision, resolve
from fpo_jax.objectives import Fpo
from fpo_jax.record import outcome
from tests.helpers import call

SMALL = {
    "language": {"length": 3},
    "linear": {"dimension": 12},
    "neural": {"policy_steps": 1},  # XLA counts a loop's body once
}


@cache
def compiled(environment, objective):
    """Return an iteration of a small game with its record, compiled, and what it is called with."""
    wishes = {"environment": environment, "objective": objective, **SMALL.get(environment, {})}
    settings = resolve({**wishes, "precision": "float64"})
    environment, leader, follower = as_reals(settings.build())
    key = jax.random.key(5)

    @jax.jit
    def begin(key):
        game = instance(environment, key)
        return game, initial_state(game, follower, key), drawn(game, leader, follower, key)

    def iterate(game, leader, state, noise):
        given = noise if settings.names.environment == "neural" else None  # elsewhere they are keys
        after = step(game, leader, follower, state, key, given)
        return after, outcome(game, follower, after, key)

    game, state, noise = begin(key)
    program = jax.jit(iterate).lower(game, leader, state, noise).compile()
    return settings, program, (game, leader, state, noise)


def counts_agree(environment, objective):
    settings, program, _ = compiled(environment, objective)
    ours, xla = iteration(settings), program.cost_analysis()
    low, high = XLA_OVER_COUNT_OF_PREFERENCES if environment == "contextual" else XLA_OVER_COUNT
    for name in ("flops", "transcendentals"):
        assert low <= xla[name] / getattr(ours, name) <= high, (name, xla[name], ours)


@pytest.mark.parametrize(("environment", "objective"), [("linear", "exact"), ("corridor", "exact")])
def test_operations_are_counted_as_xla_counts_them(environment, objective):
    counts_agree(environment, objective)


@pytest.mark.slow
@pytest.mark.parametrize("objective", MEASURED)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_operations_are_counted_as_xla_counts_them_everywhere(environment, objective):
    with in_precision("float64"):
        counts_agree(environment, objective)


def test_an_exponential_is_counted_once_for_each_policy():
    # π and log π of 25 cells × 4 moves: 100 exp and 25 log, at θ and at θ⁺
    for objective in MEASURED:
        work = iteration(resolve({"environment": "gridworld", "objective": objective}))
        assert work.transcendentals == 2 * (100 + 25)
    assert iteration(resolve({"environment": "bandit", "objective": "tracin"})) is None
    assert 2.0 * (Work(1, 2, 3) + Work(4)) == Work(10, 4, 6)


# RLHF, practical and relaxed FPO are one program, whose numbers differ
FORMS = {"myopic": (0.0, 0.0), "practical": (0.2, 0.0), "relaxed": (0.2, 1.0), "exact": None}


@pytest.mark.parametrize("objective", FORMS)
def test_tabular_oracle(objective):
    """The corridor has the right sizes, 7 states and 2 actions; what is in its tables is random here."""
    form, rng = FORMS[objective], np.random.default_rng(3)
    _, program, (game, leader, state, noise) = compiled("corridor", "fpo" if form else "exact")
    if form:
        weight, oracle = form
        leader = leader.replace(objective=Fpo(weight=weight, oracle=oracle))
    pairs = Pair(rng.normal(size=(7, 2, 2)), rng.uniform(size=(7, 2)), rng.uniform(size=(7, 2)))
    covered, start = rng.dirichlet(np.ones(14)).reshape(7, 2), rng.dirichlet(np.ones(7))
    transitions = rng.dirichlet(np.ones(7), size=(7, 2))
    game = game.replace(transitions=Table(transitions), start=start, pairs=pairs, covered=covered)
    tables = map(np.asarray, (game.transitions.probabilities, game.start, *game.pairs, game.covered))
    mine = TabularOracle(*tables, objective=objective, weight=0.2)
    expected = mine.run(40)
    first = state.reward_model._replace(phi=mine.trained(np.zeros((7, 2)))[0])
    state, rows = state._replace(reward_model=first), []
    for _ in range(40):
        state, metrics = program(game, leader, state, noise)
        rows.append(metrics)
    for name in ("true_utility", "proxy_reward", "blind_spot_mass", "kl"):
        recorded = [float(row[name]) for row in rows]
        np.testing.assert_allclose(recorded, expected[name][1:], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.theta, expected["theta"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.reward_model.phi, expected["phi"], rtol=1e-10)


TINY = ["--only", "linear", "--batches", "2", "--iterations", "16", "--repeats", "1", "--cold", "none"]


def test_a_tiny_benchmark(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(peak_rates, "REPEATS", 2)
    figures = []
    monkeypatch.setattr(
        "fpo_jax.experiments.bench.report.draw", lambda rows: figures.append(draw(rows)) or figures[0]
    )
    objectives = ["--objectives", "myopic", "practical"]
    status, out, err = call(capsys, "bench", *TINY, *objectives, "--json", "--out", tmp_path / "b")
    assert status == 0, err
    report = json.loads(out)
    assert report == json.loads((tmp_path / "b" / "bench.json").read_text(encoding="utf-8"))
    assert report["machine"]["cores"] >= 1
    assert report["versions"]["jax"] == jax.__version__
    assert all(rate["cpu"] > 0 for rate in report["peak_per_second"].values())
    mine, practical = report["rows"]
    assert (mine["environment"], mine["objective"], mine["iterations"]) == ("linear", "myopic", 300)
    assert list(mine["seconds_per_seed"]) == ["2"]
    assert mine["over_myopic"] == {"2": 1.0}
    ratio = practical["seconds_per_seed"]["2"]["cpu"] / mine["seconds_per_seed"]["2"]["cpu"]
    assert practical["over_myopic"]["2"] == pytest.approx(ratio)
    assert mine["bytes"] >= 2 * 17 * 6 * 4  # two seeds, 17 entries of six metrics, float32
    # the limit is the work of 300 iterations at the peak rates: 18 flops a dimension, exp and two roots
    rates = {name: rate["cpu"] for name, rate in report["peak_per_second"].items()}
    limit = 300 * (18 * 50 / rates["flops"] + 3 / rates["transcendentals"])
    assert mine["limit_seconds"]["cpu"] == pytest.approx(limit)
    best = min(seconds["cpu"] for seconds in mine["seconds_per_seed"].values())
    assert mine["times_limit"] == pytest.approx(best / limit)
    with (tmp_path / "b" / "table.csv").open(encoding="utf-8") as file:
        assert [row["objective"] for row in csv.DictReader(file)] == ["myopic", "practical"]
    files = {path.name for path in (tmp_path / "b").iterdir()}
    assert files >= {"bench.json", "table.csv", "seconds_per_seed.pdf", "seconds_per_seed.png"}
    (ax,) = figures[0].axes
    assert [line.get_label() for line in ax.get_lines() if line.get_label()[0] != "_"] == [
        "myopic",
        "practical",
        "arithmetic limit",
        "eager NumPy oracle",
    ]


BAD = {
    "environment": (["--only", "liner"], "only = liner", "nearest: linear"),
    "objective": (["--objectives", "exat"], "objectives = exat", "nearest: exact"),
    "iterations": (["--iterations", "0"], "iterations = 0", ">= 1"),
    "batches": (["--batches", "0"], "batches = (0,)", ">= 1"),
    "folder": (["--out", "."], "out = .", "another folder"),
    "nothing to write": (["linear", "--json"], "which = linear", "environments among others"),
    "cold": (["--cold", "most"], "most", "none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, named, allowed = BAD[case]
    status, out, err = call(capsys, "bench", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert named in err
    assert allowed in err
    assert not list(tmp_path.iterdir())


def test_stages_that_lie_within_one_another_count_once():
    # 0 … 2, 1 … 3 and 5 … 6 cover 3 + 1 seconds
    assert _covered([(1.0, 3.0), (5.0, 6.0), (0.0, 2.0), (0.5, 1.0)]) == 4.0


@pytest.mark.slow
def test_a_cold_start_reads_what_the_first_has_kept():
    starts = cold_starts("linear", "myopic")
    assert list(starts) == ["nothing kept", "first", "again"]
    assert starts["again"].whole.cpu < starts["nothing kept"].whole.cpu
    assert starts["again"].compiling < 0.5 * starts["nothing kept"].compiling
