"""LaTeX formulas -> where KaTeX puts every symbol, in a headless browser.

Neither is a dependency: a Chromium or Chrome on the PATH and the two files `katex.min.js` and
`katex.min.css` are used where they are installed (Debian: `apt install chromium libjs-katex`, else
`npm install -g katex`; or name their folder in the environment variable `DEEPSEEK_OCR_KATEX`).
Formulas come from a model: the page that draws them may load nothing, and a batch that hangs the
browser is halved until the formula at fault stands alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

VARIABLE = "DEEPSEEK_OCR_KATEX"
SCRIPT, STYLE = "katex.min.js", "katex.min.css"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_BROWSER = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FOLDERS = (
    "/usr/share/javascript/katex",
    "/usr/lib/node_modules/katex/dist",
    "/usr/local/lib/node_modules/katex/dist",
    "/opt/homebrew/lib/node_modules/katex/dist",
)
BATCH_SIZE = 200  # formulas a start of the browser
START_S, EACH_S = 30.0, 0.5  # that the browser and each formula may take
MAX_LENGTH = 5_000  # characters; a longer one is no formula of a page

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=800,400",
)
_DRAWN = re.compile(r'<pre id="drawn">([^<]*)</pre>')


class NoKatex(Exception):
    """Formulas cannot be drawn here; the message says what is missing."""


@dataclasses.dataclass(frozen=True)
class Symbol:
    """One character as drawn: its centre and size in CSS pixels."""

    text: str
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A formula as drawn: its MathML without white space, and its symbols in the page's order."""

    mathml: str
    symbols: tuple[Symbol, ...]


@dataclasses.dataclass(frozen=True)
class Katex:
    """KaTeX and the browser that runs it."""

    browser: str
    folder: Path

    def draw(self, formulas: Iterable[str]) -> dict[str, Drawing | None]:
        """Each formula once; None where KaTeX refuses it or the browser does not come to an end.

        Raises:
            NoKatex: the browser draws nothing at all.
        """
        if self._run_browser(["x"]) is None:
            raise NoKatex(f"{self.browser} draws nothing with the KaTeX of {self.folder}")
        drawn: dict[str, Drawing | None] = dict.fromkeys(formulas)
        todo = [formula for formula in drawn if len(formula) <= MAX_LENGTH]
        for start in range(0, len(todo), BATCH_SIZE):
            batch = todo[start : start + BATCH_SIZE]
            drawn.update(zip(batch, self._draw_batch(batch), strict=True))
        return drawn

    def _draw_batch(self, formulas: Sequence[str]) -> list[Drawing | None]:
        found = self._run_browser(formulas)
        if found is not None:
            return found
        if len(formulas) == 1:
            return [None]
        middle = len(formulas) // 2
        return self._draw_batch(formulas[:middle]) + self._draw_batch(formulas[middle:])

    def _run_browser(self, formulas: Sequence[str]) -> list[Drawing | None] | None:
        """The drawings; None if the browser hangs or dies of them."""
        with tempfile.TemporaryDirectory(prefix="katex-", ignore_cleanup_errors=True) as folder:
            page = Path(folder) / "formulas.html"
            page.write_text(self._page(formulas), encoding="utf-8", errors="backslashreplace")
            # Chromium's own sandbox cannot be had by root, as in most containers.
            sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
            command = [self.browser, *_FLAGS, *sandbox, f"--user-data-dir={folder}/profile"]
            try:
                done = subprocess.run(
                    [*command, "--dump-dom", page.as_uri()],
                    capture_output=True,
                    timeout=START_S + EACH_S * len(formulas),
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return None
        return _drawings(done.stdout.decode("utf-8", "replace"), len(formulas))

    def _page(self, formulas: Sequence[str]) -> str:
        script = (
            (self.folder / SCRIPT).read_text(encoding="utf-8").replace("</script", "<\\/script")
        )
        style = (self.folder / STYLE).read_text(encoding="utf-8")
        values = json.dumps(list(formulas)).replace("<", "\\u003c")
        return (
            _PAGE.replace("@STYLE@", style).replace("@SCRIPT@", script).replace("@VALUES@", values)
        )


def find_katex() -> Katex:
    """The browser and KaTeX of this machine.

    Raises:
        NoKatex: one of them is not installed.
    """
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None and Path(MAC_BROWSER).is_file():
        browser = MAC_BROWSER
    if browser is None:
        raise NoKatex("no Chromium or Chrome is installed")
    named = os.environ.get(VARIABLE)
    for folder in map(Path, (named,) if named else FOLDERS):
        if (folder / SCRIPT).is_file() and (folder / STYLE).is_file():
            return Katex(browser, folder)
    place = f"not in {named}" if named else "not installed"
    raise NoKatex(f"KaTeX is {place} ({SCRIPT} and {STYLE}; ${VARIABLE} can name their folder)")


def _drawings(page: str, number: int) -> list[Drawing | None] | None:
    """What the page says after it has drawn; None if that is not `number` drawings."""
    match = _DRAWN.search(page)
    try:
        rows = json.loads(match[1]) if match else []
    except ValueError:
        return None
    return [_drawing(row) for row in rows] if len(rows) == number else None


def _drawing(row: Any) -> Drawing | None:
    if row is None:
        return None
    return Drawing("".join(row["mathml"].split()), tuple(_symbols(row["spans"])))


def _symbols(spans: Iterable[tuple[str, float, float, float, float]]) -> Iterable[Symbol]:
    """Spans as (text, left, top, width, height) -> their characters, side by side."""
    for text, left, top, width, height in spans:
        if text == "\u200b":  # of no width, to hold a line open
            continue
        for number, character in enumerate(text):
            each = width / len(text)
            yield Symbol(character, left + (number + 0.5) * each, top + height / 2)


# As the published code draws: displayed, 24 pixels, in the middle of a window of 800 x 400, fonts
# of the style not loaded. What is written into <pre> holds no character that HTML would change.
_PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<style>@STYLE@</style>
<style>
body { display: flex; justify-content: center; align-items: center; height: 100vh; margin: 0; }
#formula { padding: 0; font-size: 24px; }
#drawn { display: none; }
</style>
</head>
<body>
<div id="formula"></div>
<pre id="drawn"></pre>
<script>@SCRIPT@</script>
<script type="application/json" id="values">@VALUES@</script>
<script>
const place = document.getElementById("formula");
function draw(formula) {
  place.textContent = "";
  try {
    katex.render(formula, place, {displayMode: true, throwOnError: true});
  } catch (error) {
    return null;
  }
  const spans = [];
  for (const span of place.querySelectorAll("span")) {
    if (span.children.length === 0 && /\\S/.test(span.textContent)) {
      const box = span.getBoundingClientRect();
      spans.push([span.textContent.trim(), box.x, box.y, box.width, box.height]);
    }
  }
  const meaning = place.querySelector(".katex-mathml math semantics");
  const parts = meaning ? [...meaning.children].filter(e => e.tagName !== "annotation") : [];
  return {mathml: parts.map(e => e.outerHTML).join(""), spans: spans};
}
const drawn = JSON.parse(document.getElementById("values").textContent).map(draw);
document.getElementById("drawn").textContent = JSON.stringify(drawn).replace(
  /[<>&\\u0080-\\uffff]/g, c => "\\\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
</script>
</body>
</html>
"""
