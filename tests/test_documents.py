"""What a reader is told to run does run: Python in the README, code cells of the notebooks."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_readme_python_runs_and_prints_what_it_says(capsys):
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, namespace)
    claimed = re.search(r"prints\n\n```text\n(.*?)```", README, re.S)[1]
    assert capsys.readouterr().out == claimed
    assert namespace["standard"].shape == namespace["steered"].shape == namespace["theta"].shape


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_notebook_cells_run(path, capsys):
    namespace = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), namespace)
    assert "cosine" in capsys.readouterr().out


def test_readme_commands_name_what_exists():
    from envs import ENVIRONMENTS
    from experiments.__main__ import COMMANDS

    commands = re.findall(r"fpo-jax ([a-z]+)(?: ([a-z]+))?", README)
    assert {command for command, _ in commands} <= {*COMMANDS, "reproduce"}
    assert {env for command, env in commands if command == "run" and env} <= set(ENVIRONMENTS)
