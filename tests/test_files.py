"""Files are written whole or not at all; files that grow lose at most a torn last line."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.errors import UserError
from deepseek_ocr.files import (
    append_line,
    check_output_dir,
    make_output_dir,
    replacing,
    sha256_of,
    write_atomic,
)
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    return tmp_path_factory.mktemp("growing") / "rows.jsonl"


@pytest.mark.parametrize("content", ["text\nwith ünïcode 漢\r\n", "", b"\x00\xff bytes"])
def test_content_is_written_as_it_is(tmp_path, content):
    path = tmp_path / "a.json"
    write_atomic(path, content)
    write_atomic(path, content)
    assert path.read_bytes() == (content.encode("utf-8") if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_half_a_surrogate_pair_is_written_as_json_writes_it(tmp_path):
    write_atomic(tmp_path / "a.json", '"\ud800"')
    assert (tmp_path / "a.json").read_bytes() == rb'"\ud800"'
    append_line(tmp_path / "b.jsonl", '"\udfff"')
    assert (tmp_path / "b.jsonl").read_bytes() == rb'"\udfff"' + b"\n"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), SystemExit(1)])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(type(error)), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_content_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.json"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent  # the same file system, so that rename is atomic
    assert path.read_text() == "new"


def test_results_can_be_read_by_colleagues(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a.json", "x")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_lines_are_appended_one_by_one(tmp_path):
    path = tmp_path / "log.txt"
    for line in ("one", "two\n", "", "drei ü"):
        append_line(path, line)
    assert path.read_text(encoding="utf-8") == "one\ntwo\n\ndrei ü\n"


lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])))


@settings(deadline=None, max_examples=50)
@given(whole=lines, torn=st.binary().map(lambda b: b.replace(b"\n", b"")))
def test_a_torn_last_line_is_discarded_and_no_whole_line_is_lost(growing, whole, torn):
    kept = "".join(line + "\n" for line in whole).encode("utf-8")
    growing.write_bytes(kept + torn)
    append_line(growing, "next")
    assert growing.read_bytes() == kept + b"next\n"


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 200_000])
def test_a_long_torn_line_is_discarded(tmp_path, size):
    path = tmp_path / "rows.jsonl"
    for before in (b"", b"whole\n", b"whole\n" * 20_000):
        path.write_bytes(before + b"x" * size)
        append_line(path, "next")
        assert path.read_bytes() == before + b"next\n"


def test_processes_that_append_at_once_tear_no_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    code = (
        "import sys; from pathlib import Path; from deepseek_ocr.files import append_line\n"
        "for n in range(20): append_line(Path(sys.argv[1]), sys.argv[2] * 5000 + str(n))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path), letter], cwd=REPOSITORY)
        for letter in "abc"
    ]
    assert [process.wait() for process in started] == [0, 0, 0]
    expected = [letter * 5000 + str(n) for letter in "abc" for n in range(20)]
    assert sorted(path.read_text().splitlines()) == sorted(expected)


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_an_output_folder_is_made_with_its_parents(tmp_path):
    path = tmp_path / "a" / "b"
    assert make_output_dir(path) == path
    assert make_output_dir(path) == path
    assert list(path.iterdir()) == []


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(UserError, match="cannot be used as output folder") as caught:
            make_output_dir(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_an_output_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    def denied(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)  # the tests may run as root
    with pytest.raises(UserError, match=r"\(Permission denied\); name a folder"):
        make_output_dir(tmp_path)


def test_a_folder_that_can_be_made_is_accepted_and_not_made(tmp_path):
    check_output_dir(tmp_path / "new" / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_an_output_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UserError, match="taken is a file"):
        check_output_dir(tmp_path / "taken" / "run")
