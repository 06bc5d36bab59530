"""Which Python and which JAX the package refuses: installers read `pyproject.toml`, all others meet this."""

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
    """Return what speaks against this version of Python, or None."""
    if version >= PYTHON:
        return None
    return "Python = {}.{}: must be {}.{} or newer".format(*version, *PYTHON)


def jax_refused(version: str) -> str | None:
    """Return what speaks against this version of JAX, or None."""
    release = ".".join(version.split(".")[:2])
    if release not in BROKEN:
        return None
    return f"jax = {version}: must not be {release}, since {BROKEN[release]}"
