"""Files of strangers execute nothing, exhaust nothing, and end in one sentence; a stored run is
what it is loaded as.
"""

import json
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops import cli
from pinops.data import DataFileError, Dataset, generate, read_arrays, read_run, write_arrays
from pinops.data._hdf5 import digest_of
from pinops.data._run_file import _signed
from pinops.operators import FNO, DeepONet, Direct
from pinops.problem import InverseProblem, difference, fingerprint
from pinops.training import Curriculum

po.register("hostile_decay")(Decay)
STATE = Path("checkpoint") / "state.h5"
SMALL = {
    "network": po.networks.MLP(width=4, depth=1),
    "points": po.Collocation(interior=16),
    "optimizer": po.optimizers.Adam(1e-2),
    "steps": 3,
    "progress": False,
}
SECONDS, MEGABYTES = 2.0, 200


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "good.h5"
    family = po.load_problem("cape_advection", cells=8, frames=3)
    return generate(family, path, count=96).path


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """One run of each kind, by its name."""
    folder = tmp_path_factory.mktemp("runs")
    po.solve(Decay(), **SMALL, out=folder / "solution")
    # Enough for each window to converge.
    enough = SMALL | {"optimizer": po.optimizers.SSBroyden(), "steps": 150}
    po.solve(Decay(), **enough, windows=po.TimeWindows(2, nodes=9), out=folder / "windows")
    po.solve(Decay(), **SMALL, ensemble=2, out=folder / "ensemble")
    few = po.Functions(pool=4, batch=4, points=po.Collocation(interior=8, batch=8, refinement=None))
    net = po.networks.MLP(width=4, depth=1)
    # Interrupted: a checkpoint is there, and no time goes into tests on new members.
    with pytest.raises(KeyboardInterrupt):
        po.train(
            "antiderivative",
            DeepONet(net, net, 3),
            functions=few,
            steps=2,
            progress=False,
            out=folder / "operator",
            callbacks=[interrupt],
        )
    with pytest.raises(KeyboardInterrupt):
        po.train(
            po.load_problem("cape_advection", cells=8, frames=3),
            Direct(FNO(4, 2, 1)),
            data=data,
            curriculum=Curriculum(1, 0),
            functions=po.Functions(batch=32),
            progress=False,
            out=folder / "surrogate",
            callbacks=[interrupt],
        )
    return folder


def interrupt(report):
    raise KeyboardInterrupt


def refused(call, *, seconds: float = SECONDS) -> str:
    """The one sentence that a call ends in, within the time and memory that a stranger's file may
    take.
    """
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises((DataFileError, ValueError, FileNotFoundError)) as caught:
        call()
    sentence = str(caught.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(sentence) < 400 and "\n" not in sentence and sentence, sentence
    assert time.monotonic() - began < seconds and grown < MEGABYTES * 1024, sentence
    return sentence


def refused_everywhere(folder: Path, capsys) -> str:
    """By `load` and by the command, which says the same on one line."""
    sentence = refused(lambda: po.load(folder))
    capsys.readouterr()
    assert cli.run(["evaluate", str(folder)]) == 2
    assert capsys.readouterr().err.splitlines() == [f"pinops: {' '.join(sentence.split())}"]
    return sentence


def rewritten(folder: Path, change) -> None:
    """Change the content of run.json and sign it as pinops would."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    content = change(content) or content
    if isinstance(content, dict) and "sha256" in content:
        content["sha256"] = ""
    path.write_bytes(_signed((json.dumps(content, indent=2) + "\n").encode()))


def put(*names_and_value):
    """A change of one entry; the last argument is the value, `MISSING` removes it."""
    *names, last, value = names_and_value

    def change(content):
        for name in names:
            content = content[name]
        if value is MISSING:
            del content[last]
        else:
            content[last] = value

    return change


MISSING = object()
DEEP = json.loads("[" * 200 + "]" * 200)
R = "request"
NETWORK = (R, "network", "MLP")
WRONG = {
    "solution": [
        *[(R, name, MISSING) for name in ("problem", "coefficients", "trainable", "network")],
        *[(R, name, MISSING) for name in ("seed", "dtype")],
        *[(R, name, None) for name in ("problem", "coefficients", "trainable", "network", "seed")],
        *[(R, name, None) for name in ("dtype", "scales", "steps", "phases", "fingerprint")],
        *[(R, name, [1]) for name in ("problem", "coefficients", "trainable", "network", "seed")],
        *[(R, name, [1]) for name in ("dtype", "scales", "minutes", "drawn", "observations")],
        *[(R, "seed", value) for value in (-1, 2.5, "0", True, 2**70, {})],
        *[(R, "dtype", value) for value in ("float16", "float64 ", 64, {})],
        *[(R, "minutes", value) for value in (0, -1, "3", True, {}, float("nan"))],
        *[
            (R, "scales", "centre", value)
            for value in ([], {}, {"v": 0.0}, {"u": "a"}, {"u": None})
        ],
        (R, "scales", "spread", MISSING),
        (R, "scales", "spread", "u", float("nan")),
        *[(R, "trainable", value) for value in (["nothing"], "rate", {"rate": 1}, ["__class__"])],
        *[(R, "coefficients", value) for value in ({"nothing": 1}, {"rate": None}, {"rate": "a"})],
        *[(R, "coefficients", "rate", value) for value in (-1.0, {}, 10**30, float("nan"), DEEP)],
        *[(R, "problem", value) for value in ("nothing", "../heat", "os.system", "x" * 5000, "")],
        *[(R, "network", value) for value in ("MLP", {}, {"load": {}}, {"MLP": 1}, {"MLP": []})],
        *[(R, "network", value) for value in ({"FromLinen": {}}, {"__class__": {}}, {"a.b": {}})],
        *[(R, "network", value) for value in ({"Adam": {}}, {"FNO": {"width": 4}}, {"MLP": None})],
        *[(*NETWORK, "width", value) for value in (None, "a", [4], -1, 2.5, 10**9, 10**30, DEEP)],
        *[(*NETWORK, "depth", value) for value in (None, "a", 0, 10**9, 999, True, {})],
        *[(*NETWORK, "activation", value) for value in (0, None, "relu", ["tanh"], {"sin": {}})],
        (*NETWORK, "widht", 4),
        (*NETWORK, "__init__", 4),
        (R, "fingerprint", [1]),
        (R, "fingerprint", {}),
        (R, "fingerprint", "domain", None),
        (R, "fingerprint", "conditions", {"a": 1}),
        (R, "fingerprint", "domain", "bounds", "a b"),
        *[("result", value) for value in ([], 1, {}, {"status": None}, "finished")],
        ("result", "steps", -1),
        ("result", "compile_seconds", "long"),
        ("versions", []),
        ("versions", "jax", 1),
        *[("parts", value) for value in ([], None, {"../run.json": {}}, {"history.h5": 1})],
        ("parts", "history.h5", "sha256", "0"),
        ("parts", "solution.h5", "bytes", 10**18),
        ("parts", "x.h5", {"bytes": 1, "sha256": "0"}),
        ("request", None),
        ("request", []),
        ("request", MISSING),
        ("result", MISSING),
        ("parts", MISSING),
        ("sha256", MISSING),
    ],
    "windows": [
        *[(R, "windows", value) for value in (None, [], {}, {"count": 2}, "2")],
        *[(R, "windows", "count", value) for value in (0, 1, 2.5, "2", None, 10**12)],
        *[(R, "windows", "nodes", value) for value in (0, "9", None, 10**12)],
    ],
    "operator": [
        *[(R, "operator", value) for value in (None, [], {}, {"DeepONet": None}, {"MLP": {}})],
        *[(R, "inputs", value) for value in (None, [], {}, {"mean": [0.0], "deviation": [1.0]})],
        (R, "inputs", "mean", {}),
        (R, "inputs", "mean", "f", [0.0]),
        (R, "inputs", "mean", "f", [[0.0], [0.0, 1.0]]),
        (R, "inputs", "deviation", "f", "a"),
        *[(R, "scale", value) for value in (None, [], {}, {"v": 1.0}, {"u": "a"})],
        *[
            (R, "operator", "DeepONet", name, value)
            for name in ("branch", "trunk", "latent")
            for value in (None, "a", [1], 10**12)
        ],
        *[(R, "physics", value) for value in ("yes", True, -1)],
    ],
    "ensemble": [
        *[(R, "ensemble", value) for value in (None, [], {}, 2, ["0"], [0, 0], [0, 7], [-1])],
        (R, "windows", {"count": 2, "nodes": 9}),
    ],
    "surrogate": [
        *[(R, name, None) for name in ("surrogate", "grid", "parameters", "scale", "centre")],
        *[(R, name, MISSING) for name in ("grid", "parameters", "scale", "curriculum", "physics")],
        *[(R, "grid", "points", value) for value in ([], [0], [8, 8], "8", [10**9, 10**9])],
        (R, "grid", "first", []),
        (R, "grid", "steps", ["a", "b"]),
        (R, "grid", "time", "x"),
        (R, "grid", "coordinates", ["x", "y", "t"]),
        (R, "parameters", "maps", ["exp"]),
        (R, "parameters", "mean", []),
        (R, "curriculum", {"Epochs": {}}),
        (R, "curriculum", "Curriculum", []),
        (R, "surrogate", "Direct", "network", {"MLP": {}}),
        (R, "surrogate", "Direct", "network", "FNO", "width", 10**8),
    ],
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_description_of_other_names_or_types_is_one_sentence(kind, runs, tmp_path, capsys):
    for number, change in enumerate(WRONG[kind]):
        folder = tmp_path / str(number)
        shutil.copytree(runs / kind, folder)
        rewritten(folder, put(*change))
        if number % 8:  # the command takes its time to read its own arguments
            refused(lambda folder=folder: po.load(folder))
        else:
            refused_everywhere(folder, capsys)


def test_what_differs_is_named(runs, tmp_path):
    cases = [
        (
            (R, "minutes", [1]),
            "request.minutes must be a number greater than zero or null, got [1]",
        ),
        ((*NETWORK, "widht", 4), "MLP has no setting 'widht'"),
        ((*NETWORK, "activation", 0), "there is no '0'"),
        ((R, "dtype", "float16"), 'request.dtype must be one of float32, float64, got "float16"'),
        ((R, "seed", MISSING), "request.seed is missing; it must be a whole number from 0 to"),
    ]
    for number, (change, sentence) in enumerate(cases):
        folder = tmp_path / str(number)
        shutil.copytree(runs / "solution", folder)
        rewritten(folder, put(*change))
        assert sentence in refused(lambda folder=folder: po.load(folder))


def test_every_flipped_character_of_a_description_is_refused(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs / "solution", folder)
    path, choose = folder / "run.json", random.Random(0)
    good = path.read_bytes()
    for place in choose.sample(range(len(good)), 60):
        bit = 1 << choose.randrange(7)
        path.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1 :])
        refused(lambda: po.load(folder))
    for share in np.linspace(0, 0.999, 10):
        path.write_bytes(good[: int(share * len(good))])
        refused(lambda: po.load(folder))
    texts = (b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 10_000, b"null", b"[]", b"{}")
    for text in (*texts, b" " * (9 * 2**20)):
        path.write_bytes(text)
        refused(lambda: po.load(folder))
    with open(path, "wb") as file:
        file.truncate(2**40)  # a terabyte of nothing
    refused(lambda: po.load(folder))


def test_a_part_that_was_altered_is_named(runs, tmp_path):
    for name in ("history.h5", "solution.h5"):
        folder = tmp_path / name
        shutil.copytree(runs / "solution", folder)
        path = folder / name
        good = path.read_bytes()
        path.write_bytes(good[:700] + bytes([good[700] ^ 1]) + good[701:])
        assert name in refused(lambda folder=folder: po.load(folder))
        path.unlink()
        assert name in refused(lambda folder=folder: po.load(folder))


def test_a_flipped_byte_of_a_checkpoint_changes_nothing_or_is_refused(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs / "solution", folder)
    value, path, choose = po.load(folder)(t=0.3), folder / STATE, random.Random(1)
    good = path.read_bytes()
    for place in choose.sample(range(len(good)), 25):
        path.write_bytes(
            good[:place] + bytes([good[place] ^ (1 << choose.randrange(8))]) + good[place + 1 :]
        )
        try:
            assert po.load(folder)(t=0.3) == value
        except DataFileError as error:
            assert "\n" not in str(error) and len(str(error)) < 400


# Arrays


def _external(file):
    file.create_dataset("x", (4,), "f8", external=[("/etc/hostname", 0, 32)])


def _virtual(file):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/tmp/none.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


def _text(name, value):
    def change(file):
        del file.attrs[name]
        if value is not MISSING:
            file.attrs[name] = value

    return change


def _deep_groups(file):
    file.create_group("/".join(["g"] * 100))


def _circle(file):
    file["circle"] = file["/"]


BYTES = {
    "soft link": lambda file: file.__setitem__("x", h5py.SoftLink("/history/step")),
    "external link": lambda file: file.__setitem__("x", h5py.ExternalLink("/tmp/a.h5", "x")),
    "external storage": _external,
    "virtual": _virtual,
    "vlen text": lambda file: file.create_dataset("x", data=["a", "bc"], dtype=h5py.string_dtype()),
    "vlen numbers": lambda file: file.create_dataset("x", (3,), h5py.vlen_dtype("f8")),
    "references": lambda file: file.create_dataset("x", data=file.ref, dtype=h5py.ref_dtype),
    "compound": lambda file: file.create_dataset("x", (2,), [("a", "f8"), ("b", "i4")]),
    "complex": lambda file: file.create_dataset("x", (2,), "c16"),
    "no shape": lambda file: file.create_dataset("x", data=h5py.Empty("f8")),
    "72 TiB": lambda file: file.create_dataset("x", (9 * 2**40,), "f8"),
    "72 TiB in chunks": lambda file: file.create_dataset("x", (9 * 2**40,), "f8", chunks=(2**20,)),
    "20 GB compressed": lambda file: file.create_dataset(
        "x", (5_000_000, 500), "f8", chunks=(5000, 500), compression="gzip"
    ),
    "compressed": lambda file: file.create_dataset("x", data=np.zeros(10_000), compression="gzip"),
    "a committed type": lambda file: file.__setitem__("x", np.dtype("f8")),
    "deep groups": _deep_groups,
    "a circle": _circle,
    "no kind": _text("pinops", MISSING),
    "kind is a number": _text("pinops", 3),
    "kind is a list": _text("pinops", ["checkpoint", "data set"]),
    "kind of other words": _text("pinops", "x" * 10_000),
    "no attributes": _text("attributes", MISSING),
    "attributes are numbers": _text("attributes", np.zeros(3)),
    "attributes are no JSON": _text("attributes", "{"),
    "attributes are a list": _text("attributes", "[]"),
    "attributes are empty": _text("attributes", "{}"),
    "attributes of other types": _text("attributes", '{"request": [], "settings": 1}'),
    "deep attributes": _text("attributes", "[" * 100_000),
    "attributes that are nested": _text("attributes", '{"a":' * 100 + "1" + "}" * 100),
    "huge attributes": _text("attributes", '"' + "x" * (9 * 2**20) + '"'),
    "a long number": _text("attributes", "1" * 6000),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_hostile_file_is_one_sentence(name, runs, data, tmp_path, capsys):
    """As a checkpoint, as a data set and as arrays; the files themselves stay small."""
    folder, dataset = tmp_path / "run", tmp_path / "data.h5"
    shutil.copytree(runs / "solution", folder)
    shutil.copy(data, dataset)
    for path in (folder / STATE, dataset):
        with h5py.File(path, "r+") as file:
            BYTES[name](file)
    refused(lambda: read_arrays(folder / STATE, "checkpoint"))
    refused_everywhere(folder, capsys)
    refused(lambda: Dataset.open(dataset))


def test_truncated_and_flipped_data_sets_are_refused_or_read_the_same(data, tmp_path):
    path, choose = tmp_path / "data.h5", random.Random(2)
    good, rows = data.read_bytes(), Dataset.open(data).rows(range(96))
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(good[: int(share * len(good))])
        refused(lambda: Dataset.open(path))
    for place in choose.sample(range(len(good)), 20):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        try:
            read = Dataset.open(path).rows(range(96))
            assert all(np.array_equal(rows[name], read[name], equal_nan=True) for name in rows)
        except DataFileError as error:
            assert "\n" not in str(error) and len(str(error)) < 400


def test_attributes_of_a_data_set_have_types(data, tmp_path):
    wrong = [
        ("settings", None),
        ("settings", "count", 10**12),
        ("settings", "count", 95),
        ("settings", "count", "96"),
        ("settings", "seed", -1),
        ("settings", "coefficients", []),
        ("settings", "problem", MISSING),
        ("coordinates", ["x", "z"]),
        ("coordinates", []),
        ("layout", "unknowns", ["v"]),
        ("layout", "unknowns", "u"),
        ("layout", "kind", "a grid"),
        ("count", 95),
        ("block", 0),
        ("sha256", []),
        ("sha256", [1, 2, 3]),
        ("coordinates_sha256", None),
        ("kind", []),
    ]
    for change in wrong:
        path = tmp_path / "data.h5"
        shutil.copy(data, path)
        with h5py.File(path, "r+") as file:
            attributes = json.loads(file.attrs["attributes"])
            put(*change)(attributes)
            file.attrs["attributes"] = text = json.dumps(attributes)
            file.attrs["sha256"] = digest_of({}, text)
        refused(lambda path=path: Dataset.open(path))


HISTORY = {
    "short": lambda arrays: arrays | {"history/loss": arrays["history/loss"][:-1]},
    "long": lambda arrays: arrays | {"history/seconds": np.zeros(1000)},
    "text": lambda arrays: arrays | {"history/loss": arrays["history/phase"]},
    "whole losses": lambda arrays: (
        arrays | {"history/loss": np.zeros(len(arrays["history/loss"]), int)}
    ),
    "numbers for names": lambda arrays: arrays | {"history/phase": arrays["history/loss"]},
    "two axes": lambda arrays: arrays | {"history/step": arrays["history/step"][:, None]},
    "one number": lambda arrays: arrays | {"history/step": np.int64(3)},
    "negative steps": lambda arrays: arrays | {"history/step": -1 - arrays["history/step"]},
    "no seconds": lambda arrays: {k: v for k, v in arrays.items() if k != "history/seconds"},
    "another column": lambda arrays: arrays | {"history/hello": arrays["history/loss"]},
    "a term of another length": lambda arrays: arrays | {"history/terms/residual": np.zeros(77)},
    "an unnamed term": lambda arrays: (
        {k: v for k, v in arrays.items() if "/terms/" not in k}
        | {"history/terms": arrays["history/loss"]}
    ),
    "no ASCII": lambda arrays: (
        arrays | {"history/phase": np.full_like(arrays["history/phase"], b"\xff")}
    ),
    "none": lambda arrays: {k: v for k, v in arrays.items() if not k.startswith("history/")},
}


@pytest.mark.parametrize("name", HISTORY)
def test_a_history_of_another_form_is_refused(name, runs, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(runs / "solution", folder)
    arrays, attributes = read_arrays(folder / STATE, "checkpoint")
    write_arrays(folder / STATE, "checkpoint", HISTORY[name](arrays), attributes)
    assert "history" in refused_everywhere(folder, capsys)


def test_windows_that_are_missing_or_lead_in_a_circle(runs, tmp_path, capsys):
    for name in ("missing", "circle", "another"):
        folder = tmp_path / name
        shutil.copytree(runs / "windows", folder)
        shutil.rmtree(folder / "window_0")
        if name == "circle":
            (folder / "window_0").symlink_to(folder)
        if name == "another":
            shutil.copytree(runs / "windows" / "window_1", folder / "window_0")
        refused_everywhere(folder, capsys)


def test_members_of_an_ensemble_that_are_missing_or_others(runs, tmp_path):
    for name in ("missing", "circle", "another", "swapped"):
        folder = tmp_path / name
        shutil.copytree(runs / "ensemble", folder)
        shutil.rmtree(folder / "seed_1")
        if name == "circle":
            (folder / "seed_1").symlink_to(folder)
        if name == "another":
            shutil.copytree(runs / "windows", folder / "seed_1")
        if name == "swapped":
            shutil.copytree(folder / "seed_0", folder / "seed_1")
        refused(lambda folder=folder: po.load(folder))


def test_a_run_that_is_interrupted_while_it_is_saved_stays_readable(runs, tmp_path, monkeypatch):
    """Whatever was written last: the parts change only while run.json lists none."""
    from pinops.solvers import _answer

    folder = tmp_path / "run"
    shutil.copytree(runs / "solution", folder)
    written = _answer.write_arrays

    def killed(path, *arguments):
        written(path, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(_answer, "write_arrays", killed)
    with pytest.raises(KeyboardInterrupt):
        po.solve(Decay(), **SMALL | {"steps": 5}, out=folder, resume=True)
    monkeypatch.undo()
    assert po.load(folder).status == "unfinished" and po.load(folder).steps == 5
    assert read_run(folder)["result"] is None
    assert po.solve(Decay(), **SMALL | {"steps": 5}, out=folder, resume=True).steps == 5
    assert po.load(folder).status == "finished"


# What a stored run is loaded as


class Squared(Decay):
    def residual(self, u, u_t):
        return u_t + self.rate * u**2


class Reordered(Decay):
    def residual(self, u, u_t):
        return self.rate * u + u_t


class Longer(Decay):
    domain = po.Box(t=(0, 2))


class Doubled(Decay):
    def conditions(self):
        return (po.Initial(2.0),)


class Soft(Decay):
    def conditions(self):
        return (po.Initial(1.0, soft=True),)


class Named(Decay):
    unknowns = ("v",)

    def residual(self, v, v_t):
        return v_t + self.rate * v


DIFFERENT = {
    "rate is 1 there and 2 here": Decay(rate=2.0),
    "the equation differs": Squared(),
    "the domain reaches t = 1 there and 2 here": Longer(),
    "Initial has other data": Doubled(),
    "Initial is imposed there and not here": Soft(),
    "the unknowns are u there and v here": Named(),
}


@pytest.mark.parametrize("words", DIFFERENT)
def test_a_run_loaded_as_another_problem_says_what_differs(words, runs):
    other = DIFFERENT[words]
    assert words in refused(lambda: po.load(runs / "solution", problem=other))
    assert words in refused(lambda: po.load(runs / "windows", problem=other))
    assert words in refused(lambda: po.load(runs / "ensemble", problem=other))
    if words != "the unknowns are u there and v here":
        assert po.load(runs / "solution", problem=other, changed=True)(t=0.0) is not None


def test_the_same_equation_in_another_order_is_the_same(runs):
    assert po.load(runs / "solution", problem=Reordered())(t=0.3) == po.load(runs / "solution")(
        t=0.3
    )


def test_another_network_of_the_same_shapes_is_named(runs):
    sine = po.networks.MLP(width=4, depth=1, activation=jnp.sin)
    sentence = refused(lambda: po.load(runs / "solution", network=sine))
    assert '"activation": "tanh"' in sentence and '"activation": "sin"' in sentence
    changed = po.load(runs / "solution", network=sine, changed=True)
    assert changed(t=0.3) != po.load(runs / "solution")(t=0.3)


class Plate(po.Problem):
    """Something of everything: faces, fluxes, an equation on a boundary, a source and a lift."""

    domain = po.Box(x=(0, 1), y=(0, 1))
    strength: float = 1.0
    flux: float = 0.5

    def residual(self, lap_u, x):
        return lap_u + self.strength * jnp.sin(x)

    def conditions(self):
        return (
            po.Dirichlet(lambda y: y * (1 - y), on="x_min"),
            po.Robin(lambda x: x, on="y", alpha=2.0),
            po.Neumann(self.flux, on="x_max"),
        )


class Warmer(Plate):
    def conditions(self):
        return (po.Dirichlet(lambda y: y, on="x_min"), *super().conditions()[1:])


class Turned(Plate):
    def conditions(self):
        return (po.Dirichlet(lambda y: y * (1 - y), on="x_max"), *super().conditions()[1:])


class Stiffer(Plate):
    def conditions(self):
        first, robin, last = super().conditions()
        return (first, po.Robin(robin.value, on="y", alpha=3.0), last)


class Round(Plate):
    domain = po.Disk(x=0.5, y=0.5, radius=0.5)

    def conditions(self):
        return (po.Dirichlet(0.0),)


class Lifted(Plate):
    def lift(self, x):
        return x


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Plate(strength=2.0), "strength is 1 there and 2 here"),
        (Plate(flux=0.25), "flux is 0.5 there and 0.25 here"),
        (Warmer(), "Dirichlet on x_min has other data"),
        (Turned(), "a condition is Dirichlet on x_min there and Dirichlet on x_max here"),
        (Stiffer(), "Robin on y_max, y_min has other data"),
        (Round(), "the domain is a Box there and a Ball here"),
        (Lifted(), "the lift of the solution is given only here"),
    ],
)
def test_the_first_part_that_differs_is_named(other, words):
    stored = json.loads(json.dumps(fingerprint(Plate())))
    assert difference(stored, Plate()) is None
    assert difference(stored, other) == words


def test_observations_are_compared_where_there_are_some():
    points = {"t": np.linspace(0, 1, 40)}
    values = np.exp(-points["t"])
    problem = InverseProblem(Decay(), po.Observed(points, {"u": values}), ("rate",))
    stored = fingerprint(problem)
    moved = po.Observed(points, {"u": np.where(np.arange(40) == 17, 0.0, values)})
    other = InverseProblem(Decay(), moved, ("rate",))
    assert difference(stored, other) == "the observations differ"
    assert difference(stored, problem) is None and difference(stored, Decay()) is None


def test_a_fingerprint_is_the_same_in_another_process():
    code = (
        "import json, pinops as po; from pinops.problem import fingerprint; "
        "print(json.dumps([fingerprint(po.load_problem(n)) for n in ('heat', 'antiderivative')]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, stored in zip(("heat", "antiderivative"), json.loads(out.stdout), strict=True):
        assert difference(stored, po.load_problem(name)) is None


@pytest.mark.parametrize("name", ["burgers", "poisson_disks", "lid_driven_cavity", "darcy_family"])
def test_a_fingerprint_is_complete_small_and_quick(name):
    problem = po.load_problem(name)
    began = time.process_time()
    stored = fingerprint(problem)
    assert time.process_time() - began < 1.5 and len(json.dumps(stored)) < 20_000
    assert None not in {**stored["equation"], **stored["known"]}.values()
    assert all(None not in row["data"].values() for row in stored["conditions"])
    assert difference(json.loads(json.dumps(stored)), problem) is None
