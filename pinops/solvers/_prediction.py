"""An answer with its error bar, the same for ensembles and for Gaussian processes."""

from typing import Any, NamedTuple


class Prediction(NamedTuple):
    """What an uncertain answer says.

    Mean and spread have the same form, that of an answer without error bars: an array, a dict of
    arrays by unknown, or lists of arrays for samples with points of their own.

    Attributes:
        mean: The mean, of members or of a Gaussian process.
        spread: The standard deviation in the same units; over members with the divisor n - 1.
    """

    mean: Any
    spread: Any
