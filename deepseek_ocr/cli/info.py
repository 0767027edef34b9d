"""`deepseek-ocr info MODEL`: what a model is made of, what would train, how much memory it takes.

deepseek-ocr info deepseek-ai/DeepSeek-OCR --tune lora --batch_size 4 --dtype bfloat16 --memory 24
deepseek-ocr info run/best --quality split/test.json --data_root data --quantize int8
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ..errors import EXIT_OK, UsageError
from ..resolution import Mode, ViewSettings, grid_side, num_image_tokens, tile_grid
from ..training.config import TrainConfig
from .options import POSITIONAL, parse_options
from .quality import check_quality_flags, print_quality

if TYPE_CHECKING:
    from ..training.memory.model_facts import ModelFacts

DTYPES = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class InfoConfig:
    """Which model, and how it would be trained; flags as of `train.py`."""

    model: Annotated[str, "model folder, adapter folder, Hub id or preset"] = field(
        metadata=POSITIONAL
    )
    tune: Annotated[Literal["full", "lora", "dora", "qlora"], "as of train.py"] = "full"
    parts: Annotated[str | None, "as of train.py"] = None
    lora_rank: Annotated[int, "as of train.py"] = 16
    optimizer: Annotated[Literal["adamw", "adamw8bit", "adafactor"], "as of train.py"] = "adamw"
    ema: Annotated[float | None, "as of train.py"] = None
    gradient_checkpointing: Annotated[str, "as of train.py"] = "none"
    fsdp: Annotated[bool, "as of train.py"] = False
    num_processes: Annotated[int, "how many train together"] = 1
    batch_size: Annotated[int, "pages a forward pass (and device)"] = 2
    answer_tokens: Annotated[int, "length of their answers"] = 1000
    mode: Annotated[Mode | None, "resolution of the views; default: the model's"] = None
    tile_size: Annotated[int | None, "side of a tile in pixels; default: the mode's"] = None
    base_size: Annotated[int | None, "side of the overview in pixels; default: the mode's"] = None
    max_tiles: Annotated[int | None, "most tiles of a page; default: the mode's"] = None
    device: Annotated[str, "whose memory to compare with: cpu, cuda, cuda:1, mps or auto"] = "auto"
    memory: Annotated[float | None, "gigabytes to compare with, of a device elsewhere"] = None
    dtype: Annotated[
        DTYPES,
        "of the computation; auto: bfloat16 where CUDA has it; with --quality: as stored",
    ] = "auto"
    quality: Annotated[
        Path | None, "compare quantized weights with the model's own on this test file", "FILE"
    ] = None
    quantize: Annotated[Literal["int8", "int4", "both"], "what --quality compares"] = "both"
    data_root: Annotated[
        Path | None, "folder that FILE's pictures are relative to; default: FILE's own"
    ] = None
    limit: Annotated[int | None, "only the first rows of FILE"] = None
    max_new_tokens: Annotated[int, "longest answer to a row of FILE"] = 2048
    seed: Annotated[int, "of the intervals, and of untrained presets"] = 42
    json: Annotated[bool, "print what --quality found as JSON"] = False

    def __post_init__(self) -> None:
        for name in ("num_processes", "answer_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.memory is not None and not self.memory > 0:
            raise UsageError(f"--memory must be above 0, got {self.memory}")
        check_quality_flags(self)

    def as_training(self) -> TrainConfig:
        """The run that these flags would be part of."""
        shared = (vars(self).keys() - {"data_root"}) & TrainConfig.__dataclass_fields__.keys()
        return TrainConfig(
            model_path=self.model,
            data_root=Path(),
            train_file=Path("train.json"),
            output_dir=Path("checkpoints"),
            **{name: getattr(self, name) for name in sorted(shared)},
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is known of a model."""
    config = parse_options(
        InfoConfig, argv, prog="deepseek-ocr info", description=(__doc__ or "").splitlines()[0]
    )
    training = config.as_training()
    if config.quality is not None:
        return print_quality(config)
    from ..training.memory.model_facts import read_facts  # here: loading torch takes seconds

    facts = read_facts(config.model)
    print(
        "\n\n".join([*model_lines(config, training, facts), *memory_lines(config, training, facts)])
    )
    return EXIT_OK


def model_lines(config: InfoConfig, training: TrainConfig, facts: ModelFacts) -> list[str]:
    """The model, its views and prompt, and its parameters by part."""
    from ..training.config import ADAPTERS
    from ..training.memory.parameter_counts import counts_of, formats_of
    from ..training.tuning.lora import check_rank
    from ..training.tuning.parts import parts_table

    views = _settings(training, facts)
    grid = tile_grid(*_a4(), views)
    text = facts.config.text_config
    rows = {
        "model": f"{facts.name}, {facts.num_parameters:,} parameters of {8 * facts.stored} bits",
        "adapter over": facts.base,
        "layers": f"SAM {facts.config.sam_config.num_hidden_layers}, CLIP "
        f"{facts.config.clip_config.num_hidden_layers}, decoder {text.num_hidden_layers}",
        "positions": f"{text.max_position_embeddings:,}",
        "vocabulary": f"{text.vocab_size:,}",
        "views": _views(views),
        "a page of A4": f"{grid[0] * grid[1] if grid != (1, 1) else 'no'} tiles, "
        f"{num_image_tokens(grid, views)} positions",
        "prompt": repr(facts.processor.prompt) if facts.processor.prompt else None,
    }
    lines = [f"{name:<14}{value}" for name, value in rows.items() if value is not None]
    if config.tune in ADAPTERS:
        check_rank(facts.network, training.trained_parts, training.lora_rank)
    counts = counts_of(facts.network, training)
    formats = formats_of(facts.network, training, _stored(config, facts))
    return ["\n".join(lines), f"--tune {config.tune}\n{parts_table(counts.table(), formats)}"]


def _stored(config: InfoConfig, facts: ModelFacts) -> str:
    """The format of the weights that an adapter lies beside."""
    if _computes_in(config) == "no":
        return "float32"
    own = facts.config.dtype
    fits = own is not None and own.itemsize == facts.stored
    return str(own).removeprefix("torch.") if fits else {2: "bfloat16"}.get(facts.stored, "float32")


def _a4() -> tuple[int, int]:
    from ..training.memory.batch_size import A4_AT_200_DPI

    return A4_AT_200_DPI


def _settings(training: TrainConfig, facts: ModelFacts) -> ViewSettings:
    from ..training.tuning.trainable import with_view_settings

    return with_view_settings(facts.processor, training).image_processor.settings()


def _views(views: ViewSettings) -> str:
    overview = f"overview of {views.base_size} pixels ({grid_side(views.base_size) ** 2} tokens)"
    if views.tile_size is None or views.max_tiles < views.min_tiles:
        return overview
    side = grid_side(views.tile_size) ** 2
    return f"{overview}, up to {views.max_tiles} tiles of {views.tile_size} ({side} tokens each)"


def memory_lines(config: InfoConfig, training: TrainConfig, facts: ModelFacts) -> list[str]:
    """What reading and training need, estimated, against what the device has."""
    from ..model.loading import pick_device
    from ..training.memory.advice import summary
    from ..training.memory.batch_size import a4_pages
    from ..training.memory.device_memory import memory_of
    from ..training.memory.estimate import Workload, memory_table, reading_estimate

    device = pick_device(config.device)
    elsewhere = config.memory is not None
    precision = _computes_in(config)
    views = _settings(training, facts)
    work = Workload(
        network=facts.network,
        batch=a4_pages(config.batch_size, views, config.answer_tokens),
        settings=views,
        precision=precision,
        stored=facts.stored,
        num_processes=config.num_processes,
        device="cuda" if elsewhere else device.type,
    )
    limit = int(config.memory * 1e9) if config.memory is not None else memory_of(device)
    value = {"auto": facts.stored, "float32": 4}.get(config.dtype, 2)
    reading = reading_estimate(work, value)
    pages = f"{config.batch_size} pages of A4 with {config.answer_tokens} answer tokens"
    return [
        f"reading {pages}, estimated\n{memory_table(reading)}",
        f"training on {pages} a forward pass, estimated\n"
        + summary(training, work, limit, whole=True),
    ]


def _computes_in(config: InfoConfig) -> str:
    """accelerate's name of the number format; on a device that is not here CUDA's."""
    from ..model.loading import pick_device
    from ..training.processes.devices import PRECISION, choose_precision

    if config.memory is None:
        return choose_precision(pick_device(config.device), config.dtype)
    return "bf16" if config.dtype == "auto" else PRECISION[config.dtype]
