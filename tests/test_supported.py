"""A Python or a JAX that cannot be used is named at once, with the reason."""

import importlib.metadata
import shutil
import subprocess
import sys

import pytest

from fpo_jax import supported
from tests.helpers import ROOT, call


def test_what_is_at_hand_may_be_used():
    supported.check()


def test_an_older_python_is_named():
    assert supported.python_refused((3, 10)) == "Python = 3.10: must be 3.11 or newer"
    assert supported.python_refused((3, 9)) is not None  # not compared as text
    assert supported.python_refused((3, 14)) is None


def test_the_release_of_jax_that_can_wait_forever_is_named():
    assert supported.jax_refused("0.10.2").startswith("jax = 0.10.2: must not be 0.10, since on the CPU")
    for version in ("0.9.2", "0.11.2", "0.12.0.1", "0.1.0"):
        assert supported.jax_refused(version) is None


def test_the_command_line_says_so_in_one_line(monkeypatch, capsys):
    found = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.10.2" if name == "jax" else found(name)
    )
    for module in [name for name in sys.modules if name.split(".")[0] == "fpo_jax"]:
        monkeypatch.delitem(sys.modules, module)
    status, out, err = call(capsys, "run", "linear")
    assert (status, out) == (2, "")
    assert err.startswith("fpo-jax: error: jax = 0.10.2: must not be 0.10")
    assert err.count("\n") == 1


@pytest.mark.parametrize("flags", ["--xla_no_such_flag=1", "--xla_backend_optimization_level=abc", "no_flag"])
def test_flags_of_the_users_own_that_xla_does_not_take_are_named(monkeypatch, capsys, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    status, out, err = call(capsys, "run", "linear")
    assert (status, out) == (2, "")
    assert err.startswith(f"fpo-jax: error: XLA_FLAGS = {flags}: must be flags that XLA accepts (")
    assert err.count("\n") == 1


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
