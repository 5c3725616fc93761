"""Convolutional networks: features of an image, for operators that see functions on a grid."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks._encoder import Encoder, EncoderArchitecture, Shapes
from pinops.networks._network import MAX_DEPTH, MAX_WIDTH, MLP, MLPNetwork
from pinops.problem import Inputs, at_sensors
from pinops.settings import Several, Whole, check_settings, setting, whole


class ConvolutionalNetwork(eqx.Module):
    """Rectified convolutions and means over 2 x 2 points in turn, then a multilayer perceptron.

    Attributes:
        kernels: Of each convolution.
        biases: Of each convolution, by output channel.
        head: The perceptron behind them.
    """

    kernels: list[Float[Array, "_k _k _i _o"]]
    biases: list[Float[Array, " _o"]]
    head: MLPNetwork

    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, " o"]:
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            # One matrix product: convolutions of XLA are slow inside a loop on a CPU.
            patches = _patches(image, kernel.shape[0])
            image = jax.nn.relu(patches @ kernel.reshape(-1, bias.size) + bias[None, None])
            h, w, c = (image.shape[0] // 2, image.shape[1] // 2, image.shape[2])
            image = image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, c).mean((1, 3))
        return self.head(image.ravel())


def _patches(image: Float[Array, "h w c"], size: int) -> Float[Array, "h w k"]:
    """What a kernel of ``size x size`` points sees around every point, zero outside."""
    h, w, _ = image.shape
    padded = jnp.pad(image, (((size - 1) // 2, size // 2),) * 2 + ((0, 0),))
    return jnp.concatenate(
        [padded[i : i + h, j : j + w] for i in range(size) for j in range(size)], -1
    )


class ImageEncoder(Encoder):
    """A network of the images with these names, one behind the other in their channels.

    Attributes:
        names: Of the images, in the order of their channels.
        network: From the image to coefficients.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    network: Callable[[Array], Array]

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        images = [jnp.asarray(inputs[name]) for name in self.names]
        channels = [image[..., None] if image.ndim == 2 else image for image in images]
        return self.network(jnp.concatenate(channels, -1))


class Convolutional(EncoderArchitecture):
    """A branch for functions on a plane grid: convolutions, means over 2 x 2 points, dense layers.

    As in LeCun et al. (1998). Images of one size are seen together, as channels in the order of
    their names.

    Args:
        filters: Channels of every convolution, each >= 1.
        kernel: Grid points of a convolution along each axis, >= 1.
        width: Of the multilayer perceptron of tanh behind, >= 1.
        depth: Of that perceptron, >= 1.
    """

    filters: tuple[int, ...] = setting(Several(Whole(1, 10_000)), (16, 32, 64))
    kernel: int = whole(5, most=99)
    width: int = whole(128, most=MAX_WIDTH)
    depth: int = whole(2, most=MAX_DEPTH)

    def __check_init__(self):
        check_settings(self)

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> ImageEncoder:
        names = tuple(sorted(shapes))
        size, channels = _image_of(names, shapes)
        halved = [n // 2 ** len(self.filters) for n in size]
        if min(halved) < 1:
            raise ValueError(
                f"Convolutional: {len(self.filters)} means over 2 x 2 points leave nothing of "
                f"{size}; give fewer filters"
            )
        *keys, last = jax.random.split(key, len(self.filters) + 1)
        sizes, area = [channels, *self.filters], self.kernel**2
        kernels = [
            jax.random.normal(k, (self.kernel, self.kernel, i, o)) * jnp.sqrt(2 / (area * (i + o)))
            for k, i, o in zip(keys, sizes, sizes[1:], strict=False)
        ]
        features = halved[0] * halved[1] * sizes[-1]
        head = MLP(self.width, self.depth).build(features, out_size, key=last)
        biases = [jnp.zeros(n) for n in self.filters]
        return ImageEncoder(names, ConvolutionalNetwork(kernels, biases, head))


def _image_of(names: tuple[str, ...], shapes: Shapes) -> tuple[tuple[int, int], int]:
    """The size of all images and their channels. Raises ValueError for other inputs."""
    sizes = {}
    for name in names:
        shape = shapes[name]
        if len(shape) not in (2, 3) or at_sensors(shape):
            what = "a number" if not shape else f"of shape {shape}"
            what = "at sensors of its own" if at_sensors(shape) else what
            raise ValueError(
                f"Convolutional: the input {name} is {what}, not an image (h, w) or (h, w, c); "
                "choose MLP as branch, or "
                "Product() for images beside vectors"
            )
        sizes[shape[:2]] = name
    if len(sizes) > 1:
        raise ValueError(
            f"Convolutional: images must be of one size, got {' and '.join(map(str, sizes))} for "
            f"{' and '.join(sizes.values())}; choose Product() as branch"
        )
    ((h, w),) = sizes
    return (h, w), sum(shapes[name][2] if len(shapes[name]) == 3 else 1 for name in names)
