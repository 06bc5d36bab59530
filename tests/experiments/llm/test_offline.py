"""The head fitted before the loop, through the command line, on a tiny random Llama."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.special import expit

from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm import offline
from fpo_jax.experiments.llm import pipeline as pipelines
from fpo_jax.experiments.llm import step as steps
from fpo_jax.experiments.llm.folders import description
from fpo_jax.experiments.llm.oracle import likelihood_utility
from fpo_jax.experiments.llm.pipeline import Pipeline, prepare
from fpo_jax.experiments.llm.prompts import pad_to_bucket
from fpo_jax.experiments.llm.settings import TrainSettings
from tests.experiments.llm.conftest import QUICK, STEPS, options

PROMPTS, HELD_OUT, N = 5, 2, 5
"""Of the six prompts; the last two of the five; four candidates and the reference response to each."""
FITTED = {"fit_prompts": PROMPTS, "fit_held_out": 0.4, "fit_ridge": 0.01, "mode": "relaxed"}


@pytest.fixture(scope="module")
def result(given, tmp_path_factory):
    """A finished run that began with a fitted head."""
    out = tmp_path_factory.mktemp("runs") / "fitted"
    assert main(["llm", *options(**given, **FITTED, out=out)]) == 0
    return out


def loaded(path):
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def begun(given, result, **more):
    """The pipeline of a run as it begins, on the answers of the finished one."""
    settings = TrainSettings.of(given | FITTED | {"fit_answers": str(result / offline.FILE)} | more)
    return offline.fitted(prepare(settings), description(settings), None)


def ordered(rows, head):
    """The share of pairs, of answers to the held-out prompts that differ, that the head orders as U does."""
    right = []
    for features, utilities, tokens in zip(
        *(rows[n] for n in ("features", "utilities", "tokens")), strict=True
    ):
        reward = features @ head
        right += [
            (reward[i] > reward[j]) == (utilities[i] > utilities[j])
            for i in range(N)
            for j in range(i)
            if (tokens[i] != tokens[j]).any()
        ]
    return np.mean(right)


def some(rows, prompts):
    return {name: values[prompts] for name, values in rows.items() if name != "made_by"}


def test_accuracy_before_during_and_after(result):
    measured, rows = loaded(result / "metrics.npz"), loaded(result / offline.FILE)
    report = json.loads((result / "summary.json").read_text(encoding="utf-8"))
    held_out = some(rows, slice(-HELD_OUT, None))
    assert measured["held_out_accuracy"].shape == measured["on_policy_accuracy"].shape == (1, STEPS)
    head = load_file(result / "reward_head.safetensors")
    last = np.append(head["score.weight"][0], head["score.bias"])
    assert measured["held_out_accuracy"][0, -1] == pytest.approx(ordered(held_out, last))
    assert report["held_out_pairs"] == HELD_OUT * N * (N - 1) / 2
    assert 0 <= report["held_out_accuracy_drawn"] <= 1
    page = (result / "report.html").read_text(encoding="utf-8")
    assert f"The reward head was fitted on {report['fit_pairs']:.0f} pairs" in page


def test_the_head_is_fitted_on_answers_that_are_not_held_out(result, given):
    """The slope of the loss over the first three prompts is 0; over all five it is not."""
    rows, start = loaded(result / offline.FILE), begun(given, result).start
    assert len({*rows["prompts"].tolist()}) == PROMPTS
    head, slopes = np.asarray(start.head, float), []
    for number in (PROMPTS - HELD_OUT, PROMPTS):
        features, utilities = (rows[n][:number].astype(float) for n in ("features", "utilities"))
        i, j = np.triu_indices(N, 1)
        gaps = (features[:, i] - features[:, j]).reshape(-1, features.shape[2])
        preferred = expit(utilities[:, i] - utilities[:, j]).reshape(-1)
        ridge = FITTED["fit_ridge"] * np.mean(np.sum(gaps**2, axis=1))
        slopes.append(np.abs(gaps.T @ (expit(gaps @ head) - preferred) / len(gaps) + ridge * head).max())
    assert slopes[0] < 1e-5  # the head in float32, times ‖H‖ of some tens
    assert slopes[1] > 1e-3


def test_answers_are_the_base_models_and_utilities_the_oracles(result, given):
    """Whatever the adapter learns: those drawn anew from the base alone, with the key of the prompt."""
    rows, pipeline = loaded(result / offline.FILE), prepare(TrainSettings.of(given | FITTED))
    index = int(rows["prompts"][0])
    prompt, base = pipeline.prompts[index].tokens, pipeline.base
    row, length = pad_to_bucket(prompt, pipeline.settings.prompt_limit), jnp.int32(len(prompt))
    key = jax.random.fold_in(offline.named_key(jax.random.key(pipeline.settings.seed), "offline"), index)
    said = steps.generate(pipeline.drawing, base, base, row[None], length[None], key[None])
    drawn = jnp.concatenate([said.candidates[0], said.reference[0]])
    np.testing.assert_array_equal(rows["tokens"][0], drawn)
    (told,) = likelihood_utility(base, row, length, (drawn,), pipeline.tokenizer.ends)
    np.testing.assert_allclose(rows["utilities"][0], told.utility, atol=1e-5)


GROUPS = -(-PROMPTS // QUICK["accumulation"])  # of prompts that are answered at once


@pytest.mark.parametrize("stopped_at", [1, GROUPS + 1])  # while answers are drawn, and in the loop
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    stopped_at, result, given, tmp_path, monkeypatch, capsys
):
    out, taken, answered = tmp_path / "out", [], Pipeline.answered

    def interrupted(self, *arguments):
        if len(taken) == stopped_at:
            raise KeyboardInterrupt
        taken.append(arguments)
        return answered(self, *arguments)

    monkeypatch.setattr(Pipeline, "answered", interrupted)
    words = ["llm", *options(**given, **FITTED, out=out)]
    assert main(words) == 130
    assert "--resume" in capsys.readouterr().err
    kept = min(stopped_at * QUICK["accumulation"], PROMPTS)
    assert len(loaded(tmp_path / "out.partial" / offline.FILE)["prompts"]) == kept
    monkeypatch.setattr(Pipeline, "answered", lambda *a: taken.append(a[1:]) or answered(*a))
    assert main([*words, "--resume"]) == 0
    assert len(taken) == GROUPS + STEPS // QUICK["accumulation"]  # nothing is drawn twice
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for file in ("metrics.npz", offline.FILE):
        one, other = loaded(out / file), loaded(result / file)
        assert {*one} == {*other}
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name], err_msg=name)
    for file in ("adapter/adapter_model.safetensors", "reward_head.safetensors", "responses.jsonl"):
        assert (out / file).read_bytes() == (result / file).read_bytes()


def test_every_mode_begins_with_the_same_head(result, given, monkeypatch):
    """On answers that are given, and drawn no second time; `leverage` with the curvature of the fit."""

    def drawn(*_):
        raise AssertionError("answers are drawn")

    monkeypatch.setattr(Pipeline, "answered", drawn)
    heads = {}
    for mode in ("rlhf", "leverage"):
        pipeline = begun(given, result, mode=mode, weight=3.0, policy_lr=1e-4)
        heads[mode] = np.asarray(pipeline.start.head)
    np.testing.assert_array_equal(heads["rlhf"], heads["leverage"])
    curvature, rows = pipeline.start.curvature, loaded(result / offline.FILE)
    i, j = np.triu_indices(N, 1)
    gaps = (rows["features"][:, i] - rows["features"][:, j])[: PROMPTS - HELD_OUT].astype(float)
    gaps = gaps.reshape(-1, gaps.shape[2])
    chance = expit(gaps @ heads["rlhf"])
    assert float(curvature.pairs) == len(gaps)
    wanted = (gaps.T * (chance * (1 - chance))) @ gaps
    np.testing.assert_allclose(curvature.total, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_without_prompts_to_fit_on_nothing_is_fitted(given):
    pipeline = prepare(TrainSettings.of(given))
    assert offline.fitted(pipeline, {}, None) is pipeline


class TestWhatCannotBeUsed:
    """One line that names the setting, and what it may be."""

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"fit_prompts": 7}, "fit_prompts = 7: must be at most 6, the number of prompts in the file"),
            ({"fit_prompts": 2}, "fit_prompts = 2: must be 0, or large enough to leave two prompts"),
            ({"fit_held_out": 1.0}, "fit_prompts = 5: must be 0, or large enough to leave two prompts"),
            ({"fit_prompts": 0, "fit_answers": "x.npz"}, "fit_answers = x.npz: must be given together with"),
            ({"fit_answers": "x.npz"}, "fit_answers = x.npz: must be readable (No such file"),
            ({"fit_ridge": 0.0}, "fit_ridge = 0.0: must be a finite number > 0"),
        ],
        ids=str,
    )
    def test_settings(self, changed, told, given, tmp_path, capsys):
        words = ["llm", *options(**given | FITTED | changed, out=tmp_path / "out")]
        main(words)
        assert told in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("changed", [{"seed": 1}, {"temperature": 1.0}, {"fit_prompts": 6}], ids=str)
    def test_answers_that_were_drawn_otherwise(self, changed, result, given):
        with pytest.raises(InputError, match=r"fit_answers = .*answers from a run with the same model"):
            begun(given, result, **changed)

    def test_answers_that_are_damaged(self, result, given, tmp_path):
        rows = loaded(result / offline.FILE)
        for name, changed in {
            "short": rows | {"utilities": rows["utilities"][:, 1:]},
            "strange": rows | {"features": rows["features"] * np.nan},
            "none": {"x": np.zeros(3)},
        }.items():
            path = tmp_path / f"{name}.npz"
            np.savez(path, **changed)
            with pytest.raises(InputError, match=r"fit_answers = .*must be readable"):
                begun(given, result, fit_answers=str(path))

    def test_an_oracle_without_a_number(self, given, tmp_path, monkeypatch, capsys):
        def broken(*arguments):
            drawn, other = steps.features(*arguments)
            return drawn._replace(oracle=drawn.oracle.at[:, 2].set(jnp.nan)), other

        monkeypatch.setattr(pipelines, "features", broken)
        assert main(["llm", *options(**given, **FITTED, out=tmp_path / "out")]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "oracle = likelihood: must be one that gives every answer a number" in line
        assert "of those to fit on" in line


def test_the_dry_run_counts_it(given, capsys):
    """A prompt costs a step without its update."""
    words = ["llm", "--dry-run", "--json", *options(**given)]
    assert main([*words, "--fit-prompts", "10"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    step = sum(part["operations"] for part in report["operations"] if part["phase"] != "update")
    assert 0 < step < report["operations_per_step"]
    assert report["operations_before_first_step"] == pytest.approx(10 * step)
    assert "before the first step: answers to 10 prompts" in said.err
