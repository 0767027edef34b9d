"""KaTeX in a browser: found or not, hung or dead, and the real one where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deepseek_ocr.evaluation.benchmarks.olmocr import katex
from deepseek_ocr.evaluation.benchmarks.olmocr.formulas import looks_alike
from deepseek_ocr.evaluation.benchmarks.olmocr.katex import Drawing, NoKatex, Symbol, find_katex

BROWSER = """#!{python}
import json, pathlib, re, sys, urllib.parse, urllib.request
page = pathlib.Path(urllib.request.url2pathname(urllib.parse.urlparse(sys.argv[-1]).path)).read_text()
values = json.loads(re.search(r'id="values">(.*?)</script>', page, re.S)[1])
if "hang" in values:
    sys.exit(1) if len(values) == 1 else print("no drawings")
else:
    spans = [[v, 10, 20, 8 * len(v), 16] for v in values]
    rows = [dict(mathml="<mi> %s </mi>" % v, spans=[s]) if v != "bad" else None for v, s in zip(values, spans)]
    print('<pre id="drawn">' + json.dumps(rows).replace("<", "\\\\u003c") + "</pre>")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """A browser and a KaTeX that do as they are told; the folder of both."""
    browser = tmp_path / "chromium"
    browser.write_text(BROWSER.format(python=sys.executable))
    browser.chmod(0o755)
    (tmp_path / "katex.min.js").write_text("/* </script> */")
    (tmp_path / "katex.min.css").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(katex.VARIABLE, str(tmp_path))
    return tmp_path


def test_formulas_are_drawn_once_each_and_what_katex_refuses_is_none(installed):
    drawn = find_katex().draw(["ab", "bad", "ab"])
    expected = Drawing("<mi>ab</mi>", (Symbol("a", 14.0, 28.0), Symbol("b", 22.0, 28.0)))
    assert drawn == {"ab": expected, "bad": None}


def test_a_formula_that_kills_the_browser_costs_no_other_its_drawing(installed):
    drawn = find_katex().draw(["a", "hang", "b", "c"])
    assert [formula for formula, found in drawn.items() if found is None] == ["hang"]


def test_markup_in_a_formula_stays_text(installed):
    drawn = find_katex().draw(["</script><b>"])
    assert drawn["</script><b>"] is not None


def test_a_formula_too_long_for_a_page_is_not_drawn(installed):
    assert find_katex().draw(["x" * (katex.MAX_LENGTH + 1)]).popitem()[1] is None


def test_a_browser_that_draws_nothing_is_none(installed):
    (installed / "chromium").write_text(f"#!{sys.executable}\nprint('no such page')")
    with pytest.raises(NoKatex, match="chromium draws nothing with the KaTeX of"):
        find_katex().draw(["a", "b"])


def test_without_a_browser_the_reason_says_so(installed, monkeypatch):
    (installed / "chromium").unlink()
    monkeypatch.setattr(katex, "MAC_BROWSER", str(installed / "none"))
    with pytest.raises(NoKatex, match="no Chromium or Chrome is installed"):
        find_katex()


def test_without_katex_the_reason_says_where_it_was_sought(installed, monkeypatch):
    (installed / "katex.min.css").unlink()
    with pytest.raises(NoKatex, match=rf"KaTeX is not in {installed} .*{katex.VARIABLE}"):
        find_katex()
    monkeypatch.delenv(katex.VARIABLE)
    monkeypatch.setattr(katex, "FOLDERS", (str(installed),))
    with pytest.raises(NoKatex, match="KaTeX is not installed"):
        find_katex()


@pytest.fixture(scope="module")
def real():
    try:
        return find_katex()
    except NoKatex as missing:
        pytest.skip(f"needs KaTeX in a browser: {missing}")


@pytest.mark.parametrize(
    "reference, other, alike",
    [
        (r"3x^2", r"\int_a^b{ 3x ^ 2dx}", True),
        (r"\int_a^b{ 3x ^ 2dx}", r"3x^2", False),
        (r"\frac{a}{b}", r"{a \over b}", True),
        (r"\frac{a}{b}", r"\frac{b}{a}", False),
        (r"\lambda_{g^{\prime}}", r"\lambda_{g'}", True),
        (r"x^2", r"y^2", False),
        (r"x^2", r"x_2", True),  # as published: a 2 so far off the line is no neighbour of x
    ],
)
def test_real_drawings_agree_where_formulas_do(real, reference, other, alike):
    drawn = real.draw([reference, other, r"\nothing{"])
    assert drawn[r"\nothing{"] is None
    assert looks_alike(drawn[reference], drawn[other]) is alike
