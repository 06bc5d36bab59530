"""Where a command computes, and where its compiled programs are kept."""

import contextlib
import os
import platform

import jax
import platformdirs

from fpo_jax.hyperparameters import InputError


def use_every_core() -> None:
    """Ask JAX for a host device per core, over which seeds are spread, unless the user has said how many."""
    asked = "JAX_NUM_CPU_DEVICES" in os.environ
    if not asked and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # too late: this process computes already
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def use_device(device: str | None) -> None:
    """Compute on this kind of device: cpu, gpu or tpu; where JAX likes best when None.

    Raises:
        InputError: when JAX finds none of the kind.
    """
    if device is None:
        return
    if device == "cpu":
        with contextlib.suppress(RuntimeError):  # too late: this process computes already
            jax.config.update("jax_platforms", device)
    if (found := jax.default_backend()) != device:
        raise InputError(
            "device", device, f"what JAX finds here: {found} (a GPU needs `pip install 'jax[cuda12]'`)"
        )


def keep_compiled() -> None:
    """Let JAX keep what it compiles in the user's cache folder, unless it was told where, or not to.

    A folder for each machine, since a program is compiled for the processor that it runs on. JAX's own
    settings decide: `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing, `JAX_COMPILATION_CACHE_DIR` names the
    folder.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    folder = platformdirs.user_cache_path("fpo-jax") / platform.node()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # nothing can be kept there
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_compilation_cache_max_size", 2**30)
