"""Trajectories of fifteen chaotic systems, with random coefficients and starts.

The systems and coefficients of PROSE (Liu, Zhang & Schaeffer 2023, arXiv:2309.16816, table 1): each
coefficient is drawn within a tenth of its value, and each start from [-2, 2] for every unknown.
Two systems are slower than usual, Halvorsen by four and Dadras by two.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.data._contents import Contents
from pinops.settings import Number, OneOf, Whole, require

SPREAD = 0.1  # of coefficients around their values
POINTS, END = 193, 6.0  # times from 0 to the end
_START = 2.0
_TOLERANCE = 1e-9
_DRAWS = 50  # trajectories that run away before a system gives up
_MOST_STEPS = 100_000
_BATCH = 256  # trajectories that are integrated together

State = Float[Array, " d"]


class ChaoticSystem(NamedTuple):
    """An autonomous system y' = f(y; c).

    Attributes:
        slope: ``slope(y, **coefficients)``, ``(d,)``.
        unknowns: The names of y.
        coefficients: Their values, by name.
        bound: A trajectory that leaves [-bound, bound] is drawn again.
    """

    slope: Callable[..., State]
    unknowns: tuple[str, ...]
    coefficients: Mapping[str, float]
    bound: float = 1e3


def chaotic_contents(
    system: str, count: int, *, seed: int = 0, spread: float = SPREAD, end: float = END
) -> Contents:
    """Trajectories of one system from random starts, each with coefficients of its own.

    Sample k depends on the seed and on k alone. Needs diffrax, ``pip install 'pinops[chaos]'``.

    Args:
        system: One of `CHAOTIC_SYSTEMS`, such as "lorenz".
        count: How many, from 1 to a million.
        seed: From 0 to 2^32 - 1.
        spread: From 0 to 0.9; a coefficient c lies between (1 - spread) c and (1 + spread) c.
        end: Of the 193 times from 0, > 0 and at most 100.

    Returns:
        What `Dataset.of` takes: the unknowns at the times, the ``start`` as an input, and the
        coefficients as parameters.

    Raises:
        ValueError: For another system, and for numbers out of range.
        ImportError: Without diffrax.

    Example:
        >>> from pinops.data import chaotic_contents
        >>> po.Dataset.of(chaotic_contents("lorenz", 8)).unknowns
        ('x', 'y', 'z')
    """
    owner = "chaotic_contents"
    require(owner, "system", system, OneOf(tuple(CHAOTIC_SYSTEMS)))
    require(owner, "count", count, Whole(1, 1_000_000))
    require(owner, "seed", seed, Whole(0, 2**32 - 1))
    require(owner, "spread", spread, Number(0, 0.9))
    require(owner, "end", end, Number(above=0, most=100))
    asked = CHAOTIC_SYSTEMS[system]
    times = np.linspace(0, end, POINTS)
    names, values = list(asked.coefficients), np.array(list(asked.coefficients.values()))
    draws = [np.random.default_rng([seed, k]) for k in range(count)]
    starts = np.empty((count, len(asked.unknowns)))
    coefficients = np.empty((count, len(names)))
    found = np.empty((count, POINTS, len(asked.unknowns)))
    missing = np.arange(count)
    for _ in range(_DRAWS):
        for k in missing:
            starts[k] = draws[k].uniform(-_START, _START, starts.shape[1])
            coefficients[k] = values * (1 + spread * draws[k].uniform(-1, 1, len(names)))
        for some in np.array_split(missing, -(-len(missing) // _BATCH)):
            found[some] = _integrated(asked, starts[some], coefficients[some], times)
        inside = np.isfinite(found[missing]) & (np.abs(found[missing]) <= asked.bound)
        missing = missing[~inside.all((1, 2))]
        if not missing.size:
            break
    else:
        raise ValueError(
            f"{system}: {missing.size} trajectories left [-{asked.bound:g}, {asked.bound:g}] "
            f"{_DRAWS} times; take a smaller spread or an earlier end"
        )
    return Contents(
        outputs={name: found[..., i] for i, name in enumerate(asked.unknowns)},
        coordinates={"t": times},
        inputs={"start": starts},
        parameters={name: coefficients[:, i] for i, name in enumerate(names)},
        time="t",
        source=f"{count} trajectories of {system}, seed {seed}",
    )


def _integrated(
    system: ChaoticSystem,
    starts: Float[np.ndarray, "n d"],
    coefficients: Float[np.ndarray, "n c"],
    times: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "n t d"]:
    """Trajectories by a Runge-Kutta method of eighth order; infinite where they run away."""
    try:
        import diffrax
    except ModuleNotFoundError as error:
        raise ImportError(
            f"chaotic systems need {error.name}; pip install 'pinops[chaos]'"
        ) from None

    def slope(t: Any, y: State, numbers: Float[Array, " c"]) -> State:
        return system.slope(y, **dict(zip(system.coefficients, numbers, strict=True)))

    @jax.jit
    @jax.vmap
    def solved(start: State, numbers: Float[Array, " c"]) -> Float[Array, "t d"]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            diffrax.Dopri8(),
            times[0],
            times[-1],
            None,
            start,
            numbers,
            saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
            stepsize_controller=diffrax.PIDController(rtol=_TOLERANCE, atol=_TOLERANCE),
            max_steps=_MOST_STEPS,
            event=diffrax.Event(lambda t, y, args, **_: jnp.max(jnp.abs(y)) > system.bound),
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
        assert solution.ys is not None
        return solution.ys

    with jax.enable_x64(True):
        return np.asarray(solved(jnp.asarray(starts), jnp.asarray(coefficients)))


def _thomas(y: State, b: Array) -> State:
    return jnp.sin(jnp.roll(y, -1)) - b * y


def _lorenz(y: State, sigma: Array, rho: Array, beta: Array) -> State:
    x, y, z = y
    return jnp.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])


def _aizawa(y: State, a: Array, b: Array, c: Array, d: Array, f: Array) -> State:
    x, y, z = y
    up = c + a * z - z**3 / 3 - x**2 + f * z * x**3
    return jnp.stack([(z - b) * x - d * y, d * x + (z - b) * y, up])


def _chen_lee(y: State, a: Array, d: Array) -> State:
    x, y, z = y
    return jnp.stack([a * x - y * z, -10 * y + x * z, d * z + x * y / 3])


def _dadras(y: State, a: Array, b: Array, c: Array, d: Array, e: Array) -> State:
    x, y, z = y
    return jnp.stack([y / 2 - a * x + b * y * z, c * y - x * z / 2 + z / 2, d * x * y - e * z])


def _roessler(y: State, a: Array, b: Array, c: Array) -> State:
    x, y, z = y
    return jnp.stack([-y - z, x + a * y, b + z * (x - c)])


def _halvorsen(y: State, a: Array) -> State:
    second, third = jnp.roll(y, -1), jnp.roll(y, -2)
    return a * y - second - third - second**2 / 4


def _rabinovich_fabrikant(y: State, alpha: Array, gamma: Array) -> State:
    x, y, z = y
    first = y * (z - 1 + x**2) + gamma * x
    second = x * (3 * z + 1 - x**2) + gamma * y
    return jnp.stack([first, second, -2 * z * (alpha + x * y)])


def _sprott_b(y: State, a: Array, b: Array, c: Array) -> State:
    x, y, z = y
    return jnp.stack([a * y * z, x - b * y, c - x * y])


def _sprott_linz_f(y: State, a: Array) -> State:
    x, y, z = y
    return jnp.stack([y + z, -x + a * y, x**2 - z])


def _four_wing(y: State, a: Array, b: Array, c: Array) -> State:
    x, y, z = y
    return jnp.stack([a * x + y * z, b * x + c * y - x * z, -z - x * y])


def _duffing(
    y: State, alpha: Array, beta: Array, gamma: Array, delta: Array, omega: Array
) -> State:
    """The phase of the force is an unknown: the system is autonomous."""
    x, v, s = y
    force = alpha * x + beta * x**3 + gamma * jnp.cos(omega * s) + delta * v
    return jnp.stack([v, force, jnp.ones(())])


def _lorenz_96(y: State, force: Array) -> State:
    return (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.roll(y, 1) - y + force


def _double_pendulum(y: State, gravity: Array, length: Array) -> State:
    """Two equal masses on rods of equal length: angles from the vertical and their speeds."""
    p, q, v, w = y
    difference = p - q
    sine, cosine = jnp.sin(difference), jnp.cos(difference)
    divisor = length * (2 - cosine**2)
    first = -(v**2) * length * sine * cosine - w**2 * length * sine
    first += gravity * (jnp.sin(q) * cosine - 2 * jnp.sin(p))
    second = w**2 * length * sine * cosine + 2 * v**2 * length * sine
    second += 2 * gravity * (jnp.sin(p) * cosine - jnp.sin(q))
    return jnp.stack([v, w, first / divisor, second / divisor])


_XYZ = ("x", "y", "z")
CHAOTIC_SYSTEMS: Mapping[str, ChaoticSystem] = {
    "thomas": ChaoticSystem(_thomas, _XYZ, {"b": 0.17}),
    "lorenz": ChaoticSystem(_lorenz, _XYZ, {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}),
    "aizawa": ChaoticSystem(_aizawa, _XYZ, {"a": 0.95, "b": 0.7, "c": 0.6, "d": 3.5, "f": 0.1}),
    "chen_lee": ChaoticSystem(_chen_lee, _XYZ, {"a": 5.0, "d": -0.38}),
    "dadras": ChaoticSystem(_dadras, _XYZ, {"a": 1.25, "b": 1.15, "c": 0.75, "d": 0.8, "e": 4.0}),
    "roessler": ChaoticSystem(_roessler, _XYZ, {"a": 0.1, "b": 0.1, "c": 14.0}),
    "halvorsen": ChaoticSystem(_halvorsen, _XYZ, {"a": -0.35}),
    "rabinovich_fabrikant": ChaoticSystem(
        _rabinovich_fabrikant, _XYZ, {"alpha": 0.98, "gamma": 0.1}, bound=1e5
    ),
    "sprott_b": ChaoticSystem(_sprott_b, _XYZ, {"a": 0.4, "b": 1.2, "c": 1.0}),
    "sprott_linz_f": ChaoticSystem(_sprott_linz_f, _XYZ, {"a": 0.5}),
    "four_wing": ChaoticSystem(_four_wing, _XYZ, {"a": 0.2, "b": 0.01, "c": -0.4}),
    "duffing": ChaoticSystem(
        _duffing,
        ("x", "v", "s"),
        {"alpha": -1.0, "beta": -5.0, "gamma": 8.0, "delta": -0.02, "omega": 0.5},
    ),
    "lorenz_96_4": ChaoticSystem(_lorenz_96, ("x1", "x2", "x3", "x4"), {"force": 8.0}),
    "lorenz_96_5": ChaoticSystem(_lorenz_96, ("x1", "x2", "x3", "x4", "x5"), {"force": 8.0}),
    "double_pendulum": ChaoticSystem(
        _double_pendulum, ("p", "q", "v", "w"), {"gravity": 9.81, "length": 1.0}
    ),
}
