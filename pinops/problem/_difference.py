"""The first part in which two problems differ, by their fingerprints."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pinops.problem._fingerprint import fingerprint
from pinops.problem._problem import Problem

_SAME = 1e-6  # of the largest value: what single precision in a user's constants may change
_EQUAL = 1e-9  # of a coefficient or bound


def difference(stored: Mapping[str, Any], problem: Problem | Mapping[str, Any]) -> str | None:
    """The first part in which a problem differs from the one that a fingerprint was taken of.

    Observations are compared where both have some: those of a stored run are not needed to evaluate
    it.

    Args:
        stored: what `fingerprint` gave.
        problem: another problem, or its fingerprint.

    Returns:
        A clause such as "the equation differs" or "viscosity is 0.01 there and 0.02 here"; None
        where all is the same.
    """
    fresh = fingerprint(problem) if isinstance(problem, Problem) else problem
    parts = [_unknowns, _equation, _integrals, _coefficients, _domains, _conditions, _known]
    parts += [_observed, _window]
    if stored.get("problem") == fresh["problem"]:
        # Of one class: what differs beyond the coefficients may follow from them.
        parts.insert(0, _coefficients)
    try:
        return next((words for part in parts if (words := part(stored, fresh)) is not None), None)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        return "what is stored of the problem is not as pinops writes it"


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
    there, here = (", ".join(map(str, part["unknowns"])) for part in (stored, fresh))
    if there != here:
        return f"the unknowns are {there[:80]} there and {here[:80]} here"
    there, here = (part.get("depends_on", {}) for part in (stored, fresh))
    for name in dict.fromkeys((*there, *here)):
        told = [part.get(name, "all coordinates") or "none" for part in (there, here)]
        if told[0] != told[1]:
            return f"{name[:40]} depends on {told[0][:80]} there and on {told[1][:80]} here"
    return None


def _equation(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored["equation"], fresh["equation"]
    if _all_same(there, here):
        return None
    (before,), (after,) = there, here
    if before == after:
        return "the equation differs"
    return f"the equation differs (it is in {before[:80]} there and in {after[:80]} here)"


def _integrals(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> str | None:
    there, here = stored.get("integrals", {}), fresh.get("integrals", {})
    for label in dict.fromkeys((*there, *here)):
        name = label.split(":")[0][:40]
        if label not in here or label not in there:
            return f"the integral {name} is declared otherwise there than here"
        if not _same(there[label], here[label]):
            return f"the integral {name} differs"
    return None


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
