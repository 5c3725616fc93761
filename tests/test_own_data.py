"""Data of one's own: arrays and files to data sets, and operators trained on them alone."""

import json

import h5py
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import DataFileError, family_of
from pinops.networks import MLP

RANDOM = np.random.default_rng(0)
X, Y = np.linspace(0, 1, 6), np.linspace(-1, 1, 5)


def on_a_grid(count=40, **more):
    a = RANDOM.standard_normal((count, 6, 5))
    given = {"inputs": {"a": a}, "outputs": {"u": 2 * a + 1}, "coordinates": {"x": X, "y": Y}}
    return po.Dataset.from_arrays(**given | more)


def on_meshes(count=12):
    points = [RANDOM.uniform(size=(4 + k % 3, 2)) for k in range(count)]
    cells = [np.asarray([[0, 1, 2], [1, 2, 3]])[: 1 + k % 2] for k in range(count)]
    return po.Dataset.from_arrays(
        inputs={"a": [p[:, 0] for p in points], "force": RANDOM.standard_normal((count, 3))},
        outputs={"u": [p.sum(1) for p in points]},
        coordinates=points,
        parameters={"viscosity": np.arange(1.0, count + 1)},
        cells=cells,
        units={"u": "m"},
    )


def test_arrays_keep_their_names_and_numbers():
    data = on_a_grid(parameters={"k": 3.0, "m": np.arange(40.0)}, units={"u": "K"})
    rows = data.rows([3, 1])
    assert data.count == len(data) == 40 and data.unknowns == ("u",)
    assert data.layout.parameters == ("k", "m") and data.layout.kind == "grid"
    np.testing.assert_array_equal(rows["number"], [3, 1])
    np.testing.assert_array_equal(rows["values/u"], 2 * rows["inputs/a"] + 1)
    np.testing.assert_array_equal(rows["inputs/m"], [3, 1])
    np.testing.assert_array_equal(rows["inputs/k"], [3, 3])
    assert data.points.shape == (30, 2) and tuple(data.points[1]) == (0.0, -0.5)
    assert repr(data) == "Dataset(40 samples of a, k, m to u on a grid of 6 x 5, the arrays)"
    assert data.summary()["units"] == {"u": "K"}


def test_channels_are_unknowns():
    v = RANDOM.standard_normal((7, 6, 5, 2))
    data = on_a_grid(7, outputs={"v": v, "p": v[..., :1]})
    assert data.unknowns == ("v0", "v1", "p")
    np.testing.assert_array_equal(data.rows([2])["values/v1"][0], v[2, ..., 1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outputs": {}}, "outputs is empty"),
        ({"outputs": np.zeros((40, 6, 5))}, r"outputs must be a dict by name, .* got ndarray"),
        ({"inputs": np.zeros((40, 6, 5))}, r"inputs must be a dict by name, .* got ndarray"),
        ({"outputs": {"u": np.zeros((40, 5, 6))}}, r"the shape \(40, 5, 6\), .* 6 x 5 points"),
        ({"outputs": {"u": np.zeros((39, 6, 5))}}, "39 samples; the first axis"),
        ({"outputs": {"u": np.zeros((40, 6, 5), complex)}}, "complex numbers are not supported"),
        ({"outputs": {"a b": np.zeros((40, 6, 5))}}, "a name like a variable, .* got 'a b'"),
        ({"outputs": {"u": np.full((40, 6, 5), "a")}}, "holds <U1; give numbers"),
        ({"coordinates": {"x": X[::-1], "y": Y}}, "the axis x must rise"),
        ({"coordinates": {"x": X, "y": np.zeros((5, 2))}}, "the axis y must be a line"),
        ({"coordinates": {"x": X, "t": Y}}, "give a coordinate t and time='t', or neither"),
        ({"coordinates": {"x": X, "t": Y}, "time": "t"}, "t must be the first coordinate"),
        ({"time": "time"}, "time must be 't' or None, got 'time'"),
        ({"parameters": {"a": 1.0}}, "a is an input and a parameter"),
        ({"parameters": {"k": np.zeros(3)}}, "one for each of the 40 samples"),
        ({"coordinates": np.zeros((30, 4))}, "with 1 to 3 dimensions"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, said):
    with pytest.raises(ValueError, match=said) as caught:
        on_a_grid(**change)
    assert "\n" not in str(caught.value)


def test_samples_with_points_of_their_own_are_padded():
    data = on_meshes()
    rows = data.rows([1, 0, 2])
    assert rows["points"].shape == (3, 6, 2) and rows["present"].sum(1).tolist() == [5, 4, 6]
    assert np.isnan(rows["values/u"][1, 4:]).all() and rows["inputs/force"].shape == (3, 3)
    np.testing.assert_allclose(
        rows["values/u"][rows["present"]], rows["points"][rows["present"]].sum(1)
    )
    assert rows["cells"][0].tolist() == [[0, 1, 2], [1, 2, 3]]
    assert family_of(data).unknowns == ("u",)


@pytest.mark.parametrize("make", [on_a_grid, on_meshes])
def test_a_file_gives_the_same_samples(make, tmp_path):
    data = make()
    path = data.save(tmp_path / "mine.h5")
    again = po.Dataset.open(path)
    chosen = [9, 2, 5]
    before, after = data.rows(chosen), again.rows(chosen)
    assert before.keys() == after.keys() and again.layout == data.layout
    for name in before:
        for one, other in zip(before[name], after[name], strict=True):
            np.testing.assert_array_equal(one, other)
    assert again.splits["test"].tolist() == data.splits["test"].tolist()
    with pytest.raises(ValueError, match="exists already"):
        data.save(path)
    with h5py.File(path, "r+") as file:
        file["values/u"][0] += 1e-7 if make is on_meshes else 1e-7 * np.ones((6, 5))
    with pytest.raises(DataFileError, match="the checksum of samples 0 to"):
        po.Dataset.open(path).rows([0])


def test_parts_are_disjoint_and_whole():
    for count in (2, 3, 15, 400):
        splits = on_a_grid(count).splits
        together = np.concatenate(list(splits.values()))
        assert sorted(together) == list(range(count))
        assert len(splits["test"]) == max(1, count // 10)
        assert (len(splits["validation"]) > 0) == (count > 2)
    with pytest.raises(ValueError, match="has one sample"):
        _ = on_a_grid(1).splits


def test_a_split_tests_on_what_it_has_set_apart():
    data = on_a_grid()
    first, second = data.split(test=10, seed=3)
    assert (first.count, second.count) == (30, 10)
    assert len(first.splits["test"]) == 0 and len(second.splits["test"]) == 10
    numbers = np.concatenate([part.rows(range(part.count))["number"] for part in (first, second)])
    assert sorted(numbers) == list(range(40))
    again = data.split(test=0.25, seed=3)[1]
    np.testing.assert_array_equal(again.rows(range(10))["number"], second.rows(range(10))["number"])
    for wrong in (0, 40, True, 1.0, "all"):
        with pytest.raises(ValueError, match="test must be a number of samples from 1 to 39"):
            data.split(test=wrong)


def test_samples_are_taken_and_joined(tmp_path):
    data = on_a_grid()
    both = data.take([5, 3]) + data.take(range(10, 12))
    np.testing.assert_array_equal(
        both.rows(range(4))["inputs/a"], data.rows([5, 3, 10, 11])["inputs/a"]
    )
    kept = po.Dataset.open(both.save(tmp_path / "four.h5"))
    np.testing.assert_array_equal(kept.rows([3, 0])["values/u"], data.rows([11, 5])["values/u"])
    with pytest.raises(ValueError, match="has 40 samples, and no sample 40"):
        data.take([40])
    other = on_a_grid(coordinates={"x": X, "y": 2 * Y})
    with pytest.raises(ValueError, match="cannot be joined: their points of y differ"):
        _ = data + other
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = data + 1
    with pytest.raises(ValueError, match=r"would be an HDF5 file; choose a name that ends in .h5"):
        data.save(tmp_path / "four.npz")
    with pytest.raises(ValueError, match="has 40 samples, and no sample 400"):
        data.rows([400])


def test_a_forgotten_coordinate_is_not_taken_for_channels():
    given = {"inputs": {"f": np.ones((5, 8))}, "coordinates": {"x": np.arange(8) / 8}}
    with pytest.raises(ValueError, match="one coordinate of 8 points; give the other coordinate"):
        po.Dataset.from_arrays(outputs={"u": np.ones((5, 8, 8))}, **given)
    assert len(po.Dataset.from_arrays(outputs={"u": np.ones((5, 8, 3))}, **given).unknowns) == 3


def test_samples_of_a_training_are_known_in_a_file_of_them(tmp_path):
    data = on_a_grid()
    trained = data.seen("training")
    again = po.Dataset.open(data.save(tmp_path / "mine.h5"))
    for known in (data, again):
        np.testing.assert_array_equal(known.unseen(trained), data.splits["test"])
    with pytest.raises(ValueError, match="has seen samples of this part"):
        again.unseen(trained, None)
    assert len(on_a_grid(12).unseen(trained)) == 12


def test_samples_of_a_training_are_known_however_they_were_split_and_joined():
    ours, theirs = on_a_grid().split(test=10, seed=3)
    more = on_a_grid(12)
    trained = (ours + more).seen("training")
    assert set(trained) == {ours.origin, more.origin}
    np.testing.assert_array_equal(theirs.unseen(trained), np.arange(10))
    for known in (ours, ours + theirs, more + theirs):
        with pytest.raises(ValueError, match="has seen samples of this part"):
            known.unseen(trained, None)


def test_samples_of_a_training_are_known_in_a_file_of_a_part_of_them(tmp_path):
    data = on_a_grid()
    ours, theirs = data.split(test=10, seed=3)
    trained = ours.seen("training")
    for k, known in enumerate((ours, theirs + ours, data.take(range(20)), ours + on_a_grid(12))):
        again = po.Dataset.open(known.save(tmp_path / f"{k}.h5"))
        with pytest.raises(ValueError, match="has seen samples of this part"):
            again.unseen(trained, None)
        for name, pairs in known._store.identified(np.arange(4)).items():
            assert name in trained or name == on_a_grid(12).origin
            assert pairs.shape == (4, 2)
        twice = po.Dataset.open((again + on_a_grid(5)).save(tmp_path / f"again{k}.h5"))
        assert twice.take(range(known.count)).seen("test") == known.take(range(known.count)).seen(
            "test"
        )
    # The others are tested on as a whole, in memory and in a file.
    few = data.take(np.sort(theirs.rows(range(10))["number"])[:4])
    for other in (theirs, few, po.Dataset.open(few.save(tmp_path / "few.h5"))):
        np.testing.assert_array_equal(other.unseen(trained), np.arange(other.count))


def test_what_is_saved_can_be_read_whatever_types_the_samples_had(tmp_path):
    x = {"x": np.linspace(0, 1, 8)}
    values = np.random.default_rng(0).standard_normal((40, 8))
    half, single, double, integers = (
        po.Dataset.from_arrays(inputs={"a": a}, outputs={"u": a}, coordinates=x)
        for a in (
            values.astype(np.float16),
            values.astype(np.float32),
            values,
            np.arange(320).reshape(40, 8),
        )
    )
    for k, both in enumerate((single + double, integers + double, half + single)):
        again = po.Dataset.open(both.save(tmp_path / f"{k}.h5")).rows(range(80))["values/u"]
        np.testing.assert_array_equal(again, both.rows(range(80))["values/u"])
        exact = values if k < 2 else values.astype(np.float32)
        np.testing.assert_array_equal(again[40:], exact)
    points = [np.full((3 + k % 2, 2), 0.1 + k) for k in range(40)]
    mixed = [(p[:, 0].astype(np.float32) if k < 35 else p[:, 0]) for k, p in enumerate(points)]
    meshes = po.Dataset.from_arrays(outputs={"u": mixed}, coordinates=points)
    again = po.Dataset.open(meshes.save(tmp_path / "meshes.h5")).rows([39])["values/u"]
    np.testing.assert_array_equal(again[0], points[39][:, 0])


def test_data_sets_that_cannot_be_joined_say_why():
    x, u = {"x": np.linspace(0, 1, 8)}, np.ones((4, 8))

    def data(a=u, units=None):
        return po.Dataset.from_arrays(
            inputs={"a": a}, outputs={"u": u}, coordinates=x, units=units, source="mine"
        )

    with pytest.raises(ValueError, match=r"a sample of a is of the shape \(8,\) and of the shape"):
        data() + data(np.ones((4, 16)))
    with pytest.raises(ValueError, match="the unit of u is K and C; convert one of them"):
        data(units={"u": "K"}) + data(units={"u": "C"})
    assert (data(units={"u": "K"}) + data(units={"a": "m"})).layout.units == {"u": "K", "a": "m"}


def test_splits_take_whole_numbers_of_any_kind():
    data = on_a_grid()
    assert len(data.split(test=np.int64(5))[1]) == 5
    with pytest.raises(
        ValueError, match="seed must be a whole number from 0 to 4294967295, got -1"
    ):
        data.split(test=5, seed=-1)


class Slow:
    """An array that is read on demand, and counts what is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, rows):
        out = self.array[rows]
        self.read += len(out)
        return out


def test_lazy_arrays_are_read_by_blocks():
    slow = Slow(RANDOM.standard_normal((1000, 6, 5)))
    data = on_a_grid(1000, outputs={"u": slow}, inputs={})
    assert slow.read == 0
    data.rows([999, 2])
    assert slow.read == 32 + 8  # two blocks, the last of which has eight
    data.rows(range(32))
    assert slow.read == 40


def antiderivatives(count):
    """Random sums of waves at 20 points, and their integrals from 0."""
    x = np.linspace(0, 1, 20)
    k = np.pi * np.arange(1, 4)
    weights = RANDOM.standard_normal((count, 3)) / np.arange(1, 4)
    v = weights @ np.cos(k[:, None] * x)
    return po.Dataset.from_arrays(
        inputs={"v": v},
        outputs={"u": weights @ (np.sin(k[:, None] * x) / k[:, None])},
        coordinates={"x": x},
    )


@pytest.mark.slow
def test_an_operator_of_arrays_alone(tmp_path):
    train, test = antiderivatives(300).split(test=50)
    small = po.operators.DeepONet(MLP(30, 2), MLP(30, 2), latent=20)
    trained = po.train(train, small, functions=po.Functions(batch=32), steps=1500, progress=False)
    error = trained.error(test)["u"]["mean"]
    assert error < 0.05
    rows = test.rows(range(3))
    x = np.linspace(0, 1, 20)
    values = trained(rows["inputs/v"], x=x)
    assert values.shape == (3, 20)
    relative = np.linalg.norm(values - rows["values/u"]) / np.linalg.norm(rows["values/u"])
    assert relative < 0.1
    np.testing.assert_array_equal(trained({"v": rows["inputs/v"]}, x=x), values)
    again = po.load(trained.save(tmp_path / "run", test))
    assert again.error(test) == trained.error(test)
    for inputs, said in (
        (rows["inputs/v"][:, :5], r"of the shapes v \(20,\); got the arrays v \(3, 5\)"),
        ({"w": rows["inputs/v"]}, r"of the shapes v \(20,\); got the arrays w \(3, 20\)"),
        (np.full((1, 20), np.nan), "inputs must be finite"),
    ):
        with pytest.raises(ValueError, match=said):
            trained(inputs, x=x)
    with pytest.raises(ValueError, match="nothing to test on"):
        trained.error(train)
    with pytest.raises(ValueError, match="has the outputs u, and|has the coordinates|inputs"):
        trained.error(on_a_grid())
    with pytest.raises(ValueError, match="physics=1 needs an equation"):
        po.train(train, small, physics=1.0)


@pytest.mark.slow
def test_a_stepper_of_arrays_alone():
    x, t = np.arange(16) / 16, np.linspace(0, 1, 5)
    phase = RANDOM.uniform(size=(40, 1, 1))
    u = np.sin(2 * np.pi * (x - 0.2 * t[:, None] + phase))
    data = po.Dataset.from_arrays(outputs={"u": u}, coordinates={"t": t, "x": x}, time="t")
    fno = po.operators.Direct(po.operators.FNO(8, 4, depth=2))
    trained = po.train(data, fno, curriculum=po.Curriculum(epochs=60, warm_up=0), progress=False)
    assert trained.error(data)["u"]["mean"] < 0.2
    frames = trained(u[:2, 0, :, None], np.zeros((2, 0)), 4)
    assert frames.shape == (2, 5, 16, 1)


@pytest.mark.slow
def test_on_the_command_line(tmp_path, capsys):
    line = np.arange(8) / 8
    f = RANDOM.standard_normal((30, 1, 1)) * np.sin(2 * np.pi * (line[:, None] + line))
    given, mine, run = tmp_path / "mine.npz", tmp_path / "mine.h5", tmp_path / "run"
    np.savez(given, f=f, u=2 * f, x=line, y=line)
    assert cli.run(["data", "--describe", str(given)]) == 0
    assert "inputs: f (30, 8, 8)" in capsys.readouterr().out
    assert cli.run(["data", "--from", str(given), "--out", str(mine)]) == 0
    assert cli.run(["data", "--describe", str(mine)]) == 0
    assert "a data set of pinops\n  samples: 30" in capsys.readouterr().out
    train = ["train", "--data", str(mine), "--operator", "FNO(4, 2, depth=1)", "--out", str(run)]
    capsys.readouterr()
    assert cli.run([*train, "--steps", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert cli.run(["evaluate", str(run), "--data", str(mine), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == result["errors"]
    assert cli.run(["plot", str(run), "--data", str(mine)]) == 0
    for wrong, said in (
        (["train"], "give the name of a family, or --data FILE"),
        (["data"], "give the name of a family, or --from FILE"),
        (["data", "--from", str(given)], "give --out FILE"),
        (["data", "--from", str(tmp_path / "no.npz"), "--out", "x.h5"], "there is no file"),
    ):
        assert cli.run(wrong) == 2
        assert said in capsys.readouterr().err
