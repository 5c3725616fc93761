"""Solve a registered problem, compare it with its reference, draw it, keep the run.

    python scripts/solve.py burgers [--steps 5000] [--out runs]

After an interruption the same command continues the run.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem", nargs="?", default="burgers")
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="a folder for runs")
    arguments = parser.parse_args()

    import pinops as po

    folder = arguments.out / arguments.problem
    solution = po.solve(arguments.problem, steps=arguments.steps, out=folder, resume=True)
    solution.plot(folder / "figures" / "solution.png")
    for unknown, error in (solution.error() if solution.reference else {}).items():
        size, largest = error["mean"], error["max_abs"]
        print(f"{unknown}: relative L2 error {size:.1e}, largest {largest:.1e}")
    how = f"{solution.status} after {solution.steps} steps, {solution.seconds:.0f} s"
    print(f"{how}; written to {folder}")


if __name__ == "__main__":
    main()
