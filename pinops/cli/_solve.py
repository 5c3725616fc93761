"""``pinops solve``: one PDE, compared with its reference."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pinops
from pinops.cli._arguments import Usage, add_run, add_set, number, run_options, whole
from pinops.cli._devices import sharing, use_devices
from pinops.cli._folders import loaded, trained
from pinops.cli._objects import add_objects, continuation, logs, written
from pinops.operators import Uncertain
from pinops.solvers import MODELS, Trained

USAGE = "pinops solve NAME [options]"
ABOUT = "Solve a registered PDE and compare it with its reference."
TEXT = """\
Solve a registered PDE and compare it with its reference. Writes a run directory
with the result, its history and a figure."""
EXAMPLES = """\
pinops solve burgers --set viscosity=0.01 --network 'MLP(width=20, depth=2)'
pinops solve poisson_disks --method hypino --refine 10"""


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
    parser.add_argument(
        "--method",
        choices=("train", *MODELS),
        default="train",
        help="train a network, or let a trained model answer: hypino, for linear problems of "
        "second order on squares with holes, from whose answer --steps or --minutes go on "
        "(default: train)",
        metavar="METHOD",
    )
    parser.add_argument(
        "--refine",
        type=whole,
        metavar="N",
        help="rounds of refinement of a trained model's answer (default: 0)",
    )
    add_objects(parser, "network", "optimizer", "points", "sampler", "weighting", "windows", "log")
    add_run(parser, dtype="float64", checkpoint_seconds=10.0)


def run(options: argparse.Namespace) -> int:
    """Solve; returns the exit code."""
    use_devices(options.devices)
    problem = loaded(options)
    generated = None
    if options.method != "train":
        _check_generated(options)
        generated = partial(_generated, options, problem)
        if options.steps is None and options.minutes is None:
            return trained(options, partial(_kept, generated))
    elif options.refine is not None:
        raise Usage("--refine is for trained models; give --method hypino")
    names = ("network", "optimizer", "points", "sampler", "weighting", "windows")
    objects = {name: written(name, getattr(options, name)) for name in names}
    stages = continuation(options.continuation, options.stage_steps)
    devices = options.devices
    several = options.ensemble is not None or isinstance(objects["network"], Uncertain)
    if devices is None and options.optimizer is None and not several:
        points = objects["points"] or pinops.Collocation()
        devices = None if points.stochastic else sharing(points.interior)

    def train(out: Path) -> Trained:
        return pinops.solve(
            problem,
            start=None if generated is None else generated(),
            **objects,
            continuation=stages,
            target=options.target,
            devices=devices,
            out=out,
            callbacks=logs(options),
            **run_options(options),
        )

    return trained(options, train)


def _check_generated(options: argparse.Namespace) -> None:
    """Raises Usage for an option that does not go with the answer of a trained model."""
    for name in ("ensemble", "network", "windows", "continuation"):
        if getattr(options, name):
            raise Usage(f"--{name} is not for the network that {options.method} generates")
    if options.steps is None and options.minutes is None:
        for name in ("target", "optimizer", "points", "sampler", "weighting"):
            if getattr(options, name) is not None:
                raise Usage(
                    f"--{name} is for a training; give --steps or --minutes, and it goes on from "
                    f"the answer of {options.method}"
                )


def _generated(options: argparse.Namespace, problem: pinops.Problem) -> pinops.Solution:
    """The answer of a trained model."""
    return pinops.pretrained(options.method)(problem, refine=options.refine or 0)


def _kept(generated: Callable[[], Trained], out: Path) -> Trained:
    """What was generated, written to a run directory."""
    solution = generated()
    solution.save(out)
    return solution
