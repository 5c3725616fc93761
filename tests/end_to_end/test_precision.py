"""Networks that compute in bfloat16: what is narrow, what is not, and that the answers are near."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import subjaxprs

import pinops as po
from pinops.derivatives import Plan
from pinops.networks import MLP, computed_in, narrowed
from pinops.operators import CNO, FNO, DeepONet, Direct, Transolver, UNet
from pinops.optimizers import Adam

X = np.arange(16) / 16
NARROW = {"compute_dtype": jnp.bfloat16}
GRID = [FNO(4, 3, 1, padding=0.25, rank=0.5), UNet(4), CNO(4, levels=1)]


def maps(count=12):
    a = np.random.default_rng(0).standard_normal((count, 1, 1)) * np.sin(2 * np.pi * X)
    fields = np.broadcast_to(a, (count, 16, 16))
    return po.Dataset.from_arrays(
        inputs={"a": fields}, outputs={"u": 1000 + fields}, coordinates={"x": X, "y": X}
    )


def near(narrow, wide):
    """Of the same size, as bfloat16 can tell; and not the same."""
    assert narrow.dtype == wide.dtype == np.float32
    off = np.linalg.norm(narrow - wide) / np.linalg.norm(wide - wide.mean())
    assert 1e-5 < off < 0.05, off


def kinds(function, *arguments):
    """The types of the products of matrices in a program."""
    found = set()

    def look(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                found.add(equation.invars[0].aval.dtype.name)
        for inner in subjaxprs(jaxpr):
            look(inner)

    look(jax.make_jaxpr(function)(*arguments).jaxpr)
    return found


@pytest.mark.parametrize("architecture", GRID, ids=str)
def test_networks_on_grids(architecture):
    network = architecture.build(1, 1, (8, 8), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))

    def narrow(network, x):
        return computed_in("bfloat16", network, x)

    @jax.jit
    def both(network, x):
        return narrow(network, x), network(x)

    near(*map(np.asarray, both(network, x)))
    # Sums over the grid keep their digits.
    wanted = {"bfloat16", "float32"} if isinstance(architecture, FNO) else {"bfloat16"}
    assert wanted <= kinds(narrow, network, x)
    gradient = jax.eval_shape(jax.grad(lambda n: jnp.sum(narrow(n, x) ** 2)), network)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(gradient)} == {"float32"}


def test_maps_on_points(tmp_path):
    random = np.random.default_rng(0)
    points = [random.random((20, 2)) for _ in range(8)]
    data = po.Dataset.from_arrays(
        outputs={"u": [np.sin(3 * p[:, 0]) for p in points]}, coordinates=points
    )
    result = po.train(data, Transolver(4, 1, 1, 2), steps=1, progress=False, **NARROW)
    again = po.load(result.save(tmp_path / "run"))
    assert again.model.compute_dtype == "bfloat16" and again.error(data) == result.error(data)


def test_a_map_is_trained_kept_and_loaded(tmp_path):
    data = maps()
    result = po.train(data, FNO(4, 3, 1), steps=40, progress=False, **NARROW)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(result.params))
    a = data.rows(range(3))["inputs/a"]
    u = result(a)
    assert u.dtype == np.float32 and result.error(data)["u"]["mean"] < 1e-3  # of a mean of 1000
    again = po.load(result.save(tmp_path / "run", data))
    np.testing.assert_array_equal(again(a), u)
    assert again.request["compute_dtype"] == "bfloat16"


def test_a_stepper(tmp_path):
    t = np.linspace(0, 1, 4)
    phase = np.random.default_rng(0).random((20, 1, 1))
    u = np.sin(2 * np.pi * (X - 0.2 * t[:, None] + phase))
    data = po.Dataset.from_arrays(outputs={"u": u}, coordinates={"t": t, "x": X}, time="t")
    kind, short = Direct(FNO(4, 3, 1)), {"curriculum": po.Curriculum(1), "progress": False}
    result = po.train(data, kind, **short, **NARROW)
    first = u[:2, 0, :, None]
    narrow = result(first, np.zeros((2, 0)), 2)[:, 1:]
    model = dataclasses.replace(result.model, compute_dtype=None)
    wide = dataclasses.replace(result, model=model)(first, np.zeros((2, 0)), 2)[:, 1:]
    assert 0 < np.abs(narrow - wide).max() < 0.1
    again = po.load(result.save(tmp_path / "run", data))
    np.testing.assert_array_equal(again(first, np.zeros((2, 0)), 2)[:, 1:], narrow)


def test_an_operator_keeps_its_derivatives_and_what_surrounds_its_networks(tmp_path):
    x = np.linspace(0, 1, 20)
    v = 1000 + np.random.default_rng(0).standard_normal((40, 20))  # 8 bits do not see it vary
    data = po.Dataset.from_arrays(
        inputs={"v": v}, outputs={"u": v[:, :1] * x}, coordinates={"x": x}
    )
    small = DeepONet(MLP(8, 1), MLP(8, 1), latent=4)
    result = po.train(data, small, steps=2, optimizer=Adam(), progress=False, **NARROW)
    values = result(v[:2], x=x)
    wide = result.model.operator(result.params)
    network = narrowed(wide, "bfloat16")({"v": jnp.asarray(v[0], jnp.float32)})
    exact = wide({"v": jnp.asarray(v[0], jnp.float32)})
    at = {(): jnp.linspace(0, 1, 5)[:, None], (0,): np.ones((1, 1), np.float32)}
    plain = {(): at[()]}
    near(np.asarray(network.jet(plain, Plan())[()]), np.asarray(exact.jet(plain, Plan())[()]))
    assert kinds(lambda: network.trunk.jet(plain, Plan())) == {"bfloat16"}
    assert kinds(lambda: network.trunk.jet(at, Plan([(0,)]))) == {"float32"}
    again = po.load(result.save(tmp_path / "run", data))
    np.testing.assert_array_equal(again(v[:2], x=x), values)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"compute_dtype": "float16"}, "compute_dtype must be bfloat16, whose .* got float16"),
        ({"compute_dtype": "half"}, "compute_dtype must be bfloat16, whose .* got"),
        ({"compute_dtype": 3}, "compute_dtype must be bfloat16, whose .* got"),
        (NARROW | {"dtype": "float64"}, "throws away what dtype=float64 is for"),
    ],
)
def test_what_makes_no_sense_is_refused(more, said):
    with pytest.raises(ValueError, match=said):
        po.train(maps(), FNO(4, 2, 1), **more)


def test_an_equation_alone_is_refused():
    with pytest.raises(ValueError, match="compute_dtype=bfloat16 is for data"):
        po.train("antiderivative", **NARROW)
    wide = po.train(maps(), FNO(4, 2, 1), steps=1, progress=False, compute_dtype="float32")
    assert wide.request["compute_dtype"] is None
