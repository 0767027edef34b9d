"""A whole job whose model obeys what is printed on the page: nothing leaves the output folder."""

from __future__ import annotations

import json
import sys

import pypdfium2 as pdfium
import pytest

from deepseek_ocr.cli import main as cli

from .answers import ATTACKS, PAGE, boxed, long_answers
from .job_samples import make_pdf, rows_of, use_engine
from .stub import StubEngine
from .test_html import Strict
from .test_markdown import VIEWERS, Harm

SIZE = (100, 140)
ANSWERS = [PAGE + attack for attack in ATTACKS] + [
    boxed("image", (0, 0, 999, 999)) * 300,
    boxed("text", (1, 2, 3, 4)) * 2_000,
    "<|ref|>image<|/ref|><|det|>[[0, 0, 999, " + "9" * 400 + "]]<|/det|>",
    *long_answers(5_000)[::20],
]


@pytest.fixture
def out(tmp_path, monkeypatch):
    """The output folder of a job that has answered with all attacks, one a page."""
    (tmp_path / "in").mkdir()
    make_pdf(tmp_path / "in" / "a b<c>.pdf", len(ANSWERS), size=SIZE)
    engine = StubEngine(lambda page: ANSWERS[page.page - 1], size=SIZE)
    use_engine(engine, lambda *module: monkeypatch.setitem(sys.modules, *module))
    out = tmp_path / "out"
    arguments = [str(tmp_path / "in"), f"--out={out}", "--model=stub", "--quiet", "--show-boxes"]
    assert cli.run("read", [*arguments, "--format=md,json,html,txt,pdf"]) == 0
    return out


def test_attacks_are_shown_in_every_file_and_obeyed_in_none(out):
    name = "a b<c>.pdf"
    found = {path.relative_to(out.parent).parts[0] for path in out.parent.rglob("*")}
    assert found == {"in", "out"}
    kept = {"pages.jsonl", ".reading", *(f"{name}.{kind}" for kind in ("figures", "boxes"))}
    kept |= {f"{name}.{kind}" for kind in ("md", "json", "html", "txt", "pdf")}
    assert {path.name for path in out.iterdir()} == kept

    assert len(rows_of(out)) == len(ANSWERS)
    document = json.loads((out / f"{name}.json").read_text())
    assert [page["text"] for page in document["pages"]] == ANSWERS
    markdown = (out / f"{name}.md").read_text()
    for number in range(1, len(ANSWERS) + 1):
        assert f"<!-- page {number} -->" in markdown
    links = {path.name for path in (out / f"{name}.figures").iterdir()}
    for viewer in VIEWERS:
        shown = viewer.render(markdown)
        harms = [
            each
            for each in Harm(shown).found
            if not each.startswith(("<!-- page ", "<img src=a%20b%3Cc%3E.pdf.figures/p0"))
        ]
        assert not harms
    assert all(link in markdown for link in links)
    Strict((out / f"{name}.html").read_text().partition("<body>")[2])
    pdf = pdfium.PdfDocument(out / f"{name}.pdf")
    assert len(pdf) == len(ANSWERS)
    assert all(
        size == pytest.approx(SIZE, abs=1) for size in map(pdf.get_page_size, range(len(pdf)))
    )
