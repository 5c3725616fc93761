"""PINNacle's problems: closed forms solve their equations, and references are right."""

import functools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from pinops.derivatives import apply_pointwise, nested
from pinops.problem import constraints, values_at


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))


@pytest.mark.parametrize("case", ["Heat2d-MS", "HNd", "PInv", "HInv", "Wave2d-LT"])
def test_a_closed_form_solves_its_equation(case, float64):
    """As PINNacle's own does not, where it was repaired."""
    import pinnacle

    problem = pinnacle.problem(case)
    equation = constraints(problem, ())[0]
    rng = np.random.default_rng(0)
    points = jnp.asarray(problem.domain.sample_interior(lambda n, d: rng.random((n, d)), 16))

    def exact(point):
        values = values_at(problem, "exact", point)
        return jnp.stack([values[unknown] for unknown in problem.unknowns])

    elsewhere = functools.partial(nested, exact)
    jet = elsewhere(points, equation.signature.plan)
    values = equation.signature.gather(jet, points, None, elsewhere)
    for residual in apply_pointwise(equation.function, values, owner="").values():
        assert np.abs(residual).max() < 1e-8


def test_heat_with_a_constant_coefficient():
    from _pinnacle_references import varying_heat

    t = np.linspace(0, 1, 11)
    found = varying_heat(lambda x, y: 1 + 0 * x * y, t)
    rate, x, y = 26 * np.pi**2, found.coordinates["x"], found.coordinates["y"]
    moving = rate * np.sin(np.pi * t) + np.pi * (np.exp(-rate * t) - np.cos(np.pi * t))
    exact = 200 * moving / (rate**2 + np.pi**2) * np.sin(np.pi * x) * np.sin(5 * np.pi * y)
    assert np.abs(found.values["u"] - exact).max() < 1e-8


def test_a_wave_with_a_constant_speed():
    from _pinnacle_references import varying_wave

    t = np.linspace(0, 5, 101)
    one = np.pi / 2
    found = varying_wave(lambda x, y: 1 + 0 * x * y, lambda x, y: np.cos(one * (x + 1)) + 0 * y, t)
    exact = np.cos(one * (found.coordinates["x"] + 1)) * np.cos(one * t)
    assert np.abs(found.values["u"] - exact).max() < 1e-6


def test_a_mesh_around_circles_has_their_area():
    from _pinnacle_meshes import mesh_around

    circles = [(-1.0, 0.0, 1.0), (1.5, 0.5, 0.4)]
    points, cells = mesh_around((3.0, 2.0), circles, 0.1, 0.3)
    a, b = (points[cells[:, k]] - points[cells[:, 0]] for k in (1, 2))
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    assert abs(area - (24 - np.pi * 1.16)) < 0.02


def test_a_start_is_a_function_of_coordinates_and_periodic():
    import _pinnacle_waves

    assert _pinnacle_waves.VaryingWave().conditions()  # which are checked
    problem = _pinnacle_waves.VectorBurgers()
    ends = [problem.start(np.array([0.0, 4.0]), y, np) for y in (0.0, 4.0)]
    assert np.allclose(ends, np.array(ends)[0, :, :1], atol=1e-12)
