"""Archives of arrays of others: no pickle, nothing larger than it says, one line of complaint."""

import io
import os
import zipfile

import numpy as np
import pytest

from fpo_jax.experiments.core import npz_files
from fpo_jax.experiments.core.npz_files import Damaged, read_npz


def header(shape, descr="'<f8'"):
    """The beginning of an array file that claims this shape."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.npz"


def test_arrays_are_read(path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros(0)}
    np.savez_compressed(path, **arrays)
    for name, values in read_npz(path).items():
        np.testing.assert_array_equal(values, arrays[name])


def test_pickles_are_not(path):
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(Damaged, match=r"a\.npy claims more than it holds"):
        read_npz(path)
    single = io.BytesIO()
    np.save(single, np.arange(3))
    path.write_bytes(single.getvalue())  # one array, and no archive
    with pytest.raises(Damaged, match="not a zip file"):
        read_npz(path)


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(4294967296, 4294967296)", "(-1,)", "(3,)"])
def test_an_array_that_claims_more_than_there_is_is_not_allocated(shape, path):
    archive(path, a=header(shape) + b"\0" * 16)
    with pytest.raises(Damaged):
        read_npz(path)


def test_an_archive_that_grows_beyond_memory_is_not_unpacked(path, monkeypatch):
    archive(path, a=header("(1000000,)") + b"\0" * 8_000_000)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(npz_files, "host_bytes", lambda: 3 * 7_900_000.0)
    with pytest.raises(Damaged, match=r"it holds 0\.008 GB, and 0\.0079 GB can be used"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"PK\x05\x06" + b"\0" * 18, None])
def test_what_is_no_archive_is_said_to_be_none(content, path):
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    if content is not None and content.startswith(b"PK\x05"):
        assert read_npz(path) == {}  # an archive of nothing
        return
    with pytest.raises(Damaged) as error:
        read_npz(path)
    assert "\n" not in str(error.value)


def test_items_without_size_are_not_counted_by_the_million(path):
    archive(path, a=header("(300000000,)", "'<U0'"))
    with pytest.raises(Damaged, match=r"a\.npy claims more than it holds"):
        read_npz(path)


def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    with pytest.raises(Damaged, match="it is no plain file"):
        read_npz(path)
