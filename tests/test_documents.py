"""What a reader is told to run does run: Python in every page, code cells of the notebooks."""

import importlib
import json
import re
import sys

import jax
import numpy as np
import pytest

from fpo_jax.engine.sweep import LaneResults
from fpo_jax.envs.corridor import Corridor
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.sweeps.dataset import to_dataset
from fpo_jax.experiments.sweeps.files import save
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.helpers import ROOT

PATHS = {name: ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")}
PATHS |= {path.relative_to(ROOT).as_posix(): path for path in ROOT.glob("docs/**/*.md")}
PAGES = {name: path.read_text(encoding="utf-8") for name, path in PATHS.items()}
BLOCKS = {name: re.findall(r"```python\n(.*?)```", page, re.S) for name, page in PAGES.items()}
STUDY = [f"docs/howto/{name}.md" for name in ("add_an_environment", "add_a_follower", "add_a_penalty", "log")]
"""Pages that are read and run one after the other: each uses the classes of those before."""
COMPARED = {"EVERY": 250, "ROUTES": ("relaxed",)}
CLAIMED = r"```python\n(?:(?!```).)*```\s+prints\s+```text\n(.*?)```"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory that holds a finished sweep: what it says is made up."""
    monkeypatch.chdir(tmp_path)
    wishes = {"environment": "bandit", "objective": "relaxed,practical", "grid": {"weight": "0.1,0.3"}}
    grid = make_grid({**wishes, "seeds": 2, "steps": 2})
    utility = np.random.default_rng(0).uniform(size=(4, 2, 3))
    lanes = LaneResults({"true_utility": utility}, np.ones((4, 2, 3), bool), np.ones((4, 2)))
    (tmp_path / "my_sweep").mkdir()
    write_json(tmp_path / "my_sweep" / "config.json", grid.as_dict())
    save(to_dataset(grid, lanes), tmp_path / "my_sweep" / "metrics.npz")
    return tmp_path


def run_page(page, namespace, capsys):
    """Run the Python of a page, and compare what it prints with what the page says."""
    for block in BLOCKS[page]:
        exec(block, namespace)
    assert capsys.readouterr().out == "".join(re.findall(CLAIMED, PAGES[page], re.S))


def run_notebook(stem, sizes, namespace, but=(), tags=("parameters",)):
    """Run the code of a notebook at other sizes, without the cells that end with a block in `but`.

    Of the cells that have tags, those with other ones are left out.
    """
    cells = [cell for cell in notebook_cells(stem) if cell["cell_type"] == "code"]
    cells = [cell for cell in cells if set(cell["metadata"].get("tags", ())) <= set(tags)]
    parameters = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    assert len(parameters) == 1
    assert cells[-1]["outputs"], "stored without what it shows: make notebooks"
    for cell in cells:
        source = "".join(cell["source"])
        if not any(source.endswith(block.strip()) for block in but):
            lines = source.splitlines()
            exec("\n".join(line for line in lines if not line.startswith("%")), namespace)
        if cell in parameters:
            assigned = {line.split(" = ")[0] for line in source.splitlines()}
            assert assigned == set(sizes)
            namespace |= sizes


def notebook_cells(stem):
    return json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]


# Pages and notebooks that are run by one test run the same programs, which are compiled once.


def test_readme_and_the_notebooks_on_the_bandit(folder, capsys):
    namespace = {}
    run_page("README.md", namespace, capsys)
    assert namespace["state"].theta.shape == (8, 24)  # [seed, arm]
    run_page("docs/start/tutorial.md", {}, capsys)
    sizes = {"SEEDS": 8, "STEPS": 500}
    run_notebook("1_alignment_collapse", sizes, {})
    run_notebook("2_gradient_decomposition", sizes | COMPARED, {})


@pytest.mark.slow
def test_all_of_the_notebook_on_the_decomposition():
    sizes = {"SEEDS": 8, "STEPS": 500} | COMPARED
    run_notebook("2_gradient_decomposition", sizes, {}, tags=("parameters", "slow"))


@pytest.mark.slow
def test_a_gradient_of_the_readers_own(capsys):
    namespace = {}
    run_page("docs/howto/test_a_gradient.md", namespace, capsys)
    theta, _ = Corridor().draw(jax.random.key(0)).init(jax.random.key(0))
    assert namespace["standard"].shape == namespace["steered"].shape == theta.shape


def test_sweeps_and_their_notebook(folder, capsys):
    run_page("docs/howto/sweep.md", {}, capsys)
    run_notebook("3_sweeps_and_phase_diagrams", {"SEEDS": 2, "SIDE": 2, "STEPS": 6}, {})


def test_statistics(capsys):
    run_page("docs/explanation/statistics.md", {}, capsys)


@pytest.mark.slow
def test_equilibria(capsys):
    run_page("docs/explanation/equilibria.md", {}, capsys)


@pytest.mark.slow
def test_your_own_and_its_notebook(capsys):
    namespace = {}
    for page in STUDY:
        run_page(page, namespace, capsys)
    blocks = [block for page in STUDY for block in BLOCKS[page]]
    run_notebook("4_bring_your_own", {"STEPS": 500, "SIDE": 2}, namespace, but=blocks)


def test_every_page_and_notebook_is_run():
    """By one of the tests above."""
    assert {page for page in BLOCKS if BLOCKS[page]} == {
        "README.md",
        "docs/explanation/equilibria.md",
        "docs/explanation/statistics.md",
        "docs/howto/sweep.md",
        "docs/howto/test_a_gradient.md",
        "docs/start/tutorial.md",
        *STUDY,
    }
    assert [path.stem[0] for path in sorted(ROOT.glob("notebooks/*.ipynb"))] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("stem", [path.stem for path in ROOT.glob("notebooks/*.ipynb")])
@pytest.mark.parametrize("there", [True, False])
def test_a_notebook_begins_by_installing_what_is_missing(stem, there, monkeypatch):
    calls = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if there else None)
    monkeypatch.setattr("subprocess.run", lambda command, check: calls.append((command, check)))
    first = next(cell for cell in notebook_cells(stem) if cell["cell_type"] == "code")
    exec("".join(first["source"]), {})
    install = [sys.executable, "-m", "pip", "install", "--quiet", ".."]  # the clone, seen from notebooks/
    assert calls == ([] if there else [(install, True)])


def test_the_classes_of_notebook_4_are_those_of_the_documentation():
    sources = ["".join(cell["source"]) for cell in notebook_cells("4_bring_your_own")]
    blocks = [block for page in STUDY for block in BLOCKS[page]]
    classes = [block for block in blocks if re.search("class (Length|Sluggish|Cautious)", block)]
    assert len(classes) == 3
    for block in classes:
        assert any(source.endswith(block.strip()) for source in sources), block


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_what_exists(page):
    from fpo_jax.envs import ENVIRONMENTS
    from fpo_jax.experiments.cli.claims import discover
    from fpo_jax.experiments.cli.main import COMMANDS

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
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
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
