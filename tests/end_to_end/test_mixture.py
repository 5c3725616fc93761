"""Families of families, and the operator that reads their equations."""

import inspect
import json
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import Plan, nested
from pinops.functions import BoundedSeries
from pinops.problem import (
    Mixture,
    PeriodicFamily,
    fingerprint,
    sample_members,
    unstacked,
)
from pinops.problem._vocabulary import codes_of, vocabulary

NAMES = ("advection_waves", "klein_gordon_waves", "burgers_waves")
WAVES = (*NAMES, "heat_waves", "logistic_waves", "cubic_flux_waves", "bistable_waves")
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    return po.Mixture(NAMES, [1, 1, 0])


@pytest.fixture(scope="module")
def members(mixture) -> list[Mixture]:
    return mixture.members(12)


def test_members_are_drawn_by_weight(mixture, members):
    found = Counter(member.family for member in members)
    assert set(found) == set(NAMES[:2]) and max(found.values()) <= 7
    assert {member.family for member in mixture.only(NAMES[2]).members(3)} == {NAMES[2]}


def test_single_draws_are_of_all_families_with_a_share(mixture):
    keys = jax.random.split(KEY, 40)
    drawn = eqx.filter_jit(eqx.filter_vmap(mixture.sample))(keys)
    assert set(np.asarray(drawn.chosen).tolist()) == {0.0, 1.0}


def test_a_member_is_one_of_its_family(members):
    for member in members[:4]:
        own = member.families[int(member.chosen)]
        with jax.enable_x64(True):
            quantities = {"u": 0.3, "u_t": 0.1, "u_tt": 0.7, "u_x": -0.4, "u_xx": 1.3}

            def of(problem, quantities=quantities):
                names = inspect.signature(problem.residual).parameters
                return problem.residual(**{name: quantities[name] for name in names})

            np.testing.assert_allclose(of(member), of(own), rtol=1e-12)
            inputs = member.inputs()
            np.testing.assert_array_equal(inputs["initial"], own.inputs()["initial"])
            words = po.tokens(own)
            found = [float(c) for c in inputs["constants"] if c]
            np.testing.assert_allclose(found, words.constants, rtol=1e-12)
            names = vocabulary(po.Expression.of(own).names)
            shown = [names[int(code)] for code in inputs["words"] if code]
            assert tuple(shown) == words.words
            assert int(np.argmax(inputs["family"])) == int(member.chosen)
            start = own.start(jnp.asarray(0.3))
            np.testing.assert_allclose(member.lift(jnp.asarray([0.3, 0.7])), start, rtol=1e-12)
            order = 2 if member.family == "klein_gordon_waves" else 1
            grown = (1 - np.exp(-3.5)) ** order
            assert float(member.factor(jnp.asarray([0.3, 0.7]))) == pytest.approx(grown)


def test_arrays_of_members_come_back(mixture, members):
    again = mixture.with_arrays(members[3].arrays())
    assert again.family == members[3].family
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(members[3]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_mixture_is_told_by_its_families(mixture):
    again = Mixture.from_json(json.loads(json.dumps(mixture.to_json())))
    assert again.names == mixture.names and again.grammar == mixture.grammar
    told = fingerprint(mixture)["coefficients"]
    assert told["the equation of burgers_waves"] == po.latex("burgers_waves")
    assert told["viscosity of burgers_waves"] == 0.02


def test_equal_names_are_numbered():
    slow = po.load_problem("advection_waves", speed=0.1)
    assert po.Mixture(["advection_waves", slow]).names == ("advection_waves", "advection_waves 2")


class Walls(PeriodicFamily):
    spread = {"speed": (0.25, 0.75)}
    speed: float = 0.5

    def residual(self, u_t, u_x):
        return u_t + self.speed * u_x

    def conditions(self):
        return (po.Initial(self.start), po.Dirichlet(0.0, on="x"))


class Late(Walls):
    def conditions(self):
        return (po.Periodic("x"), po.Initial(self.start, derivative=0.0))


@pytest.mark.parametrize(
    ("families", "weights", "sentence"),
    [
        ([], None, "there are no families"),
        (["advection_waves", 3], None, "a family is a problem or the name of one, got 3"),
        (["advection_waves", "heat"], None, "Heat is no family"),
        (["advection_waves", "burgers_family"], None, "has the inputs initial"),
        (["advection_waves", Walls()], None, "has the boundary conditions u = 0 on x_min"),
        ([Late()], None, "is of order 1 in time, and its initial condition has a derivative"),
        (["advection_waves"], [1, 2], "weights must be 1 numbers"),
        (["advection_waves"], [-1], "weights must be 1 numbers"),
        (["advection_waves"], [0], "all weights are 0"),
    ],
)
def test_what_is_no_mixture(families, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        po.Mixture(families, weights)


def test_only_of_what_there_is(mixture):
    with pytest.raises(ValueError, match="no family 'heat'; there are advection_waves"):
        mixture.only("heat")


def test_words_without_a_code(mixture):
    names = mixture.grammar.expressions[0].names
    assert codes_of(["u_tx"], names) == codes_of(["u_xt"], names)
    with pytest.raises(ValueError, match="'u_xxxxx' of an equation has no code"):
        codes_of(["u_xxxxx"], names)


@pytest.mark.parametrize("name", WAVES)
def test_references_solve_their_equations(name):
    """By central differences of the reference, against the size of the largest term."""
    family = po.load_problem(name)
    with jax.enable_x64(True):
        (member,) = unstacked(sample_members(family, KEY, range(1)), 1)
    reference = member.reference()
    assert reference.error_bar["u"] < 1e-6
    u = reference.values["u"]
    x, t = (np.ravel(line) for line in reference.coordinates.values())
    np.testing.assert_allclose(u[:, 0], member.start_on(x), atol=1e-6)
    dx, dt = x[1] - x[0], t[1] - t[0]
    inner = (slice(1, -1), slice(1, -1))
    values = {
        "u": u[inner],
        "u_t": (u[1:-1, 2:] - u[1:-1, :-2]) / (2 * dt),
        "u_tt": (u[1:-1, 2:] - 2 * u[inner] + u[1:-1, :-2]) / dt**2,
        "u_x": (u[2:, 1:-1] - u[:-2, 1:-1]) / (2 * dx),
        "u_xx": (u[2:, 1:-1] - 2 * u[inner] + u[:-2, 1:-1]) / dx**2,
    }
    wanted = inspect.signature(member.residual).parameters
    residual = member.residual(**{key: values[key] for key in wanted})
    rate = values["u_tt" if "u_tt" in wanted else "u_t"]
    assert np.sqrt(np.mean(np.square(residual)) / np.mean(rate**2)) < 0.03


@pytest.mark.parametrize("symbols", ["tokens", "one-hot, constants", "one-hot", None])
def test_prose_carries_its_derivatives(mixture, members, symbols):
    inputs = mixture.inputs()
    centre = {name: np.zeros(np.shape(value)) for name, value in inputs.items()}
    ones = {name: np.ones(np.shape(value)) for name, value in inputs.items()}
    with jax.enable_x64(True):
        architecture = po.operators.PROSE(8, depth=1, layers=1, heads=2, symbols=symbols)
        operator = eqx.filter_jit(architecture.build)(centre, ones, 3, 1, key=KEY)
        points = jax.random.uniform(KEY, (3, 3))
        plan = Plan([(0, 0), (1, 2)])
        jet = {(): points} | {(i,): np.eye(3)[i][None] for i in range(3)}

        @eqx.filter_jit
        def both(operator, given):
            network = operator(given)
            return network.jet(jet, plan), nested(network, points, plan)

        found = []
        for member in (members[0], members[1]):
            # The same initial values, so that the equation alone is another one.
            given = {name: jnp.asarray(value, float) for name, value in member.inputs().items()}
            same = {"initial": jnp.asarray(members[0].inputs()["initial"])}
            carried, truth = both(operator, given | same)
            for index in plan.indices:
                np.testing.assert_allclose(carried[index], truth[index], atol=1e-12)
            found.append(carried[()])
    assert members[0].family != members[1].family
    assert np.allclose(*found) == (symbols is None)


def test_prose_does_not_see_padding(mixture, members):
    inputs = {name: np.asarray(value) for name, value in members[0].inputs().items()}
    more = {name: np.pad(inputs[name], (0, 3)) for name in ("words", "constants")}
    ones = {name: np.ones(np.shape(value)) for name, value in inputs.items()}
    architecture = po.operators.PROSE(8, depth=1, layers=1, heads=2)
    operator = eqx.filter_jit(architecture.build)(ones, ones, 3, 1, key=KEY)
    longer = eqx.tree_at(lambda o: o.places, operator, jnp.pad(operator.places, ((0, 3), (0, 0))))
    at = jnp.ones(3)
    short = {name: jnp.asarray(value, jnp.float32) for name, value in inputs.items()}
    padded = short | {name: jnp.asarray(value, jnp.float32) for name, value in more.items()}

    @eqx.filter_jit
    def at_ones(operator, given):
        return operator(given)(at)

    np.testing.assert_allclose(at_ones(operator, short), at_ones(longer, padded), rtol=1e-4)


def test_prose_takes_numbers_and_histories():
    given = {"frames": np.ones((3, 16)), "number": np.ones(()), "initial": np.ones(8)}
    build = eqx.filter_jit(po.operators.PROSE(8, depth=1, heads=2, patch=4, symbols=None).build)
    operator = build(given, given, 2, 1, key=KEY)
    given = {name: jnp.asarray(value) for name, value in given.items()}
    assert eqx.filter_eval_shape(lambda: operator(given)(jnp.ones(2))).shape == (1,)


@pytest.mark.parametrize(
    ("settings", "inputs", "sentence"),
    [
        ({}, {"initial": np.ones(8)}, "the inputs have no words"),
        ({"symbols": "one-hot"}, {"initial": np.ones(8)}, "the inputs have no family"),
        ({"symbols": None, "patch": 3}, {"initial": np.ones(8)}, "patch must divide the 8 sensors"),
        ({"symbols": None}, {"a": np.ones((8, 8, 2))}, "the input a has the shape"),
    ],
)
def test_what_prose_does_not_take(settings, inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        po.operators.PROSE(**settings).build(inputs, inputs, 3, 1, key=KEY)


def test_settings_of_prose():
    with pytest.raises(ValueError, match="width must be a multiple of heads=4, got 6"):
        po.operators.PROSE(6)
    with pytest.raises(ValueError, match="symbols"):
        po.operators.PROSE(symbols="words")


def test_bounded_series_stay_between_minus_one_and_one():
    keys = jax.random.split(KEY, 20)
    coefficients = np.asarray(jax.vmap(BoundedSeries(4).sample)(keys))
    angles = 2 * np.pi * np.arange(1, 5) * np.linspace(0, 1, 101)[:, None]
    values = np.cos(angles) @ coefficients[:, 0].T + np.sin(angles) @ coefficients[:, 1].T
    assert 0.5 < np.abs(values).max() <= 1
