"""Every command that a document names is accepted as it stands there: parsed, resolved, then stopped."""

import re
import shlex
import shutil
import sys

import pytest

from fpo_jax.experiments import llm
from fpo_jax.experiments.cli import sweep
from fpo_jax.experiments.cli.main import AT_ONCE, COMMANDS, main
from fpo_jax.experiments.cli.new_env import write_template
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.helpers import ROOT

PATHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
WORK = (  # what commands do once their options are understood
    "fpo_jax.experiments.runs.execution.execute",
    "fpo_jax.experiments.ladder.decompose.decompose",
    "fpo_jax.experiments.equilibria.solve.solve",
    "fpo_jax.experiments.sweeps.execution.run_grid",
    "fpo_jax.experiments.sweeps.execution.sweep_into",
    "fpo_jax.experiments.parity.replay.check",
    "fpo_jax.experiments.judging.job.of_elsewhere",
    "fpo_jax.experiments.judging.job.of_files",
    "fpo_jax.experiments.reproduce.job.reproduce",
    "fpo_jax.experiments.cli.new_env.write_template",
    "fpo_jax.experiments.llm.train",
    "fpo_jax.experiments.llm.plan",
    "fpo_jax.experiments.llm.answer",
    "fpo_jax.experiments.llm.evaluate",
    "fpo_jax.experiments.llm.fetch",
    "fpo_jax.experiments.cli.completion._of_environments",
    *(
        f"fpo_jax.experiments.bench.{name}.bench_{name}"
        for name in (
            *("against", "environments", "linear", "tabular", "steering", "neural"),
            *("sweep", "kernels", "draws", "seeds_last", "coverage"),
        )
    ),
)
EXTEND = re.findall(r"```python\n(.*?)```", PAGES["docs/howto/add_an_environment.md"], re.S)
STANDS_FOR = {"ENV": "bandit", "K": "2", "NAME": "mine", "PYTHON": sys.executable}


def commands(page):
    """Return what follows `fpo-jax` in a page, wherever more than the name of a command does."""
    text = re.sub(r"```(?:python|text|bibtex)\n.*?```", "", page, flags=re.S)
    text = re.sub(r" \\\n +", " ", text)  # a command that goes on in the next line
    quoted = re.findall(r"`fpo-jax\s([^`]+)`", text)
    blocks = re.findall(r"^ {4}fpo-jax ([^#\n]+)", text, re.M)
    spoken = [" ".join(words.split()) for words in (*quoted, *blocks)]
    return [words for words in spoken if " " in words]


ALL = sorted({command for page in PAGES.values() for command in commands(page)})


class Accepted(Exception):
    """Raised in the place of work."""


def test_commands_are_found():
    assert len(ALL) > 60
    assert {command.split()[0] for command in ALL} >= {*COMMANDS} - {"list"}


@pytest.fixture
def folder(tmp_path, monkeypatch, forgetful):
    """A working directory that holds what commands read."""
    monkeypatch.chdir(tmp_path)
    for name, settings in {
        "my_run": resolve({"environment": "linear"}),
        "my_sweep": make_grid({"environment": "bandit"}),
        "my_policy": llm.TrainSettings.of({"model": "m", "prompts": "p"}),
        "my_measures": llm.EvaluateSettings.of({"model": "m"}),
    }.items():
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "config.json", settings.as_dict())
    (tmp_path / "length.py").write_text(
        next(b for b in EXTEND if "class Length(Game)" in b), encoding="utf-8"
    )
    write_template("my_env")
    return tmp_path


def words_of(command):
    return [STANDS_FOR.get(word, word) for word in shlex.split(command.split(">")[0])]


def test_every_command_is_accepted(folder, monkeypatch, capsys):
    def accepted(*_, **__):
        raise Accepted

    for work in WORK:
        monkeypatch.setattr(work, accepted)
    monkeypatch.setattr(sweep, "_join", lambda given: None)  # no other process is there
    monkeypatch.setattr(
        "fpo_jax.experiments.core.result_folder.require_writable", lambda out: None
    )  # my_sweep is there already
    for command in ALL:
        try:
            status = main(words_of(command))
        except Accepted:
            continue
        except SystemExit as stop:  # --help
            status = stop.code
        done = "--help" in command or words_of(command)[0] in AT_ONCE
        assert (status or 0, done) == (0, True), (command, capsys.readouterr().err)


SMALL = {"run": "--steps 2 --seeds 2", "decompose": "--steps 2 --seeds 2 --every 1", "list": ""}
SMALL["equilibria"] = "--seeds 1"
SMALL["sweep"] = "--steps 2 --seeds 2 --every 1"
ALONE = [  # neither help, nor a part of something that others began
    c for c in ALL if c.split()[0] in SMALL and not re.search("--help|--resume|--coordinator", c)
]


@pytest.mark.slow
@pytest.mark.parametrize("command", ALONE)
def test_documented_commands_run_at_small_size(command, folder, capsys):
    words = words_of(command)
    if "--out" in words:
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    assert main([*words, *SMALL[words[0]].split()]) == 0, capsys.readouterr().err
