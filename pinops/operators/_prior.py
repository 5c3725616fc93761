"""Randomised priors of operators, maps and surrogates (see `pinops.networks.RandomisedPrior`).

A prior is made as large as the targets are: networks give numbers of about 1, and its outputs for
typical inputs, drawn at random, tell by what it is divided. So no data are needed, and a run that
is loaded has the same prior.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from pinops.derivatives import Plan
from pinops.networks import Frozen, JetNetwork, Prior, RandomisedPrior, is_plain
from pinops.operators._morphed_grid import MorphedGridNetwork
from pinops.operators._operator import Numbers, Operator
from pinops.operators._points import Graph, Links, PointNetwork
from pinops.operators._surrogate import (
    DirectSurrogate,
    GridNetwork,
    Known,
    Parameters,
    States,
    Surrogate,
)
from pinops.problem import Inputs, Sensors

_POINTS = 1024  # of the features of one network
_SAMPLES, _FEATURES = 32, 64  # of an operator: inputs, and points for each
_MOST = 2**17  # grid points of all typical fields together
_CLOUD = 128  # points of a typical cloud
_WAVES = 3  # along each axis of a typical field


class PriorOperator(Operator):
    """An operator plus a prior: its network is the sum of theirs.

    Attributes:
        operator: What is trained.
        prior: A `Prior`, which is not.
    """

    operator: Operator
    prior: Frozen

    @property
    def plain(self) -> bool:
        """Whether its operator sees each coordinate as it is."""
        return is_plain(self.operator)

    def __call__(self, inputs: Inputs) -> RandomisedPrior:
        prior: Prior = self.prior.tree
        given = replace(prior, network=prior.network(inputs))
        return RandomisedPrior(self.operator(inputs), Frozen(given))


class PriorGridNetwork(GridNetwork):
    """A network on grids plus a prior.

    Attributes:
        network: What is trained.
        prior: A `Prior`, which is not.
    """

    network: GridNetwork
    prior: Frozen

    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        prior: Prior = self.prior.tree
        return self.network(states) + prior.scaled(prior.network(states))


class PriorSurrogate(Surrogate):
    """A surrogate plus a prior of its next state; the embedding has none.

    Attributes:
        surrogate: What is trained.
        prior: A `Prior`, which is not.
    """

    surrogate: Surrogate
    prior: Frozen

    def advanced(self, known: Known, parameters: Parameters) -> tuple[States, States | None]:
        prior: Prior = self.prior.tree
        states, guess = self.surrogate.advanced(known, parameters)
        return states + prior.scaled(prior.network(known, parameters)), guess


class PriorPointNetwork(PointNetwork):
    """A network on points plus a prior.

    Attributes:
        network: What is trained.
        prior: A `Prior`, which is not.
    """

    network: PointNetwork
    prior: Frozen

    def __call__(
        self,
        points: Float[Array, "m d"],
        features: Float[Array, "m i"],
        present: Bool[Array, " m"],
        links: Links | None = None,
    ) -> Float[Array, "m o"]:
        prior: Prior = self.prior.tree
        given = prior.network(points, features, present, links)
        return self.network(points, features, present, links) + prior.scaled(given)


def with_prior(
    network: Any, prior: Any, size: Array | float, given: tuple[Any, ...], key: PRNGKeyArray
) -> Any:
    """A network plus a prior whose outputs for typical inputs have a given deviation.

    Args:
        network: What will be trained: a network of the coordinates or on grids, an operator, a
            surrogate or a network on points.
        prior: The same, drawn with another key.
        size: The standard deviation of what is added, in units of the target's.
        given: What the architecture's ``build`` was given, but for the key.
        key: Of the typical inputs.

    Raises:
        ValueError: For a network of another kind.
    """
    if isinstance(network, DirectSurrogate):  # which may give the change of the state
        unknowns, parameters, grid, context = given
        channels = context + unknowns + parameters * network.conditional
        inner = with_prior(network.network, prior.network, size, (channels, unknowns, grid), key)
        return replace(network, network=inner)
    if isinstance(network, MorphedGridNetwork):
        features, unknowns, dimension = given
        channels = (dimension + features, unknowns, network.grid)
        inner = with_prior(network.network, prior.network, size, channels, key)
        return replace(network, network=inner)
    kinds: dict[type, Any] = {
        JetNetwork: (RandomisedPrior, _of_points),
        Operator: (PriorOperator, _of_inputs),
        GridNetwork: (PriorGridNetwork, _of_fields),
        Surrogate: (PriorSurrogate, _of_states),
        PointNetwork: (PriorPointNetwork, _of_clouds),
    }
    found = next((pair for kind, pair in kinds.items() if isinstance(network, kind)), None)
    if found is None:
        raise ValueError(
            "uncertain needs a network of pinops, which carries its derivatives, such as MLP(30); "
            f"got one that builds a {type(network).__name__}"
        )
    kind, typical = found
    outputs = typical(prior, given, key)
    outputs = outputs.reshape(-1, outputs.shape[-1])
    deviation = jnp.std(outputs, 0)
    # One that is 0 everywhere as it is drawn stays so.
    factor = jnp.where(deviation > 0, size / jnp.where(deviation > 0, deviation, 1.0), 0.0)
    return kind(network, Frozen(Prior(prior, jnp.mean(outputs, 0), factor)))


def _of_points(network: JetNetwork, given: tuple[Any, ...], key: PRNGKeyArray) -> Array:
    """Features lie in (-1, 1)."""
    features = jax.random.uniform(key, (_POINTS, given[0]), minval=-1.0)
    return jnp.asarray(network.jet({(): features}, Plan())[()])


def _of_inputs(operator: Operator, given: tuple[Any, ...], key: PRNGKeyArray) -> Array:
    """Inputs of the means and deviations that the operator was built for."""
    centre, deviation, features, _ = given
    keys = jax.random.split(key, _SAMPLES)

    def one(key: PRNGKeyArray) -> Array:
        first, second = jax.random.split(key)
        network = operator(_typical_inputs(centre, deviation, first))
        at = jax.random.uniform(second, (_FEATURES, features), minval=-1.0)
        return jnp.asarray(network.jet({(): at}, Plan())[()])

    return jax.vmap(one)(keys)


def _typical_inputs(
    centre: Mapping[str, Numbers], deviation: Mapping[str, Numbers], key: PRNGKeyArray
) -> dict[str, Any]:
    """One sample of every input by name."""
    found: dict[str, Any] = {}
    for number, name in enumerate(sorted(centre)):
        own = jax.random.fold_in(key, number)
        mean, spread = centre[name], deviation[name]
        if isinstance(mean, Sensors) and isinstance(spread, Sensors):
            one, two = jax.random.split(own)
            at = mean.at + spread.at * jax.random.normal(one, (_SAMPLES, mean.at.shape[-1]))
            drawn = jax.random.normal(two, (_SAMPLES, mean.values.shape[-1]))
            found[name] = Sensors(at, mean.values + spread.values * drawn, jnp.ones(_SAMPLES))
        else:
            shape = np.shape(mean)
            field = _fields(own, 1, shape, 1)[0, ..., 0]
            found[name] = jnp.asarray(mean, field.dtype) + jnp.asarray(spread, field.dtype) * field
    return found


def _of_fields(network: GridNetwork, given: tuple[Any, ...], key: PRNGKeyArray) -> Array:
    channels, _, grid = given
    return network(_fields(key, _count(grid), grid, channels))


def _of_states(surrogate: Surrogate, given: tuple[Any, ...], key: PRNGKeyArray) -> Array:
    unknowns, parameters, grid, context = given
    first, second = jax.random.split(key)
    known = _fields(first, _count(grid), grid, context + unknowns)
    return surrogate(known, jax.random.normal(second, (len(known), parameters)))


def _of_clouds(network: PointNetwork, given: tuple[Any, ...], key: PRNGKeyArray) -> Array:
    features, _, dimension = given
    ring = np.arange(_CLOUD)
    graph = Graph.of(np.stack([ring, np.roll(ring, 1)], 1), _CLOUD)

    def one(key: PRNGKeyArray) -> Array:
        first, second, third = jax.random.split(key, 3)
        points = jax.random.uniform(first, (_CLOUD, dimension), minval=-1.0)
        # Half the same everywhere, half a wave in a random direction.
        alike = jax.random.normal(second, (features,)) * math.sqrt(0.5)
        slopes = jnp.pi * jax.random.normal(third, (dimension, features))
        seen = alike[None] + jnp.sin(points @ slopes)
        return network(points, seen, jnp.ones(_CLOUD, bool), graph)

    return jax.vmap(one)(jax.random.split(key, _SAMPLES))


def _count(grid: tuple[int, ...]) -> int:
    """How many typical fields there are on a grid."""
    return max(4, min(_SAMPLES, _MOST // math.prod(grid)))


def _fields(
    key: PRNGKeyArray, count: int, grid: tuple[int, ...], channels: int
) -> Float[Array, "n *grid c"]:
    """Smooth random fields of mean 0 and deviation 1: a constant, and waves along each axis."""
    constant, waves = jax.random.split(key)
    ones = (1,) * len(grid)
    level = jax.random.normal(constant, (count, *ones, channels))
    total = jnp.broadcast_to(level, (count, *grid, channels))
    for axis, points in enumerate(grid):
        line = jnp.linspace(0.0, 1.0, points).reshape(ones[:axis] + (points,) + ones[axis:])
        for k in range(1, _WAVES + 1):
            one, two = jax.random.split(jax.random.fold_in(waves, _WAVES * axis + k))
            shape = (count, *ones, channels)
            phase = 2 * jnp.pi * jax.random.uniform(one, shape)
            size = jax.random.normal(two, shape) * math.sqrt(2 / (_WAVES * len(grid)))
            angle = 2 * jnp.pi * k * jnp.broadcast_to(line[None], total.shape)
            wave = jnp.cos(angle + jnp.broadcast_to(phase, total.shape))
            total = total + jnp.broadcast_to(size, total.shape) * wave
    return total / math.sqrt(2.0 if grid else 1.0)
