"""Data sets: samples of inputs and outputs, from memory, from files, or of a family of problems.

A data set is read by the numbers of its samples, in blocks. Its *parts* are for training,
validation and testing; those for testing are read by no training.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from pinops._html import as_table
from pinops.data._contents import Contents, Layout, checked
from pinops.data._file_store import FileStore, check_new, is_ours, write_store
from pinops.data._rows import (
    TENTH,
    Members,
    filled,
    inputs_in,
    places_in,
    random_parts,
    random_tenths,
    tenths_of_blocks,
)
from pinops.data._seen import Seen, any_seen, origins_in, seen_in
from pinops.data._store import ArrayStore, Joined, Store, Taken, gathered
from pinops.data.readers import read_contents
from pinops.settings import Whole, require

PARTS = ("training", "validation", "test")
_CENTRED = 10.0  # in standard deviations; a larger mean is taken out of an unknown
_STATISTICS = 8  # blocks that means and sizes are taken from


class Dataset:
    """Samples with inputs and outputs, of which only those that are asked for are read.

    Made by `from_arrays`, `open`, `pinops.generate`, `split`, `take` and ``one + other``.
    """

    def __init__(
        self,
        store: Store,
        numbers: Int[np.ndarray, " n"] | None = None,
        parts: Mapping[str, Members] | None = None,
        typical: Mapping[str, Any] | None = None,
    ):
        self._store = store
        self._numbers = numbers
        self._parts = parts
        self.typical = typical or {}  # rows for means and deviations, instead of its own
        self.checked: set[tuple[str, bool, bool]] = set()

    @classmethod
    def from_arrays(
        cls,
        outputs: Mapping[str, Any],
        coordinates: Any,
        inputs: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        time: str | None = None,
        units: Mapping[str, str] | None = None,
        cells: Any = None,
        sensors: Mapping[str, Any] | None = None,
        source: str = "the arrays",
    ) -> "Dataset":
        """A data set of arrays in memory, or of lazy ones.

        Example:
            >>> a, grid = np.ones((4, 8)), {"x": np.linspace(0, 1, 8)}
            >>> po.Dataset.from_arrays(inputs={"a": a}, outputs={"u": a}, coordinates=grid).count
            4

        Args:
            outputs: By name ``(n, *grid)`` on a grid, ``(n, l)`` at l shared points, or a list of n
                arrays ``(m_k,)``; of trajectories at points ``(n, t, l)``, or n arrays
                ``(t, m_k)``. An axis at the end makes several unknowns, ``u0``, ``u1``, ...; NaN
                where a value is missing. On meshes also numbers of whole samples, ``(n,)``.
            coordinates: The axes of a grid by name, in the order of the axes of the arrays; or
                points ``(l, d)`` that all samples share; or a list of n arrays ``(m_k, d)``, or
                ``(n, m, d)``. Of trajectories at points ``{"t": t, "points": points}``.
            inputs: By name: a field ``(n, *grid[, c])`` on this or another grid, a vector
                ``(n, m)``, a number ``(n,)``, or a list of n arrays ``(m_k[, c])``.
            parameters: By name one number for each sample; a single number is that of all.
            time: "t" where the first axis of outputs and coordinates is the time.
            units: By name, shown in the summary and kept in files.
            cells: Of a mesh: corners ``(k, corners)``, shared or a list of n arrays.
            sensors: By the name of an input that is measured at other places in every sample: a
                list of n arrays ``(k, d)``, or ``(k,)`` on a line. The input is then a list of n
                arrays ``(k[, c])``; k may differ from sample to sample.
            source: What messages call the arrays.

        Raises:
            ValueError: Naming the array that does not fit the others, and what it needs.
        """
        contents = Contents(
            outputs=outputs,
            coordinates=coordinates,
            inputs={} if inputs is None else inputs,
            parameters={} if parameters is None else parameters,
            time=time,
            units={} if units is None else units,
            cells=cells,
            sensors={} if sensors is None else sensors,
            source=source,
        )
        return cls.of(contents)

    @classmethod
    def of(cls, contents: Contents, parts: Any = None, typical: Any = None) -> "Dataset":
        """What a reader has found, perhaps in given parts; errors as for `from_arrays`."""
        return cls(ArrayStore(checked(contents)), None, parts, typical)

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """The data set in a file, ours or of one of the layouts of `pinops.data.readers`.

        Reading executes nothing; what is large is read when it is asked for.

        Args:
            path: Of the file, or of a folder of ``.npy`` files.

        Raises:
            FileNotFoundError: When there is no such file.
            DataFileError: A ValueError, when it is truncated or damaged; for a file of no layout
                with what is in it, and the lines of Python that would read it.
        """
        path = Path(path)
        if path.is_dir() or (path.is_file() and not is_ours(path)):
            return cls.of(read_contents(path))
        return cls(FileStore(path))

    @property
    def path(self) -> Path | str:
        """The file, or what messages call the arrays."""
        return self._store.path

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self._store.count if self._numbers is None else len(self._numbers)

    def __len__(self) -> int:
        return self.count

    @property
    def layout(self) -> Layout:
        """Where values lie, and what they are called."""
        return self._store.layout

    @property
    def unknowns(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return self.layout.unknowns

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Those that all samples share, which broadcast; of meshes none, or the times alone."""
        return self._store.coordinates

    @property
    def settings(self) -> dict[str, Any] | None:
        """How members of a family were made; None for other data."""
        return self._store.settings

    @property
    def kind(self) -> str:
        """Of the reference that a family was solved with; "" for other data."""
        return self._store.kind

    @property
    def source(self) -> str:
        """Of that reference, or where the arrays come from."""
        return self._store.source

    @property
    def origin(self) -> str:
        """What tells whether samples of the same number are the same in another data set."""
        return self._store.origin

    @property
    def digest(self) -> str:
        """A checksum of the whole."""
        if self._numbers is None:
            return self._store.digest
        text = self._store.digest.encode() + np.asarray(self._numbers, np.int64).tobytes()
        return hashlib.sha256(text).hexdigest()[:16]

    @cached_property
    def splits(self) -> dict[str, Int[np.ndarray, " b"]]:
        """The samples for "training", "validation" and "test", by their place in this data set.

        Of members of a family 8, 1 and 1 tenths of the blocks, in this order; of other data as many
        at random, always the same; fewer than ten samples give one for testing and, from three on,
        one for validation. What `split` has set apart is for testing alone.
        """
        if self._parts is not None:
            return {name: np.asarray(self._parts[name], np.int64) for name in PARTS}
        if self.settings is not None and self._numbers is None:
            if self.count < 3:
                raise ValueError(
                    f"{self.path} has {self.count} members; training, validation and test need at "
                    "least 3"
                )
            edges = tenths_of_blocks(self.count, self._store.block)
            return {name: np.arange(*edges[k : k + 2]) for k, name in enumerate(PARTS)}
        if self.count < 2:
            raise ValueError(f"{self.path} has one sample; training and testing need at least 2")
        return dict(zip(PARTS, random_tenths(self.count), strict=True))

    def split(self, test: int | float = 0.1, *, seed: int = 0) -> "tuple[Dataset, Dataset]":
        """Two data sets: one to train on, and one to test on, taken at random.

        Args:
            test: How many samples are for testing, or which share of them, between 0 and 1.
            seed: Of the choice, from 0 to 2^32 - 1.

        Raises:
            ValueError: Where nothing would be left on one side, and for another seed.
        """
        share = isinstance(test, float) and 0 < test < 1
        count = round(test * self.count) if share else test
        if not Whole(most=self.count - 1).allows(count):
            raise ValueError(
                f"test must be a number of samples from 1 to {self.count - 1}, or a share between "
                f"0 and 1, got {test!r}"
            )
        require("split", "seed", seed, Whole(least=0, most=2**32 - 1))
        theirs, ours = random_parts(self.count, int(count), seed=seed)
        few = max(1, len(ours) // TENTH) if len(ours) > 1 else 0
        inner, training = random_parts(len(ours), few, seed=seed + 1)
        nothing = np.arange(0)
        first = {"training": training, "validation": inner, "test": nothing}
        second = {"training": nothing, "validation": nothing, "test": np.arange(len(theirs))}
        return self._some(ours, first), self._some(theirs, second)

    def take(self, members: Members) -> "Dataset":
        """The samples with these places, in this order.

        Raises:
            ValueError: For a place that there is not.
        """
        return self._some(places_in(members, self.count, self.path), None)

    def _numbered(self, places: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The numbers in the store of samples at these places."""
        return places if self._numbers is None else self._numbers[places]

    def _some(self, chosen: np.ndarray, parts: Mapping[str, Members] | None) -> "Dataset":
        return Dataset(self._store, self._numbered(chosen), parts)

    def __add__(self, other: "Dataset") -> "Dataset":
        """The samples of both, one behind the other.

        Raises:
            ValueError: Where names or coordinates differ.
            TypeError: For something else than a data set.
        """
        if not isinstance(other, Dataset):
            return NotImplemented
        return Dataset(Joined([self._whole(), other._whole()]))

    def _whole(self) -> Store:
        """A store of just these samples."""
        return self._store if self._numbers is None else Taken(self._store, self._numbers)

    def save(self, path: str | Path) -> Path:
        """Write a file that `open` reads; it appears whole or not at all.

        Args:
            path: Of the file, which must not exist, with the suffix ``.h5`` or ``.hdf5``.

        Raises:
            ValueError: For a file that exists, or another suffix.
            OSError: When it cannot be written.
        """
        path = Path(path)
        check_new(path)
        store = self._whole()
        # The same samples in memory and in the file are known to be the same.
        attributes: dict[str, Any] = {n: getattr(store, n) for n in ("source", "kind", "origin")}
        if store.settings is not None:
            attributes["settings"] = store.settings
        write_store(
            path,
            store.cached,
            count=store.count,
            block=store.block,
            coordinates=store.coordinates,
            layout=store.layout,
            attributes=attributes,
            origins=origins_in(store),
        )
        return path

    @cached_property
    def points(self) -> Float[np.ndarray, "l d"]:
        """The points that all samples share, in the order of the coordinates."""
        grids = np.broadcast_arrays(*self.coordinates.values())
        return np.stack([grid.ravel() for grid in grids], -1)

    @cached_property
    def _typical(self) -> dict[str, Any]:
        """Samples for training (any, where none are) from all over the data, of few blocks."""
        training = self.splits["training"]
        training = training if len(training) else np.arange(self.count)
        numbers = self._numbered(training)
        blocks = np.unique(numbers // self._store.block)
        some = blocks[np.linspace(0, len(blocks) - 1, _STATISTICS).astype(int)]
        return self.rows(training[np.isin(numbers // self._store.block, some)]) | dict(self.typical)

    def sample_points(self) -> list[Float[np.ndarray, "m d"]]:
        """The points of some samples for training, of meshes."""
        rows = self._typical
        pairs = zip(rows["points"], rows["present"], strict=True)
        return [points[present] for points, present in pairs]

    @cached_property
    def scale(self) -> dict[str, float]:
        """The deviation of each unknown over samples for training; of a constant its size, or 1."""
        found = {}
        for name in self.unknowns:
            deviation = float(np.nanstd(self._typical[f"values/{name}"], dtype=np.float64))
            size = abs(self.mean[name])
            varies = deviation > 1e-9 * size  # the mean has no more digits, and sums are rounded
            found[name] = float(f"{deviation if varies else size or 1.0:.6g}")
        return found

    @cached_property
    def mean(self) -> dict[str, float]:
        """The mean of each unknown over the same samples."""
        rows = self._typical
        means = {n: np.nanmean(rows[f"values/{n}"], dtype=np.float64) for n in self.unknowns}
        return {name: float(f"{value:.9g}") for name, value in means.items()}

    @property
    def centre(self) -> dict[str, float]:
        """The mean of each unknown where it hides how the unknown varies; 0 where it does not, so
        that 0 stays 0.
        """
        return {
            name: mean if abs(mean) > _CENTRED * self.scale[name] else 0.0
            for name, mean in self.mean.items()
        }

    def inputs(self) -> dict[str, Any]:
        """What operators see of some samples for training, by name."""
        return inputs_in(self._typical)

    @property
    def longest(self) -> Mapping[str, int]:
        """The most rows of a sample, by name, of what differs in size: ``points``, and
        ``inputs/NAME`` at sensors of its own.
        """
        return self._store.longest

    @property
    def local(self) -> list[str]:
        """The inputs that have a row for each point of a sample."""
        rows = self._store.cached(0)
        names = [name for name in self.layout.inputs if name not in self.layout.sensors]
        return [name for name in names if isinstance(rows[f"inputs/{name}"], list)]

    def rows(self, members: Members, *, alike: bool = False) -> dict[str, Any]:
        """Everything that is known of some samples.

        Args:
            members: Their places in this data set.
            alike: Whether arrays have the same shapes for whichever samples: filled up to the
                longest of the data set, and not to that of these samples.

        Returns:
            ``inputs/NAME``, ``values/UNKNOWN`` and ``scalars/NAME`` with a sample in each row, and
            ``number``, that in the file; of a family also ``members/COEFFICIENT`` and
            ``error_bar/UNKNOWN``. Of meshes arrays are padded, values ``(b, m[, t])`` with NaN;
            ``points`` ``(b, m, d)``, ``present`` ``(b, m)``, and ``cells``, a list, if there are
            any. Inputs at sensors of their own are `Sensors`.
        """
        numbers = self._numbered(places_in(members, self.count, self.path))
        rows = gathered(self._store, numbers)
        rows = filled(rows, self.layout.sensors, self.longest if alike else {})
        return rows | {"number": numbers}

    def drawn(self, key: PRNGKeyArray, count: int, part: str = "training") -> dict[str, Any]:
        """``count`` random samples of a part, read from as few blocks as possible; `rows` alike."""
        places = self.splits[part]
        numbers = self._numbered(places)
        owner = numbers // self._store.block
        blocks, sizes = np.unique(owner, return_counts=True)
        order = np.asarray(jax.random.permutation(key, len(blocks)))
        enough = int(np.searchsorted(np.cumsum(sizes[order]), count)) + 1
        there = places[np.isin(owner, blocks[order[:enough]])]
        chosen = np.asarray(jax.random.permutation(jax.random.fold_in(key, 1), len(there)))[:count]
        return self.rows(there[chosen], alike=True)

    def seen(self, part: str) -> Seen:
        """Which samples are in a part, as `run.json` keeps them."""
        return seen_in(self._store, self._numbered(self.splits[part]))

    def unseen(self, trained: Seen | None, part: str | None = "test") -> Int[np.ndarray, " b"]:
        """The samples to test on: the test part of the data of a training, all of other data.

        Args:
            trained: What `seen` said of the part that was trained on; None without data.
            part: The one that is asked for; None: all samples.

        Raises:
            ValueError: Where the training has seen one of them.
        """
        trained, every = trained or {}, np.arange(self.count)
        known = any_seen(self._store, self._numbered(every), trained)
        others = not known and self._parts is None and self.settings is None
        whole = part is None or (part == "test" and others)
        members = every if whole else self.splits[part or "test"]
        if not len(members):
            raise ValueError(
                f"{self.path}: there is nothing to test on, because split() has set that apart; "
                "give the other part"
            )
        if any_seen(self._store, self._numbered(members), trained):
            raise ValueError(
                f"{self.path}: the training has seen samples of this part; choose the test part, "
                "or data made with another seed"
            )
        return members

    def summary(self) -> dict[str, Any]:
        """What there is: the layout, counts, and mean and deviation of the unknowns."""
        return {
            "source": str(self.path),
            "samples": self.count,
            **self.layout.summary(self.coordinates),
            "mean": self.mean,
            "deviation": self.scale,
        }

    def _repr_html_(self) -> str:
        """The table that notebooks show; no sample is read for it."""
        layout = self.layout.summary(self.coordinates)
        return as_table({"samples": self.count, **layout, "source": self.path}, "Dataset")

    def __repr__(self) -> str:
        maps = f"{', '.join(self.layout.inputs) or 'nothing'} to {', '.join(self.unknowns)}"
        shape, many = self.layout.shape(self.coordinates), "s" if self.count > 1 else ""
        return f"Dataset({self.count} sample{many} of {maps} on {shape}, {self.path})"
