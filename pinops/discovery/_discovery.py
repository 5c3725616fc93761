"""What `discover` returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinops.problem import Expression, Problem, TermLibrary

from ._regression import Fit


@dataclass(frozen=True)
class Candidate:
    """Equations between which the data that they were found from do not decide.

    Args:
        fits: By unknown.
        error: The relative L2 error on data held out: of a rollout; where none is possible, of the
            equation.
    """

    fits: Mapping[str, Fit]
    error: float


@dataclass(frozen=True)
class Discovery:
    """An equation found from data; `print` shows it as a table, a notebook as a formula.

    Args:
        problem: The equation with the initial and boundary values of the first trajectory, for
            `solve`.
        library: The columns.
        fits: The right side of each unknown.
        candidates: The equations that were compared on data held out, the one with the best score
            first.
        noise: The standard deviation of the noise of each unknown, as estimated.
        rollout_error: The relative L2 error of a rollout over the last fifth of the time (of fewer
            than 24 snapshots over all of it), without the noise of the measured values; infinite
            where it diverges, None where space is not periodic.
    """

    problem: Problem
    library: TermLibrary
    fits: Mapping[str, Fit]
    candidates: tuple[Candidate, ...]
    noise: Mapping[str, float]
    rollout_error: float | None

    @property
    def coefficients(self) -> dict[str, Any]:
        """By column; of a system by unknown and column."""
        return self._by_unknown({name: fit.by_name for name, fit in self.fits.items()})

    @property
    def error_bars(self) -> dict[str, Any]:
        """The standard deviations of `coefficients`, by the same names."""
        return self._by_unknown(
            {
                name: dict(zip(fit.support, fit.error_bars.tolist(), strict=True))
                for name, fit in self.fits.items()
            }
        )

    @staticmethod
    def _by_unknown(found: dict[str, Any]) -> dict[str, Any]:
        return found if len(found) > 1 else next(iter(found.values()))

    @property
    def misfit(self) -> float:
        """The mean square of the residual over that which the noise of the data explains.

        Much more than 1: a term is missing, or the noise is not independent from point to point.
        """
        return max(fit.misfit for fit in self.fits.values())

    def latex(self) -> str:
        """The equation in LaTeX, coefficients to two digits of their error bars."""
        equations = {}
        for name, fit in self.fits.items():
            row = np.zeros(len(self.library.columns))
            row[self.library.columns.index(fit.target)] = 1.0
            for column, value, bar in zip(
                fit.support, fit.coefficients, fit.error_bars, strict=True
            ):
                row[self.library.columns.index(column)] = -rounded(value, bar)
            key = name if len(self.fits) > 1 else ""
            equations[key] = self.library.equation(row).equations[""]
        return Expression(self.library.expression.names, equations, {}, {}).latex()

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def summary(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "equations": {
                name: {
                    "left": fit.target,
                    "coefficients": fit.by_name,
                    "error_bars": dict(zip(fit.support, fit.error_bars.tolist(), strict=True)),
                }
                for name, fit in self.fits.items()
            },
            "latex": self.latex(),
            "noise": dict(self.noise),
            "misfit": self.misfit,
            "rollout_error": self.rollout_error,
        }

    def __repr__(self) -> str:
        return f"Discovery({'; '.join(map(_written, self.fits.values()))})"

    def __str__(self) -> str:
        lines = []
        for fit in self.fits.values():
            width = max(len(name) for name in (*fit.support, "column"))
            lines += [
                _written(fit),
                f"  {'column':{width}}  {'coefficient':>12}  {'error bar':>10}",
            ]
            for column, value, bar in zip(
                fit.support, fit.coefficients, fit.error_bars, strict=True
            ):
                lines.append(f"  {column:{width}}  {rounded(value, bar):>12.9g}  {bar:>10.1e}")
        noise = ", ".join(f"{size:.2g} of {name}" for name, size in self.noise.items())
        lines.append(f"noise: {noise}; misfit {self.misfit:.2g} (1: noise explains the residual)")
        if self.rollout_error is not None:
            known = f"error {self.rollout_error:.1%}" if self.rollout_error < 10 else "it diverges"
            lines.append(f"rollout over the snapshots held out: {known}")
        return "\n".join(lines)


def rounded(value: float, bar: float) -> float:
    """A number to two digits of its error bar, at most nine of its own."""
    value = float(f"{value:.9g}")
    if not math.isfinite(bar) or bar <= 0 or value == 0:
        return value
    return float(round(value, 1 - math.floor(math.log10(bar))))


def _written(fit: Fit) -> str:
    """``u_t = 0.1 u_xx - 1 u*u_x``."""
    text = ""
    for column, value, bar in zip(fit.support, fit.coefficients, fit.error_bars, strict=True):
        sign = " - " if value < 0 else " + "
        number = f"{abs(rounded(value, bar)):.9g} ".removeprefix("1 ")
        text += f"{sign}{number}{column}"
    text = text.removeprefix(" + ")
    return f"{fit.target} = {'-' + text[3:] if text.startswith(' - ') else text}"
