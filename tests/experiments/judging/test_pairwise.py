"""Answers compared pair by pair: errors, interruptions, full disks."""

import json
import sys

import pytest

from fpo_jax.experiments.core.unfinished import Unfinished
from fpo_jax.experiments.judging.verdicts import read_verdicts
from tests.helpers import SCORED, call, write_answers


def test_a_scorer_decides(folder, capsys):
    status, out, err = call(capsys, *SCORED, "scorers:length", "--out", "result", "--json")
    assert status == 0
    report = json.loads(out)
    (row,) = report["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert row["win_rate"] == 3 / 5
    assert row["win_rate_ties_half"] == 3.5 / 6
    assert row["p_one_sided"] == pytest.approx((10 + 5 + 1) / 32)  # three, four or five heads of five coins
    assert report["identical"] == 1
    assert report["position"] is None
    assert "1 of the ties are identical" in err
    written = {path.name for path in (folder / "result").iterdir()}
    assert written == {
        ".fpo-jax.json",
        "config.json",
        "summary.json",
        "verdicts.jsonl",
        "outcome.png",
        "outcome.pdf",
        "report.html",
    }
    assert not (folder / "result.partial").exists()
    assert json.loads((folder / "result" / "summary.json").read_text(encoding="utf-8")) == report
    kept = [
        json.loads(line)
        for line in (folder / "result" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [verdict["pair"] for verdict in kept] == [0, 1, 2, 3, 4, 5]
    assert [verdict["outcome"] for verdict in kept] == ["loss", "win", "loss", "tie", "win", "win"]
    assert kept[0]["scores"] == [1, 2]
    # the settings that were written run again
    named = ["--scorer", "scorers:length"]  # a function is given again
    status, again, _ = call(capsys, "judge", "--config", "result/config.json", *named, "--json")
    assert json.loads(again)["comparisons"] == report["comparisons"]


def test_scores_within_the_margin_tie(folder, capsys):
    # differences of length: −1, 3, −4, 0, 2, 3
    _, out, _ = call(capsys, *SCORED, "scorers:length", "--tie-margin", "2", "--json")
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"]) == (2, 1, 3)


def test_errors_are_counted_apart_and_asked_again(folder, capsys, numbers_alone):
    status, out, err = call(capsys, *SCORED, "scorers:faulty", "--out", "result", "--json")
    assert status == 0
    (row,) = json.loads(out)["comparisons"]
    # pair 1 has no finite score and pair 4 none at all: two of A's wins by length are gone, and nothing else
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (1, 2, 1, 2)
    assert "2 pairs could not be judged" in err
    kept = [
        json.loads(line)
        for line in (folder / "result" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert "nan" in kept[1]["reason"]
    assert "TypeError" in kept[4]["reason"]
    sys.modules["scorers"].faulty = sys.modules["scorers"].length
    again = [*SCORED, "scorers:faulty", "--out", "result", "--json", "--resume"]
    status, out, _ = call(capsys, *again)
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert {*sys.modules["scorers"].seen} == {"prompt 1", "prompt 4"}
    assert not (folder / "result.partial").exists()


def test_interrupted_and_resumed(folder, capsys, numbers_alone):
    wishes = [*SCORED, "scorers:interrupted", "--out", "result"]
    status, out, err = call(capsys, *wishes)
    assert (status, out) == (130, "")
    again = "fpo-jax judge a.jsonl b.jsonl --scorer scorers:interrupted --out result --resume"
    assert f"resume with `{again}`" in err
    assert not (folder / "result").exists()
    partial = folder / "result.partial" / "verdicts.jsonl"
    assert [*read_verdicts(partial, 6)] == [3, 0, 1, 2]  # identical answers first
    assert "".join(sys.modules["scorers"].kept).count('"outcome"') == 4  # each as soon as it was there
    status, _, err = call(capsys, *wishes)
    assert status == 2
    assert "resumed with --resume, or remove result.partial first" in err
    status, _, err = call(capsys, *wishes, "--resume", "--tie-margin", "1")
    assert status == 2
    assert "tie_margin = 1.0: must be 0.0, as in the comparison to resume" in err
    assert "resume with" not in err  # not with this
    b = (folder / "b.jsonl").read_text(encoding="utf-8")
    (folder / "b.jsonl").write_text(b.replace("yy", "yyy"), encoding="utf-8")
    status, _, err = call(capsys, *wishes, "--resume")
    assert status == 2
    assert "its contents differ" in err
    (folder / "b.jsonl").write_text(b, encoding="utf-8")
    with partial.open("a", encoding="utf-8") as file:
        file.write('{"pair": 4, "outc')  # cut short: no verdict
    scorers = sys.modules["scorers"]
    scorers.interrupted = scorers.length
    scorers.seen.clear()
    status, out, _ = call(capsys, *wishes, "--resume", "--json")
    assert status == 0
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert {*scorers.seen} == {"prompt 4", "prompt 5"}
    assert not partial.parent.exists()


def test_a_line_cut_short_stays_alone(folder, capsys):
    """What is judged next begins a line of its own, and is there after one more interruption."""
    wishes = [*SCORED, "scorers:interrupted", "--out", "result"]
    call(capsys, *wishes)
    partial, scorers = folder / "result.partial" / "verdicts.jsonl", sys.modules["scorers"]
    with partial.open("a", encoding="utf-8") as file:
        file.write('{"pair": 4, "outc')

    def later(prompt, response):
        if prompt == "prompt 5":
            raise KeyboardInterrupt
        return len(response)

    scorers.interrupted = later
    status, _, _ = call(capsys, *wishes, "--resume")
    assert status == 130
    assert [*read_verdicts(partial, 6)] == [3, 0, 1, 2, 4]


def test_the_work_of_another_command_is_not_resumed(folder, capsys):
    config = folder / "result.partial" / "config.json"
    config.parent.mkdir()
    config.write_text('{"policy_steps": 1, "counts": []}', encoding="utf-8")
    status, out, err = call(capsys, *SCORED, "scorers:length", "--out", "result", "--resume")
    assert (status, out) == (2, "")
    assert (
        "must be settings of judge; this file is for `fpo-jax run --config result.partial/config.json`" in err
    )
    assert config.exists()


def test_a_resumed_judging_that_fails_leaves_what_it_found(folder, capsys):
    """Lines that do not parse are somebody's all the same."""
    wishes = [*SCORED, "scorers:interrupted", "--out", "result"]
    call(capsys, *wishes)
    kept, scorers = folder / "result.partial" / "verdicts.jsonl", sys.modules["scorers"]
    kept.write_text("of a later version\n", encoding="utf-8")
    scorers.interrupted = lambda *_: float("nan")
    status, _, err = call(capsys, *wishes, "--resume")
    assert status == 2
    assert "requests failed, the last with" in err
    assert kept.read_text(encoding="utf-8").startswith("of a later version\n")


def test_a_judge_that_only_fails_is_given_up(folder, capsys):
    (folder / "broken.py").write_text(
        "def score(prompt, response):\n    raise OSError('no disk\\nno score')\n", encoding="utf-8"
    )
    for options, said in (
        (["--give-up", "2"], "2 requests in a row failed, the last"),
        ([], "all 4 requests failed"),
    ):
        for name, response in (("a", "x"), ("b", "y")):
            write_answers(folder / f"{name}.jsonl", [*[response] * 4, "the same"])
        before = {*folder.iterdir()}
        status, out, err = call(capsys, *SCORED, "broken:score", "--out", "result", *options)
        assert (status, out) == (2, "")
        (line,) = [line for line in err.splitlines() if line.strip() and "pair/s" not in line]
        assert said in line
        assert "OSError: no disk no score" in line
        assert {*folder.iterdir()} - {folder / "__pycache__"} == before - {folder / "__pycache__"}


def test_a_full_disk_keeps_what_is_judged(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fpo_jax.experiments.judging.files.draw", full)
    status, out, err = call(capsys, *SCORED, "scorers:length", "--out", "result")
    assert (status, out) == (2, "")
    assert "No space left on device" in err
    assert "verdicts are saved: resume with `fpo-jax judge" in err
    assert len(read_verdicts(folder / "result.partial" / "verdicts.jsonl", 6)) == 6
    assert not (folder / "result").exists()


def test_one_at_a_time(folder, capsys):
    with Unfinished(folder / "result", "judging").locked():
        status, _, err = call(capsys, *SCORED, "scorers:length", "--out", "result")
    assert status == 2
    assert "another judging is writing to it" in err


def test_no_link_is_written_through(folder, capsys, numbers_alone):
    """A folder of somebody else's may hold a link in place of its verdicts."""
    status, _, _ = call(capsys, *SCORED, "scorers:interrupted", "--out", "result")
    assert status == 130
    kept = folder / "result.partial" / "verdicts.jsonl"
    kept.unlink()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    kept.symlink_to(folder / "mine.txt")
    status, out, err = call(capsys, *SCORED, "scorers:interrupted", "--out", "result", "--resume")
    assert (status, out) == (2, "")
    assert "free for the judging's work, but it holds verdicts.jsonl" in err
    assert (folder / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_verdicts_of_others_are_asked_again_where_they_are_none(folder, capsys, numbers_alone):
    call(capsys, *SCORED, "scorers:length", "--out", "result")
    path = folder / "again.partial" / "verdicts.jsonl"
    path.parent.mkdir()
    for name in ("config.json", "verdicts.jsonl"):
        (folder / "result" / name).rename(path.with_name(name))
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[0] = "[" * 200_000
    lines[1] = '{"pair": 1, "outcome": "win", "meant": 5}'
    lines[2] = '{"pair": 2, "outcome": []}'
    path.write_text("\n".join(lines), encoding="utf-8")
    seen = sys.modules["scorers"].seen
    seen.clear()
    status, out, _ = call(capsys, *SCORED, "scorers:length", "--out", "again", "--resume", "--json")
    assert status == 0
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert {*seen} == {"prompt 0", "prompt 1", "prompt 2"}
