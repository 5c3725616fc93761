"""DeepONet: a basis of functions of the coordinates, and coefficients that depend on the problem
(Lu et al. 2021).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, linear
from pinops.networks import (
    NETWORK,
    Architecture,
    Convolutional,
    Frozen,
    JetNetwork,
    ModifiedMLP,
    Spectral,
    SpectralNetwork,
)
from pinops.operators._modes import with_modes
from pinops.operators._operator import Operator, OperatorArchitecture, Solutions
from pinops.settings import Several, Whole, instance, setting, whole


class Combination(JetNetwork):
    """``sum over k of coefficients[k] trunk_k``.

    For many problems at the same points `jax.vmap` computes the trunk and all of its derivatives
    once, and every derivative of every solution is one matrix product.
    """

    trunk: JetNetwork
    coefficients: Float[Array, "p c"]

    def jet(self, features: Jet, plan: Plan) -> Jet:
        return linear(self.trunk.jet(features, plan), self.coefficients)


class BranchAndTrunk(Operator):
    """Abstract: a branch that sees the inputs, and a trunk that sees the features, for c
    unknowns.
    """

    branch: Any
    trunk: JetNetwork
    centre: Frozen
    deviation: Frozen
    unknowns: int = eqx.field(static=True)

    def coefficients(self, inputs: Float[Array, "..."]) -> Float[Array, " _m"]:
        """What the branch makes of the inputs. Raises ValueError for inputs of another shape."""
        size = self.centre.tree.shape
        if inputs.shape != size:
            raise ValueError(
                f"this operator was built for inputs of shape {size}, got {inputs.shape}; give as "
                "many sensors"
            )
        return self.branch((inputs - self.centre.tree) / self.deviation.tree)


class DeepONetwork(BranchAndTrunk):
    """A branch ``(inputs) -> (p c,)`` and a trunk ``(features,) -> (p,)``."""

    def __call__(self, inputs: Float[Array, "..."]) -> Combination:
        return Combination(self.trunk, self.coefficients(inputs).reshape(-1, self.unknowns))


class PODDeepONetwork(BranchAndTrunk):
    """A branch ``(inputs) -> (p,)`` and a trunk ``(features,) -> ((1 + p) c,)``: the mean, then p
    modes, which are not trained.

    They are kept among the parameters all the same, since a checkpoint keeps those.
    """

    trunk: SpectralNetwork

    def __call__(self, inputs: Float[Array, "..."]) -> Combination:
        one_for_all = jnp.append(jnp.ones((), inputs.dtype), self.coefficients(inputs))
        each = jnp.kron(one_for_all[:, None], jnp.eye(self.unknowns, dtype=inputs.dtype))
        return Combination(jax.lax.stop_gradient(self.trunk), each)


class DeepONet(OperatorArchitecture):
    """Deep operator network, unstacked, without an output bias.

    Lu et al. 2021 (doi:10.1038/s42256-021-00302-5).

    With several unknowns all share the trunk and each has its own coefficients. The branch sees
    every input less its mean over the family, divided by its standard deviation.

    Args:
        branch: an architecture, or `Convolutional` for inputs that are an image (default: that, or
            for a vector a modified multilayer perceptron of 4 x 100).
        trunk: an architecture.
        latent: p, the number of basis functions.
    """

    branch: Architecture | Convolutional | None = instance(
        (Architecture, Convolutional), None, what=NETWORK, optional=True
    )
    trunk: Architecture = instance(Architecture, ModifiedMLP(100, 4), what=NETWORK)
    latent: int = whole(100, most=100_000)

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
        trunk = self.trunk.build(features, self.latent, key=second)
        if not isinstance(trunk, JetNetwork):
            raise ValueError(
                "DeepONet: a trunk must carry its own derivatives, as those of pinops do; "
                f"{self.trunk} does not"
            )
        branch = _built_branch(self, centre, self.latent * unknowns, first)
        return DeepONetwork(branch, trunk, _frozen(centre), _frozen(deviation), unknowns)


class PODDeepONet(OperatorArchitecture):
    """DeepONet whose basis are the principal modes of the training data.

    Lu et al. 2022 (doi:10.1016/j.cma.2022.114778), section 3.1.3.

    Solutions are the mean of the training data plus a combination of their first modes (proper
    orthogonal decomposition), which stay as they are; only the branch is trained. So that
    derivatives exist and conditions are met exactly, modes are found among products of Chebyshev
    polynomials (`pinops.networks.Spectral`), multiplied by what vanishes on the boundary. Each is
    scaled by the standard deviation of its coefficient. For data whose members share their grid and
    the way in which they meet their conditions. A warning says when the modes miss more than a
    hundredth of the data.

    Args:
        branch: as for `DeepONet`.
        latent: the number of modes.
        degrees: largest degree of the polynomials, or a tuple, one for each feature.
    """

    branch: Architecture | Convolutional | None = instance(
        (Architecture, Convolutional), None, what=NETWORK, optional=True
    )
    latent: int = whole(32, most=100_000)
    degrees: int | tuple[int, ...] = setting(Several(Whole(1, 10_000), single=True), 24)

    def build(
        self,
        centre: Float[np.ndarray, "..."],
        deviation: Float[np.ndarray, "..."],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> PODDeepONetwork:
        trunk = Spectral(self.degrees).build(features, (1 + self.latent) * unknowns, key=key)
        trunk = eqx.tree_at(
            lambda t: t.coefficients, trunk, jnp.zeros_like(trunk.coefficients)
        )  # none are known yet
        branch = _built_branch(self, centre, self.latent, key)
        return PODDeepONetwork(branch, trunk, _frozen(centre), _frozen(deviation), unknowns)

    def fitted(self, operator: Operator, solutions: Solutions | None) -> Operator:
        """The operator with the modes of the solutions as its basis."""
        if solutions is None:
            raise ValueError("PODDeepONet takes its modes from solutions; give data=")
        assert isinstance(operator, PODDeepONetwork)
        trunk = with_modes(operator.trunk, operator.unknowns, solutions)
        return eqx.tree_at(lambda operator: operator.trunk, operator, trunk)


def _built_branch(
    architecture: "DeepONet | PODDeepONet", centre: np.ndarray, outputs: int, key: PRNGKeyArray
) -> Any:
    """The branch, by default one that fits the inputs. Raises ValueError where one does not fit."""
    image = centre.ndim > 1
    branch = architecture.branch or (Convolutional() if image else ModifiedMLP(100, 4))
    if isinstance(branch, Convolutional) != image:
        what, wanted = (
            (f"an image {centre.shape}", "Convolutional")
            if image
            else (f"{centre.size} numbers", "MLP")
        )
        raise ValueError(
            f"{type(architecture).__name__}: the inputs of this family are {what}; choose {wanted} "
            "as branch"
        )
    if isinstance(branch, Convolutional):
        return branch.build(centre.shape, outputs, key=key)
    return branch.build(centre.size, outputs, key=key)


def _frozen(array: np.ndarray) -> Frozen:
    return Frozen(jnp.asarray(array, jnp.result_type(float)))
