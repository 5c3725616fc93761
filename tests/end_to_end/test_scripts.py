"""Benchmarks and scripts answer, run a tiny case, and the pages have what is recorded."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import pdebench_burgers

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py") if not path.stem.startswith("peer")
)
# What a smoke test needs besides; --step measures instead of training.
SMOKE = {
    "cape": ["--data", "{folder}"],
    "cape --step": [],
    "darcy_map": [],
    "darcy_map --cases family_both": [],
    "own_arrays": [],
    "catalogue": ["--cases", "poisson"],
    "chunks": [],
    "curved_walls": [],
    "decomposition": [],
    "design_choices": ["--cases", "burgers, unweighted adaptive points"],
    "discovery": [],
    "gpu": ["--cases", "poisson, float32", "--rounds", "1"],
    "horizons": [],
    "hypino": [],
    "interfaces": [],
    "meshes": [],
    "hypino_tuning": [],
    "integrals": [],
    "mmgp": [],
    "multi_task": [],
    "multifidelity": ["--cases", "burgers, residual"],
    "operators": [],
    "operators --step": [],
    "pig": ["--cases", "klein_gordon"],
    "pig --step": [],
    "pinnacle": [],
    "prose": [],
    "public_references": [],
    "rollouts": [],
    "scales": [],
    "singularities": [],
    "small_parts": [],
    "step_cost": [],
    "streaming": [],
    "time_to_accuracy": ["--cases", "klein_gordon"],
    "uncertainty": [],
    "uncertainty --cases coverage": [],
    "uncertainty --cases inverse": [],
}

# Tables outside of docs/benchmarks.md.
PAGES = {
    "_summary": ("README.md", "docs/guide/operators.md"),
    "curved_walls": ("docs/guide/geometry.md",),
    "public_references": ("docs/guide/accuracy.md",),
    "decomposition": ("docs/guide/decomposition.md",),
    "horizons": ("docs/guide/horizons.md",),
    "hypino": ("docs/guide/hypino.md",),
    "hypino_tuning": ("docs/guide/hypino.md",),
    "integrals": ("docs/guide/integrals.md",),
    "interfaces": ("docs/guide/interfaces.md",),
    "mmgp": ("docs/guide/mmgp.md",),
    "pinnacle": ("docs/guide/hard.md",),
    "prose": ("docs/guide/prose.md",),
    "rollouts": ("docs/guide/steppers.md",),
    "scales": ("docs/scales.md",),
    "singularities": ("docs/guide/singularities.md",),
    "small_parts": ("docs/guide/operators.md",),
    "discovery": ("docs/guide/discovery.md",),
    "multifidelity": ("docs/guide/multifidelity.md",),
    "uncertainty": ("docs/guide/uncertainty.md",),
    "darcy_map": ("docs/benchmarks.md", "docs/guide/physics.md"),
}


def python(*command: object, seconds: float = 120) -> str:
    """What a Python process prints; the test fails with its errors where it does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_says_what_it_does_at_once(name):
    """Without importing JAX."""
    path = ROOT / "benchmarks" / f"{name}.py"
    shown = python("-X", "importtime", path, "--help", seconds=20)
    assert shown.startswith("usage:") and "--smoke" in shown
    source = f"import sys, runpy; sys.path.insert(0, {str(path.parent)!r}); "
    source += f"runpy.run_path({str(path)!r}); print('jax' in sys.modules)"
    assert python("-c", source).splitlines()[-1] == "False"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in ("_summary", *BENCHMARKS)
        if "--markdown" in (ROOT / f"benchmarks/{name}.py").read_text()
    ],
)
def test_the_pages_have_what_is_recorded(name, tmp_path):
    """Every table of the README and of the pages is what its benchmark writes from its results."""
    copy = tmp_path / "page.md"
    for page in PAGES.get(name, ("docs/benchmarks.md",)):
        copy.write_text((ROOT / page).read_text())
        python(ROOT / f"benchmarks/{name}.py", "--markdown", copy)
        assert copy.read_text() == (ROOT / page).read_text()


@pytest.mark.parametrize("name", SMOKE)
def test_a_benchmark_records_a_tiny_case(name, tmp_path):
    script, *step = name.split()
    more = [word.format(folder=tmp_path) for word in SMOKE[name]]
    before = {path: path.read_bytes() for path in (ROOT / "benchmarks/results").iterdir()}
    record = tmp_path / "record.json"
    python(ROOT / f"benchmarks/{script}.py", *step, "--smoke", record, *more, seconds=300)
    recorded = json.loads(record.read_text())
    rows = [row for entry in recorded["cases"].values() for row in entry["runs"]]
    for row in rows:
        assert "failed" not in row and row["process_seconds"] > 0, row
    for found in [recorded["step"]] if "step" in recorded else rows:
        assert {"machine", "versions", "commit"} <= found.keys()
    assert before == {path: path.read_bytes() for path in (ROOT / "benchmarks/results").iterdir()}


def test_a_benchmark_of_transfer_goes_on_from_one_of_operators(tmp_path):
    options = ["--cases", "darcy_family", "--keep", tmp_path, "--smoke"]
    python(ROOT / "benchmarks/operators.py", *options, tmp_path / "operators.json", seconds=300)
    command = [ROOT / "benchmarks/transfer.py", tmp_path, "--smoke", tmp_path / "transfer.json"]
    python(*command, seconds=300)
    (entry,) = json.loads((tmp_path / "transfer.json").read_text())["cases"].values()
    (row,) = entry["runs"]
    assert {"as it was", "all layers", "some layers", "fresh"} <= row.keys(), row


def test_every_benchmark_is_run_here():
    assert {name.split()[0] for name in SMOKE} | {"transfer"} == set(BENCHMARKS)


def test_rows_are_merged_by_case_and_seed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from _record import Record, met

    record = Record(tmp_path / "record.json")
    limits = {"target": 1e-3, "seconds": 10.0}
    for seed, error in ((1, 2e-3), (0, 1e-4), (1, 5e-4)):
        row = {"relative_l2": {"u": error}, "process_seconds": 3.0}
        record.add("one", seed, row, **limits)
        assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    record.add("two", 0, {"process_seconds": 1.0, "failed": ["no"]}, **limits)
    record.section("step", ms={"pinops": 1.0})
    cases = record.cases()
    assert [(run["seed"], run["relative_l2"]["u"]) for run in cases["one"]["runs"]] == [
        (0, 1e-4),
        (1, 5e-4),
    ]
    assert met(cases["one"]) and not met(cases["two"])
    assert record.read()["step"]["versions"]["jax"]


def test_a_process_that_fails_is_a_row_that_says_so(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from _record import fresh, solved

    ok = fresh([sys.executable, "-c", "import json; print('x'); print(json.dumps({'a': 1}))"])
    assert ok == {"process_seconds": ok["process_seconds"], "a": 1}
    bad = fresh([sys.executable, "-c", "raise ValueError('no')"])
    assert bad["failed"] == ["ValueError: no"]
    assert re.search("no problem", solved("no_such_problem", 0, [], cold=False)["failed"][0])


# Scripts


def test_the_script_that_solves(tmp_path):
    shown = python(ROOT / "scripts/solve.py", "poisson", "--steps", 3, "--out", tmp_path)
    assert "relative L2 error" in shown
    assert (tmp_path / "poisson" / "figures" / "solution.png").stat().st_size > 0


def test_the_script_that_trains_an_operator(tmp_path):
    options = ["antiderivative", "--steps", 2, "--out", tmp_path]
    assert "relative L2 error" in python(ROOT / "scripts/train_operator.py", *options)


def test_the_script_that_trains_a_surrogate_at_full_size(tmp_path):
    files = [pdebench_burgers(tmp_path, viscosity, 60, 128, 11) for viscosity in (0.002, 0.02)]
    options = ["--trajectories", 120, "--epochs", 2, "--cells", 128, "--frames", 6]
    shown = python(
        ROOT / "scripts/train_cape_full_size.py", *files, *options, "--out", tmp_path / "run"
    )
    assert "nRMSE" in shown


def test_the_script_that_draws_the_figure_of_the_readme(tmp_path):
    picture = tmp_path / "burgers.webp"
    assert "Solution(burgers" in python(
        ROOT / "scripts/readme_figure.py", "--steps", 3, "--out", picture
    )
    assert 0 < picture.stat().st_size < 200_000
