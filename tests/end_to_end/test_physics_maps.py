"""Steady maps with an equation: differences on grids, conditions, training, fine-tuning, files."""

import json
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import pinops as po
from pinops import cli
from pinops.data import generate, problems
from pinops.derivatives import Plan
from pinops.networks import GridField
from pinops.operators import FNO
from pinops.problem import Scales, unstacked
from pinops.reference import Reference
from pinops.training import GridEquation

N = 17
X = np.linspace(0, 1, N)
SMALL = FNO(8, 4, 2, 0.25)


class LoadedString(po.Problem):
    """u_xx + f = 0 on (0, 1), u = 2 at both ends, f a sum of three sines.

    Args:
        strengths: ``(3,)``, of the sines.
    """

    domain = po.Box(x=(0, 1))
    strengths: Float[Array | np.ndarray, " k"] = eqx.field(default_factory=lambda: np.ones(3))

    def load(self, x):
        waves = jnp.stack([jnp.sin(np.pi * k * x) for k in (1, 2, 3)])
        return jnp.tensordot(jnp.asarray(self.strengths), waves, 1)

    def residual(self, x, u_xx):
        return u_xx + self.load(x)

    def conditions(self):
        return (po.Dirichlet(2.0),)

    def sample(self, key):
        return replace(self, strengths=jax.random.normal(key, (3,)))

    def inputs(self):
        return {"load": self.load(jnp.asarray(X))}

    def reference(self):
        k = np.arange(1, 4)
        waves = np.sin(np.pi * k[:, None] * X) / (np.pi * k[:, None]) ** 2
        values = 2 + np.asarray(self.strengths) @ waves
        return Reference({"x": X}, {"u": values}, {"u": 1e-12}, "exact", "a sum of sines")


@pytest.fixture(scope="module", autouse=True)
def registered(unregistered):
    po.register("loaded_string")(LoadedString)


def trained(family: Any = "loaded_string", network: Any = SMALL, steps: Any = 2, **more: Any):
    return po.train(family, network, steps=steps, progress=False, **more)


def members(family, count, seed=3):
    keys = jax.random.split(jax.random.key(seed), count)
    return [family.sample(key) for key in keys]


# Differences


def test_first_derivatives_are_of_second_order_at_the_ends_too(float64):
    def error(n):
        x = jnp.linspace(0, 1, n)
        field = GridField(jnp.exp(x)[:, None], (1 / (n - 1),), ())
        found = field.jet(x[:, None], Plan([(0,)]))[0,]
        return np.abs(found[:, 0] - np.exp(x)).max()

    assert 3.5 < error(33) / error(65) < 4.5


def equation_of(problem, n):
    line = np.linspace(0, 1, n)
    ones = {"u": 1.0}
    scales = Scales({"u": 0.0}, ones, ones, {"residual": 1.0}, {})
    lines = [line] * len(problem.domain.coordinates)
    return GridEquation.of(problem, lines, scales, "a test")


def stacked(problem):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], problem)


def test_differences_end_at_the_boundary_of_a_shape(float64):
    """Of the polynomial of second degree that solves the equation on the disc nothing is left, and
    what lies outside of the disc does not matter.
    """
    disc = po.load_problem("darcy_family", shape=np.eye(4)[1])
    equation, members = equation_of(disc, 24), stacked(disc)
    values = np.full((1, 24, 24, 1), 1 / 16)  # times 1 - 4 r^2
    u = np.asarray(equation.solutions(members, jnp.asarray(values)))[0, ..., 0]
    x, y = np.meshgrid(*[np.linspace(0, 1, 24)] * 2, indexing="ij")
    np.testing.assert_allclose(u, (1 - 4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)) / 16, atol=1e-12)
    found = equation.residuals(members, jnp.asarray(values))["residual"]
    assert found.shape == (1, 22 * 22) and np.abs(found).max() < 1e-6
    outside = (x - 0.5) ** 2 + (y - 0.5) ** 2 > 0.25
    spoiled = jnp.asarray(np.where(outside[None, ..., None], 7.0, values))
    np.testing.assert_allclose(equation.residuals(members, spoiled)["residual"], 0, atol=1e-6)
    wrong = equation.residuals(members, jnp.asarray(1.1 * values))["residual"]
    assert np.abs(wrong).max() == pytest.approx(0.1, rel=1e-6)


def test_the_equation_of_differences_is_of_second_order(float64):
    string = LoadedString()
    equation = equation_of(string, N)

    def error(n):
        own = equation.on([np.linspace(0, 1, n)])
        x = np.linspace(0, 1, n)
        k = np.arange(1, 4)[:, None]
        above = np.sum(np.sin(np.pi * k * x) / (np.pi * k) ** 2, 0)[1:-1]
        factor = (4 * x * (1 - x))[1:-1]
        values = jnp.zeros((1, n, 1)).at[0, 1:-1, 0].set(above / factor)
        u = own.solutions(stacked(string), values)[0, :, 0]
        np.testing.assert_allclose(u[1:-1], 2 + above, atol=1e-12)
        np.testing.assert_allclose(u[jnp.asarray([0, -1])], 2, atol=1e-12)
        return np.abs(own.residuals(stacked(string), values)["residual"]).max()

    assert 3.5 < error(33) / error(65) < 4.5


# Training


@pytest.fixture(scope="module")
def result():
    return trained(steps=600, optimizer=po.optimizers.Adam(1e-2, 600))


def test_a_map_learns_from_the_equation_alone(result):
    assert result.request["physics"] == 1 and result.request["data"] is None
    error = result.error()["u"]
    assert error["mean"] < 5e-3  # the level of 2 counts, too
    assert result.history[-1].errors["u"] < 5e-3
    some = members(LoadedString(), 3)
    u = result(some)
    np.testing.assert_allclose(u[:, [0, -1]], 2, atol=1e-6)
    varies = np.stack([member.reference().values["u"] for member in some])
    off = np.linalg.norm(u - varies, axis=1) / np.linalg.norm(varies - 2, axis=1)
    assert off.max() < 0.2
    np.testing.assert_allclose(result(some[0]), u[0], atol=1e-6)
    np.testing.assert_allclose(result(some[:1]), u[:1], atol=1e-6)


def test_fine_tuning_needs_no_truth(result):
    one = members(LoadedString(strengths=np.ones(3)), 1, seed=9)
    truth = one[0].reference().values["u"]
    before = np.linalg.norm(result(one)[0] - truth)
    better = result.finetuned(one, steps=150, learning_rate=2e-3, anchor=0.0)
    assert better.status == "finetuned"
    assert better.residual(one)[0] < 0.3 * result.residual(one)[0]
    assert np.linalg.norm(better(one)[0] - truth) < 0.5 * before
    finer = result.refined(2)
    assert finer(one).shape == (1, 2 * N - 1)
    np.testing.assert_allclose(finer.axes["x"], np.linspace(0, 1, 2 * N - 1), atol=1e-12)
    np.testing.assert_allclose(finer(one)[:, ::2], result(one), atol=0.05)
    kept = result.finetuned(one, steps=30, anchor=1e6)
    assert np.linalg.norm(kept(one) - result(one)) < 0.6 * np.linalg.norm(better(one) - result(one))


def test_wrong_calls_are_refused_in_a_sentence(result):
    other = po.load_problem("antiderivative")
    for call, said in (
        (lambda: result(np.ones((2, N))), r"call it with members, trained\(\[member, ...\]\)"),
        (lambda: result([other]), "this map is of LoadedString, not of Antiderivative"),
        (lambda: result.finetuned([]), "members must be problems of the family, got none"),
        (lambda: result.finetuned(LoadedString(), steps=0), "steps must be a whole number"),
        (lambda: result.finetuned(LoadedString(), anchor=-1), "anchor must be finite and zero"),
        (lambda: result.finetuned(LoadedString(), learning_rate=0), "learning_rate must be"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


class Insulated(LoadedString):
    """The same with the slope given at one end."""

    def conditions(self):
        return (po.Dirichlet(2.0, on="x_min"), po.Neumann(0.0, on="x_max"))


def test_what_cannot_be_trained_is_refused():
    for family, options, said in (
        ("burgers_family", {}, "FNO maps fields to fields, and burgers_family has a time axis"),
        ("plate_family", {}, "the equation of plate_family alone has many solutions"),
        ("eikonal_family", {}, "the grid of the input fields of eikonal_family, of which there is"),
        ("loaded_string", {"physics": 0}, "there is nothing to train on: give data"),
        ("loaded_string", {"physics": -1.0}, "physics must be zero or more and finite, got -1"),
        ("loaded_string", {"loss": "L2"}, "loss='L2' is for data, and there are none"),
        (Insulated(), {}, "need conditions that the values meet exactly, and Neumann is not one"),
    ):
        with pytest.raises(ValueError, match=said):
            trained(family, **options)


def test_a_map_with_an_equation_is_kept_and_goes_on_bit_for_bit(tmp_path):
    class Stop(Exception):
        pass

    def interrupted(report):
        if report.step >= 4:
            raise Stop

    more = {"functions": po.Functions(pool=16, batch=4)}
    options = more | {"out": tmp_path / "run", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        trained(steps=10, callbacks=[interrupted], **options)
    again = trained(steps=10, resume=True, **options)
    whole = trained(steps=10, **more)
    pairs = zip(jax.tree.leaves(again.params), jax.tree.leaves(whole.params), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    loaded = po.load(tmp_path / "run")
    some = members(LoadedString(), 2)
    np.testing.assert_array_equal(loaded(some), again(some))
    assert loaded.error() == again.error()
    assert loaded.finetuned(some, steps=1).steps == again.steps
    again.plot(tmp_path / "map.png")


# Data and equation


@pytest.fixture(scope="module")
def darcy(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "darcy.h5"
    return generate(po.load_problem("darcy_family"), path, count=12)


def test_data_and_an_equation_in_one_loss(darcy, tmp_path, capsys):
    """On the command line."""
    run = tmp_path / "run"
    line = ["train", "darcy_family", "--operator", "FNO(4, 4, depth=1)", "--physics", "0.1"]
    line += ["--data", str(darcy.path), "--steps", "2", "--out", str(run), "--json"]
    assert cli.run(line) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["physics"] == 0.1 and (run / "figures" / "solution.png").exists()
    assert cli.run(["evaluate", str(run), "--data", str(darcy.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == result["errors"]
    one = po.load(run)
    assert set(one.history[-1].terms) == {"observed u", "residual"}
    assert all(value > 0 for value in one.history[-1].terms.values())
    rows = darcy.rows(range(2))
    u = one(unstacked(problems(one.family, rows), 2))
    assert u.shape == (2, 33, 33) and np.abs(u[rows["values/u"] == 0]).max() < 1e-6
    with pytest.raises(ValueError, match="a map that was loaded knows no data"):
        one.error()


class Unheld(LoadedString):
    """The same without conditions: what its ends do is in the data."""

    def conditions(self):
        return ()


def test_an_equation_without_conditions(tmp_path):
    data = generate(LoadedString(), tmp_path / "string.h5", count=40)
    with pytest.raises(ValueError, match="the equation of Unheld alone has many solutions"):
        trained(Unheld())
    plain = trained(data=data, physics=0)
    some = members(LoadedString(), 2)
    load = np.stack([member.inputs()["load"] for member in some])
    np.testing.assert_allclose(plain(load), plain(some), atol=1e-6)
    with pytest.raises(ValueError, match="trained with physics=0 and knows no equation"):
        plain.finetuned(some)
    po.register("unheld_string")(Unheld)
    free = generate(Unheld(), tmp_path / "free.h5", count=40)
    one = trained(Unheld(), data=free, physics=0.1)
    assert one(load).shape == (2, N) and one.history[-1].terms["residual"] > 0
    assert one.error()["u"]["mean"] < 2
