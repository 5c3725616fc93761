"""PDEBench's diffusion-sorption, diffusion-reaction and shallow water: one group for each sample.

``0000/data (t, x[, y], channels)`` beside ``0000/grid/t``, ``0000/grid/x``, ...; the settings of a
simulation are a text in YAML, the attribute ``config`` of its group. A number under ``sim:`` that
differs between samples, such as ``dam_radius``, is a parameter.
"""

import re
from collections.abc import Sequence

import numpy as np

from pinops.data._contents import Contents
from pinops.data._lazy import Lazy, columns
from pinops.data.readers._format_hdf5 import attribute_of_groups, member, reading
from pinops.data.readers._found import Found, plain

_DATA = re.compile(r"^\d{1,9}/data$")
_SETTING = re.compile(r"^\s+([A-Za-z]\w*):\s*([-+0-9.eE]+)\s*$")
_NO_PARAMETER = {"seed"}  # differs, and says nothing of the equation


def matches(found: Found) -> bool:
    """Whether there are groups with a number for a name and ``data`` in them."""
    return any(_DATA.match(name) for name in found.arrays)


def read(found: Found) -> Contents:
    """Its trajectories, of which only the groups that are asked for are opened."""
    listed = [name.removesuffix("/data") for name in found.arrays if _DATA.match(name)]
    groups = sorted([*listed, *found.alike], key=int)
    first = groups[0]
    shape = found.shape(f"{first}/data")
    names = [name for name in ("x", "y", "z") if f"{first}/grid/{name}" in found.arrays]
    if f"{first}/grid/t" not in found.arrays or len(shape) != len(names) + 2:
        raise found.error(
            f"{first}/data has the shape {shape}, and it must be (t, {', '.join(names or ['x'])}, "
            "channels) with a coordinate in grid/ for each"
        )
    axes = {"t": found.times(f"{first}/grid/t", shape[0])}
    axes |= {name: found.axis(f"{first}/grid/{name}") for name in names}
    if shape[:-1] != tuple(len(axis) for axis in axes.values()) or not 1 <= shape[-1] <= 1000:
        raise found.error(
            f"{first}/data has the shape {shape}, and its coordinates have "
            f"{', '.join(f'{n} {len(a)}' for n, a in axes.items())} points"
        )
    if any(len(axis) > 1 and axis[0] > axis[-1] for axis in axes.values()):
        raise found.error(f"a coordinate in {first}/grid falls; get the file again")
    for group in listed:
        found.array(f"{group}/data", ndim=len(shape))
        if found.shape(f"{group}/data") != shape:
            raise found.error(
                f"{group}/data has the shape {found.shape(f'{group}/data')}, and {first}/data has "
                f"{shape}"
            )
        found.used.update(f"{group}/grid/{name}" for name in axes)
    array = _stacked(found, groups, shape)
    unknowns = _unknowns(shape[-1], len(names))
    return Contents(
        outputs=columns(array, unknowns),
        coordinates=axes,
        parameters=_parameters(found, groups),
        time="t",
        units=found.units({f"{first}/grid/{name}": name for name in axes}),
        source=str(found.path),
    )


def _stacked(found: Found, groups: Sequence[str], shape: tuple[int, ...]) -> Lazy:
    """The samples of several groups as rows; coordinates of each are compared as it is read."""
    like = found.arrays[f"{groups[0]}/data"]
    lines = {n: e for n, e in found.arrays.items() if n.startswith(f"{groups[0]}/grid/")}

    def rows_of(rows: slice) -> np.ndarray:
        out = np.empty((rows.stop - rows.start, *shape), like.dtype)
        with reading(found.path) as file:
            for k, group in enumerate(groups[rows]):
                for name, line in lines.items():
                    own = name.replace(groups[0], group, 1)
                    there = member(file, found.path, own, line)[()]
                    if not np.array_equal(there, file[name][()]):
                        raise found.error(f"{group} and {groups[0]} have other coordinates")
                member(file, found.path, f"{group}/data", like).read_direct(out[k])
        return out

    return Lazy((len(groups), *shape), like.dtype, rows_of)


def _unknowns(channels: int, dimension: int) -> list[str]:
    """Water has a height; one substance has the concentration u, two have u and v."""
    if channels == 1:
        return ["h" if dimension == 2 else "u"]
    return ["u", "v"] if channels == 2 else [f"u{k}" for k in range(channels)]


def _parameters(found: Found, groups: Sequence[str]) -> dict[str, np.ndarray]:
    if not _settings(str(found.groups.get(groups[0], {}).get("config", ""))):
        return {}
    texts = attribute_of_groups(found.path, groups, "config")
    settings = [_settings(text) if isinstance(text, str) else {} for text in texts]
    common = set.intersection(*(set(one) for one in settings)) - _NO_PARAMETER
    out = {}
    for name in sorted(common):
        values = np.asarray([one[name] for one in settings])
        if np.isfinite(values).all() and (values != values[0]).any():
            out[plain(name)] = values
    return out


def _settings(text: str) -> dict[str, float]:
    """The numbers under ``sim:`` of a text in YAML."""
    out, inside = {}, False
    for line in text.splitlines():
        if line.strip() and not line[0].isspace():
            inside = line.strip() == "sim:"
        elif inside and (found := _SETTING.match(line)):
            try:
                out[found[1]] = float(found[2])
            except ValueError:
                continue
    return out
