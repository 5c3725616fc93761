"""Steady conduction in a round plate with holes, by finite volumes cut at its walls."""

import numpy as np
from jaxtyping import Float

from ._reference import Reference, relative_difference

RADIUS, BOSS_RADIUS, HOLE_RADIUS = 2.0, 0.75, 0.15
THICKNESS, BOSS_HEIGHT = 1.0, 0.25
FLUX, CONVECTION, BOSS_CONVECTION = 1.0, 0.2, 1.0


def hole_centres(holes: int, position: float) -> Float[np.ndarray, "h 2"]:
    """Centres of equally spaced holes, ``(h, 2)``, the first at the angle π.

    Args:
        holes: their number h >= 1.
        position: the distance of their centres from the axis.
    """
    angles = np.pi + 2 * np.pi * np.arange(holes) / holes
    return position * np.stack([np.cos(angles), np.sin(angles)], -1)


def heated_plate(holes: int, position: float, *, cells: int = 48, layers: int = 10) -> Reference:
    """Δu = 0 in a disc with a boss below and holes through it.

    The disc has radius 2 and 0 < z < 1, the boss radius 0.75 and -0.25 < z < 0. The heat flux
    through the walls of the holes (radius 0.15) is 1; all other surfaces lose ``h u``, with
    h = 1 at the base of the boss and h = 0.2 elsewhere (conductivity 1, surroundings at 0). The
    heat that enters leaves again, to the tolerance of the solver.

    Args:
        holes: their number, >= 1.
        position: the distance of their centres from the axis, so that they overlap neither each
            other nor the boss or the rim.
        cells: of the result along x and y.
        layers: of the result along z, a multiple of 5. The computation has twice as many cells and
            layers; the error bar is the distance to a computation with these.

    Returns:
        `u` at the centres of cells, `x (cells, 1, 1)`, `y (1, cells, 1)`, `z (1, 1, layers)` on
        (-2, 2)² x (-0.25, 1); NaN where a cell is not wholly inside.

    Raises:
        ValueError: for overlapping holes, or layers of which the boss is not a whole number.
    """
    if layers < 5 or layers % 5:
        raise ValueError(
            f"layers must be a multiple of 5, so that the boss has whole ones, got {layers}"
        )
    half_gap = position * np.sin(np.pi / holes) if holes > 1 else position
    apart = (
        half_gap > HOLE_RADIUS
        and position >= BOSS_RADIUS + HOLE_RADIUS - 1e-9
        and position < RADIUS - HOLE_RADIUS
    )
    if not isinstance(holes, int) or holes < 1 or not apart:
        raise ValueError(
            f"{holes} holes at {position:g} cannot be: their number must be whole, and they must "
            f"not overlap each other, the boss within {BOSS_RADIUS}, or the rim at {RADIUS:g}; "
            f"their radius is {HOLE_RADIUS}"
        )
    coarse, whole, _ = solve_plate(holes, position, cells, layers)
    fine, _, _ = solve_plate(holes, position, 2 * cells, 2 * layers, coarse)
    mean = fine.reshape(cells, 2, cells, 2, layers, 2).mean((1, 3, 5))
    mean, coarse = (np.where(whole, u, np.nan) for u in (mean, coarse))
    x, z = _centres(-RADIUS, RADIUS, cells), _centres(-BOSS_HEIGHT, THICKNESS, layers)
    return Reference(
        coordinates={"x": x[:, None, None], "y": x[None, :, None], "z": z[None, None, :]},
        values={"u": mean},
        error_bar={"u": relative_difference(coarse, mean)},
        kind="finite volumes",
        source=f"finite volumes, {2 * cells} x {2 * cells} x {2 * layers} cells, cut at walls",
    )


def _centres(low: float, high: float, count: int) -> np.ndarray:
    return low + (high - low) * (np.arange(count) + 0.5) / count


def solve_plate(
    holes: int, position: float, cells: int, layers: int, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """One computation of `heated_plate` at a single resolution.

    Args:
        holes: their number.
        position: the distance of their centres from the axis.
        cells: along x and y.
        layers: along z.
        start: a solution on a coarser grid from which the iteration starts.

    Returns:
        u in every cell (0 outside), the mask of cells wholly inside, and the share of the heat
        that enters but does not leave.

    Raises:
        RuntimeError: where conjugate gradients do not converge.
    """
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import cg

    shape, h, dz = (cells, cells, layers), 2 * RADIUS / cells, (THICKNESS + BOSS_HEIGHT) / layers
    below = np.arange(layers) < round(BOSS_HEIGHT / dz)
    plate = _Section(cells, hole_centres(holes, position), RADIUS)
    boss = _Section(cells, np.zeros((0, 2)), BOSS_RADIUS)

    def stacked(of_boss: np.ndarray, of_plate: np.ndarray) -> np.ndarray:
        return np.where(below, of_boss[..., None], of_plate[..., None])

    # Every layer is a section of the boss or of the plate; cells exchange heat with their
    # neighbours through open faces, and lose it through rims, top and bottom.
    area, there = stacked(boss.area, plate.area), stacked(boss.there, plate.there)
    number, count = np.cumsum(there).reshape(shape) - 1, int(there.sum())
    heat = FLUX * dz * np.where(below, 0.0, plate.hole_walls[..., None])
    losing = _conductance(CONVECTION, h / 2) * dz * stacked(boss.rim, plate.rim)
    losing[..., -1] += _conductance(CONVECTION, dz / 2) * area[..., -1]
    losing[..., 0] += _conductance(BOSS_CONVECTION, dz / 2) * area[..., 0]
    shoulder = np.maximum(plate.area - boss.area, 0)
    losing[..., below.sum()] += _conductance(CONVECTION, dz / 2) * shoulder
    diagonal = losing.copy()
    rows, columns, values = [], [], []
    # The conductance of a face is its open area over the distance between the two centres.
    faces = (
        stacked(boss.open_x, plate.open_x)[:-1] * dz / h,
        stacked(boss.open_y, plate.open_y)[:, :-1] * dz / h,
        np.minimum(area[..., :-1], area[..., 1:]) / dz,
    )
    for axis, conductance in enumerate(faces):
        before = (slice(None),) * axis
        left, right = (*before, slice(None, -1)), (*before, slice(1, None))
        conductance = np.where(there[left] & there[right], conductance, 0.0)
        diagonal[left] += conductance
        diagonal[right] += conductance
        some = conductance > 0
        a, b, c = number[left][some], number[right][some], conductance[some]
        rows += [a, b]
        columns += [b, a]
        values += [-c, -c]
    inner = np.arange(count)
    at = np.concatenate([*rows, inner]), np.concatenate([*columns, inner])
    matrix = coo_array((np.concatenate([*values, diagonal[there]]), at)).tocsr()
    # Conjugate gradients start from a solution on a coarser grid, if there is one.
    guess = None
    if start is not None:
        finer = [n // m for n, m in zip(shape, start.shape, strict=True)]
        guess = np.kron(start, np.ones(finer))[there]
    solution, failed = cg(
        matrix, heat[there], guess, rtol=1e-10, maxiter=20_000, M=diags_array(1 / diagonal[there])
    )
    if failed:
        raise RuntimeError(
            f"heated_plate: conjugate gradients did not converge for {holes} holes at {position}"
        )
    u = np.zeros(shape)
    u[there] = solution
    whole = area > (1 - 1e-9) * h**2
    return u, whole, abs(float(np.sum(losing * u) / np.sum(heat)) - 1)


def _conductance(convection: float, way: float) -> float:
    """From the centre of a cell to its surface, and from there to the surroundings."""
    return 1 / (1 / convection + way)


class _Section:
    """A disc with holes on a grid of square cells.

    For each cell it knows the area inside, the open length of its sides, and the length of the
    rim and of the walls of holes in it.
    """

    def __init__(self, cells: int, centres: np.ndarray, radius: float):
        h = 2 * RADIUS / cells
        edges = np.linspace(-RADIUS, RADIUS, cells + 1)
        # The part of a side that is inside is a chord of the disc without the chords of holes.
        rim_x, rim_y = self._sides(edges, np.zeros(2), radius)
        hole_sides = [self._sides(edges, centre, HOLE_RADIUS) for centre in centres]
        holes_x = sum((x for x, _ in hole_sides), np.zeros_like(rim_x))
        holes_y = sum((y for _, y in hole_sides), np.zeros_like(rim_y))
        self.open_x, self.open_y = (rim_x - holes_x)[1:], (rim_y - holes_y)[:, 1:]

        def chords(x: np.ndarray) -> np.ndarray:
            inside = self._chords(x, edges, np.zeros(2), radius)
            for centre in centres:
                inside = inside - self._chords(x, edges, centre, HOLE_RADIUS)
            return inside

        nodes, weights = np.polynomial.legendre.leggauss(8)
        lines = [(edges[1:] + edges[:-1]) / 2 + h * node / 2 for node in nodes]
        weighted = [weight * chords(x) for weight, x in zip(weights, lines, strict=True)]
        self.area = h / 2 * np.sum(weighted, axis=0)
        self.there = self.area > 1e-3 * h**2

        def walls(sides: tuple[np.ndarray, np.ndarray], length: float) -> np.ndarray:
            # Divergence theorem: the open lengths of opposite sides differ by the projection of
            # the wall between them.
            found = np.hypot(np.diff(sides[0], axis=0), np.diff(sides[1], axis=1)) * self.there
            return found * length / np.sum(found)

        self.rim = walls((rim_x, rim_y), 2 * np.pi * radius)
        around = 2 * np.pi * HOLE_RADIUS
        self.hole_walls = sum(
            (walls(sides, around) for sides in hole_sides), np.zeros((cells, cells))
        )

    def _sides(
        self, edges: np.ndarray, centre: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The length of each side within a circle.

        ``(n + 1, n)`` for the sides of constant x, ``(n, n + 1)`` for those of constant y.
        """
        along_y = self._chords(edges, edges, centre, radius)
        along_x = self._chords(edges, edges, centre[::-1], radius)
        return along_y, along_x.T

    @staticmethod
    def _chords(x: np.ndarray, edges: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
        """The length within a circle of segments between edges along y, on lines of constant x."""
        half = np.sqrt(np.maximum(radius**2 - (x - centre[0]) ** 2, 0))[:, None]
        low = np.maximum(edges[:-1], centre[1] - half)
        high = np.minimum(edges[1:], centre[1] + half)
        return np.maximum(high - low, 0)
