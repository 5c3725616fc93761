"""Figures of stubs, which take no training: in space, over time, of measurements and references."""

import types
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import pinops as po
from pinops.geometry import Mesh
from pinops.plotting import _animations as animations
from pinops.plotting import _points as points
from pinops.plotting import (
    animate_point_rollouts,
    animate_rollouts,
    animate_solution,
    plot_point_rollouts,
    plot_points,
    plot_reference,
    plot_solution,
    write_figure,
)
from pinops.plotting._space import visible_faces
from pinops.problem import values_at
from pinops.reference import Reference
from pinops.training import PointSample

OFF = 0.25  # what the stubs are wrong by


class Wave(po.Problem):
    """Time and space."""

    domain = po.Box(x=(0, 2), t=(0, 1))

    def residual(self, u_t, u_x):
        return u_t + u_x

    def exact(self, x, t):
        return x - t


class Film(po.Problem):
    """Two coordinates of space, and time."""

    domain = po.Box(x=(0, 1), y=(0, 2), t=(0, 1))
    unknowns = ("u", "v")

    def residual(self, u_t, v_t):
        return {"one": u_t, "two": v_t}

    def exact(self, x, y, t):
        return {"u": x + 10 * y + 100 * t, "v": t - x}


class Ball(po.Problem):
    """Three coordinates of space."""

    domain = po.Ball({"x": 0, "y": 0, "z": 0}, 1)

    def residual(self, u_x):
        return u_x - 1

    def exact(self, x, y, z):
        return x + 2 * y + 4 * z


class Room(po.Problem):
    """Three coordinates of space, and time."""

    domain = po.Box(x=(0, 1), y=(0, 1), z=(0, 1), t=(0, 3))

    def residual(self, u_t):
        return u_t

    def exact(self, x, y, z, t):
        return x + z + t


class Stub:
    """A solution that is wrong by a constant everywhere."""

    history: list = []
    steps = 0
    x64 = True
    deviation = None

    def __init__(self, problem):
        self.problem, self.reference = problem, problem.reference()
        self.request = {"problem": type(problem).__name__}

    def values(self, coordinates):
        arrays = np.broadcast_arrays(*(coordinates[n] for n in self.problem.domain.coordinates))
        points = jnp.asarray(np.stack([array.ravel() for array in arrays], -1))
        found = jax.vmap(lambda point: values_at(self.problem, "exact", point))(points)
        shape = arrays[0].shape
        return {u: np.asarray(found[u], float).reshape(shape) + OFF for u in found}

    def error(self, data=None):
        return {u: {"mean": 0.1} for u in self.problem.unknowns}


def titles(figure):
    shown = [ax for part in figure.subfigs for ax in part.axes if ax.axison or ax.name == "3d"]
    return [ax.get_title() for ax in shown]


def frames(path) -> list[np.ndarray]:
    found = []
    with Image.open(path) as image:
        for k in range(image.n_frames):
            image.seek(k)
            found.append(np.asarray(image.convert("RGB")))
    return found


class Rod(po.Problem):
    """One coordinate; observed at two places."""

    domain = po.Box(x=(0, 1))

    def residual(self, u_x):
        return u_x - 1

    def conditions(self):
        return po.Observed({"x": [0.2]}, {"u": [3.0]}), po.Observed({"x": [0.5]}, {"u": [4.0]})

    def exact(self, x):
        return 2 * x


def test_a_curve_has_the_measured_values():
    curve, error = plot_solution(Stub(Rod())).subfigs[0].axes
    solution, reference, observed = curve.lines
    np.testing.assert_allclose(solution.get_ydata() - reference.get_ydata(), OFF, rtol=1e-6)
    np.testing.assert_allclose(observed.get_xydata(), [[0.2, 3], [0.5, 4]])
    assert error.get_ylim() == (0.1, 1.0)  # whole decades about OFF


def test_slices_and_surface_of_a_domain_in_space():
    figure = plot_solution(Stub(Ball()))
    named = ["u, z = 0", "u, y = 0", "u, x = 0"]
    assert titles(figure)[:3] == named and "u, surface" in titles(figure)
    first, *_ = figure.subfigs[0].axes
    values = first.collections[0].get_array()
    assert values.shape == (61, 61) and values.mask[0, 0]  # the corner is outside of the ball
    # Up is y: u = x + 2 y + OFF.
    assert values[30, 60] == pytest.approx(1 + OFF) and values[60, 30] == pytest.approx(2 + OFF)
    assert sum("|error|" in title for title in titles(figure)) == 3
    errors = next(ax for ax in figure.subfigs[0].axes if ax.get_title().startswith("|error|"))
    np.testing.assert_allclose(errors.collections[0].get_array().compressed(), OFF, rtol=1e-6)


def test_a_room_is_shown_at_the_end_and_compared_at_points():
    figure = plot_solution(Stub(Room()))
    values = figure.subfigs[0].axes[0].collections[0].get_array()
    assert values[0, 60] == pytest.approx(1 + 0.5 + 3 + OFF)  # z in the middle, t = 3
    assert any("points" in title for title in titles(figure))


def test_faces_of_a_cube_without_its_octant():
    """What one sees along an axis is a whole side, part of it further back; u is linear."""
    line = np.linspace(0, 1, 5)
    x, y, z = np.meshgrid(line, line, line, indexing="ij")
    corners, at = visible_faces([line] * 3, x + 2 * y + 4 * z)
    assert corners.shape == (3 * 16, 4, 3)
    middle = corners.mean(1)
    np.testing.assert_allclose(at, middle @ [1, 2, 4])
    inner = np.all(np.abs(corners - [0.75, 0.25, 0.75]) < 0.26, axis=(1, 2))  # of the octant
    assert inner.sum() == 3 * 4
    assert not np.any(np.all((middle > 0.5) == [True, False, True], axis=1) & ~inner)


@pytest.mark.slow
@pytest.mark.parametrize("problem", [Wave, Film, Room])
def test_an_animation_has_twelve_frames_for_a_second(problem, tmp_path):
    path = animate_solution(Stub(problem()), tmp_path / "new" / "u.gif", seconds=0.25)
    found = frames(path)
    assert len(found) == 3 and not np.array_equal(found[0], found[-1])
    assert found[0].shape == found[-1].shape


def test_frames_are_the_solution_at_their_time(monkeypatch, tmp_path):
    """The first, the middle and the last time; up is y."""
    seen = []

    def kept(title, time, times, rows, updates, path, seconds):
        ax = Figure().subplots()
        rows[0][0](ax)
        for k in (0, 1, 2):
            updates[0](k)
            seen.append((times[k], np.asarray(ax.collections[0].get_array())))

    monkeypatch.setattr(animations, "write_frames", kept)
    animate_solution(Stub(Film()), tmp_path / "u.gif", seconds=0.25)
    assert [time for time, _ in seen] == [0, 0.5, 1]
    for time, values in seen:
        assert values.shape == (121, 121)
        assert values[0, -1] == pytest.approx(1 + 100 * time + OFF)
        assert values[-1, 0] == pytest.approx(20 + 100 * time + OFF)


def test_a_reference_on_a_grid_is_animated_at_its_own_times(monkeypatch, tmp_path):
    x, t = np.linspace(0, 2, 9)[:, None], np.linspace(0, 1, 5)[None]
    reference = Reference({"x": x, "t": t}, {"u": x - t}, {"u": 1e-3}, "by hand", "")

    class Measured(Wave):
        exact = None

    problem = Measured()
    stub = Stub(Wave())
    stub.problem = problem
    monkeypatch.setattr(stub, "values", lambda at: {"u": at["x"] - at["t"] + OFF})
    axes, values, grid = animations._frames(stub, reference, 3)
    np.testing.assert_allclose(axes["t"], [0, 0.5, 1])
    np.testing.assert_allclose(values["u"] - grid.truth["u"], OFF)
    np.testing.assert_allclose(grid.truth["u"][:, 1], x[:, 0] - 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("problem", [Wave, Film])
def test_rollouts_are_animated(problem, tmp_path):
    domain = problem.domain
    grid = types.SimpleNamespace(first=(0.0,) * 3, steps=(0.1,) * 3)
    if problem is Wave:
        grid = types.SimpleNamespace(first=(0.0,) * 2, steps=(0.1,) * 2)
    trained = types.SimpleNamespace(family=problem(), grid=grid, request={"problem": "stub"})
    shape = (1, 4, *[5] * len(domain.space), len(problem.unknowns))
    truth = np.random.default_rng(0).uniform(size=shape)
    path = tmp_path / "rollouts.gif"
    found = frames(animate_rollouts(trained, truth + 0.1, truth, ["a"], path, seconds=0.5))
    assert len(found) == 4 and not np.array_equal(found[0], found[-1])


def moving(dimension, cells=None, unknowns=("u",), history=()):
    """What figures of surrogates on points need, and two samples with u = 10 x + t + place."""
    sides = dict.fromkeys("xyz"[:dimension], (0, 1))
    trained = types.SimpleNamespace(
        family=types.SimpleNamespace(domain=po.Box(**sides), unknowns=unknowns),
        request={"problem": "stub"}, history=list(history),
    )  # fmt: skip
    rng, times = np.random.default_rng(0), np.array([0.0, 0.5, 1.0])
    pairs = []
    for number in range(2):
        points = CORNERS if cells is not None else rng.uniform(size=(7, dimension))
        truth = (10 * points[:, :1] + times + number)[..., None] * np.ones(len(unknowns))
        pairs.append((PointSample(Mesh(points, cells), {}, truth), truth + 0.5))
    return trained, pairs, times


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [3.0, 3.0]])  # one unused
TWO = np.array([[0, 1, 2], [0, 2, 3]])


def kept_frames(monkeypatch, of=points):
    """Panels and updates of the next animation instead of its file."""
    found = {}

    def keep(title, time, times, rows, updates, path, seconds):
        axes = Figure().subplots(len(rows), len(rows[0]), squeeze=False)
        for row, row_axes in zip(rows, axes, strict=True):
            for panel, ax in zip(row, row_axes, strict=True):
                panel(ax)
        found.update(title=title, times=times, axes=axes, updates=updates)

    monkeypatch.setattr(of, "write_frames", keep)
    return found


@pytest.mark.parametrize("cells", [TWO, np.array([[0, 1, 2, 3]]), None])
def test_rollouts_on_points_are_animated(cells, monkeypatch, tmp_path):
    """Truth, prediction and error of each sample, at the points; a quadrilateral is two triangles,
    and a point that no cell uses does no harm."""
    trained, pairs, times = moving(2, cells, unknowns=("u", "v"))
    found = kept_frames(monkeypatch)
    animate_point_rollouts(trained, pairs, times, tmp_path / "a.gif")
    np.testing.assert_array_equal(found["times"], times)
    assert found["axes"].shape == (4, 3) and found["axes"][2, 0].get_title() == "u, sample 1"
    for k in (2, 0):
        for update in found["updates"]:
            update(k)
        for row, (sample, _) in zip(found["axes"][::2], pairs, strict=True):
            truth, guess, error = (np.asarray(ax.collections[0].get_array()) for ax in row)
            np.testing.assert_allclose(truth, sample.values[:, k, 0])
            np.testing.assert_allclose(guess - truth, 0.5)
            np.testing.assert_allclose(error, 0.5)
    if cells is not None:
        triangles = found["axes"][0, 0].collections[0]._triangulation.triangles
        assert sorted(map(sorted, triangles.tolist())) == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.slow
def test_points_on_a_line_are_curves_and_those_of_space_lie_in_order(monkeypatch, tmp_path):
    """A map of values at their own height took another axis for each of truth and prediction."""
    trained, pairs, times = moving(1)
    found = kept_frames(monkeypatch)
    animate_point_rollouts(trained, pairs, times, tmp_path / "a.gif")
    found["updates"][1](2)
    guess, truth = found["axes"][1, 0].lines
    x = np.sort(pairs[1][0].mesh.points[:, 0])
    np.testing.assert_allclose(truth.get_xydata(), np.stack([x, 10 * x + 1 + 1], 1))
    np.testing.assert_allclose(guess.get_ydata() - truth.get_ydata(), 0.5)
    still = plot_point_rollouts(trained, pairs, times, {"steps": [1, 2], "u": [0.1, 0.2]})
    assert titles(still)[:2] == ["u at t = 1, sample 0", "|error| of u"]
    trained, pairs, times = moving(3)
    animate_point_rollouts(trained, pairs, times, tmp_path / "a.gif")
    found["updates"][0](1)
    cloud, order = found["axes"][0, 0].collections[0], np.argsort(pairs[0][0].mesh.points[:, 2])
    np.testing.assert_allclose(cloud.get_offsets(), pairs[0][0].mesh.points[order, :2])
    np.testing.assert_allclose(cloud.get_array(), pairs[0][0].values[order, 1, 0])


@pytest.mark.slow
def test_a_figure_on_points_leaves_out_what_is_missing(tmp_path):
    """It was drawn as the smallest value; also where nothing of an unknown is known, and without
    a history, as after weights were loaded."""
    trained, pairs, _ = moving(2, TWO)
    (sample, guess), (other, same) = (
        (replace(s, values=s.values[:, 0]), g[:, 0]) for s, g in pairs
    )
    sample.values[2], other.values[:] = np.nan, np.nan
    figure = plot_points(trained, [(sample, guess), (other, same)], tmp_path / "a.png")
    shown = [ax.collections[0].get_array() for ax in figure.subfigs[0].axes if ax.collections]
    assert shown[0].mask.tolist() == [False, False, True, False, False] and not shown[1].mask.any()
    assert shown[3].mask.all() and shown[5].mask.all()


@pytest.mark.slow
def test_what_was_loaded_as_weights_has_figures_without_a_history():
    """Its one report has no terms, whose first one a panel was named after."""
    trained, pairs, times = moving(2, history=[po.Report(3, 3, "weights", 0.1, {}, {}, {}, 0.0)])
    figure = plot_point_rollouts(trained, pairs, times, {"steps": [1, 2], "u": [0.1, 0.2]})
    assert [ax.get_title() for ax in figure.subfigs[1].axes] == ["error of a rollout"]
    stub = Stub(Wave())
    stub.history = trained.history
    assert len(plot_solution(stub).subfigs) == 1


@pytest.mark.slow
def test_a_moving_picture_lasts_as_long_as_it_was_asked_to(tmp_path):
    path = animate_solution(Stub(Wave()), tmp_path / "u.gif", seconds=1)
    with Image.open(path) as image:
        lengths = []
        for k in range(image.n_frames):
            image.seek(k)
            lengths.append(image.info["duration"])
    assert len(lengths) == 12 and sum(lengths) == 1000  # 83 ms each were 0.96 s in all


def test_an_interrupted_picture_leaves_what_was_there(monkeypatch, tmp_path):
    """Half of the frames were kept as if they were all."""
    path = tmp_path / "u.gif"
    path.write_bytes(b"before")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FigureCanvasAgg, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        animate_solution(Stub(Wave()), path, seconds=0.25)
    monkeypatch.setattr(Figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_figure(Figure(), path.with_suffix(".png"))
    assert [file.name for file in tmp_path.iterdir()] == ["u.gif"]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    "times, last",
    [
        ([0, 0.5, 1], "t = 1.00"),
        ([0, 30], "t = 30.0"),
        ([0, 2e-9], "t = 2.00e-09"),
        ([0, 4e8, 8e8], "t = 8.00e+08"),
        ([1e9, 1e9 + 5], "t = 1.00000000500e+09"),
    ],
)
def test_times_far_from_one_are_told_apart(times, last):
    found = animations._headings("stub", "t", np.array(times, float))
    assert found[-1] == f"stub, {last}" and len(set(found)) == len(times)


class Shells(po.Problem):
    """Two hollow balls: the middle of x lies between them, and their walls are thin."""

    domain = (po.Ball({"x": 0, "y": 0, "z": 0}, 1) - po.Ball({"x": 0, "y": 0, "z": 0}, 0.8)) | (
        po.Ball({"x": 5, "y": 0, "z": 0}, 1)
    )

    def residual(self, u_x):
        return u_x - 1

    def exact(self, x, y, z):
        return x


def test_slices_are_where_the_domain_is():
    figure = plot_solution(Stub(Shells()))
    named = [t for t in titles(figure) if t.startswith("u, x =")]
    (at,) = (float(title.partition("= ")[2]) for title in named)
    assert min(abs(at), abs(at - 5)) < 1
    assert any(np.isfinite(a.collections[0].get_array()).any() for a in figure.subfigs[0].axes[:3])


def test_thin_walls_have_no_holes():
    """Of a wall of one and a half cells hardly a cell has all corners inside."""
    line = np.linspace(-1, 1, 31)
    x, y, z = np.meshgrid(line, line, line, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    values = np.where((radius <= 1) & (radius >= 0.9), x, np.nan)
    corners, at = visible_faces([line] * 3, values)
    middle = corners.mean(1)
    assert np.isfinite(at).all() and np.abs(at - middle[:, 0]).max() < 0.1
    back = middle[(middle[:, 0] < 0) & (np.abs(np.linalg.norm(middle, axis=1) - 1) < 0.1)]
    assert len(back) > 300


REFUSED = {
    "suffix": (Wave, "u.webm", 1.0, "is a .gif or an .mp4 file, got .*u.webm"),
    "no time": (Ball, "u.gif", 1.0, "Ball has no time"),
    "too short": (Wave, "u.gif", 0.0, "greater than 0 and at most 60, got 0.0"),
    "too long": (Wave, "u.gif", 61, "greater than 0 and at most 60, got 61"),
    "no ffmpeg": (Wave, "u.mp4", 1.0, "u.mp4 needs the program ffmpeg.*write u.gif"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_animation_can_be(case, monkeypatch, tmp_path):
    problem, name, seconds, sentence = REFUSED[case]
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(ValueError, match=sentence):
        animate_solution(Stub(problem()), tmp_path / name, seconds=seconds)
    assert not (tmp_path / name).exists()


def test_results_without_time_say_so():
    with pytest.raises(ValueError, match="a TrainedMap has no time that an animation could show"):
        po.Trained.animate(po.TrainedMap.__new__(po.TrainedMap), "u.gif")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Wave(), ["u"]),
        (Film(), [f"{u}, t = {t}" for u in "uv" for t in ("0", "0.333", "0.667", "1")]),
        (Ball(), ["u, z = 0", "u, y = 0", "u, x = 0", "u, surface"]),
        (po.load_problem("poisson_nd"), ["u"]),
        (po.load_problem("poisson_disks"), ["u"]),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, po.Problem) else "",
)
def test_pictures_of_references(problem, expected, tmp_path):
    figure = plot_reference(problem, tmp_path / "u.png")
    assert titles(figure) == expected
    assert (tmp_path / "u.png").stat().st_size > 10_000


def test_a_reference_is_needed():
    class Nothing(Wave):
        exact = None

    with pytest.raises(ValueError, match="Nothing has no reference on a grid to draw"):
        plot_reference(Nothing())
