"""The sdist and the wheel made from it: what they hold, and a wheel that solves elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


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
def built(source, tmp_path_factory) -> Path:
    """The folder with the sdist and the wheel; the wheel is built from the unpacked sdist."""
    beside = ["pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"]
    for name in (*beside, "CITATION.cff"):
        shutil.copy(ROOT / name, source / name)
    (source / "tests").mkdir()
    shutil.copy(__file__, source / "tests")
    out = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source)
    return out


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (wheel,) = built.glob("*.whl")
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
    sources |= {f"pinops/weights/{path.name}" for path in (ROOT / "pinops/weights").iterdir()}
    assert "pinops/problems/burgers.py" in sources and sources <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_sdist_holds_the_sources_and_no_part_of_the_tests(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"pyproject.toml", "LICENSE", "CHANGELOG.md", "CITATION.cff"} <= names
    assert {"pinops/__main__.py", "problems/burgers.py"} <= names
    assert "pinops/weights/hypino.safetensors" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs"))]


def test_the_metadata_are_those_of_pyproject(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(file.read(name).decode())
    assert wheel.name == f"pinops-{PROJECT['version']}-py3-none-any.whl"
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    needed = {need for need in metadata.get_all("Requires-Dist") if "extra ==" not in need}
    assert needed == set(PROJECT["dependencies"])
    assert all(">=" in need for need in needed), "a lowest version is stated for each"


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
