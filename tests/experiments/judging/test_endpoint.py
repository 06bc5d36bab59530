"""An endpoint before it is asked: which answer stands first, and the extra it needs."""

import sys

from fpo_jax.experiments.judging.access import ApiKey
from fpo_jax.experiments.judging.endpoint import Endpoint
from tests.helpers import call


def test_the_coin_is_fair_and_stays():
    sides = ["".join(Endpoint("", "", ApiKey(), "", seed=s).first(i) for i in range(400)) for s in (0, 0, 1)]
    assert sides[0] == sides[1] != sides[2]
    # 400 fair coins: 200 heads, standard deviation 10
    assert all(150 < side.count("a") < 250 for side in sides)


ASKED = ["--endpoint", "http://127.0.0.1:9/v1", "--judge-model", "m", "--out", "result"]
FILES = ["judge", "a.jsonl", "b.jsonl"]


def test_an_endpoint_needs_the_extra(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    status, _, err = call(capsys, *FILES, *ASKED, "--key-variable", "")
    assert status == 2
    assert err.endswith("an endpoint needs the extra llm: in a clone, pip install '.[llm]'\n")
    assert err.count("\n") == 1
    assert not (folder / "result.partial").exists()
