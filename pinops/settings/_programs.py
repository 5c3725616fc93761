"""Compiled programs: those that run long, those that run now and then, those that run once."""

import os
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax

P = ParamSpec("P")
R = TypeVar("R")

_LEVEL = "xla_backend_optimization_level"  # of LLVM
# XLA's newer generator of loops: tanh is faster by it, and everything is compiled more slowly.
_NEWER = "xla_cpu_use_fusion_emitters"


def lasting(function: Callable[P, R]) -> Callable[P, R]:
    """`equinox.filter_jit` for what runs long: steps are as fast, and compiled in four fifths of
    the time.
    """
    # Measured for SSBroyden on Burgers' equation, one CPU core: 3.3 instead of 4.2 s; 20 steps
    # in 0.41 s either way.
    return _with_options(function, {_LEVEL: 2})


def reused(function: Callable[P, R]) -> Callable[P, R]:
    """`equinox.filter_jit` for what runs now and then: it runs as fast, and is compiled in two
    thirds of the time.
    """
    # Measured for Burgers' equation, 100000 points, one CPU core: first call 0.86 instead of
    # 1.39 s, later ones 25 ms either way; PROSE, 12 members: 5.0 instead of 7.1 s, 0.13 s.
    return _with_options(function, {_LEVEL: 2, _NEWER: False})


def quick(function: Callable[P, R]) -> Callable[P, R]:
    """`equinox.filter_jit` for what runs a few times: compiled in a third of the time, and some
    three to four times slower when it runs.

    Only at the top: what is called inside of another program is part of that, and needs none.
    """
    # Measured as above: first calls 0.52 and 2.8 s, later ones 0.10 and 0.31 s.
    return _with_options(function, {_LEVEL: 0, _NEWER: False})


def _with_options(function: Callable[P, R], options: dict[str, Any]) -> Callable[P, R]:
    jit: Any = eqx.filter_jit  # its overloads do not know the options of `jax.jit`
    elsewhere = jit(function)
    chosen = cache(lambda: jit(function, compiler_options=_known(options)))

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # The backend is known only when something is called: importing starts no device.
        program = chosen() if jax.default_backend() == "cpu" else elsewhere
        try:
            return program(*args, **kwargs)
        except ValueError as error:
            # Inside of another program, which is traced, JAX takes no options.
            if "compiler_options" not in str(error):
                raise
            return elsewhere(*args, **kwargs)

    return call


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that this version of XLA has, and that the user has not set."""
    flags = os.environ.get("XLA_FLAGS", "")
    free = {name: value for name, value in options.items() if f"--{name}=" not in flags}
    return {name: value for name, value in free.items() if _is_known(name, value)}


@cache
def _is_known(name: str, value: Any) -> bool:
    program = jax.jit(lambda: 0, compiler_options={name: value})
    try:
        program.lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
