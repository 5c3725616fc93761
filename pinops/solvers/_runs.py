"""What every training that is kept in a folder shares: how it was asked for, its checkpoints, and what it goes on from."""

import hashlib
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pinops.data import read_run, write_run
from pinops.networks import activations
from pinops.solvers._solution import CHECKPOINT
from pinops.training import (
    Callback,
    Outcome,
    Params,
    Report,
    Training,
    TrainState,
    agreed,
    cast,
    difference,
    difference_of_problems,
    gathered,
    load_checkpoint,
    save_checkpoint,
    train,
)


def check_options(
    dtype: str,
    minutes: float | None,
    seed: int,
    seeds: int,
    checkpoint_seconds: float,
    resume_without_folder: bool,
) -> None:
    """Raises ValueError for an option of a front door that cannot be meant."""
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes must be greater than zero, got {minutes}")
    if not isinstance(seed, int) or not 0 <= seed < 2**32 - seeds + 1:
        raise ValueError(f"seed must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    if checkpoint_seconds < 0:
        raise ValueError(f"checkpoint_seconds must be zero or more, got {checkpoint_seconds}")
    if resume_without_folder:
        raise ValueError("resume needs out, the run directory to go on from")


class Run(NamedTuple):
    """One training, how it was asked for, the folder that it is kept in, and how its first state is made."""

    training: Training
    params: Params
    request: dict[str, Any]
    folder: Path | None
    resume: bool
    first: Callable[[], TrainState]

    def begin(self) -> tuple[TrainState, list[Report]]:
        """The state and history that training goes on from."""
        path = None if self.folder is None else self.folder / CHECKPOINT
        if path is not None and self.resume and path.exists():
            state, history = load_checkpoint(path, self.training, self.params, self.request)
            return self.training.placed(state), history
        return self.first(), []


def train_runs(
    runs: Sequence[Run],
    minutes: float | None,
    callbacks: Sequence[Callback],
    checkpoint_seconds: float,
    began: float,
) -> list[Outcome]:
    """Train all of them together, with a checkpoint in every folder from time to time, and when the user interrupts."""
    latest = [run.begin() for run in runs]
    for run in runs:
        if (
            run.folder is not None
            and jax.process_index() == 0
            and not (run.folder / "run.json").exists()
        ):
            write_run(run.folder, run.request, None)
    last_written = time.monotonic()

    mesh = runs[0].training.model.mesh
    first = jax.process_index() == 0  # of several processes one writes

    def write() -> None:
        for run, (state, history) in zip(runs, latest, strict=True):
            if run.folder is not None:
                whole = gathered(state, mesh)  # on all processes
                if first:
                    if run.resume:  # a result in there is that of fewer steps
                        write_run(run.folder, run.request, None)
                    save_checkpoint(run.folder / CHECKPOINT, whole, history, run.request)

    def keep(states: list[TrainState], histories: list[list[Report]]) -> None:
        nonlocal last_written
        latest[:] = zip(states, histories, strict=True)
        if interrupted():
            raise KeyboardInterrupt
        if agreed(time.monotonic() - last_written >= checkpoint_seconds):
            write()
            last_written = time.monotonic()

    states, histories = zip(*latest, strict=True)
    with _interrupts_between_stretches() as interrupted:
        try:
            return train(
                [run.training for run in runs],
                states,
                minutes=minutes,
                callbacks=callbacks,
                keep=keep,
                histories=histories,
                before=time.monotonic() - began,
            )
        except KeyboardInterrupt:
            write()
            raise


@contextmanager
def _interrupts_between_stretches() -> Iterator[Callable[[], bool]]:
    """Whether the user has pressed Ctrl-C, to be asked between two stretches of steps.

    An interrupt that Python raises while JAX is at work may be lost (in a finaliser or a callback) or end the process without a
    checkpoint. A second one is raised at once. Handlers of others, and threads that get no signals, are left as they are.
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


def prepare(folder: Path, request: dict[str, Any], resume: bool) -> None:
    """Make the run directory; refuse one that holds another run or cannot be written to.

    **Raises** ValueError with the first thing that differs; OSError when it cannot be written.
    """
    existing = folder / "run.json"
    if existing.exists():
        if not resume:
            raise ValueError(f"{folder} already holds a run; choose another folder, or resume it")
        before = read_run(folder)["request"]
        name = difference(before, request)
        if name is not None:
            raise ValueError(
                f"{folder} holds a run with {name} = {before.get(name)}, not {request[name]}; "
                "resume it as it was, or choose another folder"
            )
        words = difference_of_problems(before, request)
        if words is not None:
            raise ValueError(
                f"{folder} holds a run of another problem: {words}; choose another folder"
            )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose a folder for the run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written: {error.strerror or error}; choose another folder"
        ) from error


def digest(arrays: Sequence[Any]) -> str:
    """A checksum of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def drawn_with(request: Mapping[str, Any]) -> list[Any]:
    """The seed and precision that a network's first parameters, and what it keeps fixed, were drawn with."""
    return request.get("drawn") or [request["seed"], request["dtype"]]


def as_drawn(request: Mapping[str, Any], build: Callable[[PRNGKeyArray], Any]) -> Any:
    """A network drawn as that of a request was, perhaps by the run that it started from, in the precision that is in force."""
    seed, dtype = drawn_with(request)
    with jax.enable_x64(dtype == "float64"):
        built = build(jax.random.fold_in(jax.random.key(seed), 0))
        there = jnp.result_type(float)
    return built if jnp.result_type(float) == there else cast(built)


def describe(thing: Any) -> Any:
    """A description of an object in JSON, for run directories and for comparing a resumed run with its request."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, tuple | list):
        return [describe(item) for item in thing]
    if isinstance(thing, dict):
        return {str(name): describe(value) for name, value in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        content = {
            field.name: describe(getattr(thing, field.name, None)) for field in fields(thing)
        }
        # Only our own classes by their bare name: `load` builds architectures from it, and equinox has an MLP too.
        ours = type(thing).__module__.startswith("pinops.")
        return {
            type(thing).__name__
            if ours
            else f"{type(thing).__module__}.{type(thing).__qualname__}": content
        }
    if isinstance(thing, np.ndarray | jax.Array):
        if thing.ndim == 0:
            return thing.item()
        return f"array of shape {thing.shape}"
    known = next((name for name, function in activations.items() if function is thing), None)
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    name = known or f"{named.__module__}.{named.__qualname__}"
    # The settings of an optax transformation are what its functions close over.
    settings = [
        setting for setting in _closed_over(thing) if setting is not thing
    ]  # it may call itself
    return {name: [describe(setting) for setting in settings]} if settings else name


def _closed_over(function: Any) -> list[Any]:
    """What a function closes over, as far as it has been given a value."""
    found = []
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):
            found.append(cell.cell_contents)
    return found
