"""Programs kept between processes, so that a run like an earlier one starts sooner.

JAX keeps compiled programs in its own cache, but it must trace and lower a program before it can look there.
That takes Python as long as everything else in a second start. So traced programs are kept too, as exported
programs.

An exported program stands for the code that it was traced from. It is used again only if all of these are
unchanged: our sources, those of every other module loaded when it was traced, the versions of installed
packages, the parts and static settings of the run, the shapes of its arguments, the devices, and JAX's
settings. Data files that the code reads are not checked. Only the command line keeps programs, since there
all parts are found by name in files. Code from a notebook or a prompt is always traced.

A file holds a digest, one line of JSON, and the program as JAX serializes it. Reading it runs no code, but a
program computes whatever it was made to compute. So files are read and written only in a folder that nobody
but the user can write to.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import fpo_jax
from fpo_jax import internals
from fpo_jax.engine.memory import Prepared, prepared
from fpo_jax.engine.private_folder import is_own, make_private
from fpo_jax.engine.tree_text import Unknown, described, restored

MOST = 300
"""Number of kept programs, of about 0.1 MB each; the longest unused are deleted first."""

OURS = Path(fpo_jax.__path__[0])
INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

Program = Callable[..., list[jax.Array]]
_Kept = tuple[jax.export.Exported, Any]
_folder: Path | None = None
_loaded: dict[str, tuple[Any, Any]] = {}


def keep_in(folder: Path | None) -> None:
    """Keep programs in this folder from now on; keep none if it is None or others could write there."""
    global _folder
    _folder = None if folder is None else _private(folder)
    _loaded.clear()
    _surroundings.cache_clear()


def _private(folder: Path) -> Path | None:
    try:
        return make_private(folder)
    except OSError:  # the folder cannot be made, so nothing is kept
        return None


def call_kept(
    identity: object,
    function: Callable[..., Any],
    *arguments: Any,
    **static: Any,
) -> Any:
    """Return `function(*arguments, **static)`, using a kept program if programs are kept.

    Args:
        identity: a name for all static properties of the arguments, such as their classes.
        function: a jitted function of pytrees, defined in a module. XLA gets its `compiler_options`.
        arguments, static: its arguments.
    """
    found = _found(identity, function, arguments, static)
    if found is None:
        return function(*arguments, **static)
    program, shape = found
    return jax.tree.unflatten(jax.tree.structure(shape), program(*jax.tree.leaves(arguments)))


def prepare_kept(
    identity: object,
    function: Callable[..., Any],
    *arguments: Any,
    **static: Any,
) -> Prepared:
    """Return the program that `call_kept` will call; shapes of the arguments suffice."""
    found = _found(identity, function, arguments, static)
    if found is None:
        return prepared(function, *arguments, **static)
    (program, shape), leaves = found, jax.tree.leaves(arguments)
    lowered = program.lower(*leaves)
    return Prepared(jax.tree.unflatten(jax.tree.structure(shape), lowered.out_info), lowered, is_kept=True)


def _found(
    identity: object, function: Callable[..., Any], arguments: tuple[Any, ...], static: dict[str, Any]
) -> tuple[Any, Any] | None:
    """Return a kept program and the structure of its result, or None if none is kept."""
    if _folder is None:
        return None
    leaves, tree = jax.tree.flatten(arguments)
    try:
        name = _name(function, (identity, str(tree)), leaves, static)
    except OSError:  # a source cannot be read, so changes cannot be detected
        return None
    if name not in _loaded:
        path = _folder / name
        exported, shape = _read(path) or _export(path, function, tree, leaves, static)
        options = getattr(function, "compiler_options", None)
        _loaded[name] = _callable(exported, leaves, options), shape
    return _loaded[name]


def _name(function: Any, identity: object, leaves: list[Any], static: dict[str, Any]) -> str:
    """Return a digest of everything the program depends on, except modules that are not ours."""
    parts = (
        f"{function.__module__}.{function.__qualname__}",
        identity,
        [_type(leaf) for leaf in leaves],
        getattr(function, "compiler_options", None),
        sorted((name, getattr(value, "__qualname__", value)) for name, value in static.items()),
        [device.device_kind for device in jax.local_devices()],
        str(jnp.result_type(float)),
        sorted((name, str(value)) for name, value in internals.settings().items() if "cache" not in name),
        os.environ.get("XLA_FLAGS", ""),
        sys.version,
        _surroundings(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _type(leaf: Any) -> str:
    """Return the type of an array, or of an array of this shape."""
    abstract = isinstance(leaf, jax.ShapeDtypeStruct)
    return str(jax.core.ShapedArray(leaf.shape, leaf.dtype) if abstract else jax.typeof(leaf))


@functools.cache
def _surroundings() -> str:
    """Return a digest of installed packages and our sources; read once, since a run often asks for it."""
    # in a checkout, links lead from here to the environments and the experiments
    folders = os.walk(OURS, followlinks=True)
    sources = sorted(
        Path(place, name) for place, _, names in folders for name in names if name.endswith(".py")
    )
    found = (path.name for place in INSTALLED for path in place.glob("*.dist-info"))  # with their versions
    installed = sorted(found)
    return hashlib.sha256(repr((installed, _digests(sources))).encode()).hexdigest()


def _digests(paths: Iterable[Path]) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _foreign() -> list[Path]:
    """Return the files of all modules loaded that are neither ours nor installed: the user's own."""
    # text, since there are thousands of modules
    inside = tuple(f"{place}{os.sep}" for place in (*INSTALLED, OURS))
    files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    return sorted(Path(file) for file in files if file.endswith(".py") and not file.startswith(inside))


def _export(path: Path, function: Any, tree: Any, leaves: list[Any], static: dict[str, Any]) -> _Kept:
    """Trace and lower the function, and keep the result."""
    shape: list[Any] = []
    inlined = getattr(function, "__wrapped__", function)  # compiler options belong to the outermost jit

    def flat(*leaves: Any) -> list[jax.Array]:
        result = inlined(*jax.tree.unflatten(tree, leaves), **static)
        shape[:] = [jax.tree.map(lambda leaf: 0, result)]
        return jax.tree.leaves(result)

    exported = jax.export.export(jax.jit(flat))(*leaves)
    with contextlib.suppress(
        OSError, Unknown
    ):  # the folder cannot be written, or the result's structure cannot be described
        head = json.dumps({"foreign": _digests(_foreign()), "shape": described(shape[0])}).encode()
        content = b"\n".join([head, exported.serialize()])
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            (Path(aside) / path.name).write_bytes(hashlib.sha256(content).digest() + content)
            os.replace(Path(aside) / path.name, path)
        kept = sorted(filter(Path.is_file, path.parent.iterdir()), key=lambda p: p.stat().st_mtime)
        for old in kept[:-MOST]:
            old.unlink(missing_ok=True)
    return exported, shape[0]


def _read(path: Path) -> _Kept | None:
    """Return the kept program, or None if it cannot be read or a module has changed since."""
    try:
        with path.open("rb") as file:
            if not is_own(os.fstat(file.fileno())):
                return None
            digest, content = file.read(32), file.read()
        if hashlib.sha256(content).digest() != digest:
            return None
        head, serialized = content.split(b"\n", 1)
        told = json.loads(head)
        if _digests(map(Path, told["foreign"])) != told["foreign"]:
            return None
        shape = restored(told["shape"])
        exported = jax.export.deserialize(bytearray(serialized))
        os.utime(path)
    except Exception:  # JSON, JAX and flatbuffers each raise their own errors
        return None
    if b"lapack" in exported.mlir_module_serialized:
        # JAX registers LAPACK's routines when it lowers a call of one; an exported program is lowered already
        jax.jit(jnp.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), float))
    return exported, shape


def _callable(exported: jax.export.Exported, leaves: list[Any], options: dict[str, Any] | None) -> Program:
    if exported.nr_devices == 1:
        return jax.jit(exported.call, compiler_options=options)
    devices = jax.local_devices()[: exported.nr_devices]
    everywhere = NamedSharding(Mesh(devices, "devices"), PartitionSpec())
    shardings = [getattr(leaf, "sharding", None) or everywhere for leaf in leaves]
    several = [place if place.num_devices > 1 else everywhere for place in shardings]
    # XLA may place an empty array anywhere, and its shape alone does not say where
    placed = tuple(
        place if getattr(leaf, "size", 1) else None for place, leaf in zip(several, leaves, strict=True)
    )
    return jax.jit(exported.call, in_shardings=placed, compiler_options=options)
