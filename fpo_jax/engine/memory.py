"""How much memory a program takes, and how much is free."""

from typing import Any

import jax
import psutil


def program_bytes(program: Any) -> int:
    """Return what a compiled program takes on one device while it runs: arguments, results, all between."""
    stats = program.memory_analysis()
    return stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes


def free_bytes() -> float:
    """Return the memory that is free on one device; host devices divide the host's among them."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return psutil.virtual_memory().available / jax.local_device_count()
