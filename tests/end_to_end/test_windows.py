"""Time windows: parts of the time interval, one after the other."""

import re
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops.problem import Window, _windows, nodes_of, series_of
from pinops.solvers._by_windows import solve_by_windows
from pinops.solvers._solve import _solve_one

OPTIONS = {
    "network": po.networks.MLP(width=8, depth=2),
    "points": po.Collocation(interior=256, every=100),
    "progress": False,
}


class Moving(po.Problem):
    """u_tt = u_xx + f with values on the walls that change in time: u = sin(x + 2 t)."""

    domain = po.Box(x=(0, 1), t=(1, 2))

    def residual(self, u_tt, u_xx, x, t):
        return u_tt - u_xx + 3 * jnp.sin(x + 2 * t)

    def conditions(self):
        start = po.Initial(lambda x: jnp.sin(x + 2), lambda x: 2 * jnp.cos(x + 2))
        return (
            start,
            po.Dirichlet(self.exact, on="x_min"),
            po.Neumann(lambda x, t: jnp.cos(x + 2 * t), on="x_max"),
        )

    def exact(self, x, t):
        return jnp.sin(x + 2 * t)


class Travelling(po.Problem):
    """u_t + u_x = 0, periodic."""

    domain = po.Box(x=(0, 2), t=(0, 1))

    def residual(self, u_t, u_x):
        return u_t + u_x

    def conditions(self):
        return po.Periodic("x"), po.Initial(lambda x: jnp.sin(jnp.pi * x))

    def exact(self, x, t):
        return jnp.sin(jnp.pi * (x - t))


@pytest.mark.parametrize(
    "problem", [Moving(), Travelling()], ids=lambda problem: type(problem).__name__
)
def test_windows_are_one_solution(problem):
    solution = po.solve(problem, windows=po.TimeWindows(3, nodes=65), steps=500, **OPTIONS)
    assert (
        isinstance(solution, po.WindowedSolution)
        and solution.status == "finished"
        and solution.steps == 1500
    )
    assert solution.error()["u"]["mean"] < 1e-3
    # Each window begins at the end of the previous one, in value (and, for waves, in velocity).
    second, (low, high) = problem.domain.bounds["x"], problem.domain.bounds["x"]
    x, step = np.linspace(low, high, 9), 1 / 3
    for first, second in zip(solution.parts, solution.parts[1:], strict=False):
        np.testing.assert_allclose(second(x=x, t=0.0), first(x=x, t=step), atol=1e-7)
        if isinstance(problem, Moving):
            np.testing.assert_allclose(
                second.partial("u_t", x=x, t=0.0), first.partial("u_t", x=x, t=step), atol=1e-5
            )
    start = problem.domain.bounds["t"][0]
    np.testing.assert_allclose(
        solution(x=x, t=start + 0.5), solution.parts[1](x=x, t=0.5 - step), atol=1e-12
    )
    np.testing.assert_allclose(
        solution.partial("u_x", x=0.5, t=start + 1.0),
        solution.parts[2].partial("u_x", x=0.5, t=step),
    )
    steps = [report.step for report in solution.history]
    assert (
        steps == sorted(steps)
        and solution.history[-1].seconds >= sum(part.seconds for part in solution.parts) - 1e-9
    )


def test_a_window_is_the_same_problem_later():
    window = Window(Moving(), 0.25, np.asarray(1.5), None)
    assert window.domain.bounds == {"x": (0.0, 1.0), "t": (0.0, 0.25)}
    residual = window.residual(u_tt=0.1, u_xx=0.2, x=0.3, t=0.1)
    assert float(residual) == pytest.approx(0.1 - 0.2 + 3 * np.sin(0.3 + 2 * 1.6))
    reference = window.reference()
    times = reference.coordinates["t"]
    assert times.min() >= 0 and times.max() <= 0.25
    np.testing.assert_allclose(
        reference.values["u"], np.sin(reference.coordinates["x"] + 2 * (times + 1.5)), atol=1e-12
    )


@pytest.mark.parametrize(
    "problem", [Moving(), Travelling()], ids=lambda problem: type(problem).__name__
)
def test_series_interpolate(problem):
    nodes = nodes_of(problem, 20)["x"]

    def function(x):
        return np.exp(np.sin(np.pi * x))

    window = Window(problem, 0.5, np.asarray(0.0), series_of(problem, {"u": function(nodes)}, 20))
    for x in (0.0, 0.123, 0.9):
        assert float(window._series("u")(jnp.asarray([x, 0.0]))) == pytest.approx(
            function(x), abs=1e-5
        )


def test_windows_are_kept_and_resumed_bit_for_bit(tmp_path):
    windows, collocation = po.TimeWindows(2), po.Collocation(interior=64, every=40)
    options = {**OPTIONS, "points": collocation, "steps": 340, "windows": windows}
    whole = po.solve(Decay(), out=tmp_path / "whole", **options)
    po.solve(
        Decay(), out=tmp_path / "run", callbacks=[lambda report: report.step == 320], **options
    )
    resumed = po.solve(Decay(), out=tmp_path / "run", resume=True, **options)
    assert resumed.status == "finished" and len(resumed.parts) == 2
    t = np.linspace(0, 1, 7)
    assert np.array_equal(whole(t=t), resumed(t=t))
    loaded = po.load(tmp_path / "whole", problem=Decay())
    assert np.array_equal(loaded(t=t), whole(t=t)) and loaded.error() == whole.error()
    assert [len(loaded.parts), loaded.steps] == [2, 680]
    loaded.plot(tmp_path / "figure.png")
    with pytest.raises(ValueError, match="window_0 holds a run with window = .*'length': 0.5"):
        po.solve(
            Decay(), out=tmp_path / "run", resume=True, **(options | {"windows": po.TimeWindows(4)})
        )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: po.TimeWindows(1), "count must be a whole number from 2 to"),
        (lambda: po.TimeWindows(3, nodes=2), "nodes must be a whole number from 3 to"),
        (lambda: po.TimeWindows(tolerance=0), "tolerance must be a finite number greater than 0"),
        (lambda: po.TimeWindows(3, tolerance=0.1), "count and tolerance exclude each other"),
        (
            lambda: po.solve("poisson", windows=po.TimeWindows()),
            "time windows need a time coordinate; Poisson has none",
        ),
        (
            lambda: po.solve(
                Decay(), windows=po.TimeWindows(), optimizer=(po.Phase(po.optimizers.Adam(), 9),)
            ),
            "give one optimizer, or a count of windows",
        ),
        (
            lambda: po.solve("poisson", windows=po.TimeWindows(2)),
            "time windows need a time coordinate; Poisson has none",
        ),
        (
            lambda: po.solve("burgers_inverse", windows=po.TimeWindows(2)),
            "time windows cannot use observations",
        ),
        (
            lambda: po.solve(Decay(), windows=po.TimeWindows(2), ensemble=2),
            "windows exclude ensemble and target",
        ),
    ],
)
def test_invalid_windows_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def _march(wrong, out=None, resume=False, windows=None, **more):
    """Decay in two windows, of which the attempts with these numbers come out with a large loss."""
    seen = []

    def solve_one(window, **options):
        part = _solve_one(window, **options)
        seen.append((float(window.start), window.length, options["start"] is None))
        if len(seen) - 1 not in wrong:
            return part
        return replace(part, history=[*part.history[:-1], replace(part.history[-1], loss=0.25)])

    options = {
        "network": po.networks.MLP(width=8, depth=2),
        "points": po.Collocation(interior=64),
        "steps": 340,
        "optimizer": None,
        "seed": 0,
        "devices": None,
        "dtype": "float64",
        "callbacks": (),
        "progress": False,
        "resume": resume,
        "checkpoint_seconds": 10.0,
    } | more
    windows = windows or po.TimeWindows(2)
    solution = solve_by_windows(
        solve_one, Decay(), windows, minutes=None, start=None, out=out, options=options
    )
    return solution, seen


def test_a_window_that_has_not_converged_is_tried_again_from_fresh_parameters(tmp_path):
    with pytest.warns(UserWarning, match=r"window 2/2 has not converged .* from fresh parameters"):
        solution, seen = _march({1}, tmp_path)
    assert seen == [(0.0, 0.5, True), (0.5, 0.5, False), (0.5, 0.5, True)]
    assert solution.status == "finished"
    assert [r.message for r in solution.history if r.message] == [
        "window 2/2 has not converged (its loss is 2.5e-01); trying again from fresh parameters"
    ]
    assert solution.error()["u"]["mean"] < 1e-3 and (tmp_path / "window_1_rejected_0").exists()
    resumed, _ = _march(set(), tmp_path, resume=True)
    assert np.array_equal(resumed(t=np.linspace(0, 1, 7)), solution(t=np.linspace(0, 1, 7)))


def test_a_window_that_does_not_converge_is_halved(tmp_path):
    with pytest.warns(UserWarning) as caught:
        solution, seen = _march({1, 2}, tmp_path)
    assert "going on with half of its length" in str(caught[1].message)
    assert [(start, length) for start, length, _ in seen] == [
        (0.0, 0.5),
        (0.5, 0.5),
        (0.5, 0.5),
        (0.5, 0.25),
        (0.75, 0.25),
    ]
    t = np.linspace(0, 1, 9)
    np.testing.assert_allclose(solution(t=t), np.exp(-t), atol=1e-3)
    loaded = po.load(tmp_path, problem=Decay())
    assert len(loaded.parts) == 3 and np.array_equal(loaded(t=t), solution(t=t))


def test_windows_end_where_nothing_helps(tmp_path):
    with pytest.warns(UserWarning) as caught:
        solution, seen = _march(set(range(1, 99)), tmp_path)
    assert "would begin from a wrong state" in str(caught[-1].message)
    # As it is and from fresh parameters: whole, half and a quarter.
    assert len(seen) == 7 and len(solution.parts) == 2
    assert solution.status == "not converged"
    assert po.load(tmp_path, problem=Decay()).status == "not converged"
    assert str(solution.diagnose()) == str(solution.parts[1].diagnose())
    # What follows on the last window is not known.
    times = solution.windows[-1][1] + np.array([-0.01, 0.01])
    assert np.isnan(solution(t=times)).tolist() == [False, True]
    assert np.isnan(jax.vmap(solution.field)(times[:, None])).ravel().tolist() == [False, True]
    assert np.isnan(solution.error()["u"]["mean"])


@pytest.mark.parametrize("periodic", [True, False])
def test_the_series_handed_over_is_the_one_that_is_evaluated(periodic):
    bounds, nodes = (-1.0, 3.0), np.linspace(-1, 3, 25, endpoint=False) + 0.01
    with jax.enable_x64(True):
        rows = jax.vmap(lambda x: _windows._basis(x, bounds, periodic, 25))(jnp.asarray(nodes))
    np.testing.assert_allclose(_windows._basis_at(nodes, bounds, periodic), rows, atol=1e-13)


def test_a_window_does_not_go_on_with_the_curvatures_of_the_one_before():
    """With them the loss after 50 steps would be 0.2."""
    options = OPTIONS | {"points": po.Collocation(interior=256, every=0, refinement=None)}
    options |= {"network": po.networks.MLP(width=16, depth=2), "steps": 50}
    options |= {"optimizer": po.optimizers.SSBroyden()}
    solution = po.solve(Decay(), windows=po.TimeWindows(2), **options)
    assert [part.history[-1].loss < 1e-6 for part in solution.parts] == [True, True]


def test_progress_names_the_window_and_the_time(capsys):
    options = OPTIONS | {"points": po.Collocation(interior=64), "progress": True}
    optimizer = po.optimizers.Adam(5e-3)
    with warnings.catch_warnings():  # whether it converges in this time depends on the machine
        warnings.simplefilter("ignore", UserWarning)
        po.solve(Decay(), windows=po.TimeWindows(2), minutes=0.03, optimizer=optimizer, **options)
    shown = capsys.readouterr().err
    assert "window 1/2  Adam 1 steps (" in shown and " % of the time)" in shown
    assert not re.search(r"Adam \d+/", shown)


class Oscillation(po.Problem):
    """u_tt = -u: the series of few terms below is too short for all of the time."""

    domain = po.Box(t=(1, 9))

    def residual(self, u, u_tt):
        return u_tt + u

    def conditions(self):
        return (po.Initial(np.sin(1.0), np.cos(1.0)),)

    def exact(self, t):
        return jnp.sin(t)


SERIES = {
    "network": po.networks.Spectral((9,)),
    "optimizer": po.optimizers.GaussNewton(damping=1e-14),
    "points": po.Collocation(interior=64),
    "steps": 30,
    "progress": False,
}
CHOSEN = po.TimeWindows(tolerance=1e-6)


def test_lengths_are_chosen(tmp_path):
    solution = po.solve(Oscillation(), windows=CHOSEN, **SERIES)
    assert solution.windows == ((1.0, 3.0), (3.0, 5.0), (5.0, 7.0), (7.0, 9.0))
    assert solution.status == "converged" and solution.error()["u"]["mean"] < 1e-6
    assert solution.summary()["windows"] == [list(each) for each in solution.windows]
    (noted, *_) = [report.message for report in solution.history if report.message]
    assert re.search(r"window 1, t = 1 to 9 of 9 has not converged .* half of its length; ", noted)
    solution.report(tmp_path / "report.html")
    assert "TimeWindows(tolerance=1e-06)" in (tmp_path / "report.html").read_text()


def test_ordinary_differential_equations_have_a_recipe_of_their_own():
    class Pendulum(Oscillation):
        def residual(self, u, u_tt, t):  # u = sin t again
            return u_tt + jnp.sin(u) + jnp.sin(t) - jnp.sin(jnp.sin(t))

    solution = po.solve(Pendulum(), windows=po.TimeWindows(), progress=False)
    assert solution.request["network"] == {"Spectral": {"degrees": [32]}}
    assert solution.error()["u"]["mean"] < 1e-9


def test_windows_grow_after_four_that_were_quick():
    solution, seen = _march({0, 1, 2}, windows=CHOSEN, **SERIES)
    assert [length for _, length, _ in seen] == [1, 0.5, 0.25, *[0.125] * 4, 0.25, 0.25]
    # One that follows on a failure begins from fresh parameters.
    assert [fresh for *_, fresh in seen] == [True] * 4 + [False] * 5
    assert solution.error()["u"]["mean"] < 1e-6


def test_windows_of_chosen_lengths_end_where_nothing_helps():
    with pytest.warns(UserWarning, match="steps or minutes, or a larger tolerance"):
        solution, seen = _march(set(range(99)) - {1}, windows=CHOSEN, **SERIES)
    assert [length for _, length, _ in seen] == [1, 0.5, *(0.5 / 2**k for k in range(5))]
    assert solution.status == "not converged" and len(solution.parts) == 2


@pytest.mark.parametrize(("count", "raised"), [(6, True), (2, False), (3, False)])
def test_windows_of_chosen_lengths_are_resumed_bit_for_bit(tmp_path, count, raised):
    options = {**SERIES, "windows": CHOSEN, "checkpoint_seconds": 0}
    whole = po.solve(Oscillation(), out=tmp_path / "whole", **options)
    seen = []

    def end(report):
        seen.append(report)
        if len(seen) == count and raised:
            raise KeyboardInterrupt
        return len(seen) == count

    try:
        stopped = po.solve(Oscillation(), out=tmp_path / "run", callbacks=[end], **options)
        assert stopped.status == "stopped" and len(stopped.parts) == 1
        assert not raised
    except KeyboardInterrupt:
        assert raised
    assert len(list((tmp_path / "run").glob("window_[0-9]"))) < len(whole.parts)
    resumed = po.solve(Oscillation(), out=tmp_path / "run", resume=True, **options)
    t = np.linspace(1, 9, 17)
    assert resumed.windows == whole.windows and np.array_equal(resumed(t=t), whole(t=t))
    loaded = po.load(tmp_path / "run", problem=Oscillation())
    assert loaded.windows == whole.windows and np.array_equal(loaded(t=t), whole(t=t))
