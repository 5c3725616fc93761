"""The programs of ``docs/newcomer.md``: short, and right as they stand there, with fewer steps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "newcomer.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
MAX_LINES = 15
STEPS = 300
OF_ENSEMBLE = 100


def quick(name: str, source: str) -> str:
    """The program with enough steps to see that it is on the way; a coefficient takes them all."""
    if name == "find.py":
        return source
    return re.sub(r"steps=\d+", f"steps={OF_ENSEMBLE if name == 'train.py' else STEPS}", source)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a newcomer: the programs, and measured values of a diffusivity of 0.1."""
    folder = tmp_path_factory.mktemp("newcomer")
    for name, source in PROGRAMS.items():
        (folder / name).write_text(quick(name, source))
    x, t = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 6)))
    u = np.exp(-(0.1 * np.pi**2 + 1) * t) * np.sin(np.pi * x)
    table = np.stack([x, t, u], -1)
    np.savetxt(folder / "measured.csv", table, delimiter=",", header="x,t,u", comments="")
    return folder


def run(folder: Path, name: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, name],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,  # a busy machine
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def solved(folder) -> str:
    return run(folder, "cooling.py")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_short(name):
    lines = [line for line in PROGRAMS[name].splitlines() if line.strip()]
    assert len(lines) <= MAX_LINES and max(map(len, lines)) <= 100


def test_a_pde_of_ones_own(folder, solved):
    assert solved.startswith(f"Solution(cooling, diffusivity = 0.1, finished after {STEPS} steps")


def test_a_coefficient_from_a_table(folder):
    name, value = re.findall(r"'(\w+)': ([\d.]+)", run(folder, "find.py"))[0]
    assert name == "diffusivity" and float(value) == pytest.approx(0.1, rel=0.05)


def test_an_ensemble_of_a_family_in_another_process(folder):
    assert run(folder, "train.py").startswith("Ensemble(rods")
    mean, spread = (
        np.array(line.strip("[]").split(), float) for line in run(folder, "load.py").splitlines()
    )
    truth = 1.5 * np.exp(-0.1 * np.pi**2 * 0.5) * np.sin(np.pi * np.array([0.25, 0.5]))
    assert mean == pytest.approx(truth, rel=0.5) and (spread >= 0).all()


def test_a_residual_and_derivatives(folder, solved):
    size = float(re.findall(r"[\d.e-]+(?=\D*$)", run(folder, "residual.py"))[0])
    assert 0 < size < 1
    partial, slope, both = run(folder, "differentiate.py").splitlines()
    along_x = float(both.strip("[]").split()[0])
    exact = np.pi * np.cos(np.pi * 0.3) * np.exp(-(0.1 * np.pi**2 + 1) * 0.5)
    assert float(partial) == pytest.approx(exact, rel=0.1)
    assert float(slope) == pytest.approx(float(partial), rel=1e-4)
    assert along_x == pytest.approx(float(partial), rel=1e-4)
