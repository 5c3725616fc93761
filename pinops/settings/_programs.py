"""Programs that run only a few times."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax

P = ParamSpec("P")
R = TypeVar("R")

# Of LLVM, for a program that runs a few times, and for one that runs long.
_FEW, _MANY = 0, 2


def lasting(function: Callable[P, R]) -> Callable[P, R]:
    """`equinox.filter_jit` for what runs long: steps are as fast, and compiled in four fifths of
    the time.
    """
    # Measured for SSBroyden on Burgers' equation, one CPU core: 3.3 instead of 4.2 s; 20 steps
    # in 0.41 s either way.
    return _with_level(function, _MANY)


def quick(function: Callable[P, R]) -> Callable[P, R]:
    """`equinox.filter_jit` for what runs a few times: compiled in a third of the time, and some
    three times slower when it runs.

    Only at the top: what is called inside of another program is part of that, and needs none.
    """
    # Measured for the residual of Burgers' equation at 16384 points, MLP 30 x 3, one CPU core:
    # compiled in 0.20 instead of 0.57 s, run in 29 instead of 11 ms.
    return _with_level(function, _FEW)


def _with_level(function: Callable[P, R], level: int) -> Callable[P, R]:
    options = {"xla_backend_optimization_level": level}
    jit: Any = eqx.filter_jit  # its overloads do not know the options of `jax.jit`
    on_host, elsewhere = jit(function, compiler_options=options), jit(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # The backend is known only when something is called: importing starts no device.
        chosen = on_host if jax.default_backend() == "cpu" else elsewhere
        try:
            return chosen(*args, **kwargs)
        except ValueError as error:
            # Inside of another program, which is traced, JAX takes no options.
            if "compiler_options" not in str(error):
                raise
            return elsewhere(*args, **kwargs)

    return call
