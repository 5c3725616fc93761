"""Several devices, of one process or of many.

Interior points, or the members of a family, are spread over them; everything else is on each of
them.

Means over points are then sums over devices (data parallelism). All processes run the same program
with the same seeds, so that what is computed on the host (points, decisions) is the same
everywhere.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Device = Any  # one of `jax.devices()`; JAX names its type by a variable
POINTS = "points"  # the axis of the mesh


def mesh_of(devices: int | Sequence[Device] | None) -> Mesh | None:
    """The devices that share the work, as a mesh; None for one alone.

    Args:
        devices: How many of the devices of all processes, or which. None: all where there are
            several processes, else one.

    Raises:
        ValueError: When there are not that many, or a process would have none.
    """
    there = jax.devices()
    chosen = list(devices) if isinstance(devices, Sequence | np.ndarray) else []
    if chosen:
        strangers = [device for device in chosen if device not in there]
        if strangers or len(set(chosen)) < len(chosen):
            raise ValueError(f"devices must be different ones of jax.devices(), got {devices!r}")
    else:
        if devices is None:
            devices = len(there) if jax.process_count() > 1 else 1
        if isinstance(devices, bool) or not (
            isinstance(devices, int) and 1 <= devices <= len(there)
        ):
            raise ValueError(
                f"devices must be a whole number from 1 to {len(there)}, the devices that JAX "
                f"sees, got {devices!r}"
            )
        chosen = there[:devices]
    if jax.process_count() > 1 and len(chosen) != len(there):
        raise ValueError(
            f"devices must be all {len(there)} where there are several processes, got {len(chosen)}"
        )
    if len(chosen) == 1:
        return None
    return Mesh(np.array(chosen), (POINTS,), axis_types=(AxisType.Auto,))


def check_shared(count: int, what: str, mesh: Mesh | None, remedy: str) -> None:
    """Check that the devices can share a number of things evenly.

    Raises:
        ValueError: If they cannot; ``remedy`` is completed with a number that they can share.
    """
    if mesh is not None and count % mesh.size:
        fitting = count // mesh.size * mesh.size or mesh.size
        raise ValueError(
            f"{count} {what} cannot be spread evenly over {mesh.size} devices; give "
            f"{remedy.format(fitting)}"
        )


def spread(tree: Any, mesh: Mesh | None, count: int | None = None) -> Any:
    """The arrays of a tree on the devices of a mesh: those with ``count`` rows divided, the others
    whole on each.
    """
    if mesh is None:
        return tree

    def put(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        rows = count is not None and leaf.ndim > 0 and leaf.shape[0] == count
        place = NamedSharding(mesh, P(POINTS) if rows else P())
        if jax.process_count() == 1:
            return jax.device_put(leaf, place)
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return leaf  # it is there already
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, place, lambda index: whole[index])

    return jax.tree.map(put, tree)


def on_each(
    function: Callable[[Any, Any], Any], mesh: Mesh, shared: Any, rows: Any, *, together: bool
) -> Any:
    """``function(shared, rows)`` on every device with its part of the rows: rows again or,
    ``together``, the same on each.

    What the devices share enters as an argument: a mapped function must not close over traced
    arrays.
    """
    (whole, of_whole), (divided, of_divided) = (
        eqx.partition(tree, eqx.is_array) for tree in (shared, rows)
    )

    def own(whole, divided):
        return function(eqx.combine(whole, of_whole), eqx.combine(divided, of_divided))

    places = {"in_specs": (P(), P(POINTS)), "out_specs": P() if together else P(POINTS)}
    return jax.shard_map(own, mesh=mesh, check_vma=False, **places)(whole, divided)


def agreed(decision: int) -> int:
    """What the first process has decided (by its clock or for its user), on all processes."""
    if jax.process_count() == 1:
        return decision
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.asarray(decision)))


def gathered(tree: Any, mesh: Mesh | None) -> Any:
    """The whole arrays of a tree, wherever their parts are, on the host."""
    if mesh is None:
        return tree
    return jax.tree.map(np.asarray, tree if jax.process_count() == 1 else _whole(tree, mesh))


@partial(jax.jit, static_argnames="mesh")
def _whole(tree: Any, mesh: Mesh) -> Any:
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, P()))
