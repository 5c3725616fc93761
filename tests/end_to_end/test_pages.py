"""The Python in the pages of ``docs/`` runs from top to bottom of each page, with few steps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
ELSEWHERE = {"newcomer.md"}  # tests/end_to_end/test_newcomer.py

# The doors with few steps. A run that goes on has more of them than before.
FEW_STEPS = """
import dataclasses, functools
import pinops, pinops.plotting


def few(steps):
    return max(2, (steps or 300) // 100)


def quick(door):
    @functools.wraps(door)
    def run(*given, **options):
        kinds = pinops.operators.SurrogateArchitecture
        if any(isinstance(one, kinds) for one in (*given[1:], options.get("architecture"))):
            options["curriculum"] = pinops.Curriculum(epochs=1, warm_up=0)
            options.pop("steps", None)
        elif any(isinstance(one, pinops.operators.MMGP) for one in given[1:]):
            pass  # fitted, not trained
        elif isinstance(phases := options.get("optimizer"), tuple) and all(
            isinstance(phase, pinops.Phase) for phase in phases
        ):
            options["optimizer"] = tuple(pinops.Phase(p.optimizer, few(p.steps)) for p in phases)
        elif "epochs" in options:
            options["epochs"] = 1
        else:
            options["steps"] = few(options.get("steps"))
        if "continuation" in options:
            coefficients = options["continuation"].coefficients
            options["continuation"] = pinops.Continuation(1, **coefficients)
        return door(*given, progress=False, **options)

    return run


for name in ("solve", "invert", "train"):
    setattr(pinops, name, quick(getattr(pinops, name)))
"""


def programs() -> dict[str, str]:
    """The blocks of every page that has some."""
    found = {}
    for path in sorted([DOCS / "index.md", *DOCS.glob("*.md"), *DOCS.glob("guide/*.md")]):
        name = path.relative_to(DOCS).as_posix()
        blocks = [code for skip, code in BLOCK.findall(path.read_text("utf-8")) if not skip]
        if blocks and name not in ELSEWHERE:
            found[name] = "\n".join(blocks)
    return found


PROGRAMS = programs()


def test_there_are_programs():
    assert {"start.md", "doors.md", "guide/pde.md", "guide/data.md"} <= PROGRAMS.keys()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_runs(name, tmp_path):
    script = tmp_path / "page.py"
    body = "\n".join(f"    {line}".rstrip() for line in PROGRAMS[name].splitlines())
    # Data are made by processes that import this file, for which it must do nothing.
    script.write_text(f'{FEW_STEPS}\nif __name__ == "__main__":\n{body}\n', "utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_readme_runs_where_it_needs_no_data(tmp_path):
    """The programs of the README but the last, whose arrays are the reader's."""
    blocks = [code for _, code in BLOCK.findall((ROOT / "README.md").read_text("utf-8"))]
    script = tmp_path / "readme.py"
    script.write_text("\n".join([FEW_STEPS, *blocks[:-1]]), "utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
