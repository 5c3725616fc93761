"""The gallery: a copy of each notebook for Sphinx to run, and a picture from its outputs."""

import base64
import html
import io
import json
import re
from pathlib import Path
from typing import Any

WIDTH = 480  # of a thumbnail, in pixels
PNG = "image/png"

BEGINNING = """\
# Gallery

Notebooks that run in the build of this site, as they are in the folder `notebooks/` of the
repository. Each takes less than a minute on two cores.

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
    """Take the first picture of every notebook that was run."""
    if exception is not None or app.builder.format != "html":
        return
    from PIL import Image

    folder = Path(app.outdir) / "_static" / "thumbnails"
    folder.mkdir(parents=True, exist_ok=True)
    executed = Path(app.outdir).parent / "jupyter_execute" / "gallery"
    for path in sorted((Path(app.srcdir) / "gallery").glob("*.ipynb")):
        picture = _first_picture(executed / path.name)
        if picture is None:
            continue
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        image.thumbnail((WIDTH, WIDTH))
        image.save(folder / f"{path.stem}.png", optimize=True)


def _first_picture(executed: Path) -> bytes | None:
    """The PNG data of the first output that has any."""
    if not executed.exists():
        return None
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", ()):
            if PNG in output.get("data", {}):
                data = output["data"][PNG]
                return base64.b64decode(data if isinstance(data, str) else "".join(data))
    return None
