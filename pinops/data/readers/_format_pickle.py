"""Files that only pickle can read are refused: reading one executes what its author wrote."""

import zipfile
from pathlib import Path

from pinops.data._hdf5 import DataFileError
from pinops.data.readers._found import Found

_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")
_TORCH = "np.savez('data.npz', **{k: v.numpy() for k, v in torch.load(file).items()})"
_OTHER = "np.savez('data.npz', **pickle.load(open(file, 'rb')))"


def matches(path: Path) -> bool:
    """By its name or by how it begins."""
    if not path.is_file():
        return False
    with open(path, "rb") as raw:
        begin = raw.read(2)
    pickled = begin[:1] == b"\x80" and begin[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return path.suffix.lower() in _SUFFIXES or pickled or _of_torch(path)


def _of_torch(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist()[:10_000])
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def look(path: Path) -> Found:
    """Raises DataFileError with the line that converts the file."""
    torch = path.suffix.lower() in (".pt", ".pth", ".ckpt") or _of_torch(path)
    raise DataFileError(
        f"{path} is a file of pickle, which pinops does not read, since reading it executes what "
        f"its author wrote; where you trust it, convert it once: {_TORCH if torch else _OTHER}"
    )
