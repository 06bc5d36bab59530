"""The folder of parts: where it is, and what is said when work is interrupted."""

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.parts import continued, folder_of, make_folder


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
