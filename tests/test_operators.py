"""Families, operators and data: the front door `train`, its files, and published weights."""

import dataclasses
import functools
import json
from pathlib import Path

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import DataFileError, Dataset, generate, problems, solved
from pinops.derivatives import Plan, add, derivatives_of, elementwise, linear
from pinops.functions import GaussianProcess, PeriodicGaussianField, fourier_series, interpolate
from pinops.networks import (
    MLP,
    Convolutional,
    ConvolutionalNetwork,
    FourierFeatures,
    Frozen,
    ImageEncoder,
    JetNetwork,
    MLPNetwork,
    ModifiedMLP,
    VectorEncoder,
)
from pinops.operators import DeepONet, DeepONetwork, PODDeepONet
from pinops.optimizers import GaussNewton, SSBroyden
from pinops.problem import INTERIOR, impose, sample_members, unstacked
from pinops.reference import grid_values
from pinops.reference._heated_plate import solve_plate
from pinops.solvers._operator_plan import built_operator, family_scales, fitted
from pinops.training import Draw, Members, Training, evaluate_members

FAMILIES = ["antiderivative", "diffusion_reaction", "burgers_family", "advection_family"]
SMALL = DeepONet(MLP(16, 2), MLP(16, 2), 12)
FEW = po.Functions(
    pool=64, batch=16, points=po.Collocation(interior=64, batch=32, refinement=None, every=40)
)
KEY = jax.random.key(0)
REFDATA = Path(__file__).parents[2] / "shared" / "refdata" / "deeponet"
needs_refdata = pytest.mark.skipif(
    not REFDATA.exists(), reason="the reference data (../shared/refdata) are not here"
)


def model_of(problem, operator=SMALL, physics=True):
    shapes = {name: np.shape(array) for name, array in problem.inputs().items()}
    inputs = {
        "mean": {name: np.zeros(shape) for name, shape in shapes.items()},
        "deviation": {name: np.ones(shape) for name, shape in shapes.items()},
    }
    request = {
        "inputs": inputs,
        "scale": dict.fromkeys(problem.unknowns, 1.0),
        "scales": family_scales(problem, None),
        "physics": physics,
        "problem": "test",
    }
    return built_operator(
        problem, operator, request | {"seed": 0, "dtype": str(jnp.result_type(float))}
    )


# Functions


def test_a_gaussian_process_has_its_covariance(float64):
    nodes = np.linspace(0, 1, 20)
    process = GaussianProcess(0.3, 2.0)
    samples = jax.vmap(lambda key: process.sample(key, nodes))(jax.random.split(KEY, 20_000))
    wanted = 4 * np.exp(-0.5 * ((nodes[:, None] - nodes) / 0.3) ** 2)
    np.testing.assert_allclose(np.cov(samples.T), wanted, atol=0.15)
    with pytest.raises(ValueError, match="length must be a finite number greater than 0, got 0"):
        GaussianProcess(0)
    with pytest.raises(
        ValueError, match="length must be a finite number greater than 0, got 'abc'"
    ):
        po.load_problem("antiderivative", length="abc")


def test_interpolation_is_exact_for_cubics_and_of_fourth_order(float64):
    def cubic(x):
        return 1 - 2 * x + 3 * x**2 - x**3

    x = jnp.linspace(-1, 2, 2003)

    def read(values):
        return jax.vmap(lambda x: interpolate(jnp.asarray(values), x, (-1.0, 2.0)))(x)

    np.testing.assert_allclose(read(cubic(np.linspace(-1, 2, 9))), cubic(x), atol=1e-13)
    errors = [np.abs(read(np.sin(np.linspace(-1, 2, n))) - np.sin(x)).max() for n in (31, 61, 121)]
    assert 3.7 < np.log2(errors[0] / errors[1]) < 4.3 and 3.7 < np.log2(errors[1] / errors[2]) < 4.3
    values = np.sin(np.linspace(-1, 2, 9))
    np.testing.assert_allclose(
        read(values), grid_values(values, np.asarray(x), (-1.0, 2.0)), atol=1e-14
    )
    with pytest.raises(
        ValueError, match=r"values must be at least four in one dimension, got shape \(3,\)"
    ):
        interpolate(jnp.zeros(3), jnp.zeros(()), (0.0, 1.0))


def test_a_fourier_series_is_its_sum_and_a_random_one_has_its_deviation(float64):
    coefficients = jnp.asarray([[1.0, 0.0, 0.5], [0.0, 2.0, 0.0]])
    x = 0.3
    z = 2 * np.pi * (x - 1) / 2
    found = fourier_series(coefficients, jnp.asarray(x), (1.0, 3.0))
    assert found == pytest.approx(np.cos(z) + 2 * np.sin(2 * z) + 0.5 * np.cos(3 * z), abs=1e-14)
    field = PeriodicGaussianField(np.asarray([1.0, 0.1]))
    samples = np.asarray(jax.vmap(field.sample)(jax.random.split(KEY, 5000)))
    np.testing.assert_allclose(samples.std(0), [[1.0, 0.1]] * 2, rtol=0.05)


# Families


@pytest.mark.parametrize("name", FAMILIES)
def test_members_of_a_family_are_problems(name, float64):
    """Different for different keys, the same for the same one, with a reference, and conditions
    that are met exactly.
    """
    family = po.load_problem(name)
    one, again, other = (family.sample(jax.random.key(k)) for k in (1, 1, 2))
    for input_, array in family.inputs().items():
        mine = [np.asarray(member.inputs()[input_]) for member in (one, again, other)]
        assert np.array_equal(mine[0], mine[1]) and not np.allclose(mine[0], mine[2])
        assert mine[0].shape == np.shape(array)
    assert not impose(one).soft
    reference = one.reference()
    assert reference.error_bar["u"] < 1e-5


def test_the_polynomials_of_the_fisher_family_are_its_reactions(float64):
    """Exactly, but for zeldovich's exponential: to second order of exp(b u)."""
    u = jnp.linspace(0, 0.05, 6)
    for number in range(4):
        member = po.load_problem(
            "fisher_family", mixture=np.eye(4)[number], rate=0.7, steepness=1.3
        )
        powers = jnp.stack([u, u**2, u**3, u**4])
        np.testing.assert_allclose(
            member.polynomial() @ powers, member.reaction(u), atol=3e-6 if number == 2 else 1e-15
        )


def test_the_reference_without_flux_follows_the_logistic_curve():
    """Without diffusion every point is on its own."""
    x, t, g = np.linspace(0, 1, 9), np.linspace(0, 1, 5), lambda x: 0.5 + 0.2 * np.cos(np.pi * x)
    found = po.reference.no_flux_reaction(
        x, t, diffusivity=0.0, reaction=lambda u: u * (1 - u), initial=g
    ).values["u"]
    wanted = g(x)[:, None] / (g(x)[:, None] + (1 - g(x)[:, None]) * np.exp(-t))
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    decay = po.reference.no_flux_reaction(x, t, diffusivity=0.1, reaction=np.zeros_like, initial=g)
    np.testing.assert_allclose(
        decay.values["u"],
        0.5 + 0.2 * np.cos(np.pi * x)[:, None] * np.exp(-0.1 * np.pi**2 * t),
        atol=1e-12,
    )


@needs_refdata
def test_advection_by_characteristics_agrees_with_third_party_solutions():
    stored = np.load(REFDATA / "pi_deeponet" / "advection_test_20_characteristics.npz")
    for speed, wanted in zip(stored["a_sensors"][:5], stored["u_tx"][:5], strict=True):
        found = po.reference.characteristics(
            speed,
            (0.0, 1.0),
            np.linspace(0, 1, 100),
            initial=lambda x: np.sin(np.pi * x),
            inflow=lambda t: np.sin(np.pi * t / 2),
        )
        np.testing.assert_allclose(found.values["u"].T, wanted, atol=1e-4)


# The operator


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_of_members_is_every_member_alone(name, float64):
    """Residuals of the batch, where the trunk is computed once, equal those of a network for each
    member.
    """
    family = po.load_problem(name)
    model, params = model_of(family)
    problems = sample_members(model.problem, KEY, range(3))
    points = Draw(FEW).drawn(model, params, KEY, None).points
    together = model.residuals(params, Members(problems, points, {}))
    for k in range(3):
        one = jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], problems)
        alone = model.residuals(params, Members(one, points, {}))
        for name_, term in together.items():
            np.testing.assert_allclose(
                term.vector.reshape(3, -1)[k], alone[name_].vector, rtol=1e-10, atol=1e-11
            )


def test_the_trunk_is_computed_once_for_all_members():
    """Matrix products with the points do not grow in number or size with the members, but for the
    last.
    """
    model, params = model_of(po.load_problem("diffusion_reaction"))

    def flops(members):
        problems = sample_members(model.problem, KEY, range(members))
        points = Draw(FEW).drawn(model, params, KEY, None).points
        compiled = (
            jax.jit(lambda params: model.residuals(params, Members(problems, points, {})))
            .lower(params)
            .compile()
        )
        return compiled.cost_analysis()["flops"]

    assert flops(64) < 12 * flops(1)


@pytest.mark.slow
def test_the_jacobian_of_an_operator_is_that_of_its_residual_vector(float64):
    family = po.load_problem("burgers_family")
    model, params = model_of(family)
    draw = Draw(FEW)
    members = draw.representative(draw.drawn(model, params, KEY, None))
    weights = {"residual": jnp.ones(1)}
    objective = model.objective(members, weights)
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    vector, rows = objective.jacobian(params)
    np.testing.assert_allclose(vector, objective.residuals(params), rtol=1e-10)
    direction = jax.random.normal(KEY, flat.shape)
    _, wanted = jax.jvp(lambda flat: objective.residuals(unravel(flat)), (flat,), (direction,))
    np.testing.assert_allclose(rows @ direction, wanted, rtol=1e-8, atol=1e-10)
    value, gradient = objective(params)
    np.testing.assert_allclose(value, vector @ vector, rtol=1e-10)
    np.testing.assert_allclose(
        jax.flatten_util.ravel_pytree(gradient)[0], 2 * rows.T @ vector, rtol=1e-8, atol=1e-9
    )


def test_another_number_of_sensors_is_refused():
    model, params = model_of(po.load_problem("antiderivative"))
    with pytest.raises(
        ValueError, match=r"built for inputs source \(100,\), got source \(50,\); give the same"
    ):
        model.operator(params)({"source": jnp.zeros(50)})
    with pytest.raises(ValueError, match=r"built for inputs source \(100,\), got speed \(100,\)"):
        model.operator(params)({"speed": jnp.zeros(100)})
    with pytest.raises(ValueError, match="branch must be an encoder such as"):
        DeepONet(branch=3)
    with pytest.raises(ValueError, match="latent must be a whole number"):
        DeepONet(latent=0)


# Published weights: our networks and generators against those of Wang, Wang & Perdikaris (2021)


def published(name, branch, trunk):
    """A DeepONet of modified perceptrons with the weights of a flat vector, and the number of its
    parameters.
    """
    flat = np.load(REFDATA / "pi_deeponet" / name)
    used = 0

    def take(*shape):
        nonlocal used
        used += int(np.prod(shape))
        return jnp.asarray(flat[used - int(np.prod(shape)) : used].reshape(shape))

    def net(sizes):
        network = ModifiedMLP(sizes[1], len(sizes) - 2).build(sizes[0], sizes[-1], key=KEY)
        layers = [(take(i, o), take(o)) for i, o in zip(sizes, sizes[1:], strict=False)]
        encoders = [(take(sizes[0], sizes[1]), take(sizes[1])) for _ in range(2)]

        def where(n):
            return [m for d in (*n.layers, n.last, *n.encoders) for m in (d.weight, d.bias)]

        return eqx.tree_at(
            where, network, [array for pair in (*layers, *encoders) for array in pair]
        )

    nets = net(branch), net(trunk)
    assert used == flat.size
    return nets


@needs_refdata
@pytest.mark.parametrize(
    ("name", "test", "inputs", "values", "branch", "trunk", "time_first", "low", "high"),
    [
        (
            "burger_modified_MLP_lam_20_params.npy",
            "burgers_test_20_spectral.npz",
            "u0_sensors",
            "u",
            [101] + [100] * 7,
            [2] + [100] * 7,
            True,
            0.007,
            0.02,
        ),
        (
            "advection_adv_params.npy",
            "advection_test_20_characteristics.npz",
            "a_sensors",
            "u_tx",
            [100] + [100] * 6,
            [2] + [100] * 6,
            False,
            0.017,
            0.028,
        ),
    ],
    ids=["burgers", "advection"],
)
def test_published_weights_solve_the_published_problem(
    name, test, inputs, values, branch, trunk, time_first, low, high
):
    """Their error on the stored tests is what is published: our modified perceptron and our
    Cartesian product are theirs.
    """
    branch_net, trunk_net = published(name, branch, trunk)
    stored = np.load(REFDATA / "pi_deeponet" / test)
    t, x = np.linspace(0, 1, stored[values].shape[1]), np.linspace(0, 1, stored[values].shape[2])
    grid = np.stack(np.meshgrid(t, x, indexing="ij"), -1).reshape(-1, 2)
    basis = trunk_net.jet(
        {(): jnp.asarray(grid if time_first else grid[:, ::-1], jnp.float32)}, Plan()
    )[()]
    found = jax.vmap(branch_net)(jnp.asarray(stored[inputs], jnp.float32)) @ basis.T
    wanted = stored[values].reshape(len(found), -1)
    errors = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert low < errors.mean() < high


@needs_refdata
@pytest.mark.parametrize(
    ("name", "file", "branch", "trunk", "time_first", "low", "high"),
    [
        (
            "burgers_family",
            "burger_modified_MLP_lam_20_params.npy",
            [101] + [100] * 7,
            [2] + [100] * 7,
            True,
            0.010,
            0.016,
        ),
        (
            "advection_family",
            "advection_adv_params.npy",
            [100] + [100] * 6,
            [2] + [100] * 6,
            False,
            0.017,
            0.027,
        ),
    ],
)
def test_published_weights_certify_our_generators(
    name, file, branch, trunk, time_first, low, high, float64
):
    """The published operators have the published error on members that our families draw and our
    solvers solve.
    """
    branch_net, trunk_net = jax.tree.map(
        lambda x: jnp.asarray(x, float), published(file, branch, trunk)
    )
    members = unstacked(sample_members(po.load_problem(name), KEY, range(40)), 40)
    references = [member.reference() for member in members]
    x, t = np.broadcast_arrays(references[0].coordinates["x"], references[0].coordinates["t"])
    grid = np.stack([t, x] if time_first else [x, t], -1).reshape(-1, 2)
    basis = trunk_net.jet({(): jnp.asarray(grid)}, Plan())[()]
    found = (
        jax.vmap(branch_net)(
            jnp.asarray([np.asarray(next(iter(m.inputs().values()))) for m in members])
        )
        @ basis.T
    )
    wanted = np.stack([reference.values["u"].ravel() for reference in references])
    found = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert low < np.mean(found) < high


# Published weights: the three networks of the multi-task DeepONet, run as ours


def released(name):
    """The weights and the forward passes of one of its checkpoints, in the precision in force."""
    stored = {
        kind: np.load(REFDATA / f"{name}_{file}.npz")
        for kind, file in (("weights", WEIGHTS[name]), ("passes", PASSES))
    }

    def take(key):
        return jnp.asarray(stored["weights"][key], float)

    def dense(layer):
        return (take(f"{layer}.kernel"), take(f"{layer}.bias"))

    return take, dense, stored["passes"], sum(array.size for array in stored["weights"].values())


WEIGHTS, PASSES = (
    {"fisher": "weights", "darcy": "source_weights", "plate3d": "weights"},
    "golden_forward",
)
leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)


def perceptron(layers, activation):
    weights, biases = zip(*layers, strict=True)
    return MLPNetwork(list(weights), list(biases), activation)


def operator_of(branch, trunk, inputs):
    """Our DeepONet of given networks, which sees inputs of this shape as they are."""
    encoder = (ImageEncoder if np.ndim(inputs) else VectorEncoder)(("seen",), branch)
    centre, deviation = Frozen({"seen": jnp.zeros(inputs)}), Frozen({"seen": jnp.ones(inputs)})
    return DeepONetwork(encoder, trunk, centre, deviation, 1)


def solutions(operator, inputs, points):
    return jax.vmap(lambda one: operator({"seen": one}).jet({(): points}, Plan())[()][:, 0])(inputs)


@needs_refdata
def test_the_released_fisher_weights_give_their_forward_pass(float64):
    take, dense, passes, count = released("fisher")

    def branch(x):
        for k in (1, 2):
            weight, bias = dense(f"br1_l{k}")
            x = x @ weight + bias
            x = (x - x.mean()) / jnp.sqrt(x.var() + 1e-3) * take(f"norm_br1_l{k}.gamma") + take(
                f"norm_br1_l{k}.beta"
            )
            x = leaky(x)
        weight, bias = dense("br1_l3")
        return x @ weight + bias

    operator = operator_of(
        branch, perceptron([dense(f"trk_l{k}") for k in (1, 2, 3, 4)], leaky), 68
    )
    points = jnp.stack(
        [grid.ravel() for grid in jnp.meshgrid(passes["t"], passes["x"], indexing="ij")], -1
    )
    inputs = jnp.concatenate([passes["coef"], passes["ic_normalised"]], 1)
    wanted = passes["out_normalised"].reshape(len(inputs), -1)
    assert count == 136_664
    np.testing.assert_allclose(solutions(operator, inputs, points), wanted, atol=1e-8)


@needs_refdata
def test_the_released_darcy_weights_give_their_forward_pass():
    _, dense, passes, count = released("darcy")
    convolutions = [dense(f"br_l{k}") for k in (1, 3, 5, 7)]
    head = perceptron([dense(f"br_l{k}") for k in (12, 13, 14)], jnp.tanh)
    branch = ConvolutionalNetwork(
        [kernel for kernel, _ in convolutions], [bias for _, bias in convolutions], head
    )
    trunk = perceptron([dense(f"trk_l{k}") for k in range(1, 6)], leaky)
    rows = [0, 4, 8]
    images = jnp.stack(
        [jnp.asarray(passes[name][rows], jnp.float32) for name in ("log_k_normalised", "mask")], -1
    )
    line = jnp.linspace(-1, 1, 100)
    y, x = jnp.meshgrid(line, line, indexing="ij")
    found = solutions(
        operator_of(branch, trunk, (100, 100, 2)), images, jnp.stack([x.ravel(), y.ravel()], -1)
    )
    found = passes["mask"][rows] * np.asarray(found).reshape(-1, 100, 100) / 10
    built = Convolutional((16, 32, 64, 64)).build({"seen": (100, 100, 2)}, 150, key=KEY)
    assert count == 559_164 == sum(leaf.size for leaf in jax.tree.leaves((built, trunk)))
    np.testing.assert_allclose(found, passes["u_net"][rows], atol=1e-4)


@needs_refdata
def test_the_released_plate_weights_give_their_forward_pass(float64):
    take, dense, passes, count = released("plate3d")

    def normalised(layer, norm):
        """A dense layer with the statistics of its batches folded in."""
        weight, bias = dense(layer)
        scale = take(f"{norm}.gamma") / jnp.sqrt(take(f"{norm}.moving_variance") + 1e-3)
        return weight * scale[None], (bias - take(f"{norm}.moving_mean")) * scale + take(
            f"{norm}.beta"
        )

    def branch(x):
        for k in (1, 2, 3, 4):
            weight, bias = normalised(f"br1_l{k}", f"br1_norm{k}")
            x = jax.nn.swish(x @ weight + bias)
        weight, bias = dense("br1_l7")
        return jax.nn.selu(x @ weight + bias)

    class Residual(JetNetwork):
        def jet(self, features, plan):
            swish, before = derivatives_of(jax.nn.swish), []
            for k in range(1, 10):
                here = elementwise(
                    swish, linear(features, *normalised(f"trk1_l{k}", f"batchnorm_trk1_l{k}")), plan
                )
                if k > 2:
                    here = add(here, linear(before[-2], *dense(f"trk1_proj_lyr{k - 2}")))
                before.append(features := here)
            return linear(features, *dense("trk1_l10"))

    found = solutions(
        operator_of(branch, Residual(), 2),
        jnp.asarray(passes["params_normalised"]),
        jnp.asarray(passes["points"]),
    )
    assert count == 240_880
    np.testing.assert_allclose(found, passes["T_normalised"], atol=1e-8)


# Shapes


@pytest.mark.parametrize(
    ("shape", "peak", "tolerance"),
    [(0, 0.0736713, 5e-4), (1, 0.0625, 1e-12), (2, 1 / 36, 1e-3), (3, 0.0117640, 1e-2)],
)
def test_darcy_flow_without_contrast_is_the_torsion_of_a_bar(shape, peak, tolerance):
    """Prandtl's stress functions: the series of the square, 1/16 of the squared diameter, 1/36 of
    the squared side.
    """
    member = po.load_problem("darcy_family", shape=np.eye(4)[shape])
    reference = member.reference()
    assert np.nanmax(reference.values["u"]) == pytest.approx(peak, rel=tolerance)
    x, y = reference.coordinates["x"], reference.coordinates["y"]
    np.testing.assert_array_equal(np.isnan(reference.values["u"]), member.level(x, y, np) < -1e-12)


def test_the_reference_of_darcy_flow_converges_with_second_order():
    """Also at an oblique and curved boundary and where the medium varies."""

    def level(x, y):
        return 1 - 4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)

    def medium(x, y):
        return np.sin(3 * x + 2 * y)

    found = [
        po.reference.darcy(medium, level, nodes=9, refine=refine).values["u"]
        for refine in (2, 4, 8, 32)
    ]
    errors = [np.nanmax(np.abs(u - found[-1])) for u in found[:-1]]
    assert errors[0] / errors[2] > 10


def test_members_of_the_darcy_family_meet_their_equation_and_vanish_on_their_boundary(float64):
    family = po.load_problem("darcy_family")
    for key, shape in ((1, "disc"), (2, "triangle")):
        member = dataclasses.replace(family, task=shape).sample(jax.random.key(key))
        assert member.inputs()["medium"].shape == (33, 33, 2)
        reference = member.reference()
        assert reference.error_bar["u"] < 4e-3
        corner = {"disc": (0.5 + 0.3, 0.5 + 0.4), "triangle": (0.25, 0.25 * 3**0.5)}[shape]
        assert abs(float(member.factor(*corner))) < 1e-12
    spread = jax.vmap(lambda key: family.sample(key).medium)(jax.random.split(KEY, 400)).std(0)
    np.testing.assert_allclose(spread, 0.58, atol=0.1)
    with pytest.raises(
        ValueError,
        match="task must be one of all, square, disc, triangle, right_triangle, got 'cross'",
    ):
        po.load_problem("darcy_family", task="cross")


def test_the_heated_plate_loses_what_it_receives():
    """And its error bar covers the distance to a computation on twice as many cells."""
    _, _, lost = solve_plate(3, 1.1, 48, 10)
    assert lost < 1e-9
    reference = po.reference.heated_plate(3, 1.1, cells=24, layers=5)
    finer = po.reference.heated_plate(3, 1.1, cells=48, layers=10).values["u"]
    mean = finer.reshape(24, 2, 24, 2, 5, 2).mean((1, 3, 5))
    both = np.isfinite(mean) & np.isfinite(reference.values["u"])
    error = np.linalg.norm((mean - reference.values["u"])[both]) / np.linalg.norm(mean[both])
    assert error < reference.error_bar["u"] < 2e-2


@pytest.mark.parametrize(("holes", "position"), [(2, 0.9), (5, 1.2), (9, 1.6)])
def test_members_of_the_plate_family_know_where_the_plate_is(holes, position):
    member = po.load_problem("plate_family", holes=holes, position=position)
    reference = member.reference()
    grids = np.broadcast_arrays(*reference.coordinates.values())
    there = np.isfinite(reference.values["u"])
    inside = np.asarray(member.inside(*grids))
    assert (
        np.all(inside[there]) and 0.85 < there.sum() / inside.sum() < 1
    )  # but for cells that a wall cuts


def test_designs_of_plates_are_those_of_the_table(float64):
    found = {
        name: {
            float(po.load_problem("plate_family", designs=name).sample(jax.random.key(k)).position)
            for k in range(40)
        }
        for name in ("table", "unseen", "any")
    }
    assert found["table"] == {0.9, 1.2, 1.6} and found["unseen"] == {1.0, 1.1, 1.3, 1.4, 1.5}
    assert found["any"] == found["table"] | found["unseen"]
    with pytest.raises(ValueError, match="designs must be one of table, unseen, any, got 'all'"):
        po.load_problem("plate_family", designs="all")


def test_impossible_plates_and_operators_are_one_sentence():
    for holes, position in ((9, 0.4), (3, 1.95), (2.5, 1.2)):
        with pytest.raises(
            ValueError, match="cannot be: their number must be whole, and they must not overlap"
        ):
            po.load_problem("plate_family", holes=holes, position=position).reference()
    with pytest.raises(
        ValueError, match="layers must be a multiple of 5, so that the boss has whole ones, got 8"
    ):
        po.reference.heated_plate(3, 1.1, layers=8)
    with pytest.raises(
        ValueError,
        match="the equation of plate_family alone has many solutions, and it has no conditions",
    ):
        po.train("plate_family", SMALL, steps=1)
    with pytest.raises(ValueError, match="EikonalFamily has no condition but its factor"):
        po.manufacture(po.load_problem("eikonal_family"), lambda x, y: x)
    stacked = "DeepONet(Stacked(MLP(8, 2)))"  # a branch for vectors
    assert cli.run(["train", "darcy_family", "--operator", stacked]) == 2


@pytest.mark.slow
def test_what_a_network_keeps_fixed_is_that_of_the_run_it_started_from(tmp_path):
    """Also with another seed and precision; and what cannot be read again says so."""
    features = FourierFeatures(MLP(6, 1), 2.0, 3)
    few = po.Functions(
        pool=64, batch=8, points=po.Collocation(interior=64, batch=32, refinement=None)
    )
    options = {"steps": 2, "functions": few, "progress": False}
    first = po.train(
        "antiderivative", DeepONet(MLP(6, 1), features, latent=4), dtype="float64", **options
    )
    then = po.train("antiderivative", start=first, seed=4, out=tmp_path / "run", **options)
    member = po.load_problem("antiderivative")
    assert po.load(tmp_path / "run")(member)(x=0.3) == then(member)(x=0.3)
    po.solve(member, start=then(member), steps=2, out=tmp_path / "refined", progress=False)
    with pytest.raises(ValueError, match="was made by an operator and is not kept with it"):
        po.load(tmp_path / "refined")
    with pytest.raises(
        ValueError,
        match="start is an operator of 1 features of the coordinates; diffusion_reaction has 2",
    ):
        po.train("diffusion_reaction", start=first, **options)
    solution = po.solve(member, network=features, steps=2, progress=False)
    with pytest.raises(ValueError, match="start must be a trained operator, got a Solution"):
        po.train("antiderivative", start=solution, **options)
    again = po.solve(
        member,
        start=solution,
        seed=7,
        dtype="float32",
        steps=2,
        out=tmp_path / "solution",
        progress=False,
    )
    assert po.load(tmp_path / "solution")(x=0.3) == again(x=0.3)


def test_a_branch_must_suit_the_inputs():
    with pytest.raises(
        ValueError,
        match=r"DeepONet: the input medium is an image of shape \(33, 33, 2\), which MLP does not "
        "take; "
        "choose Convolutional as branch",
    ):
        po.train("darcy_family", SMALL, steps=1)
    with pytest.raises(
        ValueError, match=r"the input source is of shape \(100,\), not an image .*; choose MLP as"
    ):
        po.train("antiderivative", DeepONet(Convolutional()), steps=1)
    with pytest.raises(ValueError, match=r"3 means over 2 x 2 points leave nothing of \(4, 9\)"):
        Convolutional().build({"medium": (4, 9, 1)}, 3, key=KEY)


# Training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("operator") / "run"
    options = {
        "functions": FEW,
        "steps": 400,
        "optimizer": po.optimizers.Adam(5e-3, 400),
        "progress": False,
    }
    return po.train("antiderivative", SMALL, out=out, **options), out


def test_training_solves_unseen_members(trained):
    operator, _ = trained
    assert operator.history[-1].loss < 0.5 * operator.history[0].loss
    error = operator.error(10)["u"]
    assert error["mean"] < 0.5 and error["worst"] >= error["mean"] > 0
    member = operator.test_members(1)[0]
    solution = operator(member)
    assert solution(x=0.0) == 0.0  # the condition is exact
    assert solution.error()["u"]["mean"] == pytest.approx(
        operator.errors([member])["u"][0], rel=1e-5
    )
    np.testing.assert_allclose(
        solution.partial("u_x", x=0.5),
        (solution(x=0.51) - solution(x=0.49)) / 0.02,
        rtol=0.05,
        atol=0.05,
    )


def test_a_solution_of_the_operator_is_a_start_for_solve(trained):
    operator, _ = trained
    member = operator.test_members(1)[0]
    before = operator(member)
    after = po.solve(
        member,
        start=before,
        steps=100,
        progress=False,
        dtype="float64",
        points=po.Collocation(interior=256),
    )
    assert after.error()["u"]["mean"] < 0.1 * before.error()["u"]["mean"]


def test_an_operator_goes_on_with_some_of_its_layers(trained, tmp_path):
    operator, _ = trained
    rougher = po.load_problem("antiderivative", length=0.15)

    def last(params):
        return params.network.trunk.weights[-1]

    options = {"functions": FEW, "progress": False, "steps": 60, "out": tmp_path / "run"}
    tuned = po.train(
        rougher,
        start=operator,
        optimizer=po.optimizers.Only(po.optimizers.Adam(2e-3), last),
        **options,
    )
    before, after = operator.params.network, tuned.params.network
    np.testing.assert_array_equal(after.trunk.weights[0], before.trunk.weights[0])
    assert not np.array_equal(last(tuned.params), last(operator.params))
    assert tuned.history[0].loss < operator.history[0].loss
    again = po.load(tmp_path / "run")
    member = tuned.test_members(1)[0]
    np.testing.assert_array_equal(again(member)(x=0.3), tuned(member)(x=0.3))
    with pytest.raises(ValueError, match="start and an architecture exclude each other"):
        po.train(rougher, SMALL, start=operator, steps=1)
    with pytest.raises(
        ValueError,
        match="start is an operator of 1 features of the coordinates; burgers_family has 3",
    ):
        po.train("burgers_family", start=operator, steps=1)


def test_a_run_is_read_again_and_resumed_bit_for_bit(trained, tmp_path):
    operator, out = trained
    again = po.load(out)
    member = operator.test_members(1)[0]
    np.testing.assert_array_equal(
        again(member)(x=np.linspace(0, 1, 7)), operator(member)(x=np.linspace(0, 1, 7))
    )
    content = json.loads((out / "run.json").read_text())
    assert content["result"]["relative_l2"]["u"] == pytest.approx(operator.error()["u"]["mean"])
    options = {
        "functions": FEW,
        "optimizer": po.optimizers.Adam(5e-3, 400),
        "progress": False,
        "out": tmp_path / "run",
    }
    po.train("antiderivative", SMALL, steps=130, **options)
    resumed = po.train("antiderivative", SMALL, steps=400, resume=True, **options)
    assert resumed.history[-1].loss == operator.history[-1].loss
    default = {"functions": FEW, "progress": False, "out": tmp_path / "default"}
    po.train("antiderivative", SMALL, steps=2, **default)
    with pytest.raises(
        ValueError, match="falls to zero over its 2 steps; resume it with that number"
    ):
        po.train("antiderivative", SMALL, steps=4, resume=True, **default)
    with pytest.raises(ValueError, match="holds a run with seed = 0, not 1"):
        po.train("antiderivative", SMALL, steps=400, seed=1, resume=True, **options)


def test_gauss_newton_trains_an_operator():
    """In sample space: fewer residuals than parameters, new ones in every step."""
    options = {"functions": FEW, "steps": 40, "progress": False, "dtype": "float64"}
    newton = po.train("antiderivative", SMALL, optimizer=GaussNewton(1e-2), **options)
    adam = po.train("antiderivative", SMALL, optimizer=po.optimizers.Adam(5e-3), **options)
    # Since residuals are in units of their size, Adam is better here than it was: 0.5 before.
    assert newton.error(5)["u"]["mean"] < 0.7 * adam.error(5)["u"]["mean"]


def test_what_cannot_be_meant_is_refused():
    family = po.load_problem("antiderivative")
    few = {"functions": FEW, "steps": 1, "progress": False}
    with pytest.raises(ValueError, match=r"Burgers is no family: it has no sample\(key\)"):
        po.train("burgers", SMALL, **few)
    with pytest.raises(ValueError, match="there is nothing to train on"):
        po.train(family, SMALL, physics=False, **few)
    with pytest.raises(ValueError, match="SSBroyden needs the same loss in every step"):
        po.train(family, SMALL, optimizer=SSBroyden(), **few)
    with pytest.raises(ValueError, match="batch must be at most the 4 problems of the pool, got 5"):
        po.Functions(pool=4, batch=5)
    with pytest.raises(ValueError, match="pool must be a whole number from 1 to"):
        po.Functions(pool=0)
    with pytest.raises(ValueError, match="Causal weighs single points"):
        po.train(family, SMALL, weighting=po.losses.Causal(), **few)
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to"):
        po.train(family, SMALL, **few | {"steps": -5})
    with pytest.raises(ValueError, match="which cannot follow a residual"):
        po.Functions(points=po.Collocation())
    with pytest.raises(ValueError, match=r"initial must have 64 values, got shape \(\)"):
        po.load_problem("fisher_family", initial=2)
    with pytest.raises(ValueError, match=r"mixture must have 4 values, got shape \(2,\)"):
        po.load_problem("fisher_family", mixture=[1.0, 0.0])
    with pytest.raises(ValueError, match="this operator solves Antiderivative, not Burgers"):
        model, params = model_of(family)
        po.TrainedOperator(
            family=family,
            request={"dtype": "float32"},
            model=model,
            params=params,
            history=[],
            status="",
        )(po.load_problem("burgers"))


# Data


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return generate(
        po.load_problem("diffusion_reaction"),
        tmp_path_factory.mktemp("data") / "data.h5",
        count=110,
        seed=3,
    )


def test_a_data_set_holds_members_and_their_solutions(dataset, float64):
    rows = dataset.rows(range(40, 42))
    family = po.load_problem("diffusion_reaction")
    members = problems(family, rows)
    one = dataclasses.replace(family, source=members.source[1])
    np.testing.assert_allclose(one.reference().values["u"], rows["values/u"][1], atol=1e-12)
    np.testing.assert_array_equal(rows["inputs/source"][1], one.inputs()["source"])
    sizes = {name: len(part) for name, part in dataset.splits.items()}
    assert sizes == {"training": 64, "validation": 32, "test": 14} and dataset.count == 110
    assert rows["error_bar/u"].shape == (2,)


@pytest.mark.slow
def test_an_operator_is_trained_on_data(dataset):
    options = {
        "functions": FEW,
        "steps": 300,
        "optimizer": po.optimizers.Adam(5e-3, 300),
        "progress": False,
    }
    on_data = po.train("diffusion_reaction", SMALL, data=dataset.path, **options)
    assert set(on_data.history[-1].terms) == {"observed u"}
    both = po.train("diffusion_reaction", SMALL, data=dataset, physics=True, **options)
    assert set(both.history[-1].terms) == {"observed u", "residual"}
    for operator in (on_data, both):
        assert operator.error(5)["u"]["mean"] < 0.4


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_a_pod_deeponet_combines_the_principal_modes_of_its_data(dataset, tmp_path):
    """Solutions of the training are combinations of the modes, with coefficients of mean 0 and
    deviation 1.
    """
    family, latent = po.load_problem("diffusion_reaction"), 15
    pod = PODDeepONet(MLP(16, 2), latent, degrees=16)
    training = {
        "steps": 200,
        "optimizer": po.optimizers.Adam(5e-3, 200),
        "functions": FEW,
        "progress": False,
    }
    trained = po.train(family, pod, data=dataset, **training, out=tmp_path / "run")
    assert trained.error(5)["u"]["mean"] < 0.3
    reloaded = po.load(tmp_path / "run")
    member = family.sample(KEY)
    np.testing.assert_array_equal(reloaded(member)(x=0.3, t=0.5), trained(member)(x=0.3, t=0.5))

    zeros = jax.tree.map(jnp.zeros_like, trained.params)
    untrained = fitted(pod, trained.model, zeros, dataset)

    def affine(params):
        return params.network.matrix, params.network.added, params.network.missed

    # Without the affine map of the inputs, so that the branch alone says how much of each mode.
    nothing = (jnp.zeros_like(untrained.network.matrix), jnp.zeros(latent), jnp.ones(latent))
    untrained = eqx.tree_at(affine, untrained, nothing)
    trunk = untrained.network.trunk.coefficients
    np.testing.assert_allclose(trunk, trained.params.network.trunk.coefficients, atol=1e-5)
    rows = dataset.rows(dataset.splits["training"])
    members, points = problems(family, rows), jnp.asarray(dataset.points, jnp.float32)

    def solutions(k):
        """Of all members where the coefficient of mode k is one, the others zero; a branch of zeros
        leaves its last bias.
        """

        def where(params):
            return params.network.branch.network.biases[-1]

        chosen = eqx.tree_at(
            where, untrained, jnp.zeros(latent) if k is None else jnp.zeros(latent).at[k].set(1.0)
        )
        return np.asarray(evaluate_members(trained.model, chosen, members, points))[..., 0]

    mean = solutions(None)
    modes = np.stack([(solutions(k) - mean)[0] for k in range(latent)])
    values = rows["values/u"].reshape(len(mean), -1)
    coefficients = np.linalg.lstsq(modes.T, (values - mean).T, rcond=None)[0]
    assert np.linalg.norm(mean + coefficients.T @ modes - values) < 1e-2 * np.linalg.norm(values)
    np.testing.assert_allclose(np.mean(coefficients, 1), 0, atol=0.02)
    np.testing.assert_allclose(np.std(coefficients, 1), 1, atol=0.02)
    gram = modes @ modes.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-3 * gram[0, 0])


def test_modes_that_cannot_be_had_are_refused(dataset, tmp_path):
    few = {"functions": FEW, "steps": 1, "progress": False}
    family = po.load_problem("diffusion_reaction")
    with pytest.raises(ValueError, match=r"PODDeepONet takes its modes from solutions; give data="):
        po.train(family, PODDeepONet(MLP(8, 1)), **few)
    with pytest.raises(
        ValueError,
        match=r"PODDeepONet has 40401 products of polynomials and .* only .* points; choose lower",
    ):
        po.train(family, PODDeepONet(MLP(8, 1), degrees=200), data=dataset, **few)
    with pytest.warns(
        UserWarning,
        match=r"1 modes of 9 products of polynomials miss .*% of the data of diffusion_re",
    ):
        po.train(family, PODDeepONet(MLP(8, 1), 1, 2), data=dataset, **few)
    with pytest.raises(ValueError, match="latent must be a whole number from 1 to"):
        PODDeepONet(latent=0)
    with pytest.raises(ValueError, match="degrees must be a whole number from 1 to"):
        PODDeepONet(degrees=0)
    with pytest.raises(ValueError, match="branch must be an encoder such as"):
        PODDeepONet(branch="mlp")


def test_an_interrupted_data_set_goes_on_and_other_settings_are_refused(tmp_path):
    family, path = po.load_problem("antiderivative"), tmp_path / "data.h5"

    class Stop(Exception):
        pass

    def stop(done, count):
        if done == 64:
            raise Stop

    with pytest.raises(Stop):
        generate(family, path, count=100, report=stop)
    assert not path.exists()
    with pytest.raises(ValueError, match="holds parts of another data set"):
        generate(family, path, count=100, seed=1)
    seen = []
    whole = generate(
        family, path, count=100, workers=2, report=lambda done, count: seen.append(done)
    )
    assert seen[0] == 64 and not path.with_name("data.h5.parts").exists()
    other = generate(family, tmp_path / "other.h5", count=100)
    assert whole.digest == other.digest
    with pytest.raises(ValueError, match="exists already"):
        generate(family, path, count=100)


def test_damaged_and_wrong_files_are_named(dataset, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(dataset.path.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["values/u"][40, 3, 3] += 1e-9
    damaged = Dataset.open(copy)
    damaged.rows(range(0, 10))
    with pytest.raises(DataFileError, match="the checksum of samples 32 to 63 does not match"):
        damaged.rows(range(30, 40))
    copy.write_bytes(dataset.path.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["coordinates/x"][3] = 0.5
    with pytest.raises(DataFileError, match="the checksum of its coordinates does not match"):
        Dataset.open(copy)
    copy.write_bytes(dataset.path.read_bytes()[:5000])
    with pytest.raises(DataFileError, match="truncated or not HDF5"):
        Dataset.open(copy)
    with pytest.raises(FileNotFoundError, match="make one with pinops data"):
        Dataset.open(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="holds data of diffusion_reaction, not of antiderivative"):
        po.train("antiderivative", SMALL, data=dataset, steps=1, progress=False)


def test_the_command_line_makes_data_trains_and_evaluates(tmp_path, capsys):
    data, out = tmp_path / "data.h5", tmp_path / "run"
    assert (
        cli.run(["data", "antiderivative", "--out", str(data), "--count", "96", "--workers", "1"])
        == 0
    )
    points = "Collocation(interior=64, batch=32, refinement=None)"
    few = ["--functions", f"Functions(pool=64, batch=8, points={points})"]
    network = ["--operator", "DeepONet(ModifiedMLP(8, 2), ModifiedMLP(8, 2), 8)"]
    command = [
        "train",
        "antiderivative",
        "--data",
        str(data),
        "--steps",
        "20",
        "--out",
        str(out),
        "--json",
        *few,
        *network,
    ]
    assert cli.run(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["steps"] == 20 and result["relative_l2"]["u"] > 0
    assert cli.run(["evaluate", str(out), "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1])["relative_l2"] == result["relative_l2"]
    )
    assert cli.run(["evaluate", str(out), "--json", "--set", "length=0.5"]) == 0
    smoother = json.loads(capsys.readouterr().out.splitlines()[-1])["relative_l2"]["u"]
    family = po.load_problem("antiderivative", length=0.5)
    assert (
        smoother
        == po.load(out, problem=family, changed=True).error()["u"]["mean"]
        != result["relative_l2"]["u"]
    )
    assert cli.run(["evaluate", str(out), "--json", "--data", str(data)]) == 0
    own = json.loads(capsys.readouterr().out.splitlines()[-1])
    trained, dataset = po.load(out), Dataset.open(data)
    members, references = solved(dataset, trained.family, dataset.splits["test"])
    np.testing.assert_allclose(
        references[3].values["u"], members[3].reference().values["u"], rtol=1e-12
    )
    assert own["tested"] == 32 and own["relative_l2"]["u"] == pytest.approx(
        trained.error(members)["u"]["mean"], rel=1e-6
    )
    shorter = tmp_path / "shorter.h5"
    assert (
        cli.run(
            ["data", "antiderivative", "--out", str(shorter), "--count", "65", "--workers", "1"]
        )
        == 0
    )
    capsys.readouterr()
    moved = dataclasses.replace(
        trained, request=trained.request | {"data_members": {dataset.origin: [[0, 80]]}}
    )
    with pytest.raises(
        ValueError,
        match="shorter.h5: the training has seen samples of this part; choose the test part",
    ):
        moved.errors(Dataset.open(shorter))
    assert cli.run(["evaluate", str(out), "--set", "width=0.5"]) == 2
    assert "no coefficient 'width'; it has" in capsys.readouterr().err
    assert cli.run(["train", "burgers", "--steps", "1", "--out", str(tmp_path / "x")]) == 2
    assert "no family" in capsys.readouterr().err


class Two(po.Problem):
    """u_x = a, v_x = 1000 a, both 0 at the start, for random a: two unknowns of different size, the
    second named first.
    """

    domain = po.Box(x=(0, 1))
    unknowns = ("u", "v")
    slope: float = 1.0
    known: bool = eqx.field(static=True, default=True)

    def residual(self, u_x, v_x):
        return {"u": u_x - self.slope, "v": v_x / 1000 - self.slope}

    def conditions(self):
        return (po.Dirichlet(0.0, on="x_min"),)

    def sample(self, key):
        return dataclasses.replace(self, slope=jax.random.normal(key))

    def inputs(self):
        return {"slope": self.slope}

    def reference(self):
        x = np.linspace(0, 1, 11)
        values = {"v": 1000 * float(self.slope) * x, "u": float(self.slope) * x}
        return (
            po.reference.Reference({"x": x}, values, {"v": 1e-15, "u": 1e-15}, "exact", "by hand")
            if self.known
            else None
        )


def test_data_of_several_unknowns_keep_their_names(tmp_path):
    data = generate(Two(), tmp_path / "two.h5", count=100)
    assert data.scale["v"] == pytest.approx(1000 * data.scale["u"], rel=1e-4)
    options = {"functions": FEW, "steps": 100, "progress": False}
    trained = po.train(Two(), DeepONet(MLP(8, 1), MLP(8, 1), 4), data=data, **options)
    terms = trained.history[-1].terms
    assert 1e-2 < terms["observed u"] / terms["observed v"] < 1e2
    pod = po.train(
        Two(), PODDeepONet(MLP(8, 1), 1, 2), data=data, **options
    )  # one mode is that of both unknowns
    misfits = pod.history[-1].terms
    assert misfits["observed u"] == pytest.approx(misfits["observed v"], rel=1e-3)
    drawn = [np.sort(data.drawn(jax.random.key(k), 8)["inputs/slope"]) for k in (1, 2)]
    assert not np.array_equal(*drawn)
    with pytest.raises(
        ValueError, match="was made with slope = 1.0, and the family has 2.0; give the same"
    ):
        po.train(Two(slope=2.0), SMALL, data=data, **options)


def test_a_family_without_a_reference_is_trained_all_the_same(tmp_path):
    trained = po.train(
        Two(known=False), SMALL, functions=FEW, steps=20, progress=False, out=tmp_path / "run"
    )
    assert trained.summary()["relative_l2"] == {} and (tmp_path / "run" / "run.json").exists()
    with pytest.raises(ValueError, match="has no reference to compare with"):
        trained.error(3)


def test_training_states_are_of_the_operator():
    model, params = model_of(po.load_problem("antiderivative"))
    training = Training(model, (po.Phase(po.optimizers.Adam(), 10),), Draw(FEW), 0)
    state = training.init(params, fit=False)
    assert state.points.problems.source.shape == (64, 100)
    assert state.points.points[INTERIOR].at.shape == (64, 1)
