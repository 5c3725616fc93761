"""Networks on grids for fields on meshes: the way to the square and back, and trained maps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.data import mesh_contents
from pinops.geometry import Mesh, triangulated
from pinops.operators import FNO, MorphedGrid, with_prior
from pinops.operators._morphed_grid import gridded, hats
from pinops.optimizers import Adam

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
ANGLE = np.linspace(0, 2 * np.pi, 120, endpoint=False)
CIRCLE = np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1)
STAR = CIRCLE * (1 + 0.2 * np.cos(3 * ANGLE))[:, None]
SMALL = FNO(8, 4, 2)


def there_and_back(architecture: MorphedGrid, mesh: Mesh, values, at=None):
    """Values at the points, interpolated to the grid and from there to the points or others."""
    count = len(mesh.points)
    links = architecture.links(mesh, count + (0 if at is None else len(at)), at)
    on_grid = np.asarray(gridded(jnp.asarray(values), links))
    axes = zip(links.places.T, architecture.axes, architecture.periodic, strict=True)
    first, second = (np.asarray(hats(jnp.asarray(x), n, closed)) for x, n, closed in axes)
    back = np.einsum("mi,ijc,mj->mc", first, on_grid.reshape(*architecture.axes, -1), second)
    return on_grid, back if at is None else back[count:]


@pytest.fixture(scope="module")
def stars() -> po.Dataset:
    pytest.importorskip("skfem")
    return po.Dataset.of(mesh_contents("poisson_stars", 30, nodes=(90, 130)))


# The way to the square and back


def test_a_rectangle_is_mapped_linearly_and_linear_fields_stay_what_they_are(float64):
    mesh = triangulated([SQUARE * [2.0, 1.0] + [3.0, -1.0]], 0.15)
    values = mesh.points @ np.array([[2.0, 1.0], [-1.0, 3.0]]) + [0.5, 0.0]
    square = MorphedGrid(SMALL, (9, 14), target="square")
    at = np.array([[3.3, -0.61], [4.9, -0.05]])
    on_grid, back = there_and_back(square, mesh, values)
    lines = np.linspace(3.0, 5.0, 9), np.linspace(-1.0, 0.0, 14)
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(on_grid, grid @ [[2.0, 1.0], [-1.0, 3.0]] + [0.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(back, values, atol=1e-9)
    _, there = there_and_back(square, mesh, values, at)
    np.testing.assert_allclose(there, at @ [[2.0, 1.0], [-1.0, 3.0]] + [0.5, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    "target, outlines",
    [
        ("disc", [STAR]),
        ("square", [STAR]),
        ("annulus", [STAR, 0.3 * CIRCLE[::-1] + [0.1, 0.0]]),
        ("annulus", [2 * SQUARE - 1, 0.4 * CIRCLE[::-1]]),
    ],
)
def test_fields_on_other_shapes_come_back_ever_closer(target, outlines, float64):
    corners = 4 if len(outlines[0]) == 4 else 0
    errors = []
    for size, grid in ((0.16, 24), (0.08, 48)):
        mesh = triangulated(outlines, size)
        x, y = mesh.points.T
        values = np.stack([np.sin(2 * x) + y, x * y], 1)
        architecture = MorphedGrid(SMALL, grid, target=target, landmarks=corners)
        _, back = there_and_back(architecture, mesh, values)
        errors.append(np.linalg.norm(back - values) / np.linalg.norm(values))
    assert errors[1] < 0.015 and errors[1] < 0.5 * errors[0], errors


def test_hats_reproduce_lines_and_close_an_axis():
    at = jnp.linspace(0.0, 1.0, 23)
    line = jnp.linspace(2.0, 5.0, 7)
    np.testing.assert_allclose(hats(at, 7, False) @ line, 2 + 3 * at, rtol=1e-5)
    closed = hats(jnp.array([0.0, 0.9375, 1.0]), 8, True)
    np.testing.assert_allclose(closed @ jnp.arange(8.0), [0.0, 3.5, 0.0])


@pytest.mark.parametrize("target", ["disc", "annulus"])
def test_an_answer_does_not_depend_on_the_numbering_or_what_fills_a_sample_up(target, float64):
    mesh = triangulated([STAR, 0.3 * CIRCLE[::-1]][: 1 + (target == "annulus")], 0.2)
    count, architecture = len(mesh.points), MorphedGrid(SMALL, 12, target=target)
    network = eqx.filter_jit(architecture.build(1, 2, 2, key=jax.random.key(0)))
    rng = np.random.default_rng(0)
    order = rng.permutation(count)
    turned = Mesh(mesh.points[order], np.argsort(order)[mesh.cells][::-1])
    answers = []
    for some, more in ((mesh, 0), (turned, 0), (mesh, 9)):
        links = jax.tree.map(jnp.asarray, architecture.links(some, count + more))
        points = np.concatenate([some.points, rng.normal(size=(more, 2))])
        present = jnp.arange(count + more) < count
        found = network(jnp.asarray(points), jnp.asarray(np.sin(points[:, :1])), present, links)
        answers.append(np.asarray(found)[:count])
    assert np.std(answers[0]) > 1e-3
    np.testing.assert_allclose(answers[1], answers[0][order], atol=1e-8)
    np.testing.assert_allclose(answers[2], answers[0], atol=1e-12)


def test_what_cannot_be_mapped_is_refused_in_one_sentence():
    plate = triangulated([SQUARE, 0.5 + 0.2 * CIRCLE], 0.15)
    star = triangulated([STAR], 0.3)
    flipped = star.cells.copy()
    flipped[3] = flipped[3, ::-1]
    disc, annulus = MorphedGrid(SMALL), MorphedGrid(SMALL, target="annulus")
    for architecture, mesh, words in (
        (disc, plate, "a mesh with 1 hole, .* take an annulus"),
        (annulus, star, "a mesh with 0 holes, .* take a disc"),
        (disc, Mesh(star.points, flipped), "cell 3 is flipped"),
        (disc, Mesh(star.points), "a cloud of points has no triangles; give cells"),
        (MorphedGrid(SMALL, landmarks=99), star, "99 corners .* ask for fewer landmarks"),
    ):
        with pytest.raises(ValueError, match=words):
            architecture.links(mesh, len(mesh.points))
    for given, words in (
        ({"grid": (8, 8, 8)}, "grid has two axes"),
        ({"grid": 3}, "grid must be a whole number from 4"),
        ({"target": "square", "landmarks": 4}, "a square has four corners"),
    ):
        with pytest.raises(ValueError, match=f"MorphedGrid: {words}"):
            MorphedGrid(SMALL, **given)


# Training


@pytest.mark.slow
def test_a_map_is_trained_on_stars_saved_and_asked_on_another_mesh(stars, tmp_path):
    train, test = stars.split(test=6)
    trained = po.train(
        train, MorphedGrid(FNO(12, 6, 2), 16), steps=100, optimizer=Adam(1e-2, 100),
        progress=False, out=tmp_path / "run",
    )  # fmt: skip
    assert trained.error(test)["u"]["mean"] < 0.1  # that of the mean field is above 0.2
    again = po.load(tmp_path / "run")
    sample, predicted = again.predicted(test)[0]
    mesh = sample.mesh
    answer = again(mesh.points, sample.inputs, cells=mesh.cells)["u"]
    np.testing.assert_allclose(answer, predicted[:, 0], rtol=1e-5, atol=1e-6)
    at = mesh.points[mesh.cells[:5]].mean(1)
    inside = again(mesh.points, sample.inputs, cells=mesh.cells, at=at)["u"]
    between = answer[mesh.cells[:5]].mean(1)
    np.testing.assert_allclose(inside, between, atol=0.02)
    with pytest.raises(ValueError, match="give cells"):
        again(mesh.points, sample.inputs)
    with pytest.raises(ValueError, match="which MorphedGrid sees of a mesh; export it as .safe"):
        again.export(tmp_path / "model.stablehlo")
    again.export(tmp_path / "model.safetensors")
    again.plot(tmp_path / "figure.png", test)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_a_sample_for_training_that_cannot_be_mapped_is_named(stars):
    points = stars.sample_points()
    clouds = po.Dataset.from_arrays(
        coordinates=points, outputs={"u": [np.sin(p[:, 0]) for p in points]}
    )
    with pytest.raises(ValueError, match="sample 0 of those for training: .* give cells"):
        po.train(clouds, MorphedGrid(SMALL, 8), steps=1, progress=False)


@pytest.mark.slow
def test_a_prior_is_that_of_the_network_on_the_grid(float64):
    mesh, architecture = triangulated([STAR], 0.3), MorphedGrid(FNO(4, 2, 1), 6)
    one, two = (architecture.build(1, 1, 2, key=jax.random.key(k)) for k in (0, 1))
    both = with_prior(one, two, 0.3, (1, 1, 2), jax.random.key(2))
    count = len(mesh.points)
    links = jax.tree.map(jnp.asarray, architecture.links(mesh, count))
    given = (jnp.asarray(mesh.points), jnp.ones((count, 1)), jnp.ones(count, bool), links)
    added = both(*given) - one(*given)
    assert 0.01 < float(jnp.std(added)) < 1.0


@pytest.mark.slow
def test_snapshots_on_meshes_follow_from_the_first(float64):
    mesh = triangulated([STAR], 0.4)
    times, count = np.linspace(0.0, 1.0, 3), 10
    rng = np.random.default_rng(0)
    first = [np.sin(mesh.points @ rng.normal(size=2)) for _ in range(count)]
    data = po.Dataset.from_arrays(
        coordinates={"t": times, "points": [mesh.points] * count},
        cells=[mesh.cells] * count,
        outputs={"u": [np.exp(-times)[:, None] * wave for wave in first]},
        time="t",
    )
    architecture, few = MorphedGrid(FNO(4, 2, 1), 6), po.Curriculum(epochs=1, warm_up=0)
    stepper = po.train(data, architecture, curriculum=few, progress=False)
    later = stepper(mesh.points, {"u": first[0]}, 2, cells=mesh.cells)["u"]
    assert later.shape == (3, len(mesh.points)) and np.isfinite(later).all()
