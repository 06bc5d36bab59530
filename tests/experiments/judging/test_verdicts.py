"""Verdicts in a file, a line each."""

from fpo_jax.experiments.judging.verdicts import Verdict, read_verdicts


def test_verdicts_are_lines(tmp_path):
    verdict = Verdict(2, "win", "", {"scores": [1.0, 0.5]})
    (tmp_path / "v.jsonl").write_text(
        Verdict(2, "error", "why").line() + verdict.line() + "nonsense\n[3]\n", encoding="utf-8"
    )
    assert read_verdicts(tmp_path / "v.jsonl", 3) == {2: verdict}
    assert read_verdicts(tmp_path / "v.jsonl", 2) == {}  # beyond the pairs that there are
