"""Equations as data: expressions, tokens, LaTeX, JSON and term libraries, against residuals."""

import json
import re
from xml.etree import ElementTree

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import LAPLACIAN, Names, apply_pointwise
from pinops.problem import _registry, constants_of, residual_signature

NAMES = tuple(sorted(_registry._catalogue()))
ONE = Names(("x", "t"), ("x",), ("u",))
# What has no symbols, and why: functions given by arrays, and choices between cases.
OPAQUE = {
    "advection_family": {"speed(x)": "computed from the array speed"},
    "antiderivative": {"source(x)": "computed from the array source"},
    "breakage": {"larger(t, x)": "an integral"},
    "darcy_family": {
        "where(x, y)": "a choice between cases",
        "medium(x, y)": "computed from the array medium",
        "medium_2(x, y)": "computed from the array medium",
        "medium_3(x, y)": "computed from the array medium",
    },
    "diffusion_reaction": {"source(x)": "computed from the array source"},
    "plate_family": {"where(x, y, z)": "a choice between cases"},
}
STRONG = [name for name in NAMES if name not in OPAQUE]


@pytest.fixture(scope="module", autouse=True)
def unchecked():
    """The catalogue without the checks of its conditions, which test_problems.py has run: they
    would take longer than all tests of this file.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_registry, "impose", lambda *given, **options: None)
        yield


def values_of(problem: po.Problem, signature, n: int = 7) -> dict[str, jax.Array]:
    """Random values for the names of a signature at random points, the same for each signature."""
    rng = np.random.default_rng(5)
    shape = (n, len(problem.unknowns))
    axes = range(len(problem.domain.coordinates))
    firsts = [(a,) for a in axes]
    seconds = [(a, b) for a in axes for b in axes if a <= b]
    more = [(a,) * order for a in axes for order in (3, 4)]
    jet = {
        index: jnp.asarray(rng.uniform(0.2, 0.8, shape))
        for index in ((), LAPLACIAN, *firsts, *seconds, *more)
    }
    points = problem.domain.sample_interior(lambda n, d: rng.random((n, d)), n)
    return signature.gather(jet, jnp.asarray(points))


def named(out) -> dict:
    return out if isinstance(out, dict) else {"": out}


def assert_same(found, wanted, tolerance: float = 1e-10):
    found, wanted = named(found), named(wanted)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        size = max(1.0, float(np.max(np.abs(value))))
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * size, err_msg=name)


@pytest.mark.parametrize("name", STRONG)
def test_the_catalogue_there_and_back(name, float64):
    """Expression, tokens and JSON of every problem have the values of its residual."""
    problem = po.load_problem(name)
    expression = po.Expression.of(problem)
    words = po.tokens(problem)
    back = words.expression(expression.names, tuple(expression.equations))
    read = po.Expression.from_json(json.loads(json.dumps(expression.to_json())))
    wanted = apply_pointwise(
        problem.residual, values_of(problem, residual_signature(problem)), owner=""
    )
    for each in (expression, back, read):
        assert_same(each.residual(**values_of(problem, each.signature)), wanted)
    assert read == expression and hash(read) == hash(expression)
    assert back == expression.with_values()


@pytest.mark.parametrize("name", OPAQUE)
def test_what_has_no_symbols_has_a_name_and_a_reason(name):
    problem = po.load_problem(name)
    expression = po.Expression.of(problem)
    assert expression.opaque == OPAQUE[name]
    assert po.Expression.from_json(expression.to_json()) == expression
    first = next(iter(OPAQUE[name]))
    for ask in (lambda: po.tokens(problem), lambda: expression.residual):
        with pytest.raises(ValueError, match=rf"no symbols \({re.escape(first)}.*trained as it is"):
            ask()


def random_equation(rng: np.random.Generator, quantities: dict, depth: int):
    """A random expression of some quantities, computed by jax.numpy."""
    if depth == 0 or rng.random() < 0.15:
        if rng.random() < 0.2:
            return float(rng.normal())
        return quantities[rng.choice(sorted(quantities))]
    kind = rng.choice(["add", "sub", "mul", "div", "pow", "root", "sin", "exp", "tanh", "min"])
    a = random_equation(rng, quantities, depth - 1)
    if kind in ("add", "sub", "mul", "min"):
        b = random_equation(rng, quantities, depth - 1)
        return {"add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "min": jnp.minimum}[kind](
            a, b
        )
    if kind == "div":
        return rng.normal() / (1.5 + jnp.sin(a))
    if kind == "pow":
        return a ** int(rng.integers(2, 4))
    if kind == "root":
        return (1 + a**2) ** float(rng.choice([0.5, -0.5, 0.7]))
    return {"sin": jnp.sin, "exp": lambda a: jnp.exp(-(a**2)), "tanh": jnp.tanh}[kind](a)


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_random_equations_there_and_back(seed, float64):
    """A hundred for each seed, as one system."""

    def system(u, u_t, u_x, u_xx, u_xxx, x, t):
        quantities = {
            "u": u, "u_t": u_t, "u_x": u_x, "u_xx": u_xx, "u_xxx": u_xxx, "x": x, "t": t,
        }  # fmt: skip
        rng = np.random.default_rng(seed)
        return {f"{k:02d}": random_equation(rng, quantities, 4) + 0.0 * u for k in range(100)}

    rng = np.random.default_rng(seed)
    values = {
        name: jnp.asarray(rng.uniform(-0.9, 0.9, 5))
        for name in ("u", "u_t", "u_x", "u_xx", "u_xxx", "x", "t")
    }
    expression = po.Expression.of_function(system, ONE, owner="system")
    back = po.tokens(expression).expression(ONE, tuple(expression.equations))
    wanted = system(**values)
    for each in (expression, back):
        known = {name: values[name] for name, _ in each.signature.arguments}
        assert_same(each.residual(**known), wanted)
    assert len(wanted) == 100


# Canonical form


def of(function) -> po.Expression:
    return po.Expression.of_function(function, ONE, owner="equation")


def test_equations_are_equal_however_they_are_written():
    written = of(lambda u, u_t, u_x, u_xx: u_t + u * u_x - 0.1 * u_xx + 2 * (1 + u) ** 2)
    other = of(lambda u_xx, u_x, u, u_t: 4 * u + 2 + (u_x + 2 * u) * u - u_xx / 10 + u_t)
    assert written == other and hash(written) == hash(other)
    assert written == of(
        lambda u, u_t, u_x, u_xx: u_t + u * u_x - (0.1 + 1e-13) * u_xx + 2 * (1 + u) ** 2
    )
    assert written != of(lambda u, u_t, u_x, u_xx: u_t + u * u_x - 0.1001 * u_xx + 2 * (1 + u) ** 2)
    assert written != of(lambda u, u_t: u_t + u)
    assert of(lambda lap_u: lap_u) == of(lambda u_xx: u_xx)  # one space coordinate
    assert of(lambda u, x: (2 - 2 * x) * u) == of(lambda u, x: -2 * (x - 1) * u)
    assert of(lambda u, x: (2 - 2 * x) * u) != of(lambda u, x: 2 * (x + 1) * u)
    assert of(lambda u, x: u * x - x * u + u).latex() == "u = 0"
    assert of(lambda u: 0.1 * u + 0.2 * u - 0.3 * u).latex() == "0 = 0"
    assert of(lambda u: (u - 1) / jnp.sqrt(u) * u**0.5) == of(lambda u: u - 1)


def test_a_root_of_a_square_is_no_unknown():
    """sqrt(u²) is |u|."""
    expression = of(lambda u: jnp.sqrt(u**2))
    assert float(expression.residual(u=-2.0)) == 2.0
    assert float(of(lambda u, x: jnp.sqrt(-x * u)).residual(u=-2.0, x=2.0)) == 2.0


def test_values_of_coefficients_are_theirs():
    burgers = po.Expression.of(po.load_problem("burgers", viscosity=0.5))
    assert burgers.coefficients == {"viscosity": 0.5}
    assert burgers != po.Expression.of("burgers")
    other = burgers.with_values({"viscosity": 0.25})
    assert float(other.residual(u=1.0, u_t=2.0, u_x=3.0, u_xx=4.0)) == 4.0
    assert other.with_values().latex() == r"u_{t} - \frac{u_{xx}}{4} + u\,u_{x} = 0"
    with pytest.raises(ValueError, match="no coefficient 'speed'; its coefficients are viscosity"):
        burgers.with_values({"speed": 1.0})
    with pytest.raises(ValueError, match="viscosity must be a finite number, got nan"):
        burgers.with_values({"viscosity": float("nan")})


def test_problems_made_from_others_have_expressions(float64):
    """A manufactured source is symbols again; an inverse problem has its coefficient."""
    heat = po.load_problem("heat")
    made = po.manufacture(heat, lambda x, t: jnp.sin(x) * jnp.exp(-t))
    expression = po.Expression.of(made)
    found = expression.residual(u_t=0.3, u_xx=0.2, x=0.4, t=0.5)
    exact = np.sin(0.4) * np.exp(-0.5)
    assert np.isclose(found, 0.3 - 0.25 * 0.2 - (-exact + 0.25 * exact), atol=1e-12)
    assert po.Expression.of("burgers_inverse").coefficients == {"viscosity": 0.02}


def test_products_of_arrays_are_sums(float64):
    """Matrices and vectors inside a residual, and long sums."""
    mixing = np.array([[1.0, 2.0], [3.0, 4.0]])
    plane = Names(("x", "y"), ("x", "y"), ("u",))

    def equation(grad_u, point):
        flux = jnp.asarray(mixing) @ grad_u
        return jnp.dot(flux, point) + jnp.sum(jnp.outer(grad_u, point)) + jnp.stack([*point])[0]

    expression = po.Expression.of_function(equation, plane, owner="equation")
    found = expression.residual(u_x=2.0, u_y=3.0, x=5.0, y=7.0)
    assert float(found) == (8.0 * 5 + 18.0 * 7) + (2 + 3) * (5 + 7) + 5
    many = po.Expression.of(po.load_problem("poisson_nd", dimension=300))
    assert len(many.equations[""].terms) == 301


class Decay(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))
    halflife: float = 0.0

    def residual(self, u, u_t):
        return u_t + u / self.halflife


def test_coefficients_without_a_value():
    expression = po.Expression.of(Decay())
    assert expression.with_values({"halflife": 2.0}).with_values() == of(lambda u, u_t: u_t + u / 2)
    with pytest.raises(ValueError, match="no value with halflife = 0: zero is divided by; change"):
        expression.with_values()
    with pytest.raises(ValueError, match="a constant of the equation is not finite"):
        po.tokens(expression)


# LaTeX


def test_latex():
    assert po.latex("heat") == r"u_{t} - \mathrm{diffusivity}\,u_{xx} = 0"
    assert po.latex("eikonal_family") == "u_{x}^{2} + u_{y}^{2} - 1 = 0"
    assert po.latex("advection_family") == r"u_{t} + \mathrm{speed}(x)\,u_{x} = 0"
    assert po.latex("kovasznay") == (
        r"\begin{aligned} -\frac{\Delta u}{\mathrm{reynolds}} + p_{x} + u\,u_{x} + v\,u_{y} &= 0 "
        r"\\ -\frac{\Delta v}{\mathrm{reynolds}} + p_{y} + u\,v_{x} + v\,v_{y} &= 0 \\ "
        r"u_{x} + v_{y} &= 0 \end{aligned}"
    )
    shared = of(lambda u, u_t, x: (1 - x) * (u_t - jnp.pi**2 / 3 * u)).latex()
    assert shared == r"(1 - x)\,\left(u_{t} - \frac{\pi^{2}\,u}{3}\right) = 0"
    assert of(lambda u: 1.5e-9 * jnp.sin(u) ** 2 / (1 + u)).latex() == (
        r"\frac{1.5 \cdot 10^{-9}\,(\sin(u))^{2}}{u + 1} = 0"
    )


def test_notebooks_show_the_equation():
    shown = po.load_problem("heat")._repr_html_()
    start, end = shown.index("<math"), shown.index("</math>") + 7
    formula = ElementTree.fromstring(shown[start:end])
    assert "".join(formula.itertext()) == "ut−diffusivityuxx=0"
    assert po.Expression.of("heat")._repr_html_() == shown[start:end]
    assert "<math" not in po.load_problem("flow_mixing")._repr_html_()  # nested 16 deep


@pytest.mark.parametrize("name", ["kovasznay", "helmholtz", "darcy_family", "fisher_family"])
def test_formulas_are_well_formed(name):
    formula = ElementTree.fromstring(po.Expression.of(name).mathml())
    text = "".join(formula.itertext())
    assert text.count("=0") == len(po.Expression.of(name).equations)
    assert {each.tag for each in formula.iter()} <= {
        "math", "mi", "mn", "mo", "mrow", "msub", "msup", "msqrt", "mfrac", "mspace", "mtable",
        "mtr", "mtd",
    }  # fmt: skip


# Tokens


def test_tokens_are_words_in_prefix_order():
    words = po.tokens(po.load_problem("burgers", viscosity=0.01234))
    assert words.words == ("add", "u_t", "add", "mul", "<C>", "u_xx", "mul", "u", "u_x")
    assert words.constants == (-0.01234,)
    by_digits = words.by_digits()
    assert by_digits[4:7] == ("-", "N123", "E-4")
    assert po.Tokens.from_digits(by_digits).constants == (-0.0123,)
    cubic = of(lambda u, x: 1 + u**3 / jnp.sin(x))
    assert po.tokens(cubic).words == ("add", "mul", "pow", "sin", "x", "-1", "pow", "u", "3", "<C>")
    assert po.tokens(of(lambda u: 0 * u)).by_digits() == ("+", "N000", "E0")
    assert po.tokens(of(lambda u: 999.6 * u)).by_digits() == ("mul", "+", "N100", "E1", "u")
    assert po.tokens("kovasznay").words.count("|") == 2


def test_members_of_a_family_differ_in_constants_only(float64):
    family = po.load_problem("fisher_family")
    members = [family.sample(jax.random.key(k)) for k in range(3)]
    words = [po.tokens(member) for member in members]
    assert len({each.words for each in words}) == 1
    expression = po.Expression.of(family)
    rows = [po.Expression.of(member).coefficients for member in members]
    stacked = {name: jnp.asarray([row[name] for row in rows]) for name in rows[0]}
    found = jax.jit(jax.vmap(lambda values: constants_of(expression, values)))(stacked)
    np.testing.assert_allclose(found, [each.constants for each in words], atol=1e-12)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("add", "u"), "'add' needs 2 operands, got 1"),
        (("sin",), "'sin' needs 1 operands, got 0"),
        (("u", "u_x"), "the words of an equation say one sum, got 2"),
        (("mul", "u", "w"), "'w' is no symbol; available are"),
        (("u", "|", "u_x"), "the words have 2 equations, not 1"),
        (("pow", "0", "-1"), "a number that is not finite"),
    ],
)
def test_words_that_say_no_equation(words, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        po.Tokens(words, ()).expression(ONE)


def test_constants_that_no_words_write():
    with pytest.raises(ValueError, match="1 words <C> need as many constants, got 0"):
        po.Tokens(("<C>",), ())
    with pytest.raises(ValueError, match="1e-12 has no three words.*choose other units"):
        po.tokens(of(lambda u: 1e-12 * u)).by_digits()
    with pytest.raises(ValueError, match="after a sign stand a mantissa.*got 'N100' ''"):
        po.Tokens.from_digits(("+", "N100"))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"equations": {}}, "at least one equation"),
        ({"equations": {"": [[1.0, ["w", 1.0]]]}}, "'w' is no symbol"),
        ({"equations": {"": [[1.0, [{"sinc": [[]]}, 1.0]]]}}, "no function 'sinc' of 1 arguments"),
        ({"equations": {"": "u"}}, "no expression as to_json writes it"),
        ({"coefficients": 3}, "no expression as to_json writes it"),
        ({"equations": {"": [["one"]]}}, "no expression as to_json writes it"),
    ],
)
def test_files_that_hold_no_expression(change, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        po.Expression.from_json({**of(lambda u: u).to_json(), **change})
    with pytest.raises(ValueError, match="no expression as to_json writes it"):
        po.Expression.from_json([])


# What has no symbols


class Closure(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))
    network: eqx.nn.MLP = eqx.field(
        default_factory=lambda: eqx.nn.MLP(1, "scalar", 4, 1, key=jax.random.key(0))
    )

    def residual(self, u, u_t):
        return u_t - self.network(u[None])


class Loop(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))
    rate: float = 2.0

    def residual(self, u, u_t):
        return u_t - self.rate * jax.lax.fori_loop(0, 3, lambda k, a: a * u, 1.0)


class Switched(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))
    level: float = 0.5

    def residual(self, u, u_t, u_x):
        return jnp.where(u > self.level, u_t, u_x)


def test_opaque_parts_of_own_problems():
    closure = po.Expression.of(Closure())
    assert closure.opaque == {"network(u)": "computed from the array network"}
    assert closure.latex() == r"u_{t} - \mathrm{network}(u) = 0"
    loop = po.Expression.of(Loop())
    assert loop.opaque == {"scan(u)": "the result of scan"} and "rate" in loop.coefficients
    switched = po.Expression.of(Switched())
    assert switched.latex() == (r"\mathrm{where}(u)\,u_{t} + u_{x} - \mathrm{where}(u)\,u_{x} = 0")
    with pytest.raises(ValueError, match=r"no tokens.*where\(u\), a choice between cases"):
        po.tokens(Switched())


class Clash(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))
    x: float = 2.0

    def residual(self, u, x):
        return self.x * u + x


class Pole(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))

    def residual(self, u, u_t):
        return u_t + u / (0.0 * u)


class Bare(po.Problem):
    domain = po.Box(x=(0, 1), t=(0, 1))


@pytest.mark.parametrize(
    "problem, sentence",
    [
        (Clash(), "Clash.residual: x is a coefficient and a quantity of the equation; rename"),
        (Pole(), "Pole.residual has no expression: zero is divided by; check its numbers"),
        (Bare(), "Bare has no residual"),
    ],
)
def test_residuals_without_an_expression(problem, sentence):
    with pytest.raises(ValueError, match=sentence):
        po.Expression.of(problem)
    assert problem._repr_html_()  # a notebook shows the rest


def test_what_is_no_problem_has_no_expression():
    with pytest.raises(ValueError, match="of a problem, such as .*, got 3"):
        po.latex(3)
    with pytest.raises(ValueError, match="the equation needs u, u_t; u_t is not given"):
        of(lambda u, u_t: u + u_t).residual(u=1.0)


# Term library


EVOLUTION = ("advection", "allen_cahn", "burgers", "heat", "kdv", "kuramoto_sivashinsky")
EVOLUTION += ("reaction_diffusion", "wave")


def test_a_batch_of_different_equations_is_one_product_of_matrices(float64):
    library = po.TermLibrary.of()
    assert len(library.columns) == 22 and library.columns[:2] == ("u_t", "u_tt")
    problems = [po.load_problem(name) for name in EVOLUTION]
    rows = np.stack([library.coefficients(po.Expression.of(each)) for each in problems])
    values = [values_of(each, library.expression.signature) for each in problems]
    stacked = {name: jnp.stack([each[name] for each in values]) for name in values[0]}
    found = library.residual(rows, stacked)
    assert found.shape == (8, 7)
    for problem, row, residual in zip(problems, rows, found, strict=True):
        inputs = values_of(problem, residual_signature(problem))
        assert_same(residual, apply_pointwise(problem.residual, inputs, owner=""))
        assert library.equation(row) == po.Expression.of(problem).with_values()
    burgers = dict(zip(library.columns, rows[EVOLUTION.index("burgers")], strict=True))
    nonzero = {name: float(c) for name, c in burgers.items() if c}
    assert nonzero == pytest.approx({"u_t": 1, "u_xx": -0.01 / np.pi, "u*u_x": 1})


def test_a_row_scales_with_its_column():
    library = po.TermLibrary.of(lambda u, u_t: {"rate": 2 * u_t, "cube": u**3})
    assert library.coefficients(of(lambda u, u_t: u_t + 3 * u**3)).tolist() == [0.5, 3.0]
    np.testing.assert_array_equal(
        library.matrix({"u": jnp.asarray([2.0]), "u_t": jnp.asarray([3.0])}), [[6.0, 8.0]]
    )


def test_what_is_not_in_the_library():
    library = po.TermLibrary.of()
    with pytest.raises(ValueError, match=r"the term x\\,u_\{x\} is not in the library"):
        library.coefficients(of(lambda u_t, u_x, x: u_t + x * u_x))
    with pytest.raises(ValueError, match="one equation, got a, b"):
        library.coefficients(of(lambda u, u_t: {"a": u, "b": u_t}))
    with pytest.raises(ValueError, match="the library is for"):
        library.coefficients(po.Expression.of("poisson"))
    with pytest.raises(ValueError, match="no row of coefficients"):
        library.coefficients(po.Expression.of("advection_family"))
    with pytest.raises(ValueError, match=r"22 coefficients, got an array of shape \(3,\)"):
        library.equation(np.zeros(3))
    with pytest.raises(ValueError, match=r"22 coefficients, got an array of shape \(3,\)"):
        library.residual(np.zeros(3), {})
    with pytest.raises(ValueError, match="the equation needs .*; u is not given"):
        library.matrix({"u_t": 1.0})
    with pytest.raises(ValueError, match="the column a is a sum of 2 products"):
        po.TermLibrary.of(lambda u, u_t: {"a": u + u_t})
    with pytest.raises(ValueError, match="the columns a and b are the same"):
        po.TermLibrary.of(lambda u: {"a": u, "b": 2 * u})
