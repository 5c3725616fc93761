"""What is trained of an operator: many problems of a family at the same points.

Everything is written for one member, whose field is that of any network, and batched by `jax.vmap` over the members: what does
not depend on the member (the trunk of a DeepONet and all of its derivatives) is then computed once for all of them.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.data import Dataset
from pinops.derivatives import Plan, parse_names
from pinops.losses import Snapshot, Weights, residuals
from pinops.networks import Field, field_of
from pinops.operators import Operator
from pinops.optimizers import LeastSquares
from pinops.problem import (
    INTERIOR,
    Constraint,
    Imposition,
    Points,
    Problem,
    Scales,
    constraints,
    names_of,
    sample_members,
)
from pinops.training._devices import POINTS
from pinops.training._model import (
    Params,
    cast,
    gradient_norms,
    kernel_traces,
    linearised,
    weighted,
    weighted_vector,
)
from pinops.training._points import Collocation, draw, sampled

DATA = "data"  # the region of the points of a data set


class Members(eqx.Module):
    """Problems of a family, F of them in the leading axis of every array, and points that they share.

    ``values``: solutions ``(F, l)`` by unknown, at the points of the region "data"; NaN where there is none.
    """

    problems: Problem
    points: dict[str, Points]
    values: dict[str, Float[Array | np.ndarray, "f l"]]

    def map(self, function: Callable[[Problem, dict[str, Points]], Any]) -> Any:
        """``function(problem, points)`` of every member, its own data among the points, in the leading axis of every array."""

        def of(problem: Problem, values: dict[str, Array]) -> Any:
            points = dict(self.points)
            if DATA in points:
                points[DATA] = Points(
                    points[DATA].at,
                    data={f"observed_{name}": value for name, value in values.items()},
                )
            return function(problem, points)

        return eqx.filter_vmap(of)(self.problems, self.values)


class OperatorModel(eqx.Module):
    """A family, and all of its operator but the parameters. Immutable; array leaves may be traced.

    ``scale``: what errors of data are divided by, for each unknown; ``physics``: whether the equations are in the loss.
    """

    problem: Problem
    frozen: Any
    scales: Scales
    scale: Float[Array, " c"]
    imposition: Imposition = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    physics: bool = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(
        static=True, default=None
    )  # the devices that share the members of a step

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def operator(self, params: Params) -> Operator:
        """The present operator."""
        return eqx.combine(params.network, self.frozen)

    def field(self, params: Params, problem: Problem) -> Field:
        """The present solution of one member."""
        return field_of(
            problem, self.imposition, self.operator(params)(inputs_of(problem)), self.scales
        )

    def _constraints(self, problem: Problem) -> list[Constraint]:
        """The equations of one member, and its data."""
        out = constraints(problem, self.imposition.soft) if self.physics else []
        for unknown in problem.unknowns:
            signature = parse_names((unknown,), names_of(problem), owner=DATA)
            out.append(Constraint(f"observed {unknown}", DATA, signature, _misfit(unknown)))
        return out

    def _of_member(
        self, params: Params, problem: Problem, points: Mapping[str, Points]
    ) -> dict[str, Float[Array, " n"]]:
        """The residual vectors of one member at its points."""
        here = [c for c in self._constraints(problem) if c.region in points]
        sizes = dict(self.scales.terms)
        sizes |= {f"observed {name}": self.scale[k] for k, name in enumerate(problem.unknowns)}
        return residuals(self.field(params, problem), here, points, owner=self.owner, sizes=sizes)

    def residuals(self, params: Params, members: Members) -> dict[str, Float[Array, " n"]]:
        """The residual vector of every term, over members and points."""
        vectors = self._spread(members).map(
            lambda problem, points: self._of_member(params, problem, points)
        )
        return {name: vector.ravel() for name, vector in vectors.items()}

    def terms(self, params: Params, members: Members, weights: Weights) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        return {
            name: jnp.mean(weights[name] * jnp.square(r))
            for name, r in self.residuals(params, members).items()
        }

    def objective(self, members: Members, weights: Weights) -> LeastSquares:
        """The loss of these members at these points as optimizers see it."""
        loss = lambda params: sum(
            self.terms(params, members, weights).values(), start=jnp.zeros(())
        )
        vector = lambda params: weighted_vector(self.residuals(params, members), weights)
        jacobian = lambda params: weighted(self._rows(params, members), weights)
        return LeastSquares(jax.value_and_grad(loss), vector, jacobian)

    def _rows(self, params: Params, members: Members) -> dict[str, tuple[Array, Array]]:
        """The residual vectors and their derivatives by the parameters, over members and points."""

        def of(problem: Problem, points: Mapping[str, Points]) -> dict[str, tuple[Array, Array]]:
            found: dict[str, tuple[Array, Array]] = {}
            for region, here in points.items():
                at = lambda params, here, region=region: self._of_member(
                    params, problem, {region: here}
                )
                found |= linearised(at, params, here)
            return found

        found = self._spread(members).map(of)
        return {name: (v.ravel(), rows.reshape(v.size, -1)) for name, (v, rows) in found.items()}

    def _spread(self, members: Members) -> Members:
        """The members, divided among the devices; the compiler then divides all that is computed of each."""
        if self.mesh is None:
            return members
        place = NamedSharding(self.mesh, P(POINTS))
        put = lambda leaf: (
            jax.lax.with_sharding_constraint(leaf, place) if eqx.is_array(leaf) else leaf
        )
        return dataclasses.replace(
            members,
            problems=jax.tree.map(put, members.problems),
            values=jax.tree.map(put, members.values),
        )

    def snapshot(self, params: Params, members: Members, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from; without times, which are for weights of points."""
        conditions = {c.name for c in self._constraints(self.problem) if c.region != INTERIOR}
        vectors = self.residuals(params, members)
        named = [name for name in vectors if any(name.startswith(c) for c in conditions)]
        norms = lambda: gradient_norms(lambda params: self.residuals(params, members), params)
        return Snapshot(
            vectors, named, {}, norms, lambda: kernel_traces(self._rows(params, members)), key
        )


def inputs_of(problem: Problem) -> Float[Array, "..."]:
    """What an operator sees of a problem, in the precision that is in force."""
    return jnp.asarray(problem.inputs(), jnp.result_type(float))


def _misfit(unknown: str) -> Callable[..., Any]:
    def misfit(**values: Any) -> Any:
        wanted = values[f"observed_{unknown}"]
        there = jnp.isfinite(wanted)
        return jnp.where(there, values[unknown] - jnp.where(there, wanted, 0.0), 0.0)

    return misfit


class Functions(eqx.Module):
    """How many problems of a family, and how many points, a step takes from how many that are at hand.

    **Arguments:** ``pool``: problems drawn at once, new ones with every new point set; ``batch``: problems in a step;
    ``points``: a `Collocation`, whose ``batch`` is the number of interior points in a step, shared by the problems;
    ``data_points``: points of a data set in a step (None: all).
    """

    pool: int = eqx.field(static=True, default=4096)
    batch: int = eqx.field(static=True, default=64)
    points: Collocation = Collocation(
        boundary=1024, initial=1024, every=1000, refinement=None, batch=256
    )
    data_points: int | None = eqx.field(static=True, default=256)

    def __check_init__(self):
        for name in ("pool", "batch", "data_points"):
            number = getattr(self, name)
            if name == "data_points" and number is None:
                continue
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(
                    f"Functions: {name} must be a whole number of at least 1, got {number!r}"
                )
        if self.points.refinement is not None:
            raise ValueError(
                "Functions: problems share their points, which cannot follow a residual; give Collocation(refinement=None)"
            )
        if self.batch > self.pool:
            raise ValueError(
                f"Functions: batch must be at most the {self.pool} problems of the pool, got {self.batch}"
            )


class Draw(eqx.Module):
    """`Functions` of one family, physical ones or those of a data set: the points of a training of operators.

    ``dataset``: where problems and their solutions come from; None: problems are sampled.
    """

    functions: Functions
    dataset: Dataset | None = eqx.field(static=True, default=None)

    @property
    def every(self) -> int:
        return self.functions.points.every

    @property
    def stochastic(self) -> bool:
        """Whether every step has a loss of its own."""
        whole = self.functions.batch == self.functions.pool and not self.functions.points.stochastic
        some = self.dataset is not None and self._data_points(len(self.dataset.points)) < len(
            self.dataset.points
        )
        return some or not whole

    def _data_points(self, there: int) -> int:
        return min(self.functions.data_points or there, there)

    def drawn(
        self, model: OperatorModel, params: Params, key: PRNGKeyArray, present: Members | None
    ) -> Members:
        """New problems and points."""
        first, second = jax.random.split(key)
        points: dict[str, Points] = {}
        if model.physics:
            points = draw(model.problem, model.imposition.soft, self.functions.points, first)
        pool = self.functions.pool
        if self.dataset is None:
            return Members(sample_members(model.problem, second, range(pool)), points, {})
        rows = self.dataset.drawn(second, pool)
        values: dict[str, Any] = {
            name: rows[f"values/{name}"].reshape(pool, -1) for name in model.problem.unknowns
        }
        points[DATA] = Points(self.dataset.points)
        return cast(Members(self.dataset.problems(model.problem, rows), points, values))

    def sampled(
        self, model: OperatorModel, members: Members, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Members, Weights]:
        """What one step takes of them."""
        which, where, data = jax.random.split(key, 3)
        chosen = jax.random.choice(
            which, self.functions.pool, (self.functions.batch,), replace=False
        )
        return self._some(members, chosen, where, data), weights

    def divided(self, members: Members) -> None:
        """Nothing of them lies on one device only: the members of a step are anywhere among them."""

    def representative(self, members: Members) -> Members:
        """As many problems and points as a step takes, always the same."""
        return self._some(
            members, jnp.arange(self.functions.batch), jax.random.key(0), jax.random.key(1)
        )

    def _some(
        self, members: Members, chosen: Array, where: PRNGKeyArray, data: PRNGKeyArray
    ) -> Members:
        take = lambda tree: jax.tree.map(
            lambda leaf: leaf[chosen] if eqx.is_array(leaf) else leaf, tree
        )
        points, values = dict(members.points), take(members.values)
        of_data = points.pop(DATA, None)
        if points:
            points, _ = sampled(members.problems, self.functions.points, points, {}, where)
        if of_data is not None:
            total = len(of_data.at)
            if (count := self._data_points(total)) < total:
                index = jax.random.choice(data, total, (count,), replace=False)
                of_data = Points(of_data.at[index])
                values = {name: value[:, index] for name, value in values.items()}
            points[DATA] = of_data
        return Members(take(members.problems), points, values)


@eqx.filter_jit
def evaluate_members(
    model: OperatorModel, params: Params, problems: Problem, points: Float[Array, "n d"]
) -> Float[Array, "f n c"]:
    """The solutions of many members at the same points, in slices that keep memory small."""
    of = lambda problem, at: model.field(params, problem).jet(at, Plan())[()]
    slices = lambda at: jax.vmap(lambda problem: of(problem, at))(problems)
    count = len(points)
    size = min(count, 2048)
    starts = range(0, count, size)
    return jnp.concatenate([slices(points[k : k + size]) for k in starts], 1)
