"""What is trained of an operator: many problems of a family at the same points.

Everything is written for one member, whose field is that of any network, and batched by `jax.vmap`
over the members: what does not depend on the member (the trunk of a DeepONet and all of its
derivatives) is then computed once for all of them.
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
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pinops.data import Dataset, problems
from pinops.derivatives import parse_names
from pinops.losses import Snapshot, Term, Weights, residuals
from pinops.networks import Field, field_of, narrowed
from pinops.operators import Operator
from pinops.optimizers import LeastSquares
from pinops.problem import (
    Constraint,
    Imposition,
    Points,
    Problem,
    Region,
    Scales,
    constraints,
    names_of,
    sample_members,
)
from pinops.settings import check_settings, instance, whole
from pinops.training._bootstrap import Bootstrap, bootstrapped
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._devices import POINTS
from pinops.training._inputs import inputs_of
from pinops.training._linearised import (
    Linearised,
    gradient_norms,
    kernel_traces,
    linearised,
    weighted,
    weighted_vector,
)
from pinops.training._model import cast
from pinops.training._points import Collocation, draw, sampled

DATA = Region("data")  # the points of a data set
# Of an unknown: its value in the data, and what its misfit counts.
_OBSERVED, _SHARE = "observed_", "share_"


class Members(eqx.Module):
    """Members of a family and the points that they share.

    Args:
        problems: F members in the leading axis of every array.
        points: By region, the same for all members.
        values: Solutions ``(F, l)`` by unknown, at the points of the region `DATA`; NaN where there
            is none.
        own: The points of these solutions where each member has its own; None: they share them.
        numbers: Of the members in their data set; None: they are of none.
    """

    problems: Problem
    points: dict[Region, Points]
    values: Mapping[str, Float[Array | np.ndarray, "f l"]]
    own: Float[Array | np.ndarray, "f l d"] | None = None
    numbers: Int[Array | np.ndarray, " f"] | None = None

    def map(
        self,
        function: Callable[[Problem, dict[Region, Points]], Any],
        bootstrap: Bootstrap | None = None,
    ) -> Any:
        """``function(problem, points)`` of every member, its own data among the points, in the
        leading axis of every array.

        Args:
            function: Of one member.
            bootstrap: Which members' data count; None: those of all.
        """

        def of(problem: Problem, values: dict[str, Array], own: Array | None) -> Any:
            points = dict(self.points)
            if own is not None:
                points[DATA] = Points(own, data={**values})
            elif DATA in points:
                points[DATA] = Points(points[DATA].at, data={**values})
            return function(problem, points)

        values: dict[str, Array] = {}
        for name, given in self.values.items():
            values[_OBSERVED + name], shares = _shares(jnp.asarray(given))
            values[_SHARE + name] = bootstrapped(shares, bootstrap, self.numbers)
        return eqx.filter_vmap(of)(self.problems, values, self.own)


class OperatorModel(Trainable[Members]):
    """A family, and all of its operator but the parameters. Immutable; array leaves may be traced.

    Args:
        problem: The family.
        frozen: The parts of the operator that are not trained.
        scales: The sizes of unknowns and terms.
        scale: What errors of data are divided by, for each unknown.
        imposition: Which conditions are met exactly.
        owner: The name that messages give the family.
        physics: Whether the equations are in the loss.
        compute_dtype: Of the networks' values, as of `narrowed`.
        bootstrap: Which members' data count; None: those of all.
        mesh: The devices that share the members of a step.
    """

    problem: Problem
    frozen: Any
    scales: Scales
    scale: Float[Array, " c"]
    imposition: Imposition = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    physics: bool = eqx.field(static=True)
    compute_dtype: str | None = eqx.field(static=True, default=None)
    bootstrap: Bootstrap | None = None
    mesh: Mesh | None = eqx.field(
        static=True, default=None
    )  # the devices that share the members of a step

    def at(self, stage: Mapping[str, float]) -> "OperatorModel":
        """The same in every stage."""
        return self

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def operator(self, params: Params) -> Operator:
        """The present operator."""
        return eqx.combine(params.network, self.frozen)

    def field(self, params: Params, problem: Problem) -> Field:
        """The present solution of one member."""
        operator = narrowed(self.operator(params), self.compute_dtype)
        return field_of(problem, self.imposition, operator(inputs_of(problem)), self.scales)

    def _constraints(self, problem: Problem) -> list[Constraint]:
        """The equations of one member, and its data."""
        out = constraints(problem, self.imposition.soft) if self.physics else []
        for unknown in problem.unknowns:
            signature = parse_names((unknown,), names_of(problem), owner=str(DATA))
            out.append(Constraint(f"observed {unknown}", DATA, signature, _misfit(unknown)))
        return out

    def _of_member(
        self, params: Params, problem: Problem, points: Mapping[Region, Points]
    ) -> dict[str, Term]:
        """The terms of one member at its points."""
        here = [c for c in self._constraints(problem) if c.region in points]
        sizes = dict(self.scales.terms)
        sizes |= {f"observed {name}": self.scale[k] for k, name in enumerate(problem.unknowns)}
        return residuals(self.field(params, problem), here, points, owner=self.owner, sizes=sizes)

    def residuals(self, params: Params, members: Members) -> dict[str, Term]:
        """Every term, over members and points."""

        def of(problem: Problem, points: Mapping[Region, Points]) -> dict[str, Term]:
            return self._of_member(params, problem, points)

        found = self._spread(members).map(of, self.bootstrap)
        return {name: term.flat() for name, term in found.items()}

    def terms(self, params: Params, members: Members, weights: Weights) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        terms = self.residuals(params, members)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, members: Members, weights: Weights) -> LeastSquares:
        """The loss of these members at these points as optimizers see it."""

        def loss(params: Params) -> Array:
            return sum(self.terms(params, members, weights).values(), start=jnp.zeros(()))

        def vector(params: Params) -> Float[Array, " n"]:
            return weighted_vector(self.residuals(params, members), weights)

        def jacobian(params: Params) -> tuple[Float[Array, " n"], Float[Array, "n p"]]:
            return weighted(self._rows(params, members), weights)

        return LeastSquares(jax.value_and_grad(loss), vector, jacobian)

    def _rows(self, params: Params, members: Members) -> Linearised:
        """The residual vectors and their derivatives by the parameters, over members and points."""

        def of(problem: Problem, points: Mapping[Region, Points]) -> Linearised:
            found: Linearised = {}
            for region, here in points.items():

                def at(params: Params, here: Points, region: Region = region) -> dict[str, Term]:
                    return self._of_member(params, problem, {region: here})

                found |= linearised(at, params, here)
            return found

        found = self._spread(members).map(of, self.bootstrap)
        return {name: (r.ravel(), rows.reshape(r.size, -1)) for name, (r, rows) in found.items()}

    def _spread(self, members: Members) -> Members:
        """The members, divided among the devices; the compiler then divides all that is computed of
        each.
        """
        if self.mesh is None:
            return members
        place = NamedSharding(self.mesh, P(POINTS))

        def put(leaf):
            return jax.lax.with_sharding_constraint(leaf, place) if eqx.is_array(leaf) else leaf

        return dataclasses.replace(
            members,
            problems=jax.tree.map(put, members.problems),
            values=jax.tree.map(put, members.values),
            own=jax.tree.map(put, members.own),
            numbers=jax.tree.map(put, members.numbers),
        )

    def snapshot(self, params: Params, members: Members, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from; without times, which are for weights of points."""

        def norms() -> dict[str, Array]:
            return gradient_norms(lambda params: self.residuals(params, members), params)

        def traces() -> dict[str, Array]:
            return kernel_traces(self._rows(params, members))

        return Snapshot(self.residuals(params, members), {}, norms, traces, key)


def _misfit(unknown: str) -> Callable[..., Any]:
    def misfit(**values: Any) -> Any:
        return values[_SHARE + unknown] * (values[unknown] - values[_OBSERVED + unknown])

    return misfit


def _shares(values: Float[Array, "f l"]) -> tuple[Float[Array, "f l"], Float[Array, "f l"]]:
    """The values with zeros for missing ones, and the factor of each misfit.

    That is 0 where a value is missing and ``sqrt(all / known)`` elsewhere: the mean square over all
    is then that over what is known, for the loss, the residual vector and its Jacobian alike.
    """
    known = jnp.isfinite(values)
    share = jnp.sqrt(known.size / jnp.maximum(jnp.sum(known), 1)).astype(values.dtype)
    return jnp.where(known, values, 0.0), jnp.where(known, share, 0.0)


class Functions(eqx.Module):
    """The numbers of members of a family, and of points, in memory and in a step.

    Args:
        pool: Members drawn at once, at least 1; others with every new set of points.
        batch: Members in a step, from 1 to ``pool``.
        points: A `Collocation` without refinement, shared by the members; its ``batch`` is the
            number of interior points in a step.
        data_points: Points of a data set in a step; None: all.
        unlabelled: Members of the family that are drawn beside the samples of a data set, of which
            a step sees the equation alone; others with every new set of points.

    Raises:
        ValueError: For a setting out of range, and for points that follow the residual.
    """

    pool: int = whole(4096, most=10**9)
    batch: int = whole(64, most=10**9)
    points: Collocation = instance(
        Collocation,
        Collocation(boundary=1024, initial=1024, every=1000, refinement=None, batch=256),
        what="a Collocation",
    )
    data_points: int | None = whole(256, most=10**9, optional=True)
    unlabelled: int = whole(0, least=0, most=10**9)

    def __check_init__(self):
        check_settings(self)
        if self.points.refinement is not None:
            raise ValueError(
                "Functions: problems share their points, which cannot follow a residual; give "
                "Collocation(refinement=None)"
            )
        if self.batch > self.together:
            raise ValueError(
                f"Functions: batch must be at most the {self.together} problems of the pool, got "
                f"{self.batch}"
            )

    def within(self, members: int) -> "Functions":
        """The same with no more samples than a data set has."""
        pool = min(self.pool, members)
        batch = min(self.batch, pool + self.unlabelled)
        return dataclasses.replace(self, pool=pool, batch=batch)

    @property
    def together(self) -> int:
        """Members in memory, with and without solutions."""
        return self.pool + self.unlabelled


class Draw(Source[Members]):
    """The points of a training of operators: members of a family, or of a data set.

    Args:
        functions: How many members and points.
        dataset: Where members and their solutions come from; None: members are sampled.
    """

    functions: Functions
    dataset: Dataset | None = eqx.field(static=True, default=None)

    @property
    def every(self) -> int:
        return self.functions.points.every

    @property
    def stochastic(self) -> bool:
        """Whether every step has a loss of its own."""
        whole = (
            self.functions.batch == self.functions.together and not self.functions.points.stochastic
        )
        if self.dataset is None:
            return not whole
        own = self.dataset.layout.kind == "meshes"
        there = self.dataset.longest["points"] if own else len(self.dataset.points)
        return self._data_points(there) < there or not whole

    def _data_points(self, there: int) -> int:
        return min(self.functions.data_points or there, there)

    def drawn(
        self, model: OperatorModel, params: Params, key: PRNGKeyArray, present: Members | None
    ) -> Members:
        """New problems and points."""
        first, second = jax.random.split(key)
        points: dict[Region, Points] = {}
        if model.physics:
            points = draw(model.problem, model.imposition.soft, self.functions.points, first)
        pool = self.functions.pool
        if self.dataset is None:
            return Members(sample_members(model.problem, second, range(pool)), points, {})
        rows = self.dataset.drawn(second, pool)
        values: dict[str, Any] = {
            name: rows[f"values/{name}"].reshape(pool, -1) for name in model.problem.unknowns
        }
        members, numbers = problems(model.problem, rows), rows["number"].astype(np.int32)
        if "points" in rows:
            return cast(Members(members, points, values, rows["points"], numbers))
        points[DATA] = Points(self.dataset.points)
        labelled = cast(Members(members, points, values, numbers=numbers))
        if not self.functions.unlabelled:
            return labelled
        more = sample_members(model.problem, second, range(self.functions.unlabelled))
        return _with_unlabelled(labelled, cast(more), self.functions.unlabelled)

    def sampled(
        self, model: OperatorModel, members: Members, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Members, Weights]:
        """What one step takes of them."""
        which, where, data = jax.random.split(key, 3)
        chosen = jax.random.choice(
            which, self.functions.together, (self.functions.batch,), replace=False
        )
        return self._some(members, chosen, where, data), weights

    def divided(self, members: Members) -> None:
        """None: the members of a step may be any of them, so that each device keeps all."""

    def representative(self, members: Members) -> Members:
        """As many problems and points as a step takes, always the same."""
        return self._some(
            members, jnp.arange(self.functions.batch), jax.random.key(0), jax.random.key(1)
        )

    def _some(
        self, members: Members, chosen: Array, where: PRNGKeyArray, data: PRNGKeyArray
    ) -> Members:
        def take(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: leaf[chosen] if eqx.is_array(leaf) else leaf, tree)

        points, values, own = dict(members.points), take(members.values), take(members.own)
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
        if own is not None and (count := self._data_points(own.shape[1])) < own.shape[1]:
            places = _known_places(values, count, data)
            own = jnp.take_along_axis(own, places[..., None], axis=1)
            for name, value in values.items():
                values[name] = jnp.take_along_axis(value, places, axis=1)
        return Members(take(members.problems), points, values, own, take(members.numbers))


def _with_unlabelled(labelled: Members, more: Problem, count: int) -> Members:
    """Members with values and others without, which are members of no data set."""

    def below(array: Any, fill: float) -> Any:
        array = np.asarray(array)
        return np.concatenate([array, np.full((count, *array.shape[1:]), fill, array.dtype)])

    return dataclasses.replace(
        labelled,
        problems=jax.tree.map(lambda a, b: jnp.concatenate([a, b]), labelled.problems, more),
        values={name: below(array, np.nan) for name, array in labelled.values.items()},
        numbers=below(labelled.numbers, 0),
    )


def _known_places(
    values: Mapping[str, Float[Array, "f l"]], count: int, key: PRNGKeyArray
) -> Int[Array, "f {count}"]:
    """Random points of each member, those with a value before those that fill up."""
    known = jnp.stack([jnp.isfinite(jnp.asarray(value)) for value in values.values()]).any(0)
    order = jax.random.uniform(key, known.shape) + jnp.where(known, 0.0, 1.0)
    return jnp.argsort(order, axis=1)[:, :count]
