"""The fixed points at which the data of problems are looked at."""

import jax
import numpy as np

from pinops.sampling import Sobol


def cube(n: int, d: int) -> np.ndarray:
    """n points of the unit cube of d dimensions."""
    # A field may ask for them while its program is traced.
    with jax.ensure_compile_time_eval():
        # The words of `jax.random.key(0)`: making one compiles two programs.
        return Sobol().points(np.zeros(2, np.uint32), n, d)  # pyright: ignore[reportArgumentType]
