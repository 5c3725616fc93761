"""What is kept in the user's cache folder: equal problems find it, others do not; and data sets for surrogates."""

import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import Dataset, cached_reference
from pinops.functions import waves

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
        return Reference({"x": x}, {"u": LEVEL * self.strength + 0 * x}, {"u": 1e-9}, "constant", "none")


@po.register("kept_for_tests")
class Kept(Base):
    pass
"""


@pytest.fixture
def level(tmp_path, monkeypatch):
    """The reference of a problem in a file, as ``level(text of the file, **coefficients)``, and the cache it fills."""
    monkeypatch.setenv("PINOPS_CACHE", str(tmp_path / "cache"))
    number = iter(range(10))

    def found(text=SOURCE, compute=True, **coefficients):
        folder = tmp_path / f"problems{next(number)}"
        folder.mkdir()
        (folder / "kept_for_tests.py").write_text(text)
        po.load_folder(folder)
        reference = cached_reference(po.load_problem("kept_for_tests", **coefficients), compute=compute)
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


def test_a_damaged_file_is_computed_around(level):
    assert level() == 1.0
    (file,) = level.files()
    file.write_bytes(file.read_bytes()[:100])
    assert level() == 1.0 and np.all([path.stat().st_size > 100 for path in level.files()])


def test_data_for_surrogates_are_made_from_the_command_line(tmp_path):
    path = tmp_path / "burgers.h5"
    assert cli.run(["data", "cape_burgers", "--out", str(path), "--count", "64", "--workers", "1"]) == 0
    data = Dataset(path)
    rows = data.rows(range(64))
    assert rows["values/u"].shape == (64, 64, 21) and rows["inputs"].shape == (64, 1)
    assert {name: array.shape for name, array in data.coordinates.items()} == {"x": (64, 1), "t": (1, 21)}
    assert rows["error_bar/u"].max() < 1e-6
    np.testing.assert_array_equal(rows["inputs"][:, 0], rows["members/viscosity"])
    for member in range(0, 64, 8):
        start = waves(rows["members/initial"][member], data.coordinates["x"][:, 0])
        np.testing.assert_array_equal(rows["values/u"][member, :, 0], start)
    data.check_family(po.load_problem("cape_burgers"))
    with pytest.raises(ValueError, match="was made with parameters = training, and the family has interpolation"):
        data.check_family(po.load_problem("cape_burgers", parameters="interpolation"))
