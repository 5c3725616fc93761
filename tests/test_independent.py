"""What tests against files of the literature show, shown without these files: by NumPy, SciPy and
closed forms.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.sparse
import scipy.sparse.linalg

import pinops as po
from pinops.derivatives import Plan, add, derivatives_of, elementwise, linear
from pinops.networks import (
    Convolutional,
    Frozen,
    JetNetwork,
    MLPNetwork,
    ModifiedMLP,
    VectorEncoder,
)
from pinops.operators import DeepONetwork
from pinops.problem import sample_members, unstacked
from pinops.reference import characteristics, cole_hopf, periodic_cole_hopf, poisson_disks
from pinops.training import Curriculum

KEY = jax.random.key(0)


def relative_l2(values, truth):
    return np.linalg.norm(values - truth) / np.linalg.norm(truth)


# References


def decaying_wave(x, t, nu, size=0.8):
    """Burgers' equation: u = -2ν φ_x / φ, where φ = 1 + size exp(-νk²t) cos kx diffuses, k = 2π."""
    k = 2 * np.pi
    decayed = size * np.exp(-nu * k**2 * t)
    return 2 * nu * k * decayed * np.sin(k * x) / (1 + decayed * np.cos(k * x))


@pytest.mark.parametrize("nu", [0.01, 0.1])
def test_burgers_equation_from_a_wave_with_a_closed_form(nu):
    x, t = np.linspace(0, 1, 41), np.linspace(0, 2, 6)
    truth = decaying_wave(x[:, None], t, nu)

    def initial(y):
        return decaying_wave(y, 0.0, nu)

    def antiderivative(y):
        return -2 * nu * np.log(1 + 0.8 * np.cos(2 * np.pi * y))

    speed = float(np.abs(initial(np.linspace(0, 1, 2001))).max())
    line = cole_hopf(x, t, nu, initial=initial, antiderivative=antiderivative, speed=speed)
    assert line.error_bar["u"] < 1e-10
    assert relative_l2(line.values["u"], truth) < 1e-10
    periodic = periodic_cole_hopf(x, t, nu, initial=initial)
    assert relative_l2(periodic.values["u"], truth) <= periodic.error_bar["u"] < 1e-9


def test_advection_with_a_linear_speed_has_a_closed_form():
    """Speed 1 + x/2: a wave needs 2 ln(1 + x/2) from the inflow to x."""
    x, t = np.linspace(0, 1, 100), np.linspace(0, 1, 100)
    found = characteristics(
        1 + x / 2,
        (0.0, 1.0),
        t,
        initial=lambda x: np.sin(np.pi * x),
        inflow=lambda t: np.sin(np.pi * t / 2),
    )
    late = t - 2 * np.log(1 + found.coordinates["x"] / 2)
    foot = 2 * np.expm1(-late / 2)  # where the wave started, had it not come in
    truth = np.where(late > 0, np.sin(np.pi * late / 2), np.sin(np.pi * foot))
    np.testing.assert_allclose(found.values["u"], truth, atol=1e-7)


def test_a_square_with_disks_by_finite_differences():
    """Shortley and Weller's five points, of second order, with the distances to the circles."""
    n, centers, radius = 240, [(a, b) for a in (-0.3, 0.3) for b in (-0.3, 0.3)], 0.1
    h, axis = 1 / n, np.linspace(-0.5, 0.5, n + 1)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    inside = np.minimum.reduce([np.hypot(x - a, y - b) for a, b in centers]) > radius
    inner = inside & (np.maximum(np.abs(x), np.abs(y)) < 0.5 - h / 2)
    number = np.cumsum(inner) - 1
    rows, columns, entries, right = [], [], [], np.zeros(inner.sum())
    (here,) = np.nonzero(inner)
    for along, across, stride in ((x, y, n + 1), (y, x, 1)):
        steps = {}
        for sign in (-1, 1):
            steps[sign] = np.full(here.size, h)
            for center in centers:
                a, b = center if along is x else center[::-1]
                half = radius**2 - (across[here] - b) ** 2
                gap = sign * (a - along[here]) - np.sqrt(np.maximum(half, 0))
                near = (half > 0) & (gap > 0) & (gap < h)
                steps[sign][near] = gap[near]
        for sign in (-1, 1):
            weight = 2 / steps[sign] / (steps[-1] + steps[1])
            other = here + sign * stride
            known = ~inner[other]
            # Neighbours that are no unknowns lie on the square, where u = 1, or behind a circle,
            # where u = 0.
            right[known & inside[other]] += weight[known & inside[other]]
            rows += [number[here], number[here][~known]]
            columns += [number[here], number[other][~known]]
            entries += [weight, -weight[~known]]
    matrix = scipy.sparse.csc_matrix(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns)))
    )
    found = scipy.sparse.linalg.spsolve(matrix, right)
    ours = poisson_disks(
        axis, axis, half_width=0.5, centers=centers, radius=radius, outer=1.0, inner=0.0, order=12
    )
    assert relative_l2(found, ours.values["u"].ravel()[here]) < 1e-4


def test_the_curriculum_is_a_logistic_function_of_the_epoch():
    """Takamoto, Alesiani & Niepert (2023): (1 + tanh((r - 1/2) / 0.2)) / 2 is logistic with rate
    10.
    """
    schedule = Curriculum(100, 3)
    epochs = np.arange(100)
    logistic = 1 / (1 + np.exp(-10 * ((epochs - 3) / 97 - 0.5)))
    for frames in (41, 21):
        wanted = np.where(epochs < 3, 1, np.clip(np.floor(frames * logistic), 1, frames))
        assert [schedule.free(epoch, frames) for epoch in range(100)] == wanted.tolist()
    assert [schedule.free(epoch, 41) for epoch in (0, 22, 23, 51, 99)] == [1, 1, 2, 19, 40]


# Families


def test_members_of_burgers_family_have_the_published_covariance_and_our_solver_their_solution(
    float64,
):
    """625 (-Δ + 25)^-2 white noise (Wang, Wang & Perdikaris 2021, section 4.3), solved by Cole and
    Hopf.
    """
    members = sample_members(po.load_problem("burgers_family"), KEY, range(4000))
    starts = np.asarray(jax.vmap(lambda member: member.inputs()["initial"])(members))[:, :-1]
    k = np.arange(1, 6)
    power = 2 * np.mean(np.abs(np.fft.rfft(starts) / 100)[:, k] ** 2, 0)
    published = (625 / ((2 * np.pi * k) ** 2 + 25) ** 2) ** 2
    np.testing.assert_allclose(power, 2 * published, rtol=0.1)
    member = unstacked(sample_members(po.load_problem("burgers_family"), KEY, range(1)), 1)[0]
    a, b = np.asarray(member.initial, np.float64)
    waves = 2 * np.pi * np.arange(1, 33)
    reference = member.reference()
    x, t = reference.coordinates["x"].ravel(), reference.coordinates["t"].ravel()
    other = periodic_cole_hopf(
        x,
        t,
        0.01,
        initial=lambda y: np.cos(y[..., None] * waves) @ a + np.sin(y[..., None] * waves) @ b,
    )
    error = relative_l2(reference.values["u"], other.values["u"])
    assert error <= reference.error_bar["u"] + other.error_bar["u"] < 1e-5


# Networks


def layers(rng, sizes):
    """Random weights and biases between layers of these sizes."""
    return [
        (rng.standard_normal((i, o)) / np.sqrt(i), rng.standard_normal(o))
        for i, o in zip(sizes, sizes[1:], strict=False)
    ]


def perceptron(given, bend):
    weights, biases = zip(*given, strict=True)
    return MLPNetwork([jnp.asarray(w) for w in weights], [jnp.asarray(b) for b in biases], bend)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def solutions(branch, trunk, inputs, points):
    """Our DeepONet of given networks, which sees inputs as they are, at points."""
    size = inputs.shape[1:]
    zero, one = (Frozen({"given": fill(size)}) for fill in (jnp.zeros, jnp.ones))
    operator = DeepONetwork(VectorEncoder(("given",), branch), trunk, zero, one, 1)
    at = jnp.asarray(points)

    def solution(given):
        return operator({"given": given}).jet({(): at}, Plan())[()][:, 0]

    return jax.vmap(solution)(jnp.asarray(inputs))


def test_a_deeponet_of_modified_perceptrons_is_that_of_numpy(float64):
    """Wang, Wang & Perdikaris (2021): gated layers, and every input at every point."""
    rng = np.random.default_rng(0)

    def modified(network, x):
        (u, v), *_ = [network.encoders]
        u, v = (np.tanh(x @ np.asarray(e.weight) + np.asarray(e.bias)) for e in (u, v))
        for layer in network.layers:
            gate = np.tanh(x @ np.asarray(layer.weight) + np.asarray(layer.bias))
            x = gate * u + (1 - gate) * v
        return x @ np.asarray(network.last.weight) + np.asarray(network.last.bias)

    branch = ModifiedMLP(14, 5).build(11, 14, key=KEY)
    trunk = ModifiedMLP(14, 5).build(2, 14, key=jax.random.key(1))
    for network, inputs in ((branch, 11), (trunk, 2)):
        count = sum(leaf.size for leaf in jax.tree.leaves(network))
        assert count == 3 * (inputs + 1) * 14 + 5 * 15 * 14
    inputs, points = rng.standard_normal((3, 11)), rng.random((20, 2))
    found = solutions(branch, trunk, inputs, points)
    np.testing.assert_allclose(found, modified(branch, inputs) @ modified(trunk, points).T, 1e-12)


def test_a_deeponet_of_any_branch_is_that_of_numpy(float64):
    """A branch with a normalised layer and a trunk of leaky units (multi-task DeepONet)."""
    rng = np.random.default_rng(1)
    one, two = layers(rng, (7, 12, 6))
    deep = layers(rng, (2, 9, 9, 6))

    def branch(x, np=jnp):
        x = x @ one[0] + one[1]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
        return np.where(x > 0, x, 0.2 * x) @ two[0] + two[1]

    inputs, points = rng.standard_normal((3, 7)), rng.random((20, 2))
    trunk = perceptron(deep, lambda x: jax.nn.leaky_relu(x, 0.2))
    basis = points
    for weight, bias in deep[:-1]:
        basis = leaky(basis @ weight + bias)
    wanted = branch(inputs, np) @ (basis @ deep[-1][0] + deep[-1][1]).T
    np.testing.assert_allclose(solutions(branch, trunk, inputs, points), wanted, rtol=1e-11)


def test_a_convolutional_branch_is_that_of_scipy(float64):
    rng = np.random.default_rng(2)
    architecture = Convolutional((4, 5), kernel=5, width=8, depth=2)
    network = architecture.build({"image": (12, 9, 2)}, 6, key=KEY).network
    image = rng.standard_normal((12, 9, 2))
    x = image
    for kernel, bias in zip(network.kernels, network.biases, strict=True):
        maps = [
            sum(
                scipy.signal.correlate(x[..., i], np.asarray(kernel[..., i, o]), mode="same")
                for i in range(x.shape[-1])
            )
            for o in range(kernel.shape[-1])
        ]
        x = np.maximum(np.stack(maps, -1) + np.asarray(bias), 0)
        h, w = x.shape[0] // 2, x.shape[1] // 2
        x = x[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).mean((1, 3))
    x = x.ravel()
    head = zip(network.head.weights, network.head.biases, strict=True)
    *hidden, (weight, bias) = [(np.asarray(w), np.asarray(b)) for w, b in head]
    for w, b in hidden:
        x = np.tanh(x @ w + b)
    np.testing.assert_allclose(network(jnp.asarray(image)), x @ weight + bias, rtol=1e-11)


def test_the_convolutional_branch_has_as_many_parameters_as_the_released_one():
    """Kernels of 5 x 5 points, four halvings of 100 x 100, dense layers of 128, a trunk of four
    layers of 150.
    """
    built = Convolutional((16, 32, 64, 64)).build({"image": (100, 100, 2)}, 150, key=KEY)
    filters, pixels = (2, 16, 32, 64, 64), 6 * 6
    convolutions = sum((25 * i + 1) * o for i, o in zip(filters, filters[1:], strict=False))
    dense = (pixels * 64 + 1) * 128 + 129 * 128 + 129 * 150
    assert sum(leaf.size for leaf in jax.tree.leaves(built)) == convolutions + dense


def test_a_trunk_with_skipped_layers_is_that_of_numpy(float64):
    """A network of one's own from the algebra of jets, as the plate's trunk of the multi-task
    DeepONet.
    """
    rng = np.random.default_rng(3)
    deep, skips = layers(rng, (3, *[8] * 5, 6)), layers(rng, [8] * 4)

    class Residual(JetNetwork):
        def jet(self, features, plan):
            swish, before = derivatives_of(jax.nn.swish), []
            for k, layer in enumerate(deep[:-1]):
                here = elementwise(swish, linear(features, *map(jnp.asarray, layer)), plan)
                if k > 1:
                    here = add(here, linear(before[-2], *map(jnp.asarray, skips[k - 2])))
                before.append(features := here)
            return linear(features, *map(jnp.asarray, deep[-1]))

    x, before = rng.random((20, 3)), []
    points = x
    for k, (weight, bias) in enumerate(deep[:-1]):
        z = x @ weight + bias
        x = z / (1 + np.exp(-z))
        if k > 1:
            x = x + before[-2] @ skips[k - 2][0] + skips[k - 2][1]
        before.append(x)
    inputs = rng.standard_normal((3, 6))
    wanted = inputs @ (x @ deep[-1][0] + deep[-1][1]).T
    np.testing.assert_allclose(
        solutions(lambda one: one, Residual(), inputs, points), wanted, rtol=1e-11
    )
