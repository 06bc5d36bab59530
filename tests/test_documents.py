"""What a reader is told to run does run: Python in the README, code cells of the notebooks."""

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}


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


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_what_exists(page):
    from envs import ENVIRONMENTS
    from experiments.__main__ import COMMANDS
    from experiments.discovery import discover

    commands = re.findall(r"fpo-jax ([a-z]+)(?: ([a-z]+))?", PAGES[page])
    assert {command for command, _ in commands} <= {*COMMANDS}
    assert {env for command, env in commands if command in ("run", "sweep") and env} <= set(ENVIRONMENTS)
    named = re.findall(r"fpo-jax reproduce --only ([a-z -]+?)(?: --|`| {2,}|$)", PAGES[page], re.M)
    assert {name for names in named for name in names.split()} <= set(discover())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", PAGES[page]):
        assert (folder / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_functions_that_are_named_exist(page):
    for path in set(re.findall(r"`((?:fpo_jax|envs|experiments)(?:\.\w+)+)`", PAGES[page])):
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            module, name = path.rsplit(".", 1)
            assert hasattr(importlib.import_module(module), name), path
