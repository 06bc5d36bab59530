"""Two files of answers, and scorers beside them."""

import sys

import pytest

from tests.helpers import write_answers


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with two files of six answers, and a module with scorers beside them.

    By length B wins pairs 0 and 2, A wins pairs 1, 4 and 5; in pair 3 both say the same.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "scorers", raising=False)
    write_answers(tmp_path / "a.jsonl", ["x", "xxxx", "x", "same", "xxx", "xxxxxxx"])
    write_answers(tmp_path / "b.jsonl", ["yy", "y", "yyyyy", "same", "y", "yyyy"])
    (tmp_path / "scorers.py").write_text(
        "import pathlib\n"
        "seen, kept = [], []\n"
        "def length(prompt, response):\n"
        "    seen.append(prompt)\n"
        "    return len(response)\n"
        "def faulty(prompt, response):\n"
        "    return {'prompt 1': float('nan'), 'prompt 4': None}.get(prompt, len(response))\n"
        "def interrupted(prompt, response):\n"
        "    if prompt == 'prompt 4':\n"
        "        kept.append(pathlib.Path('result.partial/verdicts.jsonl').read_text())\n"
        "        raise KeyboardInterrupt\n"
        "    return length(prompt, response)\n"
        "number = 3\n",
        encoding="utf-8",
    )
    return tmp_path


@pytest.fixture
def numbers_alone(monkeypatch):
    """Leave the figure and the page out, which take longer than all else and are read elsewhere."""
    monkeypatch.setattr("fpo_jax.experiments.judging.files.draw", lambda rows: {})
    monkeypatch.setattr("fpo_jax.experiments.report.page.write", lambda *_: None)
