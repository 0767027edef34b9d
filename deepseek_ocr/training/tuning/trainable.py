"""The model as it is trained: its weights or an adapter with gradients, its processor's views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from ...errors import UsageError, UserError
from ...model.image_processing import DeepseekOcrImageProcessor
from ...model.late_imports import is_adapted
from ...model.loading import ADAPTER_CONFIG, load_folder, load_model, put_adapter
from ...model.presets import PRESETS
from ...model.processing import DeepseekOcrProcessor
from ...model.quantization import quantize_decoder
from ..checkpoints.checkpoint import Checkpoint
from ..config import TrainConfig
from .lora import add_adapter, train_adapter
from .parts import PARTS, assign_parts, choose_trained, published_name


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
        check_parts_exist(model, config)
        choose_trained(model, config.trained_parts)
        return model, processor
    return _load_adapted(config, accelerator, checkpoint)


def _merged(model: nn.Module) -> nn.Module:
    """An adapter's folder as the start of full tuning: the weights with the adapter added."""
    return model.merge_and_unload() if is_adapted(model) else model  # type: ignore[operator]


def _load_adapted(
    config: TrainConfig, accelerator: Accelerator, checkpoint: Checkpoint | None
) -> tuple[Any, DeepseekOcrProcessor]:
    if config.model_path not in PRESETS and (Path(config.model_path) / ADAPTER_CONFIG).exists():
        raise UserError(
            f"{config.model_path}: is an adapter already; start from its base model, or use "
            "--tune full, which adds it to the weights"
        )
    model, processor = _load_base(config, accelerator)
    check_parts_exist(model, config)
    if checkpoint is None:
        set_seed(config.seed)  # whatever loading took from the generator
        adapted = add_adapter(
            model,
            config.trained_parts,
            config.lora_rank,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            dora=config.tune == "dora",
        )
        return adapted, processor
    model = put_adapter(model, checkpoint.path, base=config.model_path)
    train_adapter(model)
    return model, processor


def _load_base(
    config: TrainConfig, accelerator: Accelerator
) -> tuple[nn.Module, DeepseekOcrProcessor]:
    """What an adapter lies beside: in its own format, in float32, or the decoder in four bits."""
    computes_in_float32 = accelerator.mixed_precision == "no"
    packed = config.tune == "qlora"
    dtype = "float32" if computes_in_float32 and not packed else "auto"
    model, processor = load_model(config.model_path, device="cpu", dtype=dtype, seed=config.seed)
    if packed:
        quantize_decoder(model, accelerator.device)  # from the stored format: half the memory
        if computes_in_float32:
            model.float()  # what is not packed
    return model, processor


def check_parts_exist(model: nn.Module, config: TrainConfig) -> None:
    """A part that `--parts` names itself must be in this model.

    Raises:
        UsageError: it has no parameters, such as `shared` where no layer has shared experts.
    """
    named = [name.strip() for name in (config.parts or "").split(",")]
    owners = set(assign_parts(published_name(n) for n, _ in model.named_parameters()).values())
    if missing := [name for name in named if name in PARTS and name not in owners]:
        known = ", ".join(part for part in PARTS if part in owners)
        raise UsageError(f"--parts: this model has no {missing[0]}; it has {known}")


def rates_by_part(config: TrainConfig) -> dict[str, tuple[float, float]]:
    """Part that trains -> its peak learning rate and weight decay."""
    rates, decays = config.lr_of_parts, config.weight_decay_of_parts
    return {
        part: (rates.get(part, config.peak_lr), decays.get(part, config.weight_decay))
        for part in config.trained_parts
    }


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
