"""The command from its options to its folder, on a tiny random Llama."""

import json
import shutil

import numpy as np
import pytest

from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm import EvaluateSettings
from fpo_jax.experiments.llm.asked import Asked
from fpo_jax.experiments.llm.evaluation import job
from fpo_jax.experiments.llm.evaluation.policies import Policy
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question, read_questions
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
    for name in ("utility", "drawn_utility", "mc1", "mc2", "length", "repetition"):
        np.testing.assert_array_equal(measured[name][1], measured[name][0])
    assert measured["kl"][2].mean() > 0.1
    assert measured["identical"][2].mean() < 1
    assert np.all(measured["mc2"][2] != measured["mc2"][0])
    # greedy answers of the base model are nearly its likeliest ones, and U is likelihood
    assert measured["utility"][0].mean() > measured["drawn_utility"][0].mean()
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


@pytest.fixture
def answers(monkeypatch):
    """A list with an entry for each time that a model answered."""
    calls, answer = [], Asked.answer

    def counted(*arguments):
        calls.append(1)
        return answer(*arguments)

    monkeypatch.setattr(Asked, "answer", counted)
    return calls


def test_an_evaluation_that_was_stopped_goes_on(told, out, tmp_path, answers, monkeypatch, capsys):
    again, under = tmp_path / "again", Asked.under

    def stopped(*arguments):
        if len(answers) == 3:
            raise KeyboardInterrupt
        return under(*arguments)

    monkeypatch.setattr(Asked, "under", stopped)
    assert main(["evaluate", *told, "--out", str(again)]) == 130
    said = f"interrupted; finished parts are kept in {again}.parts; the same command continues"
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["again.parts"]
    monkeypatch.setattr(Asked, "under", under)
    answers.clear()
    assert main(["evaluate", *told, "--out", str(again)]) == 0
    assert len(answers) == 3  # of 4 models and the candidates; two models were measured
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # what was kept is removed
    for name, values in arrays(out).items():
        np.testing.assert_array_equal(arrays(again)[name], values, err_msg=name)


def test_later_evaluations_measure_what_is_new(told, runs, out, tmp_path, answers):
    """A piece is known by what it depends on: by the adapter's contents, not by its name."""
    kept, first = tmp_path / "kept", told[: told.index("--runs")]
    renamed = shutil.copytree(runs["moved"], tmp_path / "base")  # the name of the base model
    named = shutil.copytree(runs["still"], tmp_path / "candidates")

    def measured(*more):
        answers.clear()
        assert main(["evaluate", *first, *map(str, more), "--parts", str(kept)]) == 0
        return len(answers)

    assert measured("--runs", runs["still"]) == 3  # base, still, candidates
    runs_again = ["--runs", named, renamed, runs["again"]]
    assert measured(*runs_again, "--out", tmp_path / "out") == 2
    found = arrays(tmp_path / "out")
    assert [*found.pop("model")] == ["base", str(named), str(renamed), str(runs["again"])]
    for name, values in found.items():  # as of still, moved and again, measured without parts
        np.testing.assert_array_equal(arrays(out)[name], values, err_msg=name)
    assert measured(*runs_again) == 0


QUESTIONS = [Question("Is it so?", ("No.", "Never."), ("Yes.",))]


def pieces(questions=QUESTIONS, **settings):
    """What the measurements of a model, and those of candidates, depend on."""
    told = EvaluateSettings.of({"model": "m", **settings})
    measuring = job._Measuring(told, None, (), Asked(np.zeros((1, 1)), np.ones(1), None), questions, None)
    alike = measuring.asked_of_all("digest", ["Why?"])
    return [measuring.of_model("base", None, alike, None).asked, measuring.of_candidates(None, alike).asked]


@pytest.mark.parametrize(
    ("changed", "of_model", "of_candidates"),
    [
        ({"drawn": 2}, True, False),
        ({"candidates": 4}, False, True),
        ({"temperature": 0.5}, False, True),
        ({"least_tokens": 0}, False, True),
        ({"seed": 1}, True, True),
        ({"tokens": 8}, True, True),
        ({"precision": "bfloat16"}, True, True),
        ({"runs": ["r"]}, False, False),
    ],
)
def test_a_piece_is_computed_again_where_it_depends_on_a_setting(changed, of_model, of_candidates):
    differ = [now != before for now, before in zip(pieces(**changed), pieces(), strict=True)]
    assert differ == [of_model, of_candidates]


def test_other_true_answers_are_another_question():
    """MC1 and MC2 depend on which answers are true; the likelihoods of all do not."""
    moved = pieces([Question("Is it so?", ("No.",), ("Never.", "Yes."))])
    assert [now != before for now, before in zip(moved, pieces(), strict=True)] == [True, False]


@pytest.mark.parametrize("where", ["file", "out", "out/parts"])
def test_a_folder_of_parts_that_will_not_do(where, told, tmp_path, answers, capsys):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    words = ["evaluate", *told, "--out", str(tmp_path / "out"), "--parts", str(tmp_path / where)]
    assert main(words) == 2
    assert f"fpo-jax: error: parts = {tmp_path / where}: must be" in capsys.readouterr().err
    assert not answers  # refused before the work
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
