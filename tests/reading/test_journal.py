"""The files that grow are read whatever they hold, each line once, and the last word counts."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.reading import growing
from deepseek_ocr.reading.catalogue import Catalogue
from deepseek_ocr.reading.growing import json_line, whole_lines
from deepseek_ocr.reading.identity import file_of
from deepseek_ocr.reading.journal import Journal
from deepseek_ocr.reading.kept_pages import KeptPages
from deepseek_ocr.reading.results import STATUSES, ReadPage

KINDS = (Journal, KeptPages, Catalogue)

texts = st.text(max_size=20)
numbers = st.one_of(st.none(), st.integers(-2, 9), st.booleans(), st.floats(), texts)
statuses = st.one_of(st.sampled_from(STATUSES), texts)
odd_rows = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("source", "fingerprint", "reason", "name", "path", "prompt", "text"), texts
        ),
        **dict.fromkeys(("page", "num_pages", "seconds", "width", "attempts"), numbers),
        "status": statuses,
        "written": st.one_of(texts, st.lists(numbers)),
    },
)
lines = st.one_of(st.binary(max_size=60), odd_rows.map(lambda row: json.dumps(row).encode()))


def journal_in(folder, content=b""):
    (folder / "pages.jsonl").write_bytes(content)
    journal = Journal(folder)
    journal.refresh()
    return journal


def opened(kind, folder):
    return KeptPages(folder / "kept.jsonl") if kind is KeptPages else kind(folder)


def row(fingerprint, page, status="ok", **others):
    return {"source": "a.pdf", "page": page, "status": status, "fingerprint": fingerprint, **others}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("growing")


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.lists(lines, max_size=8), cut=st.integers(0, 500))
def test_any_content_is_read_and_in_pieces_as_in_one(kind, folder, content, cut):
    whole = b"\n".join([*content, b""])
    known = opened(kind, folder)
    known.path.write_bytes(whole[:cut])
    known.refresh()
    with known.path.open("ab") as file:
        file.write(whole[cut:])
    known.refresh()
    at_once = opened(kind, folder)
    at_once.refresh()
    assert contents_of(known) == contents_of(at_once)


def contents_of(known):
    return {name: value for name, value in vars(known).items() if name not in ("path", "_file")}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.sampled_from(STATUSES))))
def test_the_last_row_of_a_page_counts_and_alone_stays(folder, rows):
    content = "".join(
        json_line(row(f"{name}-1", page, status)) + "\n" for name, page, status in rows
    )
    journal = journal_in(folder, content.encode())
    last = {(f"{name}-1", page): status for name, page, status in rows}

    def held():
        names = {name for name, _ in last}
        return {
            (name, page): end.status for name in names for page, end in journal.ended(name).items()
        }

    assert held() == last
    assert journal.num_superseded == len(rows) - len(last)
    journal.rewrite()
    assert held() == last
    assert journal.num_superseded == 0
    left = [json.loads(line) for line in journal.path.read_bytes().splitlines()]
    assert len(left) == len(last)
    by_document = [(r["fingerprint"], r["page"]) for r in left]
    assert by_document == sorted(by_document, key=lambda key: (first_place(rows, key[0]), key[1]))


def first_place(rows, fingerprint):
    return [f"{name}-1" for name, _, _ in rows].index(fingerprint)


def test_a_new_version_of_a_file_takes_the_place_of_the_old(tmp_path):
    rows = [row("a-1", 1), row("b-1", 1), row("a-1", 2), row("a-2", 1)]
    journal = journal_in(tmp_path, b"".join(json_line(r).encode() + b"\n" for r in rows))
    assert not journal.ended("a-1")
    assert journal.num_superseded == 2
    journal.rewrite()
    left = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert [(r["fingerprint"], r["page"]) for r in left] == [("a-2", 1), ("b-1", 1)]


def test_a_page_ends_the_failure_of_its_document(tmp_path):
    rows = [row("a-1", None, "failed"), row("a-1", 1)]
    journal = journal_in(tmp_path, b"".join(json_line(r).encode() + b"\n" for r in rows))
    assert list(journal.ended("a-1")) == [1]
    journal.rewrite()
    assert len(journal.path.read_text().splitlines()) == 1


def test_what_is_to_be_retried_is_done_once_it_has_ended_again(tmp_path):
    journal = journal_in(tmp_path, json_line(row("a-1", 1, "failed")).encode() + b"\n")
    journal.to_retry.add(("a-1", 1))
    assert not journal.is_done("a-1", 1)
    journal.append(row("a-1", 1, "failed"))
    journal.refresh()
    assert journal.is_done("a-1", 1)


def test_a_line_counts_once_its_newline_is_there(tmp_path):
    line = json_line(row("a-1", 1)).encode()
    journal = journal_in(tmp_path, line)
    assert not journal.ended("a-1")
    journal.path.write_bytes(line + b"\n")
    journal.refresh()
    assert journal.ended("a-1")


def test_a_line_is_parsed_once_however_often_the_file_grows(tmp_path, monkeypatch):
    parsed = []
    original = growing.object_of
    monkeypatch.setattr(
        growing, "object_of", lambda line: parsed.append(len(line)) or original(line)
    )
    journal = journal_in(tmp_path)
    for page in range(1, 201):
        journal.append(row("a-1", page))
        journal.refresh()
    assert sum(parsed) == journal.path.stat().st_size
    assert len(parsed) == 200


def test_a_line_that_is_too_long_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(growing, "LONGEST_LINE", 200)
    content = json_line(row("a-1", 1, reason="x" * 1000)) + "\n" + json_line(row("a-1", 2)) + "\n"
    assert list(journal_in(tmp_path, content.encode()).ended("a-1")) == [2]


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))))
def test_lines_come_with_their_places(folder, content):
    path = folder / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in content) + b"torn")
    with path.open("rb") as file:
        found = list(whole_lines(file))
    assert [line[:-1] for line, _, _ in found] == content
    whole = path.read_bytes()
    assert [whole[start : start + length] for _, start, length in found] == [f[0] for f in found]


def test_a_row_is_one_line_whatever_its_reason_holds():
    assert "\n" not in json_line({"reason": "a\nb\u2028c\x85\ud800"})
    assert json_line({"reason": "\u2028"}) == '{"reason": "\\u2028"}'


def test_kept_pages_come_back_as_they_were(tmp_path):
    kept = KeptPages(tmp_path / "kept.jsonl")
    pages = [
        ReadPage(
            number=n, status="ok", text=f"{n}\u2028\ud800\x00", width=3, prompt="p", seconds=1.5
        )
        for n in (3, 1, 2)
    ]
    for page in [ReadPage(number=1, status="failed"), *pages]:
        kept.keep(page)
    kept.refresh()
    assert sorted(kept.numbers) == [1, 2, 3]
    assert list(kept.pages([1, 2, 3])) == [pages[1], pages[2], pages[0]]
    with pytest.raises(KeyError):
        kept.page(4)


def test_the_file_of_a_fingerprint_is_its_first_part():
    assert file_of("abc-def") == "abc"


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_damaged_lines_are_read(kind, tmp_path):
    chance = random.Random(0)
    page = ReadPage(number=1, status="ok", text="text")
    sample = opened(kind, tmp_path)
    samples = [json_line(row("a-1", 3, reason="why"))]
    if kind is KeptPages:
        sample.keep(page)
        samples.append(sample.path.read_text().rstrip())
    samples.append(
        json_line({"name": "a", "path": "b", "fingerprint": "f", "num_pages": 3, "written": {}})
    )
    with sample.path.open("wb") as file:
        for _ in range(1_000_000):
            line = bytearray(chance.choice(samples).encode())
            for _ in range(chance.randrange(4)):
                place = chance.randrange(len(line))
                act = chance.randrange(3)
                if act == 0:
                    line[place] = chance.randrange(256)
                elif act == 1:
                    del line[place : place + chance.randrange(9)]
                else:
                    line[place:place] = line[: chance.randrange(40)]
                line = line or bytearray(b"0")
            file.write(bytes(line).replace(b"\n", b" ") + b"\n")
    known = opened(kind, tmp_path)
    known.refresh()
    assert contents_of(known)
