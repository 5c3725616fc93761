"""What every training leaves: one kind of thing that can be called, scored, drawn, kept and read
again.
"""

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from pinops._html import as_table
from pinops.data import read_run, write_arrays, write_run
from pinops.problem import Problem
from pinops.solvers._export import Program, export_file
from pinops.solvers._report import rows_of, write_report
from pinops.solvers._request import check_same
from pinops.training import (
    Params,
    Report,
    TrainState,
    history_arrays,
    named_leaves,
    save_checkpoint,
)

CHECKPOINT = Path("checkpoint") / "state.h5"
SCALING = "scaling.h5"  # of outputs at every point
PARAMS, SCALES = "params", "scaling."  # what names in a file of weights begin with


def mean_of(stack: Any) -> Any:
    """The mean over the leading axis, of members."""
    return stack.mean(0)


def spread_of(stack: Any) -> Any:
    """The standard deviation over the leading axis, of n members (divisor n - 1); 0 of one."""
    return stack.std(0, ddof=min(1, len(stack) - 1))


# {unknown: {"mean", "std", "median", "worst": of the relative L2 errors, "max_abs": the largest
# error}}
Errors = dict[str, dict[str, float]]


class Trained(abc.ABC):
    """Abstract: the result of a training.

    Instances: `Solution` and `WindowedSolution` of one problem, `TrainedOperator` and
    `TrainedSurrogate` of a family, an `Ensemble` of any of these, and a `TrainedUncertain`.

    Attributes:
        request: What was asked for, as in ``run.json``.
        history: A `Report` for every stretch of steps.
        status: "finished", "stopped" (by a callback), "converged" (no step decreases the loss any
            more), "out of time", "diverged" (the last good state was kept), or "generated" by a
            hypernetwork without training.
        compile_seconds: Seconds of compilation alone (tracing, lowering and compiling).
        num_parameters: How many numbers were trained.
    """

    request: dict[str, Any]
    history: Any
    status: Any
    compile_seconds: Any
    num_parameters: Any

    @property
    @abc.abstractmethod
    def subject(self) -> Problem:
        """The problem, or the family of problems, that it was trained on."""

    @property
    def x64(self) -> bool:
        """Whether it was trained, and is evaluated, in double precision."""
        return self.request["dtype"] == "float64"

    @property
    def seconds(self) -> float:
        """Wall time of the training, compilation included."""
        return self.history[-1].seconds if self.history else 0.0

    @property
    def steps(self) -> int:
        """How many optimizer steps were taken."""
        return self.history[-1].step if self.history else 0

    @abc.abstractmethod
    def error(self, data: Any = None) -> Errors:
        """Relative L2 errors: ``{unknown: {"mean", "std", "median", "worst", "max_abs"}}``.

        Statistics are over the samples that are compared (one for the solution of one problem);
        "max_abs" is the largest error at any point of any of them.

        Args:
            data: What to compare with; None: the references of the problem, or of unseen members of
                the family.

        Raises:
            ValueError: Where there is nothing to compare with.
        """

    @abc.abstractmethod
    def plot(self, path: str | Path | None = None, data: Any = None) -> Any:
        """A Matplotlib figure of what was trained, beside the truth where that is known.

        Args:
            path: Where it is written; None: nowhere.
            data: What it is compared with, as for `error`.
        """

    def animate(self, path: str | Path, data: Any = None, *, seconds: float = 5.0) -> Path:
        """Write the solution, or the rollouts, over time, beside the truth where that is known.

        Args:
            path: The file, ``.gif`` or, where ffmpeg is installed, ``.mp4``.
            data: What it is compared with, as for `plot`.
            seconds: How long it lasts, at most 60.

        Returns:
            The path.

        Raises:
            ValueError: For what has no time, and for a file or a duration that it cannot have.
        """
        raise ValueError(
            f"a {type(self).__name__} has no time that an animation could show; use plot()"
        )

    @abc.abstractmethod
    def details(self, data: Any = None) -> dict[str, Any]:
        """What `summary` says of this kind of result alone."""

    @abc.abstractmethod
    def identified(self) -> dict[str, Any]:
        """The request with the fingerprint of the problem, as ``run.json`` has it."""

    @abc.abstractmethod
    def write_parts(self, folder: Path) -> tuple[str, ...]:
        """The files of this kind of result in a run directory, besides ``run.json`` and the
        history.

        Returns:
            The names of those whose checksums ``run.json`` keeps; a checkpoint has its own.
        """

    @abc.abstractmethod
    def known_errors(self, data: Any = None) -> Errors:
        """`error`, or an empty dict where there is nothing to compare with."""

    @abc.abstractmethod
    def program(self, snapshots: int | None = None) -> Program:
        """The function that `export` writes, in the precision that is in force.

        Args:
            snapshots: Of a surrogate, as for `export`.

        Raises:
            ValueError: Where there is no such function, and for ``snapshots`` of anything else.
        """

    @abc.abstractmethod
    def weights(self) -> dict[str, np.ndarray]:
        """The trained arrays by name, with what else `load` needs of them.

        Raises:
            ValueError: For what consists of several trainings.
        """

    def export(self, path: str | Path, *, snapshots: int | None = None) -> Path:
        """Write one file for others, and its description ``FILE.json``: names, shapes, types and
        units of what goes in and comes out, versions, and what was asked for.

        The suffix says what is written. A program maps physical values to physical values, for any
        number of samples and points:

        * ``.stablehlo``: a program for ``jax.export.deserialize``; needs the extra ``export``.
        * ``.onnx``: a program for ONNX Runtime; needs the extra ``onnx``.
        * ``.safetensors``: the weights alone, which `pinops.load` reads; needs the extra
          ``export``.

        Args:
            path: The file.
            snapshots: Of a surrogate: how many snapshots a call of the program gives, each from
                the one before; None: 1.

        Returns:
            The path.

        Raises:
            ValueError: For another suffix, for a missing extra, for what cannot be exported, and
                for a file that is not an export of the same run.
            OSError: When it cannot be written.
        """
        with jax.enable_x64(self.x64):
            return export_file(self, Path(path), snapshots)

    def summary(self, data: Any = None) -> dict[str, Any]:
        """What was trained and what came out: the result in ``run.json`` and the output of
        ``--json``.
        """
        errors = self.known_errors(data)
        devices = jax.devices()
        return {
            "problem": self.request["problem"],
            "relative_l2": {name: error["mean"] for name, error in errors.items()},
            "max_abs": {name: error["max_abs"] for name, error in errors.items()},
            "errors": errors,
            "seconds": round(self.seconds, 3),
            "compile_seconds": round(self.compile_seconds, 3),
            "steps": self.steps,
            "parameters": self.num_parameters,
            "seed": self.request["seed"],
            "dtype": self.request["dtype"],
            "device": f"{len(devices)} x {devices[0].device_kind}",
            "status": self.status,
            "loss": self.history[-1].loss if self.history else None,
            **self.details(data),
        }

    def save(self, folder: str | Path, data: Any = None) -> Path:
        """Write a run directory, which `pinops.load` reads without executing code.

        Args:
            folder: A new folder, or that of the same run.
            data: What the errors in its summary are taken from, as for `error`.

        Raises:
            ValueError: For a folder that holds another run.
            OSError: When it cannot be written.
        """
        folder, request = Path(folder), self.identified()
        check_folder(folder, request)
        summary = self.summary(data)
        write_run(folder, request, None)  # an interruption from here on leaves an unfinished run
        parts = self.write_parts(folder)
        write_arrays(folder / "history.h5", "history", history_arrays(self.history))
        write_run(folder, request, summary, ("history.h5", *parts))
        return folder

    def report(self, path: str | Path, data: Any = None) -> Path:
        """Write one page for others: equation and conditions, errors, figure, diagnosis, settings,
        versions, and the lines that repeat the training.

        It is HTML without scripts, with the figure inside: it needs neither other files nor a
        network.

        Args:
            path: The file, such as "report.html": a new one, or the report of the same run.
            data: What the errors and the figure are taken from, as for `error`.

        Returns:
            The path.

        Raises:
            ValueError: For a file that is no report of this run.
            OSError: When it cannot be written.
        """
        return write_report(self, Path(path), data)

    @property
    def deviation(self) -> Any:
        """The spread of the members that this stands for, for figures; None of one alone."""
        return None

    def diagnosis(self) -> str:
        """What limits the result, for the report; "" where nothing is known of it."""
        return ""

    def _repr_html_(self) -> str:
        """The table that notebooks show."""
        return as_table(rows_of(self), type(self).__name__)

    def __repr__(self) -> str:
        last = self.history[-1].errors if self.history else {}
        errors = ", ".join(f"{name} {value:.1e}" for name, value in last.items())
        parts = [self.request["problem"], *self._named(), f"{self.status} after {self.steps} steps"]
        return f"{type(self).__name__}({', '.join(parts)}{f'; error {errors}' if errors else ''})"

    def _named(self) -> list[str]:
        """The coefficients, for the one line that shows it."""
        found = self.history[-1].coefficients if self.history else {}  # of those sought
        coefficients = self.request["coefficients"] | found
        return [f"{k} = {v:.6g}" for k, v in coefficients.items() if isinstance(v, int | float)]


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedOnce(Trained):
    """Abstract: what one training leaves, with its parameters.

    Attributes:
        model: Everything of what was trained but its parameters.
        params: The trained parameters.
        state: What training would go on from; what was loaded has none.
        others: Models and parameters of further members of an ensemble, which this stands for
            together with its own.
        statistic: What is answered of all of them: `mean_of` or `spread_of`.
    """

    request: dict[str, Any]
    model: Any
    params: Params
    history: list[Report]
    status: str
    compile_seconds: float = 0.0
    state: TrainState | None = None
    others: tuple[tuple[Any, Params], ...] = ()
    statistic: Callable[[Any], Any] = mean_of

    def over_members(self, evaluate: Callable[[Any, Params], Any]) -> Any:
        """What an evaluation gives; of several members together, the statistic over them.

        Args:
            evaluate: From a model and parameters to arrays, in any tree.
        """
        found = evaluate(self.model, self.params)
        if not self.others:
            return found
        each = [found, *(evaluate(model, params) for model, params in self.others)]
        return jax.tree.map(lambda *values: self.statistic(np.stack(values)), *each)

    @property
    def deviation(self) -> Any:
        return replace(self, statistic=spread_of) if self.others else None

    @property
    def num_parameters(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return count_parameters(self.params)

    def scaling(self) -> dict[str, np.ndarray]:
        """What outputs at every point are scaled by: nothing but for a map on a grid."""
        return {}

    def weights(self) -> dict[str, np.ndarray]:
        arrays = {f"{PARAMS}{name}": leaf for name, leaf in named_leaves(self.params).items()}
        arrays |= {f"{SCALES}{name}": array for name, array in self.scaling().items()}
        return {name: np.asarray(array) for name, array in arrays.items()}


def refuse_snapshots(trained: Trained, snapshots: int | None) -> None:
    """Raises ValueError where a number of snapshots is asked of what is no surrogate."""
    if snapshots is not None:
        raise ValueError(
            f"snapshots= is for surrogates of time steps, and this is a {type(trained).__name__}; "
            "leave it out"
        )


def refuse_weights(trained: Trained) -> ValueError:
    """What is said of several trainings, which no file of weights holds."""
    return ValueError(
        f"a {type(trained).__name__} consists of several trainings, and a .safetensors file holds "
        "one; export it as .stablehlo, or keep it with save(FOLDER)"
    )


def check_folder(folder: Path, request: Mapping[str, Any]) -> None:
    """Raises ValueError when a folder holds another run than the requested one."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose a folder for the run")
    if not (folder / "run.json").exists():
        return
    before = read_run(folder)["request"]
    check_same(before, request, holds=f"{folder} holds", remedy="choose another folder")


def write_state(
    folder: Path,
    state: TrainState | None,
    params: Params,
    history: Sequence[Report],
    request: Mapping[str, Any],
) -> None:
    """The checkpoint of a run directory; a result that knows its parameters only leaves one that is
    there alone.
    """
    if state is not None or not (folder / CHECKPOINT).exists():
        save_checkpoint(folder / CHECKPOINT, state, params, history, request)


def count_parameters(params: Params) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(params, eqx.is_array)))


def error_statistics(relative: Sequence[float] | np.ndarray, largest: float) -> dict[str, float]:
    """The row of `Errors` for the relative L2 errors of some samples and the largest error at any
    point.
    """
    values = np.asarray(relative, np.float64)
    with np.errstate(invalid="ignore"):  # the spread of infinite errors is not a number
        spread = float(np.std(values))
    return {
        "mean": float(np.mean(values)),
        "std": spread,
        "median": float(np.median(values)),
        "worst": float(np.max(values)),
        "max_abs": float(largest),
    }
