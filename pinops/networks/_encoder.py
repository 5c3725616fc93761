"""Encoders: what is given of a problem, named inputs, to a vector of coefficients.

An operator sees ``{"source": (50,), "medium": (29, 29, 2), "viscosity": ()}``. How vectors, images
or anything else become numbers is the affair of an *encoder*: ``Vectors(MLP(100, 4))`` concatenates
vectors and numbers, `Convolutional` looks at images, `Kriging`, `Attention` and `DeepSet` at
functions whose sensors differ from problem to problem, ``Product`` multiplies what several make of
their own inputs. A new one subclasses `EncoderArchitecture` and `Encoder`; no operator changes for
it.
"""

import abc
from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks._gated import ModifiedMLP
from pinops.networks._network import NETWORK, Architecture
from pinops.problem import Inputs, at_sensors
from pinops.settings import check_settings, instance

Shapes = Mapping[str, tuple[int, ...]]


class Encoder(eqx.Module):
    """Abstract: the named inputs of one problem to a vector; batches are `jax.vmap`."""

    @abc.abstractmethod
    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        """The coefficients that these inputs give.

        Args:
            inputs: By name, of the shapes that the encoder was built for, each less its mean over
                the family and divided by its standard deviation, entry by entry.
        """


class EncoderArchitecture(eqx.Module):
    """Abstract: a description that builds encoders."""

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> Encoder:
        """An encoder with fresh parameters of the current default float type.

        Args:
            shapes: Of every input, by name: ``()`` a number, ``(m,)`` a vector, ``(h, w)`` or ``(h,
                w, c)`` an image, ``(-1, d, c)`` a function at sensors of its own.
            out_size: How many coefficients, >= 1.
            key: Of its random parameters.

        Raises:
            ValueError: For inputs that it cannot take.
        """


class VectorEncoder(Encoder):
    """A network of the vectors and numbers with these names, one behind the other.

    Attributes:
        names: Of the inputs, in their order.
        network: From the vector to coefficients.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    network: Callable[[Array], Array]

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        return self.network(
            jnp.concatenate([jnp.asarray(inputs[name]).ravel() for name in self.names])
        )


class Vectors(EncoderArchitecture):
    """Vectors and numbers, concatenated in the order of their names, through one network.

    Args:
        network: The architecture, such as ``MLP(100, 4)``.
    """

    network: Architecture = instance(Architecture, ModifiedMLP(100, 4), what=NETWORK)

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> VectorEncoder:
        for name, shape in shapes.items():
            if at_sensors(shape):
                raise ValueError(
                    f"the input {name} has sensors that differ from sample to sample, which "
                    f"{type(self.network).__name__} does not take; choose Kriging() or "
                    "Attention() as branch, or Product() for several inputs"
                )
            if len(shape) > 1:
                raise ValueError(
                    f"the input {name} is an image of shape {shape}, which "
                    f"{type(self.network).__name__} does not take; "
                    "choose Convolutional as branch, or Product() for images beside vectors"
                )
        names = tuple(sorted(shapes))
        size = sum(shapes[name][0] if shapes[name] else 1 for name in names)
        return VectorEncoder(names, self.network.build(size, out_size, key=key))
