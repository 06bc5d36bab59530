"""A claim made of sweeps."""

from fpo_jax.experiments import phase
from fpo_jax.experiments.core.progress import Progress


def test_experiment_of_sweeps(monkeypatch, tmp_path):
    axes, methods = {"weight": [0.3, 0.1], "rm_lr": [0.01, 0.02]}, ["myopic", "relaxed"]
    small = {"linear": {"environment": "linear", "objective": methods, "grid": axes, "steps": 6}}
    monkeypatch.setattr(phase, "GRIDS", small)
    with Progress(disable=True) as progress:
        rows, section = phase.EXPERIMENT._replace(grids=small).write(tmp_path, 3, progress)
    assert rows[0]["runs"] == (2 + 4) * 3  # RLHF has no weight
    text = section.markdown()
    assert text.count("| linear | RLHF |") == text.count("| linear | relaxed FPO |") == 1
    assert (tmp_path / "linear_collapsed.png").exists()
