"""The parts of the site that are made from the package: interface, problems, command, gallery.

Pages and pictures are written into ``docs/generated``, and notebooks copied into ``docs/gallery``
and run, before Sphinx reads its sources; neither folder belongs to the repository.
"""

from pathlib import Path
from typing import Any

from _site import _api, _command_line, _gallery, _notebooks, _pictures, _problems

GENERATED, GALLERY = "generated", "gallery"


def write_if_changed(path: Path, text: str) -> None:
    """Write a page; one that is the same keeps its time, so that Sphinx does not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def make_pages(app: Any, config: Any) -> None:
    """Write all generated pages, and remove those whose name has gone."""
    source = Path(app.srcdir)
    pages = {
        **{f"{GENERATED}/api/{name}.md": text for name, text in _api.pages().items()},
        f"{GENERATED}/command_line.md": _command_line.page(),
        f"{GENERATED}/problems.md": _problems.page(source.parent, _pictures.write(source)),
        **{f"{GALLERY}/{name}": text for name, text in _gallery.pages(source.parent).items()},
    }
    for name, text in pages.items():
        write_if_changed(source / name, text)
    for folder in (GENERATED, GALLERY):
        for path in (source / folder).rglob("*"):
            name = path.relative_to(source).as_posix()
            if path.suffix in (".md", ".ipynb") and name not in pages:
                path.unlink()


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", make_pages)
    app.connect("builder-inited", _notebooks.run, priority=900)  # after MyST-NB knows its cache
    app.connect("autodoc-process-docstring", _api.link_names)
    app.connect("autodoc-process-signature", _api.hide_constructor)
    app.connect("build-finished", _gallery.write_thumbnails)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
