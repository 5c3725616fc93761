"""Data of two fidelities that pinops makes itself: many cheap samples, and a few accurate ones.

Two problems, each as three data sets on one grid. The low level covers more than the high one, and
is wrong in a way that is easier to learn than the truth; the third set is for testing where the
high level has no samples. Sample k depends on the seed and on k alone, so that the same inputs can
be asked of both levels.

**Burgers** (after the check of compositions in arXiv:2309.10231, on a PDE): from seven numbers, an
amplitude A and the coefficients a, b of three waves, to u(x, T) of

    u_t + u u_x = ν u_xx,   u(x, 0) = A Σ_k (a_k sin 2πkx + b_k cos 2πkx) / k,   periodic on (0, 1),

with ν = 0.01 and T = 0.4. High: A from 0.3 to 0.8, by Cole-Hopf's quadrature. Low: A from 0.3 to
1.5, by upwind differences on 24 cells, which smear fronts. Outside: A from 0.9 to 1.5, as high.

**Columns** (after the parameterisation of convection in the same paper, whose hundred millions of
columns are out of reach): from profiles of temperature T and humidity q over 26 levels of pressure
to their tendencies. The formula is our own, an entraining plume, and no climate model: a parcel
from the lowest level rises, mixes with its surroundings at the rate ε and condenses what exceeds
saturation; where it is warmer than the surroundings it heats and dries them, as far as it is
*triggered*, by a smooth step of its mean buoyancy. Radiation cools, and the surface moistens, in
all columns. High: ε that grows with the dryness of the column, rain that evaporates below clouds,
surface temperatures of 296 to 302 K. Low: ε the same for all columns and no evaporation, 294 to
312 K. Outside, the warm climate: as high, 6 K warmer.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from pinops.data._contents import Contents
from pinops.reference import periodic_cole_hopf
from pinops.settings import OneOf, Whole, require

POINTS, CELLS, VISCOSITY, END = 64, 24, 0.01, 0.4
FIDELITY_LEVELS = ("high", "low", "outside")
_AMPLITUDES = {"high": (0.3, 0.8), "low": (0.3, 1.5), "outside": (0.9, 1.5)}
_COURANT = 0.4

LEVELS = 26
_SURFACE = {"high": (296.0, 302.0), "low": (294.0, 312.0), "outside": (302.0, 308.0)}
_SIGMA = np.linspace(1.0, 0.1, LEVELS)  # pressure over that at the surface, from below
_HEIGHT = -8000.0 * np.log(_SIGMA)  # m
_HOUR = 3600.0
_LATENT, _HEAT = 2.5e6, 1004.0  # J/kg, J/(kg K)
_VAPOUR, _GRAVITY, _PRESSURE = 461.5, 9.81, 1.0e5  # J/(kg K), m/s2, Pa


def fidelity_contents(family: str, level: str, count: int, *, seed: int = 0) -> Contents:
    """Samples of one level of a problem with two fidelities.

    Args:
        family: "burgers_levels", from seven numbers to u(x, T); or "column_levels", from profiles
            of temperature and humidity to their tendencies.
        level: "high", few accurate samples; "low", cheap ones of a wider range; or "outside",
            accurate ones where "high" has none.
        count: How many samples, from 1 to a million.
        seed: From 0 to 2^32 - 1.

    Returns:
        What `Dataset.of` takes.

    Raises:
        ValueError: For another family or level, and for numbers out of range.
    """
    owner = "fidelity_contents"
    require(owner, "family", family, OneOf(tuple(FIDELITY_FAMILIES)))
    require(owner, "level", level, OneOf(FIDELITY_LEVELS))
    require(owner, "count", count, Whole(1))
    require(owner, "seed", seed, Whole(0, 2**32 - 1))
    random = np.stack([np.random.default_rng([seed, k]).uniform(size=9) for k in range(count)])
    outputs, coordinates, inputs, units = FIDELITY_FAMILIES[family](level, random)
    source = f"{count} samples of {family}, {level}, seed {seed}"
    return Contents(
        outputs=outputs, coordinates=coordinates, inputs=inputs, units=units, source=source
    )


Made = tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], dict[str, str]]


def _burgers(level: str, random: Float[np.ndarray, "n 9"]) -> Made:
    low, high = _AMPLITUDES[level]
    waves = 2 * random[:, 1:7] - 1
    amplitude = low + (high - low) * random[:, 0]
    numbers = np.concatenate([amplitude[:, None], waves], 1)
    x = np.arange(POINTS) / POINTS
    u = _upwind(numbers, x) if level == "low" else _exact(numbers, x)
    return {"u": u}, {"x": x}, {"wave": numbers}, {"x": "1"}


def _initial(numbers: Float[np.ndarray, "n 7"], x: np.ndarray) -> Float[np.ndarray, "n ..."]:
    """The initial values of some samples."""
    order = np.arange(1, 4)
    angle = 2 * np.pi * order * x[..., None]
    series = np.concatenate([np.sin(angle), np.cos(angle)], -1) / np.tile(order, 2)
    return np.tensordot(numbers[:, :1] * numbers[:, 1:], series, (1, -1))


def _exact(numbers: Float[np.ndarray, "n 7"], x: np.ndarray) -> Float[np.ndarray, "n x"]:
    """By Cole-Hopf."""
    out = np.empty((len(numbers), len(x)))
    for k, sample in enumerate(numbers):

        def initial(y: np.ndarray, sample: np.ndarray = sample) -> np.ndarray:
            return _initial(sample[None], np.asarray(y))[0]

        solved = periodic_cole_hopf(x, np.array([END]), VISCOSITY, initial=initial, nodes=512)
        out[k] = solved.values["u"][:, 0]
    return out


def _upwind(numbers: Float[np.ndarray, "n 7"], x: np.ndarray) -> Float[np.ndarray, "n x"]:
    """By a finite volume scheme of first order with Godunov's flux, interpolated linearly."""
    centres, width = (np.arange(CELLS) + 0.5) / CELLS, 1 / CELLS
    u = _initial(numbers, centres)
    fastest = max(1.0, float(np.abs(u).max()))
    step = _COURANT * min(width / fastest, width**2 / (2 * VISCOSITY))
    steps = int(np.ceil(END / step))
    for _ in range(steps):
        right = np.roll(u, -1, 1)
        flux = np.maximum(np.maximum(u, 0) ** 2, np.minimum(right, 0) ** 2) / 2
        flux = flux - VISCOSITY * (right - u) / width
        u = u - END / steps / width * (flux - np.roll(flux, 1, 1))
    wide = np.concatenate([centres[-1:] - 1, centres, centres[:1] + 1])
    ends = np.concatenate([u[:, -1:], u, u[:, :1]], 1)
    return np.stack([np.interp(x, wide, each) for each in ends])


def _columns(level: str, random: Float[np.ndarray, "n 9"]) -> Made:
    low, high = _SURFACE[level]
    temperature, humidity = _profiles(low + (high - low) * random[:, 0], random[:, 1:])
    heating, moistening = _plume(temperature, humidity, simple=level == "low")
    units = {
        "height": "km",
        "heating": "K/h",
        "moistening": "g/kg/h",
        "temperature": "K",
        "humidity": "g/kg",
    }
    return (
        {"heating": heating, "moistening": moistening},
        {"height": _HEIGHT / 1000},
        {"temperature": temperature, "humidity": 1e3 * humidity},
        units,
    )


def _profiles(
    surface: Float[np.ndarray, " n"], random: Float[np.ndarray, "n 8"]
) -> tuple[Float[np.ndarray, "n l"], Float[np.ndarray, "n l"]]:
    """Temperature in K and humidity in kg/kg, of random lapse rates, inversions and dryness."""
    shape = 2 * random[:, :, None] - 1
    height = -np.log(_SIGMA)  # in scale heights of 8 km
    lapse = 6.3 + 0.9 * shape[:, 0]  # K/km
    falls = lapse * 8.0 * height * np.exp(-0.12 * height)
    bump = 1.5 * shape[:, 1] * np.exp(-0.5 * ((_SIGMA - 0.75 - 0.1 * shape[:, 2]) / 0.08) ** 2)
    temperature = np.maximum(surface[:, None] - falls + bump, 195.0)
    wet = 0.82 + 0.1 * shape[:, 3] - (0.45 + 0.25 * shape[:, 4]) * (1 - _SIGMA)
    layer = 0.2 * shape[:, 5] * np.exp(-0.5 * ((_SIGMA - 0.55 - 0.15 * shape[:, 6]) / 0.1) ** 2)
    relative = np.clip(wet + layer, 0.05, 0.98)
    return temperature, relative * _saturated(temperature)


def _saturated(temperature: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
    """The humidity of saturated air at the pressure of the levels (Bolton 1980, equation 10)."""
    celsius = temperature - 273.15
    pressure = 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))
    return 0.622 * pressure / (_SIGMA * _PRESSURE)


def _plume(
    temperature: Float[np.ndarray, "n l"], humidity: Float[np.ndarray, "n l"], *, simple: bool
) -> tuple[Float[np.ndarray, "n l"], Float[np.ndarray, "n l"]]:
    """Heating in K/h and moistening in g/kg/h by an entraining plume."""
    saturated = _saturated(temperature)
    energy = _HEAT * temperature + _GRAVITY * _HEIGHT + _LATENT * humidity
    dry = 1 - (humidity / saturated)[:, 4:18].mean(1)
    entrained = np.full(len(dry), 0.2) if simple else 0.08 + 0.35 * dry  # 1/km
    parcel = np.empty_like(energy)
    parcel[:, 0] = energy[:, 0] + 2000.0
    for k in range(1, LEVELS):
        mixed = 1 - np.exp(-entrained * (_HEIGHT[k] - _HEIGHT[k - 1]) / 1000)
        parcel[:, k] = parcel[:, k - 1] + mixed * (energy[:, k] - parcel[:, k - 1])
    # Above saturation: the excess of the parcel's energy is shared between warmth and vapour.
    surplus = parcel - (_HEAT * temperature + _GRAVITY * _HEIGHT + _LATENT * saturated)
    slope = saturated * _LATENT / (_VAPOUR * temperature**2)
    warmer = surplus / (_HEAT + _LATENT * slope)
    thickness = -np.gradient(_SIGMA)
    buoyant = np.maximum(warmer, 0) * (_SIGMA < 0.95)
    mean = (buoyant * thickness)[:, :20].sum(1) / thickness[:20].sum()
    trigger = 1 / (1 + np.exp(-(mean - 0.8) / 0.15))
    strength = (trigger / (2.0 * _HOUR))[:, None]
    heating = strength * buoyant
    total = (_HEAT * heating * thickness).sum(1, keepdims=True)  # is balanced by drying
    source = humidity * np.exp(-0.5 * ((1 - _SIGMA) / 0.35) ** 2)
    drying = total * source / ((source * thickness).sum(1, keepdims=True) * _LATENT)
    if not simple:
        # A part of the rain evaporates where it falls through dry air, and cools that.
        falling = np.cumsum((drying * thickness)[:, ::-1], 1)[:, ::-1]
        evaporated = 0.6 * falling * np.maximum(1 - humidity / saturated, 0)
        heating = heating - _LATENT / _HEAT * evaporated
        drying = drying - evaporated
    cooling = 0.06 * (temperature / 260.0) ** 4
    evaporation = 30.0 * np.maximum(saturated - humidity, 0) * np.exp((_SIGMA - 1) / 0.1)
    return _HOUR * heating - cooling, evaporation - 1e3 * _HOUR * drying


FIDELITY_FAMILIES: Mapping[str, Callable[[str, Float[np.ndarray, "n 9"]], Made]] = {
    "burgers_levels": _burgers,
    "column_levels": _columns,
}
