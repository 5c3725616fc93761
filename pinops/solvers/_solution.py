"""A solution: the trained field with its problem, history and error against the reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import parse_names
from pinops.problem import (
    Problem,
    Window,
    coefficients_as_json,
    names_of,
    sentence,
    warn_outside,
)
from pinops.solvers._answer import Answer
from pinops.solvers._diagnose import Diagnosis, diagnose
from pinops.solvers._standard_errors import standard_errors
from pinops.solvers._trained import TrainedOnce, write_state
from pinops.training import (
    Model,
    cast,
    evaluate,
    interior_residuals,
    quantity,
)


@dataclass(frozen=True, repr=False, kw_only=True)
class Solution(TrainedOnce, Answer):
    """What `solve` returns. Immutable; evaluates in the precision that it was trained in.

    Attributes:
        problem: What was solved.
        model: The problem and all of the network but its parameters.
    """

    problem: Problem
    model: Model

    @property
    def coefficients(self) -> dict[str, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All coefficients; those that were to be found at their estimates."""
        with jax.enable_x64(self.x64):
            found = self.model.coefficients(self.params)
            estimates = {name: np.asarray(value).tolist() for name, value in found.items()}
        return coefficients_as_json(self.problem) | estimates

    @property
    def network(self) -> Any:
        """The trained network: embedded coordinates ``(features,)`` to unknowns ``(c,)``, before
        units and conditions.
        """
        return eqx.combine(self.params.network, self.model.frozen)

    @property
    def conditions(self) -> list[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How each condition is met, and why not exactly where it is not."""
        imposition = self.model.imposition
        words = {"hard": "imposed exactly", "embedded": "imposed exactly", "soft": "a loss term"}
        rows = zip(self.problem.conditions(), imposition.how, imposition.why, strict=True)
        return [
            f"{sentence(self.problem, c)}: {words[how]}{f' ({why})' if why else ''}"
            for c, how, why in rows
        ]

    @property
    def field(self) -> Callable[[Float[Array, " d"]], Float[Array, " c"]]:
        def field(point: Float[Array, " d"]) -> Float[Array, " c"]:
            model, params = cast((self.model, self.params))
            return model.field(params)(jnp.asarray(point, jnp.result_type(float)))

        return field

    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        points, shape = self._points(coordinates)
        with jax.enable_x64(self.x64):
            at = jnp.asarray(points, jnp.result_type(float))
            out = self.over_members(lambda model, params: np.asarray(evaluate(model, params, at)))
        return {name: out[:, k].reshape(shape) for k, name in enumerate(self.problem.unknowns)}

    def partial(self, name: str, **coordinates: Any) -> np.ndarray:
        points, shape = self._points(coordinates)
        if not isinstance(self.problem, Window):  # which is asked by the whole, that has warned
            warn_outside(self.problem, points, stacklevel=2)
        parse_names((name,), names_of(self.problem), owner="partial")  # refuses what is none
        with jax.enable_x64(self.x64):
            at = jnp.asarray(points, jnp.result_type(float))
            value = np.asarray(quantity(self.model, self.params, at, name))
        return value.reshape(shape + value.shape[1:])

    def residual(self, **coordinates: Any) -> dict[str, np.ndarray]:
        points, shape = self._points(coordinates)
        if not isinstance(self.problem, Window):
            warn_outside(self.problem, points, stacklevel=2)
        with jax.enable_x64(self.x64):
            at = jnp.asarray(points, jnp.result_type(float))
            found = interior_residuals(self.model, self.params, at)
        return {name: np.asarray(vector).reshape(shape) for name, vector in found.items()}

    def standard_errors(self) -> dict[str, Float[np.ndarray, "..."]]:
        """How far noise in the observations moves each coefficient that was to be found, in its
        units: the standard error of the Laplace approximation.

        It holds for independent noise, as given with the observations or else of one size in all
        of a quantity, and for a training that has come to rest. What the equation or the network
        miss does not count.

        Raises:
            ValueError: Where no coefficient was to be found, without observations, for a network of
                more than 4000 parameters, and where these follow every observation.

        Example:
            >>> truth = po.load_problem("heat", diffusivity=0.3).reference()
            >>> observed = po.observe(truth, count=300, noise=0.01)
            >>> options = {"network": po.networks.MLP(6, 1), "steps": 20, "progress": False}
            >>> guess = po.load_problem("heat")
            >>> found = po.invert(guess, observed, unknown="diffusivity", **options)
            >>> float(found.standard_errors()["diffusivity"]) > 0
            True
        """
        with jax.enable_x64(self.x64):
            return standard_errors(self.model, self.params, self.state)

    def diagnose(self) -> Diagnosis:
        """What limits the answer: its ``limit`` is the name of a cause. Print it for a report with
        the remedy.

        Causes are reference, diverged, scales, noise, discontinuity, kink, points, untrained,
        horizon (too long), conditions (neglected), optimizer and network.

        Raises:
            ValueError: For a solution without a step of training.
        """
        if not self.history and self.status != "diverged":
            raise ValueError("there is nothing to diagnose before the first steps of training")
        relative = {name: error["mean"] for name, error in self.known_errors().items()}
        with jax.enable_x64(self.x64):
            return diagnose(
                model=self.model,
                params=self.params,
                state=self.state,
                history=self.history,
                status=self.status,
                error=relative,
                reference=self.reference,
            )

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        self.write_grid(folder)
        return ("solution.h5",)
