"""A problem is one PDE with its data.

That is algebra between partial derivatives, a domain, conditions and, if known, a solution.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from pinops._html import Markup, as_table
from pinops.derivatives import Names, Signature, call_by_name, number, parse_signature
from pinops.geometry import Domain
from pinops.problem._condition import Condition
from pinops.problem._guards import (
    checked_coefficient,
    checked_conditions,
    guarded_method,
    in_double,
)
from pinops.problem._inputs import check_inputs
from pinops.problem._integrals import Integral, integrals_of
from pinops.problem._subdomains import interface_features, subdomains_of
from pinops.reference import Reference
from pinops.sampling import Sampler, Sobol
from pinops.settings import check_settings, reused

# Names that a problem has for what it knows.
_KNOWN = (
    *("lift", "factor", "features", "sampler", "stretched"),
    *("subdomains", "depends_on", "integrals"),
)


def positive(default: float) -> Any:
    """A coefficient that must be greater than zero: ``viscosity: float = po.positive(0.01)``.

    Args:
        default: Its value where none is given.
    """
    return eqx.field(default=default, metadata={"positive": True})


class Problem(eqx.Module):
    """Abstract base of every PDE.

    A subclass declares ``domain`` (coordinates are named there), ``unknowns``, coefficients as
    annotated fields, ``residual`` (whose argument names are the derivative plan) and
    ``conditions``; optionally ``integrals`` (which equations name), ``exact`` or ``reference``.
    Coefficients become NumPy float64 leaves: differentiable, batchable, trainable, and never a
    reason to recompile.

    A *family* is a problem that also has ``sample(key)``, another member of the family at random,
    and ``inputs()``: what an operator sees of a member, a dict of named arrays. A number has the
    shape ``()``, the values of a function at sensors ``(m,)``, functions on a plane grid ``(h, w)``
    or ``(h, w, c)``: ``{"source": self.source, "viscosity": self.viscosity}``.

    What is known of the solution before it is computed is said by three functions of the
    coordinates: the solution is ``lift`` plus ``factor`` times a network (Lagaris, Likas &
    Fotiadis 1998), each a number or a dict by unknown, with the conditions imposed on the whole.
    A factor may vanish on a curved boundary, or like a root where the solution does. ``features``
    of the coordinates, a tuple of numbers of about -1 to 1, is what networks see besides these:
    steep where the solution is steep. Gaussians, which lie somewhere in the domain, do not see
    them, unless they are ``stretched`` coordinates, one for each: then Gaussians lie in these.

    Called with numbers, ``exact`` and these three compute in double precision and give float64 of
    NumPy, whatever the configuration of JAX.

    ``subdomains`` are parts of the domain by name, such as materials: shapes in some of its spatial
    coordinates. A residual that names one gets 1 inside and 0 outside of it; what holds between
    them is an `Interface`.

    ``gauge`` lists unknowns that are determined only up to a constant (a pressure); errors are
    taken after removing the mean. ``depends_on`` gives the coordinates of unknowns that depend on
    some of them only: ``{"k": ("x",)}`` is k(x) beside u(x, t). ``trainable`` lists coefficients
    that are unknown and start from their given value (an inverse problem). ``sampler`` is how
    `solve` spreads points where no `Collocation` is given.

    Raises:
        ValueError: For a coefficient that is no finite real number, or not positive where it is
            declared so, and for a setting that `whole` or `one_of` does not allow.
    """

    domain: ClassVar[Domain]
    unknowns: ClassVar[tuple[str, ...]] = ("u",)
    subdomains: ClassVar[Mapping[str, Domain]] = {}
    gauge: ClassVar[tuple[str, ...]] = ()
    depends_on: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    trainable: ClassVar[tuple[str, ...]] = ()
    sampler: ClassVar[Sampler] = Sobol()
    stretched: ClassVar[bool] = False
    # Not annotated, so that a subclass may define a method.
    exact = cast("Callable[..., Any] | None", None)
    lift = cast("Callable[..., Any] | None", None)
    factor = cast("Callable[..., Any] | None", None)
    features = cast("Callable[..., Any] | None", None)
    sample = cast("Any", None)
    inputs = cast("Any", None)

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        # Here, once for every door: whoever calls these methods gets their errors as one sentence.
        own = {name: method for name, method in vars(cls).items() if inspect.isfunction(method)}
        for name in ("exact", "lift", "factor", "features"):
            if name in own:
                owner = f"{cls.__name__}.{name}"
                setattr(cls, name, in_double(own[name], skip=1, owner=owner))
        if "conditions" in own:
            cls.conditions = checked_conditions(own["conditions"])
        for name in ("sample", "inputs"):
            if name in own:
                setattr(cls, name, guarded_method(own[name]))

    def __post_init__(self):
        check_settings(self)
        for field in fields(self):
            owner = f"{type(self).__name__}: {field.name}"
            if field.name in _KNOWN:
                raise ValueError(f"{owner} is what a problem knows, not a coefficient; rename it")
            value = getattr(self, field.name)
            if field.metadata.get("static"):
                continue
            number = checked_coefficient(
                owner, value, positive=bool(field.metadata.get("positive"))
            )
            if number is not None:
                object.__setattr__(self, field.name, number)

    def residual(self, *args: Any, **kwargs: Any) -> Any:
        """The equation at one point: a scalar that vanishes, or a dict of them by name."""
        raise NotImplementedError

    def conditions(self) -> tuple[Condition, ...]:
        """Boundary and initial conditions and observations."""
        return ()

    def integrals(self) -> dict[str, Integral]:
        """Integrals of the unknowns by name, for the equation and for `Equation`."""
        return {}

    def reference(self) -> Reference | None:
        """A trusted solution on a grid with its error bar; by default the exact one, if known."""
        return exact_reference(self)

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> "Problem":
        """Member number ``number`` of those that are drawn together, by default `sample`."""
        return self.sample(key)

    def arrays(self) -> dict[str, Any]:
        """What may differ from member to member: the coefficients that are arrays, by name."""
        return {
            field.name: value
            for field in fields(self)
            if eqx.is_array_like(value := getattr(self, field.name))
            and not field.metadata.get("static")
        }

    def with_arrays(self, arrays: Mapping[str, Any]) -> "Problem":
        """The member with these `arrays`."""
        return replace(self, **arrays)

    def _repr_html_(self) -> str:
        """The table that notebooks show."""
        from pinops.problem._described import described, written_equation  # need the whole room

        rows = described(self)
        try:
            written = written_equation(self)
        except Exception:
            # Whatever is wrong with a residual, training says it; a notebook still shows the rest.
            written = ""
        about = {"equation": rows.pop("equation"), "residual": Markup(written), **rows}
        return as_table(about, type(self).__name__)


def names_of(problem: Problem) -> Names:
    """The vocabulary of a problem: coordinates, spatial ones, unknowns, subdomains and integrals.

    Raises:
        ValueError: For a subdomain or an integral that is none.
    """
    domain = problem.domain
    names = Names(
        tuple(domain.coordinates),
        tuple(domain.space),
        tuple(problem.unknowns),
        subdomains_of(problem),
    )
    return replace(names, integrals=integrals_of(problem, names))


def residual_signature(problem: Problem) -> Signature:
    """The derivative plan of the interior equation.

    Raises:
        ValueError: Without an equation, and for an argument that names nothing.
    """
    if type(problem).residual is Problem.residual:
        raise ValueError(
            f"{type(problem).__name__} has no residual; define one, such as residual(self, u_t, "
            "u_xx)"
        )
    return parse_signature(
        problem.residual, names_of(problem), owner=f"{type(problem).__name__}.residual"
    )


def check_family(problem: Problem) -> None:
    """Raises ValueError for a problem that is no family, naming what it lacks."""
    for name, what in (
        ("sample", "sample(key), a member at random"),
        ("inputs", "inputs(), what an operator sees of a member"),
    ):
        if getattr(problem, name) is None:
            raise ValueError(f"{type(problem).__name__} is no family: it has no {what}; define it")
    check_inputs(problem.inputs(), type(problem).__name__)


def sample_members(family: Problem, key: PRNGKeyArray, numbers: range) -> Problem:
    """The members with these numbers, in the leading axis of every array.

    Each depends on the key and its own number only.
    """
    return _sampled(family, key, jnp.arange(numbers.start, numbers.stop, numbers.step))


@reused
def _sampled(family: Problem, key: PRNGKeyArray, numbers: Int[Array, " f"]) -> Problem:
    def one(number: Int[Array, ""]) -> Problem:
        return family.numbered(jax.random.fold_in(key, number), number)

    return eqx.filter_vmap(one)(numbers)


def unstacked(problems: Problem, count: int) -> list[Problem]:
    """The ``count`` members in the leading axis of every array, one by one in NumPy."""

    def one(k: int) -> Problem:
        return jax.tree.map(
            lambda leaf: np.asarray(leaf[k]) if eqx.is_array(leaf) else leaf, problems
        )

    return [one(k) for k in range(count)]


def coefficients(problem: Problem) -> dict[str, Any]:
    """The coefficients of a problem by name: array leaves and static settings."""
    return {field.name: getattr(problem, field.name) for field in fields(problem)}


def by_unknown(
    problem: Problem, value: Any, unknown: str | None, *, owner: str
) -> dict[str, Callable[[Any], Any]]:
    """Data of a condition as one function of the point ``(d,)`` per unknown."""
    names = (
        tuple(value)
        if isinstance(value, dict)
        else (unknown,)
        if unknown is not None
        else tuple(problem.unknowns)
    )
    for name in names:
        _check_unknown(problem, name, owner)
    return {
        name: at_point(problem, value[name] if isinstance(value, dict) else value, owner=owner)
        for name in names
    }


def _check_unknown(problem: Problem, name: str, owner: str) -> None:
    if name not in problem.unknowns:
        raise ValueError(
            f"{owner}: there is no unknown {name!r}; the unknowns are {', '.join(problem.unknowns)}"
        )


class _AtPoint(Mapping[str, Any]):
    """The coordinates of a point ``(d,)`` by name, and ``point`` itself.

    Taken apart only as far as they are asked for.
    """

    def __init__(self, coordinates: tuple[str, ...], point: Any):
        self._coordinates, self._point = coordinates, point

    def __getitem__(self, name: str) -> Any:
        if name == "point":
            return self._point
        if name not in self._coordinates:
            raise KeyError(name)
        return self._point[self._coordinates.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._coordinates, "point"))

    def __len__(self) -> int:
        return len(self._coordinates) + 1


def at_point(problem: Problem, data: Any, *, owner: str) -> Callable[[Any], Any]:
    """A constant or a function of named coordinates, as a function of the point ``(d,)``."""
    coordinates = problem.domain.coordinates

    def function(point):
        value = data
        if callable(data):
            value = call_by_name(data, _AtPoint(coordinates, point), owner=owner)
        remedy = "data at one point are one number"
        number(
            value, owner=owner, what="the data" if callable(data) else "a constant", remedy=remedy
        )
        return jnp.asarray(value, point.dtype)

    return function


def _called(problem: Problem, method: str, point: Any, owner: str) -> Any:
    """What a method of the coordinates returns at one point."""
    function = getattr(problem, method)
    if not callable(function):
        raise ValueError(
            f"{owner} must be a method of coordinates, such as {method}(self, x), got {function!r}"
        )
    return call_by_name(function, _AtPoint(problem.domain.coordinates, point), owner=owner)


def features_at(problem: Problem, point: Any) -> Array:
    """The features of a problem at one point, ``(d,) -> (k,)``, and those of its interfaces."""
    owner = f"{type(problem).__name__}.features"
    folds = interface_features(problem, point)
    if problem.features is None:
        if problem.stretched:
            raise ValueError(
                f"{owner} must give the stretched coordinates; define it, or leave stretched as "
                "it is"
            )
        return jnp.stack(folds) if folds else jnp.zeros(0, point.dtype)
    out = _called(problem, "features", point, owner)
    remedy = "return a tuple of numbers, one for each feature"
    if not isinstance(out, tuple | list) or not out:
        raise ValueError(
            f"{owner} must return a tuple of numbers, one for each feature, got {out!r}"
        )
    for value in out:
        number(value, owner=owner, what="a feature", remedy=remedy)
    names = problem.domain.coordinates
    if problem.stretched and len(out) != len(names):
        raise ValueError(
            f"{owner} must return a stretched coordinate for each of {', '.join(names)}, got "
            f"{len(out)} numbers"
        )
    return jnp.stack([*(jnp.asarray(value, point.dtype) for value in out), *folds])


def values_at(problem: Problem, method: str, point: Any) -> dict[str, Any]:
    """What a method of the coordinates (``exact``, ``lift``) gives at one point, by unknown.

    Args:
        problem: Whose method it is.
        method: Its name.
        point: ``(d,)``; float64 of NumPy gives float64 of NumPy.

    Returns:
        A number for each unknown that the method names.

    Raises:
        ValueError: For a method that does not return one real number for each unknown.
    """
    owner = f"{type(problem).__name__}.{method}"
    out = _called(problem, method, point, owner)
    if not isinstance(out, dict):
        if method == "exact" and len(problem.unknowns) > 1:
            raise ValueError(
                f"{owner} must return a dict by unknown, of {', '.join(problem.unknowns)}, got one "
                "value"
            )
        out = dict.fromkeys(problem.unknowns, out)
    for name, value in out.items():
        _check_unknown(problem, name, owner)
        number(value, owner=owner, what=name, remedy="return one number, or one for each unknown")
    # JAX would round doubles of NumPy where its own are switched off.
    array = np.asarray if isinstance(point, np.ndarray) else jnp.asarray
    return {name: array(value, point.dtype) for name, value in out.items()}


def exact_reference(problem: Problem) -> Reference | None:
    """The exact solution on the evaluation grid of the domain.

    None without one, and where it depends on coefficients that are to be found: it would be that of
    their initial guess.
    """
    if problem.exact is None:
        return None
    coordinates = problem.domain.evaluation_coordinates()
    grids = np.broadcast_arrays(*coordinates.values())
    points = np.stack([grid.ravel() for grid in grids], -1)

    def on_grid(problem: Problem) -> dict[str, Array]:
        return jax.vmap(lambda point: values_at(problem, "exact", point))(jnp.asarray(points))

    def guesses(problem: Problem) -> list[Any]:
        return [getattr(problem, name) for name in problem.trainable]

    with jax.enable_x64(True):
        values = on_grid(problem)
        if problem.trainable:
            others = [1.5 * guess + 0.5 for guess in guesses(problem)]
            other = on_grid(eqx.tree_at(guesses, problem, others))
            if any(not np.array_equal(values[name], other[name]) for name in values):
                return None
        # JAX sorts the keys of a dict; the order of the unknowns is restored.
        values = {name: np.array(values[name]) for name in problem.unknowns if name in values}
    outside = ~problem.domain.contains(points)
    for value in values.values():
        value[outside] = np.nan
    values = {name: value.reshape(grids[0].shape) for name, value in values.items()}
    bars = dict.fromkeys(values, 1e-14)
    doc = inspect.getdoc(type(problem)) or ""
    return Reference(coordinates, values, bars, "closed form", doc.split("\n\n")[0])
