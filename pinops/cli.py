"""The ``pinops`` command: list and solve problems, make data and train operators, plot and compare, without writing Python.

Exit codes: 0 solved, 2 bad usage or bad input (one line on stderr), 3 training failed, 130 interrupted (a checkpoint is there).
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import tyro

Pairs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")]


class _Usage(Exception):
    """A user's mistake: the message is the one line that is shown."""


def _value(text: str) -> Any:
    """A number where the text is one (also nan and inf, which the problem then refuses), true or false, or the text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _number(text: str, flag: str) -> int | float:
    value = _value(text)
    if isinstance(value, bool | str):
        raise _Usage(f"{flag}: a number is needed, got {text!r}")
    return value


def _pairs(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise _Usage(f"{flag} takes NAME=VALUE, such as viscosity=0.01, got {pair!r}")
        out[name] = _value(value)
    return out


def _chosen(kind: str, name: str | None, settings: dict[str, Any], choices: dict[str, Any]) -> Any:
    """What a name stands for, made with its settings; None for no name."""
    if name is None:
        if settings:
            raise _Usage(f"--set-{kind} needs --{kind}")
        return None
    if name not in choices:
        raise _Usage(f"there is no {kind} {name!r}; choose from {', '.join(choices)}")
    return _construct(choices[name], settings, f"the {kind} {name!r}")


def _split_numbers(settings: dict[str, Any], name: str, kind: str) -> None:
    """A setting of several numbers, such as 5,127,1, as their tuple."""
    if isinstance(settings.get(name), str):
        settings[name] = tuple(
            _number(part, f"--set-{kind} {name}") for part in settings[name].split(",")
        )


def _network(name: str | None, settings: dict[str, Any]) -> Any:
    from pinops import networks

    if name is not None and isinstance(settings.get("activation"), str):
        wanted = settings["activation"]
        if wanted not in networks.activations:
            raise _Usage(
                f"there is no activation {wanted!r}; choose from {', '.join(networks.activations)}"
            )
        settings["activation"] = networks.activations[wanted]
    _split_numbers(
        settings,
        {"fourier": "scales", "random_features": "scale", "spectral": "degrees"}.get(
            name or "", ""
        ),
        "network",
    )

    def fourier(
        width=30, depth=2, activation=networks.activations["tanh"], scales=(3.0,), frequencies=15
    ):
        return networks.FourierFeatures(networks.MLP(width, depth, activation), scales, frequencies)

    def factorised(
        width=30, depth=3, activation=networks.activations["tanh"], mean=1.0, spread=0.1
    ):
        return networks.WeightFactorised(networks.MLP(width, depth, activation), mean, spread)

    choices = {
        "mlp": networks.MLP,
        "modified_mlp": networks.ModifiedMLP,
        "piratenet": networks.PirateNet,
        "siren": networks.SIREN,
        "fourier": fourier,
        "factorised": factorised,
        "separable": networks.Separable,
        "kan": networks.ChebyshevKAN,
        "spectral": networks.Spectral,
        "symmetric": networks.Symmetric,
        "pig": networks.PIG,
        "random_features": networks.RandomFeatures,
    }
    return _chosen("network", name, settings, choices)


def _optimizer(name: str | None, settings: dict[str, Any]) -> Any:
    from pinops import optimizers

    choices = {
        "adam": optimizers.Adam,
        "soap": optimizers.SOAP,
        "lbfgs": optimizers.LBFGS,
        "ssbroyden": optimizers.SSBroyden,
        "ssbfgs": optimizers.SSBFGS,
        "gauss_newton": optimizers.GaussNewton,
        "truncated_gauss_newton": optimizers.TruncatedGaussNewton,
        "nystrom_newton_cg": optimizers.NystromNewtonCG,
        "levenberg_marquardt": optimizers.LevenbergMarquardt,
    }
    return _chosen("optimizer", name, settings, choices)


def _weighting(name: str | None, settings: dict[str, Any]) -> Any:
    from pinops import losses

    choices = {
        "fixed": losses.Fixed,
        "gradient_norm": losses.GradientNorm,
        "ntk": losses.NTK,
        "relobralo": losses.ReLoBRaLo,
        "self_adaptive": losses.SelfAdaptive,
        "residual_attention": losses.ResidualAttention,
        "causal": losses.Causal,
    }
    return _chosen("weighting", name, settings, choices)


def _collocation(problem: Any, settings: dict[str, Any]) -> Any:
    import pinops
    from pinops import sampling
    from pinops.solvers import default_collocation

    if not settings:
        return None
    known = ("interior", "boundary", "initial", "every", "batch", "directions", "kind", "sampler")
    for name in settings:
        if name not in known:
            raise _Usage(
                f"--set-collocation has no setting {name!r}; it has {', '.join(known)} (and more in Python)"
            )
    if "sampler" in settings:
        kinds = {
            "sobol": sampling.Sobol,
            "uniform": sampling.Uniform,
            "halton": sampling.Halton,
            "latin_hypercube": sampling.LatinHypercube,
            "grid": sampling.Grid,
            "arcsine": sampling.Arcsine,
        }
        settings["sampler"] = _chosen("sampler", settings["sampler"], {}, kinds)
    estimator = {name: settings.pop(name) for name in ("directions", "kind") if name in settings}
    if estimator:
        settings["laplacian"] = _call(
            pinops.STDE, estimator, "the Laplacian along random directions"
        )
    return replace(default_collocation(problem), **settings)


def _continuation(pairs: Sequence[str], steps: int) -> Any:
    from pinops import Continuation

    if not pairs:
        return None
    values = {
        name: str(value).split(",") for name, value in _pairs(pairs, "--continuation").items()
    }
    try:
        return Continuation(
            steps, **{name: [float(part) for part in parts] for name, parts in values.items()}
        )
    except ValueError as error:
        raise _Usage(
            f"--continuation takes NAME=VALUE,VALUE,..., such as reynolds=100,400: {error}"
        ) from error


def _construct(factory: Any, settings: dict[str, Any], what: str) -> Any:
    import inspect

    known = inspect.signature(factory).parameters
    for name, value in settings.items():
        if name not in known:
            raise _Usage(f"{what} has no setting {name!r}; it has {', '.join(known)}")
        if isinstance(value, str) and not isinstance(known[name].default, str):
            raise _Usage(f"{what}: {name} must be a number, got {value!r}")
    return _call(factory, settings, what)


def _call(function: Any, settings: dict[str, Any], what: str) -> Any:
    try:
        return function(**settings)
    except TypeError as error:
        raise _Usage(f"{what}: {error}") from error


def problems(json_: Annotated[bool, tyro.conf.arg(name="json")] = False) -> int:
    """List the registered problems: equation, unknowns, their reference and its error bar.

    A numerical reference, and with it its error bar, is computed when a problem is first solved.

    Args:
        json_: Print one JSON object instead of a table.
    """
    import inspect

    from pinops import available, load_problem
    from pinops.data import cached_reference
    from pinops.problem import Problem

    rows = {}
    for name in available():
        problem = load_problem(name)
        kind = type(problem)
        numerical = kind.reference is not Problem.reference
        reference = cached_reference(problem, compute=False)
        rows[name] = {
            "equation": (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " "),
            "unknowns": list(problem.unknowns),
            "coordinates": list(problem.domain.coordinates),
            "reference": "numerical, refined"
            if numerical
            else "closed form"
            if problem.exact is not None
            else "none",
            "error_bar": None if reference is None else reference.error_bar,
        }
    if json_:
        print(json.dumps(rows))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("problem", "equation", "unknowns", "reference", "its error bar")
    for name, row in rows.items():
        bar = "" if row["reference"] == "none" else "computed when solved"
        if row["error_bar"]:
            bar = f"{max(row['error_bar'].values()):.0e}"
        table.add_row(name, row["equation"], ", ".join(row["unknowns"]), row["reference"], bar)
    Console().print(table)
    return 0


def solve(
    name: tyro.conf.Positional[str],
    /,
    set: Pairs = (),
    network: str | None = None,
    set_network: Pairs = (),
    optimizer: str | None = None,
    set_optimizer: Pairs = (),
    set_collocation: Pairs = (),
    weighting: str | None = None,
    set_weighting: Pairs = (),
    continuation: Pairs = (),
    stage_steps: int = 500,
    windows: int | None = None,
    set_windows: Pairs = (),
    devices: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    target: float | None = None,
    seed: int = 0,
    dtype: Literal["float64", "float32"] = "float64",
    out: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 10.0,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    problems: Path | None = None,
) -> int:
    """Solve a registered PDE and compare it with its reference.

    Args:
        name: A registered problem; `pinops problems` lists them.
        set: Coefficients, such as viscosity=0.01.
        network: mlp, modified_mlp, piratenet, siren, fourier, factorised, separable, symmetric, kan, pig, spectral or
            random_features.
        set_network: Settings of the network, such as width=30 depth=3 activation=sin.
        optimizer: adam, soap, lbfgs, ssbroyden, ssbfgs, gauss_newton, truncated_gauss_newton, nystrom_newton_cg or
            levenberg_marquardt instead of Adam followed by SSBroyden.
        set_optimizer: Settings of the optimizer, such as learning_rate=0.001.
        set_collocation: Points: interior, boundary, initial (numbers), every (steps between new points), batch, directions,
            so many random ones along which the Laplacian is estimated, their kind, sparse or dense, and sampler: sobol, uniform,
            halton, latin_hypercube, grid or arcsine.
        weighting: fixed, gradient_norm, ntk, relobralo, self_adaptive, residual_attention or causal.
        set_weighting: Settings of the weighting, such as condition=100.
        continuation: Values of a coefficient in the first stages, such as reynolds=100,400.
        stage_steps: Steps of every stage of a continuation.
        windows: Solve in so many parts of the time interval, one after the other.
        set_windows: nodes of each spatial coordinate on which a part is handed over.
        devices: Share the work over so many accelerators, or cores where there are none (default: the cores for the default
            optimizers, else one). Another number changes the order of sums, and so the last digits.
        steps: Optimizer steps.
        minutes: Wall-clock limit.
        target: Stop at this relative L2 error against the reference.
        seed: Seed of the network and the points.
        dtype: Working precision.
        out: Run directory (default: runs/NAME-seedSEED, numbered if taken).
        resume: Go on from the checkpoint in --out.
        checkpoint_seconds: How often a checkpoint is written.
        json_: Print one JSON object on the last line of stdout and nothing else there.
        problems: A folder with your own problem files.
    """
    import pinops

    _use_cores(devices)
    problem = _problem(name, set, problems)
    if windows is not None and target is not None:
        raise _Usage("--target and --windows exclude each other")
    exclusive: dict[str, Any] = {} if target is None else {"target": target}
    more = _pairs(set_windows, "--set-windows")
    if windows is not None:
        exclusive["windows"] = _construct(
            partial(pinops.TimeWindows, windows), more, "the time windows"
        )
    elif more:
        raise _Usage("--set-windows needs --windows")
    collocation = _collocation(problem, _pairs(set_collocation, "--set-collocation"))
    if devices is None and optimizer is None and not (collocation and collocation.stochastic):
        devices = _sharing(
            pinops.Collocation.interior if collocation is None else collocation.interior
        )
    out = _run_folder(name, seed, out, resume)
    try:
        solution = pinops.solve(
            problem,
            network=_network(network, _pairs(set_network, "--set-network")),
            optimizer=_optimizer(optimizer, _pairs(set_optimizer, "--set-optimizer")),
            points=collocation,
            weighting=_weighting(weighting, _pairs(set_weighting, "--set-weighting")),
            continuation=_continuation(continuation, stage_steps),
            devices=devices,
            steps=steps,
            minutes=minutes,
            seed=seed,
            dtype=dtype,
            out=out,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            **exclusive,
        )
    except KeyboardInterrupt:
        return _interrupted(out)
    return _finish(solution, solution.summary(), out, json_)


def _finish(result: Any, summary: dict[str, Any], out: Path, json_: bool) -> int:
    """The figure, what is printed, and the exit code of a run."""
    try:
        result.plot(out / "figures" / "solution.png")
    except OSError as error:
        print(f"the figure could not be written: {error}", file=sys.stderr)
    _print(summary | {"out": str(out)}, json_)
    if result.status == "diverged":
        print(
            "training diverged; the last good state was kept: try another seed or smaller steps",
            file=sys.stderr,
        )
        return 3
    return 0


def _problem(name: str, coefficients: Sequence[str], folder: Path | None) -> Any:
    """The problem of a command, from the user's folder of problems too."""
    import pinops

    if folder is not None:
        pinops.load_folder(folder)
    return _call(
        partial(pinops.load_problem, name), _pairs(coefficients, "--set"), f"the problem {name!r}"
    )


def _interrupted(out: Path) -> int:
    print(f"\ninterrupted; go on with the same command and: --out {out} --resume", file=sys.stderr)
    return 130


def _run_folder(name: str, seed: int, out: Path | None, resume: bool) -> Path:
    """The folder of a run: the one that is given, or a new one."""
    if out is not None:
        return out
    if resume:
        raise _Usage("--resume needs --out, the run directory to go on from")
    base = Path("runs") / f"{name}-seed{seed}"
    number, folder = 1, base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _print(result: dict[str, Any], json_: bool) -> None:
    if json_:
        print(json.dumps(result))
    elif "tested" in result:
        _print_operator(result)
    elif "rollout" in result:
        _print_surrogate(result)
    else:
        _print_result(result)


def _print_operator(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("unknown", "mean relative L2 error", "standard deviation", "median", "worst")
    for unknown, error in result["errors"].items():
        table.add_row(
            unknown, *(f"{error[kind]:.2e}" for kind in ("mean", "std", "median", "worst"))
        )
    console.print(table)
    console.print(
        f"over {result['tested']} unseen problems; {result['status']} after {result['steps']} steps, {result['seconds']:.0f} s "
        f"({result['compile_seconds']:.0f} s of it compiling and first steps), {result['parameters']} parameters"
    )
    console.print(f"written to {result['out']}", highlight=False)


def _print_surrogate(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "test trajectories of",
        "nRMSE of the rollout",
        "of the fluctuation",
        "RMSE",
        "correlated for",
    )
    for label, found in result["rollout"].items():
        numbers = (f"{found[name]:.2e}" for name in ("nrmse", "fluctuation", "rmse"))
        table.add_row(label, *numbers, f"{found['correlated']:.0%}")
    console.print(table)
    console.print(
        f"{result['status']} after {result['steps']} steps, {result['seconds']:.0f} s ({result['compile_seconds']:.0f} s of it "
        f"compiling and first steps), {result['parameters']} parameters"
    )
    console.print(f"written to {result['out']}", highlight=False)


def _print_result(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("unknown", "relative L2 error", "largest error", "error bar of the reference")
    for unknown, error in result["relative_l2"].items():
        table.add_row(
            unknown,
            f"{error:.2e}",
            f"{result['max_abs'][unknown]:.2e}",
            f"{result['reference']['error_bar'][unknown]:.0e}",
        )
    if result["relative_l2"]:
        console.print(table)
    console.print(
        f"{result['status']} after {result['steps']} steps, {result['seconds']:.0f} s "
        f"({result['compile_seconds']:.0f} s of it compiling and first steps), {result['parameters']} parameters"
    )
    for line in result["conditions"]:
        console.print(f"  {line}", highlight=False)
    for name, value in result["coefficients"].items():
        console.print(f"  {name} = {value}", highlight=False)
    console.print(f"written to {result['out']}", highlight=False)


def train(
    name: tyro.conf.Positional[str],
    /,
    set: Annotated[Pairs, tyro.conf.arg(metavar="NAME=VALUE")] = (),
    operator: str = "deeponet",
    set_operator: Pairs = (),
    data: Path | None = None,
    physics: float | None = None,
    set_functions: Pairs = (),
    set_curriculum: Pairs = (),
    optimizer: str | None = None,
    set_optimizer: Pairs = (),
    weighting: str | None = None,
    set_weighting: Pairs = (),
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    dtype: Literal["float64", "float32"] = "float32",
    devices: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    problems: Path | None = None,
) -> int:
    """Train an operator on a family of problems, and compare it with the references of unseen members.

    Args:
        name: The family's name.
        set: Coefficients of the family, such as viscosity=0.01.
        operator: deeponet; pod_deeponet, whose basis are modes of the data; or an autoregressive surrogate on a grid, trained on
            data: fno, conditional_fno, cape_fno, unet, conditional_unet, cape_unet, message_passing,
            conditional_message_passing or cape_message_passing.
        set_operator: Settings of the operator: width and depth (of the trunk alone where inputs are
            an image), latent, and stacked=true for a branch of its own for each coefficient;
            degrees (pod_deeponet); of a surrogate: width, padding (fno: a fraction of the domain,
            such as 0.125), modes and factorised=true (fno), depth and radius (message_passing), and
            of CAPE embedding (its width), kernel, pooling, spectral_modes, branches (such as
            spectral,pointwise), residual and norm.
        data: A file made by pinops data; without one the operator is trained on the equations.
        physics: Put the equations in the loss (default: where there are no data).
        set_functions: pool and batch of problems, interior, boundary and initial points, points in a step (of the interior),
            data_points in a step, every (steps between new pools); for surrogates batch, noise, parameter_map, and the weights
            of the losses of CAPE's embedding and of the equations, embedding and physics.
        set_curriculum: Of a surrogate: epochs, warm_up, schedule (tanh, linear, forced or free), push_forward=true.
        optimizer: As for pinops solve.
        set_optimizer: Settings of the optimizer, such as learning_rate=0.001.
        weighting: As for pinops solve.
        set_weighting: Settings of the weighting.
        steps: Optimizer steps.
        minutes: Wall-clock limit.
        seed: Seed of the parameters, problems and points.
        dtype: Working precision.
        devices: Share the problems (or trajectories) of a step among so many accelerators, or cores where there are none
            (default: the cores; for surrogates one).
        out: Run directory (default: runs/NAME-seedSEED, numbered if taken).
        resume: Go on from the checkpoint in --out.
        checkpoint_seconds: How often a checkpoint is written.
        json_: Print one JSON object on the last line of stdout and nothing else there.
        problems: A folder with your own problem files.
    """
    import pinops
    from pinops.problem import check_family
    from pinops.solvers import read_run

    _use_cores(devices)
    family = _problem(name, set, problems)
    check_family(family)
    architecture = _operator(operator, _pairs(set_operator, "--set-operator"), family)
    if isinstance(architecture, pinops.operators.SurrogateArchitecture):
        given = {"--steps": steps}
        for flag, value in given.items():
            if value is not None:
                raise _Usage(
                    f"{flag} is not for surrogates on a grid, which are trained for epochs on the frames of data"
                )
        return _train_surrogate(
            name,
            family,
            architecture,
            data,
            _pairs(set_functions, "--set-functions"),
            _pairs(set_curriculum, "--set-curriculum"),
            out=_run_folder(name, seed, out, resume),
            json_=json_,
            optimizer=_optimizer(optimizer, _pairs(set_optimizer, "--set-optimizer")),
            minutes=minutes,
            seed=seed,
            dtype=dtype,
            devices=devices,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            physics=physics,
            weighting=_weighting(weighting, _pairs(set_weighting, "--set-weighting")),
        )
    if set_curriculum:
        raise _Usage("--set-curriculum is for surrogates on a grid, such as --operator cape_fno")
    functions = _functions(_pairs(set_functions, "--set-functions"))
    out = _run_folder(name, seed, out, resume)
    try:
        trained = pinops.train(
            family,
            architecture,
            data=data,
            physics=physics,
            functions=functions,
            optimizer=_optimizer(optimizer, _pairs(set_optimizer, "--set-optimizer")),
            weighting=_weighting(weighting, _pairs(set_weighting, "--set-weighting")),
            steps=steps,
            minutes=minutes,
            seed=seed,
            dtype=dtype,
            devices=_sharing((functions or pinops.Functions()).batch)
            if devices is None
            else devices,
            out=out,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
        )
    except KeyboardInterrupt:
        return _interrupted(out)
    return _finish(trained, read_run(out)["result"], out, json_)  # its test takes time: not again


def _operator(name: str, settings: dict[str, Any], family: Any) -> Any:
    import inspect

    import numpy as np

    from pinops import networks, operators

    _split_numbers(settings, "degrees", "operator")
    images = any(np.ndim(array) > 1 for array in family.inputs().values())

    def deeponet(width=100, depth=4, latent=100, stacked=False):
        trunk, image = networks.ModifiedMLP(width, depth), images
        if not isinstance(stacked, bool) or (stacked and image):
            raise ValueError(
                f"stacked must be true or false, and false for inputs that are an image, got {stacked}"
            )
        branch = networks.Stacked(trunk) if stacked else trunk
        return operators.DeepONet(None if image else branch, trunk, latent)

    def pod_deeponet(width=100, depth=4, latent=32, degrees=24):
        branch = None if images else networks.ModifiedMLP(width, depth)
        return operators.PODDeepONet(branch, latent, degrees)

    def fno(width=20, modes=12, padding=0.0, factorised=False):
        return operators.FNO(width, modes, padding=padding, factorised=factorised)

    def unet(width=16, padding="circular"):
        return operators.UNet(width, padding)

    def message_passing(width=32, depth=6, radius=2, padding="circular"):
        return operators.MessagePassing(width, depth, radius, padding)

    def direct(network, conditional):
        def build(**settings):
            return operators.Direct(network(**settings), conditional)

        build.__signature__ = inspect.signature(network)  # pyright: ignore[reportFunctionMemberAccess]
        return build

    attention = {
        "embedding": "width",
        "kernel": "kernel",
        "pooling": "pooling",
        "spectral_modes": "modes",
        "branches": "branches",
        "residual": "residual",
        "norm": "norm",
    }
    default = operators.CAPE()
    if isinstance(settings.get("branches"), str):
        settings["branches"] = tuple(settings["branches"].split(","))

    def cape(network):
        def build(**settings):
            own = {attention[key]: settings.pop(key) for key in attention if key in settings}
            return operators.CAPE(network(**settings), **own)

        own = [
            inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=getattr(default, v))
            for k, v in attention.items()
        ]
        parameters = [*inspect.signature(network).parameters.values(), *own]
        build.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        return build

    choices = {"deeponet": deeponet, "pod_deeponet": pod_deeponet}
    for kind, network in (("fno", fno), ("unet", unet), ("message_passing", message_passing)):
        choices |= {
            kind: direct(network, False),
            f"conditional_{kind}": direct(network, True),
            f"cape_{kind}": cape(network),
        }
    return _chosen("operator", name, settings, choices)


def _train_surrogate(
    name: str,
    family: Any,
    architecture: Any,
    data: Path | None,
    functions: dict[str, Any],
    curriculum: dict[str, Any],
    *,
    out: Path,
    json_: bool,
    **options: Any,
) -> int:
    import pinops
    from pinops.solvers import read_run

    if data is None:
        raise _Usage(
            f"a surrogate is trained on data; make them with pinops data {name} --out FILE, and give --data FILE"
        )
    known = ("batch", "noise", "embedding", "parameter_map")
    for setting in functions:
        if setting not in known:
            raise _Usage(
                f"--set-functions has no setting {setting!r} for surrogates; it has {', '.join(known)}"
            )
    if "noise" in functions:
        curriculum["noise"] = functions["noise"]
    own = {k: functions[k] for k in ("parameter_map",) if k in functions}
    if "embedding" in functions:
        own["auxiliary"] = functions["embedding"]
    more = {}
    if "batch" in functions:
        more["functions"] = pinops.Functions(batch=functions["batch"])
    stages = _construct(pinops.Curriculum, curriculum, "the curriculum")
    try:
        trained = pinops.train(
            family,
            replace(architecture, **own),
            data=data,
            curriculum=stages,
            out=out,
            **options,
            **more,
        )
    except KeyboardInterrupt:
        return _interrupted(out)
    return _finish(trained, read_run(out)["result"], out, json_)


def _functions(settings: dict[str, Any]) -> Any:
    import pinops

    default = pinops.Functions()
    names = {
        "interior": "interior",
        "boundary": "boundary",
        "initial": "initial",
        "points": "batch",
        "every": "every",
    }
    points = {own: settings.pop(name) for name, own in names.items() if name in settings}
    known = [field.name for field in fields(default) if field.name != "points"]
    for name in settings:
        if name not in known:
            raise _Usage(
                f"--set-functions has no setting {name!r}; it has {', '.join([*known, *names])}"
            )
    try:
        return replace(default, points=replace(default.points, **points), **settings)
    except ValueError as error:
        raise _Usage(
            f"{error} (--set-functions: points is the batch of the interior points)"
        ) from error


def data(
    name: tyro.conf.Positional[str],
    /,
    out: Path,
    set: Annotated[Pairs, tyro.conf.arg(metavar="NAME=VALUE")] = (),
    count: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    pdebench: tuple[Path, ...] = (),
    problems: Path | None = None,
) -> int:
    """Solve random members of a family with the reference solver, and write them to one HDF5 file. Goes on where it was.

    Args:
        name: The family's name.
        out: The file.
        set: Coefficients of the family, such as viscosity=0.01.
        count: Number of members; eight tenths are for training, the others for validation and tests of your own.
        seed: Seed of the members.
        workers: Processes that share the work (default: the cores).
        pdebench: One-dimensional files of PDEBench that trajectories are taken from instead, for cape_advection and cape_burgers.
        problems: A folder with your own problem files.
    """
    from pinops.data import from_pdebench, generate

    family = _problem(name, set, problems)
    show = lambda done, count: print(
        f"\r{done} of {count} solved", end="", file=sys.stderr, flush=True
    )
    try:
        if pdebench:
            from_pdebench(family, pdebench, out, count=count, report=show)
            print(out)
            return 0
        made = generate(
            family,
            out,
            count=count,
            seed=seed,
            workers=workers or _cores(),
            folder=problems,
            report=show,
        )
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return 130
    bars = {
        name: made.rows(range(min(count, 32)))[f"error_bar/{name}"].max()
        for name in made.attributes["unknowns"]
    }
    print(f"\n{made.count} members of {name}, {made.attributes['kind']}", file=sys.stderr)
    print(
        ", ".join(f"error bar of {unknown}: {bar:.0e}" for unknown, bar in bars.items()),
        file=sys.stderr,
    )
    print(out)
    return 0


def evaluate(
    folder: tyro.conf.Positional[Path],
    /,
    set: Annotated[Pairs, tyro.conf.arg(metavar="NAME=VALUE")] = (),
    data: Path | None = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
    problems: Path | None = None,
) -> int:
    """Evaluate a run directory again against the reference; an operator on other members than those of its family, too.

    Args:
        folder: The run directory.
        set: Coefficients of the family whose members an operator is evaluated on, such as viscosity=0.02.
        data: A file made by pinops data; an operator or surrogate is evaluated on its test part.
        json_: Print one JSON object.
        problems: A folder with your own problem files.
    """
    import pinops
    from pinops.data import Dataset
    from pinops.problem import coefficients_as_json
    from pinops.solvers import TrainedOperator, TrainedSurrogate

    if problems is not None:
        pinops.load_folder(problems)
    result, changed = pinops.load(folder), _pairs(set, "--set")
    if isinstance(result, TrainedSurrogate):
        if changed:
            raise _Usage(
                "--set is for operators; give --data with the members that a surrogate is to be evaluated on"
            )
        summary = result.summary(data)
    elif not isinstance(result, TrainedOperator):
        if changed or data is not None:
            raise _Usage(
                f"--set and --data are for operators, which know many problems; {folder} holds a solution of one"
            )
        summary = result.summary()
    else:
        if changed:
            name, before = result.request["problem"], coefficients_as_json(result.family)
            result = replace(
                result,
                family=_call(
                    partial(pinops.load_problem, name), before | changed, f"the problem {name!r}"
                ),
            )
        summary = result.summary(None if data is None else Dataset(data))
    _print(summary | {"out": str(folder)}, json_)
    return 0


def plot(folder: tyro.conf.Positional[Path], /, problems: Path | None = None) -> int:
    """Draw the figures of a run directory again.

    Args:
        folder: The run directory.
        problems: A folder with your own problem files.
    """
    import pinops

    if problems is not None:
        pinops.load_folder(problems)
    path = folder / "figures" / "solution.png"
    pinops.load(folder).plot(path)
    print(path)
    return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _use_cores(count: int | None) -> None:
    """Let JAX see so many devices in the CPU, by default its cores or what the user has set; before JAX starts."""
    import jax

    if count is None:
        if (
            "JAX_NUM_CPU_DEVICES" in os.environ
            or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
        ):
            return
        count = min(_cores(), 8)
    if count < 1:
        raise _Usage(f"--devices must be at least 1, got {count}")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # it has started, in a Python that called this before
        return


def _sharing(points: int) -> int | None:
    """How many cores share the points: powers of two that divide them; None beside an accelerator."""
    import jax

    if jax.default_backend() != "cpu":
        return None
    return max(n for n in (1, 2, 4, 8) if n <= len(jax.devices()) and points % n == 0)


def _switch_on_compilation_cache() -> None:
    """Programs compiled once are kept in the user's cache folder, unless the user has chosen one."""
    import jax

    from pinops.data import cache_folder

    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command with these arguments (default: those of the process); returns the exit code."""
    command = tyro.extras.SubcommandApp()
    for function in (problems, solve, train, data, evaluate, plot):
        command.command(function)
    try:
        _switch_on_compilation_cache()
        return command.cli(prog="pinops", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    except KeyboardInterrupt:
        return 130
    except (_Usage, ValueError, OSError) as error:
        print(f"pinops: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def main() -> NoReturn:
    """Entry point of the ``pinops`` command."""
    sys.exit(run())
