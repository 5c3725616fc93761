"""Several results that differ in their seed: mean and spread."""

import abc
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pinops.data import write_run
from pinops.problem import Problem
from pinops.solvers._export import Program
from pinops.solvers._trained import (
    Errors,
    Trained,
    check_folder,
    error_statistics,
    mean_of,
    refuse_weights,
    spread_of,
)
from pinops.training import Report


@dataclass(frozen=True, repr=False)
class Several(Trained):
    """Abstract: results of trainings with different seeds, in their order.

    Its history is that of the first member; ``ensemble[k]`` is a member. Instances: `Ensemble`,
    whose members differ in their seed, and `TrainedUncertain`, whose members have different priors
    and samples, too.
    """

    members: tuple[Any, ...]

    @cached_property
    def request(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The request of the first member, with the seeds of all."""
        return self.members[0].request | {"ensemble": [m.request["seed"] for m in self.members]}

    @property
    def subject(self) -> Problem:
        return self.members[0].subject

    @property
    def history(self) -> list[Report]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.members[0].history

    @property
    def status(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The status of all members, or the first that is not "finished"."""
        states = [member.status for member in self.members]
        return next((status for status in states if status != "finished"), "finished")

    @property
    def compile_seconds(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.members[0].compile_seconds

    @property
    def num_parameters(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of all members."""
        return sum(member.num_parameters for member in self.members)

    def __getitem__(self, k: int) -> Any:
        return self.members[k]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.members)

    @abc.abstractmethod
    def __call__(self, *inputs: Any, **coordinates: Any) -> Any:
        """What the members give together."""

    def each(self, *inputs: Any, **coordinates: Any) -> Any:
        """What every member gives, in the form that one of them has with a leading axis of members;
        of operators, the same of their solutions of one problem.
        """
        first, *others = self.members
        found = [first(*inputs, **coordinates)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the first has said of the inputs
            found += [member(*inputs, **coordinates) for member in others]
        if isinstance(found[0], Trained):
            return type(self)(tuple(found))
        return jax.tree.map(_stacked, *found)

    def mean(self, *inputs: Any, **coordinates: Any) -> Any:
        """The mean over the members, in the form that one of them has."""
        return self._over(mean_of, inputs, coordinates)

    def spread(self, *inputs: Any, **coordinates: Any) -> Any:
        """The standard deviation over the members (divisor n - 1), in the form that one of them
        has.
        """
        return self._over(spread_of, inputs, coordinates)

    def _over(self, statistic: Any, inputs: tuple[Any, ...], coordinates: dict[str, Any]) -> Any:
        found = self.each(*inputs, **coordinates)
        return found if isinstance(found, Several) else jax.tree.map(statistic, found)

    def identified(self) -> dict[str, Any]:
        return self.members[0].identified() | {"ensemble": self.request["ensemble"]}

    def program(self, snapshots: int | None = None) -> Program:
        """Mean and standard deviation over the members, each from the same inputs."""
        programs = [member.program(snapshots) for member in self.members]
        first = programs[0]

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            found = [program.call(inputs) for program in programs]
            stacks = {name: jnp.stack([one[name] for one in found]) for name in first.outputs}
            means = {name: mean_of(stack) for name, stack in stacks.items()}
            return means | {f"{name}_spread": spread_of(s) for name, s in stacks.items()}

        spreads = {f"{name}_spread": shape for name, shape in first.outputs.items()}
        return Program(call, first.inputs, {**first.outputs, **spreads}, first.about)

    def weights(self) -> dict[str, np.ndarray]:
        raise refuse_weights(self)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        for member in self.members:
            member.save(folder / f"seed_{member.request['seed']}")
        return self.write_own(folder)

    def write_own(self, folder: Path) -> tuple[str, ...]:
        """The files besides those of the members; by default none.

        Returns:
            Their names.
        """
        return ()

    def save_summary(self, folder: Path, data: Any = None) -> None:
        """``run.json`` of the ensemble, whose members are there already."""
        request = self.identified()
        check_folder(folder, request)
        write_run(folder, request, self.summary(data), self.write_own(folder))


def _stacked(*values: Any) -> Any:
    traced = any(isinstance(value, Tracer) for value in values)
    return jnp.stack(values) if traced else np.stack(values)


@dataclass(frozen=True, repr=False)
class Ensemble(Several):
    """What ``ensemble=8`` gives: results of trainings with different seeds, in their order.

    Its history is that of the first member; ``ensemble[k]`` is a member.
    """

    def __call__(self, *inputs: Any, **coordinates: Any) -> Any:
        """The mean of what the members give; of operators, the ensemble of their solutions."""
        return self.mean(*inputs, **coordinates)

    def error(self, data: Any = None) -> Errors:
        """Statistics over the members of their mean errors."""
        found = [member.error(data) for member in self.members]
        return _over_members(found)

    def known_errors(self, data: Any = None) -> Errors:
        found = [member.known_errors(data) for member in self.members]
        return _over_members(found) if all(found) else {}

    def plot(self, path: str | Path | None = None, data: Any = None) -> Any:
        """The figure of the first member, as its title states."""
        from pinops.plotting import write_figure

        figure = self.members[0].plot(None, data)
        figure.suptitle(f"first of {len(self)} members: {figure.get_suptitle()}")
        if path is not None:
            write_figure(figure, path)
        return figure

    def animate(self, path: str | Path, data: Any = None, *, seconds: float = 5.0) -> Path:
        """The animation of the first member; arguments as for `Trained.animate`."""
        return self.members[0].animate(path, data, seconds=seconds)

    def details(self, data: Any = None) -> dict[str, Any]:
        return {"members": [member.summary(data) for member in self.members]}


def _over_members(found: list[Errors]) -> Errors:
    return {
        name: error_statistics(
            [errors[name]["mean"] for errors in found],
            max(errors[name]["max_abs"] for errors in found),
        )
        for name in found[0]
    }
