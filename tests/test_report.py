"""Reports, the tables of notebooks, and the lines that repeat a training."""

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import optax
import pytest
from decay import Decay

import pinops as po
from pinops.cli._command import parser, run
from pinops.cli._objects import written
from pinops.data import environment
from pinops.problem import heading_of, residual_source
from pinops.solvers._repeat import repeat_of
from pinops.solvers._request import describe
from pinops.training import Phase

ROOT = Path(__file__).parents[1]
PHASES = (Phase(po.optimizers.Adam(3e-3), 2), Phase(po.optimizers.SSBroyden(), 3))
SMALL = {"network": po.networks.MLP(8, 2, activation=po.networks.activations["sin"])}
SMALL |= {"points": po.Collocation(interior=64), "progress": False}


class Page(HTMLParser):
    """What a page holds, and whether its tags are closed."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def solution():
    return po.solve(Decay(rate=2.0), optimizer=PHASES, **SMALL)


@pytest.fixture(scope="module")
def registered():
    return po.solve("heat", optimizer=PHASES, seed=3, **SMALL)


@pytest.fixture(scope="module")
def dataset():
    a = np.random.default_rng(0).uniform(1, 2, (6, 8))
    return po.Dataset.from_arrays(
        inputs={"a": a},
        outputs={"u": 2 * a},
        coordinates={"x": np.linspace(0, 1, 8)},
        units={"u": "a<b"},
    )


@pytest.fixture(scope="module")
def trained_map(dataset):
    return po.train(dataset, po.operators.FNO(4, 2, depth=1), steps=2, progress=False)


@pytest.mark.slow
def test_a_report_has_everything_and_needs_nothing(solution, tmp_path):
    path = solution.report(tmp_path / "new" / "report.html")
    text = path.read_text("utf-8")
    page = Page(text)
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "Equation and conditions",
        "Result",
        "Figure",
        "Diagnosis",
        "Settings",
        "Repeat it",
        "Versions",
    ]
    assert "u_t = -r u, u(0) = 1." in page.text and "return u_t + self.rate * u" in page.text
    assert "u = 1 at t = 0: imposed exactly" in page.text and "rate = 2.0" in page.text
    assert f"{solution.error()['u']['mean']:.2e}" in page.text
    assert str(solution.diagnose()) in page.text
    assert all(value in page.text for value in environment().values())
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe"} & set(names) and names.count("img") == 1
    (picture,) = (given["src"] for tag, given in page.tags if tag == "img")
    assert picture.startswith("data:image/png;base64,iVBOR")
    assert "http:" not in text.replace(picture, "") and "https:" not in text.replace(picture, "")


@pytest.mark.slow
def test_the_report_of_another_run_and_foreign_files_are_kept(solution, registered, tmp_path):
    path = solution.report(tmp_path / "report.html")
    solution.report(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="report of another run, with a different problem"):
        registered.report(path)
    assert path.read_bytes() == before
    for text in ("mine", '<meta name="pinops-request" content="[">', "\x00"):
        path.write_text(text)
        with pytest.raises(ValueError, match="is no report of this run; choose another name"):
            solution.report(path)
    with pytest.raises(ValueError, match="is a folder; choose a file"):
        solution.report(tmp_path)


def done(python: str):
    """What our own lines give, without a line of progress."""
    names: dict = {}
    exec(re.sub(r"\n\)$", "\n    progress=False,\n)", python), names)
    return names["solution"]


def test_the_lines_of_python_repeat_the_training(registered):
    repeat = repeat_of(registered.request, registered.subject)
    again = done(repeat.python)
    assert again.request == registered.request and not repeat.remarks
    assert again.history[-1].loss == registered.history[-1].loss
    assert 'activation=po.networks.activations["sin"]' in repeat.python


def test_the_command_line_asks_for_the_same(registered):
    words = shlex.split(repeat_of(registered.request, registered.subject).command)
    options = parser().parse_args(words[1:])
    assert words[:3] == ["pinops", "solve", "heat"] and options.seed == 3
    assert written("network", options.network) == SMALL["network"]
    assert written("points", options.points) == SMALL["points"]
    phases = written("optimizer", options.optimizer)
    assert [describe(phase) for phase in phases] == [
        describe(Phase(phase.optimizer.over(phase.steps), phase.steps)) for phase in PHASES
    ]


def test_changed_coefficients_are_given_again(registered):
    repeat = repeat_of(registered.request, po.load_problem("burgers", viscosity=0.02))
    assert 'po.load_problem("burgers", viscosity=0.02)' in repeat.python
    assert "--set viscosity=0.02" in repeat.command


def test_what_no_text_describes_has_a_remark(solution, registered):
    repeat = repeat_of(solution.request, solution.subject)
    assert repeat.command == "" and "po.solve(\n    problem," in repeat.python
    assert "problem is an instance of Decay." in repeat.remarks
    optimizer = {"phases": [describe(optax.lion(1e-3))], "phase_steps": [], "steps": 5}
    repeat = repeat_of(registered.request | optimizer, registered.subject)
    assert "optimizer=optimizer," in repeat.python and repeat.command == ""
    started = repeat_of(registered.request | {"start": "abc"}, registered.subject)
    assert "start=start," in started.python and "went on from" in " ".join(started.remarks)
    stages = describe(po.Continuation(9, viscosity=(1.0, 0.1)))
    repeat = repeat_of(registered.request | {"continuation": stages}, registered.subject)
    assert "continuation=po.Continuation(9, viscosity=(1.0, 0.1))" in repeat.python
    assert "--continuation viscosity=1.0,0.1 --stage-steps 9" in repeat.command


def test_a_map_on_data_has_a_report(trained_map, tmp_path):
    text = trained_map.report(tmp_path / "map.html").read_text("utf-8")
    page = Page(text)
    assert "Diagnosis" not in page.text and "a&lt;b" in text and "a<b" not in text
    assert 'po.Dataset.open("DATA.h5"),\n    po.operators.FNO(' in page.text
    assert "pinops train --data DATA.h5 --operator 'FNO(width=4, modes=2, depth=1)'" in page.text


def test_the_command_writes_the_page_of_a_run(trained_map, registered, dataset, tmp_path, capsys):
    folder, data = trained_map.save(tmp_path / "run"), dataset.save(tmp_path / "data.h5")
    assert run(["report", str(folder), "--data", str(data)]) == 0
    path = folder / "report.html"
    assert capsys.readouterr().out.strip() == str(path) and "FNO" in path.read_text("utf-8")
    folder = registered.save(tmp_path / "heat")
    assert run(["report", str(folder), "--data", "x.h5"]) == 2
    assert "are for what was trained on a family" in capsys.readouterr().err


def test_notebooks_show_tables(solution, dataset):
    shown = Page(solution._repr_html_())
    assert "Solution" in shown.text and "finished after 5 steps" in shown.text
    shown = Page(solution.problem._repr_html_())
    assert "u = 1 at t = 0" in shown.text and "t from 0 to 1" in shown.text
    text = dataset._repr_html_()
    assert "a&lt;b" in text and "a<b" in Page(text).text and "a grid of 8" in Page(text).text
    assert "<table>" in po.Ensemble((solution, solution))._repr_html_()


def test_a_problem_without_a_docstring_is_known_by_its_residual():
    class Own(po.Problem):
        domain = po.Box(x=(0, 1))
        rate: float = 1.0

        def residual(self, u_x):
            return u_x - self.rate

    assert heading_of(Own()) == ""
    assert residual_source(Own()).startswith("def residual(self, u_x):")
    assert "rate = 1.0" in Page(Own()._repr_html_()).text


def test_versions_are_what_an_issue_report_needs(capsys):
    with pytest.raises(SystemExit) as ended:
        run(["--versions"])
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert ended.value.code == 0 and lines == environment()
    wanted = {"pinops", "jax", "jaxlib", "equinox", "optax", "numpy", "Python", "platform"}
    assert lines.keys() == wanted | {"devices"} and lines["devices"].endswith("cpu")


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_ask_for_the_versions(name):
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8")
    assert "pinops --versions" in text and "required: true" in text
