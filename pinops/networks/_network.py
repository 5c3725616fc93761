"""Networks: functions of features with trainable parameters, and their architectures.

An *architecture* is a description without parameters (``MLP(width=20, depth=3)``); ``build`` makes
a network of it for a given number of features and unknowns.  A network is any callable
``(features,) -> (unknowns,)`` whose arrays are its parameters; one that also has ``jet`` carries
its own partial derivatives (fast), any other is differentiated by nested forward mode.
"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pinops.derivatives import Jet, Plan, derivatives_of, elementwise, linear
from pinops.settings import check_settings, function, number, whole

# Every layer is a part of the compiled program: compile time grows with the depth, memory with the
# width.
MAX_WIDTH, MAX_DEPTH = 100_000, 200
NETWORK = "an architecture such as MLP(20, 2)"

activations: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sin": jnp.sin,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
}


class Architecture(eqx.Module):
    """Abstract: a description that builds networks."""

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> Callable[[Array], Array]:
        """A network ``(in_size,) -> (out_size,)`` with fresh parameters of the default
        float type.
        """


def is_plain(network: Any) -> bool:
    """Whether a network, architecture or operator must see each coordinate itself.

    It says so by an attribute ``plain``, or ``local``. No two functions without slope can stand in
    for a coordinate where the parts of a network lie somewhere in the domain, where it is an
    expansion in the coordinates, and where it treats all of them alike.

    Args:
        network: Any network, architecture or operator.
    """
    return getattr(network, "plain", False) or getattr(network, "local", False)


class JetNetwork(eqx.Module):
    """Abstract: a network that carries its own partial derivatives."""

    def __call__(self, features: Float[Array, " i"]) -> Float[Array, " o"]:
        """Evaluate at one point; use `jax.vmap` for a batch."""
        return self.jet({(): features[None]}, Plan())[()][0]

    @abc.abstractmethod
    def jet(self, features: Jet, plan: Plan) -> Jet:
        """Evaluate at a batch of points together with the partial derivatives of the plan."""

    def fitted_first(self) -> PyTree:
        """A last layer that is fitted to data, by least squares, before training; None for none."""
        return None

    def relocated(self, features: Float[Array, "n i"], scores: Float[Array, " n"]) -> "JetNetwork":
        """The network with idle parts moved to where the residual is large, ``scores`` at
        ``features``; itself where none is.

        Called on the host whenever points are drawn anew; the optimizer then starts afresh.
        """
        return self

    def remarks(self, points: int) -> list[str]:
        """Warnings about the parameters, for a given number of collocation points."""
        return []


def glorot(key: PRNGKeyArray, in_size: int, out_size: int) -> Float[Array, "{in_size} {out_size}"]:
    """Normal weights of variance ``2 / (in_size + out_size)`` (Glorot & Bengio 2010)."""
    return jax.random.normal(key, (in_size, out_size)) * jnp.sqrt(2 / (in_size + out_size))


class MLPNetwork(JetNetwork):
    """A multilayer perceptron, ``x -> W_L s(... s(W_1 x + b_1) ...) + b_L``.

    Attributes:
        weights: W_1, ..., W_L.
        biases: b_1, ..., b_L.
        activation: s.
    """

    weights: list[Float[Array, "_i _o"]]
    biases: list[Float[Array, " _o"]]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        derivatives = derivatives_of(self.activation)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            features = elementwise(derivatives, linear(features, weight, bias), plan)
        return linear(features, self.weights[-1], self.biases[-1])


class MLP(Architecture):
    """Multilayer perceptron with Glorot-normal weights and zero biases (Glorot & Bengio 2010).

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: an elementwise function, smooth enough for the derivatives that the residual
            asks for.
    """

    width: int = whole(20, most=MAX_WIDTH)
    depth: int = whole(3, most=MAX_DEPTH)
    activation: Callable[[Array], Array] = function(jnp.tanh)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> MLPNetwork:
        sizes = [in_size, *[self.width] * self.depth, out_size]
        keys = jax.random.split(key, len(sizes) - 1)
        weights = [glorot(k, i, o) for k, i, o in zip(keys, sizes, sizes[1:], strict=False)]
        return MLPNetwork(weights, [jnp.zeros(o) for o in sizes[1:]], self.activation)


class SIREN(Architecture):
    """A multilayer perceptron of sines whose first layer spans a band of frequencies.

    Sitzmann et al. 2020 (arXiv:2006.09661), section 3.2.

    For solutions that oscillate: tanh networks find low frequencies long before high ones.

    The first layer starts with ``sin(w x + b)``, w uniform in ``(-frequency, frequency) / inputs``
    for inputs in (-1, 1), b uniform in (-pi, pi); the other layers with weights uniform in
    ``+-sqrt(6 / width)``, which keeps the size of what passes through.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        frequency: largest angular frequency of the first layer, greater than 0.
    """

    width: int = whole(30, most=MAX_WIDTH)
    depth: int = whole(3, most=MAX_DEPTH)
    frequency: float = number(30.0, above=0, most=1e6)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> MLPNetwork:
        sizes = [in_size, *[self.width] * self.depth, out_size]
        first, *rest, phases = jax.random.split(key, len(sizes))

        def uniform(key: PRNGKeyArray, shape: tuple[int, ...], bound: float) -> Array:
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        weights = [uniform(first, tuple(sizes[:2]), self.frequency / in_size)]
        weights += [
            uniform(k, (i, o), (6 / i) ** 0.5)
            for k, i, o in zip(rest, sizes[1:], sizes[2:], strict=False)
        ]
        biases = [uniform(phases, (self.width,), jnp.pi), *(jnp.zeros(o) for o in sizes[2:])]
        return MLPNetwork(weights, biases, jnp.sin)


def trainable(network: Any) -> Any:
    """A filter for `equinox.partition`: floating-point arrays, except those under a `Frozen`.

    Args:
        network: A network, or any tree of arrays.

    Returns:
        The same tree with True where an array is trained.
    """

    def mark(node):
        if isinstance(node, Frozen):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, network, is_leaf=lambda node: isinstance(node, Frozen))


class Frozen(eqx.Module):
    """Arrays that belong to a network and are not trained (batch statistics, for one).

    Args:
        tree: The arrays.
    """

    tree: Any
