"""Where `load` finds what a training has left: in a run directory, or in one file of weights."""

import abc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from pinops.data import (
    DataFileError,
    read_arrays,
    read_description,
    read_run,
    read_weights,
)
from pinops.solvers._trained import CHECKPOINT, PARAMS, SCALES, SCALING
from pinops.training import (
    Params,
    Report,
    check_checkpoint,
    filled,
    load_params,
)

WEIGHTS = ".safetensors"
_SPARE = 64 * 2**20  # bytes that a network may have beside what is in its file
_FROZEN = 256  # numbers that are not trained for each one that is


class Stored(abc.ABC):
    """Abstract: a training as stored in a folder or a file.

    Attributes:
        where: Its folder or file, for messages.
        content: Its description, as ``run.json`` has it.
    """

    where: Path
    content: dict[str, Any]

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return self.content["request"]

    @abc.abstractmethod
    def check(self, build: Callable[[PRNGKeyArray], Any]) -> None:
        """Raises DataFileError for a network that is not in the file, before anything of it is
        allocated.
        """

    @abc.abstractmethod
    def params(self, template: Params) -> tuple[Params, list[Report]]:
        """The trained parameters in the structure of ``template``, and the history."""

    @abc.abstractmethod
    def scaling(self) -> tuple[Path, Mapping[str, np.ndarray]]:
        """What outputs at every point are scaled by, and its file."""


class RunFolder(Stored):
    """A run directory."""

    def __init__(self, folder: Path):
        self.where, self.content = folder, read_run(folder)

    def check(self, build: Callable[[PRNGKeyArray], Any]) -> None:
        check_checkpoint(self.where / CHECKPOINT, self.request)
        _check_size(build, self.where / CHECKPOINT)

    def params(self, template: Params) -> tuple[Params, list[Report]]:
        return load_params(self.where / CHECKPOINT, template, self.request)

    def scaling(self) -> tuple[Path, Mapping[str, np.ndarray]]:
        return self.where / SCALING, read_arrays(self.where / SCALING, "scaling")[0]


class WeightsFile(Stored):
    """A ``.safetensors`` file with its description beside it."""

    def __init__(self, file: Path):
        self.where, self.content = file, read_description(file)
        if "windows" in self.request or "ensemble" in self.request:
            raise DataFileError(f"{file} is described as several trainings; restore a copy")

    def check(self, build: Callable[[PRNGKeyArray], Any]) -> None:
        _check_size(build, self.where)

    def params(self, template: Params) -> tuple[Params, list[Report]]:
        return filled(self.where, self._named(PARAMS), template), self._history()

    def scaling(self) -> tuple[Path, Mapping[str, np.ndarray]]:
        return self.where, self._named(SCALES)

    def _named(self, prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): array
            for name, array in read_weights(self.where).items()
            if name.startswith(prefix)
        }

    def _history(self) -> list[Report]:
        """The end of the training, which is all that is known of it."""
        result = self.content["result"]
        if result["loss"] is None:  # nothing was trained
            return []
        end = Report(
            step=result["steps"],
            total_steps=result["steps"],
            phase="",
            loss=result["loss"],
            terms={},
            errors={},
            coefficients={},
            seconds=result["seconds"],
        )
        return [end]


def of_stored(
    model: Any, params: Params, history: list[Report], content: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a result that every kind has, but for the request."""
    result = content["result"] or {"status": "unfinished", "compile_seconds": 0.0}
    outcome = {name: result[name] for name in ("status", "compile_seconds")}
    return {"model": model, "params": params, "history": history, **outcome}


def stored_at(path: Path) -> Stored:
    """What is kept at a path.

    Raises:
        FileNotFoundError: Where there is nothing.
        DataFileError: A ValueError, where it is damaged.
        ValueError: For a file that holds a program.
    """
    if path.suffix == WEIGHTS and not path.is_dir():
        return WeightsFile(path)
    if path.is_file():
        raise ValueError(
            f"{path} is neither a run directory nor a {WEIGHTS} file, which load reads; a "
            ".stablehlo file is called by jax.export.deserialize, an .onnx file by ONNX Runtime"
        )
    return RunFolder(path)


def _check_size(build: Callable[[PRNGKeyArray], Any], file: Path) -> None:
    """Raises DataFileError for a network that is too large for its file."""
    try:
        shapes = eqx.filter_eval_shape(build, jax.random.key(0))
    except jax.errors.JAXTypeError:  # one that looks at its numbers while it is built
        return
    leaves = [leaf for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "dtype")]
    sizes = [leaf.dtype.itemsize * _product(leaf.shape) for leaf in leaves]
    found = file.stat().st_size
    if sum(sizes) > _SPARE + _FROZEN * found:
        raise DataFileError(
            f"{file} is a checkpoint of another training: "
            f"a network of {sum(sizes)} bytes does not lie in {found}; restore the right file"
        )


def _product(shape: tuple[int, ...]) -> int:
    """As Python integers, which do not overflow."""
    out = 1
    for length in shape:
        out *= int(length)
    return out
