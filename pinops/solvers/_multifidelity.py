"""Training on two fidelities: a network learns what a cheap prediction misses.

The low level is trained first, or given. Its predictions become further inputs of the samples of
the high level, so that its parameters see nothing of the high level's loss.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from pinops.data import Contents, Dataset, family_of, inputs_in
from pinops.operators import GridArchitecture, OperatorArchitecture, Uncertain
from pinops.problem import in_words, name_of, shapes_of
from pinops.settings import check_settings, instance, one_of, shown
from pinops.solvers._trained import Trained
from pinops.solvers._trained_multifidelity import (
    HIGH,
    LOW,
    MODES,
    TrainedMultiFidelity,
    given_to,
    low_answers,
)

_TYPICAL = 1024  # samples of the low level that tell means and deviations
_ARCHITECTURES = (GridArchitecture, OperatorArchitecture, Uncertain)


class MultiFidelity(eqx.Module):
    """A network that corrects a cheaper prediction: ``po.train(few, MultiFidelity(low=many))``.

    Many samples of low fidelity, or a coarse solver, and a few of high fidelity: the network sees
    ŷ_L, the prediction of the low level (Bhouri, Joly, Yu, Sarkar & Perdikaris 2023,
    arXiv:2309.10231). The parameters of the low level stay as they are.

    * "residual": ŷ_L(x) + N(x, ŷ_L(x)), the autoregression of Kennedy & O'Hagan (2000,
      doi:10.1093/biomet/87.1.1) with the factor 1.
    * "compose": N(ŷ_L(x)), that of the paper, which extrapolates where the way from ŷ_L to y stays
      the same.
    * "concat": N(x, ŷ_L(x)).

    Where the low level is a data set, its samples tell the means and deviations of the inputs, and
    for "compose" and "concat" of the outputs, so that inputs beyond the few of the high level are
    in the range that the network was scaled for.

    Args:
        low: The low level: a `Dataset` of the same inputs and outputs, on which a network of the
            same architecture is trained first, with the same options; what a training has left
            (also on another grid, for an operator; also two levels, for three); or a function from
            inputs by name, a sample in each row, to outputs ``{unknown: (n, *grid)}``, or
            ``(n, *grid)`` for one unknown, such as a coarse solver.
        high: The architecture of N: a network on grids, such as FNO(20, 12), which takes times as
            one more axis, or an operator, such as DeepONet(); `pinops.uncertain` of one gives error
            bars, and the low level is then one network of it.
        mode: "residual", "compose" or "concat".

    Raises:
        ValueError: For a setting of another kind.
    """

    low: Any
    high: Any = instance(_ARCHITECTURES, what="an architecture such as FNO(20, 12) or DeepONet()")
    mode: str = one_of("residual", MODES)

    def __check_init__(self):
        check_settings(self)
        function = isinstance(self.low, Callable) and not isinstance(self.low, type)
        if not (isinstance(self.low, Dataset | Trained) or function):
            raise ValueError(
                "MultiFidelity: low must be a Dataset, a trained result or a function of the "
                f"inputs, got {shown(self.low)}"
            )
        if not isinstance(self.network, _ARCHITECTURES[:2]):
            raise ValueError(
                "MultiFidelity: high must be uncertain(...) of a network on grids or an operator, "
                f"got one of {shown(self.network)}"
            )

    @property
    def network(self) -> Any:
        """The architecture of N, without the wish for error bars."""
        return self.high.architecture if isinstance(self.high, Uncertain) else self.high


def trained_on_two_levels(
    dataset: Dataset,
    asked: MultiFidelity,
    train: Callable[..., Any],
    *,
    out: Path | None,
    ensemble: int | None,
    **options: Any,
) -> TrainedMultiFidelity:
    """The low level, where it is a data set, and then the high level.

    Args:
        dataset: Of the high level.
        asked: Both levels.
        train: `pinops.train`.
        out: The run directory, with one of each level inside.
        ensemble: How many networks the high level has.
        options: The others of `train`, for both levels.
    """
    if isinstance(asked.network, GridArchitecture):
        asked = replace(asked, low=_steady(asked.low))
    _check(dataset, asked)
    folders = {name: None if out is None else out / name for name in (LOW, HIGH)}
    low = asked.low
    if isinstance(low, Dataset):
        low = train(low, asked.network, out=folders[LOW], **options)
    samples = _steady(dataset) if isinstance(asked.network, GridArchitecture) else dataset
    corrected = _corrected(samples, asked, low)
    high = train(corrected, asked.high, out=folders[HIGH], ensemble=ensemble, **options)
    family = family_of(samples)
    kept = {name: high.request[name] for name in ("coefficients", "seed", "dtype")}
    request = kept | {
        "problem": name_of(family),
        "multi_fidelity": {
            "mode": asked.mode,
            "low": "trained" if isinstance(low, Trained) else "function",
        },
        "axes": {name: line.tolist() for name, line in _axes(samples).items()},
        "family": family.to_json(),
        "data": dataset.digest,
        "data_members": dataset.seen("training"),
    }
    result = TrainedMultiFidelity(
        low=low, high=high, family=family, request=request, dataset=dataset
    )
    if out is not None:
        result.save(out)
    return result


def _axes(dataset: Dataset) -> dict[str, np.ndarray]:
    """The points of each coordinate."""
    return {name: np.ravel(line) for name, line in dataset.coordinates.items()}


def _steady(data: Any) -> Any:
    """Trajectories as fields over one more coordinate, "time", for networks on grids; everything
    else as it is.
    """
    if not isinstance(data, Dataset) or data.layout.kind != "grid" or data.layout.time is None:
        return data
    rows = data.rows(np.arange(data.count))
    axes = {"time" if name == data.layout.time else name: a for name, a in _axes(data).items()}
    outputs = {name: rows[f"values/{name}"] for name in data.unknowns}
    return _remade(data, outputs, inputs_in(rows), axes, {})


def _remade(
    data: Dataset,
    outputs: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    axes: Mapping[str, np.ndarray],
    typical: Mapping[str, np.ndarray],
) -> Dataset:
    """The samples of a data set, in its parts, with other inputs and outputs in memory."""
    contents = Contents(outputs=outputs, coordinates=axes, inputs=inputs, source=str(data.path))
    return Dataset.of(contents, data.splits, typical)


def _check(dataset: Dataset, asked: MultiFidelity) -> None:
    """Raises ValueError for data that the levels do not share, or that are not on a grid."""
    for data in (dataset, asked.low):
        if isinstance(data, Dataset) and (data.layout.kind != "grid" or data.layout.sensors):
            where = "sensors of its own" if data.layout.sensors else data.layout.kind
            raise ValueError(
                f"MultiFidelity needs both levels on a grid, and {data.path} lies on {where}; "
                "interpolate it"
            )
    if not isinstance(asked.low, Dataset):
        return
    low, high = family_of(asked.low), family_of(dataset)
    pairs = {
        "outputs": (", ".join(low.unknowns), ", ".join(high.unknowns)),
        "inputs": (in_words(shapes_of(low.given)), in_words(shapes_of(high.given))),
    }
    for what, (there, here) in pairs.items():
        if there != here:
            raise ValueError(
                f"MultiFidelity: the low level has the {what} {there}, and the high level {here}; "
                "give both the same"
            )
    lines = [list(_axes(data).values()) for data in (asked.low, dataset)]
    sizes = [" x ".join(str(len(line)) for line in each) for each in lines]
    if isinstance(asked.network, GridArchitecture) and not (
        sizes[0] == sizes[1] and all(map(np.allclose, *lines))
    ):
        raise ValueError(
            f"MultiFidelity: the low level lies on a grid of {sizes[0]}, and the high level on "
            f"another one, of {sizes[1]}; interpolate one of them, or train a DeepONet()"
        )


def _corrected(dataset: Dataset, asked: MultiFidelity, low: Any) -> Dataset:
    """The samples of the high level with the low level's prediction, and what is left to learn."""
    rows = dataset.rows(np.arange(dataset.count))
    inputs, names = inputs_in(rows), dataset.unknowns
    base = low_answers(low, inputs, _axes(dataset), names)
    outputs = {name: rows[f"values/{name}"] for name in names}
    if asked.mode == "residual":
        outputs = {name: outputs[name] - base[name] for name in names}
    typical = _typical(asked, low, names, dataset) if isinstance(asked.low, Dataset) else {}
    return _remade(dataset, outputs, given_to(asked.mode, inputs, base), _axes(dataset), typical)


def _typical(
    asked: MultiFidelity, low: Any, names: tuple[str, ...], dataset: Dataset
) -> dict[str, np.ndarray]:
    """Rows of the low level for means and deviations, on the grid of the high level."""
    training = asked.low.splits["training"]
    some = np.unique(np.linspace(0, len(training) - 1, _TYPICAL).astype(int))
    rows = asked.low.rows(training[some])
    inputs = inputs_in(rows)
    base = low_answers(low, inputs, _axes(dataset), names)
    found = {f"inputs/{n}": array for n, array in given_to(asked.mode, inputs, base).items()}
    if asked.mode != "residual":
        found |= {f"values/{name}": rows[f"values/{name}"] for name in names}
    return found
