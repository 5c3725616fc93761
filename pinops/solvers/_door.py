"""What all front doors share: options, folders and checkpoints, from a request to a result.

A door builds an `Assembly` for a seed: what is trained, how that was asked for, and how its result
is made. `trained` runs one of them, or an ensemble of them.
"""

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pinops.data import Dataset, read_run, write_run
from pinops.networks import COMPUTE_DTYPES
from pinops.operators import Uncertain
from pinops.settings import Whole, shown
from pinops.solvers._ensemble import Ensemble, Several
from pinops.solvers._trained import CHECKPOINT, Trained, check_folder
from pinops.solvers._trained_uncertain import TrainedUncertain
from pinops.training import (
    Bootstrap,
    Callback,
    Device,
    Ends,
    Outcome,
    Params,
    Progress,
    Report,
    Training,
    TrainState,
    agreed,
    compiled,
    difference,
    endless,
    gathered,
    key_of,
    load_checkpoint,
    mesh_of,
    save_checkpoint,
    train,
)

ENSEMBLE = Whole(1, 1000)  # all members are made before the first step
_BOOTSTRAP = 14  # the random key of a member's samples, folded into its seed


def unwrapped(
    architecture: Any, ensemble: int | None, start: Any
) -> tuple[Any, Uncertain | None, int | None]:
    """The architecture of a request, the wish for error bars, and how many members are trained.

    Raises:
        ValueError: For what excludes error bars.
    """
    if not isinstance(architecture, Uncertain):
        return architecture, None, ensemble
    for name, value in (("ensemble", ensemble), ("start", start)):
        if value is not None:
            raise ValueError(
                f"{name} and uncertain exclude each other: uncertain trains members of its own, "
                "each from a fresh network"
            )
    return architecture.architecture, architecture, architecture.members


def precision(dtype: Any) -> str:
    """ "float32" or "float64" for a dtype or its name. Raises ValueError for any other."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = None
    if name not in ("float64", "float32"):
        raise ValueError(f"dtype must be float64 or float32, got {dtype!r}")
    return name


def compute_precision(compute_dtype: Any, dtype: str) -> str | None:
    """The name of the type that networks compute in; None for that of everything else.

    Raises:
        ValueError: For any other than bfloat16, and beside float64.
    """
    if compute_dtype is None or compute_dtype == dtype:
        return None
    try:
        name = jnp.dtype(compute_dtype).name
    except TypeError:
        name = shown(compute_dtype)
    if name == dtype:
        return None
    if name not in COMPUTE_DTYPES:
        raise ValueError(
            f"compute_dtype must be {' or '.join(COMPUTE_DTYPES)}, whose range is that of float32, "
            f"got {name}"
        )
    if dtype == "float64":
        raise ValueError(
            f"compute_dtype={name} throws away what dtype=float64 is for; leave one of them out"
        )
    return name


@dataclass(frozen=True)
class Options:
    """The options that all front doors share, checked.

    Attributes:
        dtype: "float64" or "float32".
        minutes: The time limit, from ``began`` on.
        seed: Of the first training.
        ensemble: The number of trainings, with consecutive seeds; None for a single one.
        devices: The number of devices that share the work, or a list of them.
        callbacks: Called with a `Report` after every stretch of steps.
        progress: Whether to show a progress line on stderr.
        out: The run directory.
        resume: Whether to go on from the checkpoint in ``out``.
        checkpoint_seconds: The time between two checkpoints.
        began: When the door was entered, by `time.monotonic`.
        title: The beginning of the progress line.
        ends: The status with which a report ends the training; empty: it goes on.
        compute_dtype: Of networks that are trained on data; None: ``dtype``.
        uncertain: How the members of an ensemble differ besides their seeds; None: they do not.
        compiled: The seconds of compilation before that.

    Raises:
        ValueError: For an option that is out of its range.
    """

    dtype: str
    minutes: float | None
    seed: int
    ensemble: int | None
    devices: int | Sequence[Device] | None
    callbacks: tuple[Callback, ...]
    progress: bool
    out: Path | None
    resume: bool
    checkpoint_seconds: float
    title: str = ""
    ends: Ends = endless
    compute_dtype: str | None = None
    uncertain: Uncertain | None = None
    began: float = field(default_factory=time.monotonic)
    compiled: float = field(default_factory=compiled)

    def __post_init__(self):
        limit = self.minutes
        if limit is not None and not (_is_number(limit) and 0 < limit < float("inf")):
            raise ValueError(f"minutes must be a number greater than zero, got {limit!r}")
        if self.ensemble is not None and (fault := ENSEMBLE.fault("ensemble", self.ensemble)):
            raise ValueError(fault)
        if not _is_whole(self.seed) or not 0 <= self.seed <= 2**32 - (self.ensemble or 1):
            raise ValueError(f"seed must be a whole number from 0 to 2^32 - 1, got {self.seed!r}")
        pause = self.checkpoint_seconds
        if not (_is_number(pause) and 0 <= pause < float("inf")):
            raise ValueError(f"checkpoint_seconds must be zero or more, got {pause!r}")
        if self.resume and self.out is None:
            raise ValueError("resume needs out, the run directory to go on from")

    @property
    def x64(self) -> bool:
        return self.dtype == "float64"

    @property
    def asked(self) -> dict[str, Any]:
        """The part of a request that says how members differ; empty where they do not."""
        if self.uncertain is None:
            return {}
        return {"uncertain": {n: getattr(self.uncertain, n) for n in ("prior", "bootstrap")}}

    def bootstrap(self, seed: int) -> Bootstrap | None:
        """Which samples the member with a seed learns from; None: all."""
        if self.uncertain is None or self.uncertain.bootstrap == 1:
            return None
        return Bootstrap(key_of(seed, _BOOTSTRAP), self.uncertain.bootstrap)

    @property
    def pool_seed(self) -> int | None:
        """The seed of the samples in memory, where the members of an ensemble share them."""
        return None if self.uncertain is None else self.seed

    @property
    def seeds(self) -> range:
        """The seeds of all trainings."""
        return range(self.seed, self.seed + (self.ensemble or 1))

    def mesh(self) -> Mesh | None:
        """The devices that share the work. Raises ValueError where they cannot."""
        mesh = mesh_of(self.devices)
        if mesh is not None and self.ensemble is not None:
            raise ValueError(
                "ensemble and devices exclude each other: train the members on one device, or one "
                "member on several"
            )
        return mesh

    @property
    def before(self) -> dict[str, Any] | None:
        """The request of the run that is resumed; None for a new one."""
        folder = self.folder(self.seed)
        if folder is None or not self.resume or not (folder / "run.json").exists():
            return None
        return read_run(folder)["request"]

    def folder(self, seed: int) -> Path | None:
        """The run directory of the training with a seed."""
        if self.out is None or self.ensemble is None:
            return self.out
        return self.out / f"seed_{seed}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


class Assembly(NamedTuple):
    """A training that is ready to begin.

    Attributes:
        training: The model, its source of points, phases and stages.
        params: Parameters of the right structure.
        request: How it was asked for, in JSON.
        first: Makes the state before the first step.
        result: Makes the result of the outcome.
    """

    training: Training
    params: Params
    request: dict[str, Any]
    first: Callable[[], TrainState]
    result: Callable[[Outcome], Trained]


def trained(
    options: Options,
    assemble: Callable[[int], Assembly],
    *,
    callbacks: Sequence[Callback] = (),
    tested_on: Any = None,
    data: Dataset | None = None,
) -> Trained:
    """The result of a training, or an `Ensemble` of several.

    Args:
        options: What all doors share.
        assemble: From a seed to a training.
        callbacks: Of the door itself, besides the user's.
        tested_on: What the errors in ``run.json`` are taken from; None: the door's references.
        data: What was trained on, if anything.
    """
    with jax.enable_x64(options.x64), made_folders() as made:
        runs = []
        for seed in options.seeds:
            assembly, folder = assemble(seed), options.folder(seed)
            if folder is not None:
                made += _absent(folder)
                prepare(folder, assembly.request, options.resume)
            runs.append(_Run(assembly, folder))
        outcomes = _shown(runs, options, callbacks)
        results = []
        for run, outcome in zip(runs, outcomes, strict=True):
            mesh = run.assembly.training.model.mesh
            outcome.state, outcome.params = gathered((outcome.state, outcome.params), mesh)
            outcome.compile_seconds = compiled() - options.compiled
            result = run.assembly.result(outcome)
            if run.folder is not None and jax.process_index() == 0:  # one process writes
                result.save(run.folder, tested_on)
            results.append(result)
    if options.ensemble is None:
        return results[0]
    ensemble: Several = (
        Ensemble(tuple(results))
        if options.uncertain is None
        else TrainedUncertain.of(results, data)
    )
    if options.out is not None and jax.process_index() == 0:
        ensemble.save_summary(options.out, tested_on)
    return ensemble


class _Run(NamedTuple):
    """A training and the folder that it is kept in."""

    assembly: Assembly
    folder: Path | None

    def begin(self, resume: bool) -> tuple[TrainState, list[Report]]:
        """The state and history that training goes on from."""
        training, params, request = self.assembly[:3]
        path = None if self.folder is None else self.folder / CHECKPOINT
        if path is not None and resume and path.exists():
            state, history = load_checkpoint(path, training, params, request)
            return training.placed(state), history
        return self.assembly.first(), []


def _shown(runs: Sequence[_Run], options: Options, callbacks: Sequence[Callback]) -> list[Outcome]:
    """`_train_runs` with all callbacks, and a progress line if asked for."""
    everyone = [*options.callbacks, *callbacks]
    if not options.progress:
        return _train_runs(runs, options, everyone)
    phases = runs[0].assembly.training.phases
    line = Progress(options.minutes, phases=phases, began=options.began, title=options.title)
    try:
        return _train_runs(runs, options, [*everyone, line])
    finally:
        line.end()


def _train_runs(
    runs: Sequence[_Run], options: Options, callbacks: Sequence[Callback]
) -> list[Outcome]:
    """Train all of them together, with a checkpoint in every folder from time to time.

    One is written when the user interrupts, too, and when a callback raises.
    """
    latest = [run.begin(options.resume) for run in runs]
    first = jax.process_index() == 0  # of several processes one writes
    for run in runs:
        if run.folder is not None and first and not (run.folder / "run.json").exists():
            write_run(run.folder, run.assembly.request, None)
    last_written, unwritten = time.monotonic(), False
    mesh = runs[0].assembly.training.model.mesh

    def write() -> None:
        for run, (state, history) in zip(runs, latest, strict=True):
            if run.folder is not None:
                whole = gathered(state, mesh)  # on all processes
                if first:
                    if options.resume:  # a result in there is that of fewer steps
                        write_run(run.folder, run.assembly.request, None)
                    path = run.folder / CHECKPOINT
                    answer = run.assembly.training.answered(whole)
                    save_checkpoint(path, whole, answer, history, run.assembly.request)

    def keep(states: list[TrainState], histories: list[list[Report]]) -> None:
        nonlocal last_written, unwritten
        latest[:] = zip(states, histories, strict=True)
        if interrupted():
            raise KeyboardInterrupt
        unwritten = True
        if agreed(time.monotonic() - last_written >= options.checkpoint_seconds):
            write()
            last_written, unwritten = time.monotonic(), False

    states, histories = zip(*latest, strict=True)
    with _interrupts_between_stretches() as interrupted:
        try:
            return train(
                [run.assembly.training for run in runs],
                states,
                minutes=options.minutes,
                callbacks=callbacks,
                keep=keep,
                histories=histories,
                before=time.monotonic() - options.began,
            )
        except KeyboardInterrupt:
            write()
            raise
        except Exception:
            # Of several processes the others may go on, and would not take part in writing.
            if unwritten and jax.process_count() == 1:
                write()
            raise


@contextmanager
def _interrupts_between_stretches() -> Iterator[Callable[[], bool]]:
    """Whether the user has pressed Ctrl-C, to be asked between two stretches of steps.

    An interrupt that Python raises while JAX is at work may be lost (in a finaliser or a callback)
    or end the process without a checkpoint. A second one is raised at once. Handlers of others, and
    threads that get no signals, are left as they are.
    """
    asked = False

    def note(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def made_folders() -> Iterator[list[Path]]:
    """A list of folders, of which those that are still empty are removed where an error ends it."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for folder in sorted(made, key=lambda folder: -len(folder.parts)):
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()
        raise


def _absent(folder: Path) -> list[Path]:
    """The folder and those above it, as far as there are none yet."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def prepare(folder: Path, request: dict[str, Any], resume: bool) -> None:
    """Make the run directory; refuse one that holds another run or cannot be written to.

    Raises:
        ValueError: With the first thing that differs.
        OSError: When it cannot be written.
    """
    if (folder / "run.json").exists():
        if not resume:
            raise ValueError(f"{folder} already holds a run; choose another folder, or resume it")
        before = read_run(folder)["request"]
        if (name := difference(before, request)) is not None:
            raise ValueError(
                f"{folder} holds a run with {name} = {before.get(name)}, not {request[name]}; "
                "resume it with its own arguments, or choose another folder"
            )
    check_folder(folder, request)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{folder} cannot be written: {reason}; choose another folder") from error
