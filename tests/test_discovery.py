"""Equations found from data: coefficients, error bars, forms, systems, and what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.cli._command import run
from pinops.discovery import Strong, library_for
from pinops.discovery._columns import Columns
from pinops.discovery._forms import Weak
from pinops.discovery._trajectories import Axis, Trajectories, local_polynomials

X, T = np.arange(64) * 2 * np.pi / 64, np.linspace(0, 2, 61)
WAVES = np.arange(1, 5)


def sines(seed: int, n: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and phases of four waves, of n trajectories."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.3, 1, (n, 4)), rng.uniform(0, 2 * np.pi, (n, 4))


def drifting(noise: float = 0.0, n: int = 1, speed: float = 1.0, diffusion: float = 0.1):
    """u_t + speed u_x = diffusion u_xx, exact, with noise relative to the deviation."""
    size, phase = sines(3, n)
    angle = WAVES * (X[:, None] - speed * T[:, None, None]) + phase[:, None, None]
    decay = np.exp(-diffusion * WAVES**2 * T[:, None])[None, :, None]
    u = np.sum(size[:, None, None] * decay * np.sin(angle), -1)
    return u + noise * u.std() * np.random.default_rng(0).standard_normal(u.shape)


def data_of(u: np.ndarray, x: np.ndarray = X, t: np.ndarray = T, **outputs) -> po.Dataset:
    return po.Dataset.from_arrays({"u": u} | outputs, {"t": t, "x": x}, time="t")


def few_terms(u, u_t):
    return {"u_t": u_t, "u": u, "u**2": u**2}


def with_laplacian(u_t, lap_u):
    return {"u_t": u_t, "lap_u": lap_u}


def some_terms(u, u_t, u_x, u_xx):
    return {"u_t": u_t, "u": u, "u_x": u_x, "u_xx": u_xx, "u*u_x": u * u_x}


@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 1e-7), (0.05, 0.02), (0.1, 0.04)])
def test_an_equation_is_found_in_spite_of_noise(noise, tolerance):
    found = po.discover(data_of(drifting(noise)))
    assert found.coefficients.keys() == {"u_x", "u_xx"} == found.error_bars.keys()
    assert found.coefficients["u_x"] == pytest.approx(-1, rel=tolerance)
    assert found.coefficients["u_xx"] == pytest.approx(0.1, rel=tolerance)
    if noise:
        true = {"u_x": -1.0, "u_xx": 0.1}
        for name, bar in found.error_bars.items():
            assert 0 < abs(found.coefficients[name] - true[name]) < 4 * bar
        assert found.noise["u"] == pytest.approx(noise * drifting().std(), rel=0.1)
        assert 0.5 < found.misfit < 2
    assert found.rollout_error < 0.05


def test_error_bars_are_the_scatter_of_coefficients():
    """Over 24 draws of the noise, each a trajectory of the same solution."""
    clean = drifting()
    rng, library = np.random.default_rng(1), po.TermLibrary.of(some_terms)
    estimates, bars = [], []
    for _ in range(24):
        noisy = clean + 0.05 * clean.std() * rng.standard_normal(clean.shape)
        found = po.discover(data_of(noisy), library)
        estimates.append([found.coefficients["u_x"], found.coefficients["u_xx"]])
        bars.append([found.error_bars["u_x"], found.error_bars["u_xx"]])
    ratio = np.std(estimates, axis=0) / np.mean(bars, axis=0)
    assert np.all((ratio > 0.6) & (ratio < 1.7)), ratio


@pytest.mark.slow
def test_the_equation_is_a_problem_and_a_formula():
    found = po.discover(data_of(drifting(0.02)))
    assert po.latex(found.problem).startswith("u_{t} - 0.1") or "u_{xx}" in po.latex(found.problem)
    assert found._repr_latex_().startswith("$\\displaystyle u_{t}")
    assert "error bar" in str(found) and repr(found).startswith("Discovery(u_t = ")
    json.dumps(found.summary())
    problem = found.problem
    initial = problem.conditions()[0].value["u"]
    points = jnp.asarray([[x, 0.0] for x in X[::8]])
    values = np.asarray([initial(point) for point in points])
    assert np.abs(values - drifting()[0, 0, ::8]).max() < 0.05
    solution = po.solve(problem, steps=2, progress=False)
    assert np.isfinite(solution(x=0.5, t=0.0))


def test_a_second_derivative_in_time_is_found_where_it_is_needed():
    size, phase = sines(5)
    frequency = np.sqrt(WAVES**2 + 1.0)
    turns = np.cos(np.multiply.outer(3 * T, frequency) + phase[0])
    u = turns @ (size[0] * np.sin(np.multiply.outer(X, WAVES) + phase[0])).T
    u = u + 0.02 * u.std() * np.random.default_rng(0).standard_normal(u.shape)
    found = po.discover(data_of(u[None], t=3 * T))
    assert found.fits["u"].target == "u_tt" and found.coefficients.keys() == {"u_xx", "u"}
    assert found.coefficients["u_xx"] == pytest.approx(1, rel=0.01)
    assert found.problem.conditions()[0].derivative is not None


def test_integrals_by_parts_are_those_of_the_products():
    """Weak columns of g(u) u_x and g(u) u_xx against integrals of exact derivatives."""
    t, x = np.meshgrid(T, X, indexing="ij")
    u, u_x, u_xx = np.sin(x - t), np.cos(x - t), -np.sin(x - t)
    data = Trajectories.of(data_of(u[None]))
    library = po.TermLibrary.of()
    columns = Columns.of(data, library, Weak(), 100)
    plain = [line[0] for line in columns.lines]
    for name, exact in {
        "u**2*u_x": u**2 * u_x,
        "cos(u)*u_x": np.cos(u) * u_x,
        "u*u_xx": u * u_xx,
        "u_x**2": u_x**2,
        "u_xxxx": u,
        "u_t": -u_x,
        "1": np.ones_like(u),
    }.items():
        there = (plain[0] @ exact @ plain[1].T).ravel()
        assert np.abs(columns.values[name][0] - there).max() < 1e-5 * np.abs(there).max(), name


def test_local_polynomials_are_exact_for_polynomials():
    axis = Axis("x", 0.0, 0.1, 12, False)
    line = 0.1 * np.arange(12)
    for order, exact in ((0, line**3), (1, 3 * line**2), (2, 6 * line)):
        assert np.allclose(local_polynomials(axis, 3, 4, order) @ line**3, exact, atol=1e-8)


def test_the_strong_form_finds_clean_equations():
    found = po.discover(data_of(drifting()), form=Strong())
    assert found.coefficients.keys() == {"u_x", "u_xx"}
    assert found.coefficients["u_xx"] == pytest.approx(0.1, rel=1e-2)


def test_a_system_of_ordinary_equations_is_found():
    """Lotka-Volterra, three trajectories."""
    from scipy.integrate import solve_ivp

    def rates(t, y):
        return [y[0] - 0.5 * y[0] * y[1], -0.8 * y[1] + 0.4 * y[0] * y[1]]

    t = np.linspace(0, 8, 161)
    runs = np.stack(
        [solve_ivp(rates, (0, 8), y, t_eval=t, rtol=1e-9).y for y in ([1, 1], [3, 1], [1, 2.5])]
    )
    runs = runs + 0.01 * np.random.default_rng(0).standard_normal(runs.shape)
    outputs = {"u": runs[:, 0], "v": runs[:, 1]}
    found = po.discover(po.Dataset.from_arrays(outputs, {"t": t}, time="t"))
    assert {name: set(each) for name, each in found.coefficients.items()} == {
        "u": {"u", "u*v"},
        "v": {"v", "u*v"},
    }
    assert found.coefficients["u"]["u*v"] == pytest.approx(-0.5, rel=0.02)
    assert r"\begin{aligned}" in po.latex(found.problem)


def test_values_at_ends_that_are_not_periodic_become_boundary_values():
    x, t = np.linspace(0, 1, 41), np.linspace(0, 0.3, 41)
    mode = np.exp(-0.5 * np.pi**2 * t)[:, None] * np.cos(np.pi * x)
    other = 0.5 * np.exp(-0.5 * 4 * np.pi**2 * t)[:, None] * np.cos(2 * np.pi * x)
    u = mode + other + x
    found = po.discover(data_of(u[None], x, t))
    assert found.coefficients.keys() == {"u_xx"}
    assert found.coefficients["u_xx"] == pytest.approx(0.5, rel=1e-4)
    assert found.rollout_error is None
    boundary = found.problem.conditions()[1]
    assert boundary.on == ("x",)
    value = boundary.value["u"](jnp.asarray([0.0, 0.151]))
    assert float(value) == pytest.approx(np.interp(0.151, t, u[:, 0]), abs=1e-3)


def test_a_library_for_other_names_is_made():
    t, y = np.linspace(0, 1, 20), np.linspace(0, 1, 16)
    values = np.random.default_rng(0).random((1, 20, 16))
    data = po.Dataset.from_arrays({"h": values}, {"t": t, "y": y}, time="t")
    columns = library_for(Trajectories.of(data)).columns
    assert {"h_t", "h_tt", "h_yyyy", "h*h_y", "h**3", "1"} <= set(columns)


def without_time(u, u_x, u_t):
    return {"u": u, "u_x": u_x, "u*u_t": u * u_t}


BAD = np.where(np.arange(64) == 3, np.nan, drifting())
REFUSED = {
    "one snapshot": (lambda: data_of(drifting()[:, :1], t=T[:1]), {}, "1 points along t"),
    "few points": (lambda: data_of(drifting()[..., :5], X[:5]), {}, "5 points along x"),
    "missing values": (lambda: data_of(BAD), {}, "61 of 3904 values of u are not finite"),
    "irregular": (lambda: data_of(drifting(), X**1.1), {}, "along x are not equally spaced"),
    "constant": (lambda: data_of(0 * drifting() + 2), {}, "u is constant, 2"),
    "no time": (
        lambda: po.Dataset.from_arrays({"u": drifting()[0]}, {"x": X}),
        {},
        "these data have no time",
    ),
    "unknown": (lambda: data_of(drifting()), {"unknown": "v"}, "no unknown 'v'; there are u"),
    "coordinate": (lambda: data_of(drifting()), {"periodic": "y"}, "no coordinate 'y'"),
    "form": (lambda: data_of(drifting()), {"form": "weak"}, "form must be po.discovery.Weak"),
    "arrays": (drifting, {}, "found from a po.Dataset"),
    "library": (lambda: data_of(drifting()), {"library": ["u"]}, "must be a po.TermLibrary"),
    "no term": (
        lambda: data_of(drifting(0.02)),
        {"library": po.TermLibrary.of(few_terms)},
        "no combination of columns explains u_t",
    ),
    "parameters": (
        lambda: po.Dataset.from_arrays(
            {"u": drifting(n=2)}, {"t": T, "x": X}, parameters={"speed": [1.0, 2.0]}, time="t"
        ),
        {},
        "speed differs from trajectory to trajectory",
    ),
    "Laplacian": (
        lambda: po.Dataset.from_arrays(
            {"u": np.random.default_rng(0).random((1, 9, 9, 9))},
            dict.fromkeys("txy", np.linspace(0, 1, 9)),
            time="t",
        ),
        {
            "library": po.TermLibrary.of(
                with_laplacian, coordinates=("x", "y", "t"), space=("x", "y")
            )
        },
        "the library has lap_u",
    ),
    "no rate": (
        lambda: data_of(drifting()),
        {"library": po.TermLibrary.of(without_time)},
        "the library has no column u_t",
    ),
    "other names": (
        lambda: data_of(drifting(), v=drifting()),
        {"library": po.TermLibrary.of()},
        "the library is for u of x, t, and the arrays has u, v of t, x",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_searched_is_refused_in_one_sentence(case):
    made, options, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=r".") as error:
        po.discover(made(), **options)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_the_command_prints_the_equation(tmp_path, capsys):
    file = data_of(drifting(0.02)).save(tmp_path / "measured.h5")
    assert run(["discover", str(file), "--unknown", "u", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equations"]["u"]["coefficients"].keys() == {"u_x", "u_xx"}
    assert run(["discover", str(file), "--periodic", "x"]) == 0
    assert "error bar" in capsys.readouterr().out
    assert run(["discover", str(file), "--unknown", "w"]) == 2
    assert "no unknown 'w'" in capsys.readouterr().err
