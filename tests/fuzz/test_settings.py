"""Settings of any content: each command's, a sweep's grid, a map; resolved, or refused in one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fpo_jax.envs.gridworld import SIGNS, Gridworld, read_map
from fpo_jax.experiments.core.settings import load, resolve
from fpo_jax.experiments.llm.settings import AnswerSettings, TrainSettings
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.fuzz.inputs import FUZZED, ODD, TEXT, damaged, mutated, tried

pytestmark = pytest.mark.slow

RUNS = [
    resolve({"environment": environment, "objective": objective, **more}).as_dict()
    for environment, objective, more in (
        ("bandit", "relaxed", {}),
        ("linear", "myopic", {}),
        ("neural", "practical", {}),
        ("gridworld", "exact", {}),
        ("garnet", "exact", {}),
        ("corridor", "myopic", {}),
        ("language", "relaxed", {}),
        ("contextual", "proximal", {}),
    )
]
GRIDS = [
    {
        "environment": "linear",
        "objective": ["relaxed"],
        "grid": {"weight": [0.0, 0.1]},
        "seeds": 2,
        "steps": 4,
    },
    {"environment": "bandit", "objective": "relaxed,exact", "grid": {"alpha": "0.1:1:3"}, "every": 1},
    {"environment": "gridworld", "objective": "myopic", "grid": {"rows": "3,4", "slip": "0.01:1:3:log"}},
]
LLM = {"model": "a", "prompts": "b", "steps": 3, "lora_modules": ["q_proj"], "temperature": 0.5, "chat": True}


@FUZZED
@given(some.one_of(*map(mutated, RUNS)))
def test_runs(wishes):
    settings = tried(lambda: resolve(wishes))
    if settings is not None:
        assert resolve(settings.as_dict()) == settings


@FUZZED
@given(some.one_of(ODD, *map(mutated, GRIDS), mutated({"grid": {}, "environment": "linear"})))
def test_grids(wishes):
    if isinstance(wishes, dict):
        grid = tried(lambda: make_grid(wishes))
        assert grid is None or grid.steps % grid.every == 0


@FUZZED
@given(mutated(LLM))
def test_language_models(wishes):
    for kind in (TrainSettings, AnswerSettings):
        settings = tried(lambda kind=kind: kind.of(wishes))
        if settings is not None:
            assert kind.of(settings.as_dict()) == settings


@FUZZED
@given(
    some.one_of(some.binary(max_size=60), *(damaged(some.just(json.dumps(run).encode())) for run in RUNS[:3]))
)
def test_files(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_bytes(content)
    loaded = tried(lambda: load(path, "run", "decompose"))
    if loaded is not None:
        tried(lambda: resolve(loaded))


SIGN = some.sampled_from([*SIGNS, "/", "\n", " ", "x"])


@FUZZED
@given(
    some.one_of(
        TEXT,
        some.text(SIGN, max_size=60),
        damaged(some.just(b"S..#G/.#.../..D.#")).map(lambda b: b.decode("latin-1")),
    )
)
def test_maps(text):
    written = tried(lambda: read_map(text))
    if written is not None:
        tried(lambda: Gridworld(map=written).check())
