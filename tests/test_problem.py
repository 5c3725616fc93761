"""Conditions: imposed exactly where they can be, soft with a reason elsewhere, refused where they
contradict.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import Plan, apply_pointwise, nested
from pinops.networks import (
    MLP,
    PIG,
    Decomposed,
    Field,
    RandomFeatures,
    Spectral,
    Stacked,
    Symmetric,
    embedding_of,
    field_of,
    is_plain,
)
from pinops.problem import (
    INITIAL,
    INTERIOR,
    Condition,
    Imposition,
    Problem,
    constraints,
    faces,
    impose,
    residual_signature,
    scales_of,
    values_at,
)


def problem(
    domain, *conditions: Condition, residual=None, unknowns=("u",), exact=None, **members
) -> Problem:
    """A problem made in one line; with ``exact``, its data are replaced by those of the chosen
    solution.
    """
    members |= {"domain": domain, "unknowns": unknowns, "conditions": lambda self: conditions}
    members |= {"residual": residual or (lambda self, lap_u: lap_u)}
    made = type("Mine", (po.Problem,), members)()
    return made if exact is None else po.manufacture(made, exact)


def cube(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(n * d).random((n, d))


def points_of(problem: Problem, region: str, n: int = 8) -> tuple[jax.Array, jax.Array | None]:
    if region == INTERIOR:
        return jnp.asarray(problem.domain.sample_interior(cube, n)), None
    if region == INITIAL:
        return jnp.asarray(problem.domain.sample_initial(cube, n)), None
    at, normals = problem.domain.sample_boundary(region.parts, cube, n)
    return jnp.asarray(at), jnp.asarray(normals)


def residuals(problem: Problem, jet_of, conditions: tuple[int, ...]) -> dict[str, jax.Array]:
    """The residual of the equation and of some conditions; ``jet_of(points, plan)`` is the field,
    asked once.
    """
    listed = constraints(problem, conditions)
    regions = [points_of(problem, constraint.region) for constraint in listed]
    plan = functools.reduce(Plan.union, (constraint.signature.plan for constraint in listed))
    everywhere = jet_of(jnp.concatenate([at for at, _ in regions]), plan)
    out, start = {}, 0
    for constraint, (at, normals) in zip(listed, regions, strict=True):
        rows = slice(start, start := start + len(at))
        jet = {
            index: stream if len(stream) == 1 else stream[rows]
            for index, stream in everywhere.items()
        }
        values = constraint.signature.gather(jet, at, normals)
        found = apply_pointwise(constraint.function, values, owner="")
        out |= {constraint.name + equation: residual for equation, residual in found.items()}
    return out


# Many programs that run once: they are not worth optimizing.
quick_jit = functools.partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)


def exact_jet(problem: Problem):
    def exact(point):
        values = values_at(problem, "exact", point)
        return jnp.stack([values[name] for name in problem.unknowns])

    return lambda points, plan: nested(exact, points, plan)


def random_field(problem: Problem, imposition: Imposition, seed: int) -> Field:
    size = embedding_of(problem, imposition).size
    return field_of(
        problem, imposition, MLP(4, 1).build(size, len(problem.unknowns), key=jax.random.key(seed))
    )


def D(on, **options):
    return po.Dirichlet(0.0, on=on, **options)


def N(on, **options):
    return po.Neumann(0.0, on=on, **options)


def R(on, alpha=2.0, beta=3.0, **options):
    return po.Robin(0.0, on=on, alpha=alpha, beta=beta, **options)


# Every way to declare conditions on boxes; the data come below.

LINE = po.Box(x=(0, 2))
SQUARE = po.Box(x=(0, 2), y=(-1, 1))
ROD = po.Box(x=(-1, 2), t=(1, 3))
PLATE = po.Box(x=(0, 2), y=(-1, 1), t=(0, 3))

START, THROW = po.Initial(0.0), po.Initial(0.0, derivative=0.0)
KINDS = {"D": D, "N": N, "R": R}

CASES = {
    # One dimension: one face, both faces, two conditions on a face.
    **{f"line {a}": (LINE, K("x_max")) for a, K in KINDS.items()},
    **{
        f"line {a}{b}": (LINE, K("x_min"), L("x_max"))
        for a, K in KINDS.items()
        for b, L in KINDS.items()
    },
    "line clamped": (LINE, D("x"), N("x")),
    "line Cauchy": (LINE, D("x_min"), N("x_min")),
    "line Cauchy, Neumann": (LINE, D("x_max"), N("x_max"), N("x_min")),
    "line Dirichlet and Robin on a face": (LINE, D("x_min"), R("x_min")),
    "line Robin that a constant satisfies": (LINE, R("x_min", 0.0, 1.0), R("x_max", 0.0, 2.0)),
    "line Robin that a parabola satisfies": (LINE, R("x", -1.0, 1.0)),
    "line Robin that a straight line satisfies": (
        LINE,
        R("x_min", 1.0, 1.0),
        R("x_max", 1.0, -3.0),
    ),
    # Two dimensions: faces that meet in corners.
    **{
        f"square {a}{b}": (SQUARE, K("x_min"), L("y_max"))
        for a, K in KINDS.items()
        for b, L in KINDS.items()
    },
    "square of four kinds": (SQUARE, D("x_min"), N("x_max"), R("y_min"), N("y_max")),
    "square, one face": (SQUARE, R("y_max")),
    # Time: values, and velocities.
    **{f"rod {a}": (ROD, START, K("x")) for a, K in KINDS.items()},
    **{f"rod {a}, thrown": (ROD, THROW, K("x_min"), N("x_max")) for a, K in KINDS.items()},
    "rod, time alone": (ROD, THROW),
    "rod periodic": (ROD, START, po.Periodic("x")),
    "rod periodic, thrown": (ROD, THROW, po.Periodic("x")),
    "plate": (PLATE, R("x_min"), N("y_max"), START),
    "plate periodic": (PLATE, THROW, po.Periodic("x"), R("y_max")),
}


def solution(x, y=0.3, t=0.7):
    return (1 + x - x**2 / 3) * (1 + y / 2 + y**2) * (1 + t**2)


def periodic_solution(x, y=0.3, t=0.7):
    """Periodic in x with period 2 and 3."""
    return jnp.sin(2 * jnp.pi * x + 1) * (1 + y / 2 + y**2) * (1 + t**2)


# Written out, because `manufacture` differentiates for generality and takes minutes for a table of
# this length.
SLOPES = {
    "x": lambda x, y=0.3, t=0.7: (1 - 2 * x / 3) * (1 + y / 2 + y**2) * (1 + t**2),
    "y": lambda x, y=0.3, t=0.7: (1 + x - x**2 / 3) * (0.5 + 2 * y) * (1 + t**2),
    "t": lambda x, y=0.3, t=0.7: (1 + x - x**2 / 3) * (1 + y / 2 + y**2) * 2 * t,
}
PERIODIC_SLOPES = {
    "y": lambda x, y=0.3, t=0.7: jnp.sin(2 * jnp.pi * x + 1) * (0.5 + 2 * y) * (1 + t**2),
    "t": lambda x, y=0.3, t=0.7: jnp.sin(2 * jnp.pi * x + 1) * (1 + y / 2 + y**2) * 2 * t,
}


def with_data(domain, conditions: list[Condition]) -> list[Condition]:
    """The same conditions with the data of the solution above."""
    names = domain.coordinates
    periodic = any(isinstance(condition, po.Periodic) for condition in conditions)
    value, slopes = (periodic_solution, PERIODIC_SLOPES) if periodic else (solution, SLOPES)
    out = []
    for condition in conditions:
        if isinstance(condition, po.Initial):
            rate = None if condition.derivative is None else on_coordinates(slopes["t"], names)
            out.append(po.Initial(on_coordinates(value, names), rate))
        elif isinstance(condition, po.Periodic):
            out.append(condition)
        elif isinstance(condition, po.Dirichlet):
            out.append(po.Dirichlet(on_coordinates(value, names), condition.on))
        else:
            alpha, beta = (
                (condition.alpha, condition.beta) if isinstance(condition, po.Robin) else (0.0, 1.0)
            )
            for part in domain.select(condition.on):
                slope, sign = slopes[part[0]], beta * (1 if part.endswith("max") else -1)

                def flux(slope=slope, sign=sign, alpha=alpha, **at):
                    return alpha * value(**at) + sign * slope(**at)

                kind = on_coordinates(flux, names)
                if isinstance(condition, po.Neumann):
                    out.append(po.Neumann(kind, part))
                else:
                    out.append(po.Robin(kind, part, alpha=alpha, beta=beta))
    return out


def on_coordinates(function, names):
    """``function`` restricted to some of its coordinates."""

    def restricted(**values):
        return function(**values)

    restricted.__signature__ = inspect.Signature(
        [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in names]
    )
    return restricted


RESIDUALS = {
    ("x",): lambda self, u, u_xx: u_xx + u,
    ("x", "y"): lambda self, lap_u, u_xy, x: lap_u + x * u_xy,
    ("x", "t"): lambda self, u, u_tt, u_xx: u_tt + u * u_xx,
    ("x", "y", "t"): lambda self, u_t, u_xy: u_t - u_xy,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_field_of_any_network_meets_its_conditions_to_rounding(name, float64):
    domain, *conditions = CASES[name]
    names = domain.coordinates
    periodic = any(isinstance(condition, po.Periodic) for condition in conditions)
    exact = on_coordinates(periodic_solution if periodic else solution, names)
    made = problem(domain, *with_data(domain, conditions), residual=RESIDUALS[names])
    imposition = impose(made)
    assert "soft" not in imposition.how, imposition.why
    plan = residual_signature(made).plan
    at = points_of(made, INTERIOR)[0]
    copies = 3 if periodic else 1  # the points themselves, and both ends

    @quick_jit
    def look():
        field = random_field(made, imposition, 0)
        ends = [
            at.at[:, names.index(c)].set(end)
            for c in imposition.periodic
            for end in made.domain.bounds[c]
        ]
        jet = field.jet(jnp.concatenate([at, *ends]), plan)
        return residuals(made, field.jet, imposition.hard), jet, nested(field, at, plan)

    met, carried, differentiated = look()
    met.pop("")  # the equation, which a random network does not satisfy
    assert all(np.max(np.abs(residual)) < 1e-10 for residual in met.values()), met
    for index, wanted in differentiated.items():
        stream = np.broadcast_to(carried.get(index, np.zeros((1, 1))), (copies * len(at), 1))
        got, *ends = np.split(stream, copies)
        np.testing.assert_allclose(
            got, wanted, rtol=0, atol=1e-9 * (1 + np.max(np.abs(wanted))), err_msg=str(index)
        )
        if periodic:
            np.testing.assert_allclose(*ends, rtol=0, atol=1e-9, err_msg=str(index))
    # The network is left free between the conditions.
    assert np.all(
        np.abs(differentiated[()][:, 0] - exact(**dict(zip(names, at.T, strict=True)))) > 1e-6
    )


@pytest.mark.slow
def test_conditions_of_a_system_are_met_by_unknown(float64):
    def residual(self, u, u_x, v_x, v_t, v_xx, p_x):
        return {"b": u_x - p_x + v_t, "a": u * v_x - v_xx}

    def exact(x, t):
        return {"p": x * t, "v": jnp.cos(x - t), "u": jnp.sin(x) * t}

    made = problem(
        ROD,
        po.Dirichlet({"u": 0.0}, on="x_max"),
        po.Neumann({"u": 0.0, "v": 0.0}, on="x_min"),
        po.Robin(0.0, on="x_min", unknown="p"),
        po.Dirichlet(0.0, on="x_max", unknown="p"),
        po.Initial({"u": 0.0, "v": 0.0}, derivative={"u": 0.0}),
        residual=residual,
        unknowns=("u", "v", "p"),
        exact=exact,
    )
    imposition = impose(made)
    assert imposition.how == ("hard",) * 5
    # Every condition under its own name.
    names = ["dirichlet u on x_max", "neumann u on x_min", "neumann v on x_min", "robin p on x_min"]
    names += ["dirichlet p on x_max", "initial u", "initial v", "initial u_t"]
    assert [c.name for c in constraints(made, imposition.hard)] == ["", *names]

    @quick_jit
    def look():
        field = random_field(made, imposition, 0)
        return residuals(made, field.jet, imposition.hard), residuals(
            made, exact_jet(made), imposition.hard
        )

    met, exact_ones = look()
    assert set(met) == {"a", "b", *names}
    assert all(np.max(np.abs(met[name])) < 1e-10 for name in names), met
    assert all(np.max(np.abs(residual)) < 1e-10 for residual in exact_ones.values())


def fluxes(*conditions, **options):
    return problem(
        ROD,
        *conditions,
        residual=lambda self, u_t, u_xx, v_t, v_xx: {"a": u_t - u_xx, "b": v_t - v_xx},
        unknowns=("u", "v"),
        **options,
    )


NOT_FLAT = {
    "an unknown without a flux": (
        fluxes(po.Neumann({"u": 0.0}, on="x")),
        "a flux is met exactly only where all unknowns have one; on x_min v has none",
    ),
    "an unknown whose flux is soft": (
        fluxes(N("x_max", unknown="u"), N("x_max", unknown="v", soft=True)),
        "on x_max v has one that is a term of the loss",
    ),
    "an unknown with a value": (
        fluxes(po.Robin({"u": 0.0}, on="x_min"), po.Dirichlet({"v": 0.0}, on="x_min")),
        "on x_min v has a value",
    ),
    "a feature": (
        fluxes(N("x_max"), features=lambda self, x: (jnp.sin(x),)),
        "the problem's features have a slope on x_max",
    ),
    "a factor": (
        fluxes(N("x_max"), factor=lambda self, x: x + 2.0),
        "the problem's factor has a slope on x_max",
    ),
}


@pytest.mark.parametrize("case", NOT_FLAT)
def test_a_flux_is_a_term_of_the_loss_where_a_field_cannot_be_flat(case, float64):
    made, why = NOT_FLAT[case]
    imposition = impose(made)
    assert imposition.how[0] == "soft" and why in imposition.why[0], imposition


def test_what_is_flat_itself_leaves_a_flux_exact(float64):
    made = fluxes(
        N("x_max"),
        features=lambda self, x, t: (jnp.cos(x - 2.0), t**2, jnp.exp(-50 * (x + 1))),
        factor=lambda self, x: 2.0 + (x - 2.0) ** 2,
    )
    assert impose(made).how == ("hard",)
    found = residuals(made, random_field(made, impose(made), 0).jet, (0,))
    assert all(np.max(np.abs(found[f"neumann {u} on x_max"])) < 1e-12 for u in "uv")


PLAIN = [
    PIG(9),
    Spectral(3),
    RandomFeatures(9),
    Symmetric(),
    Decomposed(MLP(2, 1), {"x": 2}),
    Stacked(Spectral(3)),
]


def test_operators_see_coordinates_as_their_trunks_do():
    assert is_plain(po.operators.DeepONet(trunk=Spectral(3)))
    assert not is_plain(po.operators.DeepONet()) and is_plain(po.operators.PODDeepONet())


@pytest.mark.slow
@pytest.mark.parametrize("network", PLAIN, ids=lambda network: type(network).__name__)
def test_networks_of_plain_coordinates_leave_fluxes_to_the_loss(network):
    made = fluxes(N("x"), po.Initial(0.0))
    assert impose(made, plain=is_plain(network)).how == ("soft", "hard")
    solution = po.solve(made, network=network, steps=1, progress=False)
    assert "its network sees each coordinate as it is" in "".join(solution.conditions)


def test_a_start_with_other_fluxes_is_refused(float64):
    options = {"steps": 1, "progress": False}
    first = po.solve(fluxes(N("x"), po.Initial(0.0)), **options)
    again = po.solve(fluxes(po.Neumann(1.0, on="x"), po.Initial(0.0)), start=first, **options)
    assert np.isfinite(again.history[-1].loss)
    with pytest.raises(ValueError, match="start: it meets other fluxes exactly than Mine does"):
        po.solve(fluxes(D("x"), po.Initial(0.0)), start=first, **options)


def test_what_disagreed_with_a_flux_is_met_where_the_flux_is_not(float64):
    """The start disagrees in a corner with a flux that a plain network leaves to the loss."""
    made = fluxes(po.Neumann(1.0, on="x_max"), po.Initial(0.0))
    assert impose(made).how == ("hard", "soft")
    assert impose(made, plain=True).how == ("soft", "hard")


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="the network has no parameters that training could"):
        po.solve(problem(LINE, D("x")), network=lambda z: z[:1], progress=False)


@pytest.mark.parametrize("alpha", [1.0, 1e-3, 1e-5])
def test_the_slope_of_a_weak_robin_condition_says_little_of_the_value(alpha):
    made = problem(
        LINE,
        D("x_min"),
        po.Robin(alpha * np.sin(2) / 2 + np.cos(2), on="x_max", alpha=alpha),
        residual=lambda self, u_xx, x: u_xx + 2 * jnp.sin(2 * x),
    )
    assert 0.05 < scales_of(made, impose(made)).spread["u"] < 5


class Cooling(po.Problem):
    """u_t = u_xx on (0, 1) x (0, 1], h u + k u_n = 0 at the ends: coefficients in a condition."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    transfer: float = po.positive(2.0)
    conductivity: float = po.positive(0.5)

    def residual(self, u_t, u_xx):
        return u_t - u_xx

    def conditions(self):
        return (
            po.Robin(self.transfer, on="x", alpha=self.transfer, beta=self.conductivity),
            po.Initial(1.0),
        )


def test_coefficients_in_conditions_may_be_traced(float64):
    imposition = impose(Cooling())
    assert imposition.how == ("hard", "hard")
    size = embedding_of(Cooling(), imposition).size
    network = MLP(8, 2).build(size, 1, key=jax.random.key(0))

    def worst(problem):
        met = residuals(problem, field_of(problem, imposition, network).jet, imposition.hard)
        return jnp.stack([jnp.max(jnp.abs(met[name])) for name in met if name])

    def somewhere(problem):
        return field_of(problem, imposition, network)(jnp.array([0.4, 0.6]))[0]

    cooling = Cooling(transfer=3.0)
    assert np.max(quick_jit(worst)(cooling)) < 1e-12
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), cooling)
    assert np.max(quick_jit(jax.vmap(worst))(batch)) < 1e-12
    step = 1e-6
    up, down = (quick_jit(somewhere)(Cooling(transfer=3.0 + h)) for h in (step, -step))
    gradient = quick_jit(jax.grad(somewhere))(cooling).transfer
    # Rounding of values of size 1 over a step of 1e-6 leaves the quotient with an error of 1e-10;
    # the gradient is 4e-4.
    np.testing.assert_allclose(gradient, (up - down) / (2 * step), rtol=0, atol=1e-9)


# Curved boundaries


@pytest.mark.parametrize(
    "condition", [D(None, soft=True), N(None), R(None), R("circle", unknown="u")]
)
@pytest.mark.parametrize("time", [False, True])
def test_conditions_on_curved_boundary_are_soft_and_vanish_for_the_solution(
    condition, time, float64
):
    disk = po.Disk(x=0.5, y=-0.2, radius=0.7)
    if time:
        made = problem(
            disk * po.Time(0, 1),
            condition,
            START,
            residual=RESIDUALS["x", "y", "t"],
            exact=solution,
        )
    else:
        made = problem(disk, condition, exact=on_coordinates(solution, ("x", "y")))
    imposition = impose(made)
    assert imposition.how == (("soft", "hard") if time else ("soft",))
    found = quick_jit(lambda: residuals(made, exact_jet(made), tuple(range(len(imposition.how)))))()
    assert len(found) == 2 + time
    assert all(np.max(np.abs(residual)) < 1e-10 for residual in found.values())
    # Of other functions they do not vanish: the outward derivative of x² + y² on the circle is 2
    # |r| n.
    other = quick_jit(
        lambda: residuals(made, lambda at, plan: nested(lambda p: p[:1] ** 2, at, plan), (0,))
    )()
    assert np.max(np.abs(list(other.values())[1])) > 0.1


def test_the_normal_derivative_points_outwards(float64):
    # u = (x² + y²)/2 on a disk of radius 2 about the origin has u_n = 2; on a hole of radius 1 it
    # has u_n = -1.
    ring = po.Disk(x=0, y=0, radius=2, name="rim") - po.Disk(x=0, y=0, radius=1, name="hole")
    made = problem(ring, po.Neumann(2.0, on="rim"), po.Neumann(-1.0, on="hole"))
    found = residuals(
        made, lambda at, plan: nested(lambda p: jnp.sum(p**2)[None] / 2, at, plan), (0, 1)
    )
    assert (
        np.max(np.abs(found["neumann u on rim"])) < 1e-12
        and np.max(np.abs(found["neumann u on hole"])) < 1e-12
    )


# Soft, and why


def why(made: Problem) -> list[str]:
    imposition = impose(made)
    return [
        f"{how}: {reason}" if reason else how
        for how, reason in zip(imposition.how, imposition.why, strict=True)
    ]


def test_kinks_of_lifted_data_across_a_periodic_boundary_are_seen():
    rod = po.Box(x=(-1, 1), t=(0, 1))

    def started(data, residual=lambda self, u_t, u_xx: u_t - u_xx):
        return why(problem(rod, po.Periodic("x"), po.Initial(data), residual=residual))[1]

    assert started(lambda x: jnp.cos(jnp.pi * x)) == "hard"
    assert started(lambda x: x).startswith(
        "soft: its value jumps by 2 across the periodic boundary of x"
    )
    assert started(lambda x: x**2).startswith("soft: its slope jumps by 4 across")
    assert started(lambda x: (1 - x**2) ** 2) == "hard"
    assert started(lambda x: x * (1 - x**2) ** 2).startswith(
        "soft: its derivative of order 2 jumps by"
    )
    # Advection sees only slopes, Korteweg-de Vries a third derivative.
    advection, kdv = (lambda self, u_t, u_x: u_t + u_x), (lambda self, u_t, u_xxx: u_t + u_xxx)
    assert started(lambda x: x * (1 - x**2) ** 2, advection) == "hard"
    assert started(lambda x: (1 - x**2) ** 2, kdv).startswith(
        "soft: its derivative of order 3 jumps by"
    )
    # Data on a wall are lifted too.
    channel = problem(SQUARE, po.Periodic("x"), po.Dirichlet(lambda x: x, on="y"))
    assert why(channel)[1].startswith("soft: its value jumps by 2")


def test_kinks_of_lifted_data_inside_the_domain_are_seen():
    """The second derivative of a hat is 0 wherever it is taken, and a lift of it would stand still
    for ever.
    """
    rod = po.Box(x=(0, 1), t=(0, 1))

    def started(data, residual=lambda self, u_t, u_xx: u_t - u_xx):
        return why(problem(rod, po.Initial(data), residual=residual))[0]

    def hat(x):
        return 1 - jnp.abs(2 * x - 1)

    assert started(hat).startswith(
        "soft: its slope jumps by about 4 along x, and a lift would keep that for all times"
    )
    assert started(lambda x: jnp.where(x < 0.3, 1.0, 0.0)).startswith(
        "soft: its value jumps by about 1 along x"
    )
    advection, bending = (
        (lambda self, u_t, u_x: u_t + u_x),
        (lambda self, u_t, u_xxxx: u_t + u_xxxx),
    )
    assert started(hat, advection) == "hard"
    assert started(lambda x: jnp.abs(x - 0.5) ** 3, bending).startswith(
        "soft: its derivative of order 3 jumps by about 12"
    )
    for smooth in (
        jnp.sin,
        lambda x: jnp.tanh(40 * (x - 0.5)),
        lambda x: jnp.exp(-((x - 0.5) ** 2) / 5e-4),
    ):
        assert started(smooth) == "hard"
    # Data on a wall as a function of time.
    switched = po.Dirichlet(lambda t: jnp.where(t < 0.5, 0.0, 1.0), on="x_min")
    assert why(problem(rod, switched, residual=lambda self, u_t, u_xx: u_t - u_xx))[0].startswith(
        "soft: its value jumps"
    )


def test_a_condition_that_holds_nowhere_is_refused():
    with pytest.raises(
        ValueError,
        match="there is no boundary that it could hold on, t is all there is; .* use Initial",
    ):
        impose(problem(po.Box(t=(0, 1)), po.Dirichlet(1.0), residual=lambda self, u_t: u_t))
    with pytest.raises(
        ValueError,
        match=r"on=\(\) selects no part of the boundary; there are x_min, x_max, y_min, y_max",
    ):
        impose(problem(SQUARE, po.Dirichlet(1.0, on=())))


def test_conditions_are_a_tuple():
    class OneOnly(po.Problem):
        domain = SQUARE

        def residual(self, u_x):
            return u_x

        def conditions(self):
            return po.Dirichlet(0.0)

    with pytest.raises(
        ValueError, match="OneOnly.conditions must return a tuple, got one Dirichlet; add a comma"
    ):
        impose(OneOnly())


def test_a_velocity_is_that_of_the_unknowns_with_a_value():
    made = problem(
        ROD,
        po.Initial({"u": 0.0}, derivative=0.0),
        residual=lambda self, u_t, v_t: u_t - v_t,
        unknowns=("u", "v"),
    )
    assert {face.component for face in faces(made)} == {0}
    soft = problem(
        ROD,
        po.Initial({"u": 0.0}, derivative=0.0, soft=True),
        residual=lambda self, u_t, v_t: u_t - v_t,
        unknowns=("u", "v"),
    )
    assert [c.name for c in constraints(soft, (0,))[1:]] == ["initial u", "initial u_t"]

    def exact(x, t):
        return {"u": x * t, "v": x + t}

    (data,) = po.manufacture(made, exact).conditions()
    assert set(data.derivative) == {"u"}


def test_what_data_raise_is_told_with_their_owner():
    import math

    with pytest.raises(ValueError, match="Dirichlet: a Python number .* jnp.sin for math.sin"):
        impose(
            problem(SQUARE, po.Dirichlet(lambda x: math.sin(x), on="y"), po.Dirichlet(0.0, on="x"))
        )


def test_data_that_disagree_where_they_meet_go_soft_in_the_order_of_declaration():
    lid = (po.Dirichlet(1.0, on="y_max"), po.Dirichlet(0.0, on=("x", "y_min")))
    first, second = why(problem(SQUARE, *lid))
    assert first == "hard"
    assert (
        second == "soft: its data for u differ by 1.0e+00 from those on y = 1, where the two meet"
    )
    assert why(problem(SQUARE, *lid[::-1]))[0] == "hard"
    # The initial condition yields to boundary conditions, wherever it is declared.
    conditions = (po.Initial(1.0), po.Dirichlet(0.0, on="x"))
    assert [text[:4] for text in why(problem(ROD, *conditions))] == ["soft", "hard"]
    # Slopes count: u(x, 0) = x has u_x = 1, and u = 0 at x = -1 contradicts a velocity of 1.
    assert why(problem(ROD, po.Initial(lambda x: x), N("x")))[0].startswith(
        "soft: its data for u differ by 1.0e+00"
    )
    thrown = po.Initial(lambda x: x + 1, derivative=1.0)
    assert why(problem(ROD, thrown, po.Dirichlet(0.0, on="x_min")))[0].startswith("soft: its data")
    # Unknowns are independent.
    by_unknown = (po.Dirichlet({"u": 1.0}, on="y"), po.Dirichlet({"v": 0.0}, on="x"))
    assert why(problem(SQUARE, *by_unknown, unknowns=("u", "v"))) == ["hard", "hard"]


def test_a_condition_declared_soft_is_soft():
    made = problem(
        ROD, po.Initial(0.0, soft=True), D("x", soft=True), po.Equation(lambda u_xx: u_xx, on="x")
    )
    assert why(made) == ["soft: declared soft"] * 2 + [
        "soft: it is an equation to be satisfied in the least-squares sense"
    ]
    assert [c.name for c in constraints(made, (0, 1, 2))] == [
        "",
        "initial u",
        "dirichlet u on x",
        "equation 2 on x",
    ]


@pytest.mark.parametrize(
    "conditions",
    [
        (D("x"), D("x_min")),
        (N("x_max"), N("x")),
        (D(None), D("x", soft=False)),
        (N("x_min"), R("x_min")),  # together they would prescribe the value
        (START, po.Initial(1.0)),
    ],
)
def test_what_is_declared_twice_is_refused(conditions):
    with pytest.raises(
        ValueError, match="Mine: u is declared twice on (x|t)_(min|max); keep one condition"
    ):
        impose(problem(ROD, *conditions))


def test_values_on_a_curved_part_are_declared_once():
    """As terms of the loss they would fight; values and slopes may share a part."""
    domain = po.Box(x=(0, 1), y=(0, 1)) - po.Disk(x=0.5, y=0.5, radius=0.2, name="hole")
    impose(problem(domain, D(("x", "y")), D("hole"), N("hole")))
    with pytest.raises(ValueError, match="Mine: u is declared twice on hole; keep one condition"):
        impose(problem(domain, D(None), po.Dirichlet(1.0, on="hole")))


def test_initial_data_must_be_even_where_the_solution_is():
    rod = po.Box(x=(-1, 1), t=(0, 1))

    def made(data):
        return impose(problem(rod, po.Periodic("x", even=True), po.Initial(data)))

    assert made(lambda x: jnp.cos(jnp.pi * x)).even == ("x",)
    with pytest.raises(
        ValueError,
        match="Mine: data of Initial for u differ by .* the two sides of x; leave even=True out",
    ):
        made(lambda x: jnp.sin(jnp.pi * x))
    walls = po.Dirichlet(lambda x: jnp.sin(jnp.pi * x), on="y_min")
    with pytest.raises(ValueError, match="data of Dirichlet for u differ by"):
        impose(problem(po.Box(x=(-1, 1), y=(0, 1)), po.Periodic("x", even=True), walls))


@pytest.mark.parametrize("known", ["lift", "factor", "features"])
def test_what_is_known_must_be_periodic_where_the_solution_is(known):
    made = problem(ROD, po.Periodic("x"))
    setattr(type(made), known, lambda self, x: (x,) if known == "features" else x)
    with pytest.raises(
        ValueError, match=f"Mine: {known} differ by .* between the two ends of x; leave Periodic"
    ):
        impose(made)

    def wave(x):
        return jnp.sin(2 * jnp.pi * (x + 1) / 3)  # zero at both ends

    setattr(type(made), known, lambda self, x: (wave(x),) if known == "features" else wave(x))
    assert impose(made).periodic == ("x",)


def test_a_periodic_coordinate_has_no_boundary():
    with pytest.raises(ValueError, match="x is periodic and has no boundary for Dirichlet"):
        impose(problem(SQUARE, po.Periodic("x"), D(None)))
    with pytest.raises(ValueError, match="x is declared periodic twice"):
        impose(problem(SQUARE, po.Periodic(("x", "y")), po.Periodic("x")))
    with pytest.raises(
        ValueError, match=r"Periodic\(on='x'\) needs a coordinate that is an interval.*none"
    ):
        impose(problem(po.Disk(x=0, y=0, radius=1), po.Periodic("x")))


# Observations


def test_observations_are_checked():
    x = np.linspace(0, 1, 5)
    with pytest.raises(ValueError, match="all arrays must have one length, got {'x': 5, 'u': 4}"):
        po.Observed({"x": x}, {"u": x[:4]})
    for empty in ((({"x": x}), {}), ({}, {"u": x}), ({"x": []}, {"u": []})):
        with pytest.raises(ValueError, match="there are no observations"):
            po.Observed(*empty)
    with pytest.raises(
        ValueError, match=r"u has 2 value\(s\) that are not finite \(the first is nan at row 1\)"
    ):
        po.Observed({"x": x}, {"u": np.where(np.arange(5) % 2, np.nan, x)})
    with pytest.raises(ValueError, match=r"Observed: 'w' is no unknown \(u\)"):
        constraints(problem(LINE, po.Observed({"x": x}, {"w": x})), (0,))
    with pytest.raises(ValueError, match="no coordinate 'y'; the coordinates are x"):
        impose(problem(LINE, po.Observed({"x": x, "y": x}, {"u": x})))
    with pytest.raises(ValueError, match="gives no values of the coordinate 't'"):
        impose(problem(ROD, po.Observed({"x": x}, {"u": x})))


def test_manufactured_observations_are_those_of_the_solution_in_full_precision():
    x = np.linspace(0, 2, 5)
    made = problem(LINE, po.Observed({"x": x}, {"u": 0 * x}), exact=lambda x: jnp.sin(x))
    (observed,) = made.conditions()
    np.testing.assert_allclose(observed.values["u"], np.sin(x), rtol=0, atol=1e-15)
    # Conditions are asked for inside compiled programs.
    misfit = quick_jit(lambda: constraints(made, (0,))[1].function(u=0.5, observed_u=0.25))()
    assert misfit == 0.25


# Manufactured solutions


def test_a_manufactured_source_is_the_residual_of_the_solution(float64):
    made = po.manufacture(
        po.load_problem("burgers", viscosity=0.1), exact=lambda x, t: jnp.sin(x) * jnp.exp(t)
    )
    zero = residuals(made, lambda at, plan: nested(lambda p: jnp.zeros(1), at, plan), ())[""]
    x, t = points_of(made, INTERIOR)[0].T
    u, u_x = np.sin(x) * np.exp(t), np.cos(x) * np.exp(t)
    np.testing.assert_allclose(zero, -(u + u * u_x + 0.1 * u), rtol=1e-12)
    assert made.reference().error_bar["u"] < 1e-13


def test_manufacture_refuses_a_solution_that_does_not_fit():
    burgers = po.load_problem("burgers")
    with pytest.raises(ValueError, match="'y' names nothing; available are x, t"):
        po.manufacture(burgers, exact=lambda x, y: x)
    with pytest.raises(ValueError, match="gives no value for v, p; return a dict by unknown"):
        po.manufacture(po.load_problem("kovasznay"), exact=lambda x, y: {"u": x})
    with pytest.raises(
        ValueError, match=r"exact: u returned an array of shape \(2,\) at one point"
    ):
        po.manufacture(burgers, exact=lambda x, t: jnp.stack([x, t]))


# Data


def test_data_at_a_point_must_be_one_number():
    for bad in (lambda x: jnp.stack([x, x]), np.zeros(3)):
        with pytest.raises(
            ValueError,
            match=r"Mine: Dirichlet: .* returned an array of shape \((2|3),\) at one point",
        ):
            impose(problem(SQUARE, po.Dirichlet(bad, on="x"), D("y")))
    with pytest.raises(
        ValueError, match="Mine: Initial: the argument 'z' names nothing; available are x, t, point"
    ):
        impose(problem(ROD, po.Initial(lambda z: z), D("x")))


def test_an_equation_on_the_boundary_may_use_the_normal(float64):
    tilt = po.Equation(
        lambda u, u_n, grad_u, normal, x: jnp.dot(grad_u, normal) - u_n + 0 * u * x, on="circle"
    )
    made = problem(po.Disk(x=0, y=0, radius=1), tilt)
    found = residuals(
        made, lambda at, plan: nested(lambda p: jnp.sin(p[:1]) * p[1:], at, plan), (0,)
    )
    assert np.max(np.abs(found["equation 0 on circle"])) < 1e-12
    with pytest.raises(ValueError, match="'u_n' names nothing"):
        residual_signature(problem(LINE, residual=lambda self, u_n: u_n))


# --- units --------------------------------------------------------------------------------------


class Roof(po.Problem):
    """A soft condition whose data are far from 0 and 1, and an unknown with none."""

    domain = po.Box(x=(0, 1), y=(0, 1))
    unknowns = ("u", "v")
    height: float = 50.0

    def residual(self, lap_u, lap_v):
        return {"u": lap_u, "v": lap_v}

    def conditions(self):
        return (po.Dirichlet({"u": lambda x, y: self.height + 10 * x}, soft=True),)


def test_a_network_is_in_the_units_of_soft_data(float64):
    problem = Roof()
    scales = scales_of(problem, impose(problem))
    assert scales.centre == pytest.approx({"u": 55, "v": 0}, abs=0.5)
    assert scales.spread == pytest.approx({"u": 4.08, "v": 1}, rel=1e-2)
    plain, scaled = (
        field_of(problem, impose(problem), MLP(4, 1).build(2, 2, key=jax.random.key(0)), given)
        for given in (None, scales)
    )
    centre, spread = (
        np.asarray([part[name] for name in "uv"]) for part in (scales.centre, scales.spread)
    )
    points, plan = jnp.asarray([[0.2, 0.3], [0.7, 0.1]]), Plan([(0, 1)], (0, 1))
    for index, values in scaled.jet(points, plan).items():
        expected = spread[None] * plain.jet(points, plan)[index] + (
            centre[None] if index == () else 0
        )
        np.testing.assert_allclose(values, np.broadcast_to(expected, values.shape), rtol=1e-12)


def test_a_level_is_taken_out_of_data_that_are_imposed_exactly_where_it_hides_them(float64):
    class Imposed(Roof):
        def conditions(self):
            return po.Dirichlet({"u": lambda y: 300 + 1e-3 * y}, on="x"), po.Dirichlet(
                {"v": lambda x: 1 + x}, on="y"
            )

    problem = Imposed()
    scales = scales_of(problem, impose(problem))
    assert scales.centre == pytest.approx({"u": 300.0005, "v": 0.0}, rel=1e-6)
    assert scales.spread == pytest.approx({"u": 1e-3 / 12**0.5, "v": 1 / 12**0.5}, rel=1e-2)
    network = MLP(4, 1).build(2, 2, key=jax.random.key(0))
    field = field_of(problem, impose(problem), network, scales)
    assert field(jnp.asarray([1.0, 0.7]))[0] == pytest.approx(300.0007, rel=1e-14)


def test_sizes_leave_out_what_is_not_finite(float64):
    class Pole(Roof):
        def conditions(self):
            return (
                po.Dirichlet(
                    {"u": lambda x, y: jnp.where(x < 0.5, jnp.nan, 4.0), "v": jnp.inf}, soft=True
                ),
            )

    scales = scales_of(Pole(), impose(Pole()))
    assert scales.centre == {"u": 4, "v": 0} and scales.sizes == {"u": 4, "v": 1}


def test_what_is_known_of_a_solution_is_lifted_and_the_conditions_hold_for_the_sum(float64):
    """The layer exp(-x / 0.01) is no smooth network's business: with a lift it is there before
    training.
    """

    class Layer(po.Problem):
        domain = SQUARE
        steepness: float = 100.0

        def residual(self, lap_u):
            return lap_u

        def lift(self, x, y):
            return jnp.exp(-self.steepness * x)

        def conditions(self):
            return (po.Dirichlet(lambda x: 1 + x / 2, on="y"), po.Neumann(0.5, on="x_max"))

    layer = Layer()
    field = random_field(layer, impose(layer), 0)
    at = jnp.asarray(cube(8, 2)) * 2 - jnp.array([[0.0, 1.0]])
    jet = field.jet(at.at[:, 1].set(1.0), Plan([()]))
    np.testing.assert_allclose(jet[()][:, 0], 1 + at[:, 0] / 2, atol=1e-12)
    np.testing.assert_allclose(
        field.jet(at.at[:, 0].set(2.0), Plan([(0,)]))[0,][:, 0], 0.5, atol=1e-12
    )
    plain = random_field(nothing_known := problem(SQUARE), impose(nothing_known), 0)
    alone = random_field(Known(), impose(Known()), 0)
    np.testing.assert_allclose(alone(at[0]) - plain(at[0]), [jnp.exp(at[0, 0])], atol=1e-12)
    window = po.problem.Window(Moving(), 1.0, np.asarray(1.0), None)
    assert float(values_at(window, "lift", jnp.array([0.5, 0.25]))["u"]) == 0.5 * 0.25
    assert (
        po.manufacture(Known(), lambda x, y: x).lift is None
        and po.manufacture(Known(), lambda x, y: x).factor is None
    )


class Known(po.Problem):
    domain = SQUARE

    def residual(self, lap_u):
        return lap_u

    def lift(self, x):
        return {"u": jnp.exp(x)}


class Moving(po.Problem):
    domain = ROD

    def residual(self, u_t, u_xx):
        return u_t - u_xx

    def lift(self, x, t):
        return x * (t - 1)


def test_a_lift_of_an_unknown_that_does_not_exist_is_refused():
    class Wrong(Known):
        def lift(self, x):
            return {"w": x}

    with pytest.raises(
        ValueError, match=r"Wrong\.lift: there is no unknown 'w'; the unknowns are u"
    ):
        random_field(Wrong(), impose(Wrong()), 0)(jnp.array([0.5, 0.5]))


def test_a_solution_that_vanishes_like_a_root_on_a_circle_does_so_for_every_network(float64):
    class Round(po.Problem):
        domain = po.Disk(x=0, y=0, radius=2)
        unknowns = ("u", "v")

        def residual(self, lap_u, lap_v):
            return {"u": lap_u, "v": lap_v}

        def lift(self, x):
            return {"u": x}

        def factor(self, x, y):
            return {"u": jnp.sqrt(4 - x**2 - y**2)}

    field = random_field(Round(), impose(Round()), 0)
    bare = random_field(bare := problem(Round.domain, unknowns=("u", "v")), impose(bare), 0)
    at = jnp.array([1.2, -0.5])
    np.testing.assert_allclose(
        field(at), [1.2 + jnp.sqrt(4 - 1.69) * bare(at)[0], bare(at)[1]], atol=1e-12
    )
    with pytest.raises(
        ValueError, match=r"Wrong\.factor: there is no unknown 'w'; the unknowns are u"
    ):

        class Wrong(Known):
            def factor(self, x):
                return {"w": x}

        random_field(Wrong(), impose(Wrong()), 0)(at)


def test_features_of_a_problem_are_seen_by_networks_with_their_derivatives(float64):
    class Layered(po.Problem):
        domain = ROD
        thickness: float = 0.1

        def residual(self, u_t, lap_u):
            return u_t - lap_u

        def features(self, x, t):
            wave = jnp.sin(2 * jnp.pi * x / (ROD.bounds["x"][1] - ROD.bounds["x"][0]))
            return jnp.tanh(wave / self.thickness), wave * t

        def conditions(self):
            return (po.Periodic("x"),)

    layered = Layered()
    embedding = embedding_of(layered, impose(layered))
    assert embedding.size == 5
    assert (
        embedding_of(layered, impose(layered), po.networks.PIG(5)).size == 3
    )  # Gaussians are somewhere in the domain
    at, plan = jnp.asarray(cube(8, 2)) + jnp.array([[0.0, 1.0]]), Plan([(0, 0), (0, 1)], (0,))
    jet = embedding.jet(at, plan)
    wanted = nested(lambda point: jnp.stack(layered.features(*point)), at, plan)
    for index, stream in wanted.items():
        np.testing.assert_allclose(jet[index][:, 3:], stream, atol=1e-12)
    later = embedding_of(
        window := po.problem.Window(layered, 1.0, np.asarray(1.0), None), impose(window)
    )
    np.testing.assert_allclose(
        later.jet(at - jnp.array([[0.0, 1.0]]), Plan())[()][:, 3:], jet[()][:, 3:], atol=1e-12
    )

    class Stretched(po.Problem):
        domain = po.Box(x=(0, 1), y=(0, 2))
        stretched = True

        def residual(self, lap_u):
            return lap_u

        def features(self, x, y):
            return jnp.tanh(4 * x - 2), y - 1

    stretched = Stretched()
    inside, plan = jnp.asarray(cube(5, 2)), Plan([(0, 0), (0, 1)], (0,))
    alone = embedding_of(
        stretched, impose(stretched), po.networks.PIG(5)
    )  # Gaussians lie in the stretched coordinates
    everything = embedding_of(stretched, impose(stretched)).jet(inside, plan)
    assert alone.size == 2
    for index, stream in alone.jet(inside, plan).items():
        np.testing.assert_allclose(stream, everything[index][:, 2:], atol=1e-12)

    class One(Stretched):
        def features(self, x):
            return (x,)

    with pytest.raises(
        ValueError,
        match="One.features must return a stretched coordinate for each of x, y, got 1 numbers",
    ):
        embedding_of(One(), impose(One()), po.networks.PIG(5)).jet(inside, plan)


def test_what_is_known_is_of_all_unknowns_and_well_formed():
    pair = type(problem(SQUARE, residual=lambda self, u_x, v_x: {"a": u_x, "b": v_x}))
    pair.unknowns = ("u", "v")
    pair.lift, pair.exact = lambda self, x: 2 * x, lambda self, x: x
    at = jnp.array([0.25, 0.5])
    assert {name: float(value) for name, value in values_at(pair(), "lift", at).items()} == {
        "u": 0.5,
        "v": 0.5,
    }
    with pytest.raises(
        ValueError, match="exact must return a dict by unknown, of u, v, got one value"
    ):
        values_at(pair(), "exact", at)
    pair.lift = lambda self, x: None
    with pytest.raises(ValueError, match="lift: u returned None at one point; return one number"):
        values_at(pair(), "lift", at)
    pair.lift = 1.0
    with pytest.raises(
        ValueError, match=r"lift must be a method of coordinates, such as lift\(self, x\), got 1.0"
    ):
        values_at(pair(), "lift", at)

    class Reserved(po.Problem):
        domain = SQUARE
        factor: float = 2.0

    with pytest.raises(
        ValueError, match="Reserved: factor is what a problem knows, not a coefficient; rename it"
    ):
        Reserved()


def test_features_that_are_no_tuple_of_numbers_are_refused():
    class Wrong(Known):
        def features(self, x):
            return x

    with pytest.raises(
        ValueError, match=r"Wrong\.features must return a tuple of numbers, one for each feature"
    ):
        random_field(Wrong(), impose(Wrong()), 0)
