"""The words of equations as whole numbers, for the embedding table of a network.

The numbers follow from the coordinates and unknowns alone, so that a network can read an equation
that it was not trained on.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement

from pinops.derivatives import Names
from pinops.problem._algebra import FUNCTIONS
from pinops.problem._tokens import CONSTANT, SEPARATOR
from pinops.settings import shown

VOCABULARY = 256  # the largest number of words
_ORDER = 4  # the highest derivative that has a word
_EXPONENTS = [str(number) for number in range(-4, 10)]


def vocabulary(names: Names) -> tuple[str, ...]:
    """All words, in the order of their codes; the first entry stands for padding.

    Args:
        names: Coordinates and unknowns.
    """
    derivatives = [
        f"{unknown}_{''.join(axes)}" if axes else unknown
        for unknown in names.unknowns
        for order in range(_ORDER + 1)
        for axes in combinations_with_replacement(sorted(names.coordinates), order)
    ]
    laplacians = [f"lap_{unknown}" for unknown in names.unknowns]
    fixed = ["", CONSTANT, SEPARATOR, "add", "mul", *sorted(FUNCTIONS), *_EXPONENTS]
    return (*fixed, *names.coordinates, *derivatives, *laplacians)


def codes_of(words: Sequence[str], names: Names) -> list[int]:
    """The code of each word, from 1 to `VOCABULARY` - 1.

    Args:
        words: Of `Tokens`.
        names: Coordinates and unknowns.

    Raises:
        ValueError: For a word that has no code, naming it.
    """
    places = {word: k for k, word in enumerate(vocabulary(names)[:VOCABULARY])}
    found = []
    for word in words:
        head, mark, axes = word.partition("_")
        known = word if word in places or head == "lap" else head + mark + "".join(sorted(axes))
        if known not in places:
            raise ValueError(
                f"the word {shown(word)} of an equation has no code; known are operators, whole "
                f"exponents from -4 to 9 and derivatives up to the order {_ORDER}"
            )
        found.append(places[known])
    return found
