"""The command: what it finds, prints, writes and refuses."""

import json

import jax
import numpy as np
import pytest
from scipy.special import softmax

from fpo_jax import BestResponse, Leader, Myopic, equilibrium
from fpo_jax.engine.initial import instance, seed_keys
from fpo_jax.envs.bandit import Bandit
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.equilibria import solve as module
from fpo_jax.experiments.equilibria.files import arrays, config
from fpo_jax.experiments.equilibria.result import Equilibria, Ideals, Point, Reached
from fpo_jax.experiments.equilibria.table import rows, show, unreached
from fpo_jax.stationary import NoEquilibrium
from tests.helpers import call, complaint

SMALL = ["bandit", "--ordinary", "4", "--planted", "2", "--seeds", "2"]
KEYS = ("true_utility", "proxy_reward", "blind_spot_mass", "residual", "spectral_radius", "stable")


def test_the_command_prints_and_writes_what_equilibrium_finds(tmp_path, capsys):
    out = tmp_path / "out"
    status, printed, err = call(capsys, "equilibria", *SMALL, "--json", "--out", out)
    assert status == 0, err
    report = json.loads(printed)
    assert {*KEYS, "steering_norm", "multiplicity", "second_order", "to_optimal"} <= {*report}
    assert "--rule mirror" in report["command"]
    with jax.enable_x64(True):
        found = []
        for key in seed_keys(2):
            game = instance(Bandit(ordinary=4, planted=2), key)
            leader = Leader(Myopic(), policy_lr=1.0, rule="mirror")
            players = (game, leader, BestResponse(alpha=0.3, ridge=0.1))
            found.append(equilibrium(*players, np.zeros(6), key))
    for name in KEYS[:3]:
        assert report[name] == pytest.approx(np.mean([one.metrics[name] for one in found]), abs=1e-9)
    assert report["spectral_radius"] == pytest.approx(np.mean([one.spectral_radius for one in found]))
    assert (report["stable"], report["instances"], report["second_order"]) == (1.0, 2, {"maximum": 2})
    with np.load(out / "equilibria.npz") as numbers:
        np.testing.assert_allclose(
            softmax(numbers["myopic/theta"][:, 0], axis=1), softmax([one.theta for one in found], axis=1)
        )
        assert numbers["myopic/eigenvalues"].shape == (2, 1, 5 + 2)  # of a policy over six arms, and of φ
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "summary.json", "report.html", "eigenvalues.png", "utility.pdf"} <= names


def test_what_reaches_nothing_is_counted_and_named():
    settings = resolve({"environment": "bandit", "seeds": 2})
    points = [[Point(seed, 0, None, residual=0.5, reason="why not")] for seed in range(2)]
    reached = {"myopic": Reached(settings, points)}
    found = Equilibria(reached, ("first",), Ideals(*np.ones((4, 2))), {"myopic": []}, False)
    (row,) = rows(found)
    assert (row["instances"], row["true_utility"], row["multiplicity"]) == (0, None, 0.0)
    assert [one["residual"] for one in row["not_reached"]] == [0.5, 0.5]
    assert unreached(found) == [
        "myopic from first: no equilibrium reached on 2 of 2 instances, which are excluded: seed 0, 1; "
        "the first: why not"
    ]
    assert np.all(np.isnan(arrays(found)["myopic/true_utility"]))
    assert show(found).splitlines()[1].split()[:3] == ["myopic", "first", "–"]


@pytest.mark.slow
def test_an_instance_that_fails_is_left_out_and_all_that_fail_are_an_error(monkeypatch, capsys):
    genuine = module.equilibrium

    def fails_on(seeds):
        keys = [np.asarray(jax.random.key_data(key)) for key in seed_keys(2)]

        def stands_in(game, leader, follower, theta, key, **options):
            if any(np.array_equal(jax.random.key_data(key), keys[seed]) for seed in seeds):
                raise NoEquilibrium("residual after 7 steps", "0.25", "<= 1e-09", 0.25)
            return genuine(game, leader, follower, theta, key, **options)

        return stands_in

    monkeypatch.setattr(module, "equilibrium", fails_on([1]))
    status, printed, err = call(capsys, "equilibria", *SMALL, "--json")
    report = json.loads(printed)
    assert (status, report["instances"]) == (0, 1)
    assert report["rows"][0]["not_reached"][0]["residual"] == 0.25
    assert "warning: myopic from first: no equilibrium reached on 1 of 2 instances" in err
    monkeypatch.setattr(module, "equilibrium", fails_on([0, 1]))
    assert "reached by a search: residual after 7 steps = 0.25" in complaint(capsys, "equilibria", *SMALL)


@pytest.mark.slow
def test_branches_are_followed_and_written(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--objective", "myopic,relaxed", "--vary", "alpha=0.2:0.4:5", "--starts", "first", "best"]
    status, printed, err = call(capsys, "equilibria", *SMALL, *words, "--out", out)
    assert status == 0, err
    assert "along alpha, on the instance of seed 0" in printed
    report = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert [branch["objective"] for branch in report["branches"]] == ["myopic", "relaxed"]
    for branch in report["branches"]:  # from all starts one branch, from end to end
        assert (min(branch["alpha"]), max(branch["alpha"])) == (0.2, 0.4)
        assert max(branch["residual"]) < 1e-9
    assert {"branches.pdf", "branches.png"} <= {path.name for path in out.iterdir()}
    # the branch passes the equilibrium of the recipe's α = 0.3
    with np.load(out / "equilibria.npz") as numbers:
        values, utility = (numbers[f"myopic/branch 1/{name}"] for name in ("alpha", "true_utility"))
        at_recipe = numbers["myopic/true_utility"][0, 0]
    assert np.interp(0.3, values, utility) == pytest.approx(at_recipe, abs=1e-3)


@pytest.mark.slow
def test_one_equilibrium_from_all_starts_is_one():
    small = {"environment": "bandit", "ordinary": 4, "planted": 2, "seeds": 1}
    found = module.solve([resolve(small | {"rule": "mirror"})], ("first", "best", "drawn:2"))
    one = found.reached["myopic"]
    assert found.starts == ("first", "best", "drawn 1", "drawn 2")
    assert list(one.multiplicity) == [1]
    assert [point.number for point in one.points[0]] == [0, 0, 0, 0]
    assert "each start" in show(found)


def test_settings_of_one_objective_are_its_own(tmp_path, monkeypatch, capsys):
    class Stopped(Exception):
        pass

    calls = []

    def stopped(methods, *options, **_):
        calls.append([*methods, *options])
        raise Stopped

    monkeypatch.setattr(module, "solve", stopped)
    monkeypatch.setattr(module, "usual_rule", lambda settings: {"rule": "mirror"})

    def methods(*words):
        with pytest.raises(Stopped):
            call(capsys, "equilibria", *words)
        capsys.readouterr()
        return calls[-1]

    myopic, relaxed, practical, starts, repelling = methods(*SMALL, "--objective", "myopic,relaxed,practical")
    assert "weight" not in myopic.values
    assert (relaxed.values["weight"], practical.values["weight"]) == (0.3, 0.1)  # each its recipe's
    assert (starts, repelling, myopic.values["rule"]) == ((), False, "mirror")
    myopic, relaxed, *_ = methods(
        *SMALL, "--objective", "myopic,relaxed", "--weight", "0.2", "--rule", "gradient"
    )
    assert (relaxed.values["weight"], myopic.values["rule"]) == (0.2, "gradient")
    written = tmp_path / "config.json"
    content = config([myopic, relaxed]) | {
        "equilibria": {"starts": ["best"], "repelling": True, "vary": None}
    }
    written.write_text(json.dumps(content), encoding="utf-8")
    again = methods("--config", written)
    assert again == [myopic, relaxed, ("best",), True]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bandit", "--precision", "float32"], "precision = float32: must be float64"),
        (["bandit", "--objective", "myopic,myopic"], "objective = myopic,myopic"),
        (["bandit", "--objective", "myopic,exat"], "nearest: exact"),
        (["bandit", "--starts", "last"], "starts = last: must be first, best, run or drawn:N"),
        (["bandit", "--vary", "alfa=0:1:5"], "vary = alfa"),
        (["bandit", "--objective", "myopic", "--weight", "1"], "it is an option of"),
        (["neural", "--record", "full"], "option = --record"),
    ],
)
def test_bad_input(words, message, capsys):
    assert message in complaint(capsys, "equilibria", *words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bandit", "--follower", "optax"], "follower = optax: must be gradient or a best response"),
        (["neural"], "game = Neural: must be one without random draws"),
        (["language", "--responses", "4"], "game = LanguageGame: must be one without random draws"),
        (["bandit", "--label-budget", "3"], "game = BanditGame: must be one without random draws"),
        (
            ["bandit", "--objective", "kl", "--to", "earlier"],
            "objective = kl: must be one that keeps nothing of earlier iterations but the start",
        ),
    ],
)
def test_what_has_no_equilibrium_says_why(words, message, capsys):
    assert message in complaint(capsys, "equilibria", *words)
