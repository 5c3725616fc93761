"""Every reference against a method that shares nothing with it, and every error bar against the
error seen there.
"""

from pathlib import Path

import numpy as np
import pytest

from pinops.functions import waves
from pinops.reference import (
    Reference,
    _compressible,
    cole_hopf,
    lid_driven_cavity,
    nonlinear_diffusion,
    periodic_burgers_2d,
    periodic_cole_hopf,
    periodic_compressible,
    periodic_etdrk4,
    poisson_disks,
    reaction_diffusion,
)

SHARED = Path(__file__).parents[2] / "shared" / "refdata"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the literature file {path} is not on this machine")
    return path


def relative_l2(values: np.ndarray, truth: np.ndarray) -> float:
    kept = ~np.isnan(values)
    return float(np.linalg.norm((values - truth)[kept]) / np.linalg.norm(truth[kept]))


def test_a_reference_refuses_wrong_shapes_and_a_zero_error_bar():
    x, t = np.zeros((4, 1)), np.zeros((1, 3))

    def make(shape: tuple[int, ...], bars: dict[str, float]) -> Reference:
        return Reference({"x": x, "t": t}, {"u": np.zeros(shape)}, bars, "closed form", "none")

    make((4, 3), {"u": 1e-15})
    with pytest.raises(
        ValueError, match=r"'u' have shape \(4, 1\), but the coordinates broadcast to \(4, 3\)"
    ):
        make((4, 1), {"u": 1e-15})
    with pytest.raises(ValueError, match="error bar of 'u' is 0.0"):
        make((4, 3), {"u": 0.0})
    with pytest.raises(ValueError, match=r"error bars for \['v'\]"):
        make((4, 3), {"v": 1e-15})


# Burgers


def test_cole_hopf_agrees_with_the_literature_file():
    file = np.load(shared("burgers/deepxde_burgers.npz"))
    ours = cole_hopf(file["x"].ravel(), file["t"].ravel(), 0.01 / np.pi)
    assert ours.values["u"].shape == file["usol"].shape
    assert ours.error_bar["u"] < 1e-13
    assert relative_l2(file["usol"], ours.values["u"]) < 5e-12  # the file's own error, 2.9e-12


def test_cole_hopf_takes_other_initial_data():
    file = np.load(shared("cape/burgers_colehopf_reference.npz"))
    case = 2  # neither absolute values nor a window: analytic
    k, a, phi = (file[name][case][:, None, None] for name in ("ic_k", "ic_A", "ic_phi"))
    k = 2 * np.pi * k

    def initial(y):
        return (a * np.sin(k * y + phi)).sum(axis=0).reshape(np.shape(y))

    def antiderivative(y):
        wave = -a / np.where(k == 0, 1, k) * np.cos(k * y + phi)
        return np.where(k == 0, a * np.sin(phi) * y, wave).sum(axis=0).reshape(np.shape(y))

    for column in (0, 4, 12):
        nu = file["nu_effective"][column]
        ours = cole_hopf(
            file["x"],
            file["t"],
            nu,
            initial=initial,
            antiderivative=antiderivative,
            speed=float(np.abs(a).sum()),
        )
        assert ours.error_bar["u"] < 1e-12
        assert (
            relative_l2(file["u"][case, column].T, ours.values["u"]) < 2e-5
        )  # the accuracy stated with the file


def test_cole_hopf_agrees_with_etdrk4():
    x, t, nu = np.linspace(-1, 1, 65), np.linspace(0, 1, 6), 0.03
    quadrature = cole_hopf(x, t, nu)
    marched = periodic_etdrk4(
        x,
        t,
        interval=(-1, 1),
        symbol=lambda k: -nu * k**2,
        flux=lambda u: u**2 / 2,
        initial=lambda y: -np.sin(np.pi * y),
        modes=256,
        max_step=2e-3,
    )
    error = relative_l2(marched.values["u"], quadrature.values["u"])
    assert error < 1e-8
    assert error <= marched.error_bar["u"] + quadrature.error_bar["u"]


def test_cole_hopf_survives_a_small_viscosity():
    x = np.linspace(-1, 1, 101)
    ours = cole_hopf(x, np.array([0.0, 0.3, 1.0, 2.0]), 1e-5)
    u = ours.values["u"]
    assert ours.error_bar["u"] < 1e-10
    assert np.abs(u).max() <= 1 + 1e-10  # maximum principle
    assert np.abs(u + u[::-1]).max() < 1e-10  # odd
    # Away from the shock u is constant along characteristics, up to O(ν).
    x_foot = x - u[:, 2] * 1.0
    away = np.abs(x) > 0.05
    assert np.abs(u[:, 2] + np.sin(np.pi * x_foot))[away].max() < 1e-3


def test_cole_hopf_refuses_bad_input():
    with pytest.raises(ValueError, match="viscosity is 0"):
        cole_hopf(np.zeros(2), np.zeros(2), 0)
    with pytest.raises(ValueError, match="earliest time is -1"):
        cole_hopf(np.zeros(2), np.array([-1.0, 0.0]), 0.1)


def test_periodic_cole_hopf_agrees_with_the_literature_file():
    file = np.load(shared("cape/burgers_colehopf_reference.npz"))
    for case in range(6):  # with absolute values and a window among them
        edges = [file["ic_xl"][case], file["ic_xr"][case]] if file["ic_window"][case] else [0, 0]
        settings = [file["ic_abs"][case], file["ic_sign"][case], *edges]
        coefficients = np.array(
            [file["ic_A"][case], file["ic_phi"][case], file["ic_k"][case], settings], np.float64
        )
        for column in (0, 3, 6, 9, 12):
            ours = periodic_cole_hopf(
                file["x"],
                file["t"],
                file["nu_effective"][column],
                initial=lambda x, c=coefficients: waves(c, x),
            )
            assert ours.error_bar["u"] < 1e-7
            assert (
                relative_l2(file["u"][case, column].T, ours.values["u"]) < 2e-5
            )  # the accuracy stated with the file


KINKED = np.array([[0.8, 0.3, 0.6, 0.2], [1.0, 2.0, 3.0, 4.0], [1, 0, 3, 0], [1, -1, 0, 0]])
WINDOWED = np.array([[0.8, 0.3, 0.6, 0.2], [1.0, 2.0, 3.0, 4.0], [0, 0, 3, 4], [0, 1, 0.2, 0.7]])


def test_periodic_cole_hopf_agrees_with_cole_hopf_and_with_etdrk4():
    x, t = np.linspace(-1, 1, 41), np.linspace(0, 1, 6)

    def initial(y):
        return -np.sin(np.pi * y)

    for nu in (1e-3, 1e-2, 0.3):  # the sum over nodes twice, and the series
        line, periodic = (
            cole_hopf(x, t, nu),
            periodic_cole_hopf(x, t, nu, initial=initial, interval=(-1, 1)),
        )
        assert relative_l2(periodic.values["u"], line.values["u"]) <= periodic.error_bar["u"] < 1e-9
    x, t = (np.arange(64) + 0.5) / 64, np.linspace(0, 2, 5)
    marched = periodic_etdrk4(
        x,
        t,
        interval=(0, 1),
        symbol=lambda k: -0.02 * k**2,
        flux=lambda u: u**2 / 2,
        initial=lambda y: waves(WINDOWED, y),
        modes=512,
        max_step=1e-3,
    )
    ours = periodic_cole_hopf(x, t, 0.02, initial=lambda y: waves(WINDOWED, y))
    assert (
        relative_l2(ours.values["u"], marched.values["u"])
        <= marched.error_bar["u"] + ours.error_bar["u"]
        < 1e-6
    )


@pytest.mark.parametrize("nu", [3e-4, 1e-2, 0.1])
def test_the_error_bar_of_periodic_cole_hopf_bounds_its_error(nu):
    x, t = (np.arange(64) + 0.5) / 64, np.linspace(0, 2, 5)
    for coefficients in (KINKED, WINDOWED):
        coarse, fine = (
            periodic_cole_hopf(x, t, nu, initial=lambda y, c=coefficients: waves(c, y), nodes=nodes)
            for nodes in (1024, 5000)
        )
        assert relative_l2(coarse.values["u"], fine.values["u"]) <= coarse.error_bar["u"] < 1e-6


def test_periodic_burgers_keeps_its_mean_and_loses_energy():
    x, t = (np.arange(512) + 0.5) / 512, np.linspace(0.1, 2, 5)
    for nu in (5e-3, 0.2):
        for coefficients in (KINKED, WINDOWED):
            u = periodic_cole_hopf(x, t, nu, initial=lambda y, c=coefficients: waves(c, y)).values[
                "u"
            ]
            assert np.ptp(u.mean(axis=0)) < 1e-9
            assert np.all(np.diff(u.var(axis=0)) < 0) or nu > 0.1  # where it ends in round-off
            assert np.all(np.diff((u**2).mean(axis=0)) < 1e-14)


def test_periodic_cole_hopf_starts_from_its_data():
    x = np.linspace(0, 1, 9)
    ours = periodic_cole_hopf(x, np.zeros(1), 0.1, initial=lambda y: waves(KINKED, y))
    assert np.array_equal(ours.values["u"][:, 0], waves(KINKED, x))


def test_periodic_cole_hopf_refuses_bad_input():
    with pytest.raises(ValueError, match="viscosity is 0"):
        periodic_cole_hopf(np.zeros(2), np.zeros(2), 0, initial=np.sin)
    with pytest.raises(ValueError, match="earliest time is -1"):
        periodic_cole_hopf(np.zeros(2), np.array([-1.0, 0.0]), 0.1, initial=np.sin)
    with pytest.raises(ValueError, match="nodes is 5"):
        periodic_cole_hopf(np.zeros(2), np.zeros(2), 0.1, initial=np.sin, nodes=5)


# Periodic equations


HEAT = np.array(
    [[0.5, 0.3, 0.1], [0.3, 1.0, 2.0], [1, 1, -2], [0, 2, 1]]
)  # of cosines: amplitudes, phases, wave numbers
UNIT = (np.arange(16) + 0.5) / 16


DRIFT = (0.3, -0.2)


def potential_flow(x, y, t, viscosity):
    """The two-dimensional Cole-Hopf solution -2ν ∇ log φ, where φ > 0 solves the heat equation, in
    a frame that moves.
    """
    x, y = x - DRIFT[0] * t, y - DRIFT[1] * t
    series, slope_x, slope_y = 1.0, 0.0, 0.0
    for a, phase, k, m in HEAT.T:
        amplitude = a * np.exp(-viscosity * 4 * np.pi**2 * (k**2 + m**2) * t)
        angle = 2 * np.pi * (k * x + m * y) + phase
        series = series + amplitude * np.cos(angle)
        slope_x = slope_x - 2 * np.pi * k * amplitude * np.sin(angle)
        slope_y = slope_y - 2 * np.pi * m * amplitude * np.sin(angle)
    return DRIFT[0] - 2 * viscosity * slope_x / series, DRIFT[1] - 2 * viscosity * slope_y / series


@pytest.mark.slow
def test_two_dimensional_burgers_is_exact_for_potential_flow():
    bars = []
    for tolerance, bound in ((1e-3, 1e-6), (1e-7, 1e-8)):
        ours = periodic_burgers_2d(
            UNIT,
            UNIT,
            np.linspace(0, 1, 5),
            0.05,
            initial=lambda x, y: potential_flow(x, y, 0.0, 0.05),
            tolerance=tolerance,
        )
        exact = potential_flow(*ours.coordinates.values(), 0.05)
        for unknown, truth, mean in zip("uv", exact, DRIFT, strict=True):
            assert np.abs(ours.values[unknown] - truth).max() < bound
            assert relative_l2(ours.values[unknown], truth) <= ours.error_bar[unknown] <= tolerance
            # The mean of a potential flow stays; places resolve it once the fastest waves have
            # gone.
            np.testing.assert_allclose(ours.values[unknown][..., 1:].mean((0, 1)), mean, atol=1e-12)
        bars.append(ours.error_bar["u"])
    assert (
        bars[1] < bars[0] / 16
    )  # modes and steps were doubled at least once, and steps are of fourth order


def test_two_dimensional_burgers_is_burgers_along_each_axis():
    t, wave = (
        np.linspace(0, 1, 3),
        lambda x: 0.3 + np.sin(2 * np.pi * x) + 0.2 * np.cos(4 * np.pi * x),
    )
    wanted = periodic_cole_hopf(UNIT, t, 0.03, initial=wave).values["u"]
    along_x = periodic_burgers_2d(
        UNIT, UNIT[:2], t, 0.03, initial=lambda x, y: (wave(x) + 0 * y, 0 * x * y)
    )
    along_y = periodic_burgers_2d(
        UNIT[:2], UNIT, t, 0.03, initial=lambda x, y: (0 * x * y, wave(y) + 0 * x)
    )
    np.testing.assert_allclose(along_x.values["u"], np.stack([wanted] * 2, 1), atol=1e-5)
    np.testing.assert_allclose(along_y.values["v"], np.stack([wanted] * 2, 0), atol=1e-5)
    assert np.abs(along_x.values["v"]).max() < 1e-13 and np.abs(along_y.values["u"]).max() < 1e-13


def test_two_dimensional_burgers_keeps_its_range_and_loses_its_gradients():
    g = np.arange(32) / 32

    def swirl(x, y):
        return (0.3 + np.sin(2 * np.pi * y) + 0 * x, np.cos(2 * np.pi * (x + y)))

    ours = periodic_burgers_2d(g, g, np.linspace(0, 1, 6), 0.05, initial=swirl)
    for values in ours.values.values():  # a maximum principle: each is carried along and diffuses
        assert np.all(np.diff(values.max((0, 1))) < 1e-3) and np.all(
            np.diff(values.min((0, 1))) > -1e-3
        )
    energy = sum(np.square(values).mean((0, 1)) for values in ours.values.values())
    assert energy[-1] < energy[0] / 2


def test_two_dimensional_burgers_refuses_what_it_cannot_solve():
    def make(t=(0.0, 1.0), viscosity=0.1, **options):
        return periodic_burgers_2d(
            UNIT,
            UNIT,
            np.asarray(t),
            viscosity,
            initial=lambda x, y: (np.sin(2 * np.pi * x) + 0 * y, 0 * x * y),
            **options,
        )

    with pytest.raises(ValueError, match="viscosity is 0, but"):
        make(viscosity=0)
    with pytest.raises(ValueError, match="increasing times"):
        make(t=(1.0, 0.5))
    with pytest.raises(ValueError, match="max_modes must be one of 64, 128, .*, got 100"):
        make(max_modes=100)


def test_a_shock_tube_has_the_states_of_the_exact_riemann_problem():
    """Sod's, twice as it is periodic: the states beside the contact, of Toro's Riemann Solvers
    (2009), section 4.2.
    """

    def inside(x):
        return np.abs(x - 0.5) < 0.25

    def tube(x):
        return (np.where(inside(x), 1.0, 0.125), 0 * x, np.where(inside(x), 1.0, 0.1))

    ours = periodic_compressible(
        1, 100, np.array([0, 0.05]), 0.0, 0.0, initial=tube, heat_ratio=1.4, max_cells=800
    )
    shock, contact, fan = 1.75216, 0.92745, -0.07027
    middle = (
        int((0.75 + 0.05 * (fan + contact) / 2) * 100),
        int((0.75 + 0.05 * (contact + shock) / 2) * 100),
    )
    for cell, density in zip(middle, (0.42632, 0.26557), strict=True):
        found = [ours.values[name][cell, 1] for name in ("rho", "u", "p")]
        np.testing.assert_allclose(found, [density, 0.92745, 0.30313], rtol=2e-3)
    assert max(ours.error_bar.values()) < 3e-2


def test_friction_damps_sound_and_shear_as_it_should():
    t, wave = np.linspace(0, 2, 3), lambda x: 1e-5 * np.sin(2 * np.pi * x)

    def sound(x):
        return (1 + wave(x), np.sqrt(5 / 3) * wave(x), 1 + 5 / 3 * wave(x))

    ours = periodic_compressible(
        1, 32, t, 0.003, 0.005, initial=sound, max_cells=128, tolerance=1e-9
    )
    # After whole periods the wave reflected by friction is back at its start.
    found = np.abs(np.fft.fft(ours.values["u"], axis=0)[1])
    np.testing.assert_allclose(
        found / found[0], np.exp(-((2 * np.pi) ** 2) * (4 / 3 * 0.003 + 0.005) / 2 * t), rtol=1e-2
    )

    def shear(x, y):
        return (2 + 0 * x, 0 * x, 1e-3 * np.sin(2 * np.pi * x) + 0 * y, 1 + 0 * x)

    ours = periodic_compressible(
        2, 8, t / 4, 0.04, 0.1, initial=shear, max_cells=32, tolerance=1e-9
    )
    found = ours.values["v"].max((0, 1))
    np.testing.assert_allclose(
        found / found[0], np.exp(-((2 * np.pi) ** 2) * 0.02 * t / 4), rtol=5e-3
    )
    assert np.abs(ours.values["u"]).max() < 1e-7 and ours.error_bar["u"] == ours.error_bar["v"]


def test_a_gas_keeps_its_sums_and_is_the_same_along_each_axis():
    g, t = 2 * np.pi, np.array([0.0, 0.2])

    def fields(x):
        return (
            np.exp(0.3 * np.sin(g * x)),
            0.5 * np.cos(g * x),
            np.exp(0.2 * np.cos(2 * g * x)),
        )

    line = periodic_compressible(1, 16, t, 0.02, 0.01, initial=fields, max_cells=32)

    def along_x(x, y):
        return (*fields(x)[:2], 0 * x, fields(x)[2])

    def along_y(x, y):
        return (fields(y)[0], 0 * y, *fields(y)[1:])

    one, other = (
        periodic_compressible(2, 16, t, 0.02, 0.01, initial=start, max_cells=32)
        for start in (along_x, along_y)
    )
    for name, twin in (("rho", "rho"), ("u", "v"), ("p", "p")):
        np.testing.assert_allclose(
            one.values[name], np.stack([line.values[name]] * 16, 1), rtol=2e-3, atol=1e-3
        )
        np.testing.assert_allclose(
            other.values[twin], np.swapaxes(one.values[name], 0, 1), atol=1e-12
        )
    gas, both = (
        _compressible._Gas(0.02, 0.01, 1.4),
        lambda x, y: (1 + 0.5 * np.sin(g * (x + y)), np.cos(g * y), np.sin(g * x), 2 + 0 * x),
    )
    at = np.meshgrid(*[np.arange(16) / 16] * 2, indexing="ij")
    state = gas.conserved(np.stack(both(*at)))
    later = gas.diffused(gas.advected(state, 0.01), 0.05)
    np.testing.assert_allclose(later.sum((1, 2)), state.sum((1, 2)), atol=1e-11)
    assert np.abs(later - state).max() > 0.1


def test_cells_that_are_too_coarse_for_a_gas_do_not_count():
    """A gas that becomes a vacuum on 8 cells and not on 16, and one at rest."""
    g = 2 * np.pi

    def storm(x):
        return (
            np.exp(np.sin(g * x + 1)),
            5 * np.sin(g * x) + 2.5 * np.cos(3 * g * x),
            np.exp(np.cos(2 * g * x)),
        )

    def make(start, most):
        return periodic_compressible(
            1, 8, np.array([0, 0.1]), 0.0, 0.0, initial=start, max_cells=most
        )

    assert 0 < max(make(storm, 32).error_bar.values()) < 1
    with pytest.raises(
        ValueError,
        match="becomes a vacuum on 8 cells, and there is no error bar: give more max_cells",
    ):
        make(storm, 16)
    rest = make(lambda x: (1 + 0.5 * np.sin(g * x), 0 * x, 1 + 0 * x), 16)
    assert max(rest.error_bar.values()) < 0.1 and np.abs(rest.values["u"]).max() < 1e-12


def test_compressible_flow_refuses_what_it_cannot_solve():
    def make(
        dimensions=1, cells=8, t=(0.0, 1.0), viscosity=0.1, velocity=0.0, density=1.0, **options
    ):
        def start(x):
            return (density + 0 * x, velocity * np.sign(x - 0.5), 1 + 0 * x)

        return periodic_compressible(
            dimensions, cells, np.asarray(t), viscosity, 0.0, initial=start, **options
        )

    for wrong in (
        {"viscosity": -1},
        {"viscosity": np.inf},
        {"heat_ratio": 1},
        {"tolerance": np.nan},
    ):
        with pytest.raises(
            ValueError, match="give viscosities that are zero or more, a ratio greater than 1"
        ):
            make(**wrong)
    for wrong in ({"dimensions": 3}, {"cells": 0}, {"cells": 8.0}):
        with pytest.raises(
            ValueError, match="dimensions must be 1 or 2 and cells a whole number of at least 1"
        ):
            make(**wrong)
    for wrong in ((1.0, 0.5), (0.0, np.nan), (0.0, np.inf)):
        with pytest.raises(ValueError, match="increasing times"):
            make(t=wrong)
    with pytest.raises(ValueError, match="max_cells must be at least 16, twice the cells"):
        make(max_cells=8)
    with pytest.raises(ValueError, match="density and a pressure greater than zero"):
        make(density=-1.0)
    with pytest.raises(
        ValueError, match="both must be positive: give more max_cells, or slower initial values"
    ):
        make(viscosity=0.0, velocity=50.0)
    with pytest.raises(
        ValueError, match="initial must give 3 fields, density, velocities and pressure, got 1"
    ):
        periodic_compressible(1, 8, np.array([0.0]), 0.1, 0.0, initial=lambda x: [x])


def test_a_linear_equation_is_solved_to_rounding():
    x, t = np.linspace(0, 2 * np.pi, 33), np.array([0.3, 1.7])
    ours = periodic_etdrk4(
        x,
        t,
        interval=(0, 2 * np.pi),
        symbol=lambda k: -3j * k - 0.1 * k**2,
        initial=np.sin,
        modes=32,
        max_step=0.5,
    )
    exact = np.exp(-0.1 * t) * np.sin(x[:, None] - 3 * t)
    assert relative_l2(ours.values["u"], exact) < 1e-13


def test_etdrk4_is_fourth_order():
    x, t = np.linspace(-1, 1, 32), np.array([0.5])
    errors = []
    for step in (0.1, 0.05, 0.025):
        ours = periodic_etdrk4(
            x,
            t,
            interval=(-1, 1),
            symbol=lambda k: 0 * k,
            reaction=lambda u: u * (1 - u),
            initial=lambda x: np.full_like(x, 0.1),
            modes=16,
            max_step=step,
        )
        logistic = 1 / (1 + 9 * np.exp(-t[0]))
        error = np.abs(ours.values["u"] / logistic - 1).max()
        assert error <= ours.error_bar["u"]
        errors.append(error)
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 4) < 0.2)


def kdv(initial, interval, x, t, modes, max_step, dispersion):
    return periodic_etdrk4(
        x,
        t,
        interval=interval,
        symbol=lambda k: 1j * dispersion**2 * k**3,
        flux=lambda u: u**2 / 2,
        initial=initial,
        modes=modes,
        max_step=max_step,
    )


def test_kdv_carries_a_soliton():
    # u = 3c sech²(sqrt(c) (x - ct) / 2δ); the periodic images are below 1e-15.
    c, width = 0.9, 0.022

    def soliton(x, t: float | np.ndarray = 0.0):
        return 3 * c / np.cosh(np.sqrt(c) * (x - c * t) / (2 * width)) ** 2

    x, t = np.linspace(-1, 1, 101), np.array([0.0, 0.1, 0.2])
    ours = kdv(soliton, (-1, 1), x, t, 512, 2e-4, width)
    error = relative_l2(ours.values["u"], soliton(x[:, None], t))
    assert error < 1e-6
    assert error <= ours.error_bar["u"]


def test_kdv_conserves_mass_momentum_and_energy():
    n, delta = 512, 0.022
    x, t = -1 + 2 * np.arange(n) / n, np.linspace(0, 1, 5)
    ours = kdv(lambda x: np.cos(np.pi * x), (-1, 1), x, t, n, 2e-4, delta)
    assert ours.error_bar["u"] < 1e-8
    u = ours.values["u"]
    # The trapezoidal rule is exact for a resolved periodic function.
    u_x = np.fft.irfft(
        1j * np.pi * np.arange(n // 2 + 1)[:, None] * np.fft.rfft(u, axis=0), n, axis=0
    )
    for density in (u, u**2, u**3 / 3 - delta**2 * u_x**2):
        invariant = density.mean(axis=0)
        assert np.abs(invariant - invariant[0]).max() < 1e-8


def test_allen_cahn_dissipates_its_energy_and_keeps_its_bounds():
    n = 1024
    x, t = -1 + 2 * np.arange(n) / n, np.linspace(0, 1, 21)
    ours = periodic_etdrk4(
        x,
        t,
        interval=(-1, 1),
        symbol=lambda k: -1e-4 * k**2,
        reaction=lambda u: 5 * u - 5 * u**3,
        initial=lambda x: x**2 * np.cos(np.pi * x),
        modes=n,
        max_step=5e-3,
    )
    u = ours.values["u"]
    assert ours.error_bar["u"] < 1e-5
    assert np.abs(u).max() <= 1 + 1e-5
    assert np.abs(u[1:] - u[:0:-1]).max() < 1e-9  # even, and the kink at ±1 sits on a node
    u_x = np.fft.irfft(
        1j * np.pi * np.arange(n // 2 + 1)[:, None] * np.fft.rfft(u, axis=0), n, axis=0
    )
    energy = (1e-4 / 2 * u_x**2 + 5 / 4 * (1 - u**2) ** 2).mean(axis=0)
    assert np.all(np.diff(energy) < 0)


def test_periodic_etdrk4_refuses_bad_input():
    x = np.zeros(3)

    def march(t=x[:1], modes=16, initial=np.sin, reaction=None):
        return periodic_etdrk4(
            x,
            t,
            interval=(0, 6),
            symbol=lambda k: -(k**2),
            initial=initial,
            reaction=reaction,
            modes=modes,
            max_step=0.25,
        )

    with pytest.raises(ValueError, match="modes is 18"):
        march(modes=18)
    with pytest.raises(ValueError, match="increasing times"):
        march(t=np.array([0.5, 0.2]))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="smaller max_step"):
        march(t=np.array([5.0]), reaction=lambda u: np.exp(u**2))


# Diffusion with walls: a second-order grid method must approach the reference at second order


def test_reaction_diffusion_solves_a_linear_reaction_exactly():
    x, t = np.linspace(-1, 2, 31), np.linspace(0, 1, 6)
    ours = reaction_diffusion(
        x,
        t,
        diffusivity=0.2,
        reaction=lambda u: 0.7 * u,
        initial=lambda x: np.sin(np.pi * (x + 1) / 3),
        interval=(-1, 2),
        nodes=32,
        max_step=0.02,
    )
    exact = np.sin(np.pi * (x[:, None] + 1) / 3) * np.exp((0.7 - 0.2 * np.pi**2 / 9) * t)
    error = relative_l2(ours.values["u"], exact)
    assert error < 1e-10
    assert error <= ours.error_bar["u"]


def test_fisher_is_the_limit_of_finite_differences():
    from scipy.integrate import solve_ivp

    diffusivity, rate = 0.1, 1.0
    x, t = np.linspace(0, 1, 21), np.linspace(0, 1, 5)
    ours = reaction_diffusion(
        x,
        t,
        diffusivity=diffusivity,
        reaction=lambda u: rate * u * (1 - u),
        initial=lambda x: np.sin(np.pi * x),
    )
    assert ours.error_bar["u"] < 1e-11

    def finite_differences(cells: int) -> np.ndarray:
        grid = np.linspace(0, 1, cells + 1)

        def slope(_, u):
            padded = np.concatenate([[0.0], u, [0.0]])
            return diffusivity * cells**2 * np.diff(padded, 2) + rate * u * (1 - u)

        start = np.sin(np.pi * grid[1:-1])
        march = solve_ivp(
            slope, (0, 1), start, method="LSODA", t_eval=t, rtol=1e-11, atol=1e-12, lband=1, uband=1
        )
        return np.pad(march.y, ((1, 1), (0, 0)))[:: cells // 20]

    coarse, fine = finite_differences(40), finite_differences(80)
    errors = [relative_l2(u, ours.values["u"]) for u in (coarse, fine)]
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.05)
    assert relative_l2((4 * fine - coarse) / 3, ours.values["u"]) < 1e-6  # Richardson: fourth order


@pytest.mark.slow
def test_nonlinear_diffusion_is_the_limit_of_finite_differences():
    from scipy.integrate import solve_ivp

    def initial(x, y):  # vanishes on the walls like the solution does, away from symmetry
        return np.sqrt((1 - x**2) * (1 - y**2)) * (0.4 + 0.2 * x - 0.1 * y)

    points, t = np.linspace(-1, 1, 21), np.array([0.0, 0.5, 1.0])
    ours = nonlinear_diffusion(points, points, t, diffusivity=0.3, initial=initial, nodes=40)
    u = ours.values["u"]
    assert ours.error_bar["u"] < 1e-5
    assert np.all(u >= -1e-9) and np.all(np.diff(u.max(axis=(0, 1))) < 0)  # maximum principle
    assert np.abs(u[[0, -1]]).max() == np.abs(u[:, [0, -1]]).max() == 0

    def finite_differences(cells: int) -> np.ndarray:
        grid = np.linspace(-1, 1, cells + 1)
        inner = grid[1:-1]
        shape = (cells - 1, cells - 1)

        def slope(_, u):
            square = np.pad(u.reshape(shape) ** 2, 1)
            laplacian = np.diff(square, 2, axis=0)[:, 1:-1] + np.diff(square, 2, axis=1)[1:-1]
            return (0.15 * (cells / 2) ** 2 * laplacian).ravel()

        start = initial(inner[:, None], inner[None, :]).ravel()
        march = solve_ivp(slope, (0, 1), start, method="RK45", t_eval=t, rtol=1e-8, atol=1e-10)
        stride = cells // 20
        return np.pad(march.y.reshape(*shape, t.size), ((1, 1), (1, 1), (0, 0)))[::stride, ::stride]

    errors = [relative_l2(finite_differences(cells), u) for cells in (20, 40, 80)]
    assert errors[-1] < 1e-4
    # Ratios 3.44, 3.63 (and 3.75 at 160 cells) rise towards second order's 4: the wall layer costs
    # the coarse grids.
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all((ratios > 3.3) & (ratios < 4)) and ratios[1] > ratios[0]


def test_nonlinear_diffusion_error_bar_bounds_its_error_with_incompatible_data():
    def gaussians(x, y):
        return (
            0.25 * np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) / 0.1)
            + 0.4 * np.exp(-15 * ((x + 0.5) ** 2 + (y + 0.1) ** 2))
            + 0.3 * np.exp(-20 * (x**2 + (y + 0.5) ** 2))
        )

    points, t = np.linspace(-1, 1, 41), np.linspace(0, 1, 6)
    coarse, fine = (
        nonlinear_diffusion(points, points, t, diffusivity=0.05, initial=gaussians, nodes=nodes)
        for nodes in (64, 112)
    )
    assert fine.error_bar["u"] < 1e-5
    assert relative_l2(coarse.values["u"], fine.values["u"]) <= coarse.error_bar["u"]
    inner = points[1:-1]  # on the walls data disagree with those at the start
    assert np.array_equal(
        fine.values["u"][1:-1, 1:-1, 0], gaussians(inner[:, None], inner[None, :])
    )
    assert np.all(np.isnan(fine.values["u"][0, :, 0]))


# Lid-driven cavity


def regularised_lid(x):
    return 1 - np.cosh(50 * (x - 0.5)) / np.cosh(25)


@pytest.mark.slow
def test_the_cavity_agrees_with_botella_and_peyret():
    # Comput. Fluids 27 (1998), tables 9 and 10: Re = 1000, lid u = 1, the two lines through the
    # centre. Their lid runs the other way, so u changes sign and x becomes 1 - x.
    y = np.array([0.0625, 0.1719, 0.2813, 0.5, 0.7344, 0.9531])
    u = np.array([-0.2023300, -0.3885691, -0.2803696, -0.0620561, 0.1886747, 0.4723329])
    x = np.array([0.0625, 0.1563, 0.2344, 0.5, 0.8047, 0.9453])
    v = np.array([0.2807056, 0.3769189, 0.3253592, 0.0257995, -0.3202137, -0.4103754])
    flow = lid_driven_cavity(np.append(x, 0.5), np.append(y, 0.5), reynolds=1000.0, elements=32)
    error_u, error_v = (
        relative_l2(flow.values["u"][-1, :-1], u),
        relative_l2(flow.values["v"][:-1, -1], v),
    )
    assert error_u <= flow.error_bar["u"] < 2e-3
    assert error_v <= flow.error_bar["v"] < 2e-3


@pytest.mark.slow
def test_the_cavity_error_bar_bounds_its_error():
    points = np.linspace(0, 1, 33)
    coarse, fine = (
        lid_driven_cavity(points, points, reynolds=100.0, lid=regularised_lid, elements=elements)
        for elements in (20, 32)
    )
    for unknown in ("u", "v"):
        assert fine.error_bar[unknown] < 2e-4
        assert (
            relative_l2(coarse.values[unknown], fine.values[unknown]) <= coarse.error_bar[unknown]
        )
    # On the walls the values are the data.
    u, v = fine.values["u"], fine.values["v"]
    assert np.array_equal(u[:, -1], regularised_lid(points))
    assert np.abs(u[[0, -1], :-1]).max() == np.abs(u[:, 0]).max() == 0
    assert np.abs(v[[0, -1]]).max() == np.abs(v[:, [0, -1]]).max() == 0


def test_stokes_flow_is_symmetric_and_conserves_mass():
    nodes, weights = np.polynomial.legendre.leggauss(40)
    points = (1 + nodes) / 2
    flow = lid_driven_cavity(points, points, reynolds=1e-9, lid=regularised_lid, elements=20)
    u, v = flow.values["u"], flow.values["v"]
    assert (
        np.abs(u - u[::-1]).max() < 1e-8 and np.abs(v + v[::-1]).max() < 1e-8
    )  # time reversal and reflection
    assert (
        np.abs(u @ weights)[5:-5].max() < 1e-4
    )  # no net flux through a vertical line (Gauss rule of the lid layer)
    assert np.abs(weights @ v)[5:-5].max() < 1e-4


def test_the_cavity_refuses_a_reynolds_number_without_a_solution():
    with pytest.raises(ValueError, match="Reynolds number is 0"):
        lid_driven_cavity(np.zeros(2), np.zeros(2), reynolds=0)


# Poisson with holes

DISKS = [(a, b) for a in (-0.3, 0.3) for b in (-0.3, 0.3)]


def poisson_classic(x, y, **changes):
    arguments = (
        dict(half_width=0.5, centers=DISKS, radius=0.1, outer=1.0, inner=0.0, order=12) | changes
    )
    return poisson_disks(x, y, **arguments)


def test_the_disks_solution_satisfies_equation_and_boundary_data():
    # A five-point stencil around (x0, y0), and data points on the circles and on the square.
    h = 1e-3
    for x0, y0 in ((0.0, 0.0), (0.13, -0.31), (-0.45, 0.42)):
        u = poisson_classic(x0 + h * np.arange(-1, 2), y0 + h * np.arange(-1, 2)).values["u"]
        size = np.abs(np.diff(u, 2, axis=0)).max() / h**2
        laplacian = (u[0, 1] + u[2, 1] + u[1, 0] + u[1, 2] - 4 * u[1, 1]) / h**2
        assert abs(laplacian) < 1e-3 * max(size, 1)  # the stencil's own error is h² u_xxxx / 12
    on_boundary = poisson_classic(np.array([-0.5, 0.2, 0.4, 0.5]), np.array([-0.5, 0.3]))
    assert on_boundary.values["u"] == pytest.approx(
        np.array([[1, 1], [1, 0], [1, 0], [1, 1]]), abs=1e-7
    )


def test_the_disks_error_bar_bounds_its_error_and_falls_geometrically():
    points = np.linspace(-0.5, 0.5, 41)
    orders = [poisson_classic(points, points, order=order) for order in (4, 8, 12, 16)]
    bars = [solution.error_bar["u"] for solution in orders]
    truth = orders[-1].values["u"]
    assert all(fine < coarse / 30 for coarse, fine in zip(bars[:-1], bars[1:], strict=True))
    for solution in orders[:-1]:
        assert relative_l2(solution.values["u"], truth) <= solution.error_bar["u"]
    assert np.nanmin(truth) >= -1e-9 and np.nanmax(truth) <= 1 + 1e-9  # maximum principle
    assert (
        np.nanmax(np.abs(truth - truth.T)) < 1e-9 and np.nanmax(np.abs(truth - truth[::-1])) < 1e-9
    )
    gap = np.hypot(np.abs(points[:, None]) - 0.3, np.abs(points[None, :]) - 0.3)
    assert np.array_equal(np.isnan(truth), gap < 0.1 * (1 - 1e-12))


def test_the_disks_solution_agrees_with_the_literature_file():
    x, y, u = np.loadtxt(shared("pinnacle/poisson_classic.dat"), comments="%")[::12].T
    ours = poisson_classic(x, y).values["u"].diagonal()
    assert relative_l2(ours, u) < 1e-4  # the file's finite elements: 2.7e-5


def test_disks_that_touch_are_refused():
    with pytest.raises(ValueError, match="overlap or leave"):
        poisson_classic(np.zeros(1), np.zeros(1), radius=0.2)
    with pytest.raises(ValueError, match="overlap or leave"):
        poisson_classic(np.zeros(1), np.zeros(1), centers=[(0.0, 0.0), (0.1, 0.0)])
