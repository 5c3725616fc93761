"""What is kept in the user's cache folder: equal problems find it, others do not."""

import numpy as np
import pytest

import pinops as po
from pinops.data import cached_reference

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
