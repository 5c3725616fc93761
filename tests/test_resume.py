"""Resume is bit for bit: a run that was stopped, or killed at any moment, ends where one that never
stopped does.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optax
import pytest
from decay import Decay

import pinops as po
from pinops.data import read_arrays
from pinops.optimizers import Optimizer, SSBroyden
from pinops.training import Training

ADAM = optax.adam(1e-2)  # one object: a second one would compile again
PHASES = (po.Phase(ADAM, 70), po.Phase(SSBroyden(), 80))
OPTIONS = {
    "network": po.networks.MLP(width=8, depth=2),
    "points": po.Collocation(interior=128, every=60),
    "progress": False,
}


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Everything in a checkpoint but wall-clock times: parameters, optimizer, points, counters,
    history.
    """
    stored, _ = read_arrays(run / "checkpoint" / "state.h5", "checkpoint")
    return {name: array for name, array in stored.items() if name != "history/seconds"}


def assert_equal_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray], *, history: bool = True):
    kept = [name for name in a if history or name.startswith("state/")]
    assert kept and a.keys() == b.keys()
    for name in kept:
        assert a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes(), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=out)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("pause", [1, 60, 70, 100, 120])
def test_a_stopped_run_goes_on_bit_for_bit(pause, whole, tmp_path):
    """Across new points (60, 120) and from one optimizer to the next (70)."""

    def stop(report):
        return report.step >= pause

    first = po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path, callbacks=[stop])
    assert first.status == "stopped" and pause <= first.steps < 150
    second = po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path, resume=True)
    assert second.status == "finished" and second.steps == 150
    assert_equal_bits(arrays(whole), arrays(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [SSBroyden(), ADAM], ids=["ssbroyden", "adam"])
def test_more_steps_may_be_added(optimizer, tmp_path):
    """Also to a number that is not the end of a stretch (the history then has other rows, the state
    has not).
    """
    po.solve(Decay(), **OPTIONS, optimizer=optimizer, steps=130, out=tmp_path / "once")
    for steps in (37, 75, 130):
        po.solve(
            Decay(),
            **OPTIONS,
            optimizer=optimizer,
            steps=steps,
            out=tmp_path / "often",
            resume=True,
        )
    once, often = arrays(tmp_path / "once"), arrays(tmp_path / "often")
    assert once["history/loss"][-1] == often["history/loss"][-1]
    assert_equal_bits(once, often, history=False)


OPTIMIZERS = [
    po.optimizers.Adam(1e-2),
    optax.lbfgs(),
    po.optimizers.SOAP(),
    SSBroyden(),
    po.optimizers.SSBFGS(),
    po.optimizers.GaussNewton(momentum=0.5),
    po.optimizers.LevenbergMarquardt(),
    po.optimizers.NystromNewtonCG(rank=8, every=3),
]
WEIGHTINGS = [
    po.losses.GradientNorm(every=7),
    po.losses.NTK(every=7),
    po.losses.ReLoBRaLo(every=7),
    po.losses.SelfAdaptive(every=7),
    po.losses.ResidualAttention(every=7),
    po.losses.Causal(every=7),
]
REFINEMENTS = [None, po.sampling.RAD(), po.sampling.RAR(), po.sampling.R3()]
SAMPLERS = [
    po.sampling.Uniform(),
    po.sampling.Halton(),
    po.sampling.LatinHypercube(),
    po.sampling.Grid(),
]
EVERYTHING = (
    [(f"optimizer {k}", {"optimizer": optimizer}) for k, optimizer in enumerate(OPTIMIZERS)]
    + [(type(weighting).__name__, {"weighting": weighting}) for weighting in WEIGHTINGS]
    + [(type(refinement).__name__, {"refinement": refinement}) for refinement in REFINEMENTS]
    + [(type(sampler).__name__, {"sampler": sampler}) for sampler in SAMPLERS]
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [options for _, options in EVERYTHING], ids=[name for name, _ in EVERYTHING]
)
def test_everything_can_be_interrupted_resumed_and_recovered(options, tmp_path, monkeypatch):
    """Every optimizer, weighting, refinement and sampler: bit for bit after an interrupt; finite
    after a loss that is not.
    """
    options = dict(options)
    points = {name: options.pop(name) for name in ("refinement", "sampler") if name in options}
    settings = {
        "network": po.networks.MLP(width=4, depth=1),
        "points": po.Collocation(interior=16, every=8, **points),
        "optimizer": SSBroyden(),
        "progress": False,
        "steps": 24,
        **options,
    }
    monkeypatch.setattr(Optimizer, "steps_per_dispatch", 5)
    po.solve(Decay(), out=tmp_path / "whole", **settings)

    def interrupt(report):
        if report.step >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        po.solve(Decay(), out=tmp_path / "run", callbacks=[interrupt], **settings)
    po.solve(Decay(), out=tmp_path / "run", resume=True, **settings)
    assert_equal_bits(arrays(tmp_path / "whole"), arrays(tmp_path / "run"))

    settle, poisoned = Training.settle, []

    def once(self, state, number, done, seconds):
        if int(state.step) >= 8 and not poisoned:
            poisoned.append(int(state.step))
            done = done._replace(terms={name: value * np.nan for name, value in done.terms.items()})
        return settle(self, state, number, done, seconds)

    monkeypatch.setattr(Training, "settle", once)
    recovered = po.solve(Decay(), **settings)
    assert (
        poisoned
        and recovered.status in ("finished", "converged")
        and np.isfinite(recovered.history[-1].loss)
    )


def test_resuming_what_has_not_begun_begins(whole, tmp_path):
    po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path / "run", resume=True)
    assert_equal_bits(arrays(whole), arrays(tmp_path / "run"))


def test_an_interrupt_in_the_middle_leaves_a_checkpoint(whole, tmp_path):
    seen = []

    def interrupt(report):
        seen.append(report.step)
        if report.step >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path, callbacks=[interrupt])
    assert arrays(tmp_path)["state/.step"] == seen[-1] < 150
    po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path, resume=True)
    assert_equal_bits(arrays(whole), arrays(tmp_path))


PROBLEM = '''
import pinops as po

@po.register("killed")
class Killed(po.Problem):
    """u_t = -u, u(0) = 1."""

    domain = po.Box(t=(0, 1))

    def residual(self, u, u_t):
        return u_t + u

    def conditions(self):
        return (po.Initial(1.0),)
'''


def start(folder: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "pinops",
        "solve",
        "killed",
        "--problems",
        str(folder),
        "--out",
        str(out),
        *more,
    ]
    command += "--network MLP(8,2) --steps 1200 --checkpoint-seconds 0 --json".split()
    environment = {
        **os.environ,
        "PINOPS_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(Path(po.__file__).parents[1]),
    }
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_an_interrupt_is_noticed_after_the_stretch(whole, tmp_path):
    """Wherever in a stretch the signal comes; the handler is the user's again afterwards."""
    own = signal.getsignal(signal.SIGINT)

    def press(report):
        return os.kill(os.getpid(), signal.SIGINT) if report.step == 60 else None

    with pytest.raises(KeyboardInterrupt):
        po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path / "run", callbacks=[press])
    assert signal.getsignal(signal.SIGINT) is own
    assert int(arrays(tmp_path / "run")["state/.step"]) == 70  # the next one
    po.solve(Decay(), **OPTIONS, optimizer=PHASES, out=tmp_path / "run", resume=True)
    assert_equal_bits(arrays(whole), arrays(tmp_path / "run"))


@pytest.mark.slow
def test_a_run_killed_at_random_times_ends_as_if_it_had_not_been(tmp_path):
    """SIGKILL to a real process of the command, with the default recipe and a checkpoint at every
    chance.
    """
    (tmp_path / "killed.py").write_text(PROBLEM)
    undisturbed = start(tmp_path, tmp_path / "whole")
    _, stderr = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, stderr
    chance, kills, steps = random.Random(2026), 0, []
    out = tmp_path / "often"
    while kills < 3:
        running = start(tmp_path, out, "--resume")
        try:
            assert running.stderr is not None
            running.stderr.readline()  # the first line of progress: training has begun
            time.sleep(chance.uniform(0.0, 0.4))
        finally:
            running.send_signal(signal.SIGKILL)
            running.communicate(timeout=60)
        if running.returncode == 0:  # it was done before
            break
        kills += 1
        steps.append(
            int(arrays(out)["state/.step"])
        )  # whatever was being written, what is there is whole
    assert kills >= 2 and steps == sorted(steps) and steps[0] < 1200, steps
    last = start(tmp_path, out, "--resume")
    _, stderr = last.communicate(timeout=300)
    assert last.returncode == 0, stderr
    assert_equal_bits(arrays(tmp_path / "whole"), arrays(out))
