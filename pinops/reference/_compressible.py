"""Compressible flow of a viscous gas on a periodic interval or square, by finite volumes.

Primitive variables are linear in each cell, with the slopes of van Leer's monotonised-central
limiter (J. Comput. Phys. 32 (1979)). Heun's steps take HLLC fluxes (Toro, Spruce & Speares, Shock
Waves 4 (1994)) between half steps of the stresses by the second-order Runge-Kutta-Legendre rule,
whose number of stages grows with the root of the stiffness (Meyer, Balsara & Aslam, J. Comput.
Phys. 257 (2014)).
"""

from collections.abc import Callable, Sequence

import numpy as np

from ._etdrk4 import check_times
from ._reference import Reference, relative_difference

_COURANT = 0.4


def periodic_compressible(
    dimensions: int,
    cells: int,
    t: np.ndarray,
    viscosity: float,
    bulk_viscosity: float,
    *,
    initial: Callable[..., Sequence[np.ndarray]],
    heat_ratio: float = 5 / 3,
    tolerance: float = 1e-2,
    max_cells: int = 256,
) -> Reference:
    """The Navier-Stokes equations of an ideal gas without heat conduction, of period 1.

        ρ_t + ∇·(ρv) = 0,   (ρv)_t + ∇·(ρ v v) + ∇p = ∇·σ,   E_t + ∇·((E + p) v) = ∇·(σ v),

    with E = p / (Γ - 1) + ρ |v|² / 2 and σ = η (∇v + ∇vᵀ - (2/3) ∇·v) + ζ ∇·v, in one or two
    coordinates. The sums of ρ, ρv and E over all cells are conserved.

    Cells and time steps are refined together, by two, until two solutions agree.

    Args:
        dimensions: 1 or 2.
        cells: of the evaluation grid along each axis; values are at their centres.
        t: times, 1-D, increasing from t >= 0.
        viscosity: η >= 0.
        bulk_viscosity: ζ >= 0.
        initial: density, velocities and pressure at t = 0, a vectorised and periodic function of
            the coordinates.
        heat_ratio: Γ > 1.
        tolerance: an upper bound of the error bar, the largest distance of a field to the solution
            on half the cells; exceeded only where `max_cells` do not suffice.
        max_cells: the largest number of cells along each axis, at least twice `cells`.

    Returns:
        `rho`, `u` (and `v`) and `p`, with an axis for each coordinate and the last one for time.
        Velocities share their error bar, since one of them may vanish.

    Raises:
        ValueError: for invalid settings, and where the gas becomes a vacuum on the finest cells.
    """
    t = check_times(t)
    gas = _Gas(viscosity, bulk_viscosity, heat_ratio)
    _check(dimensions, cells, gas, tolerance, max_cells)
    names = ("rho", *("u", "v")[:dimensions], "p")

    def solved(number: int) -> np.ndarray | None:
        try:
            start, shown = (_start(initial, dimensions, n) for n in (number, cells))
            return gas.solve(start, shown, t)
        except _Vacuum:
            if 2 * number > max_cells:
                raise
            return None  # finer cells may resolve what became negative

    number, values, errors = cells, solved(cells), {"rho": np.inf}
    while max(errors.values()) > tolerance and 2 * number <= max_cells:
        number, coarse = 2 * number, values
        values = solved(number)
        if coarse is not None and values is not None:
            errors = dict(zip(names, gas.errors(coarse, values), strict=True))
    if values is None or not np.isfinite(max(errors.values())):
        raise _Vacuum(
            f"the gas becomes a vacuum on {number // 2} cells, and there is no error bar: "
            "give more max_cells."
        )
    axes = np.meshgrid(*[_centres(cells)] * dimensions, t, indexing="ij", sparse=True)
    return Reference(
        coordinates=dict(zip([*"xy"[:dimensions], "t"], axes, strict=True)),
        values=dict(zip(names, values, strict=True)),
        error_bar=errors,
        kind="HLLC finite volumes",
        source=f"Toro, Spruce & Speares (1994); until two solutions agree to {tolerance:g}, "
        f"on up to {max_cells} cells along each axis",
    )


def _check(dimensions: int, cells: int, gas: "_Gas", tolerance: float, max_cells: int) -> None:
    if dimensions not in (1, 2) or not isinstance(cells, int) or cells < 1:
        raise ValueError(
            "dimensions must be 1 or 2 and cells a whole number of at least 1, "
            f"got {dimensions} and {cells}."
        )
    if not (
        0 <= gas.eta < np.inf
        and 0 <= gas.zeta < np.inf
        and 1 < gas.ratio < np.inf
        and 0 < tolerance < np.inf
    ):
        raise ValueError(
            f"viscosities are {gas.eta} and {gas.zeta}, the heat ratio {gas.ratio} and the "
            f"tolerance {tolerance}: give viscosities that are zero or more, a ratio greater "
            "than 1 and a tolerance greater than zero, all finite."
        )
    if max_cells < 2 * cells:
        raise ValueError(
            f"max_cells must be at least {2 * cells}, twice the cells of the evaluation grid, "
            f"got {max_cells}."
        )


class _Vacuum(ValueError):
    """A density or pressure that is not positive."""


def _start(initial: Callable[..., Sequence[np.ndarray]], dimensions: int, cells: int) -> np.ndarray:
    """The primitive variables at t = 0, at the centres of `cells` cells along each axis."""
    at = np.meshgrid(*[_centres(cells)] * dimensions, indexing="ij")
    fields = initial(*at)
    if len(fields) != dimensions + 2:
        raise ValueError(
            f"initial must give {dimensions + 2} fields, density, velocities and pressure, "
            f"got {len(fields)}."
        )
    start = np.stack([np.broadcast_to(field, at[0].shape) for field in fields]).astype(np.float64)
    if not (np.isfinite(start).all() and start[0].min() > 0 and start[-1].min() > 0):
        raise ValueError(
            "initial must give finite fields with a density and a pressure greater than zero."
        )
    return start


def _centres(cells: int) -> np.ndarray:
    return (np.arange(cells) + 0.5) / cells


class _Gas:
    """Time steps of a periodic gas: density, momenta and energy, ``(2 + dimensions, n[, n])``."""

    def __init__(self, viscosity: float, bulk_viscosity: float, heat_ratio: float):
        self.eta, self.zeta, self.ratio = viscosity, bulk_viscosity, heat_ratio

    def solve(self, start: np.ndarray, shown: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Primitive variables on a coarser grid, ``(2 + dimensions, *cells, nt)``.

        Args:
            start: primitive variables at t = 0 on the grid of the computation.
            shown: the same on the grid of the result.
            t: output times.
        """
        state, now, snapshots = self.conserved(start), 0.0, [shown] if t[0] == 0 else []
        for time in t[len(snapshots) :]:
            while now < time:
                # The steps up to an output time are equal, as far as the gas allows: no tiny
                # last one.
                left = time - now
                step = left / np.ceil(left / self.longest_step(state))
                state = self.diffused(state, step / 2)
                state = self.diffused(self.advected(state, step), step / 2)
                now = time if step >= left else now + step
            snapshots.append(_at_centres(self.primitive(state), shown.shape[1]))
        return np.stack(snapshots, -1)

    def errors(self, values: np.ndarray, finer: np.ndarray) -> list[float]:
        """Relative distances of all fields.

        Velocities share theirs; for a gas at rest it is that of rounding.
        """
        sound = np.sqrt(self.ratio * finer[-1] / finer[0])
        still = 1e-9 * np.linalg.norm(sound)
        moving = max(float(np.linalg.norm(finer[1:-1])), float(still))
        velocity = float(np.linalg.norm(values[1:-1] - finer[1:-1])) / moving
        velocity = max(velocity, float(np.finfo(float).eps))
        density, pressure = (relative_difference(values[k], finer[k]) for k in (0, -1))
        return [density, *[velocity] * (len(finer) - 2), pressure]

    def conserved(self, primitive: np.ndarray) -> np.ndarray:
        rho, velocity, p = primitive[0], primitive[1:-1], primitive[-1]
        energy = p / (self.ratio - 1) + rho * (velocity**2).sum(0) / 2
        return np.concatenate([[rho], rho * velocity, [energy]])

    def primitive(self, state: np.ndarray) -> np.ndarray:
        rho, velocity = state[0], state[1:-1] / state[0]
        p = (self.ratio - 1) * (state[-1] - rho * (velocity**2).sum(0) / 2)
        if not (rho.min() > 0 and p.min() > 0):
            raise _Vacuum(
                f"on {state.shape[1]} cells the gas has a density of {rho.min():.3g} and a "
                f"pressure of {p.min():.3g} somewhere, and both must be positive: "
                "give more max_cells, or slower initial values."
            )
        return np.concatenate([[rho], velocity, [p]])

    def longest_step(self, state: np.ndarray) -> float:
        w = self.primitive(state)
        speed = (np.abs(w[1:-1]) + np.sqrt(self.ratio * w[-1] / w[0])).sum(0)
        return _COURANT / (state.shape[1] * speed.max())

    def advected(self, state: np.ndarray, step: float) -> np.ndarray:
        """A Heun step without friction."""
        first = state + step * self.net_inflow(state)
        return (state + first + step * self.net_inflow(first)) / 2

    def net_inflow(self, state: np.ndarray) -> np.ndarray:
        """The net flow into each cell: linear reconstruction, HLLC fluxes."""
        w, total = self.primitive(state), np.zeros_like(state)
        for axis in range(1, state.ndim):
            ahead, behind = np.roll(w, -1, axis) - w, w - np.roll(w, 1, axis)
            central = np.abs(ahead + behind) / 2
            limited = np.minimum(np.minimum(2 * np.abs(ahead), 2 * np.abs(behind)), central)
            slope = np.where(ahead * behind > 0, np.sign(ahead) * limited, 0.0)
            flux = self.hllc(w + slope / 2, np.roll(w - slope / 2, -1, axis), axis)
            total += (np.roll(flux, 1, axis) - flux) * state.shape[1]
        return total

    def hllc(self, left: np.ndarray, right: np.ndarray, axis: int) -> np.ndarray:
        """The flux through a face between two states, by Toro's HLLC."""
        left_sound, right_sound = (np.sqrt(self.ratio * w[-1] / w[0]) for w in (left, right))
        slow = np.minimum(left[axis] - left_sound, right[axis] - right_sound)
        fast = np.maximum(left[axis] + left_sound, right[axis] + right_sound)
        into, out = left[0] * (slow - left[axis]), right[0] * (fast - right[axis])
        contact = (right[-1] - left[-1] + into * left[axis] - out * right[axis]) / (into - out)
        # The face lies on one side of the contact: w is the gas there, and `wave` separates its
        # own state from the one at the contact.
        w, wave = np.where(contact >= 0, left, right), np.where(contact >= 0, slow, fast)
        own = self.conserved(w)
        flux = own * w[axis]
        flux[axis] += w[-1]
        flux[-1] += w[-1] * w[axis]
        between = w.copy()
        between[axis] = contact
        between[0] = w[0] * (wave - w[axis]) / (wave - contact)
        star = np.concatenate([between[:1], between[0] * between[1:-1], own[-1:]])
        star[-1] = between[0] * (
            own[-1] / w[0] + (contact - w[axis]) * (contact + w[-1] / (w[0] * (wave - w[axis])))
        )
        reached = np.where(contact >= 0, np.minimum(wave, 0), np.maximum(wave, 0))
        return flux + reached * (star - own)

    def diffused(self, state: np.ndarray, step: float) -> np.ndarray:
        """A step of friction alone, by the second-order Runge-Kutta-Legendre rule."""
        n, dimensions = state.shape[1], state.ndim - 1
        total_viscosity = 4 / 3 * self.eta + self.zeta + self.eta * (dimensions - 1)
        stiffness = total_viscosity * 4 * n**2 / state[0].min()
        if not stiffness:
            return state
        # The number of stages that keeps the step stable, with 10 % in reserve.
        stages = max(2, int(np.ceil((np.sqrt(9 + 16 * step * stiffness / 2 * 1.1) - 1) / 2)))
        width = 4 / (stages**2 + stages - 2)
        later = ((j * j + j - 2) / (2 * j * (j + 1)) for j in range(3, stages + 1))
        b = [1 / 3, 1 / 3, 1 / 3, *later]
        first = step * self.friction(state)
        before, now = state, state + b[1] * width * first
        for j in range(2, stages + 1):
            mu, nu = (2 * j - 1) / j * b[j] / b[j - 1], -(j - 1) / j * b[j] / b[j - 2]
            own = mu * width
            more = own * step * self.friction(now) - (1 - b[j - 1]) * own * first
            before, now = now, mu * now + nu * before + (1 - mu - nu) * state + more
        return now

    def friction(self, state: np.ndarray) -> np.ndarray:
        """The net flow of momentum and energy into each cell by stresses: central differences."""
        velocity, n, total = state[1:-1] / state[0], state.shape[1], np.zeros_like(state)
        axes = range(1, state.ndim)
        central = {
            axis: (np.roll(velocity, -1, axis) - np.roll(velocity, 1, axis)) * n / 2
            for axis in axes
        }
        for axis in axes:
            slopes = {other: _at_faces(central[other], axis) for other in axes}
            slopes[axis] = (np.roll(velocity, -1, axis) - velocity) * n
            divergence = sum(slopes[other][other - 1] for other in axes)
            across = np.stack([slopes[other][axis - 1] for other in axes])
            stress = self.eta * (slopes[axis] + across)
            stress[axis - 1] += (self.zeta - 2 / 3 * self.eta) * divergence
            work = (stress * _at_faces(velocity, axis)).sum(0, keepdims=True)
            flux = np.concatenate([stress, work])
            total[1:] += (flux - np.roll(flux, 1, axis)) * n
        return total


def _at_faces(field: np.ndarray, axis: int) -> np.ndarray:
    return (field + np.roll(field, -1, axis)) / 2


def _at_centres(fields: np.ndarray, cells: int) -> np.ndarray:
    """Cell means on a coarser grid: of those fine cells that touch the centre of a coarse one."""
    for axis in range(1, fields.ndim):
        inside = fields.shape[axis] // cells
        last = np.moveaxis(fields, axis, -1)
        parts = last.reshape(*last.shape[:-1], cells, inside)
        fields = np.moveaxis(parts[..., (inside - 1) // 2 : inside // 2 + 1].mean(-1), -1, axis)
    return fields
