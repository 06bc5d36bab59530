"""The house: which room stands on which floor, and that imports only lead down.

Imports are read from the source, all of them: those within functions and under TYPE_CHECKING too.
"""

import ast
import importlib
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOOR = "fpo_jax.__main__"
"""`python -m fpo_jax`, which leads straight to the top floor."""

FLOORS = (
    # The theory. Names are below `fpo_jax`; each stands for all modules below it that have none of their own.
    ("errors", "internals", "moved", "supported"),
    ("hyperparameters",),
    ("types", "game", "data", "responses"),
    ("numerics",),
    ("feedback",),
    ("expect",),
    ("wrappers", "envs.parts"),
    ("envs",),  # beside the theory: they know what stands below them, and nothing above knows them
    ("steering",),
    ("objectives", "followers"),
    (
        "leader",
        "record",
        "run",
        "tangents",
        "field",
        "stationary",
        "stability",
        "equilibria",
        "frame",
        "path",
        "walk",
        "continuation",
    ),
    ("statistics", "plotting"),
    ("engine",),
    ("testing",),
    # The experiments.
    ("experiments.core",),
    ("experiments.report",),
    ("experiments.runs",),
    (
        "experiments.sweeps",
        "experiments.ladder",
        "experiments.parity",
        "experiments.comparison",
        "experiments.equilibria",
        "experiments.study",
    ),
    ("experiments.reproduce", "experiments.bench", "experiments.judging", "experiments.llm"),
    ("experiments",),  # the claims
    ("experiments.cli",),
)
"""From the ground up. A module imports its own floor and those below, and files never form a circle."""

ABOVE_THE_THEORY = ("fpo_jax.engine", "fpo_jax.testing", "fpo_jax.envs", "fpo_jax.experiments")
CLAIMS = {
    f"fpo_jax.experiments.{path.stem}"
    for path in (ROOT / "experiments").glob("*.py")
    if path.stem != "__init__"
}
FINDS_CLAIMS, FINDS_OTHERS = (
    "fpo_jax.experiments.cli.claims",
    {
        "fpo_jax.envs": "environments, by looking",
        "fpo_jax.experiments.judging.scorer": "a user's function",
    },
)
"""Modules that import what they name as they run, and what."""
WRITING = {
    "mkdir",
    "mkdtemp",
    "mkstemp",
    "save_file",
    "savefig",
    "savez",
    "savez_compressed",
    "to_csv",
    "write_bytes",
    "write_text",
}
"""Functions and methods that write to disk, besides `open` for writing."""


@cache
def modules():
    """Return every shipped module by its one name; the links in `fpo_jax/` are left out."""
    paths = [p for top in ("fpo_jax", "envs", "experiments") for p in (ROOT / top).rglob("*.py")]
    return {named(path): path for path in paths if not linked(path)}


def linked(path):
    return any((ROOT / part).is_symlink() for part in path.relative_to(ROOT).parents)


def named(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "fpo_jax" else ("fpo_jax", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(name):
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def imported(name):
    """Return the dotted names that a module imports, a name within a module as that of the module."""
    package = name.split(".") if modules()[name].stem == "__init__" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            whole = {f"{base}.{alias.name}" for alias in node.names}
            found |= {one if one in modules() else base for one in whole}
    return found


@cache
def graph():
    """Return the shipped modules that each shipped module imports."""
    return {name: {one for one in imported(name) if one in modules()} - {name} for name in modules()}


def reached(name):
    """Return all modules that one imports, and those that they import, and so on."""
    seen, left = set(), [name]
    while left:
        new = graph()[left.pop()] - seen
        seen |= new
        left += new
    return seen


def floor(name):
    """Return the number of a module's floor, by the longest name in `FLOORS` that it begins with."""
    if name == "fpo_jax":
        return 0
    rooms = {f"fpo_jax.{room}": number for number, rooms in enumerate(FLOORS) for room in rooms}
    parts = name.split(".")
    own = [room for i in range(2, len(parts) + 1) if (room := ".".join(parts[:i])) in rooms]
    assert own, f"{name} stands on no floor: name it in FLOORS"
    return rooms[own[-1]]


def test_files_form_no_circle():
    circles = [f"{a} and {b}" for a in graph() for b in graph()[a] if a in reached(b)]
    assert not circles, f"each imports the other, perhaps by way of others: {sorted(circles)}"


def test_imports_lead_down():
    upward = [(a, b) for a in graph() if a != DOOR for b in graph()[a] if floor(b) > floor(a)]
    assert not upward, "\n".join(f"{a} imports {b}, from a floor above" for a, b in sorted(upward))


def test_every_room_of_the_floors_is_there():
    for room in (room for rooms in FLOORS for room in rooms):
        assert f"fpo_jax.{room}" in modules(), f"FLOORS names {room}, which is no module"


def page():
    return (ROOT / "docs" / "developers" / "architecture.md").read_text(encoding="utf-8")


def test_the_page_draws_the_floors():
    drawn: dict[int, list[str]] = {}
    number = 0
    for given, rooms in re.findall(r"^([ \d]{2}) \| ([\w., ]+)\|", page(), re.M):
        number = int(given) if given.strip() else number  # a floor may take several lines
        drawn.setdefault(number, []).extend(re.findall(r"[\w.]+", rooms))
    assert [*drawn] == [*range(len(FLOORS), 0, -1)]
    assert [tuple(drawn[number]) for number in sorted(drawn)] == [*FLOORS]


def test_the_page_names_files_that_are_there():
    paths = re.findall(r"`(\w+(?:/[\w.]*)+)`", page())
    assert len(paths) > 30  # else they are not recognised
    assert [path for path in paths if not (ROOT / path).exists()] == []


def theory():
    return [name for name in modules() if not name.startswith(ABOVE_THE_THEORY) and name != DOOR]


def test_the_theory_knows_no_environment_no_experiment_and_no_engine():
    for name in theory():
        for other in imported(name):
            assert not other.startswith(ABOVE_THE_THEORY), f"{name} imports {other}"


def test_the_package_knows_no_environment_and_no_experiment():
    own = [name for name, path in modules().items() if path.is_relative_to(ROOT / "fpo_jax")]
    for name in {*own} - {DOOR}:
        for other in imported(name):
            assert not other.startswith(("fpo_jax.envs", "fpo_jax.experiments")), f"{name} imports {other}"


def test_nothing_shipped_imports_tests():
    for name in modules():
        assert not any(one.split(".")[0] == "tests" for one in imported(name)), name


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_a_file_at_the_top_of_experiments_is_a_claim(name):
    assigned = {
        target.id
        for node in tree(name).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert "EXPERIMENT" in assigned
    assert (ast.get_docstring(tree(name)) or "").startswith("Claim:")


def writes(name):
    """Say whether a module calls what writes to disk."""
    calls = [node for node in ast.walk(tree(name)) if isinstance(node, ast.Call)]
    return any(called(call) in WRITING or opens_for_writing(call) for call in calls)


def called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def opens_for_writing(call):
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    modes = [one.value for one in arguments if isinstance(one, ast.Constant)]
    return called(call) == "open" and any(mode and {*str(mode)} <= {*"wabx+t"} for mode in modes)


def test_what_writes_to_disk_imports_no_claim():
    writers = [name for name in modules() if writes(name)]
    assert len(writers) > 15  # else they are not recognised
    for name in writers:
        assert not reached(name) & {*CLAIMS, FINDS_CLAIMS}, name


def test_imports_by_name_are_known():
    by_name = {
        name
        for name in modules()
        if any(
            isinstance(node, ast.Attribute | ast.alias)
            and getattr(node, "attr", getattr(node, "name", "")) == "import_module"
            for node in ast.walk(tree(name))
        )
    }
    assert by_name == {FINDS_CLAIMS, *FINDS_OTHERS}


def exported(name):
    """Yield the names that a package has after its import, and the module that each is, if it is one."""
    stub = modules()[name].with_suffix(".pyi")
    stubbed = ast.parse(stub.read_text(encoding="utf-8")).body if stub.exists() else []
    for node in [*tree(name).body, *stubbed]:
        if isinstance(node, ast.ImportFrom):
            base = node.module or "" if not node.level else f"{name}.{node.module}" if node.module else name
            for alias in node.names:
                yield alias.asname or alias.name, f"{base}.{alias.name}"
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((one.id, "") for one in targets if isinstance(one, ast.Name))


@pytest.mark.parametrize("package", sorted(n for n, p in modules().items() if p.stem == "__init__"))
def test_no_name_of_a_package_hides_one_of_its_modules(package):
    for export, module in exported(package):
        own = f"{package}.{export}"
        assert own not in modules() or module == own, f"{own} is a module, and {package} exports another"


@pytest.mark.parametrize("name", ["envs", "envs.bandit", "experiments", "experiments.linear"])
def test_old_names_say_the_new_one(name):
    top = name.split(".")[0]
    with pytest.raises(ModuleNotFoundError, match=rf"^{top} is now fpo_jax\.{top}$"):
        importlib.import_module(name)


def test_no_module_has_two_names():
    for name in modules():
        if ".llm" not in name and name != DOOR:  # which needs its extra
            importlib.import_module(name)
    files: dict[Path, set[str]] = {}
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None)
        if file and (path := Path(file).resolve()) in modules().values() and name != "__main__":
            files.setdefault(path, set()).add(module.__name__)
    assert all(len(names) == 1 for names in files.values())
    assert {named(path) for path in files} >= {name for name in modules() if ".llm" not in name} - {DOOR}
