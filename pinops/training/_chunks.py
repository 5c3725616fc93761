"""Means over many rows, a chunk after the other: what a chunk computes stays in a cache, or in the memory of an accelerator."""

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
    """The mean over all rows of the leaves, of which ``part`` gives that over some."""
    total = len(leaves[0])
    if chunk == total:
        return part(leaves)
    share = lambda mean, leaves: jax.tree.map(lambda x: x * len(leaves[0]) / total, mean)
    add = lambda mean, leaves: (jax.tree.map(jnp.add, mean, share(part(leaves), leaves)), None)
    whole = total // chunk * chunk
    chunks = [leaf[:whole].reshape(-1, chunk, *leaf.shape[1:]) for leaf in leaves]
    zero = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part, [leaf[0] for leaf in chunks])
    )
    mean = jax.lax.scan(add, zero, chunks)[0]
    return mean if whole == total else add(mean, [leaf[whole:] for leaf in leaves])[0]


def chunk_of(program: Callable[[int], Any], total: int, budgets: int = 1) -> int:
    """How many of the rows are taken at once: a divisor of their number, where there is one of the right size.

    ``program``: the jaxpr of so many rows; ``budgets``: of `chunk_bytes`.
    """
    if total == 1:
        return 1
    size = lambda count: _intermediate_bytes(program(count))
    fitting = max(
        1, budgets * chunk_bytes() // max(1, size(2) - size(1))
    )  # what is the same for all rows does not count
    divisor = max(n for n in range(1, total + 1) if total % n == 0 and (n <= fitting or n == 1))
    return divisor if 2 * divisor > min(fitting, total) else fitting


def chunk_bytes() -> int:
    """What the intermediate results of a chunk on one device may take before fusion.

    A core is fastest with what stays in its cache (benchmarks/step_cost.py). Several cores could share the work on larger arrays,
    but on a busy machine fresh pages for these cost more than that gains.
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
