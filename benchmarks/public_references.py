"""Public reference files against solutions of our own: how far are the files off?

    python benchmarks/public_references.py [--data FOLDER] [--cases "HyPINO, PS-L" ...]

Files: Burgers' equation of DeepXDE, the Poisson equation with four holes of PINNacle, and four
problems of HyPINO (the arrays of its repository). Ours are closed forms, Cole-Hopf quadrature and
finite elements, each with an error bar: that of finite elements is the difference of two meshes.
Relative L2 differences count the points that are inside of the domain by its definition.

``--data`` is the folder with ``burgers``, ``pinnacle`` and ``hypino``.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _record
import numpy as np

FOLDER = Path(__file__).parents[2] / "shared" / "refdata"
PAGE = _record.ROOT / "docs" / "guide" / "accuracy.md"
MARKS = ("<!-- files: benchmarks/public_references.py --markdown -->", "<!-- end of files -->")
Pair = tuple[np.ndarray, np.ndarray, float]  # the file's values, ours, and our error bar
ROUND_OFF = 1e-15


def burgers(folder: Path) -> Pair:
    """u_t + u u_x = 0.01 / π u_xx, u(x, 0) = -sin πx."""
    from pinops.reference import cole_hopf

    file = np.load(folder / "burgers" / "deepxde_burgers.npz")
    ours = cole_hopf(file["x"].ravel(), file["t"].ravel(), 0.01 / np.pi)
    return file["usol"], ours.values["u"], ours.error_bar["u"]


def four_holes(folder: Path) -> Pair:
    """Δu = 0 on (-1/2, 1/2)², u = 1 on the square, 0 on four circles."""
    from pinops.reference import poisson_disks

    x, y, u = np.loadtxt(folder / "pinnacle" / "poisson_classic.dat", comments="%").T
    holes = [(sign * 0.3, other * 0.3) for sign in (-1, 1) for other in (-1, 1)]
    ours = poisson_disks(x, y, half_width=0.5, centers=holes, radius=0.1, outer=1.0, inner=0.0)
    return u, np.diagonal(ours.values["u"]), ours.error_bar["u"]


def hypino(name: str, exact: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Any:
    """A file of HyPINO on (-1, 1)², whose first row is y = 1, against a closed form."""

    def pair(folder: Path) -> Pair:
        values, x, y = _square(folder, name)
        return values, exact(x, y), ROUND_OFF

    return pair


def _square(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.load(folder / "hypino" / name / "reference_solution.npy").astype(float)
    line = np.linspace(-1, 1, len(values))
    x, y = np.meshgrid(line, line[::-1])
    return values, x, y


def heat(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """u_t = 0.1 u_xx on the unit square, stretched to (-1, 1)²."""
    return np.exp(-0.1 * np.pi**2 * (y + 1) / 2) * np.sin(np.pi * (x + 1) / 2)


def helmholtz(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Δu + u = f with this solution."""
    return np.sin(np.pi * x) * np.sin(4 * np.pi * y)


def wave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """u_tt = 4 u_xx on the unit square, stretched likewise."""
    x, t = (x + 1) / 2, (y + 1) / 2
    slow = np.sin(np.pi * x) * np.cos(2 * np.pi * t)
    return slow + 0.5 * np.sin(4 * np.pi * x) * np.cos(8 * np.pi * t)


def l_shape(folder: Path) -> Pair:
    """-Δu = 1 on (-1, 1)² without its upper right quarter, u = 0."""
    values, x, y = _square(folder, "poisson_L")
    inside = ((x < 0) | (y < 0)) & (np.abs(x) < 1) & (np.abs(y) < 1)
    at = np.stack([x[inside], y[inside]], -1)
    coarse, fine = (_on_the_l(at, size) for size in (0.04, 0.02))
    return values[inside], fine, _relative(coarse, fine)


def _on_the_l(at: np.ndarray, size: float) -> np.ndarray:
    from pinops.geometry import triangulated
    from pinops.reference import poisson_on_mesh

    corners = np.array([[-1, -1], [1, -1], [1, 0], [0, 0], [0, 1], [-1, 1]], float)
    mesh = triangulated([corners], size)
    assert mesh.cells is not None

    def constant(value: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.full(np.shape(x), value)

        return of

    def everywhere(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.ones(np.shape(x), bool)

    found = poisson_on_mesh(
        mesh.points, mesh.cells, source=constant(1.0), given=constant(0.0), where=everywhere
    )
    return mesh.interpolated(found["u"][:, None], at)[:, 0]


CASES: dict[str, Callable[[Path], Pair]] = {
    "DeepXDE, Burgers": burgers,
    "PINNacle, Poisson 2d-C": four_holes,
    "HyPINO, HT": hypino("heat", heat),
    "HyPINO, HZ": hypino("helmholtz", helmholtz),
    "HyPINO, WV": hypino("wave", wave),
    "HyPINO, PS-L": l_shape,
}


def _relative(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(values - truth) / np.linalg.norm(truth))


def row_of(case: str, folder: Path) -> dict[str, Any]:
    """How far a file is off."""
    began = time.perf_counter()
    values, ours, bar = CASES[case](folder)
    known = np.isfinite(values) & np.isfinite(ours)
    values, ours = values[known], ours[known]
    return {
        "difference": _relative(values, ours),
        "largest": float(np.abs(values - ours).max()),
        "largest_value": [float(values.max()), float(ours.max())],
        "error_bar": bar,
        "points": int(known.sum()),
        "process_seconds": round(time.perf_counter() - began, 4),
    }


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the page."""
    lines = [
        "| file | relative L2 difference | largest difference | our error bar |",
        "|---|---|---|---|",
    ]
    for case, entry in cases.items():
        (row,) = entry["runs"]
        numbers = (row["difference"], row["largest"], row["error_bar"])
        lines.append(f"| {case} | " + " | ".join(f"{number:.1e}" for number in numbers) + " |")
    return lines


def tiny(folder: Path) -> None:
    """A Burgers file of three points, for a smoke test without the public ones."""
    from pinops.reference import cole_hopf

    x, t = np.array([-0.5, 0.1, 0.5]), np.array([0.0, 0.5])
    ours = cole_hopf(x, t, 0.01 / np.pi)
    (folder / "burgers").mkdir()
    path = folder / "burgers" / "deepxde_burgers.npz"
    np.savez(path, x=x[:, None], t=t[:, None], usol=ours.values["u"])


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=())
    options.add_argument("--data", type=Path, default=FOLDER, metavar="FOLDER")
    _record.add_markdown(options, PAGE)
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.markdown:
        _record.into_page(table(record.cases()), MARKS, asked.markdown)
        return
    with tempfile.TemporaryDirectory() as made:
        cases, folder = asked.cases, asked.data
        if asked.smoke:
            cases, folder = ["DeepXDE, Burgers"], Path(made)
            tiny(folder)
        for case in cases:
            row = row_of(case, folder)
            record.add(case, 0, row)
            print(f"{case:24s} {row['difference']:.1e}", flush=True)


if __name__ == "__main__":
    main()
