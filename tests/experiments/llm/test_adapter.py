"""Adapters that cannot be used, and one in bfloat16."""

import dataclasses
import shutil

import pytest
from safetensors.numpy import load_file

from fpo_jax.experiments.llm.sizes import read_config
from tests.experiments.llm.conftest import edit, refused


def test_an_adapter_of_another_model(checkpoint, prompts, tmp_path, capsys):
    import jax

    from fpo_jax.experiments.llm import adapter
    from fpo_jax.experiments.llm.model import Lora, fresh_adapter

    config = read_config(checkpoint, "model")
    wider = dataclasses.replace(config, embed_dim=32)
    lora = Lora(4)
    adapter.save(tmp_path / "adapter", fresh_adapter(wider, lora, jax.random.key(0)), wider, lora, "other")
    told = ["--model", checkpoint, "--prompts", prompts, "--adapter", tmp_path / "adapter"]
    error = refused(capsys, ["answer", *told, "--out", tmp_path / "a.jsonl"])
    assert "made for this model, but base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in error
    assert "has shape [4, 32], not [4, 64]" in error


ADAPTERS = {
    "no rank": ({"r": None}, "r in adapter_config.json = None: must be an integer >= 1"),
    "rank 0": ({"r": 0}, "r in adapter_config.json = 0: must be an integer >= 1"),
    "rank as a text": ({"r": "4"}, "r in adapter_config.json = 4: must be an integer >= 1"),
    "no scale": (
        {"lora_alpha": None},
        "lora_alpha in adapter_config.json = None: must be a finite number >= 0",
    ),
    "scale as a text": ({"lora_alpha": "much"}, "lora_alpha in adapter_config.json = much"),
    "several ranks": ({"rank_pattern": {"q_proj": 8}}, "rank_pattern in adapter_config.json = {'q_proj': 8}"),
    "several scales": ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern in adapter_config.json"),
    "biases": ({"bias": "all"}, "bias in adapter_config.json = all: must be none"),
    "modules as objects": ({"target_modules": [{}]}, "LoRA on some of q_proj"),
}


@pytest.fixture(scope="module")
def stored_adapter(checkpoint, tmp_path_factory):
    """A folder with an adapter for the checkpoint."""
    import jax

    from fpo_jax.experiments.llm import adapter
    from fpo_jax.experiments.llm.model import Lora, fresh_adapter

    folder, config, lora = (
        tmp_path_factory.mktemp("adapters") / "adapter",
        read_config(checkpoint, "model"),
        Lora(4),
    )
    adapter.save(folder, fresh_adapter(config, lora, jax.random.key(0)), config, lora, "tiny")
    return folder


@pytest.mark.parametrize("case", ADAPTERS)
def test_adapters(case, stored_adapter, checkpoint, prompts, tmp_path, capsys):
    changes, wanted = ADAPTERS[case]
    folder = shutil.copytree(stored_adapter, tmp_path / "adapter")
    edit(folder / "adapter_config.json", **changes)
    told = ["--model", checkpoint, "--prompts", prompts, "--adapter", folder]
    assert wanted in refused(capsys, ["answer", *told, "--out", tmp_path / "a.jsonl"])
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_adapter_in_bfloat16(stored_adapter, checkpoint, tmp_path):
    """PEFT keeps an adapter in the model's precision: 8 bits of each number are left, 1 part in 2⁸."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from safetensors.flax import save_file as save_flax

    from fpo_jax.experiments.llm import adapter

    config, folder = read_config(checkpoint, "model"), shutil.copytree(stored_adapter, tmp_path / "adapter")
    path = folder / adapter.WEIGHTS
    save_flax({name: jnp.asarray(a, jnp.bfloat16) for name, a in load_file(path).items()}, path)
    wanted, found = (jax.tree.leaves(adapter.load(one, config)[0]) for one in (stored_adapter, folder))
    for a, b in zip(wanted, found, strict=True):
        assert b.dtype == jnp.float32
        np.testing.assert_allclose(b, a, rtol=2**-8)
