"""Libraries that are imported only when they are needed: quietly, and without code from the Hub.

PEFT imports bitsandbytes wherever it is installed. bitsandbytes 0.50 in turn asks the library
`kernels`, if there is one, to download compiled code from the Hub and to run it, and on some CPUs
prints a warning if there is none (`bitsandbytes/backends/cpu/ops.py`). Neither is for our users:
`kernels` is hidden while bitsandbytes is imported, which then takes its own code.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from typing import Any, TypeGuard

from ..errors import UsageError

HUB_KERNELS = "kernels"
WARNS = "bitsandbytes.backends.cpu.ops"


def import_peft() -> Any:
    """The library PEFT: adapters."""
    with without_hub_kernels():
        return importlib.import_module("peft")


def import_bitsandbytes(flag: str) -> Any:
    """The library bitsandbytes: numbers of four and eight bits.

    Raises:
        UsageError: it is not installed, or does not run here; the message begins with `flag`.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(f"{flag}: needs bitsandbytes; run `pip install deepseek-ocr[qlora]`")
    try:
        with without_hub_kernels():
            return importlib.import_module("bitsandbytes")
    except (ImportError, OSError, RuntimeError) as error:
        raise UsageError(f"{flag}: bitsandbytes cannot be loaded here ({error})") from None


def is_adapted(model: object) -> TypeGuard[Any]:
    """Whether a model is under a PEFT adapter; PEFT is not imported to find out."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


@contextlib.contextmanager
def without_hub_kernels() -> Iterator[None]:
    """Nothing finds the library `kernels`, and bitsandbytes does not say that it is missing."""
    logger, hidden = logging.getLogger(WARNS), object()
    before, level = sys.modules.get(HUB_KERNELS, hidden), logger.level
    sys.modules[HUB_KERNELS] = None  # type: ignore[assignment]  # "not found", says `import`
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is hidden:
            del sys.modules[HUB_KERNELS]
        else:
            sys.modules[HUB_KERNELS] = before  # type: ignore[assignment]
