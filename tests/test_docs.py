"""The site: every public name is documented, and the pages, the README and the index are whole."""

import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from _site import _api, _command_line, _gallery, _problems  # noqa: E402

NAMES = _api.documented()


def parameters(value) -> list[str]:
    """What its caller gives: of a class the arguments of its constructor."""
    made = (po.Trained, po.Dataset, Exception)  # by others
    if inspect.isclass(value) and (inspect.isabstract(value) or issubclass(value, made)):
        return []
    names = inspect.signature(value).parameters
    return [name for name in names if name not in ("self", "options", "arguments")]


@pytest.mark.parametrize("path", NAMES)
def test_a_public_name_says_what_it_takes_and_gives(path):
    """Whoever reads `help(...)` finds every argument, and what is raised."""
    value = NAMES[path]
    text = inspect.getdoc(value) or ""
    assert text.strip(), f"{path} has no docstring"
    for name in parameters(value):
        assert re.search(rf"\b{re.escape(name)}\b", text), f"{path} does not explain {name}"
    source = inspect.getsource(value)
    if inspect.isfunction(value) and re.search(r"^\s+raise ", source, re.MULTILINE):
        assert "Raises" in text, f"{path} does not say what it raises"


def test_names_that_two_rooms_share_are_both_documented():
    assert {"pinops.networks.Product", "pinops.geometry.Product"} <= NAMES.keys()
    for path in ("pinops.Box", "pinops.networks.MLP", "pinops.operators.FNO", "pinops.solve"):
        assert path in NAMES


def test_the_front_page_is_sorted():
    listed = [name for names in _api.FRONT.values() for name in names]
    assert len(listed) == len(set(listed)) and set(listed) <= set(_api.exported("pinops"))


def test_every_problem_has_a_section():
    page = _problems.page(ROOT)
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == set(po.available())
    assert "recorded error: 1.1e-06 in 89 s (3 seeds)" in page


def test_every_command_is_on_its_page():
    page = _command_line.page()
    for name in ("problems", "settings", "solve", "train", "data", "evaluate", "plot"):
        assert f"## pinops {name}\n" in page and f"usage: pinops {name}" in page
    assert "--checkpoint-seconds" in page


def test_every_notebook_has_a_card():
    pages = _gallery.pages(ROOT)
    notebooks = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert pages.keys() == notebooks | {"index.md"}
    for name in notebooks:
        assert f'href="{name[:-6]}.html"' in pages["index.md"]


def made() -> set[str]:
    """All pages of the site, without the suffix."""
    written = {p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.glob("*.md")}
    written |= {p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.glob("guide/*.md")}
    return written | {
        "gallery/index",
        "generated/problems",
        "generated/command_line",
        "generated/api/index",
    }


def test_the_page_for_assistants_links_to_pages_that_there_are():
    text = (DOCS / "llms.txt").read_text("utf-8")
    linked = {link.removesuffix(".html") for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert linked <= made()
    assert {"start", "doors", "benchmarks", "guide/data"} <= linked


def test_the_readme_is_short_and_begins_with_what_one_needs():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 150

    def first(text: str) -> int:
        return next(number for number, line in enumerate(lines, 1) if text in line)

    assert first("pip install") <= 15 and first("![") <= 25
    picture = ROOT / re.findall(r"!\[[^\]]*\]\(([^)]+)\)", "\n".join(lines))[0]
    assert 0 < picture.stat().st_size < 200_000


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_of_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_citation_has_the_version_of_the_package():
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[0]
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"version = {{{version}}}" in (DOCS / "citation.md").read_text()


PACKAGE = Path(po.__file__).parent
EXAMPLES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if re.search(r"^ +(Examples?:|>>> )", path.read_text("utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_in_docstrings_run(path):
    """`po`, `np`, `jnp` and `jax` are imported; an example is Python as one types it."""
    text = path.read_text("utf-8")
    for said in re.findall(r"^ +Examples?:(.*(?:\n(?: +[^>\n].*)?){0,4}\n? +>>> )?", text, re.M):
        assert said, f"{path} has an example that does not run"
    name = ".".join(["pinops", *path.relative_to(PACKAGE).with_suffix("").parts])
    module = importlib.import_module(name)
    names = vars(module) | {"po": po, "np": np, "jnp": jnp, "jax": jax}
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names)
    runner, said = doctest.DocTestRunner(verbose=False), []
    for example in found:
        runner.run(example, out=said.append)
    tries = runner.summarize(verbose=False)
    assert tries.failed == 0, "".join(said)
    assert tries.attempted >= 1
