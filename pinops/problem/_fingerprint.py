"""Everything of a problem that a stored run depends on, as JSON.

Functions are compared by their values at fixed arguments and not by their text: the same equation
written in another order, or read by another version of JAX, is the same. An equation is evaluated
at coefficients of its own, so that "the viscosity differs" and "the equation differs" are told
apart. Numbers are kept and compared up to a tolerance, because a digest of rounded ones would
change where a last digit does.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import (
    Gradient,
    Indicator,
    NormalVector,
    Point,
    apply_pointwise,
    parse_signature,
)
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
from pinops.problem._data_family import DataFamily
from pinops.problem._dependence import missing_axes
from pinops.problem._inputs import shapes_of
from pinops.problem._integrals import Quadrature
from pinops.problem._interface import across
from pinops.problem._inverse import coefficients_as_json, holder
from pinops.problem._mixture import Mixture
from pinops.problem._observed import Observed
from pinops.problem._problem import (
    Problem,
    by_unknown,
    features_at,
    names_of,
    residual_signature,
    values_at,
)
from pinops.problem._registry import name_of
from pinops.problem._subdomains import chosen, subdomains_of
from pinops.problem._windows import Window

_POINTS = 24
_SHAPE = 256  # points whose containment tells the shape of a domain
_DIGITS = 10
_LISTED = 16  # numbers of a coefficient that are kept one by one

Values = dict[str, Any]  # arrays by name, or None where they cannot be computed


def fingerprint(problem: Problem) -> dict[str, Any]:
    """Everything of a problem that a stored run depends on, as JSON.

    Equation, conditions and their data, domain, coefficients, unknowns, what is known of the
    solution, and what an operator sees of a family. A time window is told by the whole problem and
    where it begins.

    Args:
        problem: any problem, inverse ones and time windows included.

    Returns:
        Tables, texts and numbers, about 5 kB; the same in another process and in either precision.
    """
    if isinstance(problem, Window):
        return in_window(fingerprint(problem.problem), problem)
    if isinstance(problem, DataFamily):
        return _of_data(problem)
    coefficients = coefficients_as_json(problem)
    conditions = problem.conditions()
    with jax.enable_x64(True):
        kinds = [_kind(problem, condition) for condition in conditions]
        values = _values(problem)
    rows = [
        kind | {"data": {name: _text(array) for name, array in _group(values, f"{k} ").items()}}
        for k, (kind, condition) in enumerate(zip(kinds, conditions, strict=True))
        if not isinstance(condition, Observed)
    ]
    integrals = {name: _text(array) for name, array in _group(values, "integral ").items()}
    return {
        "problem": name_of(holder(problem)),
        "unknowns": list(problem.unknowns),
        **_depends_on(problem),
        "coefficients": {
            **{name: _short(value) for name, value in coefficients.items()},
            **(_families(problem) if isinstance(problem, Mixture) else {}),
        },
        "domain": _domain(problem),
        "equation": {name: _text(array) for name, array in _group(values, "equation ").items()},
        **({"integrals": integrals} if integrals else {}),
        "conditions": rows,
        "known": {name: _text(array) for name, array in _group(values, "known ").items()},
        "observations": _observations(conditions, values),
    }


def _depends_on(problem: Problem) -> dict[str, Any]:
    """The coordinates of unknowns that lack some."""
    missing, names = missing_axes(problem), problem.domain.coordinates
    own = {
        unknown: ", ".join(name for axis, name in enumerate(names) if axis not in axes)
        for unknown, axes in missing.items()
    }
    return {"depends_on": own} if own else {}


def _families(mixture: Mixture) -> dict[str, Any]:
    """The equations and coefficients of the families of a mixture."""
    out: dict[str, Any] = {}
    each = zip(mixture.names, mixture.families, mixture.grammar.expressions, strict=True)
    for name, family, expression in each:
        out[f"the equation of {name}"] = expression.latex()
        for coefficient, value in coefficients_as_json(family).items():
            out[f"{coefficient} of {name}"] = _short(value)
    return out


def _of_data(family: DataFamily) -> dict[str, Any]:
    """Of data alone: names, shapes and the domain."""
    shapes = {name: list(shape) for name, shape in shapes_of(family.given).items()}
    return {
        "problem": name_of(family),
        "unknowns": list(family.unknowns),
        "coefficients": {f"the shape of {name}": shape for name, shape in shapes.items()},
        "domain": _domain(family),
        "equation": {"": None},
        "conditions": [],
        "known": {},
        "observations": {},
    }


def in_window(whole: Mapping[str, Any], window: Window) -> dict[str, Any]:
    """The fingerprint of a time window, from that of the whole problem."""
    part = {"start": _rounded(float(window.start)), "length": _rounded(window.length)}
    return {**whole, "window": part}


def _values(problem: Problem) -> Values:
    """The values of all functions of a problem, from one program; what raises is left out."""
    jobs = dict(_jobs(problem))
    try:
        return dict(jax.jit(lambda: {name: job() for name, job in jobs.items()})())
    except Exception:
        # Whatever a function of the user raises, training raises with a better sentence; the others
        # still count.
        out: Values = {}
        for name, job in jobs.items():
            try:
                out[name] = jax.jit(job)()
            except Exception:
                out[name] = None
        return out


def _jobs(problem: Problem) -> list[tuple[str, Callable[[], Array]]]:
    jobs: list[tuple[str, Callable[[], Array]]] = []
    inner = _neutral(problem)
    # The names of its arguments are part of the equation.
    signature = residual_signature(problem)
    owner = f"{type(problem).__name__}.residual"
    label = ", ".join(name for name, _ in signature.arguments)
    jobs.append(
        (f"equation {label}", lambda: _equation_values(inner, inner.residual, label, owner))
    )
    inside = jnp.asarray(problem.domain.sample_interior(_cube, _POINTS))
    for name, integral in names_of(inner).integrals.items():
        assert isinstance(integral, Quadrature)
        job = partial(_integral_values, integral, inside)
        jobs.append((f"integral {name}: {integral.integral.nodes} nodes, {integral}", job))
    for k, condition in enumerate(problem.conditions()):
        jobs += [(f"{k} {name}", job) for name, job in _of_condition(problem, condition)]
    return jobs + _known_jobs(holder(problem))


def _known_jobs(problem: Problem) -> list[tuple[str, Callable[[], Array]]]:
    """What is known of the solution, and what an operator sees, at fixed points of the domain."""
    jobs: list[tuple[str, Callable[[], Array]]] = []
    inside = jnp.asarray(problem.domain.sample_interior(_cube, _POINTS))
    for method in ("lift", "factor", "exact"):
        if getattr(problem, method) is not None:

            def values(point: Array, method: str = method) -> Array:
                return _stacked(values_at(problem, method, point))

            jobs.append((f"known {method}", partial(jax.vmap(values), inside)))
    if problem.features is not None:
        name = "known stretched features" if problem.stretched else "known features"
        jobs.append((name, partial(jax.vmap(partial(features_at, problem)), inside)))
    if problem.inputs is not None:
        jobs.append(("known inputs", lambda: _flat(problem.inputs())))
    return jobs


def _flat(tree: Any) -> Array:
    return jnp.concatenate([jnp.ravel(jnp.asarray(leaf)) for leaf in jax.tree.leaves(tree)])


def _neutral(problem: Problem) -> Problem:
    """The problem at coefficients that depend on their names' order only, so that the equation is
    told without them.
    """
    names = [
        name
        for name, value in coefficients_as_json(problem).items()
        if isinstance(getattr(holder(problem), name), np.ndarray)
        and not isinstance(value, str | bool)
    ]
    if not names:
        return problem
    numbers = np.linspace(0.7, 1.3, len(names) + 1)
    new = [
        number + np.zeros(np.shape(getattr(holder(problem), name)))
        for name, number in zip(names, numbers, strict=False)
    ]
    return eqx.tree_at(lambda p: [getattr(holder(p), name) for name in names], problem, new)


def _equation_values(
    problem: Problem, function: Callable[..., Any], label: str, owner: str
) -> Array:
    """An equation at random arguments, ``(points, equations)``, its equations in the order of their
    names.
    """
    names = names_of(problem)
    random = np.random.RandomState(1)
    arguments: dict[str, Array] = {}
    for name in label.split(", "):
        size = {"point": len(names.coordinates), "normal": len(names.space)}.get(name)
        if name.startswith("grad_") and name not in names.unknowns:
            size = len(names.space)
        shape = (_POINTS,) if size is None else (_POINTS, size)
        arguments[name] = jnp.asarray(random.uniform(0.2, 0.8, shape))
        if name in problem.subdomains:
            arguments[name] = jnp.round(arguments[name])
    out = apply_pointwise(function, arguments, owner=owner)
    return _stacked(out)


def _integral_values(integral: Quadrature, points: Array) -> Array:
    """An integral at points, of random quantities that are the same along all nodes."""
    random, names = np.random.RandomState(4), integral.inner.names
    given = {}
    for name, argument in integral.quantities:
        shape = (_POINTS, len(names.space)) if isinstance(argument, Gradient) else (_POINTS,)
        given[name] = jnp.asarray(random.uniform(0.2, 0.8, shape))
    return integral.along(points, given)


def _stacked(values: Mapping[str, Array]) -> Array:
    return jnp.stack([jnp.asarray(values[name], jnp.float64) for name in sorted(values)], -1)


def _cube(count: int, dimension: int) -> Float[np.ndarray, "m d"]:
    """The same points in every version of NumPy; more of them begin with fewer."""
    return np.random.RandomState(2).uniform(size=(count, dimension))


def _parts(problem: Problem, condition: Condition) -> tuple[str, ...]:
    on = getattr(condition, "on", None)
    if isinstance(condition, Periodic):
        return (condition.on,) if isinstance(condition.on, str) else tuple(condition.on)
    if isinstance(condition, Interface):
        return tuple(part.name for part in chosen(problem, condition.on))
    return () if isinstance(condition, Initial | Observed) else problem.domain.select(on)


def _kind(problem: Problem, condition: Condition) -> dict[str, Any]:
    """What a condition is, but for its data."""
    kind = type(condition).__name__
    if isinstance(condition, Periodic) and condition.even:
        kind = "even Periodic"
    parts = sorted(_parts(problem, condition))
    on = parts if len(parts) <= 12 else [*parts[:3], f"{len(parts)} parts"]
    return {"kind": kind, "on": on, "soft": bool(condition.soft)}


def _of_condition(problem: Problem, condition: Condition) -> list[tuple[str, Callable[[], Array]]]:
    """The functions of a condition by name, and how to evaluate each where the condition holds."""
    owner = f"{type(problem).__name__}: {type(condition).__name__}"
    domain = problem.domain
    if isinstance(condition, Equation):
        signature = parse_signature(
            condition.residual, names_of(problem), owner=owner, boundary=True
        )
        label = ", ".join(name for name, _ in signature.arguments)
        return [(label, lambda: _equation_values(problem, condition.residual, label, owner))]
    if isinstance(condition, Interface):
        return _of_interface(problem, condition, owner)
    if isinstance(condition, Observed):
        jobs = []
        for name, function in condition.quantities.items():
            signature = parse_signature(function, names_of(problem), owner=owner)
            label = ", ".join(argument for argument, _ in signature.arguments)
            job = partial(_equation_values, problem, function, label, owner)
            jobs.append((f"{name} from {label}", job))
        return jobs
    if isinstance(condition, Initial):
        at, pairs = domain.sample_initial(_cube, _POINTS), {"": condition.value}
        if condition.derivative is not None:
            pairs["_t"] = condition.rates()
    elif isinstance(condition, Dirichlet | Neumann | Robin):
        at, _ = domain.sample_boundary(condition.on, _cube, _POINTS)
        pairs = {"": condition.value}
    else:
        return []
    points = jnp.asarray(at)
    jobs: list[tuple[str, Callable[[], Array]]] = []
    for suffix, data in pairs.items():
        functions = by_unknown(problem, data, condition.unknown, owner=owner)
        for name, function in functions.items():
            jobs.append((f"{name}{suffix}", partial(jax.vmap(function), points)))
    if isinstance(condition, Robin):
        numbers = jnp.asarray([condition.alpha, condition.beta], jnp.float64)
        jobs.append(("alpha, beta", lambda: numbers))
    return jobs


def _of_interface(
    problem: Problem, condition: Interface, owner: str
) -> list[tuple[str, Callable[[], Array]]]:
    """The balances at an interface, of random values on both sides."""
    random = np.random.RandomState(4)
    jobs: list[tuple[str, Callable[[], Array]]] = []
    for what, signature, function, _ in across(problem, condition, owner):
        sizes = {Gradient: len(problem.domain.space), NormalVector: len(problem.domain.space)}
        sizes[Point] = len(problem.domain.coordinates)
        values = {}
        for name, argument in signature.arguments:
            more = (sizes[type(argument)],) if type(argument) in sizes else ()
            values[name] = jnp.asarray(random.uniform(0.2, 0.8, (_POINTS, 2, *more)))
            if isinstance(argument, Indicator):
                values[name] = jnp.round(values[name])
        label = ", ".join([what, *(name for name, _ in signature.arguments)])

        def job(function: Any = function, values: Any = values) -> Array:
            return _stacked(apply_pointwise(function, values, owner=owner))

        jobs.append((label, job))
    return jobs


def _domain(problem: Problem) -> dict[str, Any]:
    domain = problem.domain
    bounds = np.asarray(list(domain.bounds.values()), np.float64)
    unit = np.random.RandomState(3).uniform(size=(_SHAPE, len(bounds)))
    inside = domain.contains(bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * unit)
    out = {
        "kind": type(domain).__name__,
        "coordinates": ", ".join(domain.coordinates[:100]),
        "bounds": _text(bounds[:100]),
        "count": len(bounds),
        "inside": np.packbits(inside).tobytes().hex(),
    }
    at = jnp.asarray(bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * unit)
    for part in subdomains_of(problem):
        told = np.packbits(np.asarray(part.indicator(at)) > 0)
        out[f"inside {part.name}"] = told.tobytes().hex()
        ends = np.asarray(list(part.shape.bounds.values()), np.float64)
        out[f"bounds of {part.name}"] = _text(ends)
    return out


def _observations(conditions: Sequence[Condition], values: Values) -> dict[str, Any]:
    """How many, and their values in some rows with their mean and spread, which change with every
    other row; and the functions of quantities.
    """
    out = {}
    for k, condition in enumerate(conditions):
        if isinstance(condition, Observed):
            for name, array in sorted(condition.arrays.items()):
                rows = np.linspace(0, array.size - 1, _LISTED).astype(int)
                told = [array.size, np.mean(array), np.std(array), *array[rows]]
                out[f"{k} {name}"] = _text(np.asarray(told))
            functions = _group(values, f"{k} ")
            out |= {f"{k} {name}": _text(array) for name, array in functions.items()}
    return out


def _group(values: Values, prefix: str) -> Values:
    return {
        name.removeprefix(prefix): array
        for name, array in values.items()
        if name.startswith(prefix)
    }


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS + 2}g}")


def _text(array: Any) -> str | None:
    """Numbers on one line of JSON; of very many, some."""
    if array is None:
        return None
    flat = np.asarray(array, np.float64).ravel()
    if flat.size > 256:
        rows = np.linspace(0, flat.size - 1, 64).astype(int)
        flat = np.asarray([flat.size, np.nanmean(flat), np.nanstd(flat), *flat[rows]])
    return " ".join(f"{number:.{_DIGITS}g}" for number in flat)


def _short(value: Any) -> Any:
    """A coefficient: itself, or some of its many numbers."""
    array = np.asarray(value)
    if array.size <= _LISTED or array.dtype.kind not in "fiu":
        return value
    return {"shape": list(array.shape), "values": _text(array)}
