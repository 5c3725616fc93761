"""Several results that differ in their seed: mean and spread."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pinops.data import write_run
from pinops.problem import Problem
from pinops.solvers._export import Program
from pinops.solvers._trained import (
    Errors,
    Trained,
    check_folder,
    error_statistics,
    refuse_weights,
)
from pinops.training import Report


@dataclass(frozen=True, repr=False)
class Ensemble(Trained):
    """What ``ensemble=8`` gives: results of trainings with different seeds, in their order.

    Its history is that of the first member; ``ensemble[k]`` is a member.
    """

    members: tuple[Trained, ...]

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

    def __call__(self, *inputs: Any, **coordinates: Any) -> Any:
        """The mean of what the members give; of operators, the ensemble of their solutions."""
        return self.mean(*inputs, **coordinates)

    def mean(self, *inputs: Any, **coordinates: Any) -> Any:
        """The mean over the members, in the form that one of them has."""
        return self._over(np.mean, inputs, coordinates)

    def spread(self, *inputs: Any, **coordinates: Any) -> Any:
        """The standard deviation over the members (divisor n), in the form that one of them has."""
        return self._over(np.std, inputs, coordinates)

    def _over(self, statistic: Any, inputs: tuple[Any, ...], coordinates: dict[str, Any]) -> Any:
        found = [member(*inputs, **coordinates) for member in self.members]  # pyright: ignore
        first = found[0]
        if isinstance(first, Trained):
            return Ensemble(tuple(found))
        if isinstance(first, dict):
            return {name: statistic([value[name] for value in found], axis=0) for name in first}
        return statistic(found, axis=0)

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

    def details(self, data: Any = None) -> dict[str, Any]:
        return {"members": [member.summary(data) for member in self.members]}

    def identified(self) -> dict[str, Any]:
        return self.members[0].identified() | {"ensemble": self.request["ensemble"]}

    def program(self, snapshots: int | None = None) -> Program:
        """Mean and standard deviation over the members, each from the same inputs."""
        programs = [member.program(snapshots) for member in self.members]
        first = programs[0]

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            found = [program.call(inputs) for program in programs]
            stacks = {name: jnp.stack([one[name] for one in found]) for name in first.outputs}
            means = {name: jnp.mean(stack, 0) for name, stack in stacks.items()}
            return means | {f"{name}_spread": jnp.std(s, 0) for name, s in stacks.items()}

        spreads = {f"{name}_spread": shape for name, shape in first.outputs.items()}
        return Program(call, first.inputs, {**first.outputs, **spreads}, first.about)

    def weights(self) -> dict[str, np.ndarray]:
        raise refuse_weights(self)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        for member in self.members:
            member.save(folder / f"seed_{member.request['seed']}")
        return ()

    def save_summary(self, folder: Path, data: Any = None) -> None:
        """``run.json`` of the ensemble, whose members are there already."""
        request = self.identified()
        check_folder(folder, request)
        write_run(folder, request, self.summary(data))


def _over_members(found: list[Errors]) -> Errors:
    return {
        name: error_statistics(
            [errors[name]["mean"] for errors in found],
            max(errors[name]["max_abs"] for errors in found),
        )
        for name in found[0]
    }
