"""Unknowns that depend on some of the coordinates only, such as k(x) beside u(x, t)."""

from pinops.problem._problem import Problem


def missing_axes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """For the unknowns of ``depends_on``, the numbers of the coordinates that they lack.

    Raises:
        ValueError: For an unknown or a coordinate that does not exist.
    """
    owner, names = f"{type(problem).__name__}: depends_on", problem.domain.coordinates
    out: dict[str, tuple[int, ...]] = {}
    for unknown, own in problem.depends_on.items():
        if unknown not in problem.unknowns:
            raise ValueError(
                f"{owner}: there is no unknown {unknown!r}; the unknowns are "
                f"{', '.join(problem.unknowns)}"
            )
        if isinstance(own, str):
            raise ValueError(
                f"{owner} must give a tuple of coordinates, {{{unknown!r}: ({own!r},)}}, got "
                f"{own!r}"
            )
        for name in own:
            if name not in names:
                raise ValueError(
                    f"{owner}: {unknown} cannot depend on {name!r}; the coordinates are "
                    f"{', '.join(names)}"
                )
        out[unknown] = tuple(axis for axis, name in enumerate(names) if name not in own)
    return {unknown: axes for unknown, axes in out.items() if axes}
