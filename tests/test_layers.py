"""Imports point down, leaves know nothing of each other, and what should be light is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = "deepseek_ocr"
SOURCE = REPOSITORY / PACKAGE
LEAVES = {"children", "errors", "files", "pictures", "progress", "resolution", "runlog", "views"}
"""Modules beside the folders, importable by all, and importing only each other."""

ALLOWED = {  # folder -> the folders that it may import
    "model": set(),
    "data": set(),
    "metrics": set(),
    "inference": {"model", "data"},
    "reading": {"inference", "data", "model"},
    "training": {"model", "data", "metrics", "inference"},
    "evaluation": {"inference", "metrics", "data", "model"},
    "integrations": {"reading", "inference"},
    "cli": {"model", "data", "metrics", "inference", "reading", "training", "evaluation"},
    "__main__": {"cli"},
}
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors"}
WITHOUT_TORCH = {
    "data",
    "metrics",
    "reading",
    "evaluation",
    "integrations",
    "cli",
    "__main__",
    *LEAVES,
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, deferred: bool = True) -> Iterator[str]:
    """Absolute names of what a file imports; without `deferred`, of what importing it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in walk(tree, deferred):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{home}.{alias.name}" for alias in node.names)


def walk(tree: ast.AST, deferred: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if not deferred and (function or is_for_types(node)):
            continue
        yield node
        yield from walk(node, deferred)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def layer(name: str) -> str | None:
    """deepseek_ocr.data.pages.loading -> data; None for what is not ours, "" for the package itself."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 else ""


# the package's face names everything, lazily; see the tests below
BELOW_THE_FACE = [p for p in modules() if layer(name_of(p)) not in ("", "auto_classes")]


@pytest.mark.parametrize("path", BELOW_THE_FACE, ids=name_of)
def test_imports_point_down(path):
    own = layer(name_of(path))
    allowed = ALLOWED.get(own, set()) | LEAVES | {own}
    for name in imports(path):
        home = layer(name)
        if name == f"{PACKAGE}.__version__":
            continue
        assert home is None or home in allowed, f"{name_of(path)} imports {name}"


def test_every_folder_and_module_has_its_place():
    found = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in modules()}
    assert found <= {*ALLOWED, *LEAVES, "__init__", "auto_classes"}


LIGHT = [path for path in modules() if layer(name_of(path)) in WITHOUT_TORCH]


@pytest.mark.parametrize("path", LIGHT, ids=name_of)
def test_torch_is_imported_only_where_there_are_tensors(path):
    deferred = layer(name_of(path)) != "cli"  # a command may import it once it is sure to need it
    for name in imports(path, deferred=deferred):
        assert name.split(".")[0] not in HEAVY, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", sorted((SOURCE / "model").glob("*.py")), ids=name_of)
def test_within_model_imports_are_relative(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert not (node.module or "").startswith(PACKAGE)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_evaluates_text_or_reads_pickles(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "torch.load", "yaml.load"}
    assert not called & forbidden
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "marshal", "shelve"}


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )


CLI_MODULES = sorted(name_of(path) for path in (SOURCE / "cli").glob("*.py"))


def test_light_imports_bring_neither_torch_nor_transformers():
    light = [
        PACKAGE,
        f"{PACKAGE}.data",
        f"{PACKAGE}.metrics",
        f"{PACKAGE}.evaluation",
        *CLI_MODULES,
    ]
    light += [name_of(path) for folder in ("data", "metrics") for path in (SOURCE / folder).glob("*.py")]  # fmt: skip
    light += [f"{PACKAGE}.{name}" for name in sorted(LEAVES)]
    code = f"""
import importlib, sys
for name in {light!r}:
    importlib.import_module(name)
    heavy = {sorted(HEAVY)!r}
    found = [module for module in heavy if module in sys.modules]
    assert not found, (name, found)
"""
    python("-c", code)


@pytest.mark.parametrize("script", ["data_utils.py", "train.py", "test.py"])
def test_help_of_a_script_brings_neither_torch_nor_transformers(script):
    done = python("-X", "importtime", script, "--help")
    assert done.stdout.startswith("usage: ")
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "deepseek_ocr" in imported  # the table was read
    assert not {name.split(".")[0] for name in imported} & {"torch", "transformers"}
