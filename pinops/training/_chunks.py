"""Means over many rows, one chunk after the other.

What a chunk computes stays in a cache, or in the memory of an accelerator: the same numbers in less
time (`benchmarks/step_cost.py`, `benchmarks/chunks.py`, `benchmarks/cape.py --step`). Within the
forward pass alone chunks do not pay, because whatever the backward pass needs is then written to
memory all the same.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import subjaxprs
from jaxtyping import Array, PyTree

from pinops.losses import Term, Weights
from pinops.optimizers import Objective
from pinops.training._contracts import Params
from pinops.training._devices import POINTS, on_each

# Measured for FNOs of one to three axes (benchmarks/chunks.py): a Fourier layer on a
# plane has a matrix for each of hundreds of modes, and few rows leave them idle.
_SHARED = 28


def on_rows(
    terms: Callable[[Any, Params, Any], dict[str, Term]], model: Any, params: Params, rows: Any
) -> dict[str, Term]:
    """``terms(model, params, rows)``, where the devices of the model share the rows.

    Args:
        terms: The terms of some rows, on one device.
        model: A `Trainable`.
        params: Its parameters.
        rows: What a step sees, a sample in each row of its arrays.
    """

    def own(shared: Any, rows: Any) -> dict[str, Term]:
        whole, params = shared
        return terms(whole, params, rows)

    if model.mesh is None:
        found = own((model, params), rows)
    else:
        found = on_each(own, model.mesh, (model, params), rows, together=False)
    return {name: term.flat() for name, term in found.items()}


def in_chunks(model: Any, rows: Any, weights: Weights, *, budgets: int = 1) -> Objective:
    """The loss of some rows and its gradient: shared among the devices, a few rows at once on each.

    Args:
        model: A `Trainable`, whose ``terms`` of rows are means over them.
        rows: What a step sees, a sample in each row of its arrays.
        weights: Of the terms.
        budgets: As for `chunk_of`.
    """

    def value_and_gradient(params: Params) -> tuple[Array, Params]:
        if model.mesh is None:
            return _gradient(model, params, rows, weights, budgets)

        def own(shared: Any, rows: Any) -> tuple[Array, Params]:
            whole, params, weights = shared
            alone = dataclasses.replace(whole, mesh=None)
            return jax.lax.pmean(_gradient(alone, params, rows, weights, budgets), POINTS)

        return on_each(own, model.mesh, (model, params, weights), rows, together=True)

    return value_and_gradient


def _gradient(
    model: Any, params: Params, rows: Any, weights: Weights, budgets: int
) -> tuple[Array, Params]:
    """The loss and its gradient, on one device."""
    arrays, rest = eqx.partition(rows, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)

    def some(leaves: list[Array]) -> Any:
        return eqx.combine(jax.tree.unflatten(structure, leaves), rest)

    def of_chunk(leaves: list[Array]) -> tuple[Array, Params]:
        def loss(params: Params) -> Array:
            return sum(model.terms(params, some(leaves), weights).values(), start=jnp.zeros(()))

        return jax.value_and_grad(loss)(params)

    def program(count: int) -> Any:
        some_rows = some([leaf[:count] for leaf in leaves])
        return jax.make_jaxpr(lambda params: model.residuals(params, some_rows))(params).jaxpr

    chunk = chunk_for(program, len(leaves[0]), params, budgets=budgets)
    return mean_of_chunks(of_chunk, leaves, chunk)


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


def chunk_for(
    program: Callable[[int], Any], total: int, params: PyTree, *, budgets: int = 1
) -> int:
    """How many rows a step takes at once, of which every chunk reads and changes all parameters.

    Args:
        program: As for `chunk_of`.
        total: How many rows there are.
        params: The parameters.
        budgets: As for `chunk_of`.
    """
    shared = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return chunk_of(program, total, budgets=budgets, shared=shared)


def chunk_of(
    program: Callable[[int], Any], total: int, *, budgets: int = 1, shared: int = 0
) -> int:
    """How many rows are taken at once: a divisor of their number, if one has the right size.

    Args:
        program: From a number of rows to the jaxpr of their computation.
        total: How many rows there are.
        budgets: How many times `chunk_bytes` a chunk may take.
        shared: The bytes of the parameters, which every chunk reads and whose gradient it adds: a
            chunk takes at least `_SHARED` times as much, whatever its budget.
    """
    if total == 1:
        return 1

    def size(count: int) -> int:
        return _intermediate_bytes(program(count))

    each = max(1, size(2) - size(1))  # what is the same for all rows does not count
    fitting = max(1, budgets * chunk_bytes() // each, _SHARED * shared // each)
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
