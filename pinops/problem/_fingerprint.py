"""Everything of a problem that a stored run depends on, as JSON, and the first part in which two problems differ.

Functions are compared by their values at fixed arguments and not by their text: the same equation written in another order,
or read by another version of JAX, is the same. An equation is evaluated at coefficients of its own, so that "the viscosity
differs" and "the equation differs" are told apart. Numbers are kept and compared up to a tolerance, because a digest of
rounded ones would change where a last digit does.
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
    apply_pointwise,
    parse_signature,
)
from pinops.problem._conditions import (
    Condition,
    Dirichlet,
    Equation,
    Initial,
    Neumann,
    Observed,
    Periodic,
    Robin,
)
from pinops.problem._inverse import coefficients_as_json, holder
from pinops.problem._problem import (
    Problem,
    by_unknown,
    features_at,
    names_of,
    residual_signature,
    values_at,
)
from pinops.problem._registry import name_of
from pinops.problem._windows import Window

_POINTS = 24
_SHAPE = 256  # points whose containment tells the shape of a domain
_DIGITS = 10
_SAME = 1e-6  # of the largest value: what single precision in a user's constants may change
_EQUAL = 1e-9  # of a coefficient or bound
_LISTED = 16  # numbers of a coefficient that are kept one by one

Values = dict[str, Any]  # arrays by name, or None where they cannot be computed


def fingerprint(problem: Problem) -> dict[str, Any]:
    """Everything of a problem that a stored run depends on, as JSON.

    Equation, conditions and their data, domain, coefficients, unknowns, what is known of the solution, and what an
    operator sees of a family. A time window is told by the whole problem and where it begins.

    Args:
        problem: any problem, inverse ones and time windows included.

    Returns:
        Tables, texts and numbers, about 5 kB; the same in another process and in either precision.
    """
    if isinstance(problem, Window):
        return in_window(fingerprint(problem.problem), problem)
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
    return {
        "problem": name_of(holder(problem)),
        "unknowns": list(problem.unknowns),
        "coefficients": {name: _short(value) for name, value in coefficients.items()},
        "domain": _domain(problem),
        "equation": {name: _text(array) for name, array in _group(values, "equation ").items()},
        "conditions": rows,
        "known": {name: _text(array) for name, array in _group(values, "known ").items()},
        "observations": _observations(conditions),
    }


def in_window(whole: Mapping[str, Any], window: Window) -> dict[str, Any]:
    """The fingerprint of a time window, from that of the whole problem."""
    part = {"start": _rounded(float(window.start)), "length": _rounded(window.length)}
    return {**whole, "window": part}


def difference(stored: Mapping[str, Any], problem: Problem | Mapping[str, Any]) -> str | None:
    """The first part in which a problem differs from the one that a fingerprint was taken of.

    Observations are compared where both have some: those of a stored run are not needed to evaluate it.

    Args:
        stored: what `fingerprint` gave.
        problem: another problem, or its fingerprint.

    Returns:
        A clause such as "the equation differs" or "viscosity is 0.01 there and 0.02 here"; None where all is the same.
    """
    fresh = fingerprint(problem) if isinstance(problem, Problem) else problem
    parts = [_unknowns, _equation, _coefficients, _domains, _conditions, _known, _observed, _window]
    if stored.get("problem") == fresh["problem"]:
        # Of one class: what differs beyond the coefficients may follow from them.
        parts.insert(0, _coefficients)
    try:
        return next((words for part in parts if (words := part(stored, fresh)) is not None), None)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        return "what is stored of the problem is not as pinops writes it"


# Taking it.


def _values(problem: Problem) -> Values:
    """The values of all functions of a problem, from one compiled program; what raises is left out."""
    jobs = dict(_jobs(problem))
    try:
        return dict(jax.jit(lambda: {name: job() for name, job in jobs.items()})())
    except Exception:
        # Whatever a function of the user raises, training raises with a better sentence; the others still count.
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
    """The problem at coefficients that depend on their names' order only, so that the equation is told without them."""
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
    """An equation at random arguments, ``(points, equations)``, its equations in the order of their names."""
    names = names_of(problem)
    random = np.random.RandomState(1)
    arguments: dict[str, Array] = {}
    for name in label.split(", "):
        size = {"point": len(names.coordinates), "normal": len(names.space)}.get(name)
        if name.startswith("grad_") and name not in names.unknowns:
            size = len(names.space)
        shape = (_POINTS,) if size is None else (_POINTS, size)
        arguments[name] = jnp.asarray(random.uniform(0.2, 0.8, shape))
    out = apply_pointwise(function, arguments, owner=owner)
    return _stacked(out)


def _stacked(values: Mapping[str, Array]) -> Array:
    return jnp.stack([jnp.asarray(values[name], jnp.float64) for name in sorted(values)], -1)


def _cube(count: int, dimension: int) -> Float[np.ndarray, "m d"]:
    """The same points in every version of NumPy; more of them begin with fewer."""
    return np.random.RandomState(2).uniform(size=(count, dimension))


def _parts(problem: Problem, condition: Condition) -> tuple[str, ...]:
    on = getattr(condition, "on", None)
    if isinstance(condition, Periodic):
        return (on,) if isinstance(on, str) else tuple(on)
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


def _domain(problem: Problem) -> dict[str, Any]:
    domain = problem.domain
    bounds = np.asarray(list(domain.bounds.values()), np.float64)
    unit = np.random.RandomState(3).uniform(size=(_SHAPE, len(bounds)))
    inside = domain.contains(bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * unit)
    return {
        "kind": type(domain).__name__,
        "coordinates": ", ".join(domain.coordinates[:100]),
        "bounds": _text(bounds[:100]),
        "count": len(bounds),
        "inside": np.packbits(inside).tobytes().hex(),
    }


def _observations(conditions: Sequence[Condition]) -> dict[str, Any]:
    """How many, and their values in some rows with their mean and spread, which change with every other row."""
    out = {}
    for k, condition in enumerate(conditions):
        if isinstance(condition, Observed):
            for name, array in sorted((condition.coordinates | condition.values).items()):
                rows = np.linspace(0, array.size - 1, _LISTED).astype(int)
                told = [array.size, np.mean(array), np.std(array), *array[rows]]
                out[f"{k} {name}"] = _text(np.asarray(told))
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


# Comparing it.


def _same(there: Any, here: Any) -> bool:
    """Whether two lines of numbers are the same up to what precision may change."""
    if there is None or here is None or there == here:
        return there == here
    a, b = (np.asarray([float(number) for number in text.split()]) for text in (there, here))
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    known = np.isfinite(a)
    size = np.max(np.abs(np.concatenate([a[known], b[known], [0.0]])))
    return bool(np.all(np.abs(a[known] - b[known]) <= _SAME * size)) and bool(
        np.array_equal(np.isposinf(a), np.isposinf(b))
    )


def _all_same(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    return there.keys() == here.keys() and all(_same(there[name], here[name]) for name in here)


def _unknowns(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = ", ".join(map(str, stored["unknowns"])), ", ".join(fresh["unknowns"])
    return None if there == here else f"the unknowns are {there[:80]} there and {here[:80]} here"


def _equation(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["equation"], fresh["equation"]
    if _all_same(there, here):
        return None
    (before,), (after,) = there, here
    if before == after:
        return "the equation differs"
    return f"the equation differs (it is in {before[:80]} there and in {after[:80]} here)"


def _coefficients(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["coefficients"], fresh["coefficients"]
    for name in dict.fromkeys((*there, *here)):
        if name not in here or name not in there:
            where = "there" if name in there else "here"
            return f"the coefficient {name[:40]} is only {where}"
        if not _close(there[name], here[name]):
            if isinstance(here[name], dict) or isinstance(there[name], dict):
                return f"the numbers of {name[:40]} differ"
            return f"{name[:40]} is {_worded(there[name])} there and {_worded(here[name])} here"
    return None


def _close(there: Any, here: Any) -> bool:
    if isinstance(there, dict) and isinstance(here, dict):
        return there["shape"] == here["shape"] and _same(there["values"], here["values"])
    a, b = np.asarray(there), np.asarray(here)
    if a.dtype.kind in "fiu" and b.dtype.kind in "fiu":
        return a.shape == b.shape and np.allclose(a, b, rtol=_EQUAL, atol=0.0, equal_nan=True)
    return there == here or (list(np.ravel(a)) == list(np.ravel(b)) and a.shape == b.shape)


def _worded(value: Any) -> str:
    text = f"{value:.10g}" if isinstance(value, float) else f"{value!r}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _domains(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["domain"], fresh["domain"]
    if there["coordinates"] != here["coordinates"] or there["count"] != here["count"]:
        names = [part["coordinates"][:80] for part in (there, here)]
        return f"the coordinates are {names[0]} there and {names[1]} here"
    old, new = (
        np.reshape([float(number) for number in part["bounds"].split()], (-1, 2))
        for part in (there, here)
    )
    for name, a, b in zip(here["coordinates"].split(", "), old, new, strict=True):
        if not np.allclose(a, b, rtol=_EQUAL, atol=_EQUAL * np.ptp(b)):
            end = int(np.isclose(a[0], b[0], rtol=_EQUAL, atol=_EQUAL * np.ptp(b)))
            verb = ("begins at", "reaches")[end]
            return f"the domain {verb} {name} = {a[end]:.6g} there and {b[end]:.6g} here"
    if there["kind"] != here["kind"]:
        return f"the domain is a {there['kind'][:40]} there and a {here['kind'][:40]} here"
    if there["inside"] != here["inside"]:
        return "the shape of the domain differs"
    return None


def _conditions(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["conditions"], fresh["conditions"]
    for before, after in zip(there, here, strict=False):
        names = [_name_of_condition(row) for row in (before, after)]
        if names[0] != names[1]:
            return f"a condition is {names[0]} there and {names[1]} here"
        if before["soft"] != after["soft"]:
            return f"{names[1]} is {'soft' if before['soft'] else 'imposed'} there and not here"
        if before["data"].keys() != after["data"].keys():
            told = [", ".join(row["data"])[:60] for row in (before, after)]
            return f"{names[1]} is for {told[0]} there and for {told[1]} here"
        if not _all_same(before["data"], after["data"]):
            what = "is another equation" if after["kind"] == "Equation" else "has other data"
            return f"{names[1]} {what}"
    if len(there) != len(here):
        return f"there are {len(there)} conditions there and {len(here)} here"
    return None


def _name_of_condition(row: Mapping[str, Any]) -> str:
    on = f" on {', '.join(row['on'])}" if row["on"] else ""
    return f"{row['kind']}{on}"[:100]


_WORDS = {
    "lift": "the lift of the solution",
    "factor": "the factor of the solution",
    "exact": "the exact solution",
    "features": "the features of the coordinates",
    "stretched features": "the stretched coordinates",
    "inputs": "what an operator sees, inputs(),",
}


def _known(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["known"], fresh["known"]
    for name in dict.fromkeys((*there, *here)):
        words = _WORDS.get(name, "what is known of the solution")
        if name not in there or name not in here:
            return f"{words} is given only {'there' if name in there else 'here'}"
        if not _same(there[name], here[name]):
            return f"{words} differs"
    return None


def _observed(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["observations"], fresh["observations"]
    return "the observations differ" if there and here and not _all_same(there, here) else None


def _window(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored.get("window"), fresh.get("window")
    if not there or not here:
        return None
    same = all(
        np.isclose(there[name], here[name], rtol=1e-6, atol=1e-6 * here["length"])
        for name in ("start", "length")
    )
    if same:
        return None
    return f"the time window begins at {there['start']:.6g} there and at {here['start']:.6g} here"
