"""Rules that say which values a setting takes, the fields that carry them, and the one check of all
settings.
"""

import abc
import dataclasses
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

_RULE = "setting"  # the key of the field's metadata
_LONGEST_TUPLE = 1000
MISSING = dataclasses.MISSING


class Rule(abc.ABC):
    """Abstract: which values a setting takes."""

    @property
    @abc.abstractmethod
    def text(self) -> str:
        """What a value must be, such as "a whole number from 1 to 100"."""

    @abc.abstractmethod
    def allows(self, value: Any) -> bool:
        """Whether a value may be set."""

    def normal(self, value: Any) -> Any:
        """The value in the form in which it is kept: arrays of NumPy and JAX as Python numbers."""
        return listed(plain(value))

    def fault(self, name: str, value: Any) -> str | None:
        """The sentence for a value that is not allowed, without the owner of the setting; None for
        one that is.
        """
        return None if self.allows(value) else f"{name} must be {self.text}, got {shown(value)}"


@dataclasses.dataclass(frozen=True)
class Whole(Rule):
    """Whole numbers from ``least`` to ``most``; True and False are none."""

    least: int = 1
    most: int = 1_000_000

    @property
    def text(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def allows(self, value: Any) -> bool:
        value = plain(value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.least <= value <= self.most


@dataclasses.dataclass(frozen=True)
class Number(Rule):
    """Finite numbers between bounds, of which ``least`` and ``most`` are allowed, ``above`` and
    ``below`` not.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    @property
    def text(self) -> str:
        if self.least > -math.inf and self.most < math.inf:
            return f"a number from {self.least:g} to {self.most:g}"
        bounds = (
            (self.least, f"of at least {self.least:g}"),
            (self.above, f"greater than {self.above:g}"),
            (self.most, f"of at most {self.most:g}"),
            (self.below, f"less than {self.below:g}"),
        )
        words = [word for bound, word in bounds if math.isfinite(bound)]
        return " ".join(["a finite number", " and ".join(words)]).strip()

    def allows(self, value: Any) -> bool:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        try:
            value = float(value)
        except OverflowError:
            return False
        inside = self.least <= value <= self.most and self.above < value < self.below
        return inside and math.isfinite(value)

    def normal(self, value: Any) -> Any:
        # Whole numbers too: JAX refuses integers that do not fit into 32 or 64 bits, as floats they
        # do.
        value = listed(plain(value))
        return float(value) if self.allows(value) else value


@dataclasses.dataclass(frozen=True)
class Flag(Rule):
    """True or False."""

    @property
    def text(self) -> str:
        return "True or False"

    def allows(self, value: Any) -> bool:
        return isinstance(plain(value), bool)


@dataclasses.dataclass(frozen=True)
class OneOf(Rule):
    """One of some names, or of some numbers."""

    names: tuple[Any, ...]

    @property
    def text(self) -> str:
        return f"one of {', '.join(map(str, self.names))}"

    def allows(self, value: Any) -> bool:
        value = plain(value)
        return any(type(value) is type(name) and value == name for name in self.names)


@dataclasses.dataclass(frozen=True)
class Function(Rule):
    """A function of arrays, such as an activation."""

    @property
    def text(self) -> str:
        return "a function such as jnp.tanh"

    def allows(self, value: Any) -> bool:
        return callable(value) and not isinstance(value, type)


@dataclasses.dataclass(frozen=True)
class Instance(Rule):
    """An object of some class, which has settings of its own; ``what`` says which, with an
    example.
    """

    kind: type | tuple[type, ...]
    what: str

    @property
    def text(self) -> str:
        return self.what

    def allows(self, value: Any) -> bool:
        return isinstance(value, self.kind)


@dataclasses.dataclass(frozen=True)
class Several(Rule):
    """A tuple whose items have the same rule; lists become tuples."""

    each: Rule
    single: bool = False  # whether one item may stand for itself, and is kept as it is
    wrapped: bool = False  # whether one item that stands for itself becomes a tuple of one
    least: int = 1  # items

    @property
    def text(self) -> str:
        many = f"a tuple with {self.each.text} in each place"
        return f"{self.each.text}, or {many}" if self.single else many

    def allows(self, value: Any) -> bool:
        if not isinstance(value, tuple):
            return self.single and self.each.allows(value)
        return self.least <= len(value) <= _LONGEST_TUPLE and all(map(self.each.allows, value))

    def normal(self, value: Any) -> Any:
        value = listed(value)
        if isinstance(value, tuple | list):
            items = tuple(map(self.each.normal, value[: _LONGEST_TUPLE + 1]))
            # The default stays the object that it is: Equinox then leaves it out of a `repr`.
            same = isinstance(value, tuple) and len(items) == len(value)
            return value if same and all(map(operator.is_, items, value)) else items
        value = self.each.normal(value)
        return (value,) if self.wrapped else value


@dataclasses.dataclass(frozen=True)
class Table(Rule):
    """A dict of values by name, which have the same rule."""

    each: Rule

    @property
    def text(self) -> str:
        return f"a dict with {self.each.text} for each name"

    def allows(self, value: Any) -> bool:
        return self.fault("", value) is None

    def normal(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: self.each.normal(item) for name, item in value.items()}

    def fault(self, name: str, value: Any) -> str | None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            return f"{name} must be {self.text}, got {shown(value)}"
        faults = (self.each.fault(f"{name}[{key!r}]", item) for key, item in value.items())
        return next(filter(None, faults), None)


@dataclasses.dataclass(frozen=True)
class Optional(Rule):
    """Another rule, or None."""

    rule: Rule

    @property
    def text(self) -> str:
        return f"{self.rule.text}, or None"

    def allows(self, value: Any) -> bool:
        return value is None or self.rule.allows(value)

    def normal(self, value: Any) -> Any:
        return None if value is None else self.rule.normal(value)


def setting(
    rule: Rule,
    default: Any = MISSING,
    *,
    default_factory: Any = MISSING,
    static: bool = True,
    optional: bool = False,
) -> Any:
    """A field of an Equinox module or a dataclass whose values have a rule.

    Args:
        rule: which values it takes.
        default: its default; without one it must be given.
        default_factory: makes the default, where it can be changed (a dict).
        static: whether the value is a part of the compiled program (another one compiles again); a
            leaf that is not static may be an array, traced ones are not looked at.
        optional: whether None is allowed too.
    """
    rule = Optional(rule) if optional else rule
    # An array leaf stays the array that it is: its owner chose it, so that nothing compiles again.
    more: dict[str, Any] = {"converter": rule.normal if static else _as_given}
    if default is not MISSING:
        more["default"] = default
    if default_factory is not MISSING:
        more["default_factory"] = default_factory
    return eqx.field(static=static, metadata={_RULE: rule}, **more)


def _as_given(value: Any) -> Any:
    """A converter all the same: a run-time type checker then leaves the sentence to
    `check_settings`.
    """
    return value


def whole(
    default: Any = MISSING, *, least: int = 1, most: int = 1_000_000, optional: bool = False
) -> Any:
    """A setting that is a whole number: ``cells: int = po.whole(64, least=2)``.

    Args:
        default: Its value where none is given; without it, one must be given.
        least: The smallest that is allowed.
        most: The largest that is allowed.
        optional: Whether None is allowed, too.
    """
    return setting(Whole(least, most), default, optional=optional)


def number(
    default: Any = MISSING,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    static: bool = True,
    optional: bool = False,
) -> Any:
    """A setting that is a finite number: ``decay: float = number(0.99, least=0, below=1)``."""
    rule = Number(least=least, most=most, above=above, below=below)
    return setting(rule, default, static=static, optional=optional)


def one_of(default: Any, names: Iterable[Any]) -> Any:
    """A setting that is one of these names: ``task: str = po.one_of("all", ("all", "discs"))``.

    Args:
        default: One of the names.
        names: All that are allowed.
    """
    return setting(OneOf(tuple(names)), default)


def flag(default: bool) -> Any:
    """A setting that is true or false."""
    return setting(Flag(), default)


def function(default: Callable[..., Any]) -> Any:
    """A setting that is a function of arrays, such as an activation."""
    return setting(Function(), default)


def instance(
    kind: type | tuple[type, ...], default: Any = MISSING, *, what: str, optional: bool = False
) -> Any:
    """A setting that is an object with settings of its own, an array leaf of its owner or not, as
    its class says.

    Args:
        kind: the class, or several.
        default: the object without which none is given.
        what: what it is, with an example, as errors say it: "an architecture such as MLP(20, 2)".
        optional: whether None is allowed too.
    """
    return setting(Instance(kind, what), default, static=False, optional=optional)


def rule_of(field: "dataclasses.Field[Any]") -> Rule | None:
    """The rule of a field; None for one that is no setting."""
    return field.metadata.get(_RULE)


def check_settings(thing: Any) -> None:
    """Check every setting of an object against its rule.

    Raises:
        ValueError: the first value that is not allowed, in one sentence with the owner, the setting
            and its rule.
    """
    for field in dataclasses.fields(thing):
        rule, value = rule_of(field), getattr(thing, field.name)
        traced = isinstance(value, Tracer) and not field.metadata.get("static")
        if rule is not None and not traced:
            require(type(thing).__name__, field.name, value, rule)


def require(owner: str, name: str, value: Any, rule: Rule) -> None:
    """Check one value, for arguments of functions.

    Raises:
        ValueError: "owner: name must be ..., got ...".
    """
    fault = rule.fault(name, value)
    if fault is not None:
        raise ValueError(f"{owner}: {fault}")


def plain(value: Any) -> Any:
    """A Python number for a scalar of NumPy or JAX; everything else, tracers too, as it is."""
    if isinstance(value, Tracer):
        return value
    if isinstance(value, np.floating):
        return float(value)
    scalar = isinstance(value, np.ndarray | jax.Array) and value.ndim == 0
    return value.item() if scalar or isinstance(value, np.generic) else value


def listed(value: Any) -> Any:
    """A list for a short array: as a part of the compiled program it is a few numbers, and no
    array.
    """
    array = isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer)
    return value.tolist() if array and 0 < value.ndim and value.size <= _LONGEST_TUPLE else value


def shown(value: Any, longest: int = 80) -> str:
    """A value as an error sentence shows it: in one line, and not longer than it can be read."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python does not print whole numbers of more than 4300 digits
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
