"""`fpo-jax new-env`: what it writes is found, keeps the contract and runs; what it refuses is left alone."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fpo_jax import envs
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.cli.new_env import class_name, write_template
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.testing.checks import check_game
from tests.helpers import ROOT


@pytest.fixture
def discovered(monkeypatch):
    """Return a function that makes the environments of a folder be found, for the time of a test."""
    modules = set(sys.modules)

    def discover(folder):
        monkeypatch.setattr(envs, "__path__", [*envs.__path__, str(folder)])
        for name, cls in envs._discover().items():
            monkeypatch.setitem(envs.ENVIRONMENTS, name, cls)
        return envs.ENVIRONMENTS

    yield discover
    for name in set(sys.modules) - modules:
        if name.startswith("fpo_jax.envs."):
            del sys.modules[name]


def test_the_template_stands_where_the_user_does_keeps_the_contract_and_runs(
    tmp_path, capsys, monkeypatch, forgetful
):
    monkeypatch.chdir(tmp_path)
    assert main(["new-env", "my_env"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()) == Path("my_env.py")
    assert [line.split()[0] for line in err.splitlines()] == ["run", "check", "edit"]
    run, check, _ = (line.split(maxsplit=2)[2] for line in err.splitlines())
    arguments = shlex.split(run)[1:]  # as it is printed, at a size of ours
    assert main([*arguments, "--steps", "2", "--record", "outcome", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["environment"], report["seeds_reported"]) == ("my_env", 8)
    program, code = shlex.split(check)[1:]
    assert (shlex.split(check)[0], program) == (sys.executable, "-c")
    exec(code, {})
    del sys.modules["my_env"]


def test_in_a_clone_it_stands_where_it_is_found(tmp_path, monkeypatch, discovered, capsys):
    (tmp_path / "envs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(envs, "__path__", [str(tmp_path / "envs")])
    assert main(["new-env", "my_env"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()) == Path("envs/my_env.py")
    assert "fpo-jax run my_env " in err
    assert "my_env" in discovered(tmp_path / "envs")


def test_an_environment_written_by_the_documentation_alone(tmp_path, discovered):
    page = (ROOT / "docs" / "howto" / "add_an_environment.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "class Length(Game)" in b]
    (tmp_path / "length.py").write_text(block, encoding="utf-8")
    check_game(discovered(tmp_path)["length"]())
    assert resolve({"environment": "length", "ideal": 0.5, "objective": "exact"}).steps == 500


def test_the_template_passes_the_checks_of_this_project(tmp_path):
    path = write_template("answer", tmp_path)  # a word of the template itself
    assert f"class {class_name('answer')}:" in path.read_text(encoding="utf-8")
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), str(path)],
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout


def test_bad_names_and_folders_are_one_line_and_leave_all_as_it_was(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("kept", encoding="utf-8")
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    refused = {
        "My_Env": "name = My_Env",
        "my-env": "name = my-env",
        "3d": "name = 3d",
        "class": "name = class",
        "_mine": "name = _mine",
        "": "name = nothing",
        "bandit": "this name is already taken",
        "mine": "this name is already taken",
        "os": "Python has a module of this name",
        "a" * 300: "with at most 64 letters",
        "\ufb01eld": "name = \ufb01eld",  # which Python reads as field
    }
    for name, complaint in refused.items():
        assert main(["new-env", name, "--out", str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("fpo-jax: error: ")
        assert complaint in err
    assert main(["new-env", "yours", "--out", str(tmp_path / "file")]) == 2
    assert "out = " in capsys.readouterr().err
    assert main(["new-env", "json", "--out", str(tmp_path)]) == 2
    assert "Python has a module of this name" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert (
        (tmp_path / "mine.py").read_text(encoding="utf-8")
        == (tmp_path / "file").read_text(encoding="utf-8")
        == "kept"
    )


def test_a_full_disk_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    opened = Path.open

    def fails_to_write(self, *arguments, **options):
        file = opened(self, *arguments, **options)
        if "x" in arguments:
            file.write = full
        return file

    monkeypatch.setattr(Path, "open", fails_to_write)
    assert main(["new-env", "mine", "--out", str(tmp_path)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
