"""``pinops solve``: one PDE, compared with its reference."""

import argparse
from pathlib import Path

import pinops
from pinops.cli._arguments import add_run, add_set, number, run_options, whole
from pinops.cli._devices import sharing, use_devices
from pinops.cli._folders import loaded, trained
from pinops.cli._objects import add_objects, continuation, written
from pinops.solvers import Trained

USAGE = "pinops solve NAME [options]"
ABOUT = "Solve a registered PDE and compare it with its reference."
TEXT = """\
Solve a registered PDE and compare it with its reference. Writes a run directory
with the result, its history and a figure."""
EXAMPLES = """\
pinops solve burgers --set viscosity=0.01 --minutes 1
pinops solve heat --network 'MLP(width=20, depth=2)' --optimizer 'SOAP(0.003)'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", metavar="NAME", help="the problem; pinops problems lists them")
    add_set(parser, "coefficients, such as viscosity=0.01")
    parser.add_argument(
        "--continuation",
        nargs="*",
        action="extend",
        default=[],
        metavar="NAME=V,V",
        help="values of a coefficient in the first stages, such as reynolds=100,400",
    )
    parser.add_argument(
        "--stage-steps",
        type=whole,
        default=500,
        metavar="N",
        help="steps of each stage of a continuation (default: 500)",
    )
    parser.add_argument(
        "--target", type=number, metavar="ERROR", help="stop at this relative L2 error"
    )
    add_objects(parser, "network", "optimizer", "points", "sampler", "weighting", "windows")
    add_run(parser, dtype="float64", checkpoint_seconds=10.0)


def run(options: argparse.Namespace) -> int:
    """Solve; returns the exit code."""
    use_devices(options.devices)
    problem = loaded(options)
    names = ("network", "optimizer", "points", "sampler", "weighting", "windows")
    objects = {name: written(name, getattr(options, name)) for name in names}
    stages = continuation(options.continuation, options.stage_steps)
    devices = options.devices
    if devices is None and options.optimizer is None and options.ensemble is None:
        points = objects["points"] or pinops.Collocation()
        devices = None if points.stochastic else sharing(points.interior)

    def train(out: Path) -> Trained:
        return pinops.solve(
            problem,
            **objects,
            continuation=stages,
            target=options.target,
            devices=devices,
            out=out,
            **run_options(options),
        )

    return trained(options, train)
