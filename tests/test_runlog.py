"""Events are lines for people and objects for programs, appended and never truncated."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr import runlog
from deepseek_ocr.runlog import LOG_NAME, METRICS_NAME, RunLog, versions


def lines(folder: Path) -> list[str]:
    return (folder / LOG_NAME).read_text(encoding="utf-8").splitlines()


def test_an_event_is_one_line_of_time_command_event_and_pairs(tmp_path):
    RunLog(tmp_path, "train").event("step", step=3, loss=0.123456789, path="a b", lr=2e-5)
    (line,) = lines(tmp_path)
    time, rest = line.split(" ", 1)
    assert datetime.datetime.fromisoformat(time).tzinfo is not None
    assert rest == 'train event=step step=3 loss=0.123457 path="a b" lr=2e-05'
    assert not (tmp_path / METRICS_NAME).exists()


@pytest.mark.parametrize(
    "value, text",
    [("plain", "plain"), ("", '""'), ("a=b", '"a=b"'), ('say "x"', '"say \\"x\\""'), ("a\nb", '"a\\nb"'), (None, "None"), (True, "True"), ({"k": [1, "ü"]}, '{"k": [1, "ü"]}'), ((1, 2), "[1, 2]"), (Path("x/y"), "x/y")],
)  # fmt: skip
def test_values_with_blanks_or_structure_are_json(tmp_path, value, text):
    RunLog(tmp_path, "test").event("end", value=value)
    assert lines(tmp_path)[0].endswith(f"test event=end value={text}")


def test_metrics_are_written_for_people_and_for_programs(tmp_path):
    RunLog(tmp_path, "test").metrics("end", cer=0.123456789, path=Path("ü"))
    row = json.loads((tmp_path / METRICS_NAME).read_text(encoding="utf-8"))
    assert datetime.datetime.fromisoformat(row.pop("time")).utcoffset() == datetime.timedelta(0)
    assert row == {"command": "test", "event": "end", "cer": 0.123456789, "path": "ü"}
    assert lines(tmp_path)[0].endswith("test event=end cer=0.123457 path=ü")


def test_a_second_run_appends(tmp_path):
    for command in ("train", "test"):
        RunLog(tmp_path, command).metrics("start")
    assert len(lines(tmp_path)) == 2
    assert len((tmp_path / METRICS_NAME).read_text().splitlines()) == 2


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_text_stays_on_its_line(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp() / "any_text"
    folder.mkdir(exist_ok=True)
    (folder / LOG_NAME).unlink(missing_ok=True)
    (folder / METRICS_NAME).unlink(missing_ok=True)
    RunLog(folder, "test").metrics("row", text=text)
    assert (folder / LOG_NAME).read_bytes().count(b"\n") == 1
    assert json.loads((folder / METRICS_NAME).read_text(encoding="utf-8"))["text"] == text


def test_versions_name_what_decides_a_result():
    found = versions()
    assert found["python"].startswith("3.")
    assert {"torch", "transformers", "tokenizers", "pillow"} <= found.keys()


def test_the_revision_is_that_of_our_own_checkout_only(tmp_path, monkeypatch):
    found = runlog.revision()
    assert found is None or re.fullmatch(r"[0-9a-f]{40,64}\+?", found)
    monkeypatch.setattr(runlog, "__file__", str(tmp_path / "runlog.py"))  # not under git
    assert runlog.revision() is None
    monkeypatch.setenv("PATH", "")
    assert runlog.revision() is None


def test_the_processor_has_a_name():
    assert runlog.processor_name().strip()
