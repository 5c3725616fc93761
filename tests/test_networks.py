"""Everything that is shipped as a network, in one table; all properties are tested on all of it."""

import io
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import pinops as po
from pinops.derivatives import LAPLACIAN, Plan
from pinops.networks import (
    MLP,
    PIG,
    SIREN,
    Architecture,
    ChebyshevKAN,
    Decomposed,
    Embedding,
    FourierFeatures,
    FromLinen,
    FromNNX,
    Frozen,
    GatedFourier,
    JetNetwork,
    ModifiedMLP,
    NetworkField,
    PirateNet,
    RandomFeatures,
    Separable,
    Spectral,
    Stacked,
    Symmetric,
    SymmetricNetwork,
    WeightFactorised,
    activations,
    check_network,
    trainable,
)
from pinops.optimizers import SSBroyden, TruncatedGaussNewton

KEY = jax.random.key(0)
EMBEDDING = Embedding(((-1.0, 3.0), (0.0, 0.5)), periodic=(0,))  # 3 features


class LinenMLP(linen.Module):
    out: int

    @linen.compact
    def __call__(self, x):
        return linen.Dense(self.out)(jnp.tanh(linen.Dense(5)(x)))


class LinenNormalised(linen.Module):
    """With batch statistics, which training must leave alone."""

    out: int
    running: bool = True

    @linen.compact
    def __call__(self, x):
        x = linen.BatchNorm(use_running_average=self.running)(jnp.tanh(linen.Dense(5)(x)))
        return linen.Dense(self.out)(x)


class NNXMLP(nnx.Module):
    def __init__(self, i, o, *, rngs):
        self.first, self.last = nnx.Linear(i, 5, rngs=rngs), nnx.Linear(5, o, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


class NNXNormalised(nnx.Module):
    def __init__(self, i, o, *, rngs):
        self.first, self.last = nnx.Linear(i, 5, rngs=rngs), nnx.Linear(5, o, rngs=rngs)
        self.norm, self.dropout = nnx.BatchNorm(5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(self.norm(jnp.tanh(self.first(x)))))


def nnx_evaluated(i, o, rngs):
    module = NNXNormalised(i, o, rngs=rngs)
    module.eval()
    return module


def plain_function(params, features):
    return jnp.tanh(features @ params["a"]) @ params["b"]


def plain(i, o, key):
    a, b = (
        jax.random.normal(k, shape)
        for k, shape in zip(jax.random.split(key), ((i, 5), (5, o)), strict=True)
    )
    return jax.tree_util.Partial(plain_function, {"a": a, "b": b})


def built_by(architecture: Callable[[int], Architecture]) -> Callable[..., Any]:
    return lambda i, o, key: architecture(o).build(i, o, key=key)


def decomposed(i, o, key):
    """`EMBEDDING` for three features, plain coordinates for any other number."""
    names, parts = tuple("abc"[:i]), {"a": 3, "b": 2}
    embedding = Embedding(((-1.0, 1.0),) * i)
    if i == 3:
        names, embedding = ("a", "b"), EMBEDDING
    return Decomposed(MLP(5, 1), parts).placed(names, embedding).build(i, o, key=key)


class lively(Architecture):
    """Another architecture, away from its start, where some gradients are zero or small."""

    inner: Architecture

    def build(self, in_size, out_size, *, key):
        network = self.inner.build(in_size, out_size, key=key)
        train, rest = eqx.partition(network, trainable(network))
        leaves, structure = jax.tree.flatten(train)
        keys = jax.random.split(key, len(leaves))
        moved = [
            leaf + 0.3 * jax.random.normal(k, leaf.shape, leaf.dtype)
            for leaf, k in zip(leaves, keys, strict=True)
        ]
        return eqx.combine(jax.tree.unflatten(structure, moved), rest)


def DENSE(i, o):
    return (i + 1) * 5 + (5 + 1) * o  # one hidden layer of five units


def NORMALISED(i, o):
    return DENSE(i, o) + 2 * 5  # and a scale and a shift for each


# name -> (in_size, out_size, key -> network; its number of trainable parameters)
NETWORKS: dict[str, tuple[Callable[..., Any], Callable[[int, int], int]]] = {
    **{
        f"MLP {name}": (
            built_by(lambda o, s=activation: MLP(5, 2, s)),
            lambda i, o: DENSE(i, o) + (5 + 1) * 5,
        )
        for name, activation in activations.items()
    },
    "MLP of one hidden layer": (built_by(lambda o: MLP(5, 1)), DENSE),
    "SIREN": (built_by(lambda o: SIREN(5, 2, 4.0)), lambda i, o: DENSE(i, o) + (5 + 1) * 5),
    "ModifiedMLP": (
        built_by(lambda o: ModifiedMLP(5, 2)),
        lambda i, o: DENSE(i, o) + (i + 1) * 10 + (5 + 1) * 5,
    ),
    "PirateNet": (
        built_by(lambda o: lively(PirateNet(5, 2))),
        lambda i, o: DENSE(i, o) + 8 * (5 + 1) * 5 + 2,
    ),
    "FourierFeatures": (
        built_by(lambda o: FourierFeatures(MLP(5, 1), 2.0, 4)),
        lambda i, o: DENSE(8, o),
    ),
    "FourierFeatures of two scales": (
        built_by(lambda o: FourierFeatures(MLP(5, 1), (1.0, 3.0), 4)),
        lambda i, o: DENSE(8, o) + 2 * o * o,
    ),
    "WeightFactorised": (
        built_by(lambda o: WeightFactorised(MLP(5, 1))),
        lambda i, o: DENSE(i, o) + 5 + o,
    ),
    "Separable": (built_by(lambda o: Separable(4, 5, 1)), lambda i, o: i * DENSE(1, 4 * o)),
    "Stacked": (built_by(lambda o: Stacked(MLP(5, 1))), lambda i, o: o * DENSE(i, 1)),
    "Decomposed": (decomposed, lambda i, o: 6 * DENSE(2, o)),
    "Symmetric": (
        built_by(lambda o: Symmetric(4, 2, outer=5)),
        lambda i, o: 2 * 4 + 5 * 4 + DENSE(4, o),
    ),
    "ChebyshevKAN": (
        built_by(lambda o: ChebyshevKAN(5, 1, 3)),
        lambda i, o: (3 * i + 1) * 5 + (3 * 5 + 1) * o,
    ),
    "PIG": (
        built_by(lambda o: lively(PIG(10, 2, 0.7, hidden=5))),
        lambda i, o: 20 * (2 * i + 1) + DENSE(2, o),
    ),
    "PIG of turned Gaussians": (
        built_by(lambda o: lively(PIG(10, 2, 0.7, "full", "raw", "sin", 5))),
        lambda i, o: 20 * (2 * i + 5) + DENSE(2, o),
    ),
    "PIG without a head": (
        built_by(lambda o: lively(PIG(10, 2, 0.7, head="none", moving=False))),
        lambda i, o: 20 * o * (i + 1),
    ),
    "PIG of radial basis functions": (
        built_by(
            lambda o: lively(PIG(10, 2, 0.7, "full", head="none", moving=False, reshaping=False))
        ),
        lambda i, o: 20 * o,
    ),
    "Spectral": (built_by(lambda o: Spectral(3)), lambda i, o: 4**i * o),
    "RandomFeatures": (built_by(lambda o: RandomFeatures(6)), lambda i, o: 7 * o),
    "FromLinen": (built_by(lambda o: FromLinen(LinenMLP(o))), DENSE),
    "FromLinen with batch statistics": (
        built_by(lambda o: FromLinen(LinenNormalised(o))),
        NORMALISED,
    ),
    "FromNNX": (built_by(lambda o: FromNNX(lambda i, o, rngs: NNXMLP(i, o, rngs=rngs))), DENSE),
    "FromNNX with batch statistics": (built_by(lambda o: FromNNX(nnx_evaluated)), NORMALISED),
    "equinox.nn.MLP": (lambda i, o, key: eqx.nn.MLP(i, o, 5, 1, jnp.tanh, key=key), DENSE),
    "function": (plain, lambda i, o: (i + o) * 5),
}
each = pytest.mark.parametrize("build, parameters", NETWORKS.values(), ids=NETWORKS)


def arrays(network: Any) -> list[jax.Array]:
    return jax.tree.leaves(eqx.filter(network, trainable(network)))


def features_of(point):
    """`EMBEDDING` written out."""
    angle, s = jnp.pi * (point[0] - 1) / 2, (point[1] - 0.25) / 0.25
    return jnp.stack([s, jnp.cos(angle), jnp.sin(angle)])


@each
def test_values_and_partial_derivatives(build, parameters, float64):
    """The field of a network has the value, gradient and Hessian that JAX finds for the
    composition.
    """
    network = build(3, 2, KEY)
    points = jnp.asarray(np.random.default_rng(0).uniform((-1, 0), (3, 0.5), (4, 2)))
    field, plan = NetworkField(network, EMBEDDING), Plan([(0, 0), (0, 1)], (0, 1))

    def composed(point):
        return network(features_of(point))

    @jax.jit
    def evaluate(points):
        hessian = jax.vmap(jax.hessian(composed))(points)
        return (
            field.jet(points, plan),
            jax.vmap(composed)(points),
            jax.vmap(jax.jacfwd(composed))(points),
            hessian,
        )

    jet, value, gradient, hessian = evaluate(points)
    assert value.shape == (4, 2) and float(jnp.ptp(value)) > 1e-3

    def close(a, b):
        return np.testing.assert_allclose(
            a, b, rtol=0, atol=1e-12 * max(1.0, float(jnp.max(jnp.abs(b))))
        )

    close(jet[()], value)
    close(field(points[1]), value[1])
    close(jet[0,], gradient[..., 0])
    close(jet[1,], gradient[..., 1])
    close(jet[0, 0], hessian[..., 0, 0])
    close(jet[0, 1], hessian[..., 0, 1])
    close(jet[LAPLACIAN], hessian[..., 0, 0] + hessian[..., 1, 1])


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_is_that_of_the_context(build, parameters, dtype):
    with jax.enable_x64(dtype == "float64"):
        network = build(3, 2, KEY)
        assert {
            array.dtype.name for array in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))
        } == {dtype}
        out = network(jnp.ones(3))
        assert out.shape == (2,) and out.dtype == dtype
        plan = Plan([(0, 0)], (0, 1))
        jet = jax.eval_shape(
            lambda x: NetworkField(network, EMBEDDING).jet(x, plan), jnp.ones((4, 2))
        )
        assert {stream.dtype.name for stream in jet.values()} == {dtype}


@each
def test_under_jit_and_vmap(build, parameters):
    """The same numbers at one point, compiled, over a batch of points or of networks."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    network = build(3, 2, KEY)
    one_by_one = jnp.stack([network(row) for row in x])

    def close(a, b):
        return np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)

    close(eqx.filter_jit(lambda network, x: jax.vmap(network)(x))(network, x), one_by_one)

    keys = jax.random.split(KEY, 3)
    networks = eqx.filter_vmap(lambda key: build(3, 2, key))(keys)
    together = eqx.filter_vmap(lambda network, x: network(x), in_axes=(eqx.if_array(0), None))(
        networks, x[0]
    )
    separately = jnp.stack([build(3, 2, key)(x[0]) for key in keys])
    assert together.shape == (3, 2) and float(jnp.min(jnp.ptp(separately, axis=0))) > 1e-4
    close(together, separately)


@each
def test_parameters(build, parameters):
    """Their number is the book's; every one has a gradient; the key decides them."""
    network = build(3, 2, KEY)
    assert sum(array.size for array in arrays(network)) == parameters(3, 2)
    train, rest = eqx.partition(network, trainable(network))
    x = jnp.linspace(-1, 1, 12).reshape(4, 3)
    gradient = jax.grad(lambda train: jnp.sum(jax.vmap(eqx.combine(train, rest))(x) ** 2))(train)
    assert all(bool(jnp.any(array != 0)) for array in jax.tree.leaves(gradient))
    same, other = build(3, 2, KEY), build(3, 2, jax.random.key(1))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(network), arrays(same), strict=True))
    assert not all(
        np.array_equal(a, b) for a, b in zip(arrays(network), arrays(other), strict=True)
    )


@each
def test_round_trip_through_a_file(build, parameters, float64):
    """Leaves read into a network of another key give the same function to the last bit."""
    network, template = build(3, 2, KEY), build(3, 2, jax.random.key(1))
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, network, filter_spec=write)
    file.seek(0)
    restored = eqx.tree_deserialise_leaves(file, template, filter_spec=read)
    x = jnp.asarray([0.1, -0.4, 0.7])
    assert not np.array_equal(template(x), network(x))
    np.testing.assert_array_equal(restored(x), network(x))


def write(file, leaf):
    eqx.default_serialise_filter_spec(file, jax.random.key_data(leaf) if is_key(leaf) else leaf)


def read(file, leaf):
    if is_key(leaf):
        return jax.random.wrap_key_data(
            eqx.default_deserialise_filter_spec(file, jax.random.key_data(leaf))
        )
    return eqx.default_deserialise_filter_spec(file, leaf)


def is_key(leaf: Any) -> bool:
    """A random key of the new style, which Equinox does not write."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


class Bump(po.Problem):
    """u'' = -pi^2 sin(pi x)."""

    domain = po.Box(x=(-1, 1))
    exact = staticmethod(lambda x: jnp.sin(jnp.pi * x))

    def residual(self, u_xx, x):
        return u_xx + jnp.pi**2 * jnp.sin(jnp.pi * x)

    def conditions(self):
        return (po.Dirichlet(0.0, on="x"),)


OURS = {
    "MLP": MLP(8, 2),
    "ModifiedMLP": ModifiedMLP(8, 2),
    "PirateNet": PirateNet(8, 1),
    "SIREN": SIREN(8, 1, 4.0),
    "FourierFeatures": FourierFeatures(MLP(8, 1), (1.0, 2.0), 4),
    "WeightFactorised": WeightFactorised(MLP(8, 2)),
    "Separable": Separable(4, 8, 1),
    "Stacked": Stacked(MLP(8, 1)),
    "Decomposed": Decomposed(MLP(6, 1), {"x": 3}),
    "Symmetric": Symmetric(12),
    "ChebyshevKAN": ChebyshevKAN(4, 1, 4),
    "GatedFourier": GatedFourier(6, 1, 2, members=2),
    "PIG": PIG(10, 2, 0.3),
    "Spectral": Spectral(12),
    "RandomFeatures": RandomFeatures(40, 4.0),
    "radial basis functions": PIG(30, 1, 0.3, head="none", moving=False, reshaping=False),
}
LINEAR = ("RandomFeatures", "radial basis functions")


@pytest.mark.parametrize("name", OURS)
def test_solves_a_poisson_problem_and_comes_back_from_its_folder(name, tmp_path):
    """The run directory knows the architecture, also one within another."""
    points = po.Collocation(interior=128, every=0, refinement=None)
    optimizer, steps = (TruncatedGaussNewton(), 2) if name in LINEAR else (SSBroyden(), 120)
    options: dict[str, Any] = {"points": points, "progress": False, "out": tmp_path / "run"}
    solution = po.solve(Bump(), network=OURS[name], optimizer=optimizer, steps=steps, **options)
    assert solution.error()["u"]["mean"] < 1e-3
    x = np.linspace(-1, 1, 5)
    np.testing.assert_array_equal(po.load(tmp_path / "run", problem=Bump())(x=x), solution(x=x))


def test_a_piratenet_starts_from_its_data(float64):
    """Its last layer is fitted to the conditions in the loss (arXiv:2402.00326, section 4.2)."""

    class Given(Bump):
        def conditions(self):
            return (po.Dirichlet(lambda x: 3 * x, on="x", soft=True),)

    first = []
    for network in (PirateNet(8, 1), WeightFactorised(PirateNet(8, 1)), MLP(8, 2)):
        solution = po.solve(
            Given(), network=network, optimizer=optax.sgd(1e-30), steps=1, progress=False
        )
        first.append(
            next(
                v for name, v in solution.history[-1].terms.items() if name.startswith("dirichlet")
            )
        )
    assert max(first[:2]) < 1e-20 < 1e-3 < first[2]


def test_gaussians_may_start_on_a_grid():
    centres = PIG(16, 2, centres="grid").build(2, 1, key=KEY).means
    assert centres.shape == (2, 16, 2)
    np.testing.assert_allclose(np.unique(np.round(centres, 4)), [-1.5, -0.5, 0.5, 1.5])
    with pytest.raises(
        ValueError,
        match="PIG: a grid in 2 coordinates has a number to the power of 2 of gaussians, such as 9",
    ):
        PIG(10, centres="grid").build(2, 1, key=KEY)
    with pytest.raises(ValueError, match="PIG: centres must be one of random, grid, got 'sobol'"):
        PIG(centres="sobol")
    with pytest.raises(ValueError, match="cannot be moved where moving or reshaping is false"):
        PIG(idle=0.1, reshaping=False)


def test_random_features_have_a_scale_for_each_input():
    built = RandomFeatures(500, (0.5, 8.0)).build(2, 1, key=jax.random.key(0))
    weights, offsets = built.hidden.tree
    np.testing.assert_allclose(np.max(np.abs(weights), axis=1), [0.5, 8.0], rtol=0.02)
    assert np.max(np.abs(offsets)) == pytest.approx(8.0, rel=0.02)
    with pytest.raises(ValueError, match=r"one for each of the 3 inputs, got \(0.5, 8.0\)"):
        RandomFeatures(500, (0.5, 8.0)).build(3, 1, key=jax.random.key(0))


@pytest.mark.parametrize("d", [3, 3000])
def test_a_symmetric_network_of_any_dimension_does_not_know_its_features_apart(d):
    network = Symmetric(4).build(d, 1, key=KEY)
    points = jax.random.uniform(KEY, (50, d), minval=-1)
    values = jax.vmap(network)(points)
    np.testing.assert_allclose(jax.vmap(network)(points[:, ::-1]), values, atol=1e-5)
    assert 0.01 < np.std(values) < 10


def test_a_spectral_network_is_the_fourier_series_of_a_periodic_coordinate(float64):
    """Degrees K and 1 of cos x and sin x: wave numbers up to K, with their fourth derivatives."""
    angles = jnp.linspace(0, 2 * jnp.pi, 40, endpoint=False)[:, None]
    embedding = Embedding(((0.0, 2 * np.pi),), periodic=(0,))
    plan = Plan([(0,) * 4])
    network = Spectral((9, 1)).build(2, 1, key=KEY)

    def field(coefficients):
        return NetworkField(eqx.tree_at(lambda n: n.coefficients, network, coefficients), embedding)

    each = jax.vmap(lambda one: field(one[:, None]).jet(angles, plan))(jnp.eye(20))
    values, fourth = (np.asarray(each[index][:, :, 0].T) for index in ((), (0,) * 4))
    for k in (0, 1, 5, 9):
        target = np.cos(k * angles[:, 0] + 0.3)
        coefficients, *_ = np.linalg.lstsq(values, target)
        np.testing.assert_allclose(values @ coefficients, target, atol=1e-12)
        np.testing.assert_allclose(fourth @ coefficients, k**4 * target, atol=1e-7)


def test_a_spectral_network_needs_a_degree_for_each_feature():
    with pytest.raises(ValueError, match=r"one for each of the 3 features, got \(4, 5\)"):
        Spectral((4, 5)).build(3, 1, key=KEY)
    with pytest.raises(
        ValueError, match=r"degrees must be a whole number from 1 to 10000, or .*, got \(4, 0\)"
    ):
        Spectral((4, 0))


def test_random_features_solve_a_linear_problem_in_a_step():
    solution = po.solve(
        "poisson",
        network=RandomFeatures(400, 4.0, jnp.sin),
        optimizer=TruncatedGaussNewton(),
        steps=1,
        points=po.Collocation(interior=800),
        progress=False,
    )
    assert solution.error()["u"]["mean"] < 1e-10


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_idle_gaussians_split_those_with_a_large_residual(covariance, float64):
    network = PIG(6, 1, 0.1, covariance, head="none", idle=0.1).build(2, 1, key=KEY)
    means = jnp.asarray([[-0.8, 0.0], [-0.4, 0.0], [0.0, 0.0], [0.4, 0.0], [0.8, 0.0], [5.0, 0.0]])[
        None
    ]

    def where(n):
        return (n.centres, n.weights)

    network = eqx.tree_at(where, network, (means, jnp.asarray([[1.0, 1.0, 1e-3, 1.0, 1.0, 1.0]])))
    features = jnp.stack([jnp.linspace(-1, 1, 200), jnp.zeros(200)], -1)
    scores = jnp.exp(-(((features[:, 0] - 0.75) / 0.05) ** 2)) + 0.1 * jnp.exp(
        -(((features[:, 0] + 0.4) / 0.05) ** 2)
    )
    moved = network.relocated(features, scores)
    found = np.asarray(moved.means[0])
    np.testing.assert_allclose(
        found[[2, 5]], [[0.85, 0], [-0.35, 0]]
    )  # the idle one and the one that had left
    np.testing.assert_allclose(found[[4, 1]], [[0.75, 0], [-0.45, 0]])
    np.testing.assert_array_equal(np.asarray(moved.weights[0]), [1, 0.5, 0.5, 1, 0.5, 0.5])
    assert moved.relocated(features, scores) is moved
    assert PIG(6, 1, 0.1).build(2, 1, key=KEY).relocated(features, scores).idle == 0


def test_idle_gaussians_are_moved_during_training(tmp_path):
    network = PIG(12, 1, 0.3, head="none", idle=0.5)
    options: dict[str, Any] = {
        "points": po.Collocation(interior=128, every=30),
        "network": network,
        "progress": False,
    }
    whole = po.solve(Bump(), optimizer=SSBroyden(), steps=120, **options)
    assert whole.error()["u"]["mean"] < 1e-3
    still = po.solve(
        Bump(),
        optimizer=SSBroyden(),
        steps=120,
        **options | {"network": PIG(12, 1, 0.3, head="none")},
    )
    assert whole.history[1].loss != still.history[1].loss
    po.solve(Bump(), optimizer=SSBroyden(), steps=40, out=tmp_path / "run", **options)
    resumed = po.solve(
        Bump(), optimizer=SSBroyden(), steps=120, out=tmp_path / "run", resume=True, **options
    )
    assert resumed.history[-1].loss == whole.history[-1].loss


def test_gaussians_are_what_the_formula_says(float64):
    """One turned Gaussian in the plane, and the report on those that are lost."""
    network = PIG(1, 1, 0.5, "full", "raw", "none").build(2, 1, key=KEY)
    network = eqx.tree_at(lambda n: n.rotations, network, jnp.asarray([[[3.0, 4.0]]]))
    network = eqx.tree_at(lambda n: n.spreads, network, jnp.asarray([[[0.5, -0.2]]]))
    x = jnp.asarray([0.3, -0.1])
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    along = turned.T @ np.asarray(x - network.means[0, 0])
    expected = float(network.weights[0, 0]) * np.exp(-0.5 * np.sum((along / [0.5, 0.2]) ** 2))
    assert float(network(x)[0]) == pytest.approx(expected, rel=1e-12)
    assert network.remarks(4096) == []
    lost = eqx.tree_at(
        lambda n: (n.centres, n.spreads),
        network,
        (jnp.full((1, 1, 2), 9.0), jnp.full((1, 1, 2), 1e-4)),
    )
    assert [remark.split()[0] for remark in lost.remarks(4096)] == ["1", "1"]


def test_settings_of_wrappers():
    with pytest.raises(ValueError, match="mean must be a number from -20 to 20"):
        WeightFactorised(mean=float("nan"))
    with pytest.raises(
        ValueError, match="scales must be a tuple with a finite number greater than 0"
    ):
        FourierFeatures(scales=(1.0, 0.0))


def test_full_covariance_equals_diagonal_without_a_rotation(float64):
    one, other = (
        PIG(10, 2, 0.4, covariance).build(3, 2, key=KEY) for covariance in ("diagonal", "full")
    )
    x = jnp.asarray([0.1, -0.3, 0.6])
    np.testing.assert_allclose(one(x), other(x), rtol=1e-12)
    np.testing.assert_allclose(jax.hessian(one)(x), jax.hessian(other)(x), rtol=1e-9, atol=1e-12)


# --- check_network ------------------------------------------------------------------------------


@each
def test_a_right_size_passes_and_a_wrong_one_is_a_sentence(build, parameters):
    check_network(build(3, 2, KEY), EMBEDDING, ("u", "v"))
    wrong_output = (
        r"must map features of shape \(3,\) to one value per unknown \(u\), shape \(1,\); "
        r"it returns shape \(2,\)"
    )
    with pytest.raises(ValueError, match=wrong_output):
        check_network(build(3, 2, KEY), EMBEDDING, ("u",))
    if isinstance(build(2, 2, KEY), SymmetricNetwork):
        return  # of any number of features
    with pytest.raises(
        ValueError, match=r"cannot be called with 3 features, an array of shape \(3,\): \S+"
    ) as caught:
        check_network(build(2, 2, KEY), EMBEDDING, ("u", "v"))
    assert "\n" not in str(caught.value)


def silent(features):
    raise AssertionError


@pytest.mark.parametrize(
    "network, sentence",
    [
        (lambda x: jnp.sum(x), r"one value per unknown \(u\), shape \(1,\); it returns shape \(\)"),
        (lambda x: x[None, :1], r"it returns shape \(1, 1\)"),
        (lambda x: (x[:1], x[:1]), "it returns shape tuple"),
        (lambda x: None, "it returns shape NoneType"),
        (
            lambda x, t: x[:1],
            r"cannot be called with 3 features.*missing 1 required positional argument: 't'",
        ),
        (silent, r"cannot be called with 3 features, an array of shape \(3,\): AssertionError"),
        (3.0, "cannot be called with 3 features"),
    ],
)
def test_other_things_that_are_no_network(network, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_network(network, EMBEDDING, ("u",))


# --- architectures ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"width": 0}, {"depth": 0}, {"depth": -1}])
def test_mlp_sizes(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(
        ValueError, match=f"MLP: {name} must be a whole number from 1 to .*, got {value}"
    ):
        MLP(**wrong)


def test_glorot_initialisation(float64):
    """Weights of variance 2 / (in + out), biases zero."""
    network = MLP(200, 2).build(100, 50, key=KEY)
    for weight, bias in zip(network.weights, network.biases, strict=True):
        n = weight.size
        assert abs(float(jnp.std(weight)) * math.sqrt(sum(weight.shape) / 2) - 1) < 5 / math.sqrt(
            2 * n
        )
        assert abs(float(jnp.mean(weight))) < 5 * float(jnp.std(weight)) / math.sqrt(n)
        assert not np.any(bias)
    assert [weight.shape for weight in network.weights] == [(100, 200), (200, 200), (200, 50)]


def test_siren_spans_a_band_of_frequencies(float64):
    """The first layer's frequencies fill (-f, f) / inputs, and what passes through the others keeps
    its size.
    """
    network = SIREN(1000, 3, 20.0).build(2, 1, key=KEY)
    assert (
        9.9 < float(jnp.max(jnp.abs(network.weights[0]))) <= 10
        and abs(float(jnp.mean(network.weights[0]))) < 1
    )
    assert np.pi - 0.02 < float(jnp.max(jnp.abs(network.biases[0]))) <= np.pi
    signal = jnp.sin(
        jnp.linspace(-1, 1, 200)[:, None].repeat(2, 1) @ network.weights[0]
        + network.biases[0][None]
    )
    for weight, bias in zip(network.weights[1:-1], network.biases[1:-1], strict=True):
        signal = jnp.sin(signal @ weight + bias[None])
        assert 0.6 < float(jnp.std(signal)) < 0.8  # sqrt(1/2): the arcsine distribution


@pytest.mark.parametrize("wrong", [{"width": 0}, {"depth": 0}, {"frequency": 0.0}])
def test_siren_settings(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        SIREN(**wrong)


def test_only_our_own_carry_their_derivatives():
    """The fast path is taken by type, so the table must hold both kinds."""
    fast = [
        name for name, (build, _) in NETWORKS.items() if isinstance(build(3, 2, KEY), JetNetwork)
    ]
    assert fast == [
        name for name in NETWORKS if not name.startswith(("From", "equinox", "function"))
    ]


# --- foreign state ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["FromLinen with batch statistics", "FromNNX with batch statistics"]
)
def test_batch_statistics_are_frozen(name):
    """They are used, and are floating-point arrays, but are not parameters: an optimizer leaves
    them alone.
    """
    network = NETWORKS[name][0](3, 2, KEY)
    frozen = [array for array in jax.tree.leaves(network.rest.tree) if eqx.is_inexact_array(array)]
    assert sorted(array.shape for array in frozen) == [(5,), (5,)]  # running mean and variance
    train, rest = eqx.partition(network, trainable(network))
    assert not jax.tree.leaves(train.rest)
    moved = eqx.combine(jax.tree.map(lambda array: array - 0.1, train), rest)
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, moved.rest, network.rest))
    shifted = jax.tree.map(
        lambda array: array + 1 if eqx.is_inexact_array(array) else array, network.rest
    )
    replaced = eqx.tree_at(lambda n: n.rest, network, shifted)
    assert not np.allclose(replaced(jnp.ones(3)), network(jnp.ones(3)))


def test_what_is_trainable():
    tree = {
        "w": jnp.ones(2),
        "n": jnp.arange(2),
        "f": Frozen({"m": jnp.ones(2)}),
        "s": jnp.tanh,
        "c": 1.0,
    }
    assert trainable(tree) == {
        "w": True,
        "n": False,
        "f": Frozen({"m": False}),
        "s": False,
        "c": False,
    }


class NNXOnly(nnx.Module):
    """One layer with state of its own."""

    def __init__(self, layer, o, rngs):
        self.layer, self.last = layer, nnx.Linear(5, o, rngs=rngs)

    def __call__(self, x):
        return self.last(self.layer(x))


@pytest.mark.parametrize(
    "layer",
    [lambda rngs: nnx.BatchNorm(5, rngs=rngs), lambda rngs: nnx.Dropout(0.5, rngs=rngs)],
    ids=["BatchNorm", "Dropout"],
)
def test_an_nnx_module_in_training_mode_is_an_error(layer):
    """Its updates would be lost silently."""
    network = FromNNX(lambda i, o, rngs: NNXOnly(layer(rngs), o, rngs)).build(5, 1, key=KEY)
    sentence = r"the NNX module changes its own state when called; call module.eval\(\) before"
    before = [
        np.array(array) for array in jax.tree.leaves(network.rest) if eqx.is_inexact_array(array)
    ]
    for call in (network, eqx.filter_jit(network)):
        with pytest.raises(ValueError, match=sentence):
            call(jnp.ones(5))
    with pytest.raises(ValueError, match=sentence):
        check_network(network, Embedding(((0.0, 1.0),) * 5), ("u",))
    after = [
        np.array(array) for array in jax.tree.leaves(network.rest) if eqx.is_inexact_array(array)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_linen_module_in_training_mode_is_an_error():
    network = FromLinen(LinenNormalised(1, running=False)).build(3, 1, key=KEY)
    with pytest.raises(
        ValueError, match="the network cannot be called with 3 features.*batch_stats"
    ):
        check_network(network, EMBEDDING, ("u",))


def test_a_trained_nnx_module_comes_back():
    """`unwrap` hands over an NNX module with the present parameters, and what is done to it stays
    there.
    """
    network = NETWORKS["FromNNX"][0](3, 2, KEY)
    moved = jax.tree.map(lambda array: array + 0.5, network)
    module = moved.unwrap()
    assert isinstance(module, NNXMLP)
    out = moved(jnp.ones(3))
    np.testing.assert_array_equal(module(jnp.ones(3)), out)
    module.last.bias[...] = module.last.bias[...] + 1
    np.testing.assert_allclose(module(jnp.ones(3)), out + 1, rtol=1e-6)
    np.testing.assert_array_equal(moved(jnp.ones(3)), out)
