"""Derivatives against closed forms (plane waves, Cauchy's integral formula); what names mean."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pinops.derivatives import (
    LAPLACIAN,
    STDE,
    Jet,
    Names,
    Plan,
    add,
    apply_pointwise,
    call_by_name,
    concatenate,
    coordinates,
    derivatives_of,
    elementwise,
    linear,
    nested,
    parse_name,
    parse_names,
    parse_signature,
    product,
    sine_and_cosine,
)
from pinops.networks import MLP, Embedding, NetworkField, activations

# Units of rounding: high derivatives of a composition amplify it.
TOLERANCE = {np.float32: 2e-4, np.float64: 1e-11}

# name -> the same function of complex numbers, in NumPy
COMPLEX = {
    "tanh": np.tanh,
    "sin": np.sin,
    "gelu": lambda z: z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log1p(np.exp(z)),
}

each_dtype = pytest.mark.parametrize(
    "dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__
)
each_activation = pytest.mark.parametrize("name", activations)


def all_indices(dimensions: int, order: int) -> list[tuple[int, ...]]:
    axes = range(dimensions)
    return [
        index
        for m in range(order + 1)
        for index in itertools.combinations_with_replacement(axes, m)
    ]


def points(n: int, dimensions: int, dtype: type = np.float64) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (n, dimensions)), dtype)


def full(jet: Jet, index: tuple[int, ...]) -> np.ndarray:
    """A stream with its zeros and constants written out."""
    return np.broadcast_to(jet.get(index, jnp.zeros(())), jet[()].shape)


def assert_jets_agree(jet: Jet, expected: Jet, plan: Plan, tolerance: float) -> None:
    assert set(jet) <= {*plan.indices, LAPLACIAN}
    for index in (*plan.indices, *([LAPLACIAN] if plan.laplacian else [])):
        truth = full(expected, index)
        scale = max(1.0, float(np.max(np.abs(truth))))
        np.testing.assert_allclose(
            full(jet, index), truth, rtol=0, atol=tolerance * scale, err_msg=str(index)
        )


def count(jaxpr, *names: str) -> int:
    """How many operations of the given names a program holds, inner programs included."""
    total = 0
    for equation in jaxpr.eqns:
        total += equation.primitive.name in names
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")
        ):
            inner = getattr(value, "jaxpr", value)
            total += count(inner, *names) if hasattr(inner, "eqns") else 0
    return total


# --- activations --------------------------------------------------------------------------------


@each_dtype
@each_activation
def test_activation_derivatives_are_those_of_cauchys_formula(name, dtype, float64):
    """s^(m)(z) = m! / (2 pi r^m) * integral of s(z + r exp(i a)) exp(-i m a) da, exact for the
    trapezoidal rule.
    """
    z, radius, nodes = np.linspace(-3, 3, 25), 0.7, 128
    circle = radius * np.exp(2j * np.pi * np.arange(nodes) / nodes)
    taylor = np.fft.fft(COMPLEX[name](z[:, None] + circle)) / nodes
    got = derivatives_of(activations[name])(jnp.asarray(z, dtype), 4)
    assert len(got) == 5
    for m, derivative in enumerate(got):
        assert derivative.dtype == dtype
        expected = math.factorial(m) * taylor[:, m].real / radius**m
        np.testing.assert_allclose(
            derivative, expected, rtol=0, atol={np.float32: 5e-6, np.float64: 2e-13}[dtype]
        )


@each_activation
@pytest.mark.parametrize("order", range(5))
def test_no_more_derivatives_than_asked_for(name, order):
    assert len(derivatives_of(activations[name])(jnp.zeros(3), order)) == order + 1


@each_activation
def test_activations_far_out(name, float64):
    """Saturated units give derivatives that vanish, not NaN."""
    higher = derivatives_of(activations[name])(jnp.asarray([-400.0, 400.0]), 4)[2:]
    assert np.all(np.isfinite(higher))
    if name != "sin":
        np.testing.assert_allclose(higher, 0, atol=1e-100)


# --- plane waves: every mixed partial derivative in closed form ---------------------------------

WAVES = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]])  # wave vectors k, one row each
PHASES = np.array([0.2, -0.7])


def wave(point):
    return jnp.sin(jnp.asarray(WAVES, point.dtype) @ point + jnp.asarray(PHASES, point.dtype))


def wave_jet(x: jax.Array, plan: Plan) -> Jet:
    """d^m/dx_i dx_j ... sin(k.x + p) = k_i k_j ... sin(k.x + p + m pi/2)."""
    angle = np.asarray(x, np.float64) @ WAVES.T + PHASES

    def of(index):
        return jnp.asarray(np.prod(WAVES[:, index], 1) * np.sin(angle + len(index) * np.pi / 2))

    jet = {index: of(index) for index in plan.indices}
    if plan.laplacian:
        jet[LAPLACIAN] = sum(of((axis, axis)) for axis in plan.laplacian)
    return jet


def by_nesting(x, plan):
    return nested(wave, x, plan)


def by_propagation(x, plan):
    z = linear(coordinates(x, plan), jnp.asarray(WAVES.T, x.dtype), jnp.asarray(PHASES, x.dtype))
    return elementwise(derivatives_of(jnp.sin), z, plan)


def by_addition_theorem(x, plan):
    """sin(a + b) = sin a cos b + cos a sin b, both of all coordinates: products of jets."""
    k, phase = jnp.asarray(WAVES.T, x.dtype), jnp.asarray(PHASES, x.dtype)
    part = jnp.asarray([[0.3], [0.5], [1.5]], x.dtype)
    a, b = (
        linear(coordinates(x, plan), part * k, phase),
        linear(coordinates(x, plan), (1 - part) * k),
    )

    def sin(z):
        return elementwise(derivatives_of(jnp.sin), z, plan)

    def cos(z):
        return elementwise(derivatives_of(jnp.cos), z, plan)

    return add(product(sin(a), cos(b), plan), product(cos(a), sin(b), plan))


def side_by_side(x, plan):
    """One wave at a time, then concatenated."""
    k, phase = jnp.asarray(WAVES.T, x.dtype), jnp.asarray(PHASES, x.dtype)
    waves = [linear(coordinates(x, plan), k[:, c : c + 1], phase[c : c + 1]) for c in range(2)]
    return concatenate([elementwise(derivatives_of(jnp.sin), z, plan) for z in waves])


ways = pytest.mark.parametrize(
    "way", [by_nesting, by_propagation, by_addition_theorem, side_by_side]
)


@each_dtype
@ways
def test_all_partial_derivatives_up_to_order_4(way, dtype, float64):
    x, plan = points(5, 3, dtype), Plan(all_indices(3, 4))
    jet = jax.jit(lambda x: way(x, plan))(x)
    assert len(plan.indices) == 35 and set(jet) == set(plan.indices)
    assert {stream.dtype for stream in jet.values()} == {np.dtype(dtype)}
    assert_jets_agree(jet, wave_jet(x, plan), plan, TOLERANCE[dtype])


@pytest.mark.parametrize("index", [*all_indices(2, 4), (0, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("way", [by_propagation, by_addition_theorem])
def test_any_single_partial_derivative(way, index, float64):
    """A plan that asks for one derivative carries what that one needs, and nothing else."""
    plan = Plan([index])
    needed = {
        tuple(part) for m in range(len(index) + 1) for part in itertools.combinations(index, m)
    }
    assert set(plan.indices) == needed
    x = points(3, 3)
    assert_jets_agree(way(x, plan), wave_jet(x, plan), plan, 1e-12)


@ways
@pytest.mark.parametrize("axes", [(1, 2), (0, 1, 2)], ids=str)
def test_forward_laplacian(way, axes, float64):
    """The sum of second derivatives, without any of them being carried; alone and beside other
    derivatives.
    """
    x = points(5, 3)
    for plan in (Plan(laplacian=axes), Plan([(0, 0, 1), (2,)], axes)):
        jet = way(x, plan)
        assert not {(axis, axis) for axis in axes} & set(jet) - set(plan.indices)
        assert_jets_agree(jet, wave_jet(x, plan), plan, 1e-12)


# --- networks -----------------------------------------------------------------------------------


@each_activation
def test_a_deep_network_agrees_with_nested_forward_mode(name, float64):
    network = MLP(4, 2, activations[name]).build(2, 2, key=jax.random.key(0))
    x, plan = points(4, 2), Plan(all_indices(2, 3), (0, 1))
    fast, slow = jax.jit(
        lambda x: (network.jet(coordinates(x, plan), plan), nested(network, x, plan))
    )(x)
    assert_jets_agree(fast, slow, plan, 1e-12)


def test_a_deep_network_at_order_4(float64):
    network = MLP(3, 2).build(2, 1, key=jax.random.key(0))
    x, plan = points(4, 2), Plan([(0, 0, 0, 0), (0, 0, 1, 1)])
    fast = jax.jit(lambda network, x: network.jet(coordinates(x, plan), plan))
    assert_jets_agree(fast(network, x), jax.jit(lambda x: nested(network, x, plan))(x), plan, 1e-12)
    single = fast(*jax.tree.map(lambda leaf: leaf.astype(np.float32), (network, x)))
    assert {stream.dtype for stream in single.values()} == {np.dtype(np.float32)}
    assert_jets_agree(single, fast(network, x), plan, TOLERANCE[np.float32])


def test_parameter_gradients_of_a_residual(float64):
    """Reverse mode over the propagation is reverse mode over nested forward mode."""
    network = MLP(4, 2).build(2, 1, key=jax.random.key(0))
    x, plan = points(4, 2), Plan([(0, 0), (1,)])

    def loss(network, propagate):
        jet = propagate(network)
        return jnp.mean((jet[1,] + jet[()] * jet[0,] - 0.1 * jet[0, 0]) ** 2)

    fast = jax.jit(jax.grad(loss), static_argnums=1)(
        network, lambda net: net.jet(coordinates(x, plan), plan)
    )
    slow = jax.jit(jax.grad(loss), static_argnums=1)(network, lambda net: nested(net, x, plan))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14), fast, slow)


def test_zero_streams_are_left_out(float64):
    """A linear map has no second derivatives; a residual reads them as zeros."""
    x, plan = points(5, 2), Plan([(0, 0), (0, 1)], (0, 1))
    jet = linear(coordinates(x, plan), jnp.ones((2, 1)))
    assert set(jet) == {(), (0,), (1,)} and jet[0,].shape == (1, 1)
    square = product(jet, jet, plan)
    np.testing.assert_allclose(full(square, (0, 1)), 2)
    signature = parse_names(("u", "u_x", "u_xx", "lap_u"), XY, owner="test")
    values = signature.gather(jet, x)
    assert {value.shape for value in values.values()} == {(5,)}
    np.testing.assert_array_equal(values["u_x"], 1)
    np.testing.assert_array_equal(values["u_xx"], 0)
    np.testing.assert_array_equal(values["lap_u"], 0)


# --- embeddings ---------------------------------------------------------------------------------

BOUNDS = ((-1.0, 3.0), (0.0, 0.25), (2.0, 5.0))


def embed(periodic):
    """The features in the order of `Embedding`: centred coordinates, then all cosines, then all
    sines.
    """

    def features(point):
        low, high = jnp.asarray(BOUNDS, point.dtype).T
        s = 2 * (point - low) / (high - low) - 1
        plain = [s[axis] for axis in range(3) if axis not in periodic]
        angles = [jnp.pi * s[axis] for axis in periodic]
        return jnp.stack([*plain, *map(jnp.cos, angles), *map(jnp.sin, angles)])

    return features


@each_dtype
@pytest.mark.parametrize("periodic", [(), (1,), (0, 2), (0, 1, 2)], ids=str)
def test_embedding(periodic, dtype, float64):
    low, high = np.array(BOUNDS, dtype).T
    x = low[None] + (points(5, 3, dtype) + 1) / 2 * (high - low)[None]
    embedding, plan = Embedding(BOUNDS, periodic), Plan(all_indices(3, 2), (0, 2))
    jet = embedding.jet(x, plan)
    assert jet[()].shape == (5, embedding.size) == (5, 3 + len(periodic)) and jet[()].dtype == dtype
    kept = {index: jet[index] for index in (*plan.indices, LAPLACIAN) if index in jet}
    truth = jax.jit(lambda x: nested(embed(periodic), x, plan))(x)
    assert_jets_agree(kept, truth, plan, TOLERANCE[dtype])


ENDS = [(0, False)], [(1, True)], [(1, True), (1, False), (2, False)]


@pytest.mark.parametrize("flat", ENDS, ids=str)
def test_flat_ends_are_those_of_every_network(flat, float64):
    embedding, plan = Embedding(BOUNDS, (0,), flat=tuple(flat)), Plan(all_indices(3, 3), (0, 2))
    if flat[0][0] == 0:
        embedding = Embedding(BOUNDS, flat=tuple(flat))
    field = NetworkField(MLP(5, 2).build(embedding.size, 1, key=jax.random.key(0)), embedding)
    low, high = np.array(BOUNDS).T
    x = low[None] + (points(5, 3, np.float64) + 1) / 2 * (high - low)[None]
    jet = field.jet(x, plan)
    kept = {index: jet[index] for index in (*plan.indices, LAPLACIAN) if index in jet}
    assert_jets_agree(kept, jax.jit(lambda x: nested(field, x, plan))(x), plan, 1e-11)
    for axis, upper in flat:
        there = field.jet(x.at[:, axis].set(BOUNDS[axis][upper]), plan)
        assert np.max(np.abs(there[axis,])) < 1e-14 * np.max(np.abs(there[axis, axis]))
        assert np.min(np.abs(there[axis, axis, axis])) > 0  # no mirror: odd derivatives are free


def test_a_periodic_coordinate_repeats_with_all_its_derivatives(float64):
    network = MLP(5, 2).build(3, 1, key=jax.random.key(0))
    field = NetworkField(network, Embedding(((-1.0, 2.0), (0.0, 1.0)), (0,)))
    x, plan = jnp.asarray([[-0.7, 0.3], [0.4, 0.9]]), Plan(all_indices(2, 2))
    assert_jets_agree(
        field.jet(x + jnp.asarray([[3.0, 0.0]]), plan), field.jet(x, plan), plan, 1e-11
    )


def test_an_even_coordinate_has_mirrored_derivatives(float64):
    network = MLP(5, 2).build(2, 1, key=jax.random.key(0))
    field = NetworkField(network, Embedding(((-1.0, 2.0), (0.0, 1.0)), (0,), even=(0,)))
    x, plan = jnp.asarray([[-0.7, 0.3], [0.4, 0.9]]), Plan(all_indices(2, 2))
    mirrored = field.jet(jnp.asarray([[1.7, 0.3], [0.6, 0.9]]), plan)
    signed = {index: (-1) ** index.count(0) * stream for index, stream in mirrored.items()}
    assert_jets_agree(signed, field.jet(x, plan), plan, 1e-11)


def test_bounds_are_mapped_to_plus_and_minus_one():
    """To the last bit but one, in float32 too: accelerators round factors of matrix products."""
    ends = jnp.asarray(BOUNDS, jnp.float32).T
    np.testing.assert_allclose(
        Embedding(BOUNDS).jet(ends, Plan())[()], [[-1, -1, -1], [1, 1, 1]], rtol=1.2e-7
    )
    program = jax.make_jaxpr(lambda x: Embedding(BOUNDS, (1,)).jet(x, Plan([(0, 0)])))(ends)
    assert count(program.jaxpr, "dot_general") == 0


# --- each derivative once -----------------------------------------------------------------------


def program(residual, depth: int):
    """The jaxpr of a residual of a network field at a batch of points."""
    names = Names(("x", "t"), ("x",), ("u",))
    network = MLP(4, depth).build(2, 1, key=jax.random.key(0))
    field = NetworkField(network, Embedding(((-1.0, 1.0), (0.0, 1.0))))
    signature = parse_signature(residual, names, owner="test")

    def evaluate(x):
        return apply_pointwise(
            residual, signature.gather(field.jet(x, signature.plan), x), owner="test"
        )

    return jax.make_jaxpr(evaluate)(jnp.zeros((8, 2))).jaxpr


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_one_matrix_product_and_one_tanh_per_layer(depth):
    """However many derivatives are asked for, and however often the residual uses one."""
    residuals = [
        lambda u: u,
        lambda u, u_t, u_x, u_xx: u_t + u * u_x - u_xx,
        lambda u_xx: sum(u_xx**k for k in range(9)),
        lambda u, u_t, u_xt, u_xxxx, lap_u, grad_u: (
            u + u_t * u_t + u_t * u_xt + u_xxxx + lap_u * lap_u + grad_u[0]
        ),
    ]
    for residual in residuals:
        jaxpr = program(residual, depth)
        assert count(jaxpr, "dot_general") == depth + 1
        assert count(jaxpr, "tanh") == depth


def test_using_an_argument_again_costs_only_the_algebra():
    once = program(lambda u_xx: u_xx, 3)
    ten_times = program(
        lambda u_xx: u_xx + u_xx + u_xx + u_xx + u_xx + u_xx + u_xx + u_xx + u_xx + u_xx, 3
    )

    def total(jaxpr):
        return count(jaxpr, "mul", "add", "sub", "dot_general", "tanh", "neg", "add_any")

    assert total(ten_times) == total(once) + 9


# --- names --------------------------------------------------------------------------------------

XY = Names(("x", "y"), ("x", "y"), ("u",))
XYT = Names(("x", "y", "t"), ("x", "y"), ("u", "v", "p"))
POLAR = Names(("r", "theta", "t"), ("r", "theta"), ("u",))
MANY = Names(("x0", "x1", "x2"), ("x0", "x1", "x2"), ("u",))
UNDERSCORED = Names(("x", "t"), ("x",), ("rho", "rho_e", "u_a"))


def meaning(name: str, names: Names, boundary: bool = False):
    """A short spelling of what a name means."""
    argument = parse_name(name, names, boundary=boundary)
    return argument and (type(argument).__name__, *vars(argument).values())


@pytest.mark.parametrize(
    "name, names, expected",
    [
        ("u", XYT, ("Partial", 0, ())),
        ("p", XYT, ("Partial", 2, ())),
        ("u_t", XYT, ("Partial", 0, (2,))),
        ("v_xy", XYT, ("Partial", 1, (0, 1))),
        ("v_yx", XYT, ("Partial", 1, (0, 1))),
        ("v_y_x", XYT, ("Partial", 1, (0, 1))),
        ("u_xxyy", XYT, ("Partial", 0, (0, 0, 1, 1))),
        ("u_yxyx", XYT, ("Partial", 0, (0, 0, 1, 1))),
        ("u_xxxxx", XYT, None),
        ("x", XYT, ("Coordinate", 0)),
        ("t", XYT, ("Coordinate", 2)),
        ("point", XYT, ("Point",)),
        ("lap_v", XYT, ("Laplacian", 1)),
        ("grad_p", XYT, ("Gradient", 2)),
        ("lap_w", XYT, None),
        ("lap_u_x", XYT, None),
        ("w", XYT, None),
        ("u_", XYT, None),
        ("u_q", XYT, None),
        ("u__x", XYT, None),
        ("_x", XYT, None),
        ("ux", XYT, None),
        ("u_r", POLAR, ("Partial", 0, (0,))),
        ("u_r_theta", POLAR, ("Partial", 0, (0, 1))),
        ("u_theta_r", POLAR, ("Partial", 0, (0, 1))),
        ("u_rr_theta", POLAR, ("Partial", 0, (0, 0, 1))),
        ("u_theta_theta", POLAR, ("Partial", 0, (1, 1))),
        ("u_rt", POLAR, ("Partial", 0, (0, 2))),
        ("u_rtheta", POLAR, None),
        ("theta", POLAR, ("Coordinate", 1)),
        ("u_x0", MANY, ("Partial", 0, (0,))),
        ("u_x2_x1", MANY, ("Partial", 0, (1, 2))),
        ("u_x0_x0", MANY, ("Partial", 0, (0, 0))),
        ("u_x0x0", MANY, None),
        ("u_x", MANY, None),
        ("rho_x", UNDERSCORED, ("Partial", 0, (0,))),
        ("rho_e", UNDERSCORED, ("Partial", 1, ())),
        ("rho_e_xt", UNDERSCORED, ("Partial", 1, (0, 1))),
        ("u_a_x", UNDERSCORED, ("Partial", 2, (0,))),
        ("lap_rho_e", UNDERSCORED, ("Laplacian", 1)),
        ("u_x", UNDERSCORED, None),
    ],
)
def test_what_a_name_means(name, names, expected):
    assert meaning(name, names) == expected
    assert meaning(name, names, boundary=True) == expected


def test_normals_exist_on_a_boundary_only():
    assert meaning("u_n", XYT, boundary=True) == ("Normal", 0)
    assert meaning("normal", XYT, boundary=True) == ("NormalVector",)
    assert meaning("u_n", XYT) is None and meaning("normal", XYT) is None
    with_n = Names(("x", "n"), ("x", "n"), ("u",))  # a coordinate of that name is what u_n is about
    assert meaning("u_n", with_n, boundary=True) == meaning("u_n", with_n) == ("Partial", 0, (1,))


def test_values_of_every_kind_of_argument(float64):
    """gather hands over the numbers that the names promise, in the unknowns' order."""
    x, names = points(6, 3), Names(("x", "y", "t"), ("x", "y"), ("v", "u"))
    normals = jnp.asarray([[math.cos(a), math.sin(a)] for a in range(6)])
    arguments = ("t", "u_yx", "point", "v", "grad_u", "u_n", "normal", "lap_u")
    signature = parse_names(arguments, names, owner="test", boundary=True)
    truth = wave_jet(x, Plan(all_indices(3, 2)))
    values = signature.gather(by_propagation(x, signature.plan), x, normals)
    gradient = np.stack([truth[0,][:, 1], truth[1,][:, 1]], -1)
    expected = {
        "t": x[:, 2],
        "u_yx": truth[0, 1][:, 1],
        "point": x,
        "v": truth[()][:, 0],
        "grad_u": gradient,
        "u_n": np.sum(gradient * normals, -1),
        "normal": normals,
        "lap_u": (truth[0, 0] + truth[1, 1])[:, 1],
    }
    assert tuple(values) == arguments
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=0, atol=1e-13, err_msg=name)


def test_the_plan_holds_what_the_signature_names_and_no_more():
    plan = parse_signature(lambda u, v_xy, lap_u, t, point: None, XYT, owner="test").plan
    assert plan == Plan([(0, 1)], (0, 1))
    assert plan.indices == ((), (0,), (1,), (0, 1)) and plan.order == 2
    assert parse_signature(lambda x, t: None, XYT, owner="test").plan == Plan()


def test_plans_combine():
    a, b = Plan([(0, 0)]), Plan([(1,)], (0, 1))
    assert a.union(b) == b.union(a) == Plan([(0, 0), (1,)], (0, 1))
    assert Plan([(1, 0)]) == Plan([(0, 1)])
    with pytest.raises(
        ValueError, match=r"two Laplacians over different axes: \(0, 1\) and \(0,\)"
    ):
        b.union(Plan(laplacian=(0,)))


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "residual, sentence",
    [
        (
            lambda u, w_x: u,
            r"heat.residual: the argument 'w_x' names nothing.*the unknowns u, v, p; "
            r".*up to order 4",
        ),
        (
            lambda u_xxxxx: 0,
            r"the argument 'u_xxxxx' names nothing.*up to order 4 such as u_x, u_xx, lap_u, grad_u",
        ),
        (
            lambda u, pont: u,
            r"'pont' names nothing \(did you mean point\?\).*the coordinates x, y, t; and point",
        ),
        (lambda u_n: u_n, r"'u_n' names nothing"),
        (
            lambda u, *rest: u,
            r"heat.residual: the argument \*rest has no meaning; name the quantities one by one",
        ),
        (lambda u, **rest: u, r"\*rest has no meaning"),
    ],
)
def test_a_name_without_meaning_is_an_error_that_lists_what_there_is(residual, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_signature(residual, XYT, owner="heat.residual")


def test_the_boundary_and_long_names_have_their_own_lists():
    with pytest.raises(ValueError, match=r"u_n \(outward normal derivative\), normal"):
        parse_signature(lambda w: 0, XYT, owner="test", boundary=True)
    with pytest.raises(ValueError, match=r"u_x0, u_x0_x0"):
        parse_signature(lambda u_x0x0: 0, MANY, owner="test")


def test_call_by_name():
    assert call_by_name(lambda t, x: (t, x), {"x": 1, "y": 2, "t": 3}, owner="test") == (3, 1)
    assert call_by_name(lambda: 5, {"x": 1}, owner="test") == 5
    with pytest.raises(
        ValueError, match="initial data: the argument 'z' names nothing; available are x, t"
    ):
        call_by_name(lambda z: z, {"x": 1, "t": 3}, owner="initial data")


def test_equations_are_evaluated_at_every_point():
    u, x = jnp.arange(3.0), jnp.ones((3, 2))
    single = apply_pointwise(
        lambda u, point: u * jnp.sum(point), {"u": u, "point": x}, owner="test"
    )
    assert list(single) == [""] and np.array_equal(single[""], [0, 2, 4])
    system = apply_pointwise(lambda u: {"z": u, "a": 1.0, "m": -u}, {"u": u}, owner="test")
    assert set(system) == {"z", "a", "m"} and {value.shape for value in system.values()} == {(3,)}
    np.testing.assert_array_equal(system["a"], 1)


@pytest.mark.parametrize(
    "residual, sentence",
    [
        (
            lambda u, point: u * point,
            r"heat: the equation returned an array of shape \(2,\) at one point; return one",
        ),
        (lambda u, point: u[None], r"the equation returned an array of shape \(1,\) at one point"),
        (
            lambda u, point: {"a": u, "b": point},
            r"heat: equation 'b' returned an array of shape \(2,\)",
        ),
        (
            lambda u, point: None,
            r"heat: the equation returned None at one point; return one scalar",
        ),
        (
            lambda u, point: (u, u),
            r"heat: the equation returned a tuple of 2 at one point; return one scalar",
        ),
        (
            lambda u, point: {"a": u, "b": None},
            r"heat: equation 'b' returned None at one point",
        ),
        (lambda u, point: {}, r"heat: it returned no equation"),
    ],
)
def test_a_residual_of_a_wrong_shape_is_an_error_with_its_name(residual, sentence):
    with pytest.raises(ValueError, match=sentence):
        apply_pointwise(residual, {"u": jnp.zeros(4), "point": jnp.zeros((4, 2))}, owner="heat")


@pytest.mark.parametrize(
    ("dtype", "near", "far"), [(np.float64, 4e-16, 2e-11), (np.float32, 2e-7, 1e-2)]
)
def test_sine_and_cosine_are_right_to_round_off(dtype, near, far):
    """Relative to 1, near zero and for large angles (where the angle itself is rounded)."""
    with jax.enable_x64(dtype == np.float64):
        for size, tolerance in ((10.0, near), (1e5, far)):
            z = np.linspace(-size, size, 200_001).astype(dtype)
            found = sine_and_cosine(jnp.asarray(z))
            exact = np.sin(z.astype(np.longdouble)), np.cos(z.astype(np.longdouble))
            for a, b in zip(found, exact, strict=True):
                assert (
                    a.dtype == dtype
                    and np.max(np.abs(np.asarray(a, np.longdouble) - b)) < tolerance
                )
        assert [float(x) for x in sine_and_cosine(jnp.zeros((), dtype))] == [0.0, 1.0]
        assert all(np.isnan(x) for x in sine_and_cosine(jnp.asarray(np.nan, dtype)))


@pytest.mark.parametrize("function", [jnp.sin, jnp.cos])
def test_all_derivatives_of_waves(function, float64):
    z = jnp.linspace(-3.0, 3.0, 7)
    found, expected = derivatives_of(function)(z, 4), function
    for order in range(5):
        np.testing.assert_allclose(found[order], jax.vmap(expected)(z), atol=1e-15)
        np.testing.assert_allclose(
            jax.vmap(jax.grad(lambda x, k=order: derivatives_of(function)(x, 4)[k]))(z)[:2],
            jax.vmap(jax.grad(expected))(z)[:2],
            atol=1e-15,
        )
        expected = jax.grad(expected)


SPACE = (0, 1, 2)


def estimates(kind, count, draws, dimension=4, seed=0):
    """lap of a wave over three of four coordinates, estimated many times, and exactly."""
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (5, dimension)))
    network = MLP(width=7, depth=2).build(dimension, 1, key=jax.random.key(3))
    plan = Plan((), SPACE)
    exact = network.jet(coordinates(x, plan), plan)[LAPLACIAN][:, 0]

    def estimate(key):
        directions = STDE(count, kind).draw(key, SPACE, dimension)
        along = plan.along(count, dimension)
        fast = network.jet(coordinates(x, along, directions), along)[LAPLACIAN][:, 0]
        return fast, nested(network, x, along, directions)[LAPLACIAN][:, 0]

    fast, slow = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(seed), draws))
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    return np.asarray(fast), np.asarray(exact)


def test_all_sparse_directions_are_the_laplacian(float64):
    found, exact = estimates("sparse", 3, 2)
    np.testing.assert_allclose(found, np.broadcast_to(exact, found.shape), atol=1e-12)


@pytest.mark.parametrize(("kind", "count"), [("sparse", 1), ("sparse", 2), ("dense", 2)])
def test_the_estimate_is_right_on_average(kind, count, float64):
    found, exact = estimates(kind, count, 4000)
    error = np.std(found, 0) / np.sqrt(len(found))
    assert np.all(error > 1e-6) and np.all(np.abs(found.mean(0) - exact) < 4 * error)


def test_directions_are_those_of_the_space(float64):
    sparse = np.asarray(STDE(2, "sparse").draw(jax.random.key(0), (1, 3), 4))
    np.testing.assert_array_equal(np.sort(sparse, 0), np.sort(np.eye(4)[[1, 3]], 0))
    dense = np.asarray(STDE(8, "dense").draw(jax.random.key(0), (1, 3), 4))
    assert np.all(dense[:, [0, 2]] == 0) and np.allclose(np.abs(dense[:, [1, 3]]), 8**-0.5)


def test_directions_that_cannot_be_meant():
    with pytest.raises(ValueError, match="directions must be a whole number from 1 to"):
        STDE(0)
    with pytest.raises(ValueError, match="kind must be one of sparse, dense, got 'some'"):
        STDE(2, "some")
    with pytest.raises(
        ValueError, match="5 sparse directions need as many spatial coordinates, got 2"
    ):
        STDE(5).draw(jax.random.key(0), (0, 1), 3)


def test_many_coordinates_cost_no_more_than_the_directions(float64):
    """The streams of an estimated Laplacian in a thousand dimensions: values, directions,
    Laplacian.
    """
    plan = Plan((), tuple(range(1000))).along(4, 1000)
    x = jnp.zeros((2, 1000))
    jet = coordinates(x, plan, STDE(4).draw(jax.random.key(0), range(1000), 1000))
    assert sum(stream.size for stream in jet.values()) == 2 * 1000 + 4 * 1000
