"""The `pinops` command: its JSON, its exit codes, and one line for every mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import decay
import pytest

from pinops import cli
from pinops.problem import _registry

# design.md, section 4
KEYS = "problem relative_l2 max_abs seconds compile_seconds steps parameters seed dtype device reference out".split()

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


SMALL = "--network mlp --set-network width=8 depth=2 --optimizer ssbroyden".split()


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


def test_problems_as_json_and_as_a_table(capsys):
    assert cli.run(["problems", "--json"]) == 0
    out = capsys.readouterr().out
    rows = json.loads(out)
    assert out.count("\n") == 1 and {"burgers", "heat", "poisson", "lid_driven_cavity"} <= set(rows)
    assert rows["burgers"]["unknowns"] == ["u"] and rows["burgers"]["coordinates"] == ["x", "t"]
    assert (
        "u_t + u u_x" in rows["burgers"]["equation"] and rows["heat"]["reference"] == "closed form"
    )
    assert all(
        row["equation"] and row["unknowns"] and row["reference"] != "none" for row in rows.values()
    )
    assert cli.run(["problems"]) == 0
    assert "burgers" in capsys.readouterr().out


def test_coefficients_network_and_optimizer_from_the_command_line(folder, tmp_path, capsys):
    more = [
        "--network",
        "mlp",
        "--set-network",
        "width=4",
        "depth=1",
        "activation=sin",
        "--dtype",
        "float32",
        "--json",
    ]
    more += [
        "--optimizer",
        "adam",
        "--set-optimizer",
        "learning_rate=0.01",
        "--set",
        "rate=1.5",
        "--steps",
        "20",
    ]
    arguments = [
        "solve",
        "decay_in_a_folder",
        "--problems",
        str(folder),
        "--out",
        str(tmp_path / "run"),
        *more,
    ]
    assert cli.run(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert (
        result["dtype"] == "float32"
        and result["parameters"] == 4 + 4 + 4 + 1
        and result["coefficients"] == {"rate": 1.5}
    )
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    assert request["network"] == {"MLP": {"width": 4, "depth": 1, "activation": "sin"}}
    assert request["phases"] == [{"Adam": {"learning_rate": 0.01, "decay_steps": 0}}]


def test_points_from_the_command_line(folder, tmp_path, capsys):
    more = [
        "--set-collocation",
        "interior=64",
        "every=0",
        "batch=16",
        "--optimizer",
        "adam",
        "--steps",
        "5",
    ]
    assert cli.run(solve(folder, *more, "--out", str(tmp_path / "run"), "--json")) == 0
    capsys.readouterr()
    points = json.loads((tmp_path / "run" / "run.json").read_text())["request"]["collocation"][
        "Collocation"
    ]
    assert points["interior"] == 64 and points["batch"] == 16 and points["laplacian"] is None
    for wrong, says in (
        ("sampler=Sobol", "there is no sampler 'Sobol'; choose from sobol"),
        ("samples=9", "no setting"),
        ("every=-1", "every must be a whole number from 0 to"),
        ("directions=0", "directions must be a whole number from 1 to"),
    ):
        assert (
            cli.run(solve(folder, "--set-collocation", wrong, "--out", str(tmp_path / "other")))
            == 2
        )
        assert says in capsys.readouterr().err


def test_runs_get_folders_of_their_own(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for expected in ("runs/decay_in_a_folder-seed0", "runs/decay_in_a_folder-seed0-2"):
        assert cli.run(solve(folder, "--steps", "5", "--json")) == 0
        assert json.loads(capsys.readouterr().out)["out"] == expected
        assert (tmp_path / expected / "run.json").is_file()


def test_a_target_ends_the_run(folder, tmp_path, capsys):
    assert (
        cli.run(
            solve(
                folder,
                "--steps",
                "1000",
                "--target",
                "1e-3",
                "--out",
                str(tmp_path / "run"),
                "--json",
            )
        )
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert (
        result["status"] == "stopped"
        and result["relative_l2"]["u"] <= 1e-3
        and result["steps"] < 1000
    )


def test_diverged_is_3(folder, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = [
        "solve",
        "decay_in_a_folder",
        "--problems",
        str(folder),
        "--network",
        "mlp",
        "--set-network",
        "width=8",
    ]
    arguments += [
        "--optimizer",
        "adam",
        "--set-optimizer",
        "learning_rate=1e200",
        "--steps",
        "60",
        "--out",
        str(out),
        "--json",
    ]
    assert cli.run(arguments) == 3
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
    "windows": ("solve heat --set-windows nodes=9", "--set-windows needs --windows"),
    "window setting": (
        "solve heat --windows 2 --set-windows points=9",
        "has no setting 'points'; it has nodes",
    ),
    "scale of inputs": (
        "solve heat --network random_features --set-network scale=1,2,3",
        "one for each of the 2 inputs, got (1.0, 2.0, 3.0)",
    ),
    "unknown network": ("solve heat --network mlpp", "there is no network 'mlpp'; choose from mlp"),
    "no network": ("solve heat --set-network width=3", "--set-network needs --network"),
    "network setting": (
        "solve heat --network mlp --set-network size=3",
        "has no setting 'size'; it has width, depth, activation",
    ),
    "covariance": (
        "solve heat --network pig --set-network covariance=round",
        "covariance must be one of diagonal, full, got 'round'",
    ),
    "scales": (
        "solve heat --network fourier --set-network scales=1,0",
        "scales must be a tuple with a finite number greater than 0",
    ),
    "width": (
        "solve heat --network mlp --set-network width=0",
        "width must be a whole number from 1 to",
    ),
    "width text": (
        "solve heat --network mlp --set-network width=abc",
        "width must be a number, got 'abc'",
    ),
    "activation": (
        "solve heat --network mlp --set-network activation=relu6",
        "there is no activation 'relu6'; choose from tanh",
    ),
    "unknown optimizer": (
        "solve heat --optimizer sgd",
        "there is no optimizer 'sgd'; choose from adam, soap, lbfgs, ssbroyden, ssbfgs, gauss_newton, truncated_gauss_newton,",
    ),
    "no optimizer": (
        "solve heat --set-optimizer learning_rate=1",
        "--set-optimizer needs --optimizer",
    ),
    "rate": (
        "solve heat --optimizer adam --set-optimizer learning_rate=-1",
        "learning_rate must be a finite number greater than 0, got -1",
    ),
    "rate text": (
        "solve heat --optimizer adam --set-optimizer learning_rate=x",
        "learning_rate must be a number, got 'x'",
    ),
    "zero steps": ("solve heat --steps 0", "steps must be a whole number from 1 to"),
    "no time": ("solve heat --minutes 0", "minutes must be greater than zero, got 0.0"),
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
        "solve decay_in_a_folder --problems {folder} --set rate=2 --network mlp --set-network width=8 depth=2 "
        "--optimizer ssbroyden --seed 1 --out {run} --resume",
        "holds a run with seed = 0, not 1",
    ),
    "other coefficient": (
        "solve decay_in_a_folder --problems {folder} --set rate=3 --out {run} --resume",
        "holds a run with coefficients = {{'rate': 2.0}}, not {{'rate': 3.0}}",
    ),
    "evaluate nothing": ("evaluate {tmp}/nothing", "holds no run: there is no"),
    "plot nothing": ("plot {tmp}/nothing", "holds no run: there is no"),
    "evaluate a cut file": ("evaluate {cut} --problems {folder}", "is truncated or not HDF5"),
    "plot a cut file": ("plot {cut} --problems {folder}", "is truncated or not HDF5"),
    "resume a cut file": (
        "solve decay_in_a_folder --problems {folder} --set rate=2 --network mlp --set-network width=8 depth=2 "
        "--optimizer ssbroyden --steps 60 --out {cut} --resume",
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
        "wrong_shape, residual",
    ),
}


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
    assert cli.run(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("pinops: ") and captured.err.count("\n") == 1, captured.err
    assert message in captured.err, captured.err
    assert (contents(tmp_path), contents(finished)) == before  # nothing lost, nothing left behind


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "solve",
        "solve heat --dtype float16",
        "solve heat --steps many",
        "solve heat --what",
        "do",
    ],
)
def test_bad_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        sys.exit(cli.run(arguments.split()))
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err and "Traceback" not in captured.err


def process(*arguments: str, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
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


def test_an_interrupted_run_can_be_resumed(folder, tmp_path, capsys):
    out = tmp_path / "run"
    # Adam: a quasi-Newton method may be done with so small a problem before it is interrupted.
    adam = lambda *more: [
        "adam" if word == "ssbroyden" else word for word in solve(folder, *more, "--out", str(out))
    ]
    running = process(*adam("--steps", "10000000", "--checkpoint-seconds", "1000"), "--json")
    try:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert re.match(r"Adam \d+/10000000", line), line + running.stderr.read()
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
