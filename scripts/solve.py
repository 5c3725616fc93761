"""Solve a registered problem, compare it with its reference, draw it, keep the run: python scripts/solve.py burgers."""

import sys
from pathlib import Path

import pinops as po

name = sys.argv[1] if len(sys.argv) > 1 else "burgers"
folder = Path("runs") / name

solution = po.solve(
    name, out=folder, resume=True
)  # run it again after an interruption: it goes on where it was
solution.plot(folder / "figures" / "solution.png")
for unknown, error in (solution.error() if solution.reference else {}).items():
    print(
        f"{unknown}: relative L2 error {error['relative_l2']:.1e}, largest {error['max_abs']:.1e}"
    )
print(
    f"{solution.status} after {solution.steps} steps, {solution.seconds:.0f} s; written to {folder}"
)
