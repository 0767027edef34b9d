"""`export`: one folder in the published layout, which needs nothing beside it and is compared.

The folder is written under a temporary name, loaded again, compared with what it was made from on
a few pages, and renamed: it is whole and checked, or absent.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...data.annotations import read_annotations
from ...data.synthetic.stream import PageStream
from ...errors import UserError
from ...files import check_output_dir, make_readable, sync
from ...model.labels import IGNORE
from ...model.late_imports import is_adapted
from ...model.loading import (
    ADAPTER_CONFIG,
    BASE_MODEL,
    DTYPES,
    load_folder,
    load_model,
    stored_shapes,
    weight_files,
)
from ...model.presets import NANO_FOLDER, PRESETS
from ...model.processing import PROMPTS, DeepseekOcrProcessor
from ..batching.batches import Batch, PageDataset, Sample, inputs_of
from ..checkpoints.checkpoint import MAX_SHARD_SIZE
from .export_config import ExportConfig
from .merging import merge_adapter

DRAWN_KINDS, DRAWN_SIZE, DRAWN_CHARACTERS = ("lines", "receipts", "tables"), 512, 200
MOST_POSITIONS = 64
"""Of a page's answer, whose logits are compared: 129,280 numbers each."""

KEPT_FILES = ("*.py", "LICENSE*")
"""Of the base's folder: the released code, for programs that run it, and the terms."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how it differs from what it was made from.

    `difference` is the largest of all logits compared, `largest` the largest logit among them;
    at `same` of `positions` positions both models would say the same token. None: not compared.
    """

    out: Path
    dtype: str
    num_tensors: int
    num_bytes: int
    merged: bool
    quantization: str | None
    num_samples: int
    difference: float | None = None
    largest: float | None = None
    same: int = 0
    positions: int = 0


def export(config: ExportConfig, say: Say = lambda _: None) -> Exported:
    """Write the model of `config` to its folder `out`, an adapter merged; `say` hears each step.

    Raises:
        UserError: the model cannot be used, or `out` cannot be written to or is not empty.
    """
    check_free(config.out)
    say(f"loading {config.model}")
    model, processor = load_model(
        config.model, device=config.device, adapter=config.adapter, seed=config.seed
    )
    samples = read_samples(config, processor, model.config.text_config.max_position_embeddings)
    before = [answer_logits(model, sample) for sample in samples]
    base, adapter = find_base(config)
    merged = is_adapted(model)
    dtype = DTYPES.get(config.dtype, model.dtype)
    say("merging the adapter in float32" if merged else "there is no adapter to merge")
    model = merge_adapter(model, dtype) if merged else model.to(dtype)
    with written_whole(config.out) as folder:
        say(f"writing {config.out}")
        model.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE)
        processor.save_pretrained(folder)
        keep_files(base, folder)
        device = model.device
        del model
        gc.collect()
        say("loading it again")
        again = load_folder(folder)[0].to(device).eval()
        after = [answer_logits(again, sample) for sample in samples]
        tensors = list(stored_shapes(weight_files(folder)))
        num_bytes = sum(path.stat().st_size for path in weight_files(folder))
    return Exported(
        out=config.out,
        dtype=str(dtype).removeprefix("torch."),
        num_tensors=len(tensors),
        num_bytes=num_bytes,
        merged=merged,
        quantization=quantization_of(adapter),
        num_samples=len(samples),
        **compare(before, after),
    )


def check_free(out: Path) -> None:
    """Whether `out` can become a new folder.

    Raises:
        UserError: there is something already, or it cannot be made.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out}: is in the way; name a new folder for the exported model")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; name a new folder for the exported model")
    check_output_dir(out)


def find_base(config: ExportConfig) -> tuple[Path | None, Path | None]:
    """The folder of the base model, if it has one, and that of the adapter, if there is one."""
    named = None if config.model in PRESETS else Path(config.model)
    adapter = config.adapter
    if named is not None and (named / ADAPTER_CONFIG).exists():
        adapter = named
        base = _record(adapter).get("base_model", "")
        named = None if base in PRESETS else Path(base)
    if config.model == "nano":
        named = NANO_FOLDER
    return (named if named is not None and named.is_dir() else None), adapter


def quantization_of(adapter: Path | None) -> str | None:
    """The format of the weights that an adapter has learned beside, where they were rounded."""
    return None if adapter is None else _record(adapter).get("quantization")


def _record(adapter: Path) -> dict[str, Any]:
    path = adapter / BASE_MODEL
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_samples(
    config: ExportConfig, processor: DeepseekOcrProcessor, max_positions: int
) -> list[Batch]:
    """The model's inputs of a few rows of `--samples`, or of drawn pages, one row each.

    Raises:
        UserError: a row cannot be read, or is longer than the model's positions.
    """
    if config.samples is None or config.data_root is None:
        return list(draw_samples(config.num_samples, processor, max_positions))
    rows = read_annotations(config.samples, config.data_root)[: config.num_samples]
    dataset = PageDataset(rows, processor, config.data_root)
    samples = [dataset[number] for number in range(len(dataset))]
    for number, sample in enumerate(samples):
        if (length := sample["input_ids"].shape[1]) > max_positions:
            raise UserError(
                f"{dataset.name(number)}: takes {length} positions, the model has {max_positions}"
            )
    return samples


def draw_samples(
    count: int, processor: DeepseekOcrProcessor, max_positions: int
) -> Iterator[Batch]:
    """Drawn pages with their text, which is cut where the model's positions end."""
    stream = PageStream(
        seed=0,
        num_pages=count,
        kinds=DRAWN_KINDS,
        size=DRAWN_SIZE,
        characters=(DRAWN_CHARACTERS, DRAWN_CHARACTERS),
    )
    for number in range(count):
        page = stream.page(number)
        text = page.text
        while True:
            sample = Sample(pages=[page.image], prompt=PROMPTS["text"], answer=text)
            inputs = inputs_of(sample, processor)
            if inputs["input_ids"].shape[1] <= max_positions or not text:
                yield inputs
                break
            text = text[: len(text) // 2]


@torch.no_grad()
def answer_logits(model: Any, sample: Batch) -> Tensor:
    """(positions, V) float32 on the CPU: of at most `MOST_POSITIONS` tokens of a row's answer."""
    inputs = {name: tensor.to(model.device) for name, tensor in sample.items()}
    labels = inputs.pop("labels")
    inputs.pop("label_weights", None)
    answered = (labels[0, 1:] != IGNORE).nonzero().flatten()  # each is said one position before
    step = max(1, -(-len(answered) // MOST_POSITIONS))
    return model(**inputs, logits_to_keep=answered[::step]).logits[0].float().cpu()


def compare(before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, Any]:
    """The figures of `Exported` about two models' logits on the same samples."""
    if not before:
        return {}
    pairs = list(zip(before, after, strict=True))
    return {
        "difference": max(float((a - b).abs().max()) for a, b in pairs),
        "largest": max(float(a.abs().max()) for a, _ in pairs),
        "same": sum(int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in pairs),
        "positions": sum(len(a) for a, _ in pairs),
    }


def keep_files(base: Path | None, folder: Path) -> None:
    """Copy what stands beside the base's weights and is not made here; it is never run here."""
    for pattern in KEPT_FILES if base is not None else ():
        for path in base.glob(pattern):  # type: ignore[union-attr]
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`; when the block ends well it is synced and takes its name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        yield temporary
        make_readable(temporary, *temporary.rglob("*"))
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        os.rename(temporary, out)  # noqa: PTH104  also over an empty folder
        sync(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
