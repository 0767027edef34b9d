"""Register our classes with `transformers`' Auto classes, without importing `transformers`.

`import deepseek_ocr` must stay light (no torch), and afterwards `AutoProcessor.from_pretrained` and
its like must know DeepSeek-OCR. So we wait for `transformers` to import its Auto modules, and
import `deepseek_ocr.model`, which registers, as soon as they are whole.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

AUTO_MODULES = frozenset(
    f"transformers.models.auto.{name}"
    for name in ("auto_factory", "configuration_auto", "modeling_auto", "processing_auto")
)
MODEL_PACKAGE = f"{__package__}.model"


def register_when_imported() -> None:
    """Register now if `transformers`' Auto classes are there already, else once they are."""
    if any(name in sys.modules for name in AUTO_MODULES):
        importlib.import_module(MODEL_PACKAGE)
    elif not any(isinstance(finder, AutoModuleFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AutoModuleFinder())


class AutoModuleFinder(importlib.abc.MetaPathFinder):
    """Finds the Auto modules as Python would, and has them followed by our registration."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's usual spec, its loader wrapped; None for every other module."""
        if fullname not in AUTO_MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = RegisteringLoader(spec.loader)
        return spec


class RegisteringLoader(importlib.abc.Loader):
    """Loads a module with its own loader, then registers unless a sibling is still loading."""

    def __init__(self, loader: importlib.abc.Loader):
        self.loader = loader

    def __getattr__(self, name: str):
        return getattr(self.loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; the last of the Auto modules to become whole brings ours in."""
        self.loader.exec_module(module)
        others = (sys.modules.get(name) for name in AUTO_MODULES - {module.__name__})
        loading = any(getattr(m.__spec__, "_initializing", False) for m in others if m is not None)
        if not loading and MODEL_PACKAGE not in sys.modules:
            importlib.import_module(MODEL_PACKAGE)
