"""Train an operator on a registered family and test it on unseen members: python scripts/train_operator.py antiderivative."""

import sys
from pathlib import Path

import pinops as po

name = sys.argv[1] if len(sys.argv) > 1 else "antiderivative"
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
folder = Path("runs") / f"{name}-operator"

trained = po.train(
    name, steps=steps, out=folder, resume=True
)  # after an interruption it goes on where it was
trained.plot(folder / "figures" / "solution.png")
for unknown, error in trained.error().items():
    print(
        f"{unknown}: relative L2 error {error['mean']:.1e} on average over unseen members, at worst {error['worst']:.1e}"
    )
print(f"{trained.status} after {trained.history[-1].step} steps; written to {folder}")
