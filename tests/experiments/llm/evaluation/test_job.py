"""The command from its options to its folder, on a tiny random Llama."""

import json

import numpy as np
import pytest

from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm import EvaluateSettings
from fpo_jax.experiments.llm.asked import Asked
from fpo_jax.experiments.llm.evaluation import job
from fpo_jax.experiments.llm.evaluation.policies import Policy
from fpo_jax.experiments.llm.evaluation.truthfulqa import read_questions
from fpo_jax.experiments.llm.prompts import read_prompts
from tests.experiments.llm.conftest import options, refused
from tests.experiments.llm.evaluation.test_truthfulqa import HEAD, ROW
from tests.helpers import arrays


@pytest.fixture(scope="module")
def told(checkpoint, prompts, runs, tmp_path_factory):
    """Options of a small evaluation of an adapter that changes nothing, and of one that does."""
    table = tmp_path_factory.mktemp("questions") / "questions.csv"
    table.write_text(HEAD + ROW + ROW.replace("so?", "not so?"), encoding="utf-8")
    given = options(model=checkpoint, prompts=prompts, truthfulqa=table, tokens=6, drawn=3, candidates=3)
    return [*given, "--runs", *(str(runs[name]) for name in ("still", "moved", "again"))]


@pytest.fixture(scope="module")
def out(told, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluations") / "out"
    assert main(["evaluate", *told, "--out", str(folder)]) == 0
    return folder


def test_an_adapter_that_changes_nothing_and_one_that_does(out, prompts):
    measured = arrays(out)
    assert [*measured["model"]] == ["base", "still", "moved", "again"]
    np.testing.assert_array_equal(measured["identical"][:2], 1.0)
    np.testing.assert_allclose(measured["kl"][:2], 0.0, atol=1e-4)  # two ways to compute the same sum
    for name in ("utility", "mc1", "mc2", "length", "repetition"):
        np.testing.assert_array_equal(measured[name][1], measured[name][0])
    assert measured["kl"][2].mean() > 0.1
    assert measured["identical"][2].mean() < 1
    assert np.all(measured["mc2"][2] != measured["mc2"][0])
    unseen = read_prompts(prompts)[2:]  # the runs were trained on the first two
    said = [json.loads(line) for line in (out / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["prompt"] for line in said] == unseen
    assert all({*line["answers"]} == {"base", "still", "moved", "again"} for line in said)
    assert measured["candidate_utility"].shape == (len(unseen), 3)


def test_what_is_written_and_shown(out, told, capsys):
    report = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert (report["questions"], report["prompts"]) == (2, 4)
    assert {row["measure"] for row in report["means"]} > {"mc1", "mc2", "utility", "kl_per_token"}
    assert {row["mode"] for row in report["over_seeds"]} == {"practical"}
    assert (out / "overview.png").stat().st_size > 10_000
    assert (out / "repetition.png").stat().st_size > 5_000
    assert "no run was trained on" in (out / "report.html").read_text(encoding="utf-8")
    assert main(["evaluate", "--config", str(out / "config.json"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == report  # the command among it
    settings = EvaluateSettings.of(json.loads((out / "config.json").read_text(encoding="utf-8")))
    assert settings.command() == report["command"]


def test_prompts_that_runs_have_seen_are_not_asked(told, checkpoint, runs, tmp_path, capsys):
    seen = tmp_path / "seen.jsonl"
    lines = (runs["still"] / "responses.jsonl").read_text(encoding="utf-8")
    seen.write_text(lines, encoding="utf-8")
    words = ["evaluate", "--model", checkpoint, "--prompts", seen, "--runs", runs["still"]]
    error = refused(capsys, [*words, "--out", tmp_path / "out"])
    assert "a file with prompts that no run was trained on, but runs were trained on all 2" in error
    assert [path.name for path in tmp_path.iterdir()] == ["seen.jsonl"]


def test_questions_can_be_the_prompts(tmp_path):
    table = tmp_path / "questions.csv"
    table.write_text(HEAD + ROW + ROW.replace("so?", "not so?"), encoding="utf-8")
    settings = EvaluateSettings.of({"model": "m", "prompts": "questions", "truthfulqa": str(table)})
    questions = read_questions(table)
    asked = [question.text for question in questions]
    assert len(asked) == 2
    assert job._unseen(settings, [], questions) == asked
    seen = Policy("run", tmp_path, {}, frozenset(asked[:1]))
    assert job._unseen(settings, [seen], questions) == asked[1:]


def test_questions_need_their_file(capsys):
    line = refused(capsys, ["evaluate", "--model", "m", "--prompts", "questions"])
    assert "prompts = questions: must be given together with --truthfulqa" in line


def answered(monkeypatch, stop_at=None):
    """Count how often a model answers; stop at one of them, as the user might."""
    calls, answer = [], Asked.answer

    def counted(*arguments):
        calls.append(1)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return answer(*arguments)

    monkeypatch.setattr(Asked, "answer", counted)
    return calls


def test_an_evaluation_that_was_stopped_goes_on(told, out, tmp_path, monkeypatch):
    calls, again = answered(monkeypatch, stop_at=3), tmp_path / "again"
    assert main(["evaluate", *told, "--out", str(again)]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["again.parts"]
    calls = answered(monkeypatch)
    assert main(["evaluate", *told, "--out", str(again)]) == 0
    assert len(calls) == 3  # of 4 models and the candidates; two models had answered
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # what was kept is removed
    for name, values in arrays(out).items():
        np.testing.assert_array_equal(arrays(again)[name], values)


def test_later_evaluations_read_what_is_kept(told, runs, tmp_path, monkeypatch):
    kept, first = tmp_path / "kept", told[: told.index("--runs")]
    one, both = [str(runs["still"])], [str(runs["moved"]), str(runs["still"])]
    calls = answered(monkeypatch)
    for given, answers in ((one, 3), (both, 1), (both, 0)):
        calls.clear()
        assert main(["evaluate", *first, "--runs", *given, "--parts", str(kept)]) == 0
        assert len(calls) == answers  # base and still and candidates; then moved alone; then nobody
    calls.clear()
    assert main(["evaluate", *first, "--runs", *one, "--parts", str(kept), "--seed", "1"]) == 0
    assert len(calls) == 3  # other draws
