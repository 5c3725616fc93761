"""Problems that are made from others: manufactured ones, time windows, inverse problems."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx

from pinops.geometry import Domain
from pinops.problem._integrals import Integral
from pinops.problem._problem import Problem
from pinops.sampling import Sampler


class DerivedProblem(Problem):
    """Abstract: a problem made from another one, for the same unknowns on the same domain."""

    problem: eqx.AbstractVar[Problem]

    @property
    def domain(self) -> Domain:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.domain

    @property
    def unknowns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.unknowns

    @property
    def subdomains(self) -> Mapping[str, Domain]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.subdomains

    @property
    def gauge(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.gauge

    @property
    def depends_on(self) -> Mapping[str, tuple[str, ...]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.depends_on

    @property
    def sampler(self) -> Sampler:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.sampler

    @property
    def stretched(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.stretched

    def integrals(self) -> dict[str, Integral]:
        return self.problem.integrals()

    @property
    def lift(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.lift

    @property
    def factor(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.factor

    @property
    def features(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.features
