"""Samples of different size in a few programs: the sizes that they are filled up to."""

from collections.abc import Iterable, Sequence


def size_of(sizes: Sequence[int], count: int) -> int:
    """The size that ``count`` rows are filled up to: one of the sizes, which rise, or twice the
    largest, four times it, and so on.
    """
    size = next((size for size in sizes if size >= count), sizes[-1])
    while size < count:
        size *= 2
    return size


def by_size(sizes: Sequence[int], counts: Iterable[int]) -> list[tuple[int, list[int]]]:
    """The sizes that samples with these counts are filled up to, and the places of those of each
    size.
    """
    groups: dict[int, list[int]] = {}
    for k, count in enumerate(counts):
        groups.setdefault(size_of(sizes, count), []).append(k)
    return sorted(groups.items())
