"""Data of chaotic systems: their slopes against what is known of them, and trajectories."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.data import CHAOTIC_SYSTEMS, chaotic_contents

# The rate at which volumes grow, the trace of the Jacobian at y.
DIVERGENCES = {
    "thomas": lambda y, b: -3 * b,
    "lorenz": lambda y, sigma, rho, beta: -(sigma + 1 + beta),
    "aizawa": lambda y, a, b, c, d, f: 2 * (y[2] - b) + a - y[2] ** 2 + f * y[0] ** 3,
    "chen_lee": lambda y, a, d: a - 10 + d,
    "dadras": lambda y, a, b, c, d, e: c - a - e,
    "roessler": lambda y, a, b, c: a + y[0] - c,
    "halvorsen": lambda y, a: 3 * a,
    "rabinovich_fabrikant": lambda y, alpha, gamma: 2 * gamma - 2 * alpha,
    "sprott_b": lambda y, a, b, c: -b,
    "sprott_linz_f": lambda y, a: a - 1,
    "four_wing": lambda y, a, b, c: a + c - 1,
    "duffing": lambda y, alpha, beta, gamma, delta, omega: delta,
    "lorenz_96_4": lambda y, force: -4,
    "lorenz_96_5": lambda y, force: -5,
}


@pytest.fixture(scope="module")
def lorenz():
    return chaotic_contents("lorenz", 6, seed=3)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_rate_at_which_volumes_grow(name):
    system = CHAOTIC_SYSTEMS[name]
    y = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, len(system.unknowns)))
    jacobian = jax.jacobian(lambda at: system.slope(at, **system.coefficients))(y)
    expected = DIVERGENCES[name](y, **system.coefficients)
    assert float(jnp.trace(jacobian)) == pytest.approx(float(expected), abs=1e-4)


def test_a_double_pendulum_keeps_its_energy():
    system = CHAOTIC_SYSTEMS["double_pendulum"]

    def energy(state):
        p, q, v, w = state
        moving = v**2 + w**2 / 2 + v * w * jnp.cos(p - q)
        return moving - 9.81 * (2 * jnp.cos(p) + jnp.cos(q))

    y = jnp.array([1.0, -0.5, 0.7, 1.3])
    rate = jnp.vdot(jax.grad(energy)(y), system.slope(y, **system.coefficients))
    assert abs(float(rate)) < 1e-4


def test_two_corners_of_known_systems():
    halvorsen = CHAOTIC_SYSTEMS["halvorsen"].slope(jnp.array([1.0, 2.0, 4.0]), a=-0.35)
    np.testing.assert_allclose(
        halvorsen, [-0.35 - 2 - 4 - 1, -0.7 - 4 - 1 - 4, -1.4 - 1 - 2 - 0.25]
    )
    wave = CHAOTIC_SYSTEMS["lorenz_96_4"].slope(jnp.array([1.0, 2.0, 3.0, 5.0]), force=8.0)
    np.testing.assert_allclose(
        wave, [(2 - 3) * 5 - 1 + 8, -2 * 1 - 2 + 8, 4 * 2 - 3 + 8, -3 - 5 + 8]
    )


def test_a_trajectory_is_that_of_another_solver(lorenz):
    from scipy.integrate import solve_ivp

    start = lorenz.inputs["start"][2]
    numbers = [lorenz.parameters[name][2] for name in ("sigma", "rho", "beta")]

    def slope(t, y, sigma, rho, beta):
        return [sigma * (y[1] - y[0]), y[0] * (rho - y[2]) - y[1], y[0] * y[1] - beta * y[2]]

    times = lorenz.coordinates["t"]
    other = solve_ivp(slope, (0, 6), start, "DOP853", times, args=numbers, rtol=1e-11, atol=1e-11).y
    found = np.stack([lorenz.outputs[name][2] for name in "xyz"])
    assert np.abs(found - other).max() < 1e-5 * np.abs(other).max()


def test_coefficients_and_starts_are_in_their_ranges_and_belong_to_the_sample(lorenz):
    assert np.abs(lorenz.inputs["start"]).max() <= 2
    assert np.abs(lorenz.parameters["rho"] / 28 - 1).max() <= 0.1
    assert len(set(lorenz.parameters["rho"])) == 6
    fewer = chaotic_contents("lorenz", 2, seed=3)
    np.testing.assert_array_equal(fewer.inputs["start"], lorenz.inputs["start"][:2])
    np.testing.assert_allclose(fewer.outputs["x"], lorenz.outputs["x"][:2], rtol=1e-6)
    same = chaotic_contents("lorenz", 2, spread=0)
    np.testing.assert_array_equal(same.parameters["rho"], 28.0)


def test_an_operator_takes_them(lorenz):
    data = po.Dataset.of(lorenz)
    trained = po.train(data, po.operators.DeepONet(latent=8), steps=2, progress=False)
    assert set(trained.error(data)) == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("lorentz", 2), "system must be one of thomas, lorenz"),
        (("lorenz", 0), "count must be a whole number"),
        (("lorenz", 2, {"spread": 1.0}), "spread must be a number"),
        (("lorenz", 2, {"end": 0}), "end must be a finite number"),
        (("lorenz", 2, {"seed": -1}), "seed must be a whole number"),
    ],
)
def test_bad_settings_are_named(arguments, match):
    *values, options = (*arguments, {})[:3]
    with pytest.raises(ValueError, match=match):
        chaotic_contents(*values, **options)


def test_a_system_that_always_runs_away_is_named(monkeypatch):
    from pinops.data import _chaotic_systems

    def away(system, starts, coefficients, times):
        return np.full((len(starts), len(times), 3), np.inf)

    monkeypatch.setattr(_chaotic_systems, "_integrated", away)
    with pytest.raises(ValueError, match=r"3 trajectories left \[-1000, 1000\] 50 times"):
        chaotic_contents("lorenz", 3)


def test_the_command_makes_a_file(tmp_path, monkeypatch, capsys):
    from pinops import cli

    out = tmp_path / "thomas.h5"
    assert cli.run(["data", "thomas", "--count", "3", "--out", str(out)]) == 0
    data = po.Dataset.open(out)
    assert (data.count, data.unknowns) == (3, ("x", "y", "z"))
    assert cli.run(["data", "thomas", "--set", "b=1", "--out", str(out)]) == 2
    assert "coefficients are random; leave it out" in capsys.readouterr().err
