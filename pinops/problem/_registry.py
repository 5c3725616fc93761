"""Problems by name: registered in a file, notebook, folder or package, loaded when asked for."""

import difflib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from pinops.problem._data_family import DataFamily
from pinops.problem._imposition import impose
from pinops.problem._problem import Problem, residual_signature

ENTRY_POINT_GROUP = "pinops.problems"
P = TypeVar("P", bound=type[Problem])

_classes: dict[str, type[Problem]] = {}
_files: dict[str, Path] = {}


def register(name: str) -> Callable[[P], P]:
    """Class decorator: make a problem available under ``name``.

    The class is checked at once, with its default coefficients: the residual's argument names,
    the domain, the conditions.

    Raises:
        ValueError: With what is wrong and what is available.
        TypeError: When it is not a `Problem` class.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"register: a problem's name must be an identifier such as 'heat', got {name!r}"
        )

    def decorate(cls: P) -> P:
        if not (isinstance(cls, type) and issubclass(cls, Problem)):
            raise TypeError(
                f"register({name!r}) decorates a class derived from pinops.Problem, got {cls!r}"
            )
        if not hasattr(cls, "domain"):
            raise ValueError(
                f"{cls.__name__} has no domain; give it one, such as "
                "domain = po.Box(x=(0, 1), t=(0, 1))"
            )
        required = [
            f.name for f in fields(cls) if f.init and f.default is f.default_factory
        ]  # both MISSING
        if required:
            raise ValueError(
                f"{cls.__name__}: the coefficient {required[0]!r} needs a default value"
            )
        instance = cls()
        unknown = [name for name in instance.trainable if name not in {f.name for f in fields(cls)}]
        if unknown:
            raise ValueError(
                f"{cls.__name__}: there is no coefficient {unknown[0]!r} to be found (trainable)"
            )
        residual_signature(instance)
        impose(instance)
        _classes[name] = cls
        return cls

    return decorate


def _catalogue() -> dict[str, Path]:
    """The files of the catalogue; nothing is imported."""
    spec = importlib.util.find_spec("pinops.problems")
    # Python started in a clone finds the package there before the installed one: the catalogue
    # then lies beside it.
    folders = (
        (spec.submodule_search_locations or [])
        if spec
        else [Path(__file__).parents[2] / "problems"]
    )
    return {name: path for folder in folders for name, path in _problem_files(Path(folder)).items()}


def _problem_files(folder: Path) -> dict[str, Path]:
    return {
        path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")
    }


def available() -> tuple[str, ...]:
    """The names of all problems that `load_problem` knows, sorted."""
    announced = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return tuple(sorted({*_classes, *_files, *_catalogue(), *announced}))


def load_folder(folder: str | Path) -> tuple[str, ...]:
    """Make every ``NAME.py`` of a folder available under its file name.

    A file is executed when its problem is loaded.

    Raises:
        FileNotFoundError: When there is no such folder.
        ValueError: When it holds no problem files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}; give the one that holds your problem files"
        )
    found = _problem_files(folder)
    if not found:
        raise ValueError(
            f"the folder {folder} holds no problem files (NAME.py with @pinops.register('NAME'))"
        )
    for name, path in found.items():
        if _files.get(name) != path:
            _classes.pop(name, None)
        _files[name] = path
    return tuple(found)


def problem_class(name: str) -> type[Problem]:
    """The class registered under ``name``, imported now if need be.

    Raises:
        ValueError: For an unknown name, with the nearest that exists.
    """
    if name in _classes:
        return _classes[name]
    announced = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name in _files:
        _execute(f"pinops_problem_{name}", _files[name])
    elif name in (catalogue := _catalogue()):
        _execute(f"pinops.problems.{name}", catalogue[name])
    elif name in announced:
        loaded = announced[name].load()
        if name not in _classes and isinstance(loaded, type) and issubclass(loaded, Problem):
            _classes[name] = loaded
    else:
        near = difflib.get_close_matches(name, available(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"available are {', '.join(available())}"
        raise ValueError(f"there is no problem {name!r}; {hint}")
    if name not in _classes:
        raise ValueError(
            f"the file of problem {name!r} does not register it; decorate its class with "
            f"@pinops.register({name!r})"
        )
    return _classes[name]


def _execute(module_name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def load_problem(name: str, **coefficients: Any) -> Problem:
    """The problem registered under ``name``, with some coefficients changed.

    Example:
        >>> float(po.load_problem("burgers", viscosity=0.05).viscosity)
        0.05

    Raises:
        ValueError: For an unknown problem (suggesting the nearest), an unknown coefficient
            (listing those that exist) and a coefficient out of its range.
    """
    cls = problem_class(name)
    known = [field.name for field in fields(cls) if field.init]
    for given in coefficients:
        if given not in known:
            near = difflib.get_close_matches(given, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
            raise ValueError(f"the problem {name!r} has no coefficient {given!r}; {hint}")
    return cls(**coefficients)


def name_of(problem: Problem) -> str:
    """The name under which a problem's class is registered, or else its class name; "data" for data
    without an equation.
    """
    if isinstance(problem, DataFamily):
        return "data"
    return next(
        (name for name, cls in _classes.items() if cls is type(problem)), type(problem).__name__
    )
