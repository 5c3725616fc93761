"""Channel attention guided by the parameters of an equation (CAPE; Takamoto, Alesiani & Niepert
2023, arXiv:2304.14118).
"""

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import MAX_WIDTH
from pinops.operators._convolution import Convolution, Depthwise, padding_setting, pooled
from pinops.operators._fno import FNO
from pinops.operators._pointwise import Affine, gelu
from pinops.operators._spectral import SpectralConvolution, modes_on
from pinops.operators._surrogate import (
    GRID_NETWORK,
    GridArchitecture,
    GridNetwork,
    Known,
    Parameters,
    States,
    Surrogate,
    SurrogateArchitecture,
    history_setting,
    parameter_map_setting,
)
from pinops.settings import (
    OneOf,
    Several,
    check_settings,
    instance,
    number,
    one_of,
    setting,
    whole,
)

BRANCHES = ("spectral", "pointwise", "depthwise")


class Gain(eqx.Module):
    """A signed gain for every channel, from the parameters by one hidden layer."""

    hidden: Affine
    out: Affine

    def __call__(self, parameters: Parameters, axes: int) -> Float[Array, "b *ones w"]:
        gains = self.out(gelu(self.hidden(parameters)))
        return gains.reshape(gains.shape[0], *[1] * axes, -1)


class Embedding(eqx.Module):
    """What the parameters make of a state: three branches of convolutions with gains that depend on
    the parameters.

    The convolutions see the context too; what they give is added to the present state.
    """

    lift: Convolution
    branches: dict[str, SpectralConvolution | Affine | Depthwise]
    gains: dict[str, Gain]
    skip: Affine
    project: Affine
    scale: Float[Array, "..."]
    offset: Float[Array, "..."]
    pooling: int = eqx.field(static=True)
    multiplicative: bool = eqx.field(static=True)
    norm: str = eqx.field(static=True)

    def __call__(self, known: Known, parameters: Parameters) -> States:
        axes = known.ndim - 2
        y = gelu(self.lift(known))
        total = self.skip(y)
        for name, branch in self.branches.items():
            out = (
                self._spectral(branch, y) if isinstance(branch, SpectralConvolution) else branch(y)
            )
            total = total + self.gains[name](parameters, axes) * out
        change = self._normal(self.project(gelu(total)))
        states = known[..., -change.shape[-1] :]
        return states * (1 + change) if self.multiplicative else states + change

    def _spectral(
        self, branch: SpectralConvolution, y: Float[Array, "b *grid h"]
    ) -> Float[Array, "b *grid w"]:
        """On a grid of means over neighbouring points, and back to the nearest ones."""
        coarse = pooled(y, self.pooling, jnp.mean)
        out = jnp.moveaxis(branch(jnp.moveaxis(coarse, 0, -2)), -2, 0)
        for axis in range(1, y.ndim - 1):
            out = jnp.repeat(out, self.pooling, axis=axis)
        return out

    def _normal(self, change: States) -> States:
        """Each channel with mean 0 and deviation 1 over the grid, then scaled and shifted."""
        if self.norm == "none":
            return change
        axes = tuple(range(1, change.ndim - 1))
        mean, variance = change.mean(axes, keepdims=True), change.var(axes, keepdims=True)
        normal = (change - mean) / jnp.sqrt(variance + 1e-5)
        shape = normal.shape
        return normal * jnp.broadcast_to(self.scale, shape) + jnp.broadcast_to(self.offset, shape)


class CAPESurrogate(Surrogate):
    """A network of what is known and of what the embedding makes of it.

    Attributes:
        embedding: From state and parameters to further channels.
        network: Of the state and these channels.
        last: From its channels to the next state.
    """

    embedding: Embedding
    network: GridNetwork
    last: Affine

    def advanced(self, known: Known, parameters: Parameters) -> tuple[States, States]:
        guess = self.embedding(known, parameters)
        return self.last(self.network(jnp.concatenate([known, guess], -1))), guess


class CAPE(SurrogateArchitecture):
    """CAPE around any network on grids.

    ``gelu`` of the sum of three branches and a skip, projected onto the unknowns and added to the
    state, is a first guess of the next state; the network sees both. The gains of each branch are
    signed; the guess is trained to be the next state by an auxiliary loss.

    Args:
        network: the backbone.
        width: W, an even number of channels.
        kernel: an odd number of grid points of the convolutions.
        modes: wave numbers of the spectral branch.
        pooling: grid points of which it sees the mean (4 in the paper).
        branches: those of spectral, pointwise and depthwise that take part.
        residual: "add" or "multiply".
        norm: of what is added, over the grid: "channel" (for any grid), "spatial" (a scale and
            offset for every grid point, as published) or "none".
        padding: circular, zeros (as published) or reflect.
        auxiliary: the weight >= 0 of the loss of what the embedding predicts by itself.
        parameter_map: as for `Direct`.
        history: as for `Direct`.

    Raises:
        ValueError: for settings out of range, an odd width and an even kernel.
    """

    embeds: ClassVar[bool] = True
    network: GridArchitecture = instance(GridArchitecture, FNO(20), what=GRID_NETWORK)
    width: int = whole(64, least=2, most=MAX_WIDTH)
    kernel: int = whole(5, most=99)
    modes: int = whole(8, most=10_000)
    pooling: int = whole(4, most=1000)
    branches: tuple[str, ...] = setting(Several(OneOf(BRANCHES), least=0), BRANCHES)
    residual: str = one_of("add", ("add", "multiply"))
    norm: str = one_of("none", ("channel", "spatial", "none"))
    padding: str = padding_setting()
    auxiliary: float = number(1e-3, least=0)
    parameter_map: str = parameter_map_setting()
    history: int = history_setting()

    def __check_init__(self):
        check_settings(self)
        if self.width % 2 or not self.kernel % 2:
            raise ValueError(
                f"CAPE: width must be even and kernel odd, got width={self.width} and "
                f"kernel={self.kernel}"
            )

    def build(
        self,
        unknowns: int,
        parameters: int,
        grid: tuple[int, ...],
        context: int = 0,
        *,
        key: PRNGKeyArray,
    ) -> CAPESurrogate:
        if any(n % self.pooling for n in grid):
            raise ValueError(
                f"CAPE: the points of every axis must be a multiple of pooling={self.pooling}, got "
                f"a grid of {grid}"
            )
        modes = modes_on("CAPE", self.modes, tuple(n // self.pooling for n in grid))
        h, w, axes = self.width // 2, self.width, len(grid)
        lift, one, two, three, skip, project, gains, network, last = jax.random.split(key, 9)
        make = {
            "spectral": partial(SpectralConvolution.drawn, h, w, modes, key=one),
            "pointwise": partial(Affine.drawn, h, w, key=two),
            "depthwise": partial(Depthwise.drawn, h, 2, self.kernel, axes, self.padding, key=three),
        }

        def gain(key: PRNGKeyArray) -> Gain:
            first, second = jax.random.split(key)
            return Gain(Affine.drawn(parameters, h, key=first), Affine.drawn(h, w, key=second))

        keys = dict(zip(BRANCHES, jax.random.split(gains, 3), strict=True))
        place = (
            (*grid, 1)
            if self.norm == "spatial"
            else (unknowns,)
            if self.norm == "channel"
            else (0,)
        )
        embedding = Embedding(
            Convolution.drawn(context + unknowns, h, self.kernel, axes, self.padding, key=lift),
            {name: make[name]() for name in BRANCHES if name in self.branches},
            {name: gain(keys[name]) for name in BRANCHES if name in self.branches},
            Affine.drawn(h, w, key=skip),
            Affine.drawn(w, unknowns, key=project),
            jnp.ones(place),
            jnp.zeros(place),
            self.pooling,
            self.residual == "multiply",
            self.norm,
        )
        inner = self.network.build(context + 2 * unknowns, 2 * unknowns, grid, key=network)
        return CAPESurrogate(embedding, inner, Affine.drawn(2 * unknowns, unknowns, key=last))
