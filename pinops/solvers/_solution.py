"""A solution: the trained field with its problem, its history and its error against the reference."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import cached_reference, read_run, write_arrays, write_run
from pinops.derivatives import parse_names
from pinops.metrics import deviations, errors
from pinops.problem import Problem, coefficients_as_json, fingerprint, names_of
from pinops.reference import Reference
from pinops.solvers._diagnose import Diagnosis, diagnose
from pinops.training import (
    Model,
    Params,
    Report,
    TrainState,
    difference,
    difference_of_problems,
    evaluate,
    history_arrays,
    save_checkpoint,
)

CHECKPOINT = Path("checkpoint") / "state.h5"


class Answer(abc.ABC):
    """Abstract: a solved problem that can be evaluated, compared, drawn and kept, whatever it consists of."""

    problem: Problem
    request: dict[str, Any]
    history: Any
    status: Any
    compile_seconds: Any
    num_parameters: Any
    coefficients: Any
    conditions: Any

    @abc.abstractmethod
    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Every unknown at named coordinates, by name."""

    @abc.abstractmethod
    def partial(self, name: str, **coordinates: Any) -> np.ndarray:
        """A partial derivative by its name: ``solution.partial("u_x", x=0.3, t=0.5)``."""

    @abc.abstractmethod
    def save(self, folder: str | Path) -> Path:
        """Write a run directory. Loading it executes no code."""

    @property
    def x64(self) -> bool:
        return self.request["dtype"] == "float64"

    @property
    def seconds(self) -> float:
        """Wall time of training, compilation included."""
        return self.history[-1].seconds if self.history else 0.0

    @property
    def steps(self) -> int:
        return self.history[-1].step if self.history else 0

    @cached_property
    def reference(self) -> Reference | None:
        """The verified reference of the problem; None without one, and where coefficients were found: it is that of others."""
        if set(self.request["trainable"]) - set(self.problem.trainable):
            return None
        return cached_reference(self.problem)

    def __call__(self, **coordinates: Any) -> np.ndarray | dict[str, np.ndarray]:
        """The solution at named coordinates that broadcast against each other: ``solution(x=0.3, t=0.5)``.

        An array for one unknown, a dict of arrays by unknown for several.

        **Raises** ValueError for a coordinate that is missing, does not exist, or does not broadcast.
        """
        values = self.values(coordinates)
        return values if len(values) > 1 else next(iter(values.values()))

    def _points(self, coordinates: Mapping[str, Any]) -> tuple[np.ndarray, tuple[int, ...]]:
        names = self.problem.domain.coordinates
        for name in coordinates:
            if name not in names:
                raise ValueError(
                    f"there is no coordinate {name!r}; the coordinates are {', '.join(names)}"
                )
        missing = [name for name in names if name not in coordinates]
        if missing:
            raise ValueError(f"the coordinate {missing[0]!r} is missing; give {', '.join(names)}")
        try:
            arrays = np.broadcast_arrays(
                *(np.asarray(coordinates[name], np.float64) for name in names)
            )
        except ValueError:
            shapes = {name: np.shape(coordinates[name]) for name in names}
            raise ValueError(
                f"the coordinates must broadcast against each other, got shapes {shapes}"
            ) from None
        return np.stack([array.ravel() for array in arrays], -1), arrays[0].shape

    def error(self) -> dict[str, dict[str, float]]:
        """``{unknown: {"relative_l2": ..., "max_abs": ...}}`` against the reference, over its whole grid.

        **Raises** ValueError when the problem has no reference.
        """
        if self.reference is None:
            raise ValueError(
                f"{self.request['problem']} has no reference to compare with; give the problem an exact solution or a reference"
            )
        values = self.values(self.reference.coordinates)
        return errors(
            values, self.reference, gauge=self.problem.gauge, time=self.problem.domain.time
        )

    def summary(self) -> dict[str, Any]:
        """What a run was and what came out: the contents of ``run.json`` and of ``--json``."""
        error = self.error() if self.reference is not None else {}
        reference = None
        if self.reference is not None:
            reference = {"kind": self.reference.kind, "error_bar": self.reference.error_bar}
        return {
            "problem": self.request["problem"],
            "relative_l2": {name: value["relative_l2"] for name, value in error.items()},
            "max_abs": {name: value["max_abs"] for name, value in error.items()},
            **training_summary(
                self.request, self.history, self.compile_seconds, self.num_parameters, self.status
            ),
            "reference": reference,
            "coefficients": self.coefficients,
            "conditions": self.conditions,
        }

    def plot(self, path: str | Path | None = None) -> Any:
        """A figure of solution, reference, error and loss history; written to ``path`` where given."""
        from pinops.plotting import plot_solution

        return plot_solution(self, path)

    def _save_summary(self, folder: Path) -> Path:
        """``run.json``, ``history.h5`` and ``solution.h5``."""
        summary, grid = self.summary(), self._grid()
        # The solution of one member of an operator has none yet.
        request = {"fingerprint": None, **self.request}
        request["fingerprint"] = request["fingerprint"] or fingerprint(self.problem)
        write_run(folder, request, None)  # whatever happens from here on leaves an unfinished run
        write_arrays(folder / "history.h5", "history", history_arrays(self.history))
        write_arrays(folder / "solution.h5", "solution", *grid)
        write_run(folder, request, summary, ("history.h5", "solution.h5"))
        return folder

    def _grid(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        reference = self.reference
        coordinates = (
            reference.coordinates if reference else self.problem.domain.evaluation_coordinates()
        )
        arrays = {f"coordinates/{name}": np.asarray(array) for name, array in coordinates.items()}
        values = self.values(coordinates)
        arrays |= {f"solution/{name}": value for name, value in values.items()}
        attributes: dict[str, Any] = {
            "problem": self.request["problem"],
            "coordinates": list(coordinates),
        }
        if reference:
            arrays |= {f"reference/{name}": value for name, value in reference.values.items()}
            off = deviations(
                values, reference, gauge=self.problem.gauge, time=self.problem.domain.time
            )
            arrays |= {f"error/{name}": difference for name, (difference, _) in off.items()}
            attributes |= {
                "reference": reference.kind,
                "error_bar": reference.error_bar,
                "source": reference.source,
            }
        return arrays, attributes


@dataclass(frozen=True)
class Solution(Answer):
    """What `solve` returns. Immutable; evaluates in the precision that it was trained in.

    ``status`` is "finished", "stopped" (by a callback), "converged" (no step decreases the loss any more), "out of time",
    or "diverged". ``state`` is what training would go on from; a loaded solution has none.
    """

    problem: Problem
    request: dict[str, Any]
    model: Model
    params: Params
    history: list[Report]
    status: str
    compile_seconds: float = 0.0
    state: TrainState | None = None

    @property
    def num_parameters(self) -> int:
        """How many numbers were trained."""
        return count_parameters(self.params)

    @property
    def coefficients(self) -> dict[str, float]:
        """All coefficients; those that were to be found at their estimates."""
        with jax.enable_x64(self.x64):
            found = self.model.coefficients(self.params)
            return coefficients_as_json(self.problem) | {
                name: np.asarray(value).tolist() for name, value in found.items()
            }

    @property
    def network(self) -> Any:
        """The trained network: embedded coordinates ``(features,)`` to unknowns ``(c,)``, before units and conditions."""
        return eqx.combine(self.params.network, self.model.frozen)

    @property
    def conditions(self) -> list[str]:
        """How each condition is met, and why not exactly where it is not."""
        imposition = self.model.imposition
        words = {"hard": "imposed exactly", "embedded": "imposed exactly", "soft": "a loss term"}
        rows = zip(self.problem.conditions(), imposition.how, imposition.why, strict=True)
        return [
            f"{type(c).__name__}: {words[how]}{f' ({why})' if why else ''}" for c, how, why in rows
        ]

    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        points, shape = self._points(coordinates)
        with jax.enable_x64(self.x64):
            out = np.asarray(
                evaluate(self.model, self.params, jnp.asarray(points, jnp.result_type(float)))
            )
        return {name: out[:, k].reshape(shape) for k, name in enumerate(self.problem.unknowns)}

    def partial(self, name: str, **coordinates: Any) -> np.ndarray:
        points, shape = self._points(coordinates)
        signature = parse_names((name,), names_of(self.problem), owner="partial")
        with jax.enable_x64(self.x64):
            array = jnp.asarray(points, jnp.result_type(float))
            jet = self.model.field(self.params).jet(array, signature.plan)
            value = np.asarray(signature.gather(jet, array)[name])
        return value.reshape(shape + value.shape[1:])

    def diagnose(self) -> Diagnosis:
        """What limits the answer: the reference, the points, the optimizer or the network. Print it for a report.

        **Raises** ValueError for a solution without a step of training.
        """
        if not self.history:
            raise ValueError("there is nothing to diagnose before the first steps of training")
        error = self.error() if self.reference is not None else {}
        relative = {name: value["relative_l2"] for name, value in error.items()}
        bars = {} if self.reference is None else self.reference.error_bar
        with jax.enable_x64(self.x64):
            return diagnose(
                self.model, self.params, self.state, self.history[-1].loss, relative, bars
            )

    def save(self, folder: str | Path) -> Path:
        """Write a run directory: ``run.json, history.h5, checkpoint/, solution.h5``. Loading it executes no code.

        **Raises** ValueError for a folder that holds another run; OSError when it cannot be written.
        """
        folder = Path(folder)
        if (folder / "run.json").exists():
            before = read_run(folder)["request"]
            name = difference(before, self.request)
            if name is not None:
                raise ValueError(
                    f"{folder} holds another run, with a different {name}; choose another folder"
                )
            words = difference_of_problems(before, self.request)
            if words is not None:
                raise ValueError(
                    f"{folder} holds a run of another problem: {words}; choose another folder"
                )
        # A loaded solution knows its parameters only: a checkpoint that is there knows more.
        if self.state is not None or not (folder / CHECKPOINT).exists():
            save_checkpoint(
                folder / CHECKPOINT, self.state or self.params, self.history, self.request
            )
        return self._save_summary(folder)


def count_parameters(params: Params) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(params, eqx.is_array)))


def training_summary(
    request: Mapping[str, Any],
    history: Sequence[Report],
    compile_seconds: float,
    parameters: int,
    status: str,
) -> dict[str, Any]:
    """What any training was, for ``run.json`` and ``--json``."""
    devices = jax.devices()
    return {
        "seconds": round(history[-1].seconds, 3) if history else 0.0,
        "compile_seconds": round(compile_seconds, 3),
        "steps": history[-1].step if history else 0,
        "parameters": parameters,
        "seed": request["seed"],
        "dtype": request["dtype"],
        "device": f"{len(devices)} x {devices[0].device_kind}",
        "status": status,
        "loss": history[-1].loss if history else None,
    }
