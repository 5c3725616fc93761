"""The gallery: a copy of each notebook for Sphinx to run, and a picture from its outputs."""

import html
import json
import re
from pathlib import Path
from typing import Any

WIDTH = 480  # of a thumbnail, in pixels

BEGINNING = """\
# Gallery

Notebooks that run in the build of this site, as they are in the folder `notebooks/` of the
repository. Each takes about a minute.

"""


def pages(root: Path) -> dict[str, str]:
    """The notebooks and their index by file name."""
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((root / "notebooks").glob("*.ipynb"))
    }
    cards = [_card(name, json.loads(text)) for name, text in texts.items()]
    hidden = "\n".join(["```{toctree}", ":hidden:", "", *(name[:-6] for name in texts), "```"])
    grid = "\n".join(['<div class="gallery">', *cards, "</div>"])
    return {"index.md": f"{BEGINNING}{grid}\n\n{hidden}\n", **texts}


def _card(name: str, notebook: dict[str, Any]) -> str:
    """A link with a picture, the title and the first sentence of a notebook."""
    first = "".join(notebook["cells"][0]["source"])
    title, _, text = first.partition("\n")
    sentence = re.split(r"(?<=[\w)]\.)\s(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0]
    stem = name.removesuffix(".ipynb")
    return (
        f'<a href="{stem}.html"><img src="../_static/thumbnails/{stem}.png" '
        f'alt="{html.escape(title.lstrip("# "))}" loading="lazy">'
        f"<strong>{html.escape(title.lstrip('# '))}</strong>"
        f"<span>{html.escape(sentence.replace('`', ''))}</span></a>"
    )


def write_thumbnails(app: Any, exception: Exception | None) -> None:
    """Take the first picture of every notebook."""
    if exception is not None or app.builder.format != "html":
        return
    from PIL import Image

    folder = Path(app.outdir) / "_static" / "thumbnails"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((Path(app.srcdir) / "gallery").glob("*.ipynb")):
        name = _first_picture(app.env, f"gallery/{path.stem}")
        if name is not None:
            image = Image.open(Path(app.outdir) / "_images" / name).convert("RGB")
            image.thumbnail((WIDTH, WIDTH))
            image.save(folder / f"{path.stem}.png", optimize=True)


def _first_picture(env: Any, page: str) -> str | None:
    """The file name, among the images of the site, of the first PNG of a page."""
    from docutils import nodes

    for node in env.get_doctree(page).findall(nodes.image):
        found = [*node.get("candidates", {}).values(), node.get("uri", "")]
        for uri in found:
            if uri.endswith(".png") and uri in env.images:
                return env.images[uri][1]
    return None
