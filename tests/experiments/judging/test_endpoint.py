"""An endpoint before it is asked: which answer stands first, its key, its address, and the extra it needs."""

import json
import sys

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.judging.endpoint import ApiKey, Endpoint, require_url
from tests.helpers import call


def test_the_coin_is_fair_and_stays():
    sides = ["".join(Endpoint("", "", ApiKey(), "", seed=s).first(i) for i in range(400)) for s in (0, 0, 1)]
    assert sides[0] == sides[1] != sides[2]
    # 400 fair coins: 200 heads, standard deviation 10
    assert all(150 < side.count("a") < 250 for side in sides)


def test_a_key_hides(monkeypatch):
    monkeypatch.setenv("A_KEY", "  sk-a'b/c \n")
    key = ApiKey.from_environment("A_KEY")
    assert key.secret == "sk-a'b/c"
    for said in ("Bearer sk-a'b/c!", "sk-a%27b%2Fc", json.dumps({"k": "sk-a'b/c"}), "sk-a\\'b/c"):
        assert "sk-a" not in key.hidden_in(said)
    assert ApiKey.from_environment("").hidden_in("nothing to hide") == "nothing to hide"
    assert "sk-a" not in f"{key} {key!r}"


def test_addresses():
    assert require_url("http://localhost:8000/v1/") == "http://localhost:8000/v1"
    for url in (
        "https://me:secret@host/v1",
        "https://host/v1?key=secret",
        "https://secret@host",
        "http://h#secret",
    ):
        with pytest.raises(InputError, match="not shown") as refused:
            require_url(url)
        assert "secret" not in str(refused.value)
    for url in ("localhost:8000", "ftp://host", "http://", "http://host:port"):
        with pytest.raises(InputError, match="an address such as"):
            require_url(url)


ASKED = ["--endpoint", "http://127.0.0.1:9/v1", "--judge-model", "m", "--out", "result"]
FILES = ["judge", "a.jsonl", "b.jsonl"]


def test_an_endpoint_needs_the_extra(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    status, _, err = call(capsys, *FILES, *ASKED, "--key-variable", "")
    assert status == 2
    assert err.endswith("an endpoint needs the extra llm: in a clone, pip install '.[llm]'\n")
    assert err.count("\n") == 1
    assert not (folder / "result.partial").exists()
