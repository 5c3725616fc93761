"""From a request to a training of a hypernetwork."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.losses import Fixed, Weighting
from pinops.networks import trainable
from pinops.operators import HyPINO
from pinops.optimizers import Adam
from pinops.problem import DataFamily, LinearSamples, Problem, RandomLinearProblems, fingerprint
from pinops.settings import reused
from pinops.solvers._door import Assembly, Options
from pinops.solvers._of_family import FamilyPlan, of_outcome, phases_request
from pinops.solvers._rebuild import architecture_of, of_another_kind
from pinops.solvers._recipe import (
    Length,
    check_stochastic,
    check_terms_weighted,
    checked_steps,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, describe, digest
from pinops.solvers._stored import Stored, of_stored
from pinops.solvers._trained_hypernetwork import NAME, UNKNOWN, TrainedHypernetwork
from pinops.training import (
    SUPERVISED,
    Continuation,
    Functions,
    HypernetworkModel,
    Outcome,
    Params,
    RandomDraw,
    Training,
    cast,
    check_network_fits,
    drawn_problems,
    streams,
)

STEPS = 20_000
_WHAT = "hypernetworks, of which every step has other problems"
_BATCH = 32
_SHOWN = 64  # problems that the loss and the error are reported for
# Bischof et al. 2025, section 3: the last stage, and what differs in the first third of the steps.
_BALANCE = {
    "residual": 0.1,
    "value": 1.0,
    "slope": 1.0,
    "curvature": 0.1,
    "dirichlet": 10.0,
    "neumann": 1.0,
    SUPERVISED: 0.5,
}
_FIRST = {"residual": 0.01, "slope": 0.1, "curvature": 0.01, SUPERVISED: 1.0}


@dataclass(frozen=True)
class HypernetworkPlan(FamilyPlan):
    """What all members of an ensemble of hypernetworks share."""

    problem: DataFamily
    problems: RandomLinearProblems
    architecture: HyPINO

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        model, params = built_hypernetwork(self.architecture, request)
        training = Training(
            model=model,
            phases=self.phases,
            source=RandomDraw(self.problems, self.functions.batch, self.functions.pool),
            seed=seed,
            weighting=self.weighting,
            stages=Continuation(
                request["first_steps"], **{name: (value,) for name, value in _FIRST.items()}
            ),
            measure=_monitor(model, self.problems, self.functions.pool),
        )

        def result(outcome: Outcome) -> TrainedHypernetwork:
            return TrainedHypernetwork(
                family=self.problem,
                request=request,
                architecture=self.architecture,
                model=model,
                **of_outcome(outcome),
            )

        return Assembly(training, params, request, partial(training.init, params), result)

    def _request(self, seed: int) -> dict[str, Any]:
        total = sum(phase.steps for phase in self.phases)
        # A run that is resumed with more steps goes on as it began.
        before = (self.options.before or {}).get("first_steps")
        return self.common(seed) | {
            "problem": NAME,
            "first_steps": before or max(1, total // 3),
            "hypernetwork": describe(self.architecture),
            "problems": describe(self.problems),
            "pool": digest([self.problems.pool.tables]),
            **phases_request(self.phases),
        }


def hypernetwork_plan(
    problems: RandomLinearProblems,
    architecture: HyPINO,
    options: Options,
    *,
    functions: Functions | None,
    optimizer: Any,
    weighting: Weighting | None,
    length: Length,
) -> HypernetworkPlan:
    """The plan of a request, whose parts are checked here; arguments as for `train`."""
    if options.mesh() is not None:
        raise ValueError("a hypernetwork is trained on one device; leave devices out")
    if problems.size != architecture.grid:
        raise ValueError(
            f"HyPINO: its images have {architecture.grid} rows and those of the problems "
            f"{problems.size}; give RandomLinearProblems(size={architecture.grid})"
        )
    check_terms_weighted(weighting, _WHAT)
    steps = length.in_steps(None, _BATCH)
    total = checked_steps(steps, STEPS)
    chosen = Adam(1e-3, total, largest=1.0, warm_up=0.05, weight_decay=1e-4)
    plan = phases(chosen if optimizer is None else optimizer, steps, STEPS)
    check_stochastic(plan, _WHAT)
    family = family_of_images(architecture.grid)
    return HypernetworkPlan(
        problem=family,
        problems=cast(problems),
        architecture=architecture,
        options=options,
        dataset=None,
        functions=functions or Functions(pool=_SHOWN, batch=_BATCH),
        phases=plan,
        weighting=weighting or Fixed(condition=1.0),
        fingerprint=fingerprint(family),
    )


def family_of_images(grid: int) -> DataFamily:
    """What a hypernetwork is asked: coefficients and images, of problems on the square."""
    bounds = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
    return DataFamily.of(bounds, (UNKNOWN,), {"coefficients": (5,), "images": (grid, grid, 5)})


def built_hypernetwork(
    architecture: HyPINO, request: Mapping[str, Any]
) -> tuple[HypernetworkModel, Params]:
    """The model of a request, and fresh parameters."""
    build = Drawing(architecture, ())
    check_network_fits(architecture, build)
    built = as_drawn(request, build)
    arrays, frozen = eqx.partition(built, trainable(built))
    model = HypernetworkModel(
        frozen=frozen,
        balance={
            name: jnp.asarray(np.asarray(value, jnp.result_type(float)))
            for name, value in _BALANCE.items()
        },
        scaled=architecture.scaled,
        owner=NAME,
        compute_dtype=request.get("compute_dtype"),
    )
    return model, Params(cast(arrays), {})


def load_hypernetwork(
    stored: Stored, problem: Problem, architecture: Any, changed: bool
) -> TrainedHypernetwork:
    """What a training of a hypernetwork has left; arguments as in `load`."""
    folder, request = stored.where, stored.request
    architecture = architecture_of(request["hypernetwork"], folder, architecture, changed)
    if not isinstance(architecture, HyPINO) or not isinstance(problem, DataFamily):
        raise of_another_kind(folder, architecture, "a hypernetwork")
    stored.check(Drawing(architecture, ()))
    model, params = built_hypernetwork(architecture, request)
    params, history = stored.params(params)
    return TrainedHypernetwork(
        family=problem,
        request=request,
        architecture=architecture,
        **of_stored(model, params, history, stored.content),
    )


def _monitor(
    model: HypernetworkModel, problems: RandomLinearProblems, count: int
) -> Callable[[Params], dict[str, float]]:
    """The median relative L2 error over manufactured problems that no step sees."""
    samples = drawn_problems(problems, jax.random.key(0), count, 1.0)

    def measure(params: Params) -> dict[str, float]:
        return {UNKNOWN: float(np.median(_errors(model, params, samples)))}

    return measure


@reused
def _errors(model: HypernetworkModel, params: Params, samples: LinearSamples) -> Any:
    """Relative L2 errors at the interior points."""
    given = model.given(samples)
    found = jax.vmap(lambda network, at: streams(network, at, ((),)))(
        model.networks(params, given), given.points
    )[..., 0]
    truth = given.streams[..., 0]
    return jnp.linalg.norm(found - truth, axis=1) / jnp.linalg.norm(truth, axis=1)
