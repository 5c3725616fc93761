"""Solids of revolution: a profile in the half-plane r ≥ 0, turned about the axis r = 0."""

import math

import equinox as eqx
import numpy as np

from ._domain import Domain, Face, sobol


class Revolution(Domain):
    """What a profile sweeps out when it is turned about an axis.

    Boundary parts are those of the profile; of a side on the axis nothing is left. The size of the
    distance is that of the profile, a lower bound near such a side; its sign is exact.

    Args:
        profile: A domain of the distance from the axis, at least 0, and the height.
        coordinates: The names of the two coordinates across the axis; the height keeps its name.

    Raises:
        ValueError: For a profile of other than two coordinates of space, one that crosses the axis,
            and coordinates of the same name.

    Example:
        >>> po.Revolution(po.Box(r=(1, 2), z=(0, 1))).coordinates
        ('x', 'y', 'z')
    """

    profile: Domain
    across: tuple[str, str] = eqx.field(static=True)

    def __init__(self, profile: Domain, *, coordinates: tuple[str, str] = ("x", "y")):
        if not isinstance(profile, Domain) or len(profile.space) != 2 or profile.time is not None:
            raise ValueError(
                "Revolution: the profile is a domain of two coordinates of space, for example "
                f"Box(r=(1, 2), z=(0, 1)), got {profile!r}."
            )
        self.profile = profile
        self.across = (coordinates[0], coordinates[1])
        if len({*self.coordinates}) != 3 or "t" in self.across:
            raise ValueError(
                f"Revolution: give three different coordinates of space, got {self.coordinates}."
            )
        radius, _ = profile.coordinates
        low, high = profile.bounds[radius]
        if low < -1e-12 * high:
            raise ValueError(
                f"Revolution: the profile must not cross the axis, {radius} begins at {low:g}; "
                "cut it at 0."
            )

    @property
    def coordinates(self) -> tuple[str, ...]:
        return (*self.across, self.profile.coordinates[1])

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        height, reach = self.profile.coordinates[1], self._reach
        ends = {c: (-reach, reach) for c in self.across}
        return ends | {height: self.profile.bounds[height]}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        return {}

    @property
    def parts(self) -> tuple[str, ...]:
        return self.profile.parts

    @property
    def measure(self) -> float:
        # Pappus: the area times the way of its middle.
        points, inside = self.profile._propose(sobol(2**16, self.profile._width))
        way = 2 * math.pi * float(np.mean(points[:, 0], where=inside))
        return self.profile.measure * way

    def _extent(self, direction: np.ndarray) -> float:
        across = math.hypot(*direction[:2])
        return self.profile._extent(np.array([across, direction[2]]))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return self.profile._distance(np.stack([np.hypot(*points.T[:2]), points[:, 2]], 1))

    @property
    def _reach(self) -> float:
        return self.profile.bounds[self.profile.coordinates[0]][1]

    # A point at r stands for 2 π r points of the circle: as many as r / reach of those at the
    # farthest place are kept.

    @property
    def _width(self) -> int:
        return self.profile._width + 2

    @property
    def _proposal_measure(self) -> float:
        return 2 * math.pi * self._reach * self.profile._proposal_measure

    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, inside = self.profile._propose(cube[:, 2:])
        solid, _ = _turned(points, points, cube[:, 0])
        return solid, inside & (cube[:, 1] * self._reach < points[:, 0])

    def _faces(self) -> list[Face]:
        return [self._face(face) for face in self.profile._faces()]

    def _face(self, face: Face) -> Face:
        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            points, normals, keep = face.draw(cube[:, 2 : 2 + face.width])
            solid, outward = _turned(points, normals, cube[:, 0])
            # What is left of a side on the axis is rounding.
            kept = cube[:, 1] * self._reach < points[:, 0] - 1e-12 * self._reach
            return solid, outward, keep & kept

        area = 2 * math.pi * self._reach * face.measure
        return Face(face.name, area, face.width + 2, draw)

    def _without_time(self) -> Domain:
        return self


def _turned(
    points: np.ndarray, normals: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points and vectors of the half-plane after a share of a full turn."""
    cos, sin = np.cos(2 * np.pi * share), np.sin(2 * np.pi * share)
    solid = np.stack([points[:, 0] * cos, points[:, 0] * sin, points[:, 1]], 1)
    return solid, np.stack([normals[:, 0] * cos, normals[:, 0] * sin, normals[:, 1]], 1)
