"""One training step for Burgers' equation: written by hand, and with `pinops.solve`.

The task: a network of four layers of tanh units, interior, initial and boundary points, one
full-batch step of Adam.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import pinops as po
from pinops.training import _train

CHUNK = 256


class Work(NamedTuple):
    """The size of a measurement."""

    interior: int = 8192
    condition: int = 256
    width: int = 64
    steps: int = 100


SMOKE = Work(interior=512, condition=16, width=4, steps=50)


class SoftBurgers(po.Problem):
    """Burgers' equation with every condition in the loss."""

    domain = po.Box(x=(-1, 1), t=(0, 1))
    viscosity: float = po.positive(0.01 / np.pi)

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self):
        start = po.Initial(lambda x: -jnp.sin(jnp.pi * x), soft=True)
        return start, po.Dirichlet(0.0, on="x", soft=True)


class HardBurgers(po.Problem):
    """The same equation with every condition built into the field."""

    domain = SoftBurgers.domain
    viscosity: float = po.positive(0.01 / np.pi)
    residual = SoftBurgers.residual

    def conditions(self):
        return po.Initial(lambda x: -jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x")


def drawn(work: Work, dtype: str) -> tuple[Any, ...]:
    """Layers, and points in the interior (in chunks), at the initial time and on the walls."""
    rng = np.random.default_rng(0)

    def uniform(number: int, low: tuple[int, int], high: tuple[int, int]) -> jax.Array:
        return jnp.asarray(rng.uniform(low, high, (number, 2)), dtype)

    inside = uniform(work.interior, (-1, 0), (1, 1)).reshape(-1, CHUNK, 2)
    start = uniform(work.condition, (-1, 0), (1, 0))
    sides = jnp.asarray(rng.choice([-1.0, 1.0], work.condition), dtype)
    walls = uniform(work.condition, (-1, 0), (1, 1)).at[:, 0].set(sides)
    sizes = (2, *[work.width] * 4, 1)
    layers = []
    for i, o in zip(sizes, sizes[1:], strict=False):
        weight = rng.standard_normal((i, o)) * np.sqrt(2 / (i + o))
        layers.append((jnp.asarray(weight, dtype), jnp.zeros(o, dtype)))
    return layers, inside, start, walls


def value(layers: Any, points: jax.Array) -> jax.Array:
    """The network."""
    for weight, bias in layers[:-1]:
        points = jnp.tanh(points @ weight + bias)
    return (points @ layers[-1][0] + layers[-1][1])[:, 0]


def residuals(layers: Any, points: jax.Array) -> jax.Array:
    """u, u_x, u_t and u_xx of all points go through each layer as one matrix product."""
    (weight, bias), *rest = layers
    z, z_x, z_t, z_xx = points @ weight + bias, weight[:1], weight[1:], jnp.zeros_like(weight[:1])
    for weight, bias in rest:
        a = jnp.tanh(z)
        d = 1 - a * a
        a_x = d * z_x
        streams = jnp.concatenate([a, a_x, d * z_t, d * z_xx - 2 * a * a_x * z_x]) @ weight
        z, z_x, z_t, z_xx = jnp.split(streams, 4)
        z = z + bias
    return z_t + z * z_x - 0.01 / np.pi * z_xx


def by_hand(work: Work, dtype: str) -> tuple[Callable[[], float], int]:
    """A function that times a step written by hand, in ms, and the bytes of its program."""
    optimizer = optax.adam(1e-3)

    def measured() -> tuple[Any, Any]:
        layers, inside, start, walls = drawn(work, dtype)

        def interior(layers, points):
            return jnp.sum(jnp.square(residuals(layers, points))) / work.interior

        def conditions(layers):
            gap = value(layers, start) + jnp.sin(jnp.pi * start[:, 0])
            return 1000 * (jnp.mean(jnp.square(gap)) + jnp.mean(jnp.square(value(layers, walls))))

        def step(carry, _):
            layers, state = carry

            def add(total, points):
                one = jax.value_and_grad(interior)(layers, points)
                return jax.tree.map(jnp.add, total, one), None

            (_, gradient), _ = jax.lax.scan(add, jax.value_and_grad(conditions)(layers), inside)
            updates, state = optimizer.update(gradient, state, layers)
            return (optax.apply_updates(layers, updates), state), None

        def steps(carry):
            return jax.lax.scan(step, carry, length=work.steps)[0]

        carry = (layers, optimizer.init(layers))
        program = jax.jit(steps).lower(carry).compile()
        return program, jax.block_until_ready(program(carry))

    with jax.enable_x64(dtype == "float64"):
        program, carry = measured()

    def run() -> float:
        with jax.enable_x64(dtype == "float64"):
            began = time.perf_counter()
            jax.block_until_ready(program(carry))
            return 1e3 * (time.perf_counter() - began) / work.steps

    return run, _bytes(program)


def _bytes(program: jax.stages.Compiled) -> int:
    """The memory of a program without its code: arguments, results and temporary arrays."""
    needs = program.memory_analysis()
    assert needs is not None
    own = needs.argument_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
    return own + needs.temp_size_in_bytes


def public(problem: po.Problem, work: Work, dtype: str) -> tuple[Callable[[], float], int]:
    """The same for `pinops.solve`: milliseconds between reports, and bytes of the program."""
    points = po.Collocation(
        interior=work.interior,
        boundary=work.condition,
        initial=work.condition,
        every=0,
        refinement=None,
    )

    def run() -> float:
        solution = po.solve(
            problem,
            network=po.networks.MLP(width=work.width, depth=4),
            optimizer=optax.adam(1e-3),
            points=points,
            steps=work.steps + 50,
            dtype=dtype,
            progress=False,
        )
        first, last = solution.history[0], solution.history[-1]
        return 1e3 * (last.seconds - first.seconds) / (last.step - first.step)

    whole: Any = _train.stretch
    asked: list[Any] = []

    def overheard(*inputs):
        asked[:] = inputs
        return whole(*inputs)

    _train.stretch = overheard
    try:
        run()
    finally:
        _train.stretch = whole
    with jax.enable_x64(dtype == "float64"):
        # Its memory is asked of the function itself: what trains is compiled when it is called.
        same: Any = eqx.filter_jit(inspect.unwrap(whole))
        program = same.lower(*asked).compile().compiled
    return run, _bytes(program)
