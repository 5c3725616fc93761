"""The report on what limits a solution, where the answer is known."""

import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops.optimizers import LevenbergMarquardt
from pinops.solvers._diagnose import Diagnosis

NETWORK = po.networks.MLP(width=8, depth=2)


def solved(**options):
    options = {
        "network": NETWORK,
        "sampler": po.Collocation(interior=256, every=0, refinement=None),
        **options,
    }
    return po.solve(Decay(), progress=False, **options)


def test_after_a_few_steps_it_is_the_optimizer():
    found = solved(optimizer=po.optimizers.Adam(1e-3), steps=5).diagnose()
    assert found.limit == "optimizer" and found.reducible > 0.9
    text = str(found)
    assert (
        text.startswith("Decay: what limits the answer is the optimizer")
        and "error bar 1e-14" in text
    )


def test_with_a_handful_of_points_it_is_the_points():
    few = po.Collocation(interior=4, every=0, refinement=None)
    found = solved(sampler=few, optimizer=LevenbergMarquardt(), steps=60).diagnose()
    assert found.limit == "points" and found.fresh > 2 * found.trained


def test_with_a_tiny_network_it_is_the_network():
    tiny = po.networks.MLP(width=1, depth=1)
    found = solved(network=tiny, optimizer=LevenbergMarquardt(), steps=200).diagnose()
    assert found.limit == "network" and found.reducible < 0.1


def test_the_numbers_of_a_report():
    solution = solved(optimizer=LevenbergMarquardt(), steps=3)
    found = solution.diagnose()
    t = found.worst["t"]
    size = solution.request["scales"]["terms"]["residual"]
    residual = float(np.abs(solution.partial("u_t", t=t) + solution(t=t))) / size
    assert found.largest == pytest.approx(residual, rel=1e-9)
    assert found.rms**2 == pytest.approx(found.fresh, rel=0.05)  # the same mean over other points
    assert (
        0 <= found.concentration <= 1
        and np.all(np.diff(found.spectrum) <= 0)
        and len(found.spectrum) == 512
    )


def test_close_to_the_error_bar_it_is_the_reference():
    report = Diagnosis(
        "p",
        {"u": 1e-5},
        {"u": 1e-5},
        1.0,
        1.0,
        None,
        np.ones(1),
        {"x": 0.0},
        1.0,
        1.0,
        0.5,
        ["lost"],
    )
    assert str(report).endswith("  lost")
    assert report.limit == "reference" and "one step of Gauss-Newton" not in str(report)


def test_a_loaded_solution_gives_the_same_report(tmp_path):
    solution = solved(optimizer=LevenbergMarquardt(), steps=2)
    solution.save(tmp_path)
    assert str(po.load(tmp_path, problem=Decay()).diagnose()) == str(solution.diagnose())
