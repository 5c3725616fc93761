"""Looks at the built site in a headless Chromium, at the width of a telephone and of a screen.

    python docs/browser.py docs/_build/html

Every page but those of the interface is loaded at a width of 400 pixels: nothing may scroll
sideways, and nothing may be written to the console. Then the search has to find the word SSBroyden,
the switch of the theme has to make a page dark, and a notebook has to show its figures. Without a
Chromium there is one sentence, and nothing is looked at.
"""

import argparse
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NAME = "_browser.html"  # of the page that loads the others; the built site does not have it
WIDTH = 400
FOUND = "SSBroyden"
NOTEBOOK = "gallery/01_solve_burgers.html"
# Each page is looked at in a frame of its own, whose document is ours to read.
PAGE = """<!doctype html><title>Looking at the site</title><pre id="found"></pre><script>
const pages = PAGES, out = {wide: [], missing: []};
const wait = ms => new Promise(done => setTimeout(done, ms));
async function opened(address, width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.src = address;
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; });
  return frame;
}
async function until(there) {
  for (let k = 0; k < 100 && !there(); k++) await wait(100);
  return Boolean(there());
}
(async () => {
  for (const page of pages) {
    const frame = await opened(page, WIDTH), seen = frame.contentDocument;
    const wide = seen.documentElement.scrollWidth;
    if (wide > WIDTH) out.wide.push(`${page} is ${wide} pixels wide`);
    if (!seen.querySelector("h1")) out.missing.push(`${page} has no title`);
    for (const image of seen.images)
      if (image.loading !== "lazy" && image.complete && !image.naturalWidth)
        out.missing.push(`${page} lacks the picture ${image.src}`);
    frame.remove();
  }
  const index = await opened("index.html", 1300), body = index.contentDocument.body;
  const brightness = () =>
    index.contentWindow.getComputedStyle(body).backgroundColor.match(/[0-9]+/g)
      .slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
  const toggle = index.contentDocument.querySelector(".theme-toggle");
  for (let k = 0; toggle && k < 3 && brightness() > 100; k++) { toggle.click(); await wait(300); }
  if (brightness() > 100) out.missing.push("index.html does not become dark");
  const search = await opened("search.html?q=WORD", 1300), results = () =>
    search.contentDocument.querySelectorAll("#search-results li a").length;
  if (!await until(results)) out.missing.push("the search does not find WORD");
  const notebook = await opened("NOTEBOOK", 1300);
  const figures = notebook.contentDocument.querySelectorAll(".cell_output img").length;
  if (EXECUTED && !figures) out.missing.push("NOTEBOOK shows no figure");
  out.pages = pages.length;
  document.getElementById("found").textContent = JSON.stringify(out);
})();
</script>
"""


class Site(http.server.SimpleHTTPRequestHandler):
    """The built site and the page that looks at it."""

    def __init__(self, *args, page: bytes, **options):
        self.page = page
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        if self.path != f"/{NAME}":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.page)
        return None

    def log_message(self, format: str, *args) -> None:
        """Nothing is printed for each file."""


def page_of(folder: Path) -> bytes:
    """The page that looks at all others."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))
    skipped = ("_static", "generated/api", "genindex", "search.html")
    pages = [name for name in names if not name.startswith(skipped)]
    executed = "cell_output" in (folder / NOTEBOOK).read_text()
    given = {
        "PAGES": json.dumps(pages),
        "WIDTH": str(WIDTH),
        "WORD": FOUND,
        "NOTEBOOK": NOTEBOOK,
        "EXECUTED": json.dumps(executed),
    }
    text = PAGE
    for name, value in given.items():
        text = re.sub(rf"\b{name}\b", lambda _, value=value: value, text)
    return text.encode()


def faults(folder: Path, browser: str) -> list[str]:
    """What is wrong with a built site, a sentence each."""
    handler = functools.partial(Site, directory=str(folder), page=page_of(folder))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory() as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                f"--user-data-dir={profile}",
                "--virtual-time-budget=300000",
                "--dump-dom",
                f"http://127.0.0.1:{server.server_address[1]}/{NAME}",
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        server.shutdown()
    # The theme says in the console that it has become dark.
    said = [
        line
        for line in done.stderr.splitlines()
        if ":CONSOLE" in line and '"Changed to ' not in line
    ]
    written = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    if not written or not written[1]:
        return ["the browser did not get to the end of the site", *said, *done.stderr.splitlines()]
    found = json.loads(html.unescape(written[1]))
    print(f"{found['pages']} pages were looked at in {Path(browser).name}")
    return [*found["wide"], *found["missing"], *(f"the console has: {line}" for line in said)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path, help="the built site")
    folder = options.parse_args().folder
    if not (folder / "index.html").exists():
        sys.exit(f"{folder} is not a built site; build it with sphinx-build -W docs {folder}")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("The site was not looked at: there is no Chromium here (Debian: chromium).")
        return
    if found := faults(folder, browser):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
