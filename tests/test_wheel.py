"""An installed copy: it is whole, occupies one name, and runs beside the `envs` and `experiments` of others.

Nothing is downloaded: wheels are built with the setuptools that is here, and an environment of their own sees
the packages that are installed here.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("fpo_jax", "envs", "experiments")
SETUPTOOLS = int(importlib.metadata.version("setuptools").split(".")[0])
FOREIGN = 'raise ImportError("this package is not the one of fpo_jax")\n'
BUILD = "import sys, setuptools.build_meta as backend; getattr(backend, sys.argv[1])(sys.argv[2])"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SETUPTOOLS < 77, reason="setuptools 77 or newer builds the wheel"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git says which files belong to the project"),
]


def tracked():
    """Return the files of the working tree that git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, encoding="utf-8")
    return [name for name in listed.stdout.splitlines() if os.path.lexists(ROOT / name)]


def build(source, kind, out):
    """Build an sdist or a wheel of a folder, and return the file."""
    out.mkdir()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, f"build_{kind}", str(out)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist of a copy of the tree."""
    copy = tmp_path_factory.mktemp("copy")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (copy / name).symlink_to(os.readlink(ROOT / name))
        else:
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return build(copy, "sdist", copy / "built")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel of the unpacked sdist, as pip makes it."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build(source, "wheel", folder / "built")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The commands of an environment with the wheel and somebody's package `envs` in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = (folder / "lib").glob("python3.*/site-packages")
    (packages / "others.pth").write_text(
        "\n".join(p for p in sys.path if p.endswith("site-packages")), "utf-8"
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", str(wheel)], check=True)
    foreign(packages / "envs")
    return folder / "bin"


def foreign(folder):
    folder.mkdir()
    (folder / "__init__.py").write_text(FOREIGN, encoding="utf-8")


@pytest.fixture(scope="module")
def call(installed, tmp_path_factory):
    """Run a command in a folder that has packages of the old names, and return what it prints."""
    here = tmp_path_factory.mktemp("project")
    foreign(here / "envs")
    foreign(here / "experiments")

    def run(*words, program=("fpo-jax",)):
        own = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        command = [str(installed / program[0]), *program[1:], *words]
        done = subprocess.run(command, cwd=here, env=own, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_sdist_and_wheel_hold_every_file(sdist, wheel):
    ours = {name for name in tracked() if name.split("/")[0] in OURS and not (ROOT / name).is_symlink()}
    wanted = {name if name.startswith("fpo_jax/") else f"fpo_jax/{name}" for name in ours}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted  # so that it occupies one name, too
    with tarfile.open(sdist) as archive:
        assert {name.partition("/")[2] for name in archive.getnames()} >= wanted


TINY = ("--seeds", "1", "--steps", "2")
COMMANDS = [
    ("--version",),
    ("--help",),
    ("list",),
    ("run", "linear", *TINY, "--out", "my_run"),
    ("run", "--config", "my_run/config.json", "--json"),
    ("sweep", "linear", "--objective", "relaxed", "--grid", "weight=0,1", *TINY, "--out", "my_sweep"),
    ("decompose", "linear", *TINY, "--only", "practical"),
    ("parity", "--help"),
    ("reproduce", "--quick", "--only", "linear"),
    ("judge", "--counts", "188:144"),
    ("bench", "--help"),
    ("llm", "--help"),
    ("answer", "--help"),
    ("fetch", "--help"),
    ("completion", "bash"),
    ("new-env", "my_env"),
    ("run", "--env", "my_env.py", *TINY),
]


def test_every_command_runs_beside_packages_of_the_same_names(call):
    for words in COMMANDS:
        assert call(*words) or words[0] in ("parity", "reproduce", "new-env"), words
    report = json.loads(call("run", "linear", *TINY, "--json", program=("python", "-m", "fpo_jax")))
    assert report["environment"] == "linear"


def test_one_name_is_occupied_and_others_keep_theirs(call):
    asked = "import importlib.metadata as m; print({f.parts[0] for f in m.files('fpo-jax')} - {'..'})"
    top = call("-c", asked, program=("python",))
    assert "'fpo_jax'" in top
    assert "'envs'" not in top
    assert "'experiments'" not in top
    ours = "from fpo_jax.envs.bandit import Bandit; from fpo_jax.experiments.linear import EXPERIMENT"
    tried = f"import fpo_jax\n{ours}\ntry: import envs\nexcept ImportError as error: print(error)"
    assert call("-c", tried, program=("python",)).strip() == "this package is not the one of fpo_jax"
