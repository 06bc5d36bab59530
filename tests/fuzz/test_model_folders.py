"""Folders of models of any content, as far as no extra is needed: which files an index names, and whether."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fpo_jax.experiments.llm.model_folder import INDEX, digest, inside, read_json, shard_names, shards
from tests.fuzz.inputs import FUZZED, ODD, TEXT, damaged, mutated, tried

pytestmark = pytest.mark.slow

RIGHT = {"metadata": {"total_size": 3}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
NAMES = some.one_of(
    TEXT, some.sampled_from(["one.safetensors", "two.safetensors", "config.json", "link", "ring"])
)
MAPS = some.fixed_dictionaries({"weight_map": some.one_of(ODD, some.dictionaries(TEXT, NAMES, max_size=4))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("folders") / "model"
    made.mkdir()
    (made.parent / "outside").write_text("secret", encoding="utf-8")
    for name in ("one.safetensors", "two.safetensors"):
        (made / name).write_bytes(b"weights")
    (made / "link").symlink_to("../outside")
    (made / "ring").symlink_to("ring")
    return made


@FUZZED
@given(content=some.one_of(some.binary(max_size=40), damaged(some.just(json.dumps(RIGHT).encode()))))
def test_any_bytes_as_an_index(folder, content):
    (folder / INDEX).write_bytes(content)
    tried(lambda: shards(folder, "model"))


@FUZZED
@given(stored=some.one_of(ODD, mutated(RIGHT), MAPS))
def test_any_json_as_an_index(folder, stored):
    (folder / INDEX).write_text(json.dumps(stored), encoding="utf-8")
    found = tried(lambda: shards(folder, "model"))
    tried(lambda: digest(folder, "model"))
    if found is not None:
        assert found
        assert {path.parent for path in found} == {folder.resolve()}
        assert len(found) == len(shard_names(folder, "model"))


@FUZZED
@given(name=NAMES)
def test_any_name(folder, name):
    path = tried(lambda: inside(folder, name, "model"))
    assert path is None or path.parent == folder.resolve()


@FUZZED
@given(content=some.one_of(some.binary(max_size=40), damaged(some.just(b'{"a": [1, {"b": "\\u00e9"}]}'))))
def test_any_bytes_as_json(folder, content):
    (folder / "config.json").write_bytes(content)
    found = tried(lambda: read_json(folder, "config.json", "model"))
    assert found is None or isinstance(found, dict)
