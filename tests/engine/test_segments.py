"""Runs cut into segments: hooks that hear of entries live, runs that go on where they were cut, states."""

import json
import shutil
import sys
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Gradient, InputError, Leader, Relaxed, outcome, run_seed, run_seeds, seed_keys
from fpo_jax.engine.initial import directly
from fpo_jax.engine.internals import programs_of
from fpo_jax.engine.segments import segment_rows
from fpo_jax.engine.simulate import continue_alone, continue_lanes, run_by
from fpo_jax.envs.linear import Linear
from fpo_jax.experiments.core import progress
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.runs import resume, states
from fpo_jax.experiments.runs.resume import UnfinishedRun
from fpo_jax.types import RewardModel, State
from tests.helpers import call

PLAYERS = Linear(dimension=4), Leader(Relaxed()), Gradient()


def test_a_hook_sees_every_entry_in_order_and_changes_nothing():
    for steps, every in ((60, 1), (60, 5)):
        go = partial(run_seeds, *PLAYERS, seed_keys(3), steps=steps, every=every, record=outcome)
        seen = []
        final, trace = go(on_entry=lambda iteration, metrics: seen.append((iteration, metrics)))  # noqa: B023
        chex.assert_trees_all_close((final, trace), go(), rtol=1e-12)
        assert [iteration for iteration, _ in seen] == list(range(0, steps + 1, every))
        for name, values in trace.metrics.items():
            np.testing.assert_array_equal(np.stack([m[name] for _, m in seen], axis=1), values)


def test_the_metrics_of_one_run_are_scalars(key):
    seen = []
    _, trace = run_seed(*PLAYERS, key, steps=3, record=outcome, on_entry=lambda i, m: seen.append(m["gap"]))
    assert {values.shape for values in seen} == {()}
    np.testing.assert_array_equal(seen, trace.metrics["gap"])


def test_another_hook_compiles_nothing():
    go = partial(run_seeds, *PLAYERS, steps=60, record=outcome)
    programs = continue_lanes.jitted, continue_alone.jitted
    counts = []
    for first_seed in (0, 5):
        go(seed_keys(3, first_seed), on_entry=lambda iteration, metrics: None)
        counts.append([programs_of(program) for program in programs])
    assert counts[0] == counts[1]


def test_what_a_hook_raises_ends_the_run(key):
    class Enough(ValueError):  # which is not taken for what JAX says of the follower
        pass

    def stop(iteration, metrics):
        seen.append(iteration)
        if iteration == 10:
            raise Enough("not differentiable")

    seen = []
    with pytest.raises(Enough):
        run_seed(*PLAYERS, key, steps=60, record=outcome, on_entry=stop)
    assert seen == list(range(11))


def test_a_hook_within_a_traced_function_is_refused(key):
    def utility(signal, keys):
        key = jnp.ravel(keys)[0]
        environment = PLAYERS[0].replace(true_weight_signal=signal)
        hook = {"steps": 3, "record": outcome, "on_entry": lambda iteration, metrics: None}
        return run_seed(environment, *PLAYERS[1:], key, **hook)[1].metrics["true_utility"][-1]

    for traced in (jax.jit(utility), jax.grad(utility), jax.vmap(utility, in_axes=(None, 0))):
        with pytest.raises(
            InputError, match="on_entry = given: must be None within a function that JAX traces"
        ):
            traced(1.5, jax.random.split(key, 2))


def test_lengths_of_segments():
    for rows in [*range(1, 400), 4001, 10**6 + 1]:
        length = segment_rows(rows)
        number = -(-rows // length)
        assert (20 <= number <= 50) if rows > 50 else length == 1
    assert segment_rows(201) == 7  # 29 · 7 = 203; 41 · 5 and 34 · 6 are further from 201
    assert segment_rows(251) == 6  # 42 · 6 = 252


def test_a_run_goes_on_from_where_it_was_cut_to_the_last_bit():
    seen, options = [], {"devices": jax.local_devices(), "steps": 60, "record": outcome, "keep_states": True}
    go = partial(run_by, directly, *PLAYERS, seed_keys(3), **options)
    _, final, trace = go(watch=seen.append)
    assert len(seen) == 16  # chunks of 4 iterations, and one that holds the last entry alone
    done = seen[4].done
    assert done == 5 * 4
    cut = seen[4]._replace(trace=jax.tree.map(lambda leaf: leaf[:, :done], trace))
    later = []
    _, *resumed = go(watch=later.append, partway=cut)
    assert len(later) == 11
    chex.assert_trees_all_equal(resumed, [final, trace])


RUN = ["run", "linear", "--dimension", "4", "--steps", "60", "--seeds", "3", "--record", "outcome"]


def arrays(folder, file):
    with np.load(folder / file) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing interrupted, with its states; and one that was interrupted after six segments."""
    from fpo_jax.experiments.cli.main import main

    folder = tmp_path_factory.mktemp("runs")
    whole, cut = folder / "whole", folder / "cut"
    assert main([*RUN, "--save-states", "--resume", "--out", str(whole)]) == 0
    watch = UnfinishedRun.watch

    def interrupted(self, partway):
        watch(self, partway)
        if partway.done == 24:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "KEEP_EVERY", -1e9)  # a file a segment
        patch.setattr(UnfinishedRun, "watch", interrupted)
        assert main([*RUN, "--save-states", "--out", str(cut)]) == 130
    assert {path.name for path in folder.iterdir()} == {"whole", "cut.partial"}
    pieces = {path.name for path in cut.with_name("cut.partial").glob("*.npz")}
    assert pieces == {f"{start}-{start + 4}.npz" for start in range(0, 24, 4)}
    return folder


@pytest.fixture
def unfinished(finished, tmp_path):
    """The folder of an interrupted run, for one test."""
    shutil.copytree(finished / "cut.partial", tmp_path / "cut.partial")
    return tmp_path / "cut"


@pytest.mark.parametrize("damaged", [None, 2])
def test_an_interrupted_run_is_resumed_to_the_last_bit(damaged, unfinished, finished, monkeypatch, capsys):
    if damaged is not None:  # what follows it is lost
        path = unfinished.with_name("cut.partial") / f"{4 * damaged}-{4 * damaged + 4}.npz"
        path.write_bytes(path.read_bytes()[:-100])
    seen, watch = [], UnfinishedRun.watch
    monkeypatch.setattr(UnfinishedRun, "watch", lambda self, at: seen.append(at.done) or watch(self, at))
    status, _, err = call(capsys, *RUN, "--save-states", "--resume", "--out", unfinished)
    assert status == 0, err
    assert seen[0] == (28 if damaged is None else 4 * damaged + 4)
    assert not unfinished.with_name("cut.partial").exists()
    for file in ("metrics.npz", "states.npz"):
        chex.assert_trees_all_equal(arrays(unfinished, file), arrays(finished / "whole", file))


def complaint(capsys, *arguments):
    status, out, err = call(capsys, *arguments)
    assert (status, out, err.count("error:")) == (2, "", 1), err
    return err.splitlines()[-1]


def test_what_cannot_be_resumed_is_said(unfinished, capsys, monkeypatch, tmp_path):
    again = [*RUN, "--resume", "--out", unfinished]
    told = complaint(capsys, *RUN, "--out", unfinished)
    assert "must be resumed with --resume, or" in told
    assert "save_states = False: must be True, as in the run to be resumed" in complaint(capsys, *again)
    told = complaint(capsys, *again, "--save-states", "--seed", "4")
    assert "seed = 4: must be 0, as in the run to be resumed" in told
    for option in ("--resume", "--save-states"):
        assert f"out = nothing: must be a folder, for {option}" in complaint(capsys, *RUN, option)
    monkeypatch.setattr(states, "size", lambda settings: 10**18)
    told = complaint(capsys, *RUN, "--save-states", "--out", tmp_path / "large")
    assert "save_states = 1e+09 GB: must be at most" in told
    assert len(list(unfinished.with_name("cut.partial").glob("*.npz"))) == 6
    assert not (tmp_path / "large").exists()


def test_how_to_go_on_is_said(capsys, tmp_path, monkeypatch):
    watch = UnfinishedRun.watch

    def interrupted(self, partway):
        watch(self, partway)
        raise KeyboardInterrupt

    monkeypatch.setattr(UnfinishedRun, "watch", interrupted)
    out = tmp_path / "cut"
    status, _, err = call(capsys, *RUN, "--out", out)  # it is soon done again
    assert (status, err.splitlines()[-1]) == (130, "fpo-jax: interrupted; nothing was written")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(resume, "KEEP_EVERY", -1e9)
    status, _, err = call(capsys, *RUN, "--save-states", "--device", "cpu", "--out", out)
    assert status == 130
    assert err.splitlines()[-1] == (
        "fpo-jax: interrupted; what is done is kept; go on with `fpo-jax run linear --objective myopic "
        f"--seeds 3 --steps 60 --record outcome --dimension 4 --save-states --resume --out {out} "
        "--device cpu`"
    )


def test_states_are_written_by_name(finished, capsys, tmp_path):
    written = arrays(finished / "whole", "states.npz")
    # 4 coordinates of θ and of φ of each of 3 seeds at 61 entries; a gradient step remembers nothing
    assert {name: values.shape for name, values in written.items()} == {
        "seed": (3,),
        "iteration": (61,),
        "theta": (3, 61, 4),
        "phi": (3, 61, 4),
    }
    np.testing.assert_array_equal(written["theta"][:, 0], 0.0)  # where its runs start
    utility = arrays(finished / "whole", "metrics.npz")["true_utility"]
    distance = np.sum((written["theta"] - np.array([2.0, 2.0, 2.0, 0.0])) ** 2, axis=-1)
    np.testing.assert_allclose(utility, 10.0 * np.exp(-0.3 * distance), rtol=1e-12)
    status, _, err = call(capsys, *RUN, "--out", tmp_path / "final")
    assert status == 0, err
    final = arrays(tmp_path / "final", "states.npz")
    np.testing.assert_array_equal(final["iteration"], [60])
    np.testing.assert_allclose(final["theta"], written["theta"][:, -1:], rtol=1e-12)


def test_names_of_states_lead_back():
    memory = (jnp.arange(3), {"m": jnp.full((2, 2), 0.1, jnp.bfloat16)})
    state = State({"a": jnp.ones(2), "b": [jnp.zeros(())]}, RewardModel(jnp.ones(3), memory))
    named = states.named(state)
    assert set(named) == {"theta/a", "theta/b/0", "phi", "memory/0", "memory/1/m"}
    as_stored = {n: v.view("V2") if v.dtype == jnp.bfloat16 else v for n, v in named.items()}
    chex.assert_trees_all_equal(states.from_named(as_stored, state), state)
    settings = resolve({"environment": "linear", "seeds": 3, "steps": 9, "dimension": 4})
    assert states.size(settings) == 3 * 10 * (4 + 4) * 8


def test_progress_is_plain_lines_in_a_log_and_a_bar_on_a_terminal(capsys, monkeypatch):
    def go():
        with Progress() as shown:
            shown.tell("compiling")
            shown.tell("running")
            for share in (0.25, 0.5, 0.75):
                shown.tell("running", share)

    monkeypatch.setattr(progress, "LINE_EVERY", 60.0)
    go()
    assert capsys.readouterr().err == "compiling …\nrunning …\n"
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    go()
    assert "running: 75 % done, 00:00 left\n" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    go()
    shown = capsys.readouterr().err
    assert "\rrunning:  75%|" in shown
    assert "\n" not in shown


def test_a_run_says_what_it_compiles_and_keeps_standard_output_clean(capsys):
    status, out, err = call(capsys, *RUN, "--json")
    assert status == 0
    assert json.loads(out)["steps"] == 60
    said = [line for line in err.splitlines() if line.endswith("…")]
    assert said == [
        "60 iterations, 3 seeds; float64, without the steering term (outcome) …",
        "compiling how runs begin …",
        "compiling the iterations of myopic …",
        "running myopic …",
    ]


def test_what_is_done_is_not_done_again(finished, capsys, monkeypatch):
    def again(*_, **__):
        raise AssertionError("it runs again")

    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", again)
    whole = finished / "whole"
    status, out, err = call(capsys, *RUN, "--save-states", "--resume", "--json", "--out", whole)
    assert (status, err) == (0, f"{whole} holds this run already: nothing is left to do\n")
    assert json.loads(out) == json.loads((whole / "summary.json").read_text(encoding="utf-8"))
    for others in (["--seed", "1", "--save-states"], []):  # other settings, and without its states
        with pytest.raises(AssertionError, match="it runs again"):
            call(capsys, *RUN, "--resume", *others, "--out", whole)


class Log(list):
    """A hook that is empty, so false, until it is called."""

    def __call__(self, iteration, metrics):
        self.append(iteration)


def test_a_hook_is_any_function_and_nothing_else(key):
    log = Log()
    run_seed(*PLAYERS, key, steps=3, record=outcome, on_entry=log)
    assert log == [0, 1, 2, 3]
    with pytest.raises(InputError, match="on_entry = 5: must be None, or a function"):
        run_seed(*PLAYERS, key, steps=3, record=outcome, on_entry=5)
