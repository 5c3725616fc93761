"""Random compositions of elementary functions, with derivatives in closed form.

A composition is a table of updates of u, which begins at 0: a term is added to u, u is multiplied
by it, or u is put into an elementary function. Two instances: ``manufactured(key, x=(0, 1))`` is
one of them as a function of x, and a `Pool` holds thousands of tables for a compiled program.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.settings import check_settings, number, one_of, whole

LONGEST = 10  # updates of a composition
SHORTEST = 6
GRID = 2304  # points at which a composition is accepted, 48 along each of two coordinates
CHUNK = 256  # tables that are tried at once
RULES = ("nothing", "add", "multiply", "compose")
Three = tuple[Array, Array, Array]


def _identity(z: Array) -> Three:
    return z, jnp.ones_like(z), jnp.zeros_like(z)


def _sine(z: Array) -> Three:
    s, c = jnp.sin(z), jnp.cos(z)
    return s, c, -s


def _cosine(z: Array) -> Three:
    s, c = jnp.sin(z), jnp.cos(z)
    return c, -s, -c


def _tanh(z: Array) -> Three:
    t = jnp.tanh(z)
    d = 1 - t * t
    return t, d, -2 * t * d


def _sigmoid(z: Array) -> Three:
    s = jax.nn.sigmoid(z)
    d = s * (1 - s)
    return s, d, d * (1 - 2 * s)


def _bump(z: Array) -> Three:
    """``1 / (1 + z^2)``."""
    r = 1 / (1 + z * z)
    slope = -2 * z * r * r
    return r, slope, -2 * r * r - 4 * z * r * slope


# Each gives its value and its first two derivatives.
ELEMENTARY = (_identity, _sine, _cosine, _tanh, _sigmoid, _bump)


def composition(
    table: Float[Array | np.ndarray, "updates _"], at: Float[Array, " d"]
) -> Float[Array, ""]:
    """The value of a composition at one point.

    Args:
        table: ``(updates, 5 + d)``. The columns of an update are its rule (0 nothing, 1 add, 2
            multiply, 3 compose), an elementary function ψ (0 z, 1 sin, 2 cos, 3 tanh, 4 sigmoid,
            5 1 / (1 + z²)), and the numbers c, f, e, a_1, ..., a_d of the term f ψ(z) + e, where z
            is a · x + c, and a_1 u + c where u is composed.
        at: ``(d,)``.
    """
    return _propagated(table, at, ())[0]


def composition_streams(
    table: Float[Array | np.ndarray, "updates _"], at: Float[Array, " d"]
) -> Float[Array, " 1+2*d"]:
    """The value of a composition at one point, its d first and its d unmixed second derivatives.

    Args:
        table: As for `composition`.
        at: ``(d,)``.
    """
    u, slopes, seconds = _propagated(table, at, range(at.shape[0]))
    return jnp.stack([u, *slopes, *seconds])


Streams = tuple[Array, list[Array], list[Array]]


def _propagated(table: Any, at: Array, axes: Sequence[int]) -> Streams:
    """u with its first and second derivatives along some axes, from update to update.

    Every derivative is an array of its own: many points are then the innermost axis of all of
    them, which a compiler vectorises. A table of NumPy is known beforehand: its updates are written
    out, each with its own elementary function.
    """
    known = isinstance(table, np.ndarray)

    def step(u: Streams, update: Any) -> tuple[Streams, None]:
        (rule, psi, c, f, e), a = update[:5], update[5:]
        rule, psi = rule.astype(np.int32), psi.astype(np.int32)
        composed = rule == 3
        z = jnp.where(composed, a[0] * u[0], a @ at) + c
        value, first, second = ELEMENTARY[psi](z) if known else jax.lax.switch(psi, ELEMENTARY, z)
        t = f * value + e

        def chosen(*four: Array) -> Array:
            return four[rule] if known else jax.lax.select_n(rule, *four)

        slopes, seconds = [], []
        for axis, u_k, u_kk in zip(axes, u[1], u[2], strict=True):
            z_k = jnp.where(composed, a[0] * u_k, a[axis])
            z_kk = jnp.where(composed, a[0] * u_kk, 0.0)
            t_k, t_kk = f * first * z_k, f * (second * z_k * z_k + first * z_kk)
            slopes.append(chosen(u_k, u_k + t_k, u_k * t + u[0] * t_k, t_k))
            twice = u_kk * t + 2 * u_k * t_k + u[0] * t_kk
            seconds.append(chosen(u_kk, u_kk + t_kk, twice, t_kk))
        return (chosen(u[0], u[0] + t, u[0] * t, t), slopes, seconds), None

    zero = jnp.zeros((), at.dtype)
    u: Streams = zero, [zero for _ in axes], [zero for _ in axes]
    if known:
        for update in table.astype(at.dtype):
            u, _ = step(u, update)
        return u
    return jax.lax.scan(step, u, table.astype(at.dtype))[0]


class Pool(eqx.Module):
    """Compositions that were accepted.

    Args:
        tables: ``(count, updates, 5 + d)``, as `composition` reads them.
        acceptance: Which part of all tables that were drawn was accepted, from 0 to 1.
    """

    tables: Float[Any, "count updates _"]
    acceptance: float = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "updates _"]:
        """One of the tables.

        Args:
            key: Determines which.
        """
        tables = jnp.asarray(self.tables)
        return tables[jax.random.randint(key, (), 0, tables.shape[0])]


class RandomCompositions(eqx.Module):
    """Random smooth functions of d coordinates of [-1, 1]^d: compositions of 6 to 10 updates.

    An update adds a term ``f ψ(a · x + c) + e``, multiplies by it, or composes; its rule and ψ are
    uniform among three and six, each component of a is 0 with probability 1/2 and else uniform up
    to ``frequency``, and c, f, e are uniform from -2π to 2π. Bischof et al. (arXiv 2509.05117)
    describe two variants: in the paper u becomes f ψ(a u + c) + e; in the released code, f ψ(u) + e
    with f = 1 and e = 0 in the last update, whatever its rule.

    A function is accepted where, on a grid of 2304 points, it is at most ``largest`` in magnitude,
    its slopes are at most ``steepest`` and its second derivatives at most ``roughest``, and where
    its standard deviation is at least ``spread``. The source allows slopes of 10⁴, but fluxes of
    100, which are slopes; here slopes are at most 100 everywhere.

    Args:
        frequency: The largest component of a, > 0.
        variant: "released" or "paper".
        largest: > 0.
        steepest: > 0.
        roughest: > 0.
        spread: >= 0.

    Raises:
        ValueError: For a setting outside of its range.
    """

    frequency: float = number(10.0, above=0, most=1000)
    variant: str = one_of("released", ("released", "paper"))
    largest: float = number(10.0, above=0)
    steepest: float = number(100.0, above=0)
    roughest: float = number(1e4, above=0)
    spread: float = number(0.1, least=0)

    def __check_init__(self):
        check_settings(self)

    def sample(self, key: PRNGKeyArray, dimensions: int = 2) -> Float[Array, "updates _"]:
        """A table, accepted or not.

        Args:
            key: Determines the table.
            dimensions: d, the number of coordinates.
        """
        # One draw for all numbers compiles in a fraction of the time of one for each.
        uniform = jax.random.uniform(key, (LONGEST * (5 + 2 * dimensions) + 1,))
        count = SHORTEST + jnp.floor((LONGEST + 1 - SHORTEST) * uniform[-1])
        rule, psi, c, f, e, *others = uniform[:-1].reshape(-1, LONGEST)
        rule = 1 + jnp.floor(3 * rule)
        c, f, e = (2 * jnp.pi * (2 * part - 1) for part in (c, f, e))
        a, present = jnp.split(jnp.stack(others), 2)
        a = jnp.where(present < 0.5, 0.0, self.frequency * (2 * a - 1))
        number = jnp.arange(LONGEST)
        if self.variant == "released":
            last, composed = number + 1 == count, rule == 3
            f, e = jnp.where(last, 1.0, f), jnp.where(last, 0.0, e)
            c = jnp.where(composed, 0.0, c)
            a = a.at[0].set(jnp.where(composed, 1.0, a[0]))
        rule = jnp.where(number < count, rule, 0.0)
        return jnp.stack([rule, jnp.floor(6 * psi), c, f, e, *a], 1)

    def pool(self, key: PRNGKeyArray, count: int, dimensions: int = 2) -> Pool:
        """Tables that are accepted, as many as are asked for; called outside of `jax.jit`.

        Args:
            key: Determines the tables.
            count: How many, from 1 to a million.
            dimensions: d, from 1 to 6.

        Raises:
            ValueError: For a count or number of coordinates out of its range, and where fewer than
                one table in 1000 is accepted.
        """
        _Sizes(count, dimensions)
        found: list[np.ndarray] = []
        accepted = tried = 0
        while accepted < count:
            tables, good = _tried(self, jax.random.fold_in(key, tried // CHUNK), dimensions)
            found.append(np.asarray(tables)[np.asarray(good)])
            accepted, tried = accepted + len(found[-1]), tried + CHUNK
            if tried >= 4096 and accepted < tried / 1000:
                raise ValueError(
                    f"RandomCompositions: {accepted} of {tried} functions were accepted by "
                    f"largest = {self.largest:g}, steepest = {self.steepest:g}, roughest = "
                    f"{self.roughest:g}, spread = {self.spread:g}; widen them"
                )
        return Pool(np.concatenate(found)[:count], accepted / tried)


class _Sizes(eqx.Module):
    """The checked arguments of a pool."""

    count: int = whole()
    dimensions: int = whole(most=6)

    def __check_init__(self):
        check_settings(self)


@eqx.filter_jit
def _tried(
    random: RandomCompositions, key: PRNGKeyArray, dimensions: int
) -> tuple[Float[Array, "chunk updates _"], Array]:
    """A chunk of tables, and which of them are accepted."""
    line = jnp.linspace(-1, 1, round(GRID ** (1 / dimensions)))
    points = jnp.stack(jnp.meshgrid(*[line] * dimensions), -1).reshape(-1, dimensions)

    def one(key: PRNGKeyArray) -> tuple[Array, Array]:
        table = random.sample(key, dimensions)
        streams = jax.vmap(composition_streams, (None, 0))(table, points)
        worst = jnp.max(jnp.abs(streams), 0)
        d = dimensions
        good = (worst[0] <= random.largest) & jnp.all(worst[1 : 1 + d] <= random.steepest)
        good &= jnp.all(worst[1 + d :] <= random.roughest)
        return table, good & (jnp.std(streams[:, 0]) >= random.spread)

    return jax.vmap(one)(jax.random.split(key, CHUNK))


SMOOTH = RandomCompositions(frequency=3.0, steepest=30.0, roughest=300.0)


def manufactured(
    key: PRNGKeyArray,
    random: RandomCompositions = SMOOTH,
    /,
    **bounds: tuple[float, float],
) -> Callable[..., Any]:
    """A random smooth function of named coordinates, the exact solution of a test problem.

    Args:
        key: Determines the function.
        random: What kind of functions, such as ``RandomCompositions(frequency=10)``.
        bounds: The lower and upper bound of each coordinate; on this box the function is as
            ``random`` says on [-1, 1]^d. The default is that square, of x and y.

    Returns:
        A function of the coordinates, numbers or arrays of one shape, which JAX differentiates.

    Raises:
        ValueError: For bounds that are not a pair of numbers in rising order, for more than six
            coordinates, and where hardly any function is as ``random`` asks.

    Example:
        >>> u = po.functions.manufactured(jax.random.key(0), x=(0, 1), t=(0, 1))
        >>> heat = po.manufacture(po.load_problem("heat"), u)
        >>> float(heat.exact(x=0.5, t=0.5)) == float(heat.exact(0.5, 0.5))
        True
    """
    bounds = bounds or {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
    for name, ends in bounds.items():
        pair = np.asarray(ends, np.float64)
        if pair.shape != (2,) or not np.all(np.isfinite(pair)) or pair[0] >= pair[1]:
            raise ValueError(
                f"manufactured: {name} must be a pair of numbers (low, high), got {ends!r}"
            )
    low, high = np.array(list(bounds.values()), np.float64).T
    table = np.asarray(random.pool(key, 1, len(bounds)).tables[0], np.float64)

    def value(at: Array) -> Array:
        dtype = at.dtype
        return composition(
            table, (2 * at - (low + high).astype(dtype)) / (high - low).astype(dtype)
        )

    signature = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in bounds]
    )

    def function(*arguments: Any, **named: Any) -> Array:
        given = signature.bind(*arguments, **named).arguments
        arrays = [jnp.asarray(given[name], jnp.result_type(float)) for name in bounds]
        at = jnp.stack(jnp.broadcast_arrays(*arrays), -1)
        return jnp.vectorize(value, signature="(d)->()")(at)

    function.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return function
