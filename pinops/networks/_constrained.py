"""The field of a problem: boundary and initial conditions built into that of a network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Jet, Plan, add, nested, product
from pinops.networks._field import Field, NetworkField, ScaledField, bounds_of, embedding_of
from pinops.networks._on_walls import on_walls
from pinops.networks._reduced import reduced_by
from pinops.problem import (
    Face,
    Imposition,
    Problem,
    Scales,
    faces,
    inside,
    is_valued,
    onto_face,
    values_at,
)

# A factor or lift that belongs to one face only levels off at this fraction of the interval, so
# that what is left for the network is as large far from the face as near it.
SATURATION = 0.1


@dataclass(frozen=True)
class ConstrainedField(Field):
    """A field that meets its conditions for every value of the parameters.

    ``u = lift + factor * field``: the factor vanishes where values are prescribed (to second order
    where the slope is prescribed too), and meets homogeneous Robin conditions; where fluxes are
    prescribed without the value, the field has no slope (`Embedding`). The lift carries the data,
    on top of what is ``known``, ``(d,) -> (c,)``, of the solution, as ``known_factor`` is of the
    factor; its interpolations are one-dimensional and applied axis by axis (Leake & Mortari 2020).

    Args:
        field: The field of the network, flat at all `flat_ends` of the faces.
        bounds: The interval of each coordinate.
        components: The number c of unknowns.
        faces: The conditions that are imposed, each on its face of the box.
        known: Of the solution, before anything is imposed; None: nothing.
        known_factor: Of the factor; None: nothing.
    """

    field: Field
    bounds: tuple[tuple[float, float], ...]
    components: int
    faces: tuple[Face, ...]
    known: Callable[[Array], Array] | None = None
    known_factor: Callable[[Array], Array] | None = None

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        if directions is None:
            lift, factor, of_network = self.fixed(points, plan) if fixed is None else fixed
        else:
            of_network = None
            lift, factor = (
                nested(part, points, plan, directions) for part in (self._lift, self._factor)
            )
        return add(
            lift, product(factor, self.field.jet(points, plan, of_network, directions), plan)
        )

    def fixed(self, points: Float[Array, "n d"], plan: Plan) -> tuple[Jet, Jet, Any]:
        """The jets of lift and factor, and what is fixed of the network's field."""
        lift, factor = (nested(part, points, plan) for part in (self._lift, self._factor))
        return lift, factor, self.field.fixed(points, plan)

    def _unit(self, point: Array, axis: int) -> Array:
        low, high = self.bounds[axis]
        return (point[axis] - low) / (high - low)

    def _factor(self, point: Float[Array, " d"]) -> Float[Array, " c"]:
        """Zero, to the right order, on every face where a value is prescribed; on faces with a flux
        alone, of the slope that makes its product with a flat field meet it. At most 1, times what
        is known.
        """
        ones = jnp.ones(self.components, point.dtype)
        out = list(ones if self.known_factor is None else self.known_factor(point))
        for component in range(self.components):
            for axis in sorted({face.axis for face in self.faces if face.component == component}):
                here = [
                    face for face in self.faces if (face.component, face.axis) == (component, axis)
                ]
                out[component] = out[component] * self._factor_along(here, point)
        return jnp.stack(out)

    def _factor_along(self, here: list[Face], point: Array) -> Array:
        """The part of the factor for all that is prescribed of an unknown along a coordinate."""
        axis = here[0].axis
        s, (low, high) = self._unit(point, axis), self.bounds[axis]
        met = [face for face in here if is_valued(face, here)]
        lower, upper = sum(not face.upper for face in met), sum(face.upper for face in met)
        # The second: minus the logarithmic derivative at the other end, away from it.
        factor, decay = jnp.ones_like(s), 0.0
        if lower and upper:
            factor = s**lower * (1 - s) ** upper * 4.0 ** min(lower, upper)
        elif lower or upper:
            distance = s if lower else 1 - s
            order = lower + upper
            factor = ((1 + SATURATION) * distance / (distance + SATURATION)) ** order
            decay = order * SATURATION / (1 + SATURATION)
        for face in here:
            if face not in met:
                outward = 1 if face.upper else -1
                rate = face.alpha * (high - low) / (outward * face.slope)
                factor = factor * _growth(1 - s if face.upper else s, rate + decay)
        return factor

    def _cardinal(self, point: Array, axis: int, component: int) -> dict[Face, Array]:
        """Functions of one coordinate: 1 under one functional of the axis, 0 under the others."""
        here = [face for face in self.faces if (face.axis, face.component) == (axis, component)]
        low, high = self.bounds[axis]
        s = self._unit(point, axis)
        if (
            len({face.upper for face in here}) == 1
            and all(is_valued(face, self.faces) for face in here)
            and len(here) <= 2
        ):
            return self._one_sided_cardinal(here, s, high - low)
        first = 1 if all(face.is_slope for face in here) else 0
        robin = sum(not (face.is_value or face.is_slope) for face in here)
        # Two Robin rows on 1, s, s^2 are dependent where alpha = -2 beta / length: one more
        # monomial for each of them, and the solution of least norm.
        degrees = range(first, first + len(here) + robin)
        # NumPy where it can be: the small system is then solved once, when the program is traced.
        xp: Any = (
            jnp
            if any(isinstance(x, jax.Array) for face in here for x in (face.alpha, face.slope))
            else np
        )
        rows = []
        for face in here:
            at = float(face.upper)
            rows.append(
                [
                    face.alpha * at**k + face.slope * (k * at ** max(k - 1, 0)) / (high - low)
                    for k in degrees
                ]
            )
        matrix = xp.asarray(xp.stack([xp.stack(row) for row in rows]), point.dtype)
        weights = matrix.T @ xp.linalg.inv(matrix @ matrix.T)
        values = jnp.stack([s**k for k in degrees]) @ jnp.asarray(weights)
        return {face: values[k] for k, face in enumerate(here)}

    def _one_sided_cardinal(self, here: list[Face], s: Array, length: float) -> dict[Face, Array]:
        """For a value, perhaps with the slope, on one face only: bounded all the way to the other
        end.
        """
        distance = 1 - s if here[0].upper else s
        out = {face: jnp.ones_like(s) for face in here if face.is_value}
        for face in here:
            if not face.is_value:
                inward = -length if face.upper else length
                out[face] = inward / face.slope * distance / (1 + distance / SATURATION) ** 2
                # The functional of 1 is alpha, not 0, where a Robin flux is prescribed together
                # with the value.
                out |= {
                    value: one - face.alpha * out[face]
                    for value, one in out.items()
                    if value.is_value
                }
        return out

    def _lift(self, point: Float[Array, " d"]) -> Float[Array, " c"]:
        def of(component: int) -> Array:
            known = self.known
            function: Callable[[Array], Array] | None = None
            if known is not None:

                def known_part(point: Array) -> Array:
                    return known(point)[component]

                function = known_part
            for axis in sorted({face.axis for face in self.faces if face.component == component}):
                function = interpolate(function, axis, component)
            return jnp.zeros((), point.dtype) if function is None else function(point)

        def interpolate(inner, axis, component):
            def function(point):
                total = jnp.zeros((), point.dtype) if inner is None else inner(point)
                for face, weight in self._cardinal(point, axis, component).items():
                    on_face = onto_face(point, axis, self.bounds[axis][face.upper])
                    gap = face.data(on_face)
                    if inner is not None:
                        gap = gap - face.apply(inner, self.bounds[axis])(off_the_edges(point))
                    total = total + weight * gap
                return total

            return function

        def off_the_edges(point):
            return point if self.known is None else inside(point, self.bounds)

        return jnp.stack([of(component) for component in range(self.components)])


def _growth(s: Array, rate: Any) -> Array:
    """A positive function, at most 1, whose logarithmic derivative is ``rate`` at 0, zero at 1."""
    rise = s - s**2 / 2
    up = (1 + jnp.maximum(rate, 0) * rise) / (1 + jnp.maximum(rate, 0) / 2)
    return up / (1 + jnp.maximum(-rate, 0) * rise)


def field_of(
    problem: Problem, imposition: Imposition, network: Any, scales: Scales | None = None
) -> Field:
    """The field of a network for a problem, with the conditions that are imposed exactly.

    Args:
        problem: The problem, whose coefficients may be traced.
        imposition: Which conditions are imposed exactly.
        network: From embedded coordinates to the unknowns.
        scales: The centre and spread of every unknown; None: 0 and 1.
    """
    field: Field = NetworkField(network, embedding_of(problem, imposition, network))
    if scales is not None:
        centre, spread = _row(problem, scales.centre), _row(problem, scales.spread)
        # Where data are imposed exactly, the lift needs the centre too: it then carries their
        # differences from it only.
        constrained = is_constrained(problem, imposition)
        field = ScaledField(field, jnp.zeros_like(centre) if constrained else centre, spread)
    return reduced_by(problem, constrained_by(problem, imposition, field, scales))


def is_constrained(problem: Problem, imposition: Imposition) -> bool:
    """Whether a field has more to meet, or to know, than its network gives.

    Args:
        problem: Whose field it is.
        imposition: Which of its conditions are imposed exactly.
    """
    return bool(imposition.hard) or problem.lift is not None or problem.factor is not None


def constrained_by(
    problem: Problem, imposition: Imposition, field: Field, scales: Scales | None = None
) -> Field:
    """The field with the conditions of a problem that are imposed exactly; itself without any.

    Args:
        problem: The problem, whose coefficients may be traced.
        imposition: Which conditions are imposed exactly.
        field: Without conditions, in the units of the unknowns.
        scales: Of the unknowns, whose centre is lifted; None: 0.
    """
    if not is_constrained(problem, imposition):
        return field

    def known(method: str, missing: float) -> Callable[[Array], Array] | None:
        if getattr(problem, method) is None:
            return None

        def at(point):
            values = values_at(problem, method, point)
            return jnp.stack(
                [values.get(name, jnp.asarray(missing, point.dtype)) for name in problem.unknowns]
            )

        return at

    lift, factor = known("lift", 0.0), known("factor", 1.0)
    zero = dict.fromkeys(problem.unknowns, 0.0)
    centre = _row(problem, zero if scales is None else scales.centre)
    walls = on_walls(problem, imposition.hard, centre)
    if walls is not None:
        lift, factor = walls
    elif lift is None and scales is not None:
        lift = partial(_constant, centre)
    return ConstrainedField(
        field=field,
        bounds=bounds_of(problem),
        components=len(problem.unknowns),
        faces=tuple(faces(problem, imposition.hard)),
        known=lift,
        known_factor=factor,
    )


def _row(problem: Problem, numbers: Mapping[str, Any]) -> Float[Array, " c"]:
    """One number for each unknown, in their order."""
    return jnp.stack([jnp.asarray(numbers[name]) for name in problem.unknowns])


def _constant(values: Float[Array, " c"], point: Float[Array, " d"]) -> Float[Array, " c"]:
    return values.astype(point.dtype)
