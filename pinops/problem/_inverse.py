"""Inverse problems: a PDE with some coefficients unknown and observations of its solution."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import equinox as eqx
import numpy as np

from pinops.problem._condition import Condition
from pinops.problem._derived import DerivedProblem
from pinops.problem._observed import Observed
from pinops.problem._problem import Problem, coefficients
from pinops.problem._windows import Window
from pinops.reference import Reference


class InverseProblem(DerivedProblem):
    """A problem with observations added and coefficients to be found, made by `pinops.invert`.

    Raises:
        ValueError: For a coefficient that does not exist.
    """

    problem: Problem
    observations: Observed
    unknown_coefficients: tuple[str, ...] = eqx.field(static=True)

    def __check_init__(self):
        known = {field.name for field in fields(self.problem) if not field.metadata.get("static")}
        for name in self.unknown_coefficients:
            if name not in known:
                raise ValueError(
                    f"{type(self.problem).__name__} has no coefficient {name!r} to be found; "
                    f"it has {', '.join(sorted(known)) or 'none'}"
                )

    @property
    def trainable(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.unknown_coefficients

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.problem.residual

    def conditions(self) -> tuple[Condition, ...]:
        return (*self.problem.conditions(), self.observations)

    def reference(self) -> Reference | None:
        """None: the solution belongs to coefficients that are not known."""
        return None


def holder(problem: Problem) -> Problem:
    """The problem that holds the coefficients: itself, or the one inside."""
    return holder(problem.problem) if isinstance(problem, InverseProblem | Window) else problem


def coefficients_of(problem: Problem) -> dict[str, Any]:
    """The coefficients of a problem by name, those of the inner one for an inverse problem."""
    return coefficients(holder(problem))


def coefficients_as_json(problem: Problem) -> dict[str, Any]:
    """The coefficients that are numbers, texts and nested lists of them."""
    arrays = {name: np.asarray(value) for name, value in coefficients_of(problem).items()}
    return {name: array.tolist() for name, array in arrays.items() if array.dtype != object}
