"""Random linear problems on the square, with manufactured solutions or simple data.

Source: Bischof et al., HyPINO (arXiv 2509.05117), with its released code; where the two differ, the
setting says which is which.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from pinops.functions import Pool, composition_streams
from pinops.problem._linear_samples import LinearSamples, pixels
from pinops.problem._perforated import (
    SHAPES,
    SIDES,
    X_MAX,
    X_MIN,
    Y_MAX,
    Y_MIN,
    Perforated,
    random_holes,
)
from pinops.settings import Number, OneOf, Several, check_settings, instance, number, setting, whole

TYPES = ("elliptic", "parabolic", "hyperbolic", "other")
TRIES = 3  # candidates for a point: holes cover less than two thirds of the square
U, U_X, U_Y, U_XX, U_YY = range(5)


class _Layout(eqx.Module):
    """The geometry of a sample with what is given on each piece of its boundary."""

    holes: Perforated
    dirichlet: Bool[Array, " pieces"]
    neumann: Bool[Array, " pieces"]
    initial: Bool[Array, ""]  # whether y is time, and the rate is given at y = -1


class RandomLinearProblems(eqx.Module):
    """Random problems ``c0 u + c1 u_x + c2 u_y + c3 u_xx + c4 u_yy = f`` on [-1, 1]^2 with holes.

    **Operators** have one to three terms with coefficients from -2 to 2. Without ``shares`` the
    terms are drawn at random, of which 7 % are elliptic and 7 % hyperbolic; with them, an operator
    of each type has its terms, u_xx and u_yy (of one sign or of both) or u_y and u_xx (that of heat
    forward in time), and perhaps a third one.

    **Conditions** follow the type: u on all sides where u_xx and u_yy have the same sign, else on x
    = ±1 and y = -1, and with opposite signs also u_y at y = -1. On each hole u or u_n is given.

    **Supervised** problems have a composition of ``pool`` as exact solution; with probability
    ``doubled`` the lateral sides show u_n beside u, and with probability 1/2 so do Neumann holes.
    **Others** have a constant source, normal with mean ``source_mean`` and deviation 10, and data
    of a linear function that the operator maps to 0: those of u = 0 where it has the term u, and
    without slope along a coordinate whose first derivative it has.

    Args:
        pool: Compositions of two coordinates, ``RandomCompositions(6.0).pool(key, 20_000)``.
        size: N, rows of an image.
        points: n, points inside, uniform.
        boundary: m, points on the boundary, uniform.
        holes: The largest number of holes, 0 to 8.
        shapes: Which holes there are, some of "disk", "rectangle", "triangle".
        shares: How many operators are elliptic, parabolic, hyperbolic and of other types, relative
            to their sum; None: terms at random, as in the source.
        width: How far from the boundary a pixel shows it, in pixels; in the source 2.5 of 224.
        doubled: From 0 to 1.
        source_mean: 0 in the paper, 10 in the released code.

    Raises:
        ValueError: For a setting outside of its range, and for a pool of other than two
            coordinates.

    Example:
        >>> pool = po.functions.RandomCompositions(6.0).pool(jax.random.key(0), 50)
        >>> problems = RandomLinearProblems(pool)
        >>> keys = jax.random.split(jax.random.key(1), 8)
        >>> jax.jit(jax.vmap(problems.sample))(keys).images.shape
        (8, 32, 32, 5)
    """

    pool: Pool = instance(Pool, what="a pool such as RandomCompositions(6.0).pool(key, 20_000)")
    size: int = whole(32, least=8, most=1024)
    points: int = whole(256)
    boundary: int = whole(128)
    holes: int = whole(2, least=0, most=8)
    shapes: tuple[str, ...] = setting(Several(OneOf(SHAPES)), ("disk", "rectangle"))
    shares: tuple[float, ...] | None = setting(
        Several(Number(least=0), least=4), (45.0, 25.0, 20.0, 10.0), optional=True
    )
    width: float = number(1.25, above=0, most=10)
    doubled: float = number(0.25, least=0, most=1)
    source_mean: float = number(0.0)

    def __check_init__(self):
        check_settings(self)
        if self.shares is not None and (len(self.shares) != 4 or not sum(self.shares) > 0):
            raise ValueError(
                f"RandomLinearProblems: shares must be four numbers, of {', '.join(TYPES)}, not "
                f"all of them 0, got {self.shares}"
            )
        if self.pool.tables.shape[-1] != 7:
            raise ValueError(
                "RandomLinearProblems: pool must be of two coordinates, got tables of shape "
                f"{self.pool.tables.shape}; make it with dimensions=2"
            )

    def sample(self, key: PRNGKeyArray, supervised: Any = 1.0) -> LinearSamples:
        """A problem; `jax.vmap` over keys makes a batch.

        Args:
            key: Determines the problem.
            supervised: The probability of an exact solution, from 0 to 1; may be traced.
        """
        keys = dict(
            zip(("known", "operator", "data", "layout", "at"), (0, *range(2, 6)), strict=True)
        )
        keys = {name: jax.random.fold_in(key, number) for name, number in keys.items()}
        known = jax.random.uniform(keys["known"]) < supervised
        table = self.composition(key)
        coefficients = self._operator(keys["operator"])
        linear, constant = self._simple(keys["data"], coefficients)
        layout = self._layout(keys["layout"], coefficients, known)

        @jax.vmap
        def streams(at: Array) -> Float[Array, "5"]:
            simple = jnp.stack([linear[0] + linear[1:] @ at, *linear[1:], *jnp.zeros(2)])
            return jnp.where(known, composition_streams(table, at), simple)

        def source(streams: Array) -> Array:
            return jnp.where(known, streams @ coefficients, constant)

        grid = jnp.asarray(pixels(self.size), table.dtype).reshape(-1, 2).T
        nearest, normals, piece, shown = self._shown(layout, grid)
        points = self._interior(jax.random.fold_in(keys["at"], 0), layout.holes)
        boundary, outward, pieces = self._boundary(jax.random.fold_in(keys["at"], 1), layout)
        # One call: the program of the compositions is compiled once.
        groups = [grid, points, nearest, boundary]
        ends = np.cumsum([group.shape[1] for group in groups])[:-1]
        on_grid, inside, at_nearest, on_boundary = jnp.split(
            streams(jnp.concatenate(groups, 1).T), ends
        )

        def given(piece: Array, streams: Array, normals: Array, shown: Any) -> list[Array]:
            dirichlet, neumann = layout.dirichlet[piece] & shown, layout.neumann[piece] & shown
            flux = jnp.sum(streams[:, 1:3] * normals.T, -1)
            values = jnp.where(dirichlet, streams[:, 0], 0.0), jnp.where(neumann, flux, 0.0)
            return [dirichlet, neumann, *values]

        masks = given(piece, at_nearest, normals, shown)
        images = [image.astype(table.dtype) for image in (*masks, source(on_grid))]
        dirichlet, neumann, values, fluxes = given(pieces, on_boundary, outward, True)
        shape = (self.size, self.size)
        return LinearSamples(
            coefficients=coefficients,
            images=jnp.stack(images, -1).reshape(*shape, 5),
            inside=layout.holes.inside(grid[:, None]).astype(table.dtype).reshape(shape),
            nearest=nearest.T.reshape(*shape, 2),
            nearest_normals=normals.T.reshape(*shape, 2),
            points=points.T,
            source=source(inside),
            streams=jnp.where(known, inside, 0.0),
            known=known,
            boundary=boundary.T,
            normals=outward.T,
            dirichlet=dirichlet,
            neumann=neumann,
            values=values,
            fluxes=fluxes,
        )

    def composition(self, key: PRNGKeyArray) -> Float[Array, "steps 7"]:
        """The exact solution of the problem of a key, where it is known, as
        `pinops.functions.composition_streams` takes it.
        """
        return self.pool.sample(jax.random.fold_in(key, 1))

    def _operator(self, key: PRNGKeyArray) -> Float[Array, "5"]:
        """The coefficients of u, u_x, u_y, u_xx, u_yy."""
        uniform = jax.random.uniform(key, (13,))
        c, order, (kind, count, which) = 4 * uniform[:5] - 2, uniform[5:10], uniform[10:]
        if self.shares is None:
            return jnp.where(_first(order, 1 + jnp.floor(3 * count)), c, 0.0)
        bounds = np.cumsum(self.shares) / np.sum(self.shares)
        kind = jnp.searchsorted(jnp.asarray(bounds[:-1], c.dtype), kind, side="right")
        # Terms of a type come first, and those that would change it not at all.
        of_type = np.full((4, 5), 1)
        of_type[0, [U_XX, U_YY]] = of_type[2, [U_XX, U_YY]] = of_type[1, [U_Y, U_XX]] = 0
        of_type[1, U_YY] = 9
        first = jnp.asarray(of_type)[kind]
        # An operator of another type lacks one of the second derivatives.
        other = (kind == 3) & (jnp.arange(5) == jnp.where(which < 0.5, U_XX, U_YY))
        count = jnp.where(kind == 3, 1 + jnp.floor(3 * count), 2 + jnp.floor(2 * count))
        c = jnp.where(_first(order + first + 9 * other, count), c, 0.0)
        sign = jnp.sign(c[U_XX])
        partner = jnp.asarray([U_YY, U_Y, U_YY, U])[kind]
        signed = jnp.asarray([1.0, -1.0, -1.0, 0.0], c.dtype)[kind] * sign * jnp.abs(c[partner])
        return c.at[partner].set(jnp.where(kind == 3, c[partner], signed))

    def _simple(
        self, key: PRNGKeyArray, coefficients: Float[Array, "5"]
    ) -> tuple[Float[Array, "3"], Float[Array, ""]]:
        """A linear function ``a0 + a1 x + a2 y`` of at most two terms, and a constant source."""
        draws, order = 10 * (2 * jax.random.uniform(key, (6,)) - 1), jax.random.fold_in(key, 1)
        flat = jnp.stack([jnp.asarray(True), coefficients[U_X] == 0, coefficients[U_Y] == 0])
        chosen = _first(draws[3:] + 99 * (1 - flat), jax.random.randint(order, (), 0, 3))
        linear = jnp.where(chosen & flat & (coefficients[U] == 0), draws[:3], 0.0)
        # At most 10 on the square, the bound of exact solutions.
        linear = linear / jnp.maximum(1.0, jnp.sum(jnp.abs(linear)) / 10)
        return linear, self.source_mean + 10 * jax.random.normal(jax.random.fold_in(key, 2))

    def _layout(self, key: PRNGKeyArray, coefficients: Array, known: Array) -> _Layout:
        """Holes, and what is given where."""
        holes = random_holes(jax.random.fold_in(key, 0), self.holes, self.shapes)
        uniform = jax.random.uniform(jax.random.fold_in(key, 1), (2 * self.holes + 1,))
        product = coefficients[U_XX] * coefficients[U_YY]
        steady = product > 0
        doubled = known & (uniform[-1] < self.doubled)
        sides = jnp.arange(SIDES)
        dirichlet = steady | (sides != Y_MAX)
        lateral = (sides == X_MIN) | (sides == X_MAX)
        rate = (product < 0) & (sides == Y_MIN)
        neumann = (doubled & (steady | lateral)) | rate
        slope = uniform[: self.holes] < 0.5
        value = ~slope | (known & (uniform[self.holes : -1] < 0.5))
        there = holes.lengths[SIDES:] > 0
        owner = holes.owners[SIDES:]
        return _Layout(
            holes=holes,
            dirichlet=jnp.concatenate([dirichlet, value[owner] & there]),
            neumann=jnp.concatenate([neumann, slope[owner] & there]),
            initial=product < 0,
        )

    def _outward(self, layout: _Layout, piece: Array, normals: Float[Array, "2 q"]) -> Array:
        """Normals, of which that of the rate at the first instant points into the domain."""
        rate = layout.initial & (piece == Y_MIN)
        return jnp.where(rate[None], jnp.asarray([[0.0], [1.0]], normals.dtype), normals)

    def _shown(
        self, layout: _Layout, at: Float[Array, "2 q"]
    ) -> tuple[Array, Array, Int[Array, " q"], Bool[Array, " q"]]:
        """The nearest boundary points of pixels, the normals and pieces there, and whether they
        are near enough.
        """
        feet, normals = layout.holes.nearest(at)
        given = (layout.dirichlet | layout.neumann)[:, None]
        visible = given & layout.holes.inside(feet, layout.holes.owners[:, None])
        distances = jnp.sqrt(jnp.sum((feet - at[:, None]) ** 2, 0))
        distances = jnp.where(visible, distances, jnp.inf)
        piece = jnp.argmin(distances, 0)
        nearest, normals = (
            jnp.take_along_axis(vectors, piece[None, None], 1)[:, 0] for vectors in (feet, normals)
        )
        near = jnp.min(distances, 0) < self.width * 2 / (self.size - 1)
        return nearest, self._outward(layout, piece, normals), piece, near

    def _interior(self, key: PRNGKeyArray, holes: Perforated) -> Float[Array, "2 n"]:
        candidates = jax.random.uniform(key, (2, TRIES * self.points), minval=-1.0)
        return candidates[:, _taken(holes.inside(candidates[:, None])[0], self.points)]

    def _boundary(
        self, key: PRNGKeyArray, layout: _Layout
    ) -> tuple[Float[Array, "2 m"], Float[Array, "2 m"], Int[Array, " m"]]:
        """Points of pieces where something is given, with their normals and pieces."""
        holes = layout.holes
        lengths = jnp.where(layout.dirichlet | layout.neumann, holes.lengths, 0.0)
        which, part = jax.random.uniform(key, (2, TRIES * self.boundary))
        ends = jnp.cumsum(lengths)
        piece = jnp.searchsorted(ends, which * ends[-1], side="right")
        piece = jnp.minimum(piece, len(lengths) - 1)
        points, normals = holes.along(piece, part)
        visible = holes.inside(points[:, None], jnp.asarray(holes.owners)[piece][None])[0]
        taken = _taken(visible, self.boundary)
        piece = piece[taken]
        return points[:, taken], self._outward(layout, piece, normals[:, taken]), piece


def _first(order: Float[Array, " n"], count: Array) -> Bool[Array, " n"]:
    """Which numbers are among the ``count`` smallest."""
    return jnp.sum(order[:, None] > order[None], 1) < count


def _taken(good: Bool[Array, " candidates"], count: int) -> Int[Array, " n"]:
    """The numbers of the first good candidates; where they are too few, they are taken again."""
    first = jnp.argsort(~good, stable=True)
    return first[jnp.arange(count) % jnp.maximum(jnp.sum(good), 1)]
