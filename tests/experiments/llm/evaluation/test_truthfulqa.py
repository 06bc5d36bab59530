"""TruthfulQA's CSV file, read and refused; MC1 and MC2 by hand."""

import math

import numpy as np
import pytest

from fpo_jax.experiments.llm.evaluation.truthfulqa import Question, mc1, mc2, read_questions, scores
from tests.experiments.llm.conftest import refused

HEAD = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
ROW = 'Adversarial,Myths,"Is it, so?",No,"Yes.; No; no; ; No.","It is; Perhaps;It is",https://example.org\n'


def test_answers_are_closed_and_stand_once_the_best_one_first(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("\ufeff" + HEAD + ROW, encoding="utf-8")
    (found,) = read_questions(path)
    assert found == Question("Is it, so?", ("No.", "Yes.", "no."), ("It is.", "Perhaps."))
    assert found.answers == ("No.", "Yes.", "no.", "It is.", "Perhaps.")


def test_mc1_and_mc2_by_hand():
    """p = ⅛, ½ for the true answers and ¼, ⅛ for the false ones: MC2 = (5/8) / (8/8)."""
    values = np.log([1 / 8, 1 / 2, 1 / 4, 1 / 8])
    assert mc1(values, 2) == 0.0  # the best answer is the first, and ¼ is more
    assert mc1(values[[1, 0, 2, 3]], 2) == 1.0
    assert mc1(np.log([1 / 4, 1 / 2, 1 / 4]), 2) == 0.0  # as likely as a false one is not likelier
    assert mc1(np.log([1 / 4, 1 / 2, 1 / 8]), 2) == 1.0  # another true answer may be likelier
    assert mc2(values, 2) == pytest.approx(5 / 8)
    assert mc2(values - 2000.0, 2) == pytest.approx(5 / 8)  # where all of them underflow
    found = scores([values, values], [Question("", ("a", "b"), ("c", "d")), Question("", ("a",), ("b",) * 3)])
    np.testing.assert_array_equal(found["mc1"], [0.0, 0.0])
    np.testing.assert_allclose(found["mc2"], [5 / 8, 1 / 8])
    assert math.isclose(mc2(np.array([-1.0, -1.0]), 1), 0.5)


BAD = {
    "other columns": (
        "Type,Question,Answer\na,b,c\n",
        "columns Best Answer, Correct Answers, Incorrect Answers",
    ),
    "one column less": (
        HEAD.replace(",Best Answer", "") + "a,b,c,d,e,f\n",
        "with a column Best Answer, but it has",
    ),
    "nothing": ("", "columns Question, Best Answer, Correct Answers, Incorrect Answers, but it has nothing"),
    "no row": (HEAD, "one row or more"),
    "not UTF-8": (HEAD + ROW.replace("so", "\udce9"), "a CSV file in UTF-8"),
    "a row cut short": (HEAD + "a,b,c\n", "row 1: must be 7 fields"),
    "no false answer": (
        HEAD + "a,b,c,d,e, ;,f\n",
        "row 1: must be a question with its answers, but Incorrect",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_cannot_be_used(case, tmp_path, capsys):
    text, wanted = BAD[case]
    path = tmp_path / "questions.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    error = refused(capsys, ["evaluate", "--model", "m", "--truthfulqa", path, "--out", tmp_path / "out"])
    assert error.startswith("fpo-jax: error: truthfulqa = ")
    assert wanted in error
    assert [one.name for one in tmp_path.iterdir()] == ["questions.csv"]


def test_a_file_that_is_not_there(tmp_path, capsys):
    error = refused(capsys, ["evaluate", "--model", "m", "--truthfulqa", tmp_path / "questions.csv"])
    assert "must be a CSV file that can be read (No such file or directory)" in error
