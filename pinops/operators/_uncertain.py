"""A request for an answer with an error bar: any architecture, many times."""

from typing import Any

import equinox as eqx

from pinops.networks import Architecture
from pinops.operators._deeponet import PODDeepONet
from pinops.operators._operator import OperatorArchitecture
from pinops.operators._points import PointArchitecture
from pinops.operators._surrogate import GridArchitecture, SurrogateArchitecture
from pinops.settings import check_settings, instance, number, whole

WRAPPED = (
    Architecture,
    OperatorArchitecture,
    GridArchitecture,
    SurrogateArchitecture,
    PointArchitecture,
)


class Uncertain(eqx.Module):
    """What `pinops.uncertain` gives, for `train` and `solve`.

    Args:
        architecture: that of every member; None: the default of the front door.
        members: how many are trained, at least 2.
        prior: the standard deviation of each member's prior, in units of the target's.
        bootstrap: the share of the samples that a member learns from, above 0 and up to 1.

    Raises:
        ValueError: for a setting out of its range, and for an architecture that has no prior.
    """

    architecture: Any = instance(
        WRAPPED, None, what="an architecture such as FNO(12), DeepONet() or MLP(30)", optional=True
    )
    members: int = whole(16, least=2, most=1000)
    prior: float = number(1.0, least=0, most=1e3)
    bootstrap: float = number(0.5, above=0, most=1)

    def __check_init__(self):
        check_settings(self)
        if isinstance(self.architecture, PODDeepONet):
            raise ValueError(
                "Uncertain: a PODDeepONet takes its basis from data, so a random one cannot be a "
                "prior; give DeepONet(), or train it with ensemble=8"
            )


def uncertain(
    architecture: Any = None,
    members: int = 16,
    *,
    prior: float = 1.0,
    bootstrap: float = 0.5,
) -> Uncertain:
    """Any architecture with error bars: ``po.train(data, po.uncertain(FNO(12)))``.

    As many members are trained as are asked for, each the sum of a network and of a *randomised
    prior*: a network of the same architecture, drawn with a key of its own, that stays as it is
    (Osband, Aslanides & Cassirer 2018, arXiv:1806.03335; for operators and multi-fidelity Bhouri,
    Joly, Yu, Sarkar & Perdikaris 2023, arXiv:2309.10231). Where data, an equation or conditions say
    what the solution is, training makes up for the prior and the members agree; elsewhere they
    differ. The derivatives of the prior are part of the residual of an equation.

    The priors are as large as the targets: of the deviation ``prior`` for standardised targets, as
    far as typical inputs, drawn at random, tell. For ``Direct(..., change=True)`` the targets are
    the changes of a step, and that is far too much: give the size of these changes, such as 0.05.

    Each member learns from samples of its own: one counts in its loss with the probability
    ``bootstrap``, the same in every step (with weights, so that all members share the data). With
    one half the weights vary as those of a bootstrap do: with variance 1. In `solve` the samples
    are the observations; an equation and its conditions count for all.

    Args:
        architecture: A network for `solve`; for `train` an operator, a network on grids or on
            points, or a surrogate; None: their default.
        members: How many, from 2 to 1000. Eight give a mean, thirty-two a spread.
        prior: The standard deviation of the priors in units of the target's, at least 0; with 0 the
            members differ in what they were drawn from, and by the bootstrap.
        bootstrap: The share of the samples that each member learns from, above 0 and up to 1.

    Returns:
        What `train` and `solve` take for an architecture; they then give a `TrainedUncertain`.

    Raises:
        ValueError: For a setting out of range, and for anything that is not an architecture.

    Example:
        >>> asked = po.uncertain(po.operators.FNO(12), members=8)
        >>> asked.members
        8
    """
    return Uncertain(architecture, members, prior, bootstrap)
