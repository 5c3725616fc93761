"""Solutions of many members of a family: evaluated, or read from a data set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.data import Dataset, inputs_in, problems
from pinops.derivatives import Plan
from pinops.networks import JetNetwork, field_of
from pinops.operators import Solutions
from pinops.problem import Problem
from pinops.settings import reused
from pinops.training._contracts import Params
from pinops.training._model import cast
from pinops.training._operator import OperatorModel
from pinops.training._sizes import by_size

SMALLEST = 8  # rows that samples are filled up to at least; then 16, 32, ...
_SLICE = 2048  # points at which members are evaluated at once
_TOGETHER = 32  # members that are evaluated at once at points of their own


@reused
def evaluate_members(
    model: OperatorModel, params: Params, problems: Problem, points: Float[Array, "n d"]
) -> Float[Array, "f n c"]:
    """The solutions of many members at the same points, in slices that keep memory small."""

    def of(problem, at):
        return model.field(params, problem).jet(at, Plan())[()]

    def slices(at):
        return jax.vmap(lambda problem: of(problem, at))(problems)

    count = len(points)
    pieces = -(-count // _SLICE)
    size = -(-count // pieces)
    filled = jnp.pad(points, ((0, pieces * size - count), (0, 0)), "edge")
    found = jax.lax.map(slices, filled.reshape(pieces, size, -1))
    return jnp.moveaxis(found, 0, 1).reshape(found.shape[1], pieces * size, -1)[:, :count]


@reused
def _evaluate_own(
    model: OperatorModel, params: Params, problems: Problem, points: Float[Array, "f m d"]
) -> Float[Array, "f m c"]:
    def of(row: tuple[Problem, Array]) -> Array:
        problem, at = row
        return jnp.asarray(model.field(params, problem).jet(at, Plan())[()])

    return jax.lax.map(of, (problems, points), batch_size=_TOGETHER)


def evaluate_at_own(
    model: OperatorModel,
    params: Params,
    problems: Problem,
    points: Sequence[Float[np.ndarray, "_m d"]],
) -> list[Float[np.ndarray, "_m c"]]:
    """The solutions of many members, each at points of its own, in one program for each size."""
    found: list[Any] = [None] * len(points)
    for size, here in by_size((SMALLEST,), [len(own) for own in points]):
        # More points at the last one are in the domain.
        places = [np.pad(points[k], ((0, size - len(points[k])), (0, 0)), "edge") for k in here]
        some = jax.tree.map(lambda leaf, here=here: leaf[np.asarray(here)], problems)
        at = jnp.asarray(np.stack(places), jnp.result_type(float))
        for k, values in zip(here, np.asarray(_evaluate_own(model, params, some, at)), strict=True):
            found[k] = values[: len(points[k])]
    return found


class SolvedMembers(Solutions):
    """The training part of a data set, as an operator architecture is fitted to it."""

    def __init__(self, model: OperatorModel, dataset: Dataset):
        self._model, self._dataset = model, dataset
        self._part = dataset.splits["training"]
        self.owner, self.source = model.owner, str(dataset.path)
        self.count = len(self._part)

    @property
    def points(self) -> Float[np.ndarray, "l d"]:
        if self._dataset.layout.kind == "meshes":
            raise ValueError(
                f"{self.source} has points that differ from sample to sample, and modes are those "
                "of solutions at the same points; train a DeepONet()"
            )
        return self._dataset.points

    def _rows(self, numbers: range) -> dict[str, Any]:
        return self._dataset.rows(self._part[numbers.start : numbers.stop])

    def members(self, numbers: range) -> Problem:
        return cast(problems(self._model.problem, self._rows(numbers)))

    def inputs(self, numbers: range) -> Mapping[str, Any]:
        return inputs_in(self._rows(numbers))

    def values(self, numbers: range) -> Float[np.ndarray, "n l c"]:
        rows = self._rows(numbers)
        unknowns = self._model.problem.unknowns
        columns = [rows[f"values/{name}"].reshape(len(numbers), -1) for name in unknowns]
        return np.stack(columns, -1) / np.asarray(self._model.scale)

    def field(self, network: JetNetwork, problem: Problem) -> Callable[[Array], Array]:
        model = self._model
        field = field_of(problem, model.imposition, network, model.scales)

        def scaled(at: Array) -> Array:
            return field(at) / model.scale

        return scaled
