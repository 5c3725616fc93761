"""The house plan, enforced: imports point down, classes are abstract or final, importing does
nothing.
"""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import equinox as eqx
import pytest

import pinops

PACKAGE = Path(pinops.__file__).parent
CATALOGUE = PACKAGE.parent / "problems"

# The floors of design.md section 2, ground floor first; rooms of one floor do not import each
# other. One departure: metrics measure against a `Reference`, so they stand above that room.
FLOORS = (
    ("_numbers", "_html"),
    ("_types",),
    ("settings",),
    ("derivatives", "geometry", "sampling", "functions", "features", "optimizers", "reference"),
    ("metrics",),
    ("problem",),
    ("networks",),
    ("operators",),
    ("losses",),
    ("data",),
    ("training", "discovery"),
    ("plotting",),
    ("solvers",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# What a room may not import although it lies below.
FORBIDDEN = {("losses", "optimizers")}
# A method that draws its object asks the room of figures, when it is called.
DRAWN = {("geometry", "plotting")}
# Who may import a library.
ONLY_IN = {
    "flax": lambda path: path == "networks/_flax.py",
    "h5py": lambda path: path.startswith("data/"),
    "matplotlib": lambda path: path.startswith("plotting/"),
    "jax2onnx": lambda path: path == "solvers/_export.py",
    "mlflow": lambda path: path == "training/_logs.py",
    "tensorboardX": lambda path: path == "training/_logs.py",
    "wandb": lambda path: path == "training/_logs.py",
    "meshio": lambda path: path.startswith("data/readers/"),
    "safetensors": lambda path: path == "data/_weights.py",
    "xarray": lambda path: path.startswith("data/readers/"),
    "optax": lambda path: not path.startswith("problem/"),
}
# Slow to import: only inside the function that uses them.
LAZY = {"matplotlib", "scipy", "shapely", "skfem", "exponax", "meshio", "xarray", "zarr"}
LAZY |= {"jax2onnx", "safetensors", "mlflow", "tensorboardX", "wandb"}
CATALOGUE_MAY_IMPORT = {"", "problem", "geometry", "functions", "derivatives", "reference"}


def runs_later(block: ast.AST) -> bool:
    """A function, or what only a type checker reads."""
    only_typed = (
        isinstance(block, ast.If)
        and ast.unparse(block.test) == "TYPE_CHECKING"
        and not block.orelse
    )
    return only_typed or isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """Every imported module of a file by its full name, whether it is imported when the file is,
    and the line.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {id(node) for block in ast.walk(tree) if runs_later(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # Relative imports by their full name; `from pinops import networks` is an import of
            # that room.
            parents = ("pinops", *path.relative_to(PACKAGE).parts[:-1]) if node.level else ()
            module = ".".join(
                [*parents[: len(parents) + 1 - node.level], *([node.module] if node.module else [])]
            )
            names = (
                [f"pinops.{alias.name}" for alias in node.names] if module == "pinops" else [module]
            )
        else:
            continue
        for name in names:
            yield name, id(node) not in later, node.lineno


FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.name != "__init__.py"
]
each_file = pytest.mark.parametrize(
    "path", FILES, ids=[path.relative_to(PACKAGE).as_posix() for path in FILES]
)


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@each_file
def test_imports_point_down(path):
    room = room_of(path)
    assert room in FLOOR, f"{path}: design.md section 2 has no room {room!r}"
    for name, at_import, line in imports(path):
        top, other, *files = [*name.split("."), "", ""][: max(3, name.count(".") + 1)]
        if top != "pinops" or (
            room == "cli" and other not in FLOOR
        ):  # the command is a user of the front page
            continue
        where = f"{path}:{line}: {room} imports {name}"
        assert other in FLOOR, (
            f"{where}; import the room that has it, not the front page or the catalogue"
        )
        below = FLOOR[other] < FLOOR[room] or ((room, other) in DRAWN and not at_import)
        assert other == room or below, f"{where}, which is not below it"
        assert (room, other) not in FORBIDDEN, f"{where}, which it may not"
        private = any(file.startswith("_") for file in files)
        assert other == room or not private, (
            f"{where}: files inside a room are private, import from the room"
        )


@each_file
def test_libraries_stay_in_their_rooms(path):
    relative = path.relative_to(PACKAGE).as_posix()
    for name, at_import, line in imports(path):
        library = name.split(".")[0]
        assert ONLY_IN.get(library, lambda _: True)(relative), (
            f"{path}:{line}: {library} is not imported here"
        )
        lazily = not at_import or library not in LAZY
        assert lazily, f"{path}:{line}: import {library} inside the function that needs it"


@pytest.mark.parametrize("path", sorted(CATALOGUE.glob("*.py")), ids=lambda path: path.stem)
def test_the_catalogue_imports_the_lower_rooms_only(path):
    for name, at_import, line in imports(path):
        top, *rest = name.split(".")
        room = rest[0] if rest else ""
        allowed = top != "pinops" or room in CATALOGUE_MAY_IMPORT
        assert allowed, f"{path}:{line}: a problem file may not import {name}"
        assert not (at_import and top in LAZY), (
            f"{path}:{line}: import {top} inside the function that needs it"
        )


def test_there_is_no_room_for_helpers():
    assert not [
        path
        for path in FILES
        if path.stem.strip("_") in ("utils", "util", "helpers", "common", "misc")
    ]


MAX_MODULE, MAX_FUNCTION = 450, 80  # lines; those of a function without its docstring
MAX_LAMBDAS = 5  # per 1000 lines


def lines_of(function: ast.FunctionDef) -> int:
    """The lines of a function without those of its docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


@each_file
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= MAX_MODULE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert lines_of(node) < MAX_FUNCTION, f"{path}: {node.name}"


def test_lambdas_are_few_and_have_no_name():
    """A lambda is an argument; what has a name is a function."""
    lambdas = lines = 0
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        lines += source.count("\n")
        lambdas += sum(isinstance(node, ast.Lambda) for node in ast.walk(ast.parse(source)))
    assert 1000 * lambdas < MAX_LAMBDAS * lines, f"{lambdas} lambdas in {lines} lines"


# The arguments of a contract whose type is the business of an instance.
ANY_IN_CONTRACTS = {("drawn", "model"), ("sampled", "model")}


def test_the_contracts_know_their_types():
    """No `Any` where a type is known: a source alone may be for the model of its own kind."""
    tree = ast.parse((PACKAGE / "training" / "_contracts.py").read_text(encoding="utf-8"))
    found = {
        (method.name, argument.arg)
        for method in ast.walk(tree)
        if isinstance(method, ast.FunctionDef)
        for argument in [*method.args.args, *method.args.kwonlyargs]
        if argument.annotation is not None and "Any" in ast.unparse(argument.annotation)
    }
    returned = [
        method.name
        for method in ast.walk(tree)
        if isinstance(method, ast.FunctionDef)
        and method.returns is not None
        and "Any" in ast.unparse(method.returns)
    ]
    assert found == ANY_IN_CONTRACTS and not returned


def classes() -> list[type]:
    """Every class that is defined in pinops."""
    names = [found.name for found in pkgutil.walk_packages(pinops.__path__, "pinops.")]
    modules = [importlib.import_module(name) for name in names if name != "pinops.__main__"]
    found = {cls for module in modules for _, cls in inspect.getmembers(module, inspect.isclass)}
    return sorted(
        (cls for cls in found if cls.__module__.startswith("pinops")),
        key=lambda cls: cls.__qualname__,
    )


def is_abstract(cls: type) -> bool:
    unfilled = getattr(cls, "__abstractvars__", ()), getattr(cls, "__abstractclassvars__", ())
    # Users derive from Problem; residuals differ in their arguments, so it has no abstract method
    # to fill in.
    return inspect.isabstract(cls) or any(unfilled) or cls is pinops.Problem


def test_classes_are_abstract_or_final():
    """A concrete class is never subclassed: wrap it instead."""
    modules = [cls for cls in classes() if issubclass(cls, eqx.Module)]
    assert {"MLP", "Problem", "Dirichlet", "Box"} <= {cls.__name__ for cls in modules}
    for cls in classes():
        for base in cls.__bases__:
            if base.__module__.startswith("pinops"):
                assert is_abstract(base), (
                    f"{cls.__qualname__} subclasses {base.__qualname__}, which is concrete"
                )


IMPORT = """
import json, os, sys, time, warnings
import jax, equinox, optax
from jax._src import xla_bridge
modules, config, environment = set(sys.modules), dict(jax.config.values), dict(os.environ)
warnings.simplefilter("error")
start = time.process_time()
import pinops
seconds = time.process_time() - start
print(json.dumps({
    "seconds": seconds,
    "modules": sorted(set(sys.modules) - modules),
    "config": [name for name, value in jax.config.values.items() if config.get(name) != value],
    "environment": os.environ != environment,
    "backends": xla_bridge.backends_are_initialized(),
}))
"""


@pytest.fixture(scope="module")
def fresh_imports(tmp_path_factory) -> list[dict]:
    """Three processes that import pinops, in an empty folder; whatever they print besides the
    report is an error.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    reports = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "" and done.stdout.count("\n") == 1, done.stdout + done.stderr
        reports.append(json.loads(done.stdout))
    assert not list(folder.iterdir())
    return reports


def test_importing_does_nothing(fresh_imports):
    for report in fresh_imports:
        assert not report["backends"], "a device was touched"
        assert not report["config"] and not report["environment"]


@pytest.mark.parametrize(
    "library",
    [
        "flax",
        "matplotlib",
        "scipy.stats",
        "skfem",
        "exponax",
        "shapely",
        "pinops.problems",
        "pinops.networks._flax",
    ],
)
def test_importing_leaves_the_slow_and_the_rare_alone(library, fresh_imports):
    assert library not in fresh_imports[0]["modules"]


def test_importing_is_quick(fresh_imports):
    """Beyond jax, equinox and optax (design.md section 4); processor time, which a busy machine
    does not stretch.
    """
    assert statistics.median(report["seconds"] for report in fresh_imports) < 1.5
