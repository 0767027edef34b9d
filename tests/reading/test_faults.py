"""Whatever fails on the way: a plain message, nothing corrupt, and the job can go on."""

from __future__ import annotations

import errno
import re
import shutil
import sys

import pytest
from PIL import Image

from deepseek_ocr.cli import main as cli
from deepseek_ocr.errors import PageError
from deepseek_ocr.reading import outputs

from .failing_disk import FailingDisk
from .job_samples import files_of, make_pdf, outcome_of, use_engine
from .stub import StubEngine, say_where

FIGURE = "\n<|ref|>image<|/ref|><|det|>[[100, 100, 400, 300]]<|/det|>\n"
NUM_PAGES, BATCH = 4, 2
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EPIPE": errno.EPIPE}


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "in"
    folder.mkdir()
    make_pdf(folder / "a.pdf", 3)
    Image.new("L", (60, 80), "white").save(folder / "scan.png")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    return folder


@pytest.fixture
def read(documents, monkeypatch):
    """Reads the documents into a folder; gives the exit code and the engine."""

    def run(out, *flags, answer=lambda page: say_where(page) + FIGURE):
        engine = StubEngine(answer, size=(100, 140))
        use_engine(engine, lambda *module: monkeypatch.setitem(sys.modules, *module))
        arguments = [documents, f"--out={out}", "--model=stub", "--quiet", f"--batch_size={BATCH}"]
        return cli.run("read", [*map(str, arguments), "--format=md,json,pdf", *flags]), engine

    return run


@pytest.fixture
def undisturbed(read, tmp_path):
    out = tmp_path / "undisturbed"
    with FailingDisk(out).installed() as disk:
        assert read(out)[0] == 3  # broken.pdf
    return out, disk.count


def fail_and_go_on(read, whole, out, moment, error, capsys):
    """Let the disk fail at a write, and every later one; then let the job come to its end."""
    with FailingDisk(out, moment, error).installed():
        code, before = read(out)
    told = capsys.readouterr().err
    assert code == (4 if "cannot be used as output folder" in told else 1), told
    assert len(told.splitlines()) == 1
    assert str(out) in told
    assert "Traceback" not in told
    assert code == 4 or "nothing half-written is left, and the same command goes on" in told
    code, after = read(out)
    assert code == 3
    assert files_of(out) == files_of(whole)
    assert outcome_of(out) == outcome_of(whole)
    assert len(before.asked) + len(after.asked) <= NUM_PAGES + BATCH
    capsys.readouterr()


@pytest.mark.parametrize("error, step", [("ENOSPC", 9), ("EIO", 17), ("EPIPE", 23)])
def test_a_job_whose_disk_fails_goes_on_later(read, undisturbed, error, step, tmp_path, capsys):
    whole, num_writes = undisturbed
    for moment in range(step % 3, num_writes, step):
        fail_and_go_on(read, whole, tmp_path / str(moment), moment, ERRORS[error], capsys)


@pytest.mark.proof
@pytest.mark.parametrize("error", ERRORS)
def test_a_job_whose_disk_fails_at_any_write_goes_on_later(
    read, undisturbed, error, tmp_path, capsys
):
    whole, num_writes = undisturbed
    for moment in range(num_writes):
        fail_and_go_on(read, whole, tmp_path / str(moment), moment, ERRORS[error], capsys)


def test_an_output_folder_that_vanishes_ends_the_job_with_a_plain_line(read, tmp_path, capsys):
    out = tmp_path / "out"

    def vanish(page):
        if page.page == 2:
            shutil.rmtree(out)
        return "text"

    assert read(out, answer=vanish)[0] == 1
    told = capsys.readouterr().err
    assert re.fullmatch(r"read: .*: No such file or directory; nothing half-written .*\n", told)
    assert read(out)[0] == 3


def test_ctrl_c_leaves_a_job_that_goes_on(read, undisturbed, tmp_path, capsys):
    out = tmp_path / "out"
    code, _ = read(out, answer=once_at(2, KeyboardInterrupt()))
    assert code == 130
    told = "read: interrupted; the same command goes on where it stopped\n"
    assert capsys.readouterr().err == told
    code, after = read(out)
    assert (code, len(after.asked)) == (3, NUM_PAGES - 1)
    assert outcome_of(out) == outcome_of(undisturbed[0])


def once_at(number, error):
    """An answer that raises `error` in place of the answer of that number, from 1."""
    numbers = iter(range(1, 1000))

    def answer(page):
        return error if next(numbers) == number else say_where(page) + FIGURE

    return answer


def test_an_engine_that_ends_leaves_a_job_that_goes_on(read, undisturbed, tmp_path, capsys):
    out = tmp_path / "out"
    assert read(out, answer=once_at(3, RuntimeError("the device is gone")))[0] == 1
    assert "RuntimeError: the device is gone" in capsys.readouterr().err
    assert read(out)[0] == 3
    assert files_of(out) == files_of(undisturbed[0])


def test_a_document_that_cannot_be_written_does_not_end_the_job(
    read, undisturbed, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    open_page = outputs.open_page

    def gone(source, **size):
        if source.path.name == "a.pdf":
            raise PageError("a.pdf: has gone")
        return open_page(source, **size)

    with monkeypatch.context() as patched:
        patched.setattr(outputs, "open_page", gone)
        assert read(out)[0] == 3
    told = capsys.readouterr().err
    assert "a.pdf: all pages are read, but its files cannot be written (a.pdf: has gone)" in told
    assert "scan.png.md" in files_of(out)
    assert "a.pdf.md" not in files_of(out)
    code, engine = read(out)
    assert (code, engine.asked) == (3, [])  # what is read is read
    assert files_of(out) == files_of(undisturbed[0])


def test_a_folder_in_place_of_an_output_stops_that_document_alone(
    read, undisturbed, tmp_path, capsys
):
    out = tmp_path / "out"
    (out / "a.pdf.md" / "mine").mkdir(parents=True)
    assert read(out)[0] == 3
    told = capsys.readouterr().err
    assert f"a.pdf: all pages are read, but its files cannot be written ({out}/a.pdf.md: " in told
    assert "scan.png.md" in files_of(out)
    shutil.rmtree(out / "a.pdf.md")
    code, engine = read(out)
    assert (code, engine.asked) == (3, [])  # what is read is read
    assert files_of(out) == files_of(undisturbed[0])


def test_a_file_in_place_of_the_output_folder_is_refused(read, tmp_path, capsys):
    out = tmp_path / "out"
    out.write_text("mine")
    assert read(out)[0] == 4
    assert "cannot be used as output folder" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_a_second_job_of_the_same_process_in_the_folder_is_refused(read, tmp_path, capsys):
    out = tmp_path / "out"

    def again(page):
        assert read(out)[0] == 4
        return "text"

    assert read(out, answer=again)[0] == 3
    assert "this process already reads into it" in capsys.readouterr().err
