"""How the network is taught: batches, the optimizer, the loop, checkpoints.

`train(TrainConfig(...))` is `train.py`; `PageDataset` and `Collator` also work under
`transformers.Trainer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import TrainConfig

if TYPE_CHECKING:
    from .batching.batches import Collator, PageDataset
    from .failures import TrainingError
    from .run import train

__all__ = ["Collator", "PageDataset", "TrainConfig", "TrainingError", "train"]

_HOMES = {
    "Collator": "batching.batches",
    "PageDataset": "batching.batches",
    "TrainingError": "failures",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    """What needs torch is loaded when it is asked for: `train.py --help` answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
