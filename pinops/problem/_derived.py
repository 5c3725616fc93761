"""Problems that are made from others: manufactured ones, time windows, inverse problems."""

# Properties take the place of class attributes here.
# pyright: reportIncompatibleVariableOverride=false

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
    def domain(self) -> Domain:
        return self.problem.domain

    @property
    def unknowns(self) -> tuple[str, ...]:
        return self.problem.unknowns

    @property
    def subdomains(self) -> Mapping[str, Domain]:
        return self.problem.subdomains

    @property
    def gauge(self) -> tuple[str, ...]:
        return self.problem.gauge

    @property
    def depends_on(self) -> Mapping[str, tuple[str, ...]]:
        return self.problem.depends_on

    @property
    def sampler(self) -> Sampler:
        return self.problem.sampler

    @property
    def stretched(self) -> bool:
        return self.problem.stretched

    def integrals(self) -> dict[str, Integral]:
        return self.problem.integrals()

    @property
    def lift(self) -> Callable[..., Any] | None:
        return self.problem.lift

    @property
    def factor(self) -> Callable[..., Any] | None:
        return self.problem.factor

    @property
    def features(self) -> Callable[..., Any] | None:
        return self.problem.features
