"""What was asked for, in JSON, and random parts drawn again from it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pinops.networks import Embedding, Prior, activations
from pinops.operators import with_prior
from pinops.settings import quick, shown
from pinops.training import cast, difference, difference_of_problems

# Random keys of a prior and of its typical inputs, folded into that of the network.
_PRIOR, _TYPICAL = 21, 22


def digest(arrays: Sequence[Any]) -> str:
    """A checksum of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def drawn_with(request: Mapping[str, Any]) -> list[Any]:
    """The seed and precision with which parameters, and fixed parts, were drawn."""
    return request.get("drawn") or [request["seed"], request["dtype"]]


def as_drawn(request: Mapping[str, Any], build: "Drawing") -> Any:
    """A network drawn as that of a request was, perhaps by the run that it started from, in the
    precision that is in force; with a randomised prior where the request has one.

    Raises:
        ValueError: For a prior that is the same everywhere.
    """
    seed, dtype = drawn_with(request)
    asked = request.get("uncertain") or {"prior": 0.0}
    size = float(asked["prior"])
    with jax.enable_x64(dtype == "float64"):
        built = _drawn(build, np.uint32(seed), size if size else None)
        there = jnp.result_type(float)
    if size:
        _check_priors(build.architecture, built)
    return built if jnp.result_type(float) == there else cast(built)


def _check_priors(architecture: Any, network: Any) -> None:
    """Raises ValueError where a prior adds nothing to a network."""

    def is_prior(node: Any) -> bool:
        return isinstance(node, Prior)

    for prior in filter(is_prior, jax.tree.leaves(network, is_leaf=is_prior)):
        if not np.all(np.asarray(prior.factor)):
            raise ValueError(
                f"uncertain: {shown(architecture)} gives the same everywhere as it is drawn, which "
                "is no prior; give another architecture, or prior=0"
            )


def check_same(
    before: Mapping[str, Any], request: Mapping[str, Any], *, holds: str, remedy: str
) -> None:
    """Raises ValueError for the request of another run, in the sentence of what holds it.

    Args:
        before: What a folder or file is of.
        request: What would be written there.
        holds: The beginning of the sentence: "runs/a holds".
        remedy: Its end: "choose another folder".
    """
    name = difference(before, request)
    if name is not None:
        raise ValueError(f"{holds} another run, with a different {name}; {remedy}")
    words = difference_of_problems(before, request)
    if words is not None:
        raise ValueError(f"{holds} a run of another problem: {words}; {remedy}")


def _nothing() -> tuple[Any, ...]:
    return ()


class Drawing(eqx.Module):
    """How a network is built from a random key: equal ones are the same program.

    Attributes:
        architecture: With a method ``build(*statistics(), *sizes, key=key)``.
        sizes: Of what goes into the network and comes out of it.
        statistics: Gives the arrays that ``build`` takes before them, means and deviations of
            inputs; these are known when the program is traced.
    """

    architecture: Any
    sizes: tuple[Any, ...] = eqx.field(static=True)
    statistics: Callable[[], tuple[Any, ...]] = eqx.field(static=True, default=_nothing)

    @property
    def given(self) -> tuple[Any, ...]:
        """All that ``build`` takes but the key."""
        return (*self.statistics(), *self.sizes)

    def __call__(self, key: PRNGKeyArray) -> Any:
        return self.architecture.build(*self.given, key=key)

    def with_prior(self, key: PRNGKeyArray, size: Array | float) -> Any:
        """The same network plus a prior, which is drawn with a key of its own."""
        other, typical = (jax.random.fold_in(key, purpose) for purpose in (_PRIOR, _TYPICAL))
        return with_prior(self(key), self(other), size, self.given, typical)


@quick
def _drawn(build: Drawing, seed: Array | np.uint32, prior: float | None) -> Any:
    """One program: every operation by itself would be compiled, too."""
    key = jax.random.fold_in(jax.random.key(seed), 0)
    return build(key) if prior is None else build.with_prior(key, prior)


def describe(thing: Any) -> Any:
    """A description of an object in JSON.

    It is kept in run directories and compared with that of a resumed run.
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, tuple | list):
        return [describe(item) for item in thing]
    if isinstance(thing, dict):
        return {str(name): describe(value) for name, value in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        content = {
            field.name: describe(getattr(thing, field.name, None)) for field in fields(thing)
        }
        # Only our own classes by their bare name: `load` builds architectures from it, and equinox
        # has an MLP too.
        ours = type(thing).__module__.startswith("pinops.")
        return {
            type(thing).__name__
            if ours
            else f"{type(thing).__module__}.{type(thing).__qualname__}": content
        }
    if isinstance(thing, np.ndarray | jax.Array):
        if thing.ndim == 0:
            return thing.item()
        return f"array of shape {thing.shape}"
    known = next((name for name, function in activations.items() if function is thing), None)
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    name = known or f"{named.__module__}.{named.__qualname__}"
    # The settings of an optax transformation are what its functions close over.
    settings = [
        setting for setting in _closed_over(thing) if setting is not thing
    ]  # it may call itself
    return {name: [describe(setting) for setting in settings]} if settings else name


def _closed_over(function: Any) -> list[Any]:
    """What a function closes over, as far as it has been given a value."""
    found = []
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):
            found.append(cell.cell_contents)
    return found


def check_flat(embedding: Embedding, seen: Embedding, owner: str) -> None:
    """Raises ValueError for a network that goes on where other fluxes are met exactly.

    Args:
        embedding: What it would see.
        seen: What it saw.
        owner: The name of the problem to go on with.

    Raises:
        ValueError: Where they differ in their flat ends.
    """
    if seen.flat != embedding.flat:
        raise ValueError(
            f"start: it meets other fluxes exactly than {owner} does, so that its network sees "
            "other functions of the coordinates; go on without start"
        )
