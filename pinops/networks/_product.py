"""Encoders of several inputs: which of them each sees, and how their outputs become one."""

from collections.abc import Mapping

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks._convolutional import Convolutional
from pinops.networks._encoder import Encoder, EncoderArchitecture, Shapes, Vectors
from pinops.networks._network import Architecture


class SelectedEncoder(Encoder):
    """An encoder that is shown some of the inputs."""

    names: tuple[str, ...] = eqx.field(static=True)
    encoder: Encoder

    def __call__(self, inputs: Mapping[str, Float[Array, "..."]]) -> Float[Array, " o"]:
        return self.encoder({name: inputs[name] for name in self.names})


class Selected(EncoderArchitecture):
    """An encoder of some of the inputs: ``Selected(("modulus", "viscosity"), MLP(32, 2))``.

    Args:
        names: Of these inputs, at least one.
        encoder: An encoder, or an architecture for vectors and numbers (None: the one that fits
            their shapes).
    """

    names: tuple[str, ...] = eqx.field(static=True)
    encoder: Architecture | EncoderArchitecture | None = None

    def __check_init__(self):
        names = self.names
        if not isinstance(names, tuple) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError(f"Selected: names must be a tuple of names of inputs, got {names!r}")
        check_encoder("Selected", "encoder", self.encoder)

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
    """The elementwise product of what several encoders make of the inputs."""

    encoders: list[Encoder]

    def __call__(self, inputs: Mapping[str, Float[Array, "..."]]) -> Float[Array, " o"]:
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
            vector, one for all images of the same size, each of its own, and one for all numbers
            together.
    """

    encoders: tuple[EncoderArchitecture, ...] = ()

    def __check_init__(self):
        given = self.encoders
        if not isinstance(given, tuple) or not all(
            isinstance(e, EncoderArchitecture) for e in given
        ):
            raise ValueError(
                "Product: encoders must be a tuple of encoders such as Selected(('source',), "
                f"MLP(100, 4)), got {given!r}"
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
    """The inputs that share an encoder: all numbers; each vector; images of one size."""
    groups: dict[object, list[str]] = {}
    for name in sorted(shapes):
        shape = shapes[name]
        kind = "numbers" if not shape else name if len(shape) == 1 else shape[:2]
        groups.setdefault(kind, []).append(name)
    return [tuple(names) for names in groups.values()]


def encoder_for(
    chosen: Architecture | EncoderArchitecture | None, shapes: Shapes
) -> EncoderArchitecture:
    """What was chosen as an encoder; None: the one that fits the shapes.

    That is `Vectors` for vectors and numbers, `Convolutional` for images of one size, `Product` for
    several of both.
    """
    if isinstance(chosen, EncoderArchitecture):
        return chosen
    if isinstance(chosen, Architecture):
        return Vectors(chosen)
    if all(len(shape) < 2 for shape in shapes.values()):
        return Vectors()
    sizes = {shape[:2] for shape in shapes.values()}
    images = all(len(shape) > 1 for shape in shapes.values())
    return Convolutional() if images and len(sizes) == 1 else Product()


def check_encoder(owner: str, setting: str, chosen: object) -> None:
    """Raises ValueError for a setting that is neither an encoder nor an architecture nor None."""
    if not isinstance(chosen, Architecture | EncoderArchitecture | None):
        raise ValueError(
            f"{owner}: {setting} must be an architecture such as MLP(100, 4), or an encoder such "
            "as Convolutional(), "
            f"got {chosen!r}"
        )
