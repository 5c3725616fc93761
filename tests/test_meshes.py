"""Clouds and meshes: their geometry, networks on them, data of our own, and trained maps."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.data import MESH_FAMILIES, mesh_contents
from pinops.geometry import Mesh, triangulated
from pinops.operators import Graph, MeshGraphNet, Transolver
from pinops.operators._mesh_graph import gathered
from pinops.optimizers import Adam
from pinops.reference import plane_stress, poisson_on_mesh
from pinops.solvers._door import Options
from pinops.solvers._point_plan import point_plan
from pinops.solvers._recipe import Length
from pinops.training._clouds import Classes

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
ANGLE = np.linspace(0, 2 * np.pi, 200, endpoint=False)
CIRCLE = np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1)
NETWORKS = [Transolver(8, 2, 2, 4), MeshGraphNet(8, 2), MeshGraphNet(8, 2, radius=0.3)]


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return triangulated([SQUARE, 0.5 + 0.2 * CIRCLE], 0.12)


def area(mesh: Mesh) -> float:
    a, b, c = (mesh.points[mesh.cells[:, k]] for k in range(3))
    u, v = b - a, c - a
    return 0.5 * float(np.sum(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]))


# Geometry


def test_triangles_fill_the_region_between_their_outlines(mesh):
    hole = mesh.boundary[np.abs(mesh.points[mesh.boundary[:, 0]] - 0.5).max(1) < 0.3]
    count = len(hole)
    polygon = 0.5 * count * np.sin(2 * np.pi / count) * 0.04
    assert area(mesh) == pytest.approx(1 - polygon, rel=1e-3)
    # Euler: points - edges + triangles is 0 with one hole.
    assert len(mesh.points) - len(mesh.edges) + len(mesh.cells) == 0
    with pytest.raises(ValueError, match="make them smaller"):
        triangulated([SQUARE, 0.5 + 0.499 * CIRCLE], 0.7)


def test_distances_and_normals_are_those_of_the_boundary():
    square = triangulated([SQUARE], 0.1)
    x, y = square.points.T
    nearest = np.stack([x, 1 - x, y, 1 - y])
    np.testing.assert_allclose(square.signed_distance(), -nearest.min(0), atol=1e-14)
    outside = np.array([[1.5, 0.4], [0.4, -0.25]])
    np.testing.assert_allclose(square.signed_distance(outside), [0.5, 0.25])
    np.testing.assert_allclose(square.normals(outside), [[1, 0], [0, -1]], atol=1e-12)
    left = (x == 0) & (y > 0.2) & (y < 0.8)
    np.testing.assert_allclose(square.normals()[left], [[-1, 0]] * left.sum(), atol=1e-12)


def test_interpolation_is_linear_and_neighbours_are_near(mesh):
    values = (mesh.points @ np.array([2.0, -1.0]) + 3)[:, None]
    at = np.array([[0.11, 0.07], [0.9, 0.2]])
    np.testing.assert_allclose(mesh.interpolated(values, at)[:, 0], at @ [2.0, -1.0] + 3)
    distances, numbers = mesh.nearest(3)
    every = np.linalg.norm(mesh.points[:, None] - mesh.points, axis=2)
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, 1:4])
    assert (numbers != np.arange(len(mesh.points))[:, None]).all()
    pairs = mesh.within(0.2)
    assert len(pairs) == (every < 0.2).sum() - len(mesh.points)


@pytest.mark.parametrize(
    "points, cells, words",
    [
        (np.zeros(3), None, "the shape"),
        (np.full((3, 2), np.nan), None, "finite"),
        (np.zeros((3, 2)), np.zeros((1, 5), int), "triangles"),
        (np.zeros((3, 2)), np.array([[0, 1, 3]]), "from 0 to 2, got 3"),
    ],
)
def test_what_is_not_a_mesh_is_refused(points, cells, words):
    with pytest.raises(ValueError, match=words):
        Mesh(points, cells)


# Networks


def built(architecture, mesh, size, extra=None, features=1):
    """A network, and its arguments for a mesh that is filled up to a size."""
    network = architecture.build(features, 2, 2, key=jax.random.key(1))
    rng = np.random.default_rng(0)
    count = len(mesh.points)
    places = mesh.points if extra is None else np.concatenate([mesh.points, extra])
    rest = rng.normal(size=(size - len(places), 2))
    known = np.concatenate([np.sin(3 * places[:, :1]), rng.normal(size=(len(rest), 1))])
    links = jax.tree.map(jnp.asarray, architecture.links(mesh, size, extra))
    present = jnp.arange(size) < count
    return eqx.filter_jit(network), (
        jnp.asarray(np.concatenate([places, rest])),
        jnp.asarray(known),
        present,
        links,
    )


@pytest.mark.parametrize("architecture", NETWORKS, ids=str)
def test_a_sample_does_not_depend_on_what_fills_it_up(architecture, mesh, float64):
    count = len(mesh.points)
    answers = []
    for size in (count, count + 7, 2 * count):
        network, given = built(architecture, mesh, size)
        answers.append(network(*given)[:count])
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=1e-12)
    assert np.std(answers[0]) > 1e-3


@pytest.mark.parametrize("architecture", NETWORKS, ids=str)
def test_further_points_change_nothing_and_have_values(architecture, mesh, float64):
    count = len(mesh.points)
    at = np.array([[0.1, 0.12], [0.85, 0.5]])
    network, given = built(architecture, mesh, count)
    alone = network(*given)
    network, given = built(architecture, mesh, count + 2, at)
    both = network(*given)
    np.testing.assert_allclose(both[:count], alone, atol=1e-12)
    assert np.isfinite(both[count:]).all()


def test_a_transformer_has_the_value_of_a_point_at_its_place_and_no_order(mesh, float64):
    count, architecture = len(mesh.points), NETWORKS[0]
    network, given = built(architecture, mesh, count + 1, mesh.points[5:6])
    values = network(*given)
    np.testing.assert_allclose(values[count], values[5], atol=1e-12)
    order = np.random.default_rng(0).permutation(count)
    network, (points, features, present, _) = built(architecture, mesh, count)
    turned = network(points[order], features[order], present)
    np.testing.assert_allclose(turned, values[:count][order], atol=1e-12)


def test_gathering_has_the_gradient_of_an_index(mesh, float64):
    count = len(mesh.points)
    edges = NETWORKS[1].edges(mesh)
    assert len(edges) == 2 * len(mesh.edges)
    graph = jax.tree.map(jnp.asarray, Graph.of(edges, count + 3))
    f = jax.random.normal(jax.random.key(0), (count + 3, 4))
    weights = jax.random.normal(jax.random.key(1), (*graph.senders.shape, 4))

    def plain(f):
        there = (graph.senders >= 0)[:, :, None]
        return jnp.sum(jnp.where(there, jnp.sin(f)[graph.senders], 0) * weights)

    def ours(f):
        return jnp.sum(gathered(jnp.sin(f), graph) * weights)

    np.testing.assert_allclose(ours(f), plain(f))
    np.testing.assert_allclose(jax.grad(ours)(f), jax.grad(plain)(f))


@pytest.mark.slow
def test_messages_on_a_finer_mesh_of_the_same_shape_look_alike():
    """Vectors between points are in units of their mean distance."""
    coarse, fine = (triangulated([SQUARE], size) for size in (0.1, 0.05))
    found = []
    for mesh in (coarse, fine):
        network, given = built(MeshGraphNet(8, 1), mesh, len(mesh.points))
        found.append(np.asarray(network(*given)).mean(0))
    np.testing.assert_allclose(found[1], found[0], atol=0.02)


def test_the_boundary_is_a_feature_that_needs_cells(mesh):
    channels = Transolver(boundary=True).channels(mesh)
    assert channels.shape == (len(mesh.points), 3)
    np.testing.assert_allclose(channels[:, 0], mesh.signed_distance())
    with pytest.raises(ValueError, match="give cells"):
        Transolver(boundary=True).channels(Mesh(mesh.points))
    with pytest.raises(ValueError, match="multiple of heads=3"):
        Transolver(8, heads=3)


# Data of our own


def test_finite_elements_have_a_linear_solution_exactly():
    pytest.importorskip("skfem")
    mesh = triangulated([SQUARE], 0.2)
    found = plane_stress(mesh.points, mesh.cells, bottom=0.0, top=1.0, young=2.0, poisson=0.3)
    x, y = mesh.points.T
    np.testing.assert_allclose(found["uy"], y / 2, atol=1e-11)
    np.testing.assert_allclose(found["ux"], -0.3 * x / 2, atol=1e-11)
    np.testing.assert_allclose(found["stress"], 1, atol=1e-10)


def test_potential_flow_past_a_circle_is_the_doublet():
    """φ = x (1 + a² / r²), Milne-Thomson, Theoretical Hydrodynamics, §6.22."""
    pytest.importorskip("skfem")
    a, box = 0.3, 2 * SQUARE - 1

    def onto(points):
        radius = np.linalg.norm(points, axis=1, keepdims=True)
        return np.where(radius < 0.5, points * a / radius, points)

    def exact(x, y):
        return x * (1 + a**2 / (x**2 + y**2))

    errors = []
    for size in (0.16, 0.08):
        mesh = triangulated([box, a * CIRCLE], size)
        found = poisson_on_mesh(
            mesh.points,
            mesh.cells,
            source=lambda x, y: np.zeros_like(x),
            given=exact,
            where=lambda x, y: np.maximum(np.abs(x), np.abs(y)) > 0.9,
            onto=onto,
        )
        errors.append(np.abs(found["u"] - exact(*mesh.points.T)).max())
    assert errors[1] < 1e-3 and errors[1] < errors[0] / 3


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in MESH_FAMILIES if f != "heat_in_time"])
def test_families_on_meshes_agree_with_finer_ones(family):
    pytest.importorskip("skfem")
    coarse, fine = (mesh_contents(family, 1, seed=3, nodes=(n, n)) for n in (1000, 4000))
    (points,), (finer,) = coarse.coordinates, fine.coordinates
    assert 850 < len(points) < 1150 and 3 < len(finer) / len(points) < 5
    name = next(iter(coarse.outputs))
    known = fine.outputs[name][0][:, None]
    there = Mesh(finer, fine.cells[0]).interpolated(known, points)[:, 0]
    off = np.linalg.norm(coarse.outputs[name][0] - there) / np.linalg.norm(there)
    assert off < 1e-2  # of which the linear interpolation is the larger part
    with pytest.raises(ValueError, match="choose elasticity_hole"):
        mesh_contents("plates")


# Training


def squares(count: int, seed: int = 0, most: int = 24) -> po.Dataset:
    """Clouds with u = s a, v = a² of a known field a and a number s; up to 24 points are of one
    size, and one program.
    """
    rng = np.random.default_rng(seed)
    points = [rng.uniform(size=(int(n), 2)) for n in rng.integers(20, most + 1, count)]
    a = [np.sin(3 * p[:, 0] + rng.uniform()) + p[:, 1] for p in points]
    s = rng.uniform(1, 2, count)
    u = [k * field for k, field in zip(s, a, strict=True)]
    u[0][3] = np.nan
    return po.Dataset.from_arrays(
        coordinates=points,
        inputs={"a": a},
        parameters={"s": s},
        outputs={"u": u, "v": [field**2 for field in a]},
    )


@pytest.mark.slow
def test_a_map_on_clouds_is_trained_saved_and_asked_anywhere(tmp_path):
    data = squares(24)
    trained = po.train(
        data, Transolver(16, 1, 2, 4), steps=400, optimizer=Adam(1e-2, 400), progress=False,
        out=tmp_path / "run",
    )  # fmt: skip
    errors = trained.error(data)
    assert set(errors) == {"u", "v"} and all(e["mean"] < 0.1 for e in errors.values())
    sample, predicted = trained.predicted(data)[0]
    again = po.load(tmp_path / "run")
    answer = again(sample.mesh.points, sample.inputs)
    np.testing.assert_allclose(answer["v"], predicted[:, 1], rtol=1e-5, atol=1e-5)
    at = sample.mesh.points[:4] + 1e-9
    elsewhere = again(sample.mesh.points, sample.inputs, at=at)
    np.testing.assert_allclose(elsewhere["u"], predicted[:4, 0], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="inputs are a, s, got a"):
        again(sample.mesh.points, {"a": sample.inputs["a"]})
    with pytest.raises(ValueError, match="compared with data"):
        again.error()
    trained.plot(tmp_path / "figure.png", data)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_training_goes_on_where_it_was_interrupted(tmp_path):
    data = squares(30, seed=1)

    def run(**options):
        return po.train(
            data, MeshGraphNet(8, 1, neighbours=3), optimizer=Adam(1e-3), progress=False, **options
        )

    whole = run(steps=6)
    run(steps=3, out=tmp_path / "run")
    resumed = run(steps=6, out=tmp_path / "run", resume=True)
    same = jax.tree.map(np.array_equal, whole.params, resumed.params)
    assert all(jax.tree.leaves(same))


def test_the_loss_is_the_mean_relative_error_of_the_samples():
    """By hand, with a missing value, in the sizes of the program and without them."""
    data = squares(30, seed=2, most=60)
    options = Options("float32", None, 0, None, None, (), False, None, False, 30.0)
    made = point_plan(
        Transolver(8, 1, 2, 4), options, dataset=data, physics=None,
        functions=po.Functions(batch=3), optimizer=None, weighting=None, length=Length(5, None),
    )  # fmt: skip
    made = made.assembled(0)
    params, model, source = made.params, made.training.model, made.training.source
    drawn = jax.tree.map(jnp.asarray, source.drawn(model, params, jax.random.key(0), None))
    assert 1 < len(drawn.clouds) <= 3
    weights = {name: jnp.ones(1) for name in ("observed u", "observed v")}
    network, rows = eqx.filter_jit(model.network(params)), np.arange(3)

    @eqx.filter_jit
    def objective(chosen, params):
        return model.objective(chosen, weights)(params)

    for size, clouds in enumerate(drawn.clouds):
        total = 0.0
        for k in rows:
            out = network(clouds.points[k], clouds.features[k], clouds.present[k])
            out = np.asarray(out) * np.asarray(model.scale) + np.asarray(model.mean)
            truth = np.asarray(clouds.values[k])
            known = np.isfinite(truth)
            for c in range(2):
                off = (out - truth)[known[:, c], c]
                total += np.linalg.norm(off) / np.linalg.norm(truth[known[:, c], c]) / 3
        value, _ = objective(Classes(drawn.clouds, jnp.asarray(size), jnp.asarray(rows)), params)
        assert float(value) == pytest.approx(total, rel=1e-4)

    few = replace(source, points=16)
    step, _ = few.sampled(model, drawn, weights, jax.random.key(1))
    (cloud,) = step.clouds
    assert cloud.points.shape == (3, 16, 2) and cloud.present.all()
    # Rows stay together: v = a², and the feature a is standardised.
    a = cloud.features[:, :, 0] * source.inputs.deviation[0] + source.inputs.centre[0]
    np.testing.assert_allclose(cloud.values[:, :, 1], a**2, rtol=1e-4, atol=1e-5)
    assert len({tuple(point) for point in np.asarray(cloud.points[0])}) == 16


def test_grids_and_physics_are_refused_by_networks_on_points():
    x = np.linspace(0, 1, 8)
    grid = po.Dataset.from_arrays(outputs={"u": np.ones((4, 8))}, coordinates={"x": x})
    with pytest.raises(ValueError, match="points of their own"):
        po.train(grid, Transolver(8, 1, 2, 4), progress=False)
    with pytest.raises(ValueError, match="needs a grid"):
        po.train(squares(10), Transolver(8, 1, 2, 4), physics=0.1, progress=False)
    with pytest.raises(ValueError, match="trained on data"):
        po.train("darcy_family", Transolver(8, 1, 2, 4), progress=False)
