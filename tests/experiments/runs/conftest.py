"""A run, and a run that was interrupted."""

import pytest

from fpo_jax.experiments.runs import unfinished as unfinished_runs
from fpo_jax.experiments.runs.unfinished import UnfinishedRun
from tests.helpers import LONG_RUN


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run that nothing interrupted, with its states; and one that was interrupted after six segments."""
    from fpo_jax.experiments.cli.main import main

    folder = tmp_path_factory.mktemp("runs")
    whole, cut = folder / "whole", folder / "cut"
    assert main([*LONG_RUN, "--save-states", "--resume", "--out", str(whole)]) == 0
    watch = UnfinishedRun.watch

    def interrupted(self, partway):
        watch(self, partway)
        if partway.done == 6 * 10 + 1:  # six segments of ten iterations, and the entry before any
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfinished_runs, "KEEP_EVERY", -1e9)  # a file a segment
        patch.setattr(UnfinishedRun, "watch", interrupted)
        assert main([*LONG_RUN, "--save-states", "--out", str(cut)]) == 130
    assert {path.name for path in folder.iterdir()} == {"whole", "cut.partial"}
    pieces = {path.name for path in cut.with_name("cut.partial").glob("*.npz")}
    assert pieces == {"done-0-11.npz", *(f"done-{start}-{start + 10}.npz" for start in range(11, 61, 10))}
    return folder
