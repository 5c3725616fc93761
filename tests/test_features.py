"""Functions of corners, layers and walls: they solve their equations and are finite everywhere."""

import math
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.geometry import corners
from pinops.problem import impose

OPENINGS = (0.5 * math.pi, math.pi, 1.5 * math.pi, 2 * math.pi)
NEUMANN = tuple(product((False, True), repeat=2))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def polar(r, theta, at, start):
    return at[0] + r * math.cos(theta + start), at[1] + r * math.sin(theta + start)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("neumann", NEUMANN)
@pytest.mark.parametrize("opening", OPENINGS)
def test_a_singular_function_is_harmonic_and_meets_both_conditions(opening, neumann, k):
    at, start = (0.3, -0.2), 0.7
    u = partial(po.features.corner, at=at, opening=opening, start=start, neumann=neumann, k=k)
    hessian = jax.hessian(lambda z: u(*z))
    power = (k - 0.5 * (neumann[0] != neumann[1])) * math.pi / opening
    for r, part in ((0.1, 0.2), (1.3, 0.9)):
        z = jnp.array(polar(r, part * opening, at, start))
        assert abs(jnp.trace(hessian(z))) < 1e-10 * jnp.abs(hessian(z)).max() + 1e-12
        further = jnp.array(polar(2 * r, part * opening, at, start))
        np.testing.assert_allclose(u(*further), 2**power * u(*z), rtol=1e-12)
    for theta, flux in zip((1e-12, opening - 1e-12), neumann, strict=True):
        x, y = polar(0.5, theta, at, start)
        normal = jnp.array([-math.sin(theta + start), math.cos(theta + start)])
        slope = jnp.dot(jax.grad(lambda z: u(*z))(jnp.array([x, y])), normal)
        assert abs(slope if flux else u(x, y)) < 1e-10


def test_the_cut_lies_outside_of_the_domain():
    """A point that rounding has put behind the first wall is not on the other side."""
    u = partial(po.features.corner, at=(0, 0), opening=1.5 * math.pi)
    assert abs(u(0.5, -1e-17)) < 1e-15 and abs(u(0.5, -1e-9)) < 1e-8


def test_the_angle_goes_from_one_wall_to_the_other():
    u = partial(po.features.angle, at=(0, 1), opening=math.pi / 2, start=-math.pi / 2)
    assert (float(u(0.0, 0.5)), float(u(0.5, 1.0))) == pytest.approx((0, 1))
    assert abs(jnp.trace(jax.hessian(lambda z: u(*z))(jnp.array([0.3, 0.6])))) < 1e-13


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.0, 2.0), (3.0, 2.0)])
def test_heat_from_a_wall(alpha, beta):
    k = 0.3
    u = partial(po.features.similarity, diffusivity=k, alpha=alpha, beta=beta)
    u_d, u_t = jax.grad(u, 0), jax.grad(u, 1)
    for d, t in ((0.2, 0.1), (1e-3, 1e-5), (5.0, 100.0), (50.0, 1e5)):
        assert abs(u_t(d, t) - k * jax.grad(u_d)(d, t)) < 1e-9 * abs(u_t(d, t)) + 1e-12
    for t in (1e-100, 1e-9, 0.3, 50.0, 1e4):
        assert float(alpha * u(0.0, t) - beta * u_d(0.0, t)) == pytest.approx(1, abs=1e-9)
    assert float(u(0.3, 0.0)) == float(u(0.3, 1e-9)) == 0


def test_heat_from_a_wall_has_no_step_where_its_series_begins():
    u = partial(po.features.similarity, diffusivity=1.0, beta=0.1)
    below, above = (float(u(0.0, (0.8 * (1 + part)) ** 2)) for part in (-1e-12, 1e-12))
    assert above == pytest.approx(below, rel=1e-11)


AT = dict(at=(0.0, 0.0), opening=1.5 * math.pi)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "function",
    [
        partial(po.features.corner, **AT),
        partial(po.features.corner, neumann=(True, False), **AT),
        partial(po.features.angle, **AT),
        partial(po.features.similarity, diffusivity=0.3),
        partial(po.features.similarity, diffusivity=0.3, alpha=0.0, beta=1.0),
        partial(po.features.similarity, diffusivity=0.3, alpha=1.0, beta=1.0),
        lambda x, y: po.features.layer(x, width=1e-3) + po.features.front(y, width=1e-3),
    ],
)
def test_four_derivatives_are_finite_at_the_singular_point(function, dtype):
    for point in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (1.0, 1e-12)):
        for axis in (0, 1):
            here = function
            for _ in range(5):
                value = here(*map(dtype, point))
                assert np.isfinite(value), (point, axis)
                here = jax.jacfwd(here, axis)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: po.features.corner(0, 0, at=(0,), opening=1.0), "at must be the two coordinates"),
        (lambda: po.features.corner(0, 0, at=(0, 0), opening=270), "in radians, got 270"),
        (lambda: po.features.corner(0, 0, at=(0, 0), opening=1.0, k=0), "k must be a whole"),
        (lambda: po.features.corner(0, 0, at=(0, 0), opening=1.0, radius=0), "radius must be"),
        (lambda: po.features.layer(0.1, width=0.0), "layer: width must be positive, got 0"),
        (lambda: po.features.front(0.1, width=-1.0), "front: width must be positive"),
        (lambda: po.features.similarity(0.1, 1.0, diffusivity=0.0), "diffusivity must be positive"),
        (lambda: po.features.similarity(0.1, 1.0, diffusivity=1.0, alpha=0.0), "are both 0"),
    ],
)
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Conditions that disagree, with a lift that jumps as they do.


class Rod(po.Problem):
    """u_t = 0.1 u_xx from 1, with any condition on the left."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    alpha: float = 1.0
    beta: float = 0.0
    share: float = 1.0

    def residual(self, u_t, u_xx):
        return u_t - 0.1 * u_xx

    def conditions(self):
        left = po.Robin(0.0, on="x_min", alpha=self.alpha, beta=self.beta)
        return left, po.Neumann(0.0, on="x_max"), po.Initial(1.0)

    def lift(self, x, t):
        return 1 - self.share * po.features.similarity(x, t, diffusivity=0.1, beta=1.0)


def test_a_lift_that_has_the_disagreement_lets_both_be_imposed():
    assert impose(Rod(beta=1.0)).how == ("hard",) * 3
    assert "differ by 5.0e-01" in impose(Rod(beta=1.0, share=0.5)).why[2]


class Plate(po.Problem):
    """A square with a hot side."""

    domain = po.Box(x=(0, 1), y=(0, 1))

    def residual(self, lap_u):
        return lap_u

    def conditions(self):
        return po.Dirichlet(1.0, on="y_max"), po.Dirichlet(0.0, on=("x", "y_min"))

    def lift(self, x, y):
        right = math.pi / 2
        left = po.features.angle(x, y, at=(0, 1), opening=right, start=-right)
        return left - po.features.angle(x, y, at=(1, 1), opening=right, start=-2 * right)


@pytest.mark.slow
def test_conditions_hold_up_to_the_corner_in_which_they_jump():
    plate = po.solve(Plate(), network=po.networks.MLP(4, 1), steps=2, progress=False)
    rod = po.solve(Rod(beta=1.0), network=po.networks.MLP(4, 1), steps=2, progress=False)
    line = np.array([1e-9, 1e-3, 0.4, 0.999])
    np.testing.assert_allclose(plate(x=line, y=1.0), 1, atol=1e-6)
    np.testing.assert_allclose(plate(x=0.0, y=line), 0, atol=1e-6)
    np.testing.assert_allclose(rod(x=line, t=0.0), 1, atol=1e-12)
    found = rod(x=0.0, t=line) - rod.partial("u_x", x=0.0, t=line)
    np.testing.assert_allclose(found, 0, atol=1e-9)


# Corners of domains.

L = [(0, 0), (0, 1), (-1, 1), (-1, -1), (1, -1), (1, 0)]


@pytest.mark.parametrize(
    ("domain", "count", "reentrant"),
    [
        (po.Polygon(L), 6, (0.0, 0.0, 0.5)),
        (po.Polygon(L[::-1]) * po.Time(0, 1), 6, (0.0, 0.0, 0.5)),
        (
            po.Box(x=(0, 1), y=(0, 1)) - po.Box(x=(0.5, 2), y=(0.5, 2), name="cut"),
            6,
            (0.5, 0.5, 0.5),
        ),
        (po.Box(x=(0, 1), y=(0, 1)) | po.Box(x=(1, 2), y=(0, 0.5), name="b"), 6, (1.0, 0.5, 0.5)),
        (po.Polygon(L).rotated(0.5 * math.pi).moved(x=2.0), 6, (2.0, 0.0, 1.0)),
        (po.Box(x=(0, 1), y=(0, 1)) - po.Disk(x=0.5, y=0.5, radius=0.1), 4, None),
        (po.Disk(x=0, y=0, radius=1), 0, None),
        (po.Box(x=(0, 1), t=(0, 1)), 0, None),
    ],
)
def test_corners_of_domains(domain, count, reentrant):
    found = corners(domain)
    assert len([one for one in found if abs(one.opening - math.pi) > 1e-9]) == count
    wide = [one for one in found if one.opening > math.pi + 1e-9]
    if reentrant is None:
        assert not wide
    else:
        (one,) = wide
        np.testing.assert_allclose(
            (*one.at, one.opening / math.pi, one.start / math.pi),
            (*reentrant[:2], 1.5, reentrant[2]),
            atol=1e-9,
        )


def test_a_straight_wall_of_two_parts_has_a_corner():
    (flat,) = (c for c in corners(po.Polygon([(-1, 0), (0, 0), (1, 0), (0, 1)])) if c.at == (0, 0))
    assert flat.opening == pytest.approx(math.pi) and flat.parts == ("edge_1", "edge_0")


# What `diagnose()` proposes.


def measures(problem):
    few = po.Collocation(interior=64, boundary=32, initial=32, every=0, refinement=None)
    solution = po.solve(problem, network=po.networks.MLP(4, 1), points=few, steps=2, progress=False)
    return solution.diagnose().measures


class Wedge(po.Problem):
    """u = 0 around an L-shape."""

    domain = po.Polygon(L)
    stretch: float = 1.0

    def residual(self, u_xx, u_yy):
        return self.stretch * u_xx + u_yy + 1

    def conditions(self):
        return (po.Dirichlet(0.0),)


class HalfInsulated(po.Problem):
    """The L-shape with no flux through the wall from the corner to the right."""

    domain = po.Polygon(L)

    def residual(self, lap_u):
        return lap_u + 1

    def conditions(self):
        cold = tuple(f"edge_{k}" for k in range(5))
        return po.Dirichlet(0.0, on=cold), po.Neumann(0.0, on="edge_5")


@pytest.mark.slow
def test_a_reentrant_corner_comes_with_its_function():
    (spot,) = measures(Wedge()).corners
    assert "270 degrees in x = 0, y = 0" in spot.what and "r^0.667" in spot.what
    assert (
        "`def lift(self, x, y): return self.strength * po.features.corner(x, y, at=(0, 0), "
        "opening=1.5 * jnp.pi, start=0.5 * jnp.pi)`" in spot.remedy
    )
    assert not measures(Wedge(stretch=2.0)).corners  # not the Laplacian: another power
    assert not measures(Plate()).corners
    spots = measures(HalfInsulated()).corners
    assert len(spots) == 1 and "r^0.333" in spots[0].what
    assert "neumann=(False, True)" in spots[0].remedy


class Thin(po.Problem):
    """-small u_xx + flow u_x + decay u = 1 between two cold walls."""

    domain = po.Box(x=(0, 1))
    small: float = 0.01
    flow: float = 0.0
    decay: float = 0.0

    def residual(self, u, u_x, u_xx):
        return -self.small * u_xx + self.flow * u_x + self.decay * u - 1

    def conditions(self):
        return (po.Dirichlet(0.0),)


@pytest.mark.slow
def test_a_layer_comes_with_its_width():
    (right,) = measures(Thin(flow=1.0)).layers
    assert right.what == "the coefficients make a layer of width 0.01 at x = 1"
    line = "`def features(self, x): return (po.features.layer(1 - x, width=0.01),)`"
    assert right.remedy == f"add {line}"
    (left,) = measures(Thin(flow=-1.0)).layers
    assert "po.features.layer(x, width=0.01)" in left.remedy
    both = measures(Thin(small=1e-4, decay=1.0)).layers
    assert [spot.what[-5:] for spot in both] == ["x = 0", "x = 1"]
    assert all("width 0.01 " in spot.what for spot in both)
    assert not measures(Thin(small=1.0, flow=1.0)).layers
    assert not measures(Thin(small=1e-4, decay=-1.0)).layers  # waves


class Cooled(po.Problem):
    """2 u_t = 0.2 u_xx from 1, which the right wall does not meet."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    alpha: float = 2.0
    beta: float = 0.5

    def residual(self, u_t, u_xx):
        return 2 * u_t - 0.2 * u_xx

    def conditions(self):
        right = po.Robin(0.25, on="x_max", alpha=self.alpha, beta=self.beta)
        return right, po.Initial(1.0)


class Square(po.Problem):
    """A square with a hot side."""

    domain = po.Box(x=(0, 1), y=(0, 1))

    def residual(self, lap_u):
        return lap_u

    def conditions(self):
        return po.Dirichlet(1.0, on="y_max"), po.Dirichlet(0.0, on=("x", "y_min"))


@pytest.mark.slow
def test_data_that_disagree_come_with_a_lift():
    (spot,) = measures(Cooled()).kinks
    assert spot.what == "the data of u disagree where x = 1 and t = 0 meet"
    line = "-1.75 * po.features.similarity(1 - x, t, diffusivity=0.1, alpha=2, beta=0.5)"
    assert f"return {line}`" in spot.remedy
    left, right = measures(Square()).kinks
    assert "1 * po.features.angle(x, y, at=(0, 1), opening=0.5 * jnp.pi, start=-0.5" in left.remedy
    assert "-1 * po.features.angle(x, y, at=(1, 1), opening=0.5 * jnp.pi, start=" in right.remedy
    assert not measures(Plate()).kinks and not measures(Rod(beta=1.0)).kinks


class Smoothed(po.Problem):
    """A steep solution whose equation has an integral, and meets walls."""

    domain = po.Box(x=(0, 1), y=(0, 1))
    subdomains = {"left": po.Interval(x=(0, 0.5))}

    def integrals(self):
        return {"mean": po.Integral(lambda u: u, over="x", nodes=2)}

    def residual(self, u, lap_u, mean, left):
        return 1e-4 * lap_u - u + mean + left

    def conditions(self):
        return (po.Dirichlet(1.0),)


@pytest.mark.slow
def test_equations_with_integrals_and_subdomains_have_layers():
    layers = measures(Smoothed()).layers
    assert len(layers) == 4 and all("width 0.01" in spot.what for spot in layers)
