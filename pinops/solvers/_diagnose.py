"""What limits a solution: a list of causes, each with its evidence in the measures, or silent.

The first cause that speaks is the limit; the others are told as well. Two instances: `points`,
where the loss is larger between the points of the training than at them; `noise`, where
observations are missed without any pattern.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pinops.problem import INTERIOR
from pinops.reference import Reference
from pinops.solvers._measures import Fit, Measures, measure
from pinops.solvers._roughness import Spot
from pinops.training import Model, Params, Report, TrainState

FEW_STEPS = 300  # fewer tell nothing of an optimizer
FALLING = 2.0  # times in the last quarter of the training: the loss had not come to rest
BETWEEN = 2.0  # times the loss at the training's points: it is larger between them
LEFT = 0.1  # of the loss, removed by one step of Gauss-Newton: the optimizer has not found it
WHITE = 0.5  # half of what independent misfits of neighbours differ by
UNMET = 30.0  # times the mean square of the equation: a condition is neglected
ROUGH = 1e-3  # in units of a term's size: what is smaller is a good fit
LONG = 20.0  # changes of the solution by its own size
GROWN = 2.0  # times the error in the first fifth of the time

Cause = Callable[[Measures], str | None]


@dataclass(frozen=True)
class Diagnosis:
    """What was measured, and what follows from it. Printing it gives a report.

    Args:
        measures: What was measured.
    """

    measures: Measures

    @property
    def causes(self) -> dict[str, str]:
        """Every cause with its evidence and the remedy, the most likely first."""
        found = ((name, cause(self.measures)) for name, cause in CAUSES.items())
        return {name: said for name, said in found if said is not None}

    @property
    def limit(self) -> str:
        """The first of `causes`; one of the names in `CAUSES`."""
        return next(iter(self.causes))

    def __str__(self) -> str:
        m = self.measures
        first, *others = self.causes.items()
        lines = [f"{m.problem} ({first[0]}): {first[1]}"]
        # The last cause is what remains without evidence for any other.
        lines += [f"  also ({name}): {said}" for name, said in others if name != "network"]
        lines += [
            f"  error of {name} {error:.1e}, error bar {m.error_bar[name]:.0e}"
            for name, error in m.error.items()
        ]
        fell = "" if m.fell is None else f"; it fell {m.fell:.2g} times in the last quarter"
        lines.append(
            f"  loss {m.fresh:.1e} at fresh points, {m.trained:.1e} at those of the training{fell}"
        )
        lines += _shares(m)
        if m.reducible is not None:
            lines.append(f"  one step of Gauss-Newton would lower it by {_percent(m.reducible)}")
        where = ", ".join(f"{name} = {value:.3g}" for name, value in m.worst.items())
        lines.append(
            f"  residual {m.rms:.1e} (root mean square), largest {m.largest:.1e} at {where}"
        )
        along = ", ".join(f"{_percent(share)} of {name}" for name, share in m.along.items())
        lines.append(
            f"  its square: {_percent(m.concentration)} in the worst hundredth of the points; in "
            f"the worst twentieth along each coordinate: {along}"
        )
        rank = int(np.sum(m.spectrum > 1e-8 * m.spectrum[0]))
        lines.append(
            f"  J J': {rank} of {len(m.spectrum)} eigenvalues above 1e-8 of the largest, "
            f"{m.spectrum[0]:.1e}"
        )
        return "\n".join(lines + [f"  {remark}" for remark in m.remarks])


def diagnose(
    *,
    model: Model,
    params: Params,
    state: TrainState | None,
    history: Sequence[Report],
    status: str,
    error: dict[str, float],
    reference: Reference | None,
) -> Diagnosis:
    """Measure what limits a trained model.

    Args:
        model: What was trained.
        params: Its parameters.
        state: Of the training, for the weights of the terms; None: the default ones.
        history: The reports of the training.
        status: How it ended.
        error: Relative L2 by unknown, where a reference is known.
        reference: That one.
    """
    return Diagnosis(
        measure(
            model=model,
            params=params,
            state=state,
            history=history,
            status=status,
            error=error,
            reference=reference,
        )
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _shares(m: Measures) -> list[str]:
    """The parts of the loss, where there are several."""
    parts = {name: fit.weight * fit.mean_square for name, fit in m.terms.items()}
    total = sum(parts.values())
    if len(parts) < 2 or not total > 0:
        return []
    said = ", ".join(f"{name} {_percent(part / total)}" for name, part in parts.items())
    return [f"  of which {said}"]


def _conditions(m: Measures) -> dict[str, Fit]:
    """Conditions in the loss, observations left out."""
    kinds = ("initial", "boundary", "interface")
    return {name: fit for name, fit in m.terms.items() if fit.region.kind in kinds}


def _equation(m: Measures) -> float:
    """The mean square of the worst interior equation."""
    return max(fit.mean_square for fit in m.terms.values() if fit.region == INTERIOR)


# The causes. Each returns its evidence and the remedy, or None.


def reference(m: Measures) -> str | None:
    """The error is as small as what it is measured with."""
    if not m.error or any(m.error[name] > 2 * m.error_bar[name] for name in m.error):
        return None
    return "the error is within twice its error bar; only a finer reference would show more"


def diverged(m: Measures) -> str | None:
    """The loss was not finite any more."""
    if m.status != "diverged":
        return None
    return (
        f"the loss became infinite or NaN after {m.steps} steps; take a lower learning rate, or "
        "look for a root, logarithm or quotient that some values of the unknowns leave undefined"
    )


def scales(m: Measures) -> str | None:
    """Unknowns are far from the sizes that they were taken to have."""
    return "; ".join(m.sizes) if m.sizes else None


def noise(m: Measures) -> str | None:
    """Observations are missed without a pattern, and that is most of the loss."""
    total = sum(fit.weight * fit.mean_square for fit in m.terms.values())
    for name, fit in m.terms.items():
        most = fit.weight * fit.mean_square > 0.5 * total
        visible = fit.mean_square > (1e-3 * ROUGH) ** 2
        if fit.whiteness is not None and fit.whiteness > WHITE and most and visible:
            missed = f"{np.sqrt(fit.mean_square):.1e} of its size"
            if fit.noise is not None:
                missed = f"{np.sqrt(fit.mean_square / fit.noise):.2g} times its noise"
            return (
                f"{name} is missed by {missed}, at each point independently of its neighbours; a "
                "better fit would follow the noise, give more observations"
            )
    return None


def discontinuity(m: Measures) -> str | None:
    """The loss gathers where a coefficient or a source jumps."""
    if m.jump is None or not m.jump.gathers:
        return None
    return (
        f"{m.jump.what}, and {_percent(m.jump.share)} of the loss is there; make the jump a steep "
        "smooth step, or the flux an unknown of its own"
    )


def kink(m: Measures) -> str | None:
    """The loss gathers where data have a kink or a jump, or disagree."""
    usual = "smooth the data, or put what is known of the solution there into lift()"
    return _gathered(m.kinks, usual)


def corner(m: Measures) -> str | None:
    """The loss gathers where two walls meet and the gradient is unbounded."""
    return _gathered(m.corners)


def layer(m: Measures) -> str | None:
    """The loss gathers in a layer at a wall."""
    return _gathered(m.layers)


def _gathered(spots: Sequence[Spot], usual: str = "") -> str | None:
    """The spot with the largest share of the loss, if that is much, and what helps."""
    spots = [spot for spot in spots if spot.gathers]
    if not spots:
        return None
    spot = max(spots, key=lambda spot: spot.share)
    return f"{spot.what}, and {_percent(spot.share)} of the loss is there; {spot.remedy or usual}"


def points(m: Measures) -> str | None:
    """The loss is larger between the points of the training."""
    if not m.fresh > BETWEEN * m.trained:
        return None
    times = m.fresh / max(m.trained, np.finfo(float).tiny)
    return f"the loss is {times:.1e} times larger between them; give more, or draw them more often"


def untrained(m: Measures) -> str | None:
    """The loss was still falling, or there were hardly any steps."""
    if m.status in ("converged", "diverged"):
        return None
    if m.fell is not None and m.fell > FALLING:
        return f"the loss still fell {m.fell:.2g} times in the last quarter; give more steps"
    if m.steps < FEW_STEPS and m.reducible is not None and m.reducible > LEFT:
        return f"it has taken only {m.steps} steps; give more"
    return None


def horizon(m: Measures) -> str | None:
    """The solution is lost on the way through a long time."""
    if m.paces is None or m.paces < LONG:
        return None
    if m.over_time is None:
        lost = np.sqrt(_equation(m)) > ROUGH
        said = "and the equation is not met"
    else:
        early, late = m.over_time
        lost = late > max(ROUGH, GROWN * early)
        said = f"and the error grows from {early:.1e} in the first to {late:.1e} in the last fifth"
    if not lost:
        return None
    return (
        f"at its first pace the solution changes {m.paces:.0f} times by its own size, {said}; give "
        "windows=TimeWindows(), which chooses their lengths, or weighting=Causal()"
    )


def conditions(m: Measures) -> str | None:
    """A condition in the loss is met much worse than the equation, and more steps do not help."""
    total = sum(fit.weight * fit.mean_square for fit in m.terms.values())
    for name, fit in _conditions(m).items():
        # The optimizer hardly sees a small part of the loss while it still lowers the rest.
        unseen = fit.weight * fit.mean_square < 0.5 * total or untrained(m) is None
        if unseen and fit.mean_square > max(ROUGH**2, UNMET * _equation(m)):
            missed, equation = np.sqrt(fit.mean_square), np.sqrt(_equation(m))
            return (
                f"{name!r} is missed by {missed:.1e} of its size, the equation by {equation:.1e}; "
                f"raise its weight, {fit.weight:.2g}, with weighting=Fixed({{{name!r}: ...}})"
            )
    return None


def optimizer(m: Measures) -> str | None:
    """A step of another optimizer still finds a better solution."""
    if m.reducible is None or m.reducible <= LEFT or untrained(m) is not None:
        return None
    return (
        "the loss has come to rest, but one step of Gauss-Newton removes "
        f"{_percent(m.reducible)} of it; go on with SSBroyden or LevenbergMarquardt"
    )


def network(m: Measures) -> str | None:
    """What remains."""
    return "no small step of its parameters makes the residual much smaller; give a wider one"


CAUSES: dict[str, Cause] = {
    cause.__name__: cause
    for cause in (
        reference,
        diverged,
        scales,
        noise,
        discontinuity,
        kink,
        corner,
        layer,
        points,
        conditions,
        untrained,
        horizon,
        optimizer,
        network,
    )
}
