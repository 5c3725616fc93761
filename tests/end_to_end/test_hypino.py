"""HyPINO: counts, generated networks, the encoder, losses, refinement, training and files."""

import json
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinops as po
from pinops import cli
from pinops.functions import RandomCompositions
from pinops.networks import GatedFourier, Superposition
from pinops.operators import HyPINO, ResidualConvolutions, Swin
from pinops.operators._pointwise import Uniform
from pinops.operators._swin import SwinBlock, relative_places, separated, together, windows
from pinops.problem import RandomLinearProblems
from pinops.solvers import _pretrained
from pinops.training import Functions, divided, drawn_problems, sizes_of, streams
from pinops.training._hypernetwork import bent

TINY = HyPINO(
    grid=8, width=8, depths=(1,), heads=(2,), hidden=64, target=GatedFourier(4, 1, 2), halvings=1
)
OPTIONS = {
    "functions": Functions(pool=4, batch=2),
    "optimizer": po.optimizers.Adam(1e-3, 4, largest=1.0, weight_decay=1e-4),
    "progress": False,
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree) if hasattr(leaf, "size"))


def shapes(architecture):
    return eqx.filter_eval_shape(lambda key: architecture.build(key=key), jax.random.key(0))


def test_the_configuration_of_the_paper_has_its_size():
    """Bischof et al. 2025: 77 million parameters, of a target network of 5,409."""
    paper = HyPINO.paper()
    network = shapes(paper)
    assert count(network) == 77_239_177
    assert count(shapes(HyPINO.medium())) == 46_517_403
    images = jax.ShapeDtypeStruct((3, 224, 224, 5), jnp.float32)
    coefficients = jax.ShapeDtypeStruct((3, 5), jnp.float32)
    made = eqx.filter_eval_shape(lambda n, c, i: n.networks(c, i), network, coefficients, images)
    assert count(made) == 3 * 5409
    wanted = [(22, 32)] * 3 + [(32, 32)] * 3 + [(32, 1)]
    assert [leaf.shape[1:] for leaf in made.weights] == wanted
    assert [leaf.shape[1:] for leaf in made.biases] == [(32,)] * 6 + [(1,)]
    assert [len(stage.blocks) for stage in network.encoder.stages] == [2, 2, 10, 2]
    queries = [pooling.queries.shape for pooling in network.encoder.poolings]
    assert queries == [(14, 128), (14, 256), (14, 512), (14, 1024)]


def test_streams_of_generated_networks_are_their_derivatives():
    with jax.enable_x64(True):
        network = GatedFourier(8, 3, 5, members=3).build(2, 1, key=jax.random.key(0))
        points = jax.random.uniform(jax.random.key(1), (5, 2), minval=-1.0)
        found = streams(network, points)

        def u(point):
            return network(point)[0]

        first, second = jax.jit(jax.vmap(lambda x: (jax.grad(u)(x), jax.hessian(u)(x))))(points)
        wanted = [jax.vmap(u)(points), *first.T, second[:, 0, 0], second[:, 1, 1]]
        np.testing.assert_allclose(found, np.stack(wanted, 1), rtol=0, atol=1e-10)


def test_a_superposition_is_the_sum():
    network = GatedFourier(4, 1, 2, members=2).build(2, 1, key=jax.random.key(0))
    point = jnp.array([0.3, -0.2])
    parts = [jax.tree.map(lambda leaf, k=k: leaf[k], network.networks)(point) for k in range(2)]
    np.testing.assert_allclose(network(point), parts[0] + parts[1], atol=1e-6)
    assert isinstance(network, Superposition)


def test_windows_and_their_biases():
    x = jnp.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3)
    parts = windows(x, 2)
    np.testing.assert_array_equal(parts[0, 1, :, 0], x[0, :2, 2:, 0].ravel())
    np.testing.assert_array_equal(together(parts, 4, 4), x)
    # Relative positions from (-1, -1) to (1, 1), the pair of a token with itself in the middle.
    np.testing.assert_array_equal(relative_places(2)[0], [4, 3, 1, 0])
    apart = separated(4, 4, 2, 1)
    assert not apart[0].any()  # no window at the edge
    np.testing.assert_array_equal(apart[1][0], [False, True, False, True])


def test_tokens_across_the_edge_do_not_see_each_other():
    """In a shifted window the last column meets the first one."""
    block = Uniform.drawn(lambda n: SwinBlock.taken(n, 4, 2, 2, 1), jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 4))
    moved = block(x.at[0, :, 3].add(1.0)) - block(x)
    assert np.abs(moved[0, :, 0]).max() < 1e-6
    assert np.abs(moved[0, :, 2]).min(-1).max() == 0 or np.abs(moved[0, :, 2:]).max() > 1e-3


def test_a_window_of_all_tokens_is_not_shifted():
    made = Swin(7).taken(Uniform(None), 8, 2, 4, 1)
    assert (made.window, made.shift) == (4, 0)
    made = Swin(2).taken(Uniform(None), 8, 2, 4, 1)
    assert (made.window, made.shift) == (2, 1)
    with pytest.raises(ValueError, match="windows of 3 x 3 do not divide 4 x 4 tokens"):
        Swin(3).taken(Uniform(None), 8, 2, 4, 0)


def test_both_encoders_have_about_the_same_size():
    sizes = [
        count(shapes(HyPINO(blocks=blocks)).encoder.stages)
        for blocks in (Swin(4), ResidualConvolutions(3))
    ]
    assert 0.9 < sizes[0] / sizes[1] < 1.1, sizes


def test_the_square_of_a_bent_vector_is_the_loss_of_huber():
    x = jnp.array([-3.0, -1.0, -0.2, 0.0, 0.5, 4.0])
    huber = jnp.where(jnp.abs(x) <= 1, x**2 / 2, jnp.abs(x) - 0.5)
    np.testing.assert_allclose(bent(x) ** 2, 2 * huber, rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda z: bent(z) ** 2))(x)
    np.testing.assert_allclose(slope, 2 * jnp.clip(x, -1, 1), rtol=1e-6)


@pytest.fixture(scope="module")
def problems():
    pool = RandomCompositions(3.0).pool(jax.random.key(0), 8)
    return RandomLinearProblems(pool, size=8, points=12, boundary=12)


@pytest.fixture(scope="module")
def samples(problems):
    return drawn_problems(problems, jax.random.key(1), 3, 1.0)


@pytest.fixture(scope="module")
def trained(problems, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    return po.train(problems, TINY, steps=4, out=out, **OPTIONS), out


def test_a_size_follows_the_data(samples):
    sizes = sizes_of(samples)
    np.testing.assert_allclose(sizes_of(divided(samples, 0.01 / sizes)), 100 * sizes**2, rtol=1e-5)
    np.testing.assert_allclose(sizes_of(divided(samples, sizes)), 1.0, rtol=1e-5)
    nothing = eqx.tree_at(lambda s: s.images, samples, jnp.zeros_like(samples.images))
    np.testing.assert_array_equal(sizes_of(nothing), 1.0)


def test_answers_are_in_proportion_to_data(trained, samples):
    trained, _ = trained
    points = jnp.asarray(samples.points)
    once = trained.refined(samples, fitted=False).values(points)
    large = trained.refined(divided(samples, jnp.full(3, 1e-3)), fitted=False).values(points)
    np.testing.assert_allclose(large, 1e3 * once, rtol=1e-3, atol=1e-3 * np.abs(large).max())
    raw = trained.refined(samples, fitted=False, scaled=False).values(points)
    assert np.abs(raw - once).max() > 1e-3


def test_the_measure_of_a_fitted_refinement_never_grows(trained, samples):
    trained, _ = trained
    answer = trained.refined(samples, 3)
    assert answer.measures.shape == (4, 3) and answer.networks.biases[-1].shape == (4, 3, 1)
    assert np.all(np.diff(answer.measures, axis=0) <= 1e-9 * answer.measures[:-1])
    plain = trained.refined(samples, 3, fitted=False)
    assert np.all(answer.measures[-1] <= plain.measures[-1])


def test_a_refinement_solves_what_is_left(trained, samples):
    """The second network of a refinement answers the residual problem of the first one."""
    trained, _ = trained
    points = jnp.asarray(samples.points)
    answer = trained.refined(samples, 1, fitted=False)
    first = trained.refined(samples, 0, fitted=False)
    networks = jax.tree.map(lambda leaf: leaf[0], first.networks)

    def left(network, sample):
        feet = sample.nearest.reshape(-1, 2)
        grid = jnp.asarray(po.problem.pixels(8).reshape(-1, 2), jnp.float32)
        wall = streams(network, feet)
        flux = jnp.sum(wall[:, 1:3] * sample.nearest_normals.reshape(-1, 2), 1)
        found = jnp.stack([wall[:, 0], flux, streams(network, grid) @ sample.coefficients], -1)
        masks = jnp.concatenate([sample.images[..., :2], sample.inside[..., None]], -1)
        rest = (sample.images[..., 2:] - found.reshape(8, 8, 3)) * masks
        return jnp.concatenate([sample.images[..., :2], rest], -1)

    images = jax.vmap(left)(networks, samples)
    rest = eqx.tree_at(lambda s: s.images, samples, images)
    second = trained.refined(rest, 0, fitted=False)
    found = answer.values(points)
    wanted = first.values(points) + second.values(points)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_a_training_resumes_exactly(trained, problems, tmp_path):
    whole, _ = trained
    po.train(problems, TINY, steps=2, out=tmp_path / "b", **OPTIONS)
    again = po.train(problems, TINY, steps=4, out=tmp_path / "b", resume=True, **OPTIONS)
    for one, two in zip(*(jax.tree.leaves(t.params) for t in (whole, again)), strict=True):
        np.testing.assert_array_equal(one, two)
    assert whole.history[-1].terms.keys() >= {"residual", "curvature", "dirichlet", "neumann"}


def test_it_is_read_from_its_folder_and_from_one_file(trained, samples, tmp_path):
    trained, folder = trained
    error = trained.error(samples)
    assert po.load(folder).error(samples) == error
    file = trained.export(tmp_path / "weights.safetensors")
    assert po.load(file).error(samples) == error
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match="damaged"):
        po.load(file)


class Decay(po.Problem):
    """u_t = u_xx / 2 on [0, 2] x [0, 1], time before space, which is not the order of images."""

    domain = po.Box(t=(0, 1), x=(0, 2))
    unknowns = ("u",)

    def residual(self, u_t, u_xx):
        return u_t - 0.5 * u_xx

    def conditions(self):
        return (
            po.Dirichlet(0.0, on="x"),
            po.Initial(lambda x: jnp.sin(jnp.pi * x / 2)),
        )


@pytest.fixture(scope="module")
def answered(trained):
    return trained[0](Decay(), refine=1)


def test_a_problem_is_answered_in_its_own_coordinates(trained, answered):
    given = po.problem.encoded(Decay(), size=8)
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], given.samples)
    at = np.array([[0.1, 0.3], [0.9, 1.7], [0.5, 1.0]])
    square = jnp.asarray(given.square.to_square(at), jnp.float32)[None]
    wanted = trained[0].refined(batch, 1).values(square)[0]
    found = answered.values({"t": at[:, 0], "x": at[:, 1]})["u"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_a_training_goes_on_from_an_answer(answered, tmp_path):
    """All conditions are terms of the loss, since the network has been generated without them."""
    points = po.Collocation(interior=32, boundary=8, initial=8, refinement=None)
    options = {"points": points, "progress": False, "dtype": "float32"}
    options |= {"steps": 1, "optimizer": optax.sgd(1e-30), "out": tmp_path / "run"}
    solution = po.solve(Decay(), start=answered, **options)
    assert set(solution.history[-1].terms) == {"residual", "dirichlet u on x", "initial u"}
    at = {"t": np.array([0.2, 0.7]), "x": np.array([0.4, 1.1])}
    np.testing.assert_allclose(solution.values(at)["u"], answered.values(at)["u"], rtol=1e-5)
    again = po.load(tmp_path / "run", problem=Decay())
    np.testing.assert_array_equal(again.values(at)["u"], solution.values(at)["u"])


def test_the_command_line_answers_without_training(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_pretrained, "_FOLDER", tmp_path)
    trained[0].export(tmp_path / "hypino.safetensors")
    line = ["solve", "heat", "--method", "hypino", "--refine", "1", "--json"]
    assert cli.run([*line, "--out", str(tmp_path / "run")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["status"]) == (0, "generated")
    heat = po.load_problem("heat")
    error = trained[0](heat, refine=1).error()
    assert po.load(tmp_path / "run").error() == error == found["errors"]
    assert cli.run([*line, "--ensemble", "2"]) == 2
    assert "--ensemble is not for the network that hypino generates" in capsys.readouterr().err
    assert cli.run([*line, "--target", "0.1"]) == 2
    assert "--target is for a training; give --steps" in capsys.readouterr().err
    polished = [*line, "--steps", "3", "--points", "Collocation(interior=64)", "--seed", "0"]
    assert cli.run([*polished, "--out", str(tmp_path / "polished")]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3
    assert cli.run(["solve", "heat", "--refine", "3"]) == 2
    assert "--refine is for trained models" in capsys.readouterr().err
    assert cli.run(["solve", "burgers", *line[2:]]) == 2
    assert "linear" in capsys.readouterr().err
    with pytest.raises(ValueError, match="name must be one of hypino, got 'hypno'"):
        po.pretrained("hypno")


def test_the_model_that_comes_with_pinops():
    file = Path(po.__file__).parent / "weights" / "hypino.safetensors"
    assert file.stat().st_size < 20e6
    problem = po.load_problem("poisson_disks")
    rough, fine = (po.pretrained()(problem, refine=rounds) for rounds in (0, 3))
    errors = [solution.error()["u"]["mean"] for solution in (rough, fine)]
    assert errors[1] < errors[0] < 0.6 and errors[1] < 0.2, errors


def test_what_does_not_fit_is_refused(trained, problems, samples):
    trained, _ = trained
    with pytest.raises(ValueError, match="its images have 32 rows and those of the problems 8"):
        po.train(problems, HyPINO(), **OPTIONS)
    with pytest.raises(ValueError, match="HyPINO\\(\\) learns from random linear problems"):
        po.train(problems, po.operators.DeepONet())
    with pytest.raises(ValueError, match="HyPINO\\(\\) learns from random linear problems"):
        po.train("darcy_family", HyPINO())
    with pytest.raises(ValueError, match="physics is not for HyPINO"):
        po.train(problems, TINY, physics=1.0)
    with pytest.raises(ValueError, match="width must be a multiple of 4, got 6"):
        HyPINO(width=6)
    with pytest.raises(ValueError, match="3 heads do not divide the 64 channels of stage 1"):
        HyPINO(heads=(3, 4))
    with pytest.raises(ValueError, match="every stage needs depths and heads"):
        HyPINO(heads=(2,))
    with pytest.raises(ValueError, match="rounds must be a whole number from 0"):
        trained.refined(samples, -1)
    with pytest.raises(ValueError, match="compared with exact solutions"):
        trained.error()
    with pytest.raises(ValueError, match="export its weights as .safetensors"):
        trained.export("a.stablehlo")
    with pytest.raises(ValueError, match="linear"):
        trained(po.load_problem("burgers"))


def test_the_encoder_may_compute_in_bfloat16(trained, samples):
    model, params = trained[0].model, trained[0].params
    made = jax.jit(
        lambda params: [
            one.networks(params, samples)
            for one in (model, replace(model, compute_dtype="bfloat16"))
        ]
    )
    whole, narrow = made(params)
    pairs = list(zip(jax.tree.leaves(whole), jax.tree.leaves(narrow), strict=True))
    assert all(leaf.dtype == np.float32 for _, leaf in pairs)
    assert 1e-5 < max(np.abs(one - two).max() for one, two in pairs) < 0.1
