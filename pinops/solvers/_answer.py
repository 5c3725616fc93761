"""A solved problem, whatever it consists of: evaluated at named coordinates, compared, drawn and
kept.
"""

import abc
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from pinops._numbers import real
from pinops.data import bounds_of, cached_reference, write_arrays
from pinops.metrics import deviations, errors
from pinops.problem import Problem, fingerprint, warn_outside
from pinops.reference import Reference
from pinops.solvers._diagnose import Diagnosis
from pinops.solvers._export import Program, Shape
from pinops.solvers._trained import Errors, Trained, error_statistics, refuse_snapshots


class Answer(Trained):
    """Abstract: the solution of one problem."""

    problem: Problem
    coefficients: Any
    conditions: Any

    @property
    @abc.abstractmethod
    def field(self) -> Callable[[Float[Array, " d"]], Float[Array, " c"]]:
        """The solution as a pure JAX function of one point, coordinates to unknowns.

        `jax.jit`, `jax.grad` and `jax.vmap` work on it. It computes in the precision that is in
        force where it is called.
        """

    @abc.abstractmethod
    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Every unknown at named coordinates, by name."""

    @abc.abstractmethod
    def partial(self, name: str, **coordinates: Any) -> np.ndarray:
        """A partial derivative by its name: ``solution.partial("u_x", x=0.3, t=0.5)``."""

    @abc.abstractmethod
    def residual(self, **coordinates: Any) -> dict[str, np.ndarray]:
        """Every interior equation at named coordinates, by its name, in its own units."""

    @abc.abstractmethod
    def diagnose(self) -> Diagnosis:
        """What limits the answer."""

    def diagnosis(self) -> str:
        return str(self.diagnose()) if self.history else ""

    @property
    def subject(self) -> Problem:
        return self.problem

    @cached_property
    def reference(self) -> Reference | None:
        """The verified reference of the problem; None without one, and where coefficients were
        found: it is that of others.
        """
        if set(self.request["trainable"]) - set(self.problem.trainable):
            return None
        return cached_reference(self.problem)

    @property
    def windows(self) -> tuple[tuple[float, float], ...]:
        """The first and the last time of each time window; none where time is not divided."""
        return ()

    def __call__(self, **coordinates: Any) -> Any:
        """The solution at named coordinates that broadcast against each other:
        ``solution(x=0.3, t=0.5)``.

        Returns:
            An array for one unknown, a dict of arrays by unknown for several; NumPy arrays, or JAX
            arrays inside of a function that JAX traces.

        Raises:
            ValueError: For a coordinate that is missing, does not exist, or does not broadcast.
        """
        if any(isinstance(value, Tracer) for value in coordinates.values()):
            values: Mapping[str, Any] = self._traced(coordinates)
        else:
            warn_outside(self.problem, self._points(coordinates)[0], stacklevel=2)
            values = self.values(coordinates)
        return values if len(values) > 1 else next(iter(values.values()))

    def _traced(self, coordinates: Mapping[str, Any]) -> dict[str, Array]:
        names = self._checked(coordinates)
        arrays = jnp.broadcast_arrays(*(jnp.asarray(coordinates[name], float) for name in names))
        points = jnp.stack([array.ravel() for array in arrays], -1)
        out = jax.vmap(self.field)(points)
        shape = arrays[0].shape
        return {name: out[:, k].reshape(shape) for k, name in enumerate(self.problem.unknowns)}

    def _checked(self, coordinates: Mapping[str, Any]) -> tuple[str, ...]:
        """The coordinates of the problem, all of which must be given and no others."""
        names = self.problem.domain.coordinates
        for name in coordinates:
            if name not in names:
                raise ValueError(
                    f"there is no coordinate {name!r}; the coordinates are {', '.join(names)}"
                )
        missing = [name for name in names if name not in coordinates]
        if missing:
            raise ValueError(f"the coordinate {missing[0]!r} is missing; give {', '.join(names)}")
        return names

    def _points(self, coordinates: Mapping[str, Any]) -> tuple[np.ndarray, tuple[int, ...]]:
        names = self._checked(coordinates)
        for name in names:
            real(coordinates[name], f"the coordinate {name}")
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

    def error(self, data: Reference | None = None) -> Errors:
        """Relative L2 and largest errors over the grid of the reference, that of the problem by
        default.

        Raises:
            ValueError: When the problem has no reference.
        """
        reference = self.reference if data is None else data
        if reference is None:
            raise ValueError(
                f"{self.request['problem']} has no reference to compare with; give the problem an "
                "exact solution or a "
                "reference"
            )
        domain = self.problem.domain
        values = self.values(reference.coordinates)
        found = errors(values, reference, gauge=self.problem.gauge, time=domain.time)
        return {
            name: error_statistics([error["relative_l2"]], error["max_abs"])
            for name, error in found.items()
        }

    def known_errors(self, data: Reference | None = None) -> Errors:
        return self.error(data) if (data or self.reference) is not None else {}

    def details(self, data: Reference | None = None) -> dict[str, Any]:
        reference = self.reference if data is None else data
        known = None
        if reference is not None:
            known = {"kind": reference.kind, "error_bar": reference.error_bar}
        divided = {"windows": [list(each) for each in self.windows]} if self.windows else {}
        return divided | {
            "reference": known,
            "coefficients": self.coefficients,
            "conditions": self.conditions,
            "scales": self.request.get("scales"),
        }

    def plot(self, path: str | Path | None = None, data: Reference | None = None) -> Any:
        """A figure of solution, reference, error and loss history; written to ``path`` where given.

        Args:
            path: Where the figure is written.
            data: The reference, that of the problem by default.
        """
        from pinops.plotting import plot_solution

        return plot_solution(self, path, reference=data)

    def animate(
        self, path: str | Path, data: Reference | None = None, *, seconds: float = 5.0
    ) -> Path:
        from pinops.plotting import animate_solution

        return animate_solution(self, path, seconds=seconds, reference=data)

    def identified(self) -> dict[str, Any]:
        # The solution of one member of an operator has no fingerprint before it is kept.
        if self.request.get("fingerprint") is not None:
            return self.request
        return self.request | {"fingerprint": fingerprint(self.problem)}

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        names, unknowns, field = self.problem.domain.coordinates, self.problem.unknowns, self.field

        def call(given: Mapping[str, Array]) -> dict[str, Array]:
            out = jax.vmap(field)(jnp.stack([given[name] for name in names], -1))
            return {name: out[:, k] for k, name in enumerate(unknowns)}

        shapes: dict[str, Shape] = dict.fromkeys(names, ("n",))
        about = {"bounds": bounds_of(self.problem)}
        return Program(call, shapes, dict.fromkeys(unknowns, ("n",)), about)

    def write_grid(self, folder: Path) -> None:
        """``solution.h5``: the solution on the grid of the reference, and its error."""
        reference, domain = self.reference, self.problem.domain
        coordinates = reference.coordinates if reference else domain.evaluation_coordinates()
        arrays = {f"coordinates/{name}": np.asarray(array) for name, array in coordinates.items()}
        values = self.values(coordinates)
        arrays |= {f"solution/{name}": value for name, value in values.items()}
        attributes: dict[str, Any] = {
            "problem": self.request["problem"],
            "coordinates": list(coordinates),
        }
        if reference:
            arrays |= {f"reference/{name}": value for name, value in reference.values.items()}
            off = deviations(values, reference, gauge=self.problem.gauge, time=domain.time)
            arrays |= {f"error/{name}": difference for name, (difference, _) in off.items()}
            attributes |= {
                "reference": reference.kind,
                "error_bar": reference.error_bar,
                "source": reference.source,
            }
        write_arrays(folder / "solution.h5", "solution", arrays, attributes)
