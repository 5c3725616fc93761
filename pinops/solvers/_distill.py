"""One fast student of many members."""

from typing import Any

import numpy as np

from pinops.data import Dataset
from pinops.problem import DataFamily
from pinops.solvers._train import train
from pinops.solvers._trained_map import TrainedMap
from pinops.solvers._trained_operator import TrainedOperator
from pinops.solvers._trained_uncertain import TrainedUncertain


def distill(
    trained: TrainedUncertain,
    inputs: Any,
    architecture: Any,
    *,
    spread: bool = False,
    coordinates: Any = None,
    **options: Any,
) -> Any:
    """One student that gives what the members give in the mean, as fast as one of them.

    It learns from their mean at inputs whose solutions nobody knows, so that there can be as many
    as one likes (Hinton, Vinyals & Dean 2015, arXiv:1503.02531).

    Args:
        trained: A map, or an operator of data alone, with error bars.
        inputs: By name, a sample in each row.
        architecture: Of the student.
        spread: Whether it learns the spread too, as further unknowns ``NAME_spread``.
        coordinates: Of an operator: the axes of the grid where it is asked, by name; those of a map
            are known.
        options: As for `train`, such as ``steps``.

    Returns:
        What `train` gives for the architecture.

    Raises:
        ValueError: For another kind of result, and an operator without coordinates.
    """
    kind: Any = trained[0] if isinstance(trained, TrainedUncertain) else trained
    of_data = isinstance(kind, TrainedOperator) and isinstance(kind.family, DataFamily)
    if not isinstance(trained, TrainedUncertain) or not (isinstance(kind, TrainedMap) or of_data):
        raise ValueError(
            "distill is for maps and operators of data with error bars, such as "
            f"train(data, uncertain(FNO(12))), got a result of {type(kind).__name__}"
        )
    axes = kind.axes if isinstance(kind, TrainedMap) else coordinates
    if axes is None:
        raise ValueError("an operator has no grid of its own: give coordinates={'x': x}")
    if isinstance(kind, TrainedMap):
        answer = trained(inputs)
    else:
        grids = np.meshgrid(*axes.values(), indexing="ij")
        answer = trained(inputs, **dict(zip(axes, grids, strict=True)))
    parts = [("", answer.mean), ("_spread", answer.spread)][: 1 + spread]
    outputs = {}
    for suffix, part in parts:
        named = part if isinstance(part, dict) else {kind.family.unknowns[0]: part}
        outputs |= {f"{name}{suffix}": array for name, array in named.items()}
    data = Dataset.from_arrays(
        inputs=inputs, outputs=outputs, coordinates=axes, source="the mean of the members"
    )
    return train(data, architecture, **options)
