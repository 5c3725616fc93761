"""The wheel: built, installed elsewhere, and solving from there."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, **options) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the sources: nothing is left in the repository, and nothing stale taken from it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pinops", "problems"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("elsewhere")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    run(*pip, "--target", target, wheel)
    return target


def test_everything_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (license_,) = (name for name in names if name.endswith("LICENSE"))
        assert ".dist-info/" in license_ and file.read(license_) == (ROOT / "LICENSE").read_bytes()
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "pinops = pinops.cli:main" in file.read(points).decode()
    sources = {
        f"pinops/{path.relative_to(ROOT / 'pinops').as_posix()}"
        for path in (ROOT / "pinops").rglob("*.py")
    }
    sources |= {f"pinops/problems/{path.name}" for path in (ROOT / "problems").glob("*.py")}
    assert "pinops/problems/burgers.py" in sources and sources <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_catalogue_is_found_in_a_clone_that_is_not_installed(source):
    """Python started in a clone imports the package from there, also where another copy is
    installed.
    """
    code = (
        "import sys; sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in "
        "repr(finder)]; "
        "import pinops; print(pinops.__file__); print(*pinops.available()); "
        "print(type(pinops.load_problem('heat')).__name__)"
    )
    file, names, heat = run(sys.executable, "-c", code, cwd=source).splitlines()
    assert Path(file).is_relative_to(source) and "burgers" in names.split() and heat == "Heat"


def test_it_solves_from_where_it_is_installed(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = (
        "import pinops, pinops.problems; print(pinops.__file__); print(pinops.problems.__path__[0])"
    )
    for line in run(sys.executable, "-c", where, cwd=tmp_path, env=environment).splitlines():
        assert Path(line).is_relative_to(installed)
    rows = json.loads(
        run(sys.executable, "-m", "pinops", "problems", "--json", cwd=tmp_path, env=environment)
    )
    assert set(rows) >= {path.stem for path in (ROOT / "problems").glob("*.py")} - {"__init__"}
    command = "solve burgers --network MLP(8,2) --optimizer Adam --steps 5 --out run --json".split()
    result = json.loads(
        run(sys.executable, installed / "bin" / "pinops", *command, cwd=tmp_path, env=environment)
    )
    assert (
        result["problem"] == "burgers" and result["steps"] == 5 and result["relative_l2"]["u"] > 0
    )
    assert (tmp_path / "run" / "figures" / "solution.png").is_file()
