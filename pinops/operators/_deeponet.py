"""DeepONet: a basis of functions of the coordinates, and coefficients of each problem."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, linear
from pinops.networks import (
    NETWORK,
    Architecture,
    Encoder,
    EncoderArchitecture,
    Frozen,
    JetNetwork,
    ModifiedMLP,
    Spectral,
    SpectralNetwork,
    encoder_for,
    encoder_setting,
    is_plain,
)
from pinops.operators._linear_fit import linear_fit
from pinops.operators._modes import with_modes
from pinops.operators._operator import Numbers, Operator, OperatorArchitecture, Solutions
from pinops.problem import Inputs, at_sensors, in_words, shapes_of, zeros_of
from pinops.settings import Several, Whole, instance, setting, whole


class Combination(JetNetwork):
    """``sum over k of coefficients[k] trunk_k``.

    For many problems at the same points `jax.vmap` computes the trunk and all of its derivatives
    once, and every derivative of every solution is one matrix product.
    """

    trunk: JetNetwork
    coefficients: Float[Array, "p c"]

    @property
    def plain(self) -> bool:
        """Whether its trunk sees each coordinate as it is."""
        return is_plain(self.trunk)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        return linear(self.trunk.jet(features, plan), self.coefficients)


class BranchAndTrunk(Operator):
    """Abstract: a branch that sees the inputs and a trunk that sees the features."""

    branch: Encoder
    trunk: JetNetwork
    centre: Frozen
    deviation: Frozen
    unknowns: int = eqx.field(static=True)

    @property
    def plain(self) -> bool:
        """Whether its trunk sees each coordinate as it is."""
        return is_plain(self.trunk)

    def coefficients(self, inputs: Inputs) -> Float[Array, " _m"]:
        """What the branch makes of the inputs.

        Raises:
            ValueError: For inputs of other names or shapes than those that the operator was built
                for.
        """
        centre, deviation = self.centre.tree, self.deviation.tree
        wanted, found = shapes_of(centre), shapes_of(inputs)
        if found != wanted:
            raise ValueError(
                f"this operator was built for inputs {in_words(wanted)}, got {in_words(found)}; "
                "give the same names, "
                "and as many sensors"
            )
        some = {name: inputs[name] for name in centre}
        return self.branch(jax.tree.map(standardised, some, centre, deviation))


class DeepONetwork(BranchAndTrunk):
    """A branch ``(inputs) -> (p c,)`` and a trunk ``(features,) -> (p,)``.

    Attributes:
        branch: Of the inputs, standardised.
        trunk: Of the features.
        centre: The means of the inputs in the training, by name.
        deviation: Their standard deviations.
        unknowns: The number c of unknowns.
    """

    def __call__(self, inputs: Inputs) -> Combination:
        return Combination(self.trunk, self.coefficients(inputs).reshape(-1, self.unknowns))


class PODDeepONetwork(BranchAndTrunk):
    """A branch ``(inputs) -> (p,)`` and a trunk of the mean and p modes.

    The trunk is ``(features,) -> ((1 + p) c,)`` for c unknowns. Neither it nor the linear part is
    trained. They are kept among the parameters all the same, since a checkpoint keeps those.

    Attributes:
        branch: Of the inputs, standardised.
        trunk: Of the mean and the modes.
        centre: The means of the inputs in the training, by name.
        deviation: Their standard deviations.
        unknowns: The number c of unknowns.
        matrix: From the inputs, one behind the other in the order of their names, to what each mode
            gets without the branch.
        added: To that.
        missed: What the branch is multiplied by: the size of what the matrix misses.
    """

    trunk: SpectralNetwork
    matrix: Float[Array, "m p"]
    added: Float[Array, " p"]
    missed: Float[Array, " p"]

    def seen(self, inputs: Inputs) -> Float[Array, " m"]:
        """The standardised inputs, one behind the other."""
        centre, deviation = self.centre.tree, self.deviation.tree
        each = [((inputs[n] - centre[n]) / deviation[n]).ravel() for n in sorted(centre)]
        return jnp.concatenate(each)

    def __call__(self, inputs: Inputs) -> Combination:
        fixed = (self.matrix, self.added, self.missed)
        matrix, added, missed = jax.lax.stop_gradient(fixed)
        own = missed * self.coefficients(inputs) + self.seen(inputs) @ matrix + added
        one_for_all = jnp.append(jnp.ones((), own.dtype), own)
        each = jnp.kron(one_for_all[:, None], jnp.eye(self.unknowns, dtype=own.dtype))
        return Combination(jax.lax.stop_gradient(self.trunk), each)


class DeepONet(OperatorArchitecture):
    """Deep operator network, unstacked, without an output bias.

    Source: Lu et al. 2021, doi:10.1038/s42256-021-00302-5.

    With several unknowns all share the trunk and each has its own coefficients. The branch sees
    every input less its mean over the family, divided by its standard deviation, entry by entry.

    Args:
        branch: an encoder of the inputs, or an architecture such as ``MLP(100, 4)`` for vectors and
            numbers. Default, by their shapes: a modified multilayer perceptron of 4 x 100 for
            vectors and numbers, `Convolutional` for images, `Attention` for a function at sensors
            that differ from sample to sample, and `Product` for several of these.
        trunk: an architecture.
        latent: p, the number of basis functions.
    """

    branch: Architecture | EncoderArchitecture | None = encoder_setting()
    trunk: Architecture = instance(Architecture, ModifiedMLP(100, 4), what=NETWORK)
    latent: int = whole(100, most=100_000)

    @property
    def plain(self) -> bool:
        """Whether its trunk sees each coordinate as it is."""
        return is_plain(self.trunk)

    def build(
        self,
        centre: Mapping[str, Numbers],
        deviation: Mapping[str, Numbers],
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
        return DeepONetwork(branch, trunk, frozen(centre), frozen(deviation), unknowns)


class PODDeepONet(OperatorArchitecture):
    """A DeepONet with the principal modes of the training data as its basis.

    Source: Lu et al. 2022, doi:10.1016/j.cma.2022.114778, §3.1.3.

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

    plain: ClassVar[bool] = True

    branch: Architecture | EncoderArchitecture | None = encoder_setting()
    latent: int = whole(32, most=100_000)
    degrees: int | tuple[int, ...] = setting(Several(Whole(1, 10_000), single=True), 24)

    def build(
        self,
        centre: Mapping[str, Numbers],
        deviation: Mapping[str, Numbers],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> PODDeepONetwork:
        for name, shape in shapes_of(centre).items():
            if at_sensors(shape):
                raise ValueError(
                    f"PODDeepONet: the input {name} has sensors that differ from sample to sample, "
                    "and its map of the inputs needs the same for all; train a DeepONet()"
                )
        trunk = Spectral(self.degrees).build(features, (1 + self.latent) * unknowns, key=key)
        trunk = eqx.tree_at(
            lambda t: t.coefficients, trunk, jnp.zeros_like(trunk.coefficients)
        )  # none are known yet
        branch = _built_branch(self, centre, self.latent, key)
        numbers = sum(math.prod(shape) for shape in shapes_of(centre).values())
        return PODDeepONetwork(
            branch=branch,
            trunk=trunk,
            centre=frozen(centre),
            deviation=frozen(deviation),
            unknowns=unknowns,
            matrix=jnp.zeros((numbers, self.latent)),
            added=jnp.zeros(self.latent),
            missed=jnp.ones(self.latent),
        )

    def fitted(self, operator: Operator, solutions: Solutions | None) -> Operator:
        """The operator with the modes of the solutions as its basis."""
        if solutions is None:
            raise ValueError("PODDeepONet takes its modes from solutions; give data=")
        assert isinstance(operator, PODDeepONetwork)
        trunk, amounts = with_modes(operator.trunk, operator.unknowns, solutions)
        inputs = {n: jnp.asarray(a) for n, a in solutions.inputs(range(solutions.count)).items()}
        seen = np.asarray(jax.vmap(operator.seen)(inputs), np.float64)
        found = linear_fit(seen, amounts)
        dtype = operator.matrix.dtype

        def parts(operator: PODDeepONetwork) -> tuple[Any, ...]:
            return operator.trunk, operator.matrix, operator.added, operator.missed

        new = (trunk, *(jnp.asarray(array, dtype) for array in found))
        return eqx.tree_at(parts, operator, new)


def _built_branch(
    architecture: DeepONet | PODDeepONet,
    centre: Mapping[str, Numbers],
    outputs: int,
    key: PRNGKeyArray,
) -> Encoder:
    """The branch, by default one that fits the inputs. Raises ValueError where one does not fit."""
    name, shapes = type(architecture).__name__, shapes_of(centre)
    encoder = encoder_for(architecture.branch, shapes)
    try:
        built = encoder.build(shapes, outputs, key=key)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    # A foreign encoder may give something else, which would end in a broadcast far from here.
    sample = {name: zeros_of(shape) for name, shape in shapes.items()}
    found = eqx.filter_eval_shape(built, sample)
    if jnp.shape(found) != (outputs,):
        raise ValueError(
            f"{name}: the encoder {type(encoder).__name__} must give a vector of {outputs} "
            "numbers, got the shape "
            f"{jnp.shape(found)}"
        )
    return built


def standardised(value: Array, centre: Array, deviation: Array) -> Array:
    return (value - centre) / deviation


def frozen(arrays: Mapping[str, Numbers]) -> Frozen:
    def number(leaf: Any) -> Array:
        return jnp.asarray(leaf, jnp.result_type(float))

    return Frozen(jax.tree.map(number, {name: arrays[name] for name in sorted(arrays)}))
