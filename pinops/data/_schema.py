"""What JSON of ours must look like, said once as types, and one sentence for whatever differs.

A `Kind` says what a value must be. Two instances: ``Number(above=0)`` is a number greater than
zero, and ``Table({"seed": Number(whole=True), "minutes": Optional(Number(above=0))})`` is a table
with these two names, of which ``{"seed": 0, "minutes": [1]}`` gives "run.json: minutes must be a
number greater than zero or null, got [1]".
"""

import abc
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pinops.data._hdf5 import DataFileError

_SHOWN = 60  # characters of a value or a name
_LARGEST = 2**63  # whole numbers beyond fit no array
_LONGEST = 2_000_000  # entries of a list


class Mismatch(Exception):
    """Where a value differs from its kind: the path of names, and the sentence that follows it."""

    def __init__(self, where: tuple[str, ...], sentence: str):
        super().__init__(sentence)
        self.where, self.sentence = where, sentence


class Kind(abc.ABC):
    """Abstract: what a value of JSON must be."""

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """What it must be, to follow "must be"."""

    @abc.abstractmethod
    def check(self, value: Any) -> None:
        """Raises Mismatch for a value that is something else."""

    def refuse(self, value: Any) -> Mismatch:
        return Mismatch((), f"must be {self.words}, got {shown(value)}")


@dataclass(frozen=True)
class Number(Kind):
    """A number within bounds; ``least`` and ``most`` belong to them, ``above`` does not. ``finite``
    excludes NaN.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    whole: bool = False
    finite: bool = True

    @property
    def words(self) -> str:
        what = "a whole number" if self.whole else "a number"
        if self.least is not None and self.most is not None:
            return f"{what} from {self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{what} of at least {self.least:g}"
        if self.above is not None:
            return f"{what} greater than {'zero' if self.above == 0 else f'{self.above:g}'}"
        return f"{what} of at most {self.most:g}" if self.most is not None else what

    def check(self, value: Any) -> None:
        right = isinstance(value, int) if self.whole else isinstance(value, int | float)
        if not right or isinstance(value, bool):
            raise self.refuse(value)
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise self.refuse(value)
        if math.isnan(value) or math.isinf(value):
            if self.finite:
                raise self.refuse(value)
            return
        low = self.least is None or value >= self.least
        high = self.most is None or value <= self.most
        if not (low and high and (self.above is None or value > self.above)):
            raise self.refuse(value)


@dataclass(frozen=True)
class Text(Kind):
    """A text, perhaps one of a few."""

    choices: tuple[str, ...] = ()
    longest: int = 1000

    @property
    def words(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"a text of at most {self.longest} characters"

    def check(self, value: Any) -> None:
        if not isinstance(value, str) or len(value) > self.longest:
            raise self.refuse(value)
        if self.choices and value not in self.choices:
            raise self.refuse(value)


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    @property
    def words(self) -> str:
        return "true or false"

    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise self.refuse(value)


@dataclass(frozen=True)
class Anything(Kind):
    """Any JSON: what is only kept, shown or compared."""

    @property
    def words(self) -> str:
        return "anything"

    def check(self, value: Any) -> None:
        return


@dataclass(frozen=True)
class Optional(Kind):
    """Null, or something."""

    kind: Kind

    @property
    def words(self) -> str:
        return f"{self.kind.words} or null"

    def check(self, value: Any) -> None:
        if value is None:
            return
        try:
            self.kind.check(value)
        except Mismatch as mismatch:
            raise mismatch if mismatch.where else self.refuse(value) from None


@dataclass(frozen=True)
class Either(Kind):
    """One of several kinds, of which no two fit the same values."""

    kinds: tuple[Kind, ...]

    @property
    def words(self) -> str:
        return " or ".join(kind.words for kind in self.kinds)

    def check(self, value: Any) -> None:
        for kind in self.kinds:
            try:
                return kind.check(value)
            except Mismatch:
                continue
        raise self.refuse(value)


@dataclass(frozen=True)
class Items(Kind):
    """A list of one kind, of a given length or of any up to two millions."""

    kind: Kind
    length: int | None = None
    least: int = 0

    @property
    def words(self) -> str:
        count = "" if self.length is None else f" of {self.length}"
        return f"a list{count}, each {self.kind.words}"

    def check(self, value: Any) -> None:
        if not isinstance(value, list) or not self.least <= len(value) <= _LONGEST:
            raise self.refuse(value)
        if self.length is not None and len(value) != self.length:
            raise self.refuse(value)
        for number, item in enumerate(value):
            _inside(self.kind, item, f"[{number}]")


@dataclass(frozen=True)
class Row(Kind):
    """A list of a given length, a kind for each entry."""

    kinds: tuple[Kind, ...]

    @property
    def words(self) -> str:
        return f"a list of {', '.join(kind.words for kind in self.kinds)}"

    def check(self, value: Any) -> None:
        if not isinstance(value, list) or len(value) != len(self.kinds):
            raise self.refuse(value)
        for number, (kind, item) in enumerate(zip(self.kinds, value, strict=True)):
            _inside(kind, item, f"[{number}]")


@dataclass(frozen=True)
class Numbers(Kind):
    """A number, or lists of numbers within lists that are one array."""

    @property
    def words(self) -> str:
        return "a number or an array of numbers"

    def check(self, value: Any) -> None:
        if self._shape(value) is None:
            raise self.refuse(value)

    def _shape(self, value: Any) -> tuple[int, ...] | None:
        if not isinstance(value, list):
            bad = isinstance(value, bool) or not isinstance(value, int | float)
            return None if bad or (isinstance(value, int) and abs(value) >= _LARGEST) else ()
        inner = {self._shape(item) for item in value}
        if len(inner) > 1 or None in inner:
            return None
        return (len(value), *(inner.pop() or () if inner else ()))


@dataclass(frozen=True)
class Table(Kind):
    """A table with given names. ``optional`` ones may be missing; ``others``: the kind of names
    beyond these, None: none.
    """

    fields: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    others: Kind | None = None

    @property
    def words(self) -> str:
        return f"a table with {', '.join(self.fields)}" if self.fields else "a table"

    def check(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise self.refuse(value)
        for name, kind in self.fields.items():
            if name not in value:
                raise Mismatch((name,), f"is missing; it must be {kind.words}")
            _inside(kind, value[name], name)
        for name, item in value.items():
            if name in self.fields:
                continue
            kind = self.optional.get(name, self.others)
            if kind is None:
                known = ", ".join((*self.fields, *self.optional))
                raise Mismatch((name,), f"is no name that is known here; known are {known}")
            _inside(kind, item, name)


def _inside(kind: Kind, value: Any, name: str) -> None:
    try:
        kind.check(value)
    except Mismatch as mismatch:
        raise Mismatch((name, *mismatch.where), mismatch.sentence) from None


def shown(value: Any) -> str:
    """A value in a sentence: on one line, and short."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, list | dict) and len(value) > 20:
        return f"a {'list' if isinstance(value, list) else 'table'} of {len(value)} entries"
    text = json.dumps(value[: 2 * _SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def check(value: Any, kind: Kind, owner: str) -> None:
    """Compare a value with its kind.

    Args:
        value: what was read.
        kind: what it must be.
        owner: the file (and the part of it), with which the sentence begins.

    Raises:
        DataFileError: with the first thing that differs: where, what it must be, and what was
            found.
    """
    try:
        kind.check(value)
    except Mismatch as mismatch:
        names = [name if name.startswith("[") else _name(name) for name in mismatch.where]
        where = ".".join(names).replace(".[", "[")
        sentence = f"{mismatch.sentence[:240]}; restore a copy"
        raise DataFileError(f"{owner}: {where or 'the content'} {sentence}") from None


def _name(name: str) -> str:
    """A name from a file, as a part of a path: short, and quoted where it is unusual."""
    text = name if name.isidentifier() and name.isascii() else json.dumps(name[: 2 * _SHOWN])
    return text if len(text) <= 40 else f"{text[:37]}..."
