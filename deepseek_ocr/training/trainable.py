"""The model as it is trained: its weights or an adapter with gradients, its processor's views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from ..errors import UsageError, UserError
from ..model.image_processing import DeepseekOcrImageProcessor
from ..model.loading import ADAPTER_CONFIG, load_folder, load_model, put_adapter
from ..model.presets import PRESETS
from ..model.processing import DeepseekOcrProcessor
from .checkpoint import Checkpoint
from .config import TrainConfig
from .lora import add_adapter, train_adapter
from .parts import choose_trained


def load_trainable(
    config: TrainConfig, accelerator: Accelerator, checkpoint: Checkpoint | None
) -> tuple[Any, DeepseekOcrProcessor]:
    """The model with gradients on what trains, and its processor.

    In full tuning all weights are float32; under an adapter they keep their format where
    the computation has a smaller one.
    """
    if config.tune == "full":
        if checkpoint is None:
            model, processor = load_model(
                config.model_path, device="cpu", dtype="float32", seed=config.seed
            )
            model = _merged(model)
        else:
            model, processor = load_folder(checkpoint.path, torch.float32)
        choose_trained(model, config.trained_parts)
        return model, processor
    return _load_adapted(config, accelerator, checkpoint)


def _merged(model: nn.Module) -> nn.Module:
    """An adapter's folder as the start of full tuning: the weights with the adapter added."""
    from peft import PeftModel

    return model.merge_and_unload() if isinstance(model, PeftModel) else model  # type: ignore[operator]


def _load_adapted(
    config: TrainConfig, accelerator: Accelerator, checkpoint: Checkpoint | None
) -> tuple[Any, DeepseekOcrProcessor]:
    if config.model_path not in PRESETS and (Path(config.model_path) / ADAPTER_CONFIG).exists():
        raise UserError(
            f"{config.model_path}: is an adapter already; start from its base model, or use "
            "--tune full, which adds it to the weights"
        )
    dtype = "float32" if accelerator.mixed_precision == "no" else "auto"
    model, processor = load_model(config.model_path, device="cpu", dtype=dtype, seed=config.seed)
    if checkpoint is None:
        set_seed(config.seed)  # whatever loading took from the generator
        return add_adapter(model, config.trained_parts, config.lora_rank), processor
    model = put_adapter(model, checkpoint.path, base=config.model_path)
    train_adapter(model)
    return model, processor


def with_view_settings(
    processor: DeepseekOcrProcessor, config: TrainConfig
) -> DeepseekOcrProcessor:
    """The processor with the views that the flags ask for, which travel with the checkpoints."""
    own = processor.image_processor
    kept = {"max_tiles": own.max_tiles}
    if config.mode in (None, own.mode):  # another mode brings its own sizes
        kept |= {"base_size": own.base_size, "tile_size": own.tile_size}
    asked = {name: getattr(config, name) for name in ("base_size", "tile_size", "max_tiles")}
    sizes = kept | {name: size for name, size in asked.items() if size is not None}
    try:
        image_processor = DeepseekOcrImageProcessor(
            mode=config.mode or own.mode,
            image_mean=own.image_mean,
            image_std=own.image_std,
            **sizes,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    return DeepseekOcrProcessor(
        image_processor, processor.tokenizer, processor.prompt, **processor.published
    )
