"""Data sets and the families of problems that they are of."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._dataset import Dataset, Members
from pinops.data._rows import inputs_in
from pinops.data._store import BLOCK
from pinops.problem import (
    DataFamily,
    Mixture,
    Problem,
    Sensors,
    at_sensors,
    coefficients_as_json,
    in_words,
    load_problem,
    name_of,
    shapes_of,
    unstacked,
)
from pinops.reference import Reference


def as_dataset(data: Dataset | str | Path) -> Dataset:
    """What a user gives as data, as a data set.

    Args:
        data: A `Dataset`, or the file of one.

    Raises:
        ValueError: For arrays, or anything else that is not a data set, with the remedy.
        FileNotFoundError: For a file that does not exist; `DataFileError` for one that is damaged.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        return Dataset.open(data)
    many = isinstance(data, tuple | list | dict) or hasattr(data, "shape")
    what = f"arrays in a {type(data).__name__}" if many else repr(data)
    raise ValueError(
        f"data must be a Dataset or the file of one, got {what}; make one of arrays with "
        "po.Dataset.from_arrays(inputs=..., outputs=..., coordinates=...), or of solutions of a "
        "family with pinops.data.generate(family, path)"
    )


def family_of(dataset: Dataset) -> DataFamily:
    """The family of which these data are all that is known: no equation, no conditions."""
    layout, first = dataset.layout, dataset.rows(range(1))
    bounds = {}
    for column, name in enumerate(layout.names):
        if layout.kind == "meshes":
            along = np.concatenate([p[:, column] for p in dataset.sample_points()])
        else:
            along = dataset.coordinates[name]
        low, high = float(np.min(along)), float(np.max(along))
        bounds[name] = (low, high if high > low else low + 1.0)
    return DataFamily.of(bounds, layout.unknowns, _shapes_of_members(inputs_in(first)))


def _shapes_of_members(inputs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every input of one member, of arrays with members in the leading axis."""
    return {
        name: shape if at_sensors(shape) else shape[1:] for name, shape in shapes_of(inputs).items()
    }


def bounds_of(family: Problem) -> dict[str, list[float]]:
    """The bounds of every coordinate of the domain, as JSON has them."""
    bounds = family.domain.bounds
    return {name: [float(b) for b in bounds[name]] for name in family.domain.coordinates}


def settings_of(family: Problem, count: int, seed: int | str) -> dict[str, Any]:
    """What data depend on: the family, its coefficients and domain, and how members are drawn."""
    mixture = {"mixture": family.to_json()} if isinstance(family, Mixture) else {}
    return mixture | {
        "problem": name_of(family),
        "coefficients": coefficients_as_json(family),
        "domain": bounds_of(family),
        "count": count,
        "seed": seed,
    }


def problem_in(settings: Mapping[str, Any]) -> Problem:
    """The family of the `settings_of` data."""
    if "mixture" in settings:
        return Mixture.from_json(settings["mixture"])
    return load_problem(settings["problem"], **settings["coefficients"])


def check_data(dataset: Dataset, family: Problem) -> None:
    """Check that data are those of a family, with an equation or without.

    Raises:
        ValueError: With the first thing that differs.
    """
    if not isinstance(family, DataFamily):
        _check_members(dataset, family)
        return
    own = family_of(dataset)
    pairs = {
        "outputs": (", ".join(own.unknowns), ", ".join(family.unknowns)),
        "coordinates": (", ".join(own.domain.coordinates), ", ".join(family.domain.coordinates)),
        "inputs": (in_words(shapes_of(own.given)), in_words(shapes_of(family.given))),
    }
    for what, (there, here) in pairs.items():
        if there != here:
            raise ValueError(
                f"{dataset.path} has the {what} {there}, and the training had {here}; give data "
                "with the same"
            )


def _check_members(dataset: Dataset, family: Problem) -> None:
    """Check that the data are those of a family.

    Raises:
        ValueError: For those of another one, or of other coefficients, unknowns, coordinates,
            domain or inputs.
    """
    settings, owner = dataset.settings, name_of(family)
    if settings is None:
        raise ValueError(
            f"{dataset.path} holds data without a family, not of {owner}; train on them alone, "
            "po.train(dataset, ...)"
        )
    if settings["problem"] != owner:
        raise ValueError(f"{dataset.path} holds data of {settings['problem']}, not of {owner}")
    made_of = settings_of(family, 1, 0).get("mixture")
    if settings.get("mixture") != json.loads(json.dumps(made_of)):
        raise ValueError(
            f"{dataset.path} was made of another mixture; give its families and weights, or "
            "train(dataset, ...)"
        )
    for name, value in json.loads(json.dumps(coefficients_as_json(family))).items():
        there = settings["coefficients"].get(name)
        if there != value:
            raise ValueError(
                f"{dataset.path} was made with {name} = {there}, and the family has {value}; give "
                "the same"
            )
    if set(dataset.unknowns) != set(family.unknowns):
        found = ", ".join(dataset.unknowns)
        raise ValueError(
            f"{dataset.path} has the unknowns {found}, and {owner} has {', '.join(family.unknowns)}"
        )
    if tuple(dataset.coordinates) != family.domain.coordinates:
        raise ValueError(
            f"{dataset.path} has the coordinates {', '.join(dataset.coordinates)}, and {owner} has "
            f"{', '.join(family.domain.coordinates)}; make the data again"
        )
    _check_domain(dataset, family)
    wanted = shapes_of(family.inputs())
    found = _shapes_of_members(inputs_in(dataset.rows(range(1))))
    if found != wanted:
        raise ValueError(
            f"{dataset.path} has the inputs {in_words(found)}, and {owner} gives "
            f"{in_words(wanted)}; make the data again"
        )


def _check_domain(dataset: Dataset, family: Problem) -> None:
    """Raises ValueError for data of another domain, as they were made or by their grid."""
    noted, bounds = (dataset.settings or {}).get("domain", {}), bounds_of(family)
    for name, (low, high) in bounds.items():
        before = noted.get(name, (low, high))
        slack = 1e-6 * (high - low)
        if not np.allclose(before, (low, high), rtol=0, atol=slack):
            raise ValueError(
                f"{dataset.path} was made for {name} from {before[0]:g} to {before[1]:g}, and the "
                "domain of "
                f"{name_of(family)} is {low:g} to {high:g}; make the data again"
            )
        first, last = np.min(dataset.coordinates[name]), np.max(dataset.coordinates[name])
        if first < low - slack or last > high + slack:
            raise ValueError(
                f"{dataset.path} has a grid of {name} from {first:g} to {last:g}, and the domain "
                f"of {name_of(family)} is "
                f"{low:g} to {high:g}; give data of this domain"
            )


def check_values(dataset: Dataset, *parts: str, gaps: bool, coefficients: bool) -> None:
    """Check every sample of some parts, block by block, before hours are spent on them.

    Args:
        dataset: The samples.
        parts: Of its splits, such as "training", "test".
        gaps: Whether values may be missing (NaN), such as those outside of a shape; infinite
            ones never may.
        coefficients: Whether the coefficients of the members must be known, as for equations
            and conditions.

    Raises:
        ValueError: Naming the first sample that cannot be used by its number in the file, and
            why.
    """
    for part in parts:
        if (part, gaps, coefficients) in dataset.checked:
            continue
        members = dataset.splits[part]
        for start in range(0, len(members), BLOCK):
            rows = dataset.rows(members[start : start + BLOCK])
            found = _unusable(rows, dataset.unknowns, gaps, coefficients)
            if found is not None:
                number, why = found
                raise ValueError(
                    f"{dataset.path}: sample {number}, of the {part} part, {why}; mend that "
                    "sample or make the data again"
                )
        dataset.checked.add((part, gaps, coefficients))


def solved(
    dataset: Dataset, family: Problem, members: Members
) -> tuple[list[Problem], list[Reference]]:
    """Members and their solutions; the error bar of data without a reference is infinite."""
    rows, names = dataset.rows(members), dataset.unknowns
    kind, source = dataset.kind or "data", dataset.source

    unknown = np.full(len(members), np.inf)
    references = []
    for k in range(len(members)):
        values = {name: rows[f"values/{name}"][k] for name in names}
        bars = {name: float(rows.get(f"error_bar/{name}", unknown)[k]) for name in names}
        coordinates = dataset.coordinates
        if "points" in rows:
            points = rows["points"][k, rows["present"][k]].astype(np.float64)
            # Points on a line are a curve once they are in order.
            order = np.argsort(points[:, 0]) if points.shape[1] == 1 else np.arange(len(points))
            coordinates = dict(zip(dataset.layout.names, points[order].T, strict=True))
            values = {name: array[order] for name, array in values.items()}
        references.append(Reference(coordinates, values, bars, kind, source))
    return unstacked(problems(family, rows), len(members)), references


def problems(family: Problem, rows: dict[str, Any]) -> Problem:
    """The members of such rows, in the leading axis of every array."""
    if isinstance(family, DataFamily):
        return dataclasses.replace(family, given=inputs_in(rows))
    return family.with_arrays({name: rows[f"members/{name}"] for name in family.arrays()})


def _unusable(
    rows: Mapping[str, Any], unknowns: Sequence[str], gaps: bool, coefficients: bool
) -> tuple[int, str] | None:
    """The number of the first sample that cannot be used, and why; None where all can."""
    faults: list[tuple[int, str]] = []

    def note(bad: np.ndarray, why: str) -> None:
        each = bad.reshape(len(bad), -1).any(1)
        if each.any():
            faults.append((int(rows["number"][np.argmax(each)]), why))

    for name, value in inputs_in(rows).items():
        array = value.values if isinstance(value, Sensors) else value
        note(~np.isfinite(array), f"has an input {name} that is not finite")
    for name in () if gaps else [name for name in rows if name.startswith("scalars/")]:
        note(~np.isfinite(rows[name]), f"has a number {name.removeprefix('scalars/')} that is none")
    for unknown in unknowns:
        values = rows[f"values/{unknown}"]
        if gaps:
            note(np.isinf(values), f"has infinite values of {unknown}")
            flat = values.reshape(len(values), -1)
            note(np.asarray(np.isnan(flat).all(1)), f"has no value of {unknown}")
        else:
            missing = ~np.isfinite(values)
            if "present" in rows:  # what fills a mesh up is missing in any case
                present = rows["present"]
                missing &= present.reshape(*present.shape, *[1] * (values.ndim - 2))
            note(missing, f"has values of {unknown} that are not finite")
        bar = rows.get(f"error_bar/{unknown}", np.ones(1))
        note(~(bar > 0), f"has an error bar of {unknown} that is not greater than zero")
    if coefficients:
        for name, array in rows.items():
            if name.startswith("members/") and np.issubdtype(array.dtype, np.floating):
                own = name.removeprefix("members/")
                note(~np.isfinite(array), f"has an unknown coefficient {own} (NaN), which it needs")
    return min(faults, default=None)
