"""Encoders of several inputs: which of them each sees, and how their outputs become one."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks._convolutional import Convolutional
from pinops.networks._encoder import Encoder, EncoderArchitecture, Shapes, Vectors
from pinops.networks._kriging import Kriging
from pinops.networks._network import Architecture
from pinops.problem import Inputs, at_sensors
from pinops.settings import Instance, Several, instance, setting

ENCODER = "an encoder such as Convolutional(), or an architecture such as MLP(100, 4)"
SELECTED = "an encoder such as Selected(('source',), MLP(100, 4))"


def encoder_setting() -> Any:
    """An encoder, an architecture for vectors and numbers, or None: the one that fits."""
    kinds = (Architecture, EncoderArchitecture)
    return instance(kinds, None, what=ENCODER, optional=True)


class SelectedEncoder(Encoder):
    """An encoder that is shown some of the inputs.

    Attributes:
        names: Of the inputs that it is shown.
        encoder: What sees them.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    encoder: Encoder

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        return self.encoder({name: inputs[name] for name in self.names})


class Selected(EncoderArchitecture):
    """An encoder of some of the inputs: ``Selected(("modulus", "viscosity"), MLP(32, 2))``.

    Args:
        names: Of these inputs, at least one.
        encoder: An encoder, or an architecture for vectors and numbers (None: the one that fits
            their shapes).
    """

    names: tuple[str, ...] = setting(Several(Instance(str, "the name of an input"), least=1))
    encoder: Architecture | EncoderArchitecture | None = encoder_setting()

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> SelectedEncoder:
        for name in self.names:
            if name not in shapes:
                raise ValueError(
                    f"Selected: there is no input {name}; the family has "
                    f"{', '.join(sorted(shapes))}"
                )
        some = {name: shapes[name] for name in self.names}
        built = encoder_for(self.encoder, some).build(some, out_size, key=key)
        return SelectedEncoder(self.names, built)


class ProductEncoder(Encoder):
    """The elementwise product of what several encoders make of the inputs.

    Attributes:
        encoders: The factors.
    """

    encoders: list[Encoder]

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        first, *others = [encoder(inputs) for encoder in self.encoders]
        for other in others:
            first = first * other
        return first


class Product(EncoderArchitecture):
    """Several encoders whose outputs are multiplied elementwise.

    As in MIONet (Jin, Meng & Lu 2022, arXiv:2202.06137). Products are what operators of several
    inputs are approximated by there: low-rank tensors of operators of one input each.

    Args:
        encoders: Such as ``(Selected(("viscosity",), MLP(32, 2)), Selected(("medium",),
            Convolutional()))``, which together see every input. Default, ``()``: one for every
            vector and every function at sensors of its own, one for all images of the same size,
            and one for all numbers together.
    """

    encoders: tuple[EncoderArchitecture, ...] = setting(
        Several(Instance(EncoderArchitecture, SELECTED), least=0), ()
    )

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> ProductEncoder:
        encoders = self.encoders or tuple(Selected(names) for names in _groups(shapes))
        if all(isinstance(encoder, Selected) for encoder in encoders):
            selected = [encoder for encoder in encoders if isinstance(encoder, Selected)]
            seen = {name for encoder in selected for name in encoder.names}
            if unseen := sorted(shapes.keys() - seen):
                raise ValueError(
                    f"Product: no encoder sees {', '.join(unseen)}; add Selected({tuple(unseen)!r})"
                )
        keys = jax.random.split(key, len(encoders))
        return ProductEncoder(
            [e.build(shapes, out_size, key=k) for e, k in zip(encoders, keys, strict=True)]
        )


def _groups(shapes: Shapes) -> list[tuple[str, ...]]:
    """The inputs that share an encoder: all numbers; images of one size; each of the others."""
    groups: dict[object, list[str]] = {}
    for name in sorted(shapes):
        shape = shapes[name]
        alone = len(shape) == 1 or at_sensors(shape)
        kind = name if alone else shape[:2] if shape else "numbers"
        groups.setdefault(kind, []).append(name)
    return [tuple(names) for names in groups.values()]


def encoder_for(
    chosen: Architecture | EncoderArchitecture | None, shapes: Shapes
) -> EncoderArchitecture:
    """What was chosen as an encoder; None: the one that fits the shapes.

    That is `Vectors` for vectors and numbers, `Convolutional` for images of one size, `Kriging`
    for a function at sensors of its own, `Product` for several of these.

    Args:
        chosen: An encoder, an architecture for vectors and numbers, or None.
        shapes: Of the inputs, by name.

    Returns:
        The encoder.

    Raises:
        ValueError: For an architecture that cannot take inputs of these shapes.
    """
    if isinstance(chosen, EncoderArchitecture):
        return chosen
    if isinstance(chosen, Architecture):
        return Vectors(chosen)
    if all(len(shape) < 2 for shape in shapes.values()):
        return Vectors()
    if any(at_sensors(shape) for shape in shapes.values()):
        return Kriging() if len(shapes) == 1 else Product()
    sizes = {shape[:2] for shape in shapes.values()}
    images = all(len(shape) > 1 for shape in shapes.values())
    return Convolutional() if images and len(sizes) == 1 else Product()
