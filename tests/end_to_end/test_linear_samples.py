"""Random linear problems and their solutions: derivatives, acceptance, geometry, images."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import Plan, nested
from pinops.functions import RandomCompositions, composition, composition_streams
from pinops.problem import LinearSamples, RandomLinearProblems, encoded, pixels

FIVE = [(), (0,), (1,), (0, 0), (1, 1)]


@pytest.fixture(scope="module")
def pool():
    return RandomCompositions(frequency=6.0).pool(jax.random.key(0), 64)


@pytest.fixture(scope="module")
def draw(pool):
    """Problems for keys, with all shapes of holes, about half of them supervised."""
    problems = RandomLinearProblems(
        pool, points=64, boundary=64, holes=3, shapes=("disk", "rectangle", "triangle")
    )
    program = jax.jit(jax.vmap(problems.sample, (0, None)))
    return lambda keys: jax.tree.map(np.asarray, program(keys, 0.5))


KEYS = 64


@pytest.fixture(scope="module")
def samples(draw) -> LinearSamples:
    return draw(jax.random.split(jax.random.key(1), KEYS))


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_streams_of_compositions_are_exact(variant, float64):
    random = RandomCompositions(variant=variant)
    tables = jax.vmap(random.sample)(jax.random.split(jax.random.key(2), 40))
    at = jnp.asarray([[0.3, -0.4], [-0.9, 0.2]])

    def jet(table):
        streams = nested(lambda point: composition(table, point)[None], at, Plan(FIVE))
        return jnp.concatenate([streams[index] for index in FIVE], 1)

    exact = jax.jit(jax.vmap(jet))(tables)
    ours = jax.jit(jax.vmap(jax.vmap(composition_streams, (None, 0)), (0, None)))(tables, at)
    assert {1, 2, 3} <= set(np.asarray(tables[:, :, 0]).ravel().astype(int))
    np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("variant", "rate"), [("released", 0.23), ("paper", 0.10)])
def test_rates_of_acceptance(variant, rate):
    """Those that a separate program measured, of 1500 draws."""
    random = RandomCompositions(variant=variant, steepest=1e4)
    found = random.pool(jax.random.key(3), 150)
    assert found.tables.shape == (150, 10, 7)
    assert rate - 0.04 < found.acceptance < rate + 0.04


def test_a_pool_that_hardly_accepts_anything_says_what_to_do():
    with pytest.raises(ValueError, match="of 4096 functions were accepted by largest = 1e-08"):
        RandomCompositions(largest=1e-8, spread=1e-7).pool(jax.random.key(0), 1)


def test_operators_have_the_shares_of_their_types(pool):
    problems = RandomLinearProblems(pool, shares=(40, 30, 20, 10))
    keys = jax.random.split(jax.random.key(0), 4000)
    c = np.asarray(jax.jit(jax.vmap(problems._operator))(keys))
    assert np.abs(c).max() <= 2
    product = c[:, 3] * c[:, 4]
    assert abs(np.mean(product > 0) - 0.4) < 0.03
    assert abs(np.mean(product < 0) - 0.2) < 0.03
    forward = (product == 0) & (c[:, 2] * c[:, 3] < 0)
    assert 0.27 < np.mean(forward) < 0.33 + 0.05  # some of the others are parabolic by chance
    terms = np.sum(c != 0, 1)
    assert terms.min() == 1 and terms.max() == 3
    free = np.asarray(jax.jit(jax.vmap(RandomLinearProblems(pool, shares=None)._operator))(keys))
    # One of three numbers of terms each; a pair has 1 of 10, three have 3 of 10 pairs.
    assert abs(np.mean(free[:, 3] * free[:, 4] != 0) - (0.1 + 0.3) / 3) < 0.02


def test_the_exact_solution_leaves_no_residual(samples):
    known = samples.known
    assert 15 < known.sum() < 49
    residual = np.einsum("bni,bi->bn", samples.streams, samples.coefficients) - samples.source
    scale = 1 + np.abs(samples.source).max(1)
    assert np.abs(residual[known]).max(1) @ (1 / scale[known]) < 1e-4
    assert not samples.streams[~known].any()
    # A constant source, the same on the grid and at the points.
    np.testing.assert_array_equal(np.ptp(samples.source[~known], axis=1), 0)
    np.testing.assert_allclose(samples.images[~known, 0, 0, 4], samples.source[~known, 0])


def test_boundary_data_are_those_of_one_function(samples, pool):
    """Values at boundary points, and at the points that pixels show, agree with the solution."""
    tables = np.asarray(pool.tables)
    for k in np.flatnonzero(samples.known)[:6]:
        grid = pixels(samples.size).reshape(-1, 2)
        # Which solution it is, the sample does not say: the one that fits its streams.
        at = jnp.asarray(samples.points[k])
        all_streams = jax.vmap(jax.vmap(composition_streams, (None, 0)), (0, None))(tables, at)
        misfit = np.abs(np.asarray(all_streams)[:, :, 0] - samples.streams[k, :, 0]).max(1)
        table = tables[misfit.argmin()]
        at = np.concatenate([samples.boundary[k], samples.nearest[k].reshape(-1, 2)])
        streams = np.asarray(jax.vmap(composition_streams, (None, 0))(table, jnp.asarray(at)))
        normals = np.concatenate([samples.normals[k], samples.nearest_normals[k].reshape(-1, 2)])
        image = samples.images[k].reshape(-1, 5)
        dirichlet = np.concatenate([samples.dirichlet[k], image[:, 0] > 0])
        neumann = np.concatenate([samples.neumann[k], image[:, 1] > 0])
        g = np.concatenate([samples.values[k], image[:, 2]])
        h = np.concatenate([samples.fluxes[k], image[:, 3]])
        np.testing.assert_allclose(g, np.where(dirichlet, streams[:, 0], 0), atol=1e-4)
        slope = np.sum(streams[:, 1:3] * normals, 1)
        np.testing.assert_allclose(h, np.where(neumann, slope, 0), atol=1e-4 * 100)
        source = jax.vmap(composition_streams, (None, 0))(table, jnp.asarray(grid, jnp.float32))
        f = np.asarray(source) @ samples.coefficients[k]
        np.testing.assert_allclose(image[:, 4], f, atol=1e-4 * np.abs(f).max())


def test_conventions_of_images(samples):
    """Row 0 is y = 1, column 0 is x = -1; problems in time have nothing at y = 1."""
    grid = pixels(3)
    np.testing.assert_array_equal(grid[0, 0], [-1, 1])
    np.testing.assert_array_equal(grid[2, 1], [0, -1])
    c = samples.coefficients
    steady = c[:, 3] * c[:, 4] > 0
    wave = c[:, 3] * c[:, 4] < 0
    top = samples.boundary[..., 1] > 1 - 1e-6
    assert (
        top[steady].any()
        and not (top[~steady] & (np.abs(samples.boundary[~steady, :, 0]) < 0.99)).any()
    )
    bottom = samples.boundary[..., 1] < -1 + 1e-6
    rate = bottom[wave] & samples.neumann[wave]
    assert rate.any()
    np.testing.assert_array_equal(samples.normals[wave][rate], np.tile([0.0, 1.0], (rate.sum(), 1)))
    # At the sides normals point out of the square.
    right = (samples.boundary[..., 0] > 1 - 1e-6) & ~bottom & ~top
    assert np.mean(samples.normals[right][:, 0] == 1) > 0.95  # the rest are corners of holes
    assert set(np.unique(samples.images[..., :2])) == {0.0, 1.0}


def test_points_of_holes(samples):
    """Normals of holes point into the domain, and points are inside of it."""
    inside = samples.inside > 0
    line = np.linspace(-1, 1, samples.size)
    for k in range(16):
        edge = np.abs(samples.boundary[k]).max(1) < 0.9
        # The pixel two pixels along the normal is inside, unless another hole begins there.
        ahead = samples.boundary[k][edge] + 0.13 * samples.normals[k][edge]
        behind = samples.boundary[k][edge] - 0.02 * samples.normals[k][edge]
        good = [
            inside[k, np.abs(line[::-1] - y).argmin(), np.abs(line - x).argmin()] for x, y in ahead
        ]
        assert not len(good) or np.mean(good) > 0.5
        assert np.all(np.abs(behind) < 1)
        np.testing.assert_allclose(np.linalg.norm(samples.normals[k], axis=1), 1, atol=1e-6)
    for k in range(64):
        rows = np.rint((1 - samples.points[k, :, 1]) / 2 * (samples.size - 1)).astype(int)
        columns = np.rint((1 + samples.points[k, :, 0]) / 2 * (samples.size - 1)).astype(int)
        assert np.mean(inside[k, rows, columns]) > 0.8


def test_masks_are_as_wide_as_asked(samples):
    """A pixel shows a condition where it is nearer to the boundary than 1.25 pixels."""
    shown = samples.images[..., 0] + samples.images[..., 1] > 0
    distance = np.linalg.norm(samples.nearest - pixels(samples.size), axis=-1)
    near = distance < 1.25 * 2 / (samples.size - 1)
    np.testing.assert_array_equal(shown, near)
    steady = samples.coefficients[:, 3] * samples.coefficients[:, 4] > 0
    line = shown[steady][:, 16]
    assert line[:, :2].mean() > 0.9 and line[:, -2:].mean() > 0.9


def test_data_without_a_solution_agree_with_their_operator(samples):
    """Where the operator has the term u, the data are 0."""
    with_u = ~samples.known & (samples.coefficients[:, 0] != 0)
    without = ~samples.known & ~with_u
    assert not samples.values[with_u].any() and not samples.images[with_u, ..., 2:4].any()
    assert samples.values[without].any() and np.abs(samples.values[without]).max() <= 10.001


def test_a_problem_depends_on_its_key_only(draw, samples):
    again = draw(jax.random.split(jax.random.key(1), KEYS)[::-1])
    for one, other in zip(jax.tree.leaves(samples), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other[::-1])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 4}, "size must be a whole number from 8"),
        ({"holes": 9}, "holes must be a whole number from 0 to 8"),
        ({"shapes": ("star",)}, "shapes must be a tuple with one of disk, rectangle, triangle"),
        ({"shares": (1.0, 2.0)}, "shares must be"),
        ({"shares": (0.0, 0.0, 0.0, 0.0)}, "shares must be four numbers"),
        ({"width": 0.0}, "width must be"),
    ],
)
def test_settings_out_of_their_range(options, sentence, pool):
    with pytest.raises(ValueError, match=sentence):
        RandomLinearProblems(pool, **options)


def test_a_pool_of_three_coordinates_is_refused():
    pool = po.functions.Pool(np.zeros((1, 10, 8)), 1.0)
    with pytest.raises(ValueError, match="pool must be of two coordinates"):
        RandomLinearProblems(pool)


def test_manufactured_functions():
    u = po.functions.manufactured(jax.random.key(1), x=(0, 2), t=(0, 1))
    assert list(inspect.signature(u).parameters) == ["x", "t"]
    assert u(0.3, 0.4) == u(t=0.4, x=0.3) != po.functions.manufactured(jax.random.key(2))(0.3, 0.4)
    assert u(np.linspace(0, 2, 5), 0.5).shape == (5,)
    # On its box it is as on the square: at most 10, and not constant.
    values = u(*np.meshgrid(np.linspace(0, 2, 48), np.linspace(0, 1, 48)))
    assert np.abs(values).max() <= 10.1 and np.std(values) >= 0.09
    with pytest.raises(ValueError, match="manufactured: x must be a pair of numbers"):
        po.functions.manufactured(jax.random.key(0), x=(1, 0))
    with pytest.raises(ValueError, match="dimensions must be a whole number from 1 to 6"):
        po.functions.manufactured(jax.random.key(0), **{f"x{k}": (0, 1) for k in range(7)})


class Transport(po.Problem):
    """a u_x + u_t - d u_xx + k u = 0."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    a: float = 0.5
    d: float = 0.3
    k: float = 1.0

    def residual(self, u, u_x, u_t, u_xx):
        return self.a * u_x + u_t - self.d * u_xx + self.k * u

    def conditions(self):
        # Soft, so that little has to be compiled.
        return (
            po.Initial(0.0, soft=True),
            po.Dirichlet(0.0, on="x_min", soft=True),
            po.Neumann(0.0, on="x_max", soft=True),
        )


class Screened(po.Problem):
    """-Δu + k u = 0 on a square without a disk."""

    domain = po.Box(x=(-1, 1), y=(-1, 1)) - po.Disk(x=0.2, y=0.1, radius=0.3)
    k: float = 2.0

    def residual(self, u, lap_u):
        return -lap_u + self.k * u

    def conditions(self):
        return (po.Dirichlet(0.0),)


@pytest.mark.parametrize("kind", [Transport, Screened])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_solution_is_that_of_the_problem(kind, seed):
    """Manufactured with it, and solved for it: the residual is round-off, the error gets small."""
    bounds = kind.domain.bounds
    problem = po.manufacture(kind(), po.functions.manufactured(jax.random.key(seed), **bounds))
    encoding = encoded(problem, size=16, points=32, boundary=32).samples
    scale = 1 + np.abs(encoding.source).max()
    misfit = encoding.streams @ encoding.coefficients - encoding.source
    assert bool(encoding.known) and np.abs(misfit).max() < 1e-12 * scale
    if seed == 0:
        solution = po.solve(
            problem,
            network=po.networks.MLP(16, 2),
            optimizer=po.optimizers.Adam(1e-2),
            points=po.Collocation(interior=128, boundary=64, initial=32),
            steps=500,
            progress=False,
        )
        assert solution.error()["u"]["mean"] < 0.5
