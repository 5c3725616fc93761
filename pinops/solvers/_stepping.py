"""The program of a surrogate: some time steps as a function of named arrays."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array

from pinops.data import GridSpec
from pinops.solvers._beginnings import whole_count
from pinops.solvers._export import Program, Shape
from pinops.training import Params, SurrogateModel


def stepping(
    model: SurrogateModel, params: Params, grid: GridSpec, names: Sequence[str], count: int
) -> Program:
    """From the first snapshots to those that follow.

    Args:
        model: The surrogate without its parameters.
        params: Those.
        grid: That it works on.
        names: Of the parameters of a trajectory.
        count: How many snapshots follow.

    Raises:
        ValueError: For a count below 1.
    """
    count = whole_count("snapshots", count)
    unknowns, given = model.problem.unknowns, model.history
    shapes = {} if model.fields is None else model.fields.shapes

    def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
        first = inputs["first"] if given > 1 else inputs["first"][:, None]
        nothing = jnp.zeros((first.shape[0], 0), first.dtype)
        parameters = inputs.get("parameters", nothing)
        fields = {name: inputs[name] for name in shapes}
        return {"snapshots": model.rollout(params, first, parameters, fields, count)}

    frame = (*grid.points, len(unknowns))
    inputs: dict[str, Shape] = {name: ("n", *shape) for name, shape in shapes.items()}
    inputs["first"] = ("n", given, *frame) if given > 1 else ("n", *frame)
    if names:
        inputs["parameters"] = ("n", len(names))
    about = {"channels": list(unknowns), "parameters": list(names), "grid": grid.to_json()}
    return Program(call, inputs, {"snapshots": ("n", count, *frame)}, about)
