"""Files of models of any content: sizes, settings of tokenizers, adapters, weights."""

import json
import shutil
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from safetensors.numpy import save

from fpo_jax.experiments.llm import adapter
from fpo_jax.experiments.llm import checkpoint as checkpoints
from fpo_jax.experiments.llm.model_folder import WEIGHTS
from fpo_jax.experiments.llm.prompts import Tokenizer, read_ends
from fpo_jax.experiments.llm.sizes import read_config
from tests.fuzz.inputs import FUZZED, ODD, damaged, mutated, tried

pytestmark = pytest.mark.slow

SIZES = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": None,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_theta": 1e4,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64},
    "bos_token_id": 0,
    "eos_token_id": [1, 2],
}
ROPES = mutated(SIZES["rope_scaling"]).map(lambda rope: SIZES | {"rope_scaling": rope})
LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    return shutil.copytree(checkpoint, tmp_path_factory.mktemp("fuzz") / "model")


def write(path, stored):
    path.write_text(json.dumps(stored), encoding="utf-8")


@FUZZED
@given(stored=some.one_of(ODD, mutated(SIZES), ROPES))
def test_sizes(folder, stored):
    write(folder / "config.json", stored)
    config = tried(lambda: read_config(folder, "model"))
    assert config is None or len(checkpoints.expected(config)) >= 11


@FUZZED
@given(stored=some.one_of(ODD, mutated({"eos_token_id": [1, 2], "do_sample": True})), own=ODD)
def test_ends(folder, stored, own):
    write(folder / "generation_config.json", stored)
    ends = tried(lambda: read_ends(folder, {"eos_token_id": own}, 1, 512, "model"))
    assert ends is None or all(0 <= end < 512 for end in ends)


@FUZZED
@given(stored=some.one_of(ODD, mutated(LORA)))
def test_adapters(folder, stored):
    write(folder / adapter.CONFIG, stored)
    assert tried(lambda: adapter.load(folder, CONFIG)) is None  # there are no weights


HEADER = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "score.weight": {"dtype": "F32", "shape": [1, 64], "data_offsets": [24, 280]},
}
FILE = save({"a": np.zeros((2, 3), np.float32), "score.weight": np.ones((1, 64), np.float32)})
INNER = some.one_of(
    mutated(HEADER), *(mutated(HEADER["a"]).map(lambda one: HEADER | {"a": one}) for _ in "12")
)


def framed(header, length):
    written = json.dumps(header).encode()
    return struct.pack("<Q", (len(written) if length is None else length) % 2**64) + written + bytes(280)


HEADERS = some.builds(framed, INNER, some.one_of(some.none(), some.none(), some.integers(0, 2**64)))


@FUZZED
@given(content=some.one_of(some.binary(max_size=30), damaged(some.just(FILE)), HEADERS))
def test_weights(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    found = tried(lambda: checkpoints.tensors(folder, "model"))
    tried(lambda: checkpoints.check(folder, CONFIG, "model"))
    tried(lambda: checkpoints.head(folder, CONFIG, "model"))
    assert found is None or isinstance(found, dict)


TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|begin_of_text|>",
    "eos_token": "<|eot_id|>",
}
SPECIAL = some.sampled_from(["auto_map", "added_tokens_decoder", "extra_special_tokens", "model_max_length"])


@FUZZED
@given(
    stored=some.one_of(ODD, mutated(TOKENIZER), some.builds(lambda n, v: TOKENIZER | {n: v}, SPECIAL, ODD))
)
def test_tokenizers(small, stored):
    write(small / "tokenizer_config.json", stored)
    tokenizer = tried(lambda: Tokenizer(small, CONFIG))
    assert tokenizer is None or isinstance(tokenizer.ends, tuple)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tokenizer of few tokens, which is read in no time."""
    from tokenizers import Tokenizer as Vocabulary
    from tokenizers import models

    made = tmp_path_factory.mktemp("small")
    words = {word: number for number, word in enumerate(["<|begin_of_text|>", "<|eot_id|>", "a"])}
    Vocabulary(models.WordLevel(words, "a")).save(str(made / "tokenizer.json"))
    write(made / "config.json", SIZES)
    return made


@pytest.fixture(scope="module", autouse=True)
def sizes(tmp_path_factory):
    global CONFIG
    made = tmp_path_factory.mktemp("sizes")
    write(made / "config.json", SIZES)
    CONFIG = read_config(made, "model")
