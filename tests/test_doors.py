"""The doors where a user's problem enters: nothing silently wrong, one sentence with a remedy."""

import math
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.data import as_dataset
from pinops.networks import check_network, embedding_of
from pinops.operators import CAPE, FNO, DeepONet, Direct, check_architecture
from pinops.optimizers import SSBroyden
from pinops.problem import (
    constraints,
    impose,
    manufacture,
    outside,
    sentence,
    values_at,
)
from pinops.reference import Reference
from pinops.sampling import Uniform
from pinops.training import Curriculum

SMALL = {
    "network": po.networks.MLP(width=16, depth=2),
    "points": po.Collocation(interior=256, boundary=64, initial=64, every=0, refinement=None),
    "optimizer": SSBroyden(),
    "progress": False,
}


def cube(m, d):
    return Uniform().points(jax.random.key(0), m, d)


def one_sentence(error) -> str:
    """The message of an error, which is one line without the vocabulary of JAX's own."""
    text = str(error.value)
    assert "\n" not in text and "ConcretizationTypeError" not in text, text
    return text


# Time: terminal conditions and solutions periodic in time.


RATE, VOLATILITY, STRIKE, MATURITY = 0.05, 0.4, 1.0, 1.0


def normal(z):
    return jax.scipy.stats.norm.cdf(z)


class BlackScholes(po.Problem):
    """V_t + sigma² S² V_SS / 2 + r S V_S - r V = 0, backwards from a smooth payoff.

    The payoff is the value half a year before expiry of a European call, so that it has no kink.
    """

    domain = po.Box(s=(0.5, 2.0), t=(0.0, MATURITY))
    unknowns = ("v",)

    def residual(self, v, v_t, v_s, v_ss, s):
        return v_t + VOLATILITY**2 * s**2 * v_ss / 2 + RATE * s * v_s - RATE * v

    def conditions(self):
        return (
            po.Dirichlet(lambda s: self.exact(s, MATURITY), on="t_max"),
            po.Dirichlet(self.exact, on="s"),
        )

    def exact(self, s, t):
        left = MATURITY + 0.5 - t
        spread = VOLATILITY * jnp.sqrt(left)
        d = (jnp.log(s / STRIKE) + (RATE + VOLATILITY**2 / 2) * left) / spread
        return s * normal(d) - STRIKE * jnp.exp(-RATE * left) * normal(d - spread)


@pytest.mark.slow
def test_black_scholes_backwards():
    solution = po.solve(BlackScholes(), steps=400, **SMALL)
    assert solution.error()["v"]["mean"] < 1e-4
    assert solution.conditions == [
        "v = data at t = 1: imposed exactly",
        "v = data on s_min and s_max: imposed exactly",
    ]
    payoff = BlackScholes().exact(np.array([0.7, 1.3]), 1.0)
    np.testing.assert_allclose(solution(s=[0.7, 1.3], t=1.0), payoff, rtol=1e-12)


class Driven(po.Problem):
    """u_t + u = cos t, periodic in time: u = (cos t + sin t) / 2."""

    domain = po.Box(t=(0.0, 2 * math.pi))

    def residual(self, u, u_t, t):
        return u_t + u - jnp.cos(t)

    def conditions(self):
        return (po.Periodic("t"),)

    def exact(self, t):
        return (jnp.cos(t) + jnp.sin(t)) / 2


def test_a_solution_periodic_in_time():
    solution = po.solve(Driven(), steps=200, **SMALL)
    assert solution.error()["u"]["mean"] < 1e-4
    assert solution.conditions[0].startswith("u periodic in t: imposed exactly")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the next period is no extrapolation
        assert solution(t=0.3) == pytest.approx(solution(t=0.3 + 2 * math.pi), rel=1e-12)


def heat(*conditions, domain=None, **members):
    """u_t = u_xx with these conditions."""
    domain = po.Box(x=(0, 1), t=(0, 1)) if domain is None else domain
    body = {"domain": domain, "residual": lambda self, u_t, u_xx: u_t - u_xx, **members}
    return type("Heat", (po.Problem,), {"conditions": lambda self: conditions, **body})()


DISK = po.Disk(x=0, y=0, radius=1) * po.Time(0, 2)


def test_terminal_conditions_are_hard_wherever_time_is_a_factor():
    options = {"domain": DISK, "residual": lambda self, u_t, lap_u: u_t - lap_u}
    product = po.Dirichlet(lambda x, y: x * y, on="t_max")
    both = heat(po.Neumann(1.0, on="circle"), product, **options)
    assert impose(both).how == ("soft", "hard")
    agreeing = heat(po.Dirichlet(lambda x, y: x * y, on="circle"), product, **options)
    assert impose(agreeing).how == ("hard", "hard")
    together = heat(po.Dirichlet(1.0, on=("circle", "t_max")), **options)
    assert impose(together).how == ("soft",)
    soft = constraints(together, (0,))[1:]
    assert [one.name for one in soft] == ["dirichlet u on circle", "dirichlet u on t_max"]
    slope = heat(po.Neumann(0.0, on="t_max"), po.Robin(1.0, on="t_max", soft=True))
    assert impose(slope).how == ("hard", "soft")
    names = [name for name, _ in constraints(slope, (1,))[1].signature.arguments]
    assert names == ["point", "u", "u_t"]


def test_points_of_the_last_instant():
    at, normals = DISK.sample_boundary("t_max", cube, 50)
    assert np.all(at[:, 2] == 2) and np.all(DISK.contains(at)) and not normals.any()
    assert DISK.select(("circle", "t_max")) == ("circle", "t_max") and DISK.select() == ("circle",)
    at, normals = DISK.sample_boundary(("circle", "t_max"), cube, 50)
    last = at[:, 2] == 2
    assert last.sum() == 25 and not normals[last].any()
    np.testing.assert_allclose(normals[~last], at[~last, :2], atol=1e-12)
    with pytest.raises(ValueError, match="there is no 't_max', the domain has no time"):
        po.Box(x=(0, 1)).select("t_max")


def test_a_soft_terminal_condition_is_learned():
    """u_t = -u backwards from u(1) = e^-1, as a loss term."""
    problem = heat(
        po.Dirichlet(math.exp(-1.0), on="t_max", soft=True),
        domain=po.Box(t=(0, 1)),
        residual=lambda self, u, u_t: u_t + u,
        exact=lambda self, t: jnp.exp(-t),
    )
    solution = po.solve(problem, steps=200, **SMALL)
    assert solution.error()["u"]["mean"] < 1e-4
    assert solution.conditions == ["u = 0.367879 at t = 1: a loss term (declared soft)"]


@pytest.mark.parametrize(
    "condition, what",
    [
        (po.Dirichlet(0.0, on="t_max"), "a terminal condition .on='t_max'."),
        (po.Periodic("t"), "a solution periodic in time"),
    ],
)
def test_windows_need_a_start(condition, what):
    with pytest.raises(ValueError, match=f"time windows cannot use {what}"):
        po.solve(heat(condition), windows=po.TimeWindows(2), steps=1, **SMALL)


def test_time_is_periodic_or_begins():
    sentence = "t is periodic and has no boundary for {}; a solution periodic in time has neither"
    for condition in (po.Initial(0.0), po.Dirichlet(0.0, on="t_max")):
        with pytest.raises(ValueError, match=sentence.format(type(condition).__name__)):
            impose(heat(po.Periodic("t"), condition))


def test_a_manufactured_terminal_condition():
    problem = manufacture(
        heat(po.Dirichlet(0.0, on=("x", "t_max")), po.Neumann(0.0, on="t_max")),
        lambda x, t: jnp.sin(x) * jnp.exp(t),
    )
    slope = problem.conditions()[1]
    assert slope.value["u"](x=0.5, t=1.0) == pytest.approx(math.sin(0.5) * math.e, rel=1e-6)


# Complex numbers.


def wave_with(value):
    return heat(po.Initial(value), po.Dirichlet(0.0))


class Coefficient(po.Problem):
    k: float = 1.0
    domain = po.Box(x=(0, 1))

    def residual(self, u_xx, u):
        return u_xx + self.k * u


PHASE = np.exp(1j * np.linspace(0, 1, 5))
COMPLEX = {
    "coefficient": lambda: Coefficient(1j),
    "coefficient of NumPy": lambda: Coefficient(np.complex128(1 + 2j)),
    "coefficient, a list": lambda: Coefficient([1.0, 2j]),
    "coefficient, array": lambda: Coefficient(PHASE),
    "observed values": lambda: po.Observed({"x": np.linspace(0, 1, 5)}, {"u": PHASE}),
    "observed coordinates": lambda: po.Observed({"x": PHASE}, {"u": np.linspace(0, 1, 5)}),
    "constant data": lambda: impose(heat(po.Dirichlet(1j))),
    "data function": lambda: impose(heat(po.Initial(lambda x: jnp.exp(1j * x)))),
    "robin": lambda: po.Robin(0.0, alpha=1j),
    "domain": lambda: po.Box(x=(0, np.complex128(1j))),
    "ball": lambda: po.Disk(x=0, y=1j, radius=1),
    "polygon": lambda: po.Polygon([(0, 0), (1, 0), (1j, 1)]),
    "exact": lambda: heat(exact=lambda self, x, t: jnp.exp(1j * x)).exact(0.5, 0.5),
    "exact reference": lambda: heat(exact=lambda self, x, t: jnp.exp(1j * x)).reference(),
    "lift": lambda: values_at(heat(lift=lambda self, x: 1j * x), "lift", jnp.ones(2)),
    "reference": lambda: Reference({"x": np.zeros(5)}, {"u": PHASE}, {"u": 1e-9}, "mine", ""),
    "residual": lambda: po.solve(
        heat(residual=lambda self, u, u_t: u_t + 1j * u), steps=1, **SMALL
    ),
    "features": lambda: embedding_of(heat(features=lambda self, x: (1j * x,)), impose(heat())).size,
    "network": lambda: check_network(
        lambda z: jnp.sum(z)[None] * 1j, embedding_of(heat(), impose(heat())), ("u",)
    ),
    "inputs": lambda: heat(inputs=lambda self: PHASE).inputs(),
    "points": lambda: po.Box(x=(0, 1)).contains(PHASE[:, None]),
}


@pytest.mark.parametrize("door", COMPLEX)
def test_complex_numbers_are_refused_at_every_door(door):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an imaginary part that is dropped
        with pytest.raises(ValueError, match="complex numbers are not supported") as error:
            COMPLEX[door]()
    assert "two real ones (of a solution: two unknowns)" in one_sentence(error)


# Points outside of the domain.


def observed(x, problem=None):
    x = np.asarray(x, float)
    data = po.Observed({"x": x, "t": np.full(x.shape, 0.5)}, {"u": np.zeros(x.shape)})
    return heat(data, *(problem or ()))


def test_observations_outside_of_the_domain():
    x = np.linspace(0, 1, 51)
    impose(observed(x))
    impose(observed([1 + 1e-10, -1e-10]))  # the round-off of whoever wrote them
    x[[7, 9, 20]] = 1.2, -3.0, 1.0001
    with pytest.raises(ValueError) as error:
        impose(observed(x))
    assert one_sentence(error) == (
        "Heat: Observed: 3 of 51 points lie outside of the domain; the first is x = 1.2, t = 0.5; "
        "drop them, or widen the domain"
    )
    impose(observed([1.2, 7.9], [po.Periodic("x")]))  # the same points as 0.2 and 0.9


def test_points_are_outside_by_the_scale_of_each_coordinate():
    domain = po.Box(x=(0, 1e9), y=(0, 1e-3))
    at = np.array([[1e9 + 0.5, 0.0], [0.0, 1.001e-3], [1e9 + 5.0, 0.0], [5.0, 5e-4]])
    assert outside(heat(domain=domain), at).tolist() == [False, True, True, False]
    ring = (po.Disk(x=0, y=0, radius=2) - po.Disk(x=0, y=0, radius=1)) * po.Time(0, 1)
    at = np.array([[0.5, 0, 0.5], [1.5, 0, 0.5], [1.5, 0, 1.5], [np.nan, 0, 0]])
    assert outside(heat(domain=ring), at).tolist() == [True, False, True, True]


# Windows hand on only what has converged.
ENOUGH = SMALL | {"optimizer": po.optimizers.SSBroyden(), "steps": 400}


@pytest.mark.slow
def test_a_solution_outside_of_its_domain_warns():
    problem = heat(po.Initial(1.0), domain=po.Box(t=(0, 1)), residual=lambda self, u, u_t: u_t + u)
    for solution in (
        po.solve(problem, steps=1, **SMALL),
        po.solve(problem, windows=po.TimeWindows(2), **ENOUGH),
    ):
        said = "2 of 3 points lie outside of the domain; the first is t = 1.7, where the values"
        with pytest.warns(UserWarning, match=said) as caught:
            assert solution(t=[1.7, 0.5, -2]).shape == (3,)
        assert len(caught) == 1 and caught[0].filename == __file__
        with pytest.warns(UserWarning, match="1 of 1 point lies outside") as caught:
            solution.partial("u_t", t=1.1)
        assert len(caught) == 1 and caught[0].filename == __file__
        with pytest.raises(ValueError, match="the coordinate t: complex numbers are not"):
            solution(t=0.5 + 1j)
        solution(t=1 + 1e-12)  # no warning
        solution.partial("u_t", t=[0.0, 0.5, 1.0])


# What a user's own lines raise.


def solved(**members):
    return po.solve(heat(po.Initial(0.0), po.Dirichlet(0.0), **members), steps=1, **SMALL)


def branching(self, u_t, u):
    if u > 0:
        return u_t
    return u


def in_place(self, u_t, point):
    point[0] = 1.0
    return u_t


WHERE = r" \(.*test_doors\.py:\d+: .*\)"
LINES = {
    "if on a value": (dict(residual=branching), "decides an if.*use jnp.where.*jax.lax.cond"),
    "NumPy": (dict(residual=lambda self, u_t: np.sin(u_t)), "use jax.numpy, such as jnp.sin"),
    "math": (
        dict(residual=lambda self, u_t: math.sin(u_t)),
        "a Python number .float, int, round, math.sin, np.array. is made of a value that JAX",
    ),
    "float": (dict(residual=lambda self, u_t: float(u_t)), "a Python number .float"),
    "range": (
        dict(residual=lambda self, u_t: sum(u_t for _ in range(u_t.astype(int)))),
        "is an index, a length or a count",
    ),
    "in place": (dict(residual=in_place), r"x = x.at\[index\].set\(value\)"),
    "own error": (
        dict(residual=lambda self, u_t: {}["viscosity"]),
        "it raised KeyError: 'viscosity'",
    ),
    "own ValueError": (
        dict(residual=lambda self, u_t: int("three") * u_t),
        "it raised ValueError: invalid literal",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_a_residual_that_raises(case):
    members, said = LINES[case]
    with pytest.raises(ValueError, match=f"^Heat.*: .*{said}.*{WHERE}") as error:
        solved(**members)
    one_sentence(error)


RETURNS = {
    "nothing": (lambda self, u_t: None, "the equation returned None at one point; return one"),
    "a text": (lambda self, u_t: "u_t", "returned u_t, of type str, at one point"),
    "a list": (lambda self, u_t: [u_t], "returned a list of 1 at one point"),
    "an array": (lambda self, u_t: jnp.ones(3) * u_t, r"an array of shape \(3,\) at one point"),
    "a dict of arrays": (
        lambda self, u_t: {"a": u_t, "b": jnp.ones((2, 2))},
        r"equation 'b' returned an array of shape \(2, 2\)",
    ),
    "a dict of dicts": (lambda self, u_t: {"a": {"b": u_t}}, "equation 'a' returned .*type dict"),
    "numbers for names": (lambda self, u_t: {1: u_t}, "equations are named by texts, got 1"),
    "a comparison": (lambda self, u_t: u_t == 0, "returned a truth value.*what must vanish"),
    "no equation": (lambda self, u_t: {}, "it returned no equation"),
}


@pytest.mark.parametrize("case", RETURNS)
def test_a_residual_that_returns_what_it_may_not(case):
    residual, said = RETURNS[case]
    with pytest.raises(ValueError, match=said) as error:
        solved(residual=residual)
    one_sentence(error)


def test_a_residual_of_whole_numbers_and_arguments_by_position():
    def residual(self, u_t, /):
        return {"whole": 0, "other": u_t}

    assert solved(residual=residual).steps == 1


DATA = {
    "NumPy's own": (np.sin, "np.sin is a function of NumPy; use jnp.sin"),
    "NumPy": (lambda x: np.sin(x), "use jax.numpy, such as jnp.sin"),
    "math": (math.sin, "use jax.numpy, such as jnp.sin for math.sin"),
    "if": (lambda x: 1.0 if x > 0.5 else 0.0, "use jnp.where"),
    "another name": (lambda z: z, "the argument 'z' names nothing; available are x, t"),
    "nothing": (lambda x: None, "the data returned None at one point"),
    "a text": ("sin(x)", "a constant returned sin.x., of type str"),
    "an array": (np.zeros(3), r"a constant returned an array of shape \(3,\)"),
    "arguments": (lambda *x: x, r"the argument \*x has no meaning"),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_cannot_be_used(case):
    data, said = DATA[case]
    with pytest.raises(ValueError, match=said) as error:
        impose(wave_with(data))
    assert one_sentence(error).startswith("Heat: Initial: ")


class Held(po.Problem):
    """Conditions with the coefficient that ``held`` makes of it."""

    a: float = 2.0
    held: object = eqx.field(static=True, default=None)
    domain = po.Box(x=(0, 1), t=(0, 1))

    def residual(self, u_t, u_xx):
        return u_t - self.a * u_xx

    def conditions(self):
        return self.held(self.a)


@pytest.mark.parametrize(
    "held, said",
    [
        (lambda a: (po.Initial(0.0), po.Dirichlet(float(a))), "a Python number .float"),
        (lambda a: (po.Initial(0.0), po.Dirichlet(np.sin(a))), "use jax.numpy"),
        (lambda a: (po.Initial(0.0 if a > 1 else 1.0), po.Dirichlet(a)), "use jnp.where"),
        (lambda a: po.Observed({"x": [a], "t": [0.5]}, {"u": [a]}), "NumPy|traced by JAX|tuple"),
        (lambda a: (po.Initial,), "must return conditions, .*got the class Initial"),
        (lambda a: (0.0,), "must return conditions, such as Dirichlet.0.0., got 0.0"),
        (lambda a: None, "must return a tuple, got one NoneType"),
    ],
)
def test_conditions_that_cannot_be_used(held, said):
    with pytest.raises(ValueError, match=f"^Held.conditions.*({said})") as error:
        po.solve(Held(held=held), steps=1, **SMALL)
    one_sentence(error)


def test_conditions_made_with_jax():
    """`jnp` inside conditions() gives numbers also where the solver is being compiled."""

    def held(a):
        x = jnp.linspace(0.1, 0.9, 5)
        return (
            po.Dirichlet(jnp.exp(-a)),
            po.Initial(jnp.exp(-a)),
            po.Observed({"x": x, "t": x}, {"u": jnp.full(5, 0.1353)}),
        )

    solution = po.solve(Held(held=held), steps=2, **SMALL)
    assert solution(x=0.0, t=0.5) == pytest.approx(math.exp(-2), rel=1e-6)


class Branch(po.Problem):
    k: float = 1.0
    domain = po.Box(x=(0, 1), t=(0, 1))

    def residual(self, u_t):
        return u_t if self.k > 2 else 2 * u_t

    def conditions(self):
        return (po.Initial(0.0), po.Dirichlet(0.0))


def test_a_branch_on_a_coefficient():
    with pytest.raises(ValueError, match=f"^Branch.*use jnp.where.*{WHERE}"):
        po.solve(Branch(), steps=1, **SMALL)


def test_coefficients_that_are_no_numbers():
    for value in ("1", ["a"], [[1], [1, 2]]):
        with pytest.raises(ValueError, match="Coefficient: k must be a number"):
            Coefficient(value)


def test_data_that_are_no_data_set(tmp_path):
    for given in ((np.zeros(3), np.zeros(3)), np.zeros(3), {"u": 1}, 7):
        with pytest.raises(ValueError, match="data must be a Dataset or the file of one, got"):
            as_dataset(given)
    with pytest.raises(FileNotFoundError):
        as_dataset(tmp_path / "none.h5")


def test_an_architecture_that_does_not_fit():
    check_architecture(DeepONet())
    check_architecture(CAPE(FNO(12)))
    check_architecture(Direct(FNO(12)))
    check_architecture(FNO(12))
    for given, said in (
        (FNO, r"FNO is a class; give an architecture made of it, such as FNO\(\)"),
        ("FNO", r"an architecture such as DeepONet\(\)"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            check_architecture(given)
        one_sentence(error)


# What is said of conditions, and exact solutions in double precision.


def test_sentences_of_conditions():
    wall = po.Box(x=(0, 1), y=(0, 1), t=(0, 1))
    systems = heat(domain=wall, unknowns=("u", "v"))
    said = {
        "u = 0 and v = 0 on x_min, x_max, y_min and y_max": po.Dirichlet(0.0),
        "v = data on y_max": po.Dirichlet({"v": lambda x: x}, on="y_max"),
        "u_n = 2 on x_min and x_max": po.Neumann(2.0, on="x", unknown="u"),
        "u + 3 u_n = 0 on x_max": po.Robin(0.0, on="x_max", beta=3.0, unknown="u"),
        "u_t = 0 at t = 1": po.Neumann(0.0, on="t_max", unknown="u"),
        "u = 1 on x_max and at t = 1": po.Dirichlet({"u": 1.0}, on=("x_max", "t_max")),
        "u = data at t = 0, u_t = 0 there": po.Initial({"u": lambda x: x}, 0.0),
        "u and v periodic in x and y": po.Periodic(("x", "y")),
        "an equation between u_xx and v on x_min": po.Equation(
            lambda u_xx, v: u_xx - v, on="x_min"
        ),
        "2 observations of u": po.Observed(dict.fromkeys("xyt", [0.1, 0.2]), {"u": [1, 2]}),
    }
    assert {sentence(systems, condition): condition for condition in said.values()} == said


def test_exact_solutions_are_in_double_precision():
    """Called outside of `solve`, in the single precision that JAX has by default."""
    assert not jax.config.jax_enable_x64
    x, t = np.linspace(0, 1, 5), 0.3
    value = po.load_problem("heat").exact(x, t)
    problem = po.load_problem("heat")
    assert isinstance(value, np.ndarray) and value.dtype == np.float64
    by_hand = np.asarray(values_at(problem, "exact", np.array([0.25, 0.3]))["u"])
    assert by_hand.dtype == np.float64 and abs(by_hand - value[1]) < 1e-15
    made = manufacture(problem, lambda x, t: jnp.sin(x) * jnp.exp(t))
    assert abs(made.exact(0.5, 0.5) - math.sin(0.5) * math.exp(0.5)) < 1e-15
    assert made.exact(x=[0.5, 0.6], t=0.5).shape == (2,)
    inside = jax.jit(lambda x: problem.exact(x, 0.3))(jnp.float32(0.25))
    assert inside.dtype == jnp.float32 and inside == pytest.approx(value[1], rel=1e-6)


def test_one_epoch_has_no_warming_up():
    assert [Curriculum(epochs).warm_up for epochs in (1, 2, 3, 30)] == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="warm_up must be less than the 1 epochs, got 1"):
        Curriculum(1, 1)
