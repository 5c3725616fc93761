"""Pictures of the problems, drawn from their references when the site is built."""

from pathlib import Path

import jax

import pinops
from pinops.plotting import plot_reference

FOLDER = "generated/pictures"
MEMBER = 0  # the random key of the member of a family that is shown
_DOTS, _SHOWN = 150, 88  # for each inch: in the file, and in the page


def write(source: Path) -> dict[str, int]:
    """Draw what is not there, or older than the code that draws it.

    References that take seconds are kept in the user's cache.

    Returns:
        The width of each picture in the page, in pixels, by the name of its problem.
    """
    from PIL import Image

    folder = source / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    package, catalogue = Path(pinops.__file__).parent, source.parent / "problems"
    widths = {}
    for name in pinops.available():
        path = folder / f"{name}.png"
        code = [*(package / "plotting").glob("*.py"), *(package / "reference").glob("*.py")]
        newest = max(file.stat().st_mtime for file in [*code, catalogue / f"{name}.py"])
        if not path.exists() or path.stat().st_mtime < newest:
            plot_reference(_shown(pinops.load_problem(name)), path)
        with Image.open(path) as image:
            widths[name] = image.width * _SHOWN // _DOTS
    return widths


def _shown(problem: pinops.Problem) -> pinops.Problem:
    """The problem, or a member of the family."""
    if problem.sample is None:
        return problem
    with jax.enable_x64(True):
        return problem.sample(jax.random.key(MEMBER))
