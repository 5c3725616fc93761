"""Mixed precision: networks compute in bfloat16, and all else stays as it is.

Parameters, what goes in and what comes out keep their precision; inside there are 8 bits of
mantissa, of which 1 is not stored, in half of the memory. Values only: derivatives of a network by
the coordinates would lose the digits that an equation needs, and are computed as always.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pinops.derivatives import Jet, Plan
from pinops.networks._encoder import Encoder
from pinops.networks._network import JetNetwork

COMPUTE_DTYPES = ("bfloat16",)
T = TypeVar("T")


def computed_in(dtype: str | None, network: Callable[..., T], *arguments: Any) -> T:
    """``network(*arguments)``, with the arrays of the network and the arguments in a narrower type.

    Args:
        dtype: "bfloat16"; None: as it is.
        network: A module, a method of one, or a function whose first argument is one.
        arguments: What it is called with.

    Returns:
        What it gives, in the precision that is in force.
    """
    if dtype is None:
        return network(*arguments)
    narrow = _cast(network, dtype)(*_cast(arguments, dtype))
    return _cast(narrow, jnp.result_type(float))


def _cast(tree: PyTree, dtype: Any) -> Any:
    """The tree with its floating-point arrays in another type."""

    def cast(leaf: Any) -> Any:
        is_array = isinstance(leaf, jax.Array | np.ndarray) and eqx.is_inexact_array(leaf)
        return jnp.asarray(leaf, dtype) if is_array else leaf

    return jax.tree.map(cast, tree)


def _values(network: JetNetwork, features: Jet) -> Jet:
    return network.jet(features, Plan())


class NarrowNetwork(JetNetwork):
    """A network that computes its values in a narrower type, and its derivatives as always."""

    network: JetNetwork
    dtype: str = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        if plan != Plan():
            return self.network.jet(features, plan)
        return computed_in(self.dtype, _values, self.network, features)


class NarrowEncoder(Encoder):
    """An encoder that computes in a narrower type."""

    encoder: Encoder
    dtype: str = eqx.field(static=True)

    def __call__(self, inputs: Mapping[str, Float[Array, "..."]]) -> Float[Array, " o"]:
        return computed_in(self.dtype, self.encoder, dict(inputs))


def narrowed(operator: T, dtype: str | None) -> T:
    """An operator whose encoders and networks compute in a narrower type: what it does with the
    inputs before them, and with their outputs, stays.
    """
    if dtype is None:
        return operator

    def is_part(node: Any) -> bool:
        return isinstance(node, JetNetwork | Encoder)

    def narrow(node: Any) -> Any:
        if isinstance(node, JetNetwork):
            return NarrowNetwork(node, dtype)
        return NarrowEncoder(node, dtype) if isinstance(node, Encoder) else node

    return jax.tree.map(narrow, operator, is_leaf=is_part)
