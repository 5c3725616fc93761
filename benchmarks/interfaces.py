"""Several materials in one domain, in strong form as one writes them: errors of the default recipe.

    python benchmarks/interfaces.py [--cases slabs ...] [--seeds 0 1 2] [--pin]
    python benchmarks/interfaces.py --markdown

The first command solves every problem within its seconds and updates
``benchmarks/results/interfaces.json``; the second writes the table of ``docs/guide/interfaces.md``.
All problems have closed forms.
"""

from pathlib import Path
from typing import Any

import _record
from _record import Row, measure

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "interfaces.md"
MARKS = ("<!-- table: benchmarks/interfaces.py --markdown -->", "<!-- end of table -->")
CASES = {
    "slabs": ("two slabs, 10 : 1, with a source", 1e-5, 120),
    "contact": ("two slabs with a contact resistance", 1e-5, 120),
    "inclusion": ("a disc in a square, 10 : 1", 1e-5, 300),
    "cylinder": ("a heated core in a cylinder, 400 : 1", 1e-5, 300),
    "elasticity": ("two elastic layers, 10 : 1", 1e-4, 300),
}


def problems() -> dict[str, Any]:
    """The problem of each case."""
    import jax.numpy as jnp

    import pinops as po

    class Slabs(po.Problem):
        """(k u')' + 1 = 0, k = 1 | 10."""

        domain = po.Interval(x=(0, 2))
        subdomains = {"right": po.Interval(x=(1, 2))}
        k: float = po.positive(10.0)

        def conductivity(self, right):
            return jnp.where(right, self.k, 1.0)

        def residual(self, u_xx, right):
            return self.conductivity(right) * u_xx + 1

        def conditions(self):
            return po.Dirichlet(0.0), po.Interface(self.flux)

        def flux(self, u_n, right):
            return self.conductivity(right) * u_n

        def exact(self, x):
            # k u' = a - x on both sides.
            a = (1.5 / self.k + 0.5) / (1 + 1 / self.k)
            right = (-(x**2) / 2 + a * x - 2 * a + 2) / self.k
            return jnp.where(x < 1, -(x**2) / 2 + a * x, right)

    class Contact(Slabs):
        """The same; the temperature jumps by a tenth of the heat that passes."""

        def conditions(self):
            # The normal points out of the right slab, to the left.
            jump = po.Interface(self.flux, jump=lambda flux: 0.1 * flux)
            return po.Dirichlet(0.0), jump

        def exact(self, x):
            a = (1.5 / self.k + 0.5 + 0.1) / (1 + 1 / self.k + 0.1)
            right = (-(x**2) / 2 + a * x - 2 * a + 2) / self.k
            return jnp.where(x < 1, -(x**2) / 2 + a * x, right)

    class Inclusion(po.Problem):
        """div(k grad u) = 0 around a disc that conducts ten times as well."""

        domain = po.Box(x=(-1, 1), y=(-1, 1))
        subdomains = {"disc": po.Disk(x=0.0, y=0.0, radius=0.5)}
        k: float = po.positive(10.0)

        def residual(self, lap_u, disc):
            return jnp.where(disc, self.k, 1.0) * lap_u

        def conditions(self):
            return po.Dirichlet(self.outside), po.Interface(self.flux)

        def flux(self, u_n, disc):
            return jnp.where(disc, self.k, 1.0) * u_n

        def outside(self, x, y):
            return x * (1 + (1 - self.k) / (1 + self.k) * 0.25 / (x**2 + y**2))

        def exact(self, x, y):
            inner = 2 * x / (1 + self.k)
            far = jnp.maximum(x**2 + y**2, 0.25)
            outer = x * (1 + (1 - self.k) / (1 + self.k) * 0.25 / far)
            return jnp.where(x**2 + y**2 < 0.25, inner, outer)

    class Cylinder(po.Problem):
        """div(k grad u) + q = 0, k = 400 and q = 1 in the core, 1 and 0 around it."""

        domain = po.Disk(x=0.0, y=0.0, radius=2.0)
        subdomains = {"core": po.Disk(x=0.0, y=0.0, radius=1.0)}
        k: float = po.positive(400.0)

        def factor(self, x, y):
            return 1 - (x**2 + y**2) / 4

        def residual(self, lap_u, core):
            return jnp.where(core, self.k * lap_u + 1, lap_u)

        def conditions(self):
            return (po.Interface(self.flux),)

        def flux(self, u_n, core):
            return jnp.where(core, self.k, 1.0) * u_n

        def exact(self, x, y):
            square = x**2 + y**2
            outer = jnp.log(4 / jnp.maximum(square, 1.0)) / 4
            return outer + jnp.maximum(1 - square, 0.0) / (4 * self.k)

    class Elasticity(po.Problem):
        """Two elastic layers under a body force; the stresses do not depend on the moduli."""

        domain = po.Box(x=(0, 1), y=(-0.5, 0.5))
        unknowns = ("u", "v")
        subdomains = {"stiff": po.Interval(y=(0, 0.5))}
        mu: float = po.positive(10.0)

        def residual(self, u_xx, u_yy, u_xy, v_xx, v_yy, v_xy, x, y, stiff):
            mu, p = jnp.where(stiff, self.mu, 1.0), y + y**2
            s, c, slope = jnp.sin(jnp.pi * x), jnp.cos(jnp.pi * x), jnp.pi * (1 + 2 * y)
            along = (-3 * jnp.pi**2 * p + 2 - 2 * slope) * s
            across = (6 - jnp.pi**2 * p + 2 * slope) * c
            return {
                "x": mu * (3 * u_xx + u_yy + 2 * v_xy) - along,
                "y": mu * (3 * v_yy + v_xx + 2 * u_xy) - across,
            }

        def conditions(self):
            return po.Dirichlet({"u": self.along, "v": self.across}), po.Interface(self.traction)

        def traction(self, u_x, u_y, v_x, v_y, stiff):
            mu = jnp.where(stiff, self.mu, 1.0)
            return {"shear": mu * (u_y + v_x), "normal": mu * (3 * v_y + u_x)}

        def along(self, x, y):
            return (y + y**2) * jnp.sin(jnp.pi * x) / jnp.where(y > 0, self.mu, 1.0)

        def across(self, x, y):
            return (y + y**2) * jnp.cos(jnp.pi * x) / jnp.where(y > 0, self.mu, 1.0)

        def exact(self, x, y):
            return {"u": self.along(x, y), "v": self.across(x, y)}

    found = (Slabs(), Contact(), Inclusion(), Cylinder(), Elasticity())
    return dict(zip(CASES, found, strict=True))


def run(case: str, seed: int, smoke: bool) -> Row:
    """One training of the default recipe, in nine tenths of the seconds: the rest compiles."""
    import pinops as po

    seconds = CASES[case][2]
    length: dict[str, Any] = {"steps": 3} if smoke else {"minutes": 0.9 * seconds / 60}
    solution = po.solve(problems()[case], seed=seed, progress=False, **length)
    errors = {unknown: one["mean"] for unknown, one in solution.error().items()}
    steps = solution.history[-1].step
    return {"relative_l2": errors, "steps": steps, "seconds": round(solution.seconds, 1)}


def table(content: Row) -> list[str]:
    """The recorded cases."""
    lines = ["| problem | target | relative error, each seed | seconds |", "|---|---|---|---|"]
    for name, entry in content["cases"].items():
        errors = _record.each(entry["runs"], lambda row: f"{measure(row):.1e}")
        about, target, limit = CASES[name]
        taken = f"{_record.seconds(entry)} of {limit}"
        lines.append(f"| {about} | {target:.0e} | {errors} | {taken} |")
    return lines


def main() -> None:
    settings = {
        case: {"target": target, "seconds": limit} for case, (_, target, limit) in CASES.items()
    }
    _record.by_case(__file__, __doc__, run, settings, page=PAGE, marks=MARKS, table=table)


if __name__ == "__main__":
    main()
