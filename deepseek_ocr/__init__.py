"""DeepSeek-OCR, trainable in every part.

`model` what the network is · `data` what it reads · `metrics` how text is compared ·
`inference` how it is used · `reading` documents to text · `training` how it is taught ·
`evaluation` how it is judged · `cli` the commands. Importing this package imports neither torch nor
transformers; the names below are fetched when they are first used.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from .auto_classes import register_when_imported

if TYPE_CHECKING:  # what the names below are, for those who check types
    from .inference.results import PageResult as PageResult
    from .model import DeepseekOcrConfig as DeepseekOcrConfig
    from .model import DeepseekOcrForConditionalGeneration as DeepseekOcrForConditionalGeneration
    from .model import DeepseekOcrImageProcessor as DeepseekOcrImageProcessor
    from .model import DeepseekOcrProcessor as DeepseekOcrProcessor
    from .reading.reader import OcrReader as OcrEngine  # noqa: F401
    from .reading.reader import load as load
    from .training import TrainConfig as TrainConfig
    from .training import train as train

try:
    __version__ = metadata.version("deepseek-ocr")
except metadata.PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0"

_HOMES = {
    "DeepseekOcrConfig": "model",
    "DeepseekOcrForConditionalGeneration": "model",
    "DeepseekOcrImageProcessor": "model",
    "DeepseekOcrProcessor": "model",
    "OcrEngine": "reading.reader:OcrReader",
    "PageResult": "inference.results",
    "TrainConfig": "training",
    "load": "reading.reader:load",
    "train": "training",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, original = _HOMES[name].partition(":")
    return getattr(import_module(f".{home}", __name__), original or name)


def __dir__() -> list[str]:
    return sorted(__all__)


register_when_imported()
