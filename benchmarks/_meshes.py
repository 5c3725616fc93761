"""What benchmarks on meshes share: data by file, networks on points, and rivals that see images of
the shapes.
"""

from pathlib import Path
from typing import Any

IMAGE = 48  # points of each axis


def data_in(folder: Path, name: str, family: str, count: int, seed: int, nodes: Any) -> Any:
    """The data of a family in a file of the folder, which is made where it is not there."""
    import pinops as po
    from pinops.data import mesh_contents

    path = folder / f"{name}.h5"
    if not path.exists():
        workers = 1 if count < 100 else 2
        made = mesh_contents(family, count, seed=seed, nodes=nodes, workers=workers)
        po.Dataset.of(made).save(path)
    return po.Dataset.open(path)


def written(text: str) -> Any:
    """The architecture that a text describes."""
    import pinops as po
    from pinops.settings import parsed
    from pinops.solvers import allowed

    room = po.operators
    kinds: Any = (room.PointArchitecture, room.OperatorArchitecture, room.GridArchitecture)
    kinds += (room.MMGP,)
    inside = (*kinds, po.networks.Architecture)
    return parsed(text, allowed(*inside), kind=kinds, what="an architecture")


def samples_of(dataset: Any) -> list[Any]:
    """All samples, with their inputs at points and as numbers."""
    from pinops.training import samples_in

    local = {name: name not in dataset.layout.parameters for name in dataset.layout.inputs}
    return samples_in(dataset.rows(range(dataset.count)), dataset.unknowns, local)


def trained(dataset: Any, architecture: Any, minutes: float, seed: int, smoke: bool) -> Any:
    """A network, trained for some minutes."""
    import pinops as po

    steps = 2 if smoke else None
    options: Any = {"minutes": minutes, "steps": steps, "seed": seed, "progress": False}
    return po.train(dataset, architecture, **options)


class OnImages:
    """A network that sees images of shapes and of what is known at their points, trained on the
    solutions at the points of the images, and asked at those of meshes.

    Inside of a shape images are interpolated. An operator learns from the points inside; a map on a
    grid has values outside, too, those of the nearest point.
    """

    def __init__(self, dataset: Any, text: str, minutes: float, seed: int, smoke: bool):
        import numpy as np

        import pinops as po

        samples, architecture = samples_of(dataset), written(text)
        self.unknowns, self.parameters = dataset.unknowns, dataset.layout.parameters
        self.names = [n for n in dataset.layout.inputs if n not in self.parameters]
        self.on_grid = isinstance(architecture, po.operators.GridArchitecture)
        whole = np.concatenate([sample.mesh.points for sample in samples])
        bounds = zip(whole.min(0), whole.max(0), strict=True)
        self.axes = [np.linspace(low, high, IMAGE) for low, high in bounds]
        images = [self.image_of(sample) for sample in samples]
        made = po.Dataset.from_arrays(
            inputs={n: np.stack([i[n] for i in images]) for n in ("shape", *self.names)},
            parameters={n: np.array([s.inputs[n] for s in samples]) for n in self.parameters},
            outputs={
                name: np.stack([i["outputs"][..., k] for i in images])
                for k, name in enumerate(self.unknowns)
            },
            coordinates=dict(zip(dataset.layout.names, self.axes, strict=True)),
        )
        self.result = trained(made, architecture, minutes, seed, smoke)

    def image_of(self, sample: Any) -> dict[str, Any]:
        """The shape, the inputs and the outputs of a sample on a grid."""
        import numpy as np

        at = np.stack(np.meshgrid(*self.axes, indexing="ij"), -1).reshape(-1, 2)
        inside = sample.mesh.signed_distance(at) <= 0
        columns = [sample.inputs[name] for name in self.names]
        found = sample.mesh.interpolated(np.column_stack([*columns, sample.values]), at)
        there = np.ones_like(inside) if self.on_grid else inside
        outputs = np.where(there[:, None], found[:, len(columns) :], np.nan)
        images = {"shape": inside, "outputs": outputs}
        for k, name in enumerate(self.names):
            images[name] = np.where(inside, found[:, k], 0.0)
        return {name: np.reshape(x, (IMAGE, IMAGE, *x.shape[1:])) for name, x in images.items()}

    def predicted(self, dataset: Any) -> list[tuple[Any, Any]]:
        """Samples, and what is predicted at their points."""
        import numpy as np
        from scipy.interpolate import RegularGridInterpolator

        tested = samples_of(dataset)
        longest, found = max(len(sample.mesh.points) for sample in tested), []
        for sample in tested:
            image = self.image_of(sample)
            given = {name: image[name][None] for name in ("shape", *self.names)}
            given |= {name: np.array([sample.inputs[name]]) for name in self.parameters}
            points = sample.mesh.points
            if self.on_grid:
                fields = self.result(given)
                grid = np.stack([fields[name][0] for name in self.unknowns], -1)
                values = RegularGridInterpolator(self.axes, grid, bounds_error=False)(points)
            else:
                # As many points for each sample, so that one program serves all.
                at = np.resize(points, (longest, 2))
                answer: Any = self.result(given, x=at[:, 0], y=at[:, 1])
                answer = answer if isinstance(answer, dict) else {self.unknowns[0]: answer}
                values = np.stack([answer[n][0, : len(points)] for n in self.unknowns], 1)
            found.append((sample, values))
        return found


def mean_errors(pairs: Any, unknowns: Any) -> dict[str, float]:
    """The mean over samples of relative L2 errors at the points, by unknown."""
    import numpy as np

    def mean_error(k: int) -> float:
        pairs_of = [(values[:, k], sample.values[:, k]) for sample, values in pairs]
        return float(np.mean([float(norm(u - v) / norm(v)) for u, v in pairs_of]))

    norm = np.linalg.norm
    return {name: mean_error(k) for k, name in enumerate(unknowns)}
