"""Regular grids in space and time: what a surrogate of time steps is trained on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops.data._dataset import Dataset
from pinops.problem import Problem, name_of, space_of


@dataclass(frozen=True)
class GridSpec:
    """Equally spaced points along every coordinate.

    Attributes:
        coordinates: Their names, in the order of the domain.
        first: The first point along each coordinate.
        steps: The distance between two points along each.
        points: How many points there are along each coordinate of space.
        snapshots: How many times there are.
        time: The name of the time coordinate.
    """

    coordinates: tuple[str, ...]
    first: tuple[float, ...]
    steps: tuple[float, ...]
    points: tuple[int, ...]
    snapshots: int
    time: str

    @classmethod
    def of(cls, problem: Problem, dataset: Dataset) -> "GridSpec":
        """The grid of a data set.

        Raises:
            ValueError: For points that are not a regular grid with time.
        """
        time = problem.domain.time
        if time is None:
            raise ValueError(
                f"{name_of(problem)} has no time coordinate; a surrogate goes from one time to the "
                "next"
            )
        first, steps, sizes = [], [], {}
        names = tuple(dataset.coordinates)
        for axis, (name, values) in enumerate(dataset.coordinates.items()):
            line = np.ravel(values)
            own = np.ndim(values) == len(names) and np.shape(values)[axis] == line.size
            if line.size < 2:
                raise ValueError(
                    f"{dataset.path} has one number along {name}, {line[0]:g}, and surrogates need "
                    "two at least of each coordinate; give more"
                )
            step = step_of(line)
            if not own or step is None:
                raise ValueError(
                    f"{dataset.path}: surrogates need a regular grid, an axis for each coordinate "
                    "in the order "
                    f"{', '.join(names)}; {name} is not equally spaced along axis {axis} alone"
                )
            first.append(_rounded(line[0]))
            steps.append(step)
            sizes[name] = len(line)
        snapshots = sizes.pop(time)
        return cls(
            coordinates=names,
            first=tuple(first),
            steps=tuple(steps),
            points=tuple(sizes.values()),
            snapshots=snapshots,
            time=time,
        )

    def refined(self, times: int, bounds: Mapping[str, tuple[float, float]]) -> "GridSpec":
        """``times`` as many points along every coordinate of space; cell centres stay centres."""
        first, steps = list(self.first), list(self.steps)
        for axis, name in enumerate(self.coordinates):
            if name != self.time:
                low = bounds[name][0]
                steps[axis] = self.steps[axis] / times
                first[axis] = low + (self.first[axis] - low) / times
        more = tuple(times * n for n in self.points)
        content = asdict(self) | {"first": tuple(first), "steps": tuple(steps), "points": more}
        return type(self)(**content)

    def same(self, other: "GridSpec") -> bool:
        """Whether two grids are the same but for rounding."""
        named = (self.coordinates, self.points, self.snapshots, self.time)
        if named != (other.coordinates, other.points, other.snapshots, other.time):
            return False
        pairs = ((self.first, other.first), (self.steps, other.steps))
        scale = np.asarray(self.steps)
        return all(np.all(np.abs(np.subtract(a, b)) <= 1e-6 * scale) for a, b in pairs)

    def check_periodic(self, problem: Problem) -> None:
        """Raises ValueError where equations cannot be evaluated on the grid.

        They need space that is periodic and covered once.
        """
        bounds = problem.domain.bounds
        for (name, periodic), n in zip(space_of(problem).items(), self.points, strict=True):
            low, high = bounds[name]
            length = n * self.steps[self.coordinates.index(name)]
            if not periodic or abs(length - (high - low)) > 1e-6 * (high - low):
                reason = (
                    f"covered by {n} points over a length of {length:g}, not {high - low:g}"
                    if periodic
                    else "not periodic"
                )
                raise ValueError(
                    f"equations on a grid need periodic space, each point once; {name} is {reason}"
                )

    @property
    def lines(self) -> tuple[tuple[float, float], ...]:
        """The first point and the distance along each coordinate."""
        return tuple(zip(self.first, self.steps, strict=True))

    def __str__(self) -> str:
        space = " x ".join(str(n) for n in self.points)
        return f"{space} points and {self.snapshots} snapshots, steps {self.steps}"

    def to_json(self) -> dict[str, Any]:
        """As in ``run.json``."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "GridSpec":
        """The inverse of `to_json`."""
        lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
        return cls(snapshots=content["snapshots"], time=content["time"], **lists)


def step_of(line: Float[np.ndarray, " n"]) -> float | None:
    """The distance between equally spaced numbers, which rise; None for others."""
    apart = np.diff(line)
    # Files keep coordinates in single precision, whose rounding is not small beside a step; the
    # seconds since 1970 are in double precision, and many steps below the rounding of single.
    single = np.array_equal(line, np.asarray(line, np.float32))
    rounding = 4 * np.finfo(np.float32).eps * (np.max(np.abs(line)) if single else np.ptp(line))
    if len(line) < 2 or apart[0] <= 0:
        return None
    if np.ptp(apart) > 1e-6 * apart[0] + min(rounding, float(np.mean(apart)) / 2):
        return None
    return _rounded((line[-1] - line[0]) / (len(line) - 1))


def _rounded(number: float) -> float:
    """To twelve digits, which are the same on every machine."""
    return float(f"{number:.12g}")
