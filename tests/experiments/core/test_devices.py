import subprocess
import sys

PROGRAM = """
from fpo_jax.experiments.core.devices import suit_compiler
suit_compiler()
import jax, jax.numpy as jnp
ones = jnp.ones((128, 50))
print(jax.jit(lambda x, y: jnp.sum(x * y, axis=1)).lower(ones, ones).compile().as_text())
"""


def test_a_sum_is_computed_where_its_terms_are_and_by_no_library(monkeypatch):
    # One kernel has the products and their sum. XLA writes kCustom where a library computes it, as it does in
    # JAX 0.12 when it is told nothing, and kLoop or kInput where it makes the code itself.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    _, entry = told.stdout.split("\nENTRY ")
    assert entry.count("fusion(") == 1
    assert "kCustom" not in entry
