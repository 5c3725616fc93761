"""The same problem in other units: sizes follow, and with them residuals, losses and gradients are the same up to round-off."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import Coordinate, Gradient, Laplacian, Normal, Partial, Point
from pinops.networks import MLP, embedding_of
from pinops.problem import (
    Problem,
    Scales,
    available,
    impose,
    load_problem,
    names_of,
    residual_signature,
    scales_of,
)
from pinops.problem._conditions import Condition
from pinops.problem._problem import DerivedProblem, by_unknown, values_at
from pinops.training import Collocation, draw, split

FACTORS = (1e-9, 1e-6, 1e6, 1e9)


class Stretched:
    """A domain whose space and time are multiplied by constants, any domain of the house."""

    def __init__(self, domain: Any, factors: dict[str, float]):
        self._domain, self._factors = domain, factors
        pairs = lambda bounds: {
            name: (low * factors[name], high * factors[name])
            for name, (low, high) in bounds.items()
        }
        self.bounds, self.intervals = pairs(domain.bounds), pairs(domain.intervals)
        self._columns = np.asarray([factors[name] for name in domain.coordinates])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def sample_interior(self, cube: Any, n: int) -> np.ndarray:
        return self._columns * self._domain.sample_interior(cube, n)

    def sample_initial(self, cube: Any, n: int) -> np.ndarray:
        return self._columns * self._domain.sample_initial(cube, n)

    def sample_boundary(self, on: Any, cube: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        points, normals = self._domain.sample_boundary(on, cube, n)
        return self._columns * points, normals  # the same normals: all lengths have one factor


class Rescaled(DerivedProblem):
    """A problem in other units. Made by `rescale`."""

    problem: Problem
    of_unknowns: tuple[float, ...] = eqx.field(static=True)
    of_coordinates: tuple[float, ...] = eqx.field(static=True)
    of_equation: float = eqx.field(static=True)

    @property
    def domain(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        names = self.problem.domain.coordinates
        return Stretched(self.problem.domain, dict(zip(names, self.of_coordinates, strict=True)))

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        signature = residual_signature(self.problem)
        return self._converted(self.problem.residual, signature, self.of_equation)

    def _converted(self, function: Any, signature: Any, factor: float) -> Callable[..., Any]:
        """An equation of the inner problem by the quantities of this one, times a factor."""
        length = self._length

        def unit(argument: Any) -> Any:
            """What a quantity of this problem is in those of the inner one."""
            match argument:
                case Partial(component, index):
                    of = np.prod([self.of_coordinates[axis] for axis in index])
                    return self.of_unknowns[component] / of
                case Laplacian(component):
                    return self.of_unknowns[component] / length**2
                case Gradient(component) | Normal(component):
                    return self.of_unknowns[component] / length
                case Coordinate(axis):
                    return self.of_coordinates[axis]
                case Point():
                    return jnp.asarray(self.of_coordinates)
            return 1.0

        units = {name: unit(argument) for name, argument in signature.arguments}

        def converted(**values: Any) -> Any:
            out = function(**{name: value / units[name] for name, value in values.items()})
            return jax.tree.map(lambda value: factor * value, out)

        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in units]
        converted.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        return converted

    @property
    def _length(self) -> float:
        domain = self.problem.domain
        space = [self.of_coordinates[domain.coordinates.index(name)] for name in domain.space]
        return space[0] if space else 1.0

    @property
    def _time(self) -> float:
        domain = self.problem.domain
        return self.of_coordinates[domain.coordinates.index(domain.time)]

    def _inner(self, method: str) -> Callable[..., Any] | None:
        if getattr(self.problem, method) is None:
            return None
        sizes = dict(zip(self.unknowns, self.of_unknowns, strict=True))
        here = jnp.asarray(self.of_coordinates)
        if method == "features":
            from pinops.problem import features_at

            return lambda point: tuple(features_at(self.problem, point / here))
        at = lambda point: values_at(self.problem, method, point / here)
        size = lambda name: 1.0 if method == "factor" else sizes[name]
        return lambda point: {name: size(name) * value for name, value in at(point).items()}

    @property
    def lift(self) -> Any:
        return self._inner("lift")

    @property
    def factor(self) -> Any:
        return self._inner("factor")

    @property
    def features(self) -> Any:
        return self._inner("features")

    def _data(self, condition: Any, value: Any, factor: float) -> dict[str, Any]:
        sizes = dict(zip(self.unknowns, self.of_unknowns, strict=True))
        functions = by_unknown(self.problem, value, condition.unknown, owner="rescaled")
        here = jnp.asarray(self.of_coordinates)

        def of(name: str, function: Any) -> Callable[..., Any]:
            return lambda point: sizes[name] * factor * function(point / here)

        return {name: of(name, function) for name, function in functions.items()}

    def conditions(self) -> tuple[Condition, ...]:
        return tuple(self._condition(condition) for condition in self.problem.conditions())

    def _condition(self, condition: Any) -> Condition:
        plain = {"on": getattr(condition, "on", None), "soft": condition.soft}
        match condition:
            case po.Dirichlet():
                return po.Dirichlet(self._data(condition, condition.value, 1.0), **plain)
            case po.Neumann():
                data = self._data(condition, condition.value, 1 / self._length)
                return po.Neumann(data, **plain)
            case po.Robin():
                return po.Robin(
                    self._data(condition, condition.value, 1.0),
                    alpha=condition.alpha,
                    beta=condition.beta * self._length,
                    **plain,
                )
            case po.Initial():
                rates = condition.rates()
                moving = None if rates is None else self._data(condition, rates, 1 / self._time)
                data = self._data(condition, condition.value, 1.0)
                return po.Initial(data, moving, soft=condition.soft)
            case po.Observed():
                names, sizes = self.problem.domain.coordinates, self.of_unknowns
                at = dict(zip(names, self.of_coordinates, strict=True))
                of = dict(zip(self.unknowns, sizes, strict=True))
                return po.Observed(
                    {name: at[name] * array for name, array in condition.coordinates.items()},
                    {name: of[name] * array for name, array in condition.values.items()},
                )
            case po.Equation():
                from pinops.derivatives import parse_signature

                names = names_of(self.problem)
                signature = parse_signature(
                    condition.residual, names, owner="rescaled", boundary=True
                )
                return po.Equation(
                    self._converted(condition.residual, signature, self.of_equation),
                    on=condition.on,
                )
        return condition


def rescale(
    problem: Problem,
    *,
    unknown: float | dict[str, float] = 1.0,
    length: float = 1.0,
    time: float = 1.0,
    equation: float = 1.0,
) -> Rescaled:
    """The problem whose unknowns, lengths, times and equations are multiplied by constants."""
    unknowns = dict.fromkeys(problem.unknowns, unknown) if isinstance(unknown, float) else unknown
    domain = problem.domain
    return Rescaled(
        problem,
        of_unknowns=tuple(unknowns[name] for name in problem.unknowns),
        of_coordinates=tuple(
            time if name == domain.time else length for name in domain.coordinates
        ),
        of_equation=equation,
    )


def other_units(problem: Problem, number: int) -> dict[str, Any]:
    """Factors of which each of the four meets each kind of quantity once, and every unknown another one."""
    turned = FACTORS[number:] + FACTORS[:number]
    cycle = itertools.cycle(turned)
    unknown = dict(zip(problem.unknowns, cycle, strict=False))
    return {"unknown": unknown, "length": turned[1], "time": turned[2], "equation": turned[3]}


def residuals_and_gradient(problem: Problem) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a training starts from: the residual vectors and the gradient of the sum of their mean squares."""
    imposition = impose(problem)
    scales = scales_of(problem, imposition)
    size = embedding_of(problem, imposition).size
    network = MLP(5, 1).build(size, len(problem.unknowns), key=jax.random.key(0))
    model, params = split(problem, network, imposition, scales, "test")
    points = draw(problem, imposition.soft, Collocation(16, 16, 16), jax.random.key(1))

    def loss(params: Any) -> Any:
        vectors = model.residuals(params, points)
        return sum(jnp.mean(jnp.square(v)) for v in vectors.values()), vectors

    (_, vectors), gradient = eqx.filter_jit(
        lambda params: jax.value_and_grad(loss, has_aux=True)(params)
    )(params)
    return vectors, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])


PROBLEMS = sorted(available())


@pytest.mark.parametrize("name", PROBLEMS)
def test_sizes_follow_the_units_of_every_problem(name, float64):
    problem = load_problem(name)
    imposition = impose(problem)
    plain = scales_of(problem, imposition)
    assert all(0 < size < np.inf for size in (*plain.sizes.values(), *plain.terms.values()))
    first = (
        PROBLEMS.index(name) % 2
    )  # two of the four each: every factor meets every quantity of some problems
    for number in (first, first + 2):
        units = other_units(problem, number)
        found = scales_of(rescale(problem, **units), imposition)
        for unknown, factor in units["unknown"].items():
            for part in ("centre", "spread", "sizes"):
                expected = factor * getattr(plain, part)[unknown]
                assert getattr(found, part)[unknown] == pytest.approx(expected, rel=3e-6), part
        interior = [term for term in plain.terms if " " not in term]
        for term in interior:
            assert found.terms[term] == pytest.approx(
                units["equation"] * plain.terms[term], rel=3e-6
            )


@pytest.mark.parametrize(
    "name",
    ["burgers", "kovasznay", "nonlinear_diffusion", "poisson_disks", "wave", "poisson_nd"],
)
def test_a_training_starts_from_the_same_numbers_in_all_units(name, float64):
    """The residuals and the gradient of the loss; what follows from them, every step, is then the same as well."""
    problem = load_problem(name)
    vectors, gradient = residuals_and_gradient(problem)
    number = len(name) % len(FACTORS)
    found, other = residuals_and_gradient(rescale(problem, **other_units(problem, number)))
    assert found.keys() == vectors.keys()
    # Sizes are kept to six digits, which powers of ten leave alone; what is left is round-off.
    for term, vector in vectors.items():
        np.testing.assert_allclose(
            found[term], vector, rtol=1e-8, atol=1e-9 * np.max(np.abs(vector)), err_msg=term
        )
    np.testing.assert_allclose(other, gradient, rtol=1e-8, atol=1e-9 * np.max(np.abs(gradient)))


# --- the table of the issue ------------------------------------------------------------------------------------


class Cooling(po.Problem):
    """u_t = 0.1 u_xx from a sine of any amplitude, on top of any temperature."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    amplitude: float = 1.0
    level: float = 0.0
    softly: bool = eqx.field(static=True, default=False)

    def residual(self, u_t, u_xx):
        return u_t - 0.1 * u_xx

    def conditions(self):
        start = lambda x: self.level + self.amplitude * jnp.sin(jnp.pi * x)
        return po.Initial(start, soft=self.softly), po.Dirichlet(self.level, soft=self.softly)

    def exact(self, x, t):
        shape = jnp.exp(-0.1 * jnp.pi**2 * t) * jnp.sin(jnp.pi * x)
        return self.level + self.amplitude * shape


class Bar(po.Problem):
    """E u_xx + f = 0, held at one end: the displacement under its own weight."""

    domain = po.Box(x=(0, 1))
    modulus: float = po.positive(1.0)
    weight: float = 1.0

    def residual(self, u_xx):
        return self.modulus * u_xx + self.weight

    def conditions(self):
        return po.Dirichlet(0.0, on="x_min"), po.Neumann(0.0, on="x_max")

    def exact(self, x):
        return self.weight / self.modulus * (x - x**2 / 2)


class Pressure(po.Problem):
    """p_xx = 0 with observations of a straight line."""

    domain = po.Box(x=(0, 1))
    unknowns = ("p",)
    size: float = 1.0

    def residual(self, p_xx):
        return p_xx

    def conditions(self):
        x = np.linspace(0, 1, 51)
        return (po.Observed({"x": x}, {"p": float(self.size) * (1 + x)}),)

    def exact(self, x):
        return self.size * (1 + x)


class Decay(po.Problem):
    """u_t = -u / 2 from 2, by a clock that began long ago."""

    domain = po.Box(t=(1.7e9, 1.7e9 + 10))

    def residual(self, u, u_t):
        return u_t + u / 2

    def conditions(self):
        return (po.Initial(2.0),)

    def exact(self, t):
        return 2 * jnp.exp(-(t - 1.7e9) / 2)


class Epidemic(po.Problem):
    """SIR in numbers of people."""

    domain = po.Box(t=(0, 40))
    unknowns = ("S", "I")
    beta: float = po.positive(0.3)
    gamma: float = po.positive(0.2)
    people: float = 1.0

    def residual(self, S, I, S_t, I_t):  # noqa: E741
        infected = self.beta * S * I / self.people
        return {"S": S_t + infected, "I": I_t - infected + self.gamma * I}

    def conditions(self):
        return (po.Initial({"S": 0.99 * self.people, "I": 0.01 * self.people}),)


class Coupled(po.Problem):
    """E u_xx = p_x with the pressure given at the ends: p = P x, u = P (x² - x) / 2E; only p has data of a size."""

    domain = po.Box(x=(0, 1))
    unknowns = ("u", "p")
    pressure: float = 1.0
    modulus: float = 1.0

    def residual(self, u_xx, p_x, p_xx):
        return {"balance": self.modulus * u_xx - p_x, "flow": p_xx}

    def conditions(self):
        low, high = {"u": 0.0, "p": 0.0}, {"u": 0.0, "p": self.pressure}
        return po.Dirichlet(low, on="x_min"), po.Dirichlet(high, on="x_max")

    def exact(self, x):
        return {"u": self.pressure / self.modulus * (x**2 - x) / 2, "p": self.pressure * x}


def solved(problem: Problem, **options: Any) -> Any:
    few = Collocation(interior=128, boundary=32, initial=32, every=0, refinement=None)
    settings = {"optimizer": po.optimizers.GaussNewton(), "steps": 25, "progress": False}
    return po.solve(problem, network=MLP(8, 1), sampler=few, **settings | options)


def varying_error(solution: Any, unknown: str = "u") -> float:
    """The error relative to how the solution varies: a level of 300 hides nothing."""
    reference = solution.reference
    truth = reference.values[unknown]
    found = solution.values(reference.coordinates)[unknown]
    return float(np.sqrt(np.mean((found - truth) ** 2)) / np.std(truth))


@pytest.mark.parametrize(
    ("plain", "other", "digits"),
    [
        (Cooling(), Cooling(amplitude=1e-9), 4),
        (Bar(), Bar(modulus=2e11, weight=7.7e4), 5),
        (Pressure(), Pressure(size=1e5), 5),
        (Cooling(softly=True), Cooling(amplitude=1e-3, level=300.0, softly=True), 3),
        (Cooling(), Cooling(amplitude=1e-3, level=300.0), 4),
    ],
    ids=["small", "stiff", "observed", "kelvin, soft", "kelvin"],
)
def test_the_digits_of_an_answer_do_not_depend_on_units(plain, other, digits):
    unknown = plain.unknowns[0]
    errors = [varying_error(solved(problem), unknown) for problem in (plain, other)]
    assert max(errors) < 10.0**-digits, errors


def test_unknowns_of_different_size_are_found_together():
    solution = solved(Coupled(pressure=1e5, modulus=1e8))
    sizes = solution.request["scales"]["sizes"]
    assert 1e4 < sizes["p"] < 1e6 and 1e-5 < sizes["u"] < 1e-2
    assert solution.summary()["scales"] == solution.request["scales"]
    assert all(varying_error(solution, unknown) < 1e-5 for unknown in ("u", "p"))


def test_unix_time_is_told_apart_in_double_precision_only():
    assert varying_error(solved(Decay())) < 1e-4
    with pytest.raises(ValueError, match="measure t from another origin, or choose dtype="):
        solved(Decay(), dtype="float32")


def test_coefficients_are_found_from_numbers_of_people():
    from scipy.integrate import solve_ivp

    right = lambda t, y: [-0.5 * y[0] * y[1], 0.5 * y[0] * y[1] - 0.1 * y[1]]
    times = np.linspace(0, 40, 81)
    shares = solve_ivp(right, (0, 40), [0.99, 0.01], t_eval=times, rtol=1e-10, atol=1e-12).y
    few = Collocation(interior=256, every=0, refinement=None)
    for people in (1.0, 7.9e6):
        observed = po.Observed({"t": times}, {"S": people * shares[0], "I": people * shares[1]})
        found = po.invert(
            Epidemic(people=people),
            observed,
            unknown=("beta", "gamma"),
            network=MLP(12, 1),
            sampler=few,
            optimizer=po.optimizers.LevenbergMarquardt(),
            steps=60,
            progress=False,
        ).coefficients
        assert found["beta"] == pytest.approx(0.5, rel=1e-3)
        assert found["gamma"] == pytest.approx(0.1, rel=1e-3)


# --- what a user states, and what is kept -------------------------------------------------------------------------


def test_sizes_can_be_stated_and_are_checked():
    bar = Bar(modulus=2e11)
    found = scales_of(bar, impose(bar), {"u": 1e-6})
    assert found.sizes["u"] == found.spread["u"] == 1e-6
    assert Scales.from_json(found.to_json()).to_json() == found.to_json()
    for wrong, sentence in (
        ({"v": 1.0}, "there is no unknown 'v'; the unknowns are u"),
        ({"u": 0.0}, "the size of u must be a number greater than zero and finite, got 0.0"),
        ({"u": np.nan}, "the size of u must be"),
        ({"u": "1"}, "the size of u must be"),
    ):
        with pytest.raises(ValueError, match=sentence):
            po.solve(bar, scales=wrong, steps=1, progress=False)


def test_a_coefficient_that_starts_at_zero_has_a_size_of_its_own(float64):
    class Drift(po.Problem):
        domain = po.Box(x=(0, 1), t=(0, 1))
        speed: float = 0.0
        size: float = 1.0
        trainable = ("speed",)

        def residual(self, u_t, u_x):
            return self.size * (u_t + self.speed * u_x)

        def conditions(self):
            return (po.Initial(lambda x: self.size * jnp.sin(x)),)

    plain, large = (scales_of(p, impose(p)) for p in (Drift(), Drift(size=1e6)))
    assert 0.1 < plain.coefficients["speed"] < 10
    assert large.coefficients["speed"] == pytest.approx(plain.coefficients["speed"], rel=1e-5)


def test_data_that_agree_where_they_meet_agree_in_all_units():
    """Round-off is relative to the data, and so is a real difference."""

    class Meeting(po.Problem):
        domain = po.Box(x=(0, 1), t=(0, 1))
        size: float = 1.0
        gap: float = 0.0

        def residual(self, u_t, u_xx):
            return u_t - u_xx

        def conditions(self):
            start = lambda x: self.size * (jnp.sin(jnp.pi * x) + self.gap)
            return po.Dirichlet(0.0), po.Initial(start)

    for size in (1e-12, 1.0, 1e12):
        assert impose(Meeting(size=size)).how == ("hard", "hard")
        assert impose(Meeting(size=size, gap=1e-6)).how == ("hard", "soft")
