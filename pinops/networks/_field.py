"""Fields: functions of the coordinates that know their own partial derivatives.

Two instances: a network behind its input embedding, and the same field with boundary and initial
conditions built in (`_constrained.py`). Fields are made inside a compiled program from a network
and a problem, so their coefficients may be traced.
"""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real
from pinops.derivatives import (
    Jet,
    Plan,
    add,
    concatenate,
    coordinates,
    derivatives_of,
    elementwise,
    feature,
    nested,
)
from pinops.networks._network import JetNetwork
from pinops.networks._prior import RandomisedPrior
from pinops.problem import (
    Imposition,
    Interface,
    Problem,
    faces,
    features_at,
    flat_ends,
    tip_features,
)


class Field(abc.ABC):
    """Abstract: ``(d,) -> (unknowns,)`` with its partial derivatives."""

    @abc.abstractmethod
    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        """The partial derivatives of the plan at a batch of points, ``{index: (n, unknowns)}``;
        zero ones may be missing.

        ``fixed``: the result of `fixed` for the same points and plan, where it is at hand;
        ``directions``: those of a plan whose Laplacian is taken along directions.
        """

    def fixed(self, points: Float[Array, "n d"], plan: Plan) -> Any:
        """What of the jet does not depend on trained parameters: computed once, it serves many
        steps.
        """
        return None

    def __call__(self, point: Float[Array, " d"]) -> Float[Array, " c"]:
        """The unknowns at one point."""
        return self.jet(point[None], Plan())[()][0]


def _no_features(point: Array) -> Array:
    return jnp.zeros(0, point.dtype)


# By flat ends of a coordinate c in [-1, 1]: an increasing function and a bump, both without slope
# there, in [-1, 1]. Near a flat end at distance s they are independent combinations of s^2 and s^3
# to leading order, so that every smooth function without slope is a smooth function of the two.
_C = np.polynomial.Polynomial([0, 1])
_FLAT = {
    (False,): ((1 + _C) ** 2 / 2 - 1, 27 / 16 * (1 + _C) ** 2 * (1 - _C) - 1),
    (True,): (1 - (1 - _C) ** 2 / 2, 27 / 16 * (1 - _C) ** 2 * (1 + _C) - 1),
    (False, True): ((3 * _C - _C**3) / 2, 2 * (1 - _C**2) ** 2 - 1),
}


@dataclass(frozen=True)
class Embedding:
    """What a network sees of a point: interval coordinates mapped to [-1, 1], periodic ones as
    cosine and sine (``even`` ones as cosine), those with ``flat`` ends as two functions, and other
    ``features``, ``(d,) -> (k,)``, or these ``alone``.

    The columns, in this order: one function of each coordinate that is not periodic; cosines, then
    sines, of those that are; the second functions of coordinates with flat ends; the features.

    Args:
        bounds: The interval of each coordinate.
        periodic: The numbers of the periodic coordinates.
        features: Further functions of the coordinates.
        even: The numbers of the periodic coordinates about whose middle the solution is even.
        alone: Whether the network sees the features only.
        flat: The ends ``(axis, upper)`` where no function of a coordinate has a slope along it.
    """

    bounds: tuple[tuple[float, float], ...]
    periodic: tuple[int, ...] = ()
    features: Callable[[Array], Array] = _no_features
    even: tuple[int, ...] = ()
    alone: bool = False
    flat: tuple[tuple[int, bool], ...] = ()

    @property
    def size(self) -> int:
        if self.alone:
            return self._more
        waves = len(self.periodic) - len(self.even)
        return len(self.bounds) + waves + len(self._flat_axes()) + self._more

    def _flat_axes(self) -> dict[int, tuple[bool, ...]]:
        """The coordinates with flat ends, and which these are."""
        axes = sorted({axis for axis, _ in self.flat})
        return {axis: tuple(upper for a, upper in sorted(self.flat) if a == axis) for axis in axes}

    @property
    def _more(self) -> int:
        return jax.eval_shape(
            self.features, jax.ShapeDtypeStruct((len(self.bounds),), jnp.result_type(float))
        ).size

    def jet(
        self, points: Float[Array, "n d"], plan: Plan, directions: Float[Array, "m d"] | None = None
    ) -> Jet:
        if self.alone:
            return nested(self.features, points, plan, directions)
        low, high = np.asarray(self.bounds, points.dtype).T[:, None]
        scale = 2 / (high - low)
        # Not a matrix product: accelerators round the factors of those.
        centred = {
            index: stream * scale for index, stream in coordinates(points, plan, directions).items()
        }
        centred[()] = (points - (low + high) / 2) * scale
        more = [nested(self.features, points, plan, directions)] if self._more else []
        if not (self.periodic or self.flat):
            return concatenate([centred, *more])
        plain = [axis for axis in range(len(self.bounds)) if axis not in self.periodic]
        bent = {
            axis: [elementwise(_polynomial(p), feature(centred, axis), plan) for p in _FLAT[ends]]
            for axis, ends in self._flat_axes().items()
        }
        more = [second for _, second in bent.values()] + more

        def pick(axes: Sequence[int]) -> Jet:
            return {index: stream[:, np.asarray(axes)] for index, stream in centred.items()}

        waves = []
        for wave, axes in (
            (jnp.cos, self.periodic),
            (jnp.sin, tuple(axis for axis in self.periodic if axis not in self.even)),
        ):
            if axes:
                angle = {index: np.pi * stream for index, stream in pick(axes).items()}
                waves.append(elementwise(derivatives_of(wave), angle, plan))
        if bent:
            own = [bent[axis][0] if axis in bent else feature(centred, axis) for axis in plain]
        else:
            own = [pick(plain)] if plain else []
        return concatenate([*own, *waves, *more])


def _polynomial(p: np.polynomial.Polynomial) -> Callable[[Array, int], list[Array]]:
    """The value and derivatives of a polynomial, as `elementwise` takes them."""

    def derivatives(z: Array, order: int) -> list[Array]:
        coefficients = (p.deriv(k).coef[::-1] for k in range(order + 1))
        return [jnp.polyval(jnp.asarray(each, z.dtype), z) for each in coefficients]

    return derivatives


@dataclass(frozen=True)
class NetworkField(Field):
    """A network of the embedded coordinates.

    Args:
        network: From embedded coordinates ``(features,)`` to unknowns ``(c,)``.
        embedding: From coordinates to what the network sees.
    """

    network: Callable[[Array], Array]
    embedding: Embedding

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        network = self.network
        if isinstance(network, RandomisedPrior) and fixed is not None:
            return add(network.network.jet(self.embedding.jet(points, plan), plan), fixed)
        if isinstance(network, JetNetwork):
            return network.jet(self.embedding.jet(points, plan, directions), plan)
        return nested(
            lambda point: network(self.embedding.jet(point[None], Plan())[()][0]),
            points,
            plan,
            directions,
        )

    def fixed(self, points: Float[Array, "n d"], plan: Plan) -> Jet | None:
        """The jet of the prior, if the network has one."""
        if not isinstance(self.network, RandomisedPrior):
            return None
        return self.network.added(self.embedding.jet(points, plan), plan)


@dataclass(frozen=True)
class ScaledField(Field):
    """``centre + spread * field``: a field of numbers of about 1 in the units of the unknowns."""

    field: Field
    centre: Float[Array, " c"]
    spread: Float[Array, " c"]

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        jet = self.field.jet(points, plan, fixed, directions)
        out: Jet = {index: self.spread[None] * stream for index, stream in jet.items()}
        out[()] = self.centre[None] + out[()]
        return out

    def fixed(self, points: Float[Array, "n d"], plan: Plan) -> Any:
        return self.field.fixed(points, plan)


def bounds_of(problem: Problem) -> tuple[tuple[float, float], ...]:
    """The lowest and highest value of every coordinate, in their order."""
    domain = problem.domain
    bounds = domain.bounds
    return tuple(bounds[name] for name in domain.coordinates)


def embedding_of(problem: Problem, imposition: Imposition, network: Any = None) -> Embedding:
    """How the coordinates of a problem enter a network.

    What a network, or architecture, is made of that is ``local`` lies somewhere in the domain: it
    does not see the problem's features, or these alone where they are stretched coordinates.

    Args:
        problem: Whose coordinates and features they are.
        imposition: Which of its conditions are embedded.
        network: What sees them; None: any network.

    Returns:
        The embedding.

    Raises:
        ValueError: For such a network where subdomains meet.
    """
    names = problem.domain.coordinates
    periodic, even = (
        tuple(sorted(map(names.index, on))) for on in (imposition.periodic, imposition.even)
    )

    def features(point):
        more = tip_features(problem, imposition.hard, point)
        return jnp.concatenate([features_at(problem, point), *more])

    if getattr(network, "local", False):
        if problem.subdomains and any(isinstance(c, Interface) for c in problem.conditions()):
            raise ValueError(
                f"{type(network).__name__} does not see where materials meet: its parts lie "
                "somewhere in the domain; give another network, such as MLP(30, 3)"
            )
        if problem.stretched:
            return Embedding(bounds_of(problem), features=features, alone=True)
        return Embedding(bounds_of(problem), periodic, even=even)
    flat = flat_ends(faces(problem, imposition.hard))
    return Embedding(bounds_of(problem), periodic, features, even, flat=flat)


def check_network(network: Any, embedding: Embedding, unknowns: tuple[str, ...]) -> None:
    """Raises ValueError when a network does not map the embedded coordinates to one value per
    unknown.

    Args:
        network: A callable ``(features,) -> (unknowns,)``.
        embedding: What it sees of a point.
        unknowns: The names of its outputs.

    Raises:
        ValueError: With the shapes that it has and should have.
    """
    count = embedding.size
    features = jax.ShapeDtypeStruct((count,), jnp.result_type(float))
    try:
        out = jax.eval_shape(network, features)
    except Exception as error:
        raise ValueError(
            f"the network cannot be called with {count} feature{'' if count == 1 else 's'}, an "
            f"array of shape ({count},): "
            f"{(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    if getattr(out, "shape", None) != (len(unknowns),):
        raise ValueError(
            f"the network must map features of shape ({count},) to one value per unknown "
            f"({', '.join(unknowns)}), shape "
            f"({len(unknowns)},); it returns shape {getattr(out, 'shape', type(out).__name__)}"
        )
    real(out, "the network's output")
