"""Programs kept between processes: found again when nothing has changed, made anew when anything has."""

import hashlib
import pickle
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.engine import kept_programs
from fpo_jax.engine.compilation import LIGHTLY, Compiled
from tests.helpers import call

TRACED = []


@partial(jax.jit, static_argnames="power")
def solved(pairs, key, *, power):
    """Return a pair of what a factorisation and a random number give, so that both are seen to be kept."""
    TRACED.append(power)
    matrix, right = pairs
    factor = jax.scipy.linalg.cho_factor(matrix)
    return jax.scipy.linalg.cho_solve(factor, right) ** power, {"noise": jax.random.normal(key, (2,))}


@partial(jax.jit, static_argnames="power")
def needs_a_module(pairs, key, *, power):
    import envs_of_mine

    return solved(pairs, key, power=power)[0] * envs_of_mine.strength


@pytest.fixture
def folder(tmp_path):
    """Keep programs in a folder of the test's own, as if in a process that has seen none yet."""
    forget(tmp_path / "kept")
    yield tmp_path / "kept"
    forget(None)


def forget(folder):
    """Forget what this process has loaded, as a new one would."""
    kept_programs.keep_in(folder)
    jax.clear_caches()
    TRACED.clear()


ARGUMENTS = (jnp.array([[4.0, 1.0], [1.0, 3.0]]), jnp.array([1.0, 2.0])), jax.random.key(3)


def test_a_kept_program_gives_the_same_bits_and_is_not_traced_again(folder):
    first, noise = kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    # [4 1; 1 3] x = [1 2]: x = [1/11, 7/11]
    np.testing.assert_allclose(first, np.array([1.0, 49.0]) / 121.0, rtol=1e-14)
    assert TRACED == [2]
    assert len(list(folder.iterdir())) == 1
    forget(folder)
    again, noise_again = kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    assert not TRACED
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(noise["noise"], noise_again["noise"])


def test_it_is_made_anew_when_anything_has_changed(folder):
    kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    kept_programs.call_kept("one", solved, *ARGUMENTS, power=3)
    kept_programs.call_kept("another", solved, *ARGUMENTS, power=2)
    kept_programs.call_kept(
        "one", solved, *jax.tree.map(lambda x: x.astype(jnp.float32), ARGUMENTS[:1]), ARGUMENTS[1], power=2
    )
    assert len(list(folder.iterdir())) == 4


def test_it_is_made_anew_when_a_module_of_the_user_has_changed(folder, monkeypatch, tmp_path):
    (tmp_path / "envs_of_mine.py").write_text(
        "strength = 1\n", encoding="utf-8"
    )  # not ours, though its name begins so
    monkeypatch.syspath_prepend(tmp_path)
    for traced in ([2], []):
        forget(folder)
        kept_programs.call_kept(
            "one", needs_a_module, *ARGUMENTS, power=2
        )  # imported only while it is traced
        assert traced == TRACED
    (tmp_path / "envs_of_mine.py").write_text("strength = 2\n", encoding="utf-8")
    forget(folder)
    kept_programs.call_kept("one", needs_a_module, *ARGUMENTS, power=2)
    assert TRACED == [2]
    del sys.modules["envs_of_mine"]


def test_what_is_not_whole_is_made_anew_and_a_folder_that_cannot_be_written_does_no_harm(folder):
    expected, _ = kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    forget(folder)
    np.testing.assert_array_equal(kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)[0], expected)
    assert abs(len(kept.read_bytes()) - len(whole)) < 0.1 * len(whole)
    kept.unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be", encoding="utf-8")
    forget(folder)
    np.testing.assert_array_equal(kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)[0], expected)


class Trap:
    """What runs a function as soon as it is unpickled."""

    def __reduce__(self):
        return spring, (1,)


SPRUNG = []


def spring(number):
    SPRUNG.append(number)


def test_what_somebody_else_has_put_there_runs_nothing(folder):
    expected, _ = kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()[32:]
    head, program = whole.split(b"\n", 1)
    trap = pickle.dumps(({}, b"", Trap()))
    pickle.loads(trap)
    assert SPRUNG.pop()  # so it would have run
    contents = {
        "a pickle": trap,
        "no JSON": b"{" * 10**5 + b"\n" + program,
        "another structure": head.replace(b"tuple", b"tuplf") + b"\n" + program,
        "no program": head + b"\n" + program[: len(program) // 2],
        "nothing": b"",
    }
    for name, content in contents.items():
        kept.write_bytes(hashlib.sha256(content).digest() + content)
        forget(folder)
        found, _ = kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
        np.testing.assert_array_equal(found, expected, err_msg=name)
        assert TRACED == [2], name
    assert not SPRUNG
    kept.chmod(0o666)  # others could have written it
    forget(folder)
    kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    assert TRACED == [2]


def test_nothing_is_kept_where_others_can_write(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    forget(shared / "kept")
    try:
        for _ in range(2):
            kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
            jax.clear_caches()
        assert TRACED == [2, 2]
        assert not [path for path in shared.rglob("*") if path.is_file()]
    finally:
        forget(None)


@pytest.fixture
def dumped(tmp_path):
    """An option that lets XLA write what it compiles, and a count of what it has written since the last."""
    place = tmp_path / "dumped"
    place.mkdir()

    def number():
        names = list(place.iterdir())
        for name in names:
            name.unlink()
        return len(names)

    return {"xla_dump_to": str(place)}, number


def test_a_kept_program_is_compiled_as_it_is_told(folder, dumped):
    option, written = dumped
    expected, _ = kept_programs.call_kept("one", solved, *ARGUMENTS, power=2)
    lightly, otherwise = (
        Compiled(solved.__wrapped__, options, static_argnames="power") for options in (LIGHTLY, option)
    )
    assert otherwise.compiler_options == option
    for _ in range(2):  # exported, then read
        for told, seen in ((lightly, False), (otherwise, True)):  # the latter is not taken for the former
            written()
            found, _ = kept_programs.call_kept("one", told, *ARGUMENTS, power=2)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
            assert (written() > 0) == seen
        forget(folder)


def test_what_xla_is_told_holds_outermost_only(dumped):
    option, written = dumped
    twice = Compiled(lambda x: x * 2.0, option)
    assert twice.compiler_options == option
    written()
    assert jax.jit(twice)(3.0) == 6.0
    assert jax.grad(twice)(3.0) == 2.0
    assert written() == 0
    assert twice(3.0) == 6.0
    assert written() > 0


def test_a_run_is_the_same_from_a_kept_program(folder, capsys):
    command = ["run", "linear", "--steps", "3", "--seeds", "2", "--dimension", "4", "--json"]
    forget(None)
    without = call(capsys, *command)
    forget(folder)
    first = call(capsys, *command)
    assert first[:2] == without[:2]
    assert len(list(folder.iterdir())) == 3  # how runs begin, what is checked of it, iterations
    forget(folder)
    assert call(capsys, *command)[:2] == first[:2]
    assert len(list(folder.iterdir())) == 3  # all of them were found again
