"""Memory is estimated before anything is allocated, and limits of any kind are seen."""

import os
import subprocess
import sys
import textwrap

import jax
import numpy as np
import psutil
import pytest

from fpo_jax import Leader, Myopic, Relaxed, run_seeds
from fpo_jax.engine import memory, runs
from fpo_jax.engine.initial import keys_of, seed_keys
from fpo_jax.engine.memory import Asked, Need, host_bytes
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.unfinished import room
from fpo_jax.followers import BestResponse, Gradient
from fpo_jax.record import outcome

LINEAR = Linear(), Leader(objective=Relaxed(weight=0.1), policy_lr=0.02), Gradient(rm_lr=0.005)
BANDIT = Bandit(), Leader(objective=Myopic(), policy_lr=1.0), BestResponse(alpha=0.3, ridge=0.1)

HOW = {"devices": jax.local_devices(), "record": outcome, "keep_states": False}


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_DOT_", ".")).write_text(f"{content}\n", encoding="utf-8")


@pytest.fixture
def own(tmp_path):
    def write(lines):
        (tmp_path / "cgroup").write_text(lines, encoding="utf-8")
        return tmp_path / "cgroup"

    return write


def test_the_least_of_all_groups_above_counts_in_version_2(tmp_path, own):
    root = tmp_path / "fs"
    group(root / "a" / "b", memory_DOT_max="max", memory_DOT_current=5)
    group(
        root / "a", memory_DOT_max=1000, memory_DOT_current=900, memory_DOT_stat="anon 1\ninactive_file 300"
    )
    group(root, memory_DOT_max=5000, memory_DOT_current=1000)
    assert host_bytes(root, own("0::/a/b\n")) == 1000 - (900 - 300)  # files in the cache give way
    assert host_bytes(root, own("0::/elsewhere/on/the/host\n")) == 4000  # as within a container


def test_version_1_and_both_versions_side_by_side(tmp_path, own):
    root = tmp_path / "fs"
    group(root / "memory" / "me", memory_DOT_limit_in_bytes=2000, memory_DOT_usage_in_bytes=500)
    group(root / "memory", memory_DOT_limit_in_bytes=2**63 - 4096, memory_DOT_usage_in_bytes=500)
    group(root / "unified" / "me", memory_DOT_max=1800, memory_DOT_current=400)
    assert host_bytes(root, own("4:memory:/me\n3:cpu:/other\n")) == 1500
    assert host_bytes(root, own("4:memory:/me\n0::/me\n")) == 1400


def test_files_that_are_missing_or_broken_set_no_limit(tmp_path, own):
    usual = host_bytes(tmp_path / "none", tmp_path / "none")
    assert 0 < usual <= psutil.virtual_memory().total
    root = tmp_path / "fs"
    group(root / "a", memory_DOT_max="many", memory_DOT_current=3)
    for lines in ("0::/a\n", "nonsense\n", "", "0::/../../a\n"):
        assert host_bytes(root, own(lines)) == pytest.approx(usual, rel=0.2)


def test_results_are_held_against_the_same_memory(monkeypatch):
    monkeypatch.setattr("fpo_jax.experiments.core.unfinished.host_bytes", lambda: 3e9)
    assert room(None) == {"in memory": 1e9}


ASKED = Asked("bandit", seeds=10, entries=100, every=5, watched=True, devices=1, room=1e6)


def test_what_does_not_fit_is_said_with_what_would():
    ASKED.require(Need(seed=1e3, entry=900))
    with pytest.raises(InputError) as error:
        ASKED.require(Need(seed=1e3, entry=2e3))
    said = "seeds = 10: must be at most 4: a run takes 203 kB a seed, and 1 MB can be used"
    assert str(error.value) == said
    with pytest.raises(InputError) as error:
        ASKED.require(Need(seed=1e3, entry=2e4))
    said = "steps = 500: must be at most 240 with one seed: an entry takes 20 kB, and 1 MB can be used"
    assert str(error.value) == said
    with pytest.raises(InputError, match=r"bandit = of these sizes: must be smaller: one run takes 3\.1 MB"):
        ASKED.require(Need(seed=3e6, entry=1e3))


def test_what_is_said_to_fit_fits(monkeypatch):
    monkeypatch.setattr(runs, "usable_bytes", lambda devices: 3e6)
    most = 2048
    for _ in ("by shapes", "by what XLA says"):
        with pytest.raises(InputError, match=f"seeds = {most}: must be at most ") as error:
            run_seeds(*LINEAR, seed_keys(most), steps=20)
        most = int(str(error.value).split("at most ")[1].split(":")[0])
    assert 100 < most < 2048
    final, _ = run_seeds(*LINEAR, seed_keys(most - 20), steps=20)  # a program of fewer takes a little more
    assert np.all(np.isfinite(final.theta))


@pytest.mark.parametrize(("seeds", "steps"), [(10**9, 20), (2, 2**31 - 1)])
def test_runs_without_end_are_refused_by_shapes_alone(seeds, steps):
    taken = psutil.Process().memory_info().rss
    with pytest.raises(InputError, match=r"(seeds|steps) = .*: must be at most .* can be used"):
        runs.require_memory(*BANDIT, keys_of(seeds), steps=steps, **HOW)
    assert psutil.Process().memory_info().rss - taken < 5e8


def test_steps_are_counted_in_32_bits():
    with pytest.raises(InputError, match="steps = 1000000000000: must be an integer >= 1 and <= 2147483647"):
        run_seeds(*LINEAR, seed_keys(1), steps=10**12)


def test_the_estimate_compiles_nothing_that_the_run_does_not(monkeypatch):
    """The same programs are compiled with it and without it, on one device and on two."""
    program = """
        import sys, jax
        jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
        from jax import monitoring
        compiled = []
        def hear(event, seconds, **_):
            compiled.extend([event] * event.endswith("backend_compile_duration"))
        monitoring.register_event_duration_secs_listener(hear)
        from fpo_jax.engine import runs
        from tests.engine.test_memory import LINEAR, seed_keys
        if sys.argv[2] == "without":
            runs.require_memory = lambda *_, **__: None
        keys = seed_keys(4)
        runs.run_seeds(*LINEAR, keys, steps=20)
        runs.run_seeds(*LINEAR, keys, steps=40, on_entry=lambda *_: None)
        print(len(compiled))
    """
    for devices in ("1", "2"):
        found = {
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), devices, how],
                capture_output=True,
                check=True,
                env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
            ).stdout
            for how in ("with", "without")
        }
        assert len(found) == 1, found


def test_an_estimate_sees_what_a_program_holds_between(monkeypatch):
    """Shapes alone would let it pass: all pairs of answers are compared, in no argument and no result."""
    monkeypatch.setattr(memory.Prepared, "compiled_bytes", lambda self: 10**15)
    with pytest.raises(InputError, match="bandit = of these sizes: must be smaller"):
        runs.require_memory(*BANDIT, keys_of(2), steps=10, **HOW)
