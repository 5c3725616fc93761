"""CAPE-FNO for Burgers' equation at the published size, from PDEBench's files: a recipe for a GPU.

    python scripts/train_cape_full_size.py 1D_Burgers_Sols_Nu0.002.hdf5 1D_Burgers_Sols_Nu0.02.hdf5
    ... [--out runs/cape]

128 grid points, 41 time steps, 100 epochs of which 3 warm up, batches of 50, as published
(Takamoto, Alesiani & Niepert 2023); about 2e15 floating-point operations for 45 000 trajectories:
estimated as an hour on a GPU, days on two cores. Interrupted, the same command goes on.
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--trajectories", type=int, default=63_000, help="of all files together")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--cells", type=int, default=128, help="grid points that are kept")
    parser.add_argument("--frames", type=int, default=41, help="time steps that are kept")
    parser.add_argument("--out", type=Path, default=Path("runs/cape_full_size"))
    arguments = parser.parse_args()

    import optax

    import pinops as po
    from pinops.data import Dataset, from_pdebench

    family = po.load_problem("cape_burgers", cells=arguments.cells, frames=arguments.frames)
    path = arguments.out.with_suffix(".h5")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        data = Dataset.open(path)
    else:
        data = from_pdebench(family, arguments.files, path, count=arguments.trajectories)

    batch, epochs = 50, arguments.epochs
    steps = -(-len(data.splits["training"]) // batch)
    halved = optax.exponential_decay(3e-3, 20 * steps, 0.5, staircase=True)
    fno = po.operators.FNO(20, 12, padding=2 / arguments.cells)  # two points
    trained = po.train(
        family,
        po.operators.CAPE(fno, 64, 5, 16, norm="spatial", padding="zeros"),
        curriculum=po.Curriculum(epochs, min(3, epochs - 1)),
        functions=po.Functions(batch=batch),
        data=data,
        optimizer=optax.chain(
            optax.add_decayed_weights(1e-4),
            optax.scale_by_adam(),
            optax.scale_by_learning_rate(halved),
        ),
        out=arguments.out,
        resume=(arguments.out / "run.json").exists(),
    )
    for label, found in trained.metrics(data).items():
        print(f"{label:24s} nRMSE {found['nrmse']:.3e}")


if __name__ == "__main__":
    main()
