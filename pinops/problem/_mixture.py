"""Families of families: different equations as one family, whose members say which one they are.

``Mixture(["heat_waves", "burgers_waves"])`` draws members of either. Each family keeps arrays of
its own, so that members of all of them stack; a member chooses one. What an operator sees besides
the inputs is the equation, as words of its prefix form and their constants, and the number of its
family. The residual is a row of coefficients times the products of derivatives that occur in any of
the equations: for a batch of members one product of matrices.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pinops.derivatives import taking
from pinops.geometry import Domain
from pinops.problem._algebra import Sum
from pinops.problem._condition import Condition
from pinops.problem._conditions import Dirichlet, Initial, Neumann, Periodic, sentence
from pinops.problem._expression import Expression
from pinops.problem._inputs import in_words, shapes_of
from pinops.problem._inverse import coefficients_as_json
from pinops.problem._problem import (
    Problem,
    by_unknown,
    check_family,
    sample_members,
    unstacked,
)
from pinops.problem._registry import load_problem, name_of
from pinops.problem._rewriting import evaluated
from pinops.problem._term_library import TermLibrary
from pinops.problem._tokens import CONSTANT, collected, constants_of, tokens
from pinops.problem._typeset import Latex, Typesetter
from pinops.problem._vocabulary import codes_of
from pinops.reference import Reference
from pinops.settings import shown

WORDS, CONSTANTS, FAMILY = "words", "constants", "family"  # inputs that every mixture adds
_GROWTH = 5.0  # of the factor of the network, in units of the whole time
_UNSEEN = 14  # the random key of `members`: never one of a training
_WEYL = 2654435769  # 2^32 / golden ratio: multiples of it fill an interval evenly


class Mixture(Problem):
    """Several families on one domain as one, for an operator that learns them all.

    Operators see the inputs that the families share, and three more: ``words``, the equation as
    codes of `Tokens` (padded with 0), ``constants``, the value of each ``<C>`` at its place (0
    elsewhere), and ``family``, one for the own family and zeros. Initial values are built in: a
    member is ``g + s N`` for a network N, or, of second order in time, ``g + (t - t0) g' + s² N``,
    with ``s = 1 - exp(-5 p)`` for the share p of the time that has passed.

    Args:
        families: Names of registered families or problems with ``sample`` and ``inputs``: of one
            unknown, one equation and an initial condition, with the same domain, inputs and
            boundary conditions (`Periodic`, or `Dirichlet` and `Neumann` with constants).
        weights: The share >= 0 of each family in what is drawn, in any unit; 0 holds a family out:
            an operator knows its words, and no training sees it. Default: equal shares.
        chosen: The number of a member's own family, which is drawn; leave it out.
        grammar: The equations as symbols, which are read here; leave it out.

    Raises:
        ValueError: For families that do not fit together, naming the first difference.

    Example:
        >>> mixture = po.Mixture(["advection_waves", "heat_waves", "burgers_waves"], [1, 1, 0])
        >>> mixture.names
        ('advection_waves', 'heat_waves', 'burgers_waves')
        >>> unseen = mixture.only("burgers_waves").members(3)
    """

    families: Sequence[Any]  # problems, once they are checked
    weights: Any = None
    chosen: Any = 0.0  # the number of the own family
    grammar: Any = eqx.field(static=True, default=None)  # a Grammar, once it is made

    def __post_init__(self):
        given = [self.families] if isinstance(self.families, str | Problem) else self.families
        found = [load_problem(each) if isinstance(each, str) else each for each in given]
        if not found:
            raise ValueError("Mixture: there are no families; give at least one")
        for each in found:
            _check_fits(each, found[0])
        self.families = tuple(found)
        self.weights = _checked_weights(self.weights, len(found))
        self.chosen = np.asarray(float(np.argmax(self.weights > 0)))
        self.grammar = Grammar(found)

    def __repr__(self) -> str:
        return f"Mixture({', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the families."""
        return self.grammar.names

    @property
    def domain(self) -> Domain:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.families[0].domain

    @property
    def unknowns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.families[0].unknowns

    def only(self, *names: str) -> "Mixture":
        """The same mixture of which only some families are drawn.

        Args:
            names: Of these families.

        Raises:
            ValueError: For a name that no family has.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(
                    f"Mixture: there is no family {shown(name)}; there are {', '.join(self.names)}"
                )
        weights = _checked_weights([float(name in names) for name in self.names], len(self.names))
        first = np.asarray(float(np.argmax(weights > 0)))
        return eqx.tree_at(lambda m: (m.weights, m.chosen), self, (weights, first))

    def members(self, count: int) -> list[Problem]:
        """Members in double precision that no training draws, the same in every run.

        Args:
            count: How many, at least 1.
        """
        with jax.enable_x64(True):
            key = jax.random.fold_in(jax.random.key(0), _UNSEEN)
            return unstacked(sample_members(self, key, range(count)), count)

    @property
    def number(self) -> Int[Array, ""]:
        """Which of the families this member is of."""
        return jnp.asarray(self.chosen).astype(jnp.int32)

    @property
    def family(self) -> str:
        """The name of the family of this member."""
        return self.names[int(self.chosen)]

    def _of_own(self, values: Sequence[Any]) -> Array:
        """The value of the own family."""
        each = jnp.stack([jnp.asarray(value) for value in values])
        return jnp.take(each, self.number, axis=0, mode="clip")

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        library = self.grammar.library

        def residual(**values: Any) -> Any:
            return jnp.dot(library.matrix(values), self.row())

        return taking(residual, [name for name, _ in library.expression.signature.arguments])

    def row(self) -> Float[Array, " k"]:
        """The coefficients of this member's equation, for the columns of ``grammar.library``."""
        return self._of_own([self.grammar.row(k, each) for k, each in enumerate(self.families)])

    def conditions(self) -> tuple[Condition, ...]:
        """Those at the boundary; initial values are in ``lift`` and ``factor``."""
        first = self.families[0].conditions()
        return tuple(each for each in first if not isinstance(each, Initial))

    @property
    def lift(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        def lift(point: Any) -> Any:
            return self._of_own([self._start(k, point) for k in range(len(self.families))])

        return lift

    @property
    def factor(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        def factor(point: Any) -> Any:
            # It soon is about 1: with a power of time the network of a fast oscillation would
            # have to be large at first, and small later.
            grown = 1 - jnp.exp(-_GROWTH * self._passed(point))
            return self._of_own([grown**order for order in self.grammar.orders])

        return factor

    def _passed(self, point: Any) -> Any:
        """The share of the whole time that has passed at a point."""
        time = self.domain.time
        assert time is not None
        low, high = self.domain.bounds[time]
        return (point[self.domain.coordinates.index(time)] - low) / (high - low)

    def _start(self, number: int, point: Any) -> Any:
        """What the initial values of a family say of a point."""
        family = self.families[number]
        initial = _initial_of(family)
        pairs = [(initial.value, 1.0)]
        if self.grammar.orders[number] == 2:
            low, high = self.domain.bounds[self.domain.time or ""]
            pairs.append((initial.rates(), (high - low) * self._passed(point)))
        out = jnp.zeros((), point.dtype)
        for value, factor in pairs:
            data = by_unknown(family, value, initial.unknown, owner=f"{type(family).__name__}")
            out = out + factor * data[family.unknowns[0]](point)
        return out

    def sample(self, key: PRNGKeyArray) -> "Mixture":
        """A member of a family that is drawn by its weight."""
        which, rest = jax.random.split(key)
        return self._sampled(jax.random.uniform(which), rest)

    def numbered(self, key: PRNGKeyArray, number: Int[Array, ""]) -> "Mixture":
        """The families of many numbers are in the proportion of the weights, up to one or two."""
        turn = jnp.asarray(number, jnp.uint32) * jnp.uint32(_WEYL)
        return self._sampled(turn.astype(jnp.result_type(float)) / 2.0**32, key)

    def _sampled(self, place: Any, key: PRNGKeyArray) -> "Mixture":
        """A member of the family at a place from 0 to 1 in the row of all shares."""
        shares = jnp.cumsum(jnp.asarray(self.weights, jnp.result_type(float)))
        # Rounding may lead beyond the last share; a family of weight 0 is never reached.
        inside = jnp.minimum(place, 1 - 1e-6) * shares[-1]
        chosen = jnp.searchsorted(shares, inside, side="right")
        keys = jax.random.split(key, len(self.families))
        families = tuple(each.sample(own) for each, own in zip(self.families, keys, strict=True))
        return eqx.tree_at(
            lambda m: (m.families, m.chosen), self, (families, chosen.astype(shares.dtype))
        )

    def inputs(self) -> dict[str, Any]:
        """What the families share, and the equation."""
        each = [family.inputs() for family in self.families]
        shared = {name: self._of_own([one[name] for one in each]) for name in each[0]}
        grammar = self.grammar
        constants = [grammar.constants(k, family) for k, family in enumerate(self.families)]
        return shared | {
            WORDS: self._of_own(grammar.codes).astype(jnp.result_type(float)),
            CONSTANTS: self._of_own(constants),
            FAMILY: jax.nn.one_hot(self.number, len(self.families)),
        }

    def reference(self) -> Reference | None:
        """That of the own family."""
        return self.families[int(self.chosen)].reference()

    def arrays(self) -> dict[str, Any]:
        families = [
            {f"{k}.{name}": array for name, array in each.arrays().items()}
            for k, each in enumerate(self.families)
        ]
        own = {"weights": self.weights, "chosen": self.chosen}
        return {name: array for each in (own, *families) for name, array in each.items()}

    def with_arrays(self, arrays: Mapping[str, Any]) -> "Mixture":
        each = tuple(
            family.with_arrays({name: arrays[f"{k}.{name}"] for name in family.arrays()})
            for k, family in enumerate(self.families)
        )
        new = (each, arrays["weights"], arrays["chosen"])
        return eqx.tree_at(lambda m: (m.families, m.weights, m.chosen), self, new)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return {
            "families": [
                {"name": name_of(each), "coefficients": coefficients_as_json(each)}
                for each in self.families
            ],
            "weights": np.asarray(self.weights).tolist(),
        }

    @classmethod
    def from_json(
        cls, content: Mapping[str, Any], load: Callable[..., Problem] = load_problem
    ) -> "Mixture":
        """The inverse of `to_json`; ``load(name, **coefficients)`` makes each family."""
        families = [load(row["name"], **row["coefficients"]) for row in content["families"]]
        return cls(families, content["weights"])


class Grammar:
    """What the members of a mixture share: the equations of its families as symbols.

    Attributes:
        names: Of the families.
        expressions: Of their equations.
        library: A column for each product of derivatives that occurs in any of them.
        orders: The order in time of each equation, 1 or 2.
        codes: ``(f, l)``, the words of each equation, padded with zeros.
    """

    def __init__(self, families: Sequence[Problem]):
        plain = [name_of(family) for family in families]
        self.names = tuple(
            name if name not in plain[:k] else f"{name} {1 + plain[:k].count(name)}"
            for k, name in enumerate(plain)
        )
        self.expressions = tuple(Expression.of(family) for family in families)
        equations = list(map(_equation_of, families, self.expressions))
        self.orders = tuple(map(_order_of, families, self.expressions))
        words = [tokens(each).words for each in self.expressions]
        rows = [codes_of(each, self.expressions[0].names) for each in words]
        self.codes = np.zeros((len(rows), max(map(len, rows))), np.int32)
        self.places = []
        for k, row in enumerate(rows):
            self.codes[k, : len(row)] = row
            self.places.append([k for k, word in enumerate(words[k]) if word == CONSTANT])
        self._groups = list(map(collected, equations))
        columns = {rest.key: rest for groups in self._groups for _, rest in groups}
        self._columns = {key: k for k, key in enumerate(columns)}
        names = self.expressions[0].names
        written = Typesetter(names, Latex())
        sums = {written.sum(Sum((rest,))): Sum((rest,)) for rest in columns.values()}
        self.library = TermLibrary(Expression(names, sums, {}, {}))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grammar):
            return False
        return (self.names, self.expressions) == (other.names, other.expressions)

    def __hash__(self) -> int:
        return hash((self.names, self.codes.tobytes()))

    def values(self, number: int, family: Problem) -> dict[str, Any]:
        """The coefficients of a member of a family, by name."""
        return {name: getattr(family, name) for name in self.expressions[number].coefficients}

    def constants(self, number: int, family: Problem) -> Float[Array, " l"]:
        """The constants of a member of a family, each at the place of its word."""
        found = constants_of(self.expressions[number], self.values(number, family))
        return _spread(found, self.places[number], self.codes.shape[1])

    def row(self, number: int, family: Problem) -> Float[Array, " k"]:
        """The coefficients of a member of a family, one for each column."""
        values = self.values(number, family)
        found = [evaluated(Sum(parts), values) for parts, _ in self._groups[number]]
        places = [self._columns[rest.key] for _, rest in self._groups[number]]
        return _spread(found, places, len(self._columns))


def _spread(numbers: Sequence[Any] | Array, places: Sequence[int], count: int) -> Array:
    """Numbers at some of ``count`` places and zeros elsewhere."""
    at = {place: number for place, number in zip(places, numbers, strict=True)}
    return jnp.stack([jnp.asarray(at.get(k, 0.0), jnp.result_type(float)) for k in range(count)])


def _checked_weights(weights: Sequence[float] | None, count: int) -> Float[np.ndarray, " f"]:
    """The shares of the families. Raises ValueError for negative ones, and where all are 0."""
    found = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if found.shape != (count,) or not np.all(np.isfinite(found)) or np.any(found < 0):
        raise ValueError(
            f"Mixture: weights must be {count} numbers of zero or more, one for each family, got "
            f"{shown(weights)}"
        )
    if not np.any(found):
        raise ValueError("Mixture: all weights are 0, and no family is drawn; give some a share")
    return found / np.sum(found)


def _check_fits(family: Problem, first: Problem) -> None:
    """Raises ValueError for a family that cannot be in a mixture with the first one."""
    if not isinstance(family, Problem):
        raise ValueError(f"Mixture: a family is a problem or the name of one, got {shown(family)}")
    check_family(family)
    owner, other = f"Mixture: {name_of(family)}", name_of(first)
    if len(family.unknowns) != 1:
        raise ValueError(f"{owner} has {len(family.unknowns)} unknowns; a mixture is of one")
    for method in ("lift", "factor", "features"):
        if getattr(family, method) is not None:
            raise ValueError(f"{owner} has a {method}, which a mixture does not keep; leave it out")
    _initial_of(family)
    pairs = {
        "unknown": [", ".join(each.unknowns) for each in (family, first)],
        "domain": [f"{type(p.domain).__name__} {dict(p.domain.bounds)}" for p in (family, first)],
        "inputs": [in_words(shapes_of(each.inputs())) for each in (family, first)],
        "boundary conditions": ["; ".join(_boundary(each)) for each in (family, first)],
    }
    for what, (own, wanted) in pairs.items():
        if own != wanted:
            raise ValueError(
                f"{owner} has the {what} {own}, and {other} has {wanted}; a mixture shares them"
            )
    taken = {WORDS, CONSTANTS, FAMILY} & set(family.inputs())
    if taken:
        raise ValueError(f"{owner} has an input {min(taken)}, a name that mixtures use; rename it")


def _initial_of(family: Problem) -> Initial:
    """The initial condition of a family. Raises ValueError without one."""
    found = [each for each in family.conditions() if isinstance(each, Initial)]
    if len(found) != 1 or family.domain.time is None:
        raise ValueError(
            f"Mixture: {name_of(family)} has {len(found)} initial conditions; a mixture is of "
            "evolution equations with one"
        )
    return found[0]


def _boundary(family: Problem) -> list[str]:
    """The boundary conditions in words. Raises ValueError for those that are no constants."""
    found = [each for each in family.conditions() if not isinstance(each, Initial)]
    for each in found:
        said = sentence(family, each)
        if not isinstance(each, Periodic | Dirichlet | Neumann) or said.count("= data"):
            raise ValueError(
                f"Mixture: {name_of(family)} has the condition {said}; a mixture takes Periodic, "
                "and Dirichlet and Neumann with constants"
            )
    return [sentence(family, each) for each in found]


def _equation_of(family: Problem, expression: Expression) -> Sum:
    """The equation. Raises ValueError for several, and for one with parts without symbols."""
    expression.check_symbols("no words")
    if len(expression.equations) != 1:
        raise ValueError(
            f"Mixture: {name_of(family)} has {len(expression.equations)} equations; a mixture is "
            "of one"
        )
    return next(iter(expression.equations.values()))


def _order_of(family: Problem, expression: Expression) -> int:
    """The order of an equation in time. Raises ValueError for none, and for more than 2."""
    time = family.domain.coordinates.index(family.domain.time or "")
    order = max(index.count(time) for index in expression.signature.plan.indices)
    rates = _initial_of(family).rates()
    if order not in (1, 2) or (order == 2) != (rates is not None):
        raise ValueError(
            f"Mixture: {name_of(family)} is of order {order} in time, and its initial condition "
            f"has {'a' if rates is not None else 'no'} derivative; one belongs to the order 2"
        )
    return order
