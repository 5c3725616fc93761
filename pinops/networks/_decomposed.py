"""Domain decomposition: a network in each of many overlapping windows of the domain, summed with
weights that add up to 1 (Moseley, Markham & Nissen-Meyer 2023, arXiv:2107.07871).

A network finds low frequencies long before high ones. In a window that is a few waves wide the
frequencies are low, since each network sees its window as (-1, 1).
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from pinops.derivatives import Jet, Plan, concatenate, elementwise, feature, product
from pinops.networks._encoded import as_jet_network
from pinops.networks._field import Embedding
from pinops.networks._network import NETWORK, Architecture, JetNetwork
from pinops.settings import Table, Whole, check_settings, instance, number, setting

_MOST_WINDOWS = 100_000
# Of points, for each window on average: more leave less room idle, and have more matrices.
_BLOCKS = 4
# The integral of x^4 (1 - x)^4, from 0 to 1: its first four derivatives vanish at both ends.
_STEP = np.polynomial.Polynomial([0, 0, 0, 0, 0, 126, -420, 540, -315, 70])


class Axis(NamedTuple):
    """A feature that is divided.

    Attributes:
        parts: Into how many.
        column: Of a plain coordinate, or of the cosine of a periodic one.
        sine: The column of its sine; None: it does not wrap round.
    """

    parts: int
    column: int
    sine: int | None


class DecomposedNetwork(JetNetwork):
    """``sum_k w_k(x) network_k(x in window k)``, where the ``w_k`` are 0 outside of their windows
    and add up to 1.

    At most two windows overlap along a coordinate, and a point evaluates these only: the points are
    sorted by window, and cut into blocks of equal size that have one window each (as experts are in
    Gale et al. 2022, arXiv:2211.15841).

    Attributes:
        networks: Of all windows, in the leading axis of every array; the last divided coordinate
            runs fastest.
        axes: What is divided.
        overlap: Of neighbours, as a share of the distance of their middles.
    """

    plain: ClassVar[bool] = True
    networks: JetNetwork
    axes: tuple[Axis, ...] = eqx.field(static=True)
    overlap: float = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        features, columns = _unrolled(features, self.axes)
        at = jnp.asarray(features[()])
        n, size = at.shape
        near = 2 ** len(self.axes)
        weight: Jet = {(): jnp.ones((1, near), at.dtype)}
        windows, value = jnp.zeros((1, near), int), jnp.repeat(at, near, 0)
        stretch = np.ones((1, size), at.dtype)
        for k, (axis, column) in enumerate(zip(self.axes, columns, strict=True)):
            side = np.arange(near) >> k & 1  # on which the window lies, left or right
            sides, cells, inside = self._beside(axis, feature(features, column), plan)
            sides = {index: stream[:, side] for index, stream in sides.items()}
            weight = product(weight, sides, plan)
            windows = axis.parts * windows + cells[:, side]
            value = value.at[:, column].set(inside[:, side].ravel())
            stretch[:, column] = axis.parts / (1 + self.overlap)
        each: Jet = {
            index: stretch * (stream if len(stream) == 1 else jnp.repeat(stream, near, 0))
            for index, stream in features.items()
        }
        found = self._each(windows.ravel(), each | {(): value}, plan)
        weight = {index: stream.reshape(-1, 1) for index, stream in weight.items()}
        summed = product(weight, found, plan)
        return {index: stream.reshape(n, near, -1).sum(1) for index, stream in summed.items()}

    def _beside(self, axis: Axis, z: Jet, plan: Plan) -> tuple[Jet, Array, Array]:
        """On both sides of the nearest border of cells, for one feature in (-1, 1): the weights,
        the numbers of the cells, and where the point is in their windows; ``(n, 2)`` each.
        """
        x = (jnp.asarray(z[()]) + 1) * (axis.parts / 2)  # borders are whole numbers
        border = jnp.round(x)
        if axis.sine is None:
            border = jnp.clip(border, 1, axis.parts - 1)
        steepness = axis.parts / 2 / self.overlap
        through: Jet = {index: steepness * stream for index, stream in z.items()}
        through[()] = (x - border) / self.overlap + 0.5
        right = elementwise(_step, through, plan)
        left: Jet = {index: -stream for index, stream in right.items()}
        left[()] = 1 - right[()]
        cells = jnp.concatenate([border - 1, border], 1)
        inside = (x - cells - 0.5) * (2 / (1 + self.overlap))
        return concatenate([left, right]), cells.astype(int) % axis.parts, inside

    def _each(self, windows: Int[Array, " m"], features: Jet, plan: Plan) -> Jet:
        """The jets of the networks of these windows, one for each row of features."""
        count, m = math.prod(axis.parts for axis in self.axes), windows.size
        size = max(1, m // (_BLOCKS * count))
        if size == 1:
            row_at, slot, of_block = None, None, windows
        else:
            blocks = m // size + count  # as many as there can be, each window's last one not full
            # One array of different numbers is sorted in a seventh of the time of `argsort`.
            small = count * m < 2**31
            order = jnp.sort(windows * m + jnp.arange(m)) % m if small else jnp.argsort(windows)
            rows = jnp.bincount(windows, length=count)
            started = -(-rows // size)
            ahead = size * (jnp.cumsum(started) - started) - (jnp.cumsum(rows) - rows)
            filled = ahead[windows[order]] + jnp.arange(m)
            slot = jnp.zeros(m, int).at[order].set(filled)
            row_at = jnp.zeros(blocks * size, int).at[filled].set(order)
            of_block = jnp.repeat(jnp.arange(count), started, total_repeat_length=blocks)
        arrays, rest = eqx.partition(self.networks, eqx.is_array)
        chosen = jax.tree.map(lambda leaf: leaf[of_block], arrays)
        same = {index: stream for index, stream in features.items() if len(stream) == 1 and index}
        own = {
            index: (stream if row_at is None else stream[row_at]).reshape(-1, size, stream.shape[1])
            for index, stream in features.items()
            if index not in same
        }

        def block(some: Any, own: Jet) -> Jet:
            return eqx.combine(some, rest).jet(same | own, plan)

        found, out = jax.vmap(block)(chosen, own), {}
        for index, stream in found.items():
            stream = jnp.broadcast_to(stream, (len(stream), size, stream.shape[2]))
            flat = stream.reshape(-1, stream.shape[2])
            out[index] = flat if slot is None else flat[slot]
        return out


def _step(x: Array, order: int) -> list[Array]:
    """A smooth step from 0 at 0 to 1 at 1, and its derivatives."""
    between = jnp.clip(x, 0, 1)
    first = between < 0.5
    # Near 1 the large coefficients would cancel: the second half is the first, turned about.
    near = jnp.where(first, between, 1 - between)

    def slope(order: int) -> Array:
        found = jnp.polyval(jnp.asarray(_STEP.deriv(order).coef[::-1], x.dtype), near)
        turned = 1 - found if order == 0 else (-1) ** (order + 1) * found
        return jnp.where(first, found, turned)

    slopes = [jnp.where(between == x, slope(k), 0) for k in range(1, order + 1)]
    return [slope(0), *slopes]


def _unrolled(features: Jet, axes: Sequence[Axis]) -> tuple[Jet, list[int]]:
    """The features with an angle in (-1, 1) in place of the cosine and sine of a divided
    coordinate, and the columns of all that are divided.
    """
    sines = [axis.sine for axis in axes if axis.sine is not None]
    columns = [axis.column for axis in axes]
    if not sines:
        return features, columns
    angles = {axis.column: _angle(features, axis) for axis in axes if axis.sine is not None}
    kept = [column for column in range(features[()].shape[1]) if column not in sines]
    jets = [
        angles.get(column)
        or {index: stream[:, column : column + 1] for index, stream in features.items()}
        for column in kept
    ]
    return concatenate(jets), [kept.index(column) for column in columns]


def _angle(features: Jet, axis: Axis) -> Jet:
    """The angle of a cosine and sine over pi.

    It is linear in the coordinates: its first derivatives are the same at every point, and there
    are no others.
    """
    cosine = {index: stream[:, axis.column] for index, stream in features.items()}
    sine = {index: stream[:, axis.sine] for index, stream in features.items()}
    angle: Jet = {
        index: (cosine[()] * sine[index] - sine[()] * cosine[index])[:1]
        for index in features
        if len(index) == 1 and index[0] >= 0
    }
    angle[()] = jnp.arctan2(sine[()], cosine[()])
    return {index: stream[:, None] / math.pi for index, stream in angle.items()}


class PlacedDecomposed(Architecture):
    """A `Decomposed` that knows which features its coordinates are.

    Args:
        network: Of each window.
        axes: What is divided.
        overlap: As that of `Decomposed`.
        size: The number of features that it sees.
    """

    plain: ClassVar[bool] = True
    network: Architecture
    axes: tuple[Axis, ...] = eqx.field(static=True)
    overlap: float = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> DecomposedNetwork:
        if in_size != self.size:
            raise ValueError(
                f"Decomposed: it divides coordinates, and sees {in_size} features in place of the "
                f"{self.size} that stand for them; put the other architecture inside of it"
            )
        inner = in_size - sum(axis.sine is not None for axis in self.axes)

        def one(key: PRNGKeyArray) -> JetNetwork:
            return as_jet_network(self.network.build(inner, out_size, key=key))

        count = math.prod(axis.parts for axis in self.axes)
        networks = eqx.filter_vmap(one)(jax.random.split(key, count))
        return DecomposedNetwork(networks, self.axes, self.overlap)


class Decomposed(Architecture):
    """Domain decomposition: a network in each of many overlapping windows of the domain.

    Finite basis PINNs (Moseley, Markham & Nissen-Meyer 2023, arXiv:2107.07871), for solutions with
    many waves, or on domains that are large for what happens in them. All windows are trained
    together, and the conditions are those of the sum.

    Each coordinate that is named is divided into cells of equal width, which are widened by half
    the overlap on both sides; a periodic one wraps round. Each network sees its window as (-1, 1)
    in these, and all other features as they are. The weights are products of smooth steps where
    windows overlap, add up to 1, and are four times continuously differentiable. A domain that is
    not a box is divided as the box around it, and windows without points of the domain stay idle. A
    coordinate about whose middle the solution is even is divided in its cosine.

    Args:
        network: the architecture of each window, of pinops; a small one.
        parts: into how many cells each coordinate is divided, by name: ``{"x": 8, "t": 4}``.
        overlap: width of what neighbours share, as a share of the width of a cell: greater than 0,
            and at most 1.

    Raises:
        ValueError: for settings out of range, parts that divide nothing, and too many windows.
    """

    plain: ClassVar[bool] = True
    network: Architecture = instance(Architecture, what=NETWORK)
    parts: dict[str, int] = setting(Table(Whole(2, 10_000)), static=False)
    overlap: float = number(1.0, above=0, most=1)

    def __check_init__(self):
        check_settings(self)
        if not self.parts:
            raise ValueError(
                "Decomposed: parts divides nothing; name a coordinate, such as {'x': 8}"
            )
        if (count := math.prod(self.parts.values())) > _MOST_WINDOWS:
            raise ValueError(
                f"Decomposed: parts must make at most {_MOST_WINDOWS} windows, got {count}"
            )

    def placed(self, names: tuple[str, ...], embedding: Embedding) -> PlacedDecomposed:
        """The same where the coordinates are known.

        Args:
            names: Of the coordinates.
            embedding: How a network sees them.

        Raises:
            ValueError: For parts of another coordinate.
        """
        if unknown := [name for name in self.parts if name not in names]:
            raise ValueError(
                f"Decomposed: parts divides {', '.join(unknown)}, and the coordinates are "
                f"{', '.join(names)}"
            )
        # As an `Embedding` has them: plain coordinates, then cosines, then sines.
        periodic = embedding.periodic
        plain = [k for k in range(len(names)) if k not in periodic]
        cosines = {k: len(plain) + j for j, k in enumerate(periodic)}
        sines = [k for k in periodic if k not in embedding.even]
        axes = []
        for name, parts in self.parts.items():
            k = names.index(name)
            column = cosines[k] if k in cosines else plain.index(k)
            sine = len(names) + sines.index(k) if k in sines else None
            axes.append(Axis(int(parts), column, sine))
        return PlacedDecomposed(self.network, tuple(axes), self.overlap, embedding.size)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> DecomposedNetwork:
        raise ValueError(
            "Decomposed: its parts are of coordinates with names, as the network of `solve` and "
            "the trunk of an operator see them; choose another network here"
        )


def placed(architecture: Any, names: tuple[str, ...], embedding: Embedding) -> Any:
    """An architecture whose parts know the coordinates, as far as they need them.

    Args:
        architecture: Of a network or an operator.
        names: Of the coordinates.
        embedding: How a network sees them.

    Raises:
        ValueError: For a `Decomposed` of other coordinates.
    """

    def at(node: Any) -> Any:
        return node.placed(names, embedding) if isinstance(node, Decomposed) else node

    return jax.tree.map(at, architecture, is_leaf=lambda node: isinstance(node, Decomposed))
