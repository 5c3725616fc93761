"""Operators on mixtures: data, equations, both, resumed, stored, and for an unseen equation."""

import jax
import numpy as np
import pytest

import pinops as po
from pinops.data import generate

NAMES = ("advection_waves", "klein_gordon_waves", "heat_waves")
SMALL = po.operators.PROSE(8, depth=1, layers=1, heads=2)
POINTS = po.Collocation(interior=64, boundary=8, initial=8, every=10, refinement=None, batch=16)
FEW = po.Functions(pool=8, batch=4, points=POINTS, data_points=16)
OPTIONS = {"optimizer": po.optimizers.Adam(1e-3), "progress": False}


@pytest.fixture(scope="module")
def mixture():
    return po.Mixture(NAMES, [1, 1, 0])


@pytest.fixture(scope="module")
def data(mixture, tmp_path_factory):
    return generate(mixture, tmp_path_factory.mktemp("data") / "mixture.h5", count=10)


@pytest.fixture(scope="module")
def trained(mixture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return po.train(mixture, SMALL, functions=FEW, steps=20, out=folder, **OPTIONS), folder


def same(one, other):
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors_are_listed_by_family(mixture, trained):
    members = mixture.members(5)
    table = trained[0].error(members)
    assert list(table) == ["u", *NAMES[:2]]
    each = trained[0].errors(members)["u"]
    own = [k for k, member in enumerate(members) if member.family == NAMES[0]]
    assert table[NAMES[0]]["mean"] == pytest.approx(np.mean(each[own]))
    assert table["u"]["mean"] == pytest.approx(np.mean(each))


def test_initial_values_are_met_exactly(mixture, trained):
    for member in mixture.members(2):
        x = np.linspace(0, 1, 9)
        own = member.families[int(member.chosen)]
        found = trained[0](member)(x=x, t=np.zeros(9))
        np.testing.assert_allclose(found, own.start_on(x), atol=1e-5)


def test_a_run_is_read_and_goes_on_bit_for_bit(mixture, trained, tmp_path):
    whole, folder = trained
    same(po.load(folder), whole)
    part = tmp_path / "part"
    optimizer = po.optimizers.Adam(1e-3, decay_steps=20)
    options = {"functions": FEW, "progress": False, "optimizer": optimizer}
    po.train(mixture, SMALL, steps=10, out=part, **options)
    resumed = po.train(mixture, SMALL, steps=20, out=part, resume=True, **options)
    at_once = po.train(mixture, SMALL, steps=20, **options)
    same(resumed, at_once)
    with pytest.raises(ValueError, match="weights"):
        po.load(folder, problem=mixture.only(NAMES[2]))


def test_data_alone_and_with_the_equations_of_more_members(mixture, data):
    alone = po.train(mixture, SMALL, data=data, functions=FEW, steps=4, **OPTIONS)
    more = po.Functions(pool=8, batch=4, points=POINTS, data_points=16, unlabelled=8)
    both = po.train(data, SMALL, physics=0.1, functions=more, steps=4, **OPTIONS)
    for result in (alone, both):
        assert np.isfinite(result.error(data)["u"]["mean"])
    with pytest.raises(ValueError, match="unlabelled members are for the equation"):
        po.train(mixture, SMALL, data=data, functions=more, steps=2, progress=False)
    with pytest.raises(ValueError, match="another mixture"):
        po.train(po.Mixture(NAMES[:2], [1, 1]), SMALL, data=data, steps=2, progress=False)


def test_an_unseen_equation_is_learnt_without_solutions(mixture, trained):
    unseen = mixture.only(NAMES[2])
    adapted = po.train(unseen, start=trained[0], functions=FEW, steps=4, **OPTIONS)
    table = adapted.error(unseen.members(2))
    assert set(table) == {"u", NAMES[2]}
