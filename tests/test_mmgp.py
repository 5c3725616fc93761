"""Morphing of meshes, Gaussian processes, and what is fitted with both."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import mesh_contents
from pinops.geometry import (
    Mesh,
    Target,
    all_morphed,
    boundary_loops,
    corners_of,
    interpolation,
    mass,
    mean_values,
    morphed,
    quartered,
    stiffness,
    target_of,
    triangulated,
)
from pinops.operators import FNO, MMGP
from pinops.operators._processes import Hyperparameters, Processes, _likelihood, _objective
from pinops.operators._processes import _squares as squares_of
from pinops.reference import poisson_on_mesh
from pinops.solvers._repeat import repeat_of

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
ANGLE = np.linspace(0, 2 * np.pi, 240, endpoint=False)
CIRCLE = np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1)
QUICK = MMGP(restarts=1, refined=0, modes=10, shape_modes=6)


@pytest.fixture(scope="module")
def square() -> Mesh:
    return triangulated([SQUARE], 0.1)


@pytest.fixture(scope="module")
def ring() -> Mesh:
    return triangulated([CIRCLE, 0.4 * CIRCLE], 0.12)


def signed(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


# Sheets of triangles


def test_loops_have_the_mesh_on_their_left_and_the_outer_one_is_the_first(ring):
    clockwise = Mesh(ring.points, ring.cells[:, ::-1])
    for mesh in (ring, clockwise):
        outer, inner = boundary_loops(mesh)
        assert signed(mesh.points[outer]) == pytest.approx(np.pi, rel=0.02)
        assert signed(mesh.points[inner]) == pytest.approx(-0.16 * np.pi, rel=0.05)


def test_corners_begin_at_the_lowest_left_one(square):
    (loop,) = boundary_loops(square)
    found = square.points[loop[corners_of(square, loop, 4)]]
    np.testing.assert_allclose(found, SQUARE)
    with pytest.raises(ValueError, match="6 corners .* it has 4"):
        corners_of(square, loop, 6)


def test_matrices_of_linear_elements(square):
    """Exact for linear functions; mean values reproduce a point from its neighbours."""
    u = square.points @ [2.0, -1.0]
    energy = stiffness(square)
    assert u @ (energy @ u) == pytest.approx(5)
    inside = np.setdiff1d(np.arange(len(u)), boundary_loops(square)[0])
    np.testing.assert_allclose((energy @ u)[inside], 0, atol=1e-12)
    weight, ones = mass(square), np.ones(len(u))
    assert ones @ (weight @ ones) == pytest.approx(1)
    assert u @ (weight @ u) == pytest.approx(4 / 3 - 2 * 2 / 4 + 1 / 3)
    means = mean_values(square)
    assert means.data.min() == 0  # its own entry of each point alone
    near = (means @ square.points) / np.asarray(means.sum(1))[:, None]
    np.testing.assert_allclose(near[inside], square.points[inside], atol=1e-12)


def test_interpolation_is_exact_for_linear_functions_and_clamped_outside(square):
    at = np.random.default_rng(0).uniform(size=(300, 2))
    np.testing.assert_allclose(interpolation(square, at) @ square.points, at, atol=1e-12)
    outside = interpolation(square, np.array([[1.02, 0.5], [-0.05, -0.03]]))
    np.testing.assert_allclose(outside.sum(1), 1)
    np.testing.assert_allclose(outside @ square.points, [[1, 0.5], [0, 0]], atol=0.03)
    finer, edges = quartered(square)
    assert len(finer.cells) == 4 * len(square.cells) and len(edges) == len(square.edges)
    assert signed(finer.points[boundary_loops(finer)[0]]) == pytest.approx(1)


# Morphing


@pytest.mark.parametrize("by", ["rbf", "harmonic", "mean_value"])
def test_a_disc_and_an_annulus_stay_as_they_are(by, ring):
    disc = triangulated([CIRCLE], 0.15)
    found = morphed(disc, target_of([disc], "disc"), by)
    assert found.used == by
    np.testing.assert_allclose(found.mesh.points, disc.points, atol=2e-3)
    target = target_of([ring], "annulus")
    assert target.radius == pytest.approx(0.4, abs=2e-3)
    tolerance = 0.02 if by == "mean_value" else 4e-3
    np.testing.assert_allclose(morphed(ring, target, by).mesh.points, ring.points, atol=tolerance)


def test_a_square_is_the_polygon_of_its_corners(square):
    target = target_of([square], "polygon", 4)
    np.testing.assert_allclose(target.shares, 0.25)
    found = morphed(square, target).mesh.points
    np.testing.assert_allclose(found, (square.points - 0.5) * np.sqrt(2), atol=1e-12)


def test_a_bent_sheet_is_mapped_like_the_flat_one(square):
    """Lengths alone count. The radius is large, as triangles are shorter than arcs."""
    x, y = square.points.T
    bent = Mesh(np.stack([20 * np.sin(x / 20), y, 20 - 20 * np.cos(x / 20)], 1), square.cells)
    target = target_of([square], "polygon", 4)
    flat = morphed(square, target).mesh.points
    np.testing.assert_allclose(morphed(bent, target).mesh.points, flat, atol=2e-5)


def test_harmonic_maps_do_not_depend_on_the_mesh():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    outline = ((1 + 0.2 * np.cos(2 * angle)) * np.stack([np.cos(angle), np.sin(angle)])).T
    meshes = [triangulated([outline], size, seed=seed) for seed, size in enumerate((0.1, 0.08))]
    off = {}
    for by in ("harmonic", "uniform"):
        one, other = all_morphed(meshes, Target("disc"), by)
        there = interpolation(meshes[0], meshes[1].points) @ one.points
        off[by] = np.sqrt(np.mean((there - other.points) ** 2))
    assert off["harmonic"] < 5e-4 and off["uniform"] > 4 * off["harmonic"]


def slivers() -> Mesh:
    """A clover whose inner points are moved as far as its triangles allow, and stretched."""
    outline = ((1 + 0.45 * np.cos(3 * ANGLE)) * CIRCLE.T).T
    mesh, rng = triangulated([outline], 0.25), np.random.default_rng(0)
    points = mesh.points.copy()
    for point in np.tile(np.setdiff1d(np.arange(len(points)), boundary_loops(mesh)[0]), 3):
        own = mesh.cells[(mesh.cells == point).any(1)]
        for _ in range(20):
            moved = points.copy()
            moved[point] += 0.3 * rng.normal(size=2)
            if min(signed(moved[cell]) for cell in own) > 5e-8:
                points = moved
                break
    return Mesh(points * [4.0, 1.0], mesh.cells)


def test_a_map_that_turns_triangles_over_gives_way(square):
    """Cotangents of obtuse triangles are negative."""
    with pytest.warns(UserWarning, match="'harmonic' turns triangles of 1 of 2 meshes over"):
        found = all_morphed([square, slivers()], Target("disc"))
    for mesh in found:
        assert min(signed(mesh.points[cell]) for cell in mesh.cells) > 0
    assert morphed(square, Target("disc")).used == "harmonic"
    assert morphed(slivers(), Target("disc")).used == "mean_value"


@pytest.mark.parametrize(
    "spoilt, words",
    [
        (lambda p, c: (p, None), "no triangles; give cells"),
        (lambda p, c: (p, c[:0]), "no triangles; give cells"),
        (lambda p, c: (p, np.stack([*c.T, c[:, 0]], 1)), "cells of 4 corners"),
        (lambda p, c: (np.concatenate([p, p[:1]]), c), "belongs to no cell"),
        (lambda p, c: (np.where(np.arange(len(p))[:, None] == 7, p[3], p), c), "3 and 7 coincide"),
        (lambda p, c: (p, np.concatenate([c[:5, ::-1], c[5:]])), "cell 0 is flipped"),
        (lambda p, c: (p, np.concatenate([c, c[:1]])), "more than two meet there"),
    ],
)
def test_what_is_no_sheet_of_triangles_is_refused(spoilt, words, square):
    points, cells = spoilt(square.points, square.cells)
    with pytest.raises(ValueError, match=words):
        morphed(Mesh(points, cells), Target("disc"))


def test_meshes_of_another_topology_are_refused(square, ring):
    holes = [SQUARE, 0.3 + 0.1 * CIRCLE, 0.7 + 0.1 * CIRCLE]
    two = triangulated(holes, 0.08)
    for mesh, kind, words in (
        (two, "disc", "2 holes, .* 3 loops, .* the disc, which has 1; fill holes up"),
        (two, "annulus", "2 holes, .* the annulus"),
        (ring, "disc", "take an annulus"),
        (square, "annulus", "take a disc"),
    ):
        with pytest.raises(ValueError, match=words):
            target_of([mesh], kind)
    with pytest.raises(ValueError, match="mesh 1: .* take an annulus"):
        target_of([square, ring], "disc")
    with pytest.raises(ValueError, match="kind must be one of disc, polygon, annulus, got 'ball'"):
        target_of([square], "ball")
    with pytest.raises(ValueError, match="by must be one of rbf, harmonic"):
        morphed(square, Target("disc"), "conformal")
    apart = Mesh(
        np.concatenate([square.points, square.points + 3]),
        np.concatenate([square.cells, square.cells + len(square.points)]),
    )
    with pytest.raises(ValueError, match="2 pieces"):
        target_of([apart], "disc")


# Gaussian processes


def test_the_slope_of_the_likelihood_is_that_of_its_formula(float64):
    rng = np.random.default_rng(0)
    x, y, root = (jnp.asarray(rng.normal(size=shape)) for shape in ((12, 2), 12, (12, 12)))
    matrix = root @ root.T + jnp.eye(12)

    def formula(matrix):
        return 0.5 * y @ jnp.linalg.solve(matrix, y) + 0.5 * jnp.linalg.slogdet(matrix)[1]

    assert float(_likelihood(matrix, y)) == pytest.approx(float(formula(matrix)))
    slopes = [np.asarray(jax.grad(each)(matrix)) for each in (lambda m: _likelihood(m, y), formula)]
    np.testing.assert_allclose(*slopes, rtol=1e-8, atol=1e-10)
    chosen = Hyperparameters(jnp.array([0.3, -0.2]), jnp.array(0.1), jnp.array(-2.0))
    slope = jax.grad(_objective)(chosen, squares_of(x, x), y)
    for number in range(2):
        step = jnp.zeros(2).at[number].set(1e-5)
        ends = [
            _objective(chosen._replace(lengths=chosen.lengths + s * step), squares_of(x, x), y)
            for s in (1, -1)
        ]
        assert float(slope.lengths[number]) == pytest.approx(
            float(ends[0] - ends[1]) / 2e-5, rel=1e-5
        )


def test_processes_go_through_data_without_noise_and_know_where_they_guess(float64):
    rng = np.random.default_rng(1)
    x = rng.uniform(-1.5, 1.5, (50, 3))

    def truth(x):
        return np.stack([np.sin(2 * x[:, 0]) + x[:, 1], np.cos(x[:, 1])], 1)

    posterior = Processes.fitted(x, truth(x), restarts=2, most=50, seed=0).posterior()
    mean, variance = posterior(jnp.asarray(x))
    np.testing.assert_allclose(mean, truth(x), atol=1e-3)
    assert float(variance.max()) < 1e-4
    new = rng.uniform(-1.5, 1.5, (200, 3))
    mean, variance = posterior(jnp.asarray(new))
    assert np.abs(mean - truth(new)).max() < 0.05
    lengths = np.exp(posterior.chosen.lengths)
    assert lengths[0, 2] > 5 * lengths[0, 0] and lengths[1, 2] > 5 * lengths[1, 1]
    far = posterior(jnp.asarray([[9.0, 9.0, 0.0]]))[1]
    assert (np.asarray(far) > 100 * np.asarray(variance).max(0)).all()


# Fields on meshes


def stars(count: int, seed: int = 0, **more) -> po.Dataset:
    """Random ovals with a smooth field and its largest value, without finite elements."""
    rng = np.random.default_rng(seed)
    meshes, values, tilts = [], [], rng.uniform(-1, 1, count)
    for k, tilt in enumerate(tilts):
        a, b = rng.normal(0, 0.15, 2)
        radius = 1 + a * np.cos(2 * ANGLE) + b * np.sin(2 * ANGLE)
        mesh = triangulated([radius[:, None] * CIRCLE], 0.3, seed=k)
        x, y = mesh.points.T
        meshes.append(mesh)
        values.append(np.cos(x) * np.exp(0.3 * y) * (1 + tilt * x))
    return po.Dataset.from_arrays(
        coordinates=[mesh.points for mesh in meshes],
        cells=[mesh.cells for mesh in meshes],
        inputs={"bias": [0 * v + 0.1 * (1 + t) for v, t in zip(values, tilts, strict=True)]},
        parameters={"tilt": tilts},
        outputs={"u": values, "u_mean": np.array([v.mean() for v in values])} | more,
    )


@pytest.fixture(scope="module")
def data() -> po.Dataset:
    return stars(48)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmgp") / "run"
    return po.train(data, QUICK, progress=False, out=folder), folder


def test_numbers_of_samples_are_outputs_that_files_keep(data, tmp_path):
    assert data.unknowns == ("u",) and data.layout.scalars == ("u_mean",)
    assert data.layout.inputs == ("bias", "tilt")
    again = po.Dataset.open(data.save(tmp_path / "stars.h5"))
    assert again.layout.scalars == ("u_mean",)
    rows, there = data.rows([3, 5]), again.take([3, 5, 7]).rows([0, 1])
    np.testing.assert_array_equal(rows["scalars/u_mean"], there["scalars/u_mean"])
    whole = data + stars(3, seed=1)
    assert whole.rows([50])["scalars/u_mean"].shape == (1,)
    with pytest.raises(ValueError, match="numbers alone"):
        po.Dataset.from_arrays(coordinates=[np.zeros((3, 2))], outputs={"s": np.zeros(1)})


def test_fields_and_numbers_of_new_shapes_are_within_their_bands(trained):
    result, _ = trained
    new = stars(30, seed=7)
    errors = result.error(new)
    assert errors["u"]["mean"] < 0.02 and errors["u_mean"]["mean"] < 0.02
    inside, numbers = [], []
    for sample, found in result.answers(new):
        assert found.mean.shape == found.spread.shape == sample.values.shape
        inside.append(np.abs(found.mean - sample.values) < 1.96 * found.spread)
        off = abs(found.scalars[0] - sample.scalars["u_mean"])
        numbers.append(off < 1.96 * found.scalar_spreads[0])
    assert 0.88 < np.concatenate(inside).mean() < 1
    found = result.calibration(new)
    assert found["u"].coverage[0.95] == pytest.approx(np.concatenate(inside).mean(), abs=1e-3)
    assert found["u_mean"].values == 30
    assert np.mean(numbers) > 0.8
    assert result.num_parameters < 300 and result.status == "finished"
    assert result.history[-1].errors["u"] < 0.05


def test_a_fit_is_kept_and_asked_anywhere(trained, data, tmp_path):
    result, folder = trained
    again = po.load(folder)
    assert type(again) is po.TrainedMMGP and again.request == result.request
    sample = result.answers(data)[0][0]
    cells, given = sample.mesh.cells, sample.inputs
    means, spreads = again(sample.mesh.points, given, cells=cells)
    first, deviation = result(sample.mesh.points, given, cells=cells)
    assert set(means) == {"u", "u_mean"} and np.ndim(means["u_mean"]) == 0
    np.testing.assert_allclose(means["u"], first["u"], rtol=1e-12)
    np.testing.assert_allclose(spreads["u"], deviation["u"], rtol=1e-9)
    at = sample.mesh.points[sample.mesh.cells[:4]].mean(1)
    there = again(sample.mesh.points, given, cells=cells, at=at).mean["u"]
    np.testing.assert_allclose(there, first["u"][cells[:4]].mean(1), atol=0.03)
    # Another mesh of the same shape gives the same field.
    finer, edges = quartered(sample.mesh)
    bias = given["bias"]
    more = {"tilt": given["tilt"], "bias": np.append(bias, bias[edges].mean(1))}
    there = again(finer.points, more, cells=finer.cells).mean["u"][: len(bias)]
    np.testing.assert_allclose(there, first["u"], atol=0.03)
    file = result.export(tmp_path / "fit.safetensors")
    np.testing.assert_array_equal(
        po.load(file)(sample.mesh.points, given, cells=cells).mean["u"], means["u"]
    )
    with pytest.raises(ValueError, match="a program cannot bring meshes"):
        result.export(tmp_path / "fit.stablehlo")
    with pytest.raises(ValueError, match="the inputs are bias, tilt, got tilt"):
        result(sample.mesh.points, {"tilt": 0.0}, cells=cells)
    with pytest.raises(ValueError, match="give cells"):
        result(sample.mesh.points, given, cells=None)
    with pytest.raises(ValueError, match=r"at must have the shape \(q, 2\)"):
        result(sample.mesh.points, given, cells=cells, at=np.zeros(2))
    with pytest.raises(ValueError, match="compared with data"):
        result.error()


def test_a_figure_shows_the_band_and_a_report_repeats_the_fit(trained, data):
    result, _ = trained
    figure = result.plot(None, data)
    titles = [ax.get_title() for ax in figure.axes]
    assert "deviation of u" in titles and "sample 0 along a line" in titles
    again = repeat_of(result.request, result.subject)
    assert "po.operators.MMGP(" in again.python and "--operator 'MMGP(" in again.command
    assert "TrainedMMGP(data, finished after 0 steps" in repr(result)


@pytest.mark.slow
def test_the_command_fits_and_evaluates(data, tmp_path, capsys):
    path = data.save(tmp_path / "stars.h5")
    options = ["--operator", "MMGP(restarts=1, refined=0, modes=4)", "--out", str(tmp_path / "run")]
    assert cli.run(["train", "--data", str(path), *options, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["relative_l2"]["u"] < 0.05 and shown["modes"]["u"] == 4
    assert (tmp_path / "run" / "figures" / "solution.png").exists()
    assert cli.run(["evaluate", str(tmp_path / "run"), "--data", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["relative_l2"] == shown["relative_l2"]


def test_a_changed_run_is_refused(trained, tmp_path):
    import shutil

    from pinops.data._run_file import _signed

    _, folder = trained
    for number, (part, name, value) in enumerate(
        [("sizes", "points", 10**8), ("sizes", "numbers", 2), ("points", "local", [True])]
    ):
        copy = shutil.copytree(folder, tmp_path / str(number))
        content = json.loads((copy / "run.json").read_text())
        content["request"][part][name] = value
        content["sha256"] = ""
        (copy / "run.json").write_bytes(_signed((json.dumps(content, indent=2) + "\n").encode()))
        with pytest.raises(ValueError, match="restore"):
            po.load(copy)


def test_what_is_not_for_a_fit_is_refused(data, tmp_path):
    for option, value in {
        "steps": 5, "minutes": 1.0, "physics": 0.1, "ensemble": 2, "resume": True,
        "functions": po.Functions(), "compute_dtype": "bfloat16",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"{option} is not for MMGP"):
            po.train(data, MMGP(), progress=False, out=tmp_path / "run", **{option: value})
    x = np.linspace(0, 1, 8)
    grid = po.Dataset.from_arrays(outputs={"u": np.ones((20, 8))}, coordinates={"x": x})
    with pytest.raises(ValueError, match="has a grid of 8; give coordinates"):
        po.train(grid, MMGP(), progress=False)
    with pytest.raises(ValueError, match="at least 8; give more"):
        po.train(data.take(range(8)), MMGP(), progress=False)
    with pytest.raises(ValueError, match="mesh 0: .* take a disc"):
        po.train(data, MMGP("annulus"), progress=False)
    with pytest.raises(ValueError, match="at least 3 landmarks"):
        MMGP("polygon")
    with pytest.raises(ValueError, match="points of their own|grid"):
        po.train(data, FNO(4, 2, 1), progress=False)
    assert not (tmp_path / "run").exists()


def test_samples_on_one_mesh_have_no_modes_of_shape(square):
    """Then the processes see the numbers alone."""
    tilts = np.linspace(-1, 1, 24)
    x, y = square.points.T
    data = po.Dataset.from_arrays(
        coordinates=[square.points] * 24,
        cells=[square.cells] * 24,
        parameters={"tilt": tilts},
        outputs={"u": [np.cos(x + t) * y for t in tilts]},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = po.train(data, MMGP("polygon", 4, restarts=1, refined=0), progress=False)
    assert result.details()["modes"] == {"shape": 0, "u": 2}
    assert result.error(data)["u"]["worst"] < 1e-3


# Data of our own


def test_heat_passes_through_a_wall():
    """Flux 1 from below and h u above: u = 1 / h + 1 - y."""
    pytest.importorskip("skfem")
    mesh = triangulated([SQUARE], 0.2)
    found = poisson_on_mesh(
        mesh.points,
        mesh.cells,
        source=lambda x, y: np.zeros_like(x),
        given=lambda x, y: np.zeros_like(x),
        where=lambda x, y: np.zeros_like(x, bool),
        flux=lambda x, y: 1.0 * (y < 1e-9),
        transfer=lambda x, y: 2.0 * (y > 1 - 1e-9),
    )
    np.testing.assert_allclose(found["u"], 1.5 - mesh.points[:, 1], atol=1e-11)


@pytest.mark.parametrize(
    "family, target, landmarks",
    [("notched_plate", "disc", 8), ("elliptical_hole", "annulus", 4), ("heat_sink", "disc", 12)],
)
def test_shapes_of_the_families_have_their_targets(family, target, landmarks):
    pytest.importorskip("skfem")
    made = mesh_contents(family, 3, nodes=(250, 300))
    data = po.Dataset.of(made)
    meshes = [Mesh(p, c) for p, c in zip(made.coordinates, made.cells, strict=True)]
    goal = target_of(meshes, target, landmarks)
    assert len(goal.shares) == landmarks
    for mesh in meshes:
        assert morphed(mesh, goal).used == "harmonic"
    name = data.layout.scalars[0]
    largest = [v.max() for v in made.outputs[name.removesuffix("_max")]]
    np.testing.assert_allclose(made.outputs[name], largest)
