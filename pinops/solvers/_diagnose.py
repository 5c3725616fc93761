"""What limits a solution: its reference, its points, its optimizer or its network."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pinops.losses import Fixed, Weights
from pinops.networks import JetNetwork
from pinops.optimizers import LeastSquares, normal_equations
from pinops.problem import INTERIOR, Points
from pinops.training import Collocation, Model, Params, TrainState, draw, evaluate, interior_score

POINTS = 4096
SPECTRUM_POINTS = 512
FAR = 100.0  # times the size of an unknown: its size is worth a remark
MAX_PARAMETERS = 8000  # the Jacobian is dense
DAMPINGS = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)


@dataclass(frozen=True)
class Diagnosis:
    """What was measured, and what follows from it. Printing it gives a report.

    **Arguments:** ``error`` and ``error_bar``: relative L2 by unknown; ``trained`` and ``fresh``: the loss at the last points
    of the training and at new ones; ``reducible``: the share of the loss at new points that one
    damped Gauss-Newton step from other new points removes (None for very large networks); ``spectrum``: the eigenvalues of
    J J' at interior points, largest first; ``worst``: the point of the largest residual, ``largest`` and ``rms`` its size
    and the root mean square, ``concentration``: the share of the squares that the worst hundredth of the points holds;
    ``remarks``: what there is to say of the sizes of unknowns and, by the network, of its parameters; ``limit``: "reference", "points", "optimizer" or "network".
    """

    problem: str
    error: dict[str, float]
    error_bar: dict[str, float]
    trained: float
    fresh: float
    reducible: float | None
    spectrum: np.ndarray
    worst: dict[str, float]
    largest: float
    rms: float
    concentration: float
    remarks: list[str]

    @property
    def limit(self) -> str:
        if self.error and all(self.error[name] <= 2 * self.error_bar[name] for name in self.error):
            return "reference"
        if self.fresh > 2 * self.trained:
            return "points"
        if self.reducible is not None and self.reducible > 0.1:
            return "optimizer"
        return "network"

    def __str__(self) -> str:
        advice = {
            "reference": "the reference: the error is within twice its error bar; a finer reference would be needed to see more",
            "points": "the points: the loss is larger between them; give more, or draw them more often",
            "optimizer": "the optimizer: one step of Gauss-Newton still finds a better solution; give more steps",
            "network": "the network: no small step of its parameters makes the residual much smaller; give a wider one",
        }
        where = ", ".join(f"{name} = {value:.3g}" for name, value in self.worst.items())
        rank = int(np.sum(self.spectrum > 1e-8 * self.spectrum[0]))
        lines = [f"{self.problem}: what limits the answer is {advice[self.limit]}"]
        lines += [
            f"  error of {name} {error:.1e}, error bar {self.error_bar[name]:.0e}"
            for name, error in self.error.items()
        ]
        lines.append(
            f"  loss {self.fresh:.1e} at fresh points, {self.trained:.1e} at those of the training"
        )
        if self.reducible is not None:
            lines.append(
                f"  one step of Gauss-Newton would lower it by {100 * self.reducible:.0f} %"
            )
        lines.append(
            f"  residual {self.rms:.1e} (root mean square), largest {self.largest:.1e} at {where}"
        )
        lines.append(
            f"  the worst hundredth of the points holds {100 * self.concentration:.0f} % of its square"
        )
        lines.append(
            f"  J J': {rank} of {len(self.spectrum)} eigenvalues above 1e-8 of the largest, {self.spectrum[0]:.1e}"
        )
        return "\n".join(lines + [f"  {remark}" for remark in self.remarks])


def diagnose(
    model: Model,
    params: Params,
    state: TrainState | None,
    trained: float,
    error: dict[str, float],
    error_bar: dict[str, float],
) -> Diagnosis:
    """Measure what limits a trained model; ``trained`` is its loss at the points of the training.

    Without the state of the training the terms are weighed as by default.
    """
    collocation = Collocation(interior=POINTS, sampler=model.problem.sampler)
    one, other = (
        draw(model.problem, model.imposition.soft, collocation, jax.random.key(seed))
        for seed in (1, 2)
    )
    weights = Fixed().init(model.snapshot(params, other, jax.random.key(0))).weights
    loss = eqx.filter_jit(
        lambda model, params, points, weights: sum(model.terms(params, points, weights).values())
    )
    if state is not None:
        weights = {name: jnp.mean(weight)[None] for name, weight in state.weighting.weights.items()}
    scores = np.asarray(interior_score(model, params, one))
    squares = np.sort(scores**2)[::-1]
    few = {INTERIOR: Points(one[INTERIOR].at[:SPECTRUM_POINTS])}
    network = eqx.combine(params.network, model.frozen)
    at = np.asarray(one[INTERIOR].at[int(np.argmax(scores))])
    return Diagnosis(
        model.owner,
        error,
        error_bar,
        trained,
        float(loss(model, params, other, weights)),
        _reducible(model, params, weights, one, other),
        np.maximum(np.linalg.eigvalsh(np.asarray(_gram(model, params, few)))[::-1], 0.0),
        dict(zip(model.problem.domain.coordinates, at.tolist(), strict=True)),
        float(scores.max()),
        float(np.sqrt(np.mean(scores**2))),
        float(
            squares[: max(1, len(squares) // 100)].sum() / max(squares.sum(), np.finfo(float).tiny)
        ),
        [
            *_remarks_on_sizes(model, params, one[INTERIOR].at),
            *(network.remarks(POINTS) if isinstance(network, JetNetwork) else []),
        ],
    )


def _remarks_on_sizes(model: Model, params: Params, points: Float[Array, "n d"]) -> list[str]:
    """Which unknowns turn out much larger or smaller than they were taken to be: the network then gives no numbers of about 1."""
    values, out = np.asarray(evaluate(model, params, points)), []
    for k, name in enumerate(model.problem.unknowns):
        found, assumed = float(np.std(values[:, k])), float(model.scales.sizes[name])
        if not assumed / FAR <= found <= FAR * assumed and 0 < found < np.inf:
            out.append(
                f"{name} varies by {found:.2g} and was taken to be of the size {assumed:.2g}; "
                f"give scales={{{name!r}: {found:.1g}}}"
            )
    return out


@eqx.filter_jit
def _gram(model: Model, params: Params, points: dict[str, Points]) -> Float[Array, "n n"]:
    rows = model.linearised(params, INTERIOR, points[INTERIOR])
    jacobian = jnp.concatenate([jacobian for _, jacobian in rows.values()])
    return jacobian @ jacobian.T


def _reducible(
    model: Model, params: Params, weights: Weights, one: dict[str, Points], other: dict[str, Points]
) -> float | None:
    flat, unravel = ravel_pytree(params)
    if flat.size > MAX_PARAMETERS:
        return None

    @eqx.filter_jit
    def best(model, flat, one, other):
        here: LeastSquares = model.objective(one, weights)
        there: LeastSquares = model.objective(other, weights)
        r, jacobian = here.jacobian(unravel(flat))
        normal = normal_equations(jacobian)
        value = lambda flat: jnp.sum(jnp.square(there.residuals(unravel(flat))))
        after = jnp.stack(
            [value(flat - normal.solver(damping * normal.scale)(r)) for damping in DAMPINGS]
        )
        return 1 - jnp.nanmin(after) / value(flat)

    return max(0.0, float(best(model, flat, one, other)))
