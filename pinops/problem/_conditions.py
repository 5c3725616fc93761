"""Conditions: what a solution must satisfy besides its equation.

Each is declared once and says only mathematics; whether it is imposed exactly (hard) or becomes a
loss term (soft) is decided by :func:`pinops.problem.impose`.  Data are constants or functions of
the coordinates that they name: ``lambda x, t: ...``. Two instances: ``Initial(lambda x:
-jnp.sin(jnp.pi * x))`` and ``Dirichlet(0.0, on="x")``.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer

from pinops._numbers import real
from pinops.derivatives import guarded
from pinops.geometry import TERMINAL
from pinops.problem._condition import Condition
from pinops.problem._observed import Observed

if TYPE_CHECKING:
    from pinops.problem._problem import Problem

Data = float | Any | Callable[..., Any]
On = str | tuple[str, ...] | None


class Dirichlet(Condition):
    """``u = value`` on boundary parts.

    Args:
        value: A constant, a function of coordinates, or a dict of them by unknown.
        on: A coordinate (both of its faces), a part such as ``"x_min"``, ``"t_max"`` for the last
            instant (a terminal condition), a tuple of these, or None for the whole boundary in
            space.
        unknown: Which one (None: all, or those that ``value`` names).
        soft: Make it a loss term even where it could be imposed exactly.

    Example:
        A payoff:

        >>> strike = 1.0
        >>> payoff = po.Dirichlet(lambda x: jnp.maximum(x - strike, 0), on="t_max")
    """

    value: Data | dict[str, Data]
    on: On = eqx.field(static=True, default=None)
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)


class Neumann(Condition):
    """``u_n = value`` on boundary parts, n the outward unit normal; on ``"t_max"`` it is ``u_t``.

    Args:
        value: As for `Dirichlet`.
        on: As for `Dirichlet`.
        unknown: Which one (None: all, or those that ``value`` names).
        soft: Make it a loss term even where it could be imposed exactly.
    """

    value: Data | dict[str, Data]
    on: On = eqx.field(static=True, default=None)
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)


class Robin(Condition):
    """``alpha u + beta u_n = value`` on boundary parts; on ``"t_max"`` u_n is ``u_t``.

    Args:
        value: As for `Dirichlet`, with ``on``, ``unknown`` and ``soft``.
        alpha: A number.
        beta: A number, not zero.

    Raises:
        ValueError: For alpha or beta that is no finite real number, and for beta = 0.
    """

    value: Data | dict[str, Data]
    on: On = eqx.field(static=True, default=None)
    alpha: Any = eqx.field(default=1.0, kw_only=True)
    beta: Any = eqx.field(default=1.0, kw_only=True)
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)

    def __check_init__(self):
        for name in ("alpha", "beta"):
            given = real(getattr(self, name), f"Robin: {name}")
            value = _constant(given)
            if value is None and not isinstance(given, Tracer):
                raise ValueError(f"Robin: {name} must be a number, got {given!r}")
            if value is not None and not np.isfinite(value):
                raise ValueError(f"Robin: {name} must be finite, got {value}")
            if name == "beta" and value == 0:
                raise ValueError("Robin: beta must not be zero; without a slope it is Dirichlet")


class Periodic(Condition):
    """All unknowns are periodic along a coordinate, imposed exactly by an embedding of it.

    Along time they are periodic in time, and there is no `Initial`.

    Args:
        on: A coordinate that is an interval of the domain, or several.
        even: They are also the same on both sides of the middle of the interval, because the
            equation and all data are.
    """

    on: str | tuple[str, ...] = eqx.field(static=True)
    even: bool = eqx.field(static=True, default=False, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, init=False)


class Initial(Condition):
    """``u = value`` at the initial time and, for second order in time, ``u_t = derivative`` there.

    Args:
        value: Data as for `Dirichlet`; functions of the spatial coordinates.
        derivative: As ``value``; one that is no dict is that of the unknowns which ``value`` names.
        unknown: Which one (None: all, or those that ``value`` names).
        soft: Make it a loss term even where it could be imposed exactly.
    """

    value: Data | dict[str, Data]
    derivative: Data | dict[str, Data] | None = None
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)

    def rates(self) -> Data | dict[str, Data] | None:
        """The derivative, by unknown where the value is."""
        if (
            isinstance(self.value, dict)
            and self.derivative is not None
            and not isinstance(self.derivative, dict)
        ):
            return dict.fromkeys(self.value, self.derivative)
        return self.derivative


class Equation(Condition):
    """Any equation on boundary parts, by the names of its arguments. Always soft.

    Args:
        residual: A function that vanishes there; its arguments are named as those of the residual
            of a problem, and ``u_n`` and ``normal``.
        on: As for `Dirichlet`.

    Example:
        >>> no_moment = po.Equation(lambda u_xx: u_xx, on="x")
    """

    residual: Callable[..., Any]
    on: On = eqx.field(static=True, default=None)
    soft: bool = eqx.field(static=True, default=True, init=False)


class Interface(Condition):
    """What holds where a subdomain ends inside of the domain: between two materials. Always soft.

    The flux on the outer side minus that on the inner side is ``source``. The solution itself is
    continuous, exactly, or jumps by ``jump``. The normal points out of the subdomain.

    Args:
        flux: The normal flux on either side, by the names of its arguments: those of the residual
            of a problem, ``u_n`` and ``normal``. A number, or a dict of them for a system. A
            subdomain that is named is 1 on its inner side and 0 on its outer side.
        on: A subdomain of the problem, a tuple of these, or None for all.
        jump: The solution on the outer minus that on the inner side: a number, a function of the
            coordinates and of the fluxes (``flux``, or their names for a system), or a dict of them
            by unknown; None: it is continuous.
        source: A number, a function of the coordinates, or a dict of them by flux.

    Example:
        A material that conducts ten times as well:

        >>> inclusion = po.Interface(lambda u_n, disc: (1 + 9 * disc) * u_n, on="disc")

        Contact resistance, 0.1 here, lets the temperature jump:

        >>> contact = po.Interface(lambda u_n: u_n, jump=lambda flux: 0.1 * flux)
    """

    flux: Callable[..., Any]
    on: On = eqx.field(static=True, default=None)
    jump: Data | dict[str, Data] | None = eqx.field(default=None, kw_only=True)
    source: Data | dict[str, Data] = eqx.field(default=0.0, kw_only=True)
    soft: bool = eqx.field(static=True, default=True, init=False)


def conditions_of(problem: "Problem", conditions: Callable[[], Any]) -> tuple[Condition, ...]:
    """What ``conditions()`` of a problem returns, checked.

    Raises:
        ValueError: For what is no tuple of conditions, and with what the method raised, such as
            for ``float(self.a)`` of a coefficient that JAX traces.
    """
    owner = f"{type(problem).__name__}.conditions"
    # What does not depend on a traced coefficient, such as jnp.linspace, is a number at once.
    with jax.ensure_compile_time_eval():
        out = guarded(conditions, owner=owner)
    if not isinstance(out, tuple | list):
        raise ValueError(f"{owner} must return a tuple, got one {type(out).__name__}; add a comma")
    for one in out:
        if not isinstance(one, Condition):
            shown = f"the class {one.__name__}" if isinstance(one, type) else repr(one)
            raise ValueError(f"{owner} must return conditions, such as Dirichlet(0.0), got {shown}")
    return tuple(out)


def named_unknowns(condition: Condition, unknowns: Sequence[str]) -> tuple[str, ...]:
    """The unknowns that a condition is about, of all of them."""
    if isinstance(condition, Observed):
        return tuple(condition.values)
    value, unknown = getattr(condition, "value", None), getattr(condition, "unknown", None)
    if isinstance(value, dict):
        return tuple(value)
    return (unknown,) if unknown is not None else tuple(unknowns)


def sentence(problem: "Problem", condition: Condition) -> str:
    """What a condition says, with its unknowns and where it holds.

    Example:
        >>> problem = po.load_problem("burgers")
        >>> sentence(problem, problem.conditions()[1])
        'u = 0 on x_min and x_max'
    """
    unknowns = named_unknowns(condition, problem.unknowns)
    match condition:
        case Periodic():
            on = (condition.on,) if isinstance(condition.on, str) else condition.on
            even = ", even about the middle" if condition.even else ""
            return f"{listed(unknowns)} periodic in {listed(on)}{even}"
        case Observed():
            count = next(iter(condition.values.values())).size
            plural = "observation" if count == 1 else "observations"
            said = [f"{name}{_with_noise(condition, name)}" for name in unknowns]
            return f"{count} {plural} of {listed(said)}"
        case Initial():
            time = problem.domain.time or "t"
            start = problem.domain.bounds.get(time, (0.0,))[0]
            said = f"{_equal(condition.value, unknowns)} at {time} = {start:g}"
            rates = condition.rates()
            if rates is None:
                return said
            moving = tuple(rates) if isinstance(rates, dict) else unknowns
            return f"{said}, {_equal(rates, moving, '{}_' + time)} there"
        case Equation():
            names = listed(tuple(inspect.signature(condition.residual).parameters))
            return f"an equation between {names} {_where(problem, condition.on)}"
        case Interface():
            names = listed(tuple(inspect.signature(condition.flux).parameters))
            on = problem.subdomains if condition.on is None else condition.on
            where = listed((on,) if isinstance(on, str) else tuple(on))
            jumping = tuple(condition.jump) if isinstance(condition.jump, dict) else unknowns
            jumps = "" if condition.jump is None else f", {listed(jumping)} jumping"
            return f"a flux of {names} through the surface of {where}{jumps}"
        case Dirichlet() | Neumann() | Robin():
            pattern = _pattern(condition, problem.domain.select(condition.on) == (TERMINAL,))
            data = _equal(condition.value, unknowns, pattern)
            return f"{data} {_where(problem, condition.on)}"
    return type(condition).__name__


def listed(names: Sequence[str]) -> str:
    """``"a, b and c"``; of many the number too."""
    if len(names) > 6:
        return f"{', '.join(names[:3])}, ... and {names[-1]} ({len(names)} in all)"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _with_noise(condition: Observed, name: str) -> str:
    """``" with noise 0.1"``, ``" with noise 0.1 to 0.2"``; nothing where it is not known."""
    if name not in condition.noise:
        return ""
    low, high = np.min(condition.noise[name]), np.max(condition.noise[name])
    return f" with noise {low:g}" + (f" to {high:g}" if high > low else "")


def _pattern(condition: Dirichlet | Neumann | Robin, terminal: bool) -> str:
    """The left side of a boundary condition, ``{}`` for the unknown."""
    slope = "{0}_t" if terminal else "{0}_n"
    if isinstance(condition, Dirichlet):
        return "{0}"
    if isinstance(condition, Neumann):
        return slope
    factors = [
        "" if number == 1 else f"{name} " if number is None else f"{number:g} "
        for name in ("alpha", "beta")
        for number in [_constant(getattr(condition, name))]
    ]
    return f"{factors[0]}{{0}} + {factors[1]}{slope}"


def _equal(value: Any, unknowns: Sequence[str], pattern: str = "{0}") -> str:
    """``"u = 0 and v = data"``."""
    said = []
    for name in unknowns:
        number = _constant(value[name] if isinstance(value, dict) else value)
        said.append(f"{pattern.format(name)} = {'data' if number is None else f'{number:g}'}")
    return listed(said)


def _where(problem: "Problem", on: On) -> str:
    """``"on x_min and x_max"``, ``"at t = 1"``."""
    parts = problem.domain.select(on)
    said = []
    surface = [part for part in parts if part != TERMINAL]
    if surface:
        said.append(f"on {listed(surface)}")
    if TERMINAL in parts:
        said.append(f"at t = {problem.domain.bounds['t'][1]:g}")
    return " and ".join(said)


def _constant(value: Any) -> float | None:
    """A number that is known; None for functions, traced values and what is no number."""
    if isinstance(value, Tracer | str) or callable(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
