"""A trained hypernetwork: linear problems on the square answered without training."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops.geometry import Mesh
from pinops.metrics import ratio
from pinops.networks import embedding_of
from pinops.operators import HyPINO
from pinops.plotting import plot_points
from pinops.problem import (
    DataFamily,
    LinearSamples,
    Problem,
    coefficients_as_json,
    encoded,
    impose,
    name_of,
    scales_of,
)
from pinops.settings import Whole, require
from pinops.solvers._export import Program
from pinops.solvers._refinement import Refined, refined
from pinops.solvers._request import describe
from pinops.solvers._solution import Solution
from pinops.solvers._trained import (
    Errors,
    TrainedOnce,
    error_statistics,
    refuse_snapshots,
    write_state,
)
from pinops.training import HypernetworkModel, PointSample, cast, split

NAME, UNKNOWN = "linear problems", "u"
_SHOWN = 3  # problems in a figure
ROUNDS = Whole(0, 1000)


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedHypernetwork(TrainedOnce):
    """What `train` returns for `HyPINO`.

    Immutable; evaluates in the precision that it was trained in.
    """

    family: DataFamily
    architecture: HyPINO
    model: HypernetworkModel

    @property
    def subject(self) -> DataFamily:
        return self.family

    def refined(
        self, samples: LinearSamples, rounds: int = 0, *, fitted: bool = True, scaled: bool = True
    ) -> Refined:
        """The answers to a batch of problems, each refined by answers to what it leaves.

        Args:
            samples: The problems, with one leading axis.
            rounds: Of refinement, 0: none.
            fitted: Whether the last layers of all generated networks minimise a measure of the
                residual, which then never grows; else they are added as they are, as in the paper.
            scaled: Whether problems are divided by the size of their data; not so in the paper.

        Raises:
            ValueError: For images of another size than in the training, and rounds out of range.
        """
        require(type(self).__name__, "rounds", rounds, ROUNDS)
        grid = self.architecture.grid
        if samples.size != grid or samples.images.ndim != 4:
            raise ValueError(
                f"it was trained on images (b, {grid}, {grid}, 5), got {samples.images.shape}"
            )
        with jax.enable_x64(self.x64):
            model, params = self.model, self.params
            return refined(model, params, cast(samples), rounds, fitted=fitted, scaled=scaled)

    def __call__(
        self, problem: Problem, refine: int = 0, *, fitted: bool = True, scaled: bool = True
    ) -> Solution:
        """The solution of a linear problem of two coordinates, without training.

        From it `solve` goes on: ``po.solve(problem, start=trained(problem))``, with all conditions
        as terms of the loss.

        Args:
            problem: As for `pinops.problem.encoded`.
            refine: Rounds of refinement.
            fitted: As for `refined`.
            scaled: As for `refined`.

        Raises:
            ValueError: For a problem of another kind, in a sentence that says what is allowed.
        """
        width = self.request["problems"]["RandomLinearProblems"]["width"]
        given = encoded(problem, size=self.architecture.grid, width=width)
        samples = jax.tree.map(lambda leaf: np.asarray(leaf)[None], given.samples)
        answer = self.refined(samples, refine, fitted=fitted, scaled=scaled)
        name, members = name_of(problem), refine + 1
        with jax.enable_x64(self.x64):
            imposition = impose(problem, exact=False)
            if embedding_of(problem, imposition).size != 2:
                raise ValueError(
                    f"{name} has features() of its own, which generated networks do not see; leave "
                    "them out"
                )
            sizes = scales_of(problem, imposition)
            # Generated networks are in the units of the unknown.
            (unknown,) = problem.unknowns
            sizes = replace(sizes, centre={unknown: 0.0}, spread={unknown: 1.0})
            network = answer.solution(0)
            network = replace(network, networks=network.networks.reordered(given.square.axes))
            model, params = split(problem, network, imposition, sizes, name)
        request = {
            "problem": name,
            "coefficients": coefficients_as_json(problem),
            "trainable": [],
            "network": describe(replace(self.architecture.target, members=members)),
            "exact": False,
            "seed": self.request["seed"],
            "scales": sizes.to_json(),
            "dtype": self.request["dtype"],
        }
        return Solution(
            problem=problem,
            request=request,
            model=model,
            params=params,
            history=[],
            status="generated",
        )

    def error(self, data: LinearSamples | None = None) -> Errors:
        """Statistics of the relative L2 errors at the interior points of each problem.

        Args:
            data: A batch of problems with exact solutions; it is needed.

        Raises:
            ValueError: Without problems, or without their solutions.
        """
        self._check_known(data)
        assert data is not None
        found = self.refined(data).values(jnp.asarray(data.points))
        truth = np.asarray(data.streams[..., 0])
        off = found - truth
        relative = ratio(np.linalg.norm(off, axis=1), np.linalg.norm(truth, axis=1))
        return {UNKNOWN: error_statistics(relative, float(np.abs(off).max()))}

    def _check_known(self, data: LinearSamples | None) -> None:
        if data is None or not np.all(data.known):
            raise ValueError(
                "a hypernetwork is compared with exact solutions: give data=samples, drawn by "
                "RandomLinearProblems.sample"
            )

    def known_errors(self, data: LinearSamples | None = None) -> Errors:
        return {} if data is None else self.error(data)

    def plot(self, path: str | Path | None = None, data: LinearSamples | None = None) -> Any:
        """Truth, answer and error of the first problems, and the history of the training.

        Args:
            path: Where it is written; None: nowhere.
            data: Problems with exact solutions, as for `error`; they are needed.

        Raises:
            ValueError: As `error` does.
        """
        self._check_known(data)
        assert data is not None
        some = jax.tree.map(lambda leaf: leaf[:_SHOWN], data)
        found = self.refined(some).values(jnp.asarray(some.points))
        shown = [
            (PointSample(Mesh(np.asarray(at), None), {}, np.asarray(truth)[:, :1]), answer[:, None])
            for at, truth, answer in zip(some.points, some.streams, found, strict=True)
        ]
        return plot_points(self, shown, path)

    def details(self, data: Any = None) -> dict[str, Any]:
        return {"grid": self.architecture.grid}

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        raise ValueError(
            "a hypernetwork returns networks, not values; export its weights as .safetensors, or "
            "the solution of one problem as .stablehlo"
        )

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()
