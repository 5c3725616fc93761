"""``pinops train``: an operator or a surrogate for a family of problems."""

import argparse
from pathlib import Path

import pinops
from pinops.cli._arguments import Usage, add_run, add_set, number, path, run_options, whole
from pinops.cli._devices import sharing, use_devices
from pinops.cli._folders import loaded, trained
from pinops.cli._objects import add_objects, logs, written
from pinops.operators import MMGP, SurrogateArchitecture, Uncertain
from pinops.problem import check_family
from pinops.solvers import Trained

USAGE = "pinops train [NAME] [options]"
ABOUT = "Train an operator or a surrogate on a family of problems."
TEXT = """\
Train an operator or a map on a grid on a family of problems, on its equation, on
data or on both; or a surrogate of time steps on data. Without NAME the data are of
no family. Errors are those of unseen members."""
EXAMPLES = """\
pinops train burgers_family --operator 'DeepONet(latent=64)' --minutes 10
pinops train cape_burgers --data burgers.h5 --operator 'CAPE(FNO(20, 12), width=64)'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="the family; pinops problems lists them. A+B is a mixture of two. Without NAME: data "
        "alone, --data FILE",
    )
    add_set(parser, "coefficients of the family, such as viscosity=0.01")
    parser.add_argument(
        "--data", type=path, metavar="FILE", help="solutions, a file made by pinops data"
    )
    parser.add_argument(
        "--physics",
        type=number,
        metavar="WEIGHT",
        help="weight of the equation in the loss (default: 1 without data, 0 with data)",
    )
    parser.add_argument(
        "--epochs",
        type=whole,
        metavar="N",
        help="passes through the samples for training, instead of --steps",
    )
    parser.add_argument(
        "--compute-dtype",
        metavar="DTYPE",
        help="bfloat16: inside of networks that are trained on data (default: as --dtype)",
    )
    add_objects(parser, "operator", "functions", "curriculum", "optimizer", "weighting", "log")
    add_run(parser, dtype="float32", checkpoint_seconds=30.0)


def run(options: argparse.Namespace) -> int:
    """Train; returns the exit code."""
    use_devices(options.devices)
    if options.name is not None:
        what: pinops.Problem | pinops.Dataset = loaded(options)
        check_family(what)
        data = options.data
    elif options.data is not None:
        for option, given in (("--set", options.set), ("--problems", options.problems)):
            if given:
                raise Usage(f"{option} is for a family; give its NAME too, or leave {option} out")
        what, data = pinops.Dataset.open(options.data), None
    else:
        raise Usage("give the name of a family, or --data FILE for data alone")
    names = ("functions", "curriculum", "optimizer", "weighting")
    objects = {name: written(name, getattr(options, name)) for name in names}
    architecture = written("operator", options.operator)
    several = options.ensemble is not None or isinstance(architecture, Uncertain)
    kind = architecture.architecture if isinstance(architecture, Uncertain) else architecture
    steps_on_grid = isinstance(kind, SurrogateArchitecture)
    if steps_on_grid and options.data is None:
        raise Usage(
            f"a surrogate is trained on data: make them with pinops data {options.name} --out FILE,"
            " and give --data FILE"
        )
    devices = options.devices
    alone = steps_on_grid or isinstance(architecture, MMGP)
    if devices is None and not alone and not several:
        devices = sharing((objects["functions"] or pinops.Functions()).batch)

    def train(out: Path) -> Trained:
        return pinops.train(
            what,
            architecture,
            **objects,
            data=data,
            physics=options.physics,
            epochs=options.epochs,
            compute_dtype=options.compute_dtype,
            devices=devices,
            out=out,
            callbacks=logs(options),
            **run_options(options),
        )

    drawn = options.data if steps_on_grid or options.name is None else None
    return trained(options, train, drawn)
