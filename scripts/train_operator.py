"""Train an operator on a registered family and test it on unseen members.

    python scripts/train_operator.py antiderivative [--steps 10000] [--out runs]

After an interruption the same command continues the run.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", nargs="?", default="antiderivative")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="a folder for runs")
    arguments = parser.parse_args()

    import pinops as po

    folder = arguments.out / f"{arguments.family}-operator"
    trained = po.train(arguments.family, steps=arguments.steps, out=folder, resume=True)
    trained.plot(folder / "figures" / "solution.png")
    for unknown, error in trained.error().items():
        mean, worst = error["mean"], error["worst"]
        print(f"{unknown}: relative L2 error of unseen members {mean:.1e}, at worst {worst:.1e}")
    print(f"{trained.status} after {trained.history[-1].step} steps; written to {folder}")


if __name__ == "__main__":
    main()
