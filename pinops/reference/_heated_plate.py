"""Steady conduction in a round plate with holes, by finite volumes whose cells are cut by its walls."""

import numpy as np
from jaxtyping import Float

from ._reference import Reference, relative_difference

RADIUS, BOSS_RADIUS, HOLE_RADIUS = 2.0, 0.75, 0.15
THICKNESS, BOSS_HEIGHT = 1.0, 0.25
FLUX, CONVECTION, BOSS_CONVECTION = 1.0, 0.2, 1.0


def hole_centres(holes: int, position: float) -> Float[np.ndarray, "h 2"]:
    """Centres of equally spaced holes at a distance from the axis, the first at the angle π."""
    angles = np.pi + 2 * np.pi * np.arange(holes) / holes
    return position * np.stack([np.cos(angles), np.sin(angles)], -1)


def heated_plate(holes: int, position: float, *, cells: int = 48, layers: int = 10) -> Reference:
    """Δu = 0 in a disc of radius 2 and thickness 1 (0 < z < 1) with a boss (r < 0.75, -0.25 < z < 0) below and holes through it.

    The heat flux through the walls of the holes (radius 0.15) is 1; all other surfaces lose ``h u``, h = 0.2, and the base of the
    boss h = 1 (conductivity 1, surroundings at 0). Heat that enters leaves, to the tolerance of the solver.

    **Arguments:** `holes` and their `position`, the distance of their centres from the axis, where they must not overlap each
    other, the boss, or the rim; `cells` of the result along x and y, `layers` along z (a multiple of 5). Computed with twice as
    many; the error bar is the distance to the computation with these.

    **Returns:** `u` at the centres of cells, `x (cells, 1, 1)`, `y (1, cells, 1)`, `z (1, 1, layers)` on (-2, 2)² x (-0.25, 1);
    NaN where a cell is not wholly inside.

    **Raises** ValueError for a design that cannot be, and layers of which the boss is no whole number.
    """
    if layers < 5 or layers % 5:
        raise ValueError(
            f"layers must be a multiple of 5, so that the boss is some of them, got {layers}"
        )
    half_gap = position * np.sin(np.pi / holes) if holes > 1 else position
    apart = (
        half_gap > HOLE_RADIUS
        and position >= BOSS_RADIUS + HOLE_RADIUS - 1e-9
        and position < RADIUS - HOLE_RADIUS
    )
    if not isinstance(holes, int) or holes < 1 or not apart:
        raise ValueError(
            f"{holes} holes at {position:g} cannot be: their number must be whole, and they must not overlap each other, the "
            f"boss within {BOSS_RADIUS}, or the rim at {RADIUS:g}; their radius is {HOLE_RADIUS}"
        )
    coarse, whole, _ = solve_plate(holes, position, cells, layers)
    fine, _, _ = solve_plate(holes, position, 2 * cells, 2 * layers, coarse)
    mean = fine.reshape(cells, 2, cells, 2, layers, 2).mean((1, 3, 5))
    mean, coarse = (np.where(whole, u, np.nan) for u in (mean, coarse))
    bar = relative_difference(coarse, mean)
    x, z = _centres(cells, layers)
    coordinates = {"x": x[:, None, None], "y": x[None, :, None], "z": z[None, None, :]}
    source = f"finite volumes, {2 * cells} x {2 * cells} x {2 * layers} cells, those at walls cut"
    return Reference(coordinates, {"u": mean}, {"u": bar}, "finite volumes", source)


def _centres(cells: int, layers: int) -> tuple[np.ndarray, np.ndarray]:
    middle = lambda low, high, n: low + (high - low) * (np.arange(n) + 0.5) / n
    return middle(-RADIUS, RADIUS, cells), middle(-BOSS_HEIGHT, THICKNESS, layers)


def solve_plate(
    holes: int, position: float, cells: int, layers: int, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """u in every cell (0 outside), which cells are wholly inside, and the part of the heat that enters and does not leave."""
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import cg

    shape, h, dz = (cells, cells, layers), 2 * RADIUS / cells, (THICKNESS + BOSS_HEIGHT) / layers
    below = np.arange(layers) < round(BOSS_HEIGHT / dz)
    plate, boss = (
        _Section(cells, hole_centres(holes, position), RADIUS),
        _Section(cells, np.zeros((0, 2)), BOSS_RADIUS),
    )
    stack = lambda name: np.where(
        below, getattr(boss, name)[..., None], getattr(plate, name)[..., None]
    )
    area, there = stack("area"), stack("there")
    number, count = np.cumsum(there).reshape(shape) - 1, int(there.sum())
    heat = FLUX * dz * np.where(below, 0.0, plate.hole_walls[..., None])
    # From the centre of a cell to its surface, and from there to the surroundings.
    to_outside = lambda convection, way: 1 / (1 / convection + way)
    losing = to_outside(CONVECTION, h / 2) * dz * stack("rim")
    losing[..., -1] += to_outside(CONVECTION, dz / 2) * area[..., -1]
    losing[..., 0] += to_outside(BOSS_CONVECTION, dz / 2) * area[..., 0]
    losing[..., below.sum()] += to_outside(CONVECTION, dz / 2) * np.maximum(
        plate.area - boss.area, 0
    )
    diagonal = losing.copy()
    rows, columns, values = [], [], []
    faces = {
        0: stack("open_x")[:-1] * dz / h,
        1: stack("open_y")[:, :-1] * dz / h,
        2: np.minimum(area[..., :-1], area[..., 1:]) / dz,
    }
    for axis, conductance in faces.items():
        left, right = (
            (slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))
        )
        conductance = np.where(there[left] & there[right], conductance, 0.0)
        diagonal[left] += conductance
        diagonal[right] += conductance
        some = conductance > 0
        a, b, c = number[left][some], number[right][some], conductance[some]
        rows += [a, b]
        columns += [b, a]
        values += [-c, -c]
    inner = np.arange(count)
    matrix = coo_array(
        (
            np.concatenate([*values, diagonal[there]]),
            (np.concatenate([*rows, inner]), np.concatenate([*columns, inner])),
        )
    ).tocsr()
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


class _Section:
    """A disc with holes on a grid of square cells: how much of each is inside, of its sides, and of walls in it."""

    def __init__(self, cells: int, centres: np.ndarray, radius: float):
        h = 2 * RADIUS / cells
        edges = np.linspace(-RADIUS, RADIUS, cells + 1)
        # A side from (x, y0) to (x, y1) is inside as far as it is within the disc and no hole: chords of circles.
        rim_x, rim_y = self._sides(edges, np.zeros(2), radius)
        hole_sides = [self._sides(edges, centre, HOLE_RADIUS) for centre in centres]
        holes_x, holes_y = (
            sum((sides[k] for sides in hole_sides), np.zeros_like(rim_x if k == 0 else rim_y))
            for k in (0, 1)
        )
        self.open_x, self.open_y = (rim_x - holes_x)[1:], (rim_y - holes_y)[:, 1:]
        chords = lambda x: (
            self._chords(x, edges, np.zeros(2), radius)
            - sum(
                (self._chords(x, edges, centre, HOLE_RADIUS) for centre in centres),
                np.zeros((len(x), cells)),
            )
        )
        nodes, weights = np.polynomial.legendre.leggauss(8)
        lines = [(edges[1:] + edges[:-1]) / 2 + h * node / 2 for node in nodes]
        self.area = (
            h / 2 * sum(weight * chords(x) for weight, x in zip(weights, lines, strict=True))
        )
        self.there = self.area > 1e-3 * h**2

        def walls(sides: tuple[np.ndarray, np.ndarray], length: float) -> np.ndarray:
            """By the divergence theorem: what is open on opposite sides differs by the projection of the wall between them."""
            found = np.hypot(np.diff(sides[0], axis=0), np.diff(sides[1], axis=1)) * self.there
            return found * length / np.sum(found)

        self.rim = walls((rim_x, rim_y), 2 * np.pi * radius)
        self.hole_walls = sum(
            (walls(sides, 2 * np.pi * HOLE_RADIUS) for sides in hole_sides),
            np.zeros((cells, cells)),
        )

    def _sides(
        self, edges: np.ndarray, centre: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """How much of the sides is inside a circle: those of constant x ``(n + 1, n)``, those of constant y ``(n, n + 1)``."""
        return self._chords(edges, edges, centre, radius), self._chords(
            edges, edges, centre[::-1], radius
        ).T

    @staticmethod
    def _chords(x: np.ndarray, edges: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
        """How much of the segments between edges along y, on lines of constant x, is inside a circle, ``(x, edges - 1)``."""
        half = np.sqrt(np.maximum(radius**2 - (x - centre[0]) ** 2, 0))[:, None]
        low, high = (
            np.maximum(edges[:-1], centre[1] - half),
            np.minimum(edges[1:], centre[1] + half),
        )
        return np.maximum(high - low, 0)
