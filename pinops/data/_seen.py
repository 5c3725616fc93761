"""Which samples a training has seen, however data sets were split and joined since."""

from collections.abc import Mapping

import numpy as np

from pinops.data._rows import ranges_of
from pinops.data._store import Numbers, Pairs, Store

# By the origin of data ranges ``[start, stop]`` of the numbers of their samples.
Seen = Mapping[str, list[list[int]]]


def seen_in(store: Store, numbers: Numbers) -> Seen:
    """Samples of a store by their origins."""
    return {origin: ranges_of(pairs[:, 1]) for origin, pairs in store.identified(numbers).items()}


def any_seen(store: Store, numbers: Numbers, trained: Seen) -> bool:
    """Whether one of the samples is among those that were trained on."""
    for origin, pairs in store.identified(numbers).items():
        theirs = pairs[:, 1]
        for start, stop in trained.get(origin, []):
            if np.any((theirs >= start) & (theirs < stop)):
                return True
    return False


def origins_in(store: Store) -> dict[str, Pairs]:
    """Where all samples come from; empty where that is the store itself, sample for sample."""
    every = np.arange(store.count)
    found = store.identified(every)
    own = found.get(store.origin)
    alike = own is not None and np.array_equal(own, np.stack([every, every], -1))
    return {} if alike else found
