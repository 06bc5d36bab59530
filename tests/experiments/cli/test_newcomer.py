"""What happens to a newcomer before anything goes right, beside the bad input of `test_command_line`."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import FAST, ROOT, call


def test_an_old_python_is_named_with_what_to_do(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # answers "no" to whether it is recent enough
    old.chmod(0o755)
    made = subprocess.run(
        ["make", f"PYTHON={old}", "reproduce"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert made.returncode == 2
    assert "Python 3.11 or newer is needed; name one: make PYTHON=" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_interrupted_run_says_what_is_left(monkeypatch, capsys, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", interrupted)
    status, out, err = call(capsys, "run", "linear", *FAST, "--out", tmp_path / "run")
    assert (status, out) == (130, "")
    assert err.endswith("fpo-jax: interrupted; nothing was written\n")
    assert not list(tmp_path.iterdir())


def test_figures_need_no_display(tmp_path):
    script = (
        "from fpo_jax import plotting; figure, _ = plotting.panels(1, 1); "
        "from pathlib import Path; plotting.save(figure, Path('.'), 'drawn')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    environment |= {"MPLBACKEND": "TkAgg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"drawn.png", "drawn.pdf"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_completes_commands_environments_options_and_choices(capsys, tmp_path):
    _, printed, _ = call(capsys, "completion", "bash")
    script = tmp_path / "completion.sh"
    script.write_text(
        printed
        + """
complete_last() {
  COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); _tyro_fpo_jax; echo "${COMPREPLY[@]}"
}
complete_last fpo-jax re
complete_last fpo-jax run gri
complete_last fpo-jax run gridworld --wal
complete_last fpo-jax run bandit --objective rel
""",
        encoding="utf-8",
    )
    shell = subprocess.run(["bash", script], capture_output=True, text=True, check=True, encoding="utf-8")
    assert shell.stdout.splitlines() == ["reproduce", "gridworld", "--walls", "relaxed"]
