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

BALANCE_LOSS_WEIGHT = 0.001
"""Of the balance loss where the router trains, as in the released code; 0 where it does not."""


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
        trains_router = "router" in config.trained_parts
        model.config.balance_loss_weight = BALANCE_LOSS_WEIGHT if trains_router else 0.0
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
    model.config.balance_loss_weight = 0.0  # no adapter changes the router
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
    keeps = config.mode is None or config.mode == own.mode  # another mode brings its own sizes
    try:
        image_processor = DeepseekOcrImageProcessor(
            mode=config.mode or own.mode,
            base_size=config.base_size or (own.base_size if keeps else None),
            tile_size=config.tile_size or (own.tile_size if keeps else None),
            max_tiles=config.max_tiles or own.max_tiles,
            image_mean=own.image_mean,
            image_std=own.image_std,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    return DeepseekOcrProcessor(image_processor, processor.tokenizer, processor.prompt)
