"""Files of others: every layout opens with the right names, axes, values, parameters and units;
whatever is wrong with a file is one sentence.
"""

import builtins
import pickle
import sys
from pathlib import Path

import h5py
import layouts
import numpy as np
import pytest
from layouts import FILES, cells, hdf5, numbers

from pinops.data import DataFileError, Dataset, describe_file, read_contents
from pinops.data.readers import FORMATS, LAYOUTS


def compare(found, truth) -> None:
    """Names, in their order, and values."""
    assert found.time == truth.time and dict(found.units) == truth.units
    for got, wanted in ((found.outputs, truth.outputs), (found.inputs, truth.inputs)):
        assert sorted(got) == sorted(wanted)
        for name, array in wanted.items():
            if isinstance(array, list):
                assert len(got[name]) == len(array)
                for own, other in zip(got[name], array, strict=True):
                    np.testing.assert_array_equal(own, other)
                continue
            assert tuple(got[name].shape) == array.shape, name
            np.testing.assert_array_equal(np.asarray(got[name]), array)
            np.testing.assert_array_equal(np.asarray(got[name][1:3]), array[1:3])
            assert np.dtype(got[name].dtype) == array.dtype
    assert set(found.parameters) == set(truth.parameters)
    for name, value in truth.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value)
    if isinstance(truth.coordinates, dict):
        assert list(found.coordinates) == list(truth.coordinates)
        for name, axis in truth.coordinates.items():
            np.testing.assert_allclose(found.coordinates[name], axis, rtol=1e-14)
    elif isinstance(truth.coordinates, list):
        for own, other in zip(found.coordinates, truth.coordinates, strict=True):
            np.testing.assert_array_equal(own, other)
    else:
        np.testing.assert_array_equal(found.coordinates, truth.coordinates)


@pytest.mark.parametrize("name", FILES)
def test_every_layout_opens_as_what_it_is(name, tmp_path):
    truth = FILES[name](tmp_path)
    found = read_contents(truth.path)
    compare(found, truth)
    assert str(truth.path) in found.source
    data = Dataset.of(found)
    rows = data.rows(range(1, 3) if data.count > 2 else range(2))
    for unknown in data.unknowns:
        if unknown in truth.outputs and isinstance(truth.coordinates, dict):
            wanted = truth.outputs[unknown][rows["number"]]
            np.testing.assert_array_equal(rows[f"values/{unknown}"], wanted)
    described = describe_file(truth.path)
    for word in ("as a data set", *truth.outputs, *truth.inputs, *truth.parameters):
        assert word in described


def sentence(path) -> str:
    """The one sentence in which reading ends."""
    with pytest.raises(DataFileError) as caught:
        read_contents(path)
    text = str(caught.value)
    first, *code = text.split("\n")
    assert str(path) in first and len(first) < 900
    assert len(code) in (0, 3), text
    return text


def test_rows_of_a_file_are_read_on_demand(tmp_path):
    """As an array of NumPy, whatever the kind of index; the file is closed in between."""
    truth = FILES["gas in 2-D"](tmp_path)
    lazy, whole = read_contents(truth.path).outputs["Vy"], truth.outputs["Vy"]
    assert not isinstance(lazy, np.ndarray) and len(lazy) == 4
    for rows in (slice(0, 2), slice(-1, None), slice(None, None, 2), slice(3, 1), 2, -1):
        np.testing.assert_array_equal(lazy[rows], whole[rows])
    for rows in (np.array([3, 0]), np.array([], int), np.array([True, False, False, True])):
        np.testing.assert_array_equal(lazy[rows], whole[rows])
    with pytest.raises(IndexError):
        lazy[4]
    with h5py.File(truth.path, "r+") as file:  # nobody else has it open
        file["Vy"][1] = 7.0
    assert (lazy[1] == 7.0).all()
    with h5py.File(truth.path, "r+") as file:
        del file["Vy"]
    with pytest.raises(DataFileError, match="cannot be read"):
        lazy[1]


def test_two_unknowns_of_a_file_are_read_once(tmp_path, monkeypatch):
    """A block of samples is asked for once for each unknown."""
    truth = FILES["diffusion-reaction"](tmp_path)
    found = read_contents(truth.path)
    calls = []
    original = h5py.File.__init__

    def counted(self, *args, **options):
        calls.extend(one for one in args if isinstance(one, Path))
        original(self, *args, **options)

    monkeypatch.setattr(h5py.File, "__init__", counted)
    for name in ("u", "v"):
        np.testing.assert_array_equal(found.outputs[name][1:4], truth.outputs[name][1:4])
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"0038/data": None}, "0038/data is not there, or a link"),
        ({"0038/data": h5py.ExternalLink("/etc/passwd", "x")}, "0038/data is not there, or a link"),
        ({"0038": h5py.SoftLink("/0000")}, "0038 is not there, or a link"),
        ({"0038/data": np.zeros((4, 3, 1, 1), "f4")}, r"has the shape \(4, 3, 1, 1\)"),
        ({"0038/data": np.zeros((4, 3, 2, 1))}, "0038/data holds float64"),
        ({"0038/grid/x": np.arange(3, dtype="f4")}, "0038 and 0000 have other coordinates"),
    ],
)
def test_groups_that_were_not_listed_are_checked_as_they_are_read(change, said, tmp_path):
    truth = FILES["many groups"](tmp_path)
    with h5py.File(truth.path, "r+") as file:
        for name, value in change.items():
            del file[name]
            if value is not None:
                file[name] = value
    found = read_contents(truth.path)
    assert "39 groups more, such as 0001" in describe_file(truth.path)
    np.testing.assert_array_equal(found.outputs["h"][30:38], truth.outputs["h"][30:38])
    with pytest.raises(DataFileError, match=said):
        found.outputs["h"][36:]


def test_groups_with_other_coordinates_are_refused_as_they_are_read(tmp_path):
    truth = FILES["shallow water"](tmp_path)
    with h5py.File(truth.path, "r+") as file:
        file["0003/grid/x"][2] += 1e-3
    height = read_contents(truth.path).outputs["h"]
    np.testing.assert_array_equal(height[:3], truth.outputs["h"][:3])
    with pytest.raises(DataFileError, match="0003 and 0000 have other coordinates"):
        height[2:4]


def test_a_parameter_is_the_one_that_is_stated(tmp_path):
    """An attribute that is no number is an error, and not a reason to believe the name."""
    truth = FILES["advection"](tmp_path)
    for value in (np.nan, "0.4", [0.1, 0.2]):
        with h5py.File(truth.path, "r+") as file:
            file.attrs["beta"] = value
        assert "its attribute beta must be one number" in sentence(truth.path)


def test_a_table_with_the_same_points_for_all_samples_shares_them(tmp_path):
    points = [(0.1, 0.2), (0.5, 0.9), (0.3, 0.3)]
    rows = [f"{k}\t{x}\t{y}\t{10 * k + j}" for k in (5, 2) for j, (x, y) in enumerate(points)]
    rows[3:] = reversed(rows[3:])
    (tmp_path / "a.tsv").write_text("\n".join(["case\tx\ty\tp", *rows]))
    found = read_contents(tmp_path / "a.tsv")
    np.testing.assert_array_equal(found.coordinates, [points[0], points[2], points[1]])
    np.testing.assert_array_equal(found.outputs["p"], [[50, 52, 51], [20, 22, 21]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2,3\n4,5,6\n", "its first line must name the columns"),
        ("x,u\n1,2\n3\n", "every line must have 2 numbers"),
        ("x,u\n1,two\n", "every line must have 2 numbers"),
        ("x,u\n", "has 0 lines"),
        ("x,x\n1,2\n", "same or no name"),
        ("x,u\n1,2\n,3\n", "line 3 has a coordinate that is missing"),
        ("t,x,u\n0,0,1\n1,1,2\n2,0.5,1\n", "do not fill a grid"),
        ("alpha,beta\n1,2\n", "has no layout that pinops knows"),
        ("sample,x,u\nnan,1,2\n", "a number in the column sample is missing"),
        ("", "its first line must name the columns"),
    ],
)
def test_a_table_that_cannot_be_meant(text, said, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    assert said in sentence(tmp_path / "a.csv")


def test_names_alone_say_what_is_what(tmp_path):
    """One axis more than the inputs is time; channels stay at the end; points are found."""
    a, u = numbers(3, 6), numbers(3, 5, 6, seed=1)
    np.savez(tmp_path / "a.npz", a=a, u=u)
    found = read_contents(tmp_path / "a.npz")
    assert found.time == "t" and [len(v) for v in found.coordinates.values()] == [5, 6]
    np.savez(tmp_path / "b.npz", anything=numbers(3, 8, 8, 2))
    found = read_contents(tmp_path / "b.npz")
    assert list(found.outputs) == ["anything"] and list(found.coordinates) == ["t", "x"]
    np.save(tmp_path / "wind speed.npy", u)
    found = read_contents(tmp_path / "wind speed.npy")
    np.testing.assert_array_equal(found.outputs["wind_speed"][1:], u[1:])


def test_a_file_of_no_layout_says_what_is_in_it_and_how_to_read_it(tmp_path, monkeypatch):
    arrays = {"eine": numbers(4, 5), "andere": numbers(4, 5, 6)}
    path = hdf5(tmp_path / "strange.h5", arrays, {"author": "me", "Re": 40.0})
    text = sentence(path)
    assert "HDF5 with andere (4, 5, 6) float32, eine (4, 5) float32" in text
    assert "the attributes Re = 40.0, author = me" in text
    first, load, make = text.split("\n")[1:]
    names = {"np": np}
    exec(f"{first}\n{load}", names)
    np.testing.assert_array_equal(names["arrays"]["andere"], arrays["andere"])
    assert make == (
        "data = po.Dataset.from_arrays(inputs={'a': arrays['eine']}, "
        "outputs={'u': arrays['andere']}, coordinates={'x': np.arange(5), 'y': np.arange(6)})"
    )
    exec(make, names)
    assert names["data"].count == 4 and names["data"].unknowns == ("u",)
    assert "none of those that pinops knows" in describe_file(path)
    np.savez(tmp_path / "strange.npz", **arrays)
    first, load, make = sentence(tmp_path / "strange.npz").split("\n")[1:]
    exec(f"{first}\n{load}", names)
    np.testing.assert_array_equal(names["arrays"]["eine"], arrays["eine"])


def test_the_three_lines_take_arrays_of_the_same_samples(tmp_path):
    """As in the arrays that neuraloperator ships: training and test data in one file."""
    arrays = {"u0_train": numbers(8, 6), "u_train": numbers(8, 5, 6), "u0_test": numbers(4, 6)}
    np.savez(tmp_path / "a.npz", **arrays, u_test=numbers(4, 5, 6))
    assert sentence(tmp_path / "a.npz").endswith(
        "data = po.Dataset.from_arrays(inputs={'a': arrays['u0_train']}, "
        "outputs={'u': arrays['u_train']}, coordinates={'t': np.arange(5), 'x': np.arange(6)}, "
        "time='t')"
    )


class Bomb:
    """What a stranger could write into a file of pickle."""

    def __reduce__(self):
        return (builtins.exec, ("raise SystemExit('executed')",))


def test_nothing_of_a_file_is_executed(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "no_suffix").write_bytes(pickle.dumps(Bomb()))
    np.save(tmp_path / "a.npy", np.array([Bomb()]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", u=np.array([Bomb()]))
    for name in ("a.pkl", "no_suffix"):
        assert "executes what its author wrote; where you trust it" in sentence(tmp_path / name)
    for name in ("a.npy", "a.npz"):
        assert "holds objects, which only pickle could read" in sentence(tmp_path / name)
    (tmp_path / "a.pt").write_bytes(b"anything")
    assert "torch.load" in sentence(tmp_path / "a.pt")


def test_what_is_no_data_file_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_contents(tmp_path / "nothing.h5")
    (tmp_path / "a.docx").write_bytes(b"hello")
    assert "a file of no format that pinops reads" in sentence(tmp_path / "a.docx")
    (tmp_path / "empty").mkdir()
    assert "is a folder with nothing in it" in sentence(tmp_path / "empty")
    hdf5(tmp_path / "empty" / "train.hdf5", {})
    assert "is a folder with train.hdf5" in sentence(tmp_path / "empty")
    (tmp_path / "a.npz").write_bytes(b"hello")
    assert "no format" in sentence(tmp_path / "a.npz")
    path = hdf5(tmp_path / "a.h5", {"u": numbers(3, 4)}, {"pinops": "data set"})
    assert "po.Dataset.open" in sentence(path)


def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch):
    for name, library, extra in (
        ("a.nc", "xarray", "netcdf"),
        ("a.zarr", "xarray", "zarr"),
        ("a.vtu", "meshio", "mesh"),
    ):
        path = tmp_path / name
        if name.endswith("zarr"):
            path.mkdir()
            (path / "zarr.json").write_text("{}")
        else:
            path.write_bytes(b"x")
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ImportError, match=rf"needs {library}; install .*pinops\[{extra}\]"):
            read_contents(path)


def labelled(xarray):
    """A data set with a falling latitude, units, and one number for each member."""
    u, a = numbers(3, 4, 5, 6), numbers(3, 5, 6, seed=1)
    lat, lon = np.linspace(60, 50, 5), np.linspace(0, 10, 6)
    data = xarray.Dataset(
        {
            "u": (("member", "time", "lat", "lon"), u, {"units": "m/s"}),
            "height": (("member", "lat", "lon"), a),
            "depth": (("member",), np.arange(3.0)),
        },
        {"lat": ("lat", lat, {"units": "deg"}), "lon": lon, "time": np.arange(4.0)},
        {"viscosity": 0.1, "version": 3, "title": "made up"},
    )
    axes = {"t": np.arange(4.0), "lat": lat[::-1], "lon": lon}
    inputs, units = {"height": a[:, ::-1]}, {"u": "m/s", "lat": "deg"}
    parameters = {"depth": np.arange(3.0), "viscosity": 0.1}
    truth = layouts.Truth(Path(), {"u": u[:, :, ::-1]}, axes, inputs, parameters, units, "t")
    return data, truth


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy", "zarr"])
def test_named_axes_say_what_is_what(engine, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip(engine)
    data, truth = labelled(xarray)
    if engine == "zarr":
        path = tmp_path / "a.zarr"
        data.to_zarr(path, zarr_format=2)
    else:
        path = tmp_path / "a.nc"
        data.to_netcdf(path, engine=engine)
    compare(read_contents(path), truth)
    if engine == "zarr":
        meta = path / "u" / ".zarray"
        meta.write_text(meta.read_text().replace('"blosc"', '"pickle"'))
        assert "needs the codec 'pickle'" in sentence(path)
    else:
        path.write_bytes(path.read_bytes()[:200])
        assert "cannot be read: it is truncated or no" in sentence(path)


def test_a_folder_of_meshes_is_a_data_set(tmp_path):
    meshio = pytest.importorskip("meshio")
    points, u = [], []
    for k, count in enumerate((5, 7, 6)):
        plane = np.random.default_rng(k).random((count, 2))
        points.append(plane)
        u.append(np.arange(count) + 0.5)
        corners = np.array([[0, 1, 2], [1, 2, count - 1]])
        velocity = np.stack([u[-1], -u[-1], 0 * u[-1]], axis=1)
        mesh = meshio.Mesh(
            np.pad(plane, ((0, 0), (0, 1))),
            [("line", np.array([[0, 1]])), ("triangle", corners)],
            point_data={"p": u[-1], "v": velocity},
        )
        mesh.write(tmp_path / f"{k}.vtu")
    found = read_contents(tmp_path)
    assert list(found.outputs) == ["p", "v_x", "v_y"] and len(found.coordinates) == 3
    for k in range(3):
        np.testing.assert_array_equal(found.coordinates[k], points[k])
        np.testing.assert_array_equal(found.outputs["p"][k], u[k])
        np.testing.assert_array_equal(found.outputs["v_y"][k], -u[k])
        np.testing.assert_array_equal(found.cells[k], [[0, 1, 2], [1, 2, len(u[k]) - 1]])
    (tmp_path / "1.vtu").write_text("<VTKFile>")
    assert "1.vtu cannot be read" in str(pytest.raises(DataFileError, read_contents, tmp_path))


def test_data_at_cells_lie_at_their_centres(tmp_path):
    meshio = pytest.importorskip("meshio")
    corners = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 3]])
    cells_of = [("tetra", np.array([[0, 1, 2, 3]]))]
    mesh = meshio.Mesh(corners, cells_of, cell_data={"stress": [np.array([2.0])]})
    mesh.write(tmp_path / "a.vtk")
    found = read_contents(tmp_path / "a.vtk")
    np.testing.assert_array_equal(found.coordinates[0], [[1.5, 1.5, 0.75]])
    np.testing.assert_array_equal(found.outputs["stress"][0], [2.0])


def test_the_tables_have_the_files(tmp_path):
    """One row for each file of the folder."""
    folder = Path(sys.modules[read_contents.__module__].__file__).parent
    assert len(list(folder.glob("_format_*.py"))) == len(FORMATS)
    assert len(list(folder.glob("_layout_*.py"))) == len(LAYOUTS)


def test_a_hundred_thousand_arrays_or_a_claim_of_terabytes_allocate_nothing(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("u", (10**6, 10**6), "f4", chunks=(64, 64), compression="gzip")
        file["x"] = cells(10)
    assert "declares 4000000000000 bytes" in sentence(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("tensor", (10**4, 10**4, 10**4), "f4", chunks=(64, 64, 64))
        file["x-coordinate"] = np.arange(10**4)
        file["t-coordinate"] = np.arange(10**4)
    assert "tensor declares" in sentence(path)
    with h5py.File(path, "w") as file:
        file["u"] = h5py.ExternalLink("/etc/passwd", "/x")
    assert "is a link" in sentence(path)
