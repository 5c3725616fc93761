"""Surfaces of triangles in files of CAD programs: STL, in binary or text form, and OBJ.

Only the file itself is read, and only numbers and names are taken from it: materials and textures
that an OBJ file names stay closed.
"""

import io
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

LARGEST_SURFACE_FILE = 128 * 2**20  # bytes of a file
_LONGEST_LINE = 2**20  # characters
_HEADER = 80  # bytes before the number of triangles
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])

Contents = tuple[np.ndarray, np.ndarray, list[str] | None]


def read_surface(path: Path) -> Contents:
    """What an STL or OBJ file contains.

    Args:
        path: The file.

    Returns:
        Vertices ``(m, 3)``, triangles ``(k, 3)``, and a name for each triangle where the file has
        several.

    Raises:
        ValueError: For another kind of file, and one that is missing, too large or damaged.
    """
    kind = path.suffix.lower()
    if kind not in (".stl", ".obj"):
        raise ValueError(f"Surface: a surface is an .stl or .obj file, got {path}; export it so.")
    if not path.is_file():
        raise ValueError(f"Surface: there is no file {path}.")
    size, most = path.stat().st_size, LARGEST_SURFACE_FILE
    if size > most:
        raise ValueError(
            f"Surface: {path} has {size / 2**20:.0f} MiB, at most {most // 2**20} are read; "
            "export a coarser surface."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"Surface: {path} cannot be read: {error.strerror}.") from error
    try:
        vertices, triangles, names = _obj(content) if kind == ".obj" else _stl(content)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(
            f"Surface: {path} is damaged, {error}; export it again as {kind[1:].upper()}."
        ) from error
    several = len(set(names)) > 1
    return vertices, triangles, names if several else None


def _stl(content: bytes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    corners, names = _binary_stl(content) if _is_binary(content) else _text_stl(content)
    if not len(corners):
        raise ValueError("it has no triangles")
    return corners, np.arange(len(corners)).reshape(-1, 3), names


def _is_binary(content: bytes) -> bool:
    # The headers of some binary files begin with "solid" too; text has no zeros.
    return not content.lstrip().startswith(b"solid") or b"\0" in content


def _size_of_binary(content: bytes) -> int:
    count = int.from_bytes(content[_HEADER : _HEADER + 4], "little")
    return _HEADER + 4 + count * _RECORD.itemsize


def _binary_stl(content: bytes) -> tuple[np.ndarray, list[str]]:
    size = _size_of_binary(content)
    if len(content) < _HEADER + 4 or len(content) != size:
        raise ValueError(f"it has {len(content)} bytes in place of {size}")
    records = np.frombuffer(content, _RECORD, offset=_HEADER + 4)
    return records["corners"].reshape(-1, 3).astype(np.float64), [""] * len(records)


def _lines(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """The first word of each line, and the others; one line at a time, to save memory."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8", "replace")
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"a line has more than {_LONGEST_LINE} characters")
        word, *values = line.split() or [""]
        yield word, values


def _text_stl(content: bytes) -> tuple[np.ndarray, list[str]]:
    numbers, names = array("d"), []
    solid, ended = "", False
    for word, values in _lines(content):
        if word == "solid":
            solid, ended = " ".join(values), False
        elif word == "vertex":
            if len(values) != 3:
                raise ValueError(f"a vertex has {len(values)} numbers")
            numbers.extend(map(float, values))
        elif word == "endfacet":
            names.append(solid)
            if len(numbers) != 9 * len(names):
                raise ValueError(f"triangle {len(names) - 1} does not have three corners")
        elif word == "endsolid":
            ended = True
    if not ended or len(numbers) != 9 * len(names):
        raise ValueError("it ends in the middle of a solid")
    return np.array(numbers).reshape(-1, 3), names


def _obj(content: bytes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    numbers, corners, names = array("d"), array("q"), []
    group = ""
    for word, values in _lines(content):
        if word == "v":
            if len(values) < 3:
                raise ValueError(f"vertex {len(numbers) // 3 + 1} has {len(values)} numbers")
            numbers.extend(map(float, values[:3]))
        elif word in ("g", "o"):
            group = " ".join(values)
        elif word == "f":
            chosen = [_number(value, len(numbers) // 3) for value in values]
            if len(chosen) < 3:
                raise ValueError(f"a face has {len(values)} corners")
            for pair in zip(chosen[1:-1], chosen[2:], strict=True):
                corners.extend((chosen[0], *pair))
                names.append(group)
    if not names:
        raise ValueError("it has no faces")
    return np.array(numbers).reshape(-1, 3), np.array(corners).reshape(-1, 3), names


def _number(text: str, count: int) -> int:
    """From "7/1/3", where vertices count from 1, or from the end if negative."""
    number = int(text.partition("/")[0])
    index = number - 1 if number > 0 else count + number
    if number == 0 or not 0 <= index:
        raise ValueError(f"a face names vertex {number}")
    return index
