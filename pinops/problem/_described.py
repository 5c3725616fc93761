"""What a problem says of itself, for people: its equation, where it holds, and its conditions."""

import inspect
import textwrap

import numpy as np

from pinops.problem._conditions import sentence
from pinops.problem._data_family import DataFamily
from pinops.problem._expression import Expression
from pinops.problem._inverse import coefficients_as_json, holder
from pinops.problem._problem import Problem, names_of

_WIDEST = 1500  # characters of LaTeX


def heading_of(problem: Problem) -> str:
    """The first paragraph of its docstring in one line, the equation; "" without one."""
    cls = type(holder(problem))
    doc = cls.__dict__.get("__doc__") or ""
    # A dataclass without a docstring is given its signature.
    return (
        ""
        if doc.startswith(f"{cls.__name__}(")
        else " ".join(inspect.cleandoc(doc).split("\n\n")[0].split())
    )


def residual_source(problem: Problem) -> str:
    """The lines of Python that define its equation; "" where there are none to be read."""
    residual = type(holder(problem)).residual
    if residual is Problem.residual or not inspect.isfunction(residual):
        return ""
    try:
        return textwrap.dedent(inspect.getsource(residual))
    except (OSError, TypeError):  # written at a prompt
        return ""


def written_equation(problem: Problem) -> str:
    """Its residual in MathML, for a page; "" without one, and where no page is wide enough.

    Raises:
        ValueError: For a residual that raises.
    """
    if type(holder(problem)).residual is Problem.residual:
        return ""
    expression = Expression.of(problem)
    return expression.mathml() if len(expression.latex()) <= _WIDEST else ""


def _with_coordinates(problem: Problem) -> list[str]:
    """The unknowns, with their coordinates where they lack some: ``["u", "k(x)"]``."""
    own = problem.depends_on
    return [f"{name}({', '.join(own[name])})" if name in own else name for name in problem.unknowns]


def described(problem: Problem) -> dict[str, str | list[str]]:
    """Equation, unknowns, coordinates with their ranges, coefficients and conditions, by name."""
    bounds = problem.domain.bounds
    known = {} if isinstance(problem, DataFamily) else coefficients_as_json(problem)
    numbers = {name: np.asarray(value) for name, value in known.items()}
    return {
        "equation": heading_of(problem),
        "unknowns": ", ".join(_with_coordinates(problem)),
        "coordinates": ", ".join(
            f"{name} from {low:g} to {high:g}" for name, (low, high) in bounds.items()
        ),
        "coefficients": [
            f"{name} = {value.item()}"
            if value.size == 1
            else f"{name}: array of shape {value.shape}"
            for name, value in numbers.items()
        ],
        "to be found": ", ".join(problem.trainable),
        "integrals": [f"{name} {one}" for name, one in names_of(problem).integrals.items()],
        "conditions": [sentence(problem, condition) for condition in problem.conditions()],
    }
