"""PINNacle's waves, patterns and vector Burgers equation, repaired where they are wrong.

Source of the statements: Hao et al., arXiv 2306.08827, and the code of that paper.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from _pinnacle_references import gray_scott, on_grid, varying_wave

import pinops as po
from pinops.reference import Reference, periodic_burgers_2d

WIDTH = 0.3  # of the Gaussian from which the wave starts


def square_of_speed(x, y, xp=jnp):
    """c of `VaryingWave`, from 0.4 to 2.3 and even about the walls: cosines in an exponential."""
    p, q = np.pi * (x + 1) / 2, np.pi * (y + 1) / 2
    return xp.exp(xp.cos(p) * xp.cos(q) / 2 + (xp.cos(2 * p) - xp.cos(3 * q)) / 6)


def bump(x, y, xp: Any = jnp) -> Any:
    """A Gaussian about (-1/2, 0) and its mirror images, which have no flux through the walls."""

    def along(s, centres):
        return sum(xp.exp(-((s - c) ** 2) / (2 * WIDTH**2)) for c in centres)

    return along(x, (-0.5, -1.5, 2.5)) * along(y, (0, -2, 2))


class VaryingWave(po.Problem):
    """u_tt = c(x, y) Δu on (-1, 1)² x (0, 5) from a bump at rest, without flux through the walls.

    PINNacle's c, which jumps between 1 and 12, is in a file; here it is `square_of_speed`, which is
    smooth. Its Gaussian has a flux through the wall beside it; here it has mirror images.
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1), t=(0, 5))

    def residual(self, u_tt, lap_u, x, y):
        return lap_u - u_tt / square_of_speed(x, y)

    def conditions(self):
        return po.Initial(lambda x, y: bump(x, y), 0.0), po.Neumann(0.0, on=("x", "y"))

    def reference(self) -> Reference:
        return varying_wave(
            lambda x, y: square_of_speed(x, y, np),
            lambda x, y: bump(x, y, np),
            np.linspace(0, 5, 101),
        )


class LongWave(po.Problem):
    """u_tt = u_xx + 2 u_yy on (0, 1)² x (0, 100), two standing waves, u = 0 on the walls.

    For the hyperbolic sines of PINNacle's solution u_tt and u_xx + 2 u_yy have opposite signs; here
    they are sines, and the frequencies follow, √3 π and √17 π. The network sees both waves.
    """

    domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 100))

    def residual(self, u_tt, u_xx, u_yy):
        return u_tt - u_xx - 2 * u_yy

    def features(self, x, y):
        first = jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y)
        return first, jnp.sin(3 * jnp.pi * x) * jnp.sin(2 * jnp.pi * y)

    def conditions(self):
        start = po.Initial(lambda x, y: self.exact(x, y, 0.0), 0.0)
        return start, po.Dirichlet(0.0, on=("x", "y"), soft=True)

    def exact(self, x, y, t):
        first = jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y) * jnp.cos(3**0.5 * jnp.pi * t)
        second = jnp.sin(3 * jnp.pi * x) * jnp.sin(2 * jnp.pi * y) * jnp.cos(17**0.5 * jnp.pi * t)
        return first + second

    def reference(self) -> Reference:
        line = np.linspace(0, 1, 14)
        return on_grid(self.exact, x=line, y=line, t=np.linspace(0, 100, 1001))


class GrayScott(po.Problem):
    """u_t = Δu / 10⁵ + b (1 - u) - u v², v_t = Δv / (2·10⁵) - d v + u v², t < 200.

    PINNacle has no condition on the walls, and its term for the start subtracts every value from
    every other; here the solution is periodic.
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1), t=(0, 200))
    unknowns = ("u", "v")
    feed: float = po.positive(0.04)
    decay: float = po.positive(0.1)

    def residual(self, u, u_t, lap_u, v, v_t, lap_v):
        made = u * v**2
        return {
            "u": u_t - 1e-5 * lap_u - self.feed * (1 - u) + made,
            "v": v_t - 5e-6 * lap_v + self.decay * v - made,
        }

    def start(self, x, y, xp=jnp):
        """u and v at first."""
        u = 1 - xp.exp(-80 * ((x + 0.05) ** 2 + (y + 0.02) ** 2))
        return u, xp.exp(-80 * ((x - 0.05) ** 2 + (y - 0.02) ** 2))

    def conditions(self):
        begin = {"u": lambda x, y: self.start(x, y)[0], "v": lambda x, y: self.start(x, y)[1]}
        return po.Periodic(("x", "y")), po.Initial(begin)

    def reference(self) -> Reference:
        return gray_scott(
            lambda x, y: self.start(x, y, np),
            diffusivities=(1e-5, 5e-6),
            feed=float(self.feed),
            decay=float(self.decay),
            t=np.linspace(0, 200, 101),
        )


class VectorBurgers(po.Problem):
    """u_t + (u·∇) u = ν Δu on (0, 4)² x (0, 1), periodic, ν = 1/1000.

    PINNacle's start is a random field in a file; here it is a short series, slow enough that fronts
    stay as wide as a Fourier series can resolve.
    """

    domain = po.Box(x=(0, 4), y=(0, 4), t=(0, 1))
    unknowns = ("u", "v")
    viscosity: float = po.positive(1e-3)

    def residual(self, u, u_t, u_x, u_y, lap_u, v, v_t, v_x, v_y, lap_v):
        return {
            "u": u_t + u * u_x + v * u_y - self.viscosity * lap_u,
            "v": v_t + u * v_x + v * v_y - self.viscosity * lap_v,
        }

    def start(self, x, y, xp=jnp):
        """u and v at first."""
        p, q = np.pi / 2 * x, np.pi / 2 * y
        u = 0.5 + 0.2 * xp.sin(p + 1) * xp.cos(q) + 0.1 * xp.sin(2 * p - q)
        return u, 0.2 * xp.cos(p) * xp.sin(q + 2) + 0.1 * xp.cos(p + 2 * q) - 0.3

    def conditions(self):
        begin = {"u": lambda x, y: self.start(x, y)[0], "v": lambda x, y: self.start(x, y)[1]}
        return po.Periodic(("x", "y")), po.Initial(begin)

    def reference(self) -> Reference:
        grid, t = np.linspace(0, 1, 65), np.linspace(0, 1, 21)
        unit = periodic_burgers_2d(
            grid,
            grid,
            t,
            float(self.viscosity) / 16,
            initial=lambda x, y: tuple(part / 4 for part in self.start(4 * x, 4 * y, np)),
            tolerance=1e-5,
            max_modes=512,
        )
        at = unit.coordinates
        return Reference(
            {"x": 4 * at["x"], "y": 4 * at["y"], "t": at["t"]},
            {name: 4 * value for name, value in unit.values.items()},
            unit.error_bar,
            unit.kind,
            unit.source,
        )
