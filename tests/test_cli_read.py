"""`deepseek-ocr read`: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from deepseek_ocr.cli import main as cli
from deepseek_ocr.cli.completion import CONFIGS, bash, fish, flags_of, zsh
from deepseek_ocr.cli.main import COMMANDS
from deepseek_ocr.errors import UserError
from deepseek_ocr.reading import run as runs
from tests.conftest import REPOSITORY
from tests.reading.job_samples import answer, make_pdf, result_of, use_engine
from tests.reading.stub import StubEngine, say_where


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    make_pdf(folder / "a.pdf", 3)
    Image.new("L", (60, 80), "white").save(folder / "scan.png")
    return folder


@pytest.fixture
def read(monkeypatch):
    """Runs `deepseek-ocr read`; the exit code."""
    monkeypatch.setenv("DEEPSEEK_OCR_MODEL", "stub")

    def run(*arguments, engine=None):
        engine = engine or StubEngine(answer, size=(100, 140))
        use_engine(engine, lambda *module: monkeypatch.setitem(sys.modules, *module))
        return cli.run("read", [*map(str, arguments)])

    return run


@pytest.fixture
def failing():
    """An engine that cannot read the second page of anything."""
    return StubEngine(
        lambda page: (
            result_of(page, "", "failed", "too dark") if page.page == 2 else say_where(page)
        )
    )


# --- to stdout ------------------------------------------------------------------------------------


def test_without_out_the_markdown_of_a_document_goes_to_stdout(read, folder, capsys):
    assert read(folder / "scan.png") == 0
    assert capsys.readouterr() == ("scan.png, page 1\n", "")


def test_pages_come_as_they_are_read(read, folder, capsys):
    assert read(folder / "a.pdf", "--pages=2-") == 0
    out = capsys.readouterr().out
    assert out.index("<!-- page 2 -->") < out.index("a.pdf, page 2") < out.index("<!-- page 3 -->")


def test_another_format_goes_to_stdout_where_one_is_asked(read, folder, capsys):
    assert read(folder / "a.pdf", "--format=json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [page["page"] for page in found["pages"]] == [1, 2, 3]
    assert found["model"] == "stub"


def test_a_pdf_goes_to_stdout_as_bytes(read, folder, capfdbinary):
    assert read(folder / "a.pdf", "--format=pdf") == 0
    assert capfdbinary.readouterr().out.startswith(b"%PDF-")


def test_a_failed_page_is_told_and_the_others_are_printed(read, folder, failing, capsys):
    assert read(folder / "a.pdf", engine=failing) == 3
    out, err = capsys.readouterr()
    assert "a.pdf, page 1" in out
    assert "a.pdf, page 3" in out
    assert "Page 2 could not be read: too dark" in out
    assert err == f"failed: {folder / 'a.pdf'} page 2: too dark\n"


def test_a_document_that_cannot_be_opened_prints_nothing(read, tmp_path, capsys):
    assert read(tmp_path / "none.png") == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "none.png: does not exist" in err


def test_stdin_is_read_as_a_document(read, folder, monkeypatch, capsys):
    content = (folder / "scan.png").read_bytes()
    stdin = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr("deepseek_ocr.reading.documents._SPOOLS", [])
    assert read("-") == 0
    assert capsys.readouterr().out == "stdin, page 1\n"


@pytest.mark.parametrize("flags, start", [([], "<!--"), (["--json-lines"], '{"so')])
def test_a_reader_that_leaves_ends_the_reading(folder, flags, start):
    make_pdf(folder / "long.pdf", 60)
    code = """
import sys
from deepseek_ocr.cli.main import main
from tests.reading.job_samples import use_engine
from tests.reading.stub import StubEngine
engine = StubEngine(lambda page: "word " * 4000)
use_engine(engine)
code = main(["read", *sys.argv[1:]])
print(len(engine.asked), file=sys.stderr)
raise SystemExit(code)
"""
    command = [sys.executable, "-c", code, str(folder / "long.pdf"), "--quiet", *flags]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.read(4) == start
    process.stdout.close()
    told, asked = process.stderr.read().splitlines()
    assert (process.wait(), told) == (1, "read: stopped, as nobody reads stdout any more")
    assert int(asked) < 60


def test_several_documents_need_a_folder(read, folder, capsys):
    assert read(folder) == 2
    assert "2 documents and no place for them; name a folder with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, told",
    [
        ([], "missing: INPUTS"),
        (["a.png", "--format=md,docx"], "unknown 'docx'; known: md,json,html,txt,pdf"),
        (["a.png", "--format=html,txt"], "stdout takes one --format"),
        (["a.png", "--show-boxes"], "name a folder for them with --out"),
        (["a.png", "--engine=http://localhost"], "reads with its own engine alone"),
        (["a.png", "--task=locate"], "needs --locate TEXT"),
        (["a.png", "--task=ocr", "--locate=x"], "--locate belongs to --task locate"),
        (["a.png", "--pages=3-1"], "ends before it begins"),
        (["a.png", "--retries=-1"], "--retries must be at least 0"),
        (["a.png", "--dpi=nan"], "--dpi must lie between"),
        (["a.png", "--password_file=none"], "--password_file: none: No such file"),
        (["a.png", "--bach_size=1"], "did you mean --batch_size"),
        (["a.png", "--watch=b"], "name a folder for them with --out"),
    ],
)
def test_wrong_usage_is_refused(read, flags, told, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (9, 9)).save("a.png")
    assert read(*flags) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert told in err


# --- into a folder --------------------------------------------------------------------------------


def test_what_is_there_is_said_on_stdout_and_what_failed_on_stderr(
    read, folder, failing, tmp_path, capsys
):
    out = tmp_path / "out"
    assert read(folder, f"--out={out}", engine=failing) == 3
    told, err = capsys.readouterr()
    assert told == f"{out}: 2 documents, 4 pages: 1 failed, 3 ok\n"
    assert err.splitlines()[-1] == f"failed: {folder / 'a.pdf'} page 2: too dark"
    assert "read: 4/4 pages" in err


def test_progress_counts_each_bad_end_by_its_name(read, folder, tmp_path, capsys):
    ends = {1: "truncated", 2: "failed", 3: "truncated"}
    engine = StubEngine(lambda page: result_of(page, "", ends[page.page]))
    read(folder / "a.pdf", f"--out={tmp_path / 'out'}", engine=engine)
    line = next(row for row in capsys.readouterr().err.splitlines() if row.startswith("read: 3/3"))
    assert "truncated=2" in line and "failed=1" in line


def test_many_failures_are_counted(read, tmp_path, capsys):
    make_pdf(tmp_path / "a.pdf", 30)
    fails = StubEngine(lambda page: result_of(page, "", "failed"))
    assert read(tmp_path / "a.pdf", f"--out={tmp_path / 'out'}", engine=fails) == 3
    told = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("failed: ") for line in told) == 10
    assert told[-1] == "20 more; all are in pages.jsonl"


def test_quiet_shows_failures_alone(read, folder, tmp_path, failing, capsys):
    out = tmp_path / "out"
    assert read(folder, f"--out={out}", "--quiet", engine=failing) == 3
    assert capsys.readouterr() == ("", f"failed: {folder / 'a.pdf'} page 2: too dark\n")


def test_json_lines_has_an_object_for_each_page(read, folder, tmp_path, capsys):
    assert read(folder, f"--out={tmp_path / 'out'}", "--json-lines") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = (tmp_path / "out" / "pages.jsonl").read_text().splitlines()
    assert [row | {"fingerprint": json.loads(line)["fingerprint"]} for row, line in zip(rows, written, strict=True)] == [json.loads(line) for line in written]  # fmt: skip


def test_json_lines_without_a_folder_has_the_texts(read, folder, capsys):
    assert read(folder / "scan.png", "--json-lines") == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["markdown"] == "scan.png, page 1"
    assert row["regions"][0]["label"] == "text"
    assert row["status"] == "ok"


def test_an_interrupted_job_says_how_to_go_on(read, folder, tmp_path, capsys):
    stops = StubEngine(lambda page: KeyboardInterrupt())
    assert read(folder, f"--out={tmp_path / 'out'}", engine=stops) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "read: interrupted; the same command goes on where it stopped"
    )


def test_a_resumed_job_says_what_is_done(read, folder, tmp_path, failing, capsys):
    out = f"--out={tmp_path / 'out'}"
    read(folder, out, engine=failing)
    capsys.readouterr()
    assert read(folder, out) == 0
    assert "resume: 3 of 4 pages were read before" in capsys.readouterr().err


def test_a_model_that_cannot_be_used_leaves_no_folder(read, folder, tmp_path, capsys, monkeypatch):
    def refused(*_, **__):
        raise UserError("none: no such folder")

    monkeypatch.setattr("deepseek_ocr.cli.read.load", refused)
    assert read(folder, f"--out={tmp_path / 'out'}") == 4
    assert capsys.readouterr().err == "read: none: no such folder\n"
    assert not (tmp_path / "out").exists()


def test_without_a_model_named_the_small_one_is_told(read, folder, monkeypatch, capsys):
    monkeypatch.delenv("DEEPSEEK_OCR_MODEL")
    assert read(folder / "scan.png") == 0
    out, err = capsys.readouterr()
    assert out == "scan.png, page 1\n"
    assert err == (
        "note: reading with nano, a small model for demonstration; name another with --model or "
        "$DEEPSEEK_OCR_MODEL\n"
    )
    assert read(folder / "scan.png", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_settings_come_from_a_file_too(read, folder, tmp_path, capsys):
    settings = tmp_path / "read.yaml"
    settings.write_text(f"inputs: [{folder / 'scan.png'}]\nout: {tmp_path / 'out'}\nquiet: true\n")
    assert read("--config", settings) == 0
    assert (tmp_path / "out" / "scan.png.md").read_text() == "scan.png, page 1\n"


# --- what would be done ---------------------------------------------------------------------------


def test_a_dry_run_tells_and_writes_nothing(read, folder, tmp_path, capsys):
    out = tmp_path / "out"
    (folder / "broken.pdf").write_bytes(b"%PDF-")
    assert read(folder, f"--out={out}", "--dry-run", "--pages=1-2") == 3
    told, err = capsys.readouterr()
    assert told.splitlines() == [
        f"{folder / 'a.pdf'}: 2 pages -> {out / 'a.pdf.md'}, {out / 'a.pdf.json'}",
        f"{folder / 'scan.png'}: 1 page -> {out / 'scan.png.md'}, {out / 'scan.png.json'}",
        "3 documents, 3 pages, 3 to read",
    ]
    assert "broken.pdf" in err
    assert not out.exists()


def test_a_dry_run_knows_what_is_done(read, folder, tmp_path, failing, capsys):
    out = f"--out={tmp_path / 'out'}"
    read(folder, out, engine=failing)
    capsys.readouterr()
    assert read(folder, out, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 documents, 4 pages, 1 to read"
    read(folder, out, "--dry-run", "--no-resume")
    assert capsys.readouterr().out.splitlines()[-1] == "2 documents, 4 pages, 4 to read"


def test_neither_help_nor_plans_nor_finished_jobs_load_torch(read, folder, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    assert read(folder, out, "--model=stub") == 0
    code = """
import sys
from deepseek_ocr.cli.main import run
code = run("read", sys.argv[1:])
assert "torch" not in sys.modules
raise SystemExit(code)
"""
    for arguments in (
        [str(folder), out, "--model=stub", "--dry-run"],
        [str(folder), out, "--model=stub"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=REPOSITORY)
        assert done.returncode == 0


# --- a folder that is watched ---------------------------------------------------------------------


def test_a_watched_folder_is_read_as_it_fills(read, folder, tmp_path, monkeypatch, capsys):
    steps = iter([1, 2, 3, 4, 5])

    def pause(_):
        step = next(steps)
        if step == 2:
            Image.new("L", (60, 80), "white").save(folder / "late.png")
        if step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs.time, "sleep", pause)
    engine = StubEngine(say_where)
    assert read("--watch", folder, f"--out={tmp_path / 'out'}", engine=engine) == 130
    assert sorted(engine.asked) == [
        ("a.pdf", 1), ("a.pdf", 2), ("a.pdf", 3), ("late.png", 1), ("scan.png", 1),
    ]  # fmt: skip
    assert len(capsys.readouterr().out.splitlines()) == 2  # rounds in which there was work


def test_a_dry_run_of_a_watched_folder_tells_and_ends(read, folder, tmp_path, capsys):
    assert read("--watch", folder, f"--out={tmp_path / 'out'}", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 documents, 4 pages, 4 to read"
    assert not (tmp_path / "out").exists()


def test_a_watched_page_that_fails_is_not_tried_for_ever(read, folder, tmp_path, monkeypatch):
    steps = iter(range(5))

    def pause(_):
        if next(steps) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs.time, "sleep", pause)
    engine = StubEngine(lambda page: result_of(page, "", "failed"))
    assert read("--watch", folder, f"--out={tmp_path / 'out'}", engine=engine) == 130
    assert len(engine.asked) == 4


# --- completion -----------------------------------------------------------------------------------


def test_every_command_is_completed():
    assert list(CONFIGS) == list(COMMANDS)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["re"], "read"),
        (["read", "--json"], "--json_lines"),
        (["read", "--json-l"], "--json-lines"),
        (["read", "--task", "des"], "describe"),
        (["read", "--no_res"], "--no_resume"),
        (["completion", "fi"], "fish"),
        (["read", "some"], ""),
    ],
)
def test_bash_completes(words, expected):
    line = " ".join(f"'{word}'" for word in ["deepseek-ocr", *words])
    script = f"{bash()}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _deepseek_ocr"
    done = subprocess.run(
        ["bash", "-c", f'{script}; echo "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == (expected, "")


@pytest.mark.parametrize("shell, script", [("bash", bash), ("zsh", zsh), ("fish", fish)])
def test_the_completion_of_a_shell_is_printed(shell, script, capsys):
    assert cli.run("completion", [shell]) == 0
    assert capsys.readouterr().out == script()
    assert "--model" in script() or "-l model" in script()


def test_flags_of_a_command_are_those_of_its_help(capsys):
    with pytest.raises(SystemExit):
        cli.run("read", ["--help"])
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in flags_of("read"))
