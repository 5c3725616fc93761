"""A trained operator: solutions of all members of a family."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.data import (
    Dataset,
    as_dataset,
    bounds_of,
    check_data,
    check_values,
    solved,
)
from pinops.metrics import errors
from pinops.problem import (
    DataFamily,
    Mixture,
    Problem,
    coefficients_as_json,
    sample_members,
    unstacked,
)
from pinops.reference import Reference
from pinops.solvers._export import Program, Shape
from pinops.solvers._member_arrays import as_arrays, members_of
from pinops.solvers._solution import Solution
from pinops.solvers._trained import (
    Errors,
    TrainedOnce,
    error_statistics,
    refuse_snapshots,
    write_state,
)
from pinops.training import (
    Model,
    OperatorModel,
    Params,
    cast,
    evaluate_at_own,
    evaluate_members,
    inputs_of,
    split,
)

TESTED = 100  # members of which an error is the mean
_TEST = 11  # the random key of these: never one of a training
_SHOWN = "one unseen member"  # in the title of a figure


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedOperator(TrainedOnce):
    """What `train` returns for an operator.

    Immutable; evaluates in the precision that it was trained in.

    Called with a member of the family it gives a `Solution`: ``trained(member)(x=0.3, t=0.5)``,
    which ``solve(member, start=trained(member))`` refines. Called with several members and
    coordinates it gives the values of all of them in one program.
    """

    family: Problem
    model: OperatorModel

    @property
    def subject(self) -> Problem:
        return self.family

    def __call__(
        self,
        members: Problem | Sequence[Problem] | Mapping[str, Any] | Any,
        points: Any = None,
        *,
        sensors: Mapping[str, Any] | None = None,
        **coordinates: Any,
    ) -> Any:
        """The solution of one member, or the values of many.

        Args:
            members: A member of the family, or n of them; of data alone the inputs of n samples by
                name, as in `Dataset.from_arrays`, or those of the only input.
            points: For n members: where they are evaluated, ``(l, d)``, or a list of n arrays
                ``(m_k, d)``.
            sensors: Of data alone: the sensors of inputs that have their own in every sample, by
                name, as in `Dataset.from_arrays`.
            coordinates: Instead of points: arrays by name, which broadcast against each other.

        Returns:
            A `Solution` for one member; for n an array ``(n, *shape)``, or a list of n arrays
            ``(m_k,)`` at points of their own; a dict of them by unknown for several unknowns.

        Raises:
            ValueError: For a problem of another family, and for inputs of another size.
        """
        if isinstance(members, Problem):
            solution = self._solution(members)
            return solution(**coordinates) if coordinates else solution
        problems = isinstance(members, list | tuple) and all(
            isinstance(member, Problem) for member in members
        )
        if isinstance(self.family, DataFamily) and not problems:
            members = members_of(self.family, members, sensors or {})
        members = list(members)
        if not members:
            raise ValueError("members must be problems of the family, got none")
        for member in members:
            self._check(member)
        if points is not None:
            if coordinates:
                raise ValueError(
                    f"points and {min(coordinates)} exclude each other; give one of them"
                )
            return self._by_name(self._at_points(members, points))
        at, shape = self._solution(members[0])._points(coordinates)
        out = self._values(members, at)
        return self._by_name(out.reshape(len(members), *shape, out.shape[-1]))

    def _values(self, members: Sequence[Problem], points: np.ndarray) -> np.ndarray:
        """Of all members at the same points, ``(n, l, c)``."""
        with jax.enable_x64(self.x64):
            at = jnp.asarray(points, jnp.result_type(float))
            problems = stacked(members)
            return self.over_members(
                lambda model, params: np.asarray(evaluate_members(model, params, problems, at))
            )

    def _at_points(self, members: Sequence[Problem], points: Any) -> Any:
        """The values at points that members share, or a list of those at their own."""
        wide = len(self.family.domain.coordinates)
        own = isinstance(points, list | tuple) and np.ndim(points[0]) == 2
        each = [np.asarray(p, np.float64) for p in points] if own else [np.asarray(points, float)]
        for array in each:
            if array.ndim != 2 or array.shape[1] != wide or not np.isfinite(array).all():
                raise ValueError(
                    f"points must be finite numbers (l, {wide}), or a list of such arrays, got the "
                    f"shape {array.shape}"
                )
        if not own:
            return self._values(members, each[0])
        if len(each) != len(members):
            raise ValueError(
                f"there are points of {len(each)} samples, and inputs of {len(members)}"
            )
        with jax.enable_x64(self.x64):
            problems = stacked(members)
            return self.over_members(
                lambda model, params: evaluate_at_own(model, params, problems, each)
            )

    def _by_name(self, out: Any) -> Any:
        """Values by unknown, of the unknowns in the last axis."""
        found: dict[str, Any] = {}
        for k, name in enumerate(self.family.unknowns):
            own = isinstance(out, list)
            found[name] = [values[..., k] for values in out] if own else out[..., k]
        return found if len(found) > 1 else next(iter(found.values()))

    def _check(self, member: Problem) -> None:
        if type(member) is not type(self.family):
            raise ValueError(
                f"this operator solves {type(self.family).__name__}, not {type(member).__name__}"
            )

    def _solution(self, member: Problem) -> Solution:
        self._check(member)

        def of(model: OperatorModel, params: Params) -> tuple[Model, Params]:
            network = model.operator(params)(inputs_of(member))
            return split(member, network, model.imposition, model.scales, model.owner)

        with jax.enable_x64(self.x64):
            model, params = of(self.model, self.params)
            others = tuple(of(*other) for other in self.others)
        request = {
            "problem": self.request["problem"],
            "coefficients": coefficients_as_json(member),
            "trainable": [],
            "network": self.request["operator"],
            "seed": self.request["seed"],
            "scales": self.request["scales"],
            "dtype": self.request["dtype"],
        }
        return Solution(
            problem=member,
            request=request,
            model=model,
            params=params,
            history=self.history,
            status=self.status,
            others=others,
            statistic=self.statistic,
        )

    def errors(
        self, data: Sequence[Problem] | Dataset | int | None = None
    ) -> dict[str, np.ndarray]:
        """The relative L2 error of every unknown for every member, ``{unknown: (n,)}``.

        Args:
            data: Members of the family; a data set, of which the test part is taken; or how many
                `test_members`.

        Raises:
            ValueError: Where a member has no reference, and for a data set with members that the
                training has seen.
        """
        _, found = self._compared(data)
        return {
            name: np.asarray([error[name]["relative_l2"] for error in found]) for name in found[0]
        }

    def _compared(self, data: Any) -> tuple[list[Problem], list[dict[str, dict[str, float]]]]:
        """Members, and the errors of each."""
        if isinstance(data, Dataset):
            members, references = self._tested_on(data)
        else:
            if isinstance(self.family, DataFamily):
                raise ValueError(
                    "an operator of data alone is compared with data: give error(data), such as "
                    "the test part of data.split()"
                )
            count = TESTED if data is None else data
            members = self.test_members(count) if isinstance(count, int) else list(count)
            references = [member.reference() for member in members]
        if not references or any(reference is None for reference in references):
            raise ValueError(
                f"{self.request['problem']} has no reference to compare with; give the family one"
            )
        known = [reference for reference in references if reference is not None]
        with jax.enable_x64(self.x64):
            outputs, errors_of = comparison(self.family, members, known)
            return members, errors_of(self.over_members(outputs))

    def outputs_of(self, data: Dataset, part: str) -> Iterator[Float[np.ndarray, "m c"]]:
        """The outputs of every sample of a part of a data set, unknowns in the last axis."""
        chosen = data.unseen(self.request.get("data_members"), part)
        outputs, _ = comparison(self.family, *solved(data, self.family, chosen))
        with jax.enable_x64(self.x64):
            yield from self.over_members(outputs)

    def _has_references(self) -> bool:
        """Whether there are members with references to compare with."""
        if isinstance(self.family, DataFamily):
            return False
        return self.test_members(1)[0].reference() is not None

    def test_members(self, count: int = TESTED) -> list[Problem]:
        """Members that no training and no monitor has seen, the same in all runs of the family."""
        return test_members(self.family, count)

    def _tested_on(
        self, dataset: Dataset, count: int | None = None
    ) -> tuple[list[Problem], list[Reference]]:
        """The test part of a data set, or its first ``count`` samples.

        Raises ValueError where the training has seen it.
        """
        check_data(dataset, self.family)
        members = dataset.unseen(self.request.get("data_members"))
        check_values(dataset, "test", gaps=True, coefficients=True)
        return solved(dataset, self.family, members[:count])

    def error(self, data: Sequence[Problem] | Dataset | int | None = None) -> Errors:
        """Statistics of the `errors`; by default of a hundred `test_members`.

        Of a `Mixture` also those of the members of each family, by its name.
        """
        members, found = self._compared(data)
        (*_, last) = names = list(found[0])
        table = {name: _statistics(name, found) for name in names}
        if isinstance(self.family, Mixture):
            own = [member.family for member in members if isinstance(member, Mixture)]
            for family in sorted(set(own), key=self.family.names.index):
                some = [error for error, name in zip(found, own, strict=True) if name == family]
                table[family] = _statistics(last, some)
        return table

    def known_errors(self, data: Any = None) -> Errors:
        if data is None and not self._has_references():
            return {}
        return self.error(data)

    def details(self, data: Any = None) -> dict[str, Any]:
        if isinstance(data, Dataset):
            tested = len(data.splits["test"])
        elif data is None:
            tested = TESTED if self._has_references() else 0
        else:
            tested = data if isinstance(data, int) else len(data)
        return {"tested": tested, "coefficients": coefficients_as_json(self.family)}

    def plot(self, path: str | Path | None = None, data: Dataset | str | Path | None = None) -> Any:
        """A figure of one unseen member, beside its reference, and of the training.

        Args:
            path: Where the figure is written.
            data: A data set, whose first test member is shown; None: the first of `test_members`.
        """
        from pinops.plotting import plot_solution

        solution, reference = self._shown(data)
        return plot_solution(solution, path, reference=reference, of=_SHOWN)

    def animate(
        self,
        path: str | Path,
        data: Dataset | str | Path | None = None,
        *,
        seconds: float = 5.0,
    ) -> Path:
        from pinops.plotting import animate_solution

        solution, reference = self._shown(data)
        return animate_solution(solution, path, seconds=seconds, reference=reference, of=_SHOWN)

    def _shown(self, data: Dataset | str | Path | None) -> tuple[Any, Any]:
        """The solution of one unseen member, and what it is compared with if not its reference."""
        if data is not None:
            (member,), (reference,) = self._tested_on(as_dataset(data), 1)
            return self._solution(member), reference
        if isinstance(self.family, DataFamily):
            raise ValueError("an operator of data alone is drawn beside data: give data=")
        return self._solution(self.test_members(1)[0]), None

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        coordinates, unknowns = self.family.domain.coordinates, self.family.unknowns
        shapes, member = as_arrays(self.family)
        twice = set(shapes) & set(coordinates)
        if twice:
            raise ValueError(
                f"{min(twice)} is an input and a coordinate, which a program cannot tell apart; "
                "rename one, or export the operator as .safetensors"
            )

        def call(given: Mapping[str, Array]) -> dict[str, Array]:
            at = jnp.stack([given[name] for name in coordinates], -1)

            def values(inputs: Mapping[str, Array]) -> Array:
                return jax.vmap(self.model.field(self.params, member(inputs)))(at)

            out = jax.vmap(values)({name: given[name] for name in shapes})
            return {name: out[..., k] for k, name in enumerate(unknowns)}

        inputs: dict[str, Shape] = {name: ("n", *shape) for name, shape in shapes.items()}
        inputs |= dict.fromkeys(coordinates, ("m",))
        about = {"bounds": bounds_of(self.family)}
        return Program(call, inputs, dict.fromkeys(unknowns, ("n", "m")), about)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()


def _statistics(name: str, found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Those of the errors of one unknown."""
    return error_statistics(
        [error[name]["relative_l2"] for error in found],
        max(error[name]["max_abs"] for error in found),
    )


def test_members(family: Problem, count: int = TESTED) -> list[Problem]:
    """Members that no training and no monitor has seen, the same in all runs of the family."""
    return unseen_members(family, _TEST, count)


def with_references(members: Sequence[Problem]) -> tuple[list[Problem], list[Reference]]:
    """Members and their references; none where one has no reference."""
    references = [member.reference() for member in members]
    known = [reference for reference in references if reference is not None]
    return (list(members), known) if len(known) == len(members) else ([], [])


def unseen_members(problem: Problem, purpose: int, count: int) -> list[Problem]:
    """Members drawn in double precision: references are made for them."""
    with jax.enable_x64(True):
        key = jax.random.fold_in(jax.random.key(0), purpose)
        return unstacked(sample_members(problem, key, range(count)), count)


def stacked(members: Sequence[Problem]) -> Problem:
    """Members in the leading axis of every array."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[cast(m) for m in members])


def comparison(
    family: Problem, members: Sequence[Problem], references: Sequence[Reference]
) -> tuple[
    Callable[[OperatorModel, Params], Any], Callable[[Any], list[dict[str, dict[str, float]]]]
]:
    """From a model and parameters to the outputs at the points of references, and from these to the
    errors of every member, as `pinops.metrics.errors` has them.
    """
    domain, gauge = family.domain, family.gauge
    problems, points = stacked(members), [_points_of(r, domain.coordinates) for r in references]
    shared = all(np.array_equal(points[0], own) for own in points)
    at = jnp.asarray(points[0], jnp.result_type(float))

    def outputs(model: OperatorModel, params: Params) -> Any:
        if shared:
            return np.asarray(evaluate_members(model, params, problems, at))
        return evaluate_at_own(model, params, problems, points)

    def errors_of(out: Any) -> list[dict[str, dict[str, float]]]:
        found = []
        for values, reference in zip(out, references, strict=True):
            by_name = {
                name: values[:, k].reshape(reference.values[name].shape)
                for k, name in enumerate(family.unknowns)
                if name in reference.values
            }
            found.append(errors(by_name, reference, gauge=gauge, time=domain.time))
        return found

    return outputs, errors_of


def _points_of(reference: Reference, names: Sequence[str]) -> np.ndarray:
    """The points of a reference, ``(l, d)``."""
    grids = np.broadcast_arrays(*(reference.coordinates[name] for name in names))
    return np.stack([grid.ravel() for grid in grids], -1)
