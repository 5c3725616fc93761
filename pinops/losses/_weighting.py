"""How the terms of a loss, and the points within a term, are balanced.

The loss is the sum over the terms of ``mean(w r^2)``. The weights w are part of the state of a
training: they are constants while an optimizer steps (a line search compares values of one
function) and are renewed at regular intervals from a `Snapshot`. Two instances: `GradientNorm`
gives every term one number, `Causal` gives every point one that depends on its time.
"""

import abc
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.losses._terms import Term
from pinops.problem import INTERIOR
from pinops.settings import Number, Table, check_settings, instance, number, setting, whole

WEIGHTING = "a weighting such as Fixed(condition=100)"
Weights = dict[str, Float[Array, "#n"]]
Terms = Mapping[str, Float[Array, " n"]]


class Snapshot(NamedTuple):
    """What a weighting sees: the terms by name, and what is computed only if it is asked for.

    Args:
        terms: By name.
        times: For each term with a time coordinate the times of its points, from 0 to 1.
        gradient_norms: The length of the gradient of every ``mean(r^2)``.
        kernel_traces: The mean squared length of the gradients of a term's residuals: the trace of
            J J' over their number.
        key: A random key.
    """

    terms: Mapping[str, Term]
    times: Terms
    gradient_norms: Callable[[], dict[str, Array]]
    kernel_traces: Callable[[], dict[str, Array]]
    key: PRNGKeyArray

    @property
    def residuals(self) -> dict[str, Float[Array, " n"]]:
        """The residual vector of every term."""
        return {name: term.vector for name, term in self.terms.items()}

    @property
    def conditions(self) -> list[str]:
        """The terms that are not interior equations."""
        return [name for name, term in self.terms.items() if term.region != INTERIOR]

    def means(self) -> dict[str, Array]:
        """The mean square of every term."""
        return {name: term.mean_square() for name, term in self.terms.items()}


class WeightingState(NamedTuple):
    """The weight of every residual, and what the rule remembers besides.

    Weights are ``(1,)`` for a term or ``(n,)`` for its points.

    Attributes:
        weights: By the name of a term.
        memory: What the rule keeps from one update to the next, None for nothing.
    """

    weights: Weights
    memory: Any = None


class Weighting(eqx.Module):
    """Abstract: a rule for how much every residual counts in the loss."""

    every: eqx.AbstractVar[int]  # steps from one update to the next; 0 for never

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def init(self, snapshot: Snapshot) -> WeightingState:
        """The state before the first step."""

    @abc.abstractmethod
    def update(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        """The state some steps later, at the same points."""

    @abc.abstractmethod
    def redrawn(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        """The state for other points."""

    @abc.abstractmethod
    def check(self, terms: Collection[str]) -> None:
        """Raises ValueError where the weighting names a term that the loss does not have."""


class Fixed(Weighting):
    """Constant weights: the loss is the sum over the terms of ``weight * mean(r^2)``.

    Args:
        weights: By the name of a term, as the log shows it.
        equation: The weight of interior equations that are not named.
        condition: That of soft boundary, initial and interface conditions.
        observed: That of observations, small enough that noise in them is not followed.
        data: That of samples of a data set.
        auxiliary: That of a network's own loss.

    Raises:
        ValueError: For a name that is not a term, and a weight that is negative or not finite.
    """

    weights: dict[str, float] = setting(Table(Number(least=0)), default_factory=dict, static=False)
    equation: float = number(1.0, least=0, static=False)
    condition: float = number(1000.0, least=0, static=False)
    observed: float = number(1.0, least=0, static=False)
    data: float = number(1.0, least=0, static=False)
    auxiliary: float = number(1.0, least=0, static=False)
    every: int = eqx.field(static=True, default=0, init=False)

    def _by_kind(self) -> dict[str, float]:
        conditions = dict.fromkeys(("initial", "boundary", "interface"), self.condition)
        others = {"observed": self.observed, "data": self.data, "auxiliary": self.auxiliary}
        return {"interior": self.equation, **conditions, **others}

    def init(self, snapshot: Snapshot) -> WeightingState:
        by_kind = self._by_kind()
        return WeightingState(
            {
                name: jnp.full(
                    1, self.weights.get(name, by_kind[term.region.kind]), term.vector.dtype
                )
                for name, term in snapshot.terms.items()
            }
        )

    def update(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        return state

    def redrawn(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        return state

    def check(self, terms: Collection[str]) -> None:
        for name in self.weights:
            if name not in terms:
                raise ValueError(
                    f"Fixed: there is no term {name!r}; the terms are {', '.join(terms)}"
                )


class _TermWeighting(Weighting):
    """Abstract: one weight for every term, a moving average; new points change nothing."""

    every: eqx.AbstractVar[int]
    decay: eqx.AbstractVar[float]

    @abc.abstractmethod
    def _target(self, snapshot: Snapshot) -> dict[str, Array]:
        """What the weights tend to."""

    def init(self, snapshot: Snapshot) -> WeightingState:
        return WeightingState({name: value[None] for name, value in self._target(snapshot).items()})

    def update(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        target = self._target(snapshot)
        return WeightingState(
            {
                name: self.decay * w + (1 - self.decay) * target[name]
                for name, w in state.weights.items()
            }
        )

    def redrawn(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        return state

    def check(self, terms: Collection[str]) -> None:
        pass


class GradientNorm(_TermWeighting):
    """Terms pull equally.

    ``w_i`` tends to ``mean_j |grad L_j| / |grad L_i|`` with ``L_i = mean(r_i^2)``.

    Wang, Sankaran, Wang & Perdikaris 2023 (arXiv:2308.08468), Algorithm 1.

    Args:
        every: steps between updates.
        decay: of the moving average, from 0 to below 1.
    """

    every: int = whole(100)
    decay: float = number(0.9, least=0, below=1)

    def _target(self, snapshot: Snapshot) -> dict[str, Array]:
        return _inverse(snapshot.gradient_norms(), jnp.mean)


class NTK(_TermWeighting):
    """Terms converge equally fast: ``w_i`` tends to ``sum_j T_j / T_i``.

    T_i is the mean diagonal of the tangent kernel of term i. Wang, Yu & Perdikaris 2022
    (arXiv:2007.14527), eq. (6.5), with traces divided by the number of points, as losses are means.

    Args:
        every: steps between updates.
        decay: of the moving average, from 0 to below 1.
    """

    every: int = whole(250)
    decay: float = number(0.9, least=0, below=1)

    def _target(self, snapshot: Snapshot) -> dict[str, Array]:
        return _inverse(snapshot.kernel_traces(), jnp.sum)


class _LossHistory(NamedTuple):
    first: dict[str, Array]
    last: dict[str, Array]


class ReLoBRaLo(Weighting):
    """Terms that fall slowly get more: relative loss balancing with random lookback.

    Bischof & Kraus 2021 (arXiv:2110.09813). ``w(k) = decay (rho w(k-1) + (1 - rho) s(k, 0)) + (1 -
    decay) s(k, k-1)``, where rho is 1 with probability ``lookback`` and otherwise 0, and ``s_i(k,
    l) = m softmax_i(L_i(k) / (T L_i(l)))`` over the m terms.

    Args:
        every: steps between updates.
        decay: from 0 to 1.
        temperature: T, greater than 0.
        lookback: the probability, from 0 to 1.
    """

    every: int = whole(10)
    decay: float = number(0.99, least=0, most=1)
    temperature: float = number(0.1, above=0)
    lookback: float = number(0.99, least=0, most=1)

    def init(self, snapshot: Snapshot) -> WeightingState:
        means = snapshot.means()
        return WeightingState(
            {name: jnp.ones_like(mean)[None] for name, mean in means.items()},
            _LossHistory(means, means),
        )

    def update(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        means = snapshot.means()
        first, last = (self._balance(means, earlier) for earlier in state.memory)
        keep = jax.random.bernoulli(snapshot.key, self.lookback)
        weights = {
            name: self.decay * jnp.where(keep, w, first[name]) + (1 - self.decay) * last[name]
            for name, w in state.weights.items()
        }
        return WeightingState(weights, _LossHistory(state.memory.first, means))

    def _balance(self, now: dict[str, Array], earlier: dict[str, Array]) -> dict[str, Array]:
        tiny = jnp.finfo(next(iter(now.values())).dtype).tiny
        ratios = jnp.stack(
            [now[name] / (self.temperature * jnp.maximum(earlier[name], tiny)) for name in now]
        )
        return dict(zip(now, len(now) * jax.nn.softmax(ratios), strict=True))

    def redrawn(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        return state

    def check(self, terms: Collection[str]) -> None:
        pass


class PointWeighting(Weighting):
    """Abstract: the weights of ``terms`` times a factor for each interior point.

    The factors start afresh with other points.
    """

    every: eqx.AbstractVar[int]
    terms: eqx.AbstractVar[Weighting]

    @abc.abstractmethod
    def _factors(
        self, before: Terms | None, weights: Weights, snapshot: Snapshot
    ) -> dict[str, Float[Array, " n"]]:
        """The factor of every interior point.

        It follows from those before (None at the start) and from the weights of the terms.
        """

    def _combined(
        self, terms: WeightingState, before: Terms | None, snapshot: Snapshot
    ) -> WeightingState:
        factors = self._factors(before, terms.weights, snapshot)
        weights = {
            name: w * factors[name] if name in factors else w for name, w in terms.weights.items()
        }
        return WeightingState(weights, (terms, factors))

    def init(self, snapshot: Snapshot) -> WeightingState:
        return self._combined(self.terms.init(snapshot), None, snapshot)

    def update(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        terms, before = state.memory
        return self._combined(self.terms.update(terms, snapshot), before, snapshot)

    def redrawn(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        return self._combined(self.terms.redrawn(state.memory[0], snapshot), None, snapshot)

    def check(self, terms: Collection[str]) -> None:
        self.terms.check(terms)


class Causal(PointWeighting):
    """What comes later counts once the equations are met before.

    The factor of a point is ``exp(-tolerance sum of L_k over the earlier time bins k)``: Wang,
    Sankaran & Perdikaris 2024 (arXiv:2203.07404), eq. (14); L_k is the weighted mean square of the
    interior equations in bin k.

    Args:
        tolerance: greater than 0; a large one means strictly one after the other.
        bins: equal parts of the time interval.
        every: steps between updates.
        terms: the weighting between the terms.

    Raises:
        ValueError: for settings out of range, and for a problem without time.
    """

    tolerance: float = number(1.0, above=0, static=False)
    bins: int = whole(32, least=2)
    every: int = whole(50)
    terms: Weighting = instance(Weighting, Fixed(), what=WEIGHTING)

    def _factors(
        self, before: Terms | None, weights: Weights, snapshot: Snapshot
    ) -> dict[str, Float[Array, " n"]]:
        interior = [name for name in snapshot.residuals if name not in snapshot.conditions]
        if any(name not in snapshot.times for name in interior):
            raise ValueError("Causal: the problem has no time coordinate; choose another weighting")
        total, factors = jnp.zeros(self.bins), {}
        place = {
            name: jnp.minimum((snapshot.times[name] * self.bins).astype(int), self.bins - 1)
            for name in interior
        }
        for name in interior:
            squares = weights[name] * jnp.square(snapshot.residuals[name])
            count = jnp.zeros(self.bins).at[place[name]].add(1.0)
            total += jnp.zeros(self.bins).at[place[name]].add(squares) / jnp.maximum(count, 1.0)
        earlier = jnp.cumsum(total) - total
        for name in interior:
            factors[name] = jnp.exp(-self.tolerance * earlier)[place[name]]
        return factors


class ResidualAttention(PointWeighting):
    """Points where the residual stays large count more: the factor is lambda^2.

    ``lambda <- decay lambda + rate |r| / max|r|``: Anagnostopoulos, Toscano, Stergiopulos &
    Karniadakis 2024 (arXiv:2307.00379), eq. (6). New points start from the equilibrium of their
    residual, ``rate / (1 - decay) |r| / max|r|``.

    Args:
        every: steps between updates.
        decay: from 0 to below 1.
        rate: greater than 0.
        terms: the weighting between the terms.
    """

    every: int = whole(10)
    decay: float = number(0.99, least=0, below=1)
    rate: float = number(0.01, above=0)
    terms: Weighting = instance(Weighting, Fixed(), what=WEIGHTING)

    def _factors(
        self, before: Terms | None, weights: Weights, snapshot: Snapshot
    ) -> dict[str, Float[Array, " n"]]:
        out = {}
        for name, r in snapshot.residuals.items():
            if name not in snapshot.conditions:
                size = jnp.abs(r) / jnp.maximum(jnp.max(jnp.abs(r)), jnp.finfo(r.dtype).tiny)
                start = self.rate / (1 - self.decay) * size
                out[name] = (
                    start**2
                    if before is None
                    else (self.decay * jnp.sqrt(before[name]) + self.rate * size) ** 2
                )
        return out


class SelfAdaptive(Weighting):
    """Every point has a multiplier that ascends while the network descends.

    The weight is ``lambda^2``, lambda follows Adam: McClenny & Braga-Neto 2023 (arXiv:2009.04544),
    eq. (10) with the mask ``m(lambda) = lambda^2``. All start at 1; multipliers belong to their
    points, so they start again when points are drawn anew (`Collocation` with ``every=0`` keeps
    them).

    Args:
        every: steps between updates.
        learning_rate: of the multipliers, greater than 0.
    """

    every: int = whole(10)
    learning_rate: float = number(5e-3, above=0)

    def init(self, snapshot: Snapshot) -> WeightingState:
        multipliers = {name: jnp.ones_like(r) for name, r in snapshot.residuals.items()}
        return WeightingState(multipliers, optax.adam(self.learning_rate).init(multipliers))

    def update(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        multipliers = {name: jnp.sqrt(w) for name, w in state.weights.items()}
        descent = {
            name: -2 * m * jnp.square(snapshot.residuals[name]) / m.size
            for name, m in multipliers.items()
        }
        step: Any
        step, memory = optax.adam(self.learning_rate).update(descent, state.memory)
        return WeightingState(
            {name: jnp.square(m + step[name]) for name, m in multipliers.items()}, memory
        )

    def redrawn(self, state: WeightingState, snapshot: Snapshot) -> WeightingState:
        return self.init(snapshot)

    def check(self, terms: Collection[str]) -> None:
        pass


def _inverse(sizes: Mapping[str, Array], total: Callable[[Array], Array]) -> dict[str, Array]:
    """``total(sizes) / size`` for every term; a size of zero counts as a millionth of the total."""
    whole = total(jnp.stack(list(sizes.values())))
    floor = jnp.maximum(1e-6 * whole, jnp.finfo(whole.dtype).tiny)
    return {name: whole / jnp.maximum(size, floor) for name, size in sizes.items()}
