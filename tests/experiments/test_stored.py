"""Numbers in the repository: each stored part answers what its experiment asks today."""

from pathlib import Path

import pytest

from fpo_jax.experiments.cli import claims
from fpo_jax.experiments.comparison import store
from fpo_jax.experiments.comparison.experiment import Comparison
from fpo_jax.experiments.core import parts
from fpo_jax.experiments.study.experiment import Study

DATA = Path(__file__).resolve().parents[2] / "docs" / "data"
KEPT = {name: one.kept_in(DATA) for name, one in claims.discover().items() if hasattr(one, "kept_in")}


def asked_of(kept):
    """Return what an experiment asks of each of its parts, by file."""
    if isinstance(kept, Comparison):
        pairs = [(place, method) for place in kept.places for method in kept.methods]
        return {store.file_of(kept.parts, *pair): store.asked_of(*pair, **kept.settings) for pair in pairs}
    assert isinstance(kept, Study)
    return {
        parts.file_of(kept.folder, piece.label): {**piece.asked, "instances": piece.instances}
        for piece in kept.pieces
    }


@pytest.mark.parametrize("name", KEPT)
def test_stored_parts_are_read(name):
    """A setting or a default that changes must not leave numbers behind that no command reads."""
    for path, asked in asked_of(KEPT[name]).items():
        if path.exists():
            check = store.trial_of if isinstance(KEPT[name], Comparison) else parts.unchecked
            assert parts.read_part(path, asked, check) is not None, path


def test_no_stored_part_is_left_without_an_experiment():
    known = {path for kept in KEPT.values() for path in asked_of(kept)}
    assert {path for path in DATA.glob("*/*.npz")} <= known
