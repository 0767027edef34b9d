"""`--compile`: torch compiles the layers, each where it is, so that no name changes."""

from __future__ import annotations

import os
import shutil

import torch
from torch import nn

from ...errors import UsageError
from ...model.clip import ClipBlock
from ...model.language import DecoderLayer
from ...model.sam import SamBlock

COMPILERS = ("c++", "g++", "clang++")
COMPILED_FORMS = 64


def check_compile(device: torch.device) -> None:
    """Whether layers can be compiled for a device.

    Raises:
        UsageError: not for this kind of device, or without a C++ compiler.
    """
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--compile is for CPU and CUDA, not {device.type}; leave it out")
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else COMPILERS)):
        raise UsageError(
            "--compile needs a C++ compiler, and found none; install one (such as g++), name it in "
            "CXX, or leave --compile out"
        )


def compile_layers(model: nn.Module, backend: str = "inductor") -> None:
    """Compile the blocks of SAM and CLIP and the layers of the decoder, when they first run.

    In place, also under an adapter: parameters keep their names.
    """
    # all layers share the code of one wrapper (transformers'), and each kind of layer and of view
    # has its own compiled form of it: 8, the default, would leave the last ones as they are
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, COMPILED_FORMS)
    for module in list(model.modules()):
        if isinstance(module, SamBlock | ClipBlock | DecoderLayer):
            module.compile(backend=backend)
