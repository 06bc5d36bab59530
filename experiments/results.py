"""Results on disk: written aside, then put in place by a rename, so that nothing is ever half-written."""

import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.running import Result, summary
from fpo_jax.hyperparameters import InputError

MARK = "config.json"  # a folder that holds one was written by us, and may be replaced


def require_writable(out: Path) -> None:
    """Check, before any work, that results can be written to `out`.

    Raises:
        InputError: when it is a file, a folder of something else, or lies in a place we cannot write to.
    """
    if out.exists() and not out.is_dir():
        raise InputError("out", out, "a folder, or a name that is free")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
        raise InputError("out", out, f"empty, new, or an earlier result (it has no {MARK})")
    parent = out.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError("out", out, f"a folder that can be written ({parent} cannot)")
    if out.is_dir() and not os.access(out, os.W_OK):
        raise InputError("out", out, "a folder that can be written")


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success it takes the place of `out`, on failure it vanishes.

    Raises:
        InputError: as `require_writable`, or when the disk refuses.
    """
    require_writable(out)
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InputError("out", out, f"a folder that can be written ({error.strerror})") from error
    try:
        aside.chmod(0o755)
        yield aside
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
            os.replace(out, old / out.name)
            os.replace(aside, out)
            shutil.rmtree(old)
        else:
            os.replace(aside, out)
    except OSError as error:
        raise InputError("out", out, f"a folder that can be written ({error.strerror})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write one JSON document, with undefined numbers refused rather than written as NaN."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def provenance(command: str) -> dict[str, Any]:
    """Return what a reader needs to judge a number: the command, versions, device, precision."""
    packages = ("fpo-jax", "jax", "jaxlib", "lineax", "optax", "flax", "numpy", "scipy")
    return {
        "command": command,
        "versions": {name: importlib.metadata.version(name) for name in packages}
        | {"python": platform.python_version()},
        "device": str(jax.devices()[0].device_kind),
        "platform": jax.default_backend(),
        "precision": str(jnp.result_type(float)),
    }


def write_run(out: Path, result: Result) -> None:
    """Write a run's folder: `config.json`, `metrics.npz` with arrays [seed, step], `summary.json`, figures.

    `metrics.npz` also names its rows (`seed`), the optimum of each, and the seeds that diverged.
    """
    from experiments import figures

    with replacing(out) as folder:
        write_json(folder / MARK, result.settings.as_dict())
        arrays: dict[str, np.ndarray] = result.metrics | {
            "seed": result.seeds,
            "optimum": result.optimum,
            "diverged_seed": np.array(list(result.diverged), dtype=int),
            "diverged_iteration": np.array(list(result.diverged.values()), dtype=int),
        }
        with (folder / "metrics.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        write_json(folder / "summary.json", summary(result) | provenance(result.settings.command()))
        figures.save_all(figures.overview({result.settings.names.objective: result}), folder)
