"""The report on what limits a solution: cases of known cause, and healthy ones beside them."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay import Decay

import pinops as po
from pinops.optimizers import Adam, LevenbergMarquardt
from pinops.problem import InverseProblem
from pinops.reference import Reference
from pinops.solvers import Solution
from pinops.solvers._diagnose import CAUSES

NETWORK = po.networks.MLP(width=8, depth=1)
POINTS = po.Collocation(interior=256, boundary=64, initial=64, every=0, refinement=None)
LM = LevenbergMarquardt()


class Measured(Decay):
    """Decay, compared with values of three digits."""

    def reference(self) -> Reference:
        t = np.linspace(0.0, 1.0, 33)
        return Reference({"t": t}, {"u": np.exp(-t)}, {"u": 1e-3}, kind="numeric", source="a test")


class Loose(Decay):
    """Decay whose initial value is a term of the loss."""

    def conditions(self):
        return (po.Initial(1.0, soft=True),)


class Swing(po.Problem):
    """u_tt = -w^2 u, u(0) = 1, u_t(0) = 0: w / 2 pi periods."""

    domain = po.Box(t=(0, 1))
    w: float = po.positive(2.0)

    def residual(self, u, u_tt):
        return u_tt + self.w**2 * u

    def conditions(self):
        return (po.Initial(1.0, derivative=0.0),)

    def exact(self, t):
        return jnp.cos(self.w * t)


class Layers(po.Problem):
    """(1 + step [x > 1/2]) u_xx = -1 - source [x > 1/3] between two walls."""

    domain = po.Box(x=(0, 1))
    step: float = 0.0
    source: float = 0.0

    def residual(self, u_xx, x):
        load = 1 + self.source * jnp.where(x > 1 / 3, 1.0, 0.0)
        return (1 + self.step * jnp.where(x > 0.5, 1.0, 0.0)) * u_xx + load

    def conditions(self):
        return (po.Dirichlet(0.0),)


class Rod(po.Problem):
    """u_t = 0.1 u_xx from a bend, a wave or a level, between two walls at 0."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    bend: float = 0.0
    wave: float = 0.0
    level: float = 0.0

    def residual(self, u_t, u_xx):
        return u_t - 0.1 * u_xx

    def conditions(self):
        def start(x):
            wave = self.wave * jnp.sin(jnp.pi * x)
            return self.bend * (0.5 - jnp.abs(x - 0.5)) + wave + self.level

        return (po.Dirichlet(0.0, on="x"), po.Initial(start))


class Bent(po.Problem):
    """lap u = -1 on an L-shape, u = 0 around it."""

    domain = po.Polygon([(0, 0), (0, 1), (-1, 1), (-1, -1), (1, -1), (1, 0)])

    def residual(self, lap_u):
        return lap_u + 1

    def conditions(self):
        return (po.Dirichlet(0.0),)


class Flow(po.Problem):
    """u_x - e u_xx = 1 between two walls at 0: a layer of width e at the right one."""

    domain = po.Box(x=(0, 1))
    e: float = po.positive(0.02)

    def residual(self, u_x, u_xx):
        return u_x - self.e * u_xx - 1

    def conditions(self):
        return (po.Dirichlet(0.0),)


def observed(noise: float) -> InverseProblem:
    """Decay from 200 observations, whose rate is to be found."""
    t = np.linspace(0.0, 1.0, 200)
    u = np.exp(-2 * t) + noise * np.random.default_rng(0).standard_normal(t.size)
    return InverseProblem(Decay(rate=1.0), po.Observed({"t": t}, {"u": u}), ("rate",))


def solved(problem: po.Problem, **options: Any) -> Solution:
    given = {"network": NETWORK, "points": POINTS, "optimizer": LM}
    given |= {"steps": 60} if "optimizer" not in options else {}
    return po.solve(problem, progress=False, **(given | options))


FEW = po.Collocation(interior=4, boundary=64, initial=64, every=0, refinement=None)
BLOWN = (po.Phase(Adam(1e-3), 50), po.Phase(optax.sgd(1e200), 50))
NEGLECTED = po.losses.Fixed(condition=1e-9)
SLOW = {"optimizer": Adam(1e-2), "steps": 400}
CASES = {
    "reference": ("reference", Measured(), {}),
    "diverged": ("diverged", Decay(), {"optimizer": BLOWN}),
    "size too large": ("scales", Decay(), {"scales": {"u": 1e4}}),
    "size too small": ("scales", Decay(), {"scales": {"u": 1e-4}}),
    "1 % noise": ("noise", observed(0.01), {}),
    "5 % noise": ("noise", observed(0.05), {}),
    "coefficient jumps": ("discontinuity", Layers(step=9.0), {}),
    "source jumps": ("discontinuity", Layers(source=9.0), {}),
    "bend in the data": ("kink", Rod(bend=1.0), {}),
    "data disagree": ("kink", Rod(level=1.0), {}),
    "reentrant corner": ("corner", Bent(), {"network": po.networks.MLP(16, 2), "steps": 100}),
    "thin layer": ("layer", Flow(), {}),
    "four points": ("points", Decay(), {"points": FEW}),
    "five steps": ("untrained", Decay(), {"optimizer": Adam(1e-3), "steps": 5}),
    "few steps of a jump": ("untrained", Layers(step=9.0), {"optimizer": Adam(1e-3), "steps": 5}),
    "few steps with noise": ("untrained", observed(0.01), {"optimizer": Adam(1e-3), "steps": 5}),
    "ten periods": ("horizon", Swing(w=63.0), {}),
    "condition neglected": ("conditions", Loose(), {"weighting": NEGLECTED, **SLOW}),
    "tiny steps": ("optimizer", Decay(), {"optimizer": Adam(1e-8), "steps": 400}),
    "one neuron": (
        "network",
        Decay(),
        {"network": po.networks.MLP(width=1, depth=1), "steps": 200},
    ),
}
HEALTHY = {
    "decay": (Decay(), {}),
    "clean observations": (observed(0.0), {}),
    "one layer": (Layers(), {}),
    "wave": (Rod(wave=1.0), {}),
    "short swing": (Swing(), {}),
    "soft condition": (Loose(), {}),
    "wide layer": (Flow(e=0.3), {}),
}
SPECIFIC = (
    *("diverged", "scales", "noise", "discontinuity", "kink", "corner", "layer", "horizon"),
    "conditions",
)


@pytest.mark.parametrize("name", CASES)
def test_the_known_cause_is_named(name):
    cause, problem, options = CASES[name]
    found = solved(problem, **options).diagnose()
    assert found.limit == cause, str(found)
    assert str(found).startswith(f"{found.measures.problem} ({cause}): ")


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_has_no_cause_of_its_own(name):
    problem, options = HEALTHY[name]
    found = solved(problem, **options).diagnose()
    assert not set(SPECIFIC) & set(found.causes), str(found)


def test_every_cause_has_a_case():
    assert {cause for cause, _, _ in CASES.values()} == set(CAUSES)
    assert set(SPECIFIC) < set(CAUSES) and len(CASES) >= 12


def test_the_evidence_names_the_location():
    jump = solved(Layers(step=9.0)).diagnose()
    assert "jumps at x = 0.5," in jump.causes["discontinuity"]
    assert jump.measures.along["x"] > 0.5
    kinks = solved(Rod(bend=1.0), steps=10).diagnose().measures.kinks
    assert [spot.what for spot in kinks] == ["the data of u on t = 0 have a kink at x = 0.5"]
    corners = solved(Rod(level=1.0), steps=10).diagnose().measures.kinks
    assert [spot.what for spot in corners] == [
        "the data of u disagree where t = 0 and x = 0 meet",
        "the data of u disagree where t = 0 and x = 1 meet",
    ]


def test_the_numbers_of_a_report():
    solution = solved(Decay(), steps=3)
    found = solution.diagnose().measures
    t, size = found.worst["t"], solution.model.scales.terms["residual"]
    residual = float(np.abs(solution.partial("u_t", t=t) + solution(t=t)))
    assert found.largest * float(size) == pytest.approx(residual, rel=1e-9)
    assert found.rms**2 == pytest.approx(found.fresh, rel=1e-9)
    assert 0 <= found.concentration <= 1 and 1 / 20 <= found.along["t"] <= 1
    assert np.all(np.diff(found.spectrum) <= 0) and len(found.spectrum) == 512
    assert 0 < min(found.over_time) and max(found.over_time) < 1


def test_the_pace_is_that_of_the_equation():
    found = solved(Swing(w=63.0), steps=10).diagnose().measures
    assert found.paces == pytest.approx(63.0, rel=0.5)


def test_a_loaded_solution_gives_the_same_report(tmp_path):
    solution = solved(Decay(), steps=2)
    solution.save(tmp_path)
    assert str(po.load(tmp_path, problem=Decay()).diagnose()) == str(solution.diagnose())
