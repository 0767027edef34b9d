"""What `transformers` needs to know to make, load, save and shard the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, initialization
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import Concatenate, MergeModulelist, WeightConverter

from ..files import make_readable
from .clip import ClipEmbeddings
from .configuration import DeepseekOcrConfig
from .experts import Experts
from .language import RmsNorm, Router
from .sam import ChannelNorm, SamAttention, SamEncoder

# On disk the published names, one tensor an expert and projection; in memory one a layer.
EXPERT_CONVERSION = [
    WeightConverter(
        source_patterns=["mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight"],
        target_patterns="mlp.experts.gate_up_proj",
        operations=[MergeModulelist(dim=0), Concatenate(dim=1)],
    ),
    WeightConverter(
        source_patterns="mlp.experts.*.down_proj.weight",
        target_patterns="mlp.experts.down_proj",
        operations=[MergeModulelist(dim=0)],
    ),
]
for _model_type in ("deepseek_vl_v2", "deepseek_ocr"):
    register_checkpoint_conversion_mapping(_model_type, EXPERT_CONVERSION, overwrite=True)


class DeepseekOcrPreTrainedModel(PreTrainedModel):
    """The base of our models: published names on disk, initial weights, layers that stay whole."""

    config: DeepseekOcrConfig
    config_class = DeepseekOcrConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["SamBlock", "ClipBlock", "DecoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """As `transformers`, in the published layout; the files get the modes of the umask."""
        super().save_pretrained(save_directory, *args, **kwargs)
        make_readable(*Path(save_directory).glob("*.safetensors"))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.text_config.initializer_range
        if isinstance(module, nn.Linear | nn.Conv2d):
            initialization.normal_(module.weight, std=std)
            if module.bias is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            initialization.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm | ChannelNorm):
            initialization.ones_(module.weight)
            initialization.zeros_(module.bias)
        elif isinstance(module, RmsNorm):
            initialization.ones_(module.weight)
        elif isinstance(module, SamEncoder):
            initialization.normal_(module.pos_embed, std=std)
        elif isinstance(module, SamAttention):
            initialization.zeros_(module.rel_pos_h)
            initialization.zeros_(module.rel_pos_w)
        elif isinstance(module, ClipEmbeddings):
            initialization.normal_(module.class_embedding, std=len(module.class_embedding) ** -0.5)
        elif isinstance(module, Experts):
            initialization.normal_(module.gate_up_proj, std=std)
            initialization.normal_(module.down_proj, std=std)
        elif isinstance(module, Router):
            initialization.normal_(module.weight, std=std)
            if hasattr(module, "e_score_correction_bias"):
                initialization.zeros_(module.e_score_correction_bias)
        elif hasattr(module, "view_seperator"):  # the model itself
            deviation = self.config.hidden_size**-0.5
            initialization.normal_(module.image_newline, std=deviation)
            initialization.normal_(module.view_seperator, std=deviation)
