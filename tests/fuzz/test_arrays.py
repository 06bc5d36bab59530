"""Archives of arrays of others: recordings, results of sweeps, and what is kept of unfinished work."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from fpo_jax.engine.segments import segment_lengths
from fpo_jax.engine.sweep import Chunk
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.parity.recording import Recording
from fpo_jax.experiments.runs import states
from fpo_jax.experiments.runs.unfinished import UnfinishedRun
from fpo_jax.experiments.sweeps.files import load_sweep
from fpo_jax.experiments.sweeps.unfinished import UnfinishedSweep
from tests.fuzz.inputs import DEEP, FUZZED, JSON, TEXT, as_json, damaged, is_one_line

pytestmark = pytest.mark.slow
DTYPES = st.one_of(arrays_of.scalar_dtypes(), arrays_of.unicode_string_dtypes(), st.just(np.dtype(bool)))
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAY = arrays_of.arrays(DTYPES, SHAPES, fill=st.nothing())


def packed(arrays):
    """The bytes of an archive of arrays."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"
CLAIMS = st.builds(
    HEADER.format,
    st.sampled_from(["<f8", "|O", "<U4", "<i8", "|V3"]),
    st.sampled_from(["()", "(3,)", "(-1,)", "(10**9,)", "(1000000000000,)", "(4294967296, 4294967296)", "3"]),
).map(str.encode)
MEMBERS = st.lists(
    st.sampled_from(["finite.npy", "done.npy", "a.npy", "../a.npy", "a"]), max_size=2, unique=True
)


@st.composite
def lying(draw):
    """An archive whose arrays have headers of any kind."""
    header = draw(st.binary(max_size=40) | CLAIMS)
    version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"]))
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in draw(MEMBERS):
            archive.writestr(name, b"\x93NUMPY" + version + size + header + draw(st.binary(max_size=24)))
    return file.getvalue()


def archives(names, likely=()):
    """Archives of arrays of these names, likely ones among them; and others."""
    values = st.one_of(ARRAY, *likely)
    whole = st.dictionaries(names, values, max_size=4).map(packed)
    return st.one_of(whole, whole, damaged(whole), lying(), st.binary(), DEEP)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@FUZZED
@given(archives(st.sampled_from(["a", "b", "c/d"])))
def test_any_archive(folder, content):
    (folder / "any.npz").write_bytes(content)
    try:
        found = read_npz(folder / "any.npz")
    except Damaged as error:
        assert "\n" not in str(error)
        return
    assert sum(values.nbytes for values in found.values()) <= len(content)
    assert not any(values.dtype.hasobject for values in found.values())


ENVIRONMENT = {"environment": st.sampled_from(["linear", "neural"]) | JSON}
DESCRIBED = st.one_of(
    st.fixed_dictionaries(ENVIRONMENT, optional={"x": JSON}).map(as_json), JSON.map(as_json), DEEP
).map(lambda text: np.array(text.decode(errors="replace").replace("\0", "")))


@FUZZED
@given(archives(st.sampled_from(["hyperparameters", "phi_0", "noise"]), [DESCRIBED]))
def test_any_recording(folder, content):
    path = folder / "recording.npz"
    path.write_bytes(content)
    try:
        recording = Recording(path)
        recording.array("phi_0", (3,))
        recording.take("x", float)
        recording.require_all_read()
    except InputError as error:
        assert is_one_line(error)


ROWS = st.sampled_from([np.zeros((2, 3)), np.ones((2, 3), bool), np.zeros(2), np.zeros((2, 4), np.float32)])
AXES = st.sampled_from([np.array(["objective", "seed", "step"]), np.array(["seed"]), np.array("cell")])
NAMES = st.sampled_from(["axes", "objective", "seed", "step", "cell", "true_utility", "own", "optimum"])


@FUZZED
@given(archives(NAMES | TEXT.filter(lambda name: "\0" not in name and name.isprintable()), [ROWS, AXES]))
def test_any_result_of_a_sweep(folder, content):
    (folder / "metrics.npz").write_bytes(content)
    try:
        load_sweep(folder)
    except InputError as error:
        assert is_one_line(error)


@FUZZED
@given(archives(st.sampled_from(["finite", "optimum", "metrics/a", "metrics/b"]), [ROWS]))
def test_any_chunk_of_an_unfinished_sweep(folder, content):
    work, chunk = UnfinishedSweep(folder / "sweep"), Chunk(0, 4, 6)
    work.folder.mkdir(exist_ok=True)
    (work.folder / "done-0-4-6.npz").write_bytes(content)
    try:
        lanes = work.read(chunk)
    except Damaged as error:
        assert "\n" not in str(error)
        return
    assert {len(values) for values in (*lanes.metrics.values(), lanes.finite, lanes.optimum)} == {2}


STEPS = 40
FIRST = segment_lengths(STEPS)[0] + 1
PIECES = st.sampled_from(
    [
        np.array([FIRST, STEPS + 1]),
        np.array([FIRST - 1, STEPS + 1]),
        np.zeros((2, FIRST)),
        np.ones((2, FIRST), bool),
        np.zeros((2, 4)),
        np.zeros((2, 3)),
    ]
)
PARTS = ["done", "finite", "metrics/true_utility", "state/theta", "state/phi", "states/theta", "states/phi"]


@FUZZED
@given(archives(st.sampled_from(PARTS), [PIECES]))
def test_any_piece_of_an_unfinished_run(run, content):
    (run.folder / f"done-0-{FIRST}.npz").write_bytes(content)
    partway = run.partway()
    if partway is not None:
        assert (partway.done, partway.entries) == (FIRST, STEPS + 1)
        assert partway.trace.finite.shape == (2, FIRST)


@pytest.fixture(scope="module")
def run(folder):
    """An unfinished run of two seeds; its states' shapes are told once."""
    settings = resolve({"environment": "linear", "steps": STEPS, "seeds": 2, "dimension": 4})
    work, like = UnfinishedRun(folder / "run", settings, False), states.initial_shape(settings)
    work.folder.mkdir()
    (work.folder / "config.json").write_text("{}", encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.setattr(states, "initial_shape", lambda _: like)
    yield work
    patch.undo()
