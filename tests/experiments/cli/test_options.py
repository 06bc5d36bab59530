"""Options: their help, on terminals of any width."""

import pytest

from fpo_jax.experiments.cli.main import COMMANDS
from tests.helpers import call


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_says_a_type_and_a_default_once(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    status, out, _ = call(capsys, command, "--help")
    assert status == 0
    assert "None" not in out
    _, _, below = out.partition(" options ")  # above it one sentence, which a terminal folds itself
    assert 0 < max(map(len, below.splitlines())) <= int(columns)


def test_a_narrow_terminal_folds_lines_and_turns_tables(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for arguments in (["--help"], ["list"], ["judge", "--counts", "12:3"]):
        status, out, _ = call(capsys, *arguments)
        assert status == 0
        assert max(map(len, out.splitlines())) <= 40
    assert "\nrate           0.800\n" in out  # 12 wins of 15, a line of its own
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = call(capsys, "judge", "--counts", "12:3")
    assert out.splitlines()[0].split()[:4] == ["A", ":", "B", "wins"]
