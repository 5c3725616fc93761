"""Taylor propagation: all partial derivatives of a residual in one batched pass.

A *jet* is the set of partial derivatives of a function at a batch of points,
``{index: (n, w)}``. An index is the sorted tuple of the coordinates that are differentiated:
``()`` is the value, ``(0,)`` is d/dx0, ``(0, 0, 1)`` is d3/dx0 dx0 dx1. Two instances:

* a linear layer maps every stream by the same matrix (one product for all of them);
* an activation mixes them by Faa di Bruno's formula, ``y_xx = s'(z) z_xx + s''(z) z_x z_x``.

A stream that is identically zero is left out of the dictionary. A stream that is the same at
every point has shape ``(1, w)``, and is a NumPy array where it is known at trace time.

The extra index ``LAPLACIAN`` carries the sum of the second derivatives along
``plan.laplacian`` without carrying each of them (forward Laplacian; Li et al. 2023,
arXiv:2307.08214).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Index = tuple[int, ...]
LAPLACIAN: Index = (-1,)
OfPoint = Callable[[Array], dict[Index, Array]]  # a jet before it is batched: `(c,)` for each index
# A stream that is the same at every point has one row.
Jet = dict[Index, Float[Array | np.ndarray, "#n _w"]]


class Plan(tuple[tuple[Index, ...], tuple[int, ...]]):
    """The partial derivatives to carry.

    Args:
        indices: the required multi-indices, in any order; all their lower ones are added.
        laplacian: the axes over which second derivatives are summed; none by default.
    """

    __slots__ = ()

    def __new__(cls, indices: Iterable[Sequence[int]] = ((),), laplacian: Sequence[int] = ()):
        closed: set[Index] = {()}
        for index in indices:
            key = tuple(sorted(index))
            closed.update(_sub_indices(key))
        return super().__new__(cls, (_ordered(closed), tuple(laplacian)))

    @property
    def indices(self) -> tuple[Index, ...]:
        """Everything that is carried, lowest order first, with the slopes the Laplacian needs."""
        return _with_slopes(*self)

    @property
    def laplacian(self) -> tuple[int, ...]:
        """The axes of the Laplacian, empty without one."""
        return self[1]

    @property
    def order(self) -> int:
        """The highest derivative of an activation that the plan needs."""
        return max(len(self.indices[-1]), 2 if self.laplacian else 0)

    def union(self, other: "Plan") -> "Plan":
        """The smallest plan that carries both.

        Raises:
            ValueError: for Laplacians over different axes.
        """
        if self.laplacian and other.laplacian and self.laplacian != other.laplacian:
            raise ValueError(
                f"two Laplacians over different axes: {self.laplacian} and {other.laplacian}"
            )
        return Plan(self[0] + other[0], self.laplacian or other.laplacian)

    def along(self, count: int, dimension: int) -> "Plan":
        """The plan with the Laplacian as a sum over directions.

        Directions are differentiated like coordinates and numbered after them.

        Args:
            count: the number of directions.
            dimension: the number of coordinates.
        """
        return Plan(self[0], tuple(range(dimension, dimension + count))) if self.laplacian else self


def _ordered(indices: Iterable[Index]) -> tuple[Index, ...]:
    return tuple(sorted(indices, key=lambda index: (len(index), index)))


@cache
def _with_slopes(indices: tuple[Index, ...], laplacian: tuple[int, ...]) -> tuple[Index, ...]:
    return _ordered({*indices, *((axis,) for axis in laplacian)})


@cache
def _sub_indices(index: Index) -> frozenset[Index]:
    if not index:
        return frozenset({()})
    shorter = [_sub_indices(index[:k] + index[k + 1 :]) for k in range(len(index))]
    return frozenset({index}).union(*shorter)


@cache
def partitions(index: Index) -> tuple[tuple[int, tuple[Index, ...]], ...]:
    """Set partitions of the positions of ``index``, equal ones merged.

    Returns:
        ``(multiplicity, blocks)`` for each partition: the terms of Faa di Bruno's formula.
    """

    def split(positions: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
        if not positions:
            return [[]]
        first, rest = positions[0], positions[1:]
        found = []
        for mask in range(2 ** len(rest)):
            block = (first, *(p for k, p in enumerate(rest) if mask >> k & 1))
            others = tuple(p for k, p in enumerate(rest) if not mask >> k & 1)
            found += [[block, *tail] for tail in split(others)]
        return found

    counts = Counter(
        tuple(sorted(tuple(index[p] for p in block) for block in blocks))
        for blocks in split(tuple(range(len(index))))
    )
    return tuple((count, blocks) for blocks, count in counts.items())


@cache
def _subsets(index: Index) -> tuple[tuple[int, Index, Index], ...]:
    """Leibniz: how ``index`` is divided between two factors, ``(multiplicity, left, right)``."""
    counts: Counter[tuple[Index, Index]] = Counter()
    for mask in range(2 ** len(index)):
        left = tuple(c for k, c in enumerate(index) if mask >> k & 1)
        right = tuple(c for k, c in enumerate(index) if not mask >> k & 1)
        counts[left, right] += 1
    return tuple((count, left, right) for (left, right), count in counts.items())


def coordinates(
    points: Float[Array, "n d"], plan: Plan, directions: Float[Array, "m d"] | None = None
) -> Jet:
    """The jet of the coordinates themselves: their values and unit first derivatives.

    Args:
        points: ``(n, d)``.
        plan: the derivatives to carry.
        directions: ``(m, d)``, for a plan whose Laplacian runs over directions.
    """
    return {(): points} | {
        index: _tangent(points, index[0], directions)[None]
        for index in plan.indices
        if len(index) == 1
    }


def _tangent(
    points: Float[Array, "n d"], axis: int, directions: Float[Array, "m d"] | None
) -> Float[Array, " d"] | Float[np.ndarray, " d"]:
    """The vector that a number in an index stands for: a coordinate, or beyond them a direction."""
    d = points.shape[1]
    if axis < d:
        return np.eye(d, dtype=points.dtype)[axis]
    assert directions is not None
    return directions[axis - d]


def linear(jet: Jet, weight: Float[Array, "i o"], bias: Float[Array, " o"] | None = None) -> Jet:
    """``z = x W + b`` for every stream, as one matrix product.

    Args:
        jet: streams of i features.
        weight: ``(i, o)``.
        bias: ``(o,)``, added to the value only.
    """
    ends = np.cumsum([stream.shape[0] for stream in jet.values()])
    streams = jnp.split(jnp.concatenate(list(jet.values())) @ weight, ends[:-1])
    out: Jet = dict(zip(jet, streams, strict=True))
    if bias is not None:
        out[()] = out[()] + bias[None]
    return out


def elementwise(derivatives: Callable[[Array, int], Sequence[Array]], jet: Jet, plan: Plan) -> Jet:
    """``y = s(z)`` by Faa di Bruno's formula.

    Args:
        derivatives: ``derivatives(z, m)`` returns ``[s(z), s'(z), ..., s^(m)(z)]``.
        jet: the jet of z.
        plan: the derivatives to carry.
    """
    s = derivatives(jnp.asarray(jet[()]), plan.order)
    out: Jet = {(): s[0]}
    for index in plan.indices[1:]:
        terms = []
        for count, blocks in partitions(index):
            if all(block in jet for block in blocks):
                term = s[len(blocks)]
                for block in blocks:
                    term = term * jet[block]
                terms.append(term if count == 1 else count * term)
        if terms:
            out[index] = sum(terms[1:], terms[0])
    if plan.laplacian:
        squares = [jnp.square(jet[axis,]) for axis in plan.laplacian if (axis,) in jet]
        terms = [s[2] * sum(squares[1:], squares[0])] if squares else []
        terms += [s[1] * jet[LAPLACIAN]] if LAPLACIAN in jet else []
        if terms:
            out[LAPLACIAN] = sum(terms[1:], terms[0])
    return out


def product(a: Jet, b: Jet, plan: Plan) -> Jet:
    """``y = a b`` by Leibniz's rule."""
    out = {}
    for index in plan.indices:
        terms = [
            a[left] * b[right] if count == 1 else count * a[left] * b[right]
            for count, left, right in _subsets(index)
            if left in a and right in b
        ]
        if terms:
            out[index] = sum(terms[1:], terms[0])
    if plan.laplacian:
        terms = [
            2 * a[axis,] * b[axis,] for axis in plan.laplacian if (axis,) in a and (axis,) in b
        ]
        terms += [a[()] * b[LAPLACIAN]] if LAPLACIAN in b else []
        terms += [a[LAPLACIAN] * b[()]] if LAPLACIAN in a else []
        if terms:
            out[LAPLACIAN] = sum(terms[1:], terms[0])
    return out


def feature(jet: Jet, column: int) -> Jet:
    """One column of a jet, without the streams that are known to be zero there."""
    columns = {index: stream[:, column : column + 1] for index, stream in jet.items()}
    return {
        index: one
        for index, one in columns.items()
        if not (isinstance(one, np.ndarray) and not one.any())
    }


def add(a: Jet, b: Jet) -> Jet:
    """``y = a + b``, stream by stream."""
    return {**a, **b, **{index: a[index] + b[index] for index in a if index in b}}


def concatenate(jets: Sequence[Jet]) -> Jet:
    """Features side by side: ``(n, w1), (n, w2) -> (n, w1 + w2)`` in every stream.

    A jet without a stream that another one has contributes zeros.
    """
    out = {}
    for index in {index: None for jet in jets for index in jet}:
        rows = max(jet[index].shape[0] for jet in jets if index in jet)
        parts = []
        for jet in jets:
            value = jet[()]
            stream = jet.get(index, jnp.zeros((1, value.shape[1]), value.dtype))
            parts.append(jnp.broadcast_to(stream, (rows, value.shape[1])))
        out[index] = jnp.concatenate(parts, 1)
    return out


def nested(
    function: Callable[[Array], Array],
    points: Float[Array, "n d"],
    plan: Plan,
    directions: Float[Array, "m d"] | None = None,
) -> Jet:
    """The jet of any JAX function of one point by nested forward mode.

    Each order differentiates the dictionary of all lower ones, so that every partial derivative
    is computed once. For a Laplacian the function is differentiated twice along each of its
    coordinates or directions.

    Args:
        function: ``(d,) -> (c,)``.
        points: ``(n, d)``.
        plan: the derivatives to carry.
        directions: ``(m, d)``, for a plan whose Laplacian runs over directions.
    """
    required = plan[0]

    def value(point: Array) -> dict[Index, Array]:
        return {(): function(point)}

    def along_each(axes: Sequence[int]) -> Array:
        return jnp.stack([jnp.asarray(_tangent(points, axis, directions)) for axis in axes])

    def raise_order(lower: OfPoint, order: int) -> OfPoint:
        new = [index for index in required if len(index) == order]
        axes = sorted({index[-1] for index in new})
        tangents = along_each(axes)

        def higher(point: Array) -> dict[Index, Array]:
            def along(tangent: Array) -> tuple[dict[Index, Array], dict[Index, Array]]:
                return jax.jvp(lower, (point,), (tangent,))

            # Along all axes at once: one by one, the function is traced twice as often for each
            # order of two axes, 16 times for a biharmonic operator.
            values, slopes = jax.vmap(along, out_axes=(None, 0))(tangents)
            return values | {index: slopes[index[:-1]][axes.index(index[-1])] for index in new}

        return higher

    jet: OfPoint = value
    for order in range(1, len(required[-1]) + 1):
        jet = raise_order(jet, order)
    streams: Jet = dict(jax.vmap(jet)(points))
    if plan.laplacian:

        def along(point: Array, tangent: Array) -> tuple[Array, Array]:
            def slope(point: Array) -> Array:
                return jax.jvp(function, (point,), (tangent,))[1]

            return jax.jvp(slope, (point,), (tangent,))

        tangents = along_each(plan.laplacian)
        slopes, seconds = jax.vmap(jax.vmap(along, (None, 0)), (0, None), 1)(points, tangents)
        streams |= {(axis,): slopes[k] for k, axis in enumerate(plan.laplacian)} | {
            LAPLACIAN: jnp.sum(seconds, 0)
        }
    return streams


def tanh(z: Array, order: int) -> list[Array]:
    """tanh and its derivatives, as polynomials of tanh: one transcendental function per unit."""
    a = jnp.tanh(z)
    d = 1 - a * a
    return [a, d, -2 * a * d, d * (4 - 6 * d), a * d * (24 * d - 8)][: order + 1]


# pi/2 in parts whose multiples are exact (Cody & Waite 1980).
_HALF_PI = {
    4: (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8),
    8: (1.5707963267341256, 6.0771005063039660e-11, 2.0222662487959506e-21),
}
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(10)]


@jax.custom_jvp
def sine_and_cosine(z: Array) -> tuple[Array, Array]:
    """sin and cos to round-off for ``|z| < 1e5``, as polynomials, which compilers vectorise.

    In double precision on CPUs they are about ten times as fast as `jnp.sin` and `jnp.cos`,
    which call a library function for every number.
    """
    quarter = jnp.round(z * (2 / math.pi))
    r = z
    for part in _HALF_PI[z.dtype.itemsize]:
        r = r - quarter * part
    square = r * r
    s, c = r * _horner(_SINE, square), _horner(_COSINE, square)
    turn = quarter.astype(jnp.int32) & 3
    odd = (turn & 1) == 1
    s, c = jnp.where(odd, c, s), jnp.where(odd, s, c)
    return jnp.where(turn >= 2, -s, s), jnp.where((turn == 1) | (turn == 2), -c, c)


@sine_and_cosine.defjvp
def _(primals, tangents):
    s, c = sine_and_cosine(*primals)
    return (s, c), (c * tangents[0], -s * tangents[0])


def _horner(coefficients: Sequence[float], x: Array) -> Array:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = coefficient + x * total
    return total


def sine(z: Array, order: int) -> list[Array]:
    """sin and its derivatives up to ``order`` (at most 4)."""
    s, c = sine_and_cosine(z)
    return [s, c, -s, -c, s][: order + 1]


def cosine(z: Array, order: int) -> list[Array]:
    """cos and its derivatives up to ``order`` (at most 4)."""
    s, c = sine_and_cosine(z)
    return [c, -s, -c, s, c][: order + 1]


def derivatives_of(function: Callable[[Array], Array]) -> Callable[[Array, int], list[Array]]:
    """The derivatives of any elementwise function.

    Closed forms where they are known (tanh, sin, cos), nested forward mode otherwise.

    Returns:
        A function of ``(z, order)`` that gives ``[s(z), ..., s^(order)(z)]``.
    """
    known = {jnp.tanh: tanh, jax.nn.tanh: tanh, jax.lax.tanh: tanh, jnp.sin: sine, jnp.cos: cosine}
    if function in known:
        return known[function]

    def value(x: Array) -> tuple[Array, ...]:
        return (function(x),)

    def one_more(lower: Callable[[Array], tuple[Array, ...]]):
        def higher(x: Array) -> tuple[Array, ...]:
            values, tangents = jax.jvp(lower, (x,), (jnp.ones_like(x),))
            return (*values, tangents[-1])

        return higher

    def derivatives(z: Array, order: int) -> list[Array]:
        tower = value
        for _ in range(order):
            tower = one_more(tower)
        return list(tower(z))

    return derivatives
