"""The address of an endpoint, its key, and over what a key may go."""

import json

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.judging.access import ApiKey, is_loopback, require_private, require_url


def test_a_key_hides(monkeypatch):
    monkeypatch.setenv("A_KEY", "  sk-a'b/c \n")
    key = ApiKey.from_environment("A_KEY")
    assert key.secret == "sk-a'b/c"
    for said in ("Bearer sk-a'b/c!", "sk-a%27b%2Fc", json.dumps({"k": "sk-a'b/c"}), "sk-a\\'b/c"):
        assert "sk-a" not in key.hidden_in(said)
    assert ApiKey.from_environment("").hidden_in("nothing to hide") == "nothing to hide"
    assert "sk-a" not in f"{key} {key!r}"


# what one reader of addresses takes for another host than the next
UNLIKE = (
    "http://localhost\\.evil.example/v1",
    "http://evil.example\\/v1",
    "http://127.0.0.1%2eevil.example/v1",
    "http://%6cocalhost/v1",
    "http://[::1%25eth0]/v1",
    "http://[::1]evil.example/v1",
    "http://h:/v1",
)


def test_addresses():
    assert require_url("http://localhost:8000/v1/") == "http://localhost:8000/v1"
    for url in (
        "https://me:secret@host/v1",
        "https://host/v1?key=secret",
        "https://secret@host",
        "http://h#secret",
        "https://me:secret@host:port",
        "http://@secret",
    ):
        with pytest.raises(InputError, match="not shown") as refused:
            require_url(url)
        assert "secret" not in str(refused.value)
    for url in (
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://h/a b",
        "http://h\n",
        *UNLIKE,
    ):
        with pytest.raises(InputError, match="an address such as"):
            require_url(url)


def test_a_key_goes_over_https_or_stays_here():
    here = ("localhost", "LocalHost", "localhost.", "127.0.0.1", "127.9.9.9", "[::1]")
    elsewhere = (
        "h",
        "localhost.evil.example",
        "notlocalhost",
        "my.localhost",
        "localhost..",
        "10.0.0.1",
        "0.0.0.0",
        "[2001:db8::1]",
        "127.1",
    )
    for host in here:
        require_private(f"http://{host}:8000/v1", ApiKey("sk"))
    for host in elsewhere:
        require_private(f"https://{host}/v1", ApiKey("sk"))
        require_private(f"http://{host}/v1", ApiKey())  # nothing is sent that could be read
        with pytest.raises(InputError, match=r'must be https, .* or use --key-variable "" to send none'):
            require_private(f"http://{host}/v1", ApiKey("sk"))
    assert is_loopback("::1")
    assert not any(map(is_loopback, ("", "localho\u017ft", "localhost\n")))
