"""Observations of any quantity, how far each is trusted, and unknowns of fewer coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import Decay
from units import Probed, rescale

import pinops as po
from pinops.derivatives import Plan, apply_pointwise, nested
from pinops.networks import MLP, embedding_of
from pinops.problem import (
    InverseProblem,
    constraints,
    difference,
    fingerprint,
    impose,
    scales_of,
    sentence,
)
from pinops.training import Collocation, draw, split

X = np.linspace(0, 1, 5)
FLUX = {"flux": lambda k, u_x: -k * u_x}


class Rod(po.Problem):
    """u(x, t) and an unknown k(x), with any observations."""

    domain = po.Box(x=(0, 1), t=(0, 2))
    unknowns = ("u", "k")
    depends_on = {"k": ("x",)}
    seen = ()

    def residual(self, u_t, u_x, u_xx, k, k_x):
        return u_t - k * u_xx - k_x * u_x

    def conditions(self):
        return (po.Initial({"u": lambda x: x}), po.Dirichlet({"k": 1.0}, on="x_min"), *self.seen)


def rod(*seen: po.Observed) -> Rod:
    return type("Rod", (Rod,), {"seen": seen})()


def at(**values) -> dict:
    return {"coordinates": {"x": X, "t": 0.5 + 0 * X}, "values": values}


def exact(point):
    x, t = point
    return jnp.stack([jnp.sin(2 * x) * jnp.exp(t), 1 + x**2])


def misfits(problem: po.Problem) -> dict[str, jax.Array]:
    """Those of `exact`, by the names of the terms."""
    soft = impose(problem).soft
    points = draw(problem, soft, Collocation(8, 8, 8), jax.random.key(0))
    out = {}
    for c in constraints(problem, soft):
        if c.observed:
            here = points[c.region]
            values = c.signature.gather(nested(exact, here.at, c.signature.plan), here.at)
            out[c.name] = apply_pointwise(c.function, values | here.data, owner="")[""]
    return out


@pytest.mark.slow
def test_derivatives_and_functions_of_them_are_observed(float64):
    e = np.exp(0.5)
    u, u_x, lap_u = e * np.sin(2 * X), 2 * e * np.cos(2 * X), -4 * e * np.sin(2 * X)
    seen = po.Observed(
        **at(u=u, u_x=u_x, u_xt=u_x, lap_u=lap_u, flux=-(1 + X**2) * u_x), quantities=FLUX
    )
    found = misfits(rod(seen))
    assert list(found) == [f"observed {name}" for name in ("u", "u_x", "u_xt", "lap_u", "flux")]
    for name, misfit in found.items():
        np.testing.assert_allclose(misfit, 0, atol=1e-12, err_msg=name)
    # A coefficient of the problem is one inside of its own conditions.
    made = po.manufacture(rod(seen), lambda x, t: {"u": jnp.sin(x) * t, "k": 1 + x})
    (given,) = (c for c in made.conditions() if isinstance(c, po.Observed))
    np.testing.assert_allclose(given.values["flux"], -(1 + X) * np.cos(X) / 2, rtol=1e-12)
    np.testing.assert_allclose(given.values["lap_u"], -np.sin(X) / 2, rtol=1e-12, atol=1e-15)


def test_misfits_are_counted_in_standard_deviations(float64):
    levels = np.asarray([0.1, 0.1, 0.2, 0.4, 0.1])
    value = np.exp(0.5) * np.sin(2 * X) - 0.2
    found = misfits(rod(po.Observed(**at(u=value, k=1 + X**2), noise={"u": levels})))
    np.testing.assert_allclose(found["observed u"], 0.2 / levels, rtol=1e-12)
    np.testing.assert_allclose(found["observed k"], 0, atol=1e-12)


def test_a_misfit_as_large_as_the_noise_weighs_as_a_thousandth_of_the_equation():
    def size(**options):
        values = 3.0 * np.asarray([-1, 1, -1, 1, 0]) / np.sqrt(0.8)  # of size 3
        problem = rod(po.Observed(**at(u=values), **options))
        return scales_of(problem, impose(problem), {"u": 3.0}).terms["observed u"]

    assert size() == pytest.approx(3)
    assert size(noise=0.3) == pytest.approx(1000)
    # Less noise than a thousandth of the unknown counts as none; sizes are in units of it.
    assert size(noise=3e-5) == pytest.approx(3 / 3e-5)
    # The mean weight of observations of unequal noise is that of equal ones.
    levels = np.asarray([1e-5, 2e-5, 1e-5, 2e-5, 1e-5])
    assert size(noise=levels) == pytest.approx(3 * np.sqrt(np.mean(levels**-2.0)), rel=1e-5)


def test_sizes_of_what_is_observed_follow_its_units(float64):
    plain = scales_of(Probed(), impose(Probed()))
    other = rescale(Probed(), unknown=1e6, length=1e-3)
    found = scales_of(other, impose(other))
    assert found.sizes["p"] == pytest.approx(1e6 * plain.sizes["p"], rel=3e-6)
    for name, factor in {"p": 1.0, "p_x": 1.0, "lap_p": 1e6 / 1e-3**2}.items():
        term = f"observed {name}"
        assert found.terms[term] == pytest.approx(factor * plain.terms[term], rel=3e-6), name


def test_slopes_alone_tell_the_size_of_an_unknown():
    problem = rod(po.Observed(**at(k_x=400 + 0 * X)))
    assert scales_of(problem, impose(problem)).sizes["k"] == pytest.approx(200)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (at(u=X) | {"noise": 0.0}, "the noise of u must be greater than zero, got 0 at row 0"),
        (at(u=X) | {"noise": [1, 1, -2, 1, 1]}, "must be greater than zero, got -2 at row 2"),
        (at(u=X) | {"noise": X[1:]}, "all arrays must have one length"),
        (at(u=X) | {"noise": [1, 1, np.nan, 1, 1]}, r"noise of u has 1 value\(s\) that are not"),
        (at(u=X) | {"noise": {"v": 1.0}}, "noise has 'v', of which there are no values"),
        (at(u=X) | {"noise": "small"}, "noise of u must be an array of numbers"),
        (at(u=X) | {"quantities": FLUX}, "quantities has 'flux', of which there are no values"),
        (at(flux=X) | {"quantities": {"flux": "u_x"}}, "must be a dict of functions"),
        (at(flux=X) | {"quantities": FLUX["flux"]}, "must be a dict of functions"),
    ],
)
def test_observations_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        po.Observed(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (at(flux=X), r"'flux' is no unknown \(u, k\), no partial derivative such as u_x"),
        (at(grad_u=X), "'grad_u' is no unknown"),
        (at(x=X), "'x' is no unknown"),
        (at(u=X) | {"quantities": {"u": lambda k: k}}, "'u' is a name of the problem already"),
        (at(q=X) | {"quantities": {"q": lambda w: w}}, "Observed, q: the argument 'w' names"),
        (at(q=X) | {"quantities": {"q": lambda grad_u: grad_u}}, "an array of shape"),
        (at(q=X) | {"quantities": {"q": lambda u: {"a": u}}}, "return one number"),
    ],
)
def test_quantities_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        misfits(rod(po.Observed(**options)))


def test_what_observations_say():
    seen = po.Observed(**at(u=X, k=X), noise={"u": [0.1, 0.1, 0.2, 0.1, 0.1]})
    assert sentence(Rod(), seen) == "5 observations of u with noise 0.1 to 0.2 and k"
    seen = po.Observed(**at(flux=X), quantities=FLUX, noise=0.1)
    assert sentence(Rod(), seen) == "5 observations of flux with noise 0.1"


def test_a_run_depends_on_noise_and_functions():
    def seen(function=FLUX["flux"], noise=0.1):
        return rod(po.Observed(**at(flux=X), quantities={"flux": function}, noise=noise))

    stored = fingerprint(seen())
    assert difference(stored, seen(lambda k, u_x: -u_x * k)) is None
    for other in (seen(noise=0.2), seen(noise=None), seen(lambda k, u_x: k * u_x)):
        assert difference(stored, other) == "the observations differ"


@pytest.mark.slow
def test_functions_of_coefficients_are_observed():
    """Only the product of rate and u is seen, and the rate is to be found."""
    t = np.linspace(0.1, 1, 10)

    class Seen(Decay):
        trainable = ("rate",)

        def conditions(self):
            power = {"power": lambda u: self.rate * u}
            values = {"power": 1.7 * np.exp(-1.7 * t)}
            return *super().conditions(), po.Observed({"t": t}, values, quantities=power)

    found = po.invert(
        Seen(),
        network=MLP(6, 1),
        points=Collocation(interior=32),
        optimizer=po.optimizers.LevenbergMarquardt(),
        steps=30,
        progress=False,
    )
    assert found.coefficients["rate"] == pytest.approx(1.7, rel=1e-3)


def test_simulated_observations_know_their_noise():
    truth = po.load_problem("heat").reference()
    noisy, exact = (po.observe(truth, 200, noise=noise) for noise in (0.1, 0.0))
    assert exact.noise == {}
    added = noisy.values["u"] - exact.values["u"]
    assert noisy.noise["u"] == pytest.approx(0.1 * np.std(exact.values["u"]))
    assert np.std(added) == pytest.approx(noisy.noise["u"][0], rel=0.2)


# Unknowns of fewer coordinates


def field_of_rod(problem: po.Problem):
    imposition = impose(problem)
    size = embedding_of(problem, imposition).size
    network = MLP(6, 2).build(size, len(problem.unknowns), key=jax.random.key(1))
    model, params = split(
        problem, network, imposition, scales_of(problem, imposition), type(problem).__name__
    )
    return model.field(params)


@pytest.mark.slow
def test_an_unknown_of_fewer_coordinates_is_constant_along_the_others(float64):
    field = field_of_rod(rod())
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (6, 2)))
    plan = Plan([(0, 0), (0, 1), (1, 1)], (0, 1))
    found, exact = field.jet(points, plan), nested(field, points, plan)
    for index in plan.indices:
        np.testing.assert_allclose(found[index] + 0 * exact[index], exact[index], atol=1e-12)
        if 1 in index:
            np.testing.assert_array_equal(found[index][:, 1], 0)
            assert np.all(found[index][:, 0] != 0)
    later = field.jet(points.at[:, 1].add(0.7), Plan())[()]
    np.testing.assert_allclose(later[:, 1], found[()][:, 1], rtol=1e-14)
    assert np.all(later[:, 0] != found[()][:, 0])
    np.testing.assert_allclose(field(jnp.asarray([0.0, 1.3]))[1], 1, rtol=1e-12)  # imposed


def test_an_unknown_of_no_coordinate_is_a_number(float64):
    class Number(Rod):
        depends_on = {"k": ()}

        def conditions(self):
            return ()

    field = field_of_rod(Number())
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (6, 2)))
    found = field.jet(points, Plan([(0,)]))
    np.testing.assert_allclose(found[()][:, 1], found[()][0, 1], rtol=1e-14)
    np.testing.assert_array_equal(found[(0,)][:, 1], 0)


def test_an_estimated_laplacian_leaves_out_the_coordinates_that_are_missed(float64):
    class Plane(Rod):
        domain = po.Box(x=(0, 1), y=(0, 1))

        def residual(self, lap_u, k):
            return k * lap_u + 1

        def conditions(self):
            return ()

    field = field_of_rod(Plane())
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (6, 2)))
    whole = Plan([()], (0, 1))
    along = field.jet(points, whole.along(2, 2), directions=jnp.eye(2))
    exact = field.jet(points, whole)
    np.testing.assert_allclose(along[(-1,)], exact[(-1,)], rtol=1e-12)
    np.testing.assert_allclose(exact[(-1,)][:, 1], field.jet(points, Plan([(0, 0)]))[(0, 0)][:, 1])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"depends_on": {"w": ("x",)}}, "depends_on: there is no unknown 'w'; the unknowns are"),
        ({"depends_on": {"k": ("z",)}}, "k cannot depend on 'z'; the coordinates are x, t"),
        ({"depends_on": {"k": "x"}}, r"must give a tuple of coordinates, {'k': \('x',\)}"),
        (
            {"conditions": lambda self: (po.Initial(1.0),)},
            "k does not depend on t and cannot be prescribed at an end of it; name the unknowns "
            r"of Initial, such as {'u': \.\.\.}",
        ),
    ],
)
def test_dependences_that_are_refused(members, words):
    with pytest.raises(ValueError, match=words):
        impose(type("Rod", (Rod,), members)())


def test_time_windows_refuse_an_unknown_that_all_of_them_share():
    with pytest.raises(ValueError, match="time windows cannot find k, which does not depend on t"):
        po.solve(Rod(), windows=po.TimeWindows(2), progress=False)


def test_a_run_depends_on_the_coordinates_of_its_unknowns():
    class Free(Rod):
        depends_on = {}

    words = "k depends on x there and on all coordinates here"
    assert difference(fingerprint(Rod()), Free()) == words
    assert difference(fingerprint(Rod()), Rod()) is None
    assert InverseProblem(Decay(), po.Observed({"t": X}, {"u": X}), ("rate",)).depends_on == {}


@pytest.mark.slow
def test_a_field_of_space_is_found_from_values_in_space_and_time():
    """u = x + t x (1 - x), k = 1 + x / 2: its source follows."""
    random = np.random.default_rng(0)
    x, t = random.uniform(size=(2, 40))

    class Found(Rod):
        domain = po.Box(x=(0, 1), t=(0, 1))

        def residual(self, u_t, u_x, u_xx, k, k_x, x, t):
            slope, curvature = 1 + t * (1 - 2 * x), -2 * t
            source = x * (1 - x) - (1 + x / 2) * curvature - slope / 2
            return u_t - k * u_xx - k_x * u_x - source

        def conditions(self):
            observed = po.Observed({"x": x, "t": t}, {"u": x + t * x * (1 - x)})
            ends = po.Dirichlet({"u": lambda x: x}, on="x"), po.Dirichlet({"k": 1.0}, on="x_min")
            return po.Initial({"u": lambda x: x}), *ends, observed

    found = po.solve(
        Found(),
        network=MLP(10, 2),
        points=Collocation(interior=64),
        optimizer=po.optimizers.LevenbergMarquardt(),
        steps=60,
        progress=False,
    )
    k = found(x=X[:, None], t=np.asarray([[0.1, 0.9]]))["k"]
    np.testing.assert_allclose(k[:, 0], k[:, 1], rtol=1e-12)
    np.testing.assert_allclose(k[:, 0], 1 + X / 2, rtol=0.02)
