"""Convolutional networks: features of an image, for operators that see functions on a
plane grid.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks._network import MAX_DEPTH, MAX_WIDTH, MLP, MLPNetwork
from pinops.settings import Several, Whole, check_settings, setting, whole


class ConvolutionalNetwork(eqx.Module):
    """Rectified convolutions that keep the size, each with the mean over 2 x 2 points behind; then
    a multilayer perceptron.
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


class Convolutional(eqx.Module):
    """A branch for functions on a plane grid (LeCun et al. 1998).

    Convolutions, each with the mean over 2 x 2 points behind, then dense layers.

    Args:
        filters: channels of every convolution.
        kernel: its points along each axis.
        width: units of each hidden layer of the multilayer perceptron of tanh behind.
        depth: number of these layers.
    """

    filters: tuple[int, ...] = setting(Several(Whole(1, 10_000)), (16, 32, 64))
    kernel: int = whole(5, most=99)
    width: int = whole(128, most=MAX_WIDTH)
    depth: int = whole(2, most=MAX_DEPTH)

    def __check_init__(self):
        check_settings(self)

    def build(
        self, shape: tuple[int, int, int], out_size: int, *, key: PRNGKeyArray
    ) -> ConvolutionalNetwork:
        """A network for images of a shape ``(h, w, c)``. Raises ValueError for one that is halved
        too often.
        """
        halved = [size // 2 ** len(self.filters) for size in shape[:2]]
        if min(halved) < 1:
            raise ValueError(
                f"Convolutional: {len(self.filters)} means over 2 x 2 points leave nothing of "
                f"{shape[:2]}"
            )
        *keys, last = jax.random.split(key, len(self.filters) + 1)
        sizes, area = [shape[2], *self.filters], self.kernel**2
        kernels = [
            jax.random.normal(k, (self.kernel, self.kernel, i, o)) * jnp.sqrt(2 / (area * (i + o)))
            for k, i, o in zip(keys, sizes, sizes[1:], strict=False)
        ]
        head = MLP(self.width, self.depth).build(
            halved[0] * halved[1] * sizes[-1], out_size, key=last
        )
        return ConvolutionalNetwork(kernels, [jnp.zeros(n) for n in self.filters], head)
