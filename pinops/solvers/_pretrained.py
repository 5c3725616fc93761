"""Trained models that come with pinops."""

from functools import cache
from pathlib import Path

from pinops.settings import OneOf, require
from pinops.solvers._load import load
from pinops.solvers._stored import WEIGHTS
from pinops.solvers._trained_hypernetwork import TrainedHypernetwork

MODELS = ("hypino",)
_FOLDER = Path(__file__).parents[1] / "weights"


def pretrained(name: str = "hypino") -> TrainedHypernetwork:
    """A model that comes with pinops.

    Example:
        >>> solution = po.pretrained()(po.load_problem("poisson_disks"), refine=3)

    Args:
        name: "hypino", a hypernetwork for linear problems of second order on squares with holes.

    Raises:
        ValueError: For a name that there is not.
    """
    require("pretrained", "name", name, OneOf(MODELS))
    return _read(_FOLDER / f"{name}{WEIGHTS}")


@cache
def _read(file: Path) -> TrainedHypernetwork:
    """The model of a file, once."""
    return load(file)
