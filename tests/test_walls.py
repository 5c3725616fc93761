"""Values on walls that are no faces of a box: met to rounding, smooth, refused with a reason."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import Plan
from pinops.geometry import stretch
from pinops.networks import MLP, embedding_of, field_of
from pinops.problem import Problem, impose, scales_of
from pinops.training import check_on_grid

DISK = po.Disk(x=0.5, y=-0.2, radius=0.7)
HOLE = po.Disk(x=0.5, y=0.4, radius=0.2, name="hole")
SQUARE = po.Box(x=(0, 1), y=(0, 1))
RING = po.Disk(x=0, y=0, radius=1, name="outer") - po.Disk(x=0, y=0.1, radius=0.4, name="inner")
PLATE = po.Polygon([(-1, 0), (-0.5, 0), (0.5, 0), (1, 0), (1, 1), (-1, 1)])
SIDES = ("x", "y")


def problem(domain, *conditions, unknowns=("u",), residual=None, **members) -> Problem:
    """A problem made in one line."""
    own = {"domain": domain, "unknowns": unknowns, "conditions": lambda self: conditions}
    own["residual"] = residual or (lambda self, lap_u: lap_u)
    return type("Mine", (po.Problem,), own | members)()


def cube(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(n * d).random((n, d))


def random_field(made: Problem):
    imposition = impose(made)
    size = embedding_of(made, imposition).size
    network = MLP(6, 1).build(size, len(made.unknowns), key=jax.random.key(3))
    return field_of(made, imposition, network, scales_of(made, imposition))


def wave(x, y):
    return jnp.sin(3 * x) + y**2


MET = {
    "disk": problem(DISK, po.Dirichlet(wave)),
    "ellipse": problem(po.Ellipse(x=0, y=1, radii=(2, 1)).rotated(0.3), po.Dirichlet(wave)),
    "ring": problem(RING, po.Dirichlet(1.0, on="inner"), po.Dirichlet(wave, on="outer")),
    "square with a hole": problem(
        SQUARE - HOLE, po.Dirichlet(wave, on="hole"), po.Dirichlet(2.0, on=SIDES)
    ),
    "two walls and a hole": problem(
        SQUARE - HOLE,
        po.Dirichlet(0.0, on="x_min"),
        po.Dirichlet(1.0, on="x_max"),
        po.Dirichlet(wave, on="hole"),
        po.Neumann(0.0, on="y"),
    ),
    "named box": problem(po.Box(x=(0, 1), y=(0, 2), name="wall"), po.Dirichlet(wave)),
    "lens": problem(DISK & po.Disk(x=0.9, y=0, radius=0.5), po.Dirichlet(0.0)),
    "triangle": problem(po.Polygon([(0, 0), (0, 2), (1, 0)]), po.Dirichlet(wave)),
    "ball": problem(po.Ball({"x": 0, "y": 0, "z": 1}, 0.5), po.Dirichlet(lambda z: z)),
    "rounded": problem(
        po.RoundedRectangle(x=(0, 2), y=(0, 1), radius=0.2), po.Dirichlet(1.0, on=("x_min", "y"))
    ),
    "heated piece": problem(PLATE, po.Dirichlet(1.0, on="edge_1")),
    "heated half": problem(
        po.Polygon([(0, 0), (0.5, 0), (1, 0), (1, 1), (0, 1)]).moved(x=2.0),
        po.Dirichlet(1.0, on=("edge_0", "edge_3")),
    ),
    "two heated pieces": problem(
        po.Polygon([(k / 5, 0) for k in range(6)] + [(1, 1), (0, 1)]),
        po.Dirichlet(1.0, on=("edge_0", "edge_2", "edge_3")),
    ),
    "in time": problem(
        DISK * po.Time(0, 2),
        po.Dirichlet(lambda x, y, t: wave(x, y) * jnp.exp(-t)),
        po.Initial(wave),
        residual=lambda self, u_t, lap_u: u_t - lap_u,
    ),
    "cylinder": problem(
        DISK * po.Interval(z=(0, 1)),
        po.Dirichlet(lambda z: z**2, on="circle"),
        po.Dirichlet(1.0, on="z_max"),
        po.Neumann(0.0, on="z_min"),
    ),
    "periodic cylinder": problem(
        DISK * po.Interval(z=(0, 1)),
        po.Dirichlet(lambda z: jnp.sin(2 * jnp.pi * z), on="circle"),
        po.Periodic("z"),
    ),
    "two unknowns": problem(
        RING,
        po.Dirichlet({"u": wave, "v": 2.0}, on="inner"),
        po.Dirichlet(1.0, on="outer", unknown="u"),
        unknowns=("u", "v"),
        residual=lambda self, lap_u, lap_v: {"u": lap_u, "v": lap_v},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MET)
def test_values_on_walls_are_met_to_rounding(name, float64):
    made = MET[name]
    imposition, domain = impose(made), made.domain
    for condition, how in zip(made.conditions(), imposition.how, strict=True):
        assert how == "hard" or isinstance(condition, po.Neumann | po.Periodic)
        if isinstance(condition, po.Dirichlet):
            at, _ = domain.sample_boundary(condition.on, cube, 64)
        elif isinstance(condition, po.Initial):
            at = domain.sample_initial(cube, 64)
        else:
            continue
        values = np.asarray(random_field(made).jet(jnp.asarray(at), Plan())[()])
        given = condition.value if isinstance(condition.value, dict) else {}
        for k, unknown in enumerate(made.unknowns):
            if condition.unknown not in (None, unknown):
                continue
            data = given.get(unknown, condition.value)
            columns = dict(zip(domain.coordinates, at.T, strict=True))
            if callable(data):
                names = data.__code__.co_varnames[: data.__code__.co_argcount]
                data = data(*(columns[c] for c in names))
            np.testing.assert_allclose(values[:, k], data, rtol=0, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring", "square with a hole", "heated piece", "in time"])
def test_derivatives_of_the_field_are_those_of_its_values(name, float64):
    made, step = MET[name], 1e-4
    field = random_field(made)
    at, count = made.domain.sample_interior(cube, 16), len(made.domain.coordinates)
    plan = Plan([(k,) for k in range(count)] + [(k, k) for k in range(count)] + [(0, 1)])
    jet = field.jet(jnp.asarray(at), plan)

    def values(*moves):
        moved = at + step * sum(sign * np.eye(count)[axis] for axis, sign in moves)
        return np.asarray(field.jet(jnp.asarray(moved), Plan())[()])

    middle = np.asarray(jet[()])
    for k in range(count):
        up, down = values((k, 1)), values((k, -1))
        # Third and fourth derivatives of about 1e3 near a tip.
        np.testing.assert_allclose(jet[k,], (up - down) / (2 * step), rtol=1e-4, atol=1e-4)
        second = (up - 2 * middle + down) / step**2
        np.testing.assert_allclose(jet[k, k], second, rtol=1e-4, atol=1e-3)
    mixed = values((0, 1), (1, 1)) - values((0, 1), (1, -1))
    mixed = (mixed - values((0, -1), (1, 1)) + values((0, -1), (1, -1))) / (4 * step**2)
    np.testing.assert_allclose(jet[0, 1], mixed, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "places"),
    {
        "square with a hole": [(0, 0), (1, 1), (0.7, 0.4), (0, 0.5)],
        "lens": [(0.7, 0.4)],
        "heated piece": [(-0.5, 0), (0.5, 0), (0, 0), (1, 0), (-0.7, 0)],
        "heated half": [(2, 0), (2.5, 0), (2, 1)],
        "disk": [(0.5, -0.2)],
    }.items(),
)
def test_where_walls_meet_everything_is_finite(name, places, float64):
    plan = Plan([(0,), (1,), (0, 0), (0, 1), (1, 1)])
    jet = random_field(MET[name]).jet(jnp.asarray(places, float), plan)
    assert all(np.all(np.isfinite(stream)) for stream in jet.values())


def test_a_stretch_vanishes_on_its_segment_only_and_has_no_flux_beside_it(float64):
    ends = ((-0.5, 0.0), (0.5, 0.0))

    def level(point):
        return stretch(point, ends, (True, True))

    at = jnp.stack([jnp.linspace(-0.9, 0.9, 20), jnp.zeros(20)], 1)
    on = np.abs(at[:, 0]) < 0.5
    values, slopes = jax.vmap(level)(at), jax.vmap(jax.grad(level))(at)[:, 1]
    assert np.all(values[on] == 0) and np.all(values[~on] > 0.1)
    assert np.all(slopes[on] > 0.9) and np.all(slopes[~on] == 0)
    # sinh(mu / 2), where x + i y = cosh(mu + i nu) / 2.
    mu = np.arccosh(2 * (0.3 + 0.4j)).real
    np.testing.assert_allclose(level(jnp.array([0.3, 0.4])), np.sinh(mu / 2), rtol=1e-14)


L_SHAPE = po.Polygon([(0, 0), (0, 1), (-1, 1), (-1, -1), (1, -1), (1, 0)])
SOFT = [
    (problem(L_SHAPE, po.Dirichlet(0.0)), "its walls go on inside of the domain"),
    (problem(DISK | po.Disk(x=1, y=0, radius=0.5), po.Dirichlet(0.0)), "inside of the domain"),
    (
        problem(po.Spline([(0, 0), (2, 0), (1, 2)]), po.Dirichlet(0.0)),
        "not all of its boundary has smooth functions",
    ),
    (
        problem(po.RoundedRectangle(x=(0, 2), y=(0, 1), radius=0.2), po.Dirichlet(0.0)),
        "not all of its boundary has",
    ),
    (
        problem(PLATE, po.Dirichlet(0.0, on="edge_0"), po.Dirichlet(1.0, on="edge_1")),
        "its walls go on as other parts",
    ),
    (
        problem(SQUARE - HOLE, po.Dirichlet(0.0, on="x"), po.Dirichlet(1.0, on=("y", "hole"))),
        "its walls meet or nearly touch those of other values, on x_min, x_max",
    ),
    (
        problem(DISK, po.Dirichlet(lambda x, y: 1 / ((x - 0.51) ** 2 + (y + 0.2) ** 2))),
        r"its data are 2\.\d at most on the walls and .*e\+.* inside",
    ),
    (
        problem(DISK, po.Dirichlet(lambda x: jnp.where(x > 0.5, 1.0, 0.0))),
        "its value jumps by about 1 along x",
    ),
    (problem(DISK, po.Dirichlet(lambda x: jnp.abs(x - 0.4))), "its slope jumps by about 2 along x"),
    (problem(DISK, po.Dirichlet(lambda x, y: jnp.log(x))), "its data are not finite"),
    (problem(DISK, po.Dirichlet(0.0), lift=lambda self, x: x), "the problem has a lift or factor"),
    (problem(DISK, po.Dirichlet(0.0, soft=True)), "declared soft"),
    (
        problem(
            po.Polygon([(np.cos(a), np.sin(a)) for a in np.arange(20) * np.pi / 10]),
            po.Dirichlet(0.0),
        ),
        "it has 20 walls, and an exact factor at most 16",
    ),
    (
        problem(
            DISK,
            po.Dirichlet(0.0, unknown="k"),
            unknowns=("u", "k"),
            depends_on={"k": ("x",)},
            residual=lambda self, lap_u, k: {"a": lap_u, "b": k},
        ),
        "k does not depend on all coordinates of a curved boundary",
    ),
    (
        problem(
            DISK * po.Time(0, 1),
            po.Dirichlet(1.0, on=("circle", "t_max")),
            residual=lambda self, u_t, lap_u: u_t + lap_u,
        ),
        "walls and the last instant are imposed by conditions of their own",
    ),
    (
        problem(
            DISK * po.Interval(z=(0, 1)),
            po.Periodic("z"),
            po.Dirichlet(lambda z: z, on="circle"),
        ),
        "its value jumps by 1 across the periodic boundary of z",
    ),
]


@pytest.mark.parametrize(("made", "why"), SOFT)
def test_what_cannot_be_imposed_on_a_wall_is_soft_and_says_why(made, why, float64):
    imposition = impose(made)
    assert "soft" in imposition.how
    assert any(re.search(why, reason) for reason in imposition.why), imposition.why


@pytest.mark.parametrize(("start", "how"), [(wave, "hard"), (0.0, "soft")])
def test_a_start_agrees_with_the_walls_or_is_soft(start, how, float64):
    made = problem(
        DISK * po.Time(0, 1),
        po.Initial(start),
        po.Dirichlet(wave),
        residual=lambda self, u_t, lap_u: u_t - lap_u,
    )
    imposition = impose(made)
    assert imposition.how == (how, "hard")
    if how == "soft":
        assert "its data for u differ by" in imposition.why[0]


def test_generated_networks_meet_nothing():
    assert impose(MET["disk"], exact=False).why == ("the network was generated without it",)


class Heated(po.Problem):
    """A ring whose inner wall has a temperature that is to be found."""

    domain = RING
    trainable = ("temperature",)
    temperature: float = 2.0

    def residual(self, lap_u):
        return lap_u

    def conditions(self):
        return po.Dirichlet(self.temperature, on="inner"), po.Dirichlet(0.0, on="outer")


def test_values_with_a_coefficient_follow_it(float64):
    made = Heated()
    imposition = impose(made)
    network = MLP(4, 1).build(2, 1, key=jax.random.key(0))
    at, _ = RING.sample_boundary("inner", cube, 8)

    @jax.jit
    def values(temperature):
        return field_of(Heated(temperature), imposition, network).jet(jnp.asarray(at), Plan())[()]

    np.testing.assert_allclose(values(3.5), 3.5, rtol=0, atol=1e-13)


def test_a_solution_says_what_is_exact(quick_disk):
    assert quick_disk.conditions == ["u = 0 on circle: imposed exactly"]
    assert abs(float(quick_disk(x=1.2, y=-0.2))) < 1e-12


@pytest.fixture(scope="module")
def quick_disk():
    few = po.Collocation(interior=64, boundary=16, refinement=None)
    made = problem(DISK, po.Dirichlet(0.0), residual=lambda self, lap_u: lap_u + 1)
    return po.solve(made, steps=2, points=few, progress=False, seed=0, network=MLP(8, 2))


def test_equations_on_a_grid_do_not_take_walls():
    made = problem(SQUARE - HOLE, po.Dirichlet(0.0))
    line = np.linspace(0, 1, 9)
    with pytest.raises(ValueError, match="conditions that the values meet exactly, and Dirichlet"):
        check_on_grid(made, {"x": line, "y": line})
