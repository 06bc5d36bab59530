"""A sweep, and a sweep that was interrupted."""

import pytest

from fpo_jax.engine.sweep import Sweep
from tests.helpers import SWEEP, call


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A sweep that nothing interrupted."""
    from fpo_jax.experiments.cli.main import main

    out = tmp_path_factory.mktemp("sweep") / "whole"
    assert main([*SWEEP, "--out", str(out)]) == 0
    return out


class Interrupted:
    """Stands in for `Sweep.compute`, and breaks off at a given chunk."""

    def __init__(self, at, error=KeyboardInterrupt):
        self.left, self.error, self.compute = at, error, Sweep.compute

    def __call__(self, sweep, chunk):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return self.compute(sweep, chunk)


@pytest.fixture
def unfinished(monkeypatch, capsys, tmp_path):
    """A sweep that was interrupted in its fourth chunk."""
    out = tmp_path / "cut"
    with monkeypatch.context() as patch:
        interrupted = Interrupted(3)
        patch.setattr(Sweep, "compute", lambda sweep, chunk: interrupted(sweep, chunk))
        status, _, err = call(capsys, *SWEEP, "--out", out)
    assert status == 130
    assert f"fpo-jax sweep --resume --out {out}" in err
    assert not out.exists()
    assert len(list(tmp_path.glob("cut.partial/*.npz"))) == 3
    return out
