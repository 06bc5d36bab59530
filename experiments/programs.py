"""Programs kept between processes, so that a command that was run before starts at once.

JAX keeps what XLA compiled in a cache of its own. What that is compiled from must first be traced and
lowered, which takes Python as long as everything else that a second start needs; so it is kept as well, as an
exported program, in the same folder.

An exported program stands for the code that it was traced from. It is found again only if nothing has
changed: the sources of all modules that are no installed packages, the versions of those that are, the parts
and static settings of the run, the shapes of its arguments, the devices, and JAX's settings.
"""

import contextlib
import hashlib
import os
import pickle
import site
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

KEPT = 300
"""Exported programs that are kept, of about 0.1 MB each; the oldest go first."""

Program = Callable[..., list[jax.Array]]
_Loaded = tuple[Program, Any]
_loaded: dict[str, _Loaded] = {}


def call(identity: object, function: Callable[..., Any], *arguments: Any, **static: Any) -> Any:
    """Return `function(*arguments, **static)`, from a kept program where JAX keeps compiled ones.

    Args:
        identity: a name for everything static about the arguments, such as their classes.
        function: jitted, of pytrees; a function of a module.
        arguments, static: what it is called with.
    """
    folder = jax.config.values["jax_compilation_cache_dir"]
    if not jax.config.values["jax_enable_compilation_cache"] or not folder:
        return function(*arguments, **static)
    leaves, tree = jax.tree.flatten(arguments)
    name = _name(function, identity, leaves, static)
    if name not in _loaded:
        path = Path(folder) / "exported" / name
        _loaded[name] = _read(path) or _export(path, function, tree, leaves, static)
    program, shape = _loaded[name]
    return jax.tree.unflatten(jax.tree.structure(shape), program(*leaves))


def _name(function: Any, identity: object, leaves: list[Any], static: dict[str, Any]) -> str:
    """Return a digest of all that the program depends on."""
    settings = sorted((name, str(value)) for name, value in jax.config.values.items() if "cache" not in name)
    parts = (
        f"{function.__module__}.{function.__qualname__}",
        identity,
        [str(jax.typeof(leaf)) for leaf in leaves],
        {name: getattr(value, "__qualname__", value) for name, value in static.items()},
        [device.device_kind for device in jax.local_devices()],
        str(jnp.result_type(float)),
        settings,
        os.environ.get("XLA_FLAGS", ""),
        Path(str(sys.modules[function.__module__].__file__)).read_bytes(),
        _code(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def _code() -> str:
    """Return a digest of the code: ours and the user's by sources, installed packages by versions."""
    places = {name: Path(import_module(name).__path__[0]) for name in ("fpo_jax", "envs", "experiments")}
    not_foreign = (*sysconfig.get_paths().values(), *site.getsitepackages(), *map(str, places.values()))
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    foreign = {Path(file) for file in loaded if file and not file.startswith(not_foreign)}
    sources = {*places["fpo_jax"].rglob("*.py"), *places["envs"].rglob("*.py"), *foreign}
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(sources):
        digest.update(str(path).encode() + path.read_bytes())
    for installed in sorted(path.name for place in sys.path for path in Path(place).glob("*.dist-info")):
        digest.update(installed.encode())  # a name with its version
    return digest.hexdigest()


def _export(path: Path, function: Any, tree: Any, leaves: list[Any], static: dict[str, Any]) -> _Loaded:
    """Trace and lower the function, and keep what comes out."""
    shape: list[Any] = []

    def flat(*leaves: Any) -> list[jax.Array]:
        result = function(*jax.tree.unflatten(tree, leaves), **static)
        shape[:] = [jax.tree.map(lambda leaf: 0, result)]
        return jax.tree.leaves(result)

    # what may not be exported for other releases of JAX may well be for this one
    exported = jax.export.export(jax.jit(flat))(*leaves)
    content = pickle.dumps((exported.serialize(), shape[0]))
    with contextlib.suppress(OSError):  # a folder that cannot be written: then nothing is kept
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(file.name, path)
        for old in sorted(path.parent.iterdir(), key=lambda p: p.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    return _callable(exported), shape[0]


def _read(path: Path) -> _Loaded | None:
    """Return what was kept, or None where there is nothing, or nothing whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    serialized, shape = pickle.loads(content)
    # JAX makes LAPACK's routines known when it lowers a call of one; an exported program is lowered already
    jax.jit(jnp.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), float))
    return _callable(jax.export.deserialize(serialized)), shape


def _callable(exported: jax.export.Exported) -> Program:
    if exported.nr_devices == 1:
        return jax.jit(exported.call)
    mesh = Mesh(jax.local_devices(), "devices")
    return jax.jit(exported.call, in_shardings=NamedSharding(mesh, PartitionSpec()))
