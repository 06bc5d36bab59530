"""How a command starts: what it imports, traces, compiles and keeps."""

import os
import re
import subprocess
import sys

from tests.helpers import ROOT

SLOW = (
    *("equinox", "jinja2", "lineax", "matplotlib", "optimistix", "pandas", "plotly"),
    *("scipy.ndimage", "scipy.optimize", "scipy.stats", "xarray"),
)
"""Slow to import; a run of the bandit without a folder of results needs none of them."""
SCRIPT = (
    "import sys; from fpo_jax.experiments.cli.main import main; status = main(sys.argv[1:]); "
    f"print([name for name in {SLOW} if name in sys.modules]); sys.exit(status)"
)
PROGRAM = """
from fpo_jax.experiments.core.devices import suit_compiler
suit_compiler()
import jax, jax.numpy as jnp
ones = jnp.ones((128, 50))
print(jax.jit(lambda x, y: jnp.sum(x * y, axis=1)).lower(ones, ones).compile().as_text())
"""


def test_a_run_imports_what_it_needs_traces_each_program_once_and_keeps_it(tmp_path):
    as_users = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    as_users |= {"JAX_ENABLE_COMPILATION_CACHE": "true", "XDG_CACHE_HOME": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", SCRIPT, "run", "bandit", "--seeds", "3", "--steps", "1"],
            cwd=ROOT,
            env=as_users | {"JAX_LOG_COMPILES": "true"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        for _ in range(2)
    )
    for run in (first, second):
        assert run.stdout.splitlines()[-1] == "[]"
        # how runs begin, what is checked of it, the iterations; the second run reads them from JAX's cache
        assert len(re.findall(r"Finished XLA compilation of jit\(call\)", run.stderr)) == 3
    traced = [len(re.findall(r"Finished tracing .*\bflat for", run.stderr)) for run in (first, second)]
    assert traced == [3, 0]
    kept = {path.name.split("-")[0] for path in tmp_path.rglob("jit_*-cache")}
    assert kept >= {"jit_call", "jit__draws", "jit__intervals"}


def test_a_sum_is_computed_where_its_terms_are_and_by_no_library(monkeypatch):
    # One kernel has the products and their sum. XLA writes kCustom where a library computes it, as it does in
    # JAX 0.12 when it is told nothing, and kLoop or kInput where it makes the code itself.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, encoding="utf-8", check=True)
    _, entry = told.stdout.split("\nENTRY ")
    assert entry.count("fusion(") == 1
    assert "kCustom" not in entry
