"""What all conditions have in common."""

import equinox as eqx


class Condition(eqx.Module):
    """Abstract: something that must hold on a part of the boundary, at an instant, or at points."""

    soft: eqx.AbstractVar[bool]
