"""A network in each of many overlapping windows of the domain."""

import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.derivatives import LAPLACIAN, Plan
from pinops.networks import (
    MLP,
    SIREN,
    Architecture,
    Decomposed,
    Embedding,
    NetworkField,
    RandomFeatures,
    Stacked,
    placed,
    trainable,
)
from pinops.networks._decomposed import _step
from pinops.operators import DeepONet
from pinops.settings import from_description, parsed, source_of
from pinops.solvers import allowed
from pinops.solvers._request import describe

KEY = jax.random.key(0)
PLANE = Embedding(((-1.0, 3.0), (0.0, 0.5)))
ROUND = Embedding(((-1.0, 3.0), (0.0, 0.5)), periodic=(0,))
EVEN = Embedding(((-1.0, 3.0), (0.0, 0.5)), periodic=(0, 1), even=(0,))
MORE = Embedding(((-1.0, 3.0), (0.0, 0.5)), (1,), lambda point: jnp.sin(point[:1] * point[1:]))
EMBEDDINGS = {"plane": PLANE, "round": ROUND, "even": EVEN, "more": MORE}


def built(architecture: Any, embedding: Embedding = PLANE, unknowns: int = 1) -> Any:
    known = placed(architecture, ("x", "t"), embedding)
    return known.build(embedding.size, unknowns, key=KEY)


def points(n: int, beyond: float = 0.0) -> jax.Array:
    low, high = np.array(PLANE.bounds).T
    drawn = np.random.default_rng(0).uniform(-beyond, 1 + beyond, (n, 2))
    return jnp.asarray(low + (high - low) * drawn)


@pytest.mark.parametrize("embedding", EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_weights_add_up_to_one(embedding, float64):
    """Networks that are 1 everywhere have a sum that is, with all derivatives, inside and beyond
    the domain.
    """
    network = built(Decomposed(MLP(3, 1), {"t": 3, "x": 5}, 0.6), embedding)
    train, rest = eqx.partition(network, trainable(network))
    ones = eqx.combine(jax.tree.map(jnp.zeros_like, train), rest)
    ones = eqx.tree_at(lambda n: n.networks.biases[-1], ones, jnp.ones((15, 1)))
    plan = Plan([(0, 0, 0, 0), (0, 1), (1, 1)], (0, 1))
    field = NetworkField(ones, embedding)
    jet = jax.jit(lambda at: field.jet(at, plan))(points(200, beyond=0.1))
    np.testing.assert_allclose(jet.pop(()), 1, rtol=1e-14)
    for index, stream in jet.items():
        np.testing.assert_allclose(stream, 0, atol=1e-8, err_msg=str(index))


@pytest.mark.parametrize("name, n", [("plane", 400), ("round", 3), ("even", 3), ("more", 400)])
def test_derivatives_are_those_of_jax(name, n, float64):
    """For points by themselves and in blocks, of which there are none for few points."""
    embedding = EMBEDDINGS[name]
    network = built(Decomposed(MLP(5, 1), {"x": 3, "t": 2}, 0.8), embedding, 2)
    field, at = NetworkField(network, embedding), points(n)
    plan = Plan([(0, 0), (0, 1)], (0, 1))

    @jax.jit
    def evaluate(at):
        return field.jet(at, plan), jax.vmap(field)(at), jax.vmap(jax.jacfwd(jax.jacfwd(field)))(at)

    jet, value, hessian = evaluate(at)
    for index, expected in {
        (): value,
        (0, 0): hessian[..., 0, 0],
        (0, 1): hessian[..., 0, 1],
        LAPLACIAN: hessian[..., 0, 0] + hessian[..., 1, 1],
    }.items():
        size = float(jnp.max(jnp.abs(expected)))
        assert size > 1e-2
        np.testing.assert_allclose(jet[index], expected, rtol=0, atol=1e-12 * max(1.0, size))


def test_the_step_is_smooth(float64):
    x = jnp.asarray([-0.3, 0.0, 0.2, 0.7, 1.0, 1.4])

    def derivative(x):
        return _step(x, 0)[0]

    for found in _step(x, 4):
        np.testing.assert_allclose(found, jax.vmap(derivative)(x), atol=1e-11)
        np.testing.assert_allclose(found[0], found[1], atol=1e-12)
        np.testing.assert_allclose(found[-1], found[-2], atol=1e-12)
        derivative = jax.grad(derivative)


def test_a_point_sees_its_own_windows_only(float64):
    """The window of a point in the middle of a cell, where windows share little of it."""
    network = built(Decomposed(MLP(4, 1), {"x": 4}, 0.5))
    middle = jnp.asarray([[-0.5, 0.1]])  # of the first of four cells

    def value(networks):
        changed = eqx.tree_at(lambda n: n.networks.biases[-1], network, networks)
        return NetworkField(changed, PLANE).jet(middle, Plan())[()].sum()

    slopes = jax.grad(value)(jnp.zeros((4, 1)))
    np.testing.assert_array_equal(slopes[:, 0], [1, 0, 0, 0])
    alone = jax.tree.map(lambda leaf: leaf[0], eqx.filter(network.networks, eqx.is_array))
    alone = eqx.combine(alone, network.networks)
    unit = jnp.asarray([0.0, (0.1 - 0.25) / 0.25])
    np.testing.assert_allclose(NetworkField(network, PLANE)(middle[0]), alone(unit), rtol=1e-14)


def test_windows_of_a_periodic_coordinate_wrap_round(float64):
    network = built(Decomposed(MLP(6, 1), {"x": 2}), ROUND)
    ends = jnp.asarray([[-1.0, 0.2], [3.0, 0.2], [7.0, 0.2]])
    jet = NetworkField(network, ROUND).jet(ends, Plan([(0, 0, 0, 0)], (0, 1)))
    for stream in jet.values():
        np.testing.assert_allclose(stream[1:], stream[:1].repeat(2, 0), rtol=1e-9, atol=1e-9)


def test_windows_of_a_coordinate_with_an_even_solution_are_even(float64):
    network = built(Decomposed(MLP(6, 1), {"x": 3}), EVEN)
    pair = jnp.asarray([[1 - 0.7, 0.2], [1 + 0.7, 0.2]])
    values = NetworkField(network, EVEN).jet(pair, Plan())[()]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


def test_it_is_read_from_text_and_from_json():
    text = "Decomposed(network=MLP(width=6, depth=1), parts={'x': 4, 't': 2}, overlap=0.5)"
    table = allowed(Architecture)
    read = parsed(text, table, kind=Architecture, what="a network")
    assert read == Decomposed(MLP(6, 1), {"x": 4, "t": 2}, 0.5)
    description = json.loads(json.dumps(describe(read)))
    again = from_description(description, table)
    assert isinstance(again, Decomposed) and again.parts == read.parts and again == read
    assert parsed(source_of(description, table), table, kind=Architecture, what="") == read


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (
            {"parts": {}},
            r"Decomposed: parts divides nothing; name a coordinate, such as \{'x': 8\}",
        ),
        ({"parts": {"x": 1}}, r"parts\['x'\] must be a whole number from 2 to 10000, got 1"),
        ({"parts": 8}, "parts must be a dict with a whole number from 2 to 10000 for each name"),
        ({"parts": {"x": 10000, "t": 1000}}, "at most 100000 windows, got 10000000"),
        ({"overlap": 0.0}, "overlap must be a finite number greater than 0 and of at most 1"),
        ({"overlap": 1.5}, "overlap must be a finite number greater than 0 and of at most 1"),
        ({"network": 3}, r"network must be an architecture such as MLP\(20, 2\), got 3"),
    ],
)
def test_settings_that_are_out_of_range(settings, sentence):
    given: dict[str, Any] = {"network": MLP(4, 1), "parts": {"x": 4}}
    with pytest.raises(ValueError, match=sentence):
        Decomposed(**given | settings)


def test_where_it_cannot_be():
    with pytest.raises(ValueError, match="parts divides z, and the coordinates are x, t"):
        po.solve("burgers", network=Decomposed(MLP(4, 1), {"z": 4}), steps=1)
    with pytest.raises(ValueError, match="sees 8 features in place of the 2"):
        around = po.networks.FourierFeatures(Decomposed(MLP(4, 1), {"x": 4}), 2.0, 4)
        po.solve("burgers", network=around, steps=1)
    with pytest.raises(ValueError, match="its parts are of coordinates with names"):
        Decomposed(MLP(4, 1), {"x": 4}).build(2, 1, key=KEY)
    assert cli.run(["solve", "burgers", "--network", "Decomposed(MLP(4, 1), {'z': 4})"]) == 2


class Harmonic(po.Problem):
    """u' = 20 cos(20 x): 19 waves."""

    domain = po.Box(x=(-3, 3))

    def residual(self, u_x, x):
        return u_x - 20 * jnp.cos(20 * x)

    def conditions(self):
        return (po.Dirichlet(jnp.sin(-60.0), on="x_min"),)

    def exact(self, x):
        return jnp.sin(20 * x)


@pytest.mark.slow
def test_many_waves_are_found_where_one_network_finds_none():
    points = po.Collocation(interior=1024, every=0, refinement=None)
    options: dict[str, Any] = {"points": points, "steps": 400, "progress": False}
    whole = po.solve(Harmonic(), network=MLP(30, 2), **options)
    parts = po.solve(Harmonic(), network=Decomposed(MLP(8, 1), {"x": 20}), **options)
    assert parts.error()["u"]["mean"] < 1e-2 < 1e-1 < whole.error()["u"]["mean"]


@pytest.mark.slow
def test_linear_windows_are_solved_in_a_step():
    """Random features in windows; the corners of the box around the disk have no points."""

    class Plate(po.Problem):
        domain = po.Disk(x=0.0, y=0.0, radius=1.0)

        def residual(self, lap_u, x, y):
            return lap_u + 12 * jnp.cos(4 * x) * jnp.exp(2 * y)

        def conditions(self):
            return (po.Dirichlet(self.exact),)

        def exact(self, x, y):
            return jnp.cos(4 * x) * jnp.exp(2 * y)

    network = Decomposed(RandomFeatures(30, 2.0, jnp.sin), {"x": 4, "y": 4})
    solution = po.solve(
        Plate(),
        network=network,
        optimizer=po.optimizers.TruncatedGaussNewton(),
        steps=1,
        points=po.Collocation(interior=1500),
        progress=False,
    )
    assert solution.error()["u"]["mean"] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", [po.optimizers.GaussNewton(), po.optimizers.Adam(1e-3)], ids=["Newton", "Adam"]
)
def test_inside_of_another_in_members_and_in_operators(optimizer, tmp_path):
    """The run directory knows the parts."""
    network = Stacked(Decomposed(SIREN(4, 1, 2.0), {"x": 3, "t": 2}))
    points = po.Collocation(interior=64, refinement=None)
    options: dict[str, Any] = {"points": points, "steps": 2, "progress": False}
    members = po.solve(
        "advection",
        network=network,
        optimizer=optimizer,
        ensemble=2,
        out=tmp_path / "run",
        **options,
    )
    again = po.load(tmp_path / "run")
    np.testing.assert_array_equal(members.mean(x=0.3, t=0.5), again.mean(x=0.3, t=0.5))


@pytest.mark.slow
def test_as_the_trunk_of_an_operator(tmp_path):
    few = po.Functions(
        pool=64, batch=8, points=po.Collocation(interior=64, batch=32, refinement=None)
    )
    operator = DeepONet(MLP(6, 1), Decomposed(MLP(4, 1), {"x": 3}), latent=4)
    folder = tmp_path / "run"
    trained = po.train(
        "antiderivative", operator, steps=2, functions=few, progress=False, out=folder
    )
    member = po.load_problem("antiderivative")
    assert po.load(folder)(member)(x=0.3) == trained(member)(x=0.3)
