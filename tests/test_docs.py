"""The site: every public name is documented, and the pages, the README and the index are whole."""

import inspect
import re
import sys
from pathlib import Path

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
    page = _problems.page(ROOT, {"burgers": 360})
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == set(po.available())
    assert "recorded error: 1.1e-06 in 89 s (3 seeds)" in page
    assert page.count('<div class="equation"><math') >= len(po.available()) - 1  # one is too long
    assert re.findall(r"{image} (\S+)", page) == ["pictures/burgers.png"]


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


PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("guide/*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_names_and_settings_in_a_page_exist(path):
    """Those in sentences and tables, too, which no test runs: ``po.Collocation(interior=...)``."""
    text = path.read_text("utf-8")
    for name, given in re.findall(r"\bpo\.([A-Za-z_][\w.]*\w)(?:\(([^()]*)\))?", text):
        value = po
        for part in name.split("."):
            assert hasattr(value, part), f"po.{name} does not exist"
            value = getattr(value, part)
        settings = re.findall(r"(?:^|,\s*)([a-z_]\w*)=", given)
        taken = inspect.signature(value).parameters if settings else {}
        if all(one.kind is not one.VAR_KEYWORD for one in taken.values()):
            assert set(settings) <= set(taken), f"po.{name} does not take all of {settings}"


def test_the_citation_has_the_version_of_the_package():
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[0]
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"version = {{{version}}}" in (DOCS / "citation.md").read_text()
