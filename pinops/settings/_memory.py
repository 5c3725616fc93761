"""Whether what a program would allocate fits into the memory that there is, found without
allocating anything.
"""

import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

# Limits of a container, which are lower than what the machine has.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_of_machine() -> int | None:
    """Bytes of the device that JAX computes on: of an accelerator, or of the machine; None where it
    is not known.
    """
    device = jax.devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    return _memory_of_host()


def _memory_of_host() -> int | None:
    """Bytes of the machine, or of the container."""
    found = []
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with suppress(ValueError, OSError):
            found.append(int(path.read_text()))
    return min((size for size in found if size > 0), default=None)


def share_of_memory(most: int) -> int:
    """Bytes for what may be as large as there is room for: ``most``, or an eighth of the memory
    that is left, since a program holds several copies of it for a while.

    What is left is that of the machine, and under a limit of the address space (``ulimit -v``) what
    this process has not taken of that.
    """
    left = [_memory_of_host()]
    with suppress(ImportError, OSError, ValueError):  # there are none but on Linux
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            left.append(max(0, limit - pages * resource.getpagesize()))
    return min([most, *(size // 8 for size in left if size is not None)])


def shape_of(build: Callable[[], Any]) -> Any:
    """What ``build()`` returns, with shapes in place of arrays: nothing is computed, and nothing
    allocated.
    """
    return eqx.filter_eval_shape(build)


def numbers_in(tree: Any) -> int:
    """How many numbers the arrays (or shapes) of a tree hold."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape"))


def check_fits(
    owner: str,
    numbers: int,
    dtype: Any = np.float64,
    *,
    what: str = "numbers",
    remedy: str = "choose smaller ones",
) -> None:
    """Refuse what does not fit into memory, before it is allocated.

    Args:
        owner: what is too large, such as "MLP(width=100000)".
        numbers: how many numbers it holds.
        dtype: their type.
        what: what they are: "parameters", "points".
        remedy: how it becomes smaller.

    Raises:
        ValueError: with the size, and that of the memory.
    """
    size, memory = numbers * np.dtype(dtype).itemsize, memory_of_machine()
    if memory is not None and size > memory:
        raise ValueError(
            f"{owner} has {numbers:.1e} {what}, {_size(size)}, and this machine has "
            f"{_size(memory)}; {remedy}"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
