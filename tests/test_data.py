"""What is kept in the user's cache folder: equal problems find it, others do not; and data sets for
surrogates.
"""

import os
import platform
import subprocess
import sys
from typing import Any

import h5py
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import (
    DataFileError,
    Dataset,
    cached_reference,
    check_data,
    from_pdebench,
    write_arrays,
)
from pinops.functions import waves
from pinops.reference import Reference

SOURCE = """
import numpy as np
import pinops as po
from pinops.reference import Reference

LEVEL = 1.0


class Base(po.Problem):
    domain = po.Box(x=(0, 1))
    strength: float = 1.0

    def residual(self, u_x):
        return u_x

    def reference(self):
        x = np.linspace(0, 1, 5)
        values = {"u": LEVEL * self.strength + 0 * x}
        return Reference({"x": x}, values, {"u": 1e-9}, "constant", "none")


@po.register("kept_for_tests")
class Kept(Base):
    pass
"""

CAPTURED: dict[str, Any] = {"check": True, "capture_output": True, "text": True}


@pytest.fixture
def level(tmp_path, monkeypatch):
    """The reference of a problem in a file, as ``level(text of the file, **coefficients)``, and the
    cache it fills.
    """
    monkeypatch.setenv("PINOPS_CACHE", str(tmp_path / "cache"))
    number = iter(range(10))

    def found(text=SOURCE, compute=True, **coefficients):
        folder = tmp_path / f"problems{next(number)}"
        folder.mkdir()
        (folder / "kept_for_tests.py").write_text(text)
        po.load_folder(folder)
        reference = cached_reference(
            po.load_problem("kept_for_tests", **coefficients), compute=compute
        )
        return None if reference is None else float(reference.values["u"][0])

    found.files = lambda: list((tmp_path / "cache" / "references").glob("*.h5"))
    return found


def test_a_reference_is_computed_once_for_equal_problems(level):
    assert level(compute=False) is None
    assert level() == 1.0 and len(level.files()) == 1
    assert level(compute=False) == 1.0
    assert level(strength=3.0) == 3.0 and len(level.files()) == 2


def test_anything_in_the_file_of_a_problem_makes_a_new_reference(level):
    """Its base class and the constants of its module, too."""
    assert level() == 1.0
    assert level(SOURCE.replace("LEVEL = 1.0", "LEVEL = 2.0")) == 2.0
    assert level(SOURCE.replace("LEVEL * self.strength", "7 * self.strength")) == 7.0


def test_classes_that_a_function_makes_have_references_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv("PINOPS_CACHE", str(tmp_path))

    def until(end):
        class Short(po.Problem):
            domain = po.Box(t=(0, end))

            def residual(self, u_t):
                return u_t

            def conditions(self):
                return (po.Initial(1.0),)

            def reference(self):
                t = np.linspace(0, end, 3)
                return Reference({"t": t}, {"u": np.ones(3)}, {"u": 1e-9}, "constant", "none")

        return cached_reference(Short()).coordinates["t"].max()

    assert (until(1.0), until(2.0), until(1.0)) == (1.0, 2.0, 1.0)


def test_a_damaged_file_is_computed_around(level):
    assert level() == 1.0
    (file,) = level.files()
    file.write_bytes(file.read_bytes()[:100])
    assert level() == 1.0 and np.all([path.stat().st_size > 100 for path in level.files()])


@pytest.mark.slow
def test_data_for_surrogates_are_made_from_the_command_line(tmp_path):
    path = tmp_path / "burgers.h5"
    assert (
        cli.run(["data", "cape_burgers", "--out", str(path), "--count", "64", "--workers", "1"])
        == 0
    )
    data = Dataset.open(path)
    rows = data.rows(range(64))
    assert rows["values/u"].shape == (64, 64, 21) and rows["inputs/viscosity"].shape == (64,)
    assert {name: array.shape for name, array in data.coordinates.items()} == {
        "x": (64, 1),
        "t": (1, 21),
    }
    assert rows["error_bar/u"].max() < 1e-6
    np.testing.assert_array_equal(rows["inputs/viscosity"], rows["members/viscosity"])
    for member in range(0, 64, 8):
        start = waves(rows["members/initial"][member], data.coordinates["x"][:, 0])
        np.testing.assert_array_equal(rows["values/u"][member, :, 0], start)
    check_data(data, po.load_problem("cape_burgers"))
    with pytest.raises(
        ValueError, match="was made with parameters = training, and the family has interpolation"
    ):
        check_data(data, po.load_problem("cape_burgers", parameters="interpolation"))


# -- PDEBench ------------------------------------------------------------------------------------


def pdebench_file(folder, number, count=40, places=32, times=11):
    path = folder / f"1D_Advection_Sols_beta{number}.hdf5"
    x, t = (np.arange(places) + 0.5) / places, np.linspace(0, 2, times + 1)
    rows = np.arange(count)[:, None, None]
    with h5py.File(path, "w") as file:
        file["tensor"] = np.sin(2 * np.pi * (x - number * t[:-1, None]) + rows).astype(np.float32)
        file["x-coordinate"], file["t-coordinate"] = x, t
    return path


def test_files_of_pdebench_are_thinned_and_taken_in_turn(tmp_path):
    family = po.load_problem("cape_advection", cells=16, frames=6)
    files = [pdebench_file(tmp_path, number) for number in (0.1, 4.0)]
    made = from_pdebench(family, files, tmp_path / "made.h5", count=70)
    check_data(made, family)
    rows = made.rows(range(70))
    np.testing.assert_array_equal(rows["inputs/speed"][:4], [0.1, 4.0, 0.1, 4.0])
    x, t = made.coordinates["x"], made.coordinates["t"]
    assert x.shape == (16, 1) and t.shape == (1, 6)
    np.testing.assert_allclose(
        rows["values/u"][5], np.sin(2 * np.pi * (x - 4.0 * t) + 2), atol=1e-5
    )


def test_a_file_that_is_not_as_pdebench_has_it_is_a_sentence(tmp_path):
    family = po.load_problem("cape_advection", cells=16, frames=6)
    good = pdebench_file(tmp_path, 0.4)

    def make(*files, family=family, **options):
        return from_pdebench(family, files, tmp_path / "made.h5", count=4, **options)

    with pytest.raises(
        ValueError, match="for cape_advection and cape_burgers, not for burgers_family"
    ):
        make(good, family=po.load_problem("burgers_family"))
    with pytest.raises(
        ValueError, match="for cape_advection and cape_burgers, not for cape_burgers_2d"
    ):
        make(good, family=po.load_problem("cape_burgers_2d"))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        make(tmp_path / "1D_Advection_Sols_beta9.hdf5")
    with pytest.raises(ValueError, match="cells and 6 frames are no regular part"):
        make(good, family=po.load_problem("cape_advection", cells=24, frames=6))
    nameless = tmp_path / "waves.hdf5"
    nameless.write_bytes(good.read_bytes())
    with pytest.raises(ValueError, match="neither its attributes nor its name tell a parameter"):
        make(nameless)
    torn = tmp_path / "1D_Advection_Sols_beta0.7.hdf5"
    torn.write_bytes(good.read_bytes()[:900])
    with pytest.raises(DataFileError, match="no one-dimensional file of PDEBench"):
        make(torn)
    with h5py.File(good, "r+") as file:
        file["tensor"][1, 4, 2] = np.nan
    with pytest.raises(DataFileError, match="trajectory 1 has values that are not finite"):
        make(good)
    with h5py.File(good, "r+") as file:
        del file["tensor"]
    with pytest.raises(DataFileError, match="which has tensor, x-coordinate and t-coordinate"):
        make(good)


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    """Those of the same file and machine only, and of no process that still runs."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], **CAPTURED)
    here, dead = platform.node(), int(gone.stdout)
    kept = [f".a.h5.{os.getpid()}@{here}.x.part", f".a.h5.{dead}@elsewhere.x.part"]
    kept += [f".b.h5.{dead}@{here}.x.part", ".a.h5.part"]
    for name in (*kept, f".a.h5.{dead}@{here}.x.part"):
        (tmp_path / name).write_bytes(b"half")
    write_arrays(tmp_path / "a.h5", "test", {"x": np.arange(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "a.h5"])
