"""Every problem of the catalogue: exact solution, conditions, reference, coefficients, precision;
and the registry.
"""

import functools
import inspect
import re
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.derivatives import LAPLACIAN, Plan, apply_pointwise, call_by_name, nested
from pinops.functions import RandomGas, RandomPlaneWaves, RandomWaves, gas, plane_waves, waves
from pinops.problem import (
    INITIAL,
    INTERIOR,
    Constraint,
    Problem,
    _registry,
    constraints,
    faces,
    impose,
    names_of,
    residual_signature,
    sample_members,
    unstacked,
    values_at,
)
from pinops.reference import Reference

NAMES = tuple(sorted(_registry._catalogue()))
EXACT = tuple(name for name in NAMES if po.load_problem(name).exact is not None)
NUMERICAL = tuple(name for name in NAMES if name not in EXACT)
COEFFICIENTS = tuple(
    (name, field.name)
    for name in NAMES
    for field in fields(po.load_problem(name))
    if not field.metadata.get("static")
)


@functools.cache
def reference(name: str) -> Reference:
    """The reference with default coefficients, computed once: some take seconds."""
    out = po.load_problem(name).reference()
    assert out is not None
    return out


def cube(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(n * d).random((n, d))


def points_of(
    problem: Problem, region: str, n: int = 64, dtype=np.float64
) -> tuple[jax.Array, jax.Array | None]:
    """Points of a region and, on a boundary, their normals."""
    if region == INTERIOR:
        return jnp.asarray(problem.domain.sample_interior(cube, n), dtype), None
    if region == INITIAL:
        return jnp.asarray(problem.domain.sample_initial(cube, n), dtype), None
    at, normals = problem.domain.sample_boundary(region.parts, cube, n)
    return jnp.asarray(at, dtype), jnp.asarray(normals, dtype)


def with_leaves(problem: Problem, change) -> Problem:
    """The problem with its coefficients changed; the way a trainer casts or replaces them."""
    return jax.tree.map(change, problem)


def everything(problem: Problem) -> list[Constraint]:
    """The equation and all conditions on boundary and initial time, as what must vanish."""
    listed = [
        k
        for k, c in enumerate(problem.conditions())
        if not isinstance(c, po.Periodic | po.Observed)
    ]
    return constraints(problem, tuple(listed))


def arguments(
    problem: Problem, constraint: Constraint, dtype=np.float64, n: int = 5
) -> dict[str, jax.Array]:
    """Random values for the arguments of an equation, at real points."""
    at, normals = points_of(problem, constraint.region, n, dtype)
    components, rng = len(problem.unknowns), np.random.default_rng(0)

    def anything(points, plan):
        indices = (*plan.indices, LAPLACIAN) if plan.laplacian else plan.indices
        size = (len(points), components)
        return {index: jnp.asarray(rng.normal(size=size), dtype) for index in indices}

    jet = anything(at, constraint.signature.plan)
    return constraint.signature.gather(jet, at, normals, anything)


# Closed forms


def exact_of(problem: Problem):
    """The exact solution as a function of the point, all unknowns in order."""

    def exact(point):
        values = values_at(problem, "exact", point)
        return jnp.stack([values[unknown] for unknown in problem.unknowns])

    return exact


@jax.jit
def exact_residuals(problem: Problem) -> dict[str, jax.Array]:
    """Residuals of equations and conditions for the exact solution, at points of their region."""
    out = {}
    for constraint in everything(problem):
        at, normals = points_of(problem, constraint.region)
        elsewhere = functools.partial(nested, exact_of(problem))
        jet = elsewhere(at, constraint.signature.plan)
        values = constraint.signature.gather(jet, at, normals, elsewhere)
        found = apply_pointwise(constraint.function, values, owner="")
        out |= {f"{constraint.name} {equation}": residual for equation, residual in found.items()}
    return out


@jax.jit
def periodic_gaps(problem: Problem) -> dict[str, jax.Array]:
    """Jumps of the exact solution, and of what the equation takes of it, across periodic
    boundaries.
    """
    out, (at, _) = {}, points_of(problem, INTERIOR)
    periodic = [c.on for c in problem.conditions() if isinstance(c, po.Periodic)]
    for coordinate in [name for on in periodic for name in ((on,) if isinstance(on, str) else on)]:
        axis, ends = problem.domain.coordinates.index(coordinate), problem.domain.bounds[coordinate]
        low, high = (
            nested(exact_of(problem), at.at[:, axis].set(x), residual_signature(problem).plan)
            for x in ends
        )
        out |= {f"{coordinate} {index}": high[index] - low[index] for index in low}
    return out


@pytest.mark.parametrize("name", EXACT)
def test_the_exact_solution_satisfies_equation_and_conditions(name, float64):
    for factor in (1.0, 1.1):  # also with coefficients that are not the default ones
        problem = with_leaves(po.load_problem(name), lambda leaf, factor=factor: factor * leaf)
        for vanishing, residual in exact_residuals(problem).items():
            assert np.max(np.abs(residual)) < 1e-8, vanishing
        for vanishing, jump in periodic_gaps(problem).items():
            assert np.max(np.abs(jump)) < 1e-8, vanishing


@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_poisson_in_any_dimension_is_solved_by_its_exact_solution(dimension, float64):
    problem = po.load_problem("poisson_nd", dimension=dimension)
    assert len(problem.domain.coordinates) == dimension
    assert all(np.max(np.abs(residual)) < 1e-12 for residual in exact_residuals(problem).values())


# References

# What limits a reference that is not known to 1e-6.
ROUGH = {
    "lid_driven_cavity": 1e-5,  # layers of width 1/50, singular vorticity at the corners
    "nonlinear_diffusion": 1e-5,  # u falls like the square root of the distance to the wall
    "darcy_family": 4e-3,  # hundreds of members: coarse grids of second order
    "plate_family": 4e-3,
    "cape_burgers_2d": 1e-3,  # hundreds of members: refined until two agree to 1e-3
    "cape_compressible_1d": 1e-2,  # finite volumes, refined until two agree to 1e-2
    "cape_compressible_2d": 1e-2,
}


# Which part of a reference may have no value.
MISSING = {
    "nonlinear_diffusion": 3e-3,  # on the walls data disagree with those at the start
    "plate_family": 0.5,  # around the plate
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_reference_covers_the_domain_and_knows_its_error(name):
    problem, ours = po.load_problem(name), reference(name)
    assert tuple(ours.coordinates) == problem.domain.coordinates
    # Only a gauge unknown may be missing: the cavity's pressure is unbounded at the corners.
    assert tuple(ours.values) == tuple(u for u in problem.unknowns if u in ours.values)
    assert set(problem.unknowns) - set(ours.values) <= set(problem.gauge)
    grids = np.broadcast_arrays(*ours.coordinates.values())
    points = np.stack([grid.ravel() for grid in grids], -1)
    inside = problem.domain.contains(points)
    for c, (low, high) in problem.domain.bounds.items():
        assert np.min(ours.coordinates[c]) >= low and np.max(ours.coordinates[c]) <= high
    for unknown, values in ours.values.items():
        finite = np.isfinite(values).ravel()
        assert not np.any(finite & ~inside) and np.mean(inside & ~finite) < MISSING.get(name, 1e-9)
        assert ours.error_bar[unknown] < ROUGH.get(name, 1e-6)


BOXES = tuple(name for name in NUMERICAL if faces(po.load_problem(name)))


@pytest.mark.parametrize("name", BOXES)
def test_a_numerical_reference_has_the_declared_data(name, float64):
    problem, ours = po.load_problem(name), reference(name)
    names = problem.domain.coordinates
    compared = 0
    for face in faces(problem):
        unknown, end = (
            problem.unknowns[face.component],
            problem.domain.bounds[names[face.axis]][face.upper],
        )
        if unknown not in ours.values or not face.is_value:
            continue
        on_face = int(np.flatnonzero(ours.coordinates[names[face.axis]].ravel() == end)[0])
        # Where initial and boundary data disagree the reference can have only one: compare away
        # from the edges.
        inner = [slice(1, -1)] * len(names)
        inner[face.axis] = slice(on_face, on_face + 1)
        grids = [grid[tuple(inner)] for grid in np.broadcast_arrays(*ours.coordinates.values())]
        data = jax.vmap(face.data)(jnp.asarray(np.stack([grid.ravel() for grid in grids], -1)))
        np.testing.assert_allclose(
            ours.values[unknown][tuple(inner)].ravel(), data, rtol=0, atol=1e-12
        )
        compared += 1
    assert compared


def test_the_reference_of_poisson_disks_has_the_declared_data():
    problem, ours = po.load_problem("poisson_disks"), reference("poisson_disks")
    x, y = np.broadcast_arrays(*ours.coordinates.values())
    wall = (
        np.abs(problem.domain.signed_distance(np.stack([x.ravel(), y.ravel()], -1))).reshape(
            x.shape
        )
        < 1e-12
    )
    on_square = np.maximum(np.abs(x), np.abs(y)) == 0.5
    assert on_square.sum() == 400 and (wall & ~on_square).sum() >= 16
    np.testing.assert_allclose(ours.values["u"][on_square], problem.outer, atol=1e-12)
    np.testing.assert_allclose(ours.values["u"][wall & ~on_square], problem.inner, atol=1e-12)


def difference(values: np.ndarray, axis: int, order: int, spacing: float) -> np.ndarray:
    """Central differences over nine points; NaN in the four rows at each end."""
    offsets = np.arange(-4, 5)
    moments = np.vander(offsets, increasing=True).T.astype(float)
    weights = (
        np.linalg.solve(moments, np.eye(9)[order] * np.prod(np.arange(1, order + 1)))
        / spacing**order
    )
    out = sum(w * np.roll(values, -k, axis) for w, k in zip(weights, offsets, strict=True))
    edge = [slice(None)] * values.ndim
    for rows in (slice(None, 4), slice(-4, None)):
        edge[axis] = rows
        out[tuple(edge)] = np.nan
    return out


def grid_residuals(name: str, problem: Problem) -> dict[str, np.ndarray]:
    """The equations on the grid of the default reference, with partial derivatives by central
    differences.
    """
    ours = reference(name)
    signature, names = residual_signature(problem), names_of(problem)
    spacing = [float(np.diff(ours.coordinates[c].ravel()[:2])[0]) for c in names.coordinates]
    grids = np.broadcast_arrays(*ours.coordinates.values())
    shape = grids[0].shape
    jet: dict[tuple[int, ...], jax.Array] = {}
    plan = signature.plan
    for index in (*plan.indices, *((axis, axis) for axis in plan.laplacian)):
        columns = []
        for unknown in problem.unknowns:
            # A pressure without reference is left out here and eliminated afterwards.
            values = ours.values.get(unknown, np.zeros(shape))
            for axis in sorted(set(index)):
                values = difference(values, axis, index.count(axis), spacing[axis])
            columns.append(values.ravel())
        jet[index] = jnp.asarray(np.stack(columns, -1))
    if signature.plan.laplacian:
        jet[LAPLACIAN] = sum(jet[axis, axis] for axis in signature.plan.laplacian)
    points = jnp.asarray(np.stack([grid.ravel() for grid in grids], -1))
    residuals = apply_pointwise(problem.residual, signature.gather(jet, points), owner=name)
    found = {k: np.asarray(v).reshape(shape) for k, v in residuals.items()}
    if name == "lid_driven_cavity":
        # The curl of the momentum equation has no pressure.
        with np.errstate(invalid="ignore"):
            scale = np.asarray(problem.scale(*grids))
            x, y = found.pop("momentum_x") / scale, found.pop("momentum_y") / scale
        found["vorticity"] = difference(x, 1, 1, spacing[1]) - difference(y, 0, 1, spacing[0])
    return found


# Of second order, on coarse grids: see test_operators.py and test_surrogates.py.
COARSE = {"darcy_family", "plate_family", "cape_compressible_1d", "cape_compressible_2d"}


@pytest.mark.parametrize("name", sorted({*NUMERICAL} - COARSE))
def test_a_numerical_reference_satisfies_its_equation(name, float64):
    # The median, because layers are finer than the grid on which references are kept.
    problem = po.load_problem(name)
    if problem.trainable:
        (found,) = problem.trainable
        problem = po.load_problem(name, **{found: getattr(problem, f"true_{found}")})
    right = grid_residuals(name, problem)
    wrong = grid_residuals(name, with_leaves(problem, lambda leaf: 1.05 * leaf))
    for equation, residual in right.items():
        # The curl takes third derivatives of the velocity, of size 1e3, which differences on this
        # grid see to 1e-6.
        tolerance = 5e-3 if equation == "vorticity" else 1e-5
        if name == "kuramoto_sivashinsky":
            # Terms of size 1e2; on half the points the fourth derivative is off by 60 times more.
            tolerance = 1e-3
        if name == "cahn_hilliard_waves":
            tolerance = 1e-4  # differences of the fourth order on 100 points
        assert np.nanmedian(np.abs(residual)) < tolerance, equation
        if name != "poisson_disks" and equation != "continuity":  # they have no coefficients
            assert np.nanmedian(np.abs(wrong[equation])) > 5 * np.nanmedian(np.abs(residual)), (
                equation
            )


# How conditions are met

# Everything else is imposed exactly; these cannot be, and the reason is mathematical.
SOFT = {
    "allen_cahn": {"Initial": "its slope jumps by 4 across the periodic boundary of x"},
    "breakage": {"Equation": "it is an equation to be satisfied in the least-squares sense"},
    "fisher_family": {"Initial": "its data for u differ by 2.4e-05 from those on x = 0"},
    "nonlinear_diffusion": {"Initial": "declared soft", "Dirichlet": "declared soft"},
    "poisson_nd": {"Dirichlet": "an exact lift over more than 3 coordinates"},
    "allen_cahn_inverse": {
        "Initial": "its slope jumps by 4 across the periodic boundary of x",
        "Observed": "",
    },
    "burgers_inverse": {"Observed": ""},
}


LINES = {n for n in NUMERICAL if n.endswith("_waves")} - {"kdv_waves"}  # minutes: too stiff


@pytest.mark.parametrize("name", sorted(LINES))
def test_references_of_waves_agree_with_the_method_of_lines(name, float64):
    """For a drawn member, with the right-hand side from its own residual."""
    from scipy.integrate import solve_ivp

    member = po.load_problem(name).sample(jax.random.key(5))
    arguments = list(inspect.signature(member.residual).parameters)
    rate = "u_tt" if "u_tt" in arguments else "u_t"
    count = 128
    x, k = np.arange(count) / count, 2j * np.pi * np.fft.rfftfreq(count, 1 / count)
    residual = jax.jit(lambda values: member.residual(**values))

    def slopes(t, state):
        u = state[:count]
        powers = {name: name.count("x") for name in arguments if name.startswith("u")}
        values = {n: np.fft.irfft(k**m * np.fft.rfft(u), count) for n, m in powers.items()}
        values |= {rate: np.zeros(count)} | ({"x": x} if "x" in arguments else {})
        return np.concatenate([state[count:], -np.asarray(residual(values))])

    start = np.concatenate([member.start_on(x), np.zeros(count if rate == "u_tt" else 0)])
    found = solve_ivp(slopes, (0, 1), start, method="LSODA", rtol=1e-11, atol=1e-12)
    made, (places, _) = member.reference(), member.grid()
    weights = np.where(k == 0, 1, 2) / count * np.fft.rfft(found.y[:count, -1])
    lines = (np.exp(k * places[:, None]) @ weights).real
    u = made.values["u"][:, -1]
    assert np.linalg.norm(lines - u) < (1e-8 + made.error_bar["u"]) * np.linalg.norm(u)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_conditions_are_imposed_exactly_but_where_they_cannot_be(name):
    problem = po.load_problem(name)
    imposition = impose(problem)
    assert len(imposition.how) == len(problem.conditions())
    assert (
        problem.conditions() or problem.factor is not None or name == "plate_family"
    )  # which learns from data
    for condition, how, why in zip(
        problem.conditions(), imposition.how, imposition.why, strict=True
    ):
        kind = type(condition).__name__
        if kind in SOFT.get(name, {}):
            assert how == "soft" and SOFT[name][kind] in why
        else:
            assert how == ("embedded" if isinstance(condition, po.Periodic) else "hard"), (
                kind,
                why,
            )


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_states_equation_source_and_coefficients(name):
    cls = type(po.load_problem(name))
    assert cls.__module__ == f"pinops.problems.{name}"  # the registry finds a problem by its file
    text = cls.__doc__ or ""
    first = text.split("\n\n")[0]
    assert " = " in first and " on " in first and "Source: " in text
    for field in fields(cls):
        assert re.search(rf"^ +{field.name}: ", text.partition("Args:")[2], re.M), (
            f"{name}: the docstring does not say what {field.name} is"
        )


# Coefficients


@pytest.mark.parametrize("name", sorted({name for name, _ in COEFFICIENTS}))
def test_the_residual_is_differentiable_and_batchable_in_its_coefficients(name, float64):
    problem = po.load_problem(name)
    (interior,) = constraints(problem, ())
    values = arguments(problem, interior)
    leaves, structure = jax.tree.flatten(problem)

    def residual(leaves):
        changed = jax.tree.unflatten(structure, leaves)
        return apply_pointwise(changed.residual, values, owner=name)

    plain, jitted = residual(leaves), jax.jit(residual)(leaves)
    for equation in plain:
        np.testing.assert_allclose(jitted[equation], plain[equation], rtol=1e-12, atol=1e-12)
    batch = [jnp.stack([leaf, 1.5 * leaf]) for leaf in leaves]
    each = [residual([leaf[k] for leaf in batch]) for k in range(2)]
    for equation, both in jax.vmap(residual)(batch).items():
        for k in range(2):
            np.testing.assert_allclose(both[k], each[k][equation], rtol=1e-12, atol=1e-12)
    from jax.test_util import check_grads

    def total(leaves):
        return sum(jnp.sum(jnp.square(r)) for r in residual(leaves).values())

    check_grads(total, (leaves,), order=1, modes=["rev"], eps=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_precision_is_that_of_the_points(name, dtype, float64):
    # Under enable_x64 a hidden float64 promotes; the trainer casts the leaves, everything else must
    # follow.
    problem = with_leaves(po.load_problem(name), lambda leaf: jnp.asarray(leaf, dtype))
    for constraint in everything(problem):
        values = arguments(problem, constraint, dtype)
        found = jax.eval_shape(
            lambda v, c=constraint: apply_pointwise(c.function, v, owner=name), values
        )
        assert {r.dtype for r in found.values()} == {np.dtype(dtype)}, constraint.name
    if problem.exact is not None:
        point = points_of(problem, INTERIOR, 1, dtype)[0][0]
        by_name = dict(zip(problem.domain.coordinates, point, strict=True)) | {"point": point}
        out = jax.eval_shape(lambda p, v: call_by_name(p.exact, v, owner=name), problem, by_name)
        assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {np.dtype(dtype)}


@pytest.mark.parametrize(("name", "coefficient"), COEFFICIENTS)
def test_a_coefficient_out_of_its_range_is_refused(name, coefficient):
    problem = po.load_problem(name)
    with pytest.raises(ValueError, match=f"{coefficient} must be finite, got nan"):
        po.load_problem(name, **{coefficient: float("nan")})
    with pytest.raises(ValueError, match=f"{coefficient} must be a number, got 'much'"):
        po.load_problem(name, **{coefficient: "much"})
    if problem.__dataclass_fields__[coefficient].metadata.get("positive"):
        for bad in (-1.0, 0.0):
            for number in (float, np.float32, np.float64, jnp.asarray):
                with pytest.raises(
                    ValueError, match=f"{coefficient} must be greater than zero, got {bad}"
                ):
                    po.load_problem(name, **{coefficient: number(bad)})
    given = (
        2
        if np.ndim(getattr(problem, coefficient)) == 0
        else 2 * np.ones(np.shape(getattr(problem, coefficient)), np.float32)
    )
    leaf = getattr(po.load_problem(name, **{coefficient: given}), coefficient)
    # A JAX array made outside a float64 context would have lost half of its digits.
    assert isinstance(leaf, np.ndarray) and leaf.dtype == np.float64


def test_static_settings_are_checked():
    with pytest.raises(ValueError, match="dimension must be a whole number from 1 to"):
        po.load_problem("poisson_nd", dimension=0)
    with pytest.raises(ValueError, match="dimension must be a whole number from 1 to"):
        po.load_problem("poisson_nd", dimension=2.5)
    with pytest.raises(ValueError, match="data_seed must be a whole number from 0 to"):
        po.load_problem("burgers_inverse", data_seed=1.5)
    for setting in ("true_viscosity", "num_observations", "noise"):
        with pytest.raises(ValueError, match=f"{setting} must .*, got -1"):
            po.load_problem("burgers_inverse", **{setting: -1})


# Single problems


def test_the_observations_of_the_inverse_problem_belong_to_the_true_viscosity(float64):
    problem = po.load_problem("burgers_inverse")
    observed = problem.conditions()[-1]
    assert observed.values["u"].shape == (200,)
    # Interpolated from the reference, away from the layer.
    from scipy.interpolate import RectBivariateSpline

    ours, x, t = reference("burgers_inverse"), observed.coordinates["x"], observed.coordinates["t"]
    spline = RectBivariateSpline(
        ours.coordinates["x"].ravel(), ours.coordinates["t"].ravel(), ours.values["u"]
    )
    away = np.abs(x) > 0.1
    np.testing.assert_allclose(
        observed.values["u"][away], spline(x, t, grid=False)[away], atol=1e-5
    )
    noisy = po.load_problem("burgers_inverse", noise=0.1).conditions()[-1]
    noise = noisy.values["u"] - observed.values["u"]
    assert np.std(noise) == pytest.approx(0.1 * np.std(observed.values["u"]), rel=0.15)
    other = po.load_problem("burgers_inverse", data_seed=1, num_observations=10).conditions()[-1]
    assert other.values["u"].shape == (10,) and not np.isin(other.coordinates["x"], x).any()
    assert problem.trainable == ("viscosity",) and problem.viscosity != problem.true_viscosity


def test_a_reference_can_be_observed_at_random_nodes(float64):
    ours = reference("allen_cahn_inverse")
    exact, noisy, other = (
        po.observe(ours, 100, noise=n, seed=s) for n, s in ((0.0, 3), (0.1, 3), (0.0, 4))
    )
    grids = np.broadcast_arrays(*ours.coordinates.values())
    for x, t, u in zip(*exact.coordinates.values(), exact.values["u"], strict=True):
        assert u == ours.values["u"][(grids[0] == x) & (grids[1] == t)]
    noise = noisy.values["u"] - exact.values["u"]
    assert np.std(noise) == pytest.approx(0.1 * np.std(exact.values["u"]), rel=0.3)
    assert not np.array_equal(exact.coordinates["x"], other.coordinates["x"])
    for count, settings, message in (
        (0, {}, "from 1 to 25957"),
        (5, {"noise": -1.0}, "noise must be"),
        (5, {"seed": -1}, "seed"),
    ):
        with pytest.raises(ValueError, match=message):
            po.observe(ours, count, **settings)
    with pytest.raises(ValueError, match="true_rate must be greater than zero and finite, got -1"):
        po.load_problem("allen_cahn_inverse", true_rate=-1.0)


def test_the_vortex_of_flow_mixing_is_smooth_at_its_centre(float64):
    problem = po.load_problem("flow_mixing")

    def rotation(point):
        return problem.rotation(*point)[None]

    # Near r = 0: tanh r sech² r / r = 1 - 4r²/3 + 17r⁴/15 - ...
    jet = nested(rotation, jnp.zeros((1, 2)), Plan([(0, 0, 0, 0), (0, 0, 1, 1)]))
    v = problem.peak_speed
    wanted = {
        (): 1,
        (0,): 0,
        (0, 0): -8 / 3,
        (0, 1): 0,
        (0, 0, 0): 0,
        (0, 0, 0, 0): 27.2,
        (0, 0, 1, 1): 136 / 15,
    }
    for index, value in wanted.items():
        np.testing.assert_allclose(jet[index][0, 0], value / v, atol=1e-12)
    # Elsewhere: the formula of the source.
    at = points_of(problem, INTERIOR, 200)[0][:, :2]
    r = np.linalg.norm(at, axis=1)
    np.testing.assert_allclose(
        jax.vmap(rotation)(at)[:, 0], np.tanh(r) / np.cosh(r) ** 2 / (r * v), atol=1e-14
    )


def test_random_waves_have_the_statistics_of_their_definition(float64):
    samples = np.asarray(
        jax.jit(jax.vmap(RandomWaves().sample))(jax.random.split(jax.random.key(0), 4000))
    )
    amplitudes, phases, numbers, (folded, sign, left, right) = samples.transpose(1, 2, 0)
    assert np.all((amplitudes > 0) & (amplitudes < 1)) and np.all(
        (phases > 0) & (phases < 2 * np.pi)
    )
    assert abs(amplitudes.mean() - 1 / 2) < 0.01 and abs(phases.mean() - np.pi) < 0.06
    # Each of four is drawn once or twice, by two draws.
    times = numbers / np.arange(1, 5)[:, None]
    assert np.all(times.sum(axis=0) == 2) and np.mean(times.max(axis=0) == 2) == pytest.approx(
        1 / 4, abs=0.03
    )
    np.testing.assert_allclose(times.mean(axis=1), 1 / 2, atol=0.04)
    cut = right > left
    assert np.mean(folded) == pytest.approx(0.1, abs=0.02) and np.mean(cut) == pytest.approx(
        0.1, abs=0.02
    )
    assert set(sign) == {-1, 1} and abs(sign.mean()) < 0.05
    for edges, low, high in ((left[cut], 0.1, 0.45), (right[cut], 0.55, 0.9)):
        assert low < edges.min() < low + 0.03 and high - 0.03 < edges.max() < high
    # The mean of u is the sum of the 2.25 waves that are not drawn, each of variance 1/6.
    x = (np.arange(64) + 0.5) / 64
    means = np.array([waves(sample, x).mean() for sample in samples[(folded == 0) & ~cut]])
    assert np.std(means) == pytest.approx(np.sqrt(2.25 / 6), rel=0.05) and abs(means.mean()) < 0.05


def test_waves_are_their_formula_and_periodic(float64):
    a, phi, k = (
        np.array([0.2, 0.9, 0.4, 0.7]),
        np.array([3.0, 0.5, 2.0, 6.0]),
        np.array([0, 2, 0, 4]),
    )
    x = np.linspace(0, 1, 201)
    v = (a * np.sin(2 * np.pi * k * x[:, None] + phi)).sum(axis=1)
    window = (np.tanh((x - 0.3) / 0.01) - np.tanh((x - 0.6) / 0.01)) / 2
    for settings, wanted in (
        ([0, -1, 0, 0], -v),
        ([1, 1, 0, 0], np.abs(v)),
        ([0, 1, 0.3, 0.6], window * v),
        ([1, -1, 0.3, 0.6], -window * np.abs(v)),
    ):
        coefficients = np.array([a, phi, k, settings])
        found = waves(coefficients, x)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, wanted, atol=1e-12)
        np.testing.assert_allclose(waves(coefficients, x - 3), found, atol=1e-12)
        on_jax = jax.vmap(lambda x, c=coefficients: waves(c, x))(jnp.asarray(x))
        np.testing.assert_allclose(on_jax, found, atol=1e-13)
        # Smooth across the ends of a period, far into the tails of the window's steps.
        slope = jax.grad(lambda x, c=coefficients: waves(c, x))
        assert float(slope(1e-12)) == pytest.approx(float(slope(1 - 1e-12)), abs=1e-8)


def test_random_plane_waves_have_the_statistics_of_their_definition(float64):
    samples = np.asarray(
        jax.jit(jax.vmap(RandomPlaneWaves().sample))(jax.random.split(jax.random.key(0), 4000))
    )
    amplitudes, phases, *numbers = samples.transpose(1, 2, 0)
    assert np.all((amplitudes > 0) & (amplitudes < 1)) and np.all(
        (phases > 0) & (phases < 2 * np.pi)
    )
    assert abs(amplitudes.mean() - 1 / 2) < 0.01 and abs(phases.mean() - np.pi) < 0.06
    k, m = np.asarray(numbers)
    assert np.all(k[0] == 0) and np.all(m[0] == 0)
    vectors, counts = np.unique(np.stack([k[1:], m[1:]]).reshape(2, -1), axis=1, return_counts=True)
    assert {tuple(v) for v in vectors.T} == {(i, j) for i in range(-2, 3) for j in range(-2, 3)} - {
        (0, 0)
    }
    np.testing.assert_allclose(counts / counts.sum(), 1 / 24, atol=0.01)


def test_plane_waves_are_their_formula(float64):
    coefficients, x = np.array([[0.5, 2.0], [0.3, 1.0], [0, 1], [0, -2]]), np.linspace(0, 1, 7)
    found = plane_waves(coefficients, x[:, None], x)
    wanted = 0.5 * np.sin(0.3) + 2 * np.sin(2 * np.pi * (x[:, None] - 2 * x) + 1)
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    on_jax = jax.vmap(lambda x: plane_waves(coefficients, x, x))(jnp.asarray(x))
    np.testing.assert_allclose(on_jax, np.diag(wanted), atol=1e-13)


GAS = {
    "training": [1e-8, 1e-3, 4e-3, 1e-2, 4e-2, 1e-1],
    "interpolation": [2e-3, 7e-3, 7e-2],
    "extrapolation": [2e-1],
}
CAPE = {"cape_advection": "speed"} | dict.fromkeys(
    ["cape_burgers", "cape_burgers_2d", "cape_compressible_1d", "cape_compressible_2d"], "viscosity"
)
CAPE_PARAMETERS = {
    "cape_advection": {
        "training": [0.2, 0.4, 0.7, 2, 4],
        "interpolation": [1],
        "extrapolation": [0.1, 7],
    },
    "cape_burgers": {
        "training": [0.002, 0.007, 0.02, 0.04, 0.2, 0.4, 2],
        "interpolation": [0.004, 0.01, 0.1, 1],
        "extrapolation": [0.001, 4],
    },
    "cape_burgers_2d": {
        "training": [0.015, 0.02, 0.04, 0.1],
        "interpolation": [0.03, 0.07],
        "extrapolation": [0.01, 0.2],
    },
    "cape_compressible_1d": GAS,
    "cape_compressible_2d": GAS,
}


@pytest.mark.parametrize("name", ["cape_advection", "cape_burgers"])
def test_members_for_surrogates_start_from_their_data_and_meet_their_conditions(name, float64):
    family = po.load_problem(name, cells=16, frames=5)
    members = unstacked(sample_members(family, jax.random.key(1), range(12)), 12)
    assert len({float(member.inputs()[CAPE[name]]) for member in members}) > 2
    for member in members:
        ours = member.reference()
        assert ours.values["u"].shape == (16, 5) and ours.error_bar["u"] < 1e-6
        np.testing.assert_allclose(
            ours.coordinates["x"][:, 0], (np.arange(16) + 0.5) / 16, atol=1e-15
        )
        np.testing.assert_allclose(ours.coordinates["t"][0], [0, 0.5, 1, 1.5, 2], atol=1e-15)
        start = jax.vmap(lambda x, member=member: waves(member.initial, x))(
            jnp.asarray(ours.coordinates["x"][:, 0])
        )
        np.testing.assert_allclose(ours.values["u"][:, 0], start, atol=1e-13)
        assert member.inputs() == {CAPE[name]: getattr(member, CAPE[name])}
    for member in members[:3]:
        assert not impose(member).soft or member.initial[3, 0] > 0  # kinks


@pytest.mark.parametrize("name", CAPE)
def test_members_for_surrogates_are_drawn_from_the_list_that_is_asked_for(name):
    for parameters, wanted in CAPE_PARAMETERS[name].items():
        members = sample_members(
            po.load_problem(name, parameters=parameters), jax.random.key(0), range(200)
        )
        values, counts = np.unique(np.asarray(getattr(members, CAPE[name])), return_counts=True)
        np.testing.assert_allclose(values, wanted, rtol=1e-6)
        np.testing.assert_allclose(counts / 200, 1 / len(wanted), atol=0.12)
    with pytest.raises(
        ValueError,
        match="parameters must be one of training, interpolation, extrapolation, got 'unseen'",
    ):
        po.load_problem(name, parameters="unseen")
    for setting in ("cells", "frames"):
        for wrong in (1, 2.5, True, "many"):
            with pytest.raises(
                ValueError, match=f"{setting} must be a whole number from 2 to .*, got {wrong!r}"
            ):
                po.load_problem(name, **{setting: wrong})
    with pytest.raises(
        ValueError,
        match=r"initial must have shape \((2, 4, 3|4, 4|3, 4, n|4, 4, n)\), got \(2, 4\)",
    ):
        po.load_problem(name, initial=np.ones((2, 4)))


def test_members_in_two_dimensions_start_from_their_data_and_meet_their_conditions(float64):
    family = po.load_problem("cape_burgers_2d", cells=8, frames=3, parameters="interpolation")
    for member in unstacked(sample_members(family, jax.random.key(1), range(3)), 3):
        ours = member.reference()
        assert (
            ours.values["u"].shape == ours.values["v"].shape == (8, 8, 3)
            and ours.error_bar["v"] <= 1e-3
        )
        x, y, t = ours.coordinates.values()
        np.testing.assert_allclose(x.ravel(), (np.arange(8) + 0.5) / 8, atol=1e-15)
        np.testing.assert_array_equal(x.ravel(), y.ravel())
        np.testing.assert_array_equal(t.ravel(), [0, 0.5, 1])
        for k, unknown in enumerate("uv"):
            start = jax.vmap(lambda x, y, k=k: plane_waves(member.initial[k], x, y))  # noqa: B023
            at = [jnp.asarray(grid.ravel()) for grid in np.broadcast_arrays(x[..., 0], y[..., 0])]
            np.testing.assert_allclose(ours.values[unknown][..., 0].ravel(), start(*at), atol=1e-13)
        assert not impose(member).soft and member.inputs() == {"viscosity": member.viscosity}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cape_compressible_1d", "cape_compressible_2d"])
def test_members_of_compressible_flow_are_as_fast_as_their_mach_number(name, float64):
    family = po.load_problem(name, cells=8, frames=2)
    members = unstacked(sample_members(family, jax.random.key(3), range(12)), 12)
    at = np.meshgrid(*[(np.arange(32) + 0.5) / 32] * (len(family.unknowns) - 2), indexing="ij")
    for member in members:
        rho, *velocities, p = gas(np.asarray(member.initial), *at)
        assert rho.min() > 0 and p.min() > 0
        density, temperature = np.exp(np.log(rho).mean()), np.exp(np.log(p / rho).mean())
        assert 0.1 <= density <= 10 and 0.1 <= temperature <= 10
        speed = np.mean(np.sqrt(sum(v**2 for v in velocities))) / np.sqrt(5 / 3 * temperature)
        np.testing.assert_allclose(speed, member.mach, rtol=1e-5)
        assert member.inputs() == {"mach": member.mach, "viscosity": member.viscosity}
    ours = members[0].reference()
    for unknown, field in zip(
        family.unknowns,
        gas(
            np.asarray(members[0].initial),
            *(a[..., 0] for a in np.broadcast_arrays(*ours.coordinates.values())[:-1]),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(ours.values[unknown][..., 0], field, rtol=1e-12, atol=1e-12)
    assert not impose(members[0]).soft
    with pytest.raises(
        ValueError, match="RandomGas: dimensions must be a whole number from 1 to 2, got 3"
    ):
        RandomGas(3, 5 / 3)


def test_the_data_of_advection_travel_at_their_speed():
    initial = np.array(
        [[0.5, 0.3, 0.9, 0.2], [0.3, 1.0, 2.0, 5.0], [1, 0, 3, 0], [1, -1, 0.2, 0.8]]
    )
    u = po.load_problem("cape_advection", initial=initial, speed=7.0).reference().values["u"]
    np.testing.assert_allclose(u[:, 10], u[:, 0], atol=1e-11)  # seven crossings
    shifted = (
        po.load_problem("cape_advection", initial=initial, speed=1.25, frames=9)
        .reference()
        .values["u"]
    )
    np.testing.assert_allclose(
        shifted[:, 1], np.roll(u[:, 0], 20), atol=1e-12
    )  # 1.25 / 4 of the domain


# The registry


@pytest.fixture
def registry(monkeypatch):
    """Registrations that are forgotten after the test."""
    monkeypatch.setattr(_registry, "_classes", dict(_registry._classes))
    monkeypatch.setattr(_registry, "_files", dict(_registry._files))


def test_unknown_names_are_answered_with_the_nearest_that_exist():
    with pytest.raises(ValueError, match="no problem 'burger'; did you mean 'burgers'"):
        po.load_problem("burger")
    with pytest.raises(
        ValueError, match="no problem 'zzz'; available are advection, advection_diffusion_waves"
    ):
        po.load_problem("zzz")
    with pytest.raises(ValueError, match="no coefficient 'viscosty'; did you mean 'viscosity'"):
        po.load_problem("burgers", viscosty=1.0)
    with pytest.raises(ValueError, match="no coefficient 'q'; it has a1, a2, k"):
        po.load_problem("helmholtz", q=1.0)


def test_a_registered_problem_is_loaded_by_its_name(registry):
    @po.register("my_decay")
    class Decay(po.Problem):
        """u_t = -u."""

        domain = po.Time(0, 1)

        def residual(self, u, u_t):
            return u_t + u

        def conditions(self):
            return (po.Initial(1.0),)

    assert set(po.available()) >= {"my_decay", *NAMES}
    assert isinstance(po.load_problem("my_decay"), Decay)


def test_a_class_that_is_no_complete_problem_is_refused_when_registered(registry):
    unit = po.Box(x=(0, 1), t=(0, 1))

    def plain(self, u_t):
        return u_t

    def refused(match, error=ValueError, name="mine", bases=(po.Problem,), **members):
        before = dict(_registry._classes)
        with pytest.raises(error, match=match):
            po.register(name)(type("Mine", bases, {"residual": plain} | members))
        assert _registry._classes == before

    refused("must be an identifier such as 'heat', got 'two words'", name="two words", domain=unit)
    refused("decorates a class derived from pinops.Problem", TypeError, bases=(), domain=unit)
    refused("Mine has no domain")
    refused(
        "coefficient 'speed' needs a default value", domain=unit, __annotations__={"speed": float}
    )
    refused(
        "'u_q' names nothing.*available are the unknowns u;",
        domain=unit,
        residual=lambda self, u_q: u_q,
    )
    refused(r"argument \*values has no meaning", domain=unit, residual=lambda self, *values: 0)
    refused(
        "'u_xxxxx' names nothing", domain=unit, residual=lambda self, u_xxxxx: u_xxxxx
    )  # order 5
    refused("Mine has no residual; define one", domain=unit, residual=Problem.residual)

    def conditions(*listed):
        return {"domain": unit, "conditions": lambda self: listed}

    refused("no boundary part 'z'", **conditions(po.Dirichlet(0.0, on="z")))
    refused(
        "at the first instant use Initial, at the last one on='t_max'",
        **conditions(po.Dirichlet(0.0, on="t")),
    )
    refused("no unknown 'w'; the unknowns are u", **conditions(po.Dirichlet({"w": 0.0}, on="x")))
    refused(
        "u is declared twice on x_min",
        **conditions(po.Dirichlet(0.0, on="x"), po.Dirichlet(1.0, on="x_min")),
    )
    refused(
        "t is periodic and has no boundary for Initial",
        **conditions(po.Periodic("t"), po.Initial(0.0)),
    )
    refused(
        "the domain has no coordinate t",
        domain=po.Box(x=(0, 1)),
        residual=lambda self, u_x: u_x,
        conditions=lambda self: (po.Initial(0.0),),
    )


GOOD = """
import pinops as po

@po.register("{name}")
class Mine(po.Problem):
    domain = po.Box(x=(0, 1))
    def residual(self, u_xx):
        return u_xx - {source}
"""


def test_a_folder_of_problem_files_is_made_available(registry, tmp_path):
    (tmp_path / "my_rod.py").write_text(GOOD.format(name="my_rod", source=1.0))
    (tmp_path / "_private.py").write_text("raise RuntimeError")
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found")
    (tmp_path / "other.py").write_text(GOOD.format(name="another_name", source=1.0))
    assert po.load_folder(tmp_path) == ("broken", "my_rod", "other")  # nothing is executed yet
    assert po.load_problem("my_rod").residual(3.0) == 2.0
    with pytest.raises(
        ValueError,
        match="broken.py cannot be loaded: ModuleNotFoundError: No module named 'nowhere",
    ):
        po.load_problem("broken")
    with pytest.raises(
        ValueError, match="'other' does not register it; decorate its class with @pinops.register"
    ):
        po.load_problem("other")
    # A second folder takes a name over.
    second = tmp_path / "second"
    second.mkdir()
    (second / "my_rod.py").write_text(GOOD.format(name="my_rod", source=2.0))
    po.load_folder(str(second))
    assert po.load_problem("my_rod").residual(3.0) == 1.0


def test_a_folder_without_problem_files_is_refused(registry, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no folder .*nowhere; give the one that holds your problem files"
    ):
        po.load_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no problem files"):
        po.load_folder(tmp_path)
