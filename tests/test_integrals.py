"""Integrals in equations and conditions: their values, derivatives, sizes, words, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import apply_pointwise, nested, parse_names
from pinops.problem import (
    INTERIOR,
    Constraint,
    Points,
    Problem,
    Window,
    constraints,
    described,
    difference,
    encoded,
    fingerprint,
    impose,
    names_of,
    scales_of,
    values_at,
)
from pinops.training import check_on_grid
from pinops.training._model import split


class Declared(po.Problem):
    """The integral ``i`` of a plain function of x and t, on (0, 2) x (0, 1)."""

    domain = po.Box(x=(0, 2), t=(0, 1))
    rate: float = 1.0
    declared: object = None

    def integrals(self):
        return {"i": self.declared}

    def residual(self, u, i):
        return u - i

    def exact(self, x, t):
        return jnp.sin(x) + t**2


class Fredholm(po.Problem):
    """u(x) = ∫ exp(-|x - y|) u(y) dy + f(x) on (0, 1), of which u = 1 + x is the solution."""

    domain = po.Interval(x=(0, 1))
    rate: float = 1.0

    def integrals(self):
        def kernel(u, x, at_x):
            return jnp.exp(-self.rate * jnp.abs(at_x - x)) * u

        return {"smoothed": po.Integral(kernel, over="x", breaks=lambda x: x, nodes=8)}

    def residual(self, u, x, smoothed):
        return u - smoothed - (3 * jnp.exp(x - 1) - x - 1)

    def exact(self, x):
        return 1 + x


class Volterra(po.Problem):
    """u_t + u = ∫_0^t exp(s - t) u(s) ds, u(0) = 1: u = exp(-t) cosh t."""

    domain = po.Box(t=(0, 2))

    def integrals(self):
        memory = po.Integral(
            lambda u, t, at_t: jnp.exp(t - at_t) * u, over="t", upper=lambda t: t, nodes=8
        )
        return {"memory": memory}

    def residual(self, u, u_t, memory):
        return u_t + u - memory

    def conditions(self):
        return (po.Initial(1.0),)

    def exact(self, t):
        return jnp.exp(-t) * jnp.cosh(t)


class Breakage(po.Problem):
    """n_t = 2 ∫_x^1 n(y) dy - x n on (0, 1) x (0, 1], n(x, 0) = 1; the mass ∫ x n dx stays 1/2.

    Ziff & McGrady (1985), J. Phys. A 18, 3027.
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    unknowns = ("n",)

    def integrals(self):
        return {
            "born": po.Integral(lambda n: 2 * n, over="x", lower=lambda x: x, nodes=6),
            "mass": po.Integral(lambda n, x: x * n, over="x", nodes=6),
        }

    def residual(self, n, n_t, x, born):
        return n_t - born + x * n

    def conditions(self):
        return po.Initial(1.0), po.Equation(lambda mass: mass - 0.5, on="x_min")

    def exact(self, x, t):
        return jnp.exp(-x * t) * (1 + 2 * t * (1 - x) + t**2 * (1 - x) ** 2 / 2)


def of_exact(problem: Problem, constraint: Constraint, points: np.ndarray) -> dict[str, jax.Array]:
    """What an equation names, for the exact solution."""

    def elsewhere(points, plan):
        def function(point):
            values = values_at(problem, "exact", point)
            return jnp.stack([values[name] for name in problem.unknowns])

        return nested(function, points, plan)

    at = jnp.asarray(points)
    jet = elsewhere(at, constraint.signature.plan)
    return constraint.signature.gather(jet, at, elsewhere=elsewhere)


def value(declared: po.Integral, points: np.ndarray, **coefficients) -> np.ndarray:
    """An integral of ``sin x + t²`` at points."""
    problem = Declared(declared=declared, **coefficients)
    (inside,) = constraints(problem, ())
    return np.asarray(of_exact(problem, inside, points)["i"])


X, T = 1.3, 0.6
AT = np.array([[X, T], [0.4, 0.9]])


def of(function):
    return [function(x, t) for x, t in AT]


@pytest.mark.parametrize(
    ("declared", "exact"),
    [
        (po.Integral(lambda u: u, over="x"), lambda x, t: 1 - np.cos(2) + 2 * t**2),
        (  # of derivatives, and of quantities at the point
            po.Integral(lambda u_x, x, at_x, at_u: u_x + x * at_x + at_u, over="x"),
            lambda x, t: np.sin(2) + 2 * x + 2 * (np.sin(x) + t**2),
        ),
        (
            po.Integral(lambda point, at_point: point @ at_point, over="x"),
            lambda x, t: 2 * x + 2 * t**2,
        ),
        (  # a part
            po.Integral(lambda u: u, over="x", lower=0.5, upper=1.0),
            lambda x, t: np.cos(0.5) - np.cos(1) + t**2 / 2,
        ),
        (  # up to the point
            po.Integral(lambda u: u, over="t", upper=lambda t: t),
            lambda x, t: t * np.sin(x) + t**3 / 3,
        ),
        (  # from the point on
            po.Integral(lambda u: u, over="x", lower=lambda x: x),
            lambda x, t: np.cos(x) - np.cos(2) + (2 - x) * t**2,
        ),
        (  # backwards
            po.Integral(lambda x: x, over="x", lower=1.0, upper=lambda x: x / 2, breaks=0.9),
            lambda x, t: (x**2 / 4 - 1) / 2,
        ),
        (  # what lies in the domain
            po.Integral(lambda t: t**2, over="t", lower=lambda t: t - 0.7, upper=lambda t: t),
            lambda x, t: (t**3 - max(t - 0.7, 0) ** 3) / 3,
        ),
        (  # a kink at the point, and a jump
            po.Integral(
                lambda x, at_x: jnp.abs(x - at_x) + (x > 0.25),
                over="x",
                breaks=(lambda x: x, 0.25),
            ),
            lambda x, t: (x**2 + (2 - x) ** 2) / 2 + 1.75,
        ),
        (  # over the whole domain
            po.Integral(lambda u, x: x * u, over=("x", "t")),
            lambda x, t: np.sin(2) - 2 * np.cos(2) + 2 / 3,
        ),
        (
            po.Integral(
                lambda x, t, at_t: x + t * at_t,
                over=("t", "x"),
                lower={"x": 1.0},
                upper={"t": lambda t: t},
                breaks={"x": (lambda x: x,)},
            ),
            lambda x, t: 1.5 * t + t**3 / 2,
        ),
    ],
)
def test_an_integral_has_its_value(declared, exact, float64):
    at = np.array([[1.3, 0.6], [0.4, 0.9]])
    assert np.allclose(value(declared, at), [exact(x, t) for x, t in at], rtol=0, atol=1e-13)


def test_the_order_of_the_quadrature_is_that_of_gauss(float64):
    """Degree 2 n - 1 is exact, the next one is not; a kink needs a break."""
    at = np.array([[1.3, 0.6]])

    def off(degree, nodes):
        declared = po.Integral(lambda x: x**degree, over="x", nodes=nodes)
        return abs(value(declared, at)[0] / (2 ** (degree + 1) / (degree + 1)) - 1)

    assert all(off(2 * n - 1, n) < 1e-14 < 1e-8 < off(2 * n, n) for n in (1, 2, 5))
    kernel = po.Integral(lambda x, at_x: jnp.exp(-jnp.abs(at_x - x)), over="x", nodes=16)
    exact = 2 - np.exp(-1.3) - np.exp(-0.7)
    split_there = po.Integral(kernel.integrand, over="x", breaks=lambda x: x, nodes=8)
    assert abs(value(kernel, at)[0] - exact) > 1e-4 > 1e-13 > abs(value(split_there, at)[0] - exact)


def test_an_integral_over_everything_asks_for_the_same_nodes_at_every_point(float64):
    points = jnp.asarray(np.random.default_rng(0).random((50, 2)))

    def rows(**limits):
        declared = po.Integral(lambda u: u, nodes=4, **limits)
        nodes, weights = names_of(Declared(declared=declared)).integrals["i"].nodes(points)
        assert nodes.shape == (*weights.shape, 2)
        return nodes.shape[:2]

    assert rows(over=("x", "t")) == (1, 16)
    assert rows(over=("x", "t"), upper={"x": 0.5}) == (1, 16)
    assert rows(over=("x", "t"), upper={"x": lambda x: x}) == (50, 16)
    assert rows(over="x", breaks=(0.3, 0.6)) == (50, 12)


@pytest.mark.parametrize("problem", [Fredholm(), Volterra(), Breakage()])
def test_the_exact_solution_satisfies_equations_with_integrals(problem, float64):
    inside = problem.domain.sample_interior(
        lambda n, d: np.random.default_rng(0).random((n, d)), 40
    )
    soft = tuple(k for k, c in enumerate(problem.conditions()) if isinstance(c, po.Equation))
    for constraint in constraints(problem, soft):
        values = of_exact(problem, constraint, inside)
        (residual,) = apply_pointwise(constraint.function, values, owner="").values()
        assert jnp.abs(residual).max() < 1e-10


class Coefficients(po.Problem):
    """Coefficients in an integrand and in a limit."""

    domain = po.Interval(x=(0, 2))
    rate: float = 1.5
    reach: float = po.positive(0.5)

    def integrals(self):
        return {"i": po.Integral(lambda x: jnp.exp(self.rate * x), over="x", upper=self.reach)}

    def residual(self, u, i):
        return u - i


def test_an_integral_is_differentiable_in_its_coefficients(float64):
    """d/db and d/dr of (exp(r b) - 1) / r."""

    def found(rate, reach):
        (inside,) = constraints(Coefficients(rate, reach), ())
        return inside.signature.gather({(): jnp.zeros((1, 1))}, jnp.ones((1, 1)), None, zero)["i"][
            0
        ]

    def zero(points, plan):
        return {(): jnp.zeros((len(points), 1))}

    gradient = jax.jit(jax.grad(found, (0, 1)))(1.5, 0.5)
    e = np.exp(0.75)
    assert np.allclose(gradient, [0.5 * e / 1.5 - (e - 1) / 1.5**2, e], rtol=1e-13)


def model_of(problem: Problem, key: int = 0):
    imposition = impose(problem)
    network = po.networks.MLP(8, 2).build(
        len(problem.domain.coordinates), len(problem.unknowns), key=jax.random.key(key)
    )
    return split(problem, network, imposition, scales_of(problem, imposition), "here")


def test_gauss_newton_sees_the_derivative_of_the_whole_integral(float64):
    """Rows are of one point each, whose nodes are elsewhere; prepared points change nothing."""
    model, params = model_of(Breakage())
    at = jnp.asarray(np.random.default_rng(0).random((7, 2)))
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    def vector(flat):
        return model.residuals(unravel(flat), {INTERIOR: Points(at)})["residual"].vector

    @jax.jit
    def linearised(params):
        there = model.prepared(params, {INTERIOR: Points(at)})
        return model.linearised(params, INTERIOR, there[INTERIOR])["residual"]

    value, rows = linearised(params)
    assert np.allclose(value, jax.jit(vector)(flat), rtol=1e-12)
    assert np.allclose(rows, jax.jit(jax.jacrev(vector))(flat), rtol=0, atol=1e-11)
    assert np.abs(rows).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "optimizer", "steps", "largest"),
    [
        (Fredholm(), None, 100, 1e-4),
        (Volterra(), None, 100, 1e-4),
        (Breakage(), po.optimizers.GaussNewton(), 30, 1e-3),
    ],
)
def test_equations_with_integrals_are_solved(problem, optimizer, steps, largest):
    options = {} if optimizer is None else {"optimizer": optimizer}
    points = po.Collocation(interior=128, boundary=16)
    solution = po.solve(
        problem,
        network=po.networks.MLP(12, 2),
        steps=steps,
        points=points,
        progress=False,
        **options,
    )
    (error,) = solution.error().values()
    assert error["mean"] < largest
    if isinstance(problem, Breakage):
        t = np.linspace(0, 1, 5)
        assert np.allclose(solution.partial("mass", x=0.3, t=t), 0.5, atol=1e-3)


def test_a_coefficient_in_a_kernel_is_found():
    x = np.linspace(0, 1, 20)
    found = po.invert(
        Fredholm(rate=0.7),
        po.Observed({"x": x}, {"u": 1 + x}),
        unknown="rate",
        network=po.networks.MLP(12, 2),
        points=po.Collocation(interior=64),
        steps=150,
        progress=False,
    )
    assert abs(found.coefficients["rate"] - 1) < 0.02


def test_an_integral_is_as_large_as_its_integrand_times_the_length(float64):
    """The mass of 6 over a length of 3 says that u is 2; in other units of x it says the same."""

    def sizes(length, mass):
        class Mass(po.Problem):
            domain = po.Box(x=(0, length), t=(0, 1))

            def integrals(self):
                square = po.Integral(lambda u, at_u: u * at_u, over="x")
                return {"mass": po.Integral(lambda u: u, over="x"), "square": square}

            def residual(self, u_t, square):
                return {"a": u_t, "b": square}

            def conditions(self):
                return (po.Equation(lambda mass: mass - mass_of, on="x_min"),)

        mass_of = mass
        problem = Mass()
        return scales_of(problem, impose(problem))

    one, other = sizes(3.0, 6.0), sizes(3000.0, 6000.0)
    assert np.isclose(one.sizes["u"], 2, rtol=0.1) and np.isclose(one.terms["b"], 12, rtol=0.3)
    assert np.isclose(other.sizes["u"], one.sizes["u"], rtol=1e-5)
    assert np.isclose(other.terms["b"], 1000 * one.terms["b"], rtol=1e-5)


def test_a_problem_says_its_integrals():
    assert described(Breakage())["integrals"] == [
        "born over x from a function of x to 1, of n",
        "mass over x from 0 to 1, of n and x",
    ]
    assert described(Volterra())["integrals"] == [
        "memory over t from 0 to a function of t, of u, t and at_t"
    ]
    assert po.latex(Breakage()) == r"n_{t} + x\,n - \mathrm{born}(t, x) = 0"


def test_another_integral_is_another_problem():
    stored = fingerprint(Fredholm())
    assert difference(stored, Fredholm()) is None
    assert difference(stored, Fredholm(rate=2.0)) == "rate is 1 there and 2 here"
    stored = fingerprint(Declared(declared=po.Integral(lambda u: u, over="x")))
    for other, words in (
        (po.Integral(lambda u: u**2, over="x"), "the integral i differs"),
        (
            po.Integral(lambda u: u, over="t"),
            "the integral i is declared otherwise there than here",
        ),
        (
            po.Integral(lambda u: u, over="x", nodes=8),
            "the integral i is declared otherwise there than here",
        ),
    ):
        assert difference(stored, Declared(declared=other)) == words
    stored = fingerprint(Declared(declared=po.Integral(lambda x: x, over="x", lower=lambda x: x)))
    other = po.Integral(lambda x: x, over="x", lower=lambda x: x / 2)
    assert difference(stored, Declared(declared=other)) == "the integral i differs"
    stored = fingerprint(Coefficients())
    assert difference(stored, Coefficients(reach=0.4)) == "reach is 0.5 there and 0.4 here"
    assert described(Coefficients())["integrals"] == ["i over x from 0 to a coefficient, of x"]


def test_a_manufactured_problem_has_the_integrals_of_its_solution(float64):
    made = po.manufacture(Breakage(), lambda x, t: jnp.cos(x + t))
    at = np.random.default_rng(0).random((9, 2))
    (inside,) = constraints(made, ())
    values = of_exact(made, inside, at)
    assert np.allclose(apply_pointwise(inside.function, values, owner="")[""], 0, atol=1e-14)
    x, t = at.T
    assert np.allclose(values["born"], 2 * (np.sin(1 + t) - np.sin(x + t)), rtol=1e-9)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (None, "Declared.integrals: i must be a po.Integral, got None"),
        (po.Integral(lambda u: u, over="y"), "'y' is no coordinate that is an interval of the dom"),
        (po.Integral(lambda u: u, over=()), "over must name each coordinate once, got ()"),
        (po.Integral(lambda u: u, over=("x", "x")), "over must name each coordinate once"),
        (po.Integral(lambda: 1.0, over="x"), "the integrand names nothing; available are"),
        (po.Integral(lambda w: w, over="x"), "i: the argument 'w' names nothing"),
        (po.Integral(lambda u, at_w: u, over="x"), "i, at_: the argument 'w' names nothing"),
        (po.Integral(lambda u, i: u, over="x"), "i: the argument 'i' names nothing"),
        (
            po.Integral(lambda u: u, over="x", lower=-1.0),
            "the limit -1.0 is not within x from 0 to",
        ),
        (po.Integral(lambda u: u, over="t", upper="t"), "such as lambda t: t, got 't'"),
        (po.Integral(lambda u: u, over="x", lower=(0, 1)), "lower must be a number or a function"),
        (
            po.Integral(lambda u: u, over="x", upper={"t": 0.5}),
            "upper is given for 't', but the in",
        ),
        (
            po.Integral(lambda u: u, over=("x", "t"), lower=0.1),
            "lower is a dict by coordinate, got",
        ),
    ],
)
def test_an_integral_that_is_none_is_refused(declared, words):
    with pytest.raises(ValueError, match=r"^Declared.integrals: ") as error:
        names_of(Declared(declared=declared))
    assert words in str(error.value)


def test_what_an_integrand_returns_is_checked():
    at = np.array([[1.0, 0.5]])
    with pytest.raises(ValueError, match="the integrand returned a dict of a, b"):
        value(po.Integral(lambda u: {"a": u, "b": u}, over="x"), at)
    with pytest.raises(ValueError, match="a limit returned an array of shape"):
        value(po.Integral(lambda u: u, over="x", upper=lambda point: point), at)
    with pytest.raises(ValueError, match="nodes must be a whole number from 1 to 1000, got 0"):
        po.Integral(lambda u: u, over="x", nodes=0)


def test_the_name_of_an_integral_is_new():
    class Bad(Declared):
        def integrals(self):
            return {"u_x": po.Integral(lambda u: u, over="x")}

    with pytest.raises(ValueError, match="Bad.integrals: 'u_x' is no name for an integral"):
        names_of(Bad())

    class NoDict(Declared):
        def integrals(self):
            return (po.Integral(lambda u: u, over="x"),)

    with pytest.raises(ValueError, match="must return a dict of integrals by name, got one tuple"):
        names_of(NoDict())
    known = names_of(Breakage())
    with pytest.raises(ValueError, match="the integrals born, mass; the coordinates x, t"):
        parse_names(("born_x",), known, owner="here")


def test_a_window_integrates_along_space_in_the_time_of_the_whole(float64):
    class Moving(Declared):
        def integrals(self):
            moving = po.Integral(
                lambda x, t, at_t: x + t * at_t, over="x", lower=lambda t: t, upper=1.0
            )
            return {"i": moving}

    window = Window(Moving(), 0.25, jnp.asarray(0.5), None)
    (inside,) = constraints(window, ())
    values = of_exact(window, inside, np.array([[0.3, 0.2]]))
    assert np.isclose(values["i"][0], (1 - 0.7**2) / 2 + 0.3 * 0.7**2)
    over_time = po.Integral(lambda u: u, over="t", upper=lambda t: t)
    with pytest.raises(ValueError, match="time windows cannot use an integral over t, i"):
        Window(Declared(declared=over_time), 0.25, jnp.asarray(0.5), None)


def test_what_cannot_take_integrals_says_so():
    with pytest.raises(ValueError, match="equations on a grid cannot take the integral born"):
        check_on_grid(Breakage(), {"x": np.linspace(0, 1, 9), "t": np.linspace(0, 1, 9)})

    class Steady(po.Problem):
        domain = po.Box(x=(0, 1), y=(0, 1))

        def integrals(self):
            return {"mean": po.Integral(lambda u: u, over=("x", "y"))}

        def residual(self, u_xx, u_yy, mean):
            return u_xx + u_yy - mean

        def conditions(self):
            return (po.Dirichlet(0.0),)

    with pytest.raises(ValueError, match="Steady.residual has the integral mean"):
        encoded(Steady())


class Decays(Volterra):
    """A family of Volterra equations, whose memories are of different strength."""

    strength: float = 1.0

    def residual(self, u, u_t, memory):
        return u_t + u - self.strength * memory

    def exact(self, t):
        """From ``m' = u - m`` for the memory m: the eigenvalues are ``-1 ± sqrt(strength)``."""
        return jnp.exp(-t) * jnp.cosh(jnp.sqrt(self.strength) * t)

    def sample(self, key):
        return Decays(strength=jax.random.uniform(key, minval=0.5, maxval=1.5))

    def inputs(self):
        return {"strength": self.strength}


@pytest.mark.slow
def test_an_operator_learns_an_equation_with_an_integral():
    small = po.networks.MLP(12, 2)
    network = po.operators.DeepONet(small, small, latent=8)
    points = po.Collocation(interior=32, batch=16, refinement=None)
    options = {"functions": po.Functions(pool=32, batch=8, points=points), "progress": False}
    trained = po.train(Decays(), network, steps=200, **options)
    assert trained.error()["u"]["mean"] < 0.05
