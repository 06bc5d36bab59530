"""Options: their help, on terminals of any width."""

import re

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


MANY = 8
"""So many options are read at a glance."""
TITLES = {
    "list": [],
    "run": ["run", "bandit environment", "leader", "reward model", "output and devices"],
    "sweep": ["run", "output and devices", "several processes"],
    "decompose": ["run", "comparison", "bandit environment", "leader", "reward model", "output and devices"],
    "equilibria": ["run", "search", "bandit environment", "leader", "reward model", "output and devices"],
    "judge": [
        "local scorer",
        "judging model",
        "request",
        "verdicts made elsewhere",
        "output and devices",
    ],
    "bench": ["run", "environments benchmark", "other benchmarks", "output and devices"],
    "answer": ["model and prompts", "sampling", "output and devices"],
    "evaluate": ["model and prompts", "measurements", "sampling", "output and devices"],
}
"""Panels of the help by command; `tests/experiments/cli/test_llm.py` has those of `fpo-jax llm`."""


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "llm"])
def test_help_of_many_options_is_in_panels(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    _, out, _ = call(capsys, command, "--help")
    plain = re.sub(r"[╭╮╰╯│─]", " ", out)  # boxes, where the terminal has their letters
    _, *parts = re.split(r"^ {1,3}([a-z][a-z ]*(?:options|arguments)|options) *$", plain, flags=re.M)
    known = {
        title: len(re.findall(r"^ {1,3}--\w", its, re.M))
        for title, its in zip(parts[::2], parts[1::2], strict=True)
    }
    own = {title.removesuffix(" options"): n for title, n in known.items() if title.endswith(" options")}
    assert [*own] == TITLES.get(command, [])
    assert known["options"] <= MANY  # besides the panels: those of a command that has few
    assert max(own.values(), default=0) <= MANY + 2


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", "bandit", "--seeds", "x"],
            "seeds = x: must be an integer: number of seeds; an integer >= 1",
        ),
        (
            ["run", "bandit", "--objective", "carried", "--unknown-final", "abc"],
            "unknown_final = abc: must be a number: `unknown` at the end of a run",
        ),
        (["sweep", "bandit", "--seeds", "1.5"], "seeds = 1.5: must be an integer"),
        (["run", "bandit", "--out"], "out: must be followed by its value; as in `fpo-jax run --help`"),
        (["bench", "--batches", "a"], "batches = a: must be an integer: numbers of seeds to run at once"),
        (["bench", "foo"], "which = foo: must be one of environments, linear,"),
        (
            ["sweep", "bandit", "--precision", "float16"],
            "precision = float16: must be one of",
        ),
        (["llm", "--chat", "maybe", "--model", "x"], "chat = maybe: must be one of"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_what_is_allowed(arguments, said, capsys):
    status, _, err = call(capsys, *arguments)
    assert status == 2
    assert said in err
    assert "None" not in err
    assert len(err.splitlines()) == 1
