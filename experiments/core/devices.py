"""The devices of a command, and the cache of its compiled programs."""

import contextlib
import gc
import os
import platform
import warnings
from collections.abc import Mapping

import jax
import platformdirs

from fpo_jax.engine import kept_programs
from fpo_jax.engine.compilation import OLDER
from fpo_jax.engine.private_folder import make_private
from fpo_jax.errors import InputError
from fpo_jax.internals import gives_sums_away, knows_flag, refused_flags, setting

FLAGS = {
    # XLA would split sums of more than 32 numbers into windows of 32, to reduce rounding. These are
    # computed one number at a time, so that a sum of 50 takes five times as long.
    "xla_disable_hlo_passes": "tree_reduction_rewriter",
    # At level 3 compiling takes longer, and runs take as long.
    "xla_backend_optimization_level": "2",
}
"""Options for XLA."""
OWN_SUMS = {"xla_cpu_experimental_ynn_fusion_type": "-reduce"}
"""Options for an XLA that hands sums to a library. Each sum is then a call, and the terms of some sums go to
memory, so small sums take up to three times longer.
"""
_GIVEN = os.environ.get("XLA_FLAGS", "")
"""The user's flags for XLA."""
GPU_HINT = "`pip install 'jax[cuda12]'` for an NVIDIA GPU"


def use_every_core() -> None:
    """Ask JAX for one host device per core, to spread seeds over, unless the user has set the number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = "JAX_NUM_CPU_DEVICES" in os.environ
    if not asked and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # too late: this process already computes
            jax.config.update("jax_num_cpu_devices", cores)


def check_flags() -> None:
    """Check the user's flags for XLA.

    Raises:
        InputError: when XLA does not accept them, since it would end the process.
    """
    given = os.environ.get("XLA_FLAGS", "")
    refused = refused_flags(given) if given.strip() else None
    if refused is not None:
        raise InputError("XLA_FLAGS", given, f"flags that XLA accepts ({refused})")


def suit_compiler() -> None:
    """Set XLA's flags for small arrays, unless the user has set them or XLA does not know them."""
    tell_xla({name: value for name, value in FLAGS.items() if knows_flag(name)})
    if gives_sums_away():
        tell_xla(OWN_SUMS)


def suit_short_runs() -> None:
    """Make programs compile faster and run slower: for runs that are shorter than their compilation.

    They use one device, since a program for several takes longer to compile, and XLA's older code generator,
    if XLA has it.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # too late: this process already computes
            jax.config.update("jax_num_cpu_devices", 1)
    # Asked in another process, since asking here would use XLA before its flags are set.
    older = {name: str(value).lower() for name, value in OLDER.items()}
    if not any(refused_flags(f"--{name}={value}") for name, value in older.items()):
        tell_xla(older)


def untold() -> dict[str, str]:
    """Return the environment for another process, with the flags that the user gave XLA and no others."""
    return os.environ | {"XLA_FLAGS": _GIVEN}


def tell_xla(flags: Mapping[str, str]) -> None:
    """Give XLA these flags before its first use, except those that are already set.

    If `XLA_FLAGS` names a file of flags, which its first letter shows, the user has set everything.
    """
    told = os.environ.get("XLA_FLAGS", "").split()
    if told and not told[0].startswith("-"):
        return
    told += [f"--{name}={value}" for name, value in flags.items() if not any(name in word for word in told)]
    os.environ["XLA_FLAGS"] = " ".join(told)


def use_device(device: str | None) -> None:
    """Compute on this kind of device: cpu, gpu or tpu; JAX's default if None.

    Raises:
        InputError: when JAX finds none of the kind.
    """
    if device is None:
        return
    if device == "cpu":
        with contextlib.suppress(RuntimeError):  # too late: this process already computes
            jax.config.update("jax_platforms", device)
    found = backend() or "nothing of what JAX_PLATFORMS names"
    if found != device:
        hint = f" ({GPU_HINT})" if device == "gpu" else ""
        raise InputError("device", device, f"a device that JAX finds here: {found}{hint}")


def backend() -> str | None:
    """Return the kind of device that JAX computes on; None if JAX_PLATFORMS names none that exists."""
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError):
        return None


def collect_rarely() -> None:
    """Run garbage collection rarely: tracing makes many objects that stay in use, so it costs a tenth."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache folder, and JAX's own too unless the user set another.

    There is a folder for each machine, since a program is compiled for one processor. Nobody else may write
    to it, since whoever does decides what later commands compute. JAX's own settings apply:
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing, and `JAX_COMPILATION_CACHE_DIR` is the folder of JAX's
    part. A program that cannot be kept or read is silently compiled again.
    """
    if not setting("jax_enable_compilation_cache"):
        return
    warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation cache entry")
    try:
        folder = platformdirs.user_cache_path("fpo-jax") / platform.node()
        # as in an older platformdirs, where the user has no home
        private = make_private(folder) if folder.is_absolute() else None
        if private is None:
            return
    except (OSError, RuntimeError):  # it cannot be written, or the user has no home
        return
    kept_programs.keep_in(private / "exported")
    if setting("jax_compilation_cache_dir") is None:
        jax.config.update("jax_compilation_cache_dir", str(private))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_compilation_cache_max_size", 2**30)
