"""What docs/reading.md says exists, and what exists is said there."""

from __future__ import annotations

import ast
import json
import re
import shlex

import pytest

from deepseek_ocr.cli import main as entry
from deepseek_ocr.cli.completion import CompletionConfig
from deepseek_ocr.cli.options import parse_options
from deepseek_ocr.reading.config import FORMATS, ReadConfig
from deepseek_ocr.reading.journal import journal_row
from deepseek_ocr.reading.json_document import page_object
from deepseek_ocr.reading.reader import OcrReader, ReadOptions
from deepseek_ocr.reading.results import ReadPage
from deepseek_ocr.reading.tasks import TASK_PROMPTS
from tests.conftest import REPOSITORY
from tests.test_training_docs import GENERAL, flags_in, names_of

PAGE = (REPOSITORY / "docs" / "reading.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ON_BY_THEMSELVES = {"guard", "resume"}
"""Shown as --no_..."""
BY_PLACE = {"inputs"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.S)


def commands(page: str) -> list[list[str]]:
    """Our own commands, as words, without what the shell does with them."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    found = [re.sub(r"^source <\((.*)\)", r"\1", line) for line in lines]
    words = [shlex.split(re.sub(r" [<>] \S+", "", line), comments=True) for line in found]
    return [line for line in words if line and line[0] == "deepseek-ocr"]


def test_every_flag_of_reading_is_on_the_page():
    assert names_of(ReadConfig) - flags_in(PAGE) == ON_BY_THEMSELVES | BY_PLACE
    assert {f"no_{name}" for name in ON_BY_THEMSELVES} <= flags_in(PAGE)


def test_every_flag_on_the_page_exists():
    known = names_of(ReadConfig) | {f"no_{name}" for name in ON_BY_THEMSELVES} | GENERAL
    assert flags_in(PAGE) - known == set()


@pytest.mark.parametrize("words", commands(PAGE) + commands(README), ids=" ".join)
def test_every_command_on_the_page_is_one(words):
    assert words[1] in entry.COMMANDS
    configs = {"read": ReadConfig, "completion": CompletionConfig}
    if words[1] in configs:
        parse_options(configs[words[1]], words[2:], prog=words[1], description="")


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 20
    for path, name in named:
        assert f"def {name}(" in (REPOSITORY / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_tasks_and_formats_are_those_of_the_command():
    plain = PAGE.replace("\\|", "|")
    for task, prompt in TASK_PROMPTS.items():
        shown = prompt.replace("\n", "\\n").replace("{text}", "TEXT")
        assert f"| `{task}` | `{shown}` |" in plain
    assert all(f"| `{kind}` | `a.pdf.{kind}` |" in PAGE for kind in FORMATS)


def test_the_json_on_the_page_has_the_keys_that_are_written():
    page, row = (json.loads(block) for block in blocks(PAGE, "json"))
    read = ReadPage(number=1, status="ok")
    assert list(page) == list(page_object(read))
    assert list(row) == [*journal_row("a.pdf", read), "fingerprint"]


def test_the_python_of_the_page_calls_what_is_there():
    ours = [block for block in blocks(PAGE, "python") if "from docling." not in block]
    for block in ours:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr == "load" or hasattr(OcrReader, node.func.attr)
    options = re.findall(r"`(\w+)`", PAGE[PAGE.index("Options are those") :].split("\n\n")[0])
    assert set(options) - {"locate"} == ReadOptions.__annotations__.keys() - {"locate"}
