"""Physics-informed Gaussians: sums of Gaussians that move, behind a small network (Kang et al.
2025, arXiv:2412.05994).

All derivatives are sums over the same Gaussians: ``G`` times a polynomial of the point, whose
coefficients do not depend on it. So there is one exponential for a point and a Gaussian, and one
matrix product makes every derivative of every order.
"""

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import LAPLACIAN, Index, Jet, Plan, feature, partitions
from pinops.networks._network import MAX_WIDTH, MLP, Architecture, Frozen, JetNetwork, MLPNetwork
from pinops.settings import check_settings, flag, number, one_of, whole

Monomial = tuple[int, ...]  # the factors, sorted: (0, 0, 1) is z0^2 z1
Polynomial = dict[Monomial, Array]  # coefficients of each Gaussian
Term = tuple[
    Array | np.ndarray | float, Index
]  # a factor, and the features by which F is differentiated

# Accelerators round the factors of a product in single precision, and the exponent is a difference
# of large numbers.
_PRECISION = jax.lax.Precision.HIGHEST


class GaussianNetwork(JetNetwork):
    """``head(F(z))`` with ``F_c(z) = sum_i w_ci exp(-(z - m_ci)' S_ci^-1 (z - m_ci) / 2)`` for
    every channel c.

    Attributes:
        centres: m, by channel and Gaussian.
        spreads: The standard deviations of S along its axes, or their logarithms.
        rotations: Of these axes, not normalised; None: the axes of the features.
        weights: w.
        head: A perceptron of the channels; None: an unknown is the mean over its own channels.
        unknowns: Their number.
        logarithmic: Whether spreads are logarithms.
        idle: The share of the root mean square weight below which a Gaussian is moved; 0: none is.
    """

    local: ClassVar[bool] = True
    centres: Float[Array, "c n d"] | Frozen
    spreads: Float[Array, "c n d"] | Frozen  # standard deviations, or their logarithms
    rotations: Float[Array, "c n _r"] | Frozen | None
    weights: Float[Array, "c n"]
    head: MLPNetwork | None  # without one an unknown is the mean over its own channels
    unknowns: int = eqx.field(static=True)
    logarithmic: bool = eqx.field(static=True)
    idle: float = eqx.field(static=True)

    @property
    def scales(self) -> Float[Array, "c n d"]:
        """Standard deviations along the axes of each Gaussian."""
        spreads = _array(self.spreads)
        return jnp.exp(spreads) if self.logarithmic else jnp.abs(spreads)

    @property
    def means(self) -> Float[Array, "c n d"]:
        """The centres, in the unit coordinates (-1, 1) that networks see."""
        return _array(self.centres)

    @property
    def axes(self) -> Float[Array, "c n d d"]:
        """The directions of the axes, in columns."""
        if self.rotations is None:
            d = self.means.shape[-1]
            return jnp.broadcast_to(
                jnp.eye(d, dtype=self.weights.dtype), (*self.weights.shape, d, d)
            )
        rotations = _array(self.rotations)
        return _rotation(rotations / jnp.linalg.norm(rotations, axis=-1, keepdims=True))

    def relocated(
        self, features: Float[Array, "n d"], scores: Float[Array, " n"]
    ) -> "GaussianNetwork":
        if not self.idle:
            return self
        means, scales, weights = (
            np.array(part) for part in (self.means, self.scales, self.weights)
        )
        size = np.where(np.all(np.abs(means) <= 1 + 2 * scales, axis=-1), np.abs(weights), 0.0)
        idle = size < self.idle * np.sqrt(np.mean(size**2, axis=1, keepdims=True))
        if not idle.any():
            return self
        away = np.einsum(
            "cpnj,cnjk->cpnk",
            np.asarray(features)[None, :, None] - means[:, None],
            np.asarray(self.axes),
        )
        reach = np.exp(-0.5 * np.sum(np.square(away / scales[:, None]), -1))
        residual = np.where(
            idle, -1.0, np.einsum("cpn,p->cn", reach, np.square(np.asarray(scores)))
        )
        arrays = [
            means,
            np.array(self.spreads),
            weights,
            *([] if self.rotations is None else [np.array(self.rotations)]),
        ]
        for channel, gone in enumerate(idle):
            gone = np.flatnonzero(gone)[: gone.size - gone.sum()]  # one parent for each
            parents = np.argsort(-residual[channel])[: gone.size]
            for array in arrays:
                array[channel, gone] = array[channel, parents]
            both = np.concatenate([gone, parents])
            longest = np.argmax(scales[channel, parents], -1)
            axis = np.take_along_axis(
                np.asarray(self.axes)[channel, parents], longest[:, None, None], -1
            )[..., 0]
            step = 0.5 * axis * np.take_along_axis(scales[channel, parents], longest[:, None], -1)
            means[channel, both] += np.concatenate([step, -step])
            weights[channel, both] /= 2
        changed = [jnp.asarray(array, self.weights.dtype) for array in arrays]
        return eqx.tree_at(lambda n: n._movable(), self, changed)

    def _movable(self) -> list[Any]:
        rotations = [] if self.rotations is None else [self.rotations]
        return [self.centres, self.spreads, self.weights, *rotations]

    def remarks(self, points: int) -> list[str]:
        with jax.enable_x64(self.weights.dtype == jnp.float64):
            means, scales = np.asarray(self.means), np.asarray(self.scales)
        spacing = 2 / points ** (1 / means.shape[-1])
        outside = int(np.sum(np.any(np.abs(means) > 1 + 2 * scales, axis=-1)))
        narrow = int(np.sum(np.any(scales < spacing / 2, axis=-1)))
        found = (
            [f"{outside} of {self.weights.size} Gaussians have left the domain"] if outside else []
        )
        if narrow:
            found.append(
                f"{narrow} of {self.weights.size} Gaussians are narrower than half the distance of "
                "the points"
            )
        return found

    def jet(self, features: Jet, plan: Plan) -> Jet:
        channels = self._channels(features, plan)
        if self.head is not None:
            return self.head.jet(channels, plan)
        return {
            index: stream.reshape(len(stream), self.unknowns, -1).mean(-1)
            for index, stream in channels.items()
        }

    def _slopes(self) -> list[Polynomial]:
        """``S^-1 (z - m)``: minus the gradient of the exponent."""
        d = self.means.shape[-1]
        if self.rotations is None:
            precision = jnp.square(1 / self.scales)
            return [
                {(j,): precision[..., j], (): -precision[..., j] * self.means[..., j]}
                for j in range(d)
            ]
        factor = self.axes / self.scales[..., None, :]
        precision = jnp.einsum("cnij,cnkj->cnik", factor, factor, precision=_PRECISION)
        constant = -jnp.einsum("cnij,cnj->cni", precision, self.means, precision=_PRECISION)
        return [
            {(k,): precision[..., j, k] for k in range(d)} | {(): constant[..., j]}
            for j in range(d)
        ]

    def _channels(self, features: Jet, plan: Plan) -> Jet:
        """The jet of F."""
        z, slopes = features[()], self._slopes()
        if z.shape[1] != len(slopes):  # an index beyond the end would not be noticed
            raise ValueError(f"these Gaussians have {len(slopes)} coordinates, not {z.shape[1]}")

        def power(monomial: Monomial) -> Array:
            return jnp.prod(z[:, np.asarray(monomial, int)], axis=1)[:, None]

        exponent: Polynomial = {}
        for j, slope in enumerate(slopes):  # -(z - m) . slope / 2
            for monomial, coefficient in slope.items():
                _add(exponent, tuple(sorted((*monomial, j))), -coefficient / 2)
                _add(exponent, monomial, self.means[..., j] * coefficient / 2)
        powers = jnp.concatenate([power(monomial) for monomial in exponent], 1)
        coefficients = jnp.stack(list(exponent.values()), 1)
        gaussians = jnp.exp(jnp.einsum("pm,cmn->cpn", powers, coefficients, precision=_PRECISION))
        terms: dict[Index, list[Term]] = {
            index: list(_chain(features, index)) for index in plan.indices
        }
        if plan.laplacian:
            terms[LAPLACIAN] = [
                term
                for axis in plan.laplacian
                for term in _chain(features, (axis, axis))
                if len(term[1]) == 2
            ]
            for j in range(z.shape[1]) if LAPLACIAN in features else ():
                terms[LAPLACIAN].append((features[LAPLACIAN][:, j : j + 1], (j,)))
        factors: dict[Index, Polynomial] = {(): {(): jnp.ones_like(self.weights)}}
        wanted = sorted({by for found in terms.values() for _, by in found}, key=len)
        for by in wanted:
            for n in range(1, len(by) + 1):
                if by[:n] not in factors:
                    factors[by[:n]] = _differentiated(
                        factors[by[: n - 1]], by[n - 1], slopes[by[n - 1]]
                    )
        columns = [(by, monomial) for by in wanted for monomial in factors[by]]
        stacked = jnp.stack([self.weights * factors[by][monomial] for by, monomial in columns], -1)
        sums = jnp.einsum("cpn,cnk->kpc", gaussians, stacked, precision=_PRECISION)
        derivatives: dict[Index, Array] = {}
        for (by, monomial), column in zip(columns, sums, strict=True):
            _add(derivatives, by, power(monomial) * column if monomial else column)

        def total(found: list[Term]) -> Array | np.ndarray:
            zero = jnp.zeros((), z.dtype)
            return sum((factor * derivatives[by] for factor, by in found), start=zero)

        return {index: total(found) for index, found in terms.items() if found}


def _array(part: Array | Frozen) -> Array:
    """The numbers of a part that may not be trained."""
    return part.tree if isinstance(part, Frozen) else part


def _add(total: dict, key: tuple[int, ...], term: Array) -> None:
    total[key] = total[key] + term if key in total else term


def _differentiated(factor: Polynomial, axis: int, slope: Polynomial) -> Polynomial:
    """``d(P G)/dz = (dP/dz - P slope) G``."""
    out: Polynomial = {}
    for monomial, coefficient in factor.items():
        if axis in monomial:
            rest = list(monomial)
            rest.remove(axis)
            _add(out, tuple(rest), monomial.count(axis) * coefficient)
        for other, slope_coefficient in slope.items():
            _add(out, tuple(sorted(monomial + other)), -coefficient * slope_coefficient)
    return out


def _chain(features: Jet, index: Index) -> Iterator[Term]:
    """The chain rule: ``F``'s derivative of an index is the sum of these factors times its
    derivatives by the features.
    """
    if not index:
        yield 1.0, ()
    for count, blocks in partitions(index) if index else ():
        present = [_nonzero(features, block) for block in blocks]
        for chosen in itertools.product(*present):
            factor: Array | np.ndarray | float = float(count)
            for j, block in zip(chosen, blocks, strict=True):
                factor = factor * features[block][:, j : j + 1]
            yield factor, tuple(sorted(chosen))


def _nonzero(features: Jet, index: Index) -> list[int]:
    """The features whose derivative is not known to vanish."""
    return [j for j in range(features[()].shape[1]) if index in feature(features, j)]


def _rotation(q: Float[Array, "... r"]) -> Float[Array, "... d d"]:
    """The rotation of a unit vector (cos, sin) or of a unit quaternion."""
    if q.shape[-1] == 2:
        c, s = jnp.moveaxis(q, -1, 0)
        return jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


class PIG(Architecture):
    """Physics-informed Gaussians (Kang et al. 2025, arXiv:2412.05994, section 3 and appendix A).

    Weights start normal with standard deviation 0.01. In float32 derivatives of second order have
    relative errors of about 5e-7 / scale^2; narrow Gaussians need float64.

    With neither moving centres nor reshaping and without a head the network is linear in what is
    trained, a sum of radial basis functions: for a linear problem
    `pinops.optimizers.TruncatedGaussNewton` is done in one step, and thousands of Gaussians cost
    little.

    Args:
        gaussians: how many for each channel.
        channels: how many functions of the sums of Gaussians the head combines.
        scale: standard deviation at the start, greater than 0, where the domain is (-1, 1) in every
            coordinate; about a quarter of the shortest wave of the solution.
        covariance: "diagonal", or "full": turned by an angle or a quaternion as well, for two or
            three features.
        spread: what is trained of a standard deviation, "log": its logarithm, or "raw": itself, as
            in the paper.
        head: "tanh" or "sin": one hidden layer behind the channels; "none": their mean.
        hidden: units of that layer.
        centres: where they start, "random": uniform in the domain, or "grid": as many in every
            coordinate, a little beyond the domain, which leaves no holes; `gaussians` is then a
            square in two coordinates, a cube in three.
        moving: whether the centres are trained.
        reshaping: whether standard deviations and rotations are.
        idle: from 0 to below 1: Gaussians whose weight is below this share of the root mean square,
            or that have left the domain, are moved whenever points are drawn: they split those with
            the largest residual in their reach. 0: none.

    Raises:
        ValueError: for settings out of range, and idle Gaussians that cannot move.
    """

    local: ClassVar[bool] = True
    gaussians: int = whole(400)
    channels: int = whole(4, most=10_000)
    scale: float = number(0.1, above=0, most=1e6)
    covariance: str = one_of("diagonal", ("diagonal", "full"))
    spread: str = one_of("log", ("log", "raw"))
    head: str = one_of("tanh", ("tanh", "sin", "none"))
    hidden: int = whole(16, most=MAX_WIDTH)
    centres: str = one_of("random", ("random", "grid"))
    moving: bool = flag(True)
    reshaping: bool = flag(True)
    idle: float = number(0.0, least=0, below=1)

    def __check_init__(self):
        check_settings(self)
        if self.idle and not (self.moving and self.reshaping):
            raise ValueError(
                "PIG: idle Gaussians cannot be moved where moving or reshaping is false; give one "
                "of the two"
            )

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> GaussianNetwork:
        if self.covariance == "full" and in_size not in (2, 3):
            raise ValueError(
                f"PIG: a full covariance is for two or three features, and there are {in_size}; "
                "take 'diagonal'"
            )
        places, weights, head = jax.random.split(key, 3)
        channels = self.channels * (out_size if self.head == "none" else 1)
        shape = (channels, self.gaussians)
        if self.centres == "grid":
            centres = jnp.broadcast_to(self._grid(in_size), (*shape, in_size))
        else:
            centres = jax.random.uniform(places, (*shape, in_size), minval=-1.0, maxval=1.0)
        spreads = jnp.full(
            (*shape, in_size), jnp.log(self.scale) if self.spread == "log" else self.scale
        )
        rotations = None
        if self.covariance == "full":
            size = 2 if in_size == 2 else 4
            rotations = jnp.zeros((*shape, size)).at[..., 0].set(1.0)
        network = None
        if self.head != "none":
            bend = jnp.tanh if self.head == "tanh" else jnp.sin
            network = MLP(self.hidden, 1, bend).build(channels, out_size, key=head)
        return GaussianNetwork(
            centres if self.moving else Frozen(centres),
            spreads if self.reshaping else Frozen(spreads),
            rotations if self.reshaping or rotations is None else Frozen(rotations),
            0.01 * jax.random.normal(weights, shape),
            network,
            out_size,
            self.spread == "log",
            self.idle,
        )

    def _grid(self, d: int) -> Float[np.ndarray, "n d"]:
        """Raises ValueError for a number that is no d-th power."""
        number = round(self.gaussians ** (1 / d))
        if number < 2 or number**d != self.gaussians:
            nearest = max(2, number) ** d
            raise ValueError(
                f"PIG: a grid in {d} coordinates has a number to the power of {d} of gaussians, "
                f"such as {nearest}"
            )
        line = (1 + 2 / number) * np.linspace(-1, 1, number)
        return np.stack(np.meshgrid(*[line] * d, indexing="ij"), -1).reshape(-1, d)
