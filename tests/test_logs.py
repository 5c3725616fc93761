"""Logs and the progress line: what callbacks write, when, and what a failing one costs."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops import cli
from pinops.data import read_arrays
from pinops.optimizers import Adam, SSBroyden
from pinops.training import Log, Phase, Progress, Report
from pinops.training import _progress as progress

OPTIONS = {
    "network": po.networks.MLP(width=4, depth=1),
    "points": po.Collocation(interior=16, every=20),
    "optimizer": (Phase(Adam(1e-2), 20), Phase(SSBroyden(), 30)),
    "progress": False,
}
REPORT = Report(
    step=7,
    total_steps=50,
    phase="Adam",
    loss=0.75,
    terms={"residual": 0.5, "initial u": 0.25},
    errors={"u": 0.125},
    coefficients={"rate[1]": 2.0},
    seconds=3.0,
)
NUMBERS = {
    "loss": 0.75,
    "terms/residual": 0.5,
    "terms/initial u": 0.25,
    "errors/u": 0.125,
    "coefficients/rate[1]": 2.0,
    "seconds": 3.0,
}
# Libraries that note what they are told.
FAKES = {
    "tensorboardX": """
        calls = []
        class SummaryWriter:
            def __init__(self, folder): calls.append(("folder", folder))
            def add_scalar(self, *given): calls.append(given)
            def add_text(self, *given): calls.append(given)
            def flush(self): pass
        """,
    "wandb": """
        calls, run = [], None
        class Run:
            def define_metric(self, name, step_metric): calls.append((name, step_metric))
            def log(self, row): calls.append(row)
        def init(project):
            global run
            calls.append(project)
            run = Run()
            return run
        """,
    "mlflow": """
        calls, run = [], None
        def active_run(): return run
        def set_experiment(name): calls.append(name)
        def start_run():
            global run
            run = object()
        def log_metrics(row, step): calls.append((row, step))
        def set_tag(name, value): calls.append((name, value))
        """,
}


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """The libraries as a user has them: on the path, and not imported."""
    for name, source in FAKES.items():
        (tmp_path / f"{name}.py").write_text(
            "\n".join(line[8:] for line in source.strip("\n").splitlines())
        )
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in FAKES:
        sys.modules.pop(name, None)


def told(name: str) -> list:
    return sys.modules[name].calls


def later(**changes) -> Report:
    return Report(**{**vars(REPORT), **changes})


def test_tensorboard_gets_a_scalar_for_each_number_and_the_phases_as_text(fakes):
    log = po.TensorBoard("logs/a")
    assert "tensorboardX" not in sys.modules
    for report in (REPORT, later(step=8), later(step=9, message="undone")):
        log(report)
    of_both = [[(name, value, step) for name, value in NUMBERS.items()] for step in (7, 8)]
    start = [("folder", "logs/a")]
    assert told("tensorboardX") == [*start, *of_both[0], ("phase", "Adam", 7), *of_both[1]]


def test_wandb_gets_rows_of_one_run(fakes):
    log = po.WeightsAndBiases("mine")
    assert "wandb" not in sys.modules
    log(REPORT)
    log(later(step=3))  # the next time window begins again
    row = {**NUMBERS, "phase": "Adam", "step": 7}
    assert told("wandb") == ["mine", ("*", "step"), row, {**row, "step": 3}]


def test_mlflow_gets_names_that_it_accepts(fakes):
    log = po.MLflow()
    assert "mlflow" not in sys.modules
    log(REPORT)
    log(later(phase="SOAP", step=8))
    row = {name.replace("[1]", "_1_"): value for name, value in NUMBERS.items()}
    phases = [("phase", "Adam"), ("phase", "SOAP")]
    assert told("mlflow") == ["pinops", (row, 7), phases[0], (row, 8), phases[1]]


@pytest.mark.parametrize(
    ("log", "library"),
    [
        (lambda: po.TensorBoard("logs"), "tensorboardX"),
        (po.WeightsAndBiases, "wandb"),
        (po.MLflow, "mlflow"),
    ],
)
def test_a_missing_library_is_said_before_the_training(log, library, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError) as error:
        log()
    sentence = f"needs the library {library}, which is not installed; pip install {library}"
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("made", [po.JSONLines, po.TensorBoard, po.WeightsAndBiases, po.MLflow])
def test_settings_of_logs_are_texts(made, fakes):
    with pytest.raises(ValueError, match=f"{made.__name__}: .* must be .*, got 3"):
        made(3)


@pytest.mark.parametrize("path", ["", ".", "folder"])
def test_a_file_that_is_a_folder_is_said_before_the_training(path, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="JSONLines: path must be a file, got '.*', a folder; name"
    ):
        po.JSONLines(path)


def test_a_folder_that_is_a_file_is_said_before_the_training(fakes, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="TensorBoard: folder must be a folder, got '.*', a file"):
        po.TensorBoard(tmp_path / "file")


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_no_number_is_null(tmp_path):
    path = tmp_path / "log.jsonl"
    log = po.JSONLines(path)
    log(replace(REPORT, loss=np.inf, terms={"residual": np.nan, "initial u": 0.25}))
    (row,) = rows(path)
    assert row["loss"] is None and row["terms"] == {"residual": None, "initial u": 0.25}


def test_a_log_is_the_history_and_changes_nothing(tmp_path):
    path = tmp_path / "logs" / "log.jsonl"
    quiet = po.solve(Decay(), out=tmp_path / "quiet", **OPTIONS)
    solution = po.solve(Decay(), out=tmp_path / "run", callbacks=[po.JSONLines(path)], **OPTIONS)
    written = rows(path)
    assert [row["step"] for row in written] == [20, 40, 50]
    assert [row["phase"] for row in written] == ["Adam", "SSBroyden", "SSBroyden"]
    for row, report in zip(written, solution.history, strict=True):
        assert row == {key: value for key, value in vars(report).items() if key != "message"}
    assert written[-1]["loss"] == quiet.history[-1].loss
    asked = [json.loads((tmp_path / run / "run.json").read_text()) for run in ("quiet", "run")]
    assert asked[0]["request"] == asked[1]["request"]


def test_an_ensemble_logs_means_of_its_members(tmp_path):
    path = tmp_path / "log.jsonl"
    both = po.solve(Decay(), ensemble=2, callbacks=[po.JSONLines(str(path))], **OPTIONS)
    losses = [member.history[-1].loss for member in both]
    assert rows(path)[-1]["loss"] == pytest.approx(np.mean(losses))


def test_a_log_that_fails_warns_once_and_the_training_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    log = po.JSONLines(tmp_path / "file" / "log.jsonl")
    with pytest.warns(UserWarning) as warned:
        solution = po.solve(Decay(), callbacks=[log], **OPTIONS)
    assert solution.status == "finished" and solution.steps == 50
    said = [str(one.message) for one in warned if "JSONLines" in str(one.message)]
    assert len(said) == 1
    assert said[0].startswith("JSONLines has ended at step 20, and the training goes on: ")


def test_a_callback_that_raises_leaves_a_checkpoint(tmp_path):
    """With the last step, though the next checkpoint was not due."""

    def broken(report):
        if report.step >= 40:
            raise RuntimeError("a fault of mine")

    po.solve(Decay(), out=tmp_path / "whole", **OPTIONS)
    options = {"out": tmp_path / "run", "checkpoint_seconds": 1000.0, **OPTIONS}
    with pytest.raises(RuntimeError, match="a fault of mine"):
        po.solve(Decay(), callbacks=[broken], **options)
    half, _ = read_arrays(tmp_path / "run" / "checkpoint" / "state.h5", "checkpoint")
    assert half["state/.step"] == 40
    po.solve(Decay(), resume=True, **options)
    a, b = (
        read_arrays(tmp_path / run / "checkpoint" / "state.h5", "checkpoint")[0]
        for run in ("whole", "run")
    )
    for name in a.keys() - {"history/seconds"}:
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.slow
def test_a_command_logs_too(tmp_path, capsys):
    path = tmp_path / "log.jsonl"
    command = ["solve", "heat", "--steps", "4", "--network", "MLP(4, 1)", "--points"]
    command += ["Collocation(interior=16)", "--out", str(tmp_path / "run"), "--log"]
    assert cli.run([*command, f"JSONLines('{path}')"]) == 0
    assert rows(path)[-1]["step"] == 4 and rows(path)[-1]["errors"].keys() == {"u"}
    assert cli.run([*command, "JSONLines"]) == 2
    assert "--log: JSONLines needs path, a path such as 'log.jsonl'" in capsys.readouterr().err
    assert issubclass(po.JSONLines, Log)


def test_one_line_about_an_inversion_has_what_was_found():
    t = np.linspace(0, 1, 9)
    observed = po.Observed({"t": t}, {"u": np.exp(-t)})
    found = po.invert(Decay(rate=2.0), observed, unknown="rate", **OPTIONS)
    assert f"rate = {found.coefficients['rate']:.6g}" in repr(found) and "rate = 2" not in repr(
        found
    )


class Screen(io.StringIO):
    """A stderr that is a terminal, or not."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


PHASES = (Phase(Adam(), 300), Phase(SSBroyden(), 1200))


def told_left(compilation: float, paces: tuple[float, float], clock) -> list[tuple[float, float]]:
    """What is said of the remaining time and what is true, at every report after the first tenth of
    the time.
    """
    remaining, began, said = progress.Remaining(PHASES, clock[0]), clock[0], []
    for step in range(50, 1501, 50):
        clock[0] += 50 * paces[step > 300]
        clock[0] += compilation if step in (50, 350) else 0.0
        said.append((remaining.seconds(step, clock[0]), clock[0]))
    whole = clock[0] - began
    return [(left, clock[0] - at) for left, at in said if at - began > 0.1 * whole]


@pytest.mark.parametrize("compilation", [0.0, 5.0, 60.0])
def test_the_time_left_is_true(compilation, clock):
    """From the second report on, with phases that are compiled and whose paces differ."""
    first, *rest = told_left(compilation, (0.02, 0.026), clock)
    assert first[0] is None or compilation == 0
    for left, truth in rest:
        assert truth / 1.5 <= left <= 1.5 * truth + 1e-9


def test_the_time_left_is_at_most_that_of_the_limit(clock, monkeypatch):
    screen = Screen(False)
    monkeypatch.setattr(sys, "stderr", screen)
    line = Progress(minutes=1.0, phases=PHASES, began=clock[0])
    for step in (50, 100, 150):
        clock[0] += 15.0
        line(later(step=step, total_steps=1500, seconds=clock[0] - 1000))
    assert [one.split("  ")[-1] for one in screen.getvalue().splitlines()] == [
        "0:15, about 0:45 left",
        "0:30, about 0:30 left",
        "0:45, about 0:15 left",
    ]


def shown(screen: Screen, clock: list[float], monkeypatch, *, end: int) -> str:
    """What stderr gets of reports every 2 s."""
    monkeypatch.setattr(sys, "stderr", screen)
    line = Progress(phases=(Phase(Adam(), 50),), began=clock[0])
    for step in range(1, end + 1):
        clock[0] += 2.0
        line(later(step=step, seconds=2.0 * step))
    line.end()
    return screen.getvalue()


def test_lines_that_stay_are_few(clock, monkeypatch):
    text = shown(Screen(False), clock, monkeypatch, end=8)
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["Adam", "1/50"],
        ["Adam", "6/50"],
        ["Adam", "8/50"],  # where it was stopped
    ]
    assert "\r" not in text and text.endswith("\n")
    clock[0] += 86_400
    day = Progress(phases=(Phase(Adam(), 10**6),), began=clock[0] - 86_400)
    before = len(text)
    for step in range(1, 3601):
        clock[0] += 1.0
        day(later(step=step, total_steps=10**6))
    assert sys.stderr.getvalue()[before:].count("\n") == 1, "an hour after a day"


def test_a_terminal_has_one_line_that_fits(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = shown(Screen(True), clock, monkeypatch, end=50)
    assert text.count("\n") == 1 and text.endswith("\n")
    lines = text.rstrip("\n").split("\r")
    assert len(lines) == 50 and all(len(line) <= 59 for line in lines)
    assert lines[9].split("  ") == [
        "Adam 10/50",
        "loss 7.5e-01",
        "error u...",
        "0:20, about 1:20 left",
    ]


def test_a_notebook_has_one_line(clock, monkeypatch):
    monkeypatch.setattr(Screen, "__module__", "ipykernel.iostream")
    text = shown(Screen(False), clock, monkeypatch, end=50)
    assert text.count("\n") == 1 and text.count("\r") == 49


def test_a_line_names_phase_step_loss_error_and_time():
    assert progress.describe(REPORT, 90.0) == (
        "Adam 7/50  loss 7.5e-01 (residual 5.0e-01, initial u 2.5e-01)  error u 1.2e-01  "
        "rate[1] = 2  0:03, about 1:30 left"
    )
    assert progress.describe(later(seconds=3723.0), 0.5).endswith("  1:02:03, ending")
