"""Diffusion with two stable states from random smooth waves."""

import numpy as np

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference


@po.register("bistable_waves")
class BistableWaves(PeriodicFamily):
    """u_t = ν u_xx + ρ u (1 - u) (u - a) on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0).

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    What is above a grows towards 1, the rest falls to 0. Samples have ν from 0.0025 to 0.0075, ρ
    from 2 to 6 and a from 0.3 to 0.6.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        diffusivity: ν > 0 (default 0.005).
        rate: ρ (default 4).
        threshold: a (default 0.45).
    """

    spread = {
        "diffusivity": (0.0025, 0.0075),
        "rate": (2.0, 6.0),
        "threshold": (0.3, 0.6),
    }
    diffusivity: float = po.positive(0.005)
    rate: float = 4.0
    threshold: float = 0.45

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * u * (1 - u) * (u - self.threshold)

    def reference(self) -> Reference:
        rate, threshold = float(self.rate), float(self.threshold)

        def grown(u: np.ndarray) -> np.ndarray:
            return rate * u * (1 - u) * (u - threshold)

        return self.diffused(float(self.diffusivity), reaction=grown)
