"""PINNacle's problems of heat and of the coefficient of conduction, repaired where they are wrong.

Source of the statements: Hao et al., arXiv 2306.08827, and the code of that paper.
"""

import jax.numpy as jnp
import numpy as np
from _pinnacle_meshes import heat_among_circles
from _pinnacle_references import on_grid, reacting_heat, varying_heat
from _pinnacle_steady import observed

import pinops as po
from pinops.reference import Reference

BIG = [(x, y) for x in (-4, 4) for y in (-9, -3, 3, 9)] + [(0, y) for y in (-6, 0, 6)]
SMALL = [(x, y) for x in (-3.2, 3.2) for y in (-6, 0, 6)]
HALF = (8.0, 12.0)
TIMES = np.linspace(0, 5, 26)


def conduction(x, y, xp=jnp):
    """The coefficient of `VaryingHeat`: the exponential of a series of standard deviation 1."""
    waves = xp.sin(2 * np.pi * x + 1) + xp.cos(np.pi * x - 2 * np.pi * y)
    return xp.exp(0.9 * waves + xp.sin(3 * np.pi * x + 4 * np.pi * y) / 2)


class VaryingHeat(po.Problem):
    """u_t = a(x, y) Δu + 200 sin πx sin 5πy sin πt on (0, 1)² x (0, 5), u = 0 on the walls.

    PINNacle's a, the exponential of a random field, is in a file; here it is `conduction`.
    """

    domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 5))

    def residual(self, u_t, lap_u, x, y, t):
        source = 200 * jnp.sin(jnp.pi * x) * jnp.sin(5 * jnp.pi * y) * jnp.sin(jnp.pi * t)
        return u_t - conduction(x, y) * lap_u - source

    def conditions(self):
        return po.Initial(0.0), po.Dirichlet(0.0, on=("x", "y"))

    def reference(self) -> Reference:
        return varying_heat(lambda x, y: conduction(x, y, np), np.linspace(0, 5, 101))


class MultiscaleHeat(po.Problem):
    """u_t = u_xx / (500π)² + u_yy / π² on (0, 1)² x (0, 5), u = sin 20πx sin πy at the start.

    The network sees sin and cos of 20πx, the wave of the start.
    """

    domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 5))

    def residual(self, u_t, u_xx, u_yy):
        return u_t - u_xx / (500 * jnp.pi) ** 2 - u_yy / jnp.pi**2

    def features(self, x):
        return jnp.sin(20 * jnp.pi * x), jnp.cos(20 * jnp.pi * x)

    def conditions(self):
        start = po.Initial(lambda x, y: jnp.sin(20 * jnp.pi * x) * jnp.sin(jnp.pi * y))
        return start, po.Dirichlet(0.0, on=("x", "y"))

    def exact(self, x, y, t):
        decay = jnp.exp(-(1 + 0.04**2) * t)
        return jnp.sin(20 * jnp.pi * x) * jnp.sin(jnp.pi * y) * decay

    def reference(self) -> Reference:
        return on_grid(self.exact, x=np.linspace(0, 1, 98), y=np.linspace(0, 1, 15), t=TIMES)


def _around_circles() -> po.Domain:
    domain: po.Domain = po.Box(x=(-HALF[0], HALF[0]), y=(-HALF[1], HALF[1]), name="wall")
    for centres, radius, name in ((BIG, 1.0, "big"), (SMALL, 0.4, "small")):
        for x, y in centres:
            domain = domain - po.Disk(x=x, y=y, radius=radius, name=name)
    return domain * po.Time(0, 3)


class HeatAmongCircles(po.Problem):
    """u_t = Δu around disks, u_n = g - u, g = 5 on big ones, 1 on small ones, 1/10 outside."""

    domain = _around_circles()

    def residual(self, u_t, lap_u):
        return u_t - lap_u

    def conditions(self):
        given = {"big": 5.0, "small": 1.0, "wall": 0.1}
        return po.Initial(0.0), *(po.Robin(value, on=name) for name, value in given.items())

    def reference(self) -> Reference:
        circles = [(x, y, 1.0) for x, y in BIG] + [(x, y, 0.4) for x, y in SMALL]
        given = [5.0] * len(BIG) + [1.0] * len(SMALL)
        return heat_among_circles(HALF, circles, given, 0.1, np.linspace(0, 3, 31))


class LongHeat(po.Problem):
    """u_t = Δu / 1000 + 5 sin(u²) (1 + 2 sin πt/4) sin 4πx sin 2πy on (0, 1)² x (0, 100).

    u = sin 4πx sin 3πy at the start, 0 on the walls.
    """

    domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 100))

    def residual(self, u, u_t, lap_u, x, y, t):
        rate = 5 * (1 + 2 * jnp.sin(jnp.pi * t / 4))
        source = rate * jnp.sin(u**2) * jnp.sin(4 * jnp.pi * x) * jnp.sin(2 * jnp.pi * y)
        return u_t - lap_u / 1000 - source

    def conditions(self):
        start = po.Initial(lambda x, y: jnp.sin(4 * jnp.pi * x) * jnp.sin(3 * jnp.pi * y))
        return start, po.Dirichlet(0.0, on=("x", "y"))

    def reference(self) -> Reference:
        return reacting_heat(np.linspace(0, 100, 201))


class HeatInBall(po.Problem):
    """u_t = Δu / 5 - |x|² u* / 5 in the unit ball of five dimensions, t < 1, u* = exp(|x|²/2 + t).

    u = u* at the start, and u_n = u* on the sphere.
    """

    domain = po.Ball({f"x{k}": 0.0 for k in range(1, 6)}, 1.0) * po.Time(0, 1)

    def residual(self, u_t, lap_u, point):
        square = jnp.sum(point[:-1] ** 2)
        return u_t - lap_u / 5 + square * self.exact(point) / 5

    def conditions(self):
        return po.Initial(self.exact), po.Neumann(self.exact, on="sphere")

    def exact(self, point):
        return jnp.exp(jnp.sum(point[:-1] ** 2) / 2 + point[-1])


class RadialHeat(HeatInBall):
    """The same; the network sees |x|² as well."""

    def features(self, point):
        return (jnp.sum(point[:-1] ** 2),)


class VaryingConductivity(po.Problem):
    """u_t = ∇·(a ∇u) + f on (-1, 1)² x (0, 1), u known by 2500 noisy values, a on the walls.

    PINNacle's points are in a file; here they are drawn.
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1), t=(0, 1))
    unknowns = ("u", "a")
    depends_on = {"a": ("x", "y")}

    def residual(self, u_t, u_x, u_y, u_xx, u_yy, a, a_x, a_y, x, y, t):
        sx, cx, sy, cy = (f(jnp.pi * s) for s in (x, y) for f in (jnp.sin, jnp.cos))
        both = sx * sy
        square = 2 * both**2 - (cx * sy) ** 2 - (sx * cy) ** 2
        source = jnp.exp(-t) * ((4 * jnp.pi**2 - 1) * both + jnp.pi**2 * square)
        return u_t - a * (u_xx + u_yy) - a_x * u_x - a_y * u_y - source

    def field(self, x, y):
        return 2 + jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y)

    def conditions(self):
        x, y, t = np.random.default_rng(1).uniform((-1, -1, 0), 1, (2500, 3)).T
        u = np.exp(-t) * np.sin(np.pi * x) * np.sin(np.pi * y)
        values = observed({"x": x, "y": y, "t": t}, u)
        return po.Dirichlet({"a": self.field}, on=("x", "y")), values

    def exact(self, x, y, t):
        return {
            "u": jnp.exp(-t) * jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y),
            "a": self.field(x, y),
        }
