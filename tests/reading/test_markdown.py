from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from deepseek_ocr.reading.figures import MAX_FIGURES
from deepseek_ocr.reading.markdown import document_markdown, page_markdown
from deepseek_ocr.reading.markup import parse_answer
from deepseek_ocr.reading.results import ReadPage
from deepseek_ocr.reading.safe_markdown import MarkdownStyle, safe_markdown

from .answers import ANSWERS, ATTACKS, PAGE, boxed, long_answers

SIZE = (999, 1998)
OCR = "<image>\n<|grounding|>OCR this image."
LOCATE = "<image>\nLocate <|ref|>dog<|/ref|> in the image."
STYLES = [
    MarkdownStyle(tables=tables, formulas=formulas)
    for tables in ("html", "markdown")
    for formulas in ("dollars", "brackets")
]


def markdown(text, prompt="", figures="a.pdf.figures", number=1, **style):
    answer = parse_answer(text, SIZE, prompt=prompt)
    return page_markdown(answer, number=number, figures=figures, style=MarkdownStyle(**style))


def test_a_page_becomes_markdown_with_its_figures_linked():
    assert markdown(PAGE, number=7) == (
        "# Report\n\n"
        "The first paragraph says $a< b$ and **more**.\n\n"
        "![](a.pdf.figures/p0007-1.png)\n\n"
        "![](a.pdf.figures/p0007-2.png)\n\n"
        "Figure 1: two dogs\n\n"
        '<table><tr><td colspan="2">Sum</td></tr><tr><td>a</td><td>1</td></tr></table>'
    )


def test_tables_and_formulas_have_two_forms():
    written = markdown(PAGE, figures=None, tables="markdown", formulas="brackets")
    assert written.startswith("# Report\n\nThe first paragraph says \\(a< b\\) and")
    assert written.endswith("two dogs\n\n| Sum |  |\n| --- | --- |\n| a | 1 |")
    assert "figures" not in written


@pytest.mark.parametrize(
    "text, dollars, brackets",
    [
        (r"so \( x \) is", "so $x$ is", r"so \(x\) is"),
        ("\\[\nx\n\\]", "$$x$$", r"\[x\]"),
        ("$$x\n\n=y$$", "$$x\n=y$$", "\\[x\n=y\\]"),
        ("a $x$ b", "a $x$ b", "a $x$ b"),
        ("$5 and $6", "$5 and $6", "$5 and $6"),
        (r"\(x $ y\)", r"$x \$ y$", r"\(x $ y\)"),
        (r"\(x \$ y\)", r"$x \$ y$", r"\(x \$ y\)"),
        (r"\(\)a\[ \]", " a", " a"),
        (r"\( never closed", r"\( never closed", r"\( never closed"),
        ("\\( not\n\nhere \\)", "\\( not\n\nhere \\)", "\\( not\n\nhere \\)"),
        (r"\(a \coloneqq b\)", "$a := b$", r"\(a := b\)"),
        (r"\\(not a formula)", r"\\(not a formula)", r"\\(not a formula)"),
    ],
)
def test_formulas_are_written_as_asked(text, dollars, brackets):
    assert safe_markdown(text, MarkdownStyle(formulas="dollars")) == dollars
    assert safe_markdown(text, MarkdownStyle(formulas="brackets")) == brackets


def test_code_stays_as_it_is_and_is_closed():
    code = "```c\n#include <stdio.h>\n\n\n\nx](y)\n```"
    assert safe_markdown(f"a\n{code}\nb", MarkdownStyle()) == f"a\n\n{code}\n\nb"
    assert safe_markdown("```\nnever <closed>", MarkdownStyle()) == "```\nnever <closed>\n```"
    assert safe_markdown("````\n```\nx\n````", MarkdownStyle()) == "````\n```\nx\n````"


def test_plain_text_passes_through():
    text = "Dear Sir,\n\n- one\n- two\n\n5 * 3 < 20 & R&D [1] (see a[2]) #3\n\tx_1"
    assert markdown(text) == text


@pytest.mark.parametrize("prompt", ["", OCR])
def test_lines_stay_lines(prompt):
    text = boxed("TOTAL  12.50", (1, 2, 3, 4)) + "\n" + boxed("a <b>", (5, 6, 7, 8))
    assert markdown(text, prompt) == "TOTAL 12.50  \na &lt;b>"


def test_what_was_located_is_listed_with_its_boxes():
    text = boxed("dog", (1, 2, 3, 4), (5, 6, 7, 8))
    assert markdown(text, LOCATE) == "dog: 1, 4, 3, 8  \ndog: 5, 12, 7, 16"


def test_a_label_that_is_none_of_ours_is_not_lost():
    text = boxed("text", (1, 2, 3, 4)) + "\nbelow\n\n" + boxed("Some words", (5, 6, 7, 8))
    assert markdown(text) == "below\n\nSome words"


@pytest.mark.parametrize("name", ["a b.pdf", "c#d?.png", "x).png", "é\n.png", "q%.tif", "l\udcff"])
def test_a_link_to_a_figure_leads_to_its_file_whatever_the_document_is_called(name):
    written = markdown(boxed("image", (1, 2, 3, 4)), figures=f"{name}.figures")
    (link,) = re.findall(r"!\[\]\(([!-~]*)\)", written)
    assert unquote(link, errors="surrogateescape") == f"{name}.figures/p0001-1.png"
    assert set(link) <= set("%._-~/") | set(re.findall("[A-Za-z0-9]", link))


def test_figures_without_end_are_capped():
    assert markdown(boxed("image", (1, 2, 3, 4)) * 1000).count("![](") == MAX_FIGURES


# --- what it can do to whoever shows it -------------------------------------------------------

TAGS = {
    *("p", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "br", "sub", "sup"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "td", "th", "s"),
}
ATTRIBUTES = {
    ("ol", "start"): re.compile("[0-9]+"),
    ("td", "rowspan"): re.compile("[0-9]+"),
    ("td", "colspan"): re.compile("[0-9]+"),
    ("code", "class"): re.compile(r"language-\S*"),
    ("a", "rel"): re.compile("nofollow"),
    ("a", "href"): re.compile("https?://.*", re.DOTALL),
    ("a", "title"): re.compile(".*", re.DOTALL),
    ("td", "style"): re.compile("text-align:(left|right|center)"),
    ("th", "style"): re.compile("text-align:(left|right|center)"),
    ("img", "src"): re.compile(r"f\.figures/p0001-[0-9]+\.png"),
    ("img", "alt"): re.compile(""),
}


class Harm(HTMLParser):
    """Collects every tag, attribute and comment that a page's text may not have."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in {*TAGS, "a", "img"}:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            allowed = ATTRIBUTES.get((tag, name))
            if allowed is None or not allowed.fullmatch(value or ""):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_comment(self, data):
        self.found.append(f"<!--{data}-->")

    handle_decl = handle_pi = unknown_decl = handle_comment


VIEWERS = [
    MarkdownIt("commonmark"),
    MarkdownIt("commonmark").enable(["table", "strikethrough"]),
    MarkdownIt("js-default", {"html": True, "linkify": False}),
]
for viewer in VIEWERS:
    viewer.options["html"] = True
    viewer.validateLink = lambda url: True  # type: ignore[method-assign]  the careless kind


def harm(written: str) -> list[str]:
    return [found for viewer in VIEWERS for found in Harm(viewer.render(written)).found]


def test_the_check_itself_sees_harm():
    assert harm("<script>x</script>") and harm("[x](javascript:y)") and harm("![](file:///z)")
    assert harm("<b onclick=x>") and harm("<!-- x -->")
    assert not harm("![](f.figures/p0001-1.png) **x** [a](https://b)")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("style", STYLES, ids=str)
def test_an_attack_on_the_page_is_only_shown(attack, style):
    for text in (attack, f"a{attack}b", f"- x\n{attack}", PAGE + attack, attack + PAGE):
        for prompt in ("", OCR, LOCATE):
            answer = parse_answer(text, SIZE, prompt=prompt)
            written = page_markdown(answer, figures="f.figures", style=style)
            assert not harm(written), (text, written)


@given(ANSWERS, st.sampled_from(STYLES), st.sampled_from(["", OCR, LOCATE]))
@example("\\[a]: javascript:x\n\n[a]", MarkdownStyle(), "")
def test_no_answer_does_harm(text, style, prompt):
    answer = parse_answer(text, SIZE, prompt=prompt)
    assert not harm(page_markdown(answer, figures="f.figures", style=style))


@pytest.mark.parametrize("text", long_answers(100_000))
def test_an_answer_of_any_length_is_written(text):
    for style in (STYLES[0], STYLES[3]):
        page_markdown(parse_answer(text, SIZE), style=style)


# --- documents --------------------------------------------------------------------------------


def page(number, text="", status="ok", reason=""):
    return ReadPage(number=number, status=status, reason=reason, markdown=text)


def test_a_single_page_is_its_text_alone():
    assert "".join(document_markdown([page(1, "# Hello")])) == "# Hello\n"
    assert "".join(document_markdown([page(1, "", "empty")])) == ""


def test_pages_keep_their_numbers_and_what_failed_is_told():
    pages = [
        page(1, "one"),
        page(2, "", "failed", "a.pdf#page=2: <b> is damaged --> and\ncannot be drawn"),
        page(3, "", "empty"),
        page(7, "x x x", "repetition", "a loop of 1 token"),
        page(8, "cut", "truncated"),
    ]
    assert "".join(document_markdown(pages)) == (
        "<!-- page 1 -->\n\none\n\n"
        "<!-- page 2 -->\n\n"
        "> **Page 2 could not be read: a.pdf#page=2: &lt;b> is damaged --> and cannot be drawn**\n\n"
        "<!-- page 3 -->\n\n"
        "<!-- page 7 -->\n\nx x x\n\n> **Page 7 ends in a repetition: a loop of 1 token**\n\n"
        "<!-- page 8 -->\n\ncut\n\n> **Page 8 is cut short**\n"
    )


def test_a_single_page_that_is_not_the_first_has_its_number():
    assert "".join(document_markdown([page(3, "x")])) == "<!-- page 3 -->\n\nx\n"


def test_a_document_that_could_not_be_opened_says_so():
    pages = [page(None, "", "failed", "a.pdf: needs a password")]
    written = "".join(document_markdown(pages))
    assert written == "> **The document could not be read: a.pdf: needs a password**\n"


def test_a_document_is_written_page_by_page():
    taken = []

    def pages():
        for number in range(1, 1000):
            taken.append(number)
            yield page(number, "x" * 1000)

    pieces = document_markdown(pages())
    next(pieces)
    assert len(taken) <= 2
