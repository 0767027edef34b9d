"""The C files as a library, compiled on first use for this very processor and kept in the cache.

`DEEPSEEK_OCR_NATIVE=0` does without it; so does a machine that has no C compiler with OpenMP. The
compiler is `$CC`, else `cc`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ...files import cache_folder, replacing

FOLDER = Path(__file__).parent
SOURCES = tuple(FOLDER / f"{name}.c" for name in ("decoder", "linear", "attention"))
HEADERS = (FOLDER / "products.h",)
SWITCH = "DEEPSEEK_OCR_NATIVE"
COMPILE_TIMEOUT_S = 120
FLAGS = ("-O3", "-std=gnu11", "-fopenmp", "-fPIC", "-shared")

_logger = logging.getLogger(__name__)


class Matrix(ctypes.Structure):
    """As in `decoder.c`; `rows` of one matrix, also where it begins a stack of them."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("kind", ctypes.c_int64),
    )


MATRICES = (
    "input_norm", "post_norm", "q", "k", "v", "o", "gate", "up", "down", "router", "gate_up",
    "expert_down",
)  # fmt: skip


class Layer(ctypes.Structure):
    """As in `decoder.c`."""

    _fields_ = (
        *((name, Matrix) for name in MATRICES),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )


class Model(ctypes.Structure):
    """As in `decoder.c`."""

    _fields_ = (
        ("layers", ctypes.POINTER(Layer)),
        ("embedding", Matrix),
        ("norm", Matrix),
        ("head", Matrix),
        ("cos", ctypes.c_void_p),
        ("sin", ctypes.c_void_p),
        *(
            (name, ctypes.c_int64)
            for name in (
                "num_layers", "heads", "kv_heads", "head_width", "positions", "cache_kind",
                "num_chosen", "sigmoid", "normalize",
            )
        ),
        ("factor", ctypes.c_float),
        ("eps", ctypes.c_float),
        ("scale", ctypes.c_float),
    )  # fmt: skip


def _fields(pointers: str, numbers: str) -> tuple[tuple[str, Any], ...]:
    """Pointers first, then whole numbers, by their names."""
    return (
        *((name, ctypes.c_void_p) for name in pointers.split()),
        *((name, ctypes.c_int64) for name in numbers.split()),
    )


class AttentionCall(ctypes.Structure):
    """As `Attention` in `attention.c`."""

    _fields_ = (
        *_fields(
            "q k v no_key no_value by_row by_column out",
            "views height width heads head_width rows columns queries past group "
            "q_view q_token q_head k_view k_token k_head",
        ),
        ("scale", ctypes.c_float),
    )


class LinearCall(ctypes.Structure):
    """As `Linear` in `linear.c`."""

    _fields_ = _fields(
        "x places weights up scales up_scales bias residual out sums places_out share",
        "x_stride out_stride rows inputs outputs kind activation",
    )


class ExpertsCall(ctypes.Structure):
    """As `Experts` in `linear.c`."""

    _fields_ = _fields(
        "x tokens ends share gate_up down gate_up_scales down_scales hidden sums",
        "experts width units kind",
    )


def library() -> ctypes.CDLL | None:
    """The compiled library; None where it is switched off or cannot be built."""
    return None if os.environ.get(SWITCH) == "0" else _library()


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        return _declared(_load())
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        detail = getattr(error, "stderr", None) or error
        _logger.info("no compiled code, which is slower: %s", detail)
        return None


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    found.room_bytes.restype, found.room_bytes.argtypes = size, (pointer, size, size)
    found.step.restype = None
    found.step.argtypes = (pointer, size, pointer, pointer, pointer, pointer, pointer, size)
    found.has_attention.restype = ctypes.c_int
    found.attention_bytes.restype, found.attention_bytes.argtypes = size, (pointer, size)
    found.linear_bytes.restype, found.linear_bytes.argtypes = size, (size, size)
    found.has_linear.restype = ctypes.c_int
    for run in (found.attention, found.linear, found.experts):
        run.restype, run.argtypes = None, (pointer, pointer, size)
    return found


def _load() -> ctypes.CDLL:
    folder = cache_folder()
    if folder is not None:
        path = folder / "native" / f"native-{_key()}.so"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                with replacing(path) as temporary:
                    _compile(temporary)
            if path.stat().st_uid == os.geteuid():  # code of another user is not run
                return ctypes.CDLL(str(path))
        except OSError:  # a cache that cannot be written to, or executed from
            pass
    with tempfile.TemporaryDirectory() as temporary_folder:
        path = Path(temporary_folder) / "native.so"
        _compile(path)
        return ctypes.CDLL(str(path))


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def _compile(target: Path) -> None:
    """Raises: OSError without a compiler; SubprocessError where it fails."""
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    command = [*_compiler(), *FLAGS, native, *map(str, SOURCES), "-o", str(target), "-lm"]
    if shutil.which(command[0]) is None:
        raise OSError(f"no C compiler {command[0]!r}")
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)


def _key() -> str:
    """Names what was compiled: by which compiler, from what, for which processor."""
    parts = [*_compiler(), *FLAGS, platform.machine(), _processor()]
    parts += [path.read_text() for path in (*SOURCES, *HEADERS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """What the processor can do: folders of users are shared between unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(next((x for x in lines if x.startswith(("flags", "Features"))), ""))
