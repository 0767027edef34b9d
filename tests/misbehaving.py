"""Functions for children that do what decoders of hostile files may do."""

from __future__ import annotations

import os
import time
from typing import Any

from deepseek_ocr.errors import PageError
from deepseek_ocr.inference.cutting import cut_in_child
from deepseek_ocr.reading.opening import page_in_child


def echo(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    return values, blobs[::-1]


def pid(values: Any, blobs: list[bytes]) -> tuple[int, list[bytes]]:
    return os.getpid(), []


def refuse(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    raise PageError(f"{values}: is not a page")


def stumble(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    raise ZeroDivisionError("of a decoder")


def print_much(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    os.write(1, b"noise\n")
    os.write(2, b"noise\n")
    return "quiet", []


def crash(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    os.abort()


def spin(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    while True:
        time.sleep(1)


def eat(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    return len(b"\1" * values), []


def crash_once(values: Any, blobs: list[bytes]) -> tuple[Any, list[bytes]]:
    """Dies in the first process that is given the path, as one killed for want of memory."""
    try:
        os.close(os.open(values, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "read", []
    os.abort()


KINDS = {"crash": crash, "spin": spin, "eat": eat, "stumble": stumble}


def cut(values: Any, blobs: list[bytes]) -> Any:
    """As `cut_in_child`, but for the third page of a document named after a fault."""
    (source,) = values["pictures"]
    if source["page"] == 3:
        return KINDS[source["name"]](1 << 34, [])
    return cut_in_child(values, blobs)


def page(values: Any, blobs: list[bytes]) -> Any:
    """As `page_in_child`, but for the third page."""
    if values[0]["page"] == 3:
        return KINDS[values[0]["name"]](1 << 34, [])
    return page_in_child(values, blobs)
