"""What docs/training.md says exists, and what exists is said there."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys

import pytest

from deepseek_ocr.cli import main as entry
from deepseek_ocr.cli.export import ExportConfig
from deepseek_ocr.cli.info import InfoConfig
from deepseek_ocr.cli.options import parse_options
from deepseek_ocr.data.splitting.config import SplitConfig
from deepseek_ocr.training.config import TrainConfig
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
OF_OTHERS = {"nproc_per_node", "nnodes", "rdzv_backend", "rdzv_endpoint", "shutdown_timeout"} | {
    "multi_gpu",
    "num_processes",
    "cpu",
}
"""Flags of torchrun, and of accelerate."""
ON_BY_THEMSELVES = {"try_largest", "eval_at_start"}
"""Shown as --no_..."""
GENERAL = {"config", "help", "debug"}
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)


def names_of(*configs: type) -> set[str]:
    return {field.name for config in configs for field in dataclasses.fields(config)}


def flags_in(text: str) -> set[str]:
    return {flag.replace("-", "_") for flag in re.findall(r"(?<![\w-])--([a-z][\w-]*)", text)}


def commands() -> list[list[str]]:
    lines = "\n".join(BLOCKS).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_every_flag_of_training_is_on_the_page():
    assert names_of(TrainConfig) - flags_in(PAGE) == ON_BY_THEMSELVES
    assert {f"no_{name}" for name in ON_BY_THEMSELVES} <= flags_in(PAGE)


def test_every_flag_on_the_page_exists():
    known = names_of(TrainConfig) | names_of(InfoConfig, SplitConfig) | GENERAL | OF_OTHERS
    known |= {"test_file", "no_try_largest", "no_eval_at_start", "resume"}
    assert flags_in(PAGE) - known == set()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_on_the_page_has_flags_that_exist(words):
    """Of our own commands: each flag is one that this very command takes."""
    if "train.py" in words:
        own, known = words[words.index("train.py") + 1 :], names_of(TrainConfig)
    elif words[0] == "deepseek-ocr":
        assert words[1] in entry.COMMANDS
        configs = {"info": InfoConfig, "export": ExportConfig}
        own = words[2:]
        known = names_of(configs[words[1]]) if words[1] in configs else set()
    elif "data_utils.py" in words:
        own, known = words, names_of(SplitConfig) | {"data_root", "output_dir"}
    elif "test.py" in words:
        own, known = words, {"data_root", "test_file", "model_path", "output_dir"}
    else:
        own, known = [], set()
        assert words[0] in ("vllm", "accelerate", "torchrun")
    assert flags_in(" ".join(own)) <= known | GENERAL


def test_the_configs_that_the_page_names_are_there_and_are_read():
    names = set(re.findall(r"configs/\w+\.yaml", PAGE))
    assert names == {f"configs/{path.name}" for path in (REPOSITORY / "configs").glob("*.yaml")}
    needed = ["--data_root", "d", "--train_file", "t", "--output_dir", "o", "--model_path", "m"]
    for name in names:
        arguments = ["--config", str(REPOSITORY / name), *needed]
        parse_options(TrainConfig, arguments, prog="train.py", description="")


def test_help_lists_every_flag_of_training():
    done = subprocess.run(
        [sys.executable, "train.py", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    shown = flags_in(done.stdout)
    hidden = {name for name in names_of(TrainConfig) if name not in shown}
    assert hidden == {"try_largest", "eval_at_start"}  # on by themselves: shown as --no_...
