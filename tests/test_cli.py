"""The `pinops` command: its JSON, its exit codes, and one line for every mistake."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import decay
import pytest

from pinops import cli
from pinops.cli._command import COMMANDS
from pinops.cli._objects import OBJECTS, written
from pinops.cli._tables import table
from pinops.problem import _registry
from pinops.training import Training

# design.md, section 4
KEYS = "problem relative_l2 max_abs seconds compile_seconds steps parameters".split()
KEYS += "seed dtype device reference out".split()

# The same problem in a folder of one's own.
DECAY = (
    Path(decay.__file__)
    .read_text()
    .replace("class Decay", '@po.register("decay_in_a_folder")\nclass Decay')
)

BROKEN = {
    "does_not_compile": "def residual(self:",
    "registers_nothing": "x = 1",
    "gives_nan": DECAY.replace("decay_in_a_folder", "gives_nan").replace(
        "u_t + self", "u_t + jnp.log(-self.rate) + self"
    ),
    "names_nothing": DECAY.replace("decay_in_a_folder", "names_nothing").replace(
        "u, u_t)", "u, u_t, u_x)"
    ),
    "reversed_box": DECAY.replace("decay_in_a_folder", "reversed_box").replace(
        "t=(0, 1)", "t=(1, 0)"
    ),
    "no_such_face": DECAY.replace("decay_in_a_folder", "no_such_face").replace(
        "Initial(1.0)", 'Dirichlet(1.0, on="x_min")'
    ),
    "wrong_shape": DECAY.replace("decay_in_a_folder", "wrong_shape").replace(
        "return u_t", "return jnp.ones(2) * u_t"
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of problem files."""
    folder = tmp_path_factory.mktemp("problems")
    for name, text in {"decay_in_a_folder": DECAY, **BROKEN}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


SMALL = ["--network", "MLP(8, 2)", "--optimizer", "SSBroyden"]


def solve(folder: Path, *more: str, name: str = "decay_in_a_folder") -> list[str]:
    return ["solve", name, "--problems", str(folder), *SMALL, *more]


def forget():
    """What is loaded from a folder stays known as long as the process lives: not in these tests."""
    for name in ("decay_in_a_folder", *BROKEN):
        _registry._classes.pop(name, None)
        _registry._files.pop(name, None)


@pytest.fixture(autouse=True)
def registry():
    yield
    forget()


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "decay"
    assert cli.run(solve(folder, "--steps", "60", "--set", "rate=2", "--out", str(out))) == 0
    forget()
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_json_is_one_object_and_nothing_else_on_stdout(folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.run(solve(folder, "--steps", "60", "--seed", "3", "--out", str(out), "--json")) == 0
    captured = capsys.readouterr()
    assert captured.out.endswith("}\n") and captured.out.count("\n") == 1
    result = json.loads(captured.out)
    assert set(KEYS) <= set(result)
    assert (
        result["problem"] == "decay_in_a_folder" and result["seed"] == 3 and result["steps"] == 60
    )
    assert result["dtype"] == "float64" and result["out"] == str(out) and result["parameters"] == 97
    assert (
        result["relative_l2"].keys() == result["max_abs"].keys() == {"u"}
        and result["relative_l2"]["u"] < 1e-3
    )
    assert set(result["reference"]) == {"kind", "error_bar"}
    assert 0 < result["compile_seconds"] <= result["seconds"]
    assert "SSBroyden 60/60" in captured.err  # progress
    assert {
        "run.json",
        "history.h5",
        "solution.h5",
        "checkpoint/state.h5",
        "figures/solution.png",
    } <= set(contents(out))
    asked = json.loads((out / "run.json").read_text())
    assert (
        asked["request"]["seed"] == 3
        and asked["versions"]["jax"]
        and asked["result"]["steps"] == 60
    )


def test_without_json_a_table_for_people(folder, finished, capsys):
    assert cli.run(["evaluate", str(finished), "--problems", str(folder)]) == 0
    out = capsys.readouterr().out
    assert (
        "relative L2 error" in out
        and "rate = 2" in out
        and "at t = 0: imposed exactly" in out
        and "60 steps" in out
    )


def test_evaluate_gives_what_solve_gave(folder, finished, capsys):
    before = json.loads((finished / "run.json").read_text())["result"]
    assert cli.run(["evaluate", str(finished), "--problems", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert captured.out.count("\n") == 1 and set(KEYS) <= set(result)
    assert {name: result[name] for name in before} == before


def test_plot_draws_again(folder, finished, capsys):
    figure = finished / "figures" / "solution.png"
    figure.unlink(missing_ok=True)
    assert cli.run(["plot", str(finished), "--problems", str(folder)]) == 0
    assert capsys.readouterr().out == f"{figure}\n"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_plot_writes_where_it_is_told(folder, finished, tmp_path, capsys):
    out = tmp_path / "new" / "decay.svg"
    assert cli.run(["plot", str(finished), "--problems", str(folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert "<svg" in out.read_text("utf-8")


def test_problems_as_json(capsys):
    assert cli.run(["problems", "--json"]) == 0
    out = capsys.readouterr().out
    rows = json.loads(out)
    assert out.count("\n") == 1 and {"burgers", "heat", "poisson", "lid_driven_cavity"} <= set(rows)
    assert rows["burgers"]["unknowns"] == ["u"] and rows["burgers"]["coordinates"] == ["x", "t"]
    assert "u_t + u u_x" in rows["burgers"]["equation"]
    assert rows["heat"]["reference"] == "closed form"
    for row in rows.values():
        assert row["equation"] and row["unknowns"] and row["reference"] != "none"


def test_problems_in_latex(monkeypatch, capsys):
    monkeypatch.setattr("pinops.available", lambda: ("heat", "advection_family"))
    assert cli.run(["problems", "--latex"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        r"heat: u_{t} - \mathrm{diffusivity}\,u_{xx} = 0",
        r"advection_family: u_{t} + \mathrm{speed}(x)\,u_{x} = 0",
    ]
    assert cli.run(["problems", "--latex", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["heat"]["latex"] == (
        r"u_{t} - \mathrm{diffusivity}\,u_{xx} = 0"
    )


def test_problems_as_a_table_of_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    names = ("burgers", "heat", "lid_driven_cavity", "reaction_diffusion")
    monkeypatch.setattr("pinops.available", lambda: names)
    assert cli.run(["problems"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if line[0] != " "} >= set(names)
    assert any(re.match(r"heat +u +closed 1e-14 +\w", line) for line in lines)


def test_tables_cut_no_number(monkeypatch):
    """Parameters of a surrogate that differ in their last digit stay apart in 80 columns."""
    rows = [("1.2e-02",) * 4 + (f"viscosity=0.00{k}, speed=0.7",) for k in range(10)]
    text = table(("nRMSE", "of fluctuation", "RMSE", "correlated", "rollouts of"), rows, 80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(f"viscosity=0.00{k}" in text for k in range(10))
    assert all("1.2e-02  1.2e-02" in line for line in lines[2::2])
    narrow = table(("name", "text"), [("a", "one two three")], 10).splitlines()
    assert narrow[2] == "a     one two three"  # 24 columns are left for text in any case
    assert table(("name", "text"), [("a", "x" * 30)], 32).splitlines()[2:] == [
        "a     " + "x" * 26,
        "      " + "x" * 4,
    ]


def test_help_is_80_columns_wide_and_has_two_examples(capsys):
    for command in ([], *([name] for name in COMMANDS)):
        with pytest.raises(SystemExit) as caught:
            cli.run([*command, "--help"])
        assert caught.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= (88 if command else 80)
        if command:
            examples = lines[lines.index("examples:") + 1 :]
            assert len(examples) == 2
            assert all(line.startswith(f"  pinops {command[0]}") for line in examples)


def test_every_object_of_the_help_is_one(capsys):
    for name, option in OBJECTS.items():
        assert isinstance(written(name, option.example), option.kind)
    assert written("optimizer", "(Phase(Adam(0.01), 3), Phase(SSBroyden, 4))")[1].steps == 4
    assert cli.run(["settings"]) == 0
    assert "--network" in capsys.readouterr().out
    assert cli.run(["settings", "MLP"]) == 0
    assert re.search(r"width +a whole number from 1 to \d+ \(20\)", capsys.readouterr().out)


def test_coefficients_network_and_optimizer_from_the_command_line(folder, tmp_path, capsys):
    arguments = ["solve", "decay_in_a_folder", "--problems", str(folder)]
    arguments += ["--network", "MLP(width=4, depth=1, activation=sin)", "--dtype", "float32"]
    arguments += ["--optimizer", "(Phase(Adam(0.01), 10), Phase(SOAP(), 10))", "--json"]
    arguments += ["--set", "rate=1.5", "--out", str(tmp_path / "run")]
    assert cli.run(arguments) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["dtype"] == "float32" and result["coefficients"] == {"rate": 1.5}
    assert result["parameters"] == 4 + 4 + 4 + 1
    assert "SOAP 20/20" in captured.err
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    assert request["network"] == {"MLP": {"width": 4, "depth": 1, "activation": "sin"}}
    assert request["phases"][0] == {
        "Adam": {
            "learning_rate": 0.01,
            "decay_steps": 0,
            "largest": 0.0,
            "warm_up": 0.0,
            "weight_decay": 0.0,
        }
    }


def test_points_from_the_command_line(folder, tmp_path, capsys):
    more = ["--points", "Collocation(interior=64, every=0, batch=16, sampler=Halton())"]
    more += ["--steps", "5", "--out", str(tmp_path / "run"), "--json"]
    more += ["--weighting", "Fixed(condition=7)", "--optimizer", "Adam"]
    assert cli.run(solve(folder, *more)) == 0
    capsys.readouterr()
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    points = request["collocation"]["Collocation"]
    assert points["interior"] == 64 and points["batch"] == 16 and points["laplacian"] is None
    assert points["sampler"] == {"Halton": {}}
    assert request["weighting"]["Fixed"]["condition"] == 7


@pytest.mark.slow
def test_an_ensemble_and_windows(folder, tmp_path, capsys):
    out = str(tmp_path / "ensemble")
    more = ["--ensemble", "2", "--sampler", "Grid()", "--steps", "5", "--out", out]
    assert cli.run(solve(folder, *more)) == 0
    assert "over 2 members of the ensemble" in capsys.readouterr().out
    assert cli.run(["evaluate", out, "--problems", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [member["seed"] for member in result["members"]] == [0, 1]
    out = str(tmp_path / "windows")
    more = ["--windows", "TimeWindows(2, nodes=9)", "--steps", "150", "--out", out, "--json"]
    more += ["--optimizer", "SSBroyden()"]
    assert cli.run(solve(folder, *more)) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "finished" and 2 <= result["steps"] <= 300


@pytest.mark.slow
def test_runs_get_folders_of_their_own(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for expected in ("runs/decay_in_a_folder-seed0", "runs/decay_in_a_folder-seed0-2"):
        assert cli.run(solve(folder, "--steps", "5", "--json")) == 0
        assert json.loads(capsys.readouterr().out)["out"] == expected
        assert (tmp_path / expected / "run.json").is_file()


def test_a_target_ends_the_run(folder, tmp_path, capsys):
    more = ["--steps", "1000", "--target", "1e-3", "--out", str(tmp_path / "run"), "--json"]
    assert cli.run(solve(folder, *more)) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "stopped" and result["steps"] < 1000
    assert result["relative_l2"]["u"] <= 1e-3


def test_diverged_is_3(folder, tmp_path, capsys):
    out = tmp_path / "run"
    more = ["--optimizer", "Adam(1e200)", "--steps", "60", "--out", str(out), "--json"]
    assert cli.run(solve(folder, *more)) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "diverged" and captured.out.count("\n") == 1
    assert "the loss was not finite: back to step 0, try 3 of 3" in captured.err
    assert "training diverged; the last good state was kept" in captured.err
    assert (out / "checkpoint" / "state.h5").is_file()


MISTAKES = {
    "unknown problem": ("solve burger", "there is no problem 'burger'; did you mean 'burgers'?"),
    "unknown coefficient": (
        "solve burgers --set viscosty=1",
        "has no coefficient 'viscosty'; did you mean 'viscosity'?",
    ),
    "negative viscosity": (
        "solve burgers --set viscosity=-1",
        "viscosity must be greater than zero, got -1.0",
    ),
    "viscosity NaN": ("solve burgers --set viscosity=nan", "viscosity must be finite, got nan"),
    "viscosity text": (
        "solve burgers --set viscosity=abc",
        "viscosity must be a number, got 'abc'",
    ),
    "setting text": (
        "solve burgers_inverse --set num_observations=abc",
        "num_observations must be a whole number from 1 to",
    ),
    "setting half": (
        "solve poisson_nd --set dimension=2.5",
        "dimension must be a whole number from 1 to",
    ),
    "no value": (
        "solve burgers --set viscosity",
        "--set takes NAME=VALUE, such as viscosity=0.01, got 'viscosity'",
    ),
    "no name": ("solve burgers --set =3", "--set takes NAME=VALUE"),
    "twice": ("solve burgers --set viscosity=1 viscosity=2", "--set gives viscosity twice"),
    "window setting": (
        "solve heat --windows 'TimeWindows(2, points=9)'",
        "--windows: TimeWindows has no setting 'points'; its settings are count, nodes, tolerance",
    ),
    "windows": (
        "solve heat --windows 2",
        "--windows: '2' is not an object such as TimeWindows(10)",
    ),
    "scale of inputs": (
        "solve heat --network 'RandomFeatures(scale=(1, 2, 3))'",
        "one for each of the 2 inputs, got (1.0, 2.0, 3.0)",
    ),
    "unknown network": ("solve heat --network mlpp", "there is no 'mlpp'; did you mean MLP?"),
    "network setting": (
        "solve heat --network 'MLP(size=3)'",
        "--network: MLP has no setting 'size'; its settings are width, depth, activation",
    ),
    "covariance": (
        "solve heat --network 'PIG(covariance=\"round\")'",
        "covariance must be one of diagonal, full, got 'round'",
    ),
    "scales": (
        "solve heat --network 'FourierFeatures(scales=(1, 0))'",
        "scales must be a tuple with a finite number greater than 0",
    ),
    "width": ("solve heat --network 'MLP(width=0)'", "width must be a whole number from 1 to"),
    "width text": (
        "solve heat --network 'MLP(width=\"abc\")'",
        "MLP: width must be a whole number from 1 to 100000, got 'abc'",
    ),
    "activation": (
        "solve heat --network 'MLP(activation=relu6)'",
        "there is no 'relu6'; did you mean gelu?",
    ),
    "a call": ("solve heat --network '__import__(1)'", "there is no '__import__'; choose from"),
    "an attribute": ("solve heat --network 'MLP.build'", "is not an object such as MLP("),
    "an optimizer as a network": ("solve heat --network Adam", "--network: there is no 'Adam'"),
    "unknown optimizer": ("solve heat --optimizer SGD", "--optimizer: there is no 'SGD'"),
    "phases": (
        "solve heat --optimizer '(Adam(), 3)'",
        "--optimizer: a tuple has a Phase in each place",
    ),
    "phases and steps": (
        "solve heat --optimizer '(Phase(Adam(), 3),)' --steps 3",
        "steps and phases exclude each other",
    ),
    "rate": (
        "solve heat --optimizer 'Adam(-1)'",
        "learning_rate must be a finite number greater than 0, got -1",
    ),
    "points and a sampler": (
        "solve heat --points 'Collocation()' --sampler 'Sobol()'",
        "points and sampler exclude each other",
    ),
    "sampler": ("solve heat --sampler Sobool", "--sampler: there is no 'Sobool'; did you mean"),
    "points": (
        "solve heat --points 'Collocation(every=-1)'",
        "every must be a whole number from 0 to",
    ),
    "directions": (
        "solve heat --points 'Collocation(laplacian=STDE(0))'",
        "directions must be a whole number from 1 to",
    ),
    "zero steps": ("solve heat --steps 0", "steps must be a whole number from 1 to"),
    "no time": ("solve heat --minutes 0", "minutes must be a number greater than zero, got 0.0"),
    "target": (
        "solve heat --target -1",
        "relative_l2 must be a finite number greater than 0, got -1.0",
    ),
    "seed": ("solve heat --seed -1", "seed must be a whole number from 0 to 2^32 - 1, got -1"),
    "large seed": (
        "solve heat --seed 100000000000000000000",
        "seed must be a whole number from 0 to 2^32 - 1",
    ),
    "resume what": ("solve heat --resume", "--resume needs --out"),
    "no such folder": ("solve heat --problems {tmp}/nothing", "{tmp}/nothing"),
    "out is a file": ("solve heat --out {tmp}/file", "is a file; choose a folder for the run"),
    "out below a file": ("solve heat --out {tmp}/file/run", "cannot be written"),
    "taken": (
        "solve decay_in_a_folder --problems {folder} --out {run}",
        "already holds a run; choose another folder, or resume it",
    ),
    "other seed": (
        "solve decay_in_a_folder --problems {folder} --set rate=2 --network 'MLP(8, 2)' "
        "--optimizer SSBroyden --seed 1 --out {run} --resume",
        "holds a run with seed = 0, not 1",
    ),
    "other coefficient": (
        "solve decay_in_a_folder --problems {folder} --set rate=3 --out {run} --resume",
        "holds a run with coefficients = {{'rate': 2.0}}, not {{'rate': 3.0}}",
    ),
    "plot into a file without suffix": (
        "plot {run} --problems {folder} --out {tmp}/figure",
        "got {tmp}/figure; name it so",
    ),
    "meshes into a file that exists": (
        "data heat_in_time --count 100000 --out {run}/history.h5",
        "exists already; choose another file",
    ),
    "meshes into another format": (
        "data heat_in_time --count 100000 --out {tmp}/heat.vtu",
        "would be an HDF5 file; choose a name that ends in .h5",
    ),
    "evaluate nothing": ("evaluate {tmp}/nothing", "holds no run: there is no"),
    "plot nothing": ("plot {tmp}/nothing", "holds no run: there is no"),
    "animate without space": (
        "plot {run} --problems {folder} --out {tmp}/a.gif",
        "has no coordinates of space, and an animation shows",
    ),
    "plot into another format": (
        "plot {run} --problems {folder} --out {tmp}/a.xyz",
        "is a .png, .pdf or .svg file, got {tmp}/a.xyz; name it so",
    ),
    "evaluate a cut file": ("evaluate {cut} --problems {folder}", "is truncated or not HDF5"),
    "plot a cut file": ("plot {cut} --problems {folder}", "is truncated or not HDF5"),
    "resume a cut file": (
        "solve decay_in_a_folder --problems {folder} --set rate=2 --network 'MLP(8, 2)' "
        "--optimizer SSBroyden --steps 60 --out {cut} --resume",
        "is truncated or not HDF5",
    ),
    "file that does not compile": (
        "solve does_not_compile --problems {folder}",
        "does_not_compile.py cannot be loaded: SyntaxError",
    ),
    "file that registers nothing": (
        "solve registers_nothing --problems {folder}",
        "does not register it; decorate its class",
    ),
    "NaN": (
        "solve gives_nan --problems {folder} --out {tmp}/new",
        "gives_nan: 'residual' is nan at t = ",
    ),
    "argument that names nothing": (
        "solve names_nothing --problems {folder}",
        "the argument 'u_x' names nothing",
    ),
    "reversed box": (
        "solve reversed_box --problems {folder}",
        "t must run from low to high, got (1, 0); swap the ends",
    ),
    "no such face": ("solve no_such_face --problems {folder}", "no boundary part 'x_min'"),
    "wrong shape": (
        "solve wrong_shape --problems {folder} --out {tmp}/new",
        "residual: the equation returned an array of shape (2,) at one point",
    ),
}


# What nobody means: each is refused before anything is trained, in one sentence.
HOSTILE = """\
|solve|do
solve heat --dtype float16|solve heat --steps many|solve heat --what|solve heat burgers
solve heat --set-network width=3|solve heat --net 'MLP()'|solve heat --steps|solve heat --seed 1.5
solve heat --steps 99999999999999999999|solve heat --steps -1|solve heat --steps 1e3
solve heat --minutes nan|solve heat --minutes inf|solve heat --minutes -1|solve heat --minutes x
solve heat --devices 100000|solve heat --devices 0|solve heat --devices -3
solve heat --devices 99999999999999999999|train antiderivative --devices 100000
solve heat --ensemble 0|solve heat --ensemble 1000000000|solve heat --ensemble 99999999999999999999
solve heat --checkpoint-seconds nan|solve heat --checkpoint-seconds -1
solve heat --target nan|solve heat --target inf|solve heat --target 0
solve heat --target 1 --windows 'TimeWindows(2)'|solve heat --ensemble 2 --devices 2
solve heat --stage-steps 0 --continuation diffusivity=1|solve heat --continuation diffusivity
solve heat --continuation diffusivity=1,x|solve heat --continuation diffusivity=1 a=1,2
solve heat --continuation nothing=1,2|solve heat --continuation diffusivity=nan
solve heat --continuation diffusivity=1 --stage-steps 99999999999999999999
solve heat --out ''|solve heat --problems ''|solve heat --problems /dev/null
solve heat --network ''|solve heat --network '('|solve heat --network 'MLP('|solve heat --network 3
solve heat --network 'MLP(width=99999999999999999999)'|solve heat --network 'MLP(width=1e999)'
solve heat --network 'MLP(width=nan)'|solve heat --network 'MLP(**{})'
solve heat --network 'MLP(*(1,))'|solve heat --network ' '
solve heat --network 'MLP(100000, 1000)'|solve heat --network 'lambda: 1'
solve heat --network '[MLP()]'|solve heat --network '(MLP(),)'
solve heat --network 'MLP(20, 3, tanh, 4)'|solve heat --network 'MLP(20, width=3)'
solve heat --network 'MLP(activation=0)'|solve heat --network 'CAPE(FNO(20))'
solve heat --optimizer '()'|solve heat --optimizer '(Phase(Adam(), 0),)'
solve heat --optimizer 'LBFGS(2.5)'|solve heat --optimizer 'SOAP(every=0)'
solve heat --optimizer '(Phase(3, 4),)'|solve heat --optimizer 'Only(Adam(), 3)'
solve heat --weighting 'Causal(bins=nan)'|solve heat --weighting 'Fixed(condition=-1)'
solve heat --weighting 'Fixed({"nothing": 3})'
solve heat --points 'Collocation(interior=10000000000)'
solve heat --points 'Collocation(interior=10, batch=3)'|solve heat --points 'Sobol()'
solve heat --windows 'TimeWindows(1)'|solve poisson --windows 'TimeWindows(2)'
solve heat --windows 'TimeWindows(2, tolerance=0.1)'|solve poisson --windows 'TimeWindows()'
solve poisson_nd --set dimension=99999999999999999999|solve heat --set diffusivity=nan
solve heat --set diffusivity=1e999|solve heat --set diffusivity|solve heat --set 1=2
train heat|train nothing|train antiderivative --physics nan|train antiderivative --physics -1
train antiderivative --physics 0|train antiderivative --curriculum 'Curriculum(3)'
train burgers_family --operator 'FNO(20)'|train antiderivative --operator 'MLP()'
train antiderivative --operator 'DeepONet(latent=0)'|train antiderivative --operator 'CAPE(FNO(20))'
train antiderivative --data {tmp}/nothing.h5|train antiderivative --data {tmp}/file
train antiderivative --functions 'Functions(pool=2, batch=4)'|train antiderivative --steps 0
train antiderivative --functions 'Functions(points=Collocation())'
train cape_advection --operator 'Direct(FNO(4))' --curriculum 'Curriculum(0)'
data heat --out {tmp}/x.h5|data antiderivative|data antiderivative --out {tmp}/x.h5 --count 0
data antiderivative --out {tmp}/x.h5 --count -5|data antiderivative --out {tmp}/file/x.h5
data antiderivative --out {tmp}/x.h5 --workers 0|data antiderivative --out {tmp}/x.h5 --seed -1
data antiderivative --out {tmp}/x.h5 --workers 100000
data antiderivative --out {tmp}/x.h5 --count 99999999999999999999
data cape_advection --out {tmp}/x.h5 --pdebench {tmp}/file
data antiderivative --out {tmp}/x.h5 --pdebench {tmp}/nothing
evaluate|evaluate {tmp}|evaluate {tmp}/file|evaluate {run} --data {tmp}/file --problems {folder}
evaluate {run} --set rate=3 --problems {folder}|evaluate {run} --set rate
plot {tmp}|plot {tmp}/file|plot {run} --data {tmp}/file --problems {folder}
settings what|problems --problems {tmp}/nothing|problems --json --what
"""
LINES = [line for row in HOSTILE.splitlines() for line in row.split("|")]


def refused(text: str, capsys) -> str:
    """The sentence that a command line is refused with."""
    assert cli.run(shlex.split(text)) == 2, text
    captured = capsys.readouterr()
    assert captured.out == "", text
    assert captured.err.startswith("pinops: ") and captured.err.count("\n") == 1, captured.err
    assert len(captured.err) < 700
    return captured.err


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    name, folder, finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    cut = tmp_path / "cut"
    for path, data in contents(finished).items():
        (cut / path).parent.mkdir(parents=True, exist_ok=True)
        (cut / path).write_bytes(data[: len(data) // 2] if path.endswith("state.h5") else data)
    arguments, message = (
        text.format(tmp=tmp_path, folder=folder, run=finished, cut=cut) for text in MISTAKES[name]
    )
    before = contents(tmp_path), contents(finished)
    assert message in refused(arguments, capsys)
    assert (contents(tmp_path), contents(finished)) == before  # nothing lost, nothing left behind


@pytest.mark.parametrize("line", LINES)
def test_hostile_lines_are_refused_before_any_training(
    line, folder, finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Training, "ready", untrained)
    (tmp_path / "file").write_text("mine")
    for word in ("tmp", "folder", "run"):
        known = {"tmp": tmp_path, "folder": folder, "run": finished}[word]
        line = line.replace(f"{{{word}}}", str(known))
    refused(line, capsys)
    assert contents(tmp_path) == {"file": b"mine"}


def untrained(*arguments):
    raise AssertionError("this was to be refused before the first step")


def process(*arguments: str, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-m", "pinops", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_a_mistake_in_a_real_process(tmp_path):
    failed = process("solve", "burger", cwd=tmp_path)
    out, err = failed.communicate(timeout=120)
    assert failed.returncode == 2 and out == ""
    assert err == "pinops: there is no problem 'burger'; did you mean 'burgers'?\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_run_can_be_resumed(folder, tmp_path, capsys):
    out = tmp_path / "run"

    def adam(*more: str) -> list[str]:
        """With Adam: a quasi-Newton method may be done before it is interrupted."""
        return solve(folder, *more, "--optimizer", "Adam", "--out", str(out))

    running = process(*adam("--steps", "10000000", "--checkpoint-seconds", "1000"), "--json")
    try:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert re.match(r"Adam \d+/10000000 ", line), line
        time.sleep(0.5)
        assert not (out / "checkpoint").exists()
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130 and stdout == ""
    assert f"interrupted; go on with the same command and: --out {out} --resume" in stderr
    assert "Traceback" not in stderr
    assert (out / "checkpoint" / "state.h5").is_file() and (out / "run.json").is_file()
    assert cli.run(adam("--steps", "10", "--resume", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["steps"] >= 50  # what had been done
