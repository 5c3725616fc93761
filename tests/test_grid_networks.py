"""Networks on grids: weights of low rank, modes by axis, grids of any size, bands."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pinops.operators import (
    CNO,
    FNO,
    SpectralConvolution,
    TuckerSpectralConvolution,
    UNet,
)
from pinops.operators._cno import _resampling
from pinops.operators._convolution import Convolution

KEY = jax.random.key(0)


def size(network):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array)))


@pytest.mark.parametrize("grid, modes", [((17,), (5,)), ((12, 10), (4, 3)), ((6, 8, 7), (2, 3, 4))])
def test_weights_of_low_rank_are_those_of_the_decomposition(grid, modes, float64):
    layer = TuckerSpectralConvolution.drawn(3, 4, modes, rank=0.5, key=KEY)
    letters = "abcdefgh"[: len(layer.factors)]
    parts = ",".join(upper + lower for upper, lower in zip(letters.upper(), letters, strict=True))
    weight = np.einsum(
        f"z{letters},{parts}->z{letters.upper()}", layer.core, *layer.factors
    ).reshape(2, -1, 3, 4)
    x = jax.random.normal(KEY, (*grid, 2, 3))
    dense = SpectralConvolution(jnp.asarray(weight), modes)
    low, full = (np.asarray(eqx.filter_jit(one)(x)) for one in (layer, dense))
    np.testing.assert_allclose(low, full, atol=1e-13)


@pytest.mark.parametrize("rank", [0.05, 0.3, 1.0])
def test_the_rank_is_the_share_of_the_weights_that_is_left(rank):
    dense = SpectralConvolution.drawn(16, 16, (8, 8), key=KEY)
    low = TuckerSpectralConvolution.drawn(16, 16, (8, 8), rank=rank, key=KEY)
    assert 0.7 * rank < size(low) / size(dense) <= rank
    # Both begin with weights of the same size.
    ratio = jnp.std(low.weight()) / jnp.sqrt(jnp.mean(jnp.square(dense.weight)))
    assert 0.6 < ratio < 1.6


def test_modes_of_each_axis_are_those_that_pass(float64):
    """A field of other wave numbers leaves a spectral convolution as zero."""
    layer = eqx.filter_jit(FNO(4, (3, 6), 1).build(4, 1, (16, 24), key=KEY).spectral[0])
    x, y = np.meshgrid(np.arange(16) / 16, np.arange(24) / 24, indexing="ij")

    def passes(k, m):
        wave = np.cos(2 * np.pi * (k * x + m * y))[..., None, None] * np.ones(4)
        return bool(np.abs(layer(jnp.asarray(wave))).max() > 1e-12)

    assert [passes(k, 1) for k in (2, 3, -3, -4)] == [True, False, True, False]
    assert [passes(1, m) for m in (4, 5, 6, 7)] == [True, True, False, False]


def test_modes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"FNO: modes=\(8, 4\) are for 2 axes, and the grid"):
        FNO(4, (8, 4)).build(1, 1, (32,), key=KEY)
    with pytest.raises(ValueError, match="8 points carry at most 5 modes, got 6"):
        FNO(4, (8, 6)).build(1, 1, (16, 8), key=KEY)
    with pytest.raises(ValueError, match="FNO: rank must be a finite number greater than"):
        FNO(rank=0.0)
    assert FNO(4, (8, 4)).modes == (8, 4)


@pytest.mark.parametrize("padding", ["circular", "zeros", "reflect"])
@pytest.mark.parametrize("grid", [(8,), (21,), (10, 17), (5, 6, 7)])
def test_a_u_net_works_on_any_grid(grid, padding):
    network = eqx.filter_eval_shape(lambda: UNet(2, padding).build(2, 1, grid, key=KEY))
    states = jax.ShapeDtypeStruct((3, *grid, 2), jnp.float32)
    out = eqx.filter_eval_shape(lambda network, states: network(states), network, states)
    assert out.shape == (3, *grid, 1)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_a_u_net_extends_a_grid_on_both_sides(padding, float64):
    """What it is on 10 points it is on the 16 (32) that it makes of them."""
    network = eqx.filter_jit(UNet(1, padding).build(1, 1, (10,), key=KEY))
    states = jax.random.normal(KEY, (2, 10, 1))
    more = 32 if padding == "reflect" else 16
    low = (more - 10) // 2
    mode = {"zeros": "constant", "reflect": "reflect"}[padding]
    wide = jnp.pad(states, [(0, 0), (low, more - 10 - low), (0, 0)], mode=mode)
    expected = network(wide)[:, low : low + 10]
    np.testing.assert_allclose(network(states), expected, atol=1e-13)


@pytest.mark.parametrize("n, m", [(8, 16), (9, 18), (12, 20), (7, 16), (16, 16)])
@pytest.mark.parametrize("periodic", [True, False])
def test_resampling_keeps_what_both_grids_carry(n, m, periodic):
    up, down = _resampling(n, m, periodic), _resampling(m, n, periodic)
    np.testing.assert_allclose(down @ up, np.eye(n), atol=1e-13)
    wave = (
        (lambda x: np.cos(2 * np.pi * 3 * x) + np.sin(2 * np.pi * 2 * x))
        if periodic
        else (lambda x: np.cos(np.pi * 5 * x) + np.cos(np.pi * x))
    )
    shift = 0.0 if periodic else 0.5
    here, there = ((np.arange(k) + shift) / k for k in (n, m))
    np.testing.assert_allclose(up @ wave(here), wave(there), atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("padding", ["circular", "zeros", "reflect"])
def test_both_ways_of_a_convolution_agree(axes, padding, float64):
    layer = Convolution.drawn(3, 4, 3, axes, padding, key=KEY)
    x = jax.random.normal(KEY, (2, *(5, 6, 4)[:axes], 3))
    np.testing.assert_allclose(layer(x), layer._by_xla(x), atol=1e-12)


def test_an_activation_of_a_convolutional_operator_makes_no_aliases(float64):
    """Its result is that on a much finer grid, as far as the coarse one carries that."""
    network = CNO(2, 1, 0).build(1, 1, (16,), key=KEY)
    x = np.arange(16) / 16
    wave = jnp.asarray(0.3 * np.cos(2 * np.pi * 3 * x))[None, :, None]
    out = network._activated(wave, (16,))
    much = _resampling(16, 256, True) @ np.asarray(wave[0, :, 0])
    gelu = np.asarray(jax.nn.gelu(jnp.asarray(much), approximate=False))
    expected = _resampling(256, 16, True) @ gelu
    plain = np.asarray(jax.nn.gelu(wave[0, :, 0], approximate=False))
    error = np.abs(out[0, :, 0] - expected).max()
    assert error < 1e-3 and np.abs(plain - expected).max() > 5 * error


@pytest.mark.parametrize(
    "grid, padding", [((17,), "circular"), ((10,), "zeros"), ((8, 9), "reflect")]
)
def test_a_convolutional_operator_is_the_same_on_a_finer_grid(grid, padding, float64):
    network = eqx.filter_jit(CNO(2, 1, 1, padding).build(1, 1, grid, key=KEY))
    periodic = padding == "circular"
    states = jax.random.normal(KEY, (2, *grid, 1))
    fine = states
    for axis, n in enumerate(grid, start=1):
        fine = np.moveaxis(
            np.tensordot(_resampling(n, 2 * n, periodic), fine, axes=(1, axis)), 0, axis
        )
    out = network(jnp.asarray(fine))
    assert out.shape == fine.shape
    for axis, n in enumerate(grid, start=1):
        out = np.moveaxis(
            np.tensordot(_resampling(2 * n, n, periodic), out, axes=(1, axis)), 0, axis
        )
    np.testing.assert_allclose(out, network(states), atol=1e-12)


def test_a_grid_that_is_too_small_for_the_levels_is_refused():
    with pytest.raises(ValueError, match=r"CNO: levels=3 need at least 16 points.*\(12,\)"):
        CNO().build(1, 1, (12,), key=KEY)
