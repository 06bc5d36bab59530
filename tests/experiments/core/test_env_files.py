"""`--env FILE.py`: what a user's file may be, what is said of one that is none, and that edits are seen."""

import json

import numpy as np
import pytest

from fpo_jax.engine.sweep import LaneResults
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.new_env import write_template
from fpo_jax.experiments.core import env_files
from fpo_jax.experiments.core.settings import Settings, load, resolve
from fpo_jax.experiments.core.unfinished import Unfinished, conditions
from fpo_jax.experiments.runs.result import Diverged
from fpo_jax.experiments.sweeps.dataset import to_dataset
from fpo_jax.experiments.sweeps.files import load_sweep, save
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.helpers import call

SECOND = """

@struct.dataclass
class Second(Mine):
    name: ClassVar[str] = "second"
"""


@pytest.fixture
def mine(tmp_path, monkeypatch, forgetful):
    """The text of an environment that runs, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return write_template("mine").read_text(encoding="utf-8")


def test_a_file_gives_the_environment_its_name_and_options(mine):
    assert env_files.load_environment("mine.py") == "mine"
    settings = resolve({"environment": "mine", "ordinary": 3})
    assert settings.values["ordinary"] == 3
    assert settings.command() == "fpo-jax run mine --env mine.py --objective myopic --ordinary 3"
    sweep = make_grid({"environment": "mine", "grid": {"extra_show": "1,2"}})
    assert sweep.command().startswith("fpo-jax sweep mine --env mine.py ")
    assert settings.as_dict()["env"] == sweep.as_dict()["env"] == "mine.py"
    assert resolve(settings.as_dict()) == settings
    assert make_grid(sweep.as_dict()) == sweep


def test_settings_alone_run_no_code(mine, tmp_path, capsys):
    env_files.load_environment("mine.py")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(resolve({"environment": "mine", "ordinary": 3}).as_dict()), encoding="utf-8")
    del ENVIRONMENTS["mine"], env_files._given["mine"]
    (tmp_path / "mine.py").write_text(
        f"import pathlib\npathlib.Path('ran').touch()\n{mine}", encoding="utf-8"
    )
    for command in ("run", "decompose"):
        status, out, err = call(capsys, command, "--config", config)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "env = mine.py: must be given again, as --env mine.py" in err
    assert not (tmp_path / "ran").exists()
    env_files.load_environment("mine.py")
    assert (tmp_path / "ran").exists()
    assert resolve(load(config)).values["ordinary"] == 3


def test_an_edit_is_seen_and_two_files_are_told_apart(mine, tmp_path):
    def default() -> float:
        return resolve({"environment": "mine"}).values["extra_show"]

    def identity() -> dict:
        return Settings.static(resolve({"environment": "mine"}))

    env_files.load_environment("mine.py")
    before = identity()
    assert default() == 2.0
    # of the same length and in the same second, so that a cached compilation would pass for it
    (tmp_path / "mine.py").write_text(mine.replace("real(2.0", "real(3.0"), encoding="utf-8")
    env_files.load_environment("mine.py")
    assert default() == 3.0
    assert identity() == before  # the kept program itself looks at what stands in the file
    assert not list(tmp_path.glob("__pycache__/mine*"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text(mine, encoding="utf-8")
    env_files.load_environment("other/mine.py")
    assert identity() != before


def test_results_are_read_without_the_file(mine, tmp_path):
    env_files.load_environment("mine.py")
    grid = make_grid({"environment": "mine", "grid": {"extra_show": "1,2"}, "seeds": 2, "steps": 2})
    lanes = LaneResults({"true_utility": np.ones((2, 2, 3))}, np.ones((2, 2, 3), bool), np.ones((2, 2)))
    save(to_dataset(grid, lanes), tmp_path / "metrics.npz")
    del ENVIRONMENTS["mine"], env_files._given["mine"]
    result = load_sweep(tmp_path)
    assert result.sizes == {"objective": 1, "extra_show": 2, "seed": 2, "step": 3}
    assert result["extra_show"].values.tolist() == [1.0, 2.0]


def test_a_field_that_is_an_option_of_every_run_is_named(mine, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        mine.replace("    showy: int = count", "    out: int = count"), encoding="utf-8"
    )
    status, _, err = call(capsys, "run", "--env", "mine.py")
    assert (status, err.count("\n")) == (2, 1)
    assert "hyperparameter = out: must be another name: every run already has --out" in err


def test_one_of_several_is_chosen_and_neighbours_are_imported(mine, tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("SHOW = 4.0\n", encoding="utf-8")
    text = mine.replace("real(2.0", "real(SHOW") + SECOND
    (tmp_path / "mine.py").write_text(f"from neighbour_of_mine import SHOW\n{text}", encoding="utf-8")
    assert env_files.load_environment("mine.py:Second") == "second"
    assert resolve({"environment": "second"}).values["extra_show"] == 4.0


BAD = {
    "not there": (None, "mine.py", "must be a file that can be read (No such file or directory)"),
    "no Python file": ("", "mine.txt", "env = mine.txt: must be FILE.py, or FILE.py:CLASS"),
    "syntax": ("x = 1\ny = (\n", "mine.py", "line 2: SyntaxError: '(' was never closed"),
    "exception": ("def f():\n    return nope\n\n\nf()\n", "mine.py", "line 2: NameError: name 'nope'"),
    "leaves": ("import sys\nsys.exit('bye')\n", "mine.py", "line 2: SystemExit: bye"),
    "empty": ("", "mine.py", "must be a file with an environment: a class with name, recipe and draw"),
    "no recipe": ("class Mine:\n    name = 'mine'\n", "mine.py", "Mine has no recipe and no draw"),
    "two": ("{mine}" + SECOND, "mine.py", "FILE.py:CLASS to choose one of Mine and Second"),
    "no such class": ("{mine}", "mine.py:Yours", "it has no Yours"),
    "taken": ("{mine}", "mine.py", "Mine.name = bandit: must be another"),
    "plain class": ("class Mine:\n    name = 'mine'\n    recipe = draw = 1\n", "mine.py", "struct.dataclass"),
    "no text": ("{mine}", "mine.py", "Mine.name = 3: must be a word"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_cannot_be_used_is_one_line(case, mine, tmp_path, capsys):
    text, given, complaint = BAD[case]
    (tmp_path / "mine.py").unlink()
    if text is not None:
        names = {"taken": '"bandit"', "no text": "3"}
        written = text.replace("{mine}", mine.replace('= "mine"', f"= {names.get(case, repr('mine'))}"))
        (tmp_path / "mine.py").write_text(written, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        env_files.load_environment(given)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not {"mine", "second"} & set(ENVIRONMENTS)


def test_another_name_beside_the_file_is_refused(mine, capsys):
    for command in ("run", "sweep"):
        status, _, err = call(capsys, command, "bandit", "--env", "mine.py")
        assert (status, err.count("\n")) == (2, 1)
        assert "environment = bandit: must be mine, as in --env mine.py, or omitted" in err


def test_it_is_listed_and_helped(mine, capsys):
    status, out, _ = call(capsys, "list", "mine", "--env", "mine.py")
    assert status == 0
    assert "  mine " in out
    assert "extra_show = 2.0" in out
    status, out, _ = call(capsys, "run", "--env", "mine.py", "--help")
    assert status == 0
    assert "--extra-show FLOAT" in out


def test_a_name_that_results_have_for_something_else_is_no_axis(mine, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(mine.replace("extra_show", "command"), encoding="utf-8")
    sweep = ["sweep", "--env", "mine.py", "--grid", "command=1,2", "--out", "swept"]
    status, out, err = call(capsys, *sweep)
    assert (status, out) == (2, "")
    assert "grid = command: must be another name, because results already use this one" in err
    assert not list(tmp_path.glob("swept*"))


def test_the_value_of_an_option_is_no_environment(mine, monkeypatch, capsys):
    ran = []

    def execute(settings, **_):
        ran.append(settings.names.environment)
        raise Diverged("stopped here")

    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", execute)
    call(capsys, "run", "--env", "mine.py", "--out", "language")
    call(capsys, "run", "linear", "--out", "bandit")
    assert ran == ["mine", "linear"]


def test_a_file_that_is_not_given_is_named(mine, capsys):
    status, _, err = call(capsys, "run", "mine")
    assert status == 2
    assert "environment = mine: must be given as a file, with --env mine.py" in err


def test_work_goes_on_with_the_file_that_it_was_begun_with(mine, tmp_path):
    begun = Unfinished(tmp_path / "kept", "run")
    begun.folder.mkdir()
    env_files.load_environment("./mine.py")
    settings = resolve({"environment": "mine"}).as_dict()
    begun.begin(settings | conditions())
    env_files.load_environment("mine.py")  # spelt otherwise
    assert begun.resumed(settings | {"env": "mine.py"})["environment"] == "mine"
    (tmp_path / "mine.py").write_text(f"{mine}\n# changed\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"env = mine\.py: must be unchanged since the run to resume began"):
        begun.resumed(settings | {"env": "mine.py"})
