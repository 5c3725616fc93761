"""The method of manufactured solutions: choose the solution, derive the data (Roache 2002)."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.derivatives import Jet, Names, Normal, Plan, Signature, nested, parse_signature, taking
from pinops.geometry import TERMINAL, Domain
from pinops.problem._condition import Condition
from pinops.problem._conditions import (
    Dirichlet,
    Equation,
    Initial,
    Interface,
    Neumann,
    Periodic,
    Robin,
)
from pinops.problem._constraints import observed_quantity
from pinops.problem._derived import DerivedProblem
from pinops.problem._guards import in_double
from pinops.problem._observed import Observed
from pinops.problem._problem import Problem, names_of, residual_signature, values_at


class ManufacturedProblem(DerivedProblem):
    """A problem shifted so that a chosen function solves it, made by `manufacture`."""

    problem: Problem
    solution: Callable[..., Any] = eqx.field(static=True)

    @property
    def exact(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return in_double(self.solution, owner="exact")

    @property
    def lift(self) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """None: that of the problem belongs to another solution."""
        return None

    @property
    def factor(self) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """None: that of the problem belongs to another solution."""
        return None

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The residual minus its value for the chosen solution: the source that makes it exact."""
        return self._shifted(self.problem.residual, residual_signature(self.problem))

    def conditions(self) -> tuple[Condition, ...]:
        return tuple(
            new for condition in self.problem.conditions() for new in self._with_data(condition)
        )

    def _jet(self, points: Any, plan: Plan) -> Jet:
        """The partial derivatives of the chosen solution at points, ``{index: (n, unknowns)}``."""

        def function(point):
            values = values_at(self, "exact", point)
            return jnp.stack([values[name] for name in self.unknowns])

        return nested(function, points, plan)

    def _exact_values(self, signature: Signature, point: Any, normal: Any = None) -> dict[str, Any]:
        """The arguments of an equation at one point, of the chosen solution."""
        found = signature.gather(
            self._jet(point[None], signature.plan),
            point[None],
            None if normal is None else normal[None],
            self._jet,
        )
        return {name: array[0] for name, array in found.items()}

    def _shifted(self, equation: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
        def shifted(point, **values):
            normal = values.get("normal")
            here = equation(
                **{
                    name: values[name] if name != "point" else point
                    for name, _ in signature.arguments
                }
            )
            there = equation(**self._exact_values(signature, point, normal))
            return jax.tree.map(jnp.subtract, here, there)

        arguments = ["point", *(name for name, _ in signature.arguments if name != "point")]
        if (
            any(isinstance(argument, Normal) for _, argument in signature.arguments)
            and "normal" not in arguments
        ):
            arguments.append("normal")
        return taking(shifted, arguments)

    def _derivative(self, unknown: str, axis: int | None) -> Callable[..., Any]:
        """The chosen solution of one unknown, or its derivative along one axis, as data."""
        component = self.unknowns.index(unknown)

        def data(point):
            jet = self._jet(point[None], Plan([()] if axis is None else [(axis,)]))
            return jet[() if axis is None else (axis,)][0, component]

        coordinates = self.domain.coordinates

        def by_coordinates(**values):
            return data(jnp.stack([values[name] for name in coordinates]))

        return taking(by_coordinates, coordinates)

    def _observed(self, condition: Observed) -> Observed:
        """The same observations of the chosen solution, without noise."""
        points = np.stack([condition.coordinates[name] for name in self.domain.coordinates], -1)
        values = {}
        # Data, not a part of the program that asks for them.
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            for name in condition.values:
                signature, quantity = observed_quantity(
                    names_of(self), condition, name, owner="Observed"
                )

                def at(point, signature=signature, quantity=quantity):
                    return quantity(self._exact_values(signature, point))

                values[name] = jax.vmap(at)(jnp.asarray(points))
            return Observed(
                condition.coordinates,
                values,
                quantities=condition.quantities,
                noise=condition.noise,
            )

    def _with_data(self, condition: Condition) -> list[Condition]:
        """The condition with data from the chosen solution, a normal derivative split by faces."""
        if isinstance(condition, Periodic):
            return [Periodic(condition.on)]  # even or not, the chosen function is what it is
        if isinstance(condition, Equation):
            at_instant = self.domain.select(condition.on) == (TERMINAL,)
            signature = parse_signature(
                condition.residual, names_of(self), owner="Equation", boundary=not at_instant
            )
            return [Equation(self._shifted(condition.residual, signature), on=condition.on)]
        if isinstance(condition, Interface):
            if condition.jump is not None:
                raise ValueError(
                    "manufacture: an Interface with a jump has no manufactured data; leave jump out"
                )
            signature = parse_signature(
                condition.flux, names_of(self), owner="Interface", boundary=True
            )
            return [Interface(self._shifted(condition.flux, signature), on=condition.on)]
        if isinstance(condition, Observed):
            return [self._observed(condition)]
        assert isinstance(condition, Dirichlet | Neumann | Robin | Initial)
        value, unknown = condition.value, condition.unknown
        unknowns = (
            tuple(value) if isinstance(value, dict) else (unknown,) if unknown else self.unknowns
        )
        values = {name: self._derivative(name, None) for name in unknowns}
        if isinstance(condition, Dirichlet):
            return [Dirichlet(values, condition.on, soft=condition.soft)]
        if isinstance(condition, Initial):
            assert self.domain.time is not None
            time = self.domain.coordinates.index(self.domain.time)
            if condition.derivative is None:
                return [Initial(values, soft=condition.soft)]
            derivative = condition.rates()
            moving = tuple(derivative) if isinstance(derivative, dict) else unknowns
            rates = {name: self._derivative(name, time) for name in moving}
            return [Initial(values, rates, soft=condition.soft)]
        out: list[Condition] = []
        alpha, beta = (
            (condition.alpha, condition.beta) if isinstance(condition, Robin) else (0.0, 1.0)
        )
        for part in self.domain.select(condition.on):
            axis, sign = _face_of(part, names_of(self), self.domain)
            if axis is None:
                out += [Equation(self._flux(name, alpha, beta), on=part) for name in unknowns]
                continue
            data = {name: self._combination(name, axis, alpha, sign * beta) for name in unknowns}
            if isinstance(condition, Neumann):
                out.append(Neumann(data, part, soft=condition.soft))
            else:
                out.append(Robin(data, part, alpha=alpha, beta=beta, soft=condition.soft))
        return out

    def _combination(self, unknown: str, axis: int, alpha: Any, slope: Any) -> Callable[..., Any]:
        value, derivative = self._derivative(unknown, None), self._derivative(unknown, axis)

        def data(**coordinates):
            return alpha * value(**coordinates) + slope * derivative(**coordinates)

        return taking(data, inspect.signature(value).parameters)

    def _flux(self, unknown: str, alpha: Any, beta: Any) -> Callable[..., Any]:
        """``alpha u + beta u_n`` minus the same of the chosen solution, on curved boundary."""

        def equation(**values):
            return alpha * values[unknown] + beta * values[f"{unknown}_n"]

        names = (unknown, f"{unknown}_n")
        taking(equation, names)
        return self._shifted(
            equation, parse_signature(equation, names_of(self), owner="manufacture", boundary=True)
        )


def _face_of(part: str, names: Names, domain: Domain) -> tuple[int | None, float]:
    for name in domain.intervals:
        for end, sign in (("min", -1.0), ("max", 1.0)):
            if part == f"{name}_{end}":
                return names.coordinates.index(name), sign
    return None, 0.0


def manufacture(problem: Problem, exact: Callable[..., Any]) -> ManufacturedProblem:
    """The problem with source, boundary, initial and observed data such that ``exact`` solves it.

    Args:
        problem: What is shifted.
        exact: A function of named coordinates, ``lambda x, t: ...``, that returns a scalar or, for
            a system, a dict by unknown; smooth enough for the residual, and periodic where the
            problem is.

    Raises:
        ValueError: When ``exact`` names a coordinate that does not exist or leaves an unknown
            out, and for a problem whose only condition is a factor, which ``exact`` need not
            have.
    """
    if problem.factor is not None and not problem.conditions():
        raise ValueError(
            f"{type(problem).__name__} has no condition but its factor, and exact need not have "
            "it: declare conditions"
        )
    point = jnp.asarray(
        [0.5 * sum(problem.domain.bounds[name]) for name in problem.domain.coordinates]
    )
    made = ManufacturedProblem(problem, exact)
    missing = [
        name
        for name in problem.unknowns
        if name not in jax.eval_shape(lambda p: values_at(made, "exact", p), point)
    ]
    if missing:
        raise ValueError(
            f"manufacture: exact gives no value for {', '.join(missing)}; return a dict by unknown"
        )
    return made
