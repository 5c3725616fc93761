"""Problems as images and points on the square: an exact solution leaves nothing, or a sentence."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import Plan, nested
from pinops.problem import encoded, pixels

STREAMS = [(), (0,), (1,), (0, 0), (1, 1)]


class Holed(po.Problem):
    """Δu = 0 with the slope of x² - y² + x on a hole and on one side."""

    domain = po.Box(x=(-2, 2), y=(0, 4)) - po.Disk(x=0.5, y=2, radius=0.8, name="hole")

    def residual(self, u_xx, u_yy):
        return 8 * u_xx + 8 * u_yy

    def exact(self, x, y):
        return x**2 - y**2 + x

    def conditions(self):
        def out_of_the_domain(x, y):
            nx, ny = (0.5 - x) / 0.8, (2 - y) / 0.8
            return (2 * x + 1) * nx - 2 * y * ny

        return (
            po.Neumann(out_of_the_domain, on="hole"),
            po.Neumann(lambda x: 2 * x + 1, on="x_max"),
            po.Dirichlet(self.exact, on=("x_min", "y")),
        )


def left_over(problem):
    """Every residual channel of the exact solution: interior, points and pixels."""
    made = encoded(problem, size=24, points=64, boundary=64)
    sample, square = made.samples, made.square

    def jet(at):
        def u(point):
            physical = square.from_square(point[None])[0]
            return problem.exact(**dict(zip(problem.domain.coordinates, physical, strict=True)))

        streams = nested(lambda point: u(point)[None], jnp.asarray(at), Plan(STREAMS))
        shape = (len(at), 1)
        return np.concatenate([np.broadcast_to(streams.get(k, 0), shape) for k in STREAMS], 1)

    c, image = sample.coefficients, sample.images.reshape(-1, 5)
    at_grid, at_nearest = jet(pixels(24).reshape(-1, 2)), jet(sample.nearest.reshape(-1, 2))
    normals = sample.nearest_normals.reshape(-1, 2)
    inside = sample.inside.ravel()
    at_boundary = jet(sample.boundary)
    slope = np.sum(at_boundary[:, 1:3] * sample.normals, 1)
    return made, {
        "interior": jet(sample.points) @ c - sample.source,
        "streams": (jet(sample.points) - sample.streams).ravel(),
        "values": (at_boundary[:, 0] - sample.values) * sample.dirichlet,
        "fluxes": (slope - sample.fluxes) * sample.neumann,
        "source image": (at_grid @ c - image[:, 4]) * inside,
        "value image": (at_nearest[:, 0] - image[:, 2]) * image[:, 0],
        "flux image": (np.sum(at_nearest[:, 1:3] * normals, 1) - image[:, 3]) * image[:, 1],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["heat", "wave", "helmholtz", "poisson", "holed"])
def test_an_exact_solution_leaves_nothing(name, float64):
    problem = Holed() if name == "holed" else po.load_problem(name)
    made, channels = left_over(problem)
    scale = max(1.0, np.abs(made.samples.source).max())
    for channel, values in channels.items():
        assert np.abs(values).max() < 1e-11 * scale, channel
    assert bool(made.samples.known)
    assert 0.5 <= np.abs(made.samples.coefficients).max() <= 2


def test_coefficients_on_the_square():
    """Chain rule by hand, in the form of Bischof et al. for those that they have."""
    for name, options, expected, factor in (
        ("heat", {"diffusivity": 0.1}, [0, 0, 2, -0.4, 0], 1.0),
        ("wave", {}, [0, 0, 0, -2, 0.5], 1 / 8),
        ("helmholtz", {}, [1, 0, 0, 1, 1], 1.0),
        ("poisson", {}, [0, 0, 0, -2, -2], 1 / 2),
        ("poisson_disks", {}, [0, 0, 0, 2, 2], 1 / 2),
    ):
        made = encoded(po.load_problem(name, **options), size=8, points=4, boundary=4)
        np.testing.assert_allclose(made.samples.coefficients, expected, rtol=1e-9)
        np.testing.assert_allclose(made.factor, factor)


def test_conventions():
    """Rows fall with y, time begins in the last row, normals of holes point into the domain."""
    wave = encoded(po.load_problem("wave"), size=33).samples
    # u(x, 0) = sin πx + sin 4πx / 2 in the last row, with its rate, and nothing at the last time.
    x = (np.linspace(-1, 1, 33) + 1) / 2
    start = np.sin(np.pi * x) + np.sin(4 * np.pi * x) / 2
    assert np.abs(wave.images[-1, :, 2] - start)[1:-1].max() < 0.02
    assert wave.images[-1, 3:-3, :2].all() and not wave.images[0, 3:-3, :2].any()
    assert wave.images[:, 0, 0].all() and wave.images[:, -1, 0].all()
    np.testing.assert_array_equal(wave.nearest_normals[-1, 16], [0, 1])
    rate = wave.neumann
    assert 0 < rate.sum() < len(rate) and (wave.boundary[rate, 1] == -1).all()
    holed = encoded(Holed(), size=33)
    hole = np.abs(holed.samples.boundary).max(1) < 1 - 1e-9
    at, normals = holed.samples.boundary[hole], holed.samples.normals[hole]
    centre = np.array([0.25, 0.0])
    np.testing.assert_allclose(normals, (at - centre[None]) / 0.4, atol=1e-12)
    inside = np.linalg.norm(pixels(33) - centre, axis=-1) >= 0.4
    np.testing.assert_array_equal(holed.samples.inside, inside)
    # Points of the square and of the domain.
    at = holed.square.from_square(np.array([[-1.0, 1.0], [0.25, 0.0]]))
    np.testing.assert_allclose(at, [[-2, 4], [0.5, 2]])
    np.testing.assert_allclose(holed.square.to_square(at), [[-1, 1], [0.25, 0]])


def test_time_may_come_first():
    class Backwards(po.Problem):
        domain = po.Box(t=(0, 2), x=(0, 1))

        def residual(self, u_t, u_xx):
            return u_t - u_xx

        def conditions(self):
            return (po.Initial(lambda x: x), po.Dirichlet(lambda t, x: t + x, on="x"))

    made = encoded(Backwards(), size=17).samples
    # u_t = u_y and u_xx = 4 u_xx on the square.
    np.testing.assert_allclose(made.coefficients, [0, 0, 0.5, -2, 0], rtol=1e-9)
    assert not bool(made.known) and not made.streams.any()
    np.testing.assert_allclose(made.images[8, 16, 2], 2.0, atol=1e-3)  # x = 1, t = 1
    np.testing.assert_allclose(made.images[16, 8, 2], 0.5, atol=1e-3)  # x = 1/2, t = 0


SQUARE = po.Box(x=(-1, 1), y=(-1, 1))
ZERO = (po.Dirichlet(0.0),)


def problem_with(residual, *, domain=SQUARE, unknowns=("u",), conditions=ZERO):
    """A problem of these, called Mine."""
    names = dict(domain=domain, unknowns=unknowns, residual=residual)
    kind = type("Mine", (po.Problem,), names | {"conditions": lambda self: conditions})
    return kind()


def laplace(self, u_xx, u_yy):
    return u_xx + u_yy


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (lambda: problem_with(lambda self, u, lap_u: lap_u + u**2), "is not linear"),
        (lambda: problem_with(lambda self, u_xx, u_yy, x: u_xx + x * u_yy), "of u_yy varies"),
        (lambda: problem_with(lambda self, u_xy, u_xx: u_xx + u_xy), "has the derivative u_xy"),
        (lambda: problem_with(lambda self, u_xxx, u_yy: u_xxx), "has the derivative u_xxx"),
        (lambda: problem_with(lambda self, u, x: 0 * u + x), "not all of them 0"),
        (lambda: problem_with(lambda self, u, x: u + 1 / (x - x)), "finite"),
        (lambda: problem_with(lambda self, u, u_xx: {"a": u, "b": u_xx}), "has 2 equations"),
        (
            lambda: problem_with(lambda self, u_xx, v: u_xx + v, unknowns=("u", "v")),
            "has the unknowns u, v, but only one",
        ),
        (
            lambda: problem_with(laplace, domain=po.Box(x=(0, 1), y=(0, 1), z=(0, 1))),
            "has 3 coordinates",
        ),
        (
            lambda: problem_with(laplace, domain=po.Disk(x=0, y=0, radius=1)),
            "the domain is made of a Ball",
        ),
        (
            lambda: problem_with(laplace, conditions=(po.Robin(0.0),)),
            "a Robin, cannot be encoded",
        ),
        (lambda: problem_with(laplace, conditions=(po.Periodic("x"),)), "a Periodic, cannot"),
        (lambda: problem_with(laplace, conditions=()), "has no boundary condition"),
        (
            lambda: problem_with(
                laplace,
                domain=po.Box(x=(0, 2), y=(0, 1)) - po.Disk(x=1, y=0.5, radius=0.2),
                conditions=(po.Neumann(0.0, on="circle"),),
            ),
            "u_n is given on circle",
        ),
        (lambda: po.load_problem("burgers"), "Burgers.residual is not linear"),
        (lambda: po.load_problem("poisson_nd"), "coordinates"),
    ],
)
def test_what_cannot_be_encoded_is_said_in_one_sentence(problem, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        encoded(problem(), size=8, points=8, boundary=8)
    assert "\n" not in str(caught.value)


def test_settings():
    with pytest.raises(ValueError, match="encoded: size must be a whole number from 8 to 1024"):
        encoded(po.load_problem("poisson"), size=2)


@pytest.mark.slow
def test_the_seven_benchmarks_of_hypino(monkeypatch):
    """Their solutions meet their conditions, and the coefficients are those of the paper."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import _hypino

    assert _hypino._l_shaped()[1] < 1e-4 and _hypino._screened()[1] < 1e-5
    assert abs(_hypino.l_shaped(np.array([[-0.3, -0.35]]))[0] - 0.14923) < 1e-4
    expected = {
        "HT": [0, 0, 2, -0.4, 0],
        "HZ": [1, 0, 0, 1, 1],
        "HZ-G": [2, 0, 0, -1 / 32, -1 / 32],
        "PS-C": [0, 0, 0, 2, 2],
        "PS-L": [0, 0, 0, -1, -1],
        "PS-G": [0, 0, 0, -1, -1],
        "WV": [0, 0, 0, -2, 0.5],
    }
    for name, benchmark in _hypino.benchmarks().items():
        made = encoded(benchmark.problem, size=16, points=8, boundary=64)
        np.testing.assert_allclose(made.samples.coefficients, expected[name], rtol=1e-9)
        sample = made.samples
        values = sample.dirichlet & ~sample.neumann
        at = made.square.from_square(sample.boundary[values])
        if name != "PS-C":  # known on grids
            atol = {"PS-L": 1e-4, "HZ-G": 1e-5}.get(name, 1e-10)
            np.testing.assert_allclose(benchmark.solution(at), sample.values[values], atol=atol)
        scores = benchmark.scores(lambda points: np.zeros(len(points)), size=24)
        np.testing.assert_allclose(scores["mse"], scores["zero"])
