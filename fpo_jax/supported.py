"""Which Python and JAX versions the package refuses, for users whose installer did not read
`pyproject.toml`.
"""

import importlib.metadata
import sys

PYTHON = (3, 11)
"""The oldest Python."""
BROKEN = {"0.10": "on the CPU its batched LAPACK calls can wait for each other forever"}
"""Releases of JAX that must not be used, and why."""


def check() -> None:
    """Refuse a Python or a JAX on which the package would fail later, or wait forever.

    Raises:
        ImportError: names the version, what is allowed, and why.
    """
    refused = python_refused(sys.version_info[:2]) or jax_refused(importlib.metadata.version("jax"))
    if refused is not None:
        raise ImportError(refused, name="jax")


def python_refused(version: tuple[int, int]) -> str | None:
    """Return why this version of Python is refused, or None."""
    if version >= PYTHON:
        return None
    return "Python = {}.{}: must be {}.{} or newer".format(*version, *PYTHON)


def jax_refused(version: str) -> str | None:
    """Return why this version of JAX is refused, or None."""
    release = ".".join(version.split(".")[:2])
    if release not in BROKEN:
        return None
    return f"jax = {version}: must not be {release}, since {BROKEN[release]}"
