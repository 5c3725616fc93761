"""Domains: areas and normals by the divergence theorem, distances against closed forms, counts,
names, errors.
"""

import math

import jax
import numpy as np
import pytest
from scipy.special import ellipe
from scipy.stats import qmc

from pinops.geometry import (
    Ball,
    Box,
    Disk,
    Domain,
    Ellipse,
    Interval,
    Polygon,
    Revolution,
    RoundedRectangle,
    Spline,
    Time,
)

L = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
SQUARE = Box(x=(0, 1), y=(0, 1))
ANGLES = 2 * np.pi * np.arange(40) / 40
CIRCLE = np.stack([1 + 2 * np.cos(ANGLES), 2 * np.sin(ANGLES)], 1)


def cube(m, d):
    return qmc.Sobol(d, rng=7).random_base2(max(m - 1, 0).bit_length())[:m]


def lens_perimeter():
    # Unit disks at distance 1: each contributes an arc of angle 2 pi / 3.
    return 2 * (2 * math.pi / 3)


# name -> (domain, spatial measure, surface measure), the last two in closed form
SHAPES: dict[str, tuple[Domain, float, float]] = {
    "interval": (Interval(x=(-1, 2)), 3.0, 2.0),
    "box 2": (Box(x=(-1, 1), y=(0, 0.5)), 1.0, 5.0),
    "box 3": (Box(x=(0, 1), y=(0, 2), z=(0, 3)), 6.0, 22.0),
    "box 5": (Box(**{f"x{i}": (0, 2) for i in range(5)}), 32.0, 160.0),
    "ball 1": (Ball({"x": 0.5}, 2), 4.0, 2.0),
    "disk": (Disk(x=0.3, y=-0.2, radius=0.5), math.pi / 4, math.pi),
    "ball 3": (Ball({"x": 1, "y": 2, "z": 3}, 2), 32 * math.pi / 3, 16 * math.pi),
    "ball 4": (Ball({"a": 0, "b": 0, "c": 0, "d": 1}, 1), math.pi**2 / 2, 2 * math.pi**2),
    "triangle, clockwise": (Polygon([(0, 0), (0, 3), (4, 0)]), 6.0, 12.0),
    "L": (Polygon(L), 3.0, 8.0),
    "disk minus disk": (
        Disk(x=0, y=0, radius=1) - Disk(x=0.2, y=0, radius=0.5),
        0.75 * math.pi,
        3 * math.pi,
    ),
    "lens": (
        Disk(x=0, y=0, radius=1) & Disk(x=1, y=0, radius=1),
        2 * math.pi / 3 - math.sqrt(3) / 2,
        lens_perimeter(),
    ),
    "two disks": (
        Disk(x=0, y=0, radius=1) | Disk(x=1, y=0, radius=1),
        4 * math.pi / 3 + math.sqrt(3) / 2,
        2 * (4 * math.pi / 3),
    ),
    "shared wall": (SQUARE | Box(x=(1, 3), y=(0, 1)), 3.0, 8.0),
    "flush walls": (Box(x=(0, 1), y=(0, 2)) | Box(x=(0, 2), y=(0, 1)), 3.0, 8.0),
    "notch at the wall": (SQUARE - Box(x=(0.5, 1), y=(0.25, 0.75)), 0.75, 5.0),
    "nested": (
        (SQUARE | Box(x=(1, 2), y=(0, 1)))
        - Box(x=(0.9, 1.1), y=(0.4, 0.6))
        - Disk(x=2, y=1, radius=0.5),
        2 - 0.04 - math.pi / 16,
        6 - 1 + 0.8 + math.pi / 4,
    ),
    "hole along a seam": (
        (SQUARE | Box(x=(1, 2), y=(0, 1))) - Box(x=(1, 1.5), y=(0.25, 0.75)),
        1.75,
        8.0,
    ),
    "minus a union": (
        Box(x=(0, 4), y=(0, 2)) - (Disk(x=1, y=1, radius=0.5) | Disk(x=3, y=1, radius=0.5)),
        8 - math.pi / 2,
        12 + 2 * math.pi,
    ),
    "ellipse": (
        Ellipse(x=1, y=-1, radii=(0.5, 2)),
        math.pi,
        8 * ellipe(1 - 1 / 16),
    ),
    "rounded": (
        RoundedRectangle(x=(0, 3), y=(1, 2), radius=0.25),
        3 - (4 - math.pi) / 16,
        6 + math.pi / 2,
    ),
    "circle as a spline": (Spline(CIRCLE[::-1]), 4 * math.pi, 4 * math.pi),
    "polygon with a hole": (
        Polygon(L) - Polygon([(0.2, 0.2), (0.8, 0.2), (0.2, 0.8)], name="hole"),
        3 - 0.18,
        8 + 1.2 + 0.6 * math.sqrt(2),
    ),
    "moved box": (SQUARE.moved(x=5.0).scaled(2.0), 4.0, 8.0),
    "turned ellipse": (
        Ellipse(x=0, y=0, radii=(1, 2)).rotated(0.7).moved(y=3.0),
        2 * math.pi,
        8 * ellipe(0.75),
    ),
    "turned ring": (
        (Disk(x=1, y=0, radius=1) - Disk(x=1, y=0.2, radius=0.5)).rotated(1.0).scaled(0.5),
        0.75 * math.pi / 4,
        1.5 * math.pi,
    ),
    "turned prism": ((Polygon(L) * Interval(z=(0, 2))).rotated(0.3, axis="x"), 6.0, 22.0),
    "torus": (
        Revolution(Disk(r=2, z=1, radius=0.5)),
        math.pi**2,
        4 * math.pi**2,
    ),
    "disk and time": (Disk(x=0, y=0, radius=2) * Time(1, 3), 4 * math.pi, 4 * math.pi),
    "time and disk": (Time(1, 3) * Disk(x=0, y=0, radius=2), 4 * math.pi, 4 * math.pi),
    "box and time": (Box(x=(0, 1), t=(5, 9), y=(0, 3)), 3.0, 8.0),
    "cylinder": (Disk(x=0, y=0, radius=1) * Box(z=(0, 2), t=(0, 1)), 2 * math.pi, 6 * math.pi),
    "washer": (
        (Disk(x=0, y=0, radius=2) - Disk(x=0, y=0, radius=1)) * Interval(z=(0, 1)),
        3 * math.pi,
        12 * math.pi,
    ),
    "prism and time": (Polygon(L) * Interval(z=(0, 2)) * Time(0, 1), 6.0, 22.0),
}
EACH = pytest.mark.parametrize("name", SHAPES)


def spatial(domain, points):
    return points[:, [i for i, c in enumerate(domain.coordinates) if c != "t"]]


@EACH
def test_measure(name):
    domain, measure, _ = SHAPES[name]
    assert domain.measure == pytest.approx(measure, rel=1e-3)


@EACH
def test_divergence_theorem(name):
    """∮ F·n dS = ∫ div F dV for F = x (div = d) and for every constant F, whatever the shape of the
    boundary.
    """
    domain, measure, surface = SHAPES[name]
    n = 4096
    points, normals = domain.sample_boundary(None, cube, n)
    d = len(domain.space)
    assert points.shape == (n, len(domain.coordinates)) and normals.shape == (n, d)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-12)
    x = spatial(domain, points)
    assert surface * np.mean(np.sum(x * normals, axis=1)) == pytest.approx(d * measure, rel=0.02)
    np.testing.assert_allclose(surface * normals.mean(axis=0), 0.0, atol=0.015 * surface)
    # F = x_i^(k+1) e_i has div F = (k + 1) x_i^k: the moments of the interior sample, about the
    # middle
    middle = np.array([sum(domain.bounds[c]) / 2 for c in domain.space])
    size = np.array([domain.bounds[c][1] - domain.bounds[c][0] for c in domain.space]) / 2
    x, inside = (
        (x - middle) / size,
        (spatial(domain, domain.sample_interior(cube, n)) - middle) / size,
    )
    for k in (1, 2):
        moment = measure * (k + 1) * (inside**k).mean(axis=0) / size
        np.testing.assert_allclose(
            surface * (x ** (k + 1) * normals).mean(axis=0), moment, atol=0.015 * surface
        )


@EACH
def test_normals_point_out(name):
    domain, _, _ = SHAPES[name]
    points, normals = domain.sample_boundary(None, cube, 512)
    columns = [i for i, c in enumerate(domain.coordinates) if c != "t"]
    np.testing.assert_allclose(domain.signed_distance(points), 0.0, atol=1e-12 * 16)
    assert domain.contains(points).all()
    for step in (1e-5, -1e-5):
        moved = points.copy()
        moved[:, columns] += step * normals
        # but for points within the step of a corner, the sign follows the side
        assert np.mean(np.sign(domain.signed_distance(moved)) == np.sign(step)) > 0.995


def test_a_corner_that_is_cut_out_takes_its_walls_with_it():
    """Its points at the wall of the whole are no points of what is left, but where these meet."""
    ell = Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(0, 1))
    gone = np.array([[1, 0.5], [0.5, 1], [1, 1], [0.5, 0.5]])
    left = np.array([[0, 0.5], [0.5, 0], [0, 0], [1, 0], [0, 1], [1, -0.5], [-1, 1]])
    assert not ell.contains(gone).any() and ell.contains(left).all()


@EACH
def test_interior(name):
    domain, measure, _ = SHAPES[name]
    points = domain.sample_interior(cube, 777)
    assert points.shape == (777, len(domain.coordinates)) and points.dtype == np.float64
    assert domain.contains(points).all()
    np.testing.assert_array_equal(points, domain.sample_interior(cube, 777))
    low, high = np.array([domain.bounds[c] for c in domain.coordinates]).T
    assert (points >= low).all() and (points <= high).all()
    # uniform density: the share left of the box's middle is the share of the volume there
    if domain.time is None and domain.coordinates == ("x", "y"):
        middle = (low + high) / 2
        uniform = low + (high - low) * cube(2**15, 2)
        uniform = uniform[domain.contains(uniform)]
        expected = (uniform < middle).mean(axis=0)
        np.testing.assert_allclose((points < middle).mean(axis=0), expected, atol=0.02)


@EACH
def test_distance_is_a_lower_bound_with_unit_slope(name):
    """|d(p) - d(q)| <= |p - q|, and inside no boundary point is nearer than |d|."""
    domain, _, _ = SHAPES[name]
    p, q = domain.sample_interior(cube, 64), domain.sample_interior(cube, 128)[64:]
    gap = np.linalg.norm(spatial(domain, p) - spatial(domain, q), axis=1)
    assert (np.abs(domain.signed_distance(p) - domain.signed_distance(q)) <= gap + 1e-12).all()
    surface, _ = domain.sample_boundary(None, cube, 1024)
    nearest = np.linalg.norm(spatial(domain, p)[:, None] - spatial(domain, surface), axis=2).min(
        axis=1
    )
    assert (-domain.signed_distance(p) <= nearest + 1e-12).all()


def test_distances_in_closed_form():
    box = Box(x=(0, 2), y=(0, 1))
    np.testing.assert_allclose(
        box.signed_distance(np.array([[1, 0.5], [0.1, 0.5], [3, 0.5], [5, 5], [2, 1]], float)),
        [-0.5, -0.1, 1, 5, 0],
    )
    ball = Ball({"x": 1, "y": 1, "z": 1}, 2)
    np.testing.assert_allclose(
        ball.signed_distance(np.array([[1, 1, 1], [1, 1, 4], [4, 5, 1]], float)), [-2, 1, 3]
    )
    cylinder = Disk(x=0, y=0, radius=1) * Box(z=(0, 1), t=(0, 1))
    inside, outside = [0, 0.9, 0.5, 0], [0, 4, 5, 9]  # time is not looked at
    np.testing.assert_allclose(
        cylinder.signed_distance(np.array([inside, outside], float)), [-0.1, 5]
    )
    ring = Disk(x=0, y=0, radius=2) - Disk(x=0, y=0, radius=1)
    np.testing.assert_allclose(
        ring.signed_distance(np.array([[1.25, 0], [0.5, 0], [0, 3]], float)), [-0.25, 0.5, 1]
    )


@pytest.mark.parametrize("seed", range(3))
def test_polygon_against_shapely(seed):
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(9)) * 2 * np.pi
    star = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(
        0.4, 1.0, (9, 1)
    )  # star-shaped: simple
    ours, theirs = Polygon(star.tolist()[:: (-1) ** seed]), shapely.Polygon(star)
    points = rng.uniform(-1.2, 1.2, (2000, 2))
    inside = shapely.contains_xy(theirs, *points.T)
    np.testing.assert_array_equal(ours.contains(points), inside)
    distance = shapely.distance(theirs.exterior, shapely.points(points))
    np.testing.assert_allclose(
        ours.signed_distance(points), np.where(inside, -distance, distance), atol=1e-12
    )
    assert ours.measure == pytest.approx(theirs.area)


def test_self_intersection_agrees_with_shapely():
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(0)
    simple = 0
    for _ in range(300):
        vertices = rng.integers(
            0, 6, (5, 2)
        ).tolist()  # integers: touching and collinear edges are frequent
        valid = shapely.Polygon(vertices).is_valid and all(
            a != b for a, b in zip(vertices, vertices[1:] + vertices[:1], strict=True)
        )
        simple += valid
        if valid:
            Polygon(vertices)
        else:
            with pytest.raises(ValueError, match="Polygon: "):
                Polygon(vertices)
    assert 20 < simple < 280


def test_names():
    box = Box(x=(0, 1), y=(0, 1), t=(0, 2))
    assert box.coordinates == ("x", "y", "t") and box.space == ("x", "y") and box.time == "t"
    assert box.parts == box.select(None) == ("x_min", "x_max", "y_min", "y_max")
    assert box.select("x") == ("x_min", "x_max")
    assert box.select(("y_min", "y")) == ("y_min", "y_max")
    assert box.intervals == box.bounds == {"x": (0, 1), "y": (0, 1), "t": (0, 2)}
    plate = (SQUARE - Disk(x=0.3, y=0.3, radius=0.1, name="hole")) * Time(0, 2)
    assert plate.coordinates == box.coordinates and plate.intervals == {"t": (0, 2)}
    assert plate.parts == ("x_min", "x_max", "y_min", "y_max", "hole")
    assert plate.select("y") == ("y_min", "y_max")
    assert Ball({"x": 0, "y": 0, "z": 0}, 1).parts == ("sphere",) and Disk(
        x=0, y=0, radius=1
    ).parts == ("circle",)
    assert Polygon(L).parts[-1] == "edge_5" and Polygon(L, name="wall").parts == ("wall",)
    assert Box(x=(0, 1), y=(0, 1), name="wall").parts == ("wall",)
    assert Polygon(L, coordinates=("r", "z")).coordinates == ("r", "z")


def test_each_part_is_where_its_name_says():
    plate = (SQUARE - Disk(x=0.3, y=0.3, radius=0.1, name="hole")) * Time(0, 2)
    points, normals = plate.sample_boundary("x_max", cube, 50)
    np.testing.assert_array_equal(points[:, 0], 1.0)
    np.testing.assert_array_equal(normals, np.tile([1.0, 0.0], (50, 1)))
    assert points[:, 2].min() < 0.2 and points[:, 2].max() > 1.8
    points, normals = plate.sample_boundary("hole", cube, 50)
    np.testing.assert_allclose(points[:, :2] + 0.1 * normals, np.full((50, 2), 0.3), atol=1e-15)
    points, normals = Polygon(L).sample_boundary("edge_3", cube, 50)
    np.testing.assert_array_equal(points[:, 0], 1.0)
    np.testing.assert_array_equal(normals, np.tile([1.0, 0.0], (50, 1)))


def test_many_holes_far_from_the_origin():
    plate, far = Box(x=(1e6, 1e6 + 8), y=(0, 2)), 1e6
    for i in range(8):
        plate = plate - Disk(x=far + i + 0.5, y=1, radius=0.25, name=f"hole_{i % 2}")
    points, normals = plate.sample_boundary(("hole_0", "hole_1"), cube, 800)
    holes = np.bincount((points[:, 0] - far).astype(int), minlength=8)
    np.testing.assert_allclose(holes, 100, atol=2)  # every hole has its share
    np.testing.assert_allclose(plate.signed_distance(points), 0.0, atol=1e-9)
    assert np.abs(normals.mean(axis=0)).max() < 0.02
    assert plate.measure == pytest.approx(16 - 8 * math.pi / 16, rel=1e-3)


def test_products_of_boxes_are_boxes():
    assert Box(x=(0, 1)) * Time(0, 2) == Box(x=(0, 1), t=(0, 2))
    assert (Box(x=(0, 1), name="ends") * Time(0, 2)).parts == ("ends",)
    mixed = Box(x=(0, 1), name="ends") * Interval(y=(0, 1))
    assert mixed.parts == ("ends", "y_min", "y_max") and mixed.intervals == {
        "x": (0, 1),
        "y": (0, 1),
    }


def test_initial_points():
    t_first = Time(3, 4) * Disk(x=0, y=0, radius=1)
    points = t_first.sample_initial(cube, 100)
    assert points.shape == (100, 3) and (points[:, 0] == 3).all() and t_first.contains(points).all()
    np.testing.assert_array_equal(Box(x=(0, 1), t=(2, 5)).sample_initial(cube, 4)[:, 1], 2.0)
    np.testing.assert_array_equal(Time(2, 5).sample_initial(cube, 2), [[2.0], [2.0]])


def test_time_alone():
    time = Time(0, 2)
    assert time.space == time.parts == time.select(None) == () and time.measure == 1.0
    np.testing.assert_array_equal(
        time.contains(np.array([[-1], [0], [2], [3]], float)), [False, True, True, False]
    )
    with pytest.raises(ValueError, match="no boundary in space"):
        time.sample_boundary(None, cube, 3)


def test_hundred_dimensions():
    box = Box(**{f"x{i}": (0, 1) for i in range(100)})
    points, normals = box.sample_boundary(None, cube, 1000)
    assert box.sample_interior(cube, 1000).shape == (1000, 100) and box.contains(points).all()
    np.testing.assert_array_equal(np.abs(normals).sum(axis=1), 1.0)
    ball = Ball({f"x{i}": 0 for i in range(100)}, 1)
    assert ball.contains(ball.sample_interior(cube, 1000)).all()
    evaluation = box.evaluation_coordinates(budget=500)
    assert len(evaluation) == 100 and all(values.shape == (500,) for values in evaluation.values())


def test_evaluation_grid_broadcasts():
    grid = (Disk(x=0, y=0, radius=1) * Time(0, 2)).evaluation_coordinates(11)
    assert [values.shape for values in grid.values()] == [(11, 1, 1), (1, 11, 1), (1, 1, 11)]
    assert grid["t"].ravel()[-1] == 2 and grid["x"].ravel()[0] == -1
    assert Box(x=(0, 1), t=(0, 1)).evaluation_coordinates(budget=10_000)["x"].shape == (100, 1)


@pytest.mark.parametrize("n", [0, 1, 37, 1000])
def test_exact_counts(n):
    domain = (SQUARE - Disk(x=0.5, y=0.5, radius=0.49)) * Time(0, 1)
    assert len(domain.sample_interior(cube, n)) == n
    assert [len(a) for a in domain.sample_boundary(None, cube, n)] == [n, n]
    assert len(domain.sample_initial(cube, n)) == n


@EACH
def test_static_hashable_immutable(name):
    domain, _, _ = SHAPES[name]
    again = jax.tree.map(lambda leaf: leaf, domain)
    assert jax.tree.leaves(domain) == [] and again == domain and hash(again) == hash(domain)
    assert sum(other == domain for other, _, _ in SHAPES.values()) == 1
    with pytest.raises(AttributeError):
        domain.name = "other"  # pyright: ignore


A, B = Interval(x=(0, 1)), Interval(x=(2, 3))
ERRORS = [
    (lambda: Box(x=(1, 0)), r"Box: x must run from low to high, got \(1, 0\); swap the ends\."),
    (lambda: Box(x=(1, 1)), "positive length"),
    (lambda: Box(x=(0, np.inf)), r"x must be bounded, got \(0, inf\)"),
    (lambda: Box(x=1), "pair of numbers"),  # type: ignore
    (lambda: Box(x=(0, 1), name=(0, 1)), "cannot be called name"),
    (lambda: Box(), "at least one coordinate"),
    (lambda: Interval(x=(0, 1), y=(0, 1)), "use Box"),
    (lambda: Time(1, 0), "t must run from low to high"),
    (lambda: Box(x=(0, 1)) * Box(x=(0, 1)), "x is a coordinate of both"),
    (lambda: Box(x=(0, 1)) * 2, "must be domains"),  # type: ignore
    (lambda: Disk(x=0, y=0, radius=0), "radius must be positive and finite, got 0"),
    (lambda: Disk(x=0, radius=1), "two coordinates"),
    (lambda: Disk(x=0, y=np.nan, radius=1), "y = nan"),
    (lambda: Ball({"x": 0, "t": 0}, 1), "t is time"),
    (lambda: Polygon([(0, 0), (1, 1)]), "three vertices, got 2"),
    (lambda: Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "edge_0 and edge_2 meet"),
    (lambda: Polygon([(0, 0), (1, 0), (1, 1), (0, 0)]), "a polygon closes itself"),
    (lambda: Polygon([(0, 0), (1, 0), (np.inf, 1)]), "finite"),
    (lambda: Polygon(L, coordinates=("x", "x")), "two different coordinates"),
    (lambda: SQUARE - A, r"same coordinates in the same order, got \('x', 'y'\) and \('x',\)"),
    (lambda: Box(x=(0, 1), t=(0, 1)) - A, r"\(A - B\) \* Time"),
    (lambda: A & B, "do not overlap in x"),
    (
        lambda: (A - Interval(x=(-1, 2))).sample_interior(cube, 10),
        "Difference: no room for 10 points",
    ),
    (
        lambda: (A | Interval(x=(-1, 2))).sample_boundary("x_min", cube, 2) and (A - B).select("X"),
        "no boundary part 'X'",
    ),
    (
        lambda: (Disk(x=0, y=0, radius=1) | Disk(x=0, y=0, radius=2, name="outer")).sample_boundary(
            "circle", cube, 9
        ),
        "'circle' has no piece on the real boundary",
    ),
    (
        lambda: SQUARE.select("xmin"),
        "no boundary part 'xmin'; did you mean 'x_min'. it has 'x_min', 'x_max', 'y_min', 'y_max'",
    ),
    (lambda: (SQUARE * Time(0, 1)).select("t"), "use Initial, at the last one on=.t_max."),
    (lambda: SQUARE.sample_initial(cube, 3), "without a time coordinate"),
    (
        lambda: SQUARE.contains(np.zeros((3, 3))),
        r"shape \(n, 2\), one column each for 'x', 'y', got \(3, 3\)",
    ),
]


@pytest.mark.parametrize("call, sentence", ERRORS, ids=range(len(ERRORS)))
def test_errors(call, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        call()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
