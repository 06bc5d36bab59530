"""A run as a part of a study: which command trains it, what is kept of it, and what is refused."""

import json
import shlex
import subprocess

import numpy as np
import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.progress import silent
from fpo_jax.experiments.llm import run_part
from fpo_jax.experiments.llm.run_part import ModelRun
from fpo_jax.experiments.llm.settings import TrainSettings

MINE = {"model": "here", "steps": 2, "fit_prompts": 4}
PREFERENCES = np.array([[0.25, 0.5]])


class Trains:
    """Stands for the process that trains: keeps the commands, and writes what a run writes."""

    def __init__(self, status=0):
        self.commands, self.status = [], status

    def __call__(self, command, **how):
        self.commands.append(command)
        given = dict(zip(command[4::2], command[5::2], strict=False))
        folder = run_part.Path(given["--out"])
        if self.status == 0:
            wishes = {k.removeprefix("--").replace("-", "_"): v for k, v in given.items() if k != "--out"}
            numbers = {"steps", "fit_prompts"}
            write(folder, {k: int(v) if k in numbers else v for k, v in wishes.items() if k != "resume"})
        return subprocess.CompletedProcess(command, self.status)


def write(folder, wishes):
    folder.mkdir(parents=True)
    text = json.dumps(TrainSettings.of(wishes).as_dict())
    (folder / "config.json").write_text(text, encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps({"weight": None, "seconds": 3.0}), encoding="utf-8")
    with (folder / "metrics.npz").open("wb") as file:
        np.savez(file, preference=PREFERENCES, seed=np.array([0]), step=np.arange(2))
    said = [{"step": i, "prompt": f"p{i}", "winner": f"w{i}", "reference": f"r{i}"} for i in range(2)]
    lines = "".join(json.dumps(one) + "\n" for one in said)
    (folder / "responses.jsonl").write_text(lines, encoding="utf-8")


@pytest.fixture
def trains(monkeypatch):
    stand_in = Trains()
    monkeypatch.setattr(run_part.subprocess, "run", stand_in)
    return stand_in


def test_a_missing_run_is_trained_by_its_command_and_its_numbers_and_words_are_kept(trains, tmp_path):
    found = ModelRun("ten times, rlhf", MINE).numbers(1, silent, tmp_path)
    (command,) = trains.commands
    assert command[1:4] == ["-m", "fpo_jax", "llm"]
    told = TrainSettings.of(MINE).command()
    assert command[3:] == [*shlex.split(told)[1:], "--out", str(tmp_path / "ten-times--rlhf")]
    np.testing.assert_array_equal(found["preference"], PREFERENCES)
    assert found["winner"].tolist() == [["w0", "w1"]]
    assert found["prompt"].tolist() == [["p0", "p1"]]
    assert np.isnan(found["weight"])  # RLHF has none
    assert found["seconds"] == [3.0]
    assert "step" not in found


def test_a_run_that_is_there_is_read(trains, tmp_path):
    write(tmp_path / "some", MINE)
    ModelRun("some", MINE).numbers(1, silent, tmp_path)
    assert trains.commands == []


def test_a_folder_with_another_run_is_refused(trains, tmp_path):
    write(tmp_path / "some", MINE | {"policy_lr": 0.5})
    with pytest.raises(InputError, match=r"policy_lr = 2e-05, not 0\.5"):
        ModelRun("some", MINE).numbers(1, silent, tmp_path)


def test_settings_that_say_how_to_compute_do_not_count(trains, tmp_path):
    write(tmp_path / "some", MINE | {"devices": 2, "every": 7, "fit_answers": "elsewhere"})
    ModelRun("some", MINE).numbers(1, silent, tmp_path)
    assert "devices" not in ModelRun("some", MINE).asked


def test_answers_of_an_earlier_run_are_drawn_no_second_time(trains, tmp_path):
    later = ModelRun("later", MINE, "first")
    later.numbers(1, silent, tmp_path / "one")
    assert "--fit-answers" not in trains.commands[-1]
    answers = tmp_path / "two" / "first" / "offline.npz"
    answers.parent.mkdir(parents=True)
    answers.touch()
    later.numbers(1, silent, tmp_path / "two")
    command = trains.commands[-1]
    assert command[command.index("--fit-answers") + 1] == str(answers)


def test_an_interrupted_run_is_resumed(trains, tmp_path):
    (tmp_path / "some.partial").mkdir()
    (tmp_path / "some.partial" / "config.json").touch()
    ModelRun("some", MINE).numbers(1, silent, tmp_path)
    assert trains.commands[0][-1] == "--resume"


@pytest.mark.parametrize(("status", "raised"), [(130, KeyboardInterrupt), (2, SystemExit)])
def test_a_run_that_fails_ends_the_study(trains, tmp_path, status, raised):
    trains.status = status
    with pytest.raises(raised):
        ModelRun("some", MINE).numbers(1, silent, tmp_path)
    assert list(tmp_path.iterdir()) == []
