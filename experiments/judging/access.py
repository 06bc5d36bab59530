"""The address and key of a judge, and what may be sent there."""

import ipaddress
import json
import os
import re
from urllib.parse import quote, urlsplit

from fpo_jax.errors import InputError

ADDRESS = "an address such as https://api.openai.com/v1"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][%\\:]+)(:[0-9]+)?")
"""A host and its port, which all code reads in the same way."""


def is_name(variable: str) -> bool:
    """Say whether this looks like the environment variable of a key, in capital letters."""
    return re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) is not None


class ApiKey:
    """The key to an endpoint, or none; it can remove itself from texts, and does not print itself."""

    def __init__(self, secret: str = "", variable: str = ""):
        self.secret, self.variable = secret, variable
        escaped = secret.replace("\\", "\\\\")
        spelled = {
            secret,
            json.dumps(secret)[1:-1],
            escaped,
            escaped.replace("'", "\\'"),
            quote(secret, safe=""),
        }
        self._spelled = sorted(spelled - {""}, key=len, reverse=True)

    def hidden_in(self, text: str) -> str:
        """Return text without the key, whether plain, quoted in JSON or Python, or encoded for URLs."""
        for spelling in self._spelled:
            text = text.replace(spelling, "[key]")
        return text

    @classmethod
    def from_environment(cls, variable: str) -> "ApiKey":
        """Read the key from this environment variable; an empty name means an endpoint without a key.

        Raises:
            InputError: when it is not the name of a variable, and might be the key itself, which is not
                shown; when there is no key, or none that can be sent.
        """
        if variable == "":
            return cls()
        if not is_name(variable):
            allowed = "the name of an environment variable, in capital letters, not the key itself"
            raise InputError("key_variable", "something else (not shown)", allowed)
        secret = os.environ.get(variable, "").strip()
        if not secret:
            allowed = 'an environment variable with the key: set it, or use --key-variable "" for no key'
            raise InputError("key_variable", variable, allowed)
        if not re.fullmatch(r"[!-~]+", secret):
            allowed = "an environment variable with a key of printable ASCII characters, without blanks"
            raise InputError("key_variable", variable, allowed)
        return cls(secret, variable)


def require_url(url: str) -> str:
    """Return the address of an endpoint, without a slash at its end.

    Raises:
        InputError: when it is not an http address, or contains a possible secret, which is not shown.
    """
    if any(mark in url for mark in "@?#"):
        allowed = "without user, password, query and fragment: the key may only come from --key-variable"
        raise InputError("endpoint", "an address and more (not shown)", allowed)
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0 and _HOST.fullmatch(parts.netloc)
        whole = parts.scheme in ("http", "https") and named
    except ValueError:
        whole = False
    if not whole or not url.isprintable() or " " in url:
        raise InputError("endpoint", url, ADDRESS)
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine: localhost or a loopback address."""
    if re.fullmatch(r"(?ai:localhost)\.?", host):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_private(url: str, key: ApiKey) -> None:
    """Check that nobody on the way can read the key: it goes over https, or stays on this machine.

    Raises:
        InputError: when it would go over http to another machine.
    """
    parts = urlsplit(url)
    if key.secret and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        allowed = 'https, so that nobody can read the key on its way; or use --key-variable "" to send none'
        raise InputError("endpoint", url, allowed)
