"""Means over many rows, one chunk after the other.

What a chunk computes stays in a cache, or in the memory of an accelerator: the same numbers in less
time (`benchmarks/step_cost.py`, `benchmarks/cape.py --step`). Within the forward pass alone chunks
do not pay, because whatever the backward pass needs is then written to memory all the same.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import subjaxprs
from jaxtyping import Array, PyTree


def mean_of_chunks(
    part: Callable[[list[Array]], PyTree], leaves: list[Array], chunk: int
) -> PyTree:
    """The mean over all rows of the leaves.

    Args:
        part: From some rows to the mean over them.
        leaves: Arrays with the same number of rows.
        chunk: How many rows are taken at once.
    """
    total = len(leaves[0])
    if chunk == total:
        return part(leaves)

    def share(mean, leaves):
        return jax.tree.map(lambda x: x * len(leaves[0]) / total, mean)

    def add(mean, leaves):
        return (jax.tree.map(jnp.add, mean, share(part(leaves), leaves)), None)

    whole = total // chunk * chunk
    chunks = [leaf[:whole].reshape(total // chunk, chunk, *leaf.shape[1:]) for leaf in leaves]
    zero = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part, [leaf[0] for leaf in chunks])
    )
    mean = jax.lax.scan(add, zero, chunks)[0]
    return mean if whole == total else add(mean, [leaf[whole:] for leaf in leaves])[0]


def chunk_of(program: Callable[[int], Any], total: int, budgets: int = 1) -> int:
    """How many rows are taken at once: a divisor of their number, if one has the right size.

    Args:
        program: From a number of rows to the jaxpr of their computation.
        total: How many rows there are.
        budgets: How many times `chunk_bytes` a chunk may take.
    """
    if total == 1:
        return 1

    def size(count: int) -> int:
        return _intermediate_bytes(program(count))

    each = max(1, size(2) - size(1))  # what is the same for all rows does not count
    fitting = max(1, budgets * chunk_bytes() // each)
    divisor = max(n for n in range(1, total + 1) if total % n == 0 and (n <= fitting or n == 1))
    return divisor if 2 * divisor > min(fitting, total) else fitting


def chunk_bytes() -> int:
    """What the intermediate results of a chunk on one device may take before fusion.

    A core is fastest with what stays in its cache (benchmarks/step_cost.py). Several cores could
    share the work on larger arrays, but on a busy machine fresh pages for these cost more than that
    gains.
    """
    return 8 * 2**20 if jax.default_backend() == "cpu" else 2 * 2**30


def _intermediate_bytes(jaxpr: Any) -> int:
    """The bytes of everything that a program computes, before the compiler fuses any of it."""
    own = sum(
        math.prod(out.aval.shape) * out.aval.dtype.itemsize
        for equation in jaxpr.eqns
        for out in equation.outvars
    )
    return own + sum(_intermediate_bytes(inner) for inner in subjaxprs(jaxpr))
