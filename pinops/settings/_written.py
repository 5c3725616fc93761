"""Objects written as text or as JSON, made by looking names up in a table.

Nothing is evaluated: of a text only calls of known names, literals, tuples, negative numbers and
names of functions are read, and of JSON only ``{"Name": {"setting": value}}``.  Both share one
table, `Allowed`.
"""

import ast
import dataclasses
import difflib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from pinops.settings._declared import (
    Function,
    Instance,
    OneOf,
    Optional,
    Rule,
    Several,
    rule_of,
    shown,
)

_LONGEST = 2000  # characters
_DEEPEST = 12  # objects within objects
_LITERALS = {"True": True, "False": False, "None": None}


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The names that may be written.

    Args:
        objects: classes by name.
        functions: activations by name.
    """

    objects: Mapping[str, type]
    functions: Mapping[str, Callable[..., Any]]


def allowed_in(
    *rooms: ModuleType,
    kind: type | tuple[type, ...],
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Allowed:
    """The classes of some rooms that are of a kind: ``allowed_in(networks, kind=Architecture)``.

    A class that brings a library of its own (``FromLinen``) is not among them: no text can describe
    what it wraps.
    """
    objects = {
        name: cls
        for room in rooms
        for name, cls in vars(room).items()
        if isinstance(cls, type) and issubclass(cls, kind) and not _is_abstract(cls)
    }
    return Allowed(objects, functions or {})


def _is_abstract(cls: type) -> bool:
    unfilled = getattr(cls, "__abstractvars__", ()), getattr(cls, "__abstractclassvars__", ())
    return inspect.isabstract(cls) or any(unfilled)


def describe_settings(cls: type) -> dict[str, str]:
    """Every setting of a class in one line, for help texts.

    Example:
        >>> describe_settings(po.networks.MLP)["width"]
        'a whole number from 1 to 100000 (20)'
    """
    lines = {}
    for field in _settings(cls).values():
        rule = rule_of(field)
        text = "any value" if rule is None else rule.text
        if field.default is not dataclasses.MISSING:
            default = field.default
            text += f" ({getattr(default, '__name__', None) or shown(default)})"
        lines[field.name] = text
    return lines


def parsed(text: str, allowed: Allowed, *, kind: type | tuple[type, ...], what: str) -> Any:
    """The object that a text describes as Python would write it; a bare name has its defaults.

    Args:
        text: such as "CAPE(FNO(20, 12), width=64)", "MLP", "SIREN(frequency=10)".
        allowed: the names that may occur.
        kind: the class that the object must have, or several; ``tuple`` among them allows a tuple
            of objects.
        what: what it is, with an example, as errors say it: "a network such as MLP(20, 3)".

    Raises:
        ValueError: in one sentence, for an unknown name or setting, a value that a setting does not
            take, and for everything that is not a call, a literal or a tuple.
    """
    text = text.strip()
    tree = _tree(text)
    several = isinstance(tree, ast.Tuple) and tuple in (
        kind if isinstance(kind, tuple) else (kind,)
    )
    if not several and not isinstance(tree, ast.Call | ast.Name):
        raise ValueError(f"{shown(text)} is not {what}")
    found = _Reader(allowed).value(tree, None)
    if not isinstance(found, kind):
        raise ValueError(f"{shown(text)} is not {what}")
    return found


def from_description(description: Any, allowed: Allowed) -> Any:
    """The object of a description in JSON, ``{"MLP": {"width": 20, "depth": 3, "activation":
    "tanh"}}``.

    Args:
        description: what `json.loads` gives; settings that it does not name have their defaults.
        allowed: the names that may occur.

    Raises:
        ValueError: in one sentence, as `parsed`.
    """
    return _Describer(allowed).object(description, 0)


def source_of(description: Any, allowed: Allowed, spelled: Callable[[str], str] = str) -> str:
    """The text that `parsed` reads as the object of a description; the inverse of both readers.

    Settings that have their default are left out.

    Args:
        description: as for `from_description`, or a list of them.
        allowed: the names that may occur.
        spelled: how the name of an object or a function is written: "po.networks.MLP" in Python.

    Raises:
        ValueError: for a description of anything else.
    """
    return _source_of(description, allowed, spelled, None)


def _source_of(
    value: Any, allowed: Allowed, spelled: Callable[[str], str], rule: Rule | None
) -> str:
    def inside(each: Any, its: Rule | None) -> str:
        return _source_of(each, allowed, spelled, its)

    if isinstance(value, list | tuple):
        items = [inside(item, rule) for item in value]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, dict):
        name, content = next(iter(value.items()), ("", None))
        if len(value) != 1 or name not in allowed.objects or not isinstance(content, dict):
            if any(isinstance(each, dict | list) for each in value.values()):
                raise ValueError(f"{shown(value)} does not describe an object")
            return f"{{{', '.join(f'{key!r}: {inside(v, None)}' for key, v in value.items())}}}"
        fields = _settings(allowed.objects[name])
        given = [
            f"{setting}={inside(content[setting], rule_of(field))}"
            for setting, field in fields.items()
            if setting in content and not _is_default(content[setting], field)
        ]
        return f"{spelled(name)}({', '.join(given)})"
    if isinstance(value, str) and isinstance(_inner(rule), Function):
        if value not in allowed.functions:
            raise _unknown(value, allowed.functions)
        return spelled(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no literal")
    return repr(value)


def _is_default(value: Any, field: "dataclasses.Field[Any]") -> bool:
    """Whether a value in JSON is the default of a setting; of objects inside nothing is said."""
    default = getattr(field.default, "__name__", field.default)
    return type(default) is type(value) and default == value


def _settings(cls: type) -> dict[str, "dataclasses.Field[Any]"]:
    """The fields that are given to a class when it is called."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return {field.name: field for field in fields if field.init}


def _made(name: str, cls: type, settings: dict[str, Any]) -> Any:
    known = _settings(cls)
    for setting in settings:
        if setting not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"{name} has no setting {shown(setting)}; its settings are {listed}")
    for setting, field in known.items():
        given = field.default is not dataclasses.MISSING or setting in settings
        if not given and field.default_factory is dataclasses.MISSING:
            rule = rule_of(field)
            raise ValueError(f"{name} needs {setting}, {'a value' if rule is None else rule.text}")
    try:
        return cls(**settings)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error


def _unknown(name: str, known: Iterable[str]) -> ValueError:
    """The sentence for a name that is not in the table, with the nearest one that is."""
    lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), lower, 1, 0.6)
    remedy = (
        f"did you mean {lower[near[0]]}?" if near else f"choose from {', '.join(lower.values())}"
    )
    return ValueError(f"there is no {shown(name)}; {remedy}")


def _inner(rule: Rule | None) -> Rule | None:
    """The rule of a value that is not None, or of an item of a tuple."""
    while isinstance(rule, Optional | Several):
        rule = rule.rule if isinstance(rule, Optional) else rule.each
    return rule


def _tree(text: str) -> ast.expr:
    """The syntax tree of one expression. Raises ValueError for a text that is too long or no
    expression.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{shown(text)} is longer than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd literals
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"{shown(text)} cannot be read; write it as in Python, such as MLP(width=20)"
        ) from error


class _Reader:
    """From a syntax tree to the object that it describes."""

    def __init__(self, allowed: Allowed):
        self._allowed = allowed

    def value(self, node: ast.expr, rule: Rule | None, depth: int = 0) -> Any:
        """What an expression stands for, as the value of a setting with a rule."""
        if depth > _DEEPEST:
            raise ValueError(f"objects are nested more than {_DEEPEST} deep")
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, ast.Name):
            return self._name(node.id, rule)
        if isinstance(node, ast.Constant) and isinstance(
            node.value, bool | int | float | str | None
        ):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            number = node.operand.value if isinstance(node.operand, ast.Constant) else None
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.Tuple | ast.List):
            return tuple(self.value(item, rule, depth + 1) for item in node.elts)
        if isinstance(node, ast.Dict):
            return {
                self._key(k): self.value(v, rule, depth + 1)
                for k, v in zip(node.keys, node.values, strict=True)
            }
        raise ValueError(
            f"{_source(node)} is not a number, a name, a tuple or a call such as MLP(width=20)"
        )

    def _key(self, node: ast.expr | None) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        raise ValueError('the names in {...} are written in quotes, such as {"initial u": 100}')

    def _name(self, name: str, rule: Rule | None) -> Any:
        inner = _inner(rule)
        if name in _LITERALS:
            return _LITERALS[name]
        if isinstance(inner, OneOf) and name in inner.names:
            return name
        if name in self._allowed.functions and (rule is None or isinstance(inner, Function)):
            return self._allowed.functions[name]
        if name in self._allowed.objects and not isinstance(inner, Function):
            return _made(name, self._allowed.objects[name], {})
        if isinstance(inner, Function):
            raise _unknown(name, self._allowed.functions)
        raise _unknown(name, [*self._allowed.objects, *self._allowed.functions, *_LITERALS])

    def _call(self, node: ast.Call, depth: int) -> Any:
        if not isinstance(node.func, ast.Name):
            raise ValueError(f"{_source(node.func)} is not the name of an object such as MLP")
        name = node.func.id
        if name not in self._allowed.objects:
            raise _unknown(name, self._allowed.objects)
        cls = self._allowed.objects[name]
        fields = _settings(cls)
        if len(node.args) > len(fields):
            raise ValueError(
                f"{name} takes at most {len(fields)} settings ({', '.join(fields)}), got "
                f"{len(node.args)}"
            )
        pairs = [(list(fields)[k], argument) for k, argument in enumerate(node.args)]
        for keyword in node.keywords:
            pairs.append((keyword.arg or "**", keyword.value))
        settings: dict[str, Any] = {}
        for setting, argument in pairs:
            if setting in settings:
                raise ValueError(f"{name}: {setting} is given twice")
            rule = rule_of(fields[setting]) if setting in fields else None
            settings[setting] = self.value(argument, rule, depth + 1)
        return _made(name, cls, settings)


def _source(node: ast.expr) -> str:
    """The source of an expression, shortened if it is long."""
    try:
        text = ast.unparse(node)
        return text if len(text) <= 80 else f"{text[:77]}..."
    except (RecursionError, ValueError):
        return "this expression"


class _Describer:
    """From JSON to the object that it describes."""

    def __init__(self, allowed: Allowed):
        self._allowed = allowed

    def object(self, description: Any, depth: int) -> Any:
        """The object of ``{"Name": {settings}}``."""
        if depth > _DEEPEST:
            raise ValueError(f"objects are nested more than {_DEEPEST} deep")
        if not isinstance(description, dict) or len(description) != 1:
            raise ValueError(f"{shown(description)} does not describe an object")
        ((name, content),) = description.items()
        if not isinstance(name, str) or name not in self._allowed.objects:
            raise _unknown(str(name), self._allowed.objects)
        if not isinstance(content, dict):
            raise ValueError(f"the settings of {name} must be a table, got {shown(content)}")
        cls = self._allowed.objects[name]
        known = {field.name: field for field in dataclasses.fields(cls)}
        settings = {
            setting: self._value(
                value, rule_of(known[setting]) if setting in known else None, depth
            )
            for setting, value in content.items()
        }
        for setting in [s for s in settings if s in known and not known[s].init]:
            fixed = known[setting].default
            if settings.pop(setting) != fixed:
                raise ValueError(
                    f"{name}: {setting} is always {shown(fixed)}, got {shown(content[setting])}"
                )
        return _made(name, cls, settings)

    def _value(self, value: Any, rule: Rule | None, depth: int) -> Any:
        inner = _inner(rule)
        if isinstance(inner, Function):
            if not isinstance(value, str) or value not in self._allowed.functions:
                raise _unknown(str(value), self._allowed.functions)
            return self._allowed.functions[value]
        if isinstance(value, list) and depth <= _DEEPEST:
            return tuple(self._value(item, rule, depth + 1) for item in value)
        # Of dicts, tables of numbers are values; all others are objects.
        if isinstance(value, dict) and isinstance(inner, Instance | None):
            return self.object(value, depth + 1)
        return value
