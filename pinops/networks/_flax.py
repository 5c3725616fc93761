"""Bring your own Flax network: Linen and NNX modules as architectures. The only file that imports
flax.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import linen, nnx
from jaxtyping import Array, PRNGKeyArray

from pinops.networks._network import Architecture, Frozen
from pinops.settings import Function, Instance, setting


def _as_default_float(tree: Any) -> Any:
    """Flax keeps parameters in float32 unless told otherwise; train in the precision of the run."""
    return jax.tree.map(
        lambda x: x.astype(jnp.result_type(float)) if eqx.is_inexact_array(x) else x, tree
    )


class LinenNetwork(eqx.Module):
    """A Linen module with its variables; collections other than ``params`` are frozen."""

    params: Any
    rest: Frozen
    module: linen.Module = eqx.field(static=True)

    def __call__(self, features: Array) -> Array:
        return self.module.apply({"params": self.params, **self.rest.tree}, features)  # pyright: ignore[reportReturnType]


class FromLinen(Architecture):
    """A Linen module that maps ``(features,)`` to ``(unknowns,)``, as an architecture.

    Args:
        module: The Linen module; its parameters are made when a training begins.
    """

    module: linen.Module = setting(
        Instance(linen.Module, "a Linen module such as nn.Dense(1)"), static=True
    )

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> LinenNetwork:
        variables = dict(self.module.init(key, jnp.zeros(in_size)))
        params = variables.pop("params", {})
        return LinenNetwork(
            _as_default_float(params), Frozen(_as_default_float(variables)), self.module
        )


class NNXNetwork(eqx.Module):
    """An NNX module split into parameters and the rest; the rest is frozen."""

    params: Any
    rest: Frozen
    graph: Any = eqx.field(static=True)

    def __call__(self, features: Array) -> Array:
        before = jax.tree.leaves(self.rest.tree)
        # Copies: without them the module shares its variables with this network, which must not
        # change.
        module = nnx.merge(self.graph, self.params, self.rest.tree, copy=True)
        out = module(features)
        after = jax.tree.leaves(nnx.split(module, nnx.Param, ...)[2])
        if len(before) != len(after) or any(
            old is not new for old, new in zip(before, after, strict=True)
        ):
            raise ValueError(
                "the NNX module changes its own state when called; call module.eval() before you "
                "hand it over"
            )
        return out

    def unwrap(self) -> nnx.Module:
        """The NNX module with the present parameters."""
        return nnx.merge(self.graph, self.params, self.rest.tree, copy=True)


class FromNNX(Architecture):
    """An NNX module as an architecture.

    Example:
        >>> from flax import nnx
        >>> from pinops.networks import FromNNX
        >>> network = FromNNX(lambda i, o, rngs: nnx.Linear(i, o, rngs=rngs))

    Args:
        factory: From the numbers of inputs and outputs and random keys to a module.
    """

    factory: Callable[[int, int, nnx.Rngs], nnx.Module] = setting(Function())

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> NNXNetwork:
        module = self.factory(in_size, out_size, nnx.Rngs(key))
        graph, params, rest = nnx.split(module, nnx.Param, ...)
        return NNXNetwork(_as_default_float(params), Frozen(_as_default_float(rest)), graph)
