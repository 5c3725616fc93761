"""Refinement: a hypernetwork solves the problem of its own residual, round after round.

The equation and its conditions are linear, so that what an answer leaves is a problem of the same
kind: the same operator on the same domain, with the residuals as source, values and fluxes. The
answer to it is added (Bischof et al. 2025, arXiv:2509.05117, section 3.3).

Two things are better than that. Problems are divided by the size of their data, so that a residual
is as well solved as the first problem. And the last layers of all networks are fitted: the sum of
the networks is linear in them, and so is its residual, of which they minimise a measure, which
therefore never grows. The measure is about a mean square error: boundary values and fluxes as they
are, and of the equation the error that causes its residual, which is estimated in waves, each
divided by what the operator makes of it.
"""

from dataclasses import dataclass, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.networks import GatedFourierNetwork, Superposition
from pinops.problem import LinearSamples, pixels
from pinops.settings import reused
from pinops.training import HypernetworkModel, Params, divided, sizes_of, streams

# What a flux, and the error of a source, count beside a boundary value: the median error on
# manufactured problems is smallest there, and flat.
_FLUX, _SOURCE = 0.1, 2.0
_CHUNK = 16  # problems whose features are in memory at once
_RANK = 1e-10  # least eigenvalue of the normal equations that counts, relative to the largest


@dataclass(frozen=True)
class Refined:
    """Answers to a batch of problems.

    Attributes:
        networks: An array for each member m and problem b, ``(m, b, ...)``; the answer is the sum
            over members.
        measures: ``(rounds + 1, b)``: of the residual after each round, about a mean square error.
    """

    networks: GatedFourierNetwork
    measures: Float[np.ndarray, "r b"]

    def solution(self, number: int) -> Superposition:
        """The network of one problem."""
        return Superposition(jax.tree.map(lambda leaf: leaf[:, number], self.networks))

    def values(self, points: Float[Array, "b n 2"]) -> Float[np.ndarray, "b n"]:
        """The answers at points of each problem."""
        return np.asarray(_values(self.networks, points))


@reused
def _values(networks: GatedFourierNetwork, points: Float[Array, "b n 2"]) -> Float[Array, "b n"]:
    """Member by member, since together they would take the memory of all."""

    def added(total: Array, member: GatedFourierNetwork) -> tuple[Array, None]:
        return total + jax.vmap(lambda net, at: streams(net, at, ((),))[:, 0])(member, points), None

    return jax.lax.scan(added, jnp.zeros(points.shape[:2], points.dtype), networks)[0]


def refined(
    model: HypernetworkModel,
    params: Params,
    samples: LinearSamples,
    rounds: int,
    *,
    fitted: bool = True,
    scaled: bool = True,
) -> Refined:
    """The answers of a hypernetwork after some rounds.

    Args:
        model: Of the hypernetwork.
        params: Its parameters.
        samples: A batch of problems.
        rounds: 0: what it answers at once.
        fitted: Whether the last layers of all networks minimise the measure.
        scaled: Whether each problem is divided by the size of its data.
    """
    count = len(samples.coefficients)
    parts = []
    for start in range(0, count, _CHUNK):
        # The last problems are repeated, so that there is one program.
        rows = np.minimum(np.arange(start, start + min(_CHUNK, count)), count - 1)
        some = jax.tree.map(lambda leaf, rows=rows: leaf[rows], samples)
        part = _refined(model, params, some, rounds, fitted=fitted, scaled=scaled)
        kept = min(_CHUNK, count - start)
        networks = jax.tree.map(lambda leaf, kept=kept: leaf[:, :kept], part.networks)
        parts.append(Refined(networks, part.measures[:, :kept]))
    networks = jax.tree.map(
        lambda *leaves: jnp.concatenate(leaves, 1), *(part.networks for part in parts)
    )
    return Refined(networks, np.concatenate([part.measures for part in parts], 1))


def _refined(
    model: HypernetworkModel,
    params: Params,
    samples: LinearSamples,
    rounds: int,
    *,
    fitted: bool,
    scaled: bool,
) -> Refined:
    """`refined` for problems that are in memory at once."""
    data = np.asarray(samples.images[..., 2:], np.float64)
    data[..., 2] *= np.asarray(samples.inside)
    target = _measured(samples, data[..., None])[..., 0]
    layers = np.zeros((len(data), 0))
    networks, images, columns, measures = [], [], [], []
    left = samples
    for _ in range(rounds + 1):
        network, image, own = _round(model, params, left, scaled)
        networks.append(network)
        images.append(np.asarray(image, np.float64))
        columns.append(_measured(samples, images[-1]))
        first = layers.shape[1] == 0
        more = np.asarray(own) if first or not fitted else np.zeros(own.shape)
        layers = np.concatenate([layers, more], 1)
        if fitted:
            layers = _fitted(np.concatenate(columns, 2), target, layers)
        remains = data - np.einsum("bijcf,bf->bijc", np.concatenate(images, 4), layers)
        measures.append(np.sum(_measured(samples, remains[..., None]) ** 2, (1, 2)))
        shown = [samples.images[..., :2], jnp.asarray(remains, left.images.dtype)]
        left = replace(left, images=jnp.concatenate(shown, -1))
    parts = np.split(layers, rounds + 1, 1)
    whole = [_with_last(*pair) for pair in zip(networks, parts, strict=True)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *whole)
    return Refined(stacked, np.stack(measures))


def _with_last(
    network: GatedFourierNetwork, layer: Float[np.ndarray, "b f"]
) -> GatedFourierNetwork:
    """The networks of some problems with other last layers, matrix and then bias."""
    given = jnp.asarray(layer, network.biases[-1].dtype)
    return replace(
        network,
        weights=[*network.weights[:-1], given[:, :-1, None]],
        biases=[*network.biases[:-1], given[:, -1:]],
    )


@reused
def _round(
    model: HypernetworkModel, params: Params, samples: LinearSamples, scaled: bool
) -> tuple[GatedFourierNetwork, Float[Array, "b N N 3 f"], Float[Array, "b f"]]:
    """The networks of some problems; what each unit of their last hidden layers, and a constant,
    give in place of values, fluxes and source; and their own last layers.
    """
    sizes = sizes_of(samples) if scaled else jnp.ones(len(samples.coefficients))
    networks = model.networks(params, divided(samples, sizes))
    own = jnp.concatenate([networks.weights[-1][..., 0], networks.biases[-1]], 1) * sizes[:, None]
    count, width = samples.size, networks.weights[-1].shape[1]
    grid = jnp.asarray(pixels(count).reshape(-1, 2), samples.images.dtype)
    units = jnp.eye(width, width + 1, dtype=grid.dtype)
    constant = jnp.eye(width + 1, dtype=grid.dtype)[-1]

    def of(network: GatedFourierNetwork, sample: LinearSamples) -> Array:
        # A network whose outputs are the units and 1.
        last = {
            "weights": [*network.weights[:-1], units],
            "biases": [*network.biases[:-1], constant],
        }
        basis = replace(network, **last)
        feet = sample.nearest.reshape(-1, 2)
        wall = streams(basis, feet, ((), (0,), (1,))).reshape(count**2, 3, -1)
        normals = sample.nearest_normals.reshape(-1, 2)
        flux = jnp.einsum("ndf,nd->nf", wall[:, 1:], normals)
        inside = streams(basis, grid).reshape(count**2, 5, -1)
        source = jnp.einsum("nkf,k->nf", inside, sample.coefficients)
        masks = jnp.concatenate([sample.images[..., :2], sample.inside[..., None]], -1)
        found = jnp.stack([wall[:, 0], flux, source], 1).reshape(count, count, 3, -1)
        return found * masks[..., None]

    return networks, jax.lax.map(lambda pair: of(*pair), (networks, samples)), own


def _measured(
    samples: LinearSamples, images: Float[np.ndarray, "b N N 3 f"]
) -> Float[np.ndarray, "b n f"]:
    """Vectors whose squared length is the measure of residuals."""
    masks = np.asarray(samples.images[..., :2], np.float64)
    counts = np.maximum(masks.sum((1, 2)), 1.0)
    wall = images[..., :2, :].reshape(len(images), -1, 2, images.shape[-1])
    wall = wall / np.sqrt(counts)[:, None, :, None]
    area = np.maximum(np.asarray(samples.inside, np.float64).sum((1, 2)), 1.0)
    error = _error_of(np.asarray(samples.coefficients, np.float64), images[..., 2, :])
    error = _SOURCE * error / np.sqrt(area)[:, None, None]
    parts = [wall[:, :, 0], _FLUX * wall[:, :, 1], error]
    return np.concatenate(parts, 1)


def _error_of(
    coefficients: Float[np.ndarray, "b 5"], residuals: Float[np.ndarray, "b N N f"]
) -> Float[np.ndarray, "b n f"]:
    """The sine waves of a residual, each divided by the size of what the operator makes of it."""
    sines = _sines(residuals.shape[1])
    waves = np.einsum("ki,bijf->bkjf", sines, residuals, optimize=True)
    waves = np.einsum("lj,bkjf->bklf", sines, waves, optimize=True)
    k = np.pi / 2 * np.arange(1, len(sines) + 1)
    of_y, of_x = np.meshgrid(k, k, indexing="ij")
    sizes = np.stack([np.ones_like(of_x), of_x, of_y, of_x**2, of_y**2])
    symbol = np.maximum(np.tensordot(np.abs(coefficients), sizes, 1), 1e-3)
    return (waves / symbol[..., None]).reshape(len(waves), -1, waves.shape[-1])


@cache
def _sines(size: int) -> Float[np.ndarray, "n N"]:
    """Waves that vanish on the walls of the square, orthonormal over the pixels."""
    k, i = np.arange(1, size - 1)[:, None], np.arange(size)[None]
    return np.sqrt(2 / (size - 1)) * np.sin(np.pi * k * i / (size - 1))


def _fitted(
    columns: Float[np.ndarray, "b n f"],
    target: Float[np.ndarray, "b n"],
    before: Float[np.ndarray, "b f"],
) -> Float[np.ndarray, "b f"]:
    """The coefficients that minimise the measure; those before where rounding lets it grow."""
    out = before.copy()
    for k, (matrix, wanted) in enumerate(zip(columns, target, strict=True)):
        # Of columns of one length: what hardly differs gets no large coefficients.
        lengths = np.maximum(np.linalg.norm(matrix, axis=0), np.finfo(np.float64).tiny)
        unit = matrix / lengths[None]
        values, vectors = np.linalg.eigh(unit.T @ unit)
        kept = values > _RANK * values[-1]
        basis = vectors[:, kept]
        found = basis @ ((basis.T @ (unit.T @ wanted)) / values[kept]) / lengths
        off, old = wanted - matrix @ found, wanted - matrix @ before[k]
        if off @ off <= old @ old:
            out[k] = found
    return out
