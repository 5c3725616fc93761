"""Curves, transformed shapes and surfaces of triangles: distances against brute force, files of CAD
programs and damaged ones, figures, a small solve.
"""

import math
import struct

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.stats import qmc

import pinops as po
from pinops.geometry import LARGEST_SURFACE_FILE

SQUARE = po.Box(x=(0, 1), y=(0, 1))
ANGLES = 2 * np.pi * np.arange(9) / 9
STAR = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1) * np.where(np.arange(9) % 3, 0.6, 1.0)[:, None]
CORNERS = np.array([(x, y, z) for x in (0.0, 1.0) for y in (0.0, 2.0) for z in (0.0, 3.0)])
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))])
BRICK = po.Surface(CORNERS, TRIANGLES)


def cube(m, d):
    return qmc.Sobol(d, rng=3).random_base2(max(m - 1, 0).bit_length())[:m]


def sphere(levels):
    """A sphere of triangles: an octahedron whose triangles are divided."""
    points = np.concatenate([np.eye(3), -np.eye(3)])
    cells = [(x, y, z) for x in (0, 3) for y in (1, 4) for z in (2, 5)]
    cells = [c if np.linalg.det(points[list(c)]) > 0 else c[::-1] for c in cells]
    triangles = points[np.array(cells)]
    for _ in range(levels):
        a, b, c = np.moveaxis(triangles, 1, 0)
        ab, bc, ca = (m / np.linalg.norm(m, axis=1)[:, None] for m in (a + b, b + c, c + a))
        new = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        triangles = np.concatenate([np.stack(one, 1) for one in new])
    return po.Surface(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))


SHAPES = {
    "ellipse": po.Ellipse(x=0, y=1, radii=(2, 1)),
    "thin ellipse": po.Ellipse(x=0, y=0, radii=(1, 0.02)),
    "spline": po.Spline(STAR),
    "rounded": po.RoundedRectangle(x=(0, 2), y=(0, 1), radius=0.3),
    "turned spline": po.Spline(STAR).rotated(0.4).scaled(3.0).moved(x=1.0),
    "brick": BRICK,
    "turned brick": BRICK.rotated(0.5, axis="z").moved(z=-1.0),
    "sphere": sphere(3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_distance_against_brute_force(name):
    """The nearest of many points of the boundary is a little farther than the boundary."""
    domain = SHAPES[name]
    low, high = np.array([*domain.bounds.values()]).T
    size = (high - low).max()
    at = low - 0.3 * size + (high - low + 0.6 * size) * cube(512, len(low))
    boundary, normals = domain.sample_boundary(None, cube, 2**15)
    brute, number = KDTree(boundary).query(at)
    distance = domain.signed_distance(at)
    assert (np.abs(distance) <= brute + 1e-12).all()
    spacing = 1e-3 if len(low) == 2 else 2e-2
    assert (brute - np.abs(distance) <= spacing * size).all()
    side = np.sign(np.sum((at - boundary[number]) * normals[number], 1))
    clear = np.abs(distance) > 0.05 * size  # near edges another triangle may be the nearest
    assert np.mean(side[clear] == np.sign(distance[clear])) > 0.98
    np.testing.assert_array_equal(domain.contains(at), distance <= 0)


@pytest.mark.parametrize("name", SHAPES)
def test_area_and_bounds(name):
    """∮ x·n dS = d |domain|, and the boundary touches the bounds."""
    domain = SHAPES[name]
    boundary, normals = domain.sample_boundary(None, cube, 2**14)
    low, high = np.array([*domain.bounds.values()]).T
    assert (boundary >= low - 1e-12).all() and (boundary <= high + 1e-12).all()
    near = 0.02 * (high - low)
    assert (boundary.min(0) <= low + near).all() and (boundary.max(0) >= high - near).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-12)
    surface = sum(face.measure for face in domain._faces())
    flux = surface * np.mean(np.sum((boundary - low) * normals, 1))
    assert flux == pytest.approx(len(low) * domain.measure, rel=2e-3)


def test_measures_in_closed_form():
    assert po.Ellipse(x=0, y=0, radii=(3, 2)).measure == pytest.approx(6 * math.pi, rel=1e-13)
    assert BRICK.measure == pytest.approx(6.0) and BRICK.scaled(2.0).measure == pytest.approx(48.0)
    # The volume of a sphere of triangles has an error of second order in their size.
    coarse, fine = (4 * math.pi / 3 - sphere(k).measure for k in (2, 3))
    assert coarse / fine == pytest.approx(4, rel=0.1)


def test_a_side_on_the_axis_is_no_boundary():
    cone = po.Revolution(po.Polygon([(0, 0), (1, 0), (0, 3)], coordinates=("r", "z")))
    assert cone.measure == pytest.approx(math.pi, rel=1e-3)
    assert cone.contains(np.array([[0.0, 0.0, 1.0]])).all()
    points, _ = cone.sample_boundary(None, cube, 512)
    # Of base and side, by area: π and π sqrt(10).
    share = np.mean(points[:, 2] == 0)
    assert share == pytest.approx(1 / (1 + math.sqrt(10)), abs=0.01)
    with pytest.raises(ValueError, match="no piece on the real boundary"):
        cone.sample_boundary("edge_2", cube, 1)


def test_a_polygon_with_holes_is_a_difference():
    wall = po.Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], name="wall")
    holes = [po.Polygon([(x, 1), (x + 1, 1), (x, 2)], name=f"hole_{x}") for x in (1, 2)]
    plate = wall - holes[0] - holes[1]
    assert plate.parts == ("wall", "hole_1", "hole_2")
    assert plate.measure == pytest.approx(15.0, rel=1e-3)
    assert not plate.contains(np.array([[1.2, 1.2], [2.2, 1.2]])).any()


def test_transformations_keep_names_and_say_where_things_are():
    plate = (SQUARE - po.Disk(x=0.5, y=0.5, radius=0.2, name="hole")).rotated(math.pi / 2)
    assert plate.parts == ("x_min", "x_max", "y_min", "y_max", "hole")
    points, normals = plate.sample_boundary("x_max", cube, 16)  # now on top
    np.testing.assert_allclose(points[:, 1], 1.0)
    np.testing.assert_allclose(normals, np.tile([0.0, 1.0], (16, 1)), atol=1e-15)
    moved = SQUARE.moved(x=2.0).scaled(0.5) * po.Time(0, 1)
    assert moved.bounds == {"x": (1.0, 1.5), "y": (0.0, 0.5), "t": (0, 1)}
    assert moved.intervals == moved.bounds  # conditions on its sides are still exact
    turned = (po.Disk(x=1, y=0, radius=0.5) * po.Interval(z=(0, 1))).rotated(math.pi / 2, axis="z")
    assert turned.contains(np.array([[0.0, 1.0, 0.5]])).all()
    turned = po.Ball({"x": 0, "y": 1, "z": 0}, 0.1).rotated(math.pi / 2, axis="x")
    assert turned.contains(np.array([[0.0, 0.0, 1.0]])).all()  # y turns towards z


def test_patches():
    split = BRICK.split(30)
    assert sorted(split.parts) == [f"patch_{k}" for k in range(6)]
    areas = {face.name: face.measure for face in split._faces()}
    assert areas["patch_0"] == pytest.approx(6.0) and areas["patch_5"] == pytest.approx(2.0)
    assert sphere(3).split(30).parts == ("patch_0",)
    named = BRICK.named(lambda x, n: "top" if n[2] > 0.9 else "wall")
    points, normals = named.sample_boundary("top", cube, 64)
    np.testing.assert_allclose(points[:, 2], 3.0)
    np.testing.assert_allclose(normals, np.tile([0.0, 0.0, 1.0], (64, 1)), atol=1e-15)
    assert set(named.parts) == {"top", "wall"} and named != BRICK
    again = po.Surface(CORNERS, TRIANGLES)
    assert again == BRICK and hash(again) == hash(BRICK)
    assert repr(BRICK) == "Surface(12 triangles, parts 'surface')"
    inside_out = po.Surface(CORNERS, TRIANGLES[:, ::-1])
    assert inside_out.measure == pytest.approx(6.0)
    hollow = BRICK - po.Ball({"x": 0.5, "y": 1, "z": 1}, 0.25, name="bubble")
    assert hollow.parts == ("surface", "bubble")


# Files.


def binary_stl(surface, header=b"solid in name only"):
    corners = surface.vertices[surface.triangles].astype("<f4")
    records = [struct.pack("<12fH", 0, 0, 0, *one.ravel(), 0) for one in corners]
    return header.ljust(80) + struct.pack("<I", len(corners)) + b"".join(records)


def text_stl(surface, solids):
    lines = []
    for solid, cells in solids.items():
        lines.append(f"solid {solid}")
        for one in surface.vertices[surface.triangles[cells]]:
            rows = "".join("vertex {} {} {}\n".format(*row) for row in one.tolist())
            lines.append(f"facet normal 0 0 0\nouter loop\n{rows}endloop\nendfacet")
        lines.append(f"endsolid {solid}")
    return "\n".join(lines).encode()


OBJ = "\n".join(
    ["mtllib /etc/passwd", *("v {} {} {}".format(*row) for row in CORNERS.tolist())]
    + [f"g {'ends' if k < 2 else 'wall'}\nf " + " ".join(f"{i + 1}/1/1" for i in side)
       for k, side in enumerate(SIDES)]
).encode()  # fmt: skip
TEXT = text_stl(BRICK, {"low": slice(0, 6), "high": slice(6, 12)})


@pytest.mark.parametrize(
    "name, content, parts",
    [
        ("a.stl", binary_stl(BRICK), {"surface"}),
        ("a.STL", TEXT, {"low", "high"}),
        ("a.obj", OBJ, {"ends", "wall"}),
        ("a.obj", OBJ.replace(b"g wall", b"g ends"), {"surface"}),
    ],
)
def test_files(tmp_path, name, content, parts):
    (tmp_path / name).write_bytes(content)
    found = po.Surface.from_file(tmp_path / name)
    assert set(found.parts) == parts and len(found.vertices) == 8 and len(found.triangles) == 12
    assert found.measure == pytest.approx(6.0)


DAMAGED = {
    "cut.stl": (binary_stl(BRICK)[:-7], "is damaged, it has 677 bytes in place of 684"),
    "count.stl": (b"\0" * 80 + b"\xff" * 4, "is damaged, it has 84 bytes in place of 214748364"),
    "empty.stl": (b"", "is damaged, it has 0 bytes"),
    "cut text.stl": (TEXT[: TEXT.rindex(b"endloop")], "it ends in the middle of a solid"),
    "word.stl": (TEXT.replace(b"1.0", b"one"), "is damaged, could not convert"),
    "nan.stl": (TEXT.replace(b"1.0", b"nan"), "vertices must be finite"),
    "open.stl": (text_stl(BRICK, {"": slice(0, 10)}), "it is not watertight, 4 edges lack"),
    "index.obj": (b"v 0 0 0\nf 1 2 3", "triangles name vertices from 0 to 0, got 2"),
    "zero.obj": (b"v 0 0 0\nf 0 1 1", "is damaged, a face names vertex 0"),
    "none.obj": (b"# nothing", "is damaged, it has no faces"),
    "short.obj": (b"v 0 0 0\nf 1", "is damaged, a face has 1 corners"),
    "bare.obj": (b"v 0 0 0\nf", "is damaged, a face has 0 corners"),
    "words.obj": (b"f " + b"1 " * 2**19, "a line has more than 1048576 characters"),
    "binary.obj": (bytes(range(256)), "is damaged, it has no faces"),
    "flat.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 3 2 1", "encloses no volume"),
    "part.step": (b"ISO-10303-21;", "is an .stl or .obj file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(tmp_path, name):
    content, sentence = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as error:
        po.Surface.from_file(tmp_path / name)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_a_missing_and_a_large_file(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        po.Surface.from_file(tmp_path / "none.stl")
    with open(tmp_path / "large.stl", "wb") as file:
        file.truncate(LARGEST_SURFACE_FILE + 1)
    with pytest.raises(ValueError, match="large.stl has 128 MiB, at most 128 are read"):
        po.Surface.from_file(tmp_path / "large.stl")


FLIPPED = np.concatenate([TRIANGLES[:1, ::-1], TRIANGLES[1:]])
ERRORS = [
    (lambda: po.Ellipse(x=0, y=0, radii=(1, 0)), "radii must be two positive"),
    (lambda: po.Ellipse(x=0, y=0, radii=1), "radii must be two positive"),  # type: ignore
    (lambda: po.Ellipse(x=0, radii=(1, 1)), "two coordinates of space"),
    (lambda: po.Ellipse(x=0, y=np.inf, radii=(1, 1)), "y = inf"),
    (lambda: po.RoundedRectangle(x=(0, 2), y=(0, 1), radius=0.5), "less than half .* 0.5, got 0.5"),
    (lambda: po.RoundedRectangle(x=(0, 2), t=(0, 1), radius=0.1), "two coordinates of space"),
    (lambda: po.Spline([(0, 0), (1, 1)]), "Spline: it needs at least three vertices"),
    (lambda: po.Spline([(0, 0), (1, 1), (1, 0), (0, 1)]), "Spline: edge_0 and edge_2 meet"),
    (lambda: po.Spline([0, 1, 2]), "must have the shape"),  # type: ignore
    (lambda: SQUARE.moved(z=1), "no coordinate 'z', only x, y"),
    (lambda: SQUARE.moved(x=np.nan), "x must be finite"),
    (lambda: SQUARE.scaled(-1), "factor must be positive and finite, got -1"),
    (lambda: SQUARE.rotated(1, axis="x"), "turns without an axis"),
    (lambda: BRICK.rotated(1), "axis must be one of x, y, z, got None"),
    (lambda: po.Interval(x=(0, 1)).rotated(1), "two or three coordinates turn, got 1"),
    (lambda: (SQUARE * po.Time(0, 1)).moved(x=1), r"disk.moved\(x=1\) \* Time"),
    (lambda: po.Surface(CORNERS, FLIPPED), "neighbouring triangles turn differently at 3 edges"),
    (lambda: po.Surface(CORNERS, TRIANGLES[1:]), "3 edges lack a second triangle"),
    (lambda: po.Surface(CORNERS, TRIANGLES + 1), "vertices from 0 to 7, got 8"),
    (lambda: po.Surface(CORNERS, TRIANGLES * 1.0), "whole numbers"),
    (lambda: po.Surface(CORNERS, TRIANGLES, name=["a"]), "one for each of 12 triangles, got 1"),
    (lambda: po.Surface(CORNERS, TRIANGLES, coordinates=("x", "y", "t")), "coordinates of space"),
    (lambda: po.Revolution(po.Box(r=(-0.5, 1), z=(0, 1))), "not cross the axis, r begins at -0.5"),
    (lambda: po.Revolution(BRICK), "two coordinates of space"),
    (lambda: po.Revolution(po.Box(r=(0, 1), x=(0, 1))), "three different coordinates"),
    (lambda: BRICK.split(200), "from 0 to 180, got 200"),
    (lambda: po.Interval(x=(0, 1)).plot(), "two or three coordinates of space, got 1"),
]


@pytest.mark.parametrize("call, sentence", ERRORS, ids=range(len(ERRORS)))
def test_errors(call, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "domain",
    [
        (SQUARE - po.Ellipse(x=0.5, y=0.5, radii=(0.3, 0.1), name="hole")) * po.Time(0, 1),
        BRICK.split(30),
    ],
    ids=["plane", "space"],
)
def test_figures(domain, tmp_path):
    figure = domain.plot(tmp_path / "domain.png")
    assert (tmp_path / "domain.png").stat().st_size > 5000
    names = [text.get_text() for text in figure.subfigs[0].axes[0].get_legend().get_texts()]
    assert names == list(domain.parts)


class Bump(po.Problem):
    """-Δu = f in an ellipse, where u = 1 - x² / 4 - y² on and inside of it."""

    domain = po.Ellipse(x=0, y=0, radii=(2, 1))

    def residual(self, lap_u):
        return lap_u + 2.5

    def conditions(self):
        return (po.Dirichlet(0.0),)

    def exact(self, x, y):
        return 1 - x**2 / 4 - y**2


def test_solve_in_an_ellipse():
    points = po.Collocation(interior=256, boundary=64)
    network = po.networks.MLP(width=16, depth=2)
    optimizer = po.optimizers.LevenbergMarquardt()
    solution = po.solve(Bump(), network=network, points=points, optimizer=optimizer, steps=30)
    assert solution.error()["u"]["mean"] < 0.01
