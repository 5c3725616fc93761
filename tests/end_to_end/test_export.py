"""Exports: programs that run without pinops, weights that load without their run directory."""

import contextlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import Decay
from jaxtyping import Array, Float

import pinops as po
from pinops import cli
from pinops.data import DataFileError
from pinops.operators import CAPE, FNO, DeepONet, Direct, MeshGraphNet, Transolver
from pinops.optimizers import Adam

RANDOM = np.random.default_rng(0)
MLP, ADAM = po.networks.MLP(8, 2), Adam(1e-2)
QUIET = {"steps": 2, "optimizer": ADAM, "progress": False}
X, Y = np.arange(16) / 16, np.linspace(0, 1, 17)
AT = np.linspace(0.05, 0.95, 7)


def solved(problem=None, **options):
    given = {"points": po.Collocation(interior=32), "network": MLP}
    return po.solve(problem or Decay(), **QUIET | given | options)


def wall():
    """u(x, y) = 3 + its force times a(x, y), but for two walls where u = 3."""
    a, force = RANDOM.standard_normal((30, 16, 17)), RANDOM.uniform(1, 100, 30)
    u = 3 + (force[:, None, None] * a) * np.sin(np.pi * Y)
    given = {"a": a, "force": force, "vector": RANDOM.standard_normal((30, 2))}
    return po.Dataset.from_arrays(
        inputs=given, outputs={"u": u}, coordinates={"x": X, "y": Y}, units={"u": "K", "a": "m"}
    )


def waves():
    t, phase = np.linspace(0, 1, 4), RANDOM.uniform(size=(30, 1, 1))
    nu = RANDOM.uniform(1, 2, 30)
    u = np.sin(2 * np.pi * (X - 0.2 * t[:, None] + phase)) * nu[:, None, None]
    return po.Dataset.from_arrays(
        outputs={"u": u}, coordinates={"t": t, "x": X}, parameters={"nu": nu}, time="t"
    )


def driven():
    """Trajectories with an input field, of which a step sees two snapshots."""
    t, f = np.linspace(0, 1, 5), RANDOM.standard_normal((30, 16))
    u = f[:, None] * np.exp(-t[:, None])
    return po.Dataset.from_arrays(
        inputs={"f": f}, outputs={"u": u}, coordinates={"t": t, "x": X}, time="t"
    )


def clouds():
    points = [RANDOM.uniform(size=(20 + k % 3, 2)) for k in range(24)]
    return po.Dataset.from_arrays(
        inputs={"a": [p[:, 0] for p in points], "force": RANDOM.standard_normal((24, 3))},
        outputs={"u": [p.sum(1) for p in points]},
        coordinates=points,
    )


def sensors():
    a = RANDOM.standard_normal((30, 5))
    given = {"inputs": {"a": a}, "outputs": {"u": a[:, :1] + X}, "coordinates": {"x": X}}
    return po.Dataset.from_arrays(**given)


class Heated(po.Problem):
    """u_t = k u_xx, cold ends, at first two sines: a family by their strengths."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    strengths: Float[Array | np.ndarray, " 2"] = eqx.field(default_factory=lambda: np.ones(2))
    diffusivity: float = po.positive(0.1)

    def residual(self, u_t, u_xx):
        return u_t - self.diffusivity * u_xx

    def conditions(self):
        def initial(x):
            a, b = jnp.asarray(self.strengths)
            return a * jnp.sin(jnp.pi * x) + b * jnp.sin(2 * jnp.pi * x)

        return po.Initial(initial), po.Dirichlet(0.0, on="x")

    def sample(self, key):
        return replace(self, strengths=jax.random.normal(key, (2,)))

    def inputs(self):
        return {"strengths": self.strengths}


class LoadedString(po.Problem):
    """u_xx + f = 0, u = 2 at both ends, f a sum of two sines: a family by their strengths."""

    domain = po.Box(x=(0, 1))
    strengths: Float[Array | np.ndarray, " 2"] = eqx.field(default_factory=lambda: np.ones(2))

    def load(self, x):
        a, b = jnp.asarray(self.strengths)
        return a * jnp.sin(jnp.pi * x) + b * jnp.sin(2 * jnp.pi * x)

    def residual(self, x, u_xx):
        return u_xx + self.load(x)

    def conditions(self):
        return (po.Dirichlet(2.0),)

    def sample(self, key):
        return replace(self, strengths=jax.random.normal(key, (2,)))

    def inputs(self):
        return {"load": self.load(jnp.asarray(Y))}


ONCE = {"curriculum": po.Curriculum(epochs=1, warm_up=0), "progress": False}
FEW = {"functions": po.Functions(pool=8, batch=4)}
FORCE, VECTOR = np.asarray([20.0, 50.0, 70.0]), RANDOM.uniform(-0.5, 0.5, (3, 2))
GIVEN = {"a": RANDOM.standard_normal((3, 16, 17)), "force": FORCE, "vector": VECTOR}
FIRST, NU = RANDOM.standard_normal((3, 16, 1)), np.asarray([[1.3], [1.5], [1.7]])
PAIR, FIELD = RANDOM.standard_normal((3, 2, 16, 1)), RANDOM.uniform(-0.5, 0.5, (3, 16))
POINTS, SENSED = RANDOM.uniform(size=(2, 9, 2)), RANDOM.standard_normal((3, 5))
CLOUD = {"a": RANDOM.standard_normal((2, 9)), "force": RANDOM.standard_normal((2, 3))}


def of_members(trained):
    """Two members of the family by their arrays, and their solutions."""
    members = trained.test_members(2)
    given = {"strengths": np.stack([np.asarray(member.strengths) for member in members])}
    points = {"x": AT, "t": AT[::-1]}
    return given | points, {"u": trained(members, **points)}


def of_strings(trained):
    strengths = np.asarray([[1.0, 0.3], [-0.5, 0.2]])
    return {"strengths": strengths}, {"u": trained([LoadedString(row) for row in strengths])}


def of_clouds(trained):
    each = [
        trained(POINTS[k], {name: array[k] for name, array in CLOUD.items()})["u"] for k in (0, 1)
    ]
    return {"points": POINTS} | CLOUD, {"u": np.stack(each)}


def of_points(trained, names=("t",)):
    points = dict.fromkeys(names, AT)
    return points, {"u": trained(**points)}


# By name: how it is trained, what a program is called with and what pinops itself says to that, and
# options of the export.
CASES = {
    "solution": (solved, of_points, {}),
    "windows": (
        lambda: solved(windows=po.TimeWindows(2), steps=60, optimizer=po.optimizers.SSBroyden()),
        of_points,
        {},
    ),
    "hard": (lambda: solved("burgers"), lambda trained: of_points(trained, ("x", "t")), {}),
    "ensemble": (
        lambda: solved(ensemble=2),
        lambda trained: ({"t": AT}, {"u": trained.mean(t=AT), "u_spread": trained.spread(t=AT)}),
        {},
    ),
    "operator": (
        lambda: po.train(sensors(), DeepONet(MLP, MLP, 6), **QUIET, **FEW),
        lambda trained: ({"a": SENSED, "x": AT}, {"u": trained(SENSED, x=AT)}),
        {},
    ),
    "family": (
        lambda: po.train(Heated(), DeepONet(MLP, MLP, 6), **QUIET, **FEW),
        of_members,
        {},
    ),
    "fno": (
        lambda: po.train(wall(), FNO(4, 3, 2), **QUIET),
        lambda trained: (GIVEN, trained(GIVEN)),
        {},
    ),
    "imposed": (
        lambda: po.train(LoadedString(), FNO(4, 3, 2), **QUIET, **FEW),
        of_strings,
        {},
    ),
    "rollout": (
        lambda: po.train(waves(), CAPE(FNO(4, 3, 2), width=4, modes=2), **ONCE),
        lambda trained: (
            {"first": FIRST, "parameters": NU},
            {"snapshots": trained(FIRST, NU, 3)[:, 1:]},
        ),
        {"snapshots": 3},
    ),
    "history": (
        lambda: po.train(driven(), Direct(FNO(4, 3, 2), history=2), **ONCE),
        lambda trained: (
            {"first": PAIR, "f": FIELD},
            {"snapshots": trained(PAIR, np.zeros((3, 0)), 1, {"f": FIELD})[:, 2:]},
        ),
        {},
    ),
    "points": (lambda: po.train(clouds(), Transolver(8, 1, 2, 4), **QUIET), of_clouds, {}),
}
_MADE: dict = {}


def made(name):
    """What was trained, the inputs of a program and its outputs."""
    if name not in _MADE:
        train, asked, options = CASES[name]
        trained = train()
        _MADE[name] = (trained, *asked(trained), options)
    return _MADE[name]


# A process that knows jax alone.
ELSEWHERE = """
import json, pathlib, sys
import jax, numpy
from jax import export
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.stablehlo")):
    described = json.loads(path.with_name(path.name + ".json").read_text())["interface"]
    dtypes = {array["dtype"] for array in described["inputs"].values()}
    with jax.enable_x64(dtypes == {"float64"}):
        call = export.deserialize(bytearray(path.read_bytes())).call
        given = dict(numpy.load(path.with_suffix(".npz")))
        given = {name: given[name].astype(*dtypes) for name in described["inputs"]}
        out = {name: numpy.asarray(array) for name, array in call(given).items()}
    assert list(out) == sorted(described["outputs"])
    numpy.savez(folder / f"{path.stem}_out.npz", **out)
strangers = {"pinops", "equinox", "flax", "optax"} & set(sys.modules)
assert not strangers, strangers
"""


def tolerance(trained):
    return 1e-10 if trained.request["dtype"] == "float64" else 2e-5


def test_programs_run_in_a_process_with_jax_alone(tmp_path):
    for name in CASES:
        trained, given, _, options = made(name)
        path = trained.export(tmp_path / f"{name}.stablehlo", **options)
        assert path == tmp_path / f"{name}.stablehlo"
        np.savez(tmp_path / f"{name}.npz", **given)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, tmp_path], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in CASES:
        trained, _, wanted, _ = made(name)
        found = np.load(tmp_path / f"{name}_out.npz")
        assert set(found) == set(wanted)
        for unknown, values in wanted.items():
            assert found[unknown].shape == values.shape
            size = tolerance(trained) * np.abs(values).max()
            np.testing.assert_allclose(found[unknown], values, rtol=0, atol=size, err_msg=name)


# What the library does not convert today: it stops, or the values are wrong.
REFUSED = {
    "windows": "InconclusiveDimensionOperation: ",
    "history": "ONNXRuntimeError",
    "points": "gives a u that is off by ",
}
CONVERTED = [name for name in CASES if name not in REFUSED]


@pytest.mark.skipif(importlib.util.find_spec("jax2onnx") is None, reason="needs the extra onnx")
@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("name", CONVERTED)
def test_programs_run_in_onnx_runtime(name, tmp_path):
    import onnxruntime

    trained, given, wanted, options = made(name)
    path = trained.export(tmp_path / "model.onnx", **options)
    described = json.loads((tmp_path / "model.onnx.json").read_text())["interface"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [array.name for array in session.get_inputs()] == list(described["inputs"])
    dtype = trained.request["dtype"]
    out = session.run(list(wanted), {n: given[n].astype(dtype) for n in described["inputs"]})
    for values, found in zip(wanted.values(), out, strict=True):
        size = tolerance(trained) * np.abs(values).max()
        np.testing.assert_allclose(found, values, rtol=0, atol=size)


@pytest.mark.skipif(importlib.util.find_spec("jax2onnx") is None, reason="needs the extra onnx")
@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("name", REFUSED)
def test_a_conversion_that_fails_or_has_wrong_values_is_refused(name, tmp_path):
    said = f"cannot be exported as .onnx .*{REFUSED[name]}.*; export it as .stablehlo"
    with pytest.raises(ValueError, match=said):
        made(name)[0].export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


# Weights

LOADED = [name for name in CASES if name not in ("windows", "ensemble")]


@pytest.mark.parametrize("name", LOADED)
def test_weights_load_without_their_run(name, tmp_path):
    trained, _, wanted, _ = made(name)
    path = trained.export(tmp_path / "model.safetensors")
    again = po.load(
        path, problem={"solution": Decay(), "family": Heated(), "imposed": LoadedString()}.get(name)
    )
    assert type(again) is type(trained) and again.status == trained.status
    assert (again.steps, again.history[-1].loss) == (trained.steps, trained.history[-1].loss)
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(trained.params), strict=True):
        assert a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    _, found = CASES[name][1](again)
    for unknown, values in wanted.items():
        np.testing.assert_array_equal(found[unknown], values)


def test_what_was_loaded_from_weights_is_a_result_like_any_other(tmp_path):
    trained, given, wanted, _ = made("solution")
    again = po.load(trained.export(tmp_path / "model.safetensors"), problem=Decay())
    again.save(tmp_path / "run")
    third = po.load(tmp_path / "run", problem=Decay())
    assert third.steps == trained.steps and "2 steps" in repr(third)
    np.testing.assert_array_equal(third(**given), wanted["u"])
    begun = po.solve(Decay(), start=again, optimizer=Adam(1e-30), steps=1, progress=False)
    np.testing.assert_allclose(begun(**given), wanted["u"], rtol=1e-6)


def test_weights_are_readable_without_pinops(tmp_path):
    from safetensors.numpy import load_file

    trained, *_ = made("fno")
    path = trained.export(tmp_path / "model.safetensors")
    arrays = load_file(path)
    described = json.loads((tmp_path / "model.safetensors.json").read_text())
    assert {name: list(a.shape) for name, a in arrays.items()} == {
        name: one["shape"] for name, one in described["interface"]["arrays"].items()
    }
    np.testing.assert_array_equal(arrays["scaling.mean"], trained.model.mean)
    trained_numbers = sum(a.size for name, a in arrays.items() if name.startswith("params"))
    assert trained_numbers == trained.num_parameters
    assert described["request"]["map"]["FNO"]["width"] == 4


def test_the_description_has_names_shapes_types_and_units(tmp_path):
    trained, *_ = made("fno")
    trained.export(tmp_path / "model.stablehlo")
    described = json.loads((tmp_path / "model.stablehlo.json").read_text())
    interface = described["interface"]
    assert interface["kind"] == "TrainedMap" and interface["units"] == {"u": "K", "a": "m"}
    assert interface["inputs"] == {
        "a": {"shape": ["n", 16, 17], "dtype": "float32"},
        "force": {"shape": ["n"], "dtype": "float32"},
        "vector": {"shape": ["n", 2], "dtype": "float32"},
    }
    assert interface["outputs"] == {"u": {"shape": ["n", 16, 17], "dtype": "float32"}}
    assert interface["axes"] == {"x": X.tolist(), "y": Y.tolist()}
    assert interface["platforms"] == ["cpu", "cuda", "rocm", "tpu"]
    assert described["versions"]["jax"] == jax.__version__
    assert described["result"]["steps"] == 2


# What is refused


def test_an_export_is_replaced_by_the_same_run_alone(tmp_path):
    trained, *_ = made("solution")
    path = trained.export(tmp_path / "model.stablehlo")
    before = trained.export(path).read_bytes()
    with pytest.raises(
        ValueError, match="is an export of another run, with a different .*; choose"
    ):
        made("fno")[0].export(path)
    with pytest.raises(ValueError, match="with a different coefficients"):
        solved(Decay(rate=2.0)).export(path)
    assert path.read_bytes() == before
    path.with_name("notes.safetensors").write_text("mine")
    with pytest.raises(ValueError, match="notes.safetensors is no export of this run; choose"):
        trained.export(path.with_name("notes.safetensors"))
    (tmp_path / "a.stablehlo").mkdir()
    with pytest.raises(ValueError, match="is a folder; choose a file"):
        trained.export(tmp_path / "a.stablehlo")


def test_an_interrupted_export_is_said_and_may_be_replaced(tmp_path, monkeypatch):
    trained, *_ = made("solution")
    path = tmp_path / "model.safetensors"

    @contextlib.contextmanager
    def killed(path):
        yield path
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pinops.solvers._export.replacing", killed)
        with pytest.raises(KeyboardInterrupt):
            trained.export(path)
    with pytest.raises(DataFileError, match="was not written to its end; export it again"):
        po.load(path, problem=Decay())
    trained.export(path)
    assert po.load(path, problem=Decay()).steps == 2


@pytest.mark.parametrize(
    ("name", "file", "options", "said"),
    [
        ("solution", "model.pt", {}, "suffix says what is exported, .*safetensors, got '.pt'"),
        ("solution", "model", {}, "got 'none'; choose one of them"),
        ("solution", "a.stablehlo", {"snapshots": 2}, "for surrogates .*, and this is a Solution"),
        ("fno", "a.safetensors", {"snapshots": 2}, "is for programs, and .safetensors holds"),
        (
            "rollout",
            "a.stablehlo",
            {"snapshots": 0},
            "a whole number of snapshots of at least 1, got 0",
        ),
        ("windows", "a.safetensors", {}, "WindowedSolution consists of several trainings"),
        ("ensemble", "a.safetensors", {}, "Ensemble consists of several trainings, .* save"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(name, file, options, said, tmp_path):
    with pytest.raises(ValueError, match=said) as caught:
        made(name)[0].export(tmp_path / file, **options)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_what_sees_edges_has_weights_but_no_program(tmp_path):
    trained = po.train(clouds(), MeshGraphNet(4, 1), **QUIET)
    with pytest.raises(ValueError, match="which MeshGraphNet sees of a mesh; export it as .safe"):
        trained.export(tmp_path / "model.stablehlo")
    trained.export(tmp_path / "model.safetensors")
    points = POINTS[0], {name: array[0] for name, array in CLOUD.items()}
    again = po.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again(*points)["u"], trained(*points)["u"])


@pytest.mark.parametrize(
    ("suffix", "library", "extra"),
    [
        (".stablehlo", "flatbuffers", "export"),
        (".onnx", "jax2onnx", "onnx"),
        (".safetensors", "safetensors", "export"),
    ],
)
def test_a_missing_extra_is_named(suffix, library, extra, tmp_path, monkeypatch):
    def missing(name):
        return None if name == library else object()

    monkeypatch.setattr("importlib.util.find_spec", missing)
    said = rf"needs the library {library}, which is not installed; pip install 'pinops\[{extra}\]'"
    with pytest.raises(ValueError, match=said):
        made("solution")[0].export(tmp_path / f"model{suffix}")


def test_a_file_of_a_stranger_is_checked_first(tmp_path):
    path = made("fno")[0].export(tmp_path / "model.safetensors")
    beside = tmp_path / "model.safetensors.json"
    content, described = path.read_bytes(), beside.read_bytes()
    for damaged in (content[:-4], content + b"\0", b"", content[:20], bytes(len(content))):
        path.write_bytes(damaged)
        with pytest.raises(DataFileError, match="damaged: its checksum is not that in model.safe"):
            po.load(path)
    path.write_bytes(content)
    for old, new in ((b'"seed": 0', b'"seed": 1'), (b"FNO", b"CNO"), (b"{", b"[")):
        beside.write_bytes(described.replace(old, new, 1))
        with pytest.raises(DataFileError, match="model.safetensors.json"):
            po.load(path)
    beside.unlink()
    with pytest.raises(FileNotFoundError, match="has no description: there is no .*; copy both"):
        po.load(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        po.load(tmp_path / "other.safetensors")
    other = made("fno")[0].export(tmp_path / "model.stablehlo")
    with pytest.raises(ValueError, match="neither a run directory nor a .safetensors file"):
        po.load(other)


def described_anew(path, **changes):
    """The description of a file with other content, and the right checksums: what a hostile hand
    writes.
    """
    from pinops.data import read_description, write_description

    content = read_description(path, written=False)
    parts = {"request": content["request"], "result": content["result"]} | changes
    write_description(path, parts["request"], parts["result"], content["interface"])


def test_hostile_weights_are_refused_before_anything_is_allocated(tmp_path):
    trained, *_ = made("fno")
    path = trained.export(tmp_path / "model.safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])

    def rewritten(change):
        new = json.loads(json.dumps(header))
        change(new)
        text = json.dumps(new).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        described_anew(path)

    def huge(new):
        next(iter(new.values()))["shape"] = [10**6, 10**6]

    def beyond(new):
        next(iter(new.values()))["data_offsets"] = [0, 10**12]

    def turned(new):
        new["scaling.mean"]["shape"] = [17, 16, 1]

    def renamed(new):
        new["params.other"] = new.pop(next(name for name in new if name.startswith("params")))

    for change, said in (
        (huge, "it is no file of weights"),
        (beyond, "it is no file of weights"),
        (turned, "is not for a grid"),
        (renamed, "the file misses it"),
    ):
        rewritten(change)
        with pytest.raises(DataFileError, match=said) as caught:
            po.load(path)
        assert "\n" not in str(caught.value)
    path.write_bytes((2**62).to_bytes(8, "little") + content[8:])
    described_anew(path)
    with pytest.raises(DataFileError, match="it is no file of weights"):
        po.load(path)
    path.write_bytes(content)
    request = json.loads((tmp_path / "model.safetensors.json").read_text())["request"]
    request["map"]["FNO"]["width"] = 20_000
    described_anew(path, request=request)
    with pytest.raises(DataFileError, match="does not lie in"):
        po.load(path)


def test_on_the_command_line(tmp_path, capsys):
    made("rollout")[0].save(tmp_path / "run")
    file = tmp_path / "model.stablehlo"
    assert cli.run(["export", str(tmp_path / "run"), str(file), "--snapshots", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(file)
    described = json.loads((tmp_path / "model.stablehlo.json").read_text())["interface"]
    assert described["outputs"]["snapshots"]["shape"] == ["n", 2, 16, 1]
    assert cli.run(["export", str(tmp_path / "run"), str(tmp_path / "model.pkl")]) == 2
    assert "the suffix says what is exported" in capsys.readouterr().err
