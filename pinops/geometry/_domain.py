"""The contract of every domain, and the sampling and naming that all of them share."""

import abc
import difflib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

from pinops._numbers import real

from ._level_sets import Wall

Cube = Callable[[int, int], Float[np.ndarray, "m d"]]
"""`cube(m, d)`: m points of the unit cube [0, 1)^d; asked for more, a new set or a longer one."""

TERMINAL = "t_max"
"""The last instant, where a terminal condition holds: `select` knows it, `parts` are in space."""

# Width of the boundary for `contains`, relative to the coordinates: a few hundred ulp.
_ROUNDING = 1e-13
_TRIALS = 2**22  # rejection gives up beyond this many proposals (or 16 per wanted point)


class Face(NamedTuple):
    """A smooth piece of the boundary, before the rest of the domain cuts anything from it.

    `draw` maps (m, width) points of the unit cube to uniform points (m, d), outward unit normals
    (m, space) and whether each lies on the boundary (m,).  `measure` is the area of what is
    proposed (times no time).
    """

    name: str
    measure: float
    width: int
    draw: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Domain(eqx.Module):
    """A bounded set of points with named coordinates; "t" is time, the others are space.

    A point set is a float64 array (n, d) whose columns follow `coordinates`. Combine spatial
    domains of the same coordinates with `|`, `&`, `-`, and multiply by others with `*`.
    """

    @property
    @abc.abstractmethod
    def coordinates(self) -> tuple[str, ...]:
        """The names of the columns."""

    @property
    @abc.abstractmethod
    def bounds(self) -> dict[str, tuple[float, float]]:
        """The bounding box, by coordinate."""

    @property
    @abc.abstractmethod
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The coordinates that are factors: all of a box, only t of `Disk(...) * Time(0, 1)`."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[str, ...]:
        """The names of the boundary parts in space; `t_max`, the last instant, is none of them."""

    @property
    @abc.abstractmethod
    def measure(self) -> float:
        """Length, area or volume in space; of `|`, `&`, `-` with a relative error of about 1e-4."""

    @abc.abstractmethod
    def _distance(self, points: np.ndarray) -> np.ndarray:
        """`signed_distance` of points that are known to be (n, d) float64."""

    def _extent(self, direction: np.ndarray) -> float:
        """The largest of direction · x in the domain, or more: of a shape in space alone."""
        low, high = np.array([self.bounds[c] for c in self.space]).T
        return float(np.sum(np.maximum(low * direction, high * direction)))

    # `_propose` maps the unit cube of `_width` dimensions uniformly onto a set that covers the
    # domain, of measure `_proposal_measure` in space, and says which points are inside.

    @property
    @abc.abstractmethod
    def _width(self) -> int: ...

    @property
    @abc.abstractmethod
    def _proposal_measure(self) -> float: ...

    @abc.abstractmethod
    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    @abc.abstractmethod
    def _faces(self) -> list[Face]: ...

    @abc.abstractmethod
    def _without_time(self) -> "Domain | None":
        """The spatial factor; None where there is only time."""

    @property
    def space(self) -> tuple[str, ...]:
        """The spatial coordinates, in order."""
        return tuple(c for c in self.coordinates if c != "t")

    @property
    def time(self) -> str | None:
        """ "t", or None for a domain without time."""
        return "t" if "t" in self.coordinates else None

    def signed_distance(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Euclidean distance in space to the boundary, negative inside; time is not looked at.

        Exact for boxes, balls, polygons and their products; for `|`, `&`, `-` the sign is exact
        and the size is a lower bound (Hart, "Sphere tracing", 1996, section 2.5).  Minus infinity
        where there is no space.
        """
        return self._distance(self._checked(points))

    def contains(
        self, points: Float[np.ndarray, "n d"], *, slack: float = 0.0
    ) -> Bool[np.ndarray, " n"]:
        """Whether each point lies in the closed domain, boundary and both ends of time included.

        Args:
            points: One point in each row, columns as `coordinates`.
            slack: How far outside a point still counts as inside, at least 0, as a fraction of the
                length of each interval, and of the longest side in space of everything else.

        Raises:
            ValueError: For an array of another shape.
        """
        points, bounds, intervals = self._checked(points).copy(), self.bounds, self.intervals
        # By interval, because coordinates of different units may lie side by side.
        for c, (low, high) in intervals.items():
            column = points[:, self.coordinates.index(c)]
            snapped = np.clip(column, low, high)
            near = _ROUNDING * max(abs(low), abs(high)) + slack * (high - low)
            column[:] = np.where(np.abs(column - snapped) <= near, snapped, column)
        others = [bounds[c] for c in self.space if c not in intervals]
        rounding = _ROUNDING * max((max(map(abs, ends)) for ends in others), default=0.0)
        near = rounding + slack * max((high - low for low, high in others), default=0.0)
        inside = self._distance(points) <= near
        if self.time is None:
            return inside
        low, high = bounds["t"]
        t = points[:, self.coordinates.index("t")]
        return inside & (t >= low) & (t <= high)

    def select(self, on: str | tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The boundary parts meant by `on`.

        Args:
            on: None for the whole boundary in space, a coordinate of space for its two faces, the
                name of a part (`"t_max"` is the last instant), or a tuple of these.

        Returns:
            The names of the parts, each once, in the order in which they are given.

        Raises:
            ValueError: For a name that is no part, with the nearest one.
        """
        if on is None:
            return self.parts
        parts, space = set(self.parts), set(self.space)  # once: there may be thousands
        chosen = []
        for name in (on,) if isinstance(on, str) else on:
            pair = tuple(part for part in (f"{name}_min", f"{name}_max") if part in parts)
            if name in parts or (name == TERMINAL and self.time is not None):
                chosen.append(name)
            elif name in space and pair:
                chosen.extend(pair)
            else:
                raise ValueError(self._unknown_part(name))
        return tuple(dict.fromkeys(chosen))

    def sample_interior(self, cube: Cube, n: int) -> Float[np.ndarray, "n d"]:
        """n points of uniform density in space and time.

        The map from `cube` is direct for boxes and balls and rejects elsewhere; rejection calls
        `cube` again with more points and keeps the first n inside.  An empty domain is a
        `ValueError`.
        """
        (points,) = first_accepted(
            lambda m: self._propose(_columns(cube, m, self._width)),
            n,
            f"{type(self).__name__}: no room for {n} points, it is empty or a sliver of its "
            "bounding box; check that its members overlap as meant.",
        )
        return points

    def sample_boundary(
        self, on: str | tuple[str, ...] | None, cube: Cube, n: int
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n space"]]:
        """Points on parts of the boundary, uniform in surface measure (times time).

        Of a combined domain only what is on the real boundary is drawn; of surfaces that coincide,
        the first member's.  At the last instant (`"t_max"`) density is uniform in space, and the
        normals, which are those in space, are zero; together with surfaces it has half of the
        points, because surface and volume cannot be compared.

        Args:
            on: The parts, as in `select`.
            cube: Points of the unit cube.
            n: How many points.

        Returns:
            The points, and the outward unit normals there, columns as `space`.

        Raises:
            ValueError: For a part that does not exist, and where no point is on the real boundary.
        """
        names = self.select(on)
        if TERMINAL in names:
            surface = tuple(name for name in names if name != TERMINAL)
            half = n // 2 if surface else 0
            last = self._at_instant(1, cube, n - half), np.zeros((n - half, len(self.space)))
            pairs = [last, *([self.sample_boundary(surface, cube, half)] if half else [])]
            points, normals = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
            return points, normals
        chosen = set(names)
        faces = [face for face in self._faces() if face.name in chosen]
        if not faces:
            raise ValueError(
                f"{type(self).__name__}: it has no boundary in space, only the coordinate t."
            )
        shares = np.cumsum([face.measure for face in faces])
        several, width = len(faces) > 1, max(face.width for face in faces)

        def propose(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            u = _columns(cube, m, width + several)
            if not several:
                return faces[0].draw(u)
            which = np.searchsorted(shares[:-1], u[:, 0] * shares[-1], side="right")
            points, normals = np.empty((m, len(self.coordinates))), np.empty((m, len(self.space)))
            keep = np.empty(m, bool)
            for i in np.unique(which):
                rows = which == i
                points[rows], normals[rows], keep[rows] = faces[i].draw(
                    u[rows, 1 : 1 + faces[i].width]
                )
            return points, normals, keep

        points, normals = first_accepted(
            propose,
            n,
            f"{type(self).__name__}: {_listed(names)} has no piece on the real boundary; the other "
            "members hide or remove it.",
        )
        return points, normals

    def sample_initial(self, cube: Cube, n: int) -> Float[np.ndarray, "n d"]:
        """n points of uniform density in space at the first instant."""
        if self.time is None:
            raise ValueError(
                f"{type(self).__name__}: no initial points without a time coordinate; multiply it "
                "by Time(0, 1)."
            )
        return self._at_instant(0, cube, n)

    def _at_instant(self, end: int, cube: Cube, n: int) -> np.ndarray:
        """n points of uniform density in space at the first (0) or last (1) instant."""
        space = self._without_time()
        points = np.empty((n, 0)) if space is None else space.sample_interior(cube, n)
        return np.insert(points, self.coordinates.index("t"), self.bounds["t"][end], axis=1)

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        """A smooth function that is negative inside, zero on the boundary and positive outside.

        Near the boundary it is about the distance. It is differentiable by JAX, except where two
        parts of the boundary meet.

        Args:
            point: The coordinates in space.

        Raises:
            ValueError: For a shape that has none: a polygon, a spline, a surface, a revolution.
        """
        raise ValueError(
            f"{type(self).__name__} has no smooth level set; boxes, balls, ellipses and what "
            "|, &, -, * and transformations make of them have one"
        )

    def walls(self) -> tuple[Wall, ...]:
        """Smooth functions that vanish on boundary parts; not all parts have one."""
        return ()

    def evaluation_coordinates(
        self, n_per_axis: int | None = None, *, budget: int = 10_000
    ) -> dict[str, np.ndarray]:
        """Where to compare with a reference: by coordinate, float64 arrays that broadcast.

        Up to three coordinates, a grid over the bounding box, ends included, of `n_per_axis`
        points (or about `budget` in all): mask it with `contains`.  Beyond, `budget` points of a
        Sobol sequence inside, all (n,); fewer in hundreds of dimensions, so that they are two
        million numbers at most.
        """
        d = len(self.coordinates)
        if d > 3:
            budget = min(budget, max(64, 2_000_000 // d))
            return dict(zip(self.coordinates, self.sample_interior(sobol, budget).T, strict=True))
        if n_per_axis is None:
            n_per_axis = max(2, math.floor(budget ** (1 / d) + 1e-9))
        axes = [np.linspace(*self.bounds[c], n_per_axis) for c in self.coordinates]
        return dict(
            zip(self.coordinates, np.meshgrid(*axes, indexing="ij", sparse=True), strict=True)
        )

    def __or__(self, other: "Domain") -> "Domain":
        from ._csg import Union

        return Union(self, other)

    def __and__(self, other: "Domain") -> "Domain":
        from ._csg import Intersection

        return Intersection(self, other)

    def __sub__(self, other: "Domain") -> "Domain":
        from ._csg import Difference

        return Difference(self, other)

    def __mul__(self, other: "Domain") -> "Domain":
        from ._product import product

        return product(self, other)

    def moved(self, **by: float) -> "Domain":
        """The domain at another place: `disk.moved(x=1.0)`. Names of parts are kept.

        Args:
            by: How far, by coordinate; those left out stay.

        Raises:
            ValueError: For a domain with time, an unknown coordinate, and infinite distances.
        """
        from ._transformed import moved

        return moved(self, by)

    def rotated(self, angle: float, axis: str | None = None) -> "Domain":
        """The domain turned about the origin. Names of parts are kept.

        Args:
            angle: In radians; in the plane from the first coordinate towards the second, in three
                dimensions right-handed about `axis`.
            axis: The coordinate that keeps its values, in three dimensions.

        Raises:
            ValueError: For a domain with time, other than two or three coordinates, and another
                axis.
        """
        from ._transformed import rotated

        return rotated(self, angle, axis)

    def scaled(self, factor: float) -> "Domain":
        """The domain enlarged about the origin. Names of parts are kept.

        Args:
            factor: > 0, of all lengths.

        Raises:
            ValueError: For a domain with time, and another factor.
        """
        from ._transformed import scaled

        return scaled(self, factor)

    def plot(self, path: str | Path | None = None) -> Any:
        """A Matplotlib figure of the boundary parts by name, with normals.

        Args:
            path: A .png, .pdf or .svg file; None: nowhere.

        Raises:
            ValueError: For other than two or three coordinates of space.
        """
        from pinops.plotting import plot_domain

        return plot_domain(self, path)

    @property
    def _magnitude(self) -> float:
        """The largest coordinate in space, against which rounding is measured."""
        bounds = self.bounds
        return max((max(map(abs, bounds[c])) for c in self.space), default=1.0)

    def _checked(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(real(points, f"{type(self).__name__}: points"), np.float64)
        if points.ndim != 2 or points.shape[1] != len(self.coordinates):
            raise ValueError(
                f"{type(self).__name__}: points must have the shape (n, {len(self.coordinates)}), "
                f"one column each for {_listed(self.coordinates)}, got {points.shape}."
            )
        return points

    def _unknown_part(self, name: str) -> str:
        if self.time is not None and name in ("t", "t_min"):
            return (
                f"{type(self).__name__}: {name!r} is no boundary part; at the first instant use "
                f"Initial, at the last one on={TERMINAL!r}."
            )
        if name == TERMINAL:
            return (
                f"{type(self).__name__}: there is no {TERMINAL!r}, the domain has no time; "
                "multiply it by Time(0, 1)."
            )
        near = difflib.get_close_matches(str(name), self.parts, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        available = _listed(self.parts) or "none"
        return f"{type(self).__name__}: no boundary part {name!r}; {hint}it has {available}."


def sobol(m: int, d: int) -> np.ndarray:
    """The library's own fixed points of the unit cube, for measures and evaluation."""
    from scipy.stats import qmc

    return qmc.Sobol(d, rng=0).random_base2(max(m - 1, 0).bit_length())[:m]


def _columns(cube: Cube, m: int, d: int) -> np.ndarray:
    return np.asarray(cube(m, d), np.float64) if d else np.empty((m, 0))


def first_accepted(
    propose: Callable[[int], tuple[np.ndarray, ...]], n: int, empty: str
) -> list[np.ndarray]:
    """The first n accepted rows of `propose(m)`: arrays of m rows, the last says which to take."""
    trials = n
    while True:
        *arrays, keep = propose(trials)
        found = int(np.count_nonzero(keep))
        if found >= n:
            return [array[keep][:n] for array in arrays]
        # Start again with more instead of topping up: a longer low-discrepancy set is better than
        # two short ones.
        trials = math.ceil(1.2 * trials * n / found) + 16 if found else 8 * trials + 1024
        if trials > max(_TRIALS, 16 * n):
            raise ValueError(empty)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 12 else shown
