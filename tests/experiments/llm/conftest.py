"""A tiny random Llama in the usual Hugging Face layout, written once; tests of the extra run in float32."""

import json

import jax
import pytest

from fpo_jax.experiments.cli.main import main
from tests.helpers import ROOT

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "standard")  # `optax.MultiSteps` divides by an integer
jax.config.update("jax_enable_x64", False)


def pytest_configure(config):
    """Let the packages of the extra use what others will remove."""
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")


END = "<|eot_id|>"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""That of Llama 3, without its system turn."""


def lines():
    """A few hundred lines of the project's own text."""
    text = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    ]
    return [line for page in text for line in page.splitlines() if line.strip()]


def write_tokenizer(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|begin_of_text|>", "<|end_of_text|>", END, "<|start_header_id|>", "<|end_header_id|>"]
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    inner.train_from_iterator(lines(), trainer)
    begin = inner.token_to_id(special[0])
    inner.post_processor = processors.TemplateProcessing(
        single=f"{special[0]} $A", special_tokens=[(special[0], begin)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=special[0], eos_token=END)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return fast


def model_config(tokenizer, **more):
    """Sizes of Llama 3.2, but for 2 layers of width 64; its rotary embedding, shortened to be felt."""
    from transformers import LlamaConfig

    rope = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0}
    rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    sizes = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    given = {"vocab_size": 512, "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "initializer_range": 0.1}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return LlamaConfig(**(sizes | heads | given | ids | {"rope_parameters": rope} | more))


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tokenizer):
    """A folder with config.json, model.safetensors, generation_config.json and a tokenizer."""
    import torch
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    torch.manual_seed(0)
    LlamaForCausalLM(model_config(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory, tokenizer):
    """A folder with a sequence classifier of one label: another trunk, and score.weight."""
    import torch
    from transformers import LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("models") / "tiny-reward"
    torch.manual_seed(1)
    other = {"hidden_size": 32, "num_labels": 1, "tie_word_embeddings": False}
    sizes = model_config(tokenizer, pad_token_id=tokenizer.eos_token_id, **other)
    LlamaForSequenceClassification(sizes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def prompts(tmp_path_factory):
    """A JSONL file of prompts of several lengths."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    chosen = [*[line for line in lines() if 10 < len(line) < 60][:5], "Why?"]
    path.write_text("".join(json.dumps({"prompt": line}) + "\n" for line in chosen), encoding="utf-8")
    return path


QUICK = {"candidates": 4, "tokens": 6, "accumulation": 2, "lora_rank": 4, "prompt_limit": 32}
QUICK |= {"precision": "float32", "devices": 1, "policy_lr": 1e-2, "head_lr": 1e-2, "weight": 0.1}
QUICK |= {"new_head": True}
STEPS = 4


def options(**given):
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="session")
def given(checkpoint, prompts):
    """Options of a small run."""
    return {"model": str(checkpoint), "prompts": str(prompts), "steps": STEPS, **QUICK}


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def refused(capsys, words):
    """Run a command that must be refused, and return its one line."""
    assert main([str(word) for word in words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("the reward model")]
    assert len(lines) == 1
    assert lines[0].startswith("fpo-jax: error: ")
    return lines[0]
