"""Diffusion with one of several reactions, from random initial values: a multi-task family."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import GaussianProcess, interpolate
from pinops.reference import Reference, grid_values, no_flux_reaction

SENSORS = np.linspace(0, 1, 64)
KINDS = ("fisher", "newell_whitehead", "zeldovich", "degenerate")


@po.register("fisher_family")
class FisherFamily(po.Problem):
    """u_t = D u_xx + F(u) on (0, 1) x (0, 1], u_x = 0 at both ends, u(x, 0) = g(x).

    Source: the first problem of the multi-task DeepONet (Fisher 1937; Newell & Whitehead 1969;
    Zeldovich & Frank-Kamenetskii 1938).

    | kind | F(u) | as c₁u + c₂u² + c₃u³ + c₄u⁴ |
    |---|---|---|
    | fisher | a u (1 - u) | a (1, -1, 0, 0) |
    | newell_whitehead | a u (1 - u²) | a (1, 0, -1, 0) |
    | zeldovich | a u (1 - u) exp(-b (1 - u)) | a exp(-b) (1, b - 1, b (b/2 - 1), -b²/2) |
    | degenerate | a u² (1 - u) | a (0, 1, -1, 0) |

    The polynomial of zeldovich is of second order in exp(bu).

    A family: an operator sees the four numbers c and g at 64 sensors, so that one operator serves
    all kinds. Samples have a in 0.1, 0.2, ..., 1, one of ten values of b from 0.5 to 2, and
    g = max(0, 1 + z/4) for a Gaussian process z of correlation length 0.12.

    Args:
        mixture: ``(4,)``, the share of each kind in F, one and zeros for samples (default: fisher).
        rate: a (default 1).
        steepness: b (default 1).
        initial: ``(64,)``, g at the sensors (default 1 + 0.25 cos πx).
        diffusivity: D > 0 (default 1e-3).
        task: the sampled kinds, "all" for the first three (half of them zeldovich), or one by name.
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    mixture: Float[Array | np.ndarray, " k"] = eqx.field(
        default_factory=lambda: np.eye(len(KINDS))[0]
    )
    rate: float = 1.0
    steepness: float = 1.0
    initial: Float[Array | np.ndarray, " m"] = eqx.field(
        default_factory=lambda: 1 + 0.25 * np.cos(np.pi * SENSORS)
    )
    diffusivity: float = po.positive(1e-3)
    task: str = po.one_of("all", ("all", *KINDS))

    def __check_init__(self):
        if np.shape(self.initial)[-1:] != SENSORS.shape:
            raise ValueError(
                f"FisherFamily: initial must have {SENSORS.size} values, "
                f"got shape {np.shape(self.initial)}"
            )
        if np.shape(self.mixture)[-1:] != (len(KINDS),):
            raise ValueError(
                f"FisherFamily: mixture must have {len(KINDS)} values, "
                f"got shape {np.shape(self.mixture)}"
            )

    def reaction(self, u, xp=jnp):
        """F(u), in JAX or, with ``xp=np``, in NumPy."""
        growth = u * (1 - u)
        per_kind = (
            growth,
            growth * (1 + u),
            growth * xp.exp(-self.steepness * (1 - u)),
            growth * u,
        )
        return self.rate * sum(self.mixture[k] * f for k, f in enumerate(per_kind))

    def polynomial(self):
        """The coefficients c₁, ..., c₄ of F, ``(4,)``."""
        b = jnp.asarray(self.steepness)
        zero, one = jnp.zeros_like(b), jnp.ones_like(b)
        rows = [
            [one, -one, zero, zero],
            [one, zero, -one, zero],
            [one, b - 1, b * (b / 2 - 1), -b * b / 2],
            [zero, one, -one, zero],
        ]
        rows[2] = [jnp.exp(-b) * c for c in rows[2]]
        of_kinds = jnp.stack([jnp.stack(row) for row in rows])
        return jnp.asarray(self.rate) * (jnp.asarray(self.mixture) @ of_kinds)

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.reaction(u)

    def conditions(self):
        return (
            po.Initial(lambda x: interpolate(jnp.asarray(self.initial), x, (0.0, 1.0))),
            po.Neumann(0.0, on="x"),
        )

    def sample(self, key):
        which, rate, steepness, field = jax.random.split(key, 4)
        dtype = jnp.result_type(float)
        if self.task == "all":
            kind = jax.random.choice(which, jnp.asarray([0, 1, 2, 2]))
        else:
            kind = KINDS.index(self.task)
        z = GaussianProcess(0.12).sample(field, SENSORS)
        return replace(
            self,
            mixture=jnp.eye(len(KINDS), dtype=dtype)[kind],
            rate=jax.random.choice(rate, jnp.linspace(0.1, 1.0, 10)),
            steepness=jax.random.choice(steepness, jnp.linspace(0.5, 2.0, 10)),
            initial=jnp.maximum(0.0, 1 + z / 4),
        )

    def inputs(self):
        return {"reaction": self.polynomial(), "initial": self.initial}

    def reference(self) -> Reference:
        values = np.asarray(self.initial, np.float64)
        member = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self)
        return no_flux_reaction(
            SENSORS,
            np.linspace(0, 1, 20),
            diffusivity=float(self.diffusivity),
            reaction=lambda u: member.reaction(u, np),
            initial=lambda x: grid_values(values, x, (0.0, 1.0)),
        )
