"""Parts: where they are, what is said when work is interrupted, and the time that they took."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.parts import continued, folder_of, make_folder, part, time_taken


def test_the_folder_is_the_given_one_or_lies_beside_the_results(tmp_path):
    out, given = tmp_path / "out", tmp_path / "kept"
    assert folder_of(out, given) == given
    assert folder_of(out, None) == tmp_path / "out.parts"
    assert folder_of(None, given) == given
    assert folder_of(None, None) is None
    for inside in (out, out / "kept", out / ".." / "out"):
        with pytest.raises(InputError, match="must be a folder that is not in"):
            folder_of(out, inside)


def test_an_interruption_says_where_finished_parts_are(tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"^$"), continued(tmp_path):
        raise KeyboardInterrupt  # nothing is kept yet
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "first.npz").touch()
    said = rf"^finished parts are kept in {tmp_path}; the same command continues$"
    with pytest.raises(KeyboardInterrupt, match=said), continued(tmp_path):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt, match=r"^$"), continued(None):
        raise KeyboardInterrupt


def test_a_folder_is_tried_and_left_empty(tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert [*(tmp_path / "a" / "b").iterdir()] == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"parts = .*file: must be a folder that can be written"):
        make_folder(tmp_path / "file")


def busy(seconds):
    """Use this much CPU time of a thread."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return {"x": np.zeros(1)}


def test_a_part_remembers_the_time_that_it_took(tmp_path):
    path, asked = tmp_path / "one.npz", {"environment": "bandit"}
    first = part(path, asked, lambda: busy(0.2), "fpo-jax reproduce", "float32")
    assert 0.15 < first.seconds < 5  # the clock of `os.times` ticks every 0.01 s
    again = part(path, asked, lambda: 1 / 0, "fpo-jax reproduce", "float32")
    assert again.seconds == first.seconds
    resumed = part(
        tmp_path / "two.npz", asked, lambda: busy(0.0), "fpo-jax reproduce", "float32", timed=False
    )
    assert math.isnan(resumed.seconds)


def test_the_time_of_a_process_that_a_part_starts_is_its_own(tmp_path):
    """A run of a language model is such a process."""
    code = "import time\nwhile time.process_time() < 0.3: pass"

    def compute():
        subprocess.run([sys.executable, "-c", code], check=True)
        return {"x": np.zeros(1)}

    assert part(tmp_path / "one.npz", {}, compute, "fpo-jax reproduce", "float32").seconds > 0.25


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([], ""),
        ([math.nan], ""),
        ([20.0, 130.4], "Computing the numbers took 150 s of CPU time."),
        ([3000.0, 600.0], "Computing the numbers took 60 min of CPU time."),
        ([3600.0, 7200.0], "Computing the numbers took 3.0 h of CPU time."),
        (
            [90.0, math.nan, 540.0],
            "Computing 2 of the 3 parts took 10 min of CPU time. That of the others is not known.",
        ),
    ],
)
def test_the_time_is_told_as_far_as_it_is_known(seconds, said):
    assert time_taken(seconds) == said
