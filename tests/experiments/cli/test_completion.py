"""A shell completes what is typed."""

import shutil
import subprocess

import pytest

from tests.helpers import call


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
