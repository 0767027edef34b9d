"""Sizes of the three parts: SAM with its compressor, CLIP, the decoder. Defaults are published.

What the published `config.json` does not state (such as `rms_norm_eps`) has the default of the
released code's config class.
"""

from __future__ import annotations

from transformers import PreTrainedConfig

from .config_checks import check_fixed, check_known, check_sizes, check_text


class PartConfig(PreTrainedConfig):
    """What the three parts' configs share: an unknown or impossible size is an error."""

    model_type = "deepseek_ocr_part"

    def __post_init__(self, **kwargs):
        check_fixed(kwargs, "")
        check_known(type(self), kwargs)
        check_sizes(self)
        super().__post_init__(**kwargs)


class SamConfig(PartConfig):
    """SAM-ViT-B with its neck and the 16x compressor (`deepencoder.py:548-1058`)."""

    model_type = "deepseek_ocr_sam"
    base_config_key = "sam_config"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: float = 4.0
    image_size: int = 1024
    patch_size: int = 16
    window_size: int = 14
    global_attn_indexes: list[int] | tuple[int, ...] = (2, 5, 8, 11)
    out_channels: int = 256
    downsample_channels: list[int] | tuple[int, ...] = (512, 1024)
    layer_norm_eps: float = 1e-6


class ClipConfig(PartConfig):
    """CLIP-L's transformer, fed with SAM's features (`deepencoder.py:188-539`)."""

    model_type = "deepseek_ocr_clip"
    base_config_key = "clip_config"

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    mlp_ratio: float = 4.0
    image_size: int = 224
    patch_size: int = 14
    layer_norm_eps: float = 1e-5


class TextConfig(PartConfig):
    """The DeepSeek decoder: defaults are the published model's (`configuration_deepseek_v2.py`)."""

    model_type = "deepseek_ocr_text"
    base_config_key = "text_config"

    vocab_size: int = 129280
    hidden_size: int = 1280
    intermediate_size: int = 6848
    moe_intermediate_size: int = 896
    num_hidden_layers: int = 12
    num_attention_heads: int = 10
    num_key_value_heads: int = None  # type: ignore[assignment]  # None: as many as heads
    max_position_embeddings: int = 8192
    n_routed_experts: int = 64  # None: every layer is dense
    n_shared_experts: int | None = 2
    num_experts_per_tok: int = 6
    first_k_dense_replace: int = 1
    topk_method: str = "greedy"
    scoring_func: str = "softmax"
    n_group: int | None = 1
    topk_group: int | None = 1
    norm_topk_prob: bool = False
    routed_scaling_factor: float = 1.0
    use_mla: bool = False
    q_lora_rank: int | None = None
    kv_lora_rank: int = None  # type: ignore[assignment]  # only latent attention has one
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict | None = None
    hidden_act: str = "silu"
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 0
    eos_token_id: int | None = 1
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs):
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        scaling = self.rope_scaling  # the parent would fold it into `rope_parameters`
        super().__post_init__(**kwargs)
        self.rope_scaling = scaling
        check_text(self)

    @property
    def qk_head_dim(self) -> int:
        """Width of one query or key head."""
        if self.use_mla:
            return self.qk_nope_head_dim + self.qk_rope_head_dim
        return self.hidden_size // self.num_attention_heads
