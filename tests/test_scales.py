"""The same problem in other units: sizes follow, and with them residuals, losses and gradients are
the same up to round-off."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from units import Bar, Cooling, Coupled, Decay, Epidemic, Pressure, rescale

import pinops as po
from pinops.networks import MLP, embedding_of
from pinops.operators import DeepONet
from pinops.problem import (
    Problem,
    Scales,
    available,
    impose,
    load_problem,
    scales_of,
)
from pinops.training import Collocation, draw, split

FACTORS = (1e-9, 1e-6, 1e6, 1e9)


def other_units(problem: Problem, number: int) -> dict[str, Any]:
    """Factors of which each of the four meets each kind of quantity once, and every unknown another
    one."""
    turned = FACTORS[number:] + FACTORS[:number]
    cycle = itertools.cycle(turned)
    unknown = dict(zip(problem.unknowns, cycle, strict=False))
    return {"unknown": unknown, "length": turned[1], "time": turned[2], "equation": turned[3]}


def residuals_and_gradient(problem: Problem) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a training starts from: the residual vectors and the gradient of the sum of their mean
    squares."""
    imposition = impose(problem)
    scales = scales_of(problem, imposition)
    size = embedding_of(problem, imposition).size
    network = MLP(5, 1).build(size, len(problem.unknowns), key=jax.random.key(0))
    model, params = split(problem, network, imposition, scales, "test")
    points = draw(problem, imposition.soft, Collocation(16, 16, 16), jax.random.key(1))

    def loss(params: Any) -> Any:
        terms = model.residuals(params, points)
        vectors = {name: term.vector for name, term in terms.items()}
        return sum(jnp.mean(jnp.square(v)) for v in vectors.values()), vectors

    (_, vectors), gradient = eqx.filter_jit(
        lambda params: jax.value_and_grad(loss, has_aux=True)(params)
    )(params)
    return vectors, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])


# The plate has neither data nor sources, and so no size.
PROBLEMS = sorted(set(available()) - {"plate_family"})


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_sizes_follow_the_units_of_every_problem(name, float64):
    problem = load_problem(name)
    imposition = impose(problem)
    plain = scales_of(problem, imposition)
    assert all(0 < size < np.inf for size in (*plain.sizes.values(), *plain.terms.values()))
    # One turn of the factors for each problem: every factor meets every quantity of some problems.
    units = other_units(problem, PROBLEMS.index(name) % len(FACTORS))
    found = scales_of(rescale(problem, **units), imposition)
    for unknown, factor in units["unknown"].items():
        for part in ("centre", "spread", "sizes"):
            expected = factor * getattr(plain, part)[unknown]
            assert getattr(found, part)[unknown] == pytest.approx(expected, rel=3e-6), part
    for term in plain.terms:
        if " " not in term:
            expected = units["equation"] * plain.terms[term]
            assert found.terms[term] == pytest.approx(expected, rel=3e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["burgers", "kovasznay", "allen_cahn", "poisson_disks", "poisson_nd"],
)
def test_a_training_starts_from_the_same_numbers_in_all_units(name, float64):
    """The residuals and the gradient of the loss; what follows from them, every step, is then the
    same as well."""
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


# --- the table of the issue
# ------------------------------------------------------------------------------------


def solved(problem: Problem, **options: Any) -> Any:
    few = Collocation(interior=128, boundary=32, initial=32, every=0, refinement=None)
    settings = {"optimizer": po.optimizers.LevenbergMarquardt(), "steps": 40, "progress": False}
    return po.solve(problem, network=MLP(8, 1), points=few, **settings | options)


def varying_error(solution: Any, unknown: str = "u") -> float:
    """The error relative to how the solution varies: a level of 300 hides nothing."""
    reference = solution.reference
    truth = reference.values[unknown]
    found = solution.values(reference.coordinates)[unknown]
    return float(np.sqrt(np.mean((found - truth) ** 2)) / np.std(truth))


@pytest.mark.parametrize(
    ("plain", "other", "digits"),
    [
        (Cooling(), Cooling(amplitude=1e-9), 3),
        (Bar(), Bar(modulus=2e11, weight=7.7e4), 5),
        (Pressure(), Pressure(size=1e5), 4),
        (Cooling(softly=True), Cooling(amplitude=1e-3, level=300.0, softly=True), 2),
        (Cooling(), Cooling(amplitude=1e-3, level=300.0), 3),
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

    def right(t, y):
        return [-0.5 * y[0] * y[1], 0.5 * y[0] * y[1] - 0.1 * y[1]]

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
            points=few,
            optimizer=po.optimizers.LevenbergMarquardt(),
            steps=60,
            progress=False,
        ).coefficients
        assert found["beta"] == pytest.approx(0.5, rel=1e-3)
        assert found["gamma"] == pytest.approx(0.1, rel=1e-3)


class Bars(po.Problem):
    """A family of bars in any units: stiffness and a ratio of about 0.3 side by side among the
    inputs."""

    domain = po.Box(x=(0, 1))
    size: float = 1.0
    modulus: float = 1.0
    ratio: float = 0.3

    def residual(self, u_xx):
        return self.modulus * u_xx + self.ratio

    def conditions(self):
        return (po.Dirichlet(0.0),)

    def sample(self, key):
        first, second = jax.random.uniform(key, (2,))
        return Bars(self.size, self.size * (1 + first), 0.3 + 0.1 * second)

    def inputs(self):
        return {"modulus": self.modulus, "ratio": self.ratio}


def test_an_operator_sees_the_same_in_all_units():
    """Inputs with units of their own are standardised each by itself; the loss of a step is the
    same."""
    options = {
        "functions": po.Functions(
            pool=8, batch=4, points=Collocation(interior=32, batch=16, refinement=None)
        ),
        "steps": 1,
        "dtype": "float64",
        "progress": False,
    }
    plain, large = (
        po.train(Bars(size, modulus=size), DeepONet(MLP(6, 1), MLP(6, 1), latent=4), **options)
        for size in (1.0, 1e12)
    )
    inputs = large.request["inputs"]
    assert inputs["deviation"]["modulus"] == pytest.approx(0.29e12, rel=0.1)
    assert inputs["deviation"]["ratio"] == pytest.approx(0.029, rel=0.1)
    assert large.history[-1].loss == pytest.approx(plain.history[-1].loss, rel=1e-6)


# --- what a user states, and what is kept
# -------------------------------------------------------------------------


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
            def start(x):
                return self.size * (jnp.sin(jnp.pi * x) + self.gap)

            return po.Dirichlet(0.0), po.Initial(start)

    for size in (1e-12, 1.0, 1e12):
        assert impose(Meeting(size=size)).how == ("hard", "hard")
        assert impose(Meeting(size=size, gap=1e-6)).how == ("hard", "soft")
