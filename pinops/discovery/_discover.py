"""The front door: from trajectories to an equation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from pinops.data import Dataset
from pinops.derivatives import Coordinate, Partial
from pinops.problem import Expression, TermLibrary
from pinops.settings import shown

from ._columns import Columns, orders_of, unknown_of
from ._discovery import Candidate, Discovery
from ._forms import Form, Weak
from ._library import library_for
from ._problem import DiscoveredProblem
from ._regression import Fit, Regression
from ._rollout import Side, is_possible, rollout
from ._trajectories import Trajectories

_ROWS = 600  # of a trajectory
_MOST = 8  # columns of an equation
_TIED = 10.0  # chi^2: supports whose score is no further from the best are tried in rollouts
_SHARE = 0.8  # of the snapshots, on which supports are compared; the others are held out
_FEWEST = 24  # snapshots of which some are held out
_HARDLY = 1.05  # times the least error: the support with the better score is taken
_SIGNIFICANT = 3.0  # error bars
_DIVERGED = 1e3  # relative
_TWICE = 0.5  # a second derivative in time is taken where it halves the relative residual
_EXACT = 1e-2  # a relative residual that needs no second derivative in time
_UNEXPLAINED = 0.7  # a relative residual larger than this is no equation

_WEAK = Weak()


def discover(
    data: Dataset,
    library: TermLibrary | None = None,
    *,
    form: Form = _WEAK,
    unknown: str | Sequence[str] | None = None,
    periodic: str | Sequence[str] | None = None,
) -> Discovery:
    """Find the equation that trajectories on a grid obey, with error bars of its coefficients.

    A derivative in time is a combination of a few columns of a library. Rows of the regression are
    integrals against test functions, so that noisy data are not differentiated (Messenger & Bortz,
    J. Comput. Phys. 443, 2021), in units of what their noise explains. Of every number of columns
    the best support is found on the first eighty per cent of the time; of those between which
    chi^2 does not decide, the one that predicts the rest best is taken. Coefficients are then
    those of all data.

    Args:
        data: Trajectories on a regular grid, at least 8 points along each coordinate, without NaN.
            One trajectory is enough; of very many the first are taken, one million values in all.
        library: The columns; by default those of `TermLibrary.of` for an unknown u of x and t, and
            otherwise products of unknowns up to the third degree and their derivatives.
        form: `Weak()`, or `Strong()` for data with hardly any noise.
        unknown: Which outputs are unknowns of the equation; all by default.
        periodic: The coordinates of space along which data are periodic; by default those across
            whose ends they are as smooth as elsewhere. Without any: ``()``.

    Returns:
        The equation, its coefficients and error bars, and a problem for `solve`.

    Raises:
        ValueError: For data that are not as described, for a library of other names or without a
            derivative in time, and where no combination of columns explains the data.

    Example:
        >>> x, t = np.arange(32) * np.pi / 16, np.linspace(0, 1, 40)
        >>> u = np.exp(-t)[:, None] * np.sin(x) + np.exp(-4 * t)[:, None] * np.cos(2 * x)
        >>> noisy = u + 0.01 * np.random.default_rng(0).standard_normal(u.shape)
        >>> po.discover(po.Dataset.from_arrays({"u": noisy[None]}, {"t": t, "x": x}, time="t"))
        Discovery(u_t = 0.9956 u_xx)
    """
    if not isinstance(form, Form):
        raise ValueError(
            "form must be po.discovery.Weak() or po.discovery.Strong(), got " + shown(form)
        )
    trajectories = Trajectories.of(data, unknown, periodic)
    library = library_for(trajectories) if library is None else library
    source = str(data.path)
    _check(library, trajectories, source)
    return _Search(trajectories, library, form, source).found()


@dataclass(frozen=True)
class _Search:
    """What is searched, and how."""

    data: Trajectories
    library: TermLibrary
    form: Form
    source: str

    @cached_property
    def first(self) -> int:
        """The first snapshot that is held out; of few snapshots none is."""
        count = self.data.time.count
        return int(_SHARE * count) if count >= _FEWEST else 0

    @cached_property
    def held_out(self) -> Columns:
        """The rows of the snapshots that are held out."""
        part = self.data.part(slice(self.first, None))
        return Columns.of(part, self.library, self.form, _ROWS)

    def found(self) -> Discovery:
        """The equations."""
        kept = self.data.part(slice(0, self.first)) if self.first else self.data
        some = Columns.of(kept, self.library, self.form, _ROWS)
        paths = {name: self._path(some, name) for name in self.data.unknowns}
        tied = {}
        for name, path in paths.items():
            least = min(fit.score for fit in path)
            tied[name] = [fit for fit in path if fit.score <= least + _TIED]
        candidates = []
        # All systems of what is tied; the one with the least chi^2 comes first.
        for fits in product(*(sorted(each, key=lambda fit: fit.score) for each in tied.values())):
            system = dict(zip(tied, fits, strict=True))
            error = self._predicted(system, some)
            error = self._left_over(system) if error is None else error
            candidates.append(Candidate(system, error))
        chosen = _preferred(candidates)
        whole = Columns.of(self.data, self.library, self.form, _ROWS)
        fits = {
            name: self._significant(self._regression(whole, name, fit.target), fit.support)
            for name, fit in chosen.fits.items()
        }
        for name, fit in fits.items():
            if fit.relative > _UNEXPLAINED and fit.misfit > 2:
                raise ValueError(
                    f"{self.source}: no combination of columns explains {fit.target} (the best, "
                    f"of {', '.join(fit.support)}, leaves {fit.relative:.0%} of it); give a "
                    f"library with the missing term, or more accurate data of {name}"
                )
        return self._written(fits, candidates, self._predicted(fits, whole, self.data.noise))

    def _path(self, columns: Columns, unknown: str) -> list[Fit]:
        """The best fits of an unknown, of the lowest order in time that explains its data."""
        paths = [
            self._regression(columns, unknown, target).path()
            for target in targets(self.library, self.data, unknown)
        ]
        best = [min(path, key=lambda fit: fit.score) for path in paths]
        chosen = 0
        for k in range(1, len(best)):
            rest = best[chosen].relative
            if rest > _EXACT and best[k].relative < _TWICE * rest:
                chosen = k
        return paths[chosen]

    @staticmethod
    def _significant(regression: Regression, support: Sequence[str]) -> Fit:
        """The fit of a support, without columns that are not told from zero."""
        while True:
            fit = regression.fit(support)
            known = np.abs(fit.coefficients) >= _SIGNIFICANT * fit.error_bars
            if known.all() or not known.any():
                return fit
            support = [name for name, kept in zip(support, known, strict=True) if kept]

    def _regression(self, columns: Columns, unknown: str, target: str) -> Regression:
        order = order_in_time(target, self.library, self.data)
        allowed = {}
        for name in self.library.columns:
            alive = np.linalg.norm(columns.values[name]) > 0
            if alive and order_in_time(name, self.library, self.data) < order:
                allowed[name] = self.library.complexity(name)
        if not allowed:
            raise ValueError(
                f"the library has no column for the right side of {target}; add some to the "
                "function of TermLibrary.of"
            )
        return Regression(columns, target, allowed, _MOST)

    def _predicted(
        self,
        fits: Mapping[str, Fit],
        columns: Columns,
        noise: Mapping[str, float] | None = None,
    ) -> float | None:
        """The relative L2 error of a rollout over what is held out; None where none is possible.

        The noise of the measured values is taken out of it where it is given.
        """
        sides = {
            name: Side.of(
                name,
                order_in_time(fit.target, self.library, self.data),
                fit.by_name,
                columns,
                self.library,
                self.data,
            )
            for name, fit in fits.items()
        }
        if not is_possible(self.data, self.library, sides):
            return None
        try:
            found = rollout(self.data, self.first, self.library, sides)
        except ValueError:  # it diverged
            return float("inf")
        errors = []
        for name, values in found.items():
            measured, size = self.data.values[name][:, self.first :], (noise or {}).get(name, 0.0)
            square = np.mean((values - measured) ** 2) - size**2
            whole = np.mean(measured**2) - size**2
            errors.append(float(np.sqrt(max(square, 0.0) / whole)) if whole > 0 else 0.0)
        return max(errors) if max(errors) < _DIVERGED else float("inf")

    def _left_over(self, fits: Mapping[str, Fit]) -> float:
        """The relative residual of what is held out."""
        parts = []
        for name, fit in fits.items():
            rest = self._regression(self.held_out, name, fit.target).residual(fit)
            left = self.held_out.values[fit.target]
            parts.append(np.linalg.norm(rest) / np.linalg.norm(left))
        return float(max(parts))

    def _written(self, fits: Mapping[str, Fit], tried: list[Candidate], error: Any) -> Discovery:
        orders = {n: order_in_time(f.target, self.library, self.data) for n, f in fits.items()}
        equations = {}
        for name, fit in fits.items():
            row = np.asarray([-fit.by_name.get(column, 0.0) for column in self.library.columns])
            row[self.library.columns.index(fit.target)] = 1.0
            key = name if len(fits) > 1 else ""
            equations[key] = self.library.equation(row).equations[""]
        expression = Expression(self.library.expression.names, equations, {}, {})
        return Discovery(
            problem=DiscoveredProblem.of(expression, self.data, orders),
            library=self.library,
            fits=fits,
            candidates=tuple(tried),
            noise={name: size for name, size in self.data.noise.items()},
            rollout_error=error,
        )


def _preferred(candidates: Sequence[Candidate]) -> Candidate:
    """The first of those whose error is hardly larger than the least."""
    least = min(candidate.error for candidate in candidates)
    return next(one for one in candidates if one.error <= _HARDLY * least or one.error == least)


def order_in_time(column: str, library: TermLibrary, data: Trajectories) -> int:
    """The highest order of a derivative in time that occurs in a column."""
    expression = library.expression
    alone = replace(expression, equations={"": expression.equations[column]})
    names = [name for name, _ in alone.signature.arguments if unknown_of(name, library)]
    return max((orders_of(name, library, data)[0] for name in names), default=0)


def targets(library: TermLibrary, data: Trajectories, unknown: str) -> list[str]:
    """The columns that are nothing but a derivative of an unknown in time, in rising order."""
    found = {}
    for column in library.columns:
        function, derivative = library.factored(column)
        if derivative is None or unknown_of(derivative, library) != unknown:
            continue
        in_time, *others = orders_of(derivative, library, data)
        if in_time and not any(others) and not function.signature.arguments:
            found[in_time] = column
    return [found[order] for order in sorted(found) if order <= 2]


def _check(library: Any, data: Trajectories, source: str) -> None:
    """Raises ValueError for a library that is not about the data."""
    if not isinstance(library, TermLibrary):
        raise ValueError(
            f"library must be a po.TermLibrary, such as po.TermLibrary.of(), got {shown(library)}"
        )
    names = library.expression.names
    ours = (sorted(names.unknowns), sorted(names.coordinates))
    theirs = (sorted(data.unknowns), sorted(axis.name for axis in data.axes))
    if ours != theirs:
        raise ValueError(
            f"the library is for {', '.join(names.unknowns)} of {', '.join(names.coordinates)}, "
            f"and {source} has {', '.join(data.unknowns)} of "
            f"{', '.join(axis.name for axis in data.axes)}; give TermLibrary.of these unknowns and "
            "coordinates"
        )
    for name, kind in library.expression.signature.arguments:
        if not isinstance(kind, Partial | Coordinate):
            raise ValueError(
                f"the library has {name}, and equations are found from partial derivatives; give "
                "each of those it consists of a column of its own"
            )
    for unknown in data.unknowns:
        if not targets(library, data, unknown):
            raise ValueError(
                f"the library has no column {unknown}_{data.time.name}, the left side of the "
                "equation; add it to the function of TermLibrary.of"
            )
