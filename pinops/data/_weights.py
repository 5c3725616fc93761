"""Named arrays in ``.safetensors`` files, which other libraries read and write too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._hdf5 import OUTSIDE, DataFileError, said, size_of


def weights_as_bytes(arrays: Mapping[str, Any]) -> bytes:
    """The content of a file with named arrays."""
    from safetensors.numpy import save

    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file.

    The library compares what the header declares with the size of the file before it allocates.

    Raises:
        DataFileError: If it is truncated, or not such a file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    size_of(path)
    try:
        return load_file(path)
    except MemoryError:
        raise DataFileError(
            f"{path} cannot be read: its arrays do not fit the memory of this machine"
        ) from None
    except (SafetensorError, *OUTSIDE) as error:
        raise DataFileError(
            f"{path} cannot be read: it is no file of weights ({said(error)}); restore a copy"
        ) from error
