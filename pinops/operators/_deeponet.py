"""DeepONet: a basis of functions of the coordinates, and coefficients that depend on the problem (Lu et al. 2021)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, linear
from pinops.networks import Architecture, Convolutional, Frozen, JetNetwork, ModifiedMLP, whole_numbers
from pinops.operators._operator import Operator, OperatorArchitecture


class Combination(JetNetwork):
    """``sum over k of coefficients[k] trunk_k``.

    For many problems at the same points `jax.vmap` computes the trunk and all of its derivatives once, and every derivative of
    every solution is one matrix product.
    """

    trunk: JetNetwork
    coefficients: Float[Array, "p c"]

    def jet(self, features: Jet, plan: Plan) -> Jet:
        return linear(self.trunk.jet(features, plan), self.coefficients)


class DeepONetwork(Operator):
    """A branch ``(inputs) -> (p c,)`` and a trunk ``(features,) -> (p,)`` for c unknowns."""

    branch: Any
    trunk: JetNetwork
    centre: Frozen
    deviation: Frozen
    unknowns: int = eqx.field(static=True)

    def __call__(self, inputs: Float[Array, "..."]) -> Combination:
        size = self.centre.tree.shape
        if inputs.shape != size:
            raise ValueError(f"this operator was built for inputs of shape {size}, got {inputs.shape}; give as many sensors")
        branch = self.branch((inputs - self.centre.tree) / self.deviation.tree)
        return Combination(self.trunk, branch.reshape(-1, self.unknowns))


class DeepONet(OperatorArchitecture):
    """Deep operator network (Lu et al. 2021, doi:10.1038/s42256-021-00302-5), unstacked, without an output bias.

    With several unknowns all share the trunk and each has its own coefficients. The branch sees every input less its mean over
    the family, divided by its standard deviation.

    **Arguments:** ``branch``: an architecture, or `Convolutional` for inputs that are an image (default: that, or for a vector
    a modified multilayer perceptron of 4 x 100); ``trunk``: an architecture; ``latent`` >= 1: p, the number of basis functions.
    """

    branch: Architecture | Convolutional | None = None
    trunk: Architecture = ModifiedMLP(100, 4)
    latent: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        whole_numbers(self, "latent")
        for name, kinds in (("branch", (Architecture, Convolutional, type(None))), ("trunk", (Architecture,))):
            if not isinstance(getattr(self, name), kinds):
                raise ValueError(f"DeepONet: {name} must be an architecture such as MLP(100, 4), got {getattr(self, name)!r}")

    def build(
        self,
        centre: Float[np.ndarray, "..."],
        deviation: Float[np.ndarray, "..."],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> DeepONetwork:
        first, second = jax.random.split(key)
        image = centre.ndim > 1
        branch = self.branch or (Convolutional() if image else ModifiedMLP(100, 4))
        if isinstance(branch, Convolutional) != image:
            what, wanted = (f"an image {centre.shape}", "Convolutional") if image else (f"{centre.size} numbers", "MLP")
            raise ValueError(f"DeepONet: the inputs of this family are {what}; choose {wanted} as branch")
        outputs = self.latent * unknowns
        trunk = self.trunk.build(features, self.latent, key=second)
        if not isinstance(trunk, JetNetwork):
            raise ValueError(f"DeepONet: a trunk must carry its own derivatives, as those of pinops do; {self.trunk} does not")
        return DeepONetwork(
            branch.build(centre.shape, outputs, key=first)
            if isinstance(branch, Convolutional)
            else branch.build(centre.size, outputs, key=first),
            trunk,
            Frozen(jnp.asarray(centre, jnp.result_type(float))),
            Frozen(jnp.asarray(deviation, jnp.result_type(float))),
            unknowns,
        )
