"""Every terminal, every locale, every disk: what cannot be shown is spelled, what is lost is said."""

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import jax
import numpy as np
import pytest

from fpo_jax.engine import kept_programs
from fpo_jax.experiments.cli.streams import Unwritten, forgiving, spell
from fpo_jax.experiments.core.devices import keep_compiled
from fpo_jax.internals import setting
from tests.helpers import ROOT, call

SHORT = ["linear", "--steps", "3", "--seeds", "2", "--dimension", "4"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CP1252 = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
needs_shell = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def variables(**changes):
    """Return the variables of a process as a user starts it, with changes; one that is None is not there."""
    as_users = {"PYTHONPATH": str(ROOT), "PYTHONWARNDEFAULTENCODING": None, "TF_CPP_MIN_LOG_LEVEL": None}
    return {name: value for name, value in (os.environ | as_users | changes).items() if value is not None}


def started(command, redirections="", **changes):
    """Run a command in a process of its own; return its exit status, standard output and error as bytes."""
    words = f'"{sys.executable}" -m fpo_jax "$@" {redirections}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", words, "fpo-jax", *map(str, command)],
        env=variables(**changes),
        capture_output=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_what_a_terminal_does_not_have_is_spelled():
    def spelled(text):
        return "".join(map(spell, text))

    assert spelled("θ − λ∇J ≤ ½·α²") == "theta - lambdagradJ <= 1/2*alpha^2"
    assert spelled("φ⁺ → φ₀, ‖ḡ‖ = r̃") == "phi+ -> phi0, ||g|| = r"
    assert spelled("3 iterations … Σ Δ 2 µs é\u00a0日") == "3 iterations ... Sigma Delta 2 us e ?"
    only_drawn_or_in_comments = {*"│╭╮╰╯─★○⌊⌋"}
    sources = [path for name in ("fpo_jax", "envs", "experiments") for path in (ROOT / name).rglob("*.py")]
    used = {character for path in sources for character in path.read_text(encoding="utf-8")}
    assert not {c for c in used - only_drawn_or_in_comments if "?" in spell(c) and c != "?"}


@pytest.mark.parametrize(
    ("environment", "listed", "usage", "given"),
    [
        # an argument that is no text in the locale comes back byte by byte
        (ASCII, b"coefficient beta of KL(pi || pi_ref)", b"methods x hyper", "--θ=ö".encode()),
        (CP1252, "N(0, topic_scale²)".encode("cp1252"), "methods × hyper".encode("cp1252"), b"--theta=\xf6"),
    ],
    ids=["ascii", "cp1252"],
)
@needs_shell
def test_commands_speak_in_every_locale(environment, listed, usage, given):
    status, out, err = started(["list", "contextual"], **environment)
    assert (status, listed in out, err) == (0, True, b"")
    status, out, err = started(["--help"], **environment)
    assert (status, usage in out, err) == (0, True, b"")
    complaint = b"fpo-jax: error: Unrecognized options: " + given + b"; as in `fpo-jax list --help`\n"
    assert started(["list", "--θ=ö"], **environment) == (2, b"", complaint)


@FULL
@needs_shell
@pytest.mark.parametrize("command", [["list"], ["list", "--help"]], ids=" ".join)
def test_a_full_disk_and_a_closed_pipe_end_in_one_line_or_none(command):
    full = b"fpo-jax: error: standard output: No space left on device\n"
    assert started(command, "> /dev/full") == (1, b"", full)
    assert started(command, "> /dev/full 2> /dev/full") == (1, b"", b"")
    assert started(command, "0>&- 2>&- > /dev/full") == (1, b"", b"")
    assert started(command, "| true") == (1, b"", b"")
    assert started(command, ">&-") == (0, b"", b"")


@FULL
def test_what_was_written_stays_and_what_cannot_be_said_is_left_unsaid(monkeypatch, tmp_path, capsys):
    def full():
        return stack.enter_context(open("/dev/full", "w", encoding="utf-8"))

    with contextlib.ExitStack() as stack:
        monkeypatch.setattr("sys.stderr", full())
        assert call(capsys, "new-env", "mine", "--out", tmp_path / "a")[0] == 0
        assert call(capsys, "lost")[0] == 2
        monkeypatch.setattr("sys.stdout", full())
        assert call(capsys, "new-env", "mine", "--out", tmp_path / "b")[0] == 1
        monkeypatch.setattr("sys.stdout", full())
        with pytest.raises(Unwritten, match="No space left"), forgiving():
            print("x" * 100_000)  # more than is held back
    assert (tmp_path / "a" / "mine.py").read_bytes() == (tmp_path / "b" / "mine.py").read_bytes()


def test_a_complaint_is_one_line_on_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    status, _, err = call(capsys, "list", "--nope")
    assert (status, err) == (2, "fpo-jax: error: Unrecognized options: --nope; as in `fpo-jax list --help`\n")


def test_without_a_cache_folder_nothing_is_kept(monkeypatch, tmp_path):
    def nobody(user):
        raise KeyError(user)

    (tmp_path / "file").write_text("in the place of a folder", encoding="utf-8")
    before = kept_programs._folder, setting("jax_compilation_cache_dir")
    jax.config.update("jax_enable_compilation_cache", True)
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        keep_compiled()
        monkeypatch.chdir(tmp_path)
        for variable in ("XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setattr("pwd.getpwuid", nobody)
        keep_compiled()
    finally:
        jax.config.update("jax_enable_compilation_cache", False)
    assert (kept_programs._folder, setting("jax_compilation_cache_dir")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # and no folder with the name of ~


# The rest starts processes that compile; `make test-slow` runs it, and .ci/run.


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Variables of processes that keep their programs in a folder of these tests."""
    cache = tmp_path_factory.mktemp("cache")
    return {"XDG_CACHE_HOME": str(cache), "JAX_ENABLE_COMPILATION_CACHE": "true", "JAX_NUM_CPU_DEVICES": None}


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["run", *SHORT],
        ["decompose", *SHORT, "--only", "relaxed"],
        ["sweep", "linear", "--steps", "3", "--seeds", "2", "--grid", "dimension=4"],
        ["reproduce", "--only", "linear", "--seeds", "2"],
    ],
    ids=lambda command: command[0],
)
def test_results_are_written_in_an_ascii_locale(command, tmp_path, kept):
    out = tmp_path / "out"
    status, said, err = started([*command, "--out", out], **kept, **ASCII)
    assert status == 0, err.decode()
    assert (said + err).isascii()
    assert not (out / "report.html").read_text(encoding="utf-8").isascii()
    assert {path.suffix for path in out.rglob("*.*")} >= {".html", ".json", ".npz", ".pdf", ".png"}


@FULL
@pytest.mark.slow
def test_results_stay_where_standard_output_is_full(tmp_path, kept):
    command = ["run", *SHORT, "--json", "--out", tmp_path / "run"]
    for _ in range(2):
        status, out, err = started(command, "> /dev/full", **kept)
        assert (status, out) == (1, b"")
        assert b"cpu_aot" not in err  # XLA, on programs that the second process reads
    assert err.splitlines()[-2:] == [
        f"written to {tmp_path / 'run'}".encode(),
        b"fpo-jax: error: standard output: No space left on device",
    ]
    assert started(command, "2> /dev/full | true", **kept) == (1, b"", b"")
    status, out, err = started(command, "2>&-", **kept)
    assert (status, err) == (0, b"")
    assert json.loads(out) == json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_commands_work_without_a_home_or_a_cache(tmp_path):
    command = ["run", *SHORT, "--seeds", "16", "--out", tmp_path / "run"]
    nowhere = {"XDG_CACHE_HOME": "/dev/null/cache", "JAX_ENABLE_COMPILATION_CACHE": "true"}
    for home in (None, "/dev/null/home"):
        status, _, err = started(command, HOME=home, **nowhere)
        assert status == 0
        lines = [
            line for line in err.decode().splitlines() if not line.endswith("…")
        ]  # which say how far it is
        said = [line for line in lines if "Matplotlib created a temporary" not in line]
        assert len(said) == 2  # the command, where the results are
        assert len(lines) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        (["run", *SHORT], lambda report: [report["true_utility_final"], report["steering_norm_final"]]),
        (
            [
                "sweep",
                "linear",
                "--steps",
                "3",
                "--seeds",
                "2",
                "--grid",
                "dimension=4",
                "--precision",
                "float64",
            ],
            lambda report: [cell["true_utility_final"] for cell in report["cells"]],
        ),
        (
            ["decompose", *SHORT, "--only", "relaxed"],
            lambda report: [route["relative_error"] for route in report["routes"]],
        ),
    ],
    ids=["run", "sweep", "decompose"],
)
def test_commands_compute_the_same_without_the_compiler(command, numbers, kept):
    found = {}
    for disabled in ("0", "1"):
        status, out, err = started([*command, "--json"], JAX_DISABLE_JIT=disabled, **kept)
        assert status == 0, err.decode()
        found[disabled] = numbers(json.loads(out))
    np.testing.assert_allclose(found["1"], found["0"], rtol=1e-9)


@pytest.mark.slow
def test_where_nan_is_looked_for_an_undefined_metric_is_named(kept):
    assert started(["run", *SHORT, "--record", "outcome"], JAX_DEBUG_NANS="1", **kept)[0] == 0
    status, _, err = started(["run", *SHORT], JAX_DEBUG_NANS="1", **kept)
    assert status == 1
    assert b"FloatingPointError" in err
    assert b"--record outcome has none" in err


@pytest.mark.slow
def test_a_sweep_fits_a_terminal_of_forty_columns(kept):
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    sweep = ["sweep", "linear", "--steps", "3", "--seeds", "16", "--grid", "dimension=4"]
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    words = [sys.executable, "-m", "fpo_jax", *sweep]
    with subprocess.Popen(words, env=variables(COLUMNS=None, **kept, **ASCII), **ends) as process:
        os.close(theirs)
        said = b""
        try:
            while some := os.read(terminal, 65536):
                said += some
        except OSError:  # as a terminal ends
            os.close(terminal)
    assert process.returncode == 0
    lines = said.decode("ascii").replace("\r", "\n").split("\n")
    assert [line for line in lines if "100%|#" in line]
    assert max(len(line) for line in lines if not line.startswith("fpo-jax sweep")) <= 40
