"""Folders of runs for the tiny Llama: one whose adapter changes nothing yet, and one whose adapter does."""

import json

import jax
import jax.numpy as jnp
import pytest

from fpo_jax.experiments.llm import adapter
from fpo_jax.experiments.llm.model import Lora, fresh_adapter
from fpo_jax.experiments.llm.prompts import read_prompts
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.experiments.llm.sizes import read_config

LORA = Lora(4)


def write_run(folder, checkpoint, size, seen, **settings):
    """Write what `fpo-jax llm` leaves of a run, as far as it is read here; `size` is that of B."""
    config = read_config(checkpoint, "model")
    drawn = fresh_adapter(config, LORA, jax.random.key(1))
    moved = jax.tree.map(lambda leaf: leaf + size * jnp.sin(jnp.arange(leaf.size)).reshape(leaf.shape), drawn)
    adapter.save(folder / "adapter", moved if size else drawn, config, LORA, str(checkpoint))
    made = TrainSettings.of({"model": str(checkpoint), **settings}).as_dict()
    (folder / "config.json").write_text(json.dumps(made), encoding="utf-8")
    lines = [json.dumps({"step": i, "prompt": text}) for i, text in enumerate(seen)]
    (folder / "responses.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def runs(checkpoint, prompts, tmp_path_factory):
    """`still`, whose adapter is untouched, and `moved` twice, which differ by their seed alone."""
    root, seen = tmp_path_factory.mktemp("runs"), read_prompts(prompts)[:2]
    told = {"mode": "practical", "prompts": str(prompts)}
    return {
        "still": write_run(root / "still", checkpoint, 0.0, seen, mode="rlhf"),
        "moved": write_run(root / "moved", checkpoint, 0.1, seen, **told),
        "again": write_run(root / "again", checkpoint, 0.2, seen[:1], **told, seed=1),
    }
