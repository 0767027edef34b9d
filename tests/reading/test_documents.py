"""What is to be read: every input becomes documents with names of their own, nothing in silence."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.errors import EXIT_REFUSED, EXIT_USAGE, UsageError, UserError
from deepseek_ocr.reading import documents
from deepseek_ocr.reading.documents import MOST_NAME_BYTES, Document, find_documents


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def names(found: list[Document]) -> list[str]:
    return [document.name for document in found]


def digest_of(path: str) -> str:
    return hashlib.sha256(os.fsencode(Path.cwd() / path)).hexdigest()[:8]


# --- inputs ---------------------------------------------------------------------------------------


def test_a_file_is_named_by_itself_wherever_it_lies():
    write("scans/x/a.pdf")
    (found,) = find_documents(["scans/x/a.pdf"])
    assert (found.source, found.path, found.name) == (
        "scans/x/a.pdf",
        Path("scans/x/a.pdf"),
        "a.pdf",
    )
    assert found.fault is None


def test_a_folder_gives_its_pictures_and_pdfs_in_the_order_of_their_names():
    write(
        "scans/page10.png", "scans/page2.PNG", "scans/x/a.pdf", "scans/x/y/b.tiff", "scans/notes.md"
    )
    found = find_documents(["scans"])
    assert names(found) == ["page2.PNG", "page10.png", "x/a.pdf", "x/y/b.tiff"]
    assert [d.source for d in found] == [f"scans/{name}" for name in names(found)]


def test_hidden_files_and_the_output_folder_are_left_out():
    write(
        "scans/.a.png", "scans/.cache/b.png", "scans/c.png", "scans/out/a.pdf.figures/p0001-1.png"
    )
    assert names(find_documents(["scans"], out=Path("scans/out"))) == ["c.png"]
    Path("scans/results").symlink_to("out")
    assert names(find_documents(["scans"], out=Path("scans/results"))) == ["c.png"]
    assert names(find_documents(["scans"], out=Path("elsewhere")))[0] == "c.png"


def test_reading_a_folder_into_itself_is_refused():
    write("scans/a.png")
    with pytest.raises(UserError, match="the folder that is read and the one that is written") as e:
        find_documents(["scans"], out=Path("./scans/../scans"))
    assert e.value.exit_code == EXIT_REFUSED


def test_pictures_that_cannot_be_read_are_told_and_not_left_out():
    write("scans/a.heic", "scans/b.jp2", "scans/c.fits", "scans/d.txt")
    assert names(find_documents(["scans"])) == ["a.heic", "b.jp2", "c.fits"]


def test_globs_are_expanded_where_the_shell_did_not():
    write("a1.png", "a10.png", "a2.png", "b.pdf", "x/deep/c.png")
    assert names(find_documents(["a*.png"])) == ["a1.png", "a2.png", "a10.png"]
    assert names(find_documents(["**/c.png"])) == ["c.png"]
    assert names(find_documents(["?.pdf", "x*"])) == ["b.pdf", "deep/c.png"]


def test_a_file_whose_name_looks_like_a_glob_or_a_list_is_that_file():
    write("a[1].png", "a1.png", "@b.png")
    assert names(find_documents(["a[1].png", "@b.png"])) == ["a[1].png", "@b.png"]


@pytest.mark.parametrize("content", [
    b"a.png\nscans\n\n  \nmissing.png\n",
    b"\xef\xbb\xbfa.png\r\nscans\r\nmissing.png",
    b"a.png\0scans\0missing.png\0",
])  # fmt: skip
def test_a_list_names_a_path_a_line(content):
    write("a.png", "scans/b.png")
    Path("list.txt").write_bytes(content)
    found = find_documents(["@list.txt"])
    assert names(found) == ["a.png", "b.png", "missing.png"]
    assert [document.fault is None for document in found] == [True, True, False]


def test_names_in_a_list_may_hold_newlines_where_nul_ends_them():
    write("a\nb.png", " c.png")
    Path("list.txt").write_bytes(b"a\nb.png\0 c.png\0")
    assert names(find_documents(["@list.txt"])) == ["a\nb.png", " c.png"]


def test_a_list_that_is_not_there_is_wrong_usage():
    with pytest.raises(UsageError, match=r"@nothing\.txt: the list cannot be read") as error:
        find_documents(["@nothing.txt"])
    assert error.value.exit_code == EXIT_USAGE


def test_a_file_that_is_named_twice_is_read_once():
    write("scans/x/a.pdf", "b.png")
    found = find_documents(["scans", "b.png", "./b.png", "scans/x/a.pdf", "scans/x/../x/a.pdf"])
    assert names(found) == ["x/a.pdf", "b.png"]


# --- stdin ----------------------------------------------------------------------------------------


class Piped:
    def __init__(self, content: bytes, is_terminal: bool = False):
        self.buffer, self.is_terminal = io.BytesIO(content), is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.fixture
def spools(monkeypatch):
    monkeypatch.setattr(documents, "_SPOOLS", [])


def test_what_is_piped_in_is_a_document(monkeypatch, spools):
    monkeypatch.setattr(sys, "stdin", Piped(b"content"))
    (found,) = find_documents(["-", "-"])
    assert (found.source, found.name, found.path.read_bytes()) == ("-", "stdin", b"content")
    (again,) = find_documents(["-"])
    assert again.path == found.path
    documents._SPOOLS.pop().cleanup()
    assert not found.path.exists() and not found.path.parent.exists()


def test_a_terminal_is_not_waited_for(monkeypatch, spools):
    monkeypatch.setattr(sys, "stdin", Piped(b"", is_terminal=True))
    with pytest.raises(UsageError, match="nothing is piped in"):
        find_documents(["-"])


# --- what cannot be read --------------------------------------------------------------------------


@pytest.mark.parametrize("given, fault", [
    ("missing.png", "missing.png: does not exist; expected a picture, a PDF or a folder"),
    ("no*.png", "no*.png: matches no file; expected pictures, PDFs or folders"),
    ("", ": not a valid file name; expected a picture, a PDF or a folder"),
    ("a\0b", "'a\\x00b': not a valid file name; expected a picture, a PDF or a folder"),
    ("empty", "empty: the folder holds no picture and no PDF"),
    ("x" * 5000, "x" * 5000 + ": does not exist; expected a picture, a PDF or a folder"),
    ("a\nb", "'a\\nb': does not exist; expected a picture, a PDF or a folder"),
])  # fmt: skip
def test_every_input_becomes_a_document_that_says_why_it_cannot_be_read(given, fault):
    Path("empty").mkdir()
    write("good.png")
    found = find_documents([given, "good.png"])
    assert [document.fault for document in found] == [fault, None]
    assert all(document.name for document in found)


def test_a_folder_that_cannot_be_read_is_told(monkeypatch):
    write("scans/a.png", "scans/locked/b.png")
    really = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_documents(["scans"])
    assert {d.name: d.fault for d in found} == {
        "a.png": None,
        "locked": "scans/locked: the folder cannot be read (Permission denied)",
    }
    (only,) = find_documents(["scans/locked"])
    assert only.fault == "scans/locked: the folder cannot be read (Permission denied)"


def test_loops_of_links_end_and_dangling_links_are_told():
    write("scans/x/a.png")
    Path("scans/x/up").symlink_to("..")
    Path("scans/self").symlink_to("self")
    Path("scans/b.png").symlink_to("nowhere.png")
    assert names(find_documents(["scans"])) == ["b.png", "x/a.png"]


def test_linked_folders_are_read_once():
    write("elsewhere/a.png", "scans/b.png")
    Path("scans/one").symlink_to("../elsewhere")
    Path("scans/two").symlink_to("../elsewhere")
    assert names(find_documents(["scans"])) == ["b.png", "one/a.png"]


# --- names ----------------------------------------------------------------------------------------


def test_inputs_of_one_name_get_a_hash_of_their_paths():
    write("2023/a.pdf", "2024/a.pdf", "2024/b.pdf", "c/a.png")
    found = find_documents(["2023/a.pdf", "2024", "c/a.png"])
    expected = [f"a.pdf~{digest_of('2023/a.pdf')}", f"a.pdf~{digest_of('2024/a.pdf')}", "b.pdf", "a.png"]  # fmt: skip
    assert names(found) == expected
    assert names(find_documents(["c/a.png", "2024", "2023/a.pdf"])) == expected[3:] + expected[1:3] + expected[:1]  # fmt: skip


def test_names_that_a_disk_may_take_for_one_are_told_apart():
    write("A.pdf", "x/a.PDF", "x/e\u0301.png", "\u00e9.png", "b.png")
    found = names(find_documents(["A.pdf", "x/a.PDF", "x/e\u0301.png", "\u00e9.png", "b.png"]))
    assert all("~" in name for name in found[:4]) and found[4] == "b.png"


def test_a_document_gives_way_to_a_folder_called_like_its_output():
    write("in/a.pdf", "in/a.pdf.md/b.png", "in/a.pdf.txt.png")
    found = names(find_documents(["in"]))
    assert found == [f"a.pdf~{digest_of('in/a.pdf')}", "a.pdf.md/b.png", "a.pdf.txt.png"]


def test_a_watched_folder_may_be_empty_and_must_be_there():
    Path("in").mkdir()
    assert find_documents([], watched=Path("in")) == []
    write("in/a.png")
    assert names(find_documents([], watched=Path("in"))) == ["a.png"]
    with pytest.raises(UsageError, match=r"--watch: none: there is no such folder"):
        find_documents([], watched=Path("none"))


def test_odd_names_stay_as_they_are_where_a_file_can_be_called_so():
    odd = ["-a.png", "a b.png", "a\nb.png", "😀.png", "a#b.pdf", "CON.png", "%2e%2e.png", "..a.png"]
    write(*odd)
    assert names(find_documents([f"./{name}" for name in odd])) == odd


def test_a_long_name_leaves_room_for_endings():
    long = "é" * 120 + ".png"
    write(f"x/{long}")
    (found,) = find_documents(["x"])
    assert found.name == f"{long[:100]}~{digest_of(f'x/{long}')}"
    assert len(found.name.encode()) < MOST_NAME_BYTES + 10
    assert found.path.exists()


def test_a_name_that_is_not_text_is_shown_and_unique():
    os.close(os.open(b"a\xff.png", os.O_CREAT))
    (found,) = find_documents(["."])
    digest = digest_of(os.fsdecode(b"a\xff.png"))
    assert found.name == f"a\\xff.png~{digest}"
    assert found.source == "a\\xff.png" and found.path.exists()
    found.name.encode(), found.source.encode()


def test_files_that_share_the_digits_of_their_hash_get_more(monkeypatch):
    class Same:
        def __init__(self, content: bytes):
            self.content = content

        def hexdigest(self) -> str:
            return "0" * 15 + str(len(self.content) % 10) * 49

    monkeypatch.setattr(documents.hashlib, "sha256", Same)
    write("x/a.png", "xx/a.png")
    found = names(find_documents(["x/a.png", "xx/a.png"]))
    assert len(set(found)) == 2 and all(len(name) == len("a.png~") + 16 for name in found)


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["a.pdf", "A.pdf", "b", "Ä", "ä"])))
)
def test_no_two_documents_share_a_name_and_order_does_not_matter(given):
    found = [
        Document(source=f"{folder}/{name}", path=Path(folder, name), name=name)
        for folder, name in dict.fromkeys(given)
    ]
    named = documents._with_unique_names(found)
    assert len({documents.alike(name) for name in names(named)}) == len(found)
    backwards = documents._with_unique_names(found[::-1])
    assert backwards == named[::-1]
