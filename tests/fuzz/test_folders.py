"""Folders of others: manifests, configurations, summaries, and what is kept of unfinished work."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpo_jax.engine.tree_text import Unknown, restored
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.result_folder import MANIFEST, finished, require_writable
from fpo_jax.experiments.core.unfinished import Unfinished
from tests.fuzz.inputs import DEEP, FUZZED, JSON, TEXT, as_json, damaged, is_one_line

pytestmark = pytest.mark.slow
MINE = "thesis.tex"
FILES = st.one_of(
    st.lists(st.sampled_from([MINE, "..", "/etc/passwd", ""])),
    st.dictionaries(st.sampled_from([MINE, ".", "../x", MANIFEST]) | TEXT, JSON, max_size=3),
    JSON,
)
MANIFESTS = st.one_of(st.fixed_dictionaries({"files": FILES}), JSON).map(as_json)
ANY = st.one_of(MANIFESTS, damaged(MANIFESTS), st.binary(), DEEP)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fuzz") / "out"
    made.mkdir()
    (made / MINE).write_text("years of work", encoding="utf-8")
    return made


@FUZZED
@given(ANY)
def test_no_manifest_gives_away_what_it_does_not_know(folder, content):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=r"it holds thesis\.tex") as refused:
        require_writable(folder)
    assert is_one_line(refused.value)


CONFIG = {"environment": "bandit", "seeds": 3}
SUMMARY = {"command": "fpo-jax run bandit"}


@FUZZED
@given(
    st.one_of(st.just(as_json(CONFIG)), damaged(st.just(as_json(CONFIG))), ANY),
    st.one_of(st.just(as_json(SUMMARY)), damaged(st.just(as_json(SUMMARY))), ANY),
)
def test_any_result_that_is_to_be_found_again(folder, config, summary):
    (folder / "config.json").write_bytes(config)
    (folder / "summary.json").write_bytes(summary)
    found = finished(folder, CONFIG, SUMMARY["command"])
    if found is not None:
        assert json.loads(config.decode("utf-8-sig")) == CONFIG
        assert found["command"] == SUMMARY["command"]
    for name in ("config.json", "summary.json"):
        (folder / name).unlink()


ASKED = {"policy_steps": 2, "seed": 0, "devices": 1}


@FUZZED
@given(st.one_of(st.fixed_dictionaries({}, optional=dict.fromkeys(ASKED, JSON)).map(as_json), ANY))
def test_any_configuration_of_unfinished_work(folder, content):
    work = Unfinished(folder, "run")
    work.folder.mkdir(exist_ok=True)
    (work.folder / "config.json").write_bytes(content)
    try:
        earlier = work.resumed({name: ASKED[name] for name in ("policy_steps", "seed")})
    except InputError as error:
        assert is_one_line(error)
        return
    assert {name: earlier[name] for name in ("policy_steps", "seed")} == {"policy_steps": 2, "seed": 0}


KINDS = [
    "tuple",
    "list",
    "dict",
    "os:system",
    "builtins:dict",
    "fpo_jax.data:State",
    "fpo_jax.data:",
    ":",
    "x",
]
TREE = st.recursive(
    st.sampled_from([None, 0]) | JSON,
    lambda inner: st.tuples(
        st.sampled_from(KINDS) | TEXT,
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["theta", "reward_model"]) | TEXT, inner, max_size=3),
    ).map(list),
    max_leaves=6,
)


@FUZZED
@given(TREE)
def test_any_description_of_a_structure(description):
    try:
        restored(description)
    except Unknown as error:
        assert len(str(error)) < 200
