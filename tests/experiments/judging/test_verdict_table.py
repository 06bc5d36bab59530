"""Verdicts made elsewhere, in a CSV file: counted by hand, by category, and one line for bad files."""

import json

import pytest

from tests.helpers import call

TABLE = """\
Prompt,Ans_New,Ans_Old,Kind,Verdict
one,"a, with a comma",b,plain,New
two,a,a,plain,Tie
three,"a
second line",b,plain,New
four,a,b,odd,Old
five,a,a,odd,tie
six,a,b,plain,New
seven,a,b,odd,error
"""
COMPARED = ["--compare", "Verdict:New:Old"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "verdicts.csv"
    path.write_text("\ufeff" + TABLE, encoding="utf-8")
    return path


def test_verdicts_are_counted_and_tested_by_category(table, capsys):
    words = ["judge", "--verdicts", table, *COMPARED, "--by", "Kind", "--answers-in", "Ans_", "--json"]
    status, out, said = call(capsys, *words)
    assert status == 0
    rows = {row["label"]: row for row in json.loads(out)["comparisons"]}
    fields = ("wins", "losses", "ties", "errors", "identical")
    found = {label: tuple(row[name] for name in fields) for label, row in rows.items()}
    # counted in the table above
    assert found == {
        "New : Old": (3, 1, 2, 1, 2),
        "New : Old, plain": (3, 0, 1, 0, 1),
        "New : Old, odd": (0, 1, 1, 1, 1),
    }
    # P(X ≥ 3 of 4) = 5/16, P(X ≥ 3 of 3) = 1/8; two-sided twice that
    assert rows["New : Old"]["p_two_sided"] == pytest.approx(5 / 8)
    assert rows["New : Old, plain"]["p_one_sided"] == pytest.approx(1 / 8)
    assert "New : Old, odd: 1 of 3 pairs of answers are identical" in said
    # seen from the other side, wins are losses
    _, out, _ = call(capsys, "judge", "--verdicts", table, "--compare", "Verdict:Old:New", "--json")
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"]) == (1, 3)
    assert "identical" not in row


def test_a_table_is_counted_again_from_its_config(table, capsys, tmp_path, numbers_alone):
    call(capsys, "judge", "--verdicts", table, *COMPARED, "--out", tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    status, out, _ = call(capsys, "judge", "--config", config, "--json")
    assert status == 0
    assert json.loads(out)["comparisons"][0]["wins"] == 3


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (TABLE, [], "compare = nothing: must be COLUMN:A:B"),
        (TABLE, ["--compare", "Verdict"], "compare = Verdict: must be COLUMN:A:B"),
        (TABLE, ["--compare", "Verdict:New:New"], "must be COLUMN:A:B"),
        (TABLE, ["--compare", "Judged:New:Old"], "with a column Judged, but it has Prompt, Ans_New"),
        (TABLE, ["--compare", "Verdict:New:Older"], "row 4: Old: must be New, Older, tie, or error"),
        (TABLE, [*COMPARED, "--by", "Sort"], "with a column Sort"),
        (TABLE, [*COMPARED, "--answers-in", "Text_"], "with columns Text_New, Text_Old"),
        (TABLE, [*COMPARED, "--tie-margin", "1"], "omitted, because it is an option of --scorer"),
        (TABLE, [*COMPARED, "--counts", "3:2"], "judge = counts and verdicts"),
        ("Prompt,Verdict\n", COMPARED, "one row or more"),
        ("", COMPARED, "with a column Verdict, but it has nothing"),
        ("Prompt,Verdict\none\n", COMPARED, "row 1: must be 2 fields"),
        ("Prompt,Verdict\none,New,Old\n", COMPARED, "row 1: must be 2 fields"),
        ('Prompt,Verdict\n"one,New\n', COMPARED, "a CSV file that can be read"),
        (None, COMPARED, "a CSV file that can be read"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_line(text, words, told, tmp_path, capsys):
    path = tmp_path / "verdicts.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    status, out, said = call(capsys, "judge", "--verdicts", path, *words, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert len(said.splitlines()) == 1
    assert told in said
    assert not (tmp_path / "out").exists()


def test_options_of_a_table_belong_to_it(capsys):
    status, _, said = call(capsys, "judge", "--counts", "3:2", "--by", "Kind")
    assert status == 2
    assert "by = Kind: must be omitted, because it is an option of --verdicts" in said
