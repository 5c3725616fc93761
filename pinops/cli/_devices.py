"""Cores and accelerators: how many JAX sees, and how many share the work."""

import os

import jax

from pinops.cli._arguments import Usage
from pinops.data import cache_folder

_SHARED = 8  # cores that share the work by default, at most
_MOST = 64  # devices on a machine of few cores: thousands of them exhaust its threads


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_devices(count: int | None) -> None:
    """Let JAX see this many devices in the CPU, by default its cores or what the user has set.

    Raises:
        Usage: For a number that the machine does not take.
    """
    if count is None:
        flags = os.environ.get("XLA_FLAGS", "")
        if "JAX_NUM_CPU_DEVICES" in os.environ or "xla_force_host_platform_device_count" in flags:
            return
        count = min(cores(), _SHARED)
    most = max(_MOST, 8 * cores())
    if not 1 <= count <= most:
        raise Usage(f"--devices must be a whole number from 1 to {most} here, got {count}")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # JAX has started, in a Python that called this before
        return


def sharing(points: int) -> int | None:
    """How many cores share the points, a power of two; None where there is an accelerator."""
    if jax.default_backend() != "cpu":
        return None
    return max(n for n in (1, 2, 4, 8) if n <= len(jax.devices()) and points % n == 0)


def switch_on_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless the user has chosen one."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
