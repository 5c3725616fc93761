"""What can be measured of a solution in seconds, from which `Diagnosis` tells what limits it.

Measures are numbers without a verdict: losses, shares and ratios, none of which has units. Two
instances: the loss at new points over that at those of the training; the share of the loss that
lies near a jump of a coefficient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pinops.derivatives import Partial, apply_pointwise
from pinops.losses import Fixed, Term, Weights
from pinops.metrics import deviations
from pinops.networks import JetNetwork
from pinops.optimizers import LeastSquares, normal_equations
from pinops.problem import INTERIOR, Points, Region, constraints
from pinops.reference import Reference
from pinops.settings import quick
from pinops.solvers._roughness import Spot, jump_of, kinks_of
from pinops.solvers._singularities import corners_of, disagreements_of, layers_of
from pinops.training import (
    Collocation,
    Model,
    Params,
    Report,
    TrainState,
    draw,
    evaluate,
)

POINTS = 4096
SPECTRUM_POINTS = 512
MAX_REFERENCE = 10_000  # points of a reference that the error along time is taken from
MAX_OBSERVATIONS = 2000  # whose neighbours are looked for, in pairs
FAR = 100.0  # times the size of an unknown: its size is worth a remark
MAX_PARAMETERS = 8000  # the Jacobian is dense
DAMPINGS = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
FIRST = 0.05  # of the time, in which the solution is taken to be right
BINS = 20  # of each coordinate


@dataclass(frozen=True)
class Fit:
    """One term of the loss.

    Args:
        region: What it is.
        mean_square: Of its residual at new points, in units of its size.
        weight: Its weight in the loss, a mean over points.
        whiteness: Of observations: how much the misfits of neighbours differ, 1 for independent
            ones and 0 for a smooth misfit; None for other terms.
        noise: The mean square of their noise, in the same units; None where it is not known.
    """

    region: Region
    mean_square: float
    weight: float
    whiteness: float | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Measures:
    """What was measured.

    Args:
        problem: Its name.
        status: How the training ended.
        steps: That it took.
        error: Relative L2 by unknown, where a reference is known.
        error_bar: Of that reference.
        over_time: The error in the first and in the last fifth of the time, relative to the size of
            the unknown; None without a reference or without time.
        trained: The loss at the last points of the training.
        fresh: The loss at new points.
        terms: Every term of that loss, by name.
        fell: How many times the loss fell in the last quarter of the training; None where that is
            too short to tell.
        reducible: The share of the loss at new points that one damped Gauss-Newton step from other
            new points removes; None for very large networks.
        spectrum: The eigenvalues of J J' at interior points, largest first.
        worst: The point of the largest residual.
        largest: Its size, in units of the equation's.
        rms: The root mean square of the residual.
        concentration: The share of its square in the worst hundredth of the points.
        along: By coordinate, the share of its square in the worst twentieth of it.
        jump: Where the equation jumps.
        kinks: Where data have kinks or jumps, or disagree.
        corners: Where two walls meet at an angle that leaves the gradient unbounded.
        layers: At the walls, where the coefficients make the solution change within a short way.
        paces: How often the solution would change by its own size during the whole time at the pace
            of the beginning; None without time.
        sizes: What there is to say of the sizes of unknowns.
        remarks: What the network has to say of its parameters.
    """

    problem: str
    status: str
    steps: int
    error: dict[str, float]
    error_bar: dict[str, float]
    over_time: tuple[float, float] | None
    trained: float
    fresh: float
    terms: dict[str, Fit]
    fell: float | None
    reducible: float | None
    spectrum: Float[np.ndarray, " n"]
    worst: dict[str, float]
    largest: float
    rms: float
    concentration: float
    along: dict[str, float]
    jump: Spot | None
    kinks: list[Spot]
    corners: list[Spot]
    layers: list[Spot]
    paces: float | None
    sizes: list[str]
    remarks: list[str]


def measure(
    *,
    model: Model,
    params: Params,
    state: TrainState | None,
    history: Sequence[Report],
    status: str,
    error: dict[str, float],
    reference: Reference | None,
) -> Measures:
    """Measure a trained model; arguments as for `diagnose`."""
    problem = model.problem
    collocation = Collocation(interior=POINTS, sampler=problem.sampler)
    one, other = (
        draw(problem, model.imposition.soft, collocation, jax.random.key(seed)) for seed in (1, 2)
    )
    terms = _terms(model, params, one)
    weights, noise = weights_of(model, params, state, one), known_noise(model)
    squares = {
        name: (
            term.region,
            np.asarray(one[term.region].at),
            np.asarray(weights[name] * term.vector**2 / term.vector.size, np.float64),
        )
        for name, term in terms.items()
    }
    inside = [np.asarray(t.vector, np.float64) for t in terms.values() if t.region == INTERIOR]
    scores = np.sqrt(np.sum(np.square(inside), 0))
    at = np.asarray(one[INTERIOR].at)
    few = {INTERIOR: Points(one[INTERIOR].at[:SPECTRUM_POINTS])}
    network = eqx.combine(params.network, model.frozen)
    fresh = sum(float(part.sum()) for _, _, part in squares.values())
    jump, disagreements = jump_of(model, params, at), disagreements_of(model, params)
    return Measures(
        problem=model.owner,
        status=status,
        steps=history[-1].step if history else 0,
        error=error,
        error_bar={} if reference is None else reference.error_bar,
        over_time=_over_time(model, params, reference),
        trained=history[-1].loss if history else fresh,
        fresh=fresh,
        terms={
            name: _fit(term, weights[name], one, noise.get(name)) for name, term in terms.items()
        },
        fell=_fell(history),
        reducible=_reducible(model, params, weights, one, other),
        spectrum=np.maximum(np.linalg.eigvalsh(np.asarray(_gram(model, params, few)))[::-1], 0.0),
        worst=dict(
            zip(problem.domain.coordinates, at[int(np.argmax(scores))].tolist(), strict=True)
        ),
        largest=float(scores.max()),
        rms=float(np.sqrt(np.mean(scores**2))),
        concentration=_share(np.sort(scores**2)[::-1], max(1, len(scores) // 100)),
        along=_along(model, at, scores**2),
        jump=None if jump is None else jump.measured(squares),
        kinks=[spot.measured(squares) for spot in [*kinks_of(problem), *disagreements]],
        corners=[spot.measured(squares) for spot in corners_of(model, params)],
        layers=[spot.measured(squares) for spot in layers_of(model, params, at)],
        paces=_paces(model, params, at),
        sizes=_remarks_on_sizes(model, params, one[INTERIOR].at),
        remarks=list(network.remarks(POINTS)) if isinstance(network, JetNetwork) else [],
    )


# The loss: what it consists of, where it is and how it fell.


def fresh_loss(model: Model, params: Params) -> float:
    """The loss at new points, without weights: the mean squares of all terms, in their units."""
    collocation = Collocation(interior=POINTS, sampler=model.problem.sampler)
    new = draw(model.problem, model.imposition.soft, collocation, jax.random.key(1))
    terms = _terms(model, params, new)
    return sum(float(np.mean(np.square(np.asarray(term.vector)))) for term in terms.values())


@quick
def _terms(model: Model, params: Params, points: dict[Region, Points]) -> dict[str, Term]:
    return model.residuals(params, points)


def weights_of(
    model: Model, params: Params, state: TrainState | None, points: dict[Region, Points]
) -> Weights:
    """One weight for each term: the mean over its points at the end of the training."""
    if state is None:
        return Fixed().init(model.snapshot(params, points, jax.random.key(0))).weights
    return {name: jnp.mean(weight)[None] for name, weight in state.weighting.weights.items()}


def _share(squares: Float[np.ndarray, " n"], count: int) -> float:
    """Of the first ones in the sum of all."""
    return float(squares[:count].sum() / max(squares.sum(), np.finfo(float).tiny))


def _along(
    model: Model, at: Float[np.ndarray, "n d"], squares: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """By coordinate, the share of the squares in the worst twentieth of its interval."""
    out = {}
    for axis, name in enumerate(model.problem.domain.coordinates):
        bounds = model.problem.domain.bounds[name]
        sums, _ = np.histogram(at[:, axis], BINS, bounds, weights=squares)
        out[name] = _share(np.sort(sums)[::-1], 1)
    return out


def known_noise(model: Model) -> dict[str, float]:
    """The mean square of the noise in each term of observations where it was given.

    Misfits are then counted in standard deviations, and divided by the size of the term.
    """
    conditions = model.problem.conditions()
    return {
        c.name: float(model.scales.terms[c.name]) ** -2
        for c in constraints(model.problem, model.imposition.soft)
        if c.observed and c.observed in getattr(conditions[c.region.condition], "noise", ())
    }


def _fit(term: Term, weight: Array, points: dict[Region, Points], noise: float | None) -> Fit:
    vector = np.asarray(term.vector, np.float64)
    white = None
    if term.region.kind == "observed":
        white = _whiteness(np.asarray(points[term.region].at), vector)
    return Fit(term.region, float(np.mean(vector**2)), float(jnp.mean(weight)), white, noise)


def _whiteness(at: Float[np.ndarray, "n d"], misfit: Float[np.ndarray, " n"]) -> float | None:
    """Von Neumann's ratio over nearest neighbours: E (r_i - r_j)^2 / 2 E r^2.

    None for a handful of observations.
    """
    chosen = slice(None, None, -(-len(at) // MAX_OBSERVATIONS))
    at, misfit = at[chosen], misfit[chosen]
    if len(at) < 10 or not np.any(misfit):
        return None
    span = np.ptp(at, 0)
    scaled = at / np.where(span > 0, span, 1.0)
    gaps = np.sum((scaled[:, None] - scaled[None]) ** 2, -1)
    np.fill_diagonal(gaps, np.inf)
    nearest = np.argmin(gaps, 1)
    return float(np.mean((misfit - misfit[nearest]) ** 2) / (2 * np.mean(misfit**2)))


def _fell(history: Sequence[Report]) -> float | None:
    """How many times the loss fell in the last quarter of the steps, of medians."""
    if not history:
        return None
    part = np.asarray([report.step for report in history]) / history[-1].step
    loss = np.asarray([report.loss for report in history])
    before, after = loss[(part > 0.6) & (part <= 0.8)], loss[part > 0.9]
    if not before.size:
        return None
    return float(np.median(before) / max(np.median(after), np.finfo(float).tiny))


# The network: what a step of its parameters could still do.


@quick
def _gram(model: Model, params: Params, points: dict[Region, Points]) -> Float[Array, "n n"]:
    rows = model.linearised(params, INTERIOR, points[INTERIOR])
    jacobian = jnp.concatenate([jacobian for _, jacobian in rows.values()])
    return jacobian @ jacobian.T


def _reducible(
    model: Model,
    params: Params,
    weights: Weights,
    one: dict[Region, Points],
    other: dict[Region, Points],
) -> float | None:
    if ravel_pytree(params)[0].size > MAX_PARAMETERS:
        return None
    return max(0.0, float(_gained(model, params, weights, one, other)))


@quick
def _gained(
    model: Model,
    params: Params,
    weights: Weights,
    one: dict[Region, Points],
    other: dict[Region, Points],
) -> Float[Array, ""]:
    """The share of the loss at other points that the best damped Gauss-Newton step removes."""
    flat, unravel = ravel_pytree(params)
    here: LeastSquares = model.objective(one, weights)
    there: LeastSquares = model.objective(other, weights)
    r, jacobian = here.jacobian(params)
    normal = normal_equations(jacobian)

    def value(flat: Array) -> Array:
        return jnp.sum(jnp.square(there.residuals(unravel(flat))))

    steps = [normal.solver(damping * normal.scale)(r) for damping in DAMPINGS]
    after = jax.lax.map(value, jnp.stack([flat - step for step in steps]))
    return 1 - jnp.nanmin(after) / value(flat)


# Time: whether the solution is lost on the way.


def _over_time(
    model: Model, params: Params, reference: Reference | None
) -> tuple[float, float] | None:
    """The error in the first and the last fifth of the time, relative to the size of the unknown.

    The worst unknown counts.
    """
    problem, time = model.problem, model.problem.domain.time
    if reference is None or time is None:
        return None
    reference = reference.coarse(MAX_REFERENCE)
    names = problem.domain.coordinates
    grids = np.broadcast_arrays(*(reference.coordinates[name] for name in names))
    at = jnp.asarray(np.stack([grid.ravel() for grid in grids], -1), jnp.result_type(float))
    found = np.asarray(evaluate(model, params, at))
    values = {name: found[:, k].reshape(grids[0].shape) for k, name in enumerate(problem.unknowns)}
    start, end = problem.domain.bounds[time]
    since = (grids[names.index(time)] - start) / (end - start)
    out = (0.0, 0.0)
    for off, truth in deviations(values, reference, gauge=problem.gauge, time=time).values():
        since_here = np.broadcast_to(since, off.shape)
        size = float(np.nanstd(truth)) or float(np.sqrt(np.nanmean(truth**2))) or 1.0
        parts = (off[since_here < 0.2], off[since_here > 0.8])
        pair = [float(np.sqrt(np.nanmean(p**2))) / size if p.size else 0.0 for p in parts]
        out = max(out, (pair[0], pair[1]), key=lambda both: both[1])
    return out


def _paces(model: Model, params: Params, at: Float[np.ndarray, "n d"]) -> float | None:
    """How many of its own sizes the equation makes the solution change at its first pace."""
    domain = model.problem.domain
    if domain.time is None:
        return None
    axis, (start, end) = domain.coordinates.index(domain.time), domain.bounds[domain.time]
    early = np.array(at[:SPECTRUM_POINTS])
    early[:, axis] = start + FIRST * (early[:, axis] - start)
    found = _demanded(model, params, jnp.asarray(early, jnp.result_type(float)))
    paces = []
    for name, (change, size, order) in found.items():
        size = max(float(size), float(model.scales.sizes[name]))
        paces.append((float(change) / size) ** (1 / order) * (end - start))
    paces = [pace for pace in paces if np.isfinite(pace)]
    return max(paces) if paces else None


@quick
def _demanded(
    model: Model, params: Params, points: Float[Array, "n d"]
) -> dict[str, tuple[Array, Array, int]]:
    """By unknown: its highest time derivative, how much the unknown varies, and that order.

    The derivative is the one that the equations demand, which are solved for it as if they were
    linear in it; a root mean square over the points.
    """
    problem = model.problem
    time = problem.domain.coordinates.index(problem.domain.time)
    (inside,) = constraints(model.problem_at(params), ())
    field = model.field(params)
    jet = field.jet(points, inside.signature.plan)
    values = inside.signature.gather(jet, points, elsewhere=field.jet)
    highest: dict[int, tuple[int, str]] = {}
    for argument, what in inside.signature.arguments:
        if isinstance(what, Partial) and what.index and set(what.index) == {time}:
            highest[what.component] = max(
                highest.get(what.component, (0, "")), (len(what.index), argument)
            )

    def equations(derivatives: Array) -> Float[Array, "n e"]:
        given = {
            argument: jnp.full(len(points), derivatives[k], points.dtype)
            for k, (_, argument) in enumerate(highest.values())
        }
        found = apply_pointwise(inside.function, values | given, owner=model.owner)
        return jnp.stack(list(found.values()), -1)

    zero = jnp.zeros(len(highest), points.dtype)
    if not highest:
        return {}
    right = -equations(zero)
    slopes = jnp.moveaxis(jax.jacfwd(equations)(zero), -1, 0)  # derivatives, points, equations
    matrix = jnp.moveaxis(slopes, 0, -1)
    solved = jnp.einsum("nke,ne->nk", jnp.linalg.pinv(matrix), right)
    out = {}
    for k, (component, (order, _)) in enumerate(highest.items()):
        varies = jnp.std(jet[()][:, component])
        name = problem.unknowns[component]
        out[name] = (jnp.sqrt(jnp.mean(solved[:, k] ** 2)), varies, order)
    return out


def _remarks_on_sizes(
    model: Model, params: Params, points: Float[Array | np.ndarray, "n d"]
) -> list[str]:
    """Which unknowns turn out much larger or smaller than they were taken to be.

    The network then gives no numbers of about 1.
    """
    values, out = np.asarray(evaluate(model, params, jnp.asarray(points))), []
    for k, name in enumerate(model.problem.unknowns):
        found, assumed = float(np.std(values[:, k])), float(model.scales.sizes[name])
        if not assumed / FAR <= found <= FAR * assumed and 0 < found < np.inf:
            out.append(
                f"{name} varies by {found:.2g} and was taken to be of the size {assumed:.2g}; "
                f"give scales={{{name!r}: {found:.1g}}}"
            )
    return out
