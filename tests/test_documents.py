"""What a reader is told to run does run: Python in every page, code cells of the notebooks."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.dataset import save, to_dataset
from experiments.grid import make_grid
from experiments.results import write_json
from fpo_jax.sweep import Lanes

ROOT = Path(__file__).resolve().parent.parent
PATHS = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
PAGES = {name: path.read_text() for name, path in PATHS.items()}
BLOCKS = {name: re.findall(r"```python\n(.*?)```(.*?)(?=```|\Z)", page, re.S) for name, page in PAGES.items()}
CLAIMED = r"```python\n(?:(?!```).)*```\s+prints\s+```text\n(.*?)```"
SMALL = {"SEEDS": 2, "STEPS": 6, "EVERY": 3, "SIDE": 2}
"""What stands in the place of a notebook's parameters."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory that holds a finished sweep: what it says is made up."""
    monkeypatch.chdir(tmp_path)
    wishes = {"environment": "bandit", "objective": "relaxed,practical", "grid": {"weight": "0.1,0.3"}}
    grid = make_grid({**wishes, "seeds": 2, "steps": 2})
    utility = np.random.default_rng(0).uniform(size=(4, 2, 3))
    lanes = Lanes({"true_utility": utility}, np.ones((4, 2, 3), bool), np.ones((4, 2)))
    (tmp_path / "my_sweep").mkdir()
    write_json(tmp_path / "my_sweep" / "config.json", grid.as_dict())
    save(to_dataset(grid, lanes), tmp_path / "my_sweep" / "metrics.npz")
    return tmp_path


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if blocks])
def test_python_runs_and_prints_what_it_says(page, folder, capsys):
    namespace = {}
    for block, _ in BLOCKS[page]:
        exec(block, namespace)
    assert capsys.readouterr().out == "".join(re.findall(CLAIMED, PAGES[page], re.S))
    if page == "README.md":
        assert namespace["standard"].shape == namespace["steered"].shape == (24,)  # an entry for each arm


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_notebook_cells_run(path, folder, capsys):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    parameters = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    assert len(parameters) == 1
    assert all(cell["outputs"] for cell in cells[-1:]), "stored with what it shows: `make notebooks`"
    namespace = {}
    for cell in cells:
        lines = [line for line in "".join(cell["source"]).splitlines() if not line.startswith("%")]
        exec("\n".join(lines), namespace)
        if cell in parameters:
            sizes = {name for name in namespace if name.isupper()}
            assert sizes <= set(SMALL)
            namespace |= {name: SMALL[name] for name in sizes}
    capsys.readouterr()


def test_the_classes_of_notebook_4_are_those_of_the_documentation():
    cells = json.loads((ROOT / "notebooks" / "4_bring_your_own.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    defining = [
        block
        for block, _ in BLOCKS["docs/extend.md"]
        if re.search(r"class (Length|Sluggish|Cautious)", block)
    ]
    assert len(defining) == 3
    for block in defining:
        assert any(source.endswith(block.strip()) for source in sources), block


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_what_exists(page):
    from envs import ENVIRONMENTS
    from experiments.__main__ import COMMANDS
    from experiments.discovery import discover

    commands = re.findall(r"fpo-jax ([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?", PAGES[page])
    assert {command for command, _ in commands} <= {*COMMANDS}
    assert {env for command, env in commands if command in ("run", "sweep") and env} <= set(ENVIRONMENTS)
    named = re.findall(r"fpo-jax reproduce --only ([a-z -]+?)(?: --|`| {2,}|$)", PAGES[page], re.M)
    assert {name for names in named for name in names.split()} <= set(discover())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page]):
        file, _, anchor = link.partition("#")
        target = (PATHS[page].parent / file).resolve() if file else PATHS[page]
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, link


@pytest.mark.parametrize("page", PAGES)
def test_functions_that_are_named_exist(page):
    for path in set(re.findall(r"`((?:fpo_jax|envs|experiments)(?:\.\w+)+)[`(\[]", PAGES[page])):
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            module, name = path.rsplit(".", 1)
            try:
                owner = importlib.import_module(module)
            except ModuleNotFoundError:  # an attribute of a class
                module, cls = module.rsplit(".", 1)
                owner = getattr(importlib.import_module(module), cls)
            assert hasattr(owner, name), path
