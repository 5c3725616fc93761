"""Small files in the layouts of public data sets, with made-up smooth values: no test needs a
download.
"""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import scipy.io


def waves(count: int, cells: int, seed: int = 0) -> np.ndarray:
    """Sums of three periodic waves, (count, cells)."""
    rng, x = np.random.default_rng(seed), (np.arange(cells) + 0.5) / cells
    wave, phase = rng.integers(1, 4, (count, 3, 1)), rng.random((count, 3, 1))
    return (rng.standard_normal((count, 3, 1)) * np.sin(2 * np.pi * (wave * x + phase))).sum(1)


def pdebench_burgers(folder: Path, viscosity: float, count: int, cells: int, frames: int) -> Path:
    """A file named and laid out like ``1D_Burgers_Sols_Nu0.01.hdf5`` of PDEBench
    (arXiv:2210.07182).

    As in the originals there is one more time than there are time steps.
    """
    path = folder / f"1D_Burgers_Sols_Nu{viscosity}.hdf5"
    decay = np.exp(-0.1 * np.arange(frames))[:, None]
    with h5py.File(path, "w") as file:
        file["tensor"] = (waves(count, cells)[:, None] * decay).astype(np.float32)
        file["x-coordinate"] = ((np.arange(cells) + 0.5) / cells).astype(np.float32)
        file["t-coordinate"] = np.linspace(0, 2, frames + 1, dtype=np.float32)
        file.attrs["Nu"] = viscosity
    return path


@dataclass(frozen=True)
class Truth:
    """What a reader must find in a file."""

    path: Path
    outputs: dict
    coordinates: dict
    inputs: dict = field(default_factory=dict)
    parameters: dict = field(default_factory=dict)
    units: dict = field(default_factory=dict)
    time: str | None = None


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Single-precision numbers, all different."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def cells(count: int) -> np.ndarray:
    """Centres of cells of the unit interval, as PDEBench has them."""
    return ((np.arange(count) + 0.5) / count).astype(np.float32)


def hdf5(path: Path, arrays: dict, attributes: dict | None = None, **options) -> Path:
    """An HDF5 file of arrays, whose names may have groups."""
    with h5py.File(path, "w", **options) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs.update(attributes or {})
    return path


def _scalar(name: str, attributes: dict, parameters: dict):
    def make(folder: Path) -> Truth:
        u, x, t = numbers(5, 6, 8), cells(8), np.linspace(0, 2, 7, dtype=np.float32)
        arrays = {"tensor": u, "x-coordinate": x, "t-coordinate": t}
        path = hdf5(folder / name, arrays, attributes)
        grid = {"t": t[:-1], "x": x}
        return Truth(path, {"u": u}, grid, parameters=parameters, time="t")

    return make


def _gas(name: str, sizes: dict, attributes: dict):
    def make(folder: Path) -> Truth:
        names = ("density", "pressure", *(f"V{axis}" for axis in sizes))
        shape = (4, 5, *sizes.values())
        gas = {n: numbers(*shape, seed=k) for k, n in enumerate(names)}
        axes = {axis: cells(n) for axis, n in sizes.items()}
        t = np.linspace(0, 1, 6, dtype=np.float32)
        arrays = gas | {f"{axis}-coordinate": line for axis, line in axes.items()}
        path = hdf5(folder / name, arrays | {"t-coordinate": t}, attributes)
        return Truth(path, gas, {"t": t[:-1]} | axes, parameters=attributes, time="t")

    return make


def darcy(folder: Path) -> Truth:
    """PDEBench's Darcy flow."""
    u, nu, x, y = numbers(4, 1, 6, 8), numbers(4, 6, 8, seed=1), cells(6), cells(8)
    arrays = {"tensor": u, "nu": nu, "x-coordinate": x, "y-coordinate": y}
    path = hdf5(folder / "2D_DarcyFlow_beta10.0_Train.hdf5", arrays, {"beta": 10.0})
    return Truth(path, {"u": u[:, 0]}, {"x": x, "y": y}, {"nu": nu}, {"beta": 10.0})


def _groups(name: str, sizes: dict, unknowns: list, radius: bool = False, count: int = 5):
    def make(folder: Path) -> Truth:
        values = numbers(count, 4, *sizes.values(), len(unknowns))
        axes = {"t": np.linspace(0, 5, 4, dtype=np.float32)}
        axes |= {axis: cells(n) for axis, n in sizes.items()}
        radii = np.linspace(0.3, 0.7, count)
        with h5py.File(folder / name, "w") as file:
            for k, value in enumerate(values):
                group = file.create_group(f"{k:04d}")
                group["data"] = value
                for axis, line in axes.items():
                    group[f"grid/{axis}"] = line
                text = f"sim:\n  gravity: 1.0\n  dam_radius: {radii[k]}\n  seed: {k}\nupload: 1\n"
                group.attrs["config"] = text if radius else "..."
        outputs = {unknown: values[..., k] for k, unknown in enumerate(unknowns)}
        parameters = {"dam_radius": radii} if radius else {}
        return Truth(folder / name, outputs, axes, parameters=parameters, time="t")

    return make


def incompressible(folder: Path) -> Truth:
    """PDEBench's inhomogeneous incompressible flow."""
    v, p = numbers(3, 5, 6, 8, 2), numbers(3, 5, 6, 8, 1, seed=1)
    force, t = numbers(3, 6, 8, 2, seed=2), np.linspace(0, 5, 5, dtype=np.float32)
    arrays = {"velocity": v, "particles": p, "force": force, "t": np.tile(t, (3, 1))}
    path = hdf5(folder / "ns_incom_inhom_2d_512-0.h5", arrays)
    outputs = {"velocity_x": v[..., 0], "velocity_y": v[..., 1], "particles": p[..., 0]}
    axes = {"t": t, "x": (np.arange(6) + 0.5) / 6, "y": (np.arange(8) + 0.5) / 8}
    return Truth(path, outputs, axes, {"force": force}, time="t")


def the_well(folder: Path) -> Truth:
    """The Well, with a field that is constant in time and one that is the same for all samples."""
    rho, v, s = (
        numbers(4, 5, 6, 8),
        numbers(4, 5, 6, 8, 2, seed=1),
        numbers(4, 5, 6, 8, 2, 2, seed=2),
    )
    mask, height = numbers(6, 8, seed=3), numbers(4, 5, 8, seed=4)
    axes = {"t": np.linspace(0, 1, 5), "x": np.linspace(0, 1, 6), "y": np.linspace(0, 2, 8)}
    path = folder / "active_matter.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "demo", "n_trajectories": 4, "L": 10.0, "zeta": 5.0})
        file.attrs["simulation_parameters"] = ["L", "zeta"]
        for name, line in axes.items():
            file[f"dimensions/{'time' if name == 't' else name}"] = line
        file["dimensions"].attrs["spatial_dims"] = ["x", "y"]
        file["scalars/alpha"] = np.arange(4.0)
        file["scalars/alpha"].attrs.update({"sample_varying": True, "time_varying": False})
        file.create_group("boundary_conditions/x_periodic").attrs["bc_type"] = "PERIODIC"
        for name, value in (
            ("t0_fields/concentration", rho),
            ("t0_fields/mask", mask),
            ("t0_fields/height", height),
            ("t1_fields/velocity", v),
            ("t2_fields/strain", s),
        ):
            constant, flat = name.endswith("mask"), name.endswith("height")
            file[name] = value
            file[name].attrs.update(
                {"sample_varying": not constant, "time_varying": not constant}
                | {"dim_varying": [not flat, True], "symmetric": name.endswith("strain")}
            )
        file["dimensions/x"].attrs["units"] = "m"
    outputs = {"concentration": rho, "height": np.broadcast_to(height[:, :, None], rho.shape)}
    outputs |= {"velocity_x": v[..., 0], "velocity_y": v[..., 1]}
    outputs |= {f"strain_{'xy'[i]}{'xy'[j]}": s[..., i, j] for i, j in ((0, 0), (0, 1), (1, 1))}
    inputs = {"mask": np.broadcast_to(mask, (4, 6, 8))}
    parameters = {"L": 10.0, "zeta": 5.0, "alpha": np.arange(4.0)}
    return Truth(path, outputs, axes, inputs, parameters, {"x": "m"}, "t")


def _matlab73(path: Path, arrays: dict) -> Path:
    """HDF5 with reversed axes behind a header of 512 bytes."""
    hdf5(path, {name: np.asarray(array).T for name, array in arrays.items()}, userblock_size=512)
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def burgers_matlab(folder: Path) -> Truth:
    """``burgers_data_R10.mat`` of the FNO paper, in version 5."""
    a, u = numbers(4, 8).astype(float), numbers(4, 8, seed=1).astype(float)
    scipy.io.savemat(folder / "burgers_data_R10.mat", {"a": a, "u": u, "a_x": a})
    return Truth(folder / "burgers_data_R10.mat", {"u": u}, {"x": np.arange(8) / 8}, {"a": a})


def darcy_matlab(folder: Path) -> Truth:
    """``piececonst_r421_N1024_smooth1.mat`` of the FNO paper, in version 7.3."""
    a, u = numbers(4, 5, 7), numbers(4, 5, 7, seed=1)
    path = _matlab73(folder / "piececonst_r421_N1024_smooth1.mat", {"coeff": a, "sol": u})
    axes = {"x": np.linspace(0, 1, 5), "y": np.linspace(0, 1, 7)}
    return Truth(path, {"sol": u}, axes, {"coeff": a})


def navier_stokes_matlab(folder: Path) -> Truth:
    """``NavierStokes_V1e-5_N1200_T20.mat`` of the FNO paper: time is the last axis."""
    a, u, t = numbers(4, 5, 7), numbers(4, 5, 7, 6, seed=1), np.arange(1.0, 7.0)
    path = folder / "NavierStokes_V1e-5_N1200_T20.mat"
    _matlab73(path, {"a": a, "u": u, "t": t[None]})
    axes = {"t": t, "x": np.arange(5) / 5, "y": np.arange(7) / 7}
    outputs = {"u": np.moveaxis(u, -1, 1)}
    return Truth(path, outputs, axes, {"a": a}, {"viscosity": 1e-5}, time="t")


def steady_npz(folder: Path) -> Truth:
    """Arrays with telling names and no coordinates."""
    a, u, k = numbers(4, 5, 7), numbers(4, 5, 7, seed=1), np.arange(4.0)
    np.savez(folder / "steady.npz", a=a, u=u, conductivity=k)
    axes = {"x": (np.arange(5) + 0.5) / 5, "y": (np.arange(7) + 0.5) / 7}
    return Truth(folder / "steady.npz", {"u": u}, axes, {"a": a}, {"conductivity": k})


def packed_npz(folder: Path) -> Truth:
    """Trajectories in a compressed file, with time behind space."""
    u, x, t = numbers(4, 5, 7), np.linspace(-1, 1, 5), np.linspace(0, 3, 7)
    np.savez_compressed(folder / "packed.npz", u=u, x=x, t=t)
    axes = {"t": t, "x": x}
    return Truth(folder / "packed.npz", {"u": u.swapaxes(1, 2)}, axes, time="t")


def npy_folder(folder: Path) -> Truth:
    """One ``.npy`` for each array, at points that all samples share."""
    a, u, points = numbers(4, 9), numbers(4, 6, seed=1), numbers(6, 2, seed=2)
    (folder / "arrays").mkdir()
    for name, array in (("a", a), ("u", u), ("points", points)):
        np.save(folder / "arrays" / f"{name}.npy", array)
    return Truth(folder / "arrays", {"u": u}, points, {"a": a})


def own_names_hdf5(folder: Path) -> Truth:
    """Groups that say what is what, compressed, with units; y falls."""
    f, u = numbers(4, 5, 7), numbers(4, 5, 7, 2, seed=1)
    x, y = np.linspace(0, 1, 5), np.linspace(3, 1, 7)
    path = folder / "mine.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("inputs/load", data=f, compression="gzip")
        file.create_dataset("outputs/displacement", data=u, compression="gzip")
        file["coordinates/x"], file["coordinates/y"] = x, y
        file["parameters/thickness"] = np.arange(4.0)
        file["coordinates/x"].attrs["units"] = "m"
        file["outputs/displacement"].attrs["units"] = "mm"
        file.attrs["density"] = 7.8
    axes, flip = {"x": x, "y": y[::-1]}, np.s_[:, :, ::-1]
    parameters = {"thickness": np.arange(4.0), "density": 7.8}
    units = {"x": "m", "displacement": "mm"}
    return Truth(path, {"displacement": u[flip]}, axes, {"load": f[flip]}, parameters, units)


def grid_csv(folder: Path) -> Truth:
    """Observations on a grid, with units and an empty field; two samples, lines in any order."""
    u, t, x = numbers(2, 3, 4).astype(float), np.arange(3.0), np.linspace(0, 1, 4)
    u[1, 2, 0] = np.nan
    lines = [
        f"{k},{x[j]!r},{'' if np.isnan(u[k, i, j]) else repr(u[k, i, j])},{t[i]!r},{0.1 * k!r}"
        for k in range(2)
        for j in range(4)
        for i in (2, 0, 1)
    ]
    lines = [line.replace("np.float64(", "").replace(")", "") for line in lines]
    path = folder / "observed.csv"
    path.write_text("\n".join(["sample,x [m],u [m/s],t [s],nu", *lines]) + "\n")
    units = {"x": "m", "u": "m/s", "t": "s"}
    return Truth(path, {"u": u}, {"t": t, "x": x}, {}, {"nu": np.array([0, 0.1])}, units, "t")


def scattered_csv(folder: Path) -> Truth:
    """Samples with points of their own, separated by semicolons."""
    points = [numbers(m, 2, seed=m).astype(float) for m in (4, 6, 5)]
    u = [numbers(m, seed=10 + m).astype(float) for m in (4, 6, 5)]
    rows = [
        f"{k};{p[0]:.17g};{p[1]:.17g};{value:.17g}"
        for k in range(3)
        for p, value in zip(points[k], u[k], strict=True)
    ]
    path = folder / "scattered.csv"
    path.write_text("\n".join(["# sample; x; y; u", *rows]))
    return Truth(path, {"u": u}, points)


FILES = {
    "advection": _scalar("1D_Advection_Sols_beta0.4.hdf5", {"beta": 0.4}, {"beta": 0.4}),
    "burgers": _scalar("1D_Burgers_Sols_Nu0.01.hdf5", {"Nu": 0.01}, {"Nu": 0.01}),
    "burgers by name": _scalar("1D_Burgers_Sols_Nu0.01.hdf5", {}, {"Nu": 0.01}),
    "renamed": _scalar("1D_Advection_Sols_beta0.4.hdf5", {"Nu": 0.01}, {"Nu": 0.01}),
    "reaction-diffusion": _scalar(
        "ReacDiff_Nu1.0_Rho2.0.hdf5", {"Nu": 1.0, "rho": 2.0}, {"Nu": 1.0, "rho": 2.0}
    ),
    "reaction-diffusion by name": _scalar(
        "ReacDiff_Nu1.0_Rho2.0.hdf5", {}, {"Nu": 1.0, "rho": 2.0}
    ),
    "gas in 1-D": _gas(
        "1D_CFD_Rand_Eta1.e-8_Zeta1.e-8_periodic_Train.hdf5", {"x": 8}, {"eta": 1e-8, "zeta": 1e-8}
    ),
    "gas in 2-D": _gas(
        "2D_CFD_Rand_M0.1_Eta0.01_Zeta0.01_periodic_128_Train.hdf5",
        {"x": 6, "y": 8},
        {"M": 0.1, "eta": 0.01, "zeta": 0.01},
    ),
    "gas in 3-D": _gas("3D_CFD_Turb_M1.0.hdf5", {"x": 3, "y": 4, "z": 5}, {"M": 1.0}),
    "darcy": darcy,
    "diffusion-sorption": _groups("1D_diff-sorp_NA_NA.h5", {"x": 8}, ["u"]),
    "diffusion-reaction": _groups("2D_diff-react_NA_NA.h5", {"x": 6, "y": 8}, ["u", "v"]),
    "shallow water": _groups("2D_rdb_NA_NA.h5", {"x": 6, "y": 8}, ["h"], radius=True),
    "many groups": _groups("2D_rdb_NA_NA.h5", {"x": 3, "y": 2}, ["h"], radius=True, count=40),
    "incompressible": incompressible,
    "the well": the_well,
    "burgers, MATLAB 5": burgers_matlab,
    "darcy, MATLAB 7.3": darcy_matlab,
    "navier-stokes, MATLAB 7.3": navier_stokes_matlab,
    "steady npz": steady_npz,
    "packed npz": packed_npz,
    "npy folder": npy_folder,
    "own names in HDF5": own_names_hdf5,
    "grid csv": grid_csv,
    "scattered csv": scattered_csv,
}
